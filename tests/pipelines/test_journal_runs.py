"""The journal and the commands: `kedro journal`, and which runs test which hypothesis, with which outcome."""

from __future__ import annotations

import subprocess
import sys
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from kedro.framework.session import KedroSession
from kedro.framework.startup import bootstrap_project
from kedro.io import DataCatalog
from kedro.pipeline import Pipeline

from beatwise.core.errors import BeatwiseError
from beatwise.hooks import Recorder
from beatwise.pipelines import compare, evaluate, fit, ingest, train, tune
from beatwise.runs.journal import Entry, Journal
from tests.conftest import copy_project, leave_untracked, typed, untracked_context

EXPECTED = "macro_recall >= 0 and val.kappa > 0.999"

pytestmark = pytest.mark.usefixtures("kept_process")


def entries(folder: Path) -> list[Entry]:
    return list(Journal(folder).entries().values())


@pytest.fixture
def untracked(project: Path) -> Path:
    """A project whose runs are not tracked, which saves seconds."""
    leave_untracked(project, "__default__")
    bootstrap_project(project)
    return project


def test_the_journal_of_a_new_project_says_how_to_begin(untracked: Path) -> None:
    listed = typed("journal")
    assert listed.exit_code == 0
    assert 'kedro journal propose "…" --expect "macro_recall > 0.9"' in listed.output
    assert not (untracked / "docs").exists()


def test_what_the_journal_cannot_do_it_says_in_few_lines(untracked: Path) -> None:
    for arguments, message in (
        (["propose", "a", "--expect", "macro_recal > 0.9"], "expect: Unknown metric 'macro_recal'. Did you mean"),
        (["propose", ""], "hypothesis: String should have at least 1 character"),
        (["show", "last"], "The journal has no entries yet"),
        (["reflect", "nothing", "a"], "The journal has no entries yet"),
        (["export", "conf"], "is a directory"),
    ):
        result = typed("journal", *arguments)
        assert result.exit_code in (1, 2)
        assert message in result.stderr
        assert "Traceback" not in result.output
        assert len(result.stderr.splitlines()) <= 5
        assert not entries(untracked)


def test_proposing_names_what_still_waits(untracked: Path) -> None:
    typed("journal", "propose", "one")
    second = typed("journal", "propose", "two")
    first_id, second_id = Journal(untracked).entries()
    assert f"Proposed: {second_id}" in second.output
    assert f"After it, these still wait:\n{first_id}\n" in second.output


# --- runs that do not end well


@pytest.mark.slow
def test_a_run_that_fails_says_so_in_the_journal_and_the_next_one_takes_the_hypothesis_up_again(
    untracked: Path,
) -> None:
    typed("journal", "propose", "a", "--expect", EXPECTED)
    beats = untracked / "data/01_raw/demo/test.parquet"
    beats.rename(untracked / "taken_away")
    for runs in (1, 2):
        failed = typed("run", "--env=test")
        assert failed.exit_code == 1
        assert "There are no beats in" in failed.stderr
        (entry,) = entries(untracked)
        assert [run.outcome for run in entry.runs] == ["failed"] * runs
    run = entry.runs[0]
    assert (run.metrics, run.mlflow_run) == ({}, None)
    assert run.error is not None
    assert "raw_beats: There are no beats in ./data/01_raw/demo." in run.error


@pytest.mark.slow
def test_ctrl_c_ends_the_entry_with_the_process(untracked: Path) -> None:
    Journal(untracked).propose("a")
    script = (
        "import sys\nfrom beatwise.datasets.beats import BeatsDataset\n"
        "def load(self): raise KeyboardInterrupt\nBeatsDataset.load = load\n"
        "from kedro.framework.cli.cli import main\nsys.argv = ['kedro', 'run', '--env=test']\nmain()\n"
    )
    done = subprocess.run(
        [sys.executable, "-c", script], cwd=untracked, capture_output=True, text=True, timeout=120, check=False
    )
    assert done.returncode == 1
    assert "Aborted!" in done.stderr
    assert "Traceback" not in done.stderr
    (path,) = untracked.glob("docs/journal/*.yml")
    assert "  command: kedro run --env=test\n" in path.read_text("utf-8")
    assert "  outcome: stopped\n" in path.read_text("utf-8")


