"""A table of figures: the name of each, its place in a report, and the function that draws it."""

from __future__ import annotations

from collections.abc import Callable, Iterable
from dataclasses import dataclass
from typing import Any, Generic, TypeVar

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
    """

    name: str
    draw: Callable[[R], Any]
    section: str = ""
    caption: str = ""
    tall: bool = False
    printed: bool = True


def draw_all(entries: Iterable[Entry[R]], results: R) -> dict[str, Any]:
    """Figures, or the sentences that stand for them, by name."""
    return {entry.name: entry.draw(results) for entry in entries}
