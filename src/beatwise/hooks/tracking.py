"""The MLflow run of a run, and one run below it for each fitted model.

Importing this module imports MLflow, which takes more than a second.
"""

from __future__ import annotations

import atexit
import json
import logging
import math
import os
import socket
import sqlite3
import time
from collections.abc import Callable, Mapping, Sequence
from contextlib import closing, suppress
from datetime import datetime
from functools import wraps
from itertools import accumulate, repeat
from pathlib import Path, PurePath
from typing import TYPE_CHECKING, Any, Concatenate, Final, ParamSpec

import mlflow
from filelock import FileLock
from kedro.config import MissingConfigException
from kedro.framework.context import KedroContext
from kedro.io import DataCatalog
from kedro.pipeline import Pipeline
from kedro.pipeline.node import Node
from kedro_mlflow.config.kedro_mlflow_config import KedroMlflowConfig
from kedro_mlflow.framework.hooks.mlflow_hook import MlflowHook
from mlflow.entities import Dataset, DatasetInput, InputTag, Metric, Param, Run
from mlflow.exceptions import MlflowException
from pydantic import ValidationError

from beatwise.core.errors import BeatwiseError, led_to
from beatwise.core.files import is_alive
from beatwise.core.nested import flatten
from beatwise.core.registry import describe_validation
from beatwise.core.settings import Block
from beatwise.hooks.catalog import saved_path
from beatwise.runs.card import short_fingerprint
from beatwise.runs.saved import Saved

if TYPE_CHECKING:
    from beatwise.comparison.documents import Row
    from beatwise.scoring.scorer import Scorer
    from beatwise.search.plan import SearchPlan
    from beatwise.search.trials import TrialRecord
    from beatwise.training.trained_model import TrainedModel

LOCK: Final = Path("data/09_tracking/mlflow.lock")
# The tag that names the process of a run and its machine.
PROCESS: Final = "beatwise.process"
# A trial that was stopped early has done its work.
MLFLOW_STATUS: Final = {"finished": "FINISHED", "stopped": "FINISHED", "running": "KILLED", "failed": "FAILED"}
# Kinds of datasets whose files are not logged.
WITHOUT_FILE: Final = ("examples", "failed_rows", "history", "model", "row_scores", "scorer", "trials")
# Blocks of parameters that are logged with the model fitted with them.
OF_MODELS: Final = ("params:task", "params:resample", "params:tensors", "params:model", "params:train")
# Counts of a fit that are logged beside its scores.
COUNTS: Final = ("n_parameters", "best_epoch", "seconds")
# Tables and columns of MLflow's database with addresses of artifacts.
SQLITE: Final = "sqlite:///"
ADDRESSES: Final = (
    *(("experiments", "artifact_location"), ("runs", "artifact_uri"), ("logged_models", "artifact_location")),
    *(("model_versions", "source"), ("model_versions", "storage_location")),
)
# Limits of MLflow: characters of a parameter, and metrics in a request.
LONGEST_PARAM, METRICS_AT_ONCE = 6000, 1000
# Retries of a request to a server, and its time limit (s): MLflow's own 7 and 120 would take minutes.
PATIENCE: Final = {"MLFLOW_HTTP_REQUEST_MAX_RETRIES": "3", "MLFLOW_HTTP_REQUEST_TIMEOUT": "30"}
IMPATIENCE: Final = {"MLFLOW_HTTP_REQUEST_MAX_RETRIES": "0", "MLFLOW_HTTP_REQUEST_TIMEOUT": "5"}

log = logging.getLogger(__name__)
P = ParamSpec("P")


Method = Callable[Concatenate["TrackedRun", P], None]


def _unless_lost(method: Method[P]) -> Method[P]:
    """Continue a run without MLflow when its server is lost: hours of training must not be lost with it."""

    @wraps(method)
    def call(self: TrackedRun, /, *args: P.args, **kwargs: P.kwargs) -> None:
        try:
            if not self.is_lost:
                method(self, *args, **kwargs)
        except (MlflowException, OSError) as error:
            if not self.is_remote:
                raise
            self.is_lost = True
            log.warning(
                "%s does not answer any more (%s). The rest of this run is not tracked.", self.uri, _line(error)
            )
            # MLflow would ask it again when the process ends.
            os.environ |= IMPATIENCE
            with suppress(MlflowException, OSError):
                mlflow.end_run()

    return call


