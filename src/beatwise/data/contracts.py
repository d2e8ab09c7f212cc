"""Data contracts: what the catalog's ``validator:`` entries hold a table to, at load and at save."""

from __future__ import annotations

import logging
from collections.abc import Sequence
from typing import Any, Final

import numpy as np
import numpy.typing as npt
import pandas as pd

from beatwise.core.errors import BeatwiseError
from beatwise.data.examples import IDENTITY_COLUMNS, PART, RR_COLUMNS, TARGET, signal_columns
from beatwise.data.splits import PARTS

log = logging.getLogger(__name__)

OPTIONAL_COLUMNS: Final = (*IDENTITY_COLUMNS, *RR_COLUMNS, PART)


class BeatsContract:
    """A beats table: the columns there are, numbers in range, labels of known classes, beats of every class."""

    def __init__(self, *, classes: Sequence[str], beat_length: int | None = None, empty_class: str = "error") -> None:
        """State the contract.

        Args:
            classes: Class names in the order of their indices.
            beat_length: Number of signal columns; None allows any number from 2 on.
            empty_class: What a class without beats is: ``"error"``, or ``"warn"`` where a split by record may leave
                one.
        """
        self._classes = list(classes)
        self._beat_length = beat_length
        self._empty_class = empty_class

    def validate(self, data: pd.DataFrame) -> pd.DataFrame:
        """Check a table.

        Args:
            data: The table; ``attrs["files"]``, where there is one, names the files of each part for the messages.

        Returns:
            The table, signals as float32 and labels as int64.

        Raises:
            BeatwiseError: On the first broken rule: what, in which file, column and row (from 0), what is allowed.
        """
        columns = self._check_columns(data)
        if data.empty:
            raise BeatwiseError(f"The table has no rows.{_files(data)}")
        for part in data.attrs.get("files", {}) if PART in data.columns else ():
            if part != "all" and not (data[PART] == part).any():
                raise BeatwiseError(f"Part {part!r} has no rows.{_files(data, part)} Bring beats, or fetch it again.")
        values = self._check_signals(data, columns)
        target = self._check_labels(data)
        self._check_other(data)
        absent = [name for i, name in enumerate(self._classes) if not (target == i).any()]
        if absent:
            message = f"No beat of class {', '.join(absent)} among {len(data)} rows.{_files(data)}"
            if self._empty_class == "error":
                raise BeatwiseError(f"{message} Add some, or take the class out of `classes` in globals.yml.")
            log.warning("%s Its metrics are undefined there and left out of macro averages.", message)
        rest = data.drop(columns=[*columns, TARGET])
        checked = pd.concat(
            [
                pd.DataFrame(values, columns=columns, index=data.index),
                pd.Series(target, name=TARGET, index=data.index),
                rest,
            ],
            axis="columns",
        )
        checked.attrs = data.attrs
        return checked

    def _check_columns(self, data: pd.DataFrame) -> list[str]:
        columns = signal_columns(data)
        length = self._beat_length or max(len(columns), 2)
        wanted = [str(i) for i in range(length)]
        missing = [name for name in (*wanted, TARGET) if name not in data.columns]
        extra = [str(name) for name in data.columns if name not in {*wanted, TARGET} and name not in OPTIONAL_COLUMNS]
        allowed = f'Allowed: "0" to "{length - 1}", "{TARGET}", and optionally {", ".join(OPTIONAL_COLUMNS)}.'
        if missing:
            raise BeatwiseError(f"Missing column {_listed(missing)}.{_files(data)} {allowed}")
        if extra:
            raise BeatwiseError(f"Unknown column {_listed(extra)}.{_files(data)} {allowed}")
        return wanted

    def _check_signals(self, data: pd.DataFrame, columns: list[str]) -> npt.NDArray[np.float32]:
        for name in (*columns, TARGET):
            _check_numeric(data, name)
        values = np.ascontiguousarray(data[columns].to_numpy(dtype=np.float32))
        for bad, what in (
            (~np.isfinite(values), "is not a finite number"),
            ((values < 0) | (values > 1), "lies outside [0, 1]"),
        ):
            if bad.any():
                row, column = np.argwhere(bad)[0]
                raise BeatwiseError(
                    f"{_place(data, row, columns[column])} {what}: {values[row, column]}. {int(bad.sum())} such values "
                    "in all. Scale every beat to [0, 1] and fill gaps before you bring it."
                )
        return values

    def _check_labels(self, data: pd.DataFrame) -> npt.NDArray[np.int64]:
        target = data[TARGET].to_numpy(dtype=np.float64)
        bad = ~np.isin(target, np.arange(len(self._classes)))
        if bad.any():
            row = int(bad.argmax())
            known = ", ".join(f"{i} = {name}" for i, name in enumerate(self._classes))
            raise BeatwiseError(
                f"{_place(data, row, TARGET)} is no label: {target[row]}. {int(bad.sum())} such rows in all. Allowed: "
                f"{known}."
            )
        return target.astype(np.int64)

    def _check_other(self, data: pd.DataFrame) -> None:
        for together in (("record", "sample"), RR_COLUMNS):
            there = [name for name in together if name in data.columns]
            if there and len(there) < len(together):
                raise BeatwiseError(
                    f"Column {_listed(there)} without "
                    f"{_listed([n for n in together if n not in there])}.{_files(data)} "
                    "Bring all of them, or none."
                )
        if "record" in data.columns and (bad := data["record"].isna().to_numpy()).any():
            raise BeatwiseError(f"{_place(data, int(bad.argmax()), 'record')} is missing. {int(bad.sum())} such rows.")
        if "sample" in data.columns:
            _check_numeric(data, "sample")
            sample = data["sample"].to_numpy(dtype=np.float64, na_value=np.nan)
            whole = (sample >= 0) & (sample == np.floor(sample))
            _refuse_rows(data, "sample", ~whole, "sample number", "whole numbers from 0 on")
        for name in RR_COLUMNS:
            if name in data.columns:
                _check_numeric(data, name)
                seconds = data[name].to_numpy(dtype=np.float64, na_value=np.nan)
                _refuse_rows(data, name, ~(np.isfinite(seconds) & (seconds > 0)), "RR interval", "seconds above 0")
        if PART in data.columns and (unknown := sorted(map(str, set(data[PART].unique()) - set(PARTS)))):
            raise BeatwiseError(
                f"Unknown part {_listed(unknown)} in column {PART!r}.{_files(data)} Allowed: {', '.join(PARTS)}."
            )


