"""The recall-first operating point: how far rare classes may be favoured while accuracy holds."""

from __future__ import annotations

import numpy as np
import numpy.typing as npt

from beatwise.evaluation.metrics import Floats

# The search goes over the logarithms of the factors: first along powers of the class shares, then class by class.
POWERS = np.linspace(0, 1.5, 31)
STEPS = np.linspace(-3, 3, 61)
SWEEPS = 3


def recall_first_factors(target: npt.NDArray[np.int64], probability: Floats, accuracy_floor: float) -> Floats:
    """Factors of the classes' probabilities that give the highest macro recall at an accuracy that is high enough.

    To be chosen on validation and applied to test: which class has the largest probability after multiplication.

    Args:
        target: Class indices of the validation part, ``int64 [n]``.
        probability: ``float [n, n_classes]``.
        accuracy_floor: Accuracy that must be kept. Where argmax alone does not reach it, all factors are 1.

    Returns:
        ``float64 [n_classes]``; the class with the most beats has factor 1.
    """
    n_classes = probability.shape[1]
    counts = np.bincount(target, minlength=n_classes)
    majority = int(counts.argmax())
    exact = probability.astype(np.float64)

    def gain(log_factors: Floats) -> tuple[float, float]:
        """Macro recall and accuracy; no macro recall where the accuracy is too low."""
        hit = (exact * np.exp(log_factors)).argmax(axis=1) == target
        recall = np.bincount(target, weights=hit, minlength=n_classes)[counts > 0] / counts[counts > 0]
        accuracy = float(hit.mean())
        return (float(recall.mean()) if accuracy >= accuracy_floor else -1.0), accuracy

    shares = np.maximum(counts, 1) / len(target)
    best = np.zeros(n_classes)
    best_gain = gain(best)
    if best_gain[0] < 0:
        return np.ones(n_classes)
    for power in POWERS:
        candidate = power * (np.log(shares[majority]) - np.log(shares))
        if (found := gain(candidate)) > best_gain:
            best, best_gain = candidate, found
    others = [index for index in range(n_classes) if index != majority]
    for _ in range(SWEEPS):
        for index in others:
            around = best
            for step in STEPS:
                candidate = around.copy()
                candidate[index] += step
                if (found := gain(candidate)) > best_gain:
                    best, best_gain = candidate, found
    return np.exp(best)


def apply_factors(probability: Floats, factors: Floats) -> Floats:
    """Probabilities times the factors of their classes, so that they add up to 1 again, ``float [n, n_classes]``."""
    weighted = probability * factors
    return weighted / weighted.sum(axis=1, keepdims=True)
