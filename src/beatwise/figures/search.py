"""Figures of searches for hyper-parameters."""

from __future__ import annotations

import json
import math
import textwrap
from collections.abc import Sequence
from typing import Any, Final

import numpy as np
import pandas as pd
from matplotlib.axes import Axes
from matplotlib.collections import LineCollection
from matplotlib.figure import Figure
from matplotlib.lines import Line2D
from matplotlib.patheffects import withStroke
from matplotlib.ticker import FuncFormatter, MaxNLocator, NullLocator

from beatwise.figures.style import GREY, PALETTE, SLATE, STEPS, light_grid, new_figure
from beatwise.tasks.registry import METRICS

STATUS: Final = {
    "finished": ("o", PALETTE[0], "finished"),
    "stopped": ("v", PALETTE[1], "stopped early"),
    "running": ("s", "#999999", "cut off"),
    "failed": ("x", PALETTE[2], "failed"),
}
# More hyper-parameters than these have no place in a figure; the ones that matter most do.
SLICES_AT_MOST: Final = 12
AXES_AT_MOST: Final = 8
# Points of one choice are spread over this much of the way to the next, so that they do not hide each other.
SPREAD: Final = 0.3


def plot_search(trials: pd.DataFrame, metric: str) -> Figure:
    """The score of every trial and the best so far, over the trials and over the epochs that they took.

    Trials that failed before they had a score stand at the bottom.
    """
    figure, (left, right) = new_figure(9.0, 3.4, 1, 2, sharey=True, width_ratios=[3, 2])
    scored, best = trials[trials["score"].notna()], best_so_far(trials, metric)
    left.margins(y=0.1)
    _scatter(left, scored, scored["trial"])
    failed = trials[trials["score"].isna() & (trials["status"] == "failed")]
    if len(failed):
        marker, color, name = STATUS["failed"]
        bottom = np.full(len(failed), 0.03)
        where = {"transform": left.get_xaxis_transform(), "s": 26}
        left.scatter(failed["trial"], bottom, marker=marker, color=color, label=name, **where)
    left.step(best.index, best, where="post", color=GREY, linewidth=1.2, label="best so far", zorder=1)
    epochs = trials.set_index("trial")["epochs"].cumsum()
    is_new = best.ne(best.shift()).tolist()
    style: dict[str, Any] = {"color": GREY, "linewidth": 1.2, "marker": "o", "markersize": 3, "markevery": is_new}
    right.step(epochs.loc[best.index], best, where="post", **style)
    margin = max(0.5, 0.02 * len(trials))
    left.set(xlabel="trial", ylabel=f"{METRICS[metric].label}, validation", xlim=(-margin, len(trials) - 1 + margin))
    right.set(xlabel="epochs of all trials together", xlim=(0, 1.03 * max(epochs.max(), 1)))
    for ax, n_ticks in ((left, 10), (right, 6)):
        ax.xaxis.set_major_locator(MaxNLocator(n_ticks, integer=True, steps=STEPS, min_n_ticks=1))
        light_grid(ax)
    _legend(figure, [left], 5)
    return figure


def eligible_trials(trials: pd.DataFrame) -> pd.DataFrame:
    """The trials that can be the best: they have a score and did not fail."""
    return trials[trials["score"].notna() & (trials["status"] != "failed")]


def best_so_far(trials: pd.DataFrame, metric: str) -> pd.Series:
    """The best score up to each trial, by its number, among those that can be the best; failed ones cannot."""
    scores = eligible_trials(trials).set_index("trial")["score"]
    return scores.cummax() if METRICS[metric].higher_is_better else scores.cummin()


