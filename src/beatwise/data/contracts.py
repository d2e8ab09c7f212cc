"""Data contracts: what the catalog's ``validator:`` entries check at load and at save."""

from __future__ import annotations

import logging
import re
from collections.abc import Callable, Iterator, Mapping, Sequence
from typing import Any, Final

import numpy as np
import numpy.typing as npt
import pandas as pd

from beatwise.core.errors import BeatwiseError
from beatwise.data.examples import (
    CHUNK,
    CLASSES,
    GROUP,
    IDENTITY_COLUMNS,
    PART,
    PERSISTENCE,
    RESERVED,
    TARGET,
    TIME,
    Array,
    Examples,
    noun,
)
from beatwise.data.features import RR_COLUMNS
from beatwise.data.splits import PARTS

log = logging.getLogger(__name__)

OPTIONAL_COLUMNS: Final = (*IDENTITY_COLUMNS, *RR_COLUMNS, PART, GROUP, TIME)


Rule = tuple[Callable[[Array], npt.NDArray[np.bool_]], str]


# Of the values of a beat to be predicted.
SCALED_RULES: Final[dict[str, Rule]] = {
    "is not a finite number": (
        lambda x: ~np.isfinite(x),
        "Fill gaps; NaN is padding only from there to the end of a beat.",
    ),
    "lies outside [0, 1]": (
        lambda x: (x < 0) | (x > 1),
        "Scale every beat to [0, 1] before you bring it, or let score.scale: per_example do it.",
    ),
}


