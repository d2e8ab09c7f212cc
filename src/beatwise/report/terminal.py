"""Score tables on the terminal."""

from __future__ import annotations

from rich import box
from rich.markup import escape
from rich.table import Table as RichTable

from beatwise.report.tables import Table


def as_rich(table: Table, title: str | None = None) -> RichTable:
    """A table for rich's console."""
    drawn = RichTable(
        title=title,
        caption=table.caption,
        box=box.SIMPLE_HEAD,
        padding=(0, 1, 0, 0),
        pad_edge=False,
        title_justify="left",
        caption_justify="left",
    )
    for i, column in enumerate(table.columns):
        # A narrow terminal breaks long names, and never cuts numbers off.
        drawn.add_column(column, justify="left" if i == 0 else "right", no_wrap=i > 0)
    for row in table.rows:
        drawn.add_row(*(escape(cell) for cell in row))
    return drawn
