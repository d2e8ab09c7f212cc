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
from pathlib import Path
from typing import TYPE_CHECKING, Any

import mlflow
import pandas as pd
from filelock import FileLock
from kedro.framework.context import KedroContext
from kedro.io import DataCatalog
from kedro.pipeline import Pipeline
from kedro.pipeline.node import Node
from kedro_mlflow.config.kedro_mlflow_config import KedroMlflowConfig
from kedro_mlflow.framework.hooks.mlflow_hook import MlflowHook
from mlflow.entities import Metric, Param
from pydantic import ValidationError

from beatwise.core.errors import BeatwiseError
from beatwise.core.files import is_alive
from beatwise.core.nested import flatten
from beatwise.core.registry import describe_validation
from beatwise.core.settings import Block
from beatwise.runs.saved import Saved

if TYPE_CHECKING:
    from beatwise.comparison.documents import Row

LOCK = Path("data/09_tracking/mlflow.lock")
# The tag of a run that names its process and the machine of that.
PROCESS = "beatwise.process"
# A trial that was stopped early has done what it was to do.
MLFLOW_STATUS = {"finished": "FINISHED", "stopped": "FINISHED", "running": "KILLED", "failed": "FAILED"}
# Kinds of datasets of which no file is logged.
WITHOUT_FILE = ("examples", "failed_rows", "history", "model", "row_scores", "trials")


class TrackedRun(MlflowHook):
    """The MLflow run of a run: kedro-mlflow reads ``mlflow.yml``, opens and closes the run; what it cannot log is ours.

    Attributes:
        run_id: Its ID; None before it is open.
    """

    run_id: str | None

    def __init__(self, context: KedroContext) -> None:
        """Read ``mlflow.yml``, and let MLflow read and write where that says.

        Raises:
            BeatwiseError: If the file cannot be used: one line a problem, each naming the key.
        """
        super().__init__()
        # MLflow sets these up when it is imported, long after logging.yml was read.
        logging.getLogger("mlflow").setLevel(logging.ERROR)
        os.environ.setdefault("MLFLOW_ENABLE_ARTIFACTS_PROGRESS_BAR", "false")
        lock = Path(context.project_path) / LOCK
        lock.parent.mkdir(parents=True, exist_ok=True)
        try:
            # First runs of a new project would make the tables of one SQLite database at once.
            with FileLock(lock):
                self.after_context_created(context)
        except ValidationError as error:
            described = describe_validation(error, "", KedroMlflowConfig, "key")
            raise BeatwiseError(f"mlflow.yml cannot be used:\n{described}") from error
        # For every node kedro-mlflow makes the run the active one of the thread. Where it is that already, kedro-mlflow
        # would open it once more and never close it.
        self.mlflow_config.tracking.run.nested = False
        self._logged = set[str]()

    def open(self, command: str | None, run_params: dict[str, Any], pipeline: Pipeline, catalog: DataCatalog) -> bool:
        """Open the MLflow run, or take the one that a script or a notebook has opened.

        Args:
            command: The command as it was typed; None where nobody typed one.
            run_params: What Kedro reports to hooks of the run.
            pipeline: The pipeline that runs.
            catalog: Its catalog.

        Returns:
            Whether ``mlflow.yml`` lets the run be tracked.
        """
        self._run = run_params, pipeline, catalog
        self.before_pipeline_run(*self._run)
        if not self._is_mlflow_enabled:
            return False
        if not self._already_active_mlflow:
            _end_dead_runs()
            # MLflow itself would call a run finished that was stopped by Ctrl-C, which Kedro does not report.
            atexit.register(self._end_as_killed)
        process = {PROCESS: f"{socket.gethostname()}:{os.getpid()}"}
        # kedro-mlflow leaves out environment and parameters.
        self.tag({**process, **({"kedro_command": command} if command else {})})
        return True

    def tag(self, tags: Mapping[str, str]) -> None:
        """Set tags."""
        mlflow.set_tags(dict(tags))

    def log_parameters(self, node: Node, inputs: dict[str, Any]) -> None:
        """Log the parameters among the inputs of a node one by one; of a choice, only what was chosen."""
        new = {name: value for name, value in inputs.items() if name not in self._logged}
        self._logged |= new.keys()
        # kedro-mlflow would log a block as one text.
        plain = {name: value.chosen_values() if isinstance(value, Block) else value for name, value in new.items()}
        self.before_node_run(node, self._run[2], plain, is_async=False)

    def record(self, saved: Saved) -> None:
        """Log a dataset as its kind asks for."""
        if mlflow.active_run() is None:
            # A thread that only saves: for those of nodes kedro-mlflow has done this.
            mlflow.start_run(run_id=self.run_id)
        for file in (saved.path, *saved.beside) if saved.kind not in WITHOUT_FILE else ():
            mlflow.log_artifact(str(file), artifact_path=saved.namespace or None)
        if saved.kind == "scores":
            mlflow.log_metrics(_prefixed(saved.namespace, saved.scores[saved.namespace]))
        elif saved.kind == "model":
            from beatwise.mlflow_model import log_model

            model = saved.data
            if self.mlflow_config.tracking.run.name is None:
                mlflow.set_tag(
                    "mlflow.runName", f"{model.name}, {model.config['resample']['use']}, {model.representation.name}"
                )
            log_model(saved.name.replace(".", "-"), saved.path, model)
        elif (log_kind := LOG.get(saved.kind or "")) is not None:
            log_kind(saved)

    def end(self, error: Exception | None = None) -> None:
        """Close the run, and those below it that an error has left open."""
        if error is None:
            self.after_pipeline_run(*self._run)
        else:
            self.on_pipeline_error(error, *self._run)
        atexit.unregister(self._end_as_killed)

    def _end_as_killed(self) -> None:
        while mlflow.active_run():
            mlflow.end_run("KILLED")