class ExamplesContract:
    """Examples of one shape, finite values and features, and labels, where there are some, that the task can encode."""

    noun = "example"
    # Where labels are mapped to classes.
    mapping = "the labels of the contract in catalog.yml"

    def __init__(
        self,
        *,
        classes: Sequence[str] = (),
        shape: Sequence[int] | None = None,
        labels: Mapping[str | int, str] | None = None,
        empty_class: str = "error",
    ) -> None:
        """State the contract.

        Args:
            classes: Class names in the order of their indices; empty where the target is a number.
            shape: Shape of one example; None allows any.
            labels: Class names by the labels of the table; where it is empty, a label is the index or the name of a
                class, and None says that it is an index without doubt.
            empty_class: What a class without examples is: ``"error"``, or ``"warn"`` where a split by group may leave
                one.
        """
        self._classes = list(classes)
        self._shape = None if shape is None else tuple(shape)
        self._labels = None if labels is None else {as_label(label): name for label, name in labels.items()}
        self._empty_class = empty_class

    def validate(self, data: Examples) -> Examples:
        """Check examples; return them with labels as class indices, int64, or as numbers, float64.

        Raises:
            BeatwiseError: If a rule is broken; a line for each: what, in which file, column and row (from 0), what is
                allowed.
        """
        table = data.table
        labelled = TARGET in table.columns
        target: npt.NDArray[Any] | None = None
        problems = list(self._columns_problems(data)) or list(self._rows_problems(table))
        if not problems:
            target, problem = self._target(table) if labelled and self._classes else _numbers(table)
            problems = [*self._value_problems(data), *self._other_problems(table), *filter(None, [problem])]
        if problems:
            raise BeatwiseError("\n".join(problems))
        if not labelled:
            return data
        checked = table.assign(**{TARGET: target})
        checked.attrs = {**table.attrs, CLASSES: self._classes}
        return Examples(data.x, checked)

    def _columns_problems(self, data: Examples) -> Iterator[str]:
        if self._shape is not None and data.shape != self._shape:
            yield f"The examples have the shape {list(data.shape)}.{_files(data.table)} Allowed: {list(self._shape)}."

    def _rows_problems(self, table: pd.DataFrame) -> Iterator[str]:
        if table.empty:
            yield f"The table has no rows.{_files(table)}"
        for part in table.attrs.get("files", {}) if PART in table.columns and not table.empty else ():
            if part != "all" and not (table[PART] == part).any():
                yield f"Part {part!r} has no rows.{_files(table, part)} Bring {self.noun}s, or fetch it again."

    def _value_rules(self) -> dict[str, Rule]:
        """Checks of a value: the problem, its test and the remedy."""
        return {"is not a finite number": (lambda x: ~np.isfinite(x), "Fill gaps before you bring it.")}

    def _value_problems(self, data: Examples) -> Iterator[str]:
        for what, (is_bad, remedy) in self._value_rules().items():
            counts = [int(is_bad(x).sum()) for x in data.chunks()]
            if not any(counts):
                continue
            start = next(i for i, count in enumerate(counts) if count) * CHUNK
            row, *index = np.argwhere(is_bad(data.x[start : start + CHUNK]))[0] + (start, *(0 for _ in data.shape))
            column = str(index[0]) if len(index) == 1 else f"x[{', '.join(map(str, index))}]"
            yield (
                f"{place(data.table, row, column)} {what}: {data.x[(row, *index)]}. {sum(counts)} such values in "
                f"all. {remedy}"
            )

    def _other_problems(self, table: pd.DataFrame) -> Iterator[str]:
        """Problems of the other columns: parts, groups, and features, which have to be finite numbers."""
        features = [name for name in map(str, table.columns) if name not in RESERVED]
        yield from _numbers_problems(table, dict.fromkeys(features, (np.isfinite, "feature", "finite numbers")))
        if PERSISTENCE in table.columns:
            yield from _numbers_problems(table, {PERSISTENCE: (np.isfinite, "last known target", "finite numbers")})
        if GROUP in table.columns and (bad := table[GROUP].isna().to_numpy()).any():
            yield f"{place(table, int(bad.argmax()), GROUP)} is missing. {int(bad.sum())} such rows."
        if PART in table.columns and (unknown := sorted(map(str, set(table[PART].unique()) - set(PARTS)))):
            yield f"Unknown part {listed(unknown)} in column {PART!r}.{_files(table)} Allowed: {', '.join(PARTS)}."

    def _target(self, table: pd.DataFrame) -> tuple[npt.NDArray[np.int64], str]:
        """Class index of each row, and what is wrong with the labels."""
        codes, found = pd.factorize(table[TARGET], use_na_sentinel=False)
        written = [as_label(label) for label in found]
        # Numbers are indices, and words are names; a table with both has no label that is sure.
        numbered = all(map(is_number, written))
        known = {str(i) if numbered else name: i for i, name in enumerate(self._classes)}
        if self._labels:
            known = ({} if numbered else known) | {at: self._classes.index(to) for at, to in self._labels.items()}
        elif (
            self._labels is not None
            and numbered
            and any(is_number(name) and name != str(i) for i, name in enumerate(self._classes))
        ):
            return codes, (
                "The labels are numbers, and so are names of classes. Say which label is which class, by "
                f"{self.mapping}: {{{written[0]}: {self._classes[0]}, …}}."
            )
        target = np.array([known.get(label, -1) for label in written], dtype=np.int64)[codes]
        counted = dict(enumerate(self._classes, 1))
        from_one = ", ".join(f"{label}: {name}" for label, name in counted.items())
        if (bad := target < 0).any():
            row = int(bad.argmax())
            names = [(label, self._classes[i]) for label, i in known.items()]
            allowed = ", ".join(label if label == name else f"{label} = {name}" for label, name in names)
            label = written[codes[row]]
            named = from_one if set(written) == {*map(str, counted)} else f"{label}: {self._classes[0]}, …"
            remedy = "" if label == "nan" else f" Other labels are named by {self.mapping}: {{{named}}}."
            return target, (
                f"{place(table, row, TARGET)} is no label: {found[codes[row]]}. {int(bad.sum())} such rows in all. "
                f"Allowed: {allowed}.{remedy}"
            )
        if absent := [name for i, name in enumerate(self._classes) if not (target == i).any()]:
            message = f"No {self.noun} of class {', '.join(absent)} among {len(table)} rows.{_files(table)}"
            if self._empty_class == "error":
                is_shifted = numbered and not self._labels and absent[0] == self._classes[0]
                hint = f" If labels count from 1: {self.mapping.split()[0]}: {{{from_one}}}." if is_shifted else ""
                return target, f"{message} Add some, or remove the class from `classes` in globals.yml.{hint}"
            log.warning("%s Its metrics are undefined there and left out of macro averages.", message)
        return target, ""


