from __future__ import annotations

import numpy as np
import pytest

from beatwise.data.representations import beat_mask
from beatwise.ecg.average_beats import average_beats
from beatwise.ecg.beats import beats_table, examples_of
from tests.conftest import CLASSES


def one_class(values: np.ndarray):
    return examples_of(beats_table(values, np.zeros(len(values), np.int64)))


def test_mean_and_spread_are_those_of_the_beats_that_have_not_ended(make_beats) -> None:
    beats = make_beats((300, 40, 40, 30, 40))
    values, target = beats.x, beats.target
    open_ended = np.where(beat_mask(values), values, np.nan)
    for index, (label, own) in enumerate(average_beats(beats, CLASSES, 100.0).groupby("class", sort=False)):
        assert label == CLASSES[index]
        part = open_ended[target == index, : len(own)]
        assert own["beats"].tolist() == (~np.isnan(part)).sum(axis=0).tolist()
        assert own["ms"].tolist() == pytest.approx(np.arange(len(own)) * 10.0)
        np.testing.assert_allclose(own["mean"], np.nanmean(part, axis=0), rtol=1e-5)
        np.testing.assert_allclose(own["low"], np.nanquantile(part, 0.05, axis=0), rtol=1e-5)
        np.testing.assert_allclose(own["high"], np.nanquantile(part, 0.95, axis=0), rtol=1e-5)


def test_it_ends_where_less_than_a_tenth_of_the_class_goes_on() -> None:
    values = np.zeros((20, 10), np.float32)
    values[:, :4] = 0.5
    values[:2, 4:7] = 0.5
    values[:1, 7:] = 0.5
    assert average_beats(one_class(values), ["N"], 100.0)["ms"].max() == pytest.approx(60)


def test_a_class_without_beats_has_no_row(make_beats) -> None:
    beats = make_beats((30, 0, 10, 10, 10))
    assert set(average_beats(beats, CLASSES, 100.0)["class"]) == {"N", "V", "F", "Q"}