def test_a_run_with_bad_parameters_does_not_begin_and_its_hypothesis_waits(untracked: Path) -> None:
    Journal(untracked).propose("a")
    assert typed("run", "--env=test", "--params=model.use=gur").exit_code == 1
    (entry,) = entries(untracked)
    assert entry.state == "waiting"


# --- which runs test what: the recorder around runs, without the runs

PIPELINES = {
    module.__name__.rpartition(".")[2]: module.create_pipeline()
    for module in (train, tune, compare, fit, ingest, evaluate)
}
UP_TO_TRAINING = PIPELINES["train"].to_nodes("baseline.train_model")
MEASURED = {"overall": {"macro_recall": {"value": 0.5}}, "per_class": {}}


@dataclass(frozen=True)
class Process:
    """A process in which runs begin and end, and the project that it works in."""

    folder: Path
    recorder: Recorder
    config: dict[str, Any]
    catalog: DataCatalog

    def begin(
        self,
        name: str = "train",
        hypothesis: str = "",
        params: dict[str, Any] | None = None,
        pipeline: Pipeline | None = None,
        algorithm: str = "tpe",
    ) -> None:
        """Let a run begin, with a hypothesis and a search in its parameters."""
        search = {"space": {}, "trials": 1, "epochs": 1, "algorithm": {"use": algorithm}}
        changed = {"hypothesis": hypothesis, "tune": {"use": "s", "s": search}}
        self.recorder.after_context_created(untracked_context({**self.config["parameters"], **changed}, name))
        selection = ("tags", "from_nodes", "to_nodes", "node_names", "from_inputs", "to_outputs", "namespaces")
        run_params = {
            **dict.fromkeys((*selection, "only_missing_outputs", "env")),
            "project_path": str(self.folder),
            "pipeline_names": [name],
            "runtime_params": params or {},
        }
        self.recorder.before_pipeline_run(run_params, pipeline or PIPELINES[name], self.catalog)

    def end(self, *, measured: bool = True) -> None:
        """Let it end well."""
        if measured:
            metrics = {"classes": [], **dict.fromkeys(("test", "val", "recall_first"), MEASURED)}
            self.recorder.after_dataset_saved("baseline.metrics", metrics)
        self.recorder.after_pipeline_run()

    def fail(self, error: Exception) -> None:
        """Let it fail."""
        self.recorder.on_pipeline_error(error)

    def states(self) -> list[str]:
        return [entry.state for entry in entries(self.folder)]


@pytest.fixture(scope="module")
def configured(tmp_path_factory: pytest.TempPathFactory) -> tuple[dict[str, Any], DataCatalog]:
    """The parameters and the catalog of the environment `test`."""
    folder = copy_project(tmp_path_factory.mktemp("configured"))
    bootstrap_project(folder)
    with KedroSession.create(project_path=folder, env="test") as session:
        context = session.load_context()
        return {"parameters": context.config_loader["parameters"]}, context.catalog