class BeatsContract(ExamplesContract):
    """Labelled beats of one length, values in [0, 1], known columns."""

    noun = "beat"
    mapping = "beats_labels in globals.yml"

    def __init__(self, *, classes: Sequence[str], beat_length: int | None = None, **options: Any) -> None:
        """State the contract; without a ``beat_length``, a beat may have any number of samples from 2 on."""
        super().__init__(classes=classes, **options)
        self._beat_length = beat_length

    def _columns_problems(self, data: Examples) -> Iterator[str]:
        table = data.table
        n_samples = data.shape[0]
        length = self._beat_length or max(n_samples, 2)
        names = [*map(str, range(n_samples)), *map(str, table.columns)]
        wanted = [*map(str, range(length)), TARGET]
        missing = [name for name in wanted if name not in names]
        extra = [name for name in names if name not in wanted and name not in OPTIONAL_COLUMNS]
        allowed = f'Allowed: "0" to "{length - 1}", "{TARGET}", and optionally {", ".join(OPTIONAL_COLUMNS)}.'
        if n_samples != length and TARGET not in missing:
            allowed += f" The beats have {n_samples} samples, and globals.yml says beat_length: {length}."
        if missing:
            yield f"Missing column {listed(missing)}.{_files(table)} {allowed}"
        if extra:
            remedy = f'To leave a column out: beats_columns: {{{extra[0]}: ""}} in globals.yml.'
            yield f"Unknown column {listed(extra)}.{_files(table)} {allowed} {remedy}"

    def _value_rules(self) -> dict[str, Rule]:
        return {
            "is not a finite number": (
                lambda x: ~np.isfinite(x),
                "Fill gaps; NaN is padding only from there to the end of a beat.",
            ),
            "lies outside [0, 1]": (
                lambda x: (x < 0) | (x > 1),
                "Scale every beat to [0, 1] before you bring it, or set beats_scale: per_example in globals.yml.",
            ),
        }

    def _other_problems(self, table: pd.DataFrame) -> Iterator[str]:
        if (there := [name for name in RR_COLUMNS if name in table.columns]) and len(there) < len(RR_COLUMNS):
            without = listed([name for name in RR_COLUMNS if name not in there])
            yield f"Column {listed(there)} without {without}.{_files(table)} Bring all of them, or none."
        if "sample" in table.columns and "record" not in table.columns:
            yield f"Column 'sample' without 'record'.{_files(table)} Bring both, or the record alone."
        if "record" in table.columns and (bad := table["record"].isna().to_numpy()).any():
            yield f"{place(table, int(bad.argmax()), 'record')} is missing. {int(bad.sum())} such rows."
        numbers: dict[str, Numbers] = {
            "sample": (lambda v: (v >= 0) & (v == np.floor(v)), "sample number", "whole numbers from 0 on"),
            **dict.fromkeys(RR_COLUMNS, (lambda v: np.isfinite(v) & (v > 0), "RR interval", "seconds above 0")),
        }
        yield from _numbers_problems(table, {name: rule for name, rule in numbers.items() if name in table.columns})
        yield from super()._other_problems(table.drop(columns=[name for name in RR_COLUMNS if name in table]))


class NewExamplesContract(ExamplesContract):
    """Examples to be predicted: of the shape of the model, with its features, without labels; beats in [0, 1]."""

    def __init__(self, *, shape: Sequence[int], features: Sequence[str] = (), hint: str = "") -> None:
        """State the shape of an example, the features that the model was trained with, and where they come from."""
        super().__init__(shape=shape)
        self._features, self._hint = list(features), hint
        self.noun = noun(shape)

    def _columns_problems(self, data: Examples) -> Iterator[str]:
        if data.shape != self._shape:
            given, wanted = (" × ".join(map(str, shape)) for shape in (data.shape, self._shape or ()))
            yield f"A {self.noun} has {given} values.{_files(data.table)} The model takes {wanted}."
        if missing := [name for name in self._features if not data.has(name)]:
            where = _files(data.table)
            yield f"Missing column {listed(missing)}.{where} The model was trained with it. {self._hint}".strip()

    def _value_rules(self) -> dict[str, Rule]:
        return SCALED_RULES if self._shape is not None and len(self._shape) == 1 else super()._value_rules()


