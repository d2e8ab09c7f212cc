"""What a search searches: its settings, checked against everything that a trial can become."""

from __future__ import annotations

import math
from collections.abc import Mapping
from dataclasses import dataclass
from functools import cached_property
from typing import Any

from beatwise.core.errors import BeatwiseError
from beatwise.core.nested import flatten, merged, nested
from beatwise.data.settings import Resample, Tensors
from beatwise.networks.base import SelfFitting
from beatwise.networks.settings import Model
from beatwise.networks.zoo import MODELS
from beatwise.search.settings import Search, Tune
from beatwise.search.space import Space, with_model_spaces
from beatwise.tasks.registry import METRICS
from beatwise.tasks.settings import TaskChoice
from beatwise.training.checkpoint import key_of
from beatwise.training.fit import changed_fit, fit_blocks
from beatwise.training.settings import FitSettings, Train

# A grid of more combinations is a mistake.
LARGEST_GRID = 10_000
# What is no matter of the space, and the setting that says it.
OWN = {"train.epochs": "epochs", "train.monitor": "metric"}


@dataclass(frozen=True)
class SearchPlan:
    """One search, with all that its trials have in common.

    Attributes:
        name: Name of the search.
        task: What is predicted.
        seed: Seed of the search and of the first training of each trial.
        base: The parameters of a fit that the space changes, by block.
        search: Its settings; the space with the models' own filled in.
    """

    name: str
    task: TaskChoice
    seed: int
    base: dict[str, Any]
    search: Search

    @cached_property
    def space(self) -> Space:
        """The space."""
        return Space(self.base, self.search.space, f"tune.{self.name}.space")

    @cached_property
    def grid(self) -> list[dict[str, Any]]:
        """The values of all trials, where every combination is tried; else empty."""
        if self.search.algorithm.use == "none":
            return [self.space.draw(lambda _, within: within.ends()[0])]
        if self.search.algorithm.use == "grid":
            return self.space.grid(self.search.algorithm.options["points"])
        return []

    @property
    def n_trials(self) -> int:
        """Trials in all; of a grid no more than there are combinations."""
        return min(self.search.trials, len(self.grid)) if self.grid else self.search.trials

    @property
    def larger_is_better(self) -> bool:
        """Whether the metric is to be large."""
        return METRICS[self.search.metric].higher_is_better

    def configs(self, values: Mapping[str, Any]) -> list[FitSettings]:
        """The configuration of a trial, once a seed.

        Args:
            values: Values of the hyper-parameters by full name.

        Raises:
            BeatwiseError: If they do not go together.
        """
        return [
            self._config(self.space.changes(values), self.seed + offset, f"tune.{self.name}")
            for offset in range(self.search.seeds)
        ]

    def refit(self, values: Mapping[str, Any]) -> FitSettings:
        """The configuration of the last fit of a trial with these values."""
        return self._config(merged(self.space.changes(values), self.search.refit), self.seed, f"tune.{self.name}.refit")

    def _config(self, changes: Mapping[str, Any], seed: int, key: str) -> FitSettings:
        # The last fit may say otherwise.
        own = nested({name: getattr(self.search, said) for name, said in OWN.items()})
        config = changed_fit(self.base, merged(own, changes), self.task, seed, key)
        if issubclass(MODELS[config.model.use], SelfFitting):
            raise BeatwiseError(
                f"{key}: {config.model.use} fits itself, and a search trains its models epoch by epoch. Leave it out."
            )
        return config

    def plain(self) -> dict[str, Any]:
        """As plain data."""
        return {
            "name": self.name,
            "task": self.task.model_dump(mode="json"),
            "seed": self.seed,
            "base": self.base,
            "search": self.search.model_dump(mode="json"),
        }

    @classmethod
    def from_plain(cls, given: Mapping[str, Any]) -> SearchPlan:
        """The inverse of :meth:`plain`."""
        typed = {"task": TaskChoice.model_validate(given["task"]), "search": Search.model_validate(given["search"])}
        return cls(**{**given, **typed})

    def key(self, fingerprints: list[str]) -> str:
        """Names the search: of the same key are its trials alike, however many there are to be.

        Its name is part of it, so that searches that differ in nothing else can each be found again by their own.

        Args:
            fingerprints: Of the beats tables of training and validation.
        """
        of_trials = {
            name: value
            for name, value in self.plain()["search"].items()
            if name not in ("trials", "total_epochs", "max_minutes", "refit")
        }
        return key_of(self.name, of_trials, self.base, self.plain()["task"], self.seed, fingerprints)


def plan_search(
    tune: Tune, task: TaskChoice, seed: int, resample: Resample, tensors: Tensors, model: Model, train: Train
) -> SearchPlan:
    """Check a search.

    Args:
        tune: The searches, of which one is chosen.
        task: What is predicted.
        seed: Seed.
        resample: What a trial is fitted with where the space does not say otherwise.
        tensors: Likewise.
        model: Likewise.
        train: Likewise.

    Raises:
        BeatwiseError: If a range is wrong, or leads to what is no parameter or to a value that is not allowed, or if a
            grid is too large.
    """
    search, key = tune.search, f"tune.{tune.use}"
    space = with_model_spaces(search.space, model.use, tune.models, key)
    base = fit_blocks(resample, tensors, model, train)
    plan = SearchPlan(tune.use, task, seed, base, search.model_copy(update={"space": space}))
    if not plan.space.ranges:
        raise BeatwiseError(f"{key}.space: there is nothing to search. Give at least one value a range.")
    for name, said in OWN.items():
        if name in {*plan.space.ranges, *flatten(plan.space.constants)}:
            raise BeatwiseError(f"{key}.space.{name}: this is the same for all trials of a search. Set {key}.{said}.")
    for name, changes in plan.space.examples():
        plan._config(changes, seed, f"{key}.space.{name}")
    plan.refit(plan.space.draw(lambda _, within: within.ends()[0]))
    if search.algorithm.use == "grid":
        points = search.algorithm.options["points"]
        n = math.prod(len(within.points(points)) for within in plan.space.ranges.values())
        if n > LARGEST_GRID:
            raise BeatwiseError(
                f"{key}: the grid has {n:,} combinations, and {LARGEST_GRID:,} are allowed. Take ranges out of the "
                "space, lower algorithm.grid.points, or use another algorithm."
            )
    return plan
