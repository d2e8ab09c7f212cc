"""Losses of a regression, by name; outputs and targets are standardised."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Annotated, ClassVar

from pydantic import Field
from torch import Tensor
from torch.nn import functional as F

from beatwise.tasks.loss import LOSSES, Loss, Reduction


class NumberLoss(Loss):
    """A loss of numbers, whose weights and shares of classes are not used."""

    task: ClassVar[str] = "regression"


@LOSSES.register("mse")
@dataclass(frozen=True, kw_only=True)
class SquaredError(NumberLoss):
    """Mean squared error; the network learns the mean."""

    def __call__(
        self, outputs: Tensor, target: Tensor, weights: Tensor, log_prior: Tensor, reduction: Reduction = "mean"
    ) -> Tensor:
        """See the base class."""
        return _flat(F.mse_loss(outputs, target, reduction=reduction))


@LOSSES.register("mae")
@dataclass(frozen=True, kw_only=True)
class AbsoluteError(NumberLoss):
    """Mean absolute error; the network learns the median."""

    def __call__(
        self, outputs: Tensor, target: Tensor, weights: Tensor, log_prior: Tensor, reduction: Reduction = "mean"
    ) -> Tensor:
        """See the base class."""
        return _flat(F.l1_loss(outputs, target, reduction=reduction))


@LOSSES.register("huber")
@dataclass(frozen=True, kw_only=True)
class Huber(NumberLoss):
    """Squared error up to ``delta``, and beyond it a straight line (Huber, Ann. Math. Stat. 35, 1964).

    Args:
        delta: Where the line begins, in standard deviations of the target.
    """

    delta: Annotated[float, Field(gt=0)] = 1.0

    def __call__(
        self, outputs: Tensor, target: Tensor, weights: Tensor, log_prior: Tensor, reduction: Reduction = "mean"
    ) -> Tensor:
        """See the base class."""
        return _flat(F.huber_loss(outputs, target, delta=self.delta, reduction=reduction))


def _flat(loss: Tensor) -> Tensor:
    """The loss of each example ``[n, 1]`` as ``[n]``; a mean as it is."""
    return loss.squeeze(1) if loss.ndim > 1 else loss
