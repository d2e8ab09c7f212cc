"""CSV and text files of samples: what their first lines say, and samples put on the grid of their times."""

from __future__ import annotations

import re
from dataclasses import dataclass
from itertools import islice
from pathlib import Path
from typing import Final

import numpy as np
import numpy.typing as npt
import pandas as pd

from beatwise.core.errors import BeatwiseError
from beatwise.ecg.leads import ecg_leads, find_column
from beatwise.ecg.settings import Read

Floats = npt.NDArray[np.float64]
SUFFIXES: Final = (".csv", ".tsv", ".txt")
# The first row of samples stands in these lines.
HEAD: Final = 200
# A recording has fewer signals; a table of beats has a column for each of its samples.
MOST_COLUMNS: Final = 64
# Rates (Hz) by which the unit of a time is recognised: the ranges of s, ms, µs and ns do not meet.
SLOWEST, FASTEST = 40.0, 5_000.0
SEPARATORS: Final = ("\t", ";", "|", ",", r"\s+")
# Rows on the grid of the times for one in the file, and part of the steps that may be gaps; files beyond are refused.
MOST_GAPS, MOST_JUMPS = 20, 0.2
# Part of its length by which a recording's times may leave a constant step, as clocks do that drift.
DRIFT: Final = 1e-4
TIME_UNITS: Final = {"s": 1.0, "ms": 1e-3, "us": 1e-6, "ns": 1e-9}
NUMBER: Final = r"[-+]?(\d+\.?\d*|\.\d+)([eE][-+]?\d+)?"
CELL: Final = re.compile(rf"({NUMBER}|nan|na|inf|\[?[\dTZ./:+ -]*\d[:-]\d[\dTZ./:+ -]*\]?|)", re.IGNORECASE)
RATE: Final = re.compile(rf"(?:sampl\w*[ _]*(?:rate|freq\w*)|\bfs\b)[^\d\n]{{0,20}}?({NUMBER})", re.IGNORECASE)
UNIT: Final = re.compile(r"\bunits?\b\W{0,4}([muµμn]?V)\b", re.IGNORECASE)
NAMED_UNIT: Final = re.compile(r"(.*?)\s*(?:[(\[]\s*([^()\[\]]*)\s*[)\]]|[ _]([muµμ]V|[munµ]?s))", re.IGNORECASE)
TIME: Final = re.compile(r"(elapsed\W*)?(time\w*|t|date\w*|seconds?|sec|m?s|millis\w*|micros\w*|clock)", re.IGNORECASE)
COUNT: Final = re.compile(r"(sample\W*(#|no|num\w*|index)?|index|row|n|nseq|#|)", re.IGNORECASE)


@dataclass(frozen=True)
class Signals:
    """Signals of a file in its own units.

    Attributes:
        values: ``float64 [n_samples, n_leads]``; NaN where a sample is missing.
        rate: Samples a second (Hz).
        names: Names of the leads.
        units: Their units; empty where the file does not say.
    """

    values: Floats
    rate: float
    names: list[str]
    units: list[str]


@dataclass(frozen=True)
class _Layout:
    """What the first lines of a text say: lines before the first row of samples, its separator and its columns."""

    skip: int
    separator: str
    decimal: str
    names: list[str]
    units: list[str]
    rate: float | None


def read_table(path: Path, settings: Read) -> Signals:
    """The leads of a text file with one row a sample.

    Separator, decimal mark, names, units and rate are taken from the first lines. Where there is a column of times, the
    rate is that of the times, and samples that are missing between them are NaN.

    Raises:
        BeatwiseError: If there is no row of numbers, no rate, no lead; if a value is no number, or times go backwards
            or have no constant step.
    """
    try:
        layout = _layout(path)
        if len(layout.names) > MOST_COLUMNS:
            raise BeatwiseError(
                f"it has {len(layout.names)} columns, as a table of beats has; a recording has one row a sample, and a "
                f"column a lead, at most {MOST_COLUMNS}."
            )
        table = pd.read_csv(
            path,
            sep=layout.separator,
            decimal=layout.decimal,
            header=None,
            names=range(len(layout.names)),
            skiprows=layout.skip,
            index_col=False,
            low_memory=False,
            encoding="utf-8-sig",
            encoding_errors="replace",
        )
        return _signals(table, layout, settings)
    except BeatwiseError as error:
        raise BeatwiseError(f"{path.absolute()}: {error}") from error
    except (OSError, ValueError) as error:  # pandas' errors are ValueErrors
        raise BeatwiseError(
            f"{path.absolute()} cannot be read as text with one row a sample ({str(error).strip()})."
        ) from error


