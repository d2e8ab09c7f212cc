"""Files of beats, parquet or text: their columns, and their signals, read into a given array."""

from __future__ import annotations

import bz2
import csv
import gzip
import itertools
import lzma
import re
import zlib
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from pathlib import Path
from typing import Any, Final

import numpy as np
import pandas as pd

from beatwise.core.errors import BeatwiseError
from beatwise.core.registry import unknown_name
from beatwise.data.contracts import check_numeric, listed, place
from beatwise.data.examples import GROUP, PART, TARGET, Array, Examples
from beatwise.data.scaling import ROUNDING, Scale, clip_rounding, pad_with_zeros, scale_each
from beatwise.ecg.beats import with_group

# Endings of text files, also in upper case and before that of a compressed file.
TEXT: Final = (".csv", ".tsv", ".txt")
OPENERS: Final[dict[str, Callable[..., Any]]] = {".gz": gzip.open, ".bz2": bz2.open, ".xz": lzma.open}
# Errors of the libraries on a damaged file; pyarrow's and pandas' errors are OSErrors or ValueErrors.
UNREADABLE: Final = (OSError, EOFError, ValueError, csv.Error, lzma.LZMAError, zlib.error)
# Usual names of these columns in other tables.
ALIASES: Final = {
    **dict.fromkeys(("patient", "patient_id", "subject", "subject_id"), GROUP),
    **dict.fromkeys(("label", "class"), TARGET),
}
# Separator, decimal mark and header are detected in this many rows.
HEAD: Final = 50


class BeatsFile:
    """One file of beats.

    Attributes:
        part: Part that its rows belong to, or ``all``.
        n_rows: Number of beats.
        columns: Names of its columns as Beatwise calls them: ``"0"``, ``"1"``, … for the signal, ``target``, ….
        signals: The columns that its signal should have, ``"0"`` to ``"T-1"``.
        notes: Notes on how the file was read, as sentences without a subject.
    """

    def __init__(self, path: Path, part: str) -> None:
        self.path, self.part = path, part
        self.n_rows = 0
        self.columns: list[str] = []
        self.signals: list[str] = []
        self.notes: list[str] = []

    def read(self, x: Array) -> pd.DataFrame:
        """Fill ``x`` ``float32 [n, t]`` with the signals, and return the other columns.

        Raises:
            BeatwiseError: If a value of the signal is no number, or the file is damaged.
        """
        with _explained(self.path):
            for column, name in enumerate(self.signals):
                values = self._column(name)
                if not pd.api.types.is_numeric_dtype(values.dtype):
                    table = pd.DataFrame({name: values, PART: self.part})
                    table.attrs = {"files": {self.part: [str(self.path.absolute())]}}
                    check_numeric(table, name)
                x[:, column] = values.to_numpy(dtype=np.float32, na_value=np.nan)
            return pd.DataFrame(
                {name: self._column(name) for name in self.columns if name not in {*self.signals}},
                index=pd.RangeIndex(self.n_rows),
            )

    def _column(self, name: str) -> pd.Series:
        """One column, by Beatwise's name."""
        raise NotImplementedError

    def _name(self, names: Iterable[str], wanted: Mapping[str, str], *, by_place: bool = False) -> dict[str, str]:
        """Set ``columns`` and ``signals``, and return the names in the file by Beatwise's names.

        Raises:
            BeatwiseError: If a name of ``wanted`` is not in the file, or two columns have the same meaning.
        """
        there = list(names)
        for name in wanted:
            if name not in there:
                raise BeatwiseError(f"{self.path.absolute()}: beats_columns: {unknown_name('column', name, there)}")
        ours = {name: wanted.get(name, ALIASES.get(name.lower(), name)) for name in there}
        others = [name for name in there if ours[name] == name]
        if by_place:
            ours |= {name: str(i) for i, name in enumerate(name for name in others if name != TARGET)}
        else:
            ours |= _signal_names(others)
        kept = [(name, to) for name, to in ours.items() if to]
        for to in {to for _, to in kept}:
            if len(same := [name for name, other in kept if other == to]) > 1:
                raise BeatwiseError(
                    f"{self.path.absolute()}: the columns {listed(same)} would all be {to!r}. Say which one is, by "
                    f'beats_columns in globals.yml, where "" leaves a column out: beats_columns: {{{same[1]}: ""}}.'
                )
        self.columns = [to for _, to in kept]
        self.signals = [str(i) for i in range(sum(to.isdecimal() for to in self.columns))]
        renamed = {name: to for name, to in kept if name != to and not to.isdecimal()}
        self.notes += [f"took column {name!r} for {to!r}" for name, to in renamed.items()]
        return {to: name for name, to in kept}


