"""The figures of every report: a new one is a function in :mod:`beatwise.figures` and an entry here.

The report shows the entries of a section in this order.
"""

from __future__ import annotations

from collections.abc import Callable
from functools import partial
from typing import Final

import pandas as pd
import plotly.graph_objects as go
from matplotlib.axes import Axes
from matplotlib.figure import Figure

from beatwise import figures as draw
from beatwise.figures import interactive, interactive_training, regression
from beatwise.figures.table import Entry
from beatwise.report.regression import target_of
from beatwise.report.results import ComparisonResults, Results, SearchResults

IMPORTANCE: Final = (
    "How much worse a random forest predicts the score when a value is permuted, as a share of the sum. With few "
    "trials this is a hint, not a finding."
)
NO_MOVES: Final = "Moves between right and wrong are not counted for this model."


def _architecture(results: Results) -> Figure:
    from beatwise.networks.outline import outline_network

    model = results.model
    blocks = outline_network(model.network, model.input_shape, len(model.representation.feature_names))
    return draw.plot_architecture(blocks, model.input_shape)


def _class_counts(results: Results) -> Figure | str:
    if results.model.config["resample"]["use"] == "none":
        return "The training part is not resampled."
    before = results.data_summary["parts"]["train"]["counts"]
    return draw.plot_class_counts(before, results.model.metadata["trained_on"], results.model.config["resample"]["use"])


def _errors_by_record(results: Results) -> Figure | str:
    errors = results.errors_by("record")
    return "The records are not known." if errors.empty else draw.plot_errors_by_record(errors)


def _errors_by_rr(results: Results) -> Figure | str:
    errors = results.errors_by("rr")
    return "The RR intervals are not known." if errors.empty else draw.plot_errors_by_rr(errors)


def _importance(results: Results) -> Figure | str:
    if results.search is None:
        return "The model does not come from a search."
    return draw.plot_importance(pd.DataFrame(results.search["importance"]).astype({"importance": float}))


def _saliency_check(
    results: Results, rate: float | None, draw_picture: Callable[[Axes, pd.DataFrame], None] | None = None
) -> Figure:
    found = results.explanation
    return draw.plot_saliency_check(
        found.saliency_check, found.saliency, found.random_saliency, results.classes, rate, draw_picture
    )


def _forgetting(results: Results) -> Figure | str:
    moves = results.moves
    return NO_MOVES if moves is None else draw.plot_forgetting(moves, results.best_epoch)


def _forgetting_plot(results: Results) -> go.Figure | str:
    moves = results.moves
    return NO_MOVES if moves is None else interactive_training.forgetting(moves, results.best_epoch)


