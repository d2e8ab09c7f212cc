"""Metrics of a classifier, computed once over all predictions, for many weightings of the examples at a time.

Averages over classes ("macro") leave out classes without examples, whose recall is not defined; a precision without a
single prediction of its class is 0, as in scikit-learn. A new metric is one function with one decorator: :func:`metric`
for one value overall, :func:`metric_per_class` for one value each class, which registers the macro average too.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable
from dataclasses import dataclass
from functools import cached_property
from typing import Any, Final, Literal

import numpy as np
import numpy.typing as npt

from beatwise.tasks.metrics import METRICS, F, Floats, Sample, plain, ratio

TASK: Final = "classification"
ECE_BINS: Final = 15
# The best network of the Kaggle split keeps it at argmax, and most factors that favour rare classes do not.
ACCURACY_FLOOR: Final = 0.985
# A certain mistake costs much and not infinitely much: a smaller probability is taken for this one in a logarithm.
SMALLEST: Final = float(np.finfo(np.float64).eps)
# A share of a count may come out this much beside the whole number that it is.
ROUNDING: Final = 1e-12


class Counts(Sample):
    """b confusion matrices, for the metrics that need nothing but counts."""

    def __init__(self, confusion: Floats) -> None:
        """Take weighted counts, truth by row and prediction by column, ``float64 [b, n_classes, n_classes]``."""
        super().__init__()
        self.confusion = confusion

    @cached_property
    def total(self) -> Floats:
        """All examples, ``[b]``."""
        return self.confusion.sum(axis=(1, 2))

    @cached_property
    def hits(self) -> Floats:
        """Right predictions of each class, ``[b, n_classes]``."""
        return self.confusion.diagonal(axis1=1, axis2=2)

    @cached_property
    def truth(self) -> Floats:
        """Examples of each class, ``[b, n_classes]``."""
        return self.confusion.sum(axis=2)

    @cached_property
    def predicted(self) -> Floats:
        """Predictions of each class, ``[b, n_classes]``."""
        return self.confusion.sum(axis=1)

    def where_present(self, values: Floats) -> Floats:
        """Values of the classes that have examples, NaN for the others, ``[b, n_classes]``."""
        return np.where(self.truth > 0, values, np.nan)


class Predictions:
    """Predictions, and what does not depend on how they are weighted."""

    def __init__(
        self, target: npt.NDArray[np.int64], probability: Floats, *, accuracy_floor: float = ACCURACY_FLOOR
    ) -> None:
        """Take the predictions; that of an example is the class with its largest probability.

        Args:
            target: Class indices, ``int64 [n]``.
            probability: One column a class, ``float [n, n_classes]``; the prediction is the largest.
            accuracy_floor: Accuracy that a recall-first operating point must keep.
        """
        self.target, self.probability, self.n_classes = target, probability, probability.shape[1]
        self.accuracy_floor = accuracy_floor

    @cached_property
    def cells(self) -> Floats:
        """The cell of the confusion matrix that each example is in, one-hot, ``float32 [n, n_classes²]``."""
        return np.eye(self.n_classes**2, dtype=np.float32)[
            self.target * self.n_classes + self.probability.argmax(axis=1)
        ]

    @cached_property
    def orders(self) -> list[Order]:
        """The order of the examples by their probability of each class."""
        return [Order(self.target == index, self.probability[:, index]) for index in range(self.n_classes)]

    @cached_property
    def exact(self) -> Floats:
        """The probabilities, ``float64 [n, n_classes]``."""
        return self.probability.astype(np.float64)

    @cached_property
    def of_truth(self) -> Floats:
        """The probability of the true class, ``float64 [n]``."""
        return self.exact[np.arange(len(self.target)), self.target]

    @cached_property
    def log_loss(self) -> Floats:
        """``float64 [n]``."""
        return -np.log(np.clip(self.of_truth, SMALLEST, 1.0))

    @cached_property
    def brier(self) -> Floats:
        """``float64 [n]``."""
        return (self.exact**2).sum(axis=1) - 2 * self.of_truth + 1

    @cached_property
    def gaps(self) -> Floats:
        """Hit less top probability, in the column of the bin of that probability, ``float64 [n, ECE_BINS]``."""
        top = self.exact.max(axis=1)
        gap = (self.exact.argmax(axis=1) == self.target) - top
        return np.eye(ECE_BINS)[equal_width_bins(top, ECE_BINS)] * gap[:, None]

    def weighted(self, weights: Floats | None = None) -> WeightedPredictions:
        """The predictions with the weights ``float [b, n]`` of the examples in b samples, by default 1."""
        return WeightedPredictions(
            self, np.ones((1, len(self.target)), dtype=np.float32) if weights is None else weights
        )


class WeightedPredictions(Counts):
    """b samples of the same predictions."""

    def __init__(self, given: Predictions, weights: Floats) -> None:
        """Count them; the rest is computed when a metric asks for it."""
        super().__init__((weights @ given.cells).astype(np.float64).reshape(-1, given.n_classes, given.n_classes))
        self.given, self.weights = given, weights

    @cached_property
    def rankings(self) -> list[Ranking]:
        """The examples ranked by their probability of each class."""
        return [order.weighted(self.weights) for order in self.given.orders]

    @cached_property
    def weight(self) -> Floats:
        """Sum of the weights, ``float64 [b]``."""
        return self.weights.sum(axis=1, dtype=np.float64)


def metric(name: str, **about: Any) -> Callable[[F], F]:
    """Register a function from :class:`Counts` or :class:`WeightedPredictions` to one value a sample, ``[b]``."""
    return METRICS.register(name, task=TASK, **about)


def metric_per_class(name: str, **about: Any) -> Callable[[F], F]:
    """Register a function to one value a sample and class, ``[b, n_classes]``, and ``macro_<name>``, their average."""

    def add(compute: F) -> F:
        METRICS.register(name, task=TASK, per_class=True, **about)(compute)
        label = f"macro {METRICS[name].label}"
        metric(f"macro_{name}", **{**about, "label": label})(lambda sample: macro_average(sample[name]))
        return compute

    return add


@metric("accuracy")
def accuracy(sample: Counts) -> Floats:
    """Share of right predictions."""
    return ratio(sample.hits.sum(axis=1), sample.total)


@metric("balanced_accuracy")
def balanced_accuracy(sample: Counts) -> Floats:
    """The mean recall of the classes."""
    return sample["macro_recall"]


@metric_per_class("precision")
def precision(sample: Counts) -> Floats:
    """Share of a class among what is called so."""
    return sample.where_present(ratio(sample.hits, sample.predicted, otherwise=0.0))


@metric_per_class("recall")
def recall(sample: Counts) -> Floats:
    """Share of a class that is called so."""
    return ratio(sample.hits, sample.truth)


@metric_per_class("specificity")
def specificity(sample: Counts) -> Floats:
    """Share of the other classes that is not called so."""
    total = sample.total[:, None]
    return sample.where_present(ratio(total - sample.truth - sample.predicted + sample.hits, total - sample.truth))


@metric_per_class("f1", label="F1")
def f1(sample: Counts) -> Floats:
    """Harmonic mean of precision and recall."""
    return sample.where_present(ratio(2 * sample.hits, sample.truth + sample.predicted))


@metric_per_class("auroc", label="AUROC")
def auroc(sample: WeightedPredictions) -> Floats:
    """Area under the ROC curve of a class against the rest, ties counted half."""
    return np.column_stack([ranking.auroc() for ranking in sample.rankings])


@metric_per_class("average_precision")
def average_precision(sample: WeightedPredictions) -> Floats:
    """The step-wise area under the precision–recall curve of a class against the rest."""
    return np.column_stack([ranking.average_precision() for ranking in sample.rankings])


@metric("kappa", label="Cohen's κ", low=-1.0)
def kappa(sample: Counts) -> Floats:
    """Agreement beyond chance (Cohen 1960)."""
    by_chance = ratio((sample.truth * sample.predicted).sum(axis=1), sample.total**2)
    return ratio(sample["accuracy"] - by_chance, 1 - by_chance, otherwise=0.0)


@metric("mcc", label="Matthews correlation", low=-1.0)
def mcc(sample: Counts) -> Floats:
    """Correlation of truth and prediction over several classes (Gorodkin, Comput. Biol. Chem. 28, 2004, eq. 8)."""
    squared = sample.total**2
    covariance = sample.hits.sum(axis=1) * sample.total - (sample.truth * sample.predicted).sum(axis=1)
    spread = (squared - (sample.predicted**2).sum(axis=1)) * (squared - (sample.truth**2).sum(axis=1))
    return ratio(covariance, np.sqrt(spread), otherwise=0.0)


@metric("log_loss", higher_is_better=False, high=None)
def log_loss(sample: WeightedPredictions) -> Floats:
    """Mean negative logarithm of the probability of the true class."""
    return sample.weights @ sample.given.log_loss / sample.weight


@metric("ece", label="expected calibration error", higher_is_better=False)
def ece(sample: WeightedPredictions) -> Floats:
    """Gap between top probability and accuracy over 15 bins of equal width (Guo et al., ICML 2017)."""
    return np.abs(sample.weights @ sample.given.gaps).sum(axis=1) / sample.weight


@metric("brier", label="Brier score", higher_is_better=False, high=2.0)
def brier(sample: WeightedPredictions) -> Floats:
    """Mean squared distance of the probabilities from the truth, summed over the classes (Brier 1950)."""
    return sample.weights @ sample.given.brier / sample.weight


@dataclass(frozen=True, eq=False)
class Scores:
    """Metrics of b samples.

    Attributes:
        overall: ``float64 [b]`` a metric.
        per_class: ``float64 [b, n_classes]`` a metric that has one value for each class.
        confusion: Weighted counts, truth by row and prediction by column, ``float64 [b, n_classes, n_classes]``.
    """

    overall: dict[str, Floats]
    per_class: dict[str, Floats]
    confusion: Floats

    @classmethod
    def of(cls, sample: WeightedPredictions) -> Scores:
        """Every metric of a sample."""
        overall, per_class = METRICS.overall(TASK), METRICS.per_class(TASK)
        return cls(
            {name: sample[name] for name in overall}, {name: sample[name] for name in per_class}, sample.confusion
        )


def score(target: npt.NDArray[np.int64], probability: Floats) -> Scores:
    """Compute every metric of the examples as they are.

    Args:
        target: Class indices, ``int64 [n]``.
        probability: One column a class, ``float [n, n_classes]``; the prediction is the largest.
    """
    return Scores.of(Predictions(target, probability).weighted())


def point_scores(
    target: npt.NDArray[np.int64],
    probability: Floats,
    names: Iterable[str] | None = None,
    *,
    accuracy_floor: float = ACCURACY_FLOOR,
) -> dict[str, float]:
    """Overall metrics without intervals, ``names`` or all, for the training loop."""
    sample = Predictions(target, probability, accuracy_floor=accuracy_floor).weighted()
    return {name: float(sample[name][0]) for name in names or METRICS.overall(TASK)}


def confusion_shares(confusion: npt.ArrayLike, of: Literal["truth", "prediction"]) -> list[list[float | None]]:
    """A confusion matrix in shares: of each true class (recall on the diagonal) or of each predicted one (precision).

    Args:
        confusion: Counts, truth by row and prediction by column, ``[n_classes, n_classes]``.
        of: The rows or the columns, which add up to 1.

    Returns:
        Shares in the same places; None in the row of a class without examples, or the column of one never predicted.
    """
    counts = np.asarray(confusion, dtype=np.float64)
    return plain(ratio(counts, counts.sum(axis=1 if of == "truth" else 0, keepdims=True)))


def equal_width_bins(probability: Floats, n_bins: int) -> npt.NDArray[np.intp]:
    """The bin of each probability among bins of equal width, a probability on an edge in the upper one, ``[n]``."""
    return np.minimum((probability * n_bins).astype(np.intp), n_bins - 1)


@dataclass(frozen=True, eq=False)
class Ranking:
    """Examples of one class (hits) and of the others (alarms) at or above a falling threshold.

    The t thresholds are only those that let in examples of the class. Examples with equal probabilities cannot be
    ranked against one another: they enter together.

    Attributes:
        hits: ``float64 [b, t]``.
        alarms: ``float64 [b, t]``.
        alarms_before: Alarms just above the threshold, ``float64 [b, t]``.
        positives: All examples of the class, ``float64 [b]``.
        others: All examples of the other classes, ``float64 [b]``.
    """

    hits: Floats
    alarms: Floats
    alarms_before: Floats
    positives: Floats
    others: Floats

    def auroc(self) -> Floats:
        """Area under the ROC curve, ties counted half (Hanley & McNeil 1982), ``[b]``."""
        below = self.others[:, None] - (self.alarms_before + self.alarms) / 2
        return ratio((self._new_hits() * below).sum(axis=1), self.positives * self.others)

    def average_precision(self) -> Floats:
        """The step-wise area under the precision–recall curve, ``[b]``."""
        return ratio((self._new_hits() * self.precision()).sum(axis=1), self.positives)

    def precision(self) -> Floats:
        """Share of the class among the examples at or above each threshold, ``[b, t]``."""
        return ratio(self.hits, self.hits + self.alarms, otherwise=0.0)

    def _new_hits(self) -> Floats:
        return np.diff(self.hits, axis=1, prepend=0.0)


class Order:
    """Examples by their falling probability of one class."""

    def __init__(self, positive: npt.NDArray[np.bool_], probability: Floats) -> None:
        """Put examples, ``bool [n]`` and ``float [n]``, in the order of their probability."""
        self.positive = positive
        self.order, self.ends = falling(probability)
        place = np.flatnonzero(positive[self.order])
        # The tie in which each example of the class enters, and the last such example of each tie.
        tie = np.searchsorted(self.ends, place)
        self.last = np.flatnonzero(np.append(tie[1:] != tie[:-1], len(tie) > 0))
        self.tie, self.enters = tie[self.last], self.order[place]

    def weighted(self, weights: Floats) -> Ranking:
        """Hits and alarms in each sample, with the weights ``float [b, n]`` of the examples."""
        seen = np.cumsum(np.take(weights, self.order, axis=1), axis=1, dtype=np.float64)
        hits = np.cumsum(np.take(weights, self.enters, axis=1), axis=1, dtype=np.float64)[:, self.last]
        seen_before = np.where(self.tie > 0, seen[:, self.ends[self.tie - 1]], 0.0)
        hits_before = np.pad(hits, ((0, 0), (1, 0)))[:, :-1]
        positives = weights[:, self.positive].sum(axis=1, dtype=np.float64)
        alarms, before = seen[:, self.ends[self.tie]] - hits, seen_before - hits_before
        return Ranking(hits, alarms, before, positives, seen[:, -1] - positives)


def falling(values: Floats) -> tuple[npt.NDArray[np.intp], npt.NDArray[np.intp]]:
    """The order of falling values, and the place in it at which each tie ends."""
    order = np.argsort(-values, kind="stable")
    ranked = values[order]
    return order, np.flatnonzero(np.append(ranked[1:] != ranked[:-1], True))


def macro_average(values: Floats) -> Floats:
    """Mean ``[b]`` of a metric ``float [b, n_classes]`` over the classes for which it is defined.

    Args:
        values: ``float [b, n_classes]``.
    """
    defined = ~np.isnan(values)
    return ratio(np.where(defined, values, 0.0).sum(axis=1), defined.sum(axis=1).astype(np.float64))
