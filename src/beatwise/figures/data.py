"""Figures of the data: class counts, lengths."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

import numpy as np
from matplotlib.figure import Figure

from beatwise.figures.style import PART_COLORS, PART_NAMES, class_colors, light_grid, new_figure


def plot_data_summary(summary: Mapping[str, Any]) -> Figure:
    """Beats of each class in each part, and how long they are."""
    classes, parts = summary["classes"], summary["parts"]
    with_lengths = bool(summary["length_ms"])
    if with_lengths:
        figure, (counts, lengths) = new_figure(8.0, 3.4, 1, 2, width_ratios=[3, 2])
    else:
        figure, counts = new_figure(6.0, 3.4)
    place = np.arange(len(classes))
    width = 0.8 / len(parts)
    for i, (name, part) in enumerate(parts.items()):
        heights = [part["counts"][label] for label in classes]
        counts.bar(
            place + (i - (len(parts) - 1) / 2) * width,
            heights,
            width,
            color=PART_COLORS[name],
            label=f"{PART_NAMES.get(name, name)} ({part['beats']:,})",
        )
    counts.set_yscale("log")
    counts.set_ylim(bottom=0.7)
    counts.set_xticks(place, classes)
    counts.set_ylabel("beats (log scale)")
    counts.set_xlabel("class")
    counts.legend(frameon=False, fontsize=8, ncols=len(parts), loc="lower center", bbox_to_anchor=(0.5, 1.0))
    light_grid(counts)
    if not with_lengths:
        return figure

    colors = class_colors(classes)
    boxes = [
        {
            "label": label,
            "whislo": q["0.05"],
            "q1": q["0.25"],
            "med": q["0.5"],
            "q3": q["0.75"],
            "whishi": q["0.95"],
        }
        for label, q in summary["length_ms"].items()
    ]
    drawn = lengths.bxp(boxes, showfliers=False, patch_artist=True, widths=0.55, medianprops={"color": "black"})
    for patch, box in zip(drawn["boxes"], boxes, strict=True):
        patch.set_facecolor(colors[box["label"]])
        patch.set_alpha(0.75)
    lengths.set_ylabel("beat length without padding (ms)")
    lengths.set_xlabel("class; box 25–75 %, whiskers 5–95 %")
    lengths.set_ylim(bottom=0)
    light_grid(lengths)
    return figure


def plot_class_counts(before: Mapping[str, int], after: Mapping[str, int], strategy: str) -> Figure:
    """Class counts of the training part before and after resampling."""
    classes = list(before)
    figure, ax = new_figure(7.0, 0.5 * len(classes) + 1.2)
    place = np.arange(len(classes))
    for offset, counts, alpha in ((-0.2, before, 0.4), (0.2, after, 1.0)):
        heights = [counts[label] for label in classes]
        bars = ax.barh(place + offset, heights, 0.38, color=list(class_colors(classes).values()), alpha=alpha)
        ax.bar_label(bars, [f"{n:,} ({n / sum(heights):.1%})" for n in heights], fontsize=7, padding=3)
    ax.set_yticks(place, classes)
    ax.invert_yaxis()
    ax.margins(x=0.2)
    ax.set_xlabel(
        f"beats; pale: training part ({sum(before.values()):,}), full: resampled by {strategy} "
        f"({sum(after.values()):,})"
    )
    light_grid(ax, "x")
    return figure
