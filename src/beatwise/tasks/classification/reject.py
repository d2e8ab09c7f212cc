"""The reject option: beats with a low top probability are left to a person, and the others have fewer errors."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any, Final

import numpy as np
import numpy.typing as npt

from beatwise.tasks.classification.metrics import ROUNDING, Counts, falling
from beatwise.tasks.intervals import band, bootstrap, interval, interval_ends, widened
from beatwise.tasks.metrics import Floats, ratio

COVERAGE_GRID: Final = np.linspace(0.005, 1, 200)


def measure_risk_coverage(
    target: npt.NDArray[np.int64],
    probability: Floats,
    *,
    draws: int,
    seed: int,
    confidence: float,
    cluster: npt.NDArray[Any] | None = None,
) -> dict[str, Any]:
    """Share of errors among the beats that are accepted, over the share that is (El-Yaniv & Wiener, JMLR 11, 2010).

    Beats are accepted by falling top probability (Geifman & El-Yaniv, NeurIPS 2017); beats of equal top probability
    cannot be separated and are accepted together.

    Args:
        target: Class indices, ``int64 [n]``.
        probability: ``float [n, n_classes]``.
        draws: Number of bootstrap samples.
        seed: Their seed.
        confidence: Share of the samples between the ends of an interval.
        cluster: Record of each beat, ``[n]``, to draw whole records; None draws single beats.

    Returns:
        ``confidence``; ``coverage``, a grid; ``error``, ``{value, low, high}`` of lists: the share of errors at the
        highest threshold that accepts as much or more; ``aurc``, ``{value, low, high}``: the area under the curve, the
        mean of that share over all thresholds, each weighted with the beats that it adds (Geifman et al., ICLR 2019).

    Raises:
        BeatwiseError: If the records cannot be drawn.
    """
    top = probability.max(axis=1)
    order, ends_of_ties = falling(top)
    wrong = (probability.argmax(axis=1) != target)[order]

    def trace(weights: Floats) -> dict[str, Floats]:
        in_order = np.take(weights, order, axis=1)
        accepted = np.cumsum(in_order, axis=1, dtype=np.float64)[:, ends_of_ties]
        errors = np.cumsum(in_order * wrong, axis=1, dtype=np.float64)[:, ends_of_ties]
        error = ratio(errors, accepted, otherwise=0.0)
        beats = accepted[:, -1]
        area = (np.diff(accepted, axis=1, prepend=0.0) * error).sum(axis=1) / beats
        wanted = COVERAGE_GRID * beats[:, None] * (1 - ROUNDING)
        curve = [of[np.searchsorted(at, needed)] for of, at, needed in zip(error, accepted, wanted, strict=True)]
        return {"aurc": area, "error": np.array(curve)}

    point, drawn = bootstrap(trace, len(target), draws=draws, seed=seed, cluster=cluster)
    ends = interval_ends(confidence)
    return {
        "confidence": confidence,
        "coverage": COVERAGE_GRID.tolist(),
        "error": band(point["error"], drawn["error"], ends, np.ceil(COVERAGE_GRID * len(target))),
        "aurc": interval(float(point["aurc"]), drawn["aurc"], ends),
    }


def coverage_threshold(probability: Floats, coverage: float) -> float:
    """The highest threshold of the top probability at which a wanted share of the beats is accepted.

    To be chosen on validation and applied to test: a beat whose top probability is the threshold or more is accepted.

    Args:
        probability: Probabilities of the validation part, ``float [n, n_classes]``.
        coverage: The wanted share, above 0 and up to 1.
    """
    top = np.sort(probability.max(axis=1))
    return float(top[len(top) - max(int(np.ceil(coverage * len(top) * (1 - ROUNDING))), 1)])


def measure_rejection(
    target: npt.NDArray[np.int64],
    probability: Floats,
    classes: Sequence[str],
    threshold: float,
    *,
    draws: int,
    seed: int,
    confidence: float,
    cluster: npt.NDArray[Any] | None = None,
) -> dict[str, Any]:
    """Apply a threshold of :func:`coverage_threshold` to a part: which beats are accepted, and the scores on them.

    Rare classes are rejected more often than others, so their coverage stands beside their recall.

    Args:
        target: Class indices, ``int64 [n]``.
        probability: ``float [n, n_classes]``.
        classes: Class names in the order of their indices.
        threshold: Top probability from which beats are accepted.
        draws: Number of bootstrap samples.
        seed: Their seed.
        confidence: Share of the samples between the ends of an interval.
        cluster: Record of each beat, ``[n]``, to draw whole records; None draws single beats.

    Returns:
        ``threshold``; ``accepted``, a count; ``coverage``; among the accepted beats ``error`` and ``macro_recall``,
        which leaves out classes without an accepted beat; ``per_class``, by class ``coverage`` and ``recall``. Each is
        ``{value, low, high}``, None where not defined.

    Raises:
        BeatwiseError: If the records cannot be drawn.
    """
    n_classes = len(classes)
    accepted = probability.max(axis=1) >= threshold
    cells = np.eye(n_classes**2, dtype=np.float32)[target * n_classes + probability.argmax(axis=1)]

    def scores(weights: Floats) -> dict[str, Floats]:
        confusion = (weights @ (cells * accepted[:, None])).astype(np.float64).reshape(-1, n_classes, n_classes)
        of_class = (weights @ cells).astype(np.float64).reshape(-1, n_classes, n_classes).sum(axis=2)
        accepted_sample = Counts(confusion)
        return {
            "coverage": confusion.sum(axis=(1, 2)) / of_class.sum(axis=1),
            "error": 1 - accepted_sample["accuracy"],
            "macro_recall": accepted_sample["macro_recall"],
            "coverage_of_class": ratio(confusion.sum(axis=2), of_class),
            "recall": accepted_sample["recall"],
        }

    point, drawn = bootstrap(scores, len(target), draws=draws, seed=seed, cluster=cluster)
    ends = interval_ends(confidence)

    n_accepted = int(accepted.sum())
    of = {
        "coverage_of_class": np.bincount(target, minlength=n_classes),
        "recall": np.bincount(target[accepted], minlength=n_classes),
    }

    def overall(name: str, of: int | None = None) -> dict[str, float | None]:
        return interval(float(point[name]), drawn[name], ends, of)

    def of_class(name: str, index: int) -> dict[str, float | None]:
        return interval(point[name][index], drawn[name][:, index], ends, int(of[name][index]))

    recalls = [of_class("recall", index) for index in range(n_classes)]
    return {
        "threshold": threshold,
        "accepted": n_accepted,
        "coverage": overall("coverage", len(target)),
        "error": overall("error", n_accepted),
        "macro_recall": widened(overall("macro_recall"), recalls),
        "per_class": {
            label: {"coverage": of_class("coverage_of_class", index), "recall": recalls[index]}
            for index, label in enumerate(classes)
        },
    }
