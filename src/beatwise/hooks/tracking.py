"""The MLflow run of a run. Importing this module imports MLflow, which takes more than a second."""

from __future__ import annotations

import atexit
import logging
import math
import os
import socket
from collections.abc import Callable, Mapping
from datetime import datetime
from itertools import accumulate
from typing import Any

import mlflow
import pandas as pd
from mlflow.entities import Metric, Param
from mlflow.utils.validation import MAX_PARAM_VAL_LENGTH, MAX_PARAMS_TAGS_PER_BATCH

from beatwise.core.nested import flatten
from beatwise.core.settings import Block
from beatwise.runs.saved import Saved
from beatwise.runs.settings import MlflowSettings

# The tag of a run that names its process and the machine of that.
PROCESS = "beatwise.process"
# A trial that was stopped early has done what it was to do.
MLFLOW_STATUS = {"finished": "FINISHED", "stopped": "FINISHED", "running": "KILLED", "failed": "FAILED"}
# Kinds of datasets of which no file is logged.
WITHOUT_FILE = ("examples", "failed_rows", "history", "model", "row_scores", "trials")

log = logging.getLogger(__name__)


def connect(settings: MlflowSettings) -> None:
    """Let MLflow read and write where the settings say."""
    # MLflow sets these up when it is imported, long after logging.yml was read.
    logging.getLogger("mlflow").setLevel(logging.ERROR)
    os.environ.setdefault("MLFLOW_ENABLE_ARTIFACTS_PROGRESS_BAR", "false")
    if settings.tracking_uri is not None:
        mlflow.set_tracking_uri(settings.tracking_uri)
    if settings.registry_uri is not None:
        mlflow.set_registry_uri(settings.registry_uri)


def open_run(settings: MlflowSettings, run_params: Mapping[str, Any], command: str | None) -> TrackedRun:
    """Open an MLflow run, or take the one that a script or a notebook has opened.

    Args:
        settings: The settings of tracking.
        run_params: What Kedro reports to hooks of the run.
        command: The command as it was typed; None where nobody typed one.
    """
    own = mlflow.active_run() is None
    if own:
        connect(settings)
        client = mlflow.MlflowClient()
        experiment = client.get_experiment_by_name(settings.experiment)
        if experiment is None:
            client.create_experiment(settings.experiment, artifact_location=settings.artifact_location)
        elif experiment.lifecycle_stage == "deleted":
            client.restore_experiment(experiment.experiment_id)
        mlflow.set_experiment(settings.experiment)
        _end_dead_runs(client, mlflow.get_experiment_by_name(settings.experiment).experiment_id)
        mlflow.start_run(run_name=settings.run_name or "+".join(run_params["pipeline_names"] or ["__default__"]))
    run = TrackedRun(mlflow.active_run().info.run_id, own=own, named=settings.run_name is not None)
    # The names that kedro-mlflow gives them.
    tags = {name: value for name, value in run_params.items() if value}
    run.tag(
        {**tags, PROCESS: f"{socket.gethostname()}:{os.getpid()}", **({"kedro_command": command} if command else {})}
    )
    return run