def plot_trial_curves(histories: pd.DataFrame, trials: pd.DataFrame, metric: str) -> Figure:
    """The metric of every trial, epoch by epoch, the best trial in front; a triangle is where one was stopped."""
    figure, ax = new_figure(7.0, 3.6)
    scored, so_far = trials[trials["score"].notna()], best_so_far(trials, metric)
    # The first of those that nothing has bettered.
    best = so_far.eq(so_far.iloc[-1]).idxmax() if len(so_far) else None
    # The more there are, the fainter.
    alpha = float(np.clip(25 / max(len(scored), 1), 0.25, 1))
    for trial in scored.to_dict("records"):
        curve = histories[histories["trial"] == trial["trial"]]
        marker, color, _ = STATUS[trial["status"]]
        is_best = trial["trial"] == best
        style: dict[str, Any] = {"color": "#A6A6A6", "linewidth": 0.8, "alpha": alpha, "zorder": 2}
        if is_best:
            style = {"color": PALETTE[0], "linewidth": 2.0, "zorder": 4, "label": f"trial {best}, the best"}
        ax.plot(curve["epoch"], curve[f"val_{metric}"], **style)
        end = curve["epoch"].iloc[-1], curve[f"val_{metric}"].iloc[-1]
        ax.plot(*end, marker, color=color, markersize=5 if is_best else 3.5, zorder=5 if is_best else 3)
    for status in STATUS:
        if (scored["status"] == status).any():
            marker, color, name = STATUS[status]
            ax.plot([], [], marker, color=color, markersize=4, label=name)
    last = int(histories["epoch"].max())
    margin = 0.04 * (last - 1) if last > 1 else 0.5
    ax.set(xlabel="epoch", ylabel=f"{METRICS[metric].label}, validation", xlim=(1 - min(margin, 0.9), last + margin))
    ax.xaxis.set_major_locator(MaxNLocator(10, integer=True, steps=STEPS, min_n_ticks=1))
    light_grid(ax)
    _legend(figure, [ax], 5)
    return figure


