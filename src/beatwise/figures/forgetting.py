"""How beats move between right and wrong while a network is trained."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any, Final

import numpy as np
import numpy.typing as npt
from matplotlib.axes import Axes
from matplotlib.figure import Figure
from matplotlib.legend_handler import HandlerTuple
from matplotlib.lines import Line2D
from matplotlib.patches import Patch
from matplotlib.ticker import FuncFormatter, MaxNLocator

from beatwise.figures.style import STEPS, class_colors, light_grid, new_figure

STILL_WRONG: Final = "#B0B0B0"
FORGOTTEN: Final = "#000000"
# Opacity of a class's colour where nothing changes.
PALE: Final = 0.18
# Beats that were forgotten more often than this are taken together.
MOST: Final = 4
AS_PERCENT: Final = FuncFormatter(lambda share, _: f"{100 * share:g} %")
OFTEN: Final = (
    "never learnt",
    "learnt, never forgotten",
    *(f"forgotten {n} ×" for n in range(1, MOST)),
    f"forgotten {MOST} × or more",
)


def shares_of_moves(moves: Mapping[str, Any]) -> dict[str, dict[str, npt.NDArray[np.float64]]]:
    """The moves of each class as shares of its beats; a class without beats is left out."""
    beats = {label: sum(counts[0] for counts in of_class.values()) for label, of_class in moves["moves"].items()}
    return {
        label: {name: np.array(counts) / beats[label] for name, counts in of_class.items()}
        for label, of_class in moves["moves"].items()
        if beats[label]
    }


def shares_of_times(moves: Mapping[str, Any]) -> dict[str, list[float]]:
    """Shares of a class's beats that were never learnt, or forgotten so often, in the order of :data:`OFTEN`."""
    shares = {}
    for label, times in moves["forgotten"].items():
        padded = [*times, *[0] * MOST]
        counts = [moves["never_learnt"][label], *padded[:MOST], sum(padded[MOST:])]
        if sum(counts):
            shares[label] = [count / sum(counts) for count in counts]
    return shares


def top_of(shares: Mapping[str, npt.NDArray[np.float64]]) -> float:
    """The upper end of the axis of a class: above everything wrong or changing, and at most 1."""
    moved = shares["wrong"] + shares["forgotten"] + shares["learnt"]
    return float(min(max(1.12 * moved.max(), 0.01), 1.0))


def floor_of(shares: Mapping[str, list[float]]) -> float:
    """Where a logarithmic axis begins so that the smallest share is seen."""
    return min([0.06, *(0.6 * share for heights in shares.values() for share in heights if share > 0)])


def plot_forgetting(moves: Mapping[str, Any], best_epoch: int) -> Figure:
    """The share of beats that are wrong, forgotten and learnt in each epoch, and how often beats were forgotten."""
    shares, colors = shares_of_moves(moves), class_colors(list(moves["moves"]))
    figure, axes = new_figure(
        max(2.1 * len(shares) + 0.6, 9.0), 5.4, 2, len(shares), squeeze=False, height_ratios=[3, 2.4]
    )
    for ax, (label, of_class) in zip(axes[0], shares.items(), strict=True):
        _draw_moves(ax, of_class, colors[label])
        ax.axvline(best_epoch, color="black", linestyle=":", linewidth=1)
        ax.set_title(f"{label}  ({sum(counts[0] for counts in moves['moves'][label].values()):,} beats)", fontsize=9)
    axes[0, 0].set_ylabel("share of the class's\nvalidation beats", fontsize=8)
    own = [colors[label] for label in shares]
    handles: dict[str, Any] = {
        "wrong before and after": Patch(color=STILL_WRONG),
        "forgotten: right before, wrong after": Patch(color=FORGOTTEN),
        "learnt: wrong before, right after": tuple(Patch(color=color) for color in own),
        "right before and after": tuple(Patch(color=color, alpha=PALE) for color in own),
        f"best epoch ({best_epoch})": Line2D([], [], color="black", linestyle=":", linewidth=1),
    }
    figure.legend(
        list(handles.values()),
        list(handles),
        loc="outside upper center",
        ncols=3,
        fontsize=8,
        frameon=False,
        handler_map={tuple: HandlerTuple(ndivide=None, pad=0)},
        handlelength=3,
    )
    grid = axes[1, 0].get_gridspec()
    for ax in axes[1]:
        ax.remove()
    _draw_times(figure.add_subplot(grid[1, :]), shares_of_times(moves), colors)
    return figure


def _draw_moves(ax: Axes, shares: Mapping[str, npt.NDArray[np.float64]], color: str) -> None:
    edges = np.arange(len(shares["wrong"]) + 1) + 0.5
    base = np.zeros(len(edges) - 1)
    for name, fill, alpha in (
        ("wrong", STILL_WRONG, 1.0),
        ("forgotten", FORGOTTEN, 1.0),
        ("learnt", color, 1.0),
        ("right", color, PALE),
    ):
        ax.stairs(base + shares[name], edges, baseline=base, fill=True, color=fill, alpha=alpha, linewidth=0)
        base = base + shares[name]
    ax.set_ylim(0, top_of(shares))
    ax.set_xlim(edges[0], edges[-1])
    ax.set_xlabel("epoch", fontsize=8)
    ax.tick_params(labelsize=7)
    ax.xaxis.set_major_locator(MaxNLocator(nbins=5, integer=True))
    ax.yaxis.set_major_locator(MaxNLocator(nbins=5, steps=STEPS))
    ax.yaxis.set_major_formatter(AS_PERCENT)


def _draw_times(ax: Axes, shares: Mapping[str, list[float]], colors: Mapping[str, str]) -> None:
    ax.spines[["top", "right"]].set_visible(False)
    width = 0.8 / len(shares)
    for i, (label, heights) in enumerate(shares.items()):
        place = np.arange(len(OFTEN)) + (i - (len(shares) - 1) / 2) * width
        ax.bar(place, heights, width, color=colors[label], label=label)
    ax.set_yscale("log")
    ax.set_ylim(floor_of(shares), 1.0)
    ax.yaxis.set_major_formatter(AS_PERCENT)
    ax.set_xticks(np.arange(len(OFTEN)), [often.replace(" ", "\n", 1) for often in OFTEN])
    ax.tick_params(labelsize=8)
    ax.set_ylabel("share of the class's\nvalidation beats (log scale)", fontsize=8)
    ax.legend(frameon=False, fontsize=8, ncols=len(shares), loc="upper right")
    light_grid(ax)
