"""Figures: one function a figure; each takes plain results and returns a matplotlib ``Figure``."""

from beatwise.figures.beats import plot_example_beats, plot_waveforms
from beatwise.figures.comparison import plot_leaderboard
from beatwise.figures.data import plot_class_counts, plot_data_summary
from beatwise.figures.scores import plot_confusion_matrix, plot_per_class
from beatwise.figures.search import plot_importance, plot_parallel, plot_search, plot_slices, plot_trial_curves
from beatwise.figures.training import plot_learning_curves

__all__ = [
    "plot_class_counts",
    "plot_confusion_matrix",
    "plot_data_summary",
    "plot_example_beats",
    "plot_importance",
    "plot_leaderboard",
    "plot_learning_curves",
    "plot_parallel",
    "plot_per_class",
    "plot_search",
    "plot_slices",
    "plot_trial_curves",
    "plot_waveforms",
]
