"""Fixtures that several test modules share."""

from __future__ import annotations

import dataclasses
import os
import shutil
import signal
import subprocess
import sys
import tempfile
from collections.abc import Callable, Iterator
from datetime import UTC, datetime
from functools import cache, partial
from pathlib import Path
from tempfile import TemporaryDirectory
from types import SimpleNamespace
from typing import Any

import numpy as np
import pandas as pd
import pytest
from click.testing import CliRunner, Result
from kedro.config import OmegaConfigLoader

from beatwise.data.examples import Examples
from beatwise.data.features import RR_COLUMNS
from beatwise.ecg.beats import with_group
from beatwise.runs.card import RunCard
from beatwise.runs.metadata import Hardware
from beatwise.tasks.settings import TaskChoice

ROOT = Path(__file__).parents[1]
CLASSES = ["N", "S", "V", "F", "Q"]
TASK = TaskChoice.model_validate({"use": "classification", "classification": {"classes": CLASSES}})


# They take longest, the slow tests of the first ones, and go first: no worker is to be left alone with one of them at
# the end.
LONGEST = (
    "test_tuner.py",
    "test_browser.py",
    "test_tune.py",
    "test_compare.py",
    "test_repeat.py",
    "test_bad_input.py",
    "test_session.py",
    "test_any_shape.py",
    "test_engine.py",
    "test_loop.py",
    "test_checkpoint.py",
    "test_dag.py",
    "test_models.py",
    "test_cluster.py",
    "test_notebooks.py",
    "test_kill_and_resume.py",
)


def pytest_collection_modifyitems(items: list[pytest.Item]) -> None:
    """Put the files that take longest first."""
    items.sort(key=lambda item: LONGEST.index(item.path.name) if item.path.name in LONGEST else len(LONGEST))


@pytest.fixture(scope="session")
def real_data() -> Path:
    """The folder of the real data; tests that need it are marked ``real_data``."""
    folder = os.environ.get("BEATWISE_DATA")
    if not folder or not (Path(folder) / "mitdb").is_dir():
        pytest.skip("BEATWISE_DATA does not name a folder with heartbeat/ and mitdb/")
    return Path(folder).absolute()


