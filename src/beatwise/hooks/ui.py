"""MLflow's pages of all runs."""

from __future__ import annotations

import os
from pathlib import Path

import click
from kedro.framework.session import KedroSession

# One process beside this one is enough for one person, and starts in half of the time. Jobs are for language models.
SMALL = {"MLFLOW_WORKERS": "1", "MLFLOW_SERVER_ENABLE_JOB_EXECUTION": "false"}


def serve_runs(project: Path, env: str | None, host: str | None, port: str | None) -> None:
    """Serve the pages until Ctrl-C, by default at the address of ``mlflow.yml``; of a server, print the address.

    Raises:
        BeatwiseError: If a server is to keep the runs, and does not answer.
    """
    from beatwise.hooks.tracking import TrackedRun

    with KedroSession.create(project_path=project, env=env) as session:
        tracked = TrackedRun(session.load_context())
    tracked.check()
    ui = tracked.mlflow_config.ui
    ui.host, ui.port = host or ui.host, port or ui.port
    click.echo(f"All runs: {tracked.address}")
    if tracked.is_remote:
        return
    os.environ |= {name: os.environ.get(name, value) for name, value in SMALL.items()}
    from mlflow.cli import server

    server.main(["--backend-store-uri", tracked.uri, "--host", ui.host, "--port", ui.port])
