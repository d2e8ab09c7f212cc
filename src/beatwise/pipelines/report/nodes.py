"""Nodes that draw the figures and render the report."""

from __future__ import annotations

from typing import Any

import pandas as pd
from matplotlib.figure import Figure

from beatwise import figures
from beatwise.core.errors import BeatwiseError
from beatwise.data.examples import Examples
from beatwise.figures.style import new_note
from beatwise.report.html import SearchResult, render_report
from beatwise.report.settings import Report
from beatwise.runs.card import RunCard
from beatwise.runs.journal import Entry
from beatwise.training.trained_model import TrainedModel


def plot_class_counts(data_summary: dict[str, Any], model: TrainedModel) -> Figure:
    """Draw the class counts of the training part before and after resampling."""
    return figures.plot_class_counts(
        data_summary["parts"]["train"]["counts"], model.metadata["trained_on"], model.config["resample"]["use"]
    )


def plot_example_beats(
    test_beats: Examples, report: Report, classes: list[str], sample_rate: float, seed: int
) -> Figure:
    """Draw a few test beats of each class over the class's mean."""
    return figures.plot_example_beats(test_beats, classes, sample_rate, report.examples_per_class, seed)


def plot_learning_curves(model: TrainedModel) -> Figure:
    """Draw loss and validation metrics by epoch."""
    return figures.plot_learning_curves(pd.DataFrame(model.history), model.metadata["best_epoch"])


def plot_forgetting(model: TrainedModel) -> tuple[Figure, Any]:
    """Draw how validation beats moved between right and wrong over the epochs, as a picture and with plotly."""
    from beatwise.figures import interactive_training

    moves, best_epoch = model.metadata.get("moves"), model.metadata["best_epoch"]
    if moves is None:
        unknown = "How beats moved is not known: this model is older than the counts of it."
        return new_note(unknown), interactive_training.note(unknown)
    return figures.plot_forgetting(moves, best_epoch), interactive_training.forgetting(moves, best_epoch)


def plot_confusion_matrices(metrics: dict[str, Any]) -> Figure:
    """Draw the confusion matrix of the test part, as shares of the truth and of the predictions."""
    return figures.plot_confusion_matrices(metrics)


def plot_per_class(metrics: dict[str, Any]) -> Figure:
    """Draw recall, precision and F1 of each class with intervals."""
    return figures.plot_per_class(metrics)


def plot_curves(assessment: dict[str, Any]) -> tuple[Figure, Figure]:
    """Draw the ROC and the precision–recall curves of each class."""
    return figures.plot_roc_curves(assessment["curves"]), figures.plot_precision_recall_curves(assessment["curves"])


def plot_calibration(assessment: dict[str, Any]) -> tuple[Figure, Figure]:
    """Draw how far probabilities can be taken at their word, of the predicted class and of each class."""
    calibration = assessment["calibration"]
    return figures.plot_reliability(calibration), figures.plot_reliability_by_class(calibration)


def plot_predictive_value(assessment: dict[str, Any]) -> Figure:
    """Draw the positive predictive value of each class over its prevalence."""
    return figures.plot_predictive_value(assessment["predictive_value"])


def plot_risk_coverage(assessment: dict[str, Any]) -> Figure:
    """Draw what is gained by leaving unsure beats to a person."""
    return figures.plot_risk_coverage(assessment["risk_coverage"], assessment["rejections"])


def plot_mistakes(mistakes: pd.DataFrame, test_beats: Examples, classes: list[str], sample_rate: float) -> Figure:
    """Draw the most confident mistakes of each class."""
    return figures.plot_most_confident_mistakes(mistakes, test_beats, classes, sample_rate)


def plot_architecture(model: TrainedModel) -> Figure:
    """Draw the blocks of the network, with shapes and parameters."""
    from beatwise.networks.outline import outline_network

    blocks = outline_network(model.network, model.input_shape, len(model.representation.feature_names))
    return figures.plot_architecture(blocks, model.input_shape)


def plot_errors(errors: pd.DataFrame) -> tuple[Figure, Figure, Figure]:
    """Draw the share of errors by length of the beat, by record and by RR interval."""
    by = dict(list(errors.groupby("by")))
    return (
        figures.plot_errors_by_length(by["length"]),
        figures.plot_errors_by_record(by["record"]) if "record" in by else new_note("The records are not known."),
        figures.plot_errors_by_rr(by["rr"]) if "rr" in by else new_note("The RR intervals are not known."),
    )


def render(
    model: TrainedModel,
    metrics: dict[str, Any],
    assessment: dict[str, Any],
    explanation: dict[str, Any],
    data_summary: dict[str, Any],
    run_card: dict[str, Any],
    journal: dict[str, Any],
    report: Report,
    source: str,
    plan: dict[str, Any] | None = None,
    trials: pd.DataFrame | None = None,
    space: pd.DataFrame | None = None,
    against_baseline: dict[str, Any] | None = None,
    **drawn: Figure | bytes,
) -> str:
    """Render the report as one HTML file.

    Args:
        model: The model, with what it was fitted with.
        metrics: Its metrics.
        assessment: What else was measured of it.
        explanation: What its explanation came to.
        data_summary: Description of the data.
        run_card: The card of this run, as far as it is known: a ``RunCard`` as plain data.
        journal: Entries of the journal by ID: each a ``Entry`` as plain data.
        report: Title, author, repository and notice.
        source: Name of the data source.
        plan: What was searched; this and the next three where the model came of a search.
        trials: The trials.
        space: What was searched, as a table.
        against_baseline: Baseline and tuned model on test.
        **drawn: Figures by the name that the template calls them.

    Returns:
        HTML.

    Raises:
        BeatwiseError: If the metrics or the explanation are those of another model.
    """
    if metrics["model"] != model.fingerprint:
        raise BeatwiseError(
            "The latest metrics are not those of the model that is loaded. Measure it first: `kedro run "
            "--pipeline=evaluate`, with the same --load-versions if you give any."
        )
    if explanation["model"] != model.fingerprint:
        raise BeatwiseError(
            "The latest explanation is not that of the model that is loaded. Explain it first: `kedro run "
            "--pipeline=explain`, with the same --load-versions if you give any."
        )
    search = None
    if plan is not None and trials is not None and space is not None and against_baseline is not None:
        search = SearchResult(plan, trials, space, against_baseline)
    return render_report(
        settings=report,
        source=source,
        model=model.to_dict(),
        metrics=metrics,
        assessment=assessment,
        explanation=explanation,
        data_summary=data_summary,
        run_card=RunCard.model_validate(run_card),
        journal={id: Entry.model_validate(entry) for id, entry in journal.items()},
        figures=drawn,
        search=search,
    )