def _signals(table: pd.DataFrame, layout: _Layout, settings: Read) -> Signals:
    names = layout.names
    time = _time_column(table, names, settings)
    counts = [i for i, name in enumerate(names) if len(names) > 1 and COUNT.fullmatch(name) and i != time]
    kept = [i for i in range(len(names)) if i not in (time, *counts) and not table[i].isna().all()]
    if settings.columns:
        columns = [find_column(names, choice, "columns") for choice in settings.columns]
    else:
        columns = [kept[i] for i in ecg_leads([names[i] for i in kept], [layout.units[i] for i in kept])]
    values = np.column_stack([_numbers(table[i], names[i]) for i in columns])
    rate = settings.rate or layout.rate
    if time is not None and not settings.rate:
        # Rows of other signals, at times of their own, have no sample of a lead.
        there = ~np.isnan(values).all(axis=1)
        seconds = _seconds(table[time].loc[pd.Series(there)], names[time], layout.units[time], settings.time_unit)
        values, rate = _on_grid(values[there], seconds)
    if rate is None:
        raise BeatwiseError(
            "nothing says how many samples a second it has. Set score.read.rate (Hz), or name a column of times in "
            "score.read.time."
        )
    return Signals(values, float(rate), [names[i] for i in columns], [layout.units[i] for i in columns])


def _layout(path: Path) -> _Layout:
    with path.open(encoding="utf-8-sig", errors="replace", newline="") as file:
        lines = [line.rstrip("\r\n") for line in islice(file, HEAD)]
    if any("\0" in line for line in lines):
        raise BeatwiseError("it is no text, or not in UTF-8. Save it as text in UTF-8.")
    for skip, line in enumerate(lines):
        below = next((other for other in lines[skip + 1 :] if other.strip()), line)
        fitting = []
        for separator in SEPARATORS:
            cells, next_cells = _cells(line, separator), _cells(below, separator)
            if len(cells) == len(next_cells) and _is_row(cells, separator) and _is_row(next_cells, separator):
                fitting.append((len(cells) > 1, separator))
        if fitting:
            return _described(lines, skip, max(fitting, key=lambda fit: fit[0])[1])
    raise BeatwiseError(f"there is no row of numbers in its first {HEAD} lines.")


def _described(lines: list[str], skip: int, separator: str) -> _Layout:
    """The layout of a text whose first row of samples stands behind ``skip`` lines."""
    # A heading stands directly above the samples; other lines may be anything.
    last_blank = max((i for i in range(skip) if not lines[i].strip()), default=-1)
    above = [line.lstrip("#% ") for line in lines[last_blank + 1 : skip]][-2:]
    rows = [_cells(line, separator) for line in lines[skip:] if line.strip()]
    headings = [cells for line in above if len(cells := _cells(line, separator)) == len(rows[0])]
    if separator == "," and len(rows[0]) == 2 and not headings and all("." not in "".join(row) for row in rows):
        if not any(re.match(r"0\d", row[-1]) for row in rows):
            raise BeatwiseError(
                f"{lines[skip]!r} may be two columns, or one with a decimal comma. Write a line of names above the "
                "samples, or decimal points."
            )
        separator, rows = "\t", [_cells(line, "\t") for line in lines[skip:] if line.strip()]
    n_columns = len(rows[0])
    if n_columns == 1:
        headings = [cells for cells in headings if not re.search(r"[:=#,]", cells[0])][-1:]
    names = ["ECG"] if n_columns == 1 else [f"signal {i}" for i in range(n_columns)]
    # PhysioNet's exports have a row of units below that of the names.
    units = headings[1] if len(headings) == 2 else [""] * n_columns
    text = "\n".join(lines[:skip])
    stated, rate = UNIT.search(text), RATE.search(text)
    for i, name in enumerate(headings[0] if headings else []):
        match = NAMED_UNIT.fullmatch(name)
        names[i], units[i] = (match[1], match[2] or match[3]) if match else (name, units[i])
    has_commas = separator != "," and any("," in cell for row in rows for cell in row)
    return _Layout(
        skip,
        separator,
        "," if has_commas else ".",
        names,
        [unit or (stated[1] if stated else "") for unit in units],
        float(rate[1]) if rate else None,
    )


def _cells(line: str, separator: str) -> list[str]:
    cells = line.split() if separator == r"\s+" else line.split(separator)
    return [cell.strip().strip("'\"").strip() for cell in cells]


def _is_row(cells: list[str], separator: str) -> bool:
    """Whether cells are numbers, times or empty, at least one a number."""
    if separator != ",":
        cells = [cell.replace(",", ".") for cell in cells]
    return all(CELL.fullmatch(cell) for cell in cells) and any(re.fullmatch(NUMBER, cell) for cell in cells)


def _time_column(table: pd.DataFrame, names: list[str], settings: Read) -> int | None:
    """The column of times: the one that the settings name, or that is named so; in a text without names the first."""
    if settings.time is not None:
        return find_column(names, settings.time, "time")
    if len(names) == 1:
        return None
    if named := [i for i, name in enumerate(names) if TIME.fullmatch(name)]:
        return named[0]
    first = table[0]
    if names[0] != "signal 0" or not pd.api.types.is_numeric_dtype(first.dtype):
        return None if names[0] != "signal 0" else 0
    return 0 if bool((first.diff().iloc[1:] > 0).all()) else None


