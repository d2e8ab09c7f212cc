"""The score tables, as rows of text: the terminal and the report print the same ones."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any, Final

HEADLINE: Final = {
    "accuracy": "accuracy",
    "macro_recall": "macro recall",
    "macro_f1": "macro F1",
    "macro_auroc": "macro AUROC",
    "kappa": "Cohen's κ",
    "ece": "ECE",
}
FURTHER: Final = {
    "balanced_accuracy": "balanced accuracy",
    "macro_precision": "macro precision",
    "macro_specificity": "macro specificity",
    "macro_average_precision": "macro average precision",
    "mcc": "Matthews correlation",
    "log_loss": "log loss",
    "brier": "Brier score",
}
BY_CLASS: Final = {
    "recall": "recall",
    "precision": "precision",
    "f1": "F1",
    "specificity": "specificity",
    "auroc": "AUROC",
    "average_precision": "average precision",
}


@dataclass(frozen=True)
class Table:
    """A table of text.

    Attributes:
        caption: What it shows.
        columns: Column heads.
        rows: Cells, one list a row.
    """

    caption: str
    columns: list[str]
    rows: list[list[str]]


def with_interval(metric: Mapping[str, float | None]) -> str:
    """``.912 [.887, .934]``, or a dash where the metric is not defined."""
    if metric["value"] is None:
        return "–"
    return f"{_short(metric['value'])} [{_short(metric['low'])}, {_short(metric['high'])}]"


def _short(value: float | None) -> str:
    text = f"{value:.3f}"
    return text.replace("0.", ".", 1) if text.startswith(("0.", "-0.")) else text


def headline_table(metrics: Mapping[str, Any]) -> Table:
    """Naive classifier and model, by the metrics that come first."""
    return _overall(metrics, HEADLINE)


def further_table(metrics: Mapping[str, Any]) -> Table:
    """Naive classifier and model, by all other metrics."""
    return _overall(metrics, FURTHER)


def _overall(metrics: Mapping[str, Any], names: Mapping[str, str]) -> Table:
    parts = {
        "naive": f"naive: always {_majority(metrics)}, test",
        "val": "model, validation",
        "test": "model, test",
    }
    rows = [
        [label, *(with_interval(metrics[part]["overall"][name]) for name in names)]
        for part, label in parts.items()
    ]
    caption = (
        f"{metrics['test']['n']:,} test beats, {metrics['val']['n']:,} validation beats; in brackets: "
        f"{metrics['confidence']:.0%} interval from {metrics['bootstrap_draws']:,} bootstrap draws of the beats"
    )
    return Table(caption, ["", *names.values()], rows)


def per_class_table(metrics: Mapping[str, Any]) -> Table:
    """The model on test, class by class."""
    scores = metrics["test"]["per_class"]
    rows = [
        [label, f"{scores[label]['support']:,}", *(with_interval(scores[label][name]) for name in BY_CLASS)]
        for label in metrics["classes"]
    ]
    return Table("The model on test, class by class", ["class", "beats", *BY_CLASS.values()], rows)


def _majority(metrics: Mapping[str, Any]) -> str:
    confusion = metrics["naive"]["confusion"]
    totals = [sum(row[i] for row in confusion) for i in range(len(confusion))]
    return str(metrics["classes"][totals.index(max(totals))])
