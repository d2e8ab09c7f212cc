"""One recorder for every run: what the catalog marks is shown, tracked by MLflow, and written into card and journal.

A dataset is marked by ``metadata: {beatwise: {record: …}}`` in the catalog:

========================= =============================================================================================
``artifact``              its file is logged to MLflow; so are the files of all kinds below but the last six
``scores``                metrics of one model: shown, logged, written into card and journal
``row_scores``            metrics of every row of a comparison: the same, each row a nested MLflow run
``leaderboard``           the rows of a comparison, ordered: shown; the journal takes the first one
``paired``                the tuned model beside the baseline: shown
``scored``                a scoring of new examples, or its monitoring: its first lines are shown
``page``                  a page of its own: its path is shown
``decision``              a candidate beside the champion: shown
``report``                a report, whose path is shown (as the report of ``title``, where the metadata has that)
``failed_rows``           rows of a comparison that failed: nested MLflow runs that failed
``trials``                trials of a search: nested MLflow runs; the card names the best one
``history``               a training: metrics by epoch
``model``                 a model: has an MLflow run of its own
``scorer``                a scorer: logged to the run of its model so that MLflow can serve it, and registered
``examples``              a table of examples: the card has its fingerprint
========================= =============================================================================================
"""

from __future__ import annotations

import atexit
from pathlib import Path
from typing import TYPE_CHECKING, Any

from kedro.framework.hooks import hook_impl

from beatwise.core.errors import BeatwiseError, in_own_words
from beatwise.hooks.catalog import read_saved, record_metadata
from beatwise.hooks.repetition import repeated_card

if TYPE_CHECKING:
    from kedro.framework.context import KedroContext
    from kedro.io import DataCatalog
    from kedro.pipeline import Pipeline
    from kedro.pipeline.node import Node

    from beatwise.hooks.run_card import RunCardRecord
    from beatwise.hooks.tracking import TrackedRun
    from beatwise.params import Parameters
    from beatwise.runs.journal import Attempt

CARD = "run_card"
MEASURED = ("scores", "row_scores")