def plot_slices(trials: pd.DataFrame, space: pd.DataFrame, metric: str) -> Figure:
    """The score over each hyper-parameter, the most important first."""
    scored = trials[trials["score"].notna()]
    shown = _called_for(space, scored).head(SLICES_AT_MOST)
    columns = min(3, len(shown))
    rows = -(-len(shown) // columns)
    figure, axes = new_figure(max(5.0, 3.0 * columns), 0.5 + 2.3 * rows, rows, columns, sharey=True, squeeze=False)
    for ax, row in zip(axes.flat, shown.to_dict("records"), strict=False):
        own = scored[scored[row["name"]].notna()]
        scale = _Scale(own[row["name"]], row["prior"])
        _scatter(ax, own, scale.places + scale.spread(own["trial"]))
        if row["prior"].startswith("log"):
            ax.set_xscale("log")
            ax.xaxis.set_minor_locator(NullLocator())
        ax.set_xlim(*scale.limits)
        is_crowded = row["prior"] == "choice" and sum(max(map(len, t.split("\n"))) for t in scale.tick_labels) > 42
        ax.set_xticks(scale.ticks, scale.tick_labels, **({"rotation": 25, "ha": "right"} if is_crowded else {}))
        ax.set_xlabel(_wrapped(row["name"]), fontsize=8)
        ax.tick_params(labelsize=7)
        light_grid(ax)
    for ax in axes.flat[len(shown) :]:
        ax.set_visible(False)
    figure.supylabel(f"{METRICS[metric].label}, validation", fontsize=9)
    _legend(figure, axes.flat[: len(shown)], 4)
    return figure


def plot_importance(space: pd.DataFrame) -> Figure:
    """The share of the score's spread that each hyper-parameter explains, by permutation over a random forest."""
    known = space[space["importance"].notna()]
    if known.empty:
        figure, ax = new_figure(6.0, 1.0)
        ax.text(0.5, 0.5, "too few trials to say", ha="center", va="center", color="#666666")
        ax.set_axis_off()
        return figure
    figure, ax = new_figure(7.0, 0.7 + 0.26 * len(space))
    bars = ax.barh(known["name"], known["importance"], color=SLATE, height=0.7)
    ax.bar_label(bars, [f"{share:.0%}" for share in known["importance"]], padding=3, fontsize=7.5, color=GREY)
    ax.set_ylim(len(known) - 0.4, -0.6)
    ax.set_xlim(0, max(1.12 * known["importance"].max(), 0.01))
    ax.set_xlabel("share of the score's spread that is explained", fontsize=8)
    ax.xaxis.set_major_locator(MaxNLocator(5, steps=STEPS))
    ax.xaxis.set_major_formatter(FuncFormatter(lambda share, _: f"{share:.0%}"))
    ax.tick_params(labelsize=8)
    light_grid(ax, "x")
    return figure


def plot_parallel(trials: pd.DataFrame, space: pd.DataFrame, metric: str) -> Figure:
    """Every trial as a line over the axes of its hyper-parameters and of its score; the better, the darker.

    A line leaves out the hyper-parameters that its trial does not have.
    """
    eligible = eligible_trials(trials)
    shown = _called_for(space, eligible).head(AXES_AT_MOST)
    axes = [*zip(shown["name"], shown["prior"], strict=True), ("score", "uniform")]
    titles = [name.replace(".", ".\n") for name in shown["name"]] + [textwrap.fill(METRICS[metric].label, 16)]
    n_lines = max(title.count("\n") + 1 for title in titles)
    figure, ax = new_figure(max(6.0, 0.6 + 1.15 * len(axes)), 3.6 + 0.13 * n_lines)
    halo: dict[str, Any] = {"fontsize": 7, "zorder": 4, "path_effects": [withStroke(linewidth=2.5, foreground="white")]}
    heights = pd.DataFrame(index=eligible.index)
    for place, ((name, prior), title) in enumerate(zip(axes, titles, strict=True)):
        scale = _Scale(eligible.loc[eligible[name].notna(), name], prior)
        heights[str(place)] = scale.heights(scale.places)
        ax.vlines(place, 0, 1, color="black", linewidth=1, zorder=3)
        for height, text in zip(scale.heights(np.array(scale.ticks)), scale.tick_labels, strict=True):
            ax.plot([place - 0.03, place], [height, height], color="black", linewidth=1, zorder=3)
            ax.text(place - 0.06, height, text, ha="right", va="center", **halo)
        ax.text(place, 1.03, title, ha="center", va="bottom", **halo)
    # In their order from the worst to the best.
    ranks = eligible["score"].rank(pct=True, ascending=METRICS[metric].higher_is_better).sort_values()
    lines, colors, widths = [], [], []
    for (_, heights_of_one), rank in zip(heights.loc[ranks.index].iterrows(), ranks, strict=True):
        line = heights_of_one.dropna()
        lines.append(np.column_stack([line.index.astype(int), line.to_numpy(float)]))
        colors.append((PALETTE[0], 0.9) if rank > 0.9 else ("#8A8A8A", 0.15 + 0.75 * rank))
        widths.append(1.8 if rank > 0.9 else 0.7)
    ax.add_collection(LineCollection(lines, colors=colors, linewidths=widths, zorder=2))
    ax.set(xlim=(-0.75, len(axes) - 0.6), ylim=(-0.04, 1.05 + 0.045 * n_lines))
    ax.set_axis_off()
    handles = [Line2D([], [], color=PALETTE[0], linewidth=1.8), Line2D([], [], color="#8A8A8A", linewidth=0.7)]
    labels = ["best tenth of the trials", "the others, the better the darker"]
    figure.legend(handles, labels, loc="outside upper right", ncols=2, fontsize=8, frameon=False)
    return figure


class _Scale:
    """Where the values of a hyper-parameter stand on an axis: a choice in steps, a number as it is."""

    def __init__(self, values: pd.Series, prior: str) -> None:
        """Place the values of the trials that have one; ``prior`` is the kind of their range."""
        self.is_log, self._is_choice = prior.startswith("log"), prior == "choice"
        if self._is_choice:
            choices = sorted(set(values), key=_order)
            self.places = values.map({value: place for place, value in enumerate(choices)}).astype(float)
            self.limits = (-0.5, max(len(choices) - 0.5, 0.5))
            self.ticks, self.tick_labels = [float(i) for i in range(len(choices))], [_tick_label(v) for v in choices]
            return
        self.places = values.astype(float)
        low, high = (self.places.min(), self.places.max()) if len(values) else (1.0, 2.0)
        if self.is_log:
            margin = (high / low) ** 0.04 if high > low else 1.5
            self.limits = (low / margin, high * margin)
            self.ticks = _log_ticks(*self.limits)
        else:
            margin = 0.04 * (high - low) if high > low else 0.05 * abs(low) or 0.5
            self.limits = (low - margin, high + margin)
            ticks = MaxNLocator(5, steps=STEPS, integer="int" in prior).tick_values(*self.limits)
            self.ticks = [float(tick) for tick in ticks if self.limits[0] <= tick <= self.limits[1]]
        self.tick_labels = [f"{round(tick, 12):g}" for tick in self.ticks]

    def heights(self, places: Any) -> Any:
        """Places as shares of the way from end to end."""
        low, high = self.limits
        if self.is_log:
            return np.log(places / low) / np.log(high / low)
        return (places - low) / (high - low)

    def spread(self, trials: pd.Series) -> pd.Series:
        """By how much points are moved so that they do not hide each other."""
        # The golden ratio leaves no gaps, however many there are.
        return SPREAD * ((trials * 0.618034) % 1 - 0.5) * float(self._is_choice and len(trials) > 1)


def _log_ticks(low: float, high: float) -> list[float]:
    """Three to six round numbers, far enough from each other to be written under a narrow axis."""
    decades = range(math.floor(math.log10(low)) - 1, math.ceil(math.log10(high)) + 1)
    for digits in ((1,), (1, 3), (1, 2, 5), range(1, 10), range(10, 100)):
        ticks: list[float] = []
        for tick in sorted({round(digit * 10.0**decade, 15) for decade in decades for digit in digits}):
            if low <= tick <= high and (not ticks or math.log(tick / ticks[-1]) >= 0.18 * math.log(high / low)):
                ticks.append(tick)
        if len(ticks) >= 3:
            return ticks
    return [low, high]


def _order(value: Any) -> tuple[int, Any, str]:
    """The sorting key of choices: numbers and lists of numbers by size, other lists by length, the rest as text."""
    given = _parsed(value)
    numbers = given if isinstance(given, list) else [given]
    if numbers and all(isinstance(number, int | float) and not isinstance(number, bool) for number in numbers):
        return 0, numbers, ""
    return 1, [len(given)] if isinstance(given, list) else [], str(value)


def _parsed(value: Any) -> Any:
    """The value of a label, see ``label``."""
    try:
        return json.loads(value)
    except (TypeError, ValueError):
        return value


def _tick_label(value: Any, width: int = 16) -> str:
    """A choice in few characters, a list without its brackets."""
    given = _parsed(value)
    text = str(value)
    if isinstance(given, list) and given:
        is_text = all(isinstance(item, str) for item in given)
        text = ("+ " if is_text else ", ").join(map(str, given))
    # Lines are broken behind a plus and within names of several words.
    lines = textwrap.wrap(text.replace("_", "_ "), width, break_long_words=False) or [text]
    shown = "\n".join(lines[:2]) + ("…" if len(lines) > 2 else "")
    return shown.replace("+ ", "+").replace("_ ", "_")


def _wrapped(name: str, width: int = 38) -> str:
    """A long name in two lines, broken at the point nearest to its middle."""
    points = [place for place, letter in enumerate(name) if letter == "."]
    if len(name) <= width or not points:
        return name
    middle = min(points, key=lambda place: abs(place - len(name) / 2))
    return f"{name[: middle + 1]}\n{name[middle + 1 :]}"


def _called_for(space: pd.DataFrame, trials: pd.DataFrame) -> pd.DataFrame:
    """The hyper-parameters that any of the trials has."""
    return space[[bool(trials[name].notna().any()) for name in space["name"]]]


def _scatter(ax: Axes, trials: pd.DataFrame, places: pd.Series) -> None:
    for status, (marker, color, name) in STATUS.items():
        own = trials["status"] == status
        if own.any():
            style: dict[str, Any] = {"marker": marker, "color": color, "s": 20, "alpha": 0.85, "label": name}
            ax.scatter(places[own], trials.loc[own, "score"], zorder=2, **style)


def _legend(figure: Figure, axes: Sequence[Axes], columns: int) -> None:
    """One legend above all axes, each label once."""
    found = {label: handle for ax in axes for handle, label in zip(*ax.get_legend_handles_labels(), strict=True)}
    options: dict[str, Any] = {"loc": "outside upper right", "ncols": columns, "fontsize": 8, "frameon": False}
    figure.legend(list(found.values()), list(found), **options)