class _ParquetBeats(BeatsFile):
    def __init__(self, path: Path, part: str, wanted: Mapping[str, str]) -> None:
        import pyarrow.parquet as pq

        super().__init__(path, part)
        self._file = pq.ParquetFile(path)
        self.n_rows = self._file.metadata.num_rows
        schema = self._file.schema_arrow
        index = {name for name in (schema.pandas_metadata or {}).get("index_columns", []) if isinstance(name, str)}
        self._names = self._name((name for name in schema.names if name not in index), wanted)

    def _column(self, name: str) -> pd.Series:
        name = self._names[name]
        return self._file.read(columns=[name], use_pandas_metadata=False)[name].to_pandas()


class _TextBeats(BeatsFile):
    """Text with any separator and decimal mark; without a header, the label stands in the last column."""

    def __init__(self, path: Path, part: str, wanted: Mapping[str, str]) -> None:
        super().__init__(path, part)
        before, separator, rows = self._head()
        decimal = self._decimal(rows)
        header = _header(rows, decimal)
        table = pd.read_csv(
            path,
            sep=separator,
            decimal=decimal,
            header=None,
            skiprows=before + (header is not None),
            low_memory=False,
        )
        if header is not None:
            self.notes.append("took the first row for a header")
        table = self._without_index(table, header, wanted)
        by_place = header is None or all(re.fullmatch(r"\d+(\.0)?", name) for name in table.columns)
        self._table = self._with_label(table, wanted) if by_place else table
        self.n_rows = len(table)
        self._names = self._name(self._table.columns, wanted, by_place=by_place)

    def _column(self, name: str) -> pd.Series:
        return self._table[self._names[name]]

    def _head(self) -> tuple[int, str, list[list[str]]]:
        """The number of empty lines before the first row, the separator, and the cells of the first rows."""
        with OPENERS.get(_compression(self.path), open)(self.path, "rt", encoding="utf-8-sig", newline="") as file:
            lines = list(itertools.islice(file, HEAD))
        before = next((i for i, line in enumerate(lines) if line.strip()), len(lines))
        lines = [line.rstrip("\r\n") for line in lines[before:]]
        if not lines:
            raise ValueError("it holds no row")
        separator = next((mark for mark in "\t;,|" if mark in lines[0]), r"\s+")
        rows = [line.split() for line in lines] if separator == r"\s+" else csv.reader(lines, delimiter=separator)
        return before, separator, [[cell.strip() for cell in row] for row in rows]

    def _decimal(self, rows: list[list[str]]) -> str:
        """The decimal mark.

        Raises:
            BeatwiseError: If commas may as well separate thousands.
        """
        cells = [cell for row in rows for cell in row]
        commas = [cell for cell in cells if re.fullmatch(r"[-+]?\d*,\d+([eE][-+]?\d+)?", cell)]
        if not commas:
            return "."
        hundreds = any(re.fullmatch(r"-?[1-9]\d\d", cell) for cell in cells)
        if hundreds and all(re.fullmatch(r"-?[1-9]\d{0,2},\d{3}", cell) for cell in commas):
            raise BeatwiseError(
                f"{self.path.absolute()}: {commas[0]} may be a decimal number or thousands. Write the table without "
                "separators of thousands."
            )
        self.notes.append("took the comma for the decimal mark")
        return ","

    def _without_index(self, table: pd.DataFrame, header: list[str] | None, wanted: Mapping[str, str]) -> pd.DataFrame:
        """Name the columns; leave out an index, and the empty column behind a separator at the end of lines.

        Raises:
            BeatwiseError: If header and rows do not have the same columns; if the first column may be an index or not.
        """
        last_is_empty = bool(table[table.columns[-1]].isna().all()) and len(table.columns) > 1
        names = [str(i) for i in range(len(table.columns))] if header is None else list(header)
        if len(names) == len(table.columns) - 1:
            names = [*names, ""] if last_is_empty else ["", *names]  # R names no index
        if len(names) != len(table.columns):
            raise BeatwiseError(
                f"{self.path.absolute()}: the header names {len(names)} columns, and the rows have "
                f"{len(table.columns)}. Write the table again, with as many names as columns."
            )
        table.columns = pd.Index(names)
        kept = np.ones(len(names), dtype=bool)
        if last_is_empty and (header is None or _is_unnamed(names[-1])):
            kept[-1] = False
            self.notes.append("left out the last column, which is empty")
        has_no_name = header is not None and (_is_unnamed(names[0]) or names[0].lower() == "index")
        if names[0] not in wanted and (has_no_name or header is None) and len(table.columns) > 1:
            first, rest = table.iloc[:, 0], table.iloc[:, 1:-1]
            if _numbers_rows(first) or (_is_distinct(first) and (has_no_name or not _is_whole(rest))):
                kept[0] = False
                self.notes.append("left out the first column, an index")
            elif header is None and _is_whole(first) and first.abs().max() > 1 and not _is_whole(rest):
                raise BeatwiseError(
                    f"{self.path.absolute()}: column 0 holds whole numbers ({first.iloc[0]}, …), and those behind it "
                    f"do not. It is no sample; say what it is by beats_columns (--column): {{0: {GROUP}}}, "
                    f'{{0: {TARGET}}}, or {{0: ""}} to leave it out.'
                )
        return table.loc[:, kept]

    def _with_label(self, table: pd.DataFrame, wanted: Mapping[str, str]) -> pd.DataFrame:
        """Name the label of a table without a header: its last column, or one column a class."""
        if TARGET in wanted.values():
            return table
        labels = _one_hot(table)
        if labels > 1:
            self.notes.append(f"took the last {labels} columns for one label: the first of them is class 0")
            target = table.iloc[:, -labels:].to_numpy().argmax(axis=1)
            return table.iloc[:, :-labels].copy().assign(**{TARGET: target})
        return table.rename(columns={table.columns[-1]: TARGET})


