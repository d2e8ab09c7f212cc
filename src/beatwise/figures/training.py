"""Figures of a training."""

from __future__ import annotations

from typing import Any

import pandas as pd
from matplotlib.figure import Figure
from matplotlib.ticker import MaxNLocator

from beatwise.figures.style import FAINT, light_grid, new_figure
from beatwise.tasks.registry import METRICS


def plot_learning_curves(history: pd.DataFrame, best_epoch: int) -> Figure:
    """Loss of train and validation, and the validation metrics, over the epochs."""
    figure, (loss, metrics) = new_figure(8.0, 3.2, 1, 2)
    loss.plot(history["epoch"], history["train_loss"], color=FAINT, marker="o", markersize=3, label="train, as trained")
    loss.plot(
        history["epoch"],
        history["val_log_loss"],
        color="black",
        marker="o",
        markersize=3,
        label="validation, log loss",
    )
    loss.set_ylabel("loss")
    loss.set_ylim(bottom=0)
    # No colours: those are the classes'.
    lines = {"accuracy": (FAINT, "-"), "macro_recall": ("black", "-"), "macro_f1": ("black", "--")}
    for name, (color, line) in lines.items():
        style: dict[str, Any] = {"color": color, "linestyle": line, "marker": "o", "markersize": 3}
        metrics.plot(history["epoch"], history[f"val_{name}"], label=METRICS[name].label, **style)
    metrics.set_ylabel("validation metric")
    metrics.set_ylim(top=1.0)
    for ax in (loss, metrics):
        ax.axvline(best_epoch, color="black", linestyle=":", linewidth=1, label=f"best epoch ({best_epoch})")
        ax.set_xlabel("epoch")
        ax.xaxis.set_major_locator(MaxNLocator(integer=True))
        ax.legend(frameon=False, fontsize=8)
        light_grid(ax)
    return figure