def random_beats(
    counts: tuple[int, ...] = (60, 12, 14, 10, 12), *, length: int = 24, seed: int = 0, records: bool = False
) -> Examples:
    """A few random beats of every class."""
    rng = np.random.default_rng(seed)
    target = np.repeat(np.arange(len(counts)), counts)
    values = rng.uniform(0, 1, size=(len(target), length)).astype(np.float32)
    # Classes differ, so that neighbours are mostly of one class; beats end in padding, as real ones do.
    values = ((values + target[:, None]) / len(counts)).astype(np.float32)
    for row, padding in enumerate(rng.integers(0, length // 2, size=len(target))):
        values[row, length - padding :] = 0
    table = pd.DataFrame({"target": target})
    if records:
        rr = {name: rng.uniform(0.5, 1.2, len(target)).astype(np.float32) for name in RR_COLUMNS}
        record = [f"r{i:02d}" for i in rng.integers(0, 12, len(target))]
        table = table.assign(record=record, sample=np.arange(len(target)) * 300, lead="MLII", **rr)
    order = np.random.RandomState(seed).permutation(len(target))
    return Examples(values, with_group(table)).take(order)


@pytest.fixture
def make_beats() -> Callable[..., Examples]:
    """The function that makes a few random beats."""
    return random_beats


def example_card(**metadata: Any) -> RunCard:
    """The card of a run that trained for two epochs and measured one model."""
    known: dict[str, Any] = {
        "began": datetime(2026, 3, 1, 9, 30, tzinfo=UTC),
        "command": "kedro run --pipeline=train",
        "git_sha": "0123456789" * 4,
        "uncommitted": False,
        "environment": "base",
        "pipeline": "train",
        "source": "demo",
        "mlflow_run": "f" * 32,
        "selected": False,
        "parameters": {"seed": 42},
        "seeds": [42],
        "data": {"raw_beats": "a" * 64, "train_beats": "b" * 64},
        "versions": {"beatwise": "0.1.0", "python": "3.11.7", "torch": "2.13.0", "wfdb": "4.3.1"},
        "hardware": Hardware(cpu="A processor", cores=2, threads=1, memory=23.5, gpu=None, system="Linux 6.1 x86_64"),
        "nodes": {"split_beats": 0.5, "baseline.train_model": 1234.567},
        "scores": {"baseline": {"test.macro_recall": 0.9, "test.macro_f1": 0.8, "val.recall.S": 0.75}},
    }
    return RunCard(**{**known, **metadata})


@cache
def empty_database() -> bytes:
    """MLflow's database without a run: making one takes MLflow a second."""
    import mlflow

    with TemporaryDirectory() as folder:
        mlflow.MlflowClient(f"sqlite:///{folder}/mlflow.db").search_experiments()
        return Path(folder, "mlflow.db").read_bytes()


def copy_project(folder: Path, *, database: bool = True) -> Path:
    """Copy configuration and sample into a folder that is a Kedro project of its own, with a database for its runs."""
    for name in ("conf", "data/01_raw/demo"):
        shutil.copytree(ROOT / name, folder / name, ignore=shutil.ignore_patterns("records"))
    for name in ("pyproject.toml", ".telemetry"):
        shutil.copy(ROOT / name, folder / name)
    (folder / "src").mkdir()
    if database:
        (folder / "data/09_tracking").mkdir()
        (folder / "data/09_tracking/mlflow.db").write_bytes(empty_database())
    return folder


def leave_untracked(folder: Path, *pipelines: str) -> None:
    """Switch MLflow off for runs of these pipelines in the environment `test`, which saves seconds."""
    (folder / "conf/test/mlflow.yml").write_text(
        (ROOT / "conf/base/mlflow.yml")
        .read_text("utf-8")
        .replace("tracking:\n", f"tracking:\n  disable_tracking: {{pipelines: [{', '.join(pipelines)}]}}\n")
    )


def untracked_context(parameters: dict[str, Any], *pipelines: str) -> Any:
    """Kedro's context for hooks, where runs of these pipelines are not tracked."""
    tracking = {"experiment": {"name": "e"}, "disable_tracking": {"pipelines": [*pipelines]}}
    loader = OmegaConfigLoader(conf_source="", config_patterns={"mlflow": []})
    loader |= {"parameters": parameters, "mlflow": {"tracking": tracking}}
    return SimpleNamespace(config_loader=loader, project_path=tempfile.mkdtemp())


def run_session(folder: Path, pipeline: str = "train", env: str = "test", **options: Any) -> None:
    """Run a pipeline in a project's folder, as `kedro run` does, in this process."""
    from kedro.framework.session import KedroSession
    from kedro.framework.startup import bootstrap_project

    bootstrap_project(folder)
    parameters = options.pop("parameters", None)
    with KedroSession.create(project_path=folder, env=env, runtime_params=parameters) as session:
        session.run(pipeline_names=[pipeline], **options)


def kedro_run(folder: Path, pipeline: str, log: Path, *options: str) -> subprocess.Popen[bytes]:
    """The command as a person gives it, in a process group of its own."""
    kedro = Path(sys.executable).with_name("kedro")
    return subprocess.Popen(
        [kedro, "run", f"--pipeline={pipeline}", "--env=test", *options],
        cwd=folder,
        stdout=log.open("ab"),
        stderr=subprocess.STDOUT,
        start_new_session=True,
        env={**os.environ, "COLUMNS": "120", "OMP_NUM_THREADS": "1"},
        # Where a shell has started the tests in the background, they and all they start are deaf to Ctrl-C.
        preexec_fn=partial(signal.signal, signal.SIGINT, signal.SIG_DFL),
    )


def typed(*arguments: str) -> Result:
    """A command of Beatwise's in this process, seen as a person types it."""
    from beatwise.cli import cli

    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(sys, "argv", ["/home/ada/.venv/bin/kedro", *arguments])
        return CliRunner().invoke(cli, arguments)


def words(text: str) -> str:
    """What was shown, without its line breaks."""
    return " ".join(text.split())


@pytest.fixture(scope="module")
def kept_process() -> Iterator[None]:
    """A terminal of 80 columns, and afterwards the process as it was before, whatever Kedro changes."""
    before = Path.cwd()
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(sys, "path", [*sys.path])
        patch.setenv("PYTHONPATH", os.environ.get("PYTHONPATH", ""))
        patch.setenv("COLUMNS", "80")
        patch.delenv("BEATWISE_TRACEBACK", raising=False)
        yield
    os.chdir(before)


@pytest.fixture(scope="module")
def short_reports() -> Iterator[None]:
    """Reports of two figures and without a PDF, because both take most of the time of a small run.

    All figures are drawn in tests/report/test_figures.py; tests/pipelines/test_session.py looks at whole reports.
    """
    from beatwise.report import figures

    few = tuple(
        entry if entry.name in ("roc", "importance") else dataclasses.replace(entry, draw=lambda _: "Not drawn here.")
        for entry in figures.REPORT
    )
    with pytest.MonkeyPatch.context() as patch:
        patch.setitem(figures.OF_TASK, "classification", few)
        patch.setattr("beatwise.report.pdf.as_pdf", lambda html: None)
        yield


def tracked_runs(folder: Path) -> pd.DataFrame:
    """What MLflow knows of the runs of a project, the first one first."""
    import mlflow

    mlflow.set_tracking_uri(f"sqlite:///{folder}/data/09_tracking/mlflow.db")
    runs = mlflow.search_runs(experiment_names=["beatwise-test"], order_by=["start_time"])
    assert isinstance(runs, pd.DataFrame)
    return runs


@pytest.fixture
def project(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """A copy of the project's configuration and sample in a folder of its own, and the working directory in it."""
    monkeypatch.chdir(tmp_path)
    monkeypatch.delenv("BEATWISE_DATA", raising=False)
    return copy_project(tmp_path)


def git(folder: Path, *arguments: str) -> str:
    """What a git command says."""
    who = {f"GIT_{role}_{what}": "a@example.org" for role in ("AUTHOR", "COMMITTER") for what in ("NAME", "EMAIL")}
    done = subprocess.run(
        ["git", *arguments], cwd=folder, env={**os.environ, **who}, capture_output=True, text=True, check=True
    )
    return done.stdout


@pytest.fixture
def repository(tmp_path: Path) -> Path:
    """A repository with one commit."""
    git(tmp_path, "init", "--quiet", "--initial-branch=main")
    (tmp_path / ".gitignore").write_text("data/\n")
    git(tmp_path, "add", ".")
    git(tmp_path, "commit", "--quiet", "--message=start")
    return tmp_path
