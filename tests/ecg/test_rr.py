from __future__ import annotations

from itertools import pairwise

import numpy as np
import pandas as pd
import pytest

from beatwise.data.features import RATIOS, RR_COLUMNS, with_ratios
from beatwise.ecg.rr import rr_intervals


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
