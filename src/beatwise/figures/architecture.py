"""The figure of a network: its blocks from the beat down to the logits."""

from __future__ import annotations

from collections.abc import Sequence
from typing import TYPE_CHECKING, Any, Final

from matplotlib.axes import Axes
from matplotlib.figure import Figure
from matplotlib.patches import FancyBboxPatch, Rectangle

from beatwise.figures.style import GREY, SLATE, new_figure

if TYPE_CHECKING:
    from beatwise.networks.outline import OutlineBlock

# Letters of a line that fit into a box.
LETTERS_AT_MOST: Final = 84
# Heights in inches, so that the eighteen rows of the longest outline fit on a page.
ROW: Final = 0.46
BOX: Final = 0.34
# Places across in inches: the box, the number of parameters, the bar of their share.
WIDTH: Final = 7.2
LEFT, RIGHT, NUMBERS, BARS = 0.95, 5.75, 6.45, 6.5


def plot_architecture(blocks: Sequence[OutlineBlock], input_shape: Sequence[int]) -> Figure:
    """A box for every block, the shape of one beat between them, and where the parameters are."""
    total = sum(block.n_parameters for block in blocks)
    most = max(block.n_parameters for block in blocks)
    height = ROW * (len(blocks) + 1.3)
    figure, ax = new_figure(WIDTH, height)
    ax.set(xlim=(0, WIDTH), ylim=(height, 0))
    ax.set_axis_off()
    style: dict[str, Any] = {"ha": "right", "va": "center", "fontsize": 8, "color": GREY}
    ax.text(LEFT - 0.12, 0.16, "one beat", **style)
    ax.text(NUMBERS, 0.16, f"parameters ({total:,})", **style)
    _draw_shape(ax, 0.4, input_shape)
    for row, block in enumerate(blocks):
        top = ROW * (row + 1) + 0.02
        _draw_block(ax, top, block, is_last=row == len(blocks) - 1)
        if block.n_parameters:
            ax.text(NUMBERS, top + BOX / 2, f"{block.n_parameters:,}", **style)
            bar = (WIDTH - BARS - 0.05) * block.n_parameters / most
            ax.add_patch(Rectangle((BARS, top + 0.07), bar, BOX - 0.14, color=SLATE, linewidth=0))
        _draw_shape(ax, top + BOX + (ROW - BOX) / 2, block.after)
    return figure


def _draw_block(ax: Axes, top: float, block: OutlineBlock, *, is_last: bool) -> None:
    """A box with what is in it; without parameters it is pale."""
    face = "#DCEAF4" if block.n_parameters else "#F6F6F6"
    rounded = "round,pad=0,rounding_size=0.05"
    shape = FancyBboxPatch((LEFT, top), RIGHT - LEFT, BOX, rounded, facecolor=face, edgecolor="#9AA7B2", linewidth=0.7)
    ax.add_patch(shape)
    times = f"{block.times} × " if block.times > 1 else ""
    middle = top + BOX / 2
    first = middle - 0.075 if block.layers else middle
    ax.text(LEFT + 0.1, first, f"{times}{block.name}", va="center", fontsize=8, weight="bold")
    if block.layers:
        layers = block.layers
        shown = layers if len(layers) <= LETTERS_AT_MOST else f"{layers[: LETTERS_AT_MOST - 1].rstrip(' ·')} …"
        ax.text(LEFT + 0.1, middle + 0.085, shown, va="center", fontsize=7, color=GREY)
    if not is_last:
        arrow: dict[str, Any] = {"arrowstyle": "-|>", "color": "#9AA7B2", "linewidth": 0.8, "mutation_scale": 6}
        place = (LEFT + RIGHT) / 2
        ax.annotate("", (place, top + ROW), (place, top + BOX), arrowprops={**arrow, "shrinkA": 0, "shrinkB": 0})


def _draw_shape(ax: Axes, middle: float, shape: Sequence[int]) -> None:
    ax.text(LEFT - 0.12, middle, " × ".join(map(str, shape)), ha="right", va="center", fontsize=8)