REPORT: Final[tuple[Entry[Results], ...]] = (
    Entry(
        "data_summary",
        lambda of: draw.plot_data_summary(of.data_summary),
        "data",
        "Beats by class and part, and how long they are.",
        axes=(1, 2),
    ),
    Entry(
        "data_summary",
        lambda of: draw.plot_data_summary(of.data_summary),
        "data",
        "Beats by class and part.",
        axes=(3,),
    ),
    Entry(
        "class_counts",
        _class_counts,
        "data",
        "The training part before and after resampling; validation and test are never resampled.",
        printed=False,
    ),
    Entry(
        "example_beats",
        lambda of: draw.plot_example_beats(of.test_beats, of.classes, of.rate, of.report.examples_per_class, of.seed),
        "data",
        "Test beats of each class, drawn at random, over the mean of the class.",
        axes=(1,),
    ),
    Entry(
        "example_pictures",
        lambda of: draw.plot_example_pictures(of.test_beats, of.classes, of.report.examples_per_class, of.seed),
        "data",
        "Test pictures of each class, drawn at random; the greys of a channel are the same in all of them.",
        tall=True,
        axes=(3,),
    ),
    Entry(
        "per_class",
        lambda of: draw.plot_per_class(of.metrics),
    ),
    Entry(
        "confusion_matrices",
        lambda of: draw.plot_confusion_matrices(of.metrics),
    ),
    Entry(
        "roc",
        lambda of: draw.plot_roc_curves(of.assessment["curves"]),
        "scores",
        "Recall over the false positive rate, each class against the rest; on the right the same over a logarithmic "
        "scale, because among many normal beats only small rates are of use.",
    ),
    Entry(
        "precision_recall",
        lambda of: draw.plot_precision_recall_curves(of.assessment["curves"]),
        "scores",
        "Precision over recall, each class against the rest.",
    ),
    Entry(
        "predictive_value",
        lambda of: draw.plot_predictive_value(of.assessment["predictive_value"]),
        "operating-points",
        "The share of the beats called a class that belong to it, if the class were as frequent as the axis says; the "
        "dot is its frequency in the test part. Recall and specificity are those of test.",
        printed=False,
    ),
    Entry(
        "reliability",
        lambda of: draw.plot_reliability(of.assessment["calibration"]),
        "calibration",
        "How often the predicted class is right over the probability that it was given, before and after the "
        "temperature.",
    ),
    Entry(
        "reliability_by_class",
        lambda of: draw.plot_reliability_by_class(of.assessment["calibration"]),
        "calibration",
        "The same for the probability of each class, whether predicted or not.",
        tall=True,
        printed=False,
    ),
    Entry(
        "risk_coverage",
        lambda of: draw.plot_risk_coverage(of.assessment["risk_coverage"], of.assessment["rejections"]),
        "unsure",
        "Errors among the accepted beats, macro recall among them, and the share of each class that is accepted: the "
        "last panel shows what happens to the rare classes.",
    ),
    Entry(
        "mistakes",
        lambda of: draw.plot_most_confident_mistakes(of.mistakes, of.test_beats, of.classes, of.rate),
        "mistakes",
        "The most confident mistakes, with the means of the true and of the predicted class.",
        tall=True,
        axes=(1,),
    ),
    Entry(
        "mistakes",
        lambda of: draw.plot_mistaken_pictures(of.mistakes, of.test_beats, of.classes),
        "mistakes",
        "The most confident mistakes: true class, predicted class, its probability; the channels stand side by side.",
        tall=True,
        axes=(3,),
    ),
    Entry(
        "errors_by_length",
        lambda of: draw.plot_errors_by_length(of.errors_by("length")),
        "mistakes",
        "Share of errors over the length of the beat.",
        printed=False,
        axes=(1,),
    ),
    Entry(
        "errors_by_record",
        _errors_by_record,
        "mistakes",
        "Errors by record, those with most errors first.",
        tall=True,
        printed=False,
        axes=(1, 2),
    ),
    Entry(
        "errors_by_rr",
        _errors_by_rr,
        "mistakes",
        "Share of errors over the RR interval before the beat, relative to the local mean: early beats are on the "
        "left.",
        printed=False,
        axes=(1, 2),
    ),
    Entry(
        "saliency",
        lambda of: draw.plot_saliency(of.explanation.saliency, of.classes, of.rate),
        "saliency",
        "The mean beat of each class, aligned at its first sample (the R peak, where beats are cut as in the Kaggle "
        "set), and behind it the mean attribution of the logit of the class. Each row has its own scale.",
        tall=True,
        axes=(1,),
    ),
    Entry(
        "saliency",
        lambda of: draw.plot_lead_saliency(
            of.explanation.saliency, of.classes, of.test_beats.channel_names(of.test_beats.shape[0]), of.rate
        ),
        "saliency",
        "The mean window of each class, a column a lead, and behind it the mean attribution of the logit of the class. "
        "Each row has its own scale, the same for its leads.",
        tall=True,
        axes=(2,),
    ),
    Entry(
        "saliency",
        lambda of: draw.plot_picture_saliency(of.explanation.saliency, of.classes, of.test_beats),
        "saliency",
        "The mean picture of some of each class, and over it the mean attribution of the logit of the class: of each "
        "channel, then by Grad-CAM over the mean of the channels. Each row has a scale, the same for its channels.",
        tall=True,
        axes=(3,),
    ),
    Entry(
        "explained_beats",
        lambda of: draw.plot_explained_beats(of.explanation.saliency, of.explanation.attributions, of.classes, of.rate),
        "saliency",
        "The most confident hit and the most confident mistake of each class; behind each, the attribution of the "
        "logit of the predicted class.",
        tall=True,
        printed=False,
        axes=(1,),
    ),
    Entry(
        "explained_pictures",
        lambda of: draw.plot_explained_pictures(
            of.explanation.saliency, of.explanation.attributions, of.classes, of.test_beats
        ),
        "saliency",
        "The most confident hit and the most confident mistake of each class under the attribution of the logit of the "
        "predicted class: each channel, then Grad-CAM over their mean.",
        tall=True,
        printed=False,
        axes=(3,),
    ),
    Entry(
        "saliency_check",
        lambda of: _saliency_check(of, of.rate),
        "saliency-check",
        "Above: the most confident hits under the trained network and under the same one with random weights. Below: "
        "rank correlations beat by beat.",
        printed=False,
        axes=(1,),
    ),
    Entry(
        "saliency_check",
        lambda of: _saliency_check(of, None, partial(draw.draw_attributed_picture, shape=of.test_beats.shape)),
        "saliency-check",
        "Above: the most confident hits under the trained network and under the same one with random weights, all "
        "channels together. Below: rank correlations picture by picture.",
        printed=False,
        axes=(3,),
    ),
    Entry(
        "embedding",
        lambda of: draw.plot_embedding(of.explanation.embedding, of.explanation.summary["projections"], of.classes),
        "embedding",
        "Validation beats as the last layer sees them: on the left by class, on the right the mistakes. Only some "
        "beats of the frequent classes are drawn, and all of the rare ones.",
        tall=True,
    ),
    Entry(
        "learning_curves",
        lambda of: draw.plot_learning_curves(of.epochs, of.best_epoch),
        "training",
        "Loss and validation metrics by epoch; the dotted line marks the epoch whose weights were kept.",
    ),
    Entry(
        "forgetting",
        _forgetting,
        "training",
        "How validation beats moved between right and wrong from epoch to epoch (the axes differ), and how often beats "
        "were forgotten. A beat that is never learnt, or forgotten again and again, is worth a look: it may be odd, or "
        "its label wrong.",
        printed=False,
    ),
    Entry("importance", _importance, "search", IMPORTANCE, printed=False),
    Entry(
        "architecture",
        _architecture,
        "architecture",
        "The path of a beat through the network, drawn from the network itself: on the left the shape of one beat, "
        "channels first, on the right the parameters of each block.",
        tall=True,
    ),
    Entry(
        "embedding_plot",
        lambda of: interactive.embedding(of.explanation.embedding, of.explanation.summary["projections"], of.classes),
    ),
    Entry("forgetting_plot", _forgetting_plot),
)


