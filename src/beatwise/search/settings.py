"""Settings of a search, and of where many trainings run."""

from __future__ import annotations

from typing import Annotated, Any

from pydantic import Field

from beatwise.core.settings import Block, Choice, Positive, Presets
from beatwise.tasks.settings import MetricName


class RaySettings(Block):
    """Where many trainings run at once, or many recordings are scored."""

    address: str | None = Field(
        None,
        description="Address of a Ray cluster; `auto` uses one that runs on this machine already, null starts one.",
    )
    cpus: Annotated[int, Field(ge=1)] | None = Field(
        None,
        description="Trainings, or recordings that are scored, at once on this machine, with one thread each; "
        "null is one for each core.",
    )
    gpus_per_fit: float = Field(0.0, ge=0, le=1, description="Share of a GPU for each training.")


class Algorithm(Choice):
    """Algorithm that proposes the values of the next trial (:mod:`beatwise.search.algorithms`)."""

    registry = "beatwise.search.algorithms.ALGORITHMS"


class TrialScheduler(Choice):
    """Scheduler that stops trials early (:mod:`beatwise.search.algorithms`)."""

    registry = "beatwise.search.algorithms.SCHEDULERS"


class Search(Block):
    """One search for hyper-parameters."""

    space: dict[str, Any] = Field(description="Search space (`beatwise.search.space`).")
    algorithm: Algorithm = Field(Algorithm(use="tpe"), description="Algorithm that proposes the next trial.")
    scheduler: TrialScheduler = Field(TrialScheduler(use="asha"), description="Scheduler that stops trials early.")
    metric: MetricName | None = Field(
        None,
        description="Validation metric to search for, which picks the best epoch of a trial too; null is the task's: "
        "`recall_first` of a classification, `rmse` of a regression.",
    )
    trials: int = Field(ge=1, description="Number of trials.")
    epochs: int = Field(ge=1, description="Most epochs of a trial.")
    total_epochs: Annotated[int, Field(ge=1)] | None = Field(
        None, description="Most epochs of all trials together; null is no limit."
    )
    max_minutes: Positive | None = Field(None, description="Longest time of the search (min); null is no limit.")
    seeds: int = Field(1, ge=1, description="Trainings of each trial, with a seed each; their mean counts.")
    refit: dict[str, Any] = Field(
        {}, description="Changes for the last fit of the best trial, e.g. `{train: {epochs: 30}}`."
    )


class Tune(Presets):
    """Searches by name, of which one is chosen."""

    kind = "search"
    preset = Search

    models: dict[str, dict[str, Any]] = Field(
        {}, description="Search space of each model, for searches that do not give one."
    )
    refine: str | None = Field(
        None, description="Finished search around whose best trials the ranges are narrowed; null for none."
    )

    @property
    def search(self) -> Search:
        """The chosen search."""
        chosen: Search = self.chosen
        return chosen
