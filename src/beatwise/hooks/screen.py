"""The screen: nodes are named as they run, and the scores are shown when a run is over."""

from __future__ import annotations

import logging
from pathlib import Path
from typing import TYPE_CHECKING, Any

from kedro.io import DataCatalog
from kedro.pipeline import Pipeline

from beatwise.data.examples import BEAT, reword
from beatwise.hooks.catalog import saved_path, short_path
from beatwise.runs.saved import Saved

if TYPE_CHECKING:
    from beatwise.runs.journal import Entry

log = logging.getLogger(__name__)
SHOWN = ("scores", "leaderboard", "paired", "decision", "report", "scored", "page")


class Screen:
    """Names each node of one run as it starts, and shows tables and paths when the run is over."""

    def __init__(self, pipeline: Pipeline) -> None:
        """Count the nodes."""
        self._outputs = sorted(pipeline.outputs())
        self._started, self._nodes = 0, len(pipeline.nodes)
        self._shown: list[Saved] = []

    def name_node(self, name: str) -> None:
        """Say which node starts, and how many there are."""
        self._started += 1
        log.info("%2d/%d  %s", self._started, self._nodes, name)

    def record(self, saved: Saved) -> None:
        """Remember what is shown at the end."""
        if saved.kind in SHOWN:
            self._shown.append(saved)

    @property
    def reports(self) -> list[Path]:
        """The reports that were saved."""
        return [saved.path for saved in self._shown if saved.kind == "report"]

    def finish(self, catalog: DataCatalog) -> None:
        """Print the tables, what they say in words, and the paths of reports.

        A run without any names what it has made and where it lies.
        """
        for saved in self._shown:
            _show_table(saved)
        for saved in self._shown:
            _show_words(saved)
        for saved in self._shown:
            if saved.kind == "scored":
                print_text("\n".join(saved.data["lines"]))
            elif saved.kind == "page":
                show_path("Page:", saved.path)
            elif saved.kind == "report":
                show_path(f"Report of {saved.title}:", saved.path)
        for name in self._outputs if not self._shown else []:
            print_text(f"{name}: {short_path(saved_path(catalog[name]))}")


def _show_table(saved: Saved) -> None:
    from rich import get_console

    from beatwise.report import tables
    from beatwise.report.tasks import report_of
    from beatwise.report.terminal import as_rich

    def show(table: tables.Table, title: str | None = None) -> None:
        shape = saved.data.get("shape", BEAT) if isinstance(saved.data, dict) else BEAT
        get_console().print(as_rich(table.in_words_for(shape), title=title))

    if saved.kind == "leaderboard":
        show(tables.short_leaderboard_table(saved.data), title="Leaderboard")
    elif saved.kind == "paired":
        names = report_of(saved.data["overall"]).paired_on_screen
        show(tables.paired_table(saved.data, names), title="Baseline and tuned, test")
    elif saved.kind == "decision" and saved.data["compared"]:
        names = report_of(saved.data["compared"]["overall"]).paired_on_screen
        table = tables.paired_table(saved.data["compared"], names, ("champion", "candidate"))
        show(table, title="Champion and candidate, test")
    elif saved.kind == "scores":
        first, *others = report_of(saved.data["test"]["overall"]).on_screen(saved.data)
        show(first, title=f"Scores of {saved.title}")
        for table in others:
            show(table)


def _show_words(saved: Saved) -> None:
    """Where a model fails, and the verdict on a search."""
    from beatwise.report import summary
    from beatwise.report.tasks import report_of

    if saved.kind == "scores":
        print_text(f"Where {saved.title} fails:", style="bold")
        for sentence in report_of(saved.data["test"]["overall"]).failures(saved.data):
            _print_indented(reword(sentence, saved.data.get("shape", BEAT)))
    elif saved.kind == "paired":
        print_text("Verdict:", style="bold")
        _print_indented(summary.comparison(saved.data))
    elif saved.kind == "decision":
        print_text("Verdict:", style="bold")
        for sentence in (saved.data["verdict"], *saved.data["reasons"], saved.data["notice"]):
            _print_indented(sentence)


def _print_indented(sentence: str) -> None:
    from rich import get_console
    from rich.padding import Padding
    from rich.text import Text

    get_console().print(Padding(Text(sentence), (0, 0, 0, 2), expand=False))


def show_path(heading: str, path: Path) -> None:
    """Print a path below a heading, on one line."""
    from rich import get_console

    get_console().print(heading, style="bold")
    get_console().print(short_path(path), soft_wrap=True)


def show_result(id: str, entry: Entry) -> None:
    """Print what became of a hypothesis."""
    from rich import get_console

    from beatwise.report.journal import result_table
    from beatwise.report.terminal import as_rich

    print_text(f"Hypothesis {entry.state}: {entry.hypothesis}")
    get_console().print(as_rich(result_table(entry)))
    print_text(f'What do you make of it?\nkedro journal reflect {id} "…"')


def print_text(text: str, **options: Any) -> None:
    """Print plain text."""
    from rich import get_console

    get_console().print(text, markup=False, highlight=False, soft_wrap=True, **options)
