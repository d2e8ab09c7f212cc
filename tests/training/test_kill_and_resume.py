"""`kill -9` in the middle of a run: the same command goes on and ends with the numbers of a run that was left alone."""

from __future__ import annotations

import json
import os
import signal
import subprocess
import sys
import time
from pathlib import Path
from typing import Any

import pandas as pd
import pytest

from beatwise.training.checkpoint import Checkpoints
from tests.conftest import copy_project, leave_untracked
from tests.training.conftest import CLOCK

pytestmark = pytest.mark.slow

# Every random number there is: dropout, the sampler, augmentation; and an average beside the weights.
EPOCHS = 25
PARAMETERS = {
    "model.use": "cnn1d",
    "model.cnn1d.dropout": 0.2,
    "train.epochs": EPOCHS,
    "train.patience": EPOCHS,
    "train.sampler_power": 0.5,
    "train.augment.use": "shift+noise+mixup",
    "train.average.use": "ema",
    "train.schedule.use": "one_cycle",
}
# What is compared; figures and the report take longer than the training.
MEASURED = "baseline.metrics,baseline.history,baseline.predictions,baseline.val_history"
KILLED_AFTER = 3
SECONDS = 300


def project(folder: Path) -> Path:
    """A copy of the project whose runs are not tracked, which saves seconds."""
    folder.mkdir()
    copy_project(folder)
    leave_untracked(folder, "train")
    return folder


def start(folder: Path) -> subprocess.Popen[bytes]:
    """Start `kedro run` in a process group of its own; what it shows goes to `shown.txt`."""
    parameters = ",".join(f"{key}={value}" for key, value in PARAMETERS.items())
    options = ("--pipeline=train", "--env=test", f"--params={parameters}", f"--to-outputs={MEASURED}")
    with (folder / "shown.txt").open("wb") as shown:
        return subprocess.Popen(
            [sys.executable, "-m", "kedro", "run", *options],
            cwd=folder,
            env={**os.environ, "OMP_NUM_THREADS": "1", "COLUMNS": "200", "DO_NOT_TRACK": "1"},
            stdout=shown,
            stderr=subprocess.STDOUT,
            start_new_session=True,
        )


def shown(folder: Path) -> str:
    return (folder / "shown.txt").read_text(encoding="utf-8", errors="replace")


def wait_for(process: subprocess.Popen[bytes], folder: Path) -> str:
    """Wait for a run to end well, and give back what it has shown."""
    try:
        assert process.wait(SECONDS) == 0, shown(folder)
    finally:
        kill(process)
    return shown(folder)


def kill(process: subprocess.Popen[bytes]) -> int:
    """Kill the process with all that it started; nothing happens where it has ended."""
    if process.poll() is None:
        os.killpg(process.pid, signal.SIGKILL)
    return process.wait()


def run_until_killed(folder: Path) -> int:
    """Kill a run once the state of some epochs is saved.

    Returns:
        Epochs that were saved.
    """
    process, checkpoints = start(folder), folder / "data/06_models/test/checkpoints"
    try:
        deadline = time.monotonic() + SECONDS
        while time.monotonic() < deadline:
            for file in checkpoints.glob("*.safetensors"):
                state = Checkpoints(checkpoints).load(file.stem)
                if state is not None and len(state["rows"]) >= KILLED_AFTER:
                    assert kill(process) == -signal.SIGKILL, shown(folder)
                    saved = Checkpoints(checkpoints).load(file.stem)
                    assert saved is not None
                    return len(saved["rows"])
            assert process.poll() is None, shown(folder)
            time.sleep(0.02)
    finally:
        kill(process)
    pytest.fail(f"No checkpoint after {SECONDS} seconds:\n{shown(folder)}")


def versions(folder: Path, path: str) -> list[Path]:
    return sorted((folder / "data" / path).glob(f"*/{Path(path).name}"))


def results(folder: Path) -> tuple[Any, pd.DataFrame, pd.DataFrame, pd.DataFrame]:
    """Metrics, history, predictions, and those of validation by epoch, of the one run of a project."""
    (metrics,) = versions(folder, "07_model_output/test/baseline/metrics.json")
    (history,) = versions(folder, "06_models/test/baseline/history.parquet")
    (predictions,) = versions(folder, "07_model_output/test/baseline/predictions.parquet")
    (val_history,) = versions(folder, "07_model_output/test/baseline/val_history.parquet")
    tables = (pd.read_parquet(path) for path in (history, predictions, val_history))
    return json.loads(metrics.read_text()), *tables


def test_a_run_that_was_killed_goes_on_and_ends_with_the_very_numbers(tmp_path: Path) -> None:
    left_alone, killed = project(tmp_path / "left_alone"), project(tmp_path / "killed")
    beside = start(left_alone)
    try:
        done = run_until_killed(killed)
        assert KILLED_AFTER <= done < EPOCHS
        assert not versions(killed, "07_model_output/test/baseline/metrics.json")
        went_on = wait_for(start(killed), killed)
    except BaseException:
        kill(beside)
        raise
    assert f"Resuming after epoch {done}, where this training was cut off" in went_on
    assert "Resuming" not in wait_for(beside, left_alone)

    metrics, history, predictions, val_history = results(killed)
    expected_metrics, expected_history, expected_predictions, expected_val_history = results(left_alone)
    # The fingerprint of the model is among them.
    assert metrics == expected_metrics
    assert len(history) == EPOCHS
    pd.testing.assert_frame_equal(history.drop(columns=CLOCK), expected_history.drop(columns=CLOCK), check_exact=True)
    pd.testing.assert_frame_equal(predictions, expected_predictions, check_exact=True)
    assert val_history["epoch"].unique().tolist() == list(range(1, EPOCHS + 1))
    pd.testing.assert_frame_equal(val_history, expected_val_history, check_exact=True)
    assert not list((killed / "data/06_models/test/checkpoints").iterdir())
