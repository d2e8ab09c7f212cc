"""Figures of metrics."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

import numpy as np
from matplotlib.axes import Axes
from matplotlib.figure import Figure
from matplotlib.image import AxesImage

from beatwise.figures.style import class_colors, color_on, light_grid, new_figure
from beatwise.tasks.classification.metrics import confusion_shares


def plot_confusion_matrices(metrics: Mapping[str, Any]) -> Figure:
    """Test beats by true and predicted class, in shares of the true class and in shares of the predicted one."""
    size = 0.72 * len(metrics["classes"]) + 1.0
    figure, axes = new_figure(2 * size + 0.4, size + 0.3, 1, 2, sharey=True)
    titles = {
        "truth": "share of the true class\n(rows add up to 1, recall on the diagonal)",
        "prediction": "share of the predicted class\n(columns add up to 1, precision on the diagonal)",
    }
    for ax, (of, title) in zip(axes, titles.items(), strict=True):
        image = _draw_confusion(ax, metrics, of)
        ax.set_title(title, fontsize=9)
    axes[0].set_ylabel("true class")
    figure.colorbar(image, ax=axes, shrink=0.8, label="share")
    return figure


def _draw_confusion(ax: Axes, metrics: Mapping[str, Any], of: Any) -> AxesImage:
    """Shares of the true or the predicted class as colours, with the counts."""
    classes, counts = metrics["classes"], metrics["test"]["confusion"]
    shares = np.array(confusion_shares(counts, of), dtype=np.float64)
    # Cells that must be square would leave the layout no room for the labels.
    image = ax.imshow(shares, cmap="Blues", vmin=0, vmax=1, aspect="auto")
    for (row, column), share in np.ndenumerate(shares):
        text = "–" if np.isnan(share) else f"{share:.1%}\n{counts[row][column]:,}"
        color = "white" if share > 0.55 else "black"
        ax.text(column, row, text, ha="center", va="center", fontsize=9, color=color)
    ax.set_xticks(range(len(classes)), classes)
    ax.set_yticks(range(len(classes)), classes)
    ax.set_xlabel("predicted class")
    ax.spines[:].set_visible(False)
    return image


def plot_per_class(metrics: Mapping[str, Any]) -> Figure:
    """Recall, precision and F1 of each class on test, with their intervals."""
    classes, scores = metrics["classes"], metrics["test"]["per_class"]
    figure, axes = new_figure(8.0, 3.2, 1, 3, sharey=True)
    for ax, (name, title) in zip(
        axes, (("recall", "recall (sensitivity)"), ("precision", "precision (+P)"), ("f1", "F1")), strict=True
    ):
        for place, (label, color) in enumerate(class_colors(classes).items()):
            metric = scores[label][name]
            if metric["value"] is None:
                ax.text(place, 0.02, "no\nbeats", ha="center", fontsize=7)
                continue
            spread = [[max(metric["value"] - metric["low"], 0)], [max(metric["high"] - metric["value"], 0)]]
            ax.bar(place, metric["value"], 0.65, color=color, yerr=spread, capsize=3, error_kw={"linewidth": 0.9})
            style: dict[str, Any] = {
                "rotation": 90,
                "ha": "center",
                "va": "bottom",
                "fontsize": 9,
                "color": color_on(color),
            }
            ax.text(place, 0.04, f"{metric['value']:.3f}", **style)
        ax.set_xticks(range(len(classes)), [f"{label}\n{scores[label]['support']:,}" for label in classes], fontsize=8)
        ax.set_title(title, fontsize=9)
        ax.set_ylim(0, 1.05)
        light_grid(ax)
    axes[0].set_ylabel(f"test, {metrics['confidence']:.0%} interval")
    axes[1].set_xlabel("class, and its test beats")
    return figure