class PicturesContract(ExamplesContract):
    """Pictures ``[n, c, h, w]`` with labels that are classes, or are mapped to them."""

    noun = "picture"
    mapping = "pictures_labels in globals.yml"

    def _columns_problems(self, data: Examples) -> Iterator[str]:
        if len(data.shape) != 3:
            yield f"The examples have the shape {list(data.shape)}.{_files(data.table)} Allowed: [c, h, w]."
        yield from super()._columns_problems(data)


Numbers = tuple[Callable[[npt.NDArray[np.float64]], npt.NDArray[np.bool_]], str, str]


def _numbers_problems(table: pd.DataFrame, rules: Mapping[str, Numbers]) -> Iterator[str]:
    """Problems of columns of numbers; a rule gives the test, the name of a value, and the allowed values."""
    for name, (is_good, what, allowed) in rules.items():
        if problem := _not_numeric(table, name):
            yield problem
        elif (bad := ~is_good(table[name].to_numpy(dtype=np.float64, na_value=np.nan))).any():
            row = int(bad.argmax())
            yield (
                f"{place(table, row, name)} is no {what}: {table[name].iloc[row]}. {int(bad.sum())} such rows in all. "
                f"Allowed: {allowed}."
            )


def _numbers(table: pd.DataFrame) -> tuple[npt.NDArray[np.float64] | None, str]:
    """The target as numbers, and what is wrong with it; None without a target."""
    if TARGET not in table.columns:
        return None, ""
    rule: Numbers = (np.isfinite, "target of a regression", "finite numbers")
    if problem := next(_numbers_problems(table, {TARGET: rule}), ""):
        return None, problem
    return table[TARGET].to_numpy(dtype=np.float64), ""


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
    if problem := _not_numeric(table, name):
        raise BeatwiseError(problem)


def listed(names: Sequence[object], most: int = 5) -> str:
    """The first names in quotes, and how many more there are."""
    shown = ", ".join(repr(str(name)) for name in names[:most])
    return shown if len(names) <= most else f"{shown} and {len(names) - most} more"


def place(table: pd.DataFrame, row: int, column: str | None = None) -> str:
    """Where a value or a row is: its file where that is known, the row within its part, the column."""
    where, named = f"Row {row}", ""
    if PART in table.columns:
        part = table[PART].iloc[row]
        where, named = f"Row {int((table[PART].iloc[:row] == part).sum())} of part {part!r}", _files(table, part)
    if column is None:
        return f"{where}{named}"
    return f"{where}{named} column {column!r}" if named else f"{where}, column {column!r}"


def _not_numeric(table: pd.DataFrame, name: str) -> str:
    """Problems of a column that does not hold numbers; empty for one that does."""
    column = table[name]
    if pd.api.types.is_numeric_dtype(column.dtype) and not pd.api.types.is_complex_dtype(column.dtype):
        return ""
    row = int(pd.to_numeric(column, errors="coerce").isna().to_numpy().argmax())
    return f"{place(table, row, name)} is not a number: {column.iloc[row]!r}. Allowed: numbers, stored as such."


def is_number(label: str) -> bool:
    """Whether a label, as it is written, is a number."""
    return re.fullmatch(r"-?\d+(\.\d+)?|nan", label) is not None


def as_label(label: object) -> str:
    """A label as it is written: 1, 1.0 and "1" are the same."""
    if isinstance(label, (float, np.floating)) and float(label).is_integer():
        return str(int(label))
    return str(int(label)) if isinstance(label, (bool, np.bool_)) else str(label).strip()


def _files(table: pd.DataFrame, part: str | None = None) -> str:
    files = table.attrs.get("files", {})
    named = [file for name, names in files.items() if part in (None, name) or name == "all" for file in names]
    return f" ({', '.join(named)})" if named else ""
