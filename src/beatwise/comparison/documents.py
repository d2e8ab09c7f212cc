"""The documents of a comparison: a row as it is planned, and as it is fitted and measured."""

from __future__ import annotations

from typing import Any

from beatwise.core.settings import Block
from beatwise.tasks.base import Task
from beatwise.training.checkpoint import key_of
from beatwise.training.settings import FitSettings


class PlannedRow(Block):
    """One fit of a model with a strategy and a seed, or an ensemble of such fits.

    Attributes:
        model: Name of the model, or of the ensemble.
        strategy: Name of the strategy.
        seed: Seed of the fit; None for an ensemble.
        changes: The changes of model and strategy in the parameters of a fit, by full name.
        config: The settings of its fit; None for an ensemble.
        members: Numbers of the rows that an ensemble averages; empty for a fit.
    """

    model: str
    strategy: str
    seed: int | None
    changes: dict[str, Any]
    config: FitSettings | None = None
    members: list[int] = []

    @property
    def is_ensemble(self) -> bool:
        """Whether the row averages others."""
        return bool(self.members)

    @property
    def name(self) -> str:
        """Model and strategy, and the seed of a fit."""
        named = f"{self.model} · {self.strategy}"
        return named if self.is_ensemble else f"{named} · seed {self.seed}"

    def key(self, fingerprints: list[str]) -> str:
        """Names what a fit computes from these examples: a row with the same key need not be trained again.

        Args:
            fingerprints: Fingerprints of the parts.
        """
        return key_of(None if self.config is None else self.config.model_dump(mode="json"), fingerprints)


class FitMetadata(Block):
    """The metadata of a fit; an ensemble has the sums over its members.

    Attributes:
        task: The task, fitted on the training part (``Task.to_dict``).
        n_parameters: Number of parameters.
        best_epoch: The epoch whose weights were kept; None for an ensemble.
        seconds: Time of training and validation.
        history: One mapping an epoch; None where a value is not finite.
    """

    task: dict[str, Any]
    n_parameters: int | None
    best_epoch: int | None
    seconds: float
    history: list[dict[str, int | float | None]]

    @property
    def fitted_task(self) -> Task:
        """The task."""
        return Task.from_dict(self.task)


class Row(PlannedRow):
    """A row that was tried.

    Attributes:
        row: Its number.
        metadata: Metadata of the fit; None if it failed.
        failure: Why it failed; None if it did not.
        metrics: Result of ``Task.measure``; empty before the row is measured.
    """

    row: int
    metadata: FitMetadata | None = None
    failure: str | None = None
    metrics: dict[str, Any] = {}

    @property
    def fitted(self) -> FitMetadata:
        """The metadata of a row that did not fail."""
        assert self.metadata is not None, f"{self.name} failed"
        return self.metadata
