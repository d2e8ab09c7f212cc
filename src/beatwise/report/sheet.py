"""The page of one scored record, on one screen, and the page of many."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from typing import Any, Final

import numpy as np
import numpy.typing as npt
import pandas as pd
from markupsafe import Markup

from beatwise.figures.style import GREY, class_colors
from beatwise.report.html import render
from beatwise.report.paper import GRID, MM_PER_MV, STRIP_SECONDS, UNUSABLE, clock, course, fitting_gain, strip
from beatwise.report.tables import Table

STRIPS_AT_MOST: Final = 6
# Records up to this length are shown whole.
WHOLE_SECONDS: Final = STRIPS_AT_MOST * STRIP_SECONDS
# A burden an hour says nothing about a recording of seconds.
BURDEN_SECONDS: Final = 300
SHADE: Final = "#fff1b8"
# Seconds to shade around the R peaks of a finding, and letters of a class above a beat.
AROUND: Final = 0.25
# The usual rhythm is shown where so many beats in a row are normal, or, where there is no such place, so many.
USUAL_BEATS: Final = (13, 7)
LETTERS: Final = 3
# By what the events of a kind are ordered, and the word for the first of them.
WORST: Final = {"run": ("beats", "longest"), "couplet": ("rate", "fastest")}
OTHERWISE_WORST: Final = ("duration", "longest")


@dataclass(frozen=True)
class Sheet:
    """What the page of a record is made of.

    Attributes:
        summary: Result of ``summarise``.
        events: Result of ``find_events``.
        beats: Result of ``counted_beats``.
        unusable: Unusable stretches, samples ``int64 [k, 2]``.
        millivolts: The lead that was scored, ``float64 [n]``.
        classes: All classes of the model.
        normal: Classes of the usual rhythm.
        ectopic: Classes by origin, ``ventricular`` and ``supraventricular``.
        rate_intervals: Over how many intervals the lowest and the highest rate are means.
        kinds: Kinds of events; what counts more comes first.
        model: The model, in a line.
        notice: A line at the top.
        index: Address of the page of all records.
    """

    summary: Mapping[str, Any]
    events: pd.DataFrame
    beats: pd.DataFrame
    unusable: npt.NDArray[np.int64]
    millivolts: npt.NDArray[np.float64]
    classes: Sequence[str]
    normal: Sequence[str]
    ectopic: Mapping[str, Sequence[str]]
    rate_intervals: int
    kinds: Sequence[str]
    model: str
    notice: str
    index: str | None = None


@dataclass(frozen=True)
class Finding:
    """What a strip shows: samples ``first`` to ``last``, and what that is."""

    title: str
    detail: str
    first: int
    last: int
    shaded: bool = True


def choose_findings(sheet: Sheet) -> list[Finding]:
    """What is shown of a record: the worst of each kind of event, a beat of each other class, the usual rhythm.

    Where there is room: the highest and the lowest rate, the second of each kind. A short record is shown whole.
    """
    length, rate = len(sheet.millivolts), sheet.summary["sample_rate"]
    if length <= WHOLE_SECONDS * rate:
        step = round(STRIP_SECONDS * rate)
        return [Finding("", "", first, min(first + step, length), shaded=False) for first in range(0, length, step)]
    usual = list(_usual(sheet))
    found = [*_events(sheet, 0), *_single_beats(sheet), *_extreme_rates(sheet), *_events(sheet, 1)]
    shown = found[: STRIPS_AT_MOST - len(usual)] + usual
    return shown or [Finding("The beginning", "no beat was classified", 0, 0, shaded=False)]


def _events(sheet: Sheet, place: int) -> Iterator[Finding]:
    """The worst event of each kind, or the one in a later place."""
    for kind in sheet.kinds:
        events = sheet.events[sheet.events["kind"] == kind]
        if place >= len(events):
            continue
        column, word = WORST.get(kind.split()[-1], OTHERWISE_WORST)
        event = events.sort_values([column, "rate"], ascending=False, kind="stable").iloc[place]
        size = f"{event['beats']} beats"
        if kind == "pause":
            size = f"{event['duration']:.2f} s"
        elif column != "duration":
            size += f" at {event['rate']:.0f}/min"
        else:
            size += f", {event['duration']:.0f} s"
        of = f", {'second ' if place else ''}{word} of {len(events):,}" if len(events) > 1 else ""
        yield Finding(kind.capitalize(), size + of, event["first"], event["last"])


def _single_beats(sheet: Sheet) -> Iterator[Finding]:
    """The surest beat of each class that is neither usual nor seen in an event."""
    kinds = set(sheet.events["kind"])
    seen = {
        name for origin, names in sheet.ectopic.items() for name in names if any(k.startswith(origin) for k in kinds)
    }
    origin_of = {name: origin for origin, names in sheet.ectopic.items() for name in names}
    order = [*origin_of, *(name for name in sheet.classes if name not in origin_of)]
    for name in order:
        beats = sheet.beats[sheet.beats["class"] == name]
        if name in seen or name in sheet.normal or not len(beats):
            continue
        sample = int(beats["sample"].iloc[beats[f"probability_{name}"].argmax()])
        title = f"{origin_of[name]} beat".capitalize() if name in origin_of else f"Beat of class {name}"
        yield Finding(title, f"surest of {len(beats):,}" if len(beats) > 1 else "the only one", sample, sample)


def _extreme_rates(sheet: Sheet) -> Iterator[Finding]:
    samples, means = sheet.beats["sample"].to_numpy(), sheet.beats["mean_interval"].to_numpy()
    if np.isfinite(means).any():
        for word, place in (("Highest", np.nanargmin(means)), ("Lowest", np.nanargmax(means))):
            middle = int(samples[place] - means[place] * sheet.rate_intervals / 2 * sheet.summary["sample_rate"])
            yield Finding(f"{word} rate", f"{60 / means[place]:.0f}/min", middle, middle, shaded=False)


def _usual(sheet: Sheet) -> Iterator[Finding]:
    """A strip of sure, normal beats as near to the middle of the record as there is one."""
    beats = sheet.beats
    usual = beats["class"].isin(sheet.normal) & ~beats["unsure"].astype(bool) & beats["interval"].notna()
    for n_beats in USUAL_BEATS:
        wide = usual.rolling(n_beats, center=True).sum() == n_beats
        if not wide.any():
            continue
        sample = beats.loc[wide, "sample"].to_numpy()
        middle = int(sample[np.abs(sample - len(sheet.millivolts) / 2).argmin()])
        yield Finding(
            "Usual rhythm", f"{60 / beats.loc[usual, 'interval'].median():.0f}/min", middle, middle, shaded=False
        )
        return


# --- the page of a record


def render_sheet(sheet: Sheet) -> str:
    """The page of a record as HTML."""
    summary, rate = sheet.summary, sheet.summary["sample_rate"]
    findings = choose_findings(sheet)
    whole = len(sheet.millivolts) <= WHOLE_SECONDS * rate
    starts = [_start(finding, len(sheet.millivolts), rate) for finding in findings]
    pieces = [sheet.millivolts[start : start + round(STRIP_SECONDS * rate)] for start in starts]
    gain = fitting_gain(float(sheet.beats["amplitude"].median()))
    colors = _colors(sheet)
    strips = [
        {
            "number": number,
            "title": finding.title,
            "detail": finding.detail,
            "at": clock(finding.first / rate),
            "svg": Markup(_draw(sheet, finding, start, piece, gain, colors)),
        }
        for number, (finding, start, piece) in enumerate(zip(findings, starts, pieces, strict=True), start=1)
    ]
    return render(
        "sheet.html",
        title=f"Record {summary['record']}",
        source=summary["record"],
        links={"all records": sheet.index} if sheet.index else {},
        notice=sheet.notice,
        subtitle=_subtitle(sheet),
        answers=_answers(sheet),
        ectopic=_ectopic_table(sheet),
        by_class=_class_table(sheet),
        colors=colors,
        grid=Markup(GRID),
        course=None if whole else Markup(_course(sheet, starts, colors)),
        scale=_scale(gain),
        usual_scale=gain == MM_PER_MV,
        strips=strips,
        whole=whole,
    )


def _start(finding: Finding, length: int, rate: float) -> int:
    """First sample of the strip: the finding in its middle, or its beginning where it is longer than the strip."""
    width = round(STRIP_SECONDS * rate)
    if not finding.title:
        return finding.first
    start = (finding.first + finding.last - width) // 2
    if finding.last - finding.first > width:
        start = finding.first - round(rate)
    return max(0, min(start, length - width))


def _colors(sheet: Sheet) -> dict[str, str]:
    """The colour of the letters of each class; those of the usual rhythm are grey, so that others stand out."""
    return {name: GREY if name in sheet.normal else color for name, color in class_colors(sheet.classes).items()}


def _draw(sheet: Sheet, finding: Finding, start: int, piece: Any, gain: float, colors: Mapping[str, str]) -> str:
    rate = sheet.summary["sample_rate"]
    beats = sheet.beats[sheet.beats["sample"].between(start, start + len(piece) - 1)]
    labels = [
        ((sample - start) / rate, name[:LETTERS] + ("?" if unsure else ""), colors[name])
        for sample, name, unsure in zip(beats["sample"], beats["class"], beats["unsure"], strict=True)
    ]
    shaded = [((begin - start) / rate, (end - start) / rate, UNUSABLE) for begin, end in sheet.unusable.tolist()]
    if finding.shaded:
        shaded.append(((finding.first - start) / rate - AROUND, (finding.last - start) / rate + AROUND, SHADE))
    return strip(piece, rate, labels, [one for one in shaded if one[1] > 0 and one[0] < STRIP_SECONDS], gain)


def _course(sheet: Sheet, starts: Sequence[int], colors: Mapping[str, str]) -> str:
    rate = sheet.summary["sample_rate"]
    beats, seconds = sheet.beats, sheet.beats["sample"].to_numpy() / rate
    lanes = {}
    for origin, names in sheet.ectopic.items():
        if known := [name for name in names if name in sheet.classes]:
            lanes[f"{origin} beats"] = (seconds[beats["class"].isin(known)], colors[known[0]])
    pauses = sheet.events.loc[sheet.events["kind"] == "pause", "seconds"].to_numpy()
    if len(pauses):
        lanes["pauses"] = (pauses, GREY)
    marks = {str(number): start / rate + STRIP_SECONDS / 2 for number, start in enumerate(starts, start=1)}
    return course(
        sheet.summary["seconds"], seconds, (60 / beats["interval"]).to_numpy(), lanes, sheet.unusable / rate, marks
    )


def _subtitle(sheet: Sheet) -> str:
    summary = sheet.summary
    peaks = "R peaks from annotations" if summary["detector"] == "annotations" else f"R peaks by {summary['detector']}"
    signal = f"{clock(summary['seconds'])} of lead {summary['lead']} at {summary['sample_rate']:g} Hz"
    return f"{signal} · {peaks} · {sheet.model}"


def _answers(sheet: Sheet) -> list[tuple[str, str, str]]:
    """Name, value and a remark of each answer, the first line of the page."""
    summary = sheet.summary
    found = [
        ("beats", f"{summary['beats']:,}", f"{percent(summary['unsure_share'])} unsure" if summary["beats"] else ""),
        (
            "rate",
            "–" if summary["rate"] is None else f"{summary['rate']:.0f}/min",
            "" if summary["rate_low"] is None else f"{summary['rate_low']:.0f} to {summary['rate_high']:.0f}",
        ),
    ]
    for origin in sheet.ectopic:
        value = {name: summary[f"{origin}_{name}"] for name in ("beats", "share", "per_hour", "runs", "longest_run")}
        if value["beats"] is None:
            found.append((origin, "–", "no class of the model"))
            continue
        hourly = summary["usable_seconds"] >= BURDEN_SECONDS and value["per_hour"] is not None
        found.append(
            (
                origin,
                percent(value["share"]),
                f"{value['beats']:,} beats" + (f", {value['per_hour']:,.0f}/h" if hourly else ""),
            )
        )
    longest = summary["longest_pause"]
    found.append(("pauses", f"{summary['pauses']:,}", "" if longest is None else f"longest {longest:.2f} s"))
    found.append(("unusable", percent(summary["unusable_share"]), "of the recording"))
    return found


def _ectopic_table(sheet: Sheet) -> Table | None:
    """Events by origin."""
    known = [origin for origin in sheet.ectopic if sheet.summary[f"{origin}_beats"] is not None]
    names = ("couplets", "runs", "longest_run", "fastest_run", "bigeminy", "trigeminy")
    if not known:
        return None

    def cell(origin: str, name: str) -> str:
        value = sheet.summary[f"{origin}_{name}"]
        return (
            "–" if value is None else f"{value:,.0f}" + {"longest_run": " beats", "fastest_run": "/min"}.get(name, "")
        )

    rows = [[origin, *(cell(origin, name) for name in names)] for origin in known]
    return Table("", ["", *(name.replace("_", " ") for name in names)], rows)


def _class_table(sheet: Sheet) -> Table:
    """Beats by class, one class a column."""
    beats, n = sheet.beats, max(len(sheet.beats), 1)
    counts, more = (beats[column].value_counts() for column in ("class", "recall_first"))
    unsure = beats["unsure"].astype(float).groupby(beats["class"]).mean()
    rows = [
        ["beats", *(f"{counts.get(name, 0):,}" for name in sheet.classes)],
        ["share", *(percent(counts.get(name, 0) / n) for name in sheet.classes)],
        ["unsure", *(percent(unsure.get(name)) for name in sheet.classes)],
        ["recall first", *(f"{more.get(name, 0):,}" for name in sheet.classes)],
    ]
    return Table("", ["class", *sheet.classes], rows)


def _scale(gain: float) -> str:
    return f"25 mm/s, {gain:g} mm/mV"


def percent(share: float | None) -> str:
    """``25.7 %``; what is there is never shown as 0."""
    if share is None:
        return "–"
    return "< 0.1 %" if 0 < share < 0.0005 else f"{100 * share:.1f} %"


# --- the page of many records


def render_records(
    records: pd.DataFrame, failed: pd.DataFrame, pages: Mapping[str, str], notice: str, model: str
) -> str:
    """The page of many records as HTML: one row each, those with most findings first.

    Args:
        records: Result of ``summarise``, one row a record.
        failed: What could not be scored: ``record``, ``reason``.
        pages: Address of the page of each record that has one.
        notice: A line at the top.
        model: The model, in a line.
    """
    by = [
        name
        for name in ("ventricular_runs", "ventricular_share", "pauses", "supraventricular_share")
        if name in records
    ]
    ordered = records.sort_values(by, ascending=False, na_position="last", kind="stable")
    rows = [{"page": pages.get(row["record"]), "cells": _record_cells(row)} for row in ordered.to_dict("records")]
    seconds = records["seconds"].sum()
    n_runs = int((records["ventricular_runs"].fillna(0) > 0).sum())
    return render(
        "records.html",
        title=f"{len(records):,} scored records",
        source="scored records",
        notice=notice,
        subtitle=f"{seconds / 3600:,.1f} hours, {records['beats'].sum():,} beats · {model}",
        with_runs="No record has" if not n_runs else "1 record has" if n_runs == 1 else f"{n_runs:,} records have",
        columns=RECORD_COLUMNS,
        rows=rows,
        failed=failed.to_dict("records"),
    )


RECORD_COLUMNS: Final = (
    *("record", "length", "beats", "rate (1/min)"),
    *("ventricular", "an hour", "runs", "longest run"),
    *("supraventricular", "an hour", "runs", "longest run"),
    *("pauses", "longest (s)", "unsure", "unusable"),
)


def _record_cells(row: Mapping[Any, Any]) -> list[str]:
    def number(value: Any, digits: int = 0) -> str:
        return "–" if value is None or np.isnan(value) else f"{value:,.{digits}f}"

    def share(value: Any) -> str:
        return percent(None if value is None or np.isnan(value) else value)

    origins = []
    for origin in ("ventricular", "supraventricular"):
        hourly = row[f"{origin}_per_hour"] if row["usable_seconds"] >= BURDEN_SECONDS else None
        runs = (number(row[f"{origin}_{name}"]) for name in ("runs", "longest_run"))
        origins += [share(row[f"{origin}_share"]), number(hourly), *runs]
    return [
        str(row["record"]),
        clock(row["seconds"]),
        f"{row['beats']:,}",
        number(row["rate"]),
        *origins,
        number(row["pauses"]),
        number(row["longest_pause"], 2),
        share(row["unsure_share"]),
        share(row["unusable_share"]),
    ]
