"""Predictive values of an alarm if a class is rarer or more frequent than in the test part."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any, Final

import numpy as np
import numpy.typing as npt

from beatwise.tasks.classification.metrics import Scores, score
from beatwise.tasks.intervals import band, interval_ends
from beatwise.tasks.metrics import Floats, ratio

# One beat in ten thousand to every beat, twenty steps a decade.
PREVALENCE: Final = np.geomspace(1e-4, 1, 81)


def predictive_value(recall: Floats, specificity: Floats, prevalence: Floats) -> Floats:
    """Positive predictive value by Bayes' theorem (Altman & Bland, BMJ 309:102, 1994).

    It takes recall and specificity for properties of the model that stay as they are while the prevalence changes.

    Args:
        recall: Shape as for broadcasting.
        specificity: Shape as for broadcasting.
        prevalence: Share of the class among the beats, shape as for broadcasting.

    Returns:
        NaN where no beat would be called.
    """
    hits = recall * prevalence
    return ratio(hits, hits + (1 - specificity) * (1 - prevalence))


def measure_predictive_value(
    target: npt.NDArray[np.int64], probability: Floats, classes: Sequence[str], drawn: Scores, confidence: float
) -> dict[str, Any]:
    """Positive predictive value of each class over its prevalence, from recall and specificity on test.

    Args:
        target: Class indices, ``int64 [n]``.
        probability: ``float [n, n_classes]``.
        classes: Class names in the order of their indices.
        drawn: Result of ``draw_scores`` for these beats.
        confidence: Share of the samples between the ends of an interval.

    Returns:
        ``confidence``; ``prevalence``, a grid with even steps of its logarithm; ``per_class``, by class:
        ``test_prevalence``, at which the value is the precision on test, and ``value``, ``low`` and ``high``, lists. A
        class without beats has none: they are None.
    """
    point = score(target, probability).per_class
    ends = interval_ends(confidence)

    def values(scores: dict[str, Floats], index: int) -> Floats:
        return predictive_value(scores["recall"][:, [index]], scores["specificity"][:, [index]], PREVALENCE)

    return {
        "confidence": confidence,
        "prevalence": PREVALENCE.tolist(),
        "per_class": {
            label: {
                "test_prevalence": float((target == index).mean()),
                **band(values(point, index)[0], values(drawn.per_class, index), ends),
            }
            for index, label in enumerate(classes)
        },
    }
