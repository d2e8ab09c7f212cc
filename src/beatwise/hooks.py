"""Kedro hooks: parameters are checked, every run is tracked, scores are shown at the end, hypotheses are tested."""

from __future__ import annotations

import atexit
import logging
import math
import os
import shlex
import socket
import sys
from collections.abc import Generator
from datetime import datetime
from itertools import accumulate
from pathlib import Path
from typing import Any

import click
import mlflow
import pandas as pd
from kedro.framework.context import KedroContext
from kedro.framework.hooks import hook_impl
from kedro.io import DataCatalog
from kedro.pipeline import Pipeline
from kedro.pipeline.node import Node
from kedro_mlflow.framework.hooks.mlflow_hook import MlflowHook
from mlflow.entities import Metric, Param

from beatwise.errors import BeatwiseError, in_own_words
from beatwise.journal import HOW_TO_PROPOSE, Attempt, Journal, Run, git_state, is_result, now, without_paths
from beatwise.params import Block, check_globals, check_parameters, flatten

log = logging.getLogger(__name__)


# Parameters that are taken from globals.yml, where the catalog takes them from as well.
FIXED_BY_SOURCE = {"source", "classes", "sample_rate"}

# The tag of a run that says which process on which machine it is of.
PROCESS = "beatwise.process"
# A trial that was stopped early has done what it was to do.
MLFLOW_STATUS = {"finished": "FINISHED", "stopped": "FINISHED", "running": "KILLED", "failed": "FAILED"}


class ParameterHooks:
    """Refuses unknown and mistyped parameters, in files and in ``--params``, whichever pipeline runs."""

    @hook_impl(tryfirst=True)
    def after_context_created(self, context: KedroContext) -> None:
        """Check the whole configuration.

        Raises:
            BeatwiseError: One line a problem.
        """
        check_globals(context.config_loader["globals"])
        # Not context.params: Kedro would check that first, block by block, with messages of its own.
        given = context.config_loader["parameters"]
        fixed = sorted(FIXED_BY_SOURCE & set(context.config_loader.runtime_params or {}))
        if fixed:
            raise BeatwiseError(
                f"{', '.join(fixed)}: cannot be set by --params, because the catalog depends on it too. Set it in "
                "globals.yml of an environment, and run with --env."
            )
        self._parameters = check_parameters(given)

    @hook_impl(tryfirst=True)
    def before_pipeline_run(self, pipeline: Pipeline) -> None:
        """Check the options of model and training too, where a model is to be fitted: they need torch, others do not.

        Raises:
            BeatwiseError: If a choice or an option is unknown, or a value is not allowed.
        """
        if any("configure" in node.tags for node in pipeline.nodes):
            from beatwise.training.options import check_fit

            given = self._parameters
            check_fit(given.model, given.train, given.tensors)
            fit = (given.resample, given.tensors, given.model, given.train)
            if any("compare" in node.tags for node in pipeline.nodes):
                from beatwise.comparison.plan import plan_rows

                plan_rows(given.compare, given.classes, *fit)
            if any("tune" in node.tags for node in pipeline.nodes):
                from beatwise.search.plan import plan_search

                plan_search(given.tune, given.classes, given.seed, *fit)


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
        if self.run_id is not None:
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
            self._log(kind, namespace, short, data, _saved_path(dataset))

    def _log_param(self, name: str, value: Any) -> None:
        # kedro-mlflow would log a Pydantic model as one opaque string, whatever dict_params says.
        values = flatten(value.chosen_values(), name) if isinstance(value, Block) else {name: value}
        for key, single in values.items():
            super()._log_param(key, single)

    def _log(self, kind: str, namespace: str, name: str, data: Any, path: Path) -> None:
        if kind in ("artifact", "metrics"):
            mlflow.log_artifact(str(path), artifact_path=namespace or None)
        if kind == "metrics":
            from beatwise.evaluation.predictions import flatten_scores

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


