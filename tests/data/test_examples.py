from __future__ import annotations

import dataclasses
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
import pytest

from beatwise.core.errors import BeatwiseError
from beatwise.data.examples import Examples
from beatwise.datasets.examples import ExamplesDataset
from beatwise.ecg.beats import beats_table, examples_of, table_of
from tests.tables import make_table


@pytest.fixture
def beats(make_beats):
    return make_beats(records=True)


def with_columns(examples: Examples, **columns: Any) -> Examples:
    return dataclasses.replace(examples, table=examples.table.assign(**columns))


def test_a_beats_table_becomes_examples_and_back():
    table = make_table(records=True)
    beats = examples_of(table[table.columns[::-1]])
    assert (beats.x.dtype, beats.x.flags.c_contiguous, beats.shape) == (np.dtype("float32"), True, (24,))
    assert beats.feature_names == ["rr_record_mean", "rr_local_mean", "rr_after", "rr_before"]
    pd.testing.assert_frame_equal(table_of(beats)[table.columns], table)


def test_the_patient_is_the_group_and_two_recordings_of_one_share_it():
    table = beats_table(np.zeros((3, 4), np.float32), np.zeros(3, np.int64), record=["201", "202", "203"], sample=1)
    assert examples_of(table).table["group"].tolist() == ["201", "201", "203"]
    assert examples_of(table.assign(group="x")).table["group"].tolist() == ["x"] * 3
    assert examples_of(table.drop(columns="record")).group is None


def test_labels_are_optional_and_asking_for_them_says_that_there_are_none(beats):
    unlabelled = beats.without("target")
    assert len(unlabelled.keys()) == len(beats)
    assert unlabelled.fingerprint != beats.fingerprint
    with pytest.raises(BeatwiseError, match="108 examples have no labels"):
        _ = unlabelled.target


def test_labels_are_a_copy_that_may_be_written_to(beats):
    beats.target[:] = 9
    assert beats.target.max() < 9


def test_a_table_of_another_length_is_refused():
    with pytest.raises(BeatwiseError, match="3 examples, and a table of 2 rows"):
        Examples(np.zeros((3, 4), np.float32), pd.DataFrame({"target": [0, 1]}))


def test_equal_examples_have_equal_keys_and_others_do_not():
    values = np.array([[0.5, 0.0], [0.5, -0.0], [0.5, np.nextafter(np.float32(0), np.float32(1))]], np.float32)
    same, zero, other = Examples(values, pd.DataFrame({"target": [1, 1, 1]})).keys()
    relabelled = Examples(values[:1], pd.DataFrame({"target": [2]})).keys()[0]
    assert same == zero
    assert len({same, other, relabelled}) == 3


def test_a_fingerprint_depends_on_values_labels_features_and_order_and_on_nothing_else(beats):
    changed = beats.x.copy()
    changed[0, 0] = np.nextafter(changed[0, 0], np.float32(2))
    others = [
        Examples(changed, beats.table),
        with_columns(beats, target=(beats.target + 1) % 5),
        with_columns(beats, rr_before=np.float32(0.3)),
        beats.take(np.arange(len(beats))[::-1]),
        beats.without("rr_after"),
    ]
    assert len({beats.fingerprint, *(other.fingerprint for other in others)}) == 6
    assert with_columns(beats, record="another", lead="V5").fingerprint == beats.fingerprint


@pytest.mark.parametrize("shape", [(24,), (2, 12), (3, 4, 5)])
@pytest.mark.parametrize("labelled", [True, False])
def test_examples_of_any_shape_come_back_from_parquet_and_other_tools_read_it(tmp_path: Path, shape, labelled):
    x = np.random.default_rng(0).normal(size=(7, *shape)).astype(np.float32)
    table = pd.DataFrame({"target": np.arange(7), "group": list("aabbccd"), "rr_before": np.float32(0.8)})
    saved = Examples(x, table if labelled else pd.DataFrame(index=pd.RangeIndex(7)))
    dataset = ExamplesDataset(filepath=str(tmp_path / "examples.parquet"))
    dataset.save(saved)
    loaded = dataset.load()
    np.testing.assert_array_equal(loaded.x, x)
    pd.testing.assert_frame_equal(loaded.table, saved.table)
    assert loaded.fingerprint == saved.fingerprint
    np.testing.assert_array_equal(
        np.stack(pd.read_parquet(tmp_path / "examples.parquet")["x"].tolist()), x.reshape(7, -1)
    )
    assert len(dataset.preview(2)["data"]) == 2


def test_a_table_that_holds_no_examples_is_refused_with_what_to_do(tmp_path: Path):
    make_table().to_parquet(tmp_path / "old.parquet")
    with pytest.raises(Exception, match=r"old\.parquet holds no examples.*kedro run --pipeline=ingest"):
        ExamplesDataset(filepath=str(tmp_path / "old.parquet")).load()
