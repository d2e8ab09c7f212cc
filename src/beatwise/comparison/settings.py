"""Settings of a comparison."""

from __future__ import annotations

from typing import Annotated, Any

from pydantic import Field

from beatwise.core.settings import Block, Presets


class Rows(Block):
    """What a comparison compares: every model with every strategy and every seed, and ensembles of them.

    Attributes:
        models: By the name they are to have in the leaderboard: what each changes in the blocks ``model``, ``tensors``,
            ``resample`` and ``train``.
        strategies: By name: what each changes, over what the model changes.
        seeds: Seeds.
        ensembles: By the name they are to have in the leaderboard: the models whose probabilities are averaged, over
            all seeds, once a strategy.
    """

    models: Annotated[dict[str, dict[str, Any]], Field(min_length=1)]
    strategies: Annotated[dict[str, dict[str, Any]], Field(min_length=1)] = {"none": {}}
    seeds: Annotated[list[Annotated[int, Field(ge=0, le=2**32 - 1)]], Field(min_length=1)] = [42]
    ensembles: dict[str, Annotated[list[str], Field(min_length=1)]] = {}


class Comparison(Presets):
    """A leaderboard: one of the presets below it, by name."""

    kind = "comparison"
    preset = Rows

    @property
    def rows(self) -> Rows:
        """The chosen preset."""
        return Rows.model_validate(self.chosen_preset)
