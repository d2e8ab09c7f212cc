"""A model beside published scores on the same beats, for the report: the scores are data, in ``field.yml``."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from functools import cache
from pathlib import Path
from typing import Any, Final, Literal

import yaml
from pydantic import Field, TypeAdapter

from beatwise.core.settings import Block
from beatwise.report.tables import Table, with_interval
from beatwise.tasks.registry import METRICS

Row = dict[str, str]


class Published(Block):
    """One published result."""

    who: str = Field(description="Method and source.")
    cells: Row = Field(description="Scores by column.")
    caveat: str = Field("", description="A caveat of the comparison.")


class Benchmark(Block):
    """A test part on which others have published."""

    sources: list[str] = Field(description="Sources that have this test part.")
    split: str | None = Field(description="Name of the split that makes it; null for any.")
    ours: Literal["overall", "ec57"] = Field(description="Kind of the rows of the model.")
    columns: list[str] = Field(description="Scores, in their order.")
    caption: str = Field(description="Text about all rows.")
    rows: list[Published] = Field(description="Published results.")


@cache
def benchmarks() -> list[Benchmark]:
    """All benchmarks with published results."""
    given = yaml.safe_load(Path(__file__).with_name("field.yml").read_text(encoding="utf-8"))
    return TypeAdapter(list[Benchmark]).validate_python(given)


def _overall(metrics: Mapping[str, Any], assessment: Mapping[str, Any], columns: Sequence[str]) -> dict[str, Row]:
    """Overall metrics of the model, at its recall-first point only those that do not need probabilities."""
    test, recall_first = (metrics[part]["overall"] for part in ("test", "recall_first"))
    names = {METRICS[name].label: name for name in test if METRICS[name].label in columns}
    return {
        "this model": {label: with_interval(test[name]) for label, name in names.items()},
        "this model, recall first": {
            label: with_interval(recall_first[name]) for label, name in names.items() if name != "macro_auroc"
        },
    }


def _ec57(metrics: Mapping[str, Any], assessment: Mapping[str, Any], columns: Sequence[str]) -> dict[str, Row]:
    """Se and +P of S and V and jκ, with all classes and without Q."""

    def both(table: Mapping[str, Any], label: str) -> str:
        scores = table["per_class"][label]
        return " / ".join(
            "–" if scores[name]["value"] is None else f"{100 * scores[name]['value']:.1f}"
            for name in ("recall", "precision")
        )

    return {
        f"this model{', without Q' if table['left_out'] else ''}": {
            "accuracy": with_interval(table["accuracy"]),
            "S: Se / +P": both(table, "S"),
            "V: Se / +P": both(table, "V"),
            "jκ": with_interval(table["j_kappa"]),
        }
        for table in assessment["ec57"]
    }


OURS: Final[dict[str, Callable[..., dict[str, Row]]]] = {"overall": _overall, "ec57": _ec57}


def field_table(source: str, split: str, metrics: Mapping[str, Any], assessment: Mapping[str, Any]) -> Table | None:
    """A model beside published results on the same test part; None where there are none for source and split."""
    found = next((b for b in benchmarks() if source in b.sources and b.split in (None, split)), None)
    if found is None:
        return None
    ours = OURS[found.ours](metrics, assessment, found.columns)
    rows = [[who, *(cells.get(name, "–") for name in found.columns), ""] for who, cells in ours.items()]
    rows += [[r.who, *(r.cells.get(name, "–") for name in found.columns), r.caveat] for r in found.rows]
    return Table(found.caption, ["", *found.columns, "what to know"], rows, notes=1, marked=len(ours))
