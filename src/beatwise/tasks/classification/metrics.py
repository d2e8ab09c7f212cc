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
# A certain mistake costs much and not infinitely much: a smaller probability is taken for this one in a logarithm.
SMALLEST: Final = float(np.finfo(np.float64).eps)
# A share of a count may come out this much beside the whole number that it is.
ROUNDING: Final = 1e-12


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

    overall, per_class = confusion_scores(confusion)
    rankings = [rank_beats(target == index, probability[:, index], weights) for index in range(n_classes)]
    per_class["auroc"] = np.column_stack([ranking.auroc() for ranking in rankings])
    per_class["average_precision"] = np.column_stack([ranking.average_precision() for ranking in rankings])
    overall |= _from_probabilities(target, probability, weights)
    for name, values in per_class.items():
        overall[f"macro_{name}"] = macro_average(values)
    overall["balanced_accuracy"] = overall["macro_recall"]
    return Scores({name: overall[name] for name in OVERALL}, per_class, confusion)


def point_scores(target: npt.NDArray[np.int64], probability: Floats) -> dict[str, float]:
    """The overall metrics without intervals, for the training loop."""
    return {name: float(values[0]) for name, values in score(target, probability).overall.items()}


def confusion_scores(confusion: Floats) -> tuple[dict[str, Floats], dict[str, Floats]]:
    """The metrics that need nothing but counts: accuracy, κ and MCC; precision, recall, specificity and F1 of a class.

    Args:
        confusion: Counts, truth by row and prediction by column, ``float [b, n_classes, n_classes]``.

    Returns:
        Overall metrics, each ``[b]``, and metrics of the classes, each ``[b, n_classes]``.
    """
    total = confusion.sum(axis=(1, 2))
    hits = confusion.diagonal(axis1=1, axis2=2)
    truth, predicted = confusion.sum(axis=2), confusion.sum(axis=1)
    present = truth > 0
    per_class = {
        "precision": np.where(present, ratio(hits, predicted, otherwise=0.0), np.nan),
        "recall": ratio(hits, truth),
        "specificity": np.where(
            present, ratio(total[:, None] - truth - predicted + hits, total[:, None] - truth), np.nan
        ),
        "f1": np.where(present, ratio(2 * hits, truth + predicted), np.nan),
    }
    agreement = ratio(hits.sum(axis=1), total)
    by_chance = ratio((truth * predicted).sum(axis=1), total**2)
    covariance = hits.sum(axis=1) * total - (truth * predicted).sum(axis=1)
    spread = (total**2 - (predicted**2).sum(axis=1)) * (total**2 - (truth**2).sum(axis=1))
    overall = {
        "accuracy": agreement,
        "kappa": ratio(agreement - by_chance, 1 - by_chance, otherwise=0.0),
        "mcc": ratio(covariance, np.sqrt(spread), otherwise=0.0),
    }
    return overall, per_class


def confusion_shares(confusion: npt.ArrayLike, of: Literal["truth", "prediction"]) -> list[list[float | None]]:
    """A confusion matrix in shares: of each true class (recall on the diagonal) or of each predicted one (precision).

    Args:
        confusion: Counts, truth by row and prediction by column, ``[n_classes, n_classes]``.
        of: What adds up to 1: the rows, or the columns.

    Returns:
        Shares in the same places; None in the row of a class without beats, or the column of one never predicted.
    """
    counts = np.asarray(confusion, dtype=np.float64)
    return plain(ratio(counts, counts.sum(axis=1 if of == "truth" else 0, keepdims=True)))


def _from_probabilities(target: npt.NDArray[np.int64], probability: Floats, weights: Floats) -> dict[str, Floats]:
    exact = probability.astype(np.float64)
    of_truth = exact[np.arange(len(target)), target]
    log_loss = -np.log(np.clip(of_truth, SMALLEST, 1.0))
    brier = (exact**2).sum(axis=1) - 2 * of_truth + 1
    top = exact.max(axis=1)
    gap = (exact.argmax(axis=1) == target) - top
    gaps_by_bin = np.eye(ECE_BINS)[equal_width_bins(top, ECE_BINS)] * gap[:, None]
    total = weights.sum(axis=1, dtype=np.float64)
    return {
        "log_loss": weights @ log_loss / total,
        "brier": weights @ brier / total,
        "ece": np.abs(weights @ gaps_by_bin).sum(axis=1) / total,
    }


