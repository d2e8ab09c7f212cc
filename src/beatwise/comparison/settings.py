"""Settings of a comparison."""

from __future__ import annotations

from typing import Annotated, Any

from pydantic import Field, field_validator

from beatwise.core.settings import Block, Presets, split_names


class Rows(Block):
    """A comparison: every model with every strategy and every seed, and ensembles of them."""

    models: dict[str, dict[str, Any]] = Field(
        min_length=1,
        description="Changes to `model`, `tensors`, `resample` and `train`, by the model's name in the leaderboard.",
    )
    strategies: dict[str, dict[str, Any]] = Field(
        {"none": {}}, min_length=1, description="Changes over those of the model, by name of the strategy."
    )
    seeds: list[Annotated[int, Field(ge=0, le=2**32 - 1)]] = Field(
        [42], min_length=1, description="Seeds of the fits; behind `--params` joined by `+`."
    )
    cross_validate: bool = Field(
        False,
        description="Whether every fold of `ingest.split` is test once: each a row of its own, and the predictions of "
        "all folds are measured together.",
    )
    against: str | None = Field(
        None,
        description="Model with which each other model is compared in pairs, strategy by strategy; null: none.",
    )
    ensembles: dict[str, Annotated[list[str], Field(min_length=1)]] = Field(
        {}, description="Models whose predictions are averaged over all seeds, by name of the ensemble."
    )

    @field_validator("seeds", mode="before")
    @classmethod
    def _split(cls, seeds: Any) -> Any:
        return split_names(str(seeds)) if isinstance(seeds, int) else split_names(seeds)


class Comparison(Presets):
    """A leaderboard: one of the presets below it, by name."""

    kind = "comparison"
    preset = Rows

    @property
    def rows(self) -> Rows:
        """The chosen preset."""
        chosen: Rows = self.chosen
        return chosen