@pytest.fixture
def process(configured: tuple[dict[str, Any], DataCatalog], tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Process:
    # Neither the database of runs nor the tables are what these tests look at.
    monkeypatch.setattr("kedro_mlflow.config.kedro_mlflow_config.KedroMlflowConfig.setup", lambda *_: None)
    monkeypatch.setattr("beatwise.hooks.screen.Screen.finish", lambda *_: None)
    return Process(tmp_path, Recorder(), *configured)


def test_a_run_that_is_interrupted_in_a_notebook_does_not_mix_with_the_next_one(process: Process) -> None:
    for hypothesis in ("first", "second"):
        Journal(process.folder).propose(hypothesis)
    process.begin()
    assert process.states() == ["waiting", "running"]
    # Ctrl-C, which Kedro does not report; then any other run.
    process.begin("ingest")
    assert process.states() == ["waiting", "stopped"]
    process.end()
    assert process.states() == ["waiting", "stopped"]
    process.begin(hypothesis="first")
    process.begin(hypothesis="second")
    process.end()
    first, second = entries(process.folder)
    assert [run.outcome for run in first.runs] == ["stopped"]
    assert [run.outcome for run in second.runs] == ["stopped", "open"]


def test_what_a_run_without_a_hypothesis_saves_is_no_outcome_of_the_next_one(
    process: Process, capsys: pytest.CaptureFixture[str]
) -> None:
    process.begin()
    process.end()
    process.begin(hypothesis="a")
    process.end(measured=False)
    (entry,) = entries(process.folder)
    assert (entry.state, entry.runs[0].error) == ("failed", "The run measured nothing.")
    assert "The run measured nothing. It waits for another run." in capsys.readouterr().out


def test_a_hypothesis_may_come_with_the_run_and_is_the_same_one_when_the_command_is_given_again(
    process: Process, capsys: pytest.CaptureFixture[str]
) -> None:
    Journal(process.folder).propose("waits")
    for _ in range(2):
        process.begin(hypothesis="RR helps")
        assert "Hypothesis: RR helps\nNothing in particular is expected.\n" in capsys.readouterr().out
        process.fail(KeyError("/mnt/x/y.csv\nis gone"))
    runs = {entry.hypothesis: [run.outcome for run in entry.runs] for entry in entries(process.folder)}
    assert runs == {"waits": [], "RR helps": ["failed", "failed"]}


def test_the_entry_has_one_line_of_the_error_and_the_params_flat_and_plain(process: Process) -> None:
    errors = [ValueError("no file /mnt/x/y.csv\nat all"), RuntimeError()]
    # Where an error of Beatwise led to it, that one.
    errors[1].__cause__ = BeatwiseError("Row 5 is wrong.\nAllowed: right ones.")
    given = {"train": {"epochs": 3, "augment": {"use": ["shift"]}, "patience": None}, "seed": np.int64(7)}
    for error in errors:
        process.begin(hypothesis="a", params={"hypothesis": "a", **given})
        process.fail(error)
    (entry,) = entries(process.folder)
    assert [run.error for run in entry.runs] == ["ValueError: no file …/y.csv", "Row 5 is wrong."]
    run = entry.runs[0]
    assert run.params == {
        "train.epochs": 3,
        "train.augment.use": "['shift']",
        "train.patience": None,
        "seed": "7",
    }
    # Nobody typed a command, and without --env it is base.
    assert (run.command, run.environment) == (None, "base")


def test_a_run_that_does_not_both_train_and_measure_leaves_hypotheses_alone(process: Process) -> None:
    Journal(process.folder).propose("waits")
    for name, pipeline in (("ingest", None), ("fit", None), ("evaluate", None), ("train", UP_TO_TRAINING)):
        process.begin(name, pipeline=pipeline)
        process.end(measured=False)
        # One that stands in a parameters file comes to every run; one that is given to this one must not be lost.
        process.begin(name, hypothesis="given", pipeline=pipeline)
        process.end(measured=False)
        with pytest.raises(BeatwiseError, match="hypothesis: this run does not both train and measure a model"):
            process.begin(name, hypothesis="given", params={"hypothesis": "given"}, pipeline=pipeline)
        assert process.states() == ["waiting"]


def test_a_comparison_or_a_search_without_a_hypothesis_reminds_of_how_to_give_one(
    process: Process, capsys: pytest.CaptureFixture[str]
) -> None:
    for name, algorithm, reminded in (
        ("compare", "none", True),
        ("tune", "tpe", True),
        ("tune", "none", False),
        ("train", "tpe", False),
    ):
        process.begin(name, algorithm=algorithm)
        shown = capsys.readouterr().out
        assert ('kedro journal propose "…" --expect "macro_recall > 0.9"' in shown) == reminded
        assert len(shown.splitlines()) == (2 if reminded else 0)
    assert not (process.folder / "docs").exists()
    process.begin("compare", hypothesis="RR helps")
    assert process.states() == ["running"]
    assert "tests no hypothesis" not in capsys.readouterr().out


def test_a_damaged_entry_stops_a_run_before_it_is_tracked(process: Process, monkeypatch: pytest.MonkeyPatch) -> None:
    path = Journal(process.folder).path(Journal(process.folder).propose("a"))
    path.write_text(path.read_text("utf-8") + "reflection: none\n")
    tracked: list[Any] = []
    monkeypatch.setattr("beatwise.hooks.tracking.TrackedRun.open", lambda *_: tracked.append(True))
    with pytest.raises(BeatwiseError, match=r"reflection: Unknown key 'reflection'\. Did you mean 'reflections'\?"):
        process.begin()
    assert not tracked
    # A run that trains nothing has nothing to do with the journal.
    process.begin("ingest")
    process.end(measured=False)
    assert tracked
