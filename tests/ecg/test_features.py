from __future__ import annotations

import numpy as np
import pytest

from beatwise.ecg.beats import beats_table, examples_of
from beatwise.ecg.features import simple_features


def test_features_are_those_of_each_beat_without_its_padding(make_beats) -> None:
    beats = make_beats()
    features = simple_features(beats, 100.0)
    assert len(features) == len(beats)
    for row, beat in zip(features.to_dict("records"), beats.x, strict=True):
        own = np.trim_zeros(beat, "b").astype(float)
        assert row["length_ms"] == pytest.approx(len(own) * 10)
        assert row["mean"] == pytest.approx(own.mean())
        assert row["sd"] == pytest.approx(own.std())
        counts = np.histogram(own, bins=10, range=(0, 1))[0]
        assert [row[f"amplitude_{i}"] for i in range(10)] == pytest.approx(counts / len(own))


def test_an_amplitude_of_one_is_in_the_last_bin() -> None:
    beats = examples_of(beats_table(np.array([[1.0, 0.5, 0.0, 0.1]], np.float32), np.zeros(1, np.int64)))
    (row,) = simple_features(beats, 100.0, bins=2).to_dict("records")
    assert (row["amplitude_0"], row["amplitude_1"]) == (0.5, 0.5)
