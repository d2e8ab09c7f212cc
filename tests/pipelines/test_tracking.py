"""Where MLflow keeps the runs: in a project that was moved, and on a server that answers, does not, or stops to."""

from __future__ import annotations

import os
import shutil
import subprocess
import sys
import time
import urllib.request
from collections.abc import Iterator
from contextlib import suppress
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import mlflow
import pytest
from kedro.config import OmegaConfigLoader
from mlflow.exceptions import MlflowException

from beatwise.core.errors import BeatwiseError
from beatwise.hooks.tracking import TrackedRun
from beatwise.scoring.models import load_scorer
from tests.conftest import run_session


@pytest.fixture(autouse=True)
def as_before(monkeypatch: pytest.MonkeyPatch) -> Iterator[None]:
    """Afterwards MLflow is as it was."""
    for name in ("MLFLOW_TRACKING_URI", "MLFLOW_HTTP_REQUEST_MAX_RETRIES", "MLFLOW_HTTP_REQUEST_TIMEOUT"):
        monkeypatch.setenv(name, os.environ.get(name, ""))
        monkeypatch.delenv(name)
    yield
    mlflow.set_tracking_uri(None)


def tracked_run(folder: Path, uri: str = "") -> TrackedRun:
    """What MLflow is for a project in a folder, with the server at an address or with a database of its own."""
    settings = {
        "server": {"mlflow_tracking_uri": uri or f"sqlite:///{folder}/data/09_tracking/mlflow.db"},
        "tracking": {
            "experiment": {
                "name": "e",
                "create_experiment_kwargs": {"artifact_location": f"{folder}/data/09_tracking/artifacts"},
            }
        },
    }
    (folder / "data/09_tracking").mkdir(parents=True, exist_ok=True)
    loader = OmegaConfigLoader(conf_source="", config_patterns={"mlflow": []})
    loader["mlflow"] = settings
    context: Any = SimpleNamespace(config_loader=loader, project_path=folder, _get_config_credentials=dict)
    return TrackedRun(context)


def logged(file: str) -> str:
    """The ID of a new run with a file."""
    client = mlflow.MlflowClient()
    run_id: str = client.create_run(mlflow.set_experiment("e").experiment_id).info.run_id
    client.log_text(run_id, "text", file)
    return run_id


def test_artifacts_of_a_project_that_was_moved_are_found_and_new_ones_lie_beside_them(tmp_path: Path) -> None:
    tracked_run(tmp_path / "here")
    first = logged("first.txt")
    shutil.move(tmp_path / "here", tmp_path / "there")
    tracked_run(tmp_path / "there")
    assert mlflow.artifacts.load_text(f"runs:/{first}/first.txt") == "text"
    logged("second.txt")
    assert {f.name for f in (tmp_path / "there/data/09_tracking/artifacts").rglob("*.txt")} == {
        "first.txt",
        "second.txt",
    }
    assert not (tmp_path / "here").exists()


def test_a_server_that_does_not_answer_is_refused_by_runs_that_it_is_to_track(tmp_path: Path) -> None:
    tracked = tracked_run(tmp_path, "http://127.0.0.1:9")
    with pytest.raises(BeatwiseError, match=r"^No MLflow server answers at http://127\.0\.0\.1:9\. Start it"):
        tracked.check()


def test_a_run_goes_on_without_a_server_that_stops_to_answer(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    tracked = tracked_run(tmp_path)
    tracked.uri, tracked.is_remote = "http://127.0.0.1:9", True
    asked = []

    def no_answer(tags: dict[str, str]) -> None:
        asked.append(tags)
        raise MlflowException("Max retries exceeded\nand more")

    monkeypatch.setattr(mlflow, "set_tags", no_answer)
    tracked.tag({"a": "1"})
    tracked.tag({"b": "2"})
    assert asked == [{"a": "1"}]
    assert [record.getMessage() for record in caplog.records if record.name.startswith("beatwise")] == [
        "http://127.0.0.1:9 does not answer any more (Max retries exceeded). The rest of this run is not tracked."
    ]
    tracked.is_lost, tracked.is_remote = False, False
    with pytest.raises(MlflowException):
        tracked.tag({"c": "3"})


@pytest.mark.slow
def test_a_server_keeps_runs_artifacts_and_the_champion(project: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    kept, uri = project / "server", "http://127.0.0.1:5871"
    kept.mkdir()
    server = subprocess.Popen(
        [Path(sys.executable).with_name("mlflow"), "server", "--port", "5871", "--backend-store-uri", "sqlite:///m.db"],
        cwd=kept,
        env={**os.environ, "MLFLOW_WORKERS": "1", "MLFLOW_SERVER_ENABLE_JOB_EXECUTION": "false"},
        start_new_session=True,
    )
    try:
        for _ in range(600):
            with suppress(OSError):
                urllib.request.urlopen(f"{uri}/health")
                break
            time.sleep(0.5)
        monkeypatch.setenv("BEATWISE_MLFLOW", uri)
        run_session(project, to_outputs=["baseline.metrics", "baseline.scorer"])
        (model,) = mlflow.search_runs(
            experiment_names=["beatwise-test"], filter_string="tags.fitted = 'baseline'", output_format="list"
        )
        assert model.info.artifact_uri.startswith("mlflow-artifacts:/")
        assert "metrics.json" in [f.path for f in mlflow.MlflowClient().list_artifacts(model.info.run_id)]
        assert list(kept.glob("mlartifacts/**/metrics.json"))
        assert not (project / "data/09_tracking/artifacts").exists()
        run_session(project, "promote")
        (scorer,) = project.glob("data/06_models/test/baseline/scorer/*/scorer")
        shutil.rmtree(scorer)
        assert load_scorer("champion", project / "data/06_models/test").source == "test"
    finally:
        os.killpg(server.pid, 15)
        server.wait()