def _end_dead_runs() -> None:
    """Mark runs as killed whose process on this machine is gone: a process that is killed cannot do so itself."""
    client, experiment = mlflow.MlflowClient(), mlflow.active_run().info.experiment_id
    for run in client.search_runs([experiment], "attributes.status = 'RUNNING'"):
        host, _, process = run.data.tags.get(PROCESS, "").rpartition(":")
        if host == socket.gethostname() and not is_alive(int(process)):
            client.set_terminated(run.info.run_id, "KILLED")


def _prefixed(namespace: str, scores: Mapping[str, float]) -> dict[str, float]:
    return {f"{namespace}.{name}": value for name, value in scores.items()}


def _log_rows(saved: Saved) -> None:
    """Log every row of a comparison as a run below the current one."""
    for row, scores in zip(saved.data, saved.scores.values(), strict=True):
        with _start_row(row):
            metadata = row.fitted.model_dump(include={"n_parameters", "best_epoch", "seconds"}, exclude_none=True)
            mlflow.log_metrics(metadata)
            mlflow.log_metrics(scores)
            _log_epochs("fit", pd.DataFrame(row.fitted.history))


def _log_failed_rows(saved: Saved) -> None:
    """Log every row of a comparison that failed as a run below the current one, which failed too."""
    for row in saved.data:
        if row.failure:
            _start_row(row)
            mlflow.set_tag("failure", row.failure)
            mlflow.end_run("FAILED")


def _start_row(row: Row) -> mlflow.ActiveRun:
    """Open the run of a row, and log what the row is fitted with, or the rows that an ensemble averages."""
    run = mlflow.start_run(run_name=row.name, nested=True)
    mlflow.set_tags({"model": row.model, "strategy": row.strategy})
    mlflow.log_params(row.changes if row.config is None else flatten(row.config.model_dump(mode="json")))
    return run


def _log_trials(saved: Saved) -> None:
    """Log every trial of a search as a run below the current one, with its own times."""
    client, parent = mlflow.MlflowClient(), mlflow.active_run().info
    for record in saved.data:
        started = int(datetime.fromisoformat(record.started).timestamp() * 1000)
        times = [started + round(1000 * s) for s in accumulate(epoch["seconds"] for epoch in record.epochs)]
        run_id = client.create_run(
            parent.experiment_id,
            start_time=started,
            tags={
                "mlflow.parentRunId": parent.run_id,
                "status": record.status,
                **({"failure": record.failure} if record.failure else {}),
            },
            run_name=f"trial {record.number}",
        ).info.run_id
        metrics = [
            Metric(name, value, time, epoch["epoch"])
            for time, epoch in zip(times, record.epochs, strict=True)
            for name, value in epoch.items()
            if name != "epoch"
        ]
        params = [Param(name, str(value)) for name, value in record.values.items()]
        for first in range(0, max(len(metrics), 1), 1000):
            client.log_batch(run_id, metrics=metrics[first : first + 1000], params=params if first == 0 else [])
        client.set_terminated(run_id, MLFLOW_STATUS[record.status], [started, *times][-1])


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
