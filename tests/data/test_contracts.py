from __future__ import annotations

import logging
from collections.abc import Callable, Sequence
from typing import Any

import numpy as np
import pandas as pd
import pytest

from beatwise.core.errors import BeatwiseError
from beatwise.data.contracts import BeatsContract, NoSharedBeats
from beatwise.data.examples import RR_COLUMNS

CLASSES = ["N", "S", "V", "F", "Q"]
LENGTH = 24
N_TRAIN = 40
FILES = {"train": ["/data/a.parquet", "/data/b.parquet"], "test": ["/data/c.parquet"]}
# Row 2 of part test stands in row 42 of the table.
ROW = N_TRAIN + 2
PLACE = "Row 2 of part 'test' (/data/c.parquet) column "


@pytest.fixture
def beats(make_beats: Callable[..., pd.DataFrame]) -> pd.DataFrame:
    """A table of 40 train and 68 test beats, with all optional columns and the files they came from."""
    table = make_beats(length=LENGTH, records=True)
    table["part"] = np.where(np.arange(len(table)) < N_TRAIN, "train", "test")
    table.attrs = {"files": FILES}
    return table


def contract(**options: Any) -> BeatsContract:
    return BeatsContract(**{"classes": CLASSES, "beat_length": LENGTH, **options})


def broken(table: pd.DataFrame, **options: Any) -> str:
    with pytest.raises(BeatwiseError) as caught:
        contract(**options).validate(table)
    return str(caught.value)


def put(table: pd.DataFrame, column: str, value: object, rows: Sequence[int] = (ROW,)) -> pd.DataFrame:
    """The table with a value in some rows of a column, whatever type it makes of the column."""
    values = table[column].astype(object).to_list()
    for row in rows:
        values[row] = value
    dtype = object if isinstance(value, str) else np.float64
    table[column] = pd.Series(values, dtype=dtype)
    return table


def test_a_good_table_passes_with_its_values_and_attributes(beats):
    checked = contract().validate(beats)
    pd.testing.assert_frame_equal(checked[beats.columns], beats, check_dtype=False)
    assert checked.attrs == {"files": FILES}


@pytest.mark.parametrize(("signal", "label"), [("float64", "float64"), ("float32", "int8"), ("float16", "uint8")])
def test_signals_become_float32_and_labels_int64(beats, signal, label):
    columns = [str(i) for i in range(LENGTH)]
    checked = contract().validate(beats.astype({**dict.fromkeys(columns, signal), "target": label}))
    assert set(checked[columns].dtypes) == {np.dtype("float32")}
    assert checked["target"].dtype == np.dtype("int64")
    assert checked["target"].tolist() == beats["target"].tolist()


def test_validating_leaves_the_given_table_as_it_was(beats):
    given = beats.astype({"0": "float64", "target": "float64"})
    before = given.copy()
    contract().validate(given)
    pd.testing.assert_frame_equal(given, before)


def test_signal_columns_come_in_order_of_time(beats):
    shuffled = beats[beats.columns[::-1]]
    assert contract().validate(shuffled).columns[:LENGTH].tolist() == [str(i) for i in range(LENGTH)]


@pytest.mark.parametrize(
    "optional", [[], ["part"], ["record", "sample", "lead"], [*RR_COLUMNS], ["record", "sample", "part"]], ids=str
)
def test_optional_columns_may_be_there_or_not(beats, optional):
    table = beats[[*(str(i) for i in range(LENGTH)), "target", *optional]]
    assert contract().validate(table).columns.tolist() == table.columns.tolist()


@pytest.mark.parametrize(
    ("there", "absent"),
    [
        (["record"], "'sample'"),
        (["sample"], "'record'"),
        (["rr_after"], "'rr_before', 'rr_local_mean', 'rr_record_mean'"),
    ],
    ids=str,
)
def test_columns_that_belong_together_come_together(beats, there, absent):
    message = broken(beats[[*(str(i) for i in range(LENGTH)), "target", *there]])
    assert message.startswith(f"Column '{there[0]}' without {absent}.")
    assert message.endswith("Bring all of them, or none.")


def test_a_missing_record_is_named_with_its_place(beats):
    beats.loc[ROW, "record"] = None
    assert broken(beats) == f"{PLACE}'record' is missing. 1 such rows."


@pytest.mark.parametrize("sample", [-1, 0.5, np.nan])
def test_a_sample_that_is_no_place_in_a_record_is_named(beats, sample):
    message = broken(put(beats, "sample", sample))
    assert message.startswith(f"{PLACE}'sample' is no sample number: {sample}")
    assert message.endswith("1 such rows in all. Allowed: whole numbers from 0 on.")


@pytest.mark.parametrize(
    ("columns", "named"),
    [
        (["7"], "'7'."),
        (["target"], "'target'."),
        (["7", "target"], "'7', 'target'."),
        ([str(i) for i in range(7)], "'0', '1', '2', '3', '4' and 2 more."),
    ],
)
def test_missing_columns_are_named_with_the_files_and_what_is_allowed(beats, columns, named):
    message = broken(beats.drop(columns=columns))
    assert message.startswith(f"Missing column {named} (/data/a.parquet, /data/b.parquet, /data/c.parquet)")
    assert 'Allowed: "0" to "23", "target", and optionally record, sample, lead, rr_before' in message


