"""Losses and class weights of a classification, by name.

Class weights are scaled so that the mean weight of a training example is 1, so that they do not change the learning
rate in disguise.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from typing import Annotated, ClassVar

import torch
from pydantic import Field
from torch import Tensor
from torch.nn import functional as F

from beatwise.core.errors import BeatwiseError
from beatwise.core.registry import Registry
from beatwise.tasks.loss import LOSSES, Loss, Reduction

Smoothing = Annotated[float, Field(ge=0, lt=1)]
# Least distance of a probability from 1 in the focal loss.
LEAST = 1e-12


class LogitLoss(Loss):
    """A loss of logits, one a class, which the softmax turns into probabilities."""

    task: ClassVar[str] = "classification"

    def decode(self, outputs: Tensor) -> Tensor:
        """Probabilities, ``float32 [n, n_classes]``; rows add up to 1."""
        return outputs.softmax(dim=1)

    def initial_bias(self, log_prior: Tensor, least: float) -> Tensor:
        """The shares of the classes as the prediction for every example (Lin et al., ICCV 2017, section 3.3)."""
        return log_prior


CLASS_WEIGHTS: Registry[Callable[..., Tensor]] = Registry("kind of class weights")


@LOSSES.register("cross_entropy")
@dataclass(frozen=True, kw_only=True)
class CrossEntropy(LogitLoss):
    """Cross-entropy, with label smoothing and logit adjustment where they are asked for.

    Label smoothing: Szegedy et al., CVPR 2016, section 7. Logit adjustment: Menon et al., ICLR 2021, equation 10, with
    τ = ``logit_adjustment``: adds τ · log share of the class while training, so that argmax without it favours rare
    classes.

    Args:
        label_smoothing: Share of the target that is spread evenly over the classes.
        logit_adjustment: τ; 0 leaves the logits alone.
    """

    label_smoothing: Smoothing = 0.0
    logit_adjustment: Annotated[float, Field(ge=0)] = 0.0

    def __call__(
        self, outputs: Tensor, target: Tensor, weights: Tensor, log_prior: Tensor, reduction: Reduction = "mean"
    ) -> Tensor:
        """See the base class."""
        if self.logit_adjustment:
            outputs = outputs + self.logit_adjustment * log_prior
        return F.cross_entropy(
            outputs, target, weight=weights, label_smoothing=self.label_smoothing, reduction=reduction
        )


@LOSSES.register("focal")
@dataclass(frozen=True, kw_only=True)
class Focal(LogitLoss):
    """Cross-entropy in which well classified examples count less (Lin et al., ICCV 2017, equation 5).

    The softmax is over the classes; class weights are α of the paper.

    Args:
        gamma: γ; 0 makes it the cross-entropy.
    """

    gamma: Annotated[float, Field(ge=0)] = 2.0

    def __call__(
        self, outputs: Tensor, target: Tensor, weights: Tensor, log_prior: Tensor, reduction: Reduction = "mean"
    ) -> Tensor:
        """See the base class."""
        log_p = outputs.log_softmax(dim=1)
        # Away from 0, where the slope of a power below 1 is infinite.
        missing = (-log_p.expm1()).clamp(min=LEAST)
        each = -(target * weights * missing**self.gamma * log_p).sum(dim=1)
        return each.mean() if reduction == "mean" else each


@LOSSES.register("one_vs_rest")
@dataclass(frozen=True, kw_only=True)
class OneVsRest(LogitLoss):
    """Binary cross-entropy of each class against all others, added up over the classes.

    Probabilities are then the sigmoids of the logits, divided by their sum.

    Args:
        label_smoothing: Moves each target towards one half by this share.
    """

    label_smoothing: Smoothing = 0.0

    def __call__(
        self, outputs: Tensor, target: Tensor, weights: Tensor, log_prior: Tensor, reduction: Reduction = "mean"
    ) -> Tensor:
        """See the base class."""
        smooth = target * (1 - self.label_smoothing) + self.label_smoothing / 2
        by_class = F.binary_cross_entropy_with_logits(outputs, smooth, reduction="none")
        each = by_class.sum(dim=1) * (target @ weights)
        return each.mean() if reduction == "mean" else each

    def decode(self, outputs: Tensor) -> Tensor:
        """Sigmoids of the logits, divided by their sum."""
        return F.logsigmoid(outputs).softmax(dim=1)

    def initial_bias(self, log_prior: Tensor, least: float) -> Tensor:
        """Logits whose sigmoids are the shares of the classes."""
        return log_prior.exp().logit(least)


@CLASS_WEIGHTS.register("none")
def equal_weights(counts: Tensor) -> Tensor:
    """Every example counts 1."""
    return torch.ones_like(counts)


@CLASS_WEIGHTS.register("balanced")
def balanced_weights(counts: Tensor) -> Tensor:
    """Every class counts the same: 1 / count, as scikit-learn's ``balanced``."""
    return 1 / counts


@CLASS_WEIGHTS.register("importance")
def importance_weights(
    counts: Tensor, *, importance: tuple[Annotated[float, Field(ge=0)], ...] = (1.0, 2.0, 2.0, 2.0, 0.5)
) -> Tensor:
    """Importance / count: how much each class counts in all. The default is MAP583's for N, S, V, F, Q.

    Raises:
        BeatwiseError: If there is not one importance a class, or all are 0.
    """
    if len(importance) != len(counts) or not any(importance):
        raise BeatwiseError(
            f"train.class_weights.importance.importance: {list(importance)} must hold one number for each of the "
            f"{len(counts)} classes, in their order, not all 0."
        )
    return torch.tensor(importance, device=counts.device) / counts


@CLASS_WEIGHTS.register("effective_number")
def effective_number_weights(counts: Tensor, *, beta: Annotated[float, Field(ge=0, lt=1)] = 0.9999) -> Tensor:
    """(1 - β) / (1 - β^count): between equal and balanced (Cui et al., CVPR 2019, equation 5)."""
    return (1 - beta) / (1 - beta ** counts.double())


def class_weights(counts: Tensor, use: str, options: dict[str, object]) -> Tensor:
    """Weights of the classes, ``float32 [n_classes]``, scaled to a mean of 1 over the examples.

    Raises:
        BeatwiseError: If every class that has examples would get weight 0.
    """
    there = counts > 0
    raw = CLASS_WEIGHTS[use](counts.clamp(min=1), **options).double() * there
    if not raw.any():
        raise BeatwiseError(f"train.class_weights.{use}: every class that has training examples gets weight 0.")
    return (raw * counts.sum() / (raw * counts).sum()).float()
