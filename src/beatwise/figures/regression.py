"""Figures of a regression: predictions over time, residuals, and what moves a prediction.

``predictions`` is a predictions table, ``what`` the name of the target with its unit.
"""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from typing import Any, Final

import numpy as np
import pandas as pd
from matplotlib.axes import Axes
from matplotlib.figure import Figure
from matplotlib.ticker import MaxNLocator

from beatwise.data.examples import PERSISTENCE, TIME, are_times
from beatwise.explanation.methods import SIZE
from beatwise.figures.embedding import LABELS
from beatwise.figures.style import FAINT, PALETTE, SLATE, STEPS, light_grid, new_figure, new_note
from beatwise.tasks.regression.naive import HOUR_MEAN

NO_TIMES: Final = "The times of the examples are not known."
FORECASTS: Final = {PERSISTENCE: ("persistence", PALETTE[1], "--"), HOUR_MEAN: ("mean of the hour", PALETTE[4], ":")}
MODEL: Final = PALETTE[0]
# A row of the figure over time shows so many steps, so that single peaks are seen.
STEPS_A_ROW: Final = 500
ROWS_AT_MOST: Final = 4
DATES_A_ROW: Final = 6
# Names below an axis stand apart only if there are few.
UPRIGHT: Final = 8


def plot_forecast(predictions: pd.DataFrame, what: str) -> Figure:
    """Target and prediction in order of time, row below row; examples that are missing break the line, without room."""
    table = predictions.reset_index(drop=True)
    time = table.get(TIME)
    has_times = are_times(time)
    if has_times:
        table = table.sort_values(TIME, kind="stable", ignore_index=True)
    step = table[TIME].diff() if has_times else pd.Series(1, table.index)
    piece = (step > 1.5 * step.median()).cumsum()
    n_rows = min(ROWS_AT_MOST, math.ceil(len(table) / STEPS_A_ROW))
    edges = np.linspace(0, len(table), n_rows + 1).astype(int)
    figure, axes = new_figure(8.5, 0.6 + 1.75 * n_rows, n_rows, 1, squeeze=False, sharey=True)
    for ax, start, end in zip(axes[:, 0], edges, edges[1:], strict=False):
        rows = table.iloc[int(start) : int(end)]
        for number, (_, line) in enumerate(rows.groupby(piece)):
            labels = ("measured", "predicted") if number == 0 else (None, None)
            style: dict[str, Any] = {"linewidth": 0.9, "marker": "." if len(line) < 3 else "", "markersize": 2}
            ax.plot(line.index, line["target"], color="black", label=labels[0], **style)
            ax.plot(line.index, line["prediction"], color=MODEL, label=labels[1], **style)
        if has_times:
            ticks = np.linspace(start, end - 1, DATES_A_ROW).astype(int)
            ax.set_xticks(ticks, [f"{table[TIME][place]:%Y-%m-%d %H} h" for place in ticks])
        ax.margins(x=0.005)
        ax.tick_params(labelsize=7.5)
        light_grid(ax)
    if not has_times:
        axes[-1, 0].set_xlabel("test example", fontsize=8)
    figure.supylabel(what, fontsize=9)
    names = axes[0, 0].get_legend_handles_labels()
    figure.legend(*names, loc="outside upper center", ncols=2, frameon=False, fontsize=8)
    return figure