class TrackedRun(MlflowHook):
    """The MLflow run of a run: kedro-mlflow reads ``mlflow.yml``, opens and closes the run; the rest is logged here.

    Attributes:
        run_id: Its ID; None until it is open.
        uri: Address of the tracking store.
        is_remote: Whether that is a server.
        is_lost: Whether that server has stopped answering.
    """

    run_id: str | None

    def __init__(self, context: KedroContext) -> None:
        """Read ``mlflow.yml``, and set the tracking store of MLflow.

        Raises:
            BeatwiseError: If the file cannot be used: one line a problem, each naming the key.
        """
        super().__init__()
        # MLflow sets up its loggers when it is imported, long after logging.yml was read.
        logging.getLogger("mlflow").setLevel(logging.ERROR)
        os.environ.setdefault("MLFLOW_ENABLE_ARTIFACTS_PROGRESS_BAR", "false")
        patience = {name: os.environ.get(name, value) for name, value in PATIENCE.items()}
        self.is_lost, self._problem = False, None
        self._logged, self._models, self._fitted = set[str](), dict[str, str](), list[str]()
        self._best = ""
        lock = Path(context.project_path) / LOCK
        lock.parent.mkdir(parents=True, exist_ok=True)
        os.environ |= IMPATIENCE
        try:
            self.uri = _where(context)
            self.is_remote = self.uri.startswith("http")
            # Otherwise several first runs of a project would create the tables of one SQLite database at once.
            with FileLock(lock):
                self.after_context_created(context)
        except ValidationError as error:
            described = describe_validation(error, "", KedroMlflowConfig, "key")
            raise BeatwiseError(f"mlflow.yml cannot be used:\n{described}") from error
        except (MlflowException, OSError) as error:
            if not self.is_remote:
                raise
            # Only a run that is tracked needs the server.
            self._problem = "" if any(isinstance(e, OSError) for e in led_to(error)) else f" ({_line(error)})"
            return
        finally:
            os.environ |= patience
        # The tracking store of a script that has opened a run has precedence.
        self.uri = str(mlflow.get_tracking_uri())
        # kedro-mlflow activates the run in the thread of every node; if it is active already, it would be opened once
        # more and never closed.
        self.mlflow_config.tracking.run.nested = False

    def check(self) -> None:
        """Refuse a server that does not answer.

        Raises:
            BeatwiseError: If it does not.
        """
        if self._problem is not None:
            raise BeatwiseError(
                f"No MLflow server answers at {self.uri}{self._problem}. Start it, or change BEATWISE_MLFLOW or "
                "server.mlflow_tracking_uri of mlflow.yml, where this address comes from."
            )

    @property
    def address(self) -> str:
        """Address of the table of runs in a browser."""
        ui, experiment = self.mlflow_config.ui, self.mlflow_config.tracking.experiment._experiment
        server = self.uri.rstrip("/") if self.is_remote else f"http://{ui.host}:{ui.port}"
        return f"{server}/#/experiments/{experiment.experiment_id}/runs"

    @property
    def where_to_look(self) -> str:
        """The address of the table of runs, and the command that serves it."""
        if self.is_lost:
            return f"This run is tracked only in part: {self.uri} did not answer any more."
        return f"All runs: {self.address}" + ("" if self.is_remote else "\nIt answers while `kedro mlflow ui` runs.")

    def open(self, command: str, run_params: dict[str, Any], pipeline: Pipeline, catalog: DataCatalog) -> bool:
        """Open the MLflow run, or take that of a script or notebook; return whether ``mlflow.yml`` tracks runs.

        Raises:
            BeatwiseError: If the server does not answer.
        """
        self._run = run_params, pipeline, catalog
        self.check()
        self.before_pipeline_run(*self._run)
        if not self._is_mlflow_enabled:
            return False
        active = mlflow.active_run().info
        self._experiment, self._name = active.experiment_id, active.run_name
        self._client, self._process = mlflow.MlflowClient(), {PROCESS: f"{socket.gethostname()}:{os.getpid()}"}
        if not self._already_active_mlflow:
            self._end_dead_runs()
            # MLflow would mark a run stopped by Ctrl-C as finished, and Kedro does not report it.
            atexit.register(self._end_as_killed)
        # kedro-mlflow leaves out environment and parameters.
        self.tag({**self._process, "kedro_command": command})
        return True

    @_unless_lost
    def tag(self, tags: Mapping[str, str]) -> None:
        """Set tags."""
        mlflow.set_tags(dict(tags))

    @_unless_lost
    def log_parameters(self, node: Node, inputs: dict[str, Any]) -> None:
        """Log the parameters among the inputs of a node one by one; those of a choice only for the chosen entry."""
        new = {name: value for name, value in inputs.items() if name not in (*OF_MODELS, *self._logged)}
        self._logged |= new.keys()
        # kedro-mlflow would log a block as one text.
        plain = {name: value.chosen_values() if isinstance(value, Block) else value for name, value in new.items()}
        self.before_node_run(node, self._run[2], plain, is_async=False)

    @_unless_lost
    def record(self, saved: Saved) -> None:
        """Log a dataset by its kind: to the run of its model, or to the run itself."""
        if saved.kind == "model":
            self._model_run(saved.namespace, saved.data)
            return
        if saved.kind == "scorer":
            self._log_scorer(saved)
            return
        run_id = self._models.get(saved.namespace)
        for file in (saved.path, *saved.beside) if saved.kind not in WITHOUT_FILE else ():
            self._client.log_artifact(run_id or self.run_id, str(file), None if run_id else saved.namespace or None)
        if saved.kind == "history" and run_id:
            self._log_batch(run_id, _epochs(saved.data.to_dict("records")))
        elif saved.kind == "scores" and run_id:
            self._log_scores(run_id, saved.data, saved.scores[saved.namespace])
        elif saved.kind == "row_scores":
            self._log_rows(saved)
        elif saved.kind == "failed_rows":
            self._log_failed_rows(saved)
        elif saved.kind == "trials":
            self._log_trials(saved)
        elif saved.kind == "leaderboard":
            from beatwise.comparison.leaderboard import ranked_metrics

            first, metric = saved.data.iloc[0], ranked_metrics(saved.data)[0]
            self._best = _named(first, metric, first[metric])

    @_unless_lost
    def note_model(self, namespace: str, model: TrainedModel) -> None:
        """Open the run of a stored model that this run measures or explains."""
        self._model_run(namespace, model)

    @_unless_lost
    def end(self, examples: Mapping[str, str], error: Exception | None = None) -> None:
        """Close the run and those below it, with the fingerprints of the examples by dataset or the error."""
        if not error:
            inputs = [self._dataset_input(name, fingerprint) for name, fingerprint in examples.items()]
            for run_id in [self.run_id, *self._fitted] if inputs else []:
                self._client.log_inputs(run_id, inputs)
            if self._best and self.mlflow_config.tracking.run.name is None:
                self._client.update_run(self.run_id, name=f"{self._name} · {self._best}")
        for run_id in self._models.values():
            self._client.set_terminated(run_id, "FAILED" if error else "FINISHED")
        if error is None:
            self.after_pipeline_run(*self._run)
        else:
            self.on_pipeline_error(error, *self._run)
        atexit.unregister(self._end_as_killed)

    def _end_as_killed(self) -> None:
        while mlflow.active_run():
            mlflow.end_run("KILLED")
        for run_id in self._models.values():
            self._client.set_terminated(run_id, "KILLED")

    def _end_dead_runs(self) -> None:
        """Mark the runs of killed processes of this machine, which cannot do so themselves."""
        for run in self._client.search_runs([self._experiment], "attributes.status = 'RUNNING'"):
            host, _, process = run.data.tags.get(PROCESS, "").rpartition(":")
            if host == socket.gethostname() and not is_alive(int(process)):
                self._client.set_terminated(run.info.run_id, "KILLED")

    def _dataset_input(self, name: str, fingerprint: str) -> DatasetInput:
        """A table of examples as an input of an MLflow run."""
        file = saved_path(self._run[2][name])
        source = json.dumps({"uri": os.path.relpath(file, self._run[0]["project_path"])})
        dataset = Dataset(name, short_fingerprint(fingerprint), "local", source)
        return DatasetInput(dataset, [InputTag("mlflow.data.context", name.partition("_")[0])])

    # --- runs of models

    def _start(self, name: str, tags: Mapping[str, str], params: Mapping[str, Any], started: int | None = None) -> str:
        """Open a run below the run of the command, with its own parameters."""
        parent = {"mlflow.parentRunId": self.run_id, **self._process}
        run: Run = self._client.create_run(self._experiment, started, {**parent, **tags}, name)
        self._log_batch(run.info.run_id, [], params)
        self._fitted.append(run.info.run_id)
        return str(run.info.run_id)

    def _log_batch(self, run_id: str, metrics: Sequence[Metric], params: Mapping[str, Any] | None = None) -> None:
        if params:
            listed = [Param(name, str(value)[:LONGEST_PARAM]) for name, value in params.items()]
            self._client.log_batch(run_id, params=listed)
        for first in range(0, len(metrics), METRICS_AT_ONCE):
            self._client.log_batch(run_id, metrics=metrics[first : first + METRICS_AT_ONCE])

    def _model_run(self, namespace: str, model: TrainedModel) -> str:
        """The run of the model of a namespace."""
        if namespace not in self._models:
            tags = {"fitted": namespace, "model": model.name, "strategy": model.config["resample"]["use"]}
            run_id = self._start(_named(tags), tags, flatten(model.config))
            self._log_batch(run_id, _metrics({name: model.metadata.get(name) for name in COUNTS}))
            self._models[namespace] = run_id
        return self._models[namespace]

    def _log_scorer(self, saved: Saved) -> None:
        """Log a scorer, and register it as a version of the scorers of its source."""
        from beatwise.mlflow_model import log_model
        from beatwise.scoring.registry import ScorerRegistry

        scorer: Scorer = saved.data
        run_id = self._model_run(saved.namespace, scorer.model)
        with mlflow.start_run(run_id=run_id, nested=True):
            model_id = log_model(saved.name.replace(".", "-"), saved.path, scorer)
        self._client.update_run(run_id, "RUNNING")
        try:
            ScorerRegistry(scorer.source).register(scorer, model_id, run_id, saved.namespace)
        except BeatwiseError as error:
            # Without a registry, the run and its results are as good as with one.
            log.warning("The scorer of %s is not registered. %s", saved.namespace, error)

    def _log_scores(self, run_id: str, measured: Mapping[str, Any], scores: Mapping[str, float]) -> None:
        """Log a dozen metrics, a table of all with their intervals, and the first of them in the name of the run."""
        headline = _headline(scores)
        self._log_batch(run_id, _metrics(headline))
        self._client.log_table(run_id, _score_table(measured), "scores.json")
        self._best = _named(self._client.get_run(run_id).data.tags, *next(iter(headline.items()), ()))
        self._client.update_run(run_id, name=self._best)

    def _log_rows(self, saved: Saved) -> None:
        """Log every row of a comparison."""
        rows: list[Row] = saved.data
        for row in rows:
            run_id = self._start_row(row)
            counts = _metrics({name: getattr(row.fitted, name) for name in COUNTS})
            self._log_batch(run_id, [*counts, *_epochs(row.fitted.history)])
            self._log_scores(run_id, row.metrics, saved.scores[row.name])
            self._client.set_terminated(run_id)

    def _log_failed_rows(self, saved: Saved) -> None:
        """Log every row of a comparison that failed."""
        rows: list[Row] = saved.data
        for row in rows:
            if row.failure:
                self._client.set_terminated(self._start_row(row, failure=row.failure), "FAILED")

    def _start_row(self, row: Row, **tags: str) -> str:
        """Open the run of a row with its configuration, or with the rows that an ensemble averages."""
        tags |= {"fitted": "row", "model": row.model, "strategy": row.strategy}
        tags |= {name: str(value) for name in ("seed", "fold") if (value := getattr(row, name)) is not None}
        if row.config is None:
            return self._start(_named(tags), tags, row.changes)
        return self._start(_named(tags), tags, flatten(row.config.model_dump(mode="json")))

    def _log_trials(self, saved: Saved) -> None:
        """Log every trial of a search with its own times."""
        plan: SearchPlan = self._run[2].load(f"{saved.namespace}.plan")
        trials: list[TrialRecord] = saved.data
        for trial in trials:
            started = int(datetime.fromisoformat(str(trial.started)).timestamp() * 1000)
            times = [started + round(1000 * s) for s in accumulate(epoch["seconds"] for epoch in trial.epochs)]
            tags = {"fitted": "trial", "trial": str(trial.number), "status": trial.status}
            for tag, block in (("model", "model"), ("strategy", "resample")):
                tags[tag] = str(trial.values.get(f"{block}.use", plan.base[block]["use"]))
            if trial.failure:
                tags["failure"] = trial.failure
            score = (plan.search.metric, trial.scores[-1]) if trial.epochs else ()
            run_id = self._start(_named(tags, *score), tags, trial.values, started)
            counts = {"n_parameters": trial.n_parameters, "seconds": trial.seconds}
            self._log_batch(run_id, [*_metrics(counts), *_epochs(trial.epochs, times)])
            self._client.set_terminated(run_id, MLFLOW_STATUS[trial.status], [started, *times][-1])


