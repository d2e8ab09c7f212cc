"""Facts about the real data: ``BEATWISE_DATA=… pytest tests/real -m real_data``."""

from __future__ import annotations

import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
import pytest

from beatwise.data.examples import PART
from beatwise.data.resampling import STRATEGIES, resample_examples
from beatwise.datasets.records import RecordsDataset
from beatwise.ecg.beats import examples_of
from beatwise.ecg.provenance import recover_provenance, summarise_provenance
from beatwise.ecg.records import Record
from beatwise.ecg.segmentation import RULES, segment_records
from tests.tables import labels, signals

pytestmark = pytest.mark.real_data

CLASSES = ["N", "S", "V", "F", "Q"]
HOW: dict[str, Any] = {
    "rule": "kaggle",
    "options": RULES.options("kaggle", {}),
    "classes": CLASSES,
    "aami": {"N": list("NLRej"), "S": list("AaJS"), "V": list("VE"), "F": ["F"], "Q": list("/fQ")},
}
KEY = ["record", "sample"]


@pytest.fixture(scope="module")
def records(real_data: Path) -> list[Record]:
    return [read() for read in RecordsDataset(filepath=str(real_data / "mitdb")).load().values()]


@pytest.fixture(scope="module")
def beats(records: list[Record]) -> pd.DataFrame:
    return segment_records(records, **HOW)[0]


@pytest.fixture(scope="module")
def kaggle(real_data: Path) -> dict[str, pd.DataFrame]:
    return {part: pd.read_parquet(real_data / "heartbeat" / f"heart_big_{part}.parq") for part in ("train", "test")}


@pytest.fixture(scope="module")
def origin(real_data: Path) -> dict[str, pd.DataFrame]:
    tables = {}
    for part in ("train", "test"):
        table = pd.read_parquet(real_data / "heartbeat" / f"heart_big_{part}_provenance.parq")
        tables[part] = table.astype({"record": str, "sample": np.int64})
    return tables


def resampled_counts(train: pd.DataFrame, use: str, seed: int = 42) -> list[int]:
    made = resample_examples(examples_of(train), use, STRATEGIES.options(use, {}), CLASSES, seed)
    return np.bincount(made.target).tolist()


def test_the_official_parts_have_their_class_counts(kaggle):
    assert np.bincount(labels(kaggle["train"])).tolist() == [72471, 2223, 5788, 641, 6431]
    assert np.bincount(labels(kaggle["test"])).tolist() == [18118, 556, 1448, 162, 1608]


def test_48_records_make_109446_beats(records, beats):
    assert len(records) == beats["record"].nunique() == 48
    assert len(beats) == 109_446
    assert not beats.duplicated(KEY).any()


@pytest.mark.parametrize("part", ["train", "test"])
def test_segmentation_reproduces_the_kaggle_rows_to_the_last_bit(beats, kaggle, origin, part):
    place = pd.Series(np.arange(len(beats)), index=pd.MultiIndex.from_frame(beats[KEY]))
    rows = beats.iloc[place.loc[pd.MultiIndex.from_frame(origin[part][KEY])].to_numpy()]
    assert len(rows) == len(kaggle[part])
    assert (signals(rows).view(np.uint32) == signals(kaggle[part]).view(np.uint32)).all()
    np.testing.assert_array_equal(labels(rows), labels(kaggle[part]))


def test_every_row_gets_its_record_and_sample_back(beats, kaggle, origin):
    raw = pd.concat([table.assign(**{PART: part}) for part, table in kaggle.items()], ignore_index=True)
    found = recover_provenance(examples_of(raw), examples_of(beats))
    expected = pd.concat([origin["train"], origin["test"]], ignore_index=True)
    assert (found["record"].astype(str) == expected["record"]).all()
    assert (found["sample"] == expected["sample"]).all()
    summary = summarise_provenance(found)
    shared = summary.pop("records_in_every_part")
    assert isinstance(shared, list)
    assert len(shared) == 48
    assert summary == {
        "rows": 109_446,
        "rows_by_part": {"train": 87_554, "test": 21_892},
        "ambiguous_rows": [],
        "records": 48,
    }


def test_semi_oversampling_gives_the_counts_of_the_notebook(kaggle):
    assert resampled_counts(kaggle["train"], "semi_oversampling") == [72471, 10761, 27743, 3029, 30938]


def test_full_oversampling_gives_55000_beats_of_every_class(kaggle):
    assert resampled_counts(kaggle["train"], "full_oversampling") == [55_000] * 5


def test_smote_brings_every_class_to_the_size_of_the_largest(kaggle):
    assert resampled_counts(kaggle["train"], "smote") == [72_471] * 5


def seconds(function: Callable[[], object]) -> float:
    started = time.perf_counter()
    function()
    return time.perf_counter() - started


def test_cutting_records_costs_at_most_a_quarter_of_reading_them(real_data, records):
    stored = RecordsDataset(filepath=str(real_data / "mitdb"))
    reading, cutting = [], []
    # In turn, so that a machine that is busy for a while slows both.
    for _ in range(3):
        reading.append(seconds(lambda: [read() for read in stored.load().values()]))
        cutting.append(seconds(lambda: segment_records(records, **HOW)))
    assert min(cutting) <= min(reading) / 4
