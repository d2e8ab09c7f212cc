from __future__ import annotations

import numpy as np
import pandas as pd
import pytest

from beatwise.core.errors import BeatwiseError
from beatwise.data.examples import IDENTITY_COLUMNS, TARGET
from beatwise.data.features import RR_COLUMNS
from beatwise.ecg.beats import examples_of, signal_columns
from beatwise.ecg.provenance import recover_provenance, summarise_provenance
from tests.tables import make_table

ORIGIN = [*IDENTITY_COLUMNS, *RR_COLUMNS]


@pytest.fixture
def beats():
    return make_table(records=True)


def recover(rows: pd.DataFrame, beats: pd.DataFrame) -> pd.DataFrame:
    return recover_provenance(examples_of(rows), examples_of(beats))


def rows_of(beats: pd.DataFrame, seed: int = 0) -> pd.DataFrame:
    """The beats as Kaggle gives them: in another order, in two parts, without their origin."""
    shuffled = beats.sample(frac=1, random_state=seed)
    part = np.where(np.arange(len(beats)) % 3 == 0, "test", "train")
    rows = shuffled[[*signal_columns(beats.columns), TARGET]].assign(part=part)
    return rows.sort_values("part", kind="stable", ascending=False)


def test_shuffled_rows_get_their_origin_back(beats):
    rows = rows_of(beats)
    found = recover(rows, beats)
    pd.testing.assert_frame_equal(found[ORIGIN], beats.loc[rows.index, ORIGIN].reset_index(drop=True))
    assert found["part"].tolist() == rows["part"].tolist()
    assert not found["ambiguous"].any()


def test_rows_are_numbered_within_their_part(beats):
    found = recover(rows_of(beats), beats)
    for _, group in found.groupby("part"):
        assert group["row"].tolist() == list(range(len(group)))


def test_rows_may_be_fewer_than_the_beats(beats):
    rows = rows_of(beats).iloc[5:40]
    found = recover(rows, beats)
    assert found["sample"].tolist() == beats.loc[rows.index, "sample"].tolist()


def test_equal_beats_are_marked_and_taken_in_order_of_record_and_sample(beats):
    twins = beats.iloc[[0]].assign(record=["r99"], sample=[5])
    early = beats.iloc[[0]].assign(record=["a00"], sample=[9])
    several = pd.concat([twins, beats, early], ignore_index=True)
    rows = rows_of(several)
    found = recover(rows, several)
    assert found["ambiguous"].sum() == 3
    assert found.loc[found["ambiguous"], "record"].tolist() == ["a00", beats["record"].iloc[0], "r99"]
    assert sorted(found["sample"]) == sorted(several["sample"])


def test_a_row_that_equals_two_beats_is_ambiguous_even_when_it_stands_alone(beats):
    several = pd.concat([beats, beats.iloc[[3]].assign(record="r99")], ignore_index=True)
    found = recover(rows_of(beats), several)
    assert found["ambiguous"].sum() == 1


def test_the_label_tells_beats_of_equal_signal_apart(beats):
    other = beats.iloc[[0]].assign(target=(beats["target"].iloc[0] + 1) % 5, record="r99")
    several = pd.concat([beats, other], ignore_index=True)
    rows = rows_of(several)
    found = recover(rows, several)
    assert not found["ambiguous"].any()
    assert found["record"].tolist() == several.loc[rows.index, "record"].tolist()


def test_foreign_rows_are_an_error_that_counts_and_places_them(beats):
    rows = rows_of(beats)
    rows.iloc[[0, 4], 0] = [0.123, 0.321]
    with pytest.raises(BeatwiseError, match=rf"2 of {len(rows)} rows are equal to no beat.*train row 0, train row 4"):
        recover(rows, beats)


def test_a_row_off_by_one_bit_is_foreign(beats):
    rows = rows_of(beats)
    first = rows["1"].to_numpy(np.float32, copy=True)
    first[0] = np.nextafter(first[0], np.float32(2))
    rows["1"] = first
    with pytest.raises(BeatwiseError, match="1 of"):
        recover(rows, beats)


def test_more_equal_rows_than_beats_are_an_error(beats):
    rows = rows_of(beats)
    with pytest.raises(BeatwiseError, match="1 of"):
        recover(pd.concat([rows, rows.iloc[[0]]]), beats)


def test_a_summary_counts_rows_records_and_what_is_shared(beats):
    found = recover(rows_of(beats), beats)
    summary = summarise_provenance(found)
    by_part = found.groupby("part")["record"].agg(set)
    assert summary["rows"] == len(beats)
    assert summary["rows_by_part"] == {"train": 72, "test": 36}
    assert summary["ambiguous_rows"] == []
    assert summary["records"] == beats["record"].nunique()
    assert summary["records_in_every_part"] == sorted(by_part["train"] & by_part["test"])


def test_a_summary_names_ambiguous_rows(beats):
    several = pd.concat([beats, beats.iloc[[0]].assign(record="r99", sample=1)], ignore_index=True)
    rows = summarise_provenance(recover(rows_of(several), several))["ambiguous_rows"]
    assert isinstance(rows, list)
    assert {row["record"] for row in rows} == {"r99", beats["record"].iloc[0]}
