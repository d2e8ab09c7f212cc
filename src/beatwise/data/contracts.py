"""Data contracts: what the catalog's ``validator:`` entries check at load and at save."""

from __future__ import annotations

import logging
from collections.abc import Callable, Sequence
from typing import Any, Final

import numpy as np
import numpy.typing as npt
import pandas as pd

from beatwise.core.errors import BeatwiseError
from beatwise.data.examples import CHUNK, GROUP, IDENTITY_COLUMNS, PART, TARGET, TIME, Array, Examples
from beatwise.data.features import RR_COLUMNS
from beatwise.data.splits import PARTS

log = logging.getLogger(__name__)

OPTIONAL_COLUMNS: Final = (*IDENTITY_COLUMNS, *RR_COLUMNS, PART, GROUP, TIME)


class BeatsContract:
    """Beats of one length, values in [0, 1], labels of known classes, beats of every class, known columns."""

    def __init__(self, *, classes: Sequence[str], beat_length: int | None = None, empty_class: str = "error") -> None:
        """State the contract.

        Args:
            classes: Class names in the order of their indices.
            beat_length: Number of samples; None allows any number from 2 on.
            empty_class: What a class without beats is: ``"error"``, or ``"warn"`` where a split by group may leave one.
        """
        self._classes = list(classes)
        self._beat_length = beat_length
        self._empty_class = empty_class

    def validate(self, data: Examples) -> Examples:
        """Check beats.

        Args:
            data: Beats ``[n, t]``; ``table.attrs["files"]``, where there is one, names the files of each part for the
                messages.

        Returns:
            The beats, with labels as int64.

        Raises:
            BeatwiseError: On the first broken rule: what, in which file, column and row (from 0), what is allowed.
        """
        table = data.table
        self._check_columns(data)
        if table.empty:
            raise BeatwiseError(f"The table has no rows.{_files(table)}")
        for part in table.attrs.get("files", {}) if PART in table.columns else ():
            if part != "all" and not (table[PART] == part).any():
                raise BeatwiseError(f"Part {part!r} has no rows.{_files(table, part)} Bring beats, or fetch it again.")
        self._check_values(data)
        target = self._check_labels(table)
        self._check_other(table)
        absent = [name for i, name in enumerate(self._classes) if not (target == i).any()]
        if absent:
            message = f"No beat of class {', '.join(absent)} among {len(data)} rows.{_files(table)}"
            if self._empty_class == "error":
                raise BeatwiseError(f"{message} Add some, or remove the class from `classes` in globals.yml.")
            log.warning("%s Its metrics are undefined there and left out of macro averages.", message)
        checked = table.assign(**{TARGET: target})
        checked.attrs = table.attrs
        return Examples(data.x, checked)

    def _check_columns(self, data: Examples) -> None:
        n_samples = data.shape[0]
        length = self._beat_length or max(n_samples, 2)
        names = [*map(str, range(n_samples)), *map(str, data.table.columns)]
        wanted = [*map(str, range(length)), TARGET]
        missing = [name for name in wanted if name not in names]
        extra = [name for name in names if name not in wanted and name not in OPTIONAL_COLUMNS]
        allowed = f'Allowed: "0" to "{length - 1}", "{TARGET}", and optionally {", ".join(OPTIONAL_COLUMNS)}.'
        if missing:
            raise BeatwiseError(f"Missing column {listed(missing)}.{_files(data.table)} {allowed}")
        if extra:
            raise BeatwiseError(f"Unknown column {listed(extra)}.{_files(data.table)} {allowed}")

    def _check_values(self, data: Examples) -> None:
        rules: dict[str, Callable[[Array], npt.NDArray[np.bool_]]] = {
            "is not a finite number": lambda x: ~np.isfinite(x),
            "lies outside [0, 1]": lambda x: (x < 0) | (x > 1),
        }
        for what, is_bad in rules.items():
            counts = [int(is_bad(x).sum()) for x in data.chunks()]
            if not any(counts):
                continue
            start = next(i for i, count in enumerate(counts) if count) * CHUNK
            row, column = np.argwhere(is_bad(data.x[start : start + CHUNK]))[0] + (start, 0)
            raise BeatwiseError(
                f"{_place(data.table, row, str(column))} {what}: {data.x[row, column]}. {sum(counts)} such values in "
                "all. Scale every beat to [0, 1] and fill gaps before you bring it."
            )

    def _check_labels(self, table: pd.DataFrame) -> npt.NDArray[np.int64]:
        check_numeric(table, TARGET)
        target = table[TARGET].to_numpy(dtype=np.float64)
        bad = ~np.isin(target, np.arange(len(self._classes)))
        if bad.any():
            row = int(bad.argmax())
            known = ", ".join(f"{i} = {name}" for i, name in enumerate(self._classes))
            raise BeatwiseError(
                f"{_place(table, row, TARGET)} is no label: {target[row]}. {int(bad.sum())} such rows in all. Allowed: "
                f"{known}."
            )
        return target.astype(np.int64)

    def _check_other(self, table: pd.DataFrame) -> None:
        for together in (("record", "sample"), RR_COLUMNS):
            there = [name for name in together if name in table.columns]
            if there and len(there) < len(together):
                raise BeatwiseError(
                    f"Column {listed(there)} without "
                    f"{listed([n for n in together if n not in there])}.{_files(table)} "
                    "Bring all of them, or none."
                )
        for name in ("record", GROUP):
            if name in table.columns and (bad := table[name].isna().to_numpy()).any():
                raise BeatwiseError(f"{_place(table, int(bad.argmax()), name)} is missing. {int(bad.sum())} such rows.")
        if "sample" in table.columns:
            check_numeric(table, "sample")
            sample = table["sample"].to_numpy(dtype=np.float64, na_value=np.nan)
            whole = (sample >= 0) & (sample == np.floor(sample))
            _refuse_rows(table, "sample", ~whole, "sample number", "whole numbers from 0 on")
        for name in RR_COLUMNS:
            if name in table.columns:
                check_numeric(table, name)
                seconds = table[name].to_numpy(dtype=np.float64, na_value=np.nan)
                _refuse_rows(table, name, ~(np.isfinite(seconds) & (seconds > 0)), "RR interval", "seconds above 0")
        if PART in table.columns and (unknown := sorted(map(str, set(table[PART].unique()) - set(PARTS)))):
            raise BeatwiseError(
                f"Unknown part {listed(unknown)} in column {PART!r}.{_files(table)} Allowed: {', '.join(PARTS)}."
            )


