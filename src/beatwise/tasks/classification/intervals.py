"""Every metric of a classifier with its bootstrap interval."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import numpy as np
import numpy.typing as npt

from beatwise.tasks.classification.metrics import Predictions, Scores, score
from beatwise.tasks.intervals import draw_weights, interval, interval_ends
from beatwise.tasks.metrics import Floats


def draw_scores(
    target: npt.NDArray[np.int64],
    probability: Floats,
    *,
    draws: int,
    seed: int,
    cluster: npt.NDArray[Any] | None = None,
) -> Scores:
    """Every metric in each of many bootstrap samples of the beats, or of whole records.

    Args:
        target: Class indices, ``int64 [n]``.
        probability: ``float [n, n_classes]``.
        draws: Number of bootstrap samples.
        seed: Seed of the draws: the same seed draws the same beats of any two models.
        cluster: Record of each beat, ``[n]``, as of ``draw_weights``; None draws beats singly.

    Raises:
        BeatwiseError: If the records cannot be drawn.
    """
    given = Predictions(target, probability)
    chunks = draw_weights(len(target), draws=draws, seed=seed, cluster=cluster)
    samples = [Scores.of(given.weighted(weights)) for weights in chunks]
    return Scores(
        overall={name: np.concatenate([s.overall[name] for s in samples]) for name in samples[0].overall},
        per_class={name: np.concatenate([s.per_class[name] for s in samples]) for name in samples[0].per_class},
        confusion=np.concatenate([s.confusion for s in samples]),
    )


def measure(
    target: npt.NDArray[np.int64], probability: Floats, classes: Sequence[str], drawn: Scores, confidence: float
) -> dict[str, Any]:
    """Every metric with its percentile bootstrap interval (Efron & Tibshirani 1993, chapter 13).

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
        return interval(point.overall[name][0], drawn.overall[name], ends)

    def per_class(name: str, index: int) -> dict[str, float | None]:
        return interval(point.per_class[name][0, index], drawn.per_class[name][:, index], ends)

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
