from __future__ import annotations

import numpy as np
import pandas as pd
import pytest
from scipy.stats import binomtest

from beatwise.core.errors import BeatwiseError
from beatwise.tasks.classification.mistakes import (
    RR_EDGES,
    errors_by_length,
    errors_by_record,
    errors_by_rr,
    most_confident_mistakes,
)
from beatwise.tasks.classification.predictions import PREFIX, probabilities
from tests.tasks.classification.cases import CLASSES, SAMPLE_RATE, case

BEATS = case(skill=4.0)
TABLE = BEATS.table
WRONG = (TABLE["prediction"] != TABLE["target"]).to_numpy()


def tables() -> dict[str, pd.DataFrame]:
    return {
        "record": errors_by_record(TABLE, 0.95),
        "length": errors_by_length(TABLE, BEATS.lengths, SAMPLE_RATE, 0.95),
        "rr": errors_by_rr(TABLE, BEATS.beats, 0.95),
    }


# --- the most confident mistakes


def test_the_surest_mistakes_of_a_class_are_its_mistakes_of_the_highest_probability():
    found = most_confident_mistakes(TABLE, 5)
    top = probabilities(TABLE).max(axis=1)
    for index in range(5):
        of_class = found[found["target"] == index]
        mistaken = np.flatnonzero(WRONG & (BEATS.target == index))
        assert len(of_class) == min(5, len(mistaken))
        assert of_class["probability"].tolist() == sorted(top[mistaken], reverse=True)[:5]


def test_a_mistake_names_its_beat_and_both_classes():
    found = most_confident_mistakes(TABLE, 8)
    assert found["target"].is_monotonic_increasing
    for row in found.to_dict("records"):
        beat = TABLE.iloc[row["beat"]]
        assert (row["target"], row["prediction"]) == (beat["target"], beat["prediction"])
        assert row["target"] != row["prediction"]
        assert row["probability"] == beat[PREFIX + CLASSES[row["prediction"]]]
        assert row["probability_of_truth"] == beat[PREFIX + CLASSES[row["target"]]]
        assert (row["record"], row["sample"]) == (beat["record"], beat["sample"])


def test_mistakes_of_equal_probability_keep_their_order_and_unknown_records_are_left_out():
    probability = np.zeros((6, 5), dtype=np.float32)
    probability[:, 1] = 1
    columns = {f"{PREFIX}{name}": probability[:, i] for i, name in enumerate(CLASSES)}
    found = most_confident_mistakes(pd.DataFrame({"target": [0, 2, 0, 1, 0, 2], "prediction": 1, **columns}), 2)
    assert found["beat"].tolist() == [0, 2, 1, 5]
    assert list(found) == ["beat", "target", "prediction", "probability", "probability_of_truth"]


def test_without_a_mistake_the_table_is_empty():
    right = TABLE[~WRONG].reset_index(drop=True)
    assert most_confident_mistakes(right, 3).empty
    assert set(errors_by_record(right, 0.95)["error"]) == {0.0}


# --- shares of errors


@pytest.mark.parametrize("name", ["record", "length", "rr"])
def test_every_beat_and_every_error_is_counted_once(name):
    table = tables()[name]
    assert table["beats"].sum() == len(TABLE)
    assert table["errors"].sum() == WRONG.sum()
    for index, label in enumerate(CLASSES):
        assert table[f"beats_{label}"].sum() == (BEATS.target == index).sum()
        assert table[f"errors_{label}"].sum() == (WRONG & (BEATS.target == index)).sum()
    assert (table["errors"] == table[[f"errors_{label}" for label in CLASSES]].sum(axis=1)).all()
    assert (table["error"] == table["errors"] / table["beats"]).all()


@pytest.mark.parametrize("name", ["record", "length", "rr"])
def test_intervals_are_wilsons(name):
    for row in tables()[name].to_dict("records"):
        expected = binomtest(row["errors"], row["beats"]).proportion_ci(0.95, "wilson")
        assert (row["low"], row["high"]) == pytest.approx((expected.low, expected.high))
        assert row["low"] <= row["error"] <= row["high"]


def test_the_record_with_most_errors_comes_first():
    table = errors_by_record(TABLE, 0.95)
    assert table["errors"].is_monotonic_decreasing
    for row in table.to_dict("records"):
        own = BEATS.record == row["record"]
        assert (row["beats"], row["errors"]) == (own.sum(), WRONG[own].sum())
    one = errors_by_record(TABLE.assign(record="208"), 0.95)
    assert one[["record", "beats", "errors"]].to_numpy().tolist() == [["208", len(TABLE), WRONG.sum()]]


def test_lengths_are_binned_in_milliseconds():
    # 125 samples a second: 100 samples are 800 ms.
    found = errors_by_length(TABLE.head(5), np.array([99, 100, 112, 113, 187]), 125.0, 0.95)
    assert found[["from", "to", "beats"]].to_numpy().tolist() == [
        [700, 800, 1],
        [800, 900, 2],
        [900, 1000, 1],
        [1400, 1500, 1],
    ]
    at_edge = errors_by_length(TABLE.head(2), np.array([50, 100]), 125.0, 0.95, step_ms=200)
    assert at_edge[["from", "to"]].to_numpy().tolist() == [[400, 600], [800, 1000]]


def test_rr_intervals_are_binned_relative_to_the_local_mean():
    ratio = np.array([0.31, 0.5, 0.79, 0.81, 1.0, 1.49, 1.5, 3.0])
    beats = BEATS.beats.head(8).assign(rr_before=0.8 * ratio, rr_local_mean=0.8)
    found = errors_by_rr(TABLE.head(8), beats, 0.95)
    assert found["beats"].tolist() == [1, 1, 1, 1, 1, 1, 2]
    assert found["from"].tolist() == pytest.approx([0.31, 0.5, 0.7, 0.8, 1.0, 1.4, 1.5])
    assert found["to"].tolist() == pytest.approx([0.5, 0.6, 0.8, 0.9, 1.1, 1.5, 3.0])


def test_bins_of_usual_ratios_are_tenths():
    found = errors_by_rr(TABLE, BEATS.beats, 0.95)
    assert set(found["from"][1:]) <= set(RR_EDGES)
    early = found[found["to"] <= 0.8]
    assert early["beats_S"].sum() > 0.5 * (BEATS.target == 1).sum()


def test_tables_that_cannot_be_made_say_why():
    with pytest.raises(BeatwiseError, match="need the column 'record'"):
        errors_by_record(TABLE.drop(columns="record"), 0.95)
    with pytest.raises(BeatwiseError, match="need the columns rr_before"):
        errors_by_rr(TABLE, BEATS.beats.drop(columns="rr_local_mean"), 0.95)
    with pytest.raises(BeatwiseError, match="predictions for 1,500 beats and values of 1,499"):
        errors_by_rr(TABLE, BEATS.beats.iloc[1:], 0.95)
    with pytest.raises(BeatwiseError, match="values of 3"):
        errors_by_length(TABLE, np.array([100, 100, 100]), SAMPLE_RATE, 0.95)
