"""A table of figures: the name of each, its place in a report, and the function that draws it."""

from __future__ import annotations

from collections.abc import Callable, Collection, Iterable
from dataclasses import dataclass
from typing import Any, Generic, TypeVar

from beatwise.data.examples import BEAT, noun, reword

R = TypeVar("R")


@dataclass(frozen=True)
class Entry(Generic[R]):
    """One figure.

    Attributes:
        name: Its name, which is also the name of its file.
        draw: Draws it from results: with matplotlib, or with plotly for the browser. It returns a sentence where the
            results do not hold what it shows.
        section: Section of the report below whose tables it stands; empty for a figure that is in no report, as those
            of plotly are.
        caption: A sentence on its content.
        tall: Whether it may fill a page.
        printed: Whether it stands in the PDF too.
        axes: Numbers of axes of the examples that it draws: 1 for beats, 2 for windows, 3 for pictures. Entries for
            different examples may have the same name.
    """

    name: str
    draw: Callable[[R], Any]
    section: str = ""
    caption: str = ""
    tall: bool = False
    printed: bool = True
    axes: Collection[int] = (1, 2, 3)


def draw_all(entries: Iterable[Entry[R]], results: R, shape: tuple[int, ...] = BEAT) -> dict[str, Any]:
    """Figures, or the sentences that stand for them, by name; in the words for examples of this shape."""
    return {entry.name: in_words_for(shape, entry.draw(results)) for entry in entries_for(entries, shape)}


def entries_for(entries: Iterable[Entry[R]], shape: tuple[int, ...]) -> list[Entry[R]]:
    """The entries that draw examples of this shape."""
    return [entry for entry in entries if len(shape) in entry.axes]


def in_words_for(shape: tuple[int, ...], drawn: Any) -> Any:
    """A figure, or the sentence that stands for it, in the words for examples of this shape."""
    if isinstance(drawn, str):
        return reword(drawn, shape)
    if noun(shape) == noun(BEAT):
        return drawn
    if hasattr(drawn, "savefig"):
        from matplotlib.text import Text

        for text in drawn.findobj(Text):
            text.set_text(reword(text.get_text(), shape))
        return drawn
    import plotly.io

    return plotly.io.from_json(reword(drawn.to_json(), shape))
