"""Figures of searches for hyper-parameters."""

from __future__ import annotations

import itertools
from typing import Any, Final

import numpy as np
import pandas as pd
from matplotlib.axes import Axes
from matplotlib.figure import Figure

from beatwise.evaluation.metrics import LESS_IS_BETTER
from beatwise.figures.style import PALETTE, light_grid, new_figure

STATUS: Final = {
    "finished": ("o", PALETTE[0], "finished"),
    "stopped": ("v", PALETTE[1], "stopped early"),
    "running": ("s", "#999999", "cut off"),
    "failed": ("x", PALETTE[2], "failed"),
}
# More hyper-parameters than these have no place in a figure; the ones that matter most do.
SHOWN_AT_MOST: Final = 12


def plot_search(trials: pd.DataFrame, metric: str) -> Figure:
    """The score of every trial and the best so far, over the trials and over the epochs that they took.

    Args:
        trials: What :func:`beatwise.search.results.trials_table` returned.
        metric: What was searched for.
    """
    figure, (left, right) = new_figure(9.0, 3.4, 1, 2, sharey=True, width_ratios=[3, 2])
    scored = trials[trials["score"].notna()]
    _scatter(left, scored, scored["trial"])
    failed = trials[trials["score"].isna() & (trials["status"] == "failed")]
    if len(failed):
        marker, color, name = STATUS["failed"]
        floor = np.full(len(failed), scored["score"].min())
        left.scatter(failed["trial"], floor, marker=marker, color=color, s=26, label=name)
    best = scored["score"].cummin() if metric in LESS_IS_BETTER else scored["score"].cummax()
    left.step(scored["trial"], best, where="post", color="#4D4D4D", linewidth=1.2, label="best so far")
    epochs = trials.set_index("trial")["epochs"].cumsum()
    right.step(epochs.loc[scored["trial"]], best, where="post", color="#4D4D4D", linewidth=1.2)
    left.set(xlabel="trial", ylabel=f"{_label(metric)}, validation")
    right.set(xlabel="epochs of all trials together")
    for ax in (left, right):
        light_grid(ax)
    figure.legend(*left.get_legend_handles_labels(), loc="outside upper right", ncols=5, fontsize=8, frameon=False)
    return figure


def plot_trial_curves(histories: pd.DataFrame, trials: pd.DataFrame, metric: str) -> Figure:
    """The metric of every trial, epoch by epoch, the best trial in front; a triangle is where one was stopped.

    Args:
        histories: What :func:`beatwise.search.results.histories_table` returned.
        trials: What :func:`beatwise.search.results.trials_table` returned.
        metric: What was searched for.
    """
    figure, ax = new_figure(7.0, 3.6)
    by_score = trials[trials["score"].notna()].sort_values("score", ascending=metric not in LESS_IS_BETTER)
    for place, trial in enumerate(by_score.to_dict("records"), start=1):
        curve = histories[histories["trial"] == trial["trial"]]
        is_best = place == len(by_score)
        marker, color, _ = STATUS[trial["status"]]
        ax.plot(
            curve["epoch"],
            curve[f"val_{metric}"],
            color=PALETTE[0] if is_best else "#B0B0B0",
            linewidth=1.8 if is_best else 0.8,
            label=f"trial {trial['trial']}, the best" if is_best else None,
        )
        ax.plot(curve["epoch"].iloc[-1], curve[f"val_{metric}"].iloc[-1], marker, color=color, markersize=4)
    ax.set(xlabel="epoch", ylabel=f"{_label(metric)}, validation")
    ax.xaxis.get_major_locator().set_params(integer=True)
    light_grid(ax)
    for status in dict.fromkeys(by_score["status"]):
        marker, color, name = STATUS[str(status)]
        ax.plot([], [], marker, color=color, markersize=4, label=name)
    figure.legend(loc="outside upper right", ncols=4, fontsize=8, frameon=False)
    return figure


