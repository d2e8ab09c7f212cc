"""The plan of a search: its settings, checked against every configuration that a trial can have."""

from __future__ import annotations

import math
from collections.abc import Mapping
from functools import cached_property
from typing import Any

from pydantic import Field

from beatwise.core.errors import BeatwiseError
from beatwise.core.nested import flatten, merged, nested
from beatwise.core.settings import Block
from beatwise.data.settings import Resample, Tensors
from beatwise.networks.settings import Model
from beatwise.search.settings import Search, Tune
from beatwise.search.space import Space, with_model_spaces
from beatwise.tasks.registry import METRICS
from beatwise.tasks.settings import TaskChoice
from beatwise.training.checkpoint import key_of
from beatwise.training.settings import FitSettings, Train

# A grid of more combinations is a mistake.
LARGEST_GRID = 10_000
# Parameters that are the same for all trials, and the setting of the search that gives them.
OWN = {"train.epochs": "epochs", "train.monitor": "metric"}


class SearchPlan(Block):
    """One search, with everything that its trials have in common: the dataset ``plan`` of a search."""

    name: str = Field(description="Name of the search.")
    task: TaskChoice = Field(description="Task.")
    seed: int = Field(description="Seed of the search and of the first training of each trial.")
    base: dict[str, Any] = Field(description="The parameters of a fit that the space changes, by block.")
    search: Search = Field(description="Settings of the search; its space contains the spaces of the models.")

    @cached_property
    def space(self) -> Space:
        """The space."""
        return Space(self.base, self.search.space, f"tune.{self.name}.space")

    @cached_property
    def grid(self) -> list[dict[str, Any]]:
        """The values of all trials, where every combination is tried; else empty."""
        if self.search.algorithm.use == "none":
            return [self.space.draw(lambda _, range: range.ends()[0])]
        if self.search.algorithm.use == "grid":
            return self.space.grid(self.search.algorithm.options["points"])
        return []

    @property
    def n_trials(self) -> int:
        """Trials in all; of a grid no more than there are combinations."""
        return min(self.search.trials, len(self.grid)) if self.grid else self.search.trials

    @property
    def metric(self) -> str:
        """The validation metric that is searched for."""
        return self.search.metric or self.task.build().default_objective

    @property
    def larger_is_better(self) -> bool:
        """Whether a larger score is better."""
        return METRICS[self.metric].higher_is_better

    def configs(self, values: Mapping[str, Any]) -> list[FitSettings]:
        """The configuration of a trial with these values, once a seed.

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
        from beatwise.networks.base import SelfFitting
        from beatwise.networks.zoo import MODELS
        from beatwise.training.fit import changed_fit

        # The last fit may change these.
        own = nested({name: getattr(self.search, setting) for name, setting in OWN.items()})
        config = changed_fit(self.base, merged(own, changes), self.task, seed, key)
        if issubclass(MODELS[config.model.use], SelfFitting):
            raise BeatwiseError(
                f"{key}: {config.model.use} fits itself, and a search trains its models epoch by epoch. Leave it out."
            )
        return config

    def key(self, fingerprints: list[str]) -> str:
        """The key of the search: searches of one key have the same trials, but perhaps not the same number of them.

        It contains the name, so that a search can be found by its name even if another one has the same settings.
        """
        of_trials = self.search.model_dump(mode="json", exclude={"trials", "total_epochs", "max_minutes", "refit"})
        return key_of(self.name, of_trials, self.base, self.task.model_dump(mode="json"), self.seed, fingerprints)


def plan_search(
    tune: Tune, task: TaskChoice, seed: int, resample: Resample, tensors: Tensors, model: Model, train: Train
) -> SearchPlan:
    """Check the chosen search over the parameters of a fit.

    Raises:
        BeatwiseError: If a range is wrong, or is that of an unknown parameter, or holds a value that is not allowed, or
            if a grid is too large.
    """
    from beatwise.training.fit import fit_blocks

    search, key = tune.search, f"tune.{tune.use}"
    space = with_model_spaces(search.space, model.use, tune.models, key)
    base = fit_blocks(resample, tensors, model, train)
    # The default of the task replaces null, so that a stored search names its metric.
    metric = search.metric or task.build().default_objective
    search = search.model_copy(update={"space": space, "metric": metric})
    plan = SearchPlan(name=tune.use, task=task, seed=seed, base=base, search=search)
    if not plan.space.ranges:
        raise BeatwiseError(f"{key}.space: there is nothing to search. Give at least one value a range.")
    for name, setting in OWN.items():
        if name in {*plan.space.ranges, *flatten(plan.space.constants)}:
            raise BeatwiseError(f"{key}.space.{name}: all trials of a search share this value. Set {key}.{setting}.")
    first = plan.space.draw(lambda _, range: range.ends()[0])
    # The model of the trials, where they choose one: that of the environment may be one that fits itself.
    use = flatten(plan.space.changes(first)).get("model.use", model.use)
    for name, changes in plan.space.examples():
        plan._config(merged({"model": {"use": use}}, changes), seed, f"{key}.space.{name}")
    plan.refit(first)
    if search.algorithm.use == "grid":
        points = search.algorithm.options["points"]
        n = math.prod(len(range.points(points)) for range in plan.space.ranges.values())
        if n > LARGEST_GRID:
            raise BeatwiseError(
                f"{key}: the grid has {n:,} combinations, and {LARGEST_GRID:,} are allowed. Take ranges out of the "
                "space, lower algorithm.grid.points, or use another algorithm."
            )
    return plan
