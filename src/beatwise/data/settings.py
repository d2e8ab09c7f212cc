"""Settings of what is done to examples before they reach a network."""

from __future__ import annotations

from typing import Any

from pydantic import Field

from beatwise.core.errors import BeatwiseError
from beatwise.core.registry import Registry, unknown_name
from beatwise.core.settings import Block, Choice
from beatwise.data.representations import REPRESENTATIONS
from beatwise.data.resampling import STRATEGIES
from beatwise.data.splits import SPLITS


class SplitChoice(Choice):
    """Which beats are trained on, validated on, tested on (:mod:`beatwise.data.splits`)."""

    registry = SPLITS


class Ingest(Block):
    """Cleaning and splitting."""

    split: SplitChoice = Field(description="The split.")
    drop_duplicates: bool = Field(
        False, description="Whether to remove beats of train and validation that a later part contains too."
    )


class Resample(Choice):
    """The resampling strategy of the training part (:mod:`beatwise.data.resampling`)."""

    registry = STRATEGIES


class Tensors(Choice):
    """The representation (:mod:`beatwise.data.representations`)."""

    registry = REPRESENTATIONS
    use: str = Field(description="Name of the representation, or `auto` for the one that the model is made for.")
    features: bool = Field(
        True, description="Whether to use the named features of the examples, such as RR intervals, and their ratios."
    )

    def check(self, registry: Registry[Any], key: str = "") -> None:
        """As for every choice; ``auto`` is known too."""
        if self.use != "auto" and self.use not in registry:
            raise BeatwiseError(unknown_name(registry.kind, self.use, [*registry.names(), "auto"]))
        self._check_options(registry, key)
