"""Bootstrap intervals: how far a metric might have come out otherwise on another test set of this size."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import numpy as np
import numpy.typing as npt

from beatwise.evaluation.metrics import Floats, Scores, score

# Draws that are scored at once; bounds the memory to some hundred MB on 22,000 beats.
CHUNK = 50


def bootstrap_weights(rng: np.random.Generator, n: int, draws: int) -> Floats:
    """How often each of n beats is drawn in each sample of n with replacement, ``float32 [draws, n]``."""
    drawn = rng.integers(0, n, size=(draws, n)) + n * np.arange(draws)[:, None]
    return np.bincount(drawn.ravel(), minlength=draws * n).reshape(draws, n).astype(np.float32)


def measure(
    target: npt.NDArray[np.int64],
    probability: Floats,
    classes: Sequence[str],
    *,
    draws: int,
    confidence: float,
    seed: int,
) -> dict[str, Any]:
    """Every metric with its percentile bootstrap interval (Efron & Tibshirani 1993, chapter 13), beats drawn singly.

    Args:
        target: Class indices, ``int64 [n]``.
        probability: ``float [n, n_classes]``.
        classes: Class names in the order of their indices.
        draws: Number of bootstrap samples.
        confidence: Share of the samples between the ends of an interval.
        seed: Seed of the draws.

    Returns:
        ``n``; ``overall``, a metric each; ``per_class``, by class, with ``support``; ``confusion``, counts with the
        truth by row. A metric is ``{value, low, high}``; all three are None where it is not defined.
    """
    point = score(target, probability)
    rng = np.random.default_rng(seed)
    samples: list[Scores] = []
    for start in range(0, draws, CHUNK):
        weights = bootstrap_weights(rng, len(target), min(CHUNK, draws - start))
        samples.append(score(target, probability, weights))
    ends = ((1 - confidence) / 2, (1 + confidence) / 2)

    def overall(name: str) -> dict[str, float | None]:
        return _interval(point.overall[name][0], np.concatenate([s.overall[name] for s in samples]), ends)

    def per_class(name: str, index: int) -> dict[str, float | None]:
        drawn = np.concatenate([s.per_class[name][:, index] for s in samples])
        return _interval(point.per_class[name][0, index], drawn, ends)

    confusion = point.confusion[0].astype(int)
    return {
        "n": len(target),
        "overall": {name: overall(name) for name in point.overall},
        "per_class": {
            label: {
                "support": int(confusion[index].sum()),
                **{name: per_class(name, index) for name in point.per_class},
            }
            for index, label in enumerate(classes)
        },
        "confusion": confusion.tolist(),
    }


def _interval(value: float, drawn: Floats, ends: tuple[float, float]) -> dict[str, float | None]:
    if np.isnan(value):
        return {"value": None, "low": None, "high": None}
    # A draw without a single beat of a rare class has no recall for it, and is left out.
    low, high = np.nanquantile(drawn, ends)
    return {"value": float(value), "low": float(low), "high": float(high)}
