"""The documents of a comparison: a row as it is planned, and as it is fitted and measured."""

from __future__ import annotations

from typing import Any, Final

from beatwise.core.settings import Block
from beatwise.tasks.base import Task
from beatwise.training.checkpoint import key_of
from beatwise.training.settings import FitSettings

# The strategy of naive rows.
NAIVE: Final = "naive"


class PlannedRow(Block):
    """One fit of a model with a strategy and a seed, or what is made of the predictions of such fits.

    Attributes:
        model: Name of the model, or of the ensemble.
        strategy: Name of the strategy.
        seed: Seed of the fit; None for an ensemble.
        fold: The fold that is test; None without cross-validation, and where the folds are pooled.
        against: Model whose row of the same strategy and seed it is compared with in pairs; None: none.
        changes: The changes of model and strategy in the parameters of a fit, by full name.
        config: The settings of its fit; None for an ensemble.
        members: Numbers of the rows that an ensemble averages, or whose folds are pooled; empty for a fit.
        naive: Whether it is predicted by a naive model of the task.
    """

    model: str
    strategy: str
    seed: int | None
    fold: int | None = None
    against: str | None = None
    changes: dict[str, Any]
    config: FitSettings | None = None
    members: list[int] = []
    naive: bool = False

    @property
    def is_ensemble(self) -> bool:
        """Whether the row averages others."""
        return bool(self.members) and self.config is None

    @property
    def is_fit(self) -> bool:
        """Whether the row is trained."""
        return not self.members and not self.naive

    @property
    def name(self) -> str:
        """Model and strategy, and the seed and fold of a fit."""
        parts = [self.model, self.strategy]
        parts += [] if self.seed is None else [f"seed {self.seed}"]
        parts += [] if self.fold is None else [f"fold {self.fold}"]
        return " · ".join(parts)

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
