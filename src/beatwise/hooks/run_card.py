"""Every run that trains or measures a model ends with a run card."""

from __future__ import annotations

import logging
import time
from pathlib import Path
from typing import Any

from kedro.framework.context import KedroContext
from kedro.framework.hooks import hook_impl
from kedro.io import AbstractVersionedDataset, DataCatalog, DatasetError
from kedro.pipeline import Pipeline
from kedro.pipeline.node import Node

from beatwise.data.examples import fingerprints_of
from beatwise.hooks.paths import saved_path, short_path
from beatwise.hooks.tracking import TrackingHooks
from beatwise.params import Parameters, check_parameters
from beatwise.runs.card import BEATS, RunCard, SearchBest
from beatwise.runs.journal import is_result
from beatwise.runs.metadata import hardware, now, package_versions, run_metadata, without_paths

CARD = "run_card"
# Options of `kedro run` that choose nodes.
SELECTING = (
    *("tags", "from_nodes", "to_nodes", "node_names", "from_inputs", "to_outputs", "namespaces"),
    "only_missing_outputs",
)

log = logging.getLogger(__name__)


def trains(pipeline: Pipeline) -> bool:
    """Whether a pipeline trains a model."""
    return any("train" in node.tags for node in pipeline.nodes)


def measures(pipeline: Pipeline) -> bool:
    """Whether a pipeline measures a model."""
    return any(is_result(name) for name in pipeline.all_outputs())


class RunCardHooks:
    """Fills in the card of a run as it goes on, and writes it when a run that trains or measures a model has ended.

    A run that fails leaves no card.
    """

    def __init__(self, tracking: TrackingHooks) -> None:
        """Name the hooks that log to MLflow."""
        self._tracking = tracking
        self._card: RunCard | None = None

    @hook_impl
    def after_context_created(self, context: KedroContext) -> None:
        """Remember where the parameters are read."""
        self._config = context.config_loader

    # Last, because the MLflow run has been opened by then.
    @hook_impl(trylast=True)
    def before_pipeline_run(self, run_params: dict[str, Any], pipeline: Pipeline, catalog: DataCatalog) -> None:
        """Write down what is known when a run begins, for its report and for the end."""
        self._card = None
        self._is_stored = trains(pipeline) or measures(pipeline)
        if not self._is_stored and CARD not in pipeline.inputs():
            return
        parameters = check_parameters(self._config["parameters"])
        self._card = RunCard(
            **run_metadata(run_params, parameters.source, self._tracking.run_id),
            selected=any(run_params[option] for option in SELECTING),
            parameters=_scrubbed(parameters.model_dump(mode="json"), Path(run_params["project_path"])),
            seeds=_seeds(parameters, pipeline),
            versions=package_versions(),
            hardware=hardware(),
        )
        self._catalog, self._inputs = catalog, pipeline.inputs() - {CARD}
        catalog[CARD].begun = self._card
        self._started, self._nodes_started = time.perf_counter(), dict[str, float]()

    # Next to the node's own work: other hooks log its parameters to MLflow.
    @hook_impl(trylast=True)
    def before_node_run(self, node: Node) -> None:
        """Look at the clock."""
        if self._card is not None:
            self._nodes_started[node.name] = time.perf_counter()

    @hook_impl(tryfirst=True)
    def after_node_run(self, node: Node) -> None:
        """Note how long the node computed."""
        if self._card is not None:
            self._card.nodes[node.name] = round(time.perf_counter() - self._nodes_started[node.name], 3)

    @hook_impl
    def after_dataset_loaded(self, dataset_name: str, data: Any) -> None:
        """Note which beats the run saw, and from which version of a stored dataset it began."""
        if self._card is None:
            return
        self._note_beats(self._card, dataset_name, data)
        dataset = self._catalog[dataset_name]
        if dataset_name in self._inputs and isinstance(dataset, AbstractVersionedDataset):
            version = dataset.resolve_load_version()
            if version is not None:
                self._card.load_versions[dataset_name] = version

    @hook_impl
    def after_dataset_saved(self, dataset_name: str, data: Any) -> None:
        """Note which beats the run made, and what it measured."""
        if self._card is None:
            return
        from beatwise.comparison.leaderboard import row_name
        from beatwise.tasks.classification.predictions import flatten_scores

        self._note_beats(self._card, dataset_name, data)
        if dataset_name.endswith(".metrics"):
            self._card.scores[dataset_name.removesuffix(".metrics")] = flatten_scores(data)
        elif dataset_name == "comparison.scores":
            for row in data:
                self._card.scores[row_name(row)] = flatten_scores(row["metrics"])
        elif dataset_name == "search.records":
            best = _best(data, self._catalog.load("search.plan"))
            self._catalog[CARD].begun = self._card = self._card.model_copy(update={"search": best})

    @staticmethod
    def _note_beats(card: RunCard, name: str, data: Any) -> None:
        if name in BEATS and name not in card.data:
            (card.data[name],) = fingerprints_of(data)

    @hook_impl
    def after_pipeline_run(self, catalog: DataCatalog) -> None:
        """Write the card, log it, and say where it lies."""
        if self._card is None:
            return
        catalog[CARD].begun = None
        if not self._is_stored:
            return
        from rich import get_console

        seconds = round(time.perf_counter() - self._started, 3)
        card = self._card.model_copy(update={"ended": now(), "seconds": seconds}).model_dump(mode="json")
        try:
            catalog.save(CARD, card)
        except DatasetError as error:
            # The run is over, and its results are stored: nothing is to stand in the way of what comes after it.
            log.warning("The run card could not be written: %s", error)
            return
        self._tracking.after_dataset_saved(CARD, card)
        console = get_console()
        console.print("Run card:", style="bold")
        console.print(short_path(saved_path(catalog[CARD])), soft_wrap=True)


def _seeds(parameters: Parameters, pipeline: Pipeline) -> list[int]:
    tags = {tag for node in pipeline.nodes for tag in node.tags}
    seeds = {parameters.seed}
    if "compare" in tags:
        seeds |= set(parameters.compare.rows.seeds)
    if "tune" in tags:
        seeds |= {parameters.seed + offset for offset in range(parameters.tune.search.seeds)}
    return sorted(seeds)


def _best(records: list[dict[str, Any]], plan: dict[str, Any]) -> SearchBest:
    from beatwise.search.plan import SearchPlan
    from beatwise.search.results import best_trial
    from beatwise.search.trials import TrialRecord

    planned = SearchPlan.from_plain(plan)
    best = best_trial([TrialRecord(**record) for record in records], planned)
    return SearchBest(
        search=planned.name,
        metric=planned.search.metric,
        trial=best.number,
        score=best.scores[-1],
        values=best.values,
    )


def _scrubbed(value: Any, project: Path) -> Any:
    """Plain data whose texts name no folder of this machine."""
    if isinstance(value, dict):
        return {name: _scrubbed(below, project) for name, below in value.items()}
    if isinstance(value, list):
        return [_scrubbed(below, project) for below in value]
    return without_paths(value, project) if isinstance(value, str) else value
