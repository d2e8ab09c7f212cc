"""Runs test hypotheses, and write into the journal what came of them."""

from __future__ import annotations

import atexit
from collections.abc import Generator
from pathlib import Path
from typing import Any

import mlflow
from kedro.framework.hooks import hook_impl
from kedro.io import DataCatalog
from kedro.pipeline import Pipeline

from beatwise.core.errors import BeatwiseError, in_own_words
from beatwise.hooks.repetition import repeated_card
from beatwise.hooks.run_card import measures, trains
from beatwise.hooks.tracking import TrackingHooks
from beatwise.runs.journal import HOW_TO_PROPOSE, Attempt, Journal, Run, is_result
from beatwise.runs.metadata import run_metadata, without_paths


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
        if repeated_card() is not None:
            # What a hypothesis is to show is a new result.
            return (yield)
        hypothesis = catalog.load("params:hypothesis")
        if not (trains(pipeline) and measures(pipeline)):
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
        run = Run(**run_metadata(run_params, catalog.load("params:source"), self._tracking.run_id))
        self._attempt = journal.take_up(hypothesis, run)
        if self._attempt is not None:
            self._announce(self._attempt)
            atexit.unregister(self._end_as_stopped)
            atexit.register(self._end_as_stopped)
        elif _compares_or_searches(pipeline, catalog):
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

    def _announce(self, attempt: Attempt) -> None:
        """Say on the screen and in MLflow what is being tested."""
        hypothesis, expect = attempt.entry.hypothesis, attempt.entry.expect
        expected = f"Expected: {expect}" if expect else "Nothing in particular is expected."
        if self._tracking.run_id is not None:
            mlflow.set_tags({"hypothesis": hypothesis, "mlflow.note.content": f"{hypothesis}\n\n{expected}"})
        _print(f"Hypothesis: {hypothesis}\n{expected}\nJournal: {attempt.id}")


def _compares_or_searches(pipeline: Pipeline, catalog: DataCatalog) -> bool:
    tags = {tag for node in pipeline.nodes for tag in node.tags}
    # One trial without a search is for tests of the whole flow.
    return "compare" in tags or ("tune" in tags and catalog.load("params:tune").search.algorithm.use != "none")


def _print(text: str) -> None:
    from rich import get_console

    get_console().print(text, markup=False, highlight=False)
