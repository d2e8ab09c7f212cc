"""Recordings become classified beats, cut as those of the training were, and files that other programs open."""

from __future__ import annotations

import json
from dataclasses import replace
from functools import cache
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
import pytest
import wfdb
from click.testing import CliRunner

from beatwise.__main__ import commands
from beatwise.core.errors import BeatwiseError
from beatwise.data.examples import Examples
from beatwise.datasets.records import RecordsDataset
from beatwise.ecg.beats import examples_of
from beatwise.ecg.detection import DEFAULT
from beatwise.ecg.records import Record
from beatwise.ecg.segmentation import segment_examples, segment_records
from beatwise.scoring.outputs import write_annotations
from beatwise.scoring.score import score_examples, score_record
from beatwise.scoring.scorer import Cut, Scorer, read_scorer, write_scorer
from beatwise.scoring.settings import Score
from tests.conftest import CLASSES
from tests.explanation.cases import explained
from tools.synthetic_records import SyntheticSettings, synthesise_records

AAMI = {"N": ["N", "L", "R", "e", "j"], "S": ["A", "a", "J", "S"], "V": ["V", "E"], "F": ["F"], "Q": ["/", "f", "Q"]}
RULES: dict[str, dict[str, Any]] = {
    "kaggle": {"n_samples": 60, "keep_every": 3},
    "window": {"before": 0.2, "after": 0.3, "rate": 120.0},
}


@cache
def record() -> Record:
    made = synthesise_records(SyntheticSettings(n_records=2, beats_per_record=60, noise=0.3), seed=3)[1]
    # Kaggle's rule counts marks that are no beats, too, which new recordings do not have.
    beats = np.isin(made.annotation_symbols, [code for codes in AAMI.values() for code in codes])
    return replace(
        made,
        annotation_samples=made.annotation_samples[beats],
        annotation_symbols=made.annotation_symbols[beats],
    )


def beats_of(rule: str) -> Examples:
    table, _ = segment_records([record()], rule=rule, options=RULES[rule], classes=CLASSES, aami=AAMI)
    return examples_of(table)


@cache
def scorer(rule: str) -> Scorer:
    model = explained(beats_of(rule), "mlp", steps=15, layers=1, width=8).model
    factors = dict(zip(CLASSES, (1.0, 3.0, 2.0, 5.0, 1.5), strict=True))
    return Scorer(
        model, "test", Cut(rule, RULES[rule], 360.0 if rule == "kaggle" else None, ("V1", "MLII")), factors, 0.6
    )


@pytest.mark.parametrize("rule", RULES)
def test_beats_of_a_recording_are_those_of_the_training_and_the_last_one(rule: str) -> None:
    made, settings = scorer(rule), Score(lead="MLII")
    scored = score_record(record(), made, settings)
    expected = made.predict(beats_of(rule))
    assert scored.beats["sample"].tolist() == record().annotation_samples.tolist()
    columns = list(expected.columns)
    # The interval after the last but one is not the record's end here.
    pd.testing.assert_frame_equal(scored.beats[columns].iloc[:-2], expected.iloc[:-1], rtol=1e-5)
    assert set(scored.beats["class"]) > {"N"}
    slower = score_record(record().at_rate(250), made, settings)
    assert np.abs(slower.beats["sample"] / 250 - scored.beats["seconds"]).max() < 0.005
    assert (slower.beats["class"] == scored.beats["class"]).mean() > 0.9


def test_windows_of_a_recording_are_those_of_the_training_whichever_lead_stands_first(tmp_path: Path, caplog) -> None:
    options = {"before": 0.35, "after": 0.65, "rate": 120.0, "high_pass": 0.5, "scale": "record"}
    cut = Cut("window", options, None, ("MLII", 0), 2, ("log_rr",))
    leads: dict[str, Any] = {"lead": ["MLII", 0], "leads": 2}
    windows, _ = segment_examples(
        [record()], rule="window", options=options, classes=CLASSES, aami=AAMI, features=["log_rr"], **leads
    )
    factors = dict.fromkeys(CLASSES, 1.0)
    made = Scorer(explained(windows, "resnet1d", steps=15).model, "test", cut, factors, 0.6)
    expected = made.predict(windows)
    for one in (record(), record().of_leads([1, 0])):
        scored = score_record(one, made, Score())
        assert (scored.lead, len(scored.beats)) == ("MLII", len(windows) + 1)
        pd.testing.assert_frame_equal(scored.beats[list(expected)].iloc[:-1], expected, rtol=1e-4)
        write_annotations(tmp_path, one, scored)
    few = {name: getattr(record(), name)[:40] for name in ("annotation_samples", "annotation_symbols")}
    score_record(replace(record(), **few), made, Score(lead="MLII"))
    assert "R peaks; this model describes a beat beside all others of its recording" in caplog.text
    with pytest.raises(BeatwiseError, match=r"has no 2 leads, of which this model takes windows, but MLII\."):
        score_record(record().of_leads([0]), made, Score())
    with pytest.raises(BeatwiseError, match=r"'log_rr_before'.* beside all others of their recording: score the"):
        made.predict(windows.without("log_rr_before"))
    (tmp_path / "scorer").mkdir()
    write_scorer(tmp_path / "scorer", made)
    assert (read_scorer(tmp_path / "scorer").version, read_scorer(tmp_path / "scorer").cut) == (made.version, cut)


