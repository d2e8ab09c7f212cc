"""Two models on the same beats: whether one is better, or was lucky."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any, Final

import numpy as np
import numpy.typing as npt
import pandas as pd

from beatwise.core.errors import BeatwiseError
from beatwise.data.examples import TARGET
from beatwise.tasks.classification.intervals import draw_scores
from beatwise.tasks.classification.metrics import score
from beatwise.tasks.classification.operating_point import apply_factors
from beatwise.tasks.classification.predictions import probabilities
from beatwise.tasks.intervals import Outcome, clusters_of, outcome_of, paired_differences
from beatwise.tasks.metrics import METRICS, Floats
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
        cluster: Record of each beat, ``[n]``, to draw whole records; None draws single beats.

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
    overall = paired_differences([{k: v[0] for k, v in point.items()} for point in points], drawn, confidence)
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
    pair: tuple[pd.DataFrame, pd.DataFrame],
    metrics: tuple[Mapping[str, Any], Mapping[str, Any]],
    monitor: str,
    evaluate: Evaluate,
    seed: int,
) -> dict[str, Any]:
    """Compare a model with the baseline on the same test beats, see ``Task.compare_with_baseline``.

    Returns:
        See :func:`compare_paired`; with ``confidence`` and ``bootstrap_draws``; ``recall_first``, ``overall`` again, of
        the two at their recall-first operating points; and ``verdict``, see :func:`judge_difference`.
    """
    target = pair[1][TARGET].to_numpy(np.int64)
    drawing: dict[str, Any] = {
        "draws": evaluate.bootstrap_draws,
        "seed": seed,
        "confidence": evaluate.confidence,
        "cluster": clusters_of(pair[1]),
    }
    factors = [np.array([*measured["class_factors"].values()]) for measured in metrics]
    at_factors = [apply_factors(probabilities(table), by) for table, by in zip(pair, factors, strict=True)]
    paired = compare_paired(target, *map(probabilities, pair), **drawing)
    recall_first = compare_paired(target, *at_factors, **drawing)["overall"]
    searched_at = (recall_first, "macro_recall") if monitor == "recall_first" else (paired["overall"], monitor)
    return {
        **paired,
        **({"shape": metrics[1]["shape"]} if "shape" in metrics[1] else {}),
        "confidence": evaluate.confidence,
        "bootstrap_draws": evaluate.bootstrap_draws,
        "recall_first": recall_first,
        "verdict": {**judge_difference(*searched_at), "recall_first": monitor == "recall_first"},
    }


# Which model to use, by the outcomes of the metric that was searched for and of accuracy.
ADVICE: Final[dict[tuple[Outcome, Outcome], str]] = {
    ("better", "better"): "Use the tuned model.",
    ("better", "no different"): "Use the tuned model.",
    (
        "better",
        "worse",
    ): "Use the tuned model only where misses cost more than false alarms; else the baseline.",
    ("no different", "better"): "Use the tuned model.",
    ("no different", "no different"): "Keep the baseline: these test beats show no gain from the search.",
    ("no different", "worse"): "Keep the baseline.",
    ("worse", "better"): "Keep the baseline, unless accuracy alone counts.",
    ("worse", "no different"): "Keep the baseline.",
    ("worse", "worse"): "Keep the baseline.",
}


def judge_difference(overall: Mapping[str, Mapping[str, float | None]], metric: str) -> dict[str, Any]:
    """Whether the second model is better by a metric and by accuracy, and which one to use.

    A difference counts where its interval does not hold 0. The interval is that of the paired bootstrap, which draws
    whole patients where they are known; McNemar's test would take their beats for independent.

    Args:
        overall: Differences by metric, see :func:`compare_paired`.
        metric: The metric that was searched for.

    Returns:
        ``metric``; ``differences``, ``outcomes`` by metric and by ``accuracy``; ``advice``.
    """
    differences = {name: dict(overall[name]) for name in (metric, "accuracy")}
    outcomes = {name: outcome_of(found, METRICS[name].sign) for name, found in differences.items()}
    advice = ADVICE[outcomes[metric], outcomes["accuracy"]]
    return {"metric": metric, "differences": differences, "outcomes": outcomes, "advice": advice}
