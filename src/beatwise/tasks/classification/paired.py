"""Two models on the same beats: whether one is better, or was lucky."""

from __future__ import annotations

from typing import Any

import numpy as np
import numpy.typing as npt
import pandas as pd

from beatwise.core.errors import BeatwiseError
from beatwise.data.examples import TARGET
from beatwise.tasks.classification.intervals import draw_scores
from beatwise.tasks.classification.metrics import score
from beatwise.tasks.classification.predictions import probabilities
from beatwise.tasks.intervals import clusters_of, interval_ends
from beatwise.tasks.metrics import Floats
from beatwise.tasks.settings import Evaluate


def compare_paired(
    target: npt.NDArray[np.int64],
    first: Floats,
    second: Floats,
    *,
    draws: int,
    seed: int,
    confidence: float,
    cluster: npt.NDArray[Any] | None = None,
) -> dict[str, Any]:
    """Every metric of two models, and their difference with its interval.

    Each bootstrap draw holds the same beats for both, so that what they have in common cancels (Koehn, EMNLP 2004).
    McNemar's test (Psychometrika 12, 1947; exact, two-sided) takes the beats that only one of the two gets right, and
    asks whether each model gets half of them; it assumes independent beats, whether they are drawn by record or not.

    Args:
        target: Class indices, ``int64 [n]``.
        first: Probabilities of the first model, ``float [n, n_classes]``.
        second: Probabilities of the second.
        draws: Number of bootstrap samples.
        seed: Their seed.
        confidence: Share of the samples between the ends of an interval.
        cluster: Record of each beat, ``[n]``, where whole records are to be drawn; None draws beats singly.

    Returns:
        ``n``; ``overall``, a metric each: ``first``, ``second``, ``difference`` (the second less the first), ``low``
        and ``high``, all None where one is not defined; ``mcnemar``: ``first_only`` and ``second_only``, beats that
        only one gets right, and ``p``.

    Raises:
        BeatwiseError: If the two were not asked about the same beats, or the records cannot be drawn.
    """
    from scipy.stats import binomtest

    if not len(target) == len(first) == len(second):
        raise BeatwiseError(
            f"Predictions for {len(first)} and for {len(second)} beats cannot be compared beat by beat: measure both "
            "models on the same test part."
        )
    points = [score(target, probability).overall for probability in (first, second)]
    drawn = [
        draw_scores(target, probability, draws=draws, seed=seed, cluster=cluster).overall
        for probability in (first, second)
    ]
    overall: dict[str, dict[str, float | None]] = {}
    for name in points[0]:
        a, b = (float(point[name][0]) for point in points)
        if np.isnan(a) or np.isnan(b):
            overall[name] = dict.fromkeys(("first", "second", "difference", "low", "high"))
            continue
        low, high = np.nanquantile(drawn[1][name] - drawn[0][name], interval_ends(confidence))
        overall[name] = {"first": a, "second": b, "difference": b - a, "low": float(low), "high": float(high)}
    right = [probability.argmax(axis=1) == target for probability in (first, second)]
    first_only, second_only = int((right[0] & ~right[1]).sum()), int((right[1] & ~right[0]).sum())
    differing = first_only + second_only
    p = binomtest(first_only, differing).pvalue if differing else 1.0
    return {
        "n": len(target),
        "overall": overall,
        "mcnemar": {"first_only": first_only, "second_only": second_only, "p": float(p)},
    }


def compare_with_baseline(
    baseline_predictions: pd.DataFrame, predictions: pd.DataFrame, evaluate: Evaluate, seed: int
) -> dict[str, Any]:
    """Compare a model with the baseline on the same test beats.

    Args:
        baseline_predictions: The baseline's predictions of the test part.
        predictions: The model's predictions of the test part.
        evaluate: Settings of the bootstrap.
        seed: Seed of the bootstrap.

    Returns:
        See :func:`compare_paired`; with ``confidence`` and ``bootstrap_draws``.
    """
    paired = compare_paired(
        predictions[TARGET].to_numpy(np.int64),
        probabilities(baseline_predictions),
        probabilities(predictions),
        draws=evaluate.bootstrap_draws,
        seed=seed,
        confidence=evaluate.confidence,
        cluster=clusters_of(predictions),
    )
    return {**paired, "confidence": evaluate.confidence, "bootstrap_draws": evaluate.bootstrap_draws}