def plot_slices(trials: pd.DataFrame, space: pd.DataFrame, metric: str) -> Figure:
    """The score over each hyper-parameter, the most important first.

    Args:
        trials: What :func:`beatwise.search.results.trials_table` returned.
        space: What :func:`beatwise.search.results.space_table` returned.
        metric: What was searched for.
    """
    shown = space.head(SHOWN_AT_MOST)
    columns = min(3, len(shown))
    rows = -(-len(shown) // columns)
    figure, axes = new_figure(3.0 * columns, 0.5 + 2.3 * rows, rows, columns, sharey=True, squeeze=False)
    scored = trials[trials["score"].notna()]
    for ax, row in zip(axes.flat, shown.to_dict("records"), strict=False):
        own = scored[scored[row["name"]].notna()]
        _scatter(ax, own, _positions(ax, own[row["name"]], row["prior"], along_x=True))
        ax.set_xlabel(row["name"], fontsize=8)
        ax.tick_params(labelsize=7)
        light_grid(ax)
    for ax in axes.flat[len(shown) :]:
        ax.set_visible(False)
    figure.supylabel(f"{_label(metric)}, validation", fontsize=9)
    handles, labels = _legend(axes.flat[: len(shown)])
    figure.legend(handles, labels, loc="outside upper right", ncols=4, fontsize=8, frameon=False)
    return figure


def plot_importance(space: pd.DataFrame) -> Figure:
    """The share of the score's spread that each hyper-parameter explains.

    Args:
        space: What :func:`beatwise.search.results.space_table` returned.
    """
    figure, ax = new_figure(6.0, 0.9 + 0.26 * len(space))
    known = space[space["importance"].notna()]
    if known.empty:
        ax.text(0.5, 0.5, "too few trials to say", ha="center", va="center", color="#666666")
        ax.set_axis_off()
        return figure
    ax.barh(known["name"], known["importance"], color=PALETTE[0])
    ax.invert_yaxis()
    ax.set_xlabel("share of the score's spread explained (permutation over a random forest)", fontsize=8)
    ax.tick_params(labelsize=8)
    light_grid(ax, "x")
    return figure


def plot_parallel(trials: pd.DataFrame, space: pd.DataFrame, metric: str) -> Figure:
    """Every trial as a line over the axes of its hyper-parameters and of its score; the better, the darker.

    A line leaves out the hyper-parameters that its trial does not have.

    Args:
        trials: What :func:`beatwise.search.results.trials_table` returned.
        space: What :func:`beatwise.search.results.space_table` returned.
        metric: What was searched for.
    """
    scored = trials[trials["score"].notna()]
    names = [*space["name"].head(SHOWN_AT_MOST), "score"]
    priors = dict(zip(space["name"], space["prior"], strict=True)) | {"score": "uniform"}
    figure, axes = new_figure(max(6.0, 1.35 * len(names)), 4.0, 1, len(names))
    heights: dict[str, pd.Series] = {}
    for ax, name in zip(axes, names, strict=True):
        values = scored.loc[scored[name].notna(), name]
        heights[name] = _positions(ax, values, priors[name], along_x=False)
        ax.spines["bottom"].set_visible(False)
        ax.set_xticks([])
        ax.set_xlim(-0.5, 0.5)
        ax.spines["left"].set_position("center")
        ax.tick_params(labelsize=7)
        title = _label(metric) if name == "score" else name.replace(".", ".\n")
        ax.set_title(title, fontsize=7, pad=8)
    ranks = scored["score"].rank(pct=True, ascending=metric not in LESS_IS_BETTER)
    for index in ranks.sort_values().index:
        known = [(place, name) for place, name in enumerate(names) if index in heights[name].index]
        for (start, first), (end, second) in itertools.pairwise(known):
            _connect(figure, axes[start], heights[first][index], axes[end], heights[second][index], ranks[index])
    return figure


def _connect(figure: Figure, start: Axes, low: float, end: Axes, high: float, rank: float) -> None:
    from matplotlib.patches import ConnectionPatch

    line = ConnectionPatch(
        xyA=(0, low),
        coordsA=start.transData,
        xyB=(0, high),
        coordsB=end.transData,
        color=PALETTE[0] if rank > 0.9 else "#8A8A8A",
        alpha=0.15 + 0.75 * rank,
        linewidth=0.6 + 1.2 * (rank > 0.9),
    )
    figure.add_artist(line)


def _positions(ax: Axes, values: pd.Series, prior: str, *, along_x: bool) -> pd.Series:
    """Where values stand on an axis, which is set up for them: in steps for a choice, logarithmic if drawn so."""
    if prior == "choice":
        places = {value: place for place, value in enumerate(sorted(set(values), key=str))}
        ticks: Any = ax.set_xticks if along_x else ax.set_yticks
        ticks(list(places.values()), [_short(value) for value in places])
        (ax.set_xlim if along_x else ax.set_ylim)(-0.5, max(len(places) - 0.5, 0.5))
        return values.map(places).astype(float)
    numbers = values.astype(float)
    if prior.startswith("log"):
        (ax.set_xscale if along_x else ax.set_yscale)("log")
    if not along_x and len(numbers):
        low, high = numbers.min(), numbers.max()
        ax.set_ylim(low, high if high > low else low * 1.01 + 1e-9)
    return numbers


def _scatter(ax: Axes, trials: pd.DataFrame, places: pd.Series) -> None:
    for status, (marker, color, name) in STATUS.items():
        own = trials["status"] == status
        if own.any():
            ax.scatter(places[own], trials.loc[own, "score"], marker=marker, color=color, s=20, alpha=0.85, label=name)


def _legend(axes: Any) -> tuple[list[Any], list[str]]:
    found = {label: handle for ax in axes for handle, label in zip(*ax.get_legend_handles_labels(), strict=True)}
    return list(found.values()), list(found)


def _short(value: Any, longest: int = 16) -> str:
    text = str(value)
    return text if len(text) <= longest else text[: longest - 1] + "…"


def _label(metric: str) -> str:
    return metric.replace("_", " ").replace("f1", "F1").replace("auroc", "AUROC")
