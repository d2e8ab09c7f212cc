"""Found beats beside a reference whose counts are done by hand."""

from __future__ import annotations

import math

import numpy as np
import pandas as pd
import pytest

from beatwise.ecg.ec57 import NONE, compare_beats, match_beats, measure
from beatwise.ecg.records import Record

AAMI = {"N": ["N", "L"], "S": ["A"], "V": ["V"], "F": ["F"], "Q": ["/"]}


def record_of(annotations: list[tuple[float, str]], seconds: float = 400) -> Record:
    """A record of 100 Hz with these annotations, by second."""
    samples = np.array([round(second * 100) for second, _ in annotations], dtype=np.int64)
    codes = np.array([code for _, code in annotations])
    return Record("r", np.zeros((int(seconds * 100), 1)), 100.0, ("I",), (1.0,), (0,), samples, codes)


def test_each_beat_has_one_partner_within_150_ms() -> None:
    reference = np.array([1000, 1100, 1120, 2000, 3000])
    found = np.array([1015, 1112, 2016, 2990, 3005])
    partner = match_beats(reference, found, 100.0)
    # 1112 is nearer to 1120; 2016 is 160 ms away.
    assert partner.tolist() == [0, -1, 1, -1, 4]


def test_learning_time_and_flutter_do_not_count() -> None:
    record = record_of([(10, "N"), (310, "N"), (320, "["), (325, "]"), (330, "V"), (340, "L"), (350, "+"), (360, "B")])
    found = np.array([1000, 2000, 31000, 32200, 32300, 33010, 36000, 37000])
    labels = ["N", "V", "N", "V", "V", "V", "S", "S"]
    counts = compare_beats(record, found, labels, AAMI)
    assert counts.to_dict() == {
        ("N", "N"): 1, ("N", NONE): 1, ("Q", "S"): 1, ("V", "V"): 1, (NONE, "S"): 1,
    }  # fmt: skip
    learned = compare_beats(record, found, labels, AAMI, learning=0)
    assert learned[("N", "N")] == 2
    assert learned[(NONE, "V")] == 1


def test_measures_are_those_of_the_standard() -> None:
    index = [
        ("N", "N", 90), ("N", "V", 4), ("N", "S", 3), ("N", NONE, 3), ("S", "S", 5), ("S", "V", 1), ("S", "N", 4),
        ("V", "V", 16), ("V", "S", 1), ("V", NONE, 3), ("F", "V", 7), ("F", "S", 2), ("Q", "V", 9), ("Q", "S", 8),
        (NONE, "V", 2), (NONE, "S", 1),
    ]  # fmt: skip
    counts = pd.Series({(reference, found): n for reference, found, n in index})
    counts.index.names = ["reference", "found"]
    got = measure(counts)
    assert got["beats"] == 156
    assert got["qrs_se"] == pytest.approx(150 / 156)
    assert got["qrs_ppv"] == pytest.approx(150 / 153)
    # Fusion and unknown beats called V, and unknown ones called S, are no error.
    assert got["V_se"] == pytest.approx(16 / 20)
    assert got["V_ppv"] == pytest.approx(16 / (16 + 4 + 1 + 2))
    assert got["S_se"] == pytest.approx(5 / 10)
    assert got["S_ppv"] == pytest.approx(5 / (5 + 3 + 1 + 2 + 1))
    assert math.isnan(measure(counts[["N"]])["V_se"])
