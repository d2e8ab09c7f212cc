"""Figures of comparisons."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any, Final

import numpy as np
import pandas as pd
from matplotlib.figure import Figure
from matplotlib.ticker import MaxNLocator

from beatwise.comparison.documents import Row
from beatwise.comparison.leaderboard import compared_metrics, ranked_metrics, row_labels
from beatwise.figures.style import PALETTE, light_grid, new_figure
from beatwise.tasks.registry import METRICS

# Panels of a figure that fills a page.
MOST_PANELS: Final = 12


def plot_leaderboard(leaderboard: pd.DataFrame) -> Figure:
    """The metrics that rank every row, with intervals and the deviation over seeds.

    A ring is the metric at the recall-first operating point. Naive rows stand in the tables alone: beside them the
    others would be one point.
    """
    leaderboard = leaderboard[~leaderboard["naive"]].reset_index(drop=True)
    places, names = range(len(leaderboard)), ranked_metrics(leaderboard)
    figure, axes = new_figure(9.0, 1.3 + 0.24 * len(leaderboard), 1, len(names), sharey=True, squeeze=False)
    axes = axes[0]
    for ax, name in zip(axes, names, strict=True):
        value, sd = leaderboard[name], leaderboard[f"{name}_sd"]
        spread = [(value - leaderboard[f"{name}_low"]).clip(0), (leaderboard[f"{name}_high"] - value).clip(0)]
        ax.axvline(value.iloc[int(leaderboard[f"rank_{name}"].argmin())], color="#999999", linewidth=0.8, linestyle=":")
        if sd.notna().any():
            ax.hlines(places, value - sd, value + sd, color="#E3E3E3", linewidth=9, label="± deviation over seeds")
        ax.errorbar(
            value,
            places,
            xerr=spread,
            fmt="o",
            markersize=4.5,
            color=PALETTE[0],
            ecolor="#8FB7D3",
            elinewidth=1.4,
            label="mean over seeds, interval over examples",
        )
        if (recall_first := f"recall_first_{name}") in leaderboard:
            ax.plot(
                leaderboard[recall_first], places, "o", markersize=6.5, mfc="none", mec=PALETTE[2], label="recall first"
            )
        ax.set_xlabel(f"{METRICS[name].label}, test")
        light_grid(ax, "x")
    axes[0].set_yticks(places, row_labels(leaderboard), fontsize=8)
    axes[0].set_ylim(len(leaderboard) - 0.4, -0.6)
    handles, labels = axes[-1].get_legend_handles_labels()
    figure.legend(handles, labels, loc="outside upper right", ncols=len(labels), fontsize=8, frameon=False)
    return figure


def plot_shares(leaderboard: pd.DataFrame, rows: Sequence[Row]) -> Figure | str:
    """Each compared metric by the share of the training part (the strategy ``share``): a line a model."""
    shares = {
        (row.model, row.strategy): row.config.resample.options["of_each_class"]
        for row in rows
        if row.config is not None and row.config.resample.use == "share"
    }
    if len(set(shares.values())) < 2:
        return "Scores by the share of the training part are drawn where strategies of resample.use=share are compared."
    keys = zip(leaderboard["model"], leaderboard["strategy"], strict=True)
    of_rows = np.array([shares.get(key, np.nan) for key in keys])
    drawn = leaderboard.assign(share=of_rows).dropna(subset="share").sort_values("share")
    names = compared_metrics(leaderboard)
    lines = -(-len(names) // 2)
    figure, axes = new_figure(9.0, 0.5 + 2.8 * lines, lines, 2, sharex=True, squeeze=False)
    for ax, name in zip(axes.flat, names, strict=False):
        for place, (model, of_model) in enumerate(drawn.groupby("model", sort=False)):
            value = of_model[name]
            spread = [(value - of_model[f"{name}_low"]).clip(0), (of_model[f"{name}_high"] - value).clip(0)]
            # Moved apart, so that no interval hides another.
            x = of_model["share"] * 1.04 ** (place - 1)
            color = PALETTE[place % len(PALETTE)]
            ax.errorbar(x, value, yerr=spread, fmt="o-", markersize=4, linewidth=1.3, color=color, label=str(model))
        ax.set_xscale("log")
        ax.set_xticks(ticks := sorted(set(shares.values())), [f"{100 * share:g} %" for share in ticks], fontsize=8)
        ax.minorticks_off()
        ax.set_ylabel(f"{METRICS[name].label}, test", fontsize=9)
        ax.tick_params(labelsize=8)
        light_grid(ax)
    for ax in axes.flat[len(names) :]:
        ax.set_visible(False)
    figure.supxlabel("share of the training part", fontsize=9)
    handles, labels = axes.flat[0].get_legend_handles_labels()
    figure.legend(handles, labels, loc="outside upper right", ncols=len(labels), fontsize=8, frameon=False)
    return figure


def plot_fold_curves(rows: Sequence[Row]) -> Figure | str:
    """The monitored validation metric over the epochs: a panel a model and strategy, a line a fold.

    A line is the mean of its seeds. Boosted trees, which have rounds in place of epochs, are left out.
    """
    from beatwise.networks.base import SelfFitting
    from beatwise.networks.zoo import MODELS

    curves: dict[str, list[dict[str, Any]]] = {}
    metric = ""
    for row in rows:
        if row.fold is None or row.config is None or row.metadata is None:
            continue
        if not issubclass(MODELS[row.config.model.use], SelfFitting):
            metric = row.metadata.fitted_task.monitor(row.config.train)
            points = [
                {"fold": row.fold, "epoch": e["epoch"], "value": e[f"val_{metric}"]} for e in row.metadata.history
            ]
            curves.setdefault(row.model if row.strategy == "none" else f"{row.model} · {row.strategy}", []).extend(
                points
            )
    if not curves:
        return "Learning curves of folds are drawn where cross_validate is true."
    drawn = list(curves.items())[:MOST_PANELS]
    columns = min(3, len(drawn))
    lines = -(-len(drawn) // columns)
    figure, axes = new_figure(3.1 * columns, 0.6 + 2.4 * lines, lines, columns, sharey=True, squeeze=False)
    for ax, (name, points) in zip(axes.flat, drawn, strict=False):
        by_fold = pd.DataFrame(points).astype({"value": float}).pivot_table("value", "epoch", "fold")
        for place, fold in enumerate(by_fold):
            ax.plot(by_fold.index, by_fold[fold], color=PALETTE[place % len(PALETTE)], linewidth=1.3, label=f"{fold}")
        ax.plot(by_fold.index, by_fold.mean(axis=1), color="black", linewidth=2, label="mean")
        ax.set_title(name, fontsize=9, loc="left")
        ax.xaxis.set_major_locator(MaxNLocator(integer=True))
        ax.tick_params(labelsize=8)
        light_grid(ax)
    for ax in axes.flat[len(drawn) :]:
        ax.set_visible(False)
    figure.supxlabel("epoch", fontsize=9)
    figure.supylabel(f"{METRICS[metric].label}, validation", fontsize=9)
    handles, labels = axes.flat[0].get_legend_handles_labels()
    figure.legend(handles, labels, loc="outside right upper", title="test fold", fontsize=8, frameon=False)
    return figure
