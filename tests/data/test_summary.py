from __future__ import annotations

import json

import numpy as np
import pandas as pd
import pytest

from beatwise.data.summary import drop_duplicates, summarise_data
from beatwise.ecg.beats import beats_table, examples_of, table_of
from tests.tables import make_table, signals

CLASSES = ["N", "S", "V", "F", "Q"]


@pytest.fixture
def parts():
    counts = {"train": (30, 6, 6, 6, 6), "val": (10, 2, 2, 2, 2), "test": (12, 3, 3, 3, 3)}
    return {name: make_table(counts[name], seed=i, records=True) for i, name in enumerate(counts)}


def summarise(parts: dict[str, pd.DataFrame], rate: float = 120.0):
    return summarise_data(of_tables(parts), CLASSES, rate)


def of_tables(parts: dict[str, pd.DataFrame]):
    return {name: examples_of(part) for name, part in parts.items()}


def append(beats: pd.DataFrame, *others: pd.DataFrame) -> pd.DataFrame:
    return pd.concat([beats, *others], ignore_index=True)


def test_beats_are_counted_by_part_and_class(parts):
    train = summarise(parts)["parts"]["train"]
    assert train["beats"] == 54
    assert train["counts"] == {"N": 30, "S": 6, "V": 6, "F": 6, "Q": 6}
    assert train["shares"] == pytest.approx({"N": 30 / 54, "S": 1 / 9, "V": 1 / 9, "F": 1 / 9, "Q": 1 / 9})
    assert train["records"] == parts["train"]["record"].nunique()


def test_a_class_without_beats_has_count_zero_and_no_length(parts):
    without = {name: beats[beats["target"] != 3] for name, beats in parts.items()}
    summary = summarise(without)
    assert summary["parts"]["val"]["counts"]["F"] == 0
    assert set(summary["length_ms"]) == {"N", "S", "V", "Q"}


def test_lengths_are_quantiles_in_milliseconds_without_padding():
    values = np.zeros((3, 10), np.float32)
    for row, length in enumerate((2, 4, 6)):
        values[row, :length] = 1
    part = beats_table(values, np.zeros(3, np.int64))
    summary = summarise_data(dict.fromkeys(("train", "val", "test"), examples_of(part)), ["N"], 100.0)
    assert summary["length_ms"]["N"]["0.5"] == pytest.approx(40)
    assert summary["length_ms"]["N"]["0.05"] == pytest.approx(20)
    assert summary["padding_share"] == pytest.approx(0.6)
    assert summary["samples_per_beat"] == 10


def test_parts_without_a_beat_in_common_have_no_duplicates(parts):
    assert summarise(parts)["duplicates"] == {
        "within": {"train": 0, "val": 0, "test": 0},
        "across": {"train and val": 0, "train and test": 0, "val and test": 0},
    }


def test_duplicates_are_counted_within_and_across_parts(parts):
    train, val, test = parts["train"], parts["val"], parts["test"]
    parts = {
        "train": append(train, train.iloc[[0, 0, 5]], test.iloc[[1, 2]]),
        "val": append(val, test.iloc[[1]], train.iloc[[0]]),
        "test": test,
    }
    assert summarise(parts)["duplicates"] == {
        "within": {"train": 3, "val": 0, "test": 0},
        # Beats of the first that stand in the second: row 0 stands three times in train.
        "across": {"train and val": 4, "train and test": 2, "val and test": 1},
    }


def test_equal_signals_with_other_labels_are_no_duplicates(parts):
    relabelled = parts["test"].iloc[[0]].assign(target=(parts["test"]["target"].iloc[0] + 1) % 5)
    parts["train"] = append(parts["train"], relabelled)
    assert summarise(parts)["duplicates"]["across"]["train and test"] == 0


def test_shared_records_are_named_by_pair(parts):
    renamed = {
        "train": parts["train"].assign(record="100"),
        "val": parts["val"].assign(record=["100", *["101"] * 17]),
        "test": parts["test"].assign(record="102"),
    }
    expected = {"train and val": ["100"], "train and test": [], "val and test": []}
    assert summarise(renamed)["records"] == {"known": True, "shared": expected}


def test_records_are_unknown_where_one_part_has_none(parts):
    parts["val"] = parts["val"].drop(columns="record")
    summary = summarise(parts)
    assert summary["records"] == {"known": False, "shared": {}}
    assert summary["parts"]["val"]["records"] is None


def test_a_summary_is_plain_data_for_json(parts):
    summary = summarise(parts)
    assert json.loads(json.dumps(summary, allow_nan=False)) == summary


def test_an_empty_part_is_described_without_undefined_numbers(parts):
    parts["val"] = parts["val"].iloc[:0]
    summary = summarise(parts)
    assert summary["parts"]["val"]["beats"] == 0
    json.dumps(summary, allow_nan=False)


def test_duplicates_are_dropped_from_the_earlier_part(parts):
    train, val, test = parts["train"], parts["val"], parts["test"]
    given = {
        "train": append(train, val.iloc[[0]], test.iloc[[1]], train.iloc[[3]]),
        "val": append(val, test.iloc[[1, 2]]),
        "test": test,
    }
    kept = {name: table_of(part) for name, part in drop_duplicates(of_tables(given)).items()}
    pd.testing.assert_frame_equal(kept["train"], append(train, train.iloc[[3]]))
    pd.testing.assert_frame_equal(kept["val"], val)
    pd.testing.assert_frame_equal(kept["test"], test)
    assert set(summarise(kept)["duplicates"]["across"].values()) == {0}


def test_dropping_leaves_the_given_parts_as_they_are(parts):
    parts["train"] = append(parts["train"], parts["test"].iloc[[0]])
    before = signals(parts["train"]).copy()
    drop_duplicates(of_tables(parts))
    np.testing.assert_array_equal(signals(parts["train"]), before)
