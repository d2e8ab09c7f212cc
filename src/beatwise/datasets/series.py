"""A table of measurements over time as examples: windows of the past, and the number to forecast."""

from __future__ import annotations

import logging
import warnings
from collections.abc import Iterable
from pathlib import Path
from typing import Annotated, Any, Final

import numpy as np
import pandas as pd
import pyarrow as pa
from kedro.io import AbstractDataset, DatasetError
from kedro_datasets._typing import TablePreview
from pydantic import AfterValidator, Field, ValidationInfo, field_validator

from beatwise.core.errors import BeatwiseError
from beatwise.core.registry import unknown_name
from beatwise.core.settings import Block, checked
from beatwise.data.examples import Examples
from beatwise.data.windows import CYCLES, Windows, cut_windows, described

log = logging.getLogger(__name__)

SEPARATORS: Final = (";", ",", "\t", "|")
Count = Annotated[int, Field(ge=1)]


def _duration(text: str) -> str:
    try:
        duration = pd.Timedelta(text)
    except ValueError:
        duration = pd.Timedelta(0)
    if not duration > pd.Timedelta(0):
        raise ValueError(f"{text!r} is no length of time; allowed: 1h, 15min, 1D, …")
    return text


class SeriesOptions(Block):
    """How a table of measurements is read and cut into windows: the options of ``raw_beats`` in ``catalog.yml``."""

    time: list[str] = Field(min_length=1, description="Column of the time, or those of date and time.")
    time_format: str | None = Field(
        None, description="Format of the time, those of several columns with a space between; null is ISO 8601."
    )
    time_zone: str | None = Field(
        None, description="Time zone of clocks that change to summer time, e.g. Europe/Rome; times are then in UTC."
    )
    target: str = Field(description="Column to forecast.")
    inputs: list[str] = Field(min_length=1, description=f"Columns of the window, or {', '.join(CYCLES)}.")
    present: list[str] = Field(
        [], description="Columns, or cycles, whose value at the forecast time is a feature of the example."
    )
    window: Annotated[int, Field(ge=2)] = Field(48, description="Steps in a window.")
    horizon: Count = Field(1, description="Steps from the end of the window to the forecast time; 1 is the next value.")
    every: Annotated[str, AfterValidator(_duration)] = Field(
        "1h", description="Length of a step; measurements within one are averaged."
    )
    gap: int = Field(6, ge=0, description="Longest run of missing steps of an input that is filled.")
    separator: str = Field(",", min_length=1, description="Separator of a text file.")
    decimal: str = Field(".", min_length=1, max_length=1, description="Decimal mark of a text file.")
    encoding: str = Field("utf-8-sig", description="Encoding of a text file.")
    missing: list[float] = Field([], description="Numbers that stand for a missing value, e.g. -200.")

    @field_validator("gap")
    @classmethod
    def _check_gap(cls, gap: int, info: ValidationInfo) -> int:
        if gap >= (window := info.data.get("window", gap + 1)):
            raise ValueError(f"{gap} steps would fill a window of {window}; allowed: fewer.")
        return gap


