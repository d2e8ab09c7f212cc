"""Metrics of a classifier, computed once over all predictions, for many weightings of the beats at a time.

Every metric is computed from weights ``[b, n]``: how often each of n beats counts in each of b samples. All ones in one
row give the plain metric, the counts of a bootstrap draw give its value in that draw, so that a metric and its interval
come from one piece of code. Averages over classes ("macro") leave out classes without beats, whose recall is not
defined; a precision without a single prediction of its class is 0, as in scikit-learn.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any, Final, Literal, get_args

import numpy as np
import numpy.typing as npt

Floats = npt.NDArray[np.floating[Any]]

OverallMetric = Literal[
    "accuracy",
    "balanced_accuracy",
    "macro_precision",
    "macro_recall",
    "macro_specificity",
    "macro_f1",
    "macro_auroc",
    "macro_average_precision",
    "kappa",
    "mcc",
    "log_loss",
    "ece",
    "brier",
]
OVERALL: Final[tuple[str, ...]] = get_args(OverallMetric)
LESS_IS_BETTER: Final = ("log_loss", "ece", "brier")
PER_CLASS: Final = ("precision", "recall", "specificity", "f1", "auroc", "average_precision")
# What they are called wherever people read them.
LABELS: Final = {
    "accuracy": "accuracy",
    "balanced_accuracy": "balanced accuracy",
    "macro_precision": "macro precision",
    "macro_recall": "macro recall",
    "macro_specificity": "macro specificity",
    "macro_f1": "macro F1",
    "macro_auroc": "macro AUROC",
    "macro_average_precision": "macro average precision",
    "kappa": "Cohen's κ",
    "mcc": "Matthews correlation",
    "log_loss": "log loss",
    "ece": "expected calibration error",
    "brier": "Brier score",
    "precision": "precision",
    "recall": "recall",
    "specificity": "specificity",
    "f1": "F1",
    "auroc": "AUROC",
    "average_precision": "average precision",
}
ECE_BINS: Final = 15


@dataclass(frozen=True, eq=False)
class Scores:
    """Metrics of b samples.

    Attributes:
        overall: ``float64 [b]`` a metric of :data:`OVERALL`.
        per_class: ``float64 [b, n_classes]`` a metric of :data:`PER_CLASS`.
        confusion: Weighted counts, truth by row and prediction by column, ``float64 [b, n_classes, n_classes]``.
    """

    overall: dict[str, Floats]
    per_class: dict[str, Floats]
    confusion: Floats


def score(target: npt.NDArray[np.int64], probability: Floats, weights: Floats | None = None) -> Scores:
    """Compute every metric.

    Definitions: κ, Cohen 1960; MCC of several classes, Gorodkin 2004 (Comput. Biol. Chem. 28, eq. 8); AUROC one against
    the rest, ties counted half; average precision, the step-wise area under the precision–recall curve; Brier score
    summed over the classes (Brier 1950); ECE, 15 bins of equal width over the top probability (Guo et al. 2017).

    Args:
        target: Class indices, ``int64 [n]``.
        probability: One column a class, ``float [n, n_classes]``; the prediction is the largest.
        weights: How often each beat counts in each sample, ``float [b, n]``; None counts each beat once.
    """
    n_classes = probability.shape[1]
    if weights is None:
        weights = np.ones((1, len(target)), dtype=np.float32)
    predicted = probability.argmax(axis=1)
    cells = np.eye(n_classes**2, dtype=np.float32)[target * n_classes + predicted]
    confusion = (weights @ cells).astype(np.float64).reshape(-1, n_classes, n_classes)

    overall, per_class = _from_confusion(confusion)
    ranked = [_ranking(target == index, probability[:, index], weights) for index in range(n_classes)]
    per_class["auroc"] = np.column_stack([auroc for auroc, _ in ranked])
    per_class["average_precision"] = np.column_stack([precision for _, precision in ranked])
    overall |= _from_probabilities(target, probability, weights)
    for name, values in per_class.items():
        overall[f"macro_{name}"] = _nanmean(values)
    overall["balanced_accuracy"] = overall["macro_recall"]
    return Scores({name: overall[name] for name in OVERALL}, per_class, confusion)


def point_scores(target: npt.NDArray[np.int64], probability: Floats) -> dict[str, float]:
    """The overall metrics without intervals, for the training loop."""
    return {name: float(values[0]) for name, values in score(target, probability).overall.items()}


def _from_confusion(confusion: Floats) -> tuple[dict[str, Floats], dict[str, Floats]]:
    total = confusion.sum(axis=(1, 2))
    hits = confusion.diagonal(axis1=1, axis2=2)
    truth, predicted = confusion.sum(axis=2), confusion.sum(axis=1)
    present = truth > 0
    per_class = {
        "precision": np.where(present, _ratio(hits, predicted, otherwise=0.0), np.nan),
        "recall": _ratio(hits, truth),
        "specificity": np.where(
            present, _ratio(total[:, None] - truth - predicted + hits, total[:, None] - truth), np.nan
        ),
        "f1": np.where(present, _ratio(2 * hits, truth + predicted), np.nan),
    }
    agreement = hits.sum(axis=1) / total
    by_chance = (truth * predicted).sum(axis=1) / total**2
    covariance = hits.sum(axis=1) * total - (truth * predicted).sum(axis=1)
    spread = (total**2 - (predicted**2).sum(axis=1)) * (total**2 - (truth**2).sum(axis=1))
    overall = {
        "accuracy": agreement,
        "kappa": _ratio(agreement - by_chance, 1 - by_chance, otherwise=0.0),
        "mcc": _ratio(covariance, np.sqrt(spread), otherwise=0.0),
    }
    return overall, per_class


def _from_probabilities(target: npt.NDArray[np.int64], probability: Floats, weights: Floats) -> dict[str, Floats]:
    exact = probability.astype(np.float64)
    of_truth = exact[np.arange(len(target)), target]
    log_loss = -np.log(np.clip(of_truth, np.finfo(np.float64).eps, 1.0))
    brier = (exact**2).sum(axis=1) - 2 * of_truth + 1
    top = exact.max(axis=1)
    gap = (exact.argmax(axis=1) == target) - top
    bins = np.minimum((top * ECE_BINS).astype(np.intp), ECE_BINS - 1)
    gaps_by_bin = np.eye(ECE_BINS)[bins] * gap[:, None]
    total = weights.sum(axis=1, dtype=np.float64)
    return {
        "log_loss": weights @ log_loss / total,
        "brier": weights @ brier / total,
        "ece": np.abs(weights @ gaps_by_bin).sum(axis=1) / total,
    }


def _ranking(positive: npt.NDArray[np.bool_], score_: Floats, weights: Floats) -> tuple[Floats, Floats]:
    """AUROC and average precision of one class, each ``[b]``."""
    order = np.argsort(-score_, kind="stable")
    ranked = score_[order]
    # Beats with equal scores cannot be ranked against one another: they enter together.
    last_of_tie = np.flatnonzero(np.append(ranked[1:] != ranked[:-1], True))
    in_order = weights[:, order].astype(np.float64)
    hits = np.cumsum(in_order * positive[order], axis=1)[:, last_of_tie]
    seen = np.cumsum(in_order, axis=1)[:, last_of_tie]
    alarms = seen - hits
    new_hits = np.diff(hits, axis=1, prepend=0.0)
    new_alarms = np.diff(alarms, axis=1, prepend=0.0)
    auroc = _ratio((new_alarms * (hits - new_hits / 2)).sum(axis=1), hits[:, -1] * alarms[:, -1])
    precision = _ratio(hits, seen, otherwise=0.0)
    return auroc, _ratio((new_hits * precision).sum(axis=1), hits[:, -1])


def _ratio(top: Floats, bottom: Floats, otherwise: float = np.nan) -> Floats:
    return np.divide(top, bottom, out=np.full(np.broadcast(top, bottom).shape, otherwise), where=bottom != 0)


def _nanmean(values: Floats) -> Floats:
    defined = ~np.isnan(values)
    return _ratio(np.where(defined, values, 0.0).sum(axis=1), defined.sum(axis=1).astype(np.float64))
