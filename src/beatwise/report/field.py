"""Published scores on the same beats, for the table of the report that sets a model beside the field.

To add a row, add a :class:`Published` to :data:`FIELD`: its cells are printed as they stand.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from typing import Any, Final

from beatwise.report.tables import Table, with_interval
from beatwise.tasks.registry import METRICS

Row = dict[str, str]


@dataclass(frozen=True)
class Published:
    """One published result.

    Attributes:
        who: Method and source.
        cells: Scores by column, as printed there; what is not known is left out.
        caveat: A caveat of the comparison.
    """

    who: str
    cells: Mapping[str, str]
    caveat: str = ""


@dataclass(frozen=True)
class Benchmark:
    """A test part on which others have published.

    Attributes:
        sources: Sources of which it is a part.
        split: Name of the split that cuts it; None for any.
        columns: Scores, in their order.
        ours: Gives the rows of a model by what to call them, from its metrics and its assessment.
        caption: A sentence about all rows.
        rows: Published results.
    """

    sources: tuple[str, ...]
    split: str | None
    columns: tuple[str, ...]
    ours: Callable[[Mapping[str, Any], Mapping[str, Any]], dict[str, Row]]
    caption: str
    rows: list[Published] = field(default_factory=list)


ARGMAX: Final = "this model"
RECALL_FIRST: Final = "this model, recall first"


def _overall(names: tuple[str, ...]) -> Callable[[Mapping[str, Any], Mapping[str, Any]], dict[str, Row]]:
    """Overall metrics of the model, at its recall-first point only those that do not need probabilities."""

    def rows(metrics: Mapping[str, Any], assessment: Mapping[str, Any]) -> dict[str, Row]:
        test, recall_first = (metrics[part]["overall"] for part in ("test", "recall_first"))
        return {
            ARGMAX: {METRICS[name].label: with_interval(test[name]) for name in names},
            RECALL_FIRST: {
                METRICS[name].label: with_interval(recall_first[name]) for name in names if name != "macro_auroc"
            },
        }

    return rows


def _ec57(metrics: Mapping[str, Any], assessment: Mapping[str, Any]) -> dict[str, Row]:
    """Se and +P of S and V and jκ, with all classes and without Q."""

    def both(table: Mapping[str, Any], label: str) -> str:
        scores = table["per_class"][label]
        return " / ".join(
            "–" if scores[name]["value"] is None else f"{100 * scores[name]['value']:.1f}"
            for name in ("recall", "precision")
        )

    return {
        f"{ARGMAX}{', without Q' if table['left_out'] else ''}": {
            "accuracy": with_interval(table["accuracy"]),
            "S: Se / +P": both(table, "S"),
            "V: Se / +P": both(table, "V"),
            "jκ": with_interval(table["j_kappa"]),
        }
        for table in assessment["ec57"]
    }


_HONEST: Final = "epoch chosen on a part of train"

# Gathered in docs/results.md, where more is said of each.
FIELD: Final = [
    Benchmark(
        sources=("mitbih", "mitbih_rr"),
        split="given",
        columns=("accuracy", "macro F1", "macro recall", "macro AUROC"),
        ours=_overall(("accuracy", "macro_f1", "macro_recall", "macro_auroc")),
        caption=(
            "The Kaggle split, 21,892 test beats of known patients. The others' numbers are theirs, as published, "
            "and of the signal alone. F has 162 test beats, one of which is .6 points of its recall: differences "
            "below .005 of macro F1 are noise. Numbers that average a metric over batches are left out; over the "
            "whole set the same predictions give less."
        ),
        rows=[
            Published(
                "ECGTransForm, 3 seeds (El-Ghaish & Eldele, Biomed. Signal Process. Control 89:105714, 2024)",
                {"accuracy": ".9935", "macro F1": ".9426 ± .0028", "macro recall": ".9315 ± .0116"},
                f"{_HONEST}; its own recalls imply an accuracy of .9887",
            ),
            Published(
                "CNN, BiLSTM and attention, 2.65 M parameters (a model card)",
                {"accuracy": ".9900", "macro F1": ".940"},
                "how the model was chosen is not said",
            ),
            Published(
                "CNN and transformer, 5 seeds",
                {"accuracy": ".9877", "macro F1": ".932 ± .005"},
                "a split of its own, 80/15/5",
            ),
            Published("Inception (BBerabi)", {"accuracy": ".9886"}, "validation is a tenth of train"),
            Published("residual CNN (BBerabi)", {"accuracy": ".9856"}, "validation is a tenth of train"),
            Published("residual CNN (CVxTz)", {"accuracy": ".985", "macro F1": ".915"}, _HONEST),
            Published("CNN (nastiag67/ecgn)", {"macro F1": ".92", "macro recall": ".89"}, "AUROC .9946 on validation"),
            Published(
                "SE-CNN (StolkHU)",
                {"accuracy": ".9826", "macro F1": ".9180", "macro recall": ".9508"},
                "chosen on test",
            ),
            Published(
                "resnet1d (MAP583 project)",
                {"accuracy": ".976 to .987", "macro recall": ".941 at accuracy .976"},
                "validation was test",
            ),
            Published(
                "wavelets and MLP (Telfer)",
                {"accuracy": ".9445", "macro F1": ".79", "macro recall": ".8961", "macro AUROC": ".9833"},
                "on one half of test",
            ),
            Published(
                "residual CNN (Kachuee et al., arXiv 1805.00794, 2018)",
                {"accuracy": ".934"},
                "a test set of its own, classes balanced",
            ),
        ],
    ),
    Benchmark(
        sources=("mitdb", "mitbih_rr"),
        split="ds1_ds2",
        columns=("accuracy", "S: Se / +P", "V: Se / +P", "jκ"),
        ours=_ec57,
        caption=(
            "Trained on the patients of DS1, tested on those of DS2 (de Chazal et al. 2004), by ANSI/AAMI EC57; Se "
            "and +P in per cent. Three quarters of the S beats of DS2 are of record 232; 362 of its 388 F beats are "
            "of record 213, and 372 of the 414 F beats of DS1 of record 208; records 201 (DS1) and 202 (DS2) are one "
            "patient. Results that group the test beats by their label cannot be compared and are left out."
        ),
        rows=[
            Published(
                "de Chazal et al. 2004",
                {"accuracy": ".862", "S: Se / +P": "75.9 / 38.5", "V: Se / +P": "77.7 / 81.9", "jκ": ".612"},
            ),
            Published(
                "Mar et al. 2011",
                {"accuracy": ".899", "S: Se / +P": "83.2 / 33.5", "V: Se / +P": "86.8 / 75.9", "jκ": ".649"},
            ),
            Published(
                "Zhang et al. 2014",
                {"accuracy": ".883", "S: Se / +P": "79.1 / 36.0", "V: Se / +P": "85.5 / 92.7", "jκ": ".663"},
            ),
            Published("SVM ensemble (Mondéjar-Guerra et al. 2019)", {"accuracy": ".945", "jκ": ".773"}, "without Q"),
            Published(
                "open networks of single beats",
                {"accuracy": ".93 to .94", "S: Se / +P": "17 to 20 / 35", "V: Se / +P": "96 / 72"},
                "several; no RR intervals",
            ),
        ],
    ),
    Benchmark(
        sources=("ptb",),
        split=None,
        columns=("accuracy", "macro F1", "macro AUROC"),
        ours=_overall(("accuracy", "macro_f1", "macro_auroc")),
        caption=(
            "The PTB half of the Kaggle set has no official test part, so that every row has a split of its own; as "
            "published."
        ),
        rows=[
            Published("residual CNN from nothing (CVxTz)", {"accuracy": ".983"}, "80/20, stratified"),
            Published("the same from MIT-BIH, frozen", {"accuracy": ".956"}, "80/20, stratified"),
            Published("the same from MIT-BIH, fine-tuned in full", {"accuracy": ".992"}, "80/20, stratified"),
            Published("ECGTransForm (El-Ghaish & Eldele 2024)", {"macro F1": ".9941 ± .0005"}),
            Published("pretrained on MIT-BIH (BBerabi)", {"accuracy": ".9935", "macro AUROC": ".9987"}),
        ],
    ),
]


def field_table(source: str, split: str, metrics: Mapping[str, Any], assessment: Mapping[str, Any]) -> Table | None:
    """A model beside published results on the same test part; None where there are none for source and split."""
    benchmark = next((b for b in FIELD if source in b.sources and b.split in (None, split)), None)
    if benchmark is None:
        return None
    ours = benchmark.ours(metrics, assessment)
    rows = [[who, *(cells.get(name, "–") for name in benchmark.columns), ""] for who, cells in ours.items()]
    rows += [[r.who, *(r.cells.get(name, "–") for name in benchmark.columns), r.caveat] for r in benchmark.rows]
    heads = ["", *benchmark.columns, "what to know"]
    return Table(benchmark.caption, heads, rows, notes=1, marked=len(ours))