def equal_width_bins(probability: Floats, n_bins: int) -> npt.NDArray[np.intp]:
    """The bin of each probability among bins of equal width, a probability on an edge in the upper one, ``[n]``."""
    return np.minimum((probability * n_bins).astype(np.intp), n_bins - 1)


@dataclass(frozen=True, eq=False)
class Ranking:
    """Beats of one class (hits) and of the others (alarms) at or above a falling threshold.

    Of the t thresholds there are only those that let in beats of the class. Beats with equal probabilities cannot be
    ranked against one another: they enter together.

    Attributes:
        hits: ``float64 [b, t]``.
        alarms: ``float64 [b, t]``.
        alarms_before: Alarms just above the threshold, ``float64 [b, t]``.
        beats: All beats of the class, ``float64 [b]``.
        others: All beats of the other classes, ``float64 [b]``.
    """

    hits: Floats
    alarms: Floats
    alarms_before: Floats
    beats: Floats
    others: Floats

    def auroc(self) -> Floats:
        """Area under the ROC curve, ties counted half (Hanley & McNeil 1982), ``[b]``."""
        below = self.others[:, None] - (self.alarms_before + self.alarms) / 2
        return ratio((self._new_hits() * below).sum(axis=1), self.beats * self.others)

    def average_precision(self) -> Floats:
        """The step-wise area under the precision–recall curve, ``[b]``."""
        return ratio((self._new_hits() * self.precision()).sum(axis=1), self.beats)

    def precision(self) -> Floats:
        """Share of the class among the beats at or above each threshold, ``[b, t]``."""
        return ratio(self.hits, self.hits + self.alarms, otherwise=0.0)

    def _new_hits(self) -> Floats:
        return np.diff(self.hits, axis=1, prepend=0.0)


def rank_beats(positive: npt.NDArray[np.bool_], probability: Floats, weights: Floats) -> Ranking:
    """Rank beats by their probability of one class.

    Args:
        positive: Which beats are of the class, ``bool [n]``.
        probability: Their probability of it, ``float [n]``.
        weights: How often each beat counts in each sample, ``float [b, n]``.
    """
    order, ends = falling(probability)
    place = np.flatnonzero(positive[order])
    # The tie in which each beat of the class enters, and of each tie the last such beat.
    tie = np.searchsorted(ends, place)
    last = np.flatnonzero(np.append(tie[1:] != tie[:-1], len(tie) > 0))
    tie = tie[last]

    seen = np.cumsum(np.take(weights, order, axis=1), axis=1, dtype=np.float64)
    hits = np.cumsum(np.take(weights, order[place], axis=1), axis=1, dtype=np.float64)[:, last]
    seen_before = np.where(tie > 0, seen[:, ends[tie - 1]], 0.0)
    hits_before = np.pad(hits, ((0, 0), (1, 0)))[:, :-1]
    beats = weights[:, positive].sum(axis=1, dtype=np.float64)
    return Ranking(hits, seen[:, ends[tie]] - hits, seen_before - hits_before, beats, seen[:, -1] - beats)


def falling(values: Floats) -> tuple[npt.NDArray[np.intp], npt.NDArray[np.intp]]:
    """The order of falling values, and the place in it at which each tie ends."""
    order = np.argsort(-values, kind="stable")
    ranked = values[order]
    return order, np.flatnonzero(np.append(ranked[1:] != ranked[:-1], True))


def ratio(top: Floats, bottom: Floats, otherwise: float = np.nan) -> Floats:
    """Quotients, and another value where the divisor is 0."""
    return np.divide(top, bottom, out=np.full(np.broadcast(top, bottom).shape, otherwise), where=bottom != 0)


def macro_average(values: Floats) -> Floats:
    """Mean over the classes for which a metric is defined, ``[b]``.

    Args:
        values: ``float [b, n_classes]``.
    """
    defined = ~np.isnan(values)
    return ratio(np.where(defined, values, 0.0).sum(axis=1), defined.sum(axis=1).astype(np.float64))


def plain(values: Floats) -> Any:
    """Numbers as nested lists for JSON, None where one is not defined."""
    out = values.astype(object)
    out[np.isnan(values)] = None
    return out.tolist()