def _named(tags: Mapping[str, str], metric: str = "", score: float = math.nan) -> str:
    """The name of a run: trial, model, strategy, seed and score."""
    from beatwise.report.tables import short
    from beatwise.tasks.registry import METRICS

    parts = [f"trial {tags['trial']}"] if "trial" in tags else []
    parts += [tags["model"], tags["strategy"]]
    parts += [f"{name} {tags[name]}" for name in ("seed", "fold") if name in tags]
    parts += [f"{METRICS[metric.rpartition('.')[2]].label} {short(score)}"] if metric else []
    return " · ".join(parts)


def _headline(scores: Mapping[str, float]) -> dict[str, float]:
    """The dozen metrics that runs of a task are compared by, the one in the name of a run first."""
    from beatwise.report.tasks import TASK_REPORTS
    from beatwise.tasks.registry import METRICS

    task = METRICS[next(name for name in scores if name.count(".") == 1).rpartition(".")[2]].task
    names = [f"{part}.{name}" for part in ("test", "val") for name in TASK_REPORTS[task].paired_on_screen]
    names += ["recall_first.macro_recall", "recall_first.accuracy"]
    return {name: scores[name] for name in names if name in scores}


def _score_table(measured: Mapping[str, Any]) -> dict[str, list[Any]]:
    """Every metric with its interval, one a row."""
    rows = []
    for part in (name for name in ("test", "val", "recall_first") if name in measured):
        of = {"all": measured[part]["overall"], **measured[part].get("per_class", {})}
        for label, scores in of.items():
            for name, score in scores.items():
                score = score if isinstance(score, Mapping) else {"value": score}
                rows.append((part, label, name, *(score.get(end) for end in ("value", "low", "high"))))
    columns = ("part", "class", "metric", "value", "low", "high")
    return dict(zip(columns, map(list, zip(*rows, strict=True)), strict=True))


