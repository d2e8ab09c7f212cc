"""The table of ANSI/AAMI EC57 and the index jκ, by which patient-wise classifications of heartbeats are compared."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any, Final

import numpy as np
import numpy.typing as npt

from beatwise.core.errors import BeatwiseError
from beatwise.tasks.classification.metrics import Counts
from beatwise.tasks.intervals import interval, interval_ends
from beatwise.tasks.metrics import Floats, ratio

CLASSES: Final = ("N", "S", "V", "F", "Q")
# Beats of these classes that are called S, or V, count neither for nor against the model, as in de Chazal et al., IEEE
# Trans. Biomed. Eng. 51(7), 2004.
NOT_COUNTED: Final = {"S": ("Q",), "V": ("F", "Q")}
OVERALL: Final = ("accuracy", "kappa", "j_kappa")
PER_CLASS: Final = ("recall", "precision", "fpr", "accuracy")


def uses_of_ec57(classes: Sequence[str]) -> list[list[str]]:
    """The classes that are left out of each table of EC57; empty where the classes are not those of EC57."""
    if not set(CLASSES[:4]) <= set(classes) <= set(CLASSES):
        return []
    return [[], ["Q"]] if "Q" in classes else [[]]


def aami_scores(
    confusion: Floats, classes: Sequence[str]
) -> tuple[dict[str, Floats], dict[str, Floats], dict[str, Floats]]:
    """The scores of EC57 from counts.

    Recall is its sensitivity, Se, precision its positive predictivity, +P. An F or Q beat called V, and a Q beat called
    S, is no false positive. jκ = ½ κ + ⅛ (Se_S + Se_V + +P_S + +P_V), κ being Cohen's of the whole matrix (Mar et al.,
    IEEE Trans. Biomed. Eng. 58(8), 2011).

    Args:
        confusion: Counts, truth by row and prediction by column, ``float [b, n_classes, n_classes]``.
        classes: N, S, V, F and perhaps Q, in the order of their indices.

    Returns:
        Overall, by :data:`OVERALL`, each ``[b]``; by class, by :data:`PER_CLASS`, each ``[b, n_classes]``, NaN where
        the class has no beats; how many beats each of these is a share of, ``[b, n_classes]``.

    Raises:
        BeatwiseError: If the classes are others.
    """
    if not uses_of_ec57(classes):
        raise BeatwiseError(
            f"The table of EC57 is made for the classes {', '.join(CLASSES)}, Q being optional; these are "
            f"{', '.join(classes)}. Leave it out for this source."
        )
    truth, called = confusion.sum(axis=2), confusion.sum(axis=1)
    hits = confusion.diagonal(axis1=1, axis2=2)
    not_counted = np.array([[other in NOT_COUNTED.get(label, ()) for label in classes] for other in classes])
    alarms = called - hits - (confusion * not_counted).sum(axis=1)
    rest = confusion.sum(axis=(1, 2))[:, None] - truth - called + hits
    present = truth > 0
    per_class = {
        "recall": ratio(hits, truth),
        "precision": np.where(present, ratio(hits, hits + alarms, otherwise=0.0), np.nan),
        "fpr": np.where(present, ratio(alarms, rest + alarms), np.nan),
        "accuracy": np.where(present, ratio(hits + rest, truth + rest + alarms), np.nan),
    }
    of = {"recall": truth, "precision": hits + alarms, "fpr": rest + alarms, "accuracy": truth + rest + alarms}
    s_and_v = [list(classes).index(label) for label in ("S", "V")]
    j = sum(per_class[name][:, index] for name in ("recall", "precision") for index in s_and_v)
    counts = Counts(confusion)
    overall = {"accuracy": counts["accuracy"], "kappa": counts["kappa"], "j_kappa": counts["kappa"] / 2 + j / 8}
    return overall, per_class, of


def measure_aami(
    confusion: npt.ArrayLike,
    classes: Sequence[str],
    drawn: Floats,
    confidence: float,
    leave_out: Sequence[str] = (),
) -> dict[str, Any]:
    """The table of EC57 with bootstrap intervals.

    Args:
        confusion: Counts, truth by row and prediction by column, ``[n_classes, n_classes]``.
        classes: Class names in the order of their indices.
        drawn: The same in each bootstrap sample, ``float [draws, n_classes, n_classes]``: ``confusion`` of what
            ``draw_scores`` gave.
        confidence: Share of the samples between the ends of an interval.
        leave_out: Classes to take out first, both as truth and as prediction: ``["Q"]`` for the use of four
            classes in which most are compared.

    Returns:
        ``n``, ``classes``, ``left_out``; ``accuracy``, ``kappa`` and ``j_kappa``; ``per_class``, by class ``support``,
        ``recall``, ``precision``, ``fpr`` and ``accuracy``. A score is ``{value, low, high}``, None where not defined.

    Raises:
        BeatwiseError: If the classes are not those of EC57.
    """
    kept = [index for index, label in enumerate(classes) if label not in leave_out]
    names = [classes[index] for index in kept]
    counts = np.asarray(confusion, dtype=np.float64)[np.ix_(kept, kept)]
    point, drawn_scores = (aami_scores(of, names) for of in (counts[None], drawn[:, kept][:, :, kept]))
    ends = interval_ends(confidence)
    return {
        "n": int(counts.sum()),
        "classes": names,
        "left_out": list(leave_out),
        **{
            name: interval(
                point[0][name][0], drawn_scores[0][name], ends, int(counts.sum()) if name == "accuracy" else None
            )
            for name in OVERALL
        },
        "per_class": {
            label: {
                "support": int(counts[index].sum()),
                **{
                    name: interval(
                        point[1][name][0, index], drawn_scores[1][name][:, index], ends, int(point[2][name][0, index])
                    )
                    for name in PER_CLASS
                },
            }
            for index, label in enumerate(names)
        },
    }
