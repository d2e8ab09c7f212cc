"""Figures of waveforms."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Final

import numpy as np
import numpy.typing as npt
import pandas as pd
from matplotlib.figure import Figure

from beatwise.data.examples import Array, Examples, Labels, evenly
from beatwise.figures.style import class_colors, light_grid, new_figure

# More classes than these in a row are too small on a page.
COLUMNS_AT_MOST: Final = 3


def plot_example_beats(
    beats: Examples, classes: Sequence[str], sample_rate: float, per_class: int, seed: int
) -> Figure:
    """A few beats of each class, drawn at random, over the class's mean.

    Args:
        beats: Beats ``[n, t]``.
        classes: Class names in the order of their indices.
        sample_rate: Samples per second (Hz).
        per_class: Beats drawn for each class.
        seed: Seed of the draw.
    """
    values, target = beats.x, beats.target
    columns = min(COLUMNS_AT_MOST, len(classes))
    rows = -(-len(classes) // columns)
    figure, axes = new_figure(
        2.5 * columns + 0.5, 2.2 * rows + 0.3, rows, columns, sharex=True, sharey=True, squeeze=False
    )
    time = np.arange(values.shape[1]) / sample_rate * 1000
    rng = np.random.default_rng(seed)
    for index, (ax, (name, color)) in enumerate(zip(axes.flat, class_colors(classes).items(), strict=False)):
        members = np.flatnonzero(target == index)
        ax.set_title(f"{name}  ({len(members):,} beats)", fontsize=9)
        ax.tick_params(labelsize=8)
        if len(members):
            chosen = rng.choice(members, size=min(per_class, len(members)), replace=False)
            ax.plot(time, values[chosen].T, color=color, linewidth=0.6, alpha=0.55)
            ax.plot(time, values[evenly(members)].mean(axis=0), color="black", linewidth=1.6, label="class mean")
        light_grid(ax)
    for ax in axes.flat[len(classes) :]:
        ax.set_visible(False)
    for ax in axes.flat[len(classes) - columns : len(classes)]:
        ax.tick_params(labelbottom=True)
    figure.supxlabel("time from R peak (ms)", fontsize=9)
    figure.supylabel("amplitude (scaled to 0–1)", fontsize=9)
    axes[0, 0].legend(fontsize=8, frameon=False, loc="upper right")
    return figure


def plot_average_beats(averages: pd.DataFrame, classes: Sequence[str]) -> Figure:
    """The mean beat of each class and the band that holds nine of ten beats."""
    figure, axes = new_figure(2.1 * len(classes) + 0.6, 2.6, 1, len(classes), sharex=True, sharey=True, squeeze=False)
    for ax, (label, color) in zip(axes[0], class_colors(classes).items(), strict=True):
        own = averages[averages["class"] == label]
        ax.fill_between(own["ms"], own["low"], own["high"], color=color, alpha=0.2, linewidth=0)
        ax.plot(own["ms"], own["mean"], color=color, linewidth=1.6)
        ax.set_title(f"{label}  ({own['beats'].max():,} beats)" if len(own) else f"{label}  (no beats)", fontsize=9)
        ax.set_xlabel("time from R peak (ms)", fontsize=8)
        ax.tick_params(labelsize=7)
        light_grid(ax)
    axes[0, 0].set_ylabel("amplitude (scaled to 0–1)", fontsize=8)
    return figure


def plot_waveforms(x: npt.NDArray[np.float32], y: Labels, classes: Sequence[str], per_class: int = 3) -> Figure:
    """The first beats of each class as a model sees them: every channel of a series as a line, an image as an image.

    Args:
        x: Representation, ``[n, c, t]`` or ``[n, c, height, width]``.
        y: Class indices ``[n]``.
        classes: Class names.
        per_class: Beats a class.
    """
    figure, axes = new_figure(2.0 * per_class, 1.3 * len(classes), len(classes), per_class, squeeze=False)
    for index, (row, (name, color)) in enumerate(zip(axes, class_colors(classes).items(), strict=True)):
        row[0].set_ylabel(name, rotation=0, labelpad=12)
        for ax, beat in zip(row, np.flatnonzero(y == index)[:per_class], strict=False):
            _draw_beat(ax, x[beat], color)
        for ax in row:
            ax.set_xticks([])
            ax.set_yticks([])
    return figure


def _draw_beat(ax, beat: Array, color: str) -> None:  # type: ignore[no-untyped-def]
    if beat.ndim == 3:
        # A beat that was folded has no shape to keep; the channels of a picture stand side by side.
        folded = len(beat) == 1
        ax.imshow(
            np.concatenate(list(beat), axis=1), cmap="Greys" if folded else "gray", aspect="auto" if folded else "equal"
        )
        return
    for channel, alpha in zip(beat, np.linspace(1, 0.3, len(beat)), strict=True):
        ax.plot(channel, color=color, linewidth=0.9, alpha=alpha)
