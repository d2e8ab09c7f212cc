"""Colours and layout that all figures share: a class has one colour everywhere, safe for colour-blind readers."""

from __future__ import annotations

import io
from collections.abc import Mapping, Sequence
from typing import Any, Final

import numpy as np
from matplotlib.axes import Axes
from matplotlib.backends.backend_agg import FigureCanvasAgg
from matplotlib.colors import to_rgb
from matplotlib.figure import Figure

# Okabe & Ito 2008; in this order the first five stay apart under every common form of colour blindness.
PALETTE: Final = ("#0072B2", "#E69F00", "#D55E00", "#CC79A7", "#009E73", "#56B4E9", "#F0E442", "#000000")
# With the colours, so that a class is known in print without them too.
MARKERS: Final = ("o", "s", "^", "D", "v", "P", "*", "X")
PART_COLORS: Final = {"train": "#4D4D4D", "val": "#999999", "test": "#56B4E9"}
PART_NAMES: Final = {"val": "validation"}
GREY: Final = "#4D4D4D"
FAINT: Final = "#8A8A8A"
# The colour of bars that belong to no class.
SLATE: Final = "#5F7C94"
# Between ticks are only steps that are easy to read.
STEPS: Final = (1, 2, 2.5, 5, 10)
DPI: Final = 150


def class_colors(classes: Sequence[str]) -> dict[str, str]:
    """The colour of each class, by its place in the list."""
    return {name: PALETTE[i % len(PALETTE)] for i, name in enumerate(classes)}


def color_on(background: str) -> str:
    """Black or white, whichever is easier to read on a colour (relative luminance of WCAG 2)."""
    linear = [c / 12.92 if c <= 0.04045 else ((c + 0.055) / 1.055) ** 2.4 for c in to_rgb(background)]
    luminance = 0.2126 * linear[0] + 0.7152 * linear[1] + 0.0722 * linear[2]
    # Equal contrast with both where (1 + .05) / (l + .05) is (l + .05) / .05.
    return "white" if luminance < 0.179 else "black"


def class_markers(classes: Sequence[str]) -> dict[str, str]:
    """The marker of each class, by its place in the list."""
    return {name: MARKERS[i % len(MARKERS)] for i, name in enumerate(classes)}


def new_figure(width: float, height: float, rows: int = 1, columns: int = 1, **options: Any) -> tuple[Figure, Any]:
    """A figure (in inches) and its axes (one, or an array), without pyplot and its global state."""
    figure = Figure(figsize=(width, height), layout="constrained", dpi=DPI)
    axes = figure.subplots(rows, columns, **options)
    for ax in figure.axes:
        ax.spines[["top", "right"]].set_visible(False)
    return figure, axes


def new_note(text: str) -> Figure:
    """A sentence in the place of a figure that cannot be drawn."""
    figure = Figure(figsize=(6.0, 0.8), dpi=DPI)
    figure.text(0.5, 0.5, text, ha="center", va="center", color=GREY)
    return figure


def light_grid(ax: Axes, axis: Any = "y") -> None:
    """Faint lines behind the data."""
    ax.grid(axis=axis, color="#DDDDDD", linewidth=0.6)
    ax.set_axisbelow(True)


def draw_band(
    ax: Axes, places: Sequence[float], curve: Mapping[str, Sequence[float | None]], color: str, label: str | None = None
) -> None:
    """A curve in front of its interval, with gaps where they are not defined; ``curve`` is what ``band`` gives."""
    value, low, high = (np.array(curve[name], dtype=np.float64) for name in ("value", "low", "high"))
    ax.fill_between(places, low, high, color=color, alpha=0.18, linewidth=0)
    ax.plot(places, value, color=color, linewidth=1.5, label=label)


def to_png(figure: Figure) -> bytes:
    """A figure as PNG; without the software's version in it, so that equal figures are equal files."""
    buffer = io.BytesIO()
    # Figure.savefig draws everything once more before, for the layout alone.
    FigureCanvasAgg(figure).print_png(buffer, metadata={"Software": None})  # type: ignore[no-untyped-call]
    return buffer.getvalue()


def origin(row: Any) -> str:
    """Record of a beat, and the sample of its R peak where that is known."""
    return str(row["record"]) + (f", sample {row['sample']:,.0f}" if "sample" in row else "")
