from __future__ import annotations

import numpy as np
import pytest

from beatwise.data.examples import (
    RR_COLUMNS,
    beat_keys,
    beats_table,
    fingerprint,
    has_records,
    has_rr,
    labels,
    signal_columns,
    signals,
)


@pytest.fixture
def beats(make_beats):
    return make_beats((8, 5, 3), length=12)


def test_signals_come_in_order_of_time_whatever_the_order_of_columns(beats):
    shuffled = beats[sorted(beats.columns, reverse=True)]
    assert signal_columns(shuffled) == [str(i) for i in range(12)]
    np.testing.assert_array_equal(signals(shuffled), signals(beats))


def test_signals_are_a_contiguous_float32_copy(beats):
    values = signals(beats)
    before = beats["0"].iloc[0]
    values[0, 0] = before + 1
    assert (values.dtype, values.flags.c_contiguous) == (np.dtype("float32"), True)
    assert beats["0"].iloc[0] == before


def test_labels_are_int64_even_where_the_file_holds_floats(beats):
    as_floats = beats.astype({"target": np.float32})
    assert labels(as_floats).dtype == np.int64
    np.testing.assert_array_equal(labels(as_floats), labels(beats))


def test_labels_are_a_copy_that_may_be_written_to(beats):
    target = labels(beats)
    assert target.flags.writeable
    target[:] = 9
    assert beats["target"].max() < 3


def test_a_table_is_put_together_from_values_labels_and_columns():
    table = beats_table(np.zeros((2, 3), np.float32), np.array([0, 1]), record="100", sample=np.array([7, 8]))
    assert list(table.columns) == ["0", "1", "2", "target", "record", "sample"]
    assert table["record"].tolist() == ["100", "100"]
    assert table["sample"].tolist() == [7, 8]


def test_records_and_rr_are_known_only_where_their_columns_are(make_beats):
    plain, full = make_beats(), make_beats(records=True)
    assert (has_records(plain), has_rr(plain)) == (False, False)
    assert (has_records(full), has_rr(full)) == (True, True)
    assert not has_rr(full.drop(columns=RR_COLUMNS[2]))


def test_equal_beats_have_equal_keys_and_others_do_not(beats):
    keys = beat_keys(beats)
    assert len(set(keys.tolist())) == len(beats)
    np.testing.assert_array_equal(beat_keys(beats.iloc[::-1]), keys[::-1])


def test_a_key_tells_beats_apart_by_one_bit_of_signal_and_by_label():
    values = np.full((3, 4), 0.5, np.float32)
    values[1, 2] = np.nextafter(np.float32(0.5), np.float32(1))
    keys = beat_keys(beats_table(values, np.array([0, 0, 1])))
    assert len(set(keys.tolist())) == 3


def test_negative_and_positive_zero_have_one_key():
    values = np.array([[0.0, 1.0], [-0.0, 1.0]], np.float32)
    keys = beat_keys(beats_table(values, np.array([0, 0])))
    assert keys[0] == keys[1]


def test_a_fingerprint_depends_on_signals_labels_and_order_and_on_nothing_else(beats):
    changed = beats.copy()
    changed.loc[0, "target"] = (changed.loc[0, "target"] + 1) % 3
    assert fingerprint(beats.assign(record="a")) == fingerprint(beats)
    assert len({fingerprint(beats), fingerprint(beats.iloc[::-1]), fingerprint(changed)}) == 3
