"""The journal as people read it: tables, one entry on the terminal, everything as Markdown."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from datetime import UTC, datetime
from itertools import chain
from typing import Any

from rich.console import Group, RenderableType
from rich.padding import Padding
from rich.table import Table as RichTable
from rich.text import Text

from beatwise.report.run_card import shown_metadata
from beatwise.report.tables import Table
from beatwise.report.terminal import as_rich
from beatwise.runs.journal import PARTS, Entry, Run, compared_metrics, headline, judge, read_expectation
from beatwise.tasks.registry import METRICS


def entries_table(entries: Mapping[str, Entry]) -> Table:
    """All entries, one a row."""
    tested = (headline(entry.runs[-1].metrics) for entry in entries.values() if entry.runs and entry.runs[-1].metrics)
    compared = list(dict.fromkeys(chain(*tested))) or headline(())
    rows = [[id, entry.state, *(_in_short(entry, metric) for metric in compared)] for id, entry in entries.items()]
    caption = "Test, and the change against the best of the same source before."
    return Table(caption, ["entry", "outcome", *map(_name, compared)], rows, labels=2)


def result_table(entry: Entry) -> Table:
    """The result of the last run of an entry, beside the expectation and the best earlier result."""
    run = entry.runs[-1]
    expected: dict[str, list[str]] = {}
    for condition in read_expectation(entry.expect):
        mark = "" if condition.metric not in run.metrics else " ✓" if condition.holds(run.metrics) else " ✗"
        expected.setdefault(condition.metric, []).append(f"{condition.comparison} {condition.bound:g}{mark}")
    rows = [
        [
            _name(metric),
            ", ".join(expected.get(metric, [])),
            _number(run.metrics[metric]) if metric in run.metrics else "not measured",
            _number(run.previous_best[metric].value) if metric in run.previous_best else "",
            _change(run, metric),
        ]
        for metric in compared_metrics(entry.expect, run.metrics)
    ]
    before = dict.fromkeys(best.entry for best in run.previous_best.values())
    caption = f"Result: {run.result}. " + (
        f"Best before of source {run.source}: {', '.join(before)}." if before else f"The first of source {run.source}."
    )
    return Table(caption, ["", "expected", "result", "best before", "change"], rows)


def metrics_table(run: Run) -> Table:
    """All overall metrics of a run, one a row."""
    tasks = {METRICS[key.rpartition(".")[2]].task for key in run.metrics}
    rows = [
        [name, *(_number(run.metrics[key]) if (key := f"{part}.{name}") in run.metrics else "–" for part in PARTS)]
        for task in sorted(tasks)
        for name in METRICS.overall(task)
    ]
    return Table("", ["", *PARTS], rows)


def metadata(run: Run) -> dict[str, str]:
    """Metadata of a run by label; without what is not known."""
    known = {"took": run.ended and str(run.ended - run.began), "error": run.error}
    return {**shown_metadata(run), **{name: value for name, value in known.items() if value}}


def on_terminal(id: str, entry: Entry) -> Group:
    """Everything about an entry, for rich's console."""
    return Group(*_blocks(id, entry))


def _blocks(id: str, entry: Entry) -> Iterator[RenderableType]:
    yield Text(f"{id}: {entry.state}", style="bold")
    yield Text(entry.hypothesis)
    proposed = {"proposed": _time(entry.proposed), "expected": entry.expect or "nothing in particular"}
    yield Padding(_grid(proposed), (1, 0))
    for run in entry.runs:
        yield Text(f"Run of {_time(run.began)}: {run.outcome or 'running'}", style="bold")
        yield Padding(_grid(metadata(run)), (0, 0, 1, 0))
    if entry.runs and entry.runs[-1].metrics:
        yield as_rich(result_table(entry))
        yield as_rich(metrics_table(entry.runs[-1]))
    if entry.reflections:
        yield Text("Reflections", style="bold")
        yield _grid({_time(reflection.written): reflection.text for reflection in entry.reflections})


