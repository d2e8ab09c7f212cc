"""The score tables, as rows of text: the terminal and the report print the same ones."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any, Final

HEADLINE: Final = {
    "macro_recall": "macro recall",
    "macro_f1": "macro F1",
    "accuracy": "accuracy",
    "macro_auroc": "macro AUROC",
    "kappa": "Cohen's κ",
}
ALL: Final = {
    **HEADLINE,
    "macro_precision": "macro precision",
    "macro_specificity": "macro specificity",
    "macro_average_precision": "macro average precision",
    "balanced_accuracy": "balanced accuracy",
    "mcc": "Matthews correlation",
    "log_loss": "log loss",
    "ece": "expected calibration error",
    "brier": "Brier score",
}
HEADLINE_BY_CLASS: Final = {"recall": "recall", "precision": "precision", "f1": "F1"}
ALL_BY_CLASS: Final = {
    **HEADLINE_BY_CLASS,
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


def overall_table(metrics: Mapping[str, Any], names: Mapping[str, str] = ALL) -> Table:
    """Naive classifier and model, one metric a row.

    Args:
        metrics: What :func:`beatwise.evaluation.predictions.measure_predictions` returned.
        names: Metrics to show, and what to call them.
    """
    parts = {"naive": f"always {_majority(metrics)}, test", "val": "model, validation", "test": "model, test"}
    rows = [
        [label, *(with_interval(metrics[part]["overall"][name]) for part in parts)] for name, label in names.items()
    ]
    caption = (
        f"{metrics['test']['n']:,} test beats, {metrics['val']['n']:,} validation beats. In brackets the "
        f"{metrics['confidence']:.0%} interval from {metrics['bootstrap_draws']:,} bootstrap draws of the beats. "
        "Validation chose the epoch, so its scores flatter."
    )
    return Table(caption, ["", *parts.values()], rows)


def per_class_table(metrics: Mapping[str, Any], names: Mapping[str, str] = ALL_BY_CLASS) -> Table:
    """The model on test, one class a row.

    Args:
        metrics: What :func:`beatwise.evaluation.predictions.measure_predictions` returned.
        names: Metrics to show, and what to call them.
    """
    scores = metrics["test"]["per_class"]
    rows = [
        [label, f"{scores[label]['support']:,}", *(with_interval(scores[label][name]) for name in names)]
        for label in metrics["classes"]
    ]
    return Table("The model on the test beats of each class.", ["class", "beats", *names.values()], rows)


def _majority(metrics: Mapping[str, Any]) -> str:
    """The class that the naive classifier always predicts."""
    predicted = [sum(column) for column in zip(*metrics["naive"]["confusion"], strict=True)]
    return str(metrics["classes"][predicted.index(max(predicted))])