def _numbers(column: pd.Series, name: str) -> Floats:
    if pd.api.types.is_numeric_dtype(column.dtype):
        values = column.to_numpy(dtype=np.float64)
    else:
        numbers = pd.to_numeric(column, errors="coerce")
        if (bad := numbers.isna() & column.notna()).any():
            row = int(bad.to_numpy().argmax())
            raise BeatwiseError(
                f"row {row + 1:,} of the samples, column {name!r}: {column[row]!r} is no number ({int(bad.sum()):,} "
                "such rows). Correct it, or leave it empty where a sample is missing."
            )
        values = numbers.to_numpy(dtype=np.float64)
    return np.where(np.isfinite(values), values, np.nan)


def _clock(column: pd.Series, name: str) -> Floats:
    """Clock times, or dates with times, from the first on (s)."""
    text = column.astype("str").str.strip("'\"[] ")
    colons = str(text.iloc[0]).count(":")
    if colons and re.fullmatch(r"[\d:.]+", str(text.iloc[0])):
        since = pd.to_timedelta("0:" * (2 - colons) + text, errors="coerce")
    else:
        dates = pd.to_datetime(text, format="ISO8601", errors="coerce", utc=True)
        since = dates - dates.min()
    if since.isna().any():
        row = int(since.index[int(since.isna().to_numpy().argmax())])
        raise BeatwiseError(
            f"row {row + 1:,} of the samples, column {name!r}: {column[row]!r} is no time such as 0:00.004, "
            "10:30:00.004 or 2026-05-01 10:30:00.004. Set score.read.rate (Hz) if samples follow without gaps."
        )
    seconds = np.asarray(since.dt.total_seconds(), dtype=np.float64)
    return seconds - seconds[0]


def _seconds(column: pd.Series, name: str, unit: str, time_unit: str | None) -> Floats:
    """Times from the first on (s), ``float64 [n]``, of numbers in any unit, clock times, or dates with times."""
    if not pd.api.types.is_numeric_dtype(column.dtype):
        return _clock(column, name)
    if column.isna().any():
        row = int(column.index[int(column.isna().to_numpy().argmax())])
        raise BeatwiseError(f"row {row + 1:,} of the samples has no time in column {name!r}. Fill it in.")
    # Of nanoseconds since 1970 a float keeps some hundred; whole numbers are subtracted first.
    times = (column - column.iloc[0]).to_numpy(dtype=np.float64)
    stated = time_unit or unit.lower().replace("µ", "u").replace("μ", "u").replace("sec", "s")
    step = float(np.median(np.diff(times))) if len(times) > 1 else 0.0
    if stated not in TIME_UNITS:
        fitting = [key for key, seconds in TIME_UNITS.items() if SLOWEST <= 1 / max(step * seconds, 1e-12) <= FASTEST]
        if not fitting or step == 1:
            raise BeatwiseError(
                f"column {name!r} steps by {step:g}, of which the unit is not clear. Set score.read.time_unit (s, ms, "
                "us or ns), or score.read.rate (Hz)."
            )
        stated = fitting[0]
    return times * TIME_UNITS[stated]


def _on_grid(values: Floats, seconds: Floats) -> tuple[Floats, float]:
    """Samples on the grid of their times, NaN between them; and the rate (Hz).

    The step is the mean of those that are no gap; a gap lasts a whole number of steps. Times may be off by a third of a
    step, as clocks of one millisecond and wireless links are.

    Raises:
        BeatwiseError: If times go backwards or stand still, or have no constant step.
    """
    steps = np.diff(seconds)
    typical = float(np.median(steps)) if len(steps) else 0.0
    if not typical > 0 or (steps < 0).any():
        row = int((steps < 0).argmax()) if (steps < 0).any() else 0
        what = "go backwards" if (steps < 0).any() else "stand still"
        raise BeatwiseError(
            f"times {what} at row {row + 2:,} of the samples. Sort the rows, or set score.read.rate (Hz) if samples "
            "follow without gaps."
        )
    # Times in whole milliseconds have a median step that is far from the mean.
    is_gap = steps > 1.75 * steps[steps < 2 * typical].mean()
    step = float(steps[~is_gap].mean())
    place = np.concatenate([[0], np.cumsum(np.where(is_gap, np.rint(steps / step), 1).astype(np.int64))])
    n_samples = int(place[-1]) + 1
    off = float(np.abs(place * step - (seconds - seconds[0])).max())
    if (
        off > max(0.1, 2 * step, DRIFT * seconds[-1])
        or is_gap.mean() > MOST_JUMPS
        or n_samples > MOST_GAPS * len(values)
    ):
        raise BeatwiseError(
            f"times have no constant step: the usual one is {typical:g} s, the longest {steps.max():g} s. Cut the file "
            "where it pauses, or resample it."
        )
    if n_samples == len(values):
        return values, 1 / step
    grid = np.full((n_samples, values.shape[1]), np.nan)
    grid[place] = values
    return grid, 1 / step