def _grid(cells: Mapping[str, str]) -> RichTable:
    grid = RichTable.grid(padding=(0, 2, 0, 0))
    for label, value in cells.items():
        grid.add_row(Text(label, style="dim"), Text(value))
    return grid


def as_markdown(entries: Mapping[str, Entry]) -> str:
    """All entries, for a report."""
    return (
        "\n\n".join(["# Journal", *(block for id, entry in entries.items() for block in _paragraphs(id, entry))]) + "\n"
    )


def _paragraphs(id: str, entry: Entry) -> Iterator[str]:
    yield f"## {' '.join(entry.hypothesis.split())}"
    expected = f"Expected: `{entry.expect}`." if entry.expect else "Nothing in particular was expected."
    yield f"{expected} Outcome: **{entry.state}**. (`{id}`, proposed {_time(entry.proposed)})"
    for run in entry.runs:
        known = "; ".join(f"{name}: {_code(value)}" for name, value in metadata(run).items())
        yield f"Run of {_time(run.began)}, {run.outcome or 'running'}. {known}."
    if entry.runs and entry.runs[-1].metrics:
        table = result_table(entry)
        lines = [table.columns, ["---", *["---:"] * (len(table.columns) - 1)], *table.rows]
        yield "\n".join(f"| {' | '.join(line)} |" for line in lines)
        yield table.caption
    for reflection in entry.reflections:
        yield (
            "\n".join(f"> {line}".rstrip() for line in reflection.text.split("\n"))
            + f"\n>\n> {_time(reflection.written)}"
        )


def brief_entries(
    entries: Mapping[str, Entry], source: str, began: datetime, metrics: Mapping[str, Any]
) -> list[dict[str, Any]]:
    """The entries that runs of a source have tested, as a report shows them, the newest last.

    Args:
        entries: All entries, the oldest first.
        source: Name of the data source.
        began: When the run of the report began: of an entry that this run tests there is no outcome yet.
        metrics: Result of ``measure_predictions`` for the model of the report.

    Returns:
        For each its ``hypothesis``, ``expect``, ``outcome``, ``scores`` (empty without a result) and ``reflections``.
    """
    return [
        {
            "id": id,
            "hypothesis": " ".join(entry.hypothesis.split()),
            "expect": entry.expect,
            "outcome": _outcome(entry, began, metrics),
            "scores": ", ".join(filter(None, (_compared(run, metric) for metric in headline(run.metrics)))),
            "reflections": [reflection.text for reflection in entry.reflections],
        }
        for id, entry in entries.items()
        for run in entry.runs[-1:]
        if run.source == source
    ]


def _outcome(entry: Entry, began: datetime, metrics: Mapping[str, Any]) -> str:
    if entry.state != "running" or entry.runs[-1].began != began:
        return entry.state
    from beatwise.tasks.metrics import flatten_scores

    return f"tested by this run; by the scores of this report {judge(entry.expect, flatten_scores(dict(metrics)))}"


def _compared(run: Run, metric: str) -> str:
    if metric not in run.metrics:
        return ""
    change = f" ({_change(run, metric)} against the best before)" if metric in run.previous_best else ""
    return f"{_name(metric)} {_number(run.metrics[metric])}{change}"


def _code(text: str) -> str:
    return f"`{text}`"


def _name(metric: str) -> str:
    """A metric as an expectation calls it."""
    return metric.removeprefix("test.")


def _in_short(entry: Entry, metric: str) -> str:
    run = entry.runs[-1] if entry.runs else None
    return f"{_number(run.metrics[metric])} {_change(run, metric):7}" if run and metric in run.metrics else ""


def _change(run: Run, metric: str) -> str:
    known = metric in run.metrics and metric in run.previous_best
    return f"{run.metrics[metric] - run.previous_best[metric].value:+.4f}" if known else ""


def _number(value: float) -> str:
    return f"{value:.4f}"


def _time(time: datetime) -> str:
    return f"{time.astimezone(UTC):%Y-%m-%d %H:%M} UTC"
