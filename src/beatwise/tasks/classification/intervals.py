"""Every metric of a classifier with its bootstrap interval."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import numpy as np
import numpy.typing as npt

from beatwise.tasks.classification.metrics import Predictions, Scores, score
from beatwise.tasks.intervals import draw_weights, interval, interval_ends, widened
from beatwise.tasks.metrics import Floats


def draw_scores(
    target: npt.NDArray[np.int64],
    probability: Floats,
    *,
    draws: int,
    seed: int,
    cluster: npt.NDArray[Any] | None = None,
) -> Scores:
    """Every metric in each of many bootstrap samples; the same seed draws the same beats of any two models.

    Args:
        target: Class indices, ``int64 [n]``.
        probability: ``float [n, n_classes]``.
        draws: Number of bootstrap samples.
        seed: Seed of the draws: the same seed draws the same beats of any two models.
        cluster: Record of each beat, ``[n]``, to draw whole records; None draws single beats.

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
    target: npt.NDArray[np.int64],
    probability: Floats,
    classes: Sequence[str],
    drawn: Scores,
    confidence: float,
    *,
    estimated: bool = True,
) -> dict[str, Any]:
    """Every metric with its percentile bootstrap interval (Efron & Tibshirani 1993, chapter 13).

    A share of 0 or 1 has Wilson's interval instead, and a mean over classes takes it into account.

    Args:
        target: Class indices, ``int64 [n]``.
        probability: ``float [n, n_classes]``.
        classes: Class names in the order of their indices.
        drawn: Result of :func:`draw_scores` for these beats.
        confidence: Share of the samples between the ends of an interval.
        estimated: Whether the predictions depend on the beats; else a recall of 0 or 1 is certain.

    Returns:
        ``n``; ``overall``, a metric each; ``per_class``, by class, with ``support``; ``confusion``, counts with the
        truth by row. A metric is ``{value, low, high}``; all three are None where it is not defined.
    """
    point = score(target, probability)
    ends = interval_ends(confidence)
    confusion = point.confusion[0].astype(int)
    truth, called = confusion.sum(axis=1), confusion.sum(axis=0)
    # Every other metric of a class is, at 0 or 1, as uncertain as one of its beats can make it.
    others = {"precision": called, "specificity": len(target) - truth}

    def per_class(name: str, index: int) -> dict[str, float | None]:
        of = int(others.get(name, truth)[index]) if estimated else None
        return interval(point.per_class[name][0, index], drawn.per_class[name][:, index], ends, of)

    by_name = {name: [per_class(name, index) for index in range(len(classes))] for name in point.per_class}

    def overall(name: str) -> dict[str, float | None]:
        value, samples = float(point.overall[name][0]), drawn.overall[name]
        below = "recall" if name == "balanced_accuracy" else name.removeprefix("macro_")
        if estimated and below in by_name:
            return widened(interval(value, samples, ends), by_name[below])
        if estimated and name in ("kappa", "mcc") and value == 1:
            # They are 1 where accuracy is; below it, agreement by chance is taken for known.
            accuracy, chance = overall("accuracy")["low"] or 0.0, float(((truth / len(target)) ** 2).sum())
            return {"value": value, "low": (accuracy - chance) / (1 - chance), "high": value}
        return interval(value, samples, ends, len(target) if estimated and name == "accuracy" else None)

    return {
        "n": len(target),
        "overall": {name: overall(name) for name in point.overall},
        "per_class": {
            label: {"support": int(truth[index]), **{name: of_name[index] for name, of_name in by_name.items()}}
            for index, label in enumerate(classes)
        },
        "confusion": confusion.tolist(),
    }
