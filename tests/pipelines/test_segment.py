from __future__ import annotations

import logging
from dataclasses import replace
from functools import partial
from typing import Any

import numpy as np
import pytest

from beatwise.core.errors import BeatwiseError
from beatwise.core.settings import checked
from beatwise.ecg.records import Record
from beatwise.ecg.settings import Segment
from beatwise.pipelines.segment.nodes import cut_records

AAMI = {"N": ["N"], "V": ["V"]}


def read(name: str, annotator: str, uncalibrated: bool) -> Record:
    """A record of five beats; the annotator `late` finds them later; `100` lacks samples and has a beat twice."""
    rng = np.random.default_rng(int(name))
    missing = np.zeros((2000, 1), dtype=bool)
    missing[500:510] = name == "100"
    peaks = np.array([100, 400, 800, 1200, 1200 if name == "100" else 1300, 1600]) + (annotator == "late")
    return Record(
        name=name,
        adc=np.ma.masked_array(rng.integers(0, 2048, size=(2000, 1)), missing),
        sample_rate=360.0,
        leads=("MLII",),
        adc_gain=(200.0,),
        adc_baseline=(1024,),
        annotation_samples=peaks,
        annotation_symbols=np.array(list("NNVNNN")),
    )


RECORDS = {name: partial(read, name) for name in ("100", "101", "102")}


def segment(**given: Any) -> Segment:
    return checked(Segment, {"rule": {"use": "kaggle"}, "aami": AAMI, "same_sample": "first", **given}, "")


def cut(**given: Any) -> tuple[Any, dict[str, Any]]:
    return cut_records(RECORDS, segment(**given), ["N", "V"], 120.0, 187)


@pytest.mark.parametrize(
    ("given", "taken"),
    [
        ({}, ["100", "101", "102"]),
        ({"records": [101]}, ["101"]),
        ({"leave_out": 101}, ["100", "102"]),
        ({"leave_out": "101+102"}, ["100"]),
        ({"records": "102+101", "leave_out": ["102"]}, ["101"]),
    ],
)
def test_records_are_taken_and_left_by_name(given, taken):
    beats, summary = cut(**given)
    assert beats["record"].unique().tolist() == [row["record"] for row in summary["by_record"]] == taken


def test_the_records_of_a_folder_may_be_one_patient():
    records = {f"{folder}{name}": read for folder in ("p1/", "p2/", "") for name, read in RECORDS.items()}
    renamed = {path: lambda *given, path=path: replace(records[path](*given), name=path) for path in records}
    beats: Any = cut_records(renamed, segment(group="folder"), ["N", "V"], 120.0, 187)[0]
    groups = beats.groupby("record")["group"].unique().map(list).to_dict()
    assert groups == {path: [path.rpartition("/")[0] or path] for path in records}
    without: Any = cut_records(renamed, segment(), ["N", "V"], 120.0, 187)[0]
    assert "group" not in without


@pytest.mark.parametrize(
    ("given", "said"),
    [
        ({"leave_out": ["10"]}, r"segment\.leave_out: there is no record '10' among 3\. Nearest names: 10"),
        ({"records": ["a"]}, r"segment\.records: there is no record 'a'"),
        ({"records": [101], "leave_out": [101]}, "leave no record"),
    ],
)
def test_names_of_no_record_are_refused(given, said):
    with pytest.raises(BeatwiseError, match=said):
        cut(**given)


def test_beats_that_are_dropped_are_counted_and_logged_by_record(caplog):
    with caplog.at_level(logging.INFO):
        beats, summary = cut(annotator="late")
    totals = {name: summary[name] for name in ("records", "annotated", "cut", "no_samples", "same_sample", "last")}
    assert totals == {"records": 3, "annotated": 18, "cut": 13, "no_samples": 1, "same_sample": 1, "last": 3}
    assert sum(row["cut"] for row in summary["by_record"]) == len(beats) == 13
    assert beats["sample"].head(3).tolist() == [101, 801, 1201]
    said = [record.getMessage() for record in caplog.records]
    assert said == [
        "13 beats from 3 records",
        "Beats dropped, because the lead has no samples where they are: 1 (100: 1 of 6).",
        "Beats left out, because another beat is annotated on their sample: 1 (100: 1 of 6).",
    ]


def test_the_codes_of_beats_and_of_flutter_waves_may_be_mapped():
    assert segment(aami={"V": ["V", "!"], "N": ["N"]}).aami["V"] == ["V", "!"]
    with pytest.raises(BeatwiseError, match="'~' is no annotation code of a beat"):
        segment(aami={"V": ["~"]})
