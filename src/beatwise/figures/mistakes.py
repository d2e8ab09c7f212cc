"""Figures of mistakes: how many there are where, and what the most confident ones look like."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any, Final

import numpy as np
import pandas as pd
from matplotlib.axes import Axes
from matplotlib.figure import Figure
from matplotlib.lines import Line2D
from matplotlib.ticker import MaxNLocator, PercentFormatter

from beatwise.data.examples import Array, Examples, evenly
from beatwise.data.representations import beat_mask
from beatwise.figures.style import GREY, STEPS, class_colors, light_grid, new_figure, origin
from beatwise.tasks.classification.mistakes import ERRORS
from beatwise.tasks.metrics import Floats, ratio

# More records than these have no place in a figure; the ones with most errors do.
RECORDS_AT_MOST: Final = 25
# The share of fewer beats says next to nothing, and its interval would set the scale.
BEATS_AT_LEAST: Final = 10


def plot_errors_by_record(errors: pd.DataFrame) -> Figure:
    """Errors of each record by true class, and the share of its beats that they are; most errors first."""
    shown = errors.head(RECORDS_AT_MOST)
    place = np.arange(len(shown))
    figure, (counts, shares) = new_figure(8.5, 1.4 + 0.2 * len(shown), 1, 2, sharey=True, width_ratios=[3, 2])
    left = np.zeros(len(shown))
    for label, color in _class_colors(errors).items():
        width = shown[f"{ERRORS}{label}"].to_numpy()
        counts.barh(place, width, 0.75, left=left, color=color, label=label)
        left += width
    shares.errorbar(shown["error"], place, xerr=_spread(shown), fmt="o", color=GREY, markersize=4, capsize=2)
    overall = errors["errors"].sum() / errors["beats"].sum()
    shares.axvline(overall, color="#999999", linewidth=0.8, linestyle=":", label="all records")
    shares.set_xlim(left=0)
    shares.xaxis.set_major_locator(MaxNLocator(4, steps=STEPS))
    shares.xaxis.set_major_formatter(PercentFormatter(1))
    counts.set_xlim(0, 1.03 * max(left.max(), 1))
    counts.set_yticks(place, [f"{row['record']} ({row['beats']:,})" for row in shown.to_dict("records")], fontsize=7.5)
    counts.set_ylim(len(shown) - 0.4, -0.6)
    counts.xaxis.set_major_locator(MaxNLocator(6, integer=True, steps=STEPS))
    left_out = errors.iloc[RECORDS_AT_MOST:]
    rest = f"; {len(left_out)} more have {left_out['errors'].sum():,} errors" if len(left_out) else ""
    counts.set_ylabel("record (its beats)")
    counts.set_xlabel(f"errors{rest}")
    shares.set_xlabel("share of the record's beats, with interval")
    for ax in (counts, shares):
        light_grid(ax, "x")
    _legend(figure, counts, shares)
    return figure


def plot_errors_by_length(errors: pd.DataFrame) -> Figure:
    """Errors by true class, and the share of beats that they are, over the beats' length."""
    return _plot_errors(errors, "beat length without padding (ms)")


def plot_errors_by_rr(errors: pd.DataFrame) -> Figure:
    """Errors by true class, and the share of beats that they are, over the RR interval before the beat."""
    return _plot_errors(errors, "RR interval before the beat / local mean (below 1: early)")


