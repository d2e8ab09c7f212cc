"""Settings of a search, and of where many trainings run."""

from __future__ import annotations

from typing import Annotated, Any

from pydantic import Field

from beatwise.core.settings import Block, Choice, Positive, Presets
from beatwise.search.algorithms import ALGORITHMS, SCHEDULERS
from beatwise.tasks.settings import MetricName


class RaySettings(Block):
    """Where many trainings run at once.

    Attributes:
        address: Address of a Ray cluster, ``auto`` for one that runs on this machine already; null starts one here.
        cpus: Trainings at once on this machine, one thread each; null is one a core.
        gpus_per_fit: Share of a GPU that each takes.
    """

    address: str | None = None
    cpus: Annotated[int, Field(ge=1)] | None = None
    gpus_per_fit: Annotated[float, Field(ge=0, le=1)] = 0.0


class Algorithm(Choice):
    """Where the values of the next trial come from (:mod:`beatwise.search.algorithms`)."""

    registry = ALGORITHMS


class TrialScheduler(Choice):
    """Which trials are stopped early (:mod:`beatwise.search.algorithms`)."""

    registry = SCHEDULERS


class Search(Block):
    """One search for hyper-parameters.

    Attributes:
        space: What is searched, see :mod:`beatwise.search.space`.
        algorithm: Where the values of the next trial come from.
        scheduler: Which trials are stopped early.
        metric: Overall validation metric that is searched for (:mod:`beatwise.tasks.metrics`). It picks
            the epoch of each trial too.
        trials: Trials in all.
        epochs: Epochs of each trial, at most.
        total_epochs: Epochs of all trials together after which no trial begins and none goes on; null is no limit.
        max_minutes: Time after which no trial begins and none goes on; null is no limit.
        seeds: Trainings of each trial, with seeds of their own; their mean counts.
        refit: What the last fit of the best trial changes in its parameters, e.g. ``{train: {epochs: 30}}``.
    """

    space: dict[str, Any]
    algorithm: Algorithm = Algorithm(use="tpe")
    scheduler: TrialScheduler = TrialScheduler(use="asha")
    metric: MetricName = "macro_recall"
    trials: Annotated[int, Field(ge=1)]
    epochs: Annotated[int, Field(ge=1)]
    total_epochs: Annotated[int, Field(ge=1)] | None = None
    max_minutes: Positive | None = None
    seeds: Annotated[int, Field(ge=1)] = 1
    refit: dict[str, Any] = {}


class Tune(Presets):
    """Searches by name, of which one is chosen.

    Attributes:
        use: Name of the search.
        models: What is searched of each model, where a search does not say so itself.
        refine: Name of a finished search around whose best trials the ranges are narrowed; null for none.
    """

    kind = "search"
    preset = Search

    models: dict[str, dict[str, Any]] = {}
    refine: str | None = None

    @property
    def search(self) -> Search:
        """The chosen search."""
        return Search.model_validate(self.chosen_preset)