@pytest.mark.parametrize("column", ["ward", "24", "-1", "Target"])
def test_unknown_columns_are_named_with_the_files_and_what_is_allowed(beats, column):
    message = broken(beats.assign(**{column: 0.5}))
    assert message.startswith(f"Unknown column '{column}'. (/data/a.parquet, /data/b.parquet, /data/c.parquet)")
    assert 'Allowed: "0" to "23", "target"' in message


@pytest.mark.parametrize("length", [2, 5, LENGTH])
def test_without_a_beat_length_any_number_of_columns_from_2_on_passes(beats, length):
    table = beats.drop(columns=[str(i) for i in range(length, LENGTH)])
    assert contract(beat_length=None).validate(table).shape == table.shape


@pytest.mark.parametrize(("kept", "missing"), [(["0"], "'1'"), ([], "'0', '1'"), (["0", "1", "3"], "'2'")])
def test_without_a_beat_length_a_single_column_or_a_gap_is_refused(beats, kept, missing):
    table = beats[[*kept, "target"]]
    assert broken(table, beat_length=None).startswith(f"Missing column {missing}.")


def test_an_empty_table_is_refused_with_its_files(beats):
    assert broken(beats.iloc[:0]) == "The table has no rows. (/data/a.parquet, /data/b.parquet, /data/c.parquet)"


@pytest.mark.parametrize(
    ("part", "files"), [("train", "/data/a.parquet, /data/b.parquet"), ("test", "/data/c.parquet")]
)
def test_a_part_without_rows_is_refused_with_its_files(beats, part, files):
    table = beats[beats["part"] != part].reset_index(drop=True)
    table.attrs = beats.attrs
    assert broken(table) == f"Part '{part}' has no rows. ({files}) Bring beats, or fetch it again."


@pytest.mark.parametrize("column", ["0", "23", "target", "rr_before"])
def test_text_among_numbers_is_named_with_its_place(beats, column):
    message = broken(put(beats, column, "n/a"))
    assert message == f"{PLACE}'{column}' is not a number: 'n/a'. Allowed: numbers, stored as such."


def test_numbers_stored_as_text_are_refused(beats):
    beats["3"] = beats["3"].astype(str)
    message = broken(beats)
    assert message.startswith("Row 0 of part 'train' (/data/a.parquet, /data/b.parquet) column '3' is not a number: '")


def test_dates_among_the_signals_are_refused(beats):
    beats["3"] = pd.Timestamp("2026-11-21")
    assert "column '3' is not a number: Timestamp('2026-11-21" in broken(beats)


@pytest.mark.parametrize(
    ("value", "what"),
    [
        (np.nan, "is not a finite number: nan"),
        (np.inf, "is not a finite number: inf"),
        (-np.inf, "is not a finite number: -inf"),
        (1.5, "lies outside [0, 1]: 1.5"),
        (-0.25, "lies outside [0, 1]: -0.25"),
    ],
)
@pytest.mark.parametrize("column", ["0", "23"])
def test_a_value_that_is_no_number_from_0_to_1_is_named_with_its_place_and_count(beats, column, value, what):
    message = broken(put(beats, column, value, rows=(ROW, ROW + 5)))
    assert message.startswith(f"{PLACE}'{column}' {what}. 2 such values in all.")
    assert message.endswith("Scale every beat to [0, 1] and fill gaps before you bring it.")


def test_0_and_1_themselves_are_allowed(beats):
    columns = [str(i) for i in range(LENGTH)]
    beats.loc[0, columns], beats.loc[1, columns] = 0.0, 1.0
    assert contract().validate(beats).loc[1, "7"] == 1


def test_a_missing_value_of_a_nullable_column_is_not_a_finite_number(beats):
    beats["3"] = beats["3"].astype("Float32")
    beats.loc[ROW, "3"] = pd.NA
    assert broken(beats).startswith(f"{PLACE}'3' is not a finite number: nan.")


@pytest.mark.parametrize("label", [-1, 5, 0.5, np.nan, np.inf])
def test_a_label_outside_the_classes_is_named_with_its_place_and_the_classes(beats, label):
    message = broken(put(beats, "target", label, rows=(ROW, ROW + 1, ROW + 2)))
    assert message == (
        f"{PLACE}'target' is no label: {float(label)}. 3 such rows in all. Allowed: 0 = N, 1 = S, 2 = V, 3 = F, 4 = Q."
    )


@pytest.mark.parametrize("column", RR_COLUMNS)
@pytest.mark.parametrize("value", [np.nan, np.inf, 0.0, -0.8])
def test_an_rr_interval_that_is_no_time_is_named_with_its_place(beats, column, value):
    message = broken(put(beats, column, value))
    assert message == f"{PLACE}'{column}' is no RR interval: {value}. 1 such rows in all. Allowed: seconds above 0."


