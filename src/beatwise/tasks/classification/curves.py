"""ROC and precision–recall curves of each class against the rest, on a grid that is the same for every model."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any, Final

import numpy as np
import numpy.typing as npt

from beatwise.tasks.classification.metrics import ROUNDING, Order, Predictions
from beatwise.tasks.intervals import band, bootstrap, interval, interval_ends
from beatwise.tasks.metrics import Floats

# Even steps, and steps of a twentieth of a decade towards 0, where a good classifier's curve rises.
FPR_GRID: Final = np.unique(np.round([0.0, *np.geomspace(1e-4, 1, 81), *np.linspace(0, 1, 101)], 6))
RECALL_GRID: Final = np.linspace(0.005, 1, 200)


def measure_curves(
    target: npt.NDArray[np.int64],
    probability: Floats,
    classes: Sequence[str],
    *,
    draws: int,
    seed: int,
    confidence: float,
    cluster: npt.NDArray[Any] | None = None,
) -> dict[str, Any]:
    """ROC and precision–recall curve of each class against the rest, their areas, and bootstrap intervals.

    The ROC curve is the recall at a false positive rate, the highest where it rises upright; between thresholds it is
    straight, so that ties count half, as in its area. Its interval is that of the recall there (vertical averaging:
    Fawcett, Pattern Recognit. Lett. 27, 2006, section 8.1). The precision–recall curve is the precision at the highest
    threshold that reaches a recall, as for average precision; nothing is interpolated (Davis & Goadrich, ICML 2006).

    Args:
        target: Class indices, ``int64 [n]``.
        probability: ``float [n, n_classes]``.
        classes: Class names in the order of their indices.
        draws: Number of bootstrap samples.
        seed: Their seed; the samples are those of ``draw_scores``.
        confidence: Share of the samples between the ends of an interval.
        cluster: Record of each beat, ``[n]``, to draw whole records; None draws single beats.

    Returns:
        ``confidence``; the grids, ``fpr`` and ``recall``; ``per_class``, by class: ``support``, ``share`` of the beats,
        ``auroc`` and ``average_precision``, each ``{value, low, high}``; ``roc``, the recall on the grid ``fpr``, and
        ``precision_recall``, the precision on the grid ``recall``, each ``{value, low, high}`` of lists: None where
        not defined, because the class or the others have no beats.

    Raises:
        BeatwiseError: If the records cannot be drawn.
    """
    orders = Predictions(target, probability).orders

    def trace(weights: Floats) -> dict[str, Floats]:
        traces = [_trace(order, weights) for order in orders]
        return {name: np.stack([of_class[name] for of_class in traces], axis=1) for name in traces[0]}

    point, drawn = bootstrap(trace, len(target), draws=draws, seed=seed, cluster=cluster)
    ends = interval_ends(confidence)
    areas = ("auroc", "average_precision")

    def shares(index: int) -> dict[str, Floats]:
        """How many beats each point of a curve is a share of."""
        positives = (target == index).sum()
        # Without a false alarm, the accepted beats are the hits. All beats are found where all are accepted.
        return {"roc": np.where(FPR_GRID < 1, positives, np.nan), "precision_recall": np.ceil(RECALL_GRID * positives)}

    return {
        "confidence": confidence,
        "fpr": FPR_GRID.tolist(),
        "recall": RECALL_GRID.tolist(),
        "per_class": {
            label: {
                "support": int((target == index).sum()),
                "share": float((target == index).mean()),
                **{
                    name: interval(point[name][index], drawn[name][:, index], ends, int((target == index).sum()))
                    for name in areas
                },
                **{
                    name: band(point[name][index], drawn[name][:, index], ends, of)
                    for name, of in shares(index).items()
                },
            }
            for index, label in enumerate(classes)
        },
    }


def _trace(order: Order, weights: Floats) -> dict[str, Floats]:
    """Areas, ``[b]``, and curves, ``[b, p]``, of one class."""
    ranking = order.weighted(weights)
    roc = np.full((len(weights), len(FPR_GRID)), np.nan)
    precision_recall = np.full((len(weights), len(RECALL_GRID)), np.nan)
    precision = ranking.precision()
    for row in np.flatnonzero(ranking.positives):
        # The hits do not end below the recall of 1, nor does the grid begin at 0, where precision is not defined.
        reached = np.searchsorted(ranking.hits[row], RECALL_GRID * ranking.positives[row] * (1 - ROUNDING))
        precision_recall[row] = precision[row, reached]
        if ranking.others[row]:
            # Along to where the next beats of the class enter, and up; of equal places interpolation takes the last.
            alarms = np.column_stack([ranking.alarms_before[row], ranking.alarms[row]]).ravel()
            hits = np.append(0.0, np.repeat(ranking.hits[row], 2)[:-1])
            roc[row] = np.interp(FPR_GRID * ranking.others[row] * (1 + ROUNDING), alarms, hits) / ranking.positives[row]
    return {
        "auroc": ranking.auroc(),
        "average_precision": ranking.average_precision(),
        "roc": roc,
        "precision_recall": precision_recall,
    }
