"""Settings of what is done to examples before they reach a network."""

from __future__ import annotations

from typing import Any

from pydantic import Field, field_validator

from beatwise.core.errors import BeatwiseError
from beatwise.core.registry import unknown_name
from beatwise.core.settings import Block, Choice, split_names


class SplitChoice(Choice):
    """Which beats are trained on, validated on, tested on (:mod:`beatwise.data.splits`)."""

    registry = "beatwise.data.splits.SPLITS"


class Ingest(Block):
    """Cleaning and splitting."""

    split: SplitChoice = Field(description="The split.")
    drop_duplicates: bool = Field(
        False, description="Whether to remove beats of train and validation that a later part contains too."
    )


class Resample(Choice):
    """The resampling strategy of the training part (:mod:`beatwise.data.resampling`)."""

    registry = "beatwise.data.resampling.STRATEGIES"


class Tensors(Choice):
    """The representation (:mod:`beatwise.data.representations`)."""

    registry = "beatwise.data.representations.REPRESENTATIONS"
    use: str = Field(description="Name of the representation, or `auto` for the one that the model is made for.")
    features: bool | list[str] = Field(
        True,
        description="Whether to use the named features of the examples, such as RR intervals, and their ratios; or the "
        "names of some, or patterns such as `near_*`, behind `--params` joined by `+`.",
    )

    @field_validator("features", mode="before")
    @classmethod
    def _split(cls, features: Any) -> Any:
        return split_names(features)

    @property
    def names(self) -> list[str]:
        """Names of the chosen entries; ``auto`` is none."""
        if self.use != "auto" and self.use not in (entries := self.entries()):
            raise BeatwiseError(unknown_name(entries.kind, self.use, [*entries.names(), "auto"]))
        return [] if self.use == "auto" else [self.use]