def test_a_stretch_without_samples_has_no_beat_and_is_no_pause() -> None:
    made, whole = scorer("kaggle"), score_record(record(), scorer("kaggle"), Score(lead="MLII"))
    missing = np.zeros(record().adc.shape, dtype=bool)
    missing[5000:7000] = True
    gap = replace(record(), adc=np.ma.masked_array(record().adc, missing))
    scored = score_record(gap, made, Score(lead="MLII"))
    # Beside the gap, too little may be left to tell noise from beats.
    assert any(first <= 5000 and end >= 7000 for first, end in scored.unusable)
    for first, end in scored.unusable:
        assert not scored.beats["sample"].between(first, end - 1).any()
    assert len(whole.beats) / 2 < len(scored.beats) < len(whole.beats) - 2
    longest = whole.beats[["rr_before", "rr_after"]].max().max()
    assert scored.beats[["rr_before", "rr_after"]].max().max() <= longest
    nothing = score_record(
        replace(gap, adc=np.ma.masked_array(gap.adc, np.ones_like(missing))), made, Score(lead="MLII")
    )
    assert (len(nothing.beats), nothing.unusable.tolist()) == (0, [[0, len(gap.adc)]])
    assert list(nothing.beats.columns) == list(scored.beats.columns)
    # One beat, and two with the gap between them: no interval is known, so neither the length nor the RR features are.
    beside = np.searchsorted(whole.beats["sample"], 6000) + np.array([-4, 4])
    places = whole.beats["sample"].to_numpy()[beside]
    for places_left in (places[:1], places):
        few = replace(gap, annotation_samples=places_left, annotation_symbols=np.full(len(places_left), "N"))
        left_out = score_record(few, made, Score(lead="MLII"))
        assert (len(left_out.beats), left_out.without_interval) == (0, len(places_left))
        assert list(left_out.beats.columns) == list(scored.beats.columns)


def test_a_stored_scorer_predicts_the_same_and_its_facts_belong_to_its_model(tmp_path: Path) -> None:
    made, beats = scorer("kaggle"), beats_of("kaggle")
    write_scorer(tmp_path, made)
    again = read_scorer(tmp_path)
    assert (again.version, again.cut) == (made.version, made.cut)
    predicted = again.predict(beats)
    pd.testing.assert_frame_equal(predicted, made.predict(beats))
    probability = predicted.filter(like="probability_").to_numpy()
    factors = np.array(list(made.class_factors.values()))
    assert predicted["recall_first"].tolist() == np.array(CLASSES)[(probability * factors).argmax(axis=1)].tolist()
    assert predicted["unsure"].tolist() == (probability.max(axis=1) < 0.6).tolist()
    facts = json.loads((tmp_path / "scorer.json").read_text("utf-8"))
    (tmp_path / "scorer.json").write_text(json.dumps({**facts, "model": "another"}), "utf-8")
    with pytest.raises(BeatwiseError, match="belongs to another model"):
        read_scorer(tmp_path)
    for value, message in ((np.nan, "not a finite number"), (1.5, "outside")):
        x = beats.x.copy()
        x[3, 7] = value
        with pytest.raises(BeatwiseError, match=f"Row 3, column '7' .*{message}"):
            score_examples(Examples(x, beats.table), made)


def test_other_programs_read_the_annotations_and_the_lead(tmp_path: Path) -> None:
    scored = replace(score_record(record(), scorer("kaggle"), Score(lead="MLII")), unusable=np.array([[5000, 7000]]))
    write_annotations(tmp_path, record(), scored)
    # WFDB allows no space; what it makes of names stays apart.
    for name in ("a b", "a_b"):
        write_annotations(tmp_path, record(), replace(scored, name=name))
    assert len({file.stem for file in tmp_path.glob("a_b*.bwz")}) == 2
    read = wfdb.rdann(str(tmp_path / record().name), "bwz")
    is_beat = np.array(read.symbol) != "~"
    assert read.fs == 360
    assert read.sample[is_beat].tolist() == scored.beats["sample"].tolist()
    assert np.array(read.symbol)[is_beat].tolist() == scored.beats["class"].tolist()
    assert list(zip(read.sample[~is_beat], read.subtype[~is_beat], strict=True)) == [(5000, -1), (7000, 0)]
    signal, fields = wfdb.rdsamp(str(tmp_path / record().name))
    assert (fields["fs"], fields["sig_name"]) == (360, ["MLII"])
    assert np.abs(signal[:, 0] - record().of_leads([0]).millivolts()[:, 0]).max() < 1e-3


def test_the_command_scores_outside_a_project(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tmp_path)
    RecordsDataset(filepath=str(tmp_path / "records")).save([record()])
    (tmp_path / "model").mkdir()
    write_scorer(tmp_path / "model", scorer("kaggle"))
    place = str(tmp_path / "records" / record().name)
    given = ["score", place, "--model=model", "--out=results", "--lead=MLII"]
    done = CliRunner().invoke(commands, [*given, "--params=score.read.annotator=atr"])
    assert done.exit_code == 0, done.output
    assert f"{record().name}: {len(record().annotation_samples)} beats" in done.output
    assert done.output.endswith("Research software, no medical device.\n")
    assert len(pd.read_parquet("results/beats.parquet")) == len(record().annotation_samples)
    assert json.loads(Path("results/scored.json").read_text("utf-8"))["scorer"]["version"] == scorer("kaggle").version
    found = CliRunner().invoke(commands, [*given[:-1], "--lead=MLII"])
    assert f"R peaks: {DEFAULT}" in found.output
    Path("mine").mkdir()
    Path("mine/thesis.txt").write_text("years of work", "utf-8")
    refused = CliRunner().invoke(commands, ["score", place, "--model=model", "--out=mine"])
    assert (refused.exit_code, Path("mine/thesis.txt").exists()) == (1, True)
