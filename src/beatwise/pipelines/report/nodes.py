"""Nodes that draw the figures and render the report."""

from __future__ import annotations

from typing import Any

import pandas as pd
from matplotlib.figure import Figure

from beatwise import figures
from beatwise.errors import BeatwiseError
from beatwise.params import Report
from beatwise.report.html import render_report
from beatwise.run_card import RunCard
from beatwise.trained_model import TrainedModel


def plot_class_counts(data_summary: dict[str, Any], model: TrainedModel) -> Figure:
    """Draw the class counts of the training part before and after resampling."""
    return figures.plot_class_counts(
        data_summary["parts"]["train"]["counts"], model.facts["trained_on"], model.config["resample"]["use"]
    )


def plot_example_beats(
    test_beats: pd.DataFrame, report: Report, classes: list[str], sample_rate: float, seed: int
) -> Figure:
    """Draw a few test beats of each class over the class's mean."""
    return figures.plot_example_beats(test_beats, classes, sample_rate, report.examples_per_class, seed)


def plot_learning_curves(model: TrainedModel) -> Figure:
    """Draw loss and validation metrics by epoch."""
    return figures.plot_learning_curves(pd.DataFrame(model.history), model.facts["best_epoch"])


def plot_confusion_matrix(metrics: dict[str, Any]) -> Figure:
    """Draw the confusion matrix of the test part."""
    return figures.plot_confusion_matrix(metrics)


def plot_per_class(metrics: dict[str, Any]) -> Figure:
    """Draw recall, precision and F1 of each class with intervals."""
    return figures.plot_per_class(metrics)


def render(
    model: TrainedModel,
    metrics: dict[str, Any],
    data_summary: dict[str, Any],
    run_card: dict[str, Any],
    report: Report,
    source: str,
    **drawn: Figure | bytes,
) -> str:
    """Render the report as one HTML file.

    Args:
        model: The model, with what it was fitted with.
        metrics: Its metrics.
        data_summary: Description of the data.
        run_card: The card of this run, as far as it is known: a :class:`beatwise.run_card.RunCard` as plain data.
        report: Title and notice.
        source: Name of the data source.
        **drawn: Figures by the name that the template calls them.

    Returns:
        HTML.

    Raises:
        BeatwiseError: If the metrics are those of another model.
    """
    if metrics["model"] != model.fingerprint:
        raise BeatwiseError(
            "The latest metrics are not those of the model that is loaded. Measure it first: `kedro run "
            "--pipeline=evaluate`, with the same --load-versions if you give any."
        )
    return render_report(
        title=report.title,
        notice=report.notice,
        source=source,
        model=model.to_dict(),
        metrics=metrics,
        data_summary=data_summary,
        run_card=RunCard.model_validate(run_card),
        figures=drawn,
    )