def open_beats(path: Path, part: str, columns: Mapping[str, str] | None = None) -> BeatsFile:
    """Open a file of beats.

    Args:
        path: Text (:data:`TEXT`, plain or compressed), or else parquet.
        part: Part that its rows belong to, or ``all``.
        columns: Meaning of columns whose names do not give it: Beatwise's names by those in the file, or by places from
            0 in a file without a header; an empty name leaves the column out.

    Raises:
        BeatwiseError: If it cannot be read, or the meaning of a column is not clear.
    """
    with _explained(path):
        return (_TextBeats if _is_text(path) else _ParquetBeats)(path, part, columns or {})


def _is_text(path: Path) -> bool:
    return path.name[: len(path.name) - len(_compression(path))].lower().endswith(TEXT)


@contextmanager
def _explained(path: Path) -> Iterator[None]:
    """Name the file that cannot be read, and what to do."""
    try:
        yield
    except BeatwiseError:
        raise
    except UNREADABLE as error:
        is_other = not _is_text(path) and not path.suffix.lower().startswith((".parq", ".pq"))
        known = f" The name of a text file ends in {', '.join(TEXT)}." if is_other else ""
        raise BeatwiseError(
            f"{path.absolute()} cannot be read as {'CSV' if _is_text(path) else 'parquet'} ({error}). It may be "
            f"truncated or of another format: fetch it again.{known}"
        ) from error


def _compression(path: Path) -> str:
    """The ending of a compressed file, or nothing."""
    ending = path.suffix.lower()
    return ending if ending in OPENERS else ""


def _header(rows: Sequence[Sequence[str]], decimal: str) -> list[str] | None:
    """The first row, if it holds names."""
    first, second = rows[0], rows[1] if len(rows) > 1 else []
    numbers = [_number(cell, decimal) for cell in first]
    counted = [number for number in numbers if number is not None]
    # Names of a signal's columns are consecutive whole numbers; its values never are.
    if len(counted) > 1 and all(a < b and b % 1 == 0 for a, b in itertools.pairwise(counted)):
        return list(first)
    below = [_number(cell, decimal) is not None for cell in second] or [True] * len(first)
    words = [cell != "" and number is None for cell, number in zip(first, numbers, strict=True)]
    named = sum(word for word, is_number in zip(words, below, strict=False) if is_number)
    return list(first) if named > sum(below) / 2 else None


