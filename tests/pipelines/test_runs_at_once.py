"""Runs of one source that go on at once, in processes of their own."""

from __future__ import annotations

import json
import os
import subprocess
import sys
import time
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import mlflow
import pytest

from beatwise.runs.card import RunCard, read_card
from tests.conftest import copy_project

pytestmark = pytest.mark.slow
SECONDS = 400
# A run that waits before it trains: its tensors are saved, its model is not.
WAITING = """
import sys, time
from pathlib import Path
from kedro.framework.cli.cli import main
from kedro.framework.hooks import hook_impl
import kedro.framework.session.session as session

class Barrier:
    @hook_impl
    def before_node_run(self, node):
        if node.name == "baseline.train_model":
            Path("waiting").touch()
            while not Path("go").exists():
                time.sleep(0.05)

make = session._create_hook_manager
def with_barrier():
    manager = make()
    manager.register(Barrier())
    return manager
session._create_hook_manager = with_barrier
sys.argv[0] = "kedro"
main()
"""
TRAIN = "--pipeline=train"
LONG = "--params=model.use=cnn1d,train.epochs=2,train.steps_per_epoch=10"
SHORT = "--params=model.use=mlp,tensors.use=image,train.epochs=1,train.steps_per_epoch=5"


def start(folder: Path, *options: str, program: Sequence[str] = ("-m", "kedro")) -> subprocess.Popen[str]:
    return subprocess.Popen(
        [sys.executable, *program, "run", "--env=test", *options],
        cwd=folder,
        env={**os.environ, "OMP_NUM_THREADS": "1", "DO_NOT_TRACK": "1"},
        stdout=subprocess.PIPE,
        stderr=subprocess.STDOUT,
        text=True,
    )


def ended(*runs: subprocess.Popen[str]) -> list[str]:
    """What runs have shown that ended well."""
    try:
        shown = [run.communicate(timeout=SECONDS)[0] for run in runs]
    finally:
        for run in runs:
            run.kill()
    for run, text in zip(runs, shown, strict=True):
        assert run.returncode == 0, text
    return shown


def cards(folder: Path) -> list[RunCard]:
    """By the time at which they ended."""
    paths = folder.glob("data/08_reporting/test/run_card.json/*/run_card.json")
    return [read_card(path) for path in sorted(paths, key=lambda path: path.stat().st_mtime)]


def test_a_long_run_ends_with_its_own_scores_though_a_short_one_was_saved_first(tmp_path: Path) -> None:
    folder = copy_project(tmp_path)
    long = start(folder, TRAIN, LONG, program=("-c", WAITING))
    deadline = time.monotonic() + SECONDS
    while not (folder / "waiting").exists():
        assert long.poll() is None, long.communicate()[0]
        assert time.monotonic() < deadline
        time.sleep(0.1)
    measured = "--to-outputs=baseline.metrics,baseline.assessment"
    ended(start(folder, TRAIN, SHORT, measured))
    (folder / "go").touch()
    (shown,) = ended(long)
    ended(start(folder, TRAIN, LONG, measured))

    first, beside, alone = cards(folder)
    assert [card.parameters["model"]["use"] for card in (first, beside, alone)] == ["mlp", "cnn1d", "cnn1d"]
    assert beside.scores == alone.scores != first.scores
    assert f"{alone.scores['baseline']['test.macro_recall']:.3f}"[1:] in shown
    assert tracked(folder, beside) == tracked(folder, alone)
    of_runs = [version(folder, path) for path in ("metrics.json", "assessment.json")]
    for first_stored, beside_stored, alone_stored in of_runs:
        assert beside_stored == alone_stored != first_stored
    reports = sorted(folder.glob("data/08_reporting/test/baseline/report.html/*/report.html"))
    assert ["cnn1d" in path.read_text("utf-8") for path in reports] == [True]


def mlflow_run(folder: Path, card: RunCard) -> mlflow.entities.Run:
    return mlflow.MlflowClient(f"sqlite:///{folder}/data/09_tracking/mlflow.db").get_run(card.mlflow_run)


def tracked(folder: Path, card: RunCard) -> set[tuple[str, float]]:
    """The scores in the MLflow run of a run, and in the runs below it."""
    client = mlflow.MlflowClient(f"sqlite:///{folder}/data/09_tracking/mlflow.db")
    run = mlflow_run(folder, card)
    below = client.search_runs([run.info.experiment_id], f"tags.mlflow.parentRunId = '{run.info.run_id}'")
    scores = {
        (name, value) for one in (run, *below) for name, value in one.data.metrics.items() if "seconds" not in name
    }
    assert scores
    return scores


def version(folder: Path, name: str) -> list[Any]:
    """Every version of a file: of the first run, of the one that began before it, of the last."""
    before, first, last = sorted(folder.glob(f"data/07_model_output/test/baseline/{name}/*/*"))
    return [json.loads(path.read_text("utf-8")) for path in (first, before, last)]


def test_three_first_runs_of_a_fresh_clone_end_well(tmp_path: Path) -> None:
    folder = copy_project(tmp_path, database=False)
    ended(*[start(folder, "--pipelines=ingest,fit", f"{SHORT},seed={seed}") for seed in (1, 2, 3)])
    made = cards(folder)
    assert sorted(card.parameters["seed"] for card in made) == [1, 2, 3]
    assert len({card.mlflow_run for card in made}) == 3
    for card in made:
        assert mlflow_run(folder, card).info.status == "FINISHED"
        assert tracked(folder, card)
