"""Operating points: how far rare classes may be favoured while accuracy holds, and thresholds for a wanted recall."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
import numpy.typing as npt

from beatwise.tasks.classification.metrics import ROUNDING, Counts, WeightedPredictions, metric
from beatwise.tasks.intervals import bootstrap, interval, interval_ends
from beatwise.tasks.metrics import Floats, plain

# The search goes over the logarithms of the factors: first along powers of the class shares, then class by class.
POWERS = np.linspace(0, 1.5, 31)
STEPS = np.linspace(-3, 3, 61)
SWEEPS = 3
# The metrics of each class against the rest at its threshold.
SHOWN = ("recall", "specificity", "precision")


@dataclass(frozen=True, eq=False)
class OperatingPoint:
    """Factors of the classes' probabilities, and what they give on the part on which they were chosen.

    Attributes:
        factors: ``float64 [n_classes]``; all 1 where no factors reach the floor.
        accuracy: Accuracy with the best factors that were found, even where they fall short of the floor.
        macro_recall: Macro recall with ``factors``.
        reached: Whether the accuracy reaches the floor.
        floor: The floor.
    """

    factors: Floats
    accuracy: float
    macro_recall: float
    reached: bool
    floor: float

    @property
    def score(self) -> float:
        """The macro recall; below 0, by how much the accuracy falls short, where no factors reach the floor.

        So every model that reaches the floor is above every one that does not.
        """
        return self.macro_recall if self.reached else self.accuracy - self.floor


def recall_first_point(target: npt.NDArray[np.int64], probability: Floats, accuracy_floor: float) -> OperatingPoint:
    """Factors of the classes' probabilities that give the highest macro recall at an accuracy that is high enough.

    To be chosen on validation and applied to test: the prediction is the class with the largest probability after
    multiplication. Where argmax alone does not reach the floor, the search first climbs to it.

    Args:
        target: Class indices of the validation part, ``int64 [n]``.
        probability: ``float [n, n_classes]``.
        accuracy_floor: Accuracy that must be kept.

    Returns:
        The best point that the search found; the class with the most beats has factor 1.
    """
    n_classes = probability.shape[1]
    counts = np.bincount(target, minlength=n_classes)
    majority, present = int(counts.argmax()), counts > 0
    exact = probability.astype(np.float64)

    def gain(hit: npt.NDArray[np.bool_]) -> tuple[float, float, float]:
        """Macro recall where the accuracy is high enough, else -1; accuracy; macro recall."""
        recall = float((np.bincount(target, weights=hit, minlength=n_classes)[present] / counts[present]).mean())
        accuracy = float(hit.mean())
        return (recall if accuracy >= accuracy_floor else -1.0), accuracy, recall

    def at(log_factors: Floats) -> tuple[float, float, float]:
        return gain((exact * np.exp(log_factors)).argmax(axis=1) == target)

    shares = np.maximum(counts, 1) / len(target)
    best = np.zeros(n_classes)
    best_gain = argmax_gain = at(best)
    # A model that favours the rare classes, for instance by its sampler, gains accuracy by factors below 1.
    for power in POWERS if best_gain[0] >= 0 else np.concatenate([POWERS, -POWERS[1:]]):
        candidate = power * (np.log(shares[majority]) - np.log(shares))
        if (found := at(candidate)) > best_gain:
            best, best_gain = candidate, found
    for _ in range(SWEEPS):
        for index in np.flatnonzero(np.arange(n_classes) != majority):
            around = best
            # The class competes with the best of the others, which do not change.
            others = exact * np.exp(around)
            others[:, index] = -np.inf
            rival, highest = others.argmax(axis=1), others.max(axis=1)
            first, right, wanted = index < rival, rival == target, target == index
            for step in STEPS:
                own = exact[:, index] * np.exp(around[index] + step)
                called = (own > highest) | ((own == highest) & first)
                if (found := gain(np.where(called, wanted, right))) > best_gain:
                    best, best_gain = around.copy(), found
                    best[index] += step
    reached = best_gain[0] >= 0
    kept, recall = (np.exp(best), best_gain[2]) if reached else (np.ones(n_classes), argmax_gain[2])
    return OperatingPoint(kept, best_gain[1], recall, reached, accuracy_floor)


@metric("recall_first", label="recall-first score", low=-1.0, chooses=True)
def recall_first(sample: WeightedPredictions) -> Floats:
    """The highest macro recall of an operating point whose accuracy reaches the floor; below 0, how far all fall short.

    The operating points are per-class factors (:func:`recall_first_point`). Macro recall alone buys recall with false
    alarms; this score pays for it only as far as accuracy holds.
    """
    given = sample.given
    counts = [weights.round().astype(np.intp) for weights in sample.weights]
    parts = [(given.target.repeat(n), given.probability.repeat(n, axis=0)) for n in counts]
    return np.array([recall_first_point(*part, given.accuracy_floor).score for part in parts])


def apply_factors(probability: Floats, factors: Floats) -> Floats:
    """Probabilities times the factors of their classes, so that they add up to 1 again, ``float [n, n_classes]``."""
    weighted = probability * factors
    return weighted / weighted.sum(axis=1, keepdims=True)


def recall_thresholds(target: npt.NDArray[np.int64], probability: Floats, recall: float) -> Floats:
    """For each class against the rest, the highest threshold that reaches a wanted recall.

    To be chosen on validation and applied to test: a beat whose probability of the class is the threshold or more is
    called. A beat may be called several classes or none.

    Args:
        target: Class indices of the validation part, ``int64 [n]``.
        probability: ``float [n, n_classes]``.
        recall: The wanted recall, above 0 and up to 1.

    Returns:
        ``float64 [n_classes]``; NaN for a class without beats.
    """
    thresholds = np.full(probability.shape[1], np.nan)
    for index in range(probability.shape[1]):
        of_class = np.sort(probability[target == index, index])
        if len(of_class):
            needed = int(np.ceil(recall * len(of_class) * (1 - ROUNDING)))
            thresholds[index] = of_class[len(of_class) - max(needed, 1)]
    return thresholds


def measure_thresholds(
    target: npt.NDArray[np.int64],
    probability: Floats,
    classes: Sequence[str],
    thresholds: Floats,
    *,
    draws: int,
    seed: int,
    confidence: float,
    cluster: npt.NDArray[Any] | None = None,
) -> dict[str, Any]:
    """Apply the thresholds of :func:`recall_thresholds` to a part: each class against the rest.

    Args:
        target: Class indices, ``int64 [n]``.
        probability: ``float [n, n_classes]``.
        classes: Class names in the order of their indices.
        thresholds: ``float64 [n_classes]``.
        draws: Number of bootstrap samples.
        seed: Their seed.
        confidence: Share of the samples between the ends of an interval.
        cluster: Record of each beat, ``[n]``, to draw whole records; None draws single beats.

    Returns:
        By class: ``threshold``, ``support``, ``called`` (beats at or above the threshold), and ``recall``,
        ``specificity`` and ``precision``, each ``{value, low, high}``: None where not defined, and all None without a
        threshold.

    Raises:
        BeatwiseError: If the records cannot be drawn.
    """
    called = probability >= thresholds
    truth = target[:, None] == np.arange(len(classes))
    # Against the rest, four numbers: neither, called alone, class alone, both.
    cells = np.concatenate([~truth & ~called, ~truth & called, truth & ~called, truth & called], axis=1)
    cells = cells.astype(np.float32)

    def scores(weights: Floats) -> dict[str, Floats]:
        counts = (weights @ cells).astype(np.float64).reshape(-1, 2, 2, len(classes))
        against_rest = counts.transpose(0, 3, 1, 2).reshape(-1, 2, 2)
        sample = Counts(against_rest)
        return {name: sample[name][:, 1].reshape(-1, len(classes)) for name in SHOWN}

    point, drawn = bootstrap(scores, len(target), draws=draws, seed=seed, cluster=cluster)
    ends = interval_ends(confidence)

    support = truth.sum(axis=0)
    of = {"recall": support, "specificity": len(target) - support, "precision": called.sum(axis=0)}

    def of_class(name: str, index: int) -> dict[str, float | None]:
        value = np.nan if np.isnan(thresholds[index]) else point[name][index]
        return interval(value, drawn[name][:, index], ends, int(of[name][index]))

    return {
        label: {
            "threshold": plain(thresholds)[index],
            "support": int(support[index]),
            "called": int(called[:, index].sum()),
            **{name: of_class(name, index) for name in SHOWN},
        }
        for index, label in enumerate(classes)
    }
