"""Every run is tracked by MLflow, with what its datasets say of themselves in the catalog."""

from __future__ import annotations

import atexit
import logging
import math
import os
import socket
from datetime import datetime
from itertools import accumulate
from pathlib import Path
from typing import Any

import mlflow
import pandas as pd
from kedro.framework.hooks import hook_impl
from kedro.io import DataCatalog
from kedro.pipeline import Pipeline
from kedro_mlflow.framework.hooks.mlflow_hook import MlflowHook
from mlflow.entities import Metric, Param

from beatwise.core.nested import flatten
from beatwise.core.settings import Block
from beatwise.hooks.paths import saved_path

# The tag of a run that says which process on which machine it is of.
PROCESS = "beatwise.process"
# A trial that was stopped early has done what it was to do.
MLFLOW_STATUS = {"finished": "FINISHED", "stopped": "FINISHED", "running": "KILLED", "failed": "FAILED"}


class TrackingHooks(MlflowHook):
    """kedro-mlflow's hook, which opens a run for every ``kedro run``, and what Beatwise logs to that run.

    Parameters are logged one by one, of a choice only what was chosen. Datasets are logged as the catalog says in
    ``metadata: {beatwise: {mlflow: …}}``: ``artifact`` logs the file, ``metrics`` the scores, ``history`` metrics by
    epoch, ``model`` a model that takes beats and gives probabilities, ``rows`` and ``failed_rows`` a run below this one
    for every row of a comparison, ``trials`` one for every trial of a search.
    """

    run_id: str | None

    @hook_impl
    def before_pipeline_run(self, run_params: dict[str, Any], pipeline: Pipeline, catalog: DataCatalog) -> None:
        """Open the run, and remember the catalog."""
        # A run that is not tracked must not log to the last one that was.
        self.run_id = None
        super().before_pipeline_run(run_params, pipeline, catalog)
        # MLflow sets these up when it is imported, long after logging.yml was read.
        logging.getLogger("mlflow").setLevel(logging.ERROR)
        os.environ.setdefault("MLFLOW_ENABLE_ARTIFACTS_PROGRESS_BAR", "false")
        self._catalog = catalog
        if self._is_mlflow_enabled:
            _end_dead_runs()
            mlflow.set_tag(PROCESS, f"{socket.gethostname()}:{os.getpid()}")
        # MLflow itself would call a run finished that was stopped by Ctrl-C, of which Kedro tells no hook.
        atexit.unregister(self._end_as_killed)
        atexit.register(self._end_as_killed)

    @hook_impl
    def after_pipeline_run(self, run_params: dict[str, Any], pipeline: Pipeline, catalog: DataCatalog) -> None:
        """Close the run for good."""
        super().after_pipeline_run(run_params, pipeline, catalog)
        # kedro-mlflow opens the run anew for every node and closes it once: the rest would swallow the next run of
        # this process, in a notebook for instance.
        while not self._already_active_mlflow and (active := mlflow.active_run()) and active.info.run_id == self.run_id:
            mlflow.end_run()

    def _end_as_killed(self) -> None:
        while not self._already_active_mlflow and mlflow.active_run():
            mlflow.end_run("KILLED")

    @hook_impl
    def after_dataset_saved(self, dataset_name: str, data: Any) -> None:
        """Log a dataset as the catalog says."""
        if not self._is_mlflow_enabled:
            return
        dataset = self._catalog[dataset_name]
        kind = ((getattr(dataset, "metadata", None) or {}).get("beatwise") or {}).get("mlflow")
        if kind is not None:
            namespace, _, short = dataset_name.rpartition(".")
            path = saved_path(dataset)
            beside = dataset.files_beside(path) if hasattr(dataset, "files_beside") else []
            self._log(kind, namespace, short, data, path, beside)

    def _log_param(self, name: str, value: Any) -> None:
        # kedro-mlflow would log a Pydantic model as one opaque string, whatever dict_params says.
        values = flatten(value.chosen_values(), name) if isinstance(value, Block) else {name: value}
        for key, single in values.items():
            super()._log_param(key, single)

    def _log(self, kind: str, namespace: str, name: str, data: Any, path: Path, beside: list[Path]) -> None:
        if kind in ("artifact", "metrics"):
            for file in (path, *beside):
                mlflow.log_artifact(str(file), artifact_path=namespace or None)
        if kind == "metrics":
            from beatwise.tasks.classification.predictions import flatten_scores

            mlflow.log_metrics({f"{namespace}.{key}": value for key, value in flatten_scores(data).items()})
        elif kind == "history":
            _log_history(namespace, data)
        elif kind == "rows":
            _log_rows(data)
        elif kind == "failed_rows":
            _log_failed_rows(data)
        elif kind == "trials":
            _log_trials(data)
        elif kind == "model":
            from beatwise.mlflow_model import log_model

            mlflow.set_tag("mlflow.runName", f"{data.name}, {data.config['resample']['use']}, {data.spec.use}")
            log_model(f"{namespace}-{name}", path, data)