class NoSharedBeats:
    """A data summary in which no beat is in two parts; declared with ``severity: warn`` it counts and reports."""

    def validate(self, data: dict[str, Any]) -> dict[str, Any]:
        """Check a data summary.

        Raises:
            BeatwiseError: If a beat of one part is, equal in signal and label, in another.
        """
        shared = {pair: n for pair, n in data["duplicates"]["across"].items() if n}
        if shared:
            counts = ", ".join(f"{n} in {pair}" for pair, n in shared.items())
            raise BeatwiseError(
                f"Beats that are in two parts, equal in signal and label: {counts}. Set ingest.drop_duplicates=true to "
                "remove them from train and validation."
            )
        return data


def check_numeric(table: pd.DataFrame, name: str) -> None:
    """Refuse a column of a table that does not hold numbers.

    Raises:
        BeatwiseError: Names the first row that is no number.
    """
    column = table[name]
    if pd.api.types.is_numeric_dtype(column.dtype) and not pd.api.types.is_complex_dtype(column.dtype):
        return
    row = int(pd.to_numeric(column, errors="coerce").isna().to_numpy().argmax())
    raise BeatwiseError(
        f"{_place(table, row, name)} is not a number: {column.iloc[row]!r}. Allowed: numbers, stored as such."
    )


def listed(names: Sequence[object], most: int = 5) -> str:
    """The first names in quotes, and how many more there are."""
    shown = ", ".join(repr(str(name)) for name in names[:most])
    return shown if len(names) <= most else f"{shown} and {len(names) - most} more"


def _refuse_rows(table: pd.DataFrame, name: str, bad: npt.NDArray[np.bool_], what: str, allowed: str) -> None:
    if bad.any():
        row = int(bad.argmax())
        raise BeatwiseError(
            f"{_place(table, row, name)} is no {what}: {table[name].iloc[row]}. {int(bad.sum())} such rows in all. "
            f"Allowed: {allowed}."
        )


def _place(table: pd.DataFrame, row: int, column: str) -> str:
    """Where a value is: its file where that is known, the row within its part, the column."""
    if PART not in table.columns:
        return f"Row {row}, column {column!r}"
    part = table[PART].iloc[row]
    return f"Row {int((table[PART].iloc[:row] == part).sum())} of part {part!r}{_files(table, part)} column {column!r}"


def _files(table: pd.DataFrame, part: str | None = None) -> str:
    files = table.attrs.get("files", {})
    named = [file for name, names in files.items() if part in (None, name) or name == "all" for file in names]
    return f" ({', '.join(named)})" if named else ""
