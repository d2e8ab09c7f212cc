"""Figures of calibration, before and after a temperature."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any, Final

import numpy as np
from matplotlib.axes import Axes
from matplotlib.figure import Figure
from matplotlib.lines import Line2D

from beatwise.figures.style import FAINT, class_colors, light_grid, new_figure

BEFORE: Final = FAINT


def plot_reliability(calibration: Mapping[str, Any]) -> Figure:
    """How often the model is right over how sure it is, and how many beats there are, before and after."""
    figure, axes = new_figure(7.6, 4.6, 2, 2, sharex=True, sharey="row", height_ratios=[3, 1])
    titles = {"before": "before", "after": f"after, temperature {calibration['temperature']:.2f}"}
    for (upper, lower), (when, title), color in zip(axes.T, titles.items(), (BEFORE, "black"), strict=True):
        top = calibration[when]["top"]
        _draw_reliability(upper, top, color)
        upper.set_title(f"{title}: ECE {top['ece']:.4f}, log loss {calibration[when]['log_loss']:.4f}", fontsize=9)
        left, right = np.array(top["from"]), np.array(top["to"])
        lower.bar(left, top["beats"], right - left, align="edge", color=color, edgecolor="white", linewidth=0.5)
        lower.set(xlabel="top probability", yscale="log", ylim=(0.7, None))
        light_grid(lower)
    axes[0, 0].set_ylabel(f"correct predictions, {calibration['confidence']:.0%} interval")
    axes[1, 0].set_ylabel("beats (log scale)")
    return figure


def plot_reliability_by_class(calibration: Mapping[str, Any]) -> Figure:
    """How often a beat is of a class over the probability of it, for each class, before and after."""
    classes = list(calibration["before"]["per_class"])
    columns = min(3, len(classes))
    rows = -(-len(classes) // columns)
    figure, axes = new_figure(2.9 * columns, 2.7 * rows + 0.4, rows, columns, sharex=True, sharey=True, squeeze=False)
    for ax, (label, color) in zip(axes.flat, class_colors(classes).items(), strict=False):
        before, after = (calibration[when]["per_class"][label] for when in ("before", "after"))
        _draw_reliability(ax, before, BEFORE, marker="s")
        _draw_reliability(ax, after, color)
        ax.set_title(f"{label}: ECE {before['ece']:.4f} → {after['ece']:.4f}", fontsize=9)
    for ax in axes.flat[len(classes) :]:
        ax.set_visible(False)
    for ax in axes.flat[max(len(classes) - columns, 0) : len(classes)]:
        ax.tick_params(labelbottom=True)
    marks: dict[str, Any] = {"markersize": 4, "linewidth": 1.1}
    handles = [
        Line2D([], [], color=BEFORE, marker="s", label="before", **marks),
        Line2D([], [], color="black", marker="o", label="after, in the colour of the class", **marks),
    ]
    figure.legend(handles=handles, loc="outside upper center", ncols=2, fontsize=8, frameon=False)
    figure.supxlabel(f"probability of the class (temperature {calibration['temperature']:.2f})", fontsize=9)
    figure.supylabel(f"share of beats of the class, {calibration['confidence']:.0%} interval", fontsize=9)
    return figure


def _draw_reliability(ax: Axes, bins: Mapping[str, Any], color: str, marker: str = "o") -> None:
    """Frequency over mean probability, a bin each, with intervals, and the diagonal on which both agree."""
    frequency = np.array(bins["frequency"])
    spread = [np.clip(frequency - bins["low"], 0, None), np.clip(np.array(bins["high"]) - frequency, 0, None)]
    ax.plot([0, 1], [0, 1], color="#999999", linewidth=0.8, linestyle=":")
    style: dict[str, Any] = {"markersize": 4, "linewidth": 1.1, "elinewidth": 0.8, "capsize": 2}
    ax.errorbar(bins["probability"], frequency, yerr=spread, fmt=f"{marker}-", color=color, **style)
    ax.set(xlim=(-0.02, 1.02), ylim=(-0.02, 1.02))
    light_grid(ax, "both")