def _end_dead_runs() -> None:
    """Mark runs as killed whose process on this machine is gone: whoever is killed cannot do so himself."""
    client, experiment = mlflow.MlflowClient(), mlflow.active_run().info.experiment_id
    for run in client.search_runs([experiment], "attributes.status = 'RUNNING'"):
        host, _, process = run.data.tags.get(PROCESS, "").rpartition(":")
        if host == socket.gethostname() and not _is_alive(int(process)):
            client.set_terminated(run.info.run_id, "KILLED")


def _is_alive(process: int) -> bool:
    try:
        # Signal 0 only asks; on Windows it would end the process.
        if os.name == "posix":
            os.kill(process, 0)
    except ProcessLookupError:
        return False
    except PermissionError:
        return True
    return True


def _log_rows(rows: list[dict[str, Any]]) -> None:
    """Log every row of a comparison as a run below the current one."""
    from beatwise.tasks.classification.predictions import flatten_scores

    for row in rows:
        with _start_row(row):
            metadata = {key: row["metadata"][key] for key in ("n_parameters", "best_epoch", "seconds")}
            mlflow.log_metrics({key: value for key, value in metadata.items() if value is not None})
            mlflow.log_metrics(flatten_scores(row["metrics"]))
            _log_history("fit", pd.DataFrame(row["metadata"]["history"]))


def _log_failed_rows(rows: list[dict[str, Any]]) -> None:
    """Log every row of a comparison that failed as a run below the current one, which failed too."""
    for row in rows:
        if row["failure"]:
            _start_row(row)
            mlflow.set_tag("failure", row["failure"])
            mlflow.end_run("FAILED")


def _start_row(row: dict[str, Any]) -> mlflow.ActiveRun:
    """Open the run of a row and log what it is fitted with, or of what."""
    from beatwise.comparison.leaderboard import is_ensemble, row_name

    run = mlflow.start_run(run_name=row_name(row), nested=True)
    mlflow.set_tags({"model": row["model"], "strategy": row["strategy"]})
    mlflow.log_params(row["changes"] if is_ensemble(row) else flatten(row["config"]))
    return run


def _log_trials(records: list[dict[str, Any]]) -> None:
    """Log every trial of a search as a run below the current one, with its own times."""
    client, parent = mlflow.MlflowClient(), mlflow.active_run().info
    for record in records:
        started = int(datetime.fromisoformat(record["started"]).timestamp() * 1000)
        times = [started + round(1000 * s) for s in accumulate(epoch["seconds"] for epoch in record["epochs"])]
        run_id = client.create_run(
            parent.experiment_id,
            start_time=started,
            tags={
                "mlflow.parentRunId": parent.run_id,
                "status": record["status"],
                **({"failure": record["failure"]} if record["failure"] else {}),
            },
            run_name=f"trial {record['number']}",
        ).info.run_id
        metrics = [
            Metric(name, value, time, epoch["epoch"])
            for time, epoch in zip(times, record["epochs"], strict=True)
            for name, value in epoch.items()
            if name != "epoch"
        ]
        params = [Param(name, str(value)) for name, value in record["values"].items()]
        for first in range(0, max(len(metrics), 1), 1000):
            client.log_batch(run_id, metrics=metrics[first : first + 1000], params=params if first == 0 else [])
        client.set_terminated(run_id, MLFLOW_STATUS[record["status"]], [started, *times][-1])


def _log_history(namespace: str, history: pd.DataFrame) -> None:
    for row in history.to_dict("records"):
        scores = {
            f"{namespace}.epoch.{name}": value
            for name, value in row.items()
            if name not in ("epoch", "seconds", "val_seconds") and value is not None and math.isfinite(value)
        }
        mlflow.log_metrics(scores, step=int(row["epoch"]))
