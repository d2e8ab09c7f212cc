"""Losses and class weights, by name.

A loss takes logits ``float32 [n, n_classes]``, targets ``float32 [n, n_classes]`` whose rows add up to 1 (mixup makes
others than 0 and 1), and class weights ``float32 [n_classes]``; it returns the mean over the beats. Class weights are
scaled so that the mean weight of a training beat is 1, so that they do not change the learning rate in disguise.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Annotated

import torch
from pydantic import Field
from torch import Tensor
from torch.nn import functional as F

from beatwise.core.errors import BeatwiseError
from beatwise.core.registry import Registry

Smoothing = Annotated[float, Field(ge=0, lt=1)]
Loss = Callable[..., Tensor]
LOSSES: Registry[Loss] = Registry("loss", supplied=["log_prior"])
CLASS_WEIGHTS: Registry[Callable[..., Tensor]] = Registry("kind of class weights")
# Least distance of a probability from 1 in the focal loss.
LEAST = 1e-12


@LOSSES.register("cross_entropy")
def cross_entropy(
    logits: Tensor,
    target: Tensor,
    weights: Tensor,
    *,
    log_prior: Tensor,
    label_smoothing: Smoothing = 0.0,
    logit_adjustment: Annotated[float, Field(ge=0)] = 0.0,
) -> Tensor:
    """Cross-entropy, with label smoothing and logit adjustment where they are asked for.

    Label smoothing: Szegedy et al., CVPR 2016, section 7. Logit adjustment: Menon et al., ICLR 2021, equation 10, with
    τ = ``logit_adjustment``: adds τ · log share of the class while training, so that argmax without it favours rare
    classes.

    Args:
        logits: ``[n, n_classes]``.
        target: ``[n, n_classes]``.
        weights: ``[n_classes]``.
        log_prior: Logarithm of the share of each class among the beats that are drawn, ``[n_classes]``.
        label_smoothing: Share of the target that is spread evenly over the classes.
        logit_adjustment: τ; 0 leaves the logits alone.
    """
    if logit_adjustment:
        logits = logits + logit_adjustment * log_prior
    return F.cross_entropy(logits, target, weight=weights, label_smoothing=label_smoothing)


@LOSSES.register("focal")
def focal(
    logits: Tensor,
    target: Tensor,
    weights: Tensor,
    *,
    log_prior: Tensor,
    gamma: Annotated[float, Field(ge=0)] = 2.0,
) -> Tensor:
    """Focal loss: cross-entropy in which beats that are well classified count less (Lin et al., ICCV 2017, equation 5).

    Args:
        logits: ``[n, n_classes]``; the softmax is over the classes.
        target: ``[n, n_classes]``.
        weights: ``[n_classes]``, α of the paper.
        log_prior: Not used.
        gamma: γ; 0 makes it the cross-entropy.
    """
    log_p = logits.log_softmax(dim=1)
    # Away from 0, where the slope of a power below 1 is infinite.
    missing = (-log_p.expm1()).clamp(min=LEAST)
    return -(target * weights * missing**gamma * log_p).sum(dim=1).mean()


@LOSSES.register("one_vs_rest")
def one_vs_rest(
    logits: Tensor, target: Tensor, weights: Tensor, *, log_prior: Tensor, label_smoothing: Smoothing = 0.0
) -> Tensor:
    """Binary cross-entropy of each class against all others, added up over the classes.

    Probabilities are then the sigmoids of the logits, divided by their sum.

    Args:
        logits: ``[n, n_classes]``.
        target: ``[n, n_classes]``.
        weights: ``[n_classes]``, of the beats of each class.
        log_prior: Not used.
        label_smoothing: Moves each target towards one half by this share.
    """
    smooth = target * (1 - label_smoothing) + label_smoothing / 2
    each = F.binary_cross_entropy_with_logits(logits, smooth, reduction="none")
    return (each.sum(dim=1) * (target @ weights)).mean()


@CLASS_WEIGHTS.register("none")
def equal_weights(counts: Tensor) -> Tensor:
    """Every beat counts 1."""
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
    """Weights of the classes, scaled to a mean of 1 over the beats.

    Args:
        counts: Beats of each class, ``int64 [n_classes]``; a class without beats gets weight 0.
        use: Name of the kind of weights.
        options: Its options, already checked.

    Returns:
        ``float32 [n_classes]``.

    Raises:
        BeatwiseError: If every class that has beats would get weight 0.
    """
    there = counts > 0
    raw = CLASS_WEIGHTS[use](counts.clamp(min=1), **options).double() * there
    if not raw.any():
        raise BeatwiseError(f"train.class_weights.{use}: every class that has training beats gets weight 0.")
    return (raw * counts.sum() / (raw * counts).sum()).float()