class TrackedRun:
    """An MLflow run that is open.

    Attributes:
        run_id: Its ID.
    """

    def __init__(self, run_id: str, *, own: bool, named: bool) -> None:
        """Take an active MLflow run.

        Args:
            run_id: Its ID.
            own: Whether it ends with the run of Kedro.
            named: Whether it keeps its name; it is otherwise named after the model.
        """
        self.run_id = run_id
        self._own, self._named = own, named
        self._logged: dict[str, str] = {}
        if own:
            # MLflow itself would call a run finished that was stopped by Ctrl-C, which Kedro does not report.
            atexit.register(self._end_as_killed)

    def tag(self, tags: Mapping[str, Any]) -> None:
        """Set tags."""
        self._activate()
        mlflow.set_tags(dict(tags))

    def log_parameters(self, inputs: Mapping[str, Any]) -> None:
        """Log the parameters among the inputs of a node one by one; of a choice, only what was chosen."""
        self._activate()
        values: dict[str, Any] = {}
        for name, value in inputs.items():
            if name == "parameters" or name.startswith("params:"):
                plain = value.chosen_values() if isinstance(value, Block) else value
                values |= flatten({name.removeprefix("params:"): plain})
        texts = {name: str(value)[:MAX_PARAM_VAL_LENGTH] for name, value in values.items()}
        new = [item for item in texts.items() if self._logged.get(item[0]) != item[1]]
        for first in range(0, len(new), MAX_PARAMS_TAGS_PER_BATCH):
            mlflow.log_params(dict(new[first : first + MAX_PARAMS_TAGS_PER_BATCH]))
        self._logged |= texts

    def record(self, saved: Saved) -> None:
        """Log a dataset as its kind asks for."""
        self._activate()
        for file in (saved.path, *saved.beside) if saved.kind not in WITHOUT_FILE else ():
            mlflow.log_artifact(str(file), artifact_path=saved.namespace or None)
        if saved.kind == "scores":
            mlflow.log_metrics(_prefixed(saved.namespace, saved.scores[saved.namespace]))
        elif saved.kind == "model":
            from beatwise.mlflow_model import log_model

            model = saved.data
            if not self._named:
                mlflow.set_tag(
                    "mlflow.runName", f"{model.name}, {model.config['resample']['use']}, {model.representation.name}"
                )
            log_model(saved.name.replace(".", "-"), saved.path, model)
        elif (log_kind := LOG.get(saved.kind or "")) is not None:
            log_kind(saved)

    def end(self, status: str) -> None:
        """Close the run, and those below it that an error has left open."""
        while self._own and mlflow.active_run():
            mlflow.end_run(status)
        atexit.unregister(self._end_as_killed)

    def _activate(self) -> None:
        """Make the run the active one of this thread: a runner may run nodes in threads of their own."""
        if mlflow.active_run() is None:
            mlflow.start_run(run_id=self.run_id)

    def _end_as_killed(self) -> None:
        self.end("KILLED")


def _end_dead_runs(client: mlflow.MlflowClient, experiment_id: str) -> None:
    """Mark runs as killed whose process on this machine is gone: a process that is killed cannot do so itself."""
    for run in client.search_runs([experiment_id], "attributes.status = 'RUNNING'"):
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


def _prefixed(namespace: str, scores: Mapping[str, float]) -> dict[str, float]:
    return {f"{namespace}.{name}": value for name, value in scores.items()}


def _log_rows(saved: Saved) -> None:
    """Log every row of a comparison as a run below the current one."""
    for row, scores in zip(saved.data, saved.scores.values(), strict=True):
        with _start_row(row):
            metadata = {key: row["metadata"][key] for key in ("n_parameters", "best_epoch", "seconds")}
            mlflow.log_metrics({key: value for key, value in metadata.items() if value is not None})
            mlflow.log_metrics(scores)
            _log_epochs("fit", pd.DataFrame(row["metadata"]["history"]))


def _log_failed_rows(saved: Saved) -> None:
    """Log every row of a comparison that failed as a run below the current one, which failed too."""
    for row in saved.data:
        if row["failure"]:
            _start_row(row)
            mlflow.set_tag("failure", row["failure"])
            mlflow.end_run("FAILED")


def _start_row(row: dict[str, Any]) -> mlflow.ActiveRun:
    """Open the run of a row, and log what the row is fitted with, or the rows that an ensemble averages."""
    from beatwise.comparison.leaderboard import is_ensemble, row_name

    run = mlflow.start_run(run_name=row_name(row), nested=True)
    mlflow.set_tags({"model": row["model"], "strategy": row["strategy"]})
    mlflow.log_params(row["changes"] if is_ensemble(row) else flatten(row["config"]))
    return run


def _log_trials(saved: Saved) -> None:
    """Log every trial of a search as a run below the current one, with its own times."""
    client, parent = mlflow.MlflowClient(), mlflow.active_run().info
    for record in saved.data:
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


def _log_history(saved: Saved) -> None:
    _log_epochs(saved.namespace, saved.data)


def _log_epochs(namespace: str, history: pd.DataFrame) -> None:
    for row in history.to_dict("records"):
        scores = {
            f"{namespace}.epoch.{name}": value
            for name, value in row.items()
            if name not in ("epoch", "seconds", "val_seconds") and value is not None and math.isfinite(value)
        }
        mlflow.log_metrics(scores, step=int(row["epoch"]))


# How the kinds that are runs or curves of their own are logged.
LOG: dict[str, Callable[[Saved], None]] = {
    "row_scores": _log_rows,
    "failed_rows": _log_failed_rows,
    "trials": _log_trials,
    "history": _log_history,
}
