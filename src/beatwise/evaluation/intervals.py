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


def draw_scores(target: npt.NDArray[np.int64], probability: Floats, *, draws: int, seed: int) -> Scores:
    """Every metric in each of many bootstrap samples of the beats.

    Args:
        target: Class indices, ``int64 [n]``.
        probability: ``float [n, n_classes]``.
        draws: Number of bootstrap samples.
        seed: Seed of the draws: the same seed draws the same beats of any two models.
    """
    rng = np.random.default_rng(seed)
    samples: list[Scores] = []
    for start in range(0, draws, CHUNK):
        weights = bootstrap_weights(rng, len(target), min(CHUNK, draws - start))
        samples.append(score(target, probability, weights))
    return Scores(
        overall={name: np.concatenate([s.overall[name] for s in samples]) for name in samples[0].overall},
        per_class={name: np.concatenate([s.per_class[name] for s in samples]) for name in samples[0].per_class},
        confusion=np.concatenate([s.confusion for s in samples]),
    )


def measure(
    target: npt.NDArray[np.int64], probability: Floats, classes: Sequence[str], drawn: Scores, confidence: float
) -> dict[str, Any]:
    """Every metric with its percentile bootstrap interval (Efron & Tibshirani 1993, chapter 13), beats drawn singly.

    Args:
        target: Class indices, ``int64 [n]``.
        probability: ``float [n, n_classes]``.
        classes: Class names in the order of their indices.
        drawn: What :func:`draw_scores` gave for these beats.
        confidence: Share of the samples between the ends of an interval.

    Returns:
        ``n``; ``overall``, a metric each; ``per_class``, by class, with ``support``; ``confusion``, counts with the
        truth by row. A metric is ``{value, low, high}``; all three are None where it is not defined.
    """
    point = score(target, probability)
    ends = interval_ends(confidence)

    def overall(name: str) -> dict[str, float | None]:
        return _interval(point.overall[name][0], drawn.overall[name], ends)

    def per_class(name: str, index: int) -> dict[str, float | None]:
        return _interval(point.per_class[name][0, index], drawn.per_class[name][:, index], ends)

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


def interval_ends(confidence: float) -> tuple[float, float]:
    """The quantiles at the ends of an interval that holds this share in its middle."""
    return (1 - confidence) / 2, (1 + confidence) / 2


def _interval(value: float, drawn: Floats, ends: tuple[float, float]) -> dict[str, float | None]:
    if np.isnan(value):
        return {"value": None, "low": None, "high": None}
    # A draw without a single beat of a rare class has no recall for it, and is left out.
    low, high = np.nanquantile(drawn, ends)
    return {"value": float(value), "low": float(low), "high": float(high)}
