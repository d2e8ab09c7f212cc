from __future__ import annotations

import logging
import re
from typing import Any

import numpy as np
import pandas as pd
import pytest

from beatwise.core.errors import BeatwiseError
from beatwise.data.contracts import BeatsContract, NoSharedBeats
from beatwise.data.examples import Examples
from beatwise.data.features import RR_COLUMNS
from beatwise.ecg.beats import examples_of
from tests.tables import make_table

CLASSES = ["N", "S", "V", "F", "Q"]
FILES = {"train": ["/data/train.parquet"], "test": ["/data/test.parquet"]}


@pytest.fixture
def beats() -> pd.DataFrame:
    """A good table of a train and a test part with all optional columns, and the files it came from."""
    table = make_table(records=True)
    table["part"] = np.where(np.arange(len(table)) < 80, "train", "test")
    table.attrs = {"files": FILES}
    return table


def validate(table: pd.DataFrame, **options: Any) -> Examples:
    given = examples_of(table)
    given.table.attrs = table.attrs
    return BeatsContract(**{"classes": CLASSES, "beat_length": 24, **options}).validate(given)


def put(table: pd.DataFrame, column: str, value: Any, row: int = 83) -> pd.DataFrame:
    """The table with one other value; row 83 is row 3 of the test part."""
    changed = table.astype({column: object})
    changed.loc[row, column] = value
    return changed.infer_objects()


def test_good_beats_pass_as_they_are_with_integer_labels(beats):
    checked = validate(beats.astype({"target": np.float32}))
    np.testing.assert_array_equal(checked.x, examples_of(beats).x)
    assert checked.table["target"].dtype == np.int64
    assert checked.table.attrs == {"files": FILES, "classes": ["N", "S", "V", "F", "Q"]}
    assert validate(beats.drop(columns=["part", "record", "sample", "lead", *RR_COLUMNS])).table.columns.tolist() == [
        "target"
    ]


BROKEN: dict[str, tuple[Any, str]] = {
    "a value above 1": (("5", 1.5), "Row 3 of part 'test' (/data/test.parquet) column '5' lies outside [0, 1]: 1.5. 1"),
    "a value below 0": (("5", -0.1), "column '5' lies outside [0, 1]"),
    "not a number": (("7", np.nan), "Row 3 of part 'test' (/data/test.parquet) column '7' is not a finite number: nan"),
    "infinity": (("7", np.inf), "column '7' is not a finite number: inf. 1 such values in all."),
    "a label beyond the classes": (("target", 5), "column 'target' is no label: 5. 1 such rows in all. Allowed: 0 ="),
    "half a label": (("target", 0.5), "is no label: 0.5"),
    "a name among indices": (
        ("target", "N"),
        "column 'target' is no label: 2. 107 such rows in all. Allowed: N, S,",
    ),
    "a missing record": (("record", None), "column 'record' is missing. 1 such rows."),
    "a negative sample": (
        ("sample", -1),
        "column 'sample' is no sample number: -1. 1 such rows in all.",
    ),
    "half a sample": (("sample", 0.5), "is no sample number: 0.5"),
    "no time": (("rr_after", 0.0), "column 'rr_after' is no RR interval: 0.0. 1 such rows in all. Allowed: seconds"),
    "an unknown part": (
        ("part", "dev"),
        "Unknown part 'dev' in column 'part'. (/data/train.parquet",
    ),
}


@pytest.mark.parametrize("case", BROKEN)
def test_what_breaks_a_rule_is_named_with_its_place_and_what_is_allowed(beats, case):
    (column, value), message = BROKEN[case]
    with pytest.raises(BeatwiseError, match=re.escape(message)):
        validate(put(beats, column, value))


@pytest.mark.parametrize(
    ("change", "message"),
    [
        (
            lambda t: t.drop(columns="23"),
            "Missing column '23'. (/data/train.parquet, /data/test.parquet) Allowed: \"0\" to",
        ),
        (lambda t: t.drop(columns="target"), "Missing column 'target'."),
        (lambda t: t.assign(age=50, sex="F"), "Unknown column 'age', 'sex'."),
        (lambda t: t.assign(**{"24": 0.0}), "Unknown column '24'."),
        (lambda t: t.drop(columns="record"), "Column 'sample' without 'record'."),
        (
            lambda t: t.assign(target=t["target"] % 4 + 1),
            "No beat of class N among 108 rows. (/data/train.parquet, /data/test.parquet) Add some, or remove the "
            "class from `classes` in globals.yml. If "
            "labels count from 1: beats_labels: {1: N, 2: S, 3: V, 4: F, 5: Q}.",
        ),
        (lambda t: t.drop(columns="rr_after"), "without 'rr_after'."),
        (lambda t: t.iloc[:0], "The table has no rows. (/data/train.parquet, /data/test.parquet)"),
        (lambda t: t[t["part"] == "train"], "Part 'test' has no rows. (/data/test.parquet) Bring beats"),
        (lambda t: t[t["target"] != 3], "No beat of class F among 98 rows."),
    ],
)
def test_a_table_that_breaks_a_rule_as_a_whole_is_refused_with_its_files(beats, change, message):
    table = change(beats)
    table.attrs = beats.attrs
    with pytest.raises(BeatwiseError, match=re.escape(message)):
        validate(table)


def test_without_a_beat_length_any_number_of_samples_from_2_on_passes(beats):
    short = beats.drop(columns=[str(i) for i in range(2, 24)])
    assert validate(short, beat_length=None).shape == (2,)
    with pytest.raises(BeatwiseError, match="Missing column '1'"):
        validate(short.drop(columns="1"), beat_length=None)


def test_a_table_without_parts_or_files_names_the_row_alone(beats):
    with pytest.raises(BeatwiseError, match=r"^Row 83, column '5' lies outside"):
        validate(put(beats, "5", 2.0).drop(columns="part"))


def test_where_it_may_happen_a_class_without_beats_is_a_warning(beats, caplog):
    without = beats[beats["target"] != 3]
    with caplog.at_level(logging.WARNING):
        assert len(validate(without, empty_class="warn")) == len(without)
    assert "No beat of class F" in caplog.text


def test_beats_in_two_parts_are_counted_by_pair_with_the_parameter_that_removes_them():
    clean = {"duplicates": {"across": {"train and val": 0, "train and test": 0}}}
    assert NoSharedBeats().validate(clean) == clean
    shared = {"duplicates": {"across": {"train and val": 2, "train and test": 0, "val and test": 7}}}
    with pytest.raises(BeatwiseError, match=r"2 in train and val, 7 in val and test.*drop_duplicates=true"):
        NoSharedBeats().validate(shared)
