"""Figures of comparisons."""

from __future__ import annotations

import pandas as pd
from matplotlib.figure import Figure

from beatwise.comparison.leaderboard import ranked_metrics, row_labels
from beatwise.figures.style import PALETTE, light_grid, new_figure
from beatwise.tasks.registry import METRICS


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
