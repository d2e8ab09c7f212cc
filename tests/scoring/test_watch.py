"""What a scoring leaves is compared by the pipeline `monitor`: page, terminal and exit code."""

from __future__ import annotations

from pathlib import Path
from types import SimpleNamespace
from typing import Any

import pandas as pd
import pytest
from kedro.framework.startup import bootstrap_project

from beatwise.core.errors import BeatwiseError
from beatwise.scoring import NOTICE
from beatwise.scoring.monitoring import describe
from beatwise.scoring.settings import Monitor
from beatwise.scoring.watch import watch, write_monitoring
from tests.conftest import ROOT, copy_project, typed
from tests.scoring.test_monitoring import scored


def leave(folder: Path, beats: pd.DataFrame, reference: dict[str, Any]) -> Path:
    """The results of a scoring, with a record in which no beat was found."""
    folder.mkdir(parents=True)
    identity = {"version": "0123456789ab", "source": "demo", "model": "cnn1d"}
    scorer: Any = SimpleNamespace(identity=identity, reference=reference)
    beats.to_parquet(folder / "beats.parquet")
    names = [*beats["record"].unique(), "flat"]
    pd.DataFrame({"record": names, "unusable_share": [0.0] * (len(names) - 1) + [1.0]}).to_parquet(
        folder / "records.parquet"
    )
    write_monitoring(folder, scorer)
    return folder


def test_the_latest_scoring_is_compared_and_a_trusted_run_can_be_the_reference(tmp_path: Path) -> None:
    reference = describe(scored(30, 100, seed=0))
    quiet = leave(tmp_path / "a", scored(15, 100, seed=1), reference)
    found, page = watch(quiet, Monitor(), seed=0)
    assert not found["raised"]
    assert "<h1>No alarm</h1>" in page
    assert (found["records"], found["unusable"]["share"]) == (16, pytest.approx(1 / 16))
    loud = leave(tmp_path / "b", scored(15, 100, seed=2, noise=1.0), reference)
    found, page = watch(tmp_path, Monitor(), seed=0)
    assert found["alarms"] == ["roughness"]
    assert found["lines"][0] == "ALARM: roughness."
    assert NOTICE in page
    assert "<h1>Alarm: roughness</h1>" in page
    assert [(run["run"], run["alarms"]) for run in found["earlier"]] == [(str(quiet), [])]
    found, _ = watch(loud, Monitor(reference=str(loud)), seed=0)
    assert not found["raised"]
    assert str(loud) in found["against"]


def test_what_cannot_be_compared_is_refused_in_words(tmp_path: Path) -> None:
    with pytest.raises(BeatwiseError, match=r"no monitoring\.json .* monitor\.input"):
        watch(tmp_path, Monitor(), seed=0)
    few = leave(tmp_path / "few", scored(2, 50, seed=1), describe(scored(2, 50, seed=0)))
    with pytest.raises(BeatwiseError, match=r"fewer than 5 records"):
        watch(few, Monitor(), seed=0)
    (few / "monitoring.json").write_text("{", encoding="utf-8")
    with pytest.raises(BeatwiseError, match=r"few/monitoring\.json cannot be read"):
        watch(few, Monitor(), seed=0)


@pytest.mark.slow
@pytest.mark.usefixtures("kept_process")
def test_a_scheduler_learns_of_an_alarm_by_the_exit_code(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    project = copy_project(tmp_path / "project")
    reference = describe(scored(30, 100, seed=0))
    folder = project / "data/07_model_output/test/scored"
    try:
        bootstrap_project(project)
        monkeypatch.chdir(project)
        run = ("run", "--env=test", "--pipeline=monitor")
        assert typed(*run).exit_code == 1
        leave(folder / "a", scored(15, 100, seed=1), reference)
        assert typed(*run).exit_code == 0
        leave(folder / "b", scored(15, 100, seed=2, noise=1.0), reference)
        assert typed(*run).exit_code == 3
        assert typed(*run, f"--params=monitor.input={folder / 'a'}").exit_code == 0
        assert len(list((project / "data/08_reporting/test/monitoring.html").glob("*/monitoring.html"))) == 3
    finally:
        bootstrap_project(ROOT)
