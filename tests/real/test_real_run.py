"""The main job on the real Kaggle split, as typed: minutes, not seconds."""

from __future__ import annotations

import json
import os
import subprocess
import sys
from pathlib import Path

import pandas as pd
import pytest

from tests.conftest import copy_project

pytestmark = [pytest.mark.real_data, pytest.mark.slow]


def kedro_run(folder: Path, data: Path, *arguments: str) -> str:
    kedro = Path(sys.executable).with_name("kedro")
    environment = {**os.environ, "BEATWISE_DATA": str(data), "DO_NOT_TRACK": "1"}
    done = subprocess.run(
        [kedro, "run", *arguments], cwd=folder, env=environment, capture_output=True, text=True, timeout=2300
    )
    assert done.returncode == 0, done.stdout[-3000:] + done.stderr[-3000:]
    return done.stdout


def test_resnet1d_on_the_real_beats_reaches_the_bars_with_intervals(real_data: Path, tmp_path: Path) -> None:
    folder = copy_project(tmp_path)
    # Less than by default, to save minutes; so many epochs take it to .986 and .916.
    fewer = "train.epochs=6,evaluate.bootstrap_draws=100,explain.projections.use=pca"
    shown = kedro_run(folder, real_data, "--env=mitbih", "--pipeline=train", f"--params={fewer}")
    assert "model, test" in shown
    summary = json.loads((folder / "data/03_primary/mitbih/data_summary.json").read_text(encoding="utf-8"))
    assert summary["parts"]["train"]["beats"] + summary["parts"]["val"]["beats"] == 87_554
    assert summary["parts"]["test"]["beats"] == 21_892
    (metrics,) = (folder / "data/07_model_output/mitbih/baseline/metrics.json").glob("*/metrics.json")
    overall = json.loads(metrics.read_text(encoding="utf-8"))["test"]["overall"]
    assert overall["accuracy"]["value"] >= 0.98
    assert overall["macro_f1"]["value"] >= 0.90
    for metric in (overall["accuracy"], overall["macro_f1"]):
        assert metric["low"] < metric["value"] < metric["high"]


def test_segment_turns_the_48_records_into_109_446_beats(real_data: Path, tmp_path: Path) -> None:
    folder = copy_project(tmp_path)
    kedro_run(folder, real_data, "--env=mitdb", "--pipeline=segment")
    beats = pd.read_parquet(folder / "data/02_intermediate/mitdb/beats.parquet")
    assert len(beats) == 109_446
    assert beats["record"].nunique() == 48
    assert {"target", "record", "sample", "lead", "rr_before", "rr_after", "0", "186"} <= set(beats.columns)


def test_provenance_gives_the_rows_their_records_and_the_patient_wise_split_works_on_them(
    real_data: Path, tmp_path: Path
) -> None:
    folder = copy_project(tmp_path)
    kedro_run(folder, real_data, "--env=mitbih", "--pipeline=provenance")
    found = json.loads((folder / "data/02_intermediate/mitbih/provenance_summary.json").read_text(encoding="utf-8"))
    assert (found["rows"], found["records"], len(found["records_in_every_part"])) == (109_446, 48, 48)
    assert found["ambiguous_rows"] == []
    kedro_run(folder, real_data, "--env=mitbih_rr", "--pipeline=ingest", "--params=ingest.split.use=ds1_ds2")
    summary = json.loads((folder / "data/03_primary/mitbih_rr/data_summary.json").read_text(encoding="utf-8"))
    assert summary["records"]["shared"]["train and test"] == []


def test_the_ptb_rows_without_a_test_part_are_split_80_20(real_data: Path, tmp_path: Path) -> None:
    if (real_data / "heartbeat" / "heart_test.parq").is_file():
        pytest.skip("this copy of the data has a test part")
    folder = copy_project(tmp_path)
    kedro_run(folder, real_data, "--env=ptb", "--pipeline=ingest")
    parts = json.loads((folder / "data/03_primary/ptb/data_summary.json").read_text(encoding="utf-8"))["parts"]
    total = sum(part["beats"] for part in parts.values())
    assert parts["test"]["beats"] == pytest.approx(0.2 * total, abs=1)
    assert set(parts["test"]["counts"]) == {"normal", "abnormal"}
