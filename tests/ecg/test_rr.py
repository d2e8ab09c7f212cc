from __future__ import annotations

from itertools import pairwise

import numpy as np
import pandas as pd
import pytest

from beatwise.data.features import RATIOS, RR_COLUMNS, with_ratios
from beatwise.ecg.rr import beat_features, rr_intervals


def test_intervals_of_five_beats_are_those_computed_by_hand():
    rr = rr_intervals(np.array([100, 460, 640, 1360, 1720]), 360.0)
    np.testing.assert_array_equal(rr["rr_before"], np.array([1, 1, 0.5, 2, 1], np.float32))
    np.testing.assert_array_equal(rr["rr_after"], np.array([1, 0.5, 2, 1, 1], np.float32))
    np.testing.assert_array_equal(rr["rr_local_mean"], np.full(5, 1.125, np.float32))
    np.testing.assert_array_equal(rr["rr_record_mean"], np.full(5, 1.125, np.float32))


def test_two_beats_have_one_interval_everywhere():
    assert {tuple(values) for values in rr_intervals(np.array([0, 180]), 360.0).values()} == {(0.5, 0.5)}


@pytest.mark.parametrize("n_beats", [3, 8, 11, 200])
def test_the_local_mean_is_that_of_the_ten_intervals_around_the_beat(n_beats):
    peaks = np.cumsum(np.random.default_rng(n_beats).integers(100, 600, n_beats))
    intervals = [(later - earlier) / 360.0 for earlier, later in pairwise(peaks)]
    expected = []
    for beat in range(n_beats):
        around = [intervals[i] for i in range(beat - 5, beat + 5) if 0 <= i < len(intervals)]
        expected.append(sum(around) / len(around))
    rr = rr_intervals(peaks, 360.0)
    np.testing.assert_allclose(rr["rr_local_mean"], expected, rtol=1e-6)
    np.testing.assert_allclose(rr["rr_record_mean"], np.full(n_beats, sum(intervals) / len(intervals)), rtol=1e-6)


def test_columns_have_their_names_and_are_float32():
    rr = rr_intervals(np.arange(20) * 300, 360.0)
    assert tuple(rr) == RR_COLUMNS
    assert {values.dtype for values in rr.values()} == {np.dtype("float32")}


def test_features_are_the_intervals_and_their_ratios():
    row = dict(zip(RR_COLUMNS, [0.5, 1.0, 0.8, 2.0], strict=True))
    features = with_ratios(pd.DataFrame([row, row]))
    assert {str(dtype) for dtype in features.dtypes} == {"float32"}
    np.testing.assert_allclose(features.iloc[1], [0.5, 1.0, 0.8, 2.0, 0.625, 1.25, 0.25, 0.5])
    assert list(features.columns) == [*RR_COLUMNS, *(f"{top}/{bottom}" for top, bottom in RATIOS)]
    assert list(with_ratios(pd.DataFrame([row])[["rr_before", "rr_after"]]).columns)[2:] == ["rr_before/rr_after"]


def test_logarithms_of_intervals_are_those_computed_beat_by_beat_and_do_not_depend_on_the_rate_of_the_heart():
    rng = np.random.default_rng(2)
    peaks = np.cumsum(rng.integers(150, 500, size=60))
    broken = np.zeros(59, dtype=bool)
    broken[[20, 30]] = True
    found = beat_features(["log_rr"], np.zeros((1, 1)), peaks, 360.0, broken)
    assert len(found) == 20
    intervals = np.where(broken, np.nan, np.diff(peaks) / 360)
    median = np.nanmedian(intervals)
    for beat in (0, 3, 21, 40, 58, 59):
        known = {i: intervals[i] for i in range(59) if not broken[i]}
        before = [known.get(beat - 1 - i, median) for i in range(5)]
        after = [known.get(beat + i, median) for i in range(5)]
        local = np.median([known[i] for i in range(beat - 10, beat + 10) if i in known])
        for name, value in {
            "before_1_to_record": np.log(before[0] / median),
            "before_5_to_record": np.log(before[4] / median),
            "after_3_to_record": np.log(after[2] / median),
            "after_2_to_local": np.log(after[1] / local),
            "local_to_record": np.log(local / median),
            "before_to_after": np.log(before[0] / after[0]),
            "before_to_before_2": np.log(before[0] / before[1]),
            "before": np.log(before[0]) + 0.2,
        }.items():
            assert found[f"log_rr_{name}"][beat] == pytest.approx(value, abs=1e-6), (beat, name)
    slower = beat_features(["log_rr"], np.zeros((1, 1)), 2 * peaks, 360.0, broken)
    np.testing.assert_allclose(slower["log_rr_record"] - found["log_rr_record"], np.log(2), atol=1e-6)
    for name in found.keys() - {"log_rr_record", "log_rr_before", "log_rr_after"}:
        np.testing.assert_allclose(slower[name], found[name], atol=1e-6)