class SeriesDataset(AbstractDataset[None, Examples]):
    """Read-only: measurements over time as the examples ``raw_beats``, one for each time that can be forecast.

    Text with any separator and decimal mark, or parquet. Times may be irregular: they are put on a grid. Examples have
    ``time`` (the forecast time), ``group`` (its day), ``persistence`` (the last known target), and a feature for each
    column of ``present``. A feature is what networks join to their window before the last layer, and what boosted
    trees get beside the values of the window; ``tensors.features`` chooses among them, so that one source answers what
    a model gains from them.
    """

    def __init__(
        self, *, filepath: str, how_to_get: str = "", metadata: dict[str, Any] | None = None, **options: Any
    ) -> None:
        """Describe the table.

        Args:
            filepath: Parquet if its name ends in ``.parquet``, ``.parq`` or ``.pq``, or else text, plain or compressed.
            how_to_get: Where the file comes from; ends the error message when it is missing.
            metadata: Kept for plugins such as kedro-viz.
            **options: See :class:`SeriesOptions`.

        Raises:
            BeatwiseError: If an option is unknown or not allowed.
        """
        self._path = Path(filepath)
        self._is_parquet = self._path.suffix.lower() in (".parquet", ".parq", ".pq")
        self._how_to_get = how_to_get
        self._options = checked(SeriesOptions, options, "raw_beats in catalog.yml cannot be used:", "option")
        self.metadata = metadata
        self.notes: list[str] = []

    def load(self) -> Examples:
        """Read the table and cut its windows.

        Returns:
            The examples in order of time; ``table.attrs["notes"]``, and ``notes``, say what was made of the table.

        Raises:
            DatasetError: If the file is missing, or cannot be used (then a BeatwiseError is its cause).
        """
        if not self._exists():
            raise DatasetError(f"There is no file {self._path.absolute()}. {self._how_to_get}")
        options, self.notes = self._options, []
        how = Windows(options.target, options.inputs, options.present, options.window, options.horizon, options.gap)
        try:
            series = self._series()
            examples, counts = cut_windows(series, how)
        except BeatwiseError as error:
            raise BeatwiseError(f"{self._path.absolute()}: {error}") from error
        left_out = counts["possible"] - len(examples)
        self.notes.append(
            f"{len(examples):,} windows of {how.window} steps of {options.every}; {left_out:,} of "
            f"{counts['possible']:,} are left out: {described(counts, how.gap)}."
        )
        for note in self.notes:
            log.info("%s: %s", self._path.name, note)
        examples.table.attrs |= {"files": {"all": [str(self._path.absolute())]}, "notes": list(self.notes)}
        return examples

    def preview(self, nrows: int = 5) -> TablePreview:
        """The first steps of the regular series, for kedro-viz.

        Args:
            nrows: How many.
        """
        shown = self._series().iloc[:nrows].rename_axis("time").reset_index()
        return TablePreview(shown.astype({"time": str}).to_dict(orient="split"))

    def save(self, data: None) -> None:
        """Refuse: a source is never written.

        Raises:
            DatasetError: Always.
        """
        raise DatasetError(f"{type(self).__name__} is read-only: it never writes to a source.")

    def _series(self) -> pd.DataFrame:
        """The columns that are used, one row a step, NaN where a value is missing."""
        options = self._options
        names = [options.target, *options.inputs, *options.present]
        columns = list(dict.fromkeys(name for name in names if name not in CYCLES))
        table = self._table([*dict.fromkeys([*options.time, *columns])])
        table = table[table.notna().any(axis=1)]
        if table.empty:
            raise BeatwiseError("It has no rows.")
        values = table[columns].apply(self._numbers)
        values = values.mask(values.isin([*options.missing, np.inf, -np.inf]))
        values.index = self._times(table)
        return self._regular(values)

    def _table(self, columns: list[str]) -> pd.DataFrame:
        """These columns as the file has them, all its rows, numbered."""
        try:
            if self._is_parquet:
                table = pd.read_parquet(self._path).reset_index()
                _check_columns(columns, table.columns)
                return table[columns]
            return self._text(columns)
        except BeatwiseError:
            raise
        except pd.errors.EmptyDataError as error:
            raise BeatwiseError("It is empty.") from error
        except (ValueError, LookupError, OSError, pd.errors.ParserWarning, pa.ArrowException) as error:
            kind = "parquet" if self._is_parquet else "text"
            raise BeatwiseError(
                f"It cannot be read as {kind} ({str(error).strip()}). Look at separator, decimal and encoding; it may "
                "be truncated, too."
            ) from error

    def _text(self, columns: list[str]) -> pd.DataFrame:
        """These columns of a text file."""
        options = self._options

        def names(separator: str) -> list[str]:
            head = pd.read_csv(self._path, sep=separator, nrows=0, encoding=options.encoding, index_col=False)
            return [*map(str, head.columns)]

        found = names(options.separator)
        for other in SEPARATORS if set(columns) - set(found) else ():
            if not set(columns) - set(others := names(other)):
                raise BeatwiseError(
                    f"The header has {len(found)} columns when {options.separator!r} separates them, and {len(others)} "
                    f"with {other!r}. Say separator: {other!r}."
                )
        _check_columns(columns, found)
        with warnings.catch_warnings():
            # Rows with more cells than the header, as decimal commas between commas make them, would lose the last.
            warnings.simplefilter("error", pd.errors.ParserWarning)
            table = pd.read_csv(
                self._path,
                sep=options.separator,
                decimal=options.decimal,
                encoding=options.encoding,
                index_col=False,
                dtype=dict.fromkeys(options.time, "str"),
                skip_blank_lines=False,
                low_memory=False,
            )
        return table[columns]

    def _place(self, row: int) -> str:
        """A row, counted from 0, and its line in a text file, whose first line is the header."""
        return f"row {row}" if self._is_parquet else f"row {row} (line {row + 2})"

    def _numbers(self, column: pd.Series) -> pd.Series:
        """A column as float64."""
        if pd.api.types.is_numeric_dtype(column.dtype):
            return column.astype(np.float64)
        text = column.astype("str").str.strip()
        numbers = pd.to_numeric(text.str.replace(self._options.decimal, ".", regex=False), errors="coerce")
        if (bad := numbers.isna() & column.notna() & (text != "")).any():
            row = _first(bad)
            comma = pd.to_numeric(str(text[row]).replace(",", "."), errors="coerce")
            hint = " Say decimal: ',' for decimal commas." if pd.notna(comma) else ""
            raise BeatwiseError(
                f"{self._place(row)}, column {str(column.name)!r} is not a number: {text[row]!r}. "
                f"Such rows: {int(bad.sum()):,}. Name what stands for a missing value by `missing`, or leave it "
                f"empty.{hint}"
            )
        return numbers.astype(np.float64)

    def _times(self, table: pd.DataFrame) -> pd.DatetimeIndex:
        """The time of each row."""
        options = self._options
        first = table[options.time[0]]
        if len(options.time) == 1 and pd.api.types.is_datetime64_any_dtype(first.dtype):
            text, times = first.astype("str"), first
        else:
            text = first.astype("str").fillna("").str.strip()
            for name in options.time[1:]:
                text = text.str.cat(table[name].astype("str").fillna("").str.strip(), sep=" ")
            try:
                times = pd.to_datetime(text, format=options.time_format or "ISO8601", errors="coerce", utc=True)
            except ValueError as error:
                raise BeatwiseError(f"time_format: {options.time_format!r} cannot be used ({error}).") from error
            times = times if options.time_format and "%z" in options.time_format else times.dt.tz_localize(None)
        if (bad := times.isna()).any():
            row = _first(bad)
            raise BeatwiseError(
                f"{self._place(row)}: {text[row]!r} is no time of the format "
                f"{options.time_format or 'ISO 8601, e.g. 2004-03-10 18:00'}. Such rows: {int(bad.sum()):,}. Say the "
                "format by time_format, e.g. '%d/%m/%Y %H.%M.%S'."
            )
        if options.time_zone and times.dt.tz is None:
            times = self._in_utc(times)
        if times.dt.tz is not None:
            times = times.dt.tz_convert("UTC").dt.tz_localize(None)
        if (twice := times.duplicated()).any():
            row = _first(twice)
            earlier = _first(times == times[row])
            raise BeatwiseError(
                f"{times[row]} stands there twice: {self._place(earlier)} and {self._place(row)}. Such rows: "
                f"{int(twice.sum()):,}. Leave one out; where clocks were put back from summer time, say time_zone, "
                "e.g. Europe/Rome."
            )
        return pd.DatetimeIndex(times)

    def _in_utc(self, times: pd.Series) -> pd.Series:
        """Times of clocks that change to summer time."""
        zone = self._options.time_zone
        try:
            return times.dt.tz_localize(zone, ambiguous="infer")
        except (ValueError, LookupError) as error:
            raise BeatwiseError(
                f"time_zone: {zone} does not explain the times ({error}). In spring an hour is left out, in autumn one "
                "stands there twice. Leave time_zone out if the clocks do not change."
            ) from error

    def _regular(self, values: pd.DataFrame) -> pd.DataFrame:
        """One row a step: the mean of what was measured within it."""
        every = self._options.every
        if not values.index.is_monotonic_increasing:
            self.notes.append("its rows are not in order of time; sorted.")
            values = values.sort_index()
        steps = values.resample(every).mean()
        there = pd.DatetimeIndex(values.index).floor(every).unique()
        if len(there) < len(values):
            self.notes.append(f"{len(values):,} rows are averaged to {len(there):,} steps of {every}.")
        if lacking := len(steps) - len(there):
            absent = steps.index.difference(there)
            self.notes.append(
                f"the table lacks {lacking:,} of {len(steps):,} steps, the first at {absent[0]}; their values are "
                "missing."
            )
        return steps

    def _exists(self) -> bool:
        return self._path.is_file()

    def _describe(self) -> dict[str, Any]:
        return {"filepath": str(self._path), "target": self._options.target}


def _first(rows: pd.Series) -> int:
    """The number of the first row of a mask that is true."""
    return int(rows.index[int(rows.to_numpy().argmax())])


def _check_columns(wanted: list[str], found: Iterable[str]) -> None:
    known = [name for name in map(str, found) if not name.startswith("Unnamed: ")]
    if missing := [name for name in wanted if name not in known]:
        raise BeatwiseError(unknown_name("column", missing[0], known))