def plot_most_confident_mistakes(
    mistakes: pd.DataFrame, beats: Examples, classes: Sequence[str], sample_rate: float
) -> Figure:
    """The most confident mistakes of each true class, over the means of the true and of the predicted class.

    Args:
        mistakes: Result of ``most_confident_mistakes``.
        beats: The beats that were predicted.
        classes: Class names in the order of their indices.
        sample_rate: Samples per second (Hz).
    """
    by_class = [mistakes[mistakes["target"] == index].to_dict("records") for index in range(len(classes))]
    rows = [(index, of_class) for index, of_class in enumerate(by_class) if of_class]
    columns = max([2, *(len(of_class) for _, of_class in rows)])
    n_rows = max(len(rows), 1)
    figure, axes = new_figure(
        2.3 * columns, 0.9 + 1.4 * n_rows, n_rows, columns, sharex=True, sharey=True, squeeze=False
    )
    values, target = beats.x, beats.target
    time = np.arange(values.shape[1]) / sample_rate * 1000
    colors = class_colors(classes)
    drawn = {index for truth, of_class in rows for index in (truth, *(row["prediction"] for row in of_class))}
    members = {index: np.flatnonzero(target == index) for index in sorted(drawn)}
    means = {index: _mean_beat(values[evenly(rows)]) for index, rows in members.items() if len(rows)}
    for row, (truth, of_class) in zip(axes, rows, strict=False):
        for ax, mistake in zip(row, of_class, strict=False):
            for index in {truth, mistake["prediction"]} & set(means):
                ax.plot(time, means[index], color=colors[classes[index]], linewidth=1.1, linestyle="--")
            wave = values[mistake["beat"]]
            ax.plot(time, np.where(beat_mask(wave[None])[0], wave, np.nan), color="black", linewidth=1.2)
            where = f"\n{origin(mistake)}" if "record" in mistake else ""
            title = f"{classes[truth]} as {classes[mistake['prediction']]}, {mistake['probability']:.1%}{where}"
            ax.set_title(title, fontsize=8)
            ax.tick_params(labelsize=7)
            light_grid(ax)
    for column in axes.T:
        used = [ax for ax in column if ax.get_title()]
        for ax in set(column) - set(used):
            ax.set_visible(False)
        if used:
            used[-1].tick_params(labelbottom=True)
    if not rows:
        figure.text(0.5, 0.5, "no mistakes", ha="center", va="center", color="#666666")
        return figure
    figure.supxlabel("time from R peak (ms)", fontsize=9)
    figure.supylabel("amplitude (scaled to 0–1)", fontsize=9)
    handles = [Line2D([], [], color="black", linewidth=1.2, label="the beat")]
    for index in means:
        style: dict[str, Any] = {"color": colors[classes[index]], "linewidth": 1.1, "linestyle": "--"}
        handles.append(Line2D([], [], label=f"mean of {classes[index]}", **style))
    figure.legend(handles=handles, loc="outside upper center", ncols=min(len(handles), 3), fontsize=8, frameon=False)
    return figure


def _mean_beat(values: Array) -> Floats:
    """The mean of beats without their padding, for as long as half of them last, ``float [n_samples]``."""
    mask = beat_mask(values)
    lasting = mask.sum(axis=0)
    return np.where(lasting >= len(values) / 2, ratio(values.sum(axis=0), lasting), np.nan)


def _plot_errors(errors: pd.DataFrame, title: str) -> Figure:
    figure, (counts, shares) = new_figure(7.5, 4.2, 2, 1, sharex=True)
    width = (errors["to"] - errors["from"]).to_numpy()
    middle = errors["from"].to_numpy() + width / 2
    bottom = np.zeros(len(errors))
    for label, color in _class_colors(errors).items():
        height = errors[f"{ERRORS}{label}"].to_numpy()
        counts.bar(middle, height, 0.92 * width, bottom=bottom, color=color, label=label)
        bottom += height
    known = errors[errors["beats"] >= BEATS_AT_LEAST]
    style: dict[str, Any] = {"color": GREY, "markersize": 4, "capsize": 2}
    shares.errorbar((known["from"] + known["to"]) / 2, known["error"], yerr=_spread(known), fmt="o-", **style)
    overall = errors["errors"].sum() / errors["beats"].sum()
    shares.axhline(overall, color="#999999", linewidth=0.8, linestyle=":", label="all beats")
    counts.set(ylabel="errors", ylim=(0, 1.05 * max(bottom.max(), 1)))
    counts.yaxis.set_major_locator(MaxNLocator(6, integer=True, steps=STEPS))
    shares.set_ylabel(f"share of the beats\nwhere {BEATS_AT_LEAST} or more,\nwith interval")
    shares.yaxis.set_major_formatter(PercentFormatter(1))
    shares.set_ylim(bottom=0)
    shares.set_xlabel(title)
    for ax in (counts, shares):
        light_grid(ax)
    _legend(figure, counts, shares)
    return figure


def _class_colors(errors: pd.DataFrame) -> dict[str, str]:
    return class_colors([name.removeprefix(ERRORS) for name in map(str, errors) if name.startswith(ERRORS)])


def _spread(errors: pd.DataFrame) -> Any:
    """The distances of the ends of the intervals from the shares."""
    return [(errors["error"] - errors["low"]).clip(0), (errors["high"] - errors["error"]).clip(0)]


def _legend(figure: Figure, counts: Axes, shares: Axes) -> None:
    handles, names = counts.get_legend_handles_labels()
    others, other_names = shares.get_legend_handles_labels()
    style: dict[str, Any] = {"fontsize": 8, "title_fontsize": 8, "frameon": False, "ncols": len(names) + 1}
    figure.legend([*handles, *others], [*names, *other_names], loc="outside upper center", title="true class", **style)