class ScoreHooks:
    """Names each node as it runs, and shows the score tables and the report's path when a run is over."""

    def __init__(self) -> None:
        self._shown: dict[str, Any] = {}
        self._catalog: DataCatalog | None = None
        self._started, self._nodes = 0, 0

    @hook_impl
    def before_pipeline_run(self, pipeline: Pipeline, catalog: DataCatalog) -> None:
        """Forget what an earlier run of this process made."""
        self._shown, self._catalog = {}, catalog
        self._started, self._nodes = 0, len(pipeline.nodes)

    @hook_impl
    def before_node_run(self, node: Node) -> None:
        """Say which node runs, and how many there are."""
        self._started += 1
        log.info("%2d/%d  %s", self._started, self._nodes, node.name)

    @hook_impl
    def after_dataset_saved(self, dataset_name: str, data: Any) -> None:
        """Remember the metrics and where the report went."""
        if self._catalog is not None and dataset_name.endswith((".metrics", ".leaderboard", ".against_baseline")):
            self._shown[dataset_name] = data
        elif self._catalog is not None and dataset_name.endswith((".report", "_report")):
            self._shown[dataset_name] = _saved_path(self._catalog[dataset_name])

    @hook_impl
    def after_pipeline_run(self, pipeline: Pipeline, catalog: DataCatalog) -> None:
        """Print the tables; where there are none, what the pipeline has made and where it lies."""
        from rich import get_console

        from beatwise.report.tables import (
            HEADLINE,
            HEADLINE_BY_CLASS,
            PARTS_ON_TERMINAL,
            overall_table,
            paired_table,
            per_class_table,
            short_leaderboard_table,
        )
        from beatwise.report.terminal import as_rich

        console = get_console()
        if not self._shown:
            for name in sorted(pipeline.outputs()):
                console.print(f"{name}: {_short_path(_saved_path(catalog[name]))}", soft_wrap=True)
        for name, shown in self._shown.items():
            namespace = name.rpartition(".")[0]
            if isinstance(shown, Path):
                what = "the search" if name.endswith("search_report") else namespace
                console.print(f"Report of {what}:", style="bold")
                console.print(_short_path(shown), soft_wrap=True)
            elif isinstance(shown, pd.DataFrame):
                console.print(as_rich(short_leaderboard_table(shown), title="Leaderboard"))
            elif "mcnemar" in shown:
                console.print(as_rich(paired_table(shown, HEADLINE), title="Baseline and tuned, test"))
            else:
                console.print(
                    as_rich(overall_table(shown, HEADLINE, PARTS_ON_TERMINAL), title=f"Scores of {namespace}")
                )
                console.print(as_rich(per_class_table(shown, HEADLINE_BY_CLASS)))


def _end_dead_runs() -> None:
    """Mark runs as killed whose process on this machine is gone: whoever is killed cannot do so himself."""
    client, experiment = mlflow.MlflowClient(), mlflow.active_run().info.experiment_id
    for run in client.search_runs([experiment], "attributes.status = 'RUNNING'"):
        host, _, process = run.data.tags.get(PROCESS, "").rpartition(":")
        if host == socket.gethostname() and not _is_alive(int(process)):
            client.set_terminated(run.info.run_id, "KILLED")


def _is_alive(process: int) -> bool:
    try:
        # Signal 0 asks whether it could be signalled; on Windows it would be.
        return os.name != "posix" or os.kill(process, 0) is None
    except ProcessLookupError:
        return False
    except PermissionError:
        return True


class JournalHooks:
    """Lets a run that trains and measures a model test a hypothesis, and writes into the journal what came of it."""

    def __init__(self, tracking: TrackingHooks) -> None:
        """Name the hooks that open the MLflow run."""
        self._tracking = tracking
        self._attempt: Attempt | None = None

    @hook_impl(wrapper=True)
    def before_pipeline_run(
        self, run_params: dict[str, Any], pipeline: Pipeline, catalog: DataCatalog
    ) -> Generator[None, Any, Any]:
        """Take up the hypothesis that is given, or else one that waits.

        Raises:
            BeatwiseError: If an entry of the journal cannot be read, or a hypothesis is given that cannot be tested.
        """
        # Of a run that was interrupted in a notebook Kedro tells no hook.
        self._end_as_stopped()
        hypothesis = catalog.load("params:hypothesis")
        if not _tests_hypotheses(pipeline):
            if run_params["runtime_params"].get("hypothesis"):
                raise BeatwiseError(
                    "hypothesis: this run does not both train and measure a model, so that it can test nothing. Leave "
                    "the hypothesis to one that does: train, or compare."
                )
            return (yield)
        journal = Journal(Path(run_params["project_path"]))
        # What cannot be read is to stop the run before it is tracked.
        journal.entries()
        result = yield
        self._attempt = journal.take_up(hypothesis, self._facts(run_params, catalog.load("params:source")))
        if self._attempt is not None:
            self._announce(self._attempt)
            atexit.unregister(self._end_as_stopped)
            atexit.register(self._end_as_stopped)
        elif {"compare", "tune"} & set(run_params["pipeline_names"] or []):
            _print(f"This run tests no hypothesis. To give the next one something to test:\n{HOW_TO_PROPOSE}")
        return result

    @hook_impl
    def after_dataset_saved(self, dataset_name: str, data: Any) -> None:
        """Remember what the outcome is read from."""
        if self._attempt is not None and is_result(dataset_name):
            self._attempt.saved[dataset_name] = data

    @hook_impl(trylast=True)
    def after_pipeline_run(self) -> None:
        """Write down the outcome and show it, below the scores."""
        if (attempt := self._taken()) is None:
            return
        entry = attempt.finish()
        if entry.state == "failed":
            _print(
                f"No outcome for the hypothesis: {entry.hypothesis}\n{entry.runs[-1].error} It waits for another run."
            )
            return
        from rich import get_console

        from beatwise.report.journal import result_table
        from beatwise.report.terminal import as_rich

        _print(f"Hypothesis {entry.state}: {entry.hypothesis}")
        get_console().print(as_rich(result_table(entry)))
        _print(f'What do you make of it?\nkedro journal reflect {attempt.id} "…"')

    @hook_impl
    def on_pipeline_error(self, error: Exception, run_params: dict[str, Any]) -> None:
        """Write down that the run failed; its hypothesis waits again."""
        if (attempt := self._taken()) is not None:
            said = in_own_words(error) or f"{type(error).__name__}: {error}"
            attempt.fail(without_paths(said.splitlines()[0], Path(run_params["project_path"])))

    def _end_as_stopped(self) -> None:
        if (attempt := self._taken()) is not None:
            attempt.stop()

    def _taken(self) -> Attempt | None:
        """The attempt that ends now."""
        attempt, self._attempt = self._attempt, None
        return attempt

    def _facts(self, run_params: dict[str, Any], source: str) -> Run:
        """What is known of a run when it begins."""
        git_sha, uncommitted = git_state(Path(run_params["project_path"]))
        given = {name: value for name, value in flatten(run_params["runtime_params"]).items() if name != "hypothesis"}
        return Run(
            began=now(),
            command=_typed_command(),
            git_sha=git_sha,
            uncommitted=uncommitted,
            environment=run_params["env"] or "base",
            pipeline="+".join(run_params["pipeline_names"] or ["__default__"]),
            source=source,
            # A notebook may give anything.
            params={n: v if type(v) in (str, int, float, bool, type(None)) else str(v) for n, v in given.items()},
            mlflow_run=self._tracking.run_id,
        )

    def _announce(self, attempt: Attempt) -> None:
        """Say on the screen and in MLflow what is being tested."""
        hypothesis, expect = attempt.entry.hypothesis, attempt.entry.expect
        expected = f"Expected: {expect}" if expect else "Nothing in particular is expected."
        if self._tracking.run_id is not None:
            mlflow.set_tags({"hypothesis": hypothesis, "mlflow.note.content": f"{hypothesis}\n\n{expected}"})
        _print(f"Hypothesis: {hypothesis}\n{expected}\nJournal: {attempt.id}")


