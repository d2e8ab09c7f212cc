"""Calibration: whether what is given a probability of 90 % is so nine times in ten, and a temperature that mends it."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any, Final

import numpy as np
import numpy.typing as npt

from beatwise.tasks.classification.metrics import ECE_BINS, SMALLEST, equal_width_bins, point_scores
from beatwise.tasks.intervals import wilson_interval
from beatwise.tasks.metrics import Floats

# Temperatures that are tried; where the log loss falls on beyond, the end of the range is taken.
TEMPERATURES: Final = (0.05, 20.0)


def fit_temperature(target: npt.NDArray[np.int64], probability: Floats) -> float:
    """The temperature with the lowest log loss (Guo et al., ICML 2017, section 4.2), to be fitted on validation.

    Args:
        target: Class indices of the validation part, ``int64 [n]``.
        probability: ``float [n, n_classes]``.

    Returns:
        The temperature; above 1 makes the model less sure. An end of :data:`TEMPERATURES` where none is best, as on a
        validation part without a mistake.
    """
    from scipy.optimize import minimize_scalar
    from scipy.special import logsumexp

    log_probability = _logarithm(probability)
    of_truth = log_probability[np.arange(len(target)), target]

    def log_loss(log_temperature: float) -> float:
        # Convex in the inverse of the temperature, so that there is one minimum.
        inverse = np.exp(-log_temperature)
        return float((logsumexp(inverse * log_probability, axis=1) - inverse * of_truth).mean())

    low, high = np.log(TEMPERATURES)
    found = minimize_scalar(log_loss, bounds=(low, high), method="bounded", options={"xatol": 1e-6})
    return float(np.exp(min((low, found.x, high), key=log_loss)))


def apply_temperature(probability: Floats, temperature: float) -> Floats:
    """Probabilities at a temperature, softmax(log p / T), ``float64 [n, n_classes]``.

    This is the softmax of the logits over T, because logits and log p differ by a number that is the same for all
    classes. The order of the classes stays as it is, so no prediction changes.

    Args:
        probability: ``float [n, n_classes]``.
        temperature: T, above 0.
    """
    from scipy.special import softmax

    return softmax(_logarithm(probability) / temperature, axis=1)


def _logarithm(probability: Floats) -> Floats:
    return np.log(np.maximum(probability.astype(np.float64), SMALLEST))


def reliability(
    probability: Floats,
    happened: npt.NDArray[np.bool_],
    *,
    n_bins: int = ECE_BINS,
    confidence: float = 0.95,
) -> dict[str, Any]:
    """The frequency of an event, ``bool [n]``, among beats with similar predicted probabilities of it, ``float [n]``.

    Returns:
        Of each bin that holds beats, a list each: ``from`` and ``to``, its edges; ``beats``; ``probability``, the mean;
        ``frequency``, the share in which it happened, with ``low`` and ``high`` (Wilson, J. Am. Stat. Assoc. 22, 1927;
        beats taken for independent). And ``ece``, the mean gap between probability and frequency, weighted by beats
        (Naeini et al., AAAI 2015).
    """
    exact = probability.astype(np.float64)
    edges, place = np.linspace(0, 1, n_bins + 1), equal_width_bins(exact, n_bins)
    beats = np.bincount(place, minlength=n_bins)
    kept = np.flatnonzero(beats)
    sums, hits = (np.bincount(place, weights=values, minlength=n_bins)[kept] for values in (exact, happened))
    beats = beats[kept]
    low, high = wilson_interval(hits, beats, confidence)
    return {
        "from": edges[kept].tolist(),
        "to": edges[kept + 1].tolist(),
        "beats": beats.tolist(),
        "probability": (sums / beats).tolist(),
        "frequency": (hits / beats).tolist(),
        "low": low.tolist(),
        "high": high.tolist(),
        "ece": float(np.abs(hits - sums).sum() / len(exact)),
    }


def measure_calibration(
    val_target: npt.NDArray[np.int64],
    val_probability: Floats,
    target: npt.NDArray[np.int64],
    probability: Floats,
    classes: Sequence[str],
    *,
    confidence: float = 0.95,
) -> dict[str, Any]:
    """Calibration of test, before and after a temperature that is fitted on validation.

    ``compare_paired`` on the probabilities before and after shows whether the change is more than chance.

    Returns:
        ``temperature`` and ``confidence``; under ``before`` and ``after``: ``log_loss``, ``brier``
        (summed over the classes), ``top``, the :func:`reliability` of the largest probability, ``per_class``, by class
        the reliability of its probability and its own ``brier``, and ``classwise_ece``, the mean over the classes (Kull
        et al., NeurIPS 2019).
    """
    temperature = fit_temperature(val_target, val_probability)
    return {
        "temperature": temperature,
        "confidence": confidence,
        "before": _calibration(target, probability, classes, confidence),
        "after": _calibration(target, apply_temperature(probability, temperature), classes, confidence),
    }


def _calibration(
    target: npt.NDArray[np.int64], probability: Floats, classes: Sequence[str], confidence: float
) -> dict[str, Any]:
    scores = point_scores(target, probability)
    per_class = {
        label: {
            **reliability(probability[:, index], target == index, confidence=confidence),
            "brier": float(np.mean((probability[:, index].astype(np.float64) - (target == index)) ** 2)),
        }
        for index, label in enumerate(classes)
    }
    return {
        "log_loss": scores["log_loss"],
        "brier": scores["brier"],
        "top": reliability(probability.max(axis=1), probability.argmax(axis=1) == target, confidence=confidence),
        "per_class": per_class,
        "classwise_ece": float(np.mean([of_class["ece"] for of_class in per_class.values()])),
    }
