"""Figures of the curves of each class against the rest."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from matplotlib.axes import Axes
from matplotlib.figure import Figure

from beatwise.figures.style import class_colors, draw_band, light_grid, new_figure


def plot_roc_curves(curves: Mapping[str, Any]) -> Figure:
    """ROC curve of each class against the rest, over the false positive rate and over its logarithm."""
    figure, axes = new_figure(8.0, 4.1, 1, 2, sharey=True)
    for ax in axes:
        _draw_curves(ax, curves, "fpr", "roc", "auroc", "AUROC")
        ax.plot(curves["fpr"], curves["fpr"], color="#999999", linewidth=0.8, linestyle=":")
        light_grid(ax, "both")
    smallest = curves["fpr"][1]
    axes[0].set(xlabel="false positive rate (1 − specificity)", ylabel="recall (sensitivity)", xlim=(-0.01, 1))
    axes[1].set(xlabel="false positive rate, log scale", xscale="log", xlim=(smallest, 1), ylim=(0, 1.01))
    _legend(figure, axes[0], curves, "dotted: chance")
    return figure


def plot_precision_recall_curves(curves: Mapping[str, Any]) -> Figure:
    """Precision–recall curve of each class against the rest; a dotted line is the share of the class."""
    figure, ax = new_figure(7.0, 4.4)
    _draw_curves(ax, curves, "recall", "precision_recall", "average_precision", "average precision")
    for label, color in class_colors(list(curves["per_class"])).items():
        ax.axhline(curves["per_class"][label]["share"], color=color, linewidth=0.9, linestyle=":")
    ax.set(xlabel="recall (sensitivity)", ylabel="precision (+P)", xlim=(0, 1.005), ylim=(0, 1.01))
    light_grid(ax, "both")
    _legend(figure, ax, curves, "dotted: share of the class, which is chance")
    return figure


def _draw_curves(ax: Axes, curves: Mapping[str, Any], grid: str, name: str, area: str, title: str) -> None:
    for label, color in class_colors(list(curves["per_class"])).items():
        of_class = curves["per_class"][label]
        metric = of_class[area]
        if metric["value"] is None:
            continue
        text = f"{label}  {title} {metric['value']:.3f} [{metric['low']:.3f}, {metric['high']:.3f}]"
        draw_band(ax, curves[grid], of_class[name], color, f"{text}, {of_class['support']:,} beats")


def _legend(figure: Figure, ax: Axes, curves: Mapping[str, Any], dotted: str) -> None:
    handles, labels = ax.get_legend_handles_labels()
    title = f"in brackets and shaded: {curves['confidence']:.0%} interval; {dotted}"
    style: dict[str, Any] = {"fontsize": 7.5, "title_fontsize": 7.5, "frameon": False, "ncols": 2}
    figure.legend(handles, labels, loc="outside upper center", title=title, **style)