@pytest.mark.parametrize("part", ["Train", "validation", ""])
def test_an_unknown_part_is_named_with_the_known_ones(beats, part):
    beats.loc[ROW, "part"] = part
    assert broken(beats) == (
        f"Unknown part '{part}' in column 'part'. (/data/a.parquet, /data/b.parquet, /data/c.parquet) Allowed: train, "
        "val, test."
    )


def test_a_missing_part_beside_an_unknown_one_is_refused(beats):
    beats.loc[ROW, "part"] = None
    beats.loc[ROW + 1, "part"] = "validation"
    message = broken(beats)
    assert message.startswith("Unknown part ")
    assert "'validation' in column 'part'." in message
    assert message.endswith("Allowed: train, val, test.")


def test_a_missing_rr_interval_of_a_nullable_column_is_refused(beats):
    beats["rr_after"] = beats["rr_after"].astype("Float64")
    beats.loc[ROW, "rr_after"] = pd.NA
    assert broken(beats) == f"{PLACE}'rr_after' is no RR interval: <NA>. 1 such rows in all. Allowed: seconds above 0."


def test_rows_are_counted_within_their_part_where_parts_are_mixed(beats):
    beats["part"] = np.where(np.arange(len(beats)) % 2 == 0, "train", "test")
    assert broken(put(beats, "3", 2.0, rows=(7,))).startswith("Row 3 of part 'test' (/data/c.parquet) column '3'")


def test_rows_are_counted_from_the_top_whatever_the_index(beats):
    table = put(beats, "3", 2.0).set_index(pd.Index(range(1000, 1000 + len(beats))))
    assert broken(table).startswith(PLACE)


def test_a_table_without_parts_names_the_row_in_the_table(beats):
    table = put(beats, "3", 2.0).drop(columns="part")
    table.attrs = {}
    assert broken(table).startswith(f"Row {ROW}, column '3' lies outside [0, 1]: 2.0.")


def test_a_table_that_knows_no_files_names_the_part_alone(beats):
    table = put(beats, "3", 2.0)
    table.attrs = {}
    assert broken(table).startswith("Row 2 of part 'test' column '3' lies outside [0, 1]")


def test_a_table_of_the_layout_all_names_its_one_file(beats):
    table = put(beats, "3", 2.0)
    table.attrs = {"files": {"all": ["/data/beats.parquet"]}}
    assert broken(table).startswith("Row 2 of part 'test' (/data/beats.parquet) column '3'")


def test_a_class_without_beats_is_an_error_that_says_what_to_do(beats):
    table = beats[~beats["target"].isin([1, 3])].reset_index(drop=True)
    table.attrs = beats.attrs
    assert broken(table) == (
        f"No beat of class S, F among {len(table)} rows. (/data/a.parquet, /data/b.parquet, /data/c.parquet) Add some, "
        "or take the class out of `classes` in globals.yml."
    )


def test_where_it_may_happen_a_class_without_beats_is_a_warning(beats, caplog):
    table = beats[beats["target"] != 3].reset_index(drop=True)
    with caplog.at_level(logging.WARNING, logger="beatwise"):
        checked = contract(empty_class="warn").validate(table)
    assert len(checked) == len(table)
    assert [record.getMessage() for record in caplog.records] == [
        f"No beat of class F among {len(table)} rows. (/data/a.parquet, /data/b.parquet, /data/c.parquet) Its metrics "
        "are undefined there and left out of macro averages."
    ]


def test_beats_of_every_class_give_no_warning(beats, caplog):
    with caplog.at_level(logging.WARNING, logger="beatwise"):
        contract(empty_class="warn").validate(beats)
    assert not caplog.records


@pytest.mark.parametrize("change", [lambda t: t.iloc[:0], lambda t: put(t, "3", 2.0), lambda t: put(t, "target", 9)])
def test_warnings_for_empty_classes_soften_no_other_rule(beats, change):
    with pytest.raises(BeatwiseError):
        contract(empty_class="warn").validate(change(beats))


def summary(**across: int) -> dict[str, Any]:
    pairs = {pair.replace("_", " and "): count for pair, count in across.items()}
    return {"duplicates": {"within": {"train": 9}, "across": pairs}, "split": "given"}


def test_a_summary_without_shared_beats_passes_unchanged():
    given = summary(train_val=0, train_test=0, val_test=0)
    assert NoSharedBeats().validate(given) is given


def test_beats_in_two_parts_are_counted_by_pair_with_the_parameter_that_removes_them():
    with pytest.raises(BeatwiseError) as caught:
        NoSharedBeats().validate(summary(train_val=3, train_test=0, val_test=12))
    assert str(caught.value) == (
        "Beats that stand in two parts, equal in signal and label: 3 in train and val, 12 in val and test. Set "
        "ingest.drop_duplicates=true to take them out of train and validation."
    )
