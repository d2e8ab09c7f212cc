"""The run card of a run, from its beginning to its end."""

from __future__ import annotations

import logging
import time
from collections.abc import Mapping
from pathlib import Path
from typing import TYPE_CHECKING, Any

from kedro.io import AbstractVersionedDataset, DataCatalog, DatasetError
from kedro.pipeline import Pipeline

from beatwise.hooks.own_files import pin_own_version
from beatwise.hooks.selection import NAMING
from beatwise.params import Parameters
from beatwise.runs.card import RunCard, SearchBest, SearchedTrial
from beatwise.runs.metadata import hardware, now, package_versions, without_paths
from beatwise.runs.saved import Saved

if TYPE_CHECKING:
    from beatwise.runs.journal import Entry
    from beatwise.search.plan import SearchPlan
    from beatwise.search.trials import TrialRecord

CARD = "run_card"
# Options of `kedro run` that choose nodes.
SELECTING = {*NAMING, "only_missing_outputs"} - {"load_versions"}

log = logging.getLogger(__name__)


class RunCardRecord:
    """Fills in the card of one run during the run, and writes it at the end. A run that fails leaves no card."""

    def __init__(
        self,
        metadata: Mapping[str, Any],
        run_params: Mapping[str, Any],
        parameters: Parameters,
        pipeline: Pipeline,
        catalog: DataCatalog,
    ) -> None:
        """Begin the card, which nodes of the run load as far as it is known."""
        self._catalog, self._inputs = catalog, pipeline.inputs() - {CARD}
        self._started, self._nodes_started = time.perf_counter(), dict[str, float]()
        self._card = RunCard(
            **metadata,
            selected=any(run_params[option] for option in SELECTING),
            parameters=_scrubbed(parameters.model_dump(mode="json"), Path(run_params["project_path"])),
            seeds=_seeds(parameters, pipeline),
            versions=package_versions(),
            hardware=hardware(),
        )
        # Nodes of this run load the card as far as it is known.
        catalog[CARD].pending = self._card

    @property
    def data(self) -> dict[str, str]:
        """Fingerprints of the examples that the run has read or made, by dataset."""
        return self._card.data

    def start_node(self, name: str) -> None:
        """Note when the node starts."""
        self._nodes_started[name] = time.perf_counter()

    def end_node(self, name: str) -> None:
        """Note how long the node computed."""
        self._card.nodes[name] = round(time.perf_counter() - self._nodes_started[name], 3)

    def note_examples(self, name: str, data: Any) -> None:
        """Note the fingerprint of a table that the run read or made."""
        if name not in self._card.data:
            self._card.data[name] = data.fingerprint

    def note_version(self, name: str) -> None:
        """Note from which version of a stored dataset the run began."""
        dataset = self._catalog[name]
        if name in self._inputs and isinstance(dataset, AbstractVersionedDataset):
            version = dataset.resolve_load_version()
            if version is not None:
                self._card.load_versions[name] = version

    def record(self, saved: Saved) -> None:
        """Note scores, examples and the best trial of a search."""
        self._card.scores.update(saved.scores)
        if saved.kind == "examples":
            self.note_examples(saved.name, saved.data)
        elif saved.kind == "trials":
            best = _best(saved.data, self._catalog.load(f"{saved.namespace}.plan"))
            self._catalog[CARD].pending = self._card = self._card.model_copy(update={"search": best})

    def add_journal(self, entries: Mapping[str, Entry]) -> None:
        """Add the entries of the journal, which reports show."""
        self._card.journal.update(entries)

    def finish(self) -> RunCard | None:
        """Write the card; return it, or None if it could not be written."""
        self.close()
        seconds = round(time.perf_counter() - self._started, 3)
        card = self._card.model_copy(update={"ended": now(), "seconds": seconds})
        pin_own_version(self._catalog[CARD])
        try:
            self._catalog.save(CARD, card)
        except DatasetError as error:
            # The run has ended and its results are stored: the hooks after this one still run.
            log.warning("The run card could not be written: %s", error)
            return None
        return card

    def close(self) -> None:
        """Let the catalog load the stored card again."""
        self._catalog[CARD].pending = None


def _seeds(parameters: Parameters, pipeline: Pipeline) -> list[int]:
    tags = {tag for node in pipeline.nodes for tag in node.tags}
    seeds = {parameters.seed}
    if "compare" in tags:
        seeds |= set(parameters.compare.rows.seeds)
    if "tune" in tags:
        seeds |= {parameters.seed + offset for offset in range(parameters.tune.search.seeds)}
    return sorted(seeds)


def _best(records: list[TrialRecord], plan: SearchPlan) -> SearchBest:
    from beatwise.search.results import best_trial

    best = best_trial(records, plan)
    return SearchBest(
        search=plan.name,
        metric=plan.metric,
        trial=best.number,
        score=best.scores[-1],
        values=best.values,
        resumed=max(trial.call for trial in records),
        trials=[
            SearchedTrial(values=trial.values, epochs=len(trial.epochs))
            for trial in records
            if trial.epochs or trial.failure is not None
        ],
    )


def _scrubbed(value: Any, project: Path) -> Any:
    """Plain data whose texts name no folder of this machine."""
    if isinstance(value, dict):
        return {name: _scrubbed(below, project) for name, below in value.items()}
    if isinstance(value, list):
        return [_scrubbed(below, project) for below in value]
    return without_paths(value, project) if isinstance(value, str) else value