def plot_errors_by(by: Mapping[str, Sequence[Mapping[str, Any]]], predictions: pd.DataFrame, what: str) -> Figure:
    """Residuals, and root mean squared errors beside those of naive forecasts, by month and hour, or by group.

    Args:
        by: ``by`` of the test part's metrics (``errors_by``).
        predictions: Predictions of the test part.
        what: Name and unit of the target.
    """
    if not by:
        return new_note("Neither times nor few enough groups of the examples are known.")
    error = (predictions["prediction"] - predictions["target"]).to_numpy()
    if are_times(time := predictions.get(TIME)):
        labels = {"month": time.dt.strftime("%Y-%m"), "hour": time.dt.strftime("%H")}
    else:
        labels = {"group": predictions["group"].astype(str)}
    widths = [max(len(rows), 7) for rows in by.values()]
    figure, axes = new_figure(8.5, 5.2, 2, len(by), squeeze=False, sharey="row", sharex="col", width_ratios=widths)
    for (above, below), (name, rows) in zip(axes.T, by.items(), strict=True):
        names, place = [row["name"] for row in rows], np.arange(len(rows))
        boxes = [error[(labels[name] == label).to_numpy()] for label in names]
        drawn = above.boxplot(
            boxes, positions=place, whis=(5, 95), showfliers=False, widths=0.6, patch_artist=True, manage_ticks=False
        )
        for patch, line in zip(drawn["boxes"], drawn["medians"], strict=True):
            patch.set(facecolor=MODEL, alpha=0.45, linewidth=0.7)
            line.set(color="black")
        above.axhline(0, color="black", linewidth=0.8)
        below.bar(place, [row["rmse"] for row in rows], 0.62, color=MODEL, alpha=0.8, label="model")
        for forecast, (label, color, line) in FORECASTS.items():
            if forecast in rows[0]:
                style: dict[str, Any] = {"color": color, "linestyle": line, "marker": "o", "markersize": 3}
                below.plot(place, [row[forecast] for row in rows], label=label, **style)
        upright = len(names) <= UPRIGHT or name == "hour"
        below.set_xticks(place, names, fontsize=7.5, rotation=0 if upright else 90)
        if name == "hour":
            below.set_xticks(place[::3], names[::3])
        below.set_xlabel(f"{name} (examples: {min(row['n'] for row in rows):,} or more)", fontsize=8)
        for ax in (above, below):
            ax.tick_params(labelsize=8)
            ax.margins(x=0.02)
            light_grid(ax)
    axes[1, 0].set_ylim(bottom=0)
    axes[0, 0].set_ylabel(f"predicted - measured\n{what}", fontsize=8)
    axes[1, 0].set_ylabel("root mean squared error", fontsize=8)
    handles, names = axes[1, 0].get_legend_handles_labels()
    figure.legend(handles, names, loc="outside upper center", ncols=len(names), frameon=False, fontsize=8)
    return figure


def plot_scatter(predictions: pd.DataFrame, what: str) -> Figure:
    """Prediction over target, and how the residuals are distributed."""
    figure, (left, right) = new_figure(8.5, 3.7, 1, 2, width_ratios=[1.15, 1])
    target, prediction = (predictions[name].to_numpy(np.float64) for name in ("target", "prediction"))
    ends = [min(target.min(), prediction.min()), max(target.max(), prediction.max())]
    left.scatter(target, prediction, s=7, color=MODEL, alpha=float(np.clip(400 / len(target), 0.15, 0.8)), linewidth=0)
    left.plot(ends, ends, color="black", linewidth=1, label="predicted = measured")
    left.set(xlabel=f"measured {what}", ylabel=f"predicted {what}")
    left.legend(frameon=False, fontsize=8, loc="upper left")
    error = prediction - target
    # Far errors of a heavy tail would leave one bar for all others.
    low, high = np.quantile(error, [0.005, 0.995])
    right.hist(np.clip(error, low, high), bins=41, color=SLATE)
    right.axvline(0, color="black", linewidth=1)
    mean = error.mean()
    right.axvline(mean, color=PALETTE[2], linewidth=1.2, linestyle="--", label=f"mean {mean:+.3g}")
    right.set(xlabel=f"predicted - measured {what};\nthe ends hold all beyond", ylabel="test examples")
    right.legend(frameon=False, fontsize=8)
    for ax in (left, right):
        ax.xaxis.label.set_size(8)
        ax.yaxis.label.set_size(8)
        ax.tick_params(labelsize=8)
        light_grid(ax, "both")
    return figure