class Recorder:
    """Follows each run and passes its saved datasets on."""

    # The name of kedro-mlflow's hook in Kedro's manager, which therefore does not import it, and MLflow with it.
    __name__ = "mlflow_hook"

    def __init__(self) -> None:
        self._card: RunCardRecord | None = None
        self._attempt: Attempt | None = None
        self._tracked: TrackedRun | None = None

    @hook_impl
    def after_context_created(self, context: KedroContext) -> None:
        """Read the configuration of MLflow, which ``kedro mlflow ui`` takes from the context."""
        from beatwise.hooks.tracking import TrackedRun

        self._config, self._mlflow = context.config_loader, TrackedRun(context)

    @hook_impl
    def after_catalog_created(self, catalog: DataCatalog) -> None:
        """Let kedro-mlflow name the metrics of its own datasets."""
        self._mlflow.after_catalog_created(catalog, {}, {}, {}, "", {})

    @hook_impl
    def before_pipeline_run(self, run_params: dict[str, Any], pipeline: Pipeline, catalog: DataCatalog) -> None:
        """Begin to record a run.

        Raises:
            BeatwiseError: If an entry of the journal cannot be read, or a hypothesis is given that cannot be tested.
        """
        from beatwise.hooks.run_card import RunCardRecord
        from beatwise.hooks.screen import Screen, print_text
        from beatwise.params import check_parameters
        from beatwise.runs.card import earlier_scores
        from beatwise.runs.journal import HOW_TO_PROPOSE, Journal, Run
        from beatwise.runs.metadata import RunMetadata, run_metadata

        # Kedro does not report a run that was interrupted in a notebook.
        self._stop()
        self._run_params, self._catalog = run_params, catalog
        self._screen, self._card, self._tracked = Screen(pipeline), None, None
        parameters = check_parameters(self._config["parameters"])
        trains, measures = does(pipeline, catalog)
        self._stores_card = trains or measures
        journal, reports = Journal(Path(run_params["project_path"])), CARD in pipeline.inputs()
        # A hypothesis is tested by a new result.
        tests = trains and measures and repeated_card() is None
        if tests or reports:
            # An entry that cannot be read stops the run before it is tracked.
            journal.entries()
        if not (trains and measures) and run_params["runtime_params"].get("hypothesis"):
            raise BeatwiseError(
                "hypothesis: this run does not both train and measure a model, so that it can test nothing. Give the "
                "hypothesis to a run that does: train, or compare."
            )
        metadata = run_metadata(run_params, parameters.source)
        command = RunMetadata(**metadata).equal_command
        if self._mlflow.open(command, run_params, pipeline, catalog):
            self._tracked = self._mlflow
            metadata["mlflow_run"] = self._tracked.run_id
            if (repeated := repeated_card()) is not None and repeated.mlflow_run is not None:
                self._tracked.tag({"repeats": repeated.mlflow_run})
        others = earlier_scores(Path(catalog[CARD]._describe()["filepath"])) if tests else None
        if self._stores_card or reports:
            self._card = RunCardRecord(metadata, run_params, parameters, pipeline, catalog)
        self._attempt = journal.take_up(parameters.hypothesis, Run(**metadata), others) if tests else None
        if self._card is not None and reports:
            self._card.add_journal(journal.entries())
        if self._attempt is not None:
            print_text(self._attempt.announcement)
            atexit.unregister(self._stop)
            atexit.register(self._stop)
            if self._tracked is not None:
                entry = self._attempt.entry
                description = f"{entry.hypothesis}\n\n{entry.expectation}"
                self._tracked.tag({"hypothesis": entry.hypothesis, "mlflow.note.content": description})
        elif tests and _compares_or_searches(pipeline, parameters):
            print_text(f"This run tests no hypothesis. To give the next one something to test:\n{HOW_TO_PROPOSE}")

    # Last, next to the node's own work, because the card notes how long that takes.
    @hook_impl(trylast=True)
    def before_node_run(self, node: Node, inputs: dict[str, Any]) -> None:
        """Name the node, and log its parameters."""
        self._screen.name_node(node.name)
        if self._tracked is not None:
            self._tracked.log_parameters(node, inputs)
        if self._card is not None:
            self._card.start_node(node.name)

    @hook_impl(tryfirst=True)
    def after_node_run(self, node: Node) -> None:
        """Note how long the node computed."""
        if self._card is not None:
            self._card.end_node(node.name)

    @hook_impl
    def after_dataset_loaded(self, dataset_name: str, data: Any) -> None:
        """Note which examples the run read, and from which version of a stored dataset it began."""
        kind = record_metadata(self._catalog, dataset_name).get("record")
        if self._card is not None:
            if kind == "examples":
                self._card.note_examples(dataset_name, data)
            self._card.note_version(dataset_name)
        if self._tracked is not None and kind == "model":
            self._tracked.note_model(dataset_name.rpartition(".")[0], data)

    @hook_impl
    def after_dataset_saved(self, dataset_name: str, data: Any) -> None:
        """Pass the dataset on."""
        saved = read_saved(self._catalog, dataset_name, data)
        if saved.kind is None:
            return
        for recording in (self._screen, self._tracked, self._card, self._attempt):
            if recording is not None:
                recording.record(saved)

    @hook_impl
    def after_pipeline_run(self) -> None:
        """Show the scores, write the card, close the MLflow run, and show what became of the hypothesis."""
        from beatwise.hooks.screen import print_text, show_path, show_result

        self._screen.finish(self._catalog)
        if self._card is not None and not self._stores_card:
            self._card.close()
        elif self._card is not None and (card := self._card.finish()) is not None:
            saved = read_saved(self._catalog, CARD, card)
            if self._tracked is not None:
                self._tracked.record(saved)
            show_path("Run card:", saved.path)
        if reports := self._screen.reports:
            from beatwise.report.html import source_folder
            from beatwise.report.index import write_index

            for folder in sorted({source_folder(path) for path in reports}):
                show_path("All reports:", write_index(folder))
        if self._tracked is not None:
            self._tracked.end(self._card.data if self._card is not None else {})
            print_text(self._tracked.where_to_look)
        if (attempt := self._taken()) is not None:
            entry = attempt.finish()
            if entry.state == "failed":
                error = entry.runs[-1].error
                print_text(f"No outcome for the hypothesis: {entry.hypothesis}\n{error} It waits for another run.")
            else:
                show_result(attempt.id, entry)

    @hook_impl
    def on_pipeline_error(self, error: Exception) -> None:
        """Note that the run failed; its hypothesis waits again."""
        if (attempt := self._taken()) is not None:
            from beatwise.runs.metadata import without_paths

            message = in_own_words(error) or f"{type(error).__name__}: {error}"
            attempt.fail(without_paths(message.splitlines()[0], Path(self._run_params["project_path"])))
        if self._tracked is not None:
            self._tracked.end({}, error)

    def _stop(self) -> None:
        if (attempt := self._taken()) is not None:
            attempt.stop()

    def _taken(self) -> Attempt | None:
        """The attempt that ends now."""
        attempt, self._attempt = self._attempt, None
        return attempt


def does(pipeline: Pipeline, catalog: DataCatalog) -> tuple[bool, bool]:
    """Whether a pipeline trains a model, and whether it measures one."""
    trains = any("train" in node.tags for node in pipeline.nodes)
    return trains, any(record_metadata(catalog, name).get("record") in MEASURED for name in pipeline.all_outputs())


def _compares_or_searches(pipeline: Pipeline, parameters: Parameters) -> bool:
    tags = {tag for node in pipeline.nodes for tag in node.tags}
    # One trial without a search is for tests of the whole flow.
    return "compare" in tags or ("tune" in tags and parameters.tune.search.algorithm.use != "none")