def _metrics(values: Mapping[str, Any], step: int = 0, at: int | None = None) -> list[Metric]:
    """Metrics in MLflow's form, without undefined ones."""
    at = at or round(1000 * time.time())
    numbers = {name: value for name, value in values.items() if isinstance(value, int | float)}
    return [Metric(name, float(value), at, step) for name, value in numbers.items() if math.isfinite(value)]


def _epochs(history: Sequence[Mapping[str, Any]], times: Sequence[int] | None = None) -> list[Metric]:
    """The metrics of a training, with the epoch as their step."""
    metrics = []
    for row, at in zip(history, times or repeat(None, len(history)), strict=True):
        scores = {name: value for name, value in row.items() if name not in ("epoch", "seconds", "val_seconds")}
        metrics += _metrics(scores, int(row["epoch"]), at)
    return metrics


# --- tracking store


def _where(context: KedroContext) -> str:
    """The tracking store of ``mlflow.yml``; the place of the artifacts is adapted to it.

    A server chooses the place of its artifacts. A database of this project holds absolute addresses, which are changed
    after the project was moved or copied.
    """
    loader = context.config_loader
    loader.config_patterns.setdefault("mlflow", ["mlflow*", "mlflow*/**", "**/mlflow*"])
    try:
        config = KedroMlflowConfig.model_validate(loader["mlflow"])
    except MissingConfigException:
        return ""
    uri, creation = config.server.mlflow_tracking_uri or "", config.tracking.experiment.create_experiment_kwargs
    artifacts = PurePath(creation.artifact_location or "")
    if uri.startswith("http") and artifacts.is_absolute():
        creation.artifact_location = None
        loader["mlflow"] = config.model_dump(exclude_unset=True)
    elif uri.startswith(SQLITE) and artifacts.is_absolute():
        _follow_moved_project(Path(uri.removeprefix(SQLITE)), artifacts)
    return uri


def _follow_moved_project(database: Path, artifacts: PurePath) -> None:
    """Change the addresses of artifacts that lay beside a database before the project was moved."""
    if not database.is_file() or artifacts.parent != database.parent:
        return
    now = artifacts.as_uri()
    with closing(sqlite3.connect(database, timeout=60)) as connection, connection:
        tables = {name for (name,) in connection.execute("SELECT name FROM sqlite_master WHERE type = 'table'")}
        given = "SELECT DISTINCT artifact_location FROM experiments" if "experiments" in tables else "SELECT '' LIMIT 0"
        for (then,) in connection.execute(given).fetchall():
            if then != now and PurePath(then).parts[-3:] == artifacts.parts[-3:]:
                for table, column in ADDRESSES:
                    connection.execute(
                        f"UPDATE {table} SET {column} = ? || substr({column}, ?) WHERE substr({column}, 1, ?) = ?",
                        (now, len(then) + 1, len(then), then),
                    )


def _line(error: Exception) -> str:
    """The first line of a message, which may quote a whole page."""
    return str(error).partition("\n")[0][:200]