def plot_number_curves(history: pd.DataFrame, best_epoch: int, unit: str) -> Figure:
    """The loss of train, and the errors on validation, over the epochs.

    Args:
        history: One row an epoch, as ``fit_model`` returns it.
        best_epoch: The epoch whose weights were kept.
        unit: Unit of the target.
    """
    figure, (loss, errors) = new_figure(8.0, 3.2, 1, 2)
    style: dict[str, Any] = {"marker": "o", "markersize": 3 if len(history) < 40 else 0}
    loss.plot(history["epoch"], history["train_loss"], color=FAINT, label="train, as trained", **style)
    loss.set_ylabel("loss of the standardised target")
    errors.plot(history["epoch"], history["val_rmse"], color="black", label="root mean squared error", **style)
    errors.plot(history["epoch"], history["val_mae"], color=FAINT, label="mean absolute error", **style)
    errors.set_ylabel(f"validation{f' ({unit})' if unit else ''}")
    for ax in (loss, errors):
        ax.axvline(best_epoch, color="black", linestyle=":", linewidth=1, label=f"best epoch ({best_epoch})")
        ax.set_xlabel("epoch")
        ax.set_ylim(bottom=0)
        ax.xaxis.set_major_locator(MaxNLocator(integer=True))
        ax.legend(frameon=False, fontsize=8)
        light_grid(ax)
    return figure


def plot_window_saliency(saliency: pd.DataFrame, inputs: Sequence[str], what: str) -> Figure:
    """How much of a prediction falls to each input at each step of the window, and to each input in all.

    Args:
        saliency: Of an explanation of numbers (``explain_numbers``).
        inputs: Names of the inputs.
        what: Name and unit of the target.
    """
    if saliency.empty:
        return new_note("This model has no gradients, or its examples have no time axis: nothing is drawn.")
    values = saliency[SIZE].to_numpy().reshape(saliency["input"].nunique(), -1)
    n_inputs, n_steps = values.shape
    figure, (window, total) = new_figure(8.5, 1.5 + 0.3 * n_inputs, 1, 2, sharey=True, width_ratios=[4, 1])
    # Steps before the forecast: the last one is 1 before it.
    extent = (-n_steps - 0.5, -0.5, n_inputs - 0.5, -0.5)
    image = window.imshow(values, aspect="auto", cmap="Blues", vmin=0, extent=extent, interpolation="nearest")
    window.set_yticks(range(n_inputs), inputs, fontsize=8)
    window.xaxis.set_major_locator(MaxNLocator(9, steps=STEPS, integer=True))
    window.set_xlabel("steps from the end of the window (-1: the last)", fontsize=8)
    figure.colorbar(image, ax=window, location="top", shrink=0.6, aspect=40, label=f"mean size, {what}")
    total.barh(range(n_inputs), values.sum(axis=1), color=SLATE)
    total.set_xlabel("sum over the window", fontsize=8)
    total.tick_params(labelsize=8)
    light_grid(total, "x")
    return figure


def plot_number_embedding(embedding: pd.DataFrame, projections: Sequence[Mapping[str, Any]], what: str) -> Figure:
    """Every projection twice: coloured by the target, and by the error."""
    n_rows = len(projections)
    figure, axes = new_figure(8.0, 0.5 + 3.2 * n_rows, n_rows, 2, squeeze=False)
    error = embedding["prediction"] - embedding["target"]
    far = float(np.quantile(np.abs(error), 0.98)) or 1.0
    looks: list[tuple[str, pd.Series, dict[str, Any]]] = [
        (f"measured {what}", embedding["target"], {"cmap": "viridis"}),
        (f"predicted - measured {what}", error, {"cmap": "RdBu_r", "vmin": -far, "vmax": far}),
    ]
    for row, facts in zip(axes, projections, strict=True):
        name = LABELS.get(facts["name"], facts["name"])
        variance = f", {facts['variance']:.0%} of the variance" if facts["variance"] is not None else ""
        for ax, (label, colors, style) in zip(row, looks, strict=True):
            x, y = embedding[f"{facts['name']}_1"], embedding[f"{facts['name']}_2"]
            drawn = ax.scatter(x, y, c=colors, s=8, linewidth=0, **style)
            _add_colors(figure, ax, drawn, label)
            ax.set_xlabel(f"{name} 1", fontsize=8)
        row[0].set_title(f"{name}{variance}", fontsize=9)
        row[0].set_ylabel(f"{name} 2", fontsize=8)
    return figure


def _add_colors(figure: Figure, ax: Axes, drawn: Any, label: str) -> None:
    ax.set_xticks([])
    ax.set_yticks([])
    bar = figure.colorbar(drawn, ax=ax)
    bar.set_label(label, fontsize=8)
    bar.ax.tick_params(labelsize=7)