def _number(cell: str, decimal: str) -> float | None:
    try:
        return float(cell.replace(decimal, "."))
    except ValueError:
        return None


def _is_unnamed(name: str) -> bool:
    return name == "" or re.fullmatch(r"Unnamed: \d+", name) is not None


def _is_whole(values: pd.Series | pd.DataFrame) -> bool:
    """Whether all values are whole numbers."""
    return all(
        column.dtype.kind in "iu" or (column.dtype.kind == "f" and bool((column % 1 == 0).all()))
        for _, column in pd.DataFrame(values).items()
    )


def _is_distinct(column: pd.Series) -> bool:
    return _is_whole(column) and column.is_unique and bool(column.abs().max() > 1)


def _numbers_rows(column: pd.Series) -> bool:
    return len(column) > 2 and _is_whole(column) and bool((column.diff().iloc[1:] == 1).all())


def _one_hot(table: pd.DataFrame) -> int:
    """Number of the last columns that hold one label, 1 in one of them and 0 in the others; 0 if they do not."""
    total = np.zeros(len(table))
    for count, name in enumerate(reversed(table.columns), 1):
        values = table[name]
        if values.dtype.kind not in "iuf" or not values.isin([0, 1]).all() or not (values == 1).any():
            return 0
        total += values.to_numpy()
        if count > 1 and (total == 1).all():
            return count
    return 0


def _signal_names(names: Sequence[str]) -> dict[str, str]:
    """The names ``"0"``, ``"1"``, … of the columns of the signal, which are numbered from 0 or 1 behind one word."""
    numbered: dict[str, dict[str, int]] = {}
    for name in names:
        if match := re.fullmatch(r"(\D*)(\d+)(?:\.0)?", name):
            numbered.setdefault(match[1], {})[name] = int(match[2])
    largest = max(numbered.values(), key=len, default={})
    first = 1 if len(largest) > 1 and min(largest.values()) == 1 else 0
    return {name: str(number - first) for name, number in largest.items()} if len(largest) > 1 else {}


def column_problems(files: Sequence[BeatsFile]) -> Iterator[str]:
    """Why files cannot be read into one table: other columns, or a gap in those of the signal."""
    for file in files:
        if differ := sorted(set(file.columns) ^ set(files[0].columns)):
            yield (
                f"{file.path.absolute()} does not have the columns of {files[0].path.absolute()}; they differ in: "
                f"{', '.join(differ)}. All files of a source need the same columns."
            )
        if gaps := [name for name in file.signals if name not in file.columns]:
            yield (
                f"Missing column {listed(gaps)} of {file.path.absolute()}: the columns of the signal are not numbered "
                'without a gap ("0", "1", …).'
            )


def read_beats(files: Sequence[BeatsFile], scale: Scale) -> tuple[Examples, list[str]]:
    """Read files with the same columns, one after the other, and bring the values into [0, 1].

    Returns:
        The beats, with ``part`` and, in ``table.attrs["files"]``, the files of each part; and notes on how the files
        were read, a sentence each.

    Raises:
        BeatwiseError: If a value is no number, or a beat cannot be scaled.
    """
    ends = np.cumsum([0, *(file.n_rows for file in files)])
    # One array for all parts, filled column by column: the table is never in memory twice.
    x = np.empty((ends[-1], len(files[0].signals)), dtype=np.float32)
    tables, notes = [], [f"{file.path.name}: {note}." for file in files for note in file.notes]
    paths: dict[str, list[str]] = {}
    for file, start, end in zip(files, ends, ends[1:], strict=False):
        rest = file.read(x[start:end])
        tables.append(rest if file.part == "all" else rest.assign(**{PART: file.part}))
        paths.setdefault(file.part, []).append(str(file.path.absolute()))
    table = with_group(pd.concat(tables, ignore_index=True))
    table.attrs = {"files": paths}
    if scale == "per_example" and len(flat := scale_each(x)):
        raise BeatwiseError(
            f"{place(table, int(flat[0]))} has no scale: all its samples are equal. {len(flat)} such rows in all. "
            "Leave them out of the table."
        )
    if padded := pad_with_zeros(x):
        notes.append(f"{padded:,} beats end in NaN, which is taken for padding.")
    if clipped := clip_rounding(x):
        notes.append(f"{clipped:,} values left [0, 1] by at most {ROUNDING:g} and are clipped.")
    return Examples(x, table), notes