def _tests_hypotheses(pipeline: Pipeline) -> bool:
    trains = any("train" in node.tags for node in pipeline.nodes)
    return trains and any(is_result(name) for name in pipeline.all_outputs())


def _print(text: str) -> None:
    from rich import get_console

    get_console().print(text, markup=False, highlight=False)


def _typed_command() -> str | None:
    """The command line that started this process; None in a notebook or a script, whose arguments are not Kedro's."""
    if click.get_current_context(silent=True) is None:
        return None
    program = Path(sys.argv[0])
    return shlex.join([program.parent.name if program.stem == "__main__" else program.stem, *sys.argv[1:]])


def _log_rows(rows: list[dict[str, Any]]) -> None:
    """Log every row of a comparison as a run below the current one."""
    from beatwise.evaluation.predictions import flatten_scores

    for row in rows:
        with _start_row(row):
            facts = {key: row["facts"][key] for key in ("n_parameters", "best_epoch", "seconds")}
            mlflow.log_metrics({key: value for key, value in facts.items() if value is not None})
            mlflow.log_metrics(flatten_scores(row["metrics"]))
            _log_history("fit", pd.DataFrame(row["facts"]["history"]))


def _log_failed_rows(rows: list[dict[str, Any]]) -> None:
    """Log every row of a comparison that failed as a run below the current one, which failed too."""
    for row in rows:
        if row["failure"]:
            _start_row(row)
            mlflow.set_tag("failure", row["failure"])
            mlflow.end_run("FAILED")


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


def _start_row(row: dict[str, Any]) -> mlflow.ActiveRun:
    """Open the run of a row and log what it is fitted with."""
    from beatwise.comparison.rows import own_config

    run = mlflow.start_run(run_name=f"{row['model']}, {row['strategy']}, seed {row['seed']}", nested=True)
    mlflow.set_tags({"model": row["model"], "strategy": row["strategy"]})
    mlflow.log_params(flatten(own_config(row)))
    return run


def _saved_path(dataset: Any) -> Path:
    """Where a dataset of the catalog has just been saved, version and all."""
    if getattr(dataset, "_version", None):
        return Path(str(dataset._get_versioned_path(dataset.resolve_save_version())))
    return Path(str(dataset._describe()["filepath"]))


def _short_path(path: Path) -> str:
    return str(path.relative_to(Path.cwd()) if path.is_relative_to(Path.cwd()) else path)


def _log_history(namespace: str, history: pd.DataFrame) -> None:
    for row in history.to_dict("records"):
        scores = {
            f"{namespace}.epoch.{name}": value
            for name, value in row.items()
            if name not in ("epoch", "seconds", "val_seconds") and value is not None and math.isfinite(value)
        }
        mlflow.log_metrics(scores, step=int(row["epoch"]))
