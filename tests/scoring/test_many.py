"""Many recordings on Ray Data."""

from __future__ import annotations

import os
import signal
from dataclasses import replace
from pathlib import Path

import pandas as pd
import pytest
import wfdb

from beatwise.core.errors import BeatwiseError
from beatwise.ecg.reading import find_records
from beatwise.ecg.records import Record
from beatwise.ecg.settings import Read
from beatwise.scoring.many import score_folder
from beatwise.scoring.run import score_path
from beatwise.scoring.scorer import Cut, Scorer
from beatwise.scoring.settings import Score
from beatwise.search.engine import started_ray
from beatwise.search.settings import RaySettings
from tests.conftest import CLASSES
from tests.explanation.cases import LENGTH, explained, waves
from tools.synthetic_records import SyntheticSettings, synthesise_records

RAY = RaySettings(cpus=2)
SETTINGS = Score(read=Read(annotator="atr"))


@pytest.fixture
def scorer() -> Scorer:
    model = explained(waves(), "mlp", layers=1, width=8).model
    cut = Cut("kaggle", {"n_samples": LENGTH, "keep_every": 3}, 360.0)
    return Scorer(model, "test", cut, dict.fromkeys(CLASSES, 1.0), accept=0.5)


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    """Three records, one with a name that a path must not hold as it is, and one whose signal file is cut short."""
    folder = tmp_path / "records"
    (folder / "_day=1").mkdir(parents=True)
    places = ("one", "_day=1/two", "three", "short")
    made = synthesise_records(SyntheticSettings(n_records=4, beats_per_record=40), seed=0)
    for place, record in zip(places, made, strict=True):
        write(folder / place, record)
    short = (folder / "short.dat").read_bytes()
    (folder / "short.dat").write_bytes(short[: len(short) // 2])
    return folder


def write(place: Path, record: Record) -> None:
    wfdb.wrsamp(
        place.name,
        fs=record.sample_rate,
        units=["mV"] * len(record.leads),
        sig_name=list(record.leads),
        d_signal=record.adc,
        fmt=["16"] * len(record.leads),
        adc_gain=list(record.adc_gain),
        baseline=list(record.adc_baseline),
        write_dir=str(place.parent),
    )
    samples, symbols = record.annotation_samples, record.annotation_symbols.tolist()
    wfdb.wrann(place.name, "atr", samples, symbols, fs=record.sample_rate, write_dir=str(place.parent))


def times(out: Path) -> dict[str, int]:
    """When the beats of each record were written."""
    return {file.name: file.stat().st_mtime_ns for file in (out / "beats.parquet").iterdir()}


def changed(before: dict[str, int], after: dict[str, int]) -> set[str]:
    return {name for name in after if after[name] != before.get(name)}


@pytest.mark.slow
def test_recordings_fail_alone_and_what_would_come_out_the_same_is_kept(
    folder: Path, scorer: Scorer, tmp_path: Path
) -> None:
    out = tmp_path / "out"
    good = ["_day=1/two", "one", "three"]
    with started_ray(RAY):
        outcome = score_path(folder, scorer, SETTINGS, out, RAY)
        assert [summary["record"] for summary in outcome.summaries] == good
        assert "cut short" in outcome.failed.pop("short")
        assert not outcome.failed
        beats = pd.read_parquet(out / "beats.parquet")
        assert beats["record"].value_counts().to_dict() == {s["record"]: s["beats"] for s in outcome.summaries}
        assert pd.read_parquet(out / "failed.parquet")["record"].tolist() == ["short"]
        assert sorted(path.name for path in (out / "annotations").rglob("*.bwz")) == ["one.bwz", "three.bwz", "two.bwz"]

        # A new record, one of another signal, one that is gone, one that kills its process, and one as it was.
        made = synthesise_records(SyntheticSettings(n_records=2, beats_per_record=40), seed=1)
        write(folder / "four", made[0])
        write(folder / "one", made[1])
        records = find_records(folder, SETTINGS.read)
        del records["three"], records["short"]

        def dies() -> Record:
            os.kill(os.getpid(), signal.SIGKILL)
            raise AssertionError

        before = times(out)
        table, failed = score_folder({**records, "dies": dies}, scorer, SETTINGS, RAY, out)
        assert table["record"].tolist() == ["_day=1/two", "four", "one"]
        assert list(failed) == ["dies"]
        assert "killed" in failed["dies"]
        assert changed(before, times(out)) == {"record-one.parquet", "record-four.parquet"}
        assert not list(out.rglob("*three*"))

        before = times(out)
        score_folder(records, replace(scorer, accept=0.9), SETTINGS, RAY, out)
        assert len(changed(before, times(out))) == 3
        other = SETTINGS.model_copy(update={"lead": "V9"})
        with pytest.raises(BeatwiseError, match=r"None of 3 recordings could be scored\. .*no lead 'V9'"):
            score_folder(records, scorer, other, RAY, out)
        assert not list((out / "beats.parquet").iterdir())