class NoSharedBeats:
    """A data summary in which no beat stands in two parts; declared with ``severity: warn`` it counts and reports."""

    def validate(self, data: dict[str, Any]) -> dict[str, Any]:
        """Check a data summary.

        Raises:
            BeatwiseError: If a beat of one part stands, equal in signal and label, in another.
        """
        shared = {pair: n for pair, n in data["duplicates"]["across"].items() if n}
        if shared:
            counts = ", ".join(f"{n} in {pair}" for pair, n in shared.items())
            raise BeatwiseError(
                f"Beats that stand in two parts, equal in signal and label: {counts}. Set "
                "ingest.drop_duplicates=true to take them out of train and validation."
            )
        return data


def _refuse_rows(data: pd.DataFrame, name: str, bad: npt.NDArray[np.bool_], what: str, allowed: str) -> None:
    if bad.any():
        row = int(bad.argmax())
        raise BeatwiseError(
            f"{_place(data, row, name)} is no {what}: {data[name].iloc[row]}. {int(bad.sum())} such rows in all. "
            f"Allowed: {allowed}."
        )


def _check_numeric(data: pd.DataFrame, name: str) -> None:
    column = data[name]
    if pd.api.types.is_numeric_dtype(column.dtype) and not pd.api.types.is_complex_dtype(column.dtype):
        return
    row = int(pd.to_numeric(column, errors="coerce").isna().to_numpy().argmax())
    raise BeatwiseError(
        f"{_place(data, row, name)} is not a number: {column.iloc[row]!r}. Allowed: numbers, stored as such."
    )


def _place(data: pd.DataFrame, row: int, column: str) -> str:
    """Where a value stands: its file where that is known, the row within its part, the column."""
    if PART not in data.columns:
        return f"Row {row}, column {column!r}"
    part = data[PART].iloc[row]
    return f"Row {int((data[PART].iloc[:row] == part).sum())} of part {part!r}{_files(data, part)} column {column!r}"


def _files(data: pd.DataFrame, part: str | None = None) -> str:
    files = data.attrs.get("files", {})
    named = [file for name, names in files.items() if part in (None, name) or name == "all" for file in names]
    return f" ({', '.join(named)})" if named else ""


def _listed(names: Sequence[object], most: int = 5) -> str:
    shown = ", ".join(repr(str(name)) for name in names[:most])
    return shown if len(names) <= most else f"{shown} and {len(names) - most} more"
