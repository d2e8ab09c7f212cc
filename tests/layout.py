"""What every figure has to keep to: nothing cut off, nothing written over another, nothing too small to be read."""

from __future__ import annotations

import itertools

from matplotlib.figure import Figure
from matplotlib.text import Text


def texts(figure: Figure) -> list[Text]:
    """All that is written in a figure; ticks beyond the ends of an axis are not drawn."""
    found = [*figure.texts, *(text for legend in figure.legends for text in legend.texts)]
    for ax in figure.axes:
        if not ax.get_visible():
            continue
        found += ax.texts
        if (legend := ax.get_legend()) is not None:
            found += legend.texts
        if ax.axison:
            found += [ax.title, ax.xaxis.label, ax.yaxis.label]
            for axis in (ax.xaxis, ax.yaxis):
                low, high = sorted(axis.get_view_interval())
                found += [tick.label1 for tick in axis.get_major_ticks() if low <= tick.get_loc() <= high]
    return [text for text in found if text.get_visible() and text.get_text().strip()]


def check_layout(figure: Figure) -> None:
    """Draw a figure and look at where everything in it came to stand."""
    # Everything but the pixels, which take as long again.
    figure.draw_without_rendering()
    width, height = figure.canvas.get_width_height()
    boxes = [(text, text.get_window_extent()) for text in texts(figure)]
    assert boxes
    for text, box in boxes:
        is_inside = min(box.x0, box.y0, width - box.x1, height - box.y1) >= -1
        assert is_inside, f"{text.get_text()!r} is cut off"
        assert text.get_fontproperties().get_size_in_points() >= 7
    for legend in figure.legends:
        frame = legend.get_window_extent()
        for ax in figure.axes:
            if ax.get_visible() and ax.axison:
                assert not frame.overlaps(ax.get_window_extent()), "the legend lies over the data"
    upright = [(text, box) for text, box in boxes if text.get_rotation() == 0]
    for (one, box), (other, there) in itertools.combinations(upright, 2):
        across = min(box.x1, there.x1) - max(box.x0, there.x0)
        up = min(box.y1, there.y1) - max(box.y0, there.y0)
        assert across < 2 or up < 2, f"{one.get_text()!r} and {other.get_text()!r} lie over each other"