def _what(results: Results) -> str:
    return target_of(results.metrics)


def _inputs(results: Results) -> list[str]:
    return results.test_beats.channel_names(len(results.explanation.summary["inputs"]))


REGRESSION: Final[tuple[Entry[Results], ...]] = (
    Entry(
        "forecast",
        lambda of: regression.plot_forecast(of.predictions, _what(of)),
        "scores",
        "Measured and predicted over the test part, in order of time. A line is broken where examples are missing.",
        tall=True,
    ),
    Entry(
        "scatter",
        lambda of: regression.plot_scatter(of.predictions, _what(of)),
        "scores",
        "Predicted over measured, and how the residuals are distributed.",
    ),
    Entry(
        "errors_by",
        lambda of: regression.plot_errors_by(of.metrics["test"]["by"], of.predictions, _what(of)),
        "mistakes",
        "Above: the residuals, the box 25–75 %, the whiskers 5–95 %. Below: the root mean squared error of the model "
        "and of naive forecasts.",
    ),
    Entry(
        "window_saliency",
        lambda of: regression.plot_window_saliency(of.explanation.saliency, _inputs(of), _what(of)),
        "saliency",
        "How much of a prediction falls to each input at each step of the window (integrated gradients without their "
        "sign, mean over the explained examples), and in all.",
    ),
    Entry(
        "embedding",
        lambda of: regression.plot_number_embedding(
            of.explanation.embedding, of.explanation.summary["projections"], _what(of)
        ),
        "embedding",
        "Validation examples as the last layer sees them: on the left by target, on the right by error.",
        tall=True,
    ),
    Entry(
        "learning_curves",
        lambda of: regression.plot_number_curves(of.epochs, of.best_epoch, of.metrics["unit"]),
        "training",
        "Loss of train, and errors on validation by epoch; the dotted line marks the epoch whose weights were kept.",
    ),
    *(entry for entry in REPORT if entry.name in ("importance", "architecture")),
    Entry("forecast_plot", lambda of: interactive.forecast(of.predictions, _what(of))),
)

# By the name of the task.
OF_TASK: Final = {"classification": REPORT, "regression": REGRESSION}

SEARCH: Final[tuple[Entry[SearchResults], ...]] = (
    Entry(
        "search",
        lambda of: draw.plot_search(of.trials, of.metric),
        "trials",
        "Every trial by its score on validation, and the best so far; on the right over the epochs that it took.",
    ),
    Entry(
        "trial_curves",
        lambda of: draw.plot_trial_curves(of.histories, of.trials, of.metric),
        "trials",
        "The metric on validation epoch by epoch; the best trial in colour.",
    ),
    Entry("importance", lambda of: draw.plot_importance(of.space), "searched", IMPORTANCE),
    Entry(
        "slices",
        lambda of: draw.plot_slices(of.trials, of.space, of.metric),
        "searched",
        "The score over each hyper-parameter, the most important first.",
    ),
    Entry(
        "parallel",
        lambda of: draw.plot_parallel(of.trials, of.space, of.metric),
        "searched",
        "Every trial as a line over its hyper-parameters; the best ones in colour.",
    ),
    Entry("parallel_plot", lambda of: interactive.parallel_coordinates(of.trials, of.space, of.metric)),
    Entry("history_plot", lambda of: interactive.history(of.trials, of.metric)),
    Entry("curves_plot", lambda of: interactive.curves(of.histories, of.trials, of.metric)),
)

LEADERBOARD: Final[tuple[Entry[ComparisonResults], ...]] = (
    Entry(
        "leaderboard",
        lambda of: draw.plot_leaderboard(of.leaderboard),
        "leaderboard",
        "The metrics that rank the rows, on test, the best row above; the dotted line is the best of each. A ring is "
        "the metric at the recall-first operating point.",
    ),
    Entry(
        "shares",
        lambda of: draw.plot_shares(of.leaderboard, of.rows),
        "shares",
        "Scores on test by the share of the training part that a model has learned from; mean over the seeds, interval "
        "over examples. Validation, which picks the epoch, is the whole validation part everywhere.",
    ),
    Entry(
        "fold_curves",
        lambda of: draw.plot_fold_curves(of.rows),
        "folds",
        "Learning curves: the monitored metric on the validation part of each fold, the mean of the seeds.",
    ),
)
