"""Figures: one function for each; it takes plain results and returns a matplotlib ``Figure``.

Parameters are named after the results that they take: ``metrics`` is the result of ``measure_predictions``, ``moves``
of ``count_moves``, ``calibration`` of ``measure_calibration``, ``curves`` of ``measure_curves``, ``values`` of
``measure_predictive_value``, ``risk_coverage`` of ``measure_risk_coverage``, ``mistakes`` of
``most_confident_mistakes``, ``errors`` of ``find_errors``, ``averages`` of ``average_beats``, ``blocks`` of
``outline_network``, ``summary`` of ``summarise_data``, ``leaderboard`` of ``rank_rows``; ``embedding`` and
``projections`` of ``embed_beats``, ``saliency`` and ``attributions`` of ``explain_beats``, ``saliency_check`` of
``check_saliency``; ``trials``, ``histories`` and ``space`` of ``trials_table``, ``histories_table`` and
``space_table``, with ``metric``, the metric of the search. ``classes`` are class names in the order of their indices,
``sample_rate`` is in Hz.
"""

from beatwise.figures.architecture import plot_architecture
from beatwise.figures.beats import plot_average_beats, plot_example_beats, plot_waveforms
from beatwise.figures.calibration import plot_reliability, plot_reliability_by_class
from beatwise.figures.comparison import plot_fold_curves, plot_leaderboard, plot_shares
from beatwise.figures.curves import plot_precision_recall_curves, plot_roc_curves
from beatwise.figures.data import plot_class_counts, plot_data_summary
from beatwise.figures.embedding import plot_embedding
from beatwise.figures.forgetting import plot_forgetting
from beatwise.figures.mistakes import (
    plot_errors_by_length,
    plot_errors_by_record,
    plot_errors_by_rr,
    plot_most_confident_mistakes,
)
from beatwise.figures.pictures import (
    draw_attributed_picture,
    plot_example_pictures,
    plot_explained_pictures,
    plot_mistaken_pictures,
    plot_picture_saliency,
)
from beatwise.figures.prevalence import plot_predictive_value
from beatwise.figures.reject import plot_risk_coverage
from beatwise.figures.saliency import plot_explained_beats, plot_lead_saliency, plot_saliency, plot_saliency_check
from beatwise.figures.scores import plot_confusion_matrices, plot_per_class
from beatwise.figures.search import plot_importance, plot_parallel, plot_search, plot_slices, plot_trial_curves
from beatwise.figures.training import plot_learning_curves

__all__ = [
    "draw_attributed_picture",
    "plot_architecture",
    "plot_average_beats",
    "plot_class_counts",
    "plot_confusion_matrices",
    "plot_data_summary",
    "plot_embedding",
    "plot_errors_by_length",
    "plot_errors_by_record",
    "plot_errors_by_rr",
    "plot_example_beats",
    "plot_example_pictures",
    "plot_explained_beats",
    "plot_explained_pictures",
    "plot_fold_curves",
    "plot_forgetting",
    "plot_importance",
    "plot_lead_saliency",
    "plot_leaderboard",
    "plot_learning_curves",
    "plot_mistaken_pictures",
    "plot_most_confident_mistakes",
    "plot_parallel",
    "plot_per_class",
    "plot_picture_saliency",
    "plot_precision_recall_curves",
    "plot_predictive_value",
    "plot_reliability",
    "plot_reliability_by_class",
    "plot_risk_coverage",
    "plot_roc_curves",
    "plot_saliency",
    "plot_saliency_check",
    "plot_search",
    "plot_shares",
    "plot_slices",
    "plot_trial_curves",
    "plot_waveforms",
]
