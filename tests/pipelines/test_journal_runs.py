"""The journal and the commands: what `kedro journal` says, and what a run makes of a hypothesis."""

from __future__ import annotations

import os
import subprocess
import sys
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import mlflow
import numpy as np
import pytest
import yaml
from click.testing import CliRunner, Result
from kedro.framework.hooks import _create_hook_manager, hook_impl
from kedro.framework.startup import bootstrap_project
from kedro.io import DataCatalog, MemoryDataset
from kedro.pipeline import Pipeline

from beatwise.cli import cli
from beatwise.core.errors import BeatwiseError
from beatwise.hooks import JournalHooks, TrackingHooks
from beatwise.pipelines import compare, evaluate, fit, ingest, train, tune
from beatwise.runs.journal import Entry, Journal
from beatwise.search.settings import Tune
from tests.conftest import copy_project

EXPECTED = "macro_recall >= 0 and val.kappa > 0.999"
DRY = "train.epochs=1,train.steps_per_epoch=2"
# Without its figures, which take longest.
COMMAND = f"--pipeline=train --env=test --params={DRY} --to-outputs=baseline.metrics"


def kedro(*arguments: str) -> Result:
    """A command in this process, seen as it was typed."""
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(sys, "argv", ["/home/ada/.venv/bin/kedro", *arguments])
        return CliRunner().invoke(cli, arguments)


def entries(folder: Path) -> list[Entry]:
    return list(Journal(folder).entries().values())


def words(result: Result) -> str:
    """What was shown, without its line breaks."""
    return " ".join(result.output.split())


@pytest.fixture(scope="module", autouse=True)
def kept() -> Iterator[None]:
    """The process as it was before, whatever Kedro changes."""
    before = Path.cwd()
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(sys, "path", [*sys.path])
        patch.setenv("PYTHONPATH", os.environ.get("PYTHONPATH", ""))
        patch.setenv("COLUMNS", "80")
        patch.delenv("BEATWISE_TRACEBACK", raising=False)
        yield
    os.chdir(before)


@pytest.fixture
def untracked(project: Path, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A project whose runs are not tracked, which saves seconds, as it does that all share a database."""
    database = tmp_path_factory.getbasetemp() / "journal_runs.db"
    tracking = {"disable_tracking": {"pipelines": ["__default__"]}}
    (project / "conf/test/mlflow.yml").write_text(
        yaml.safe_dump({"server": {"mlflow_tracking_uri": f"sqlite:///{database}"}, "tracking": tracking})
    )
    bootstrap_project(project)
    return project


# --- from the proposal to the outcome


@dataclass(frozen=True)
class Ran:
    """A project in which a hypothesis was proposed and tested by a tracked run."""

    folder: Path
    proposed: Result
    result: Result

    @property
    def entry(self) -> Entry:
        (entry,) = entries(self.folder)
        return entry


@pytest.fixture(scope="module")
def ran(tmp_path_factory: pytest.TempPathFactory) -> Ran:
    folder = copy_project(tmp_path_factory.mktemp("project"))
    os.chdir(folder)
    bootstrap_project(folder)
    proposed = kedro("journal", "propose", "S is defined by rhythm, so RR helps", "--expect", EXPECTED)
    return Ran(folder, proposed, kedro("run", *COMMAND.split()))


@pytest.fixture(autouse=True)
def place(request: pytest.FixtureRequest, monkeypatch: pytest.MonkeyPatch) -> None:
    """The working directory of a test of the run that is shared."""
    if "ran" in request.fixturenames:
        monkeypatch.chdir(request.getfixturevalue("ran").folder)


def test_a_hypothesis_waits_for_a_run_and_its_run_ends_with_an_outcome(ran: Ran) -> None:
    assert "Proposed: 20" in ran.proposed.output
    assert (ran.proposed.exit_code, ran.result.exit_code) == (0, 0)
    entry = ran.entry
    assert (entry.hypothesis, entry.expect) == ("S is defined by rhythm, so RR helps", EXPECTED)
    (run,) = entry.runs
    assert (run.outcome, run.result, len(run.metrics)) == ("refuted", "baseline", 39)
    assert run.ended is not None
    assert run.ended >= run.began


def test_the_entry_knows_the_run_and_nothing_of_the_machine(ran: Ran) -> None:
    (run,) = ran.entry.runs
    assert run.command == f"kedro run {COMMAND}"
    assert (run.environment, run.pipeline, run.source) == ("test", "train", "test")
    assert run.params == {"train.epochs": 1, "train.steps_per_epoch": 2}
    (path,) = ran.folder.glob("docs/journal/*")
    assert path.suffix == ".yml"
    for secret in (str(ran.folder), "/home/ada", os.uname().nodename):
        assert secret not in path.read_text("utf-8")


def test_the_mlflow_run_has_the_hypothesis_as_description_and_as_tag(ran: Ran) -> None:
    client = mlflow.MlflowClient(f"sqlite:///{ran.folder}/data/09_tracking/mlflow.db")
    tracked = client.get_run(ran.entry.runs[0].mlflow_run)
    assert tracked.info.status == "FINISHED"
    assert tracked.data.tags["hypothesis"] == ran.entry.hypothesis
    assert tracked.data.tags["mlflow.note.content"] == f"{ran.entry.hypothesis}\n\nExpected: {EXPECTED}"
    stored = ran.entry.runs[0].metrics["test.macro_f1"]
    assert tracked.data.metrics["baseline.test.macro_f1"] == pytest.approx(stored, abs=1e-6)


def test_the_run_says_what_it_tests_and_what_came_of_it(ran: Ran) -> None:
    shown = words(ran.result)
    (id,) = Journal(ran.folder).entries()
    assert f"Hypothesis: {ran.entry.hypothesis} Expected: {EXPECTED} Journal: {id}" in shown
    assert f"Hypothesis refuted: {ran.entry.hypothesis}" in shown
    recall = f"{ran.entry.runs[0].metrics['test.macro_recall']:.4f}"
    assert f"macro_recall >= 0 ✓ {recall} macro_f1" in shown
    assert f'kedro journal reflect {id} "…"' in shown
    assert shown.index("Scores of baseline") < shown.index("Hypothesis refuted")
    assert "tests no hypothesis" not in shown


def test_an_entry_can_be_listed_shown_reflected_on_and_exported(ran: Ran, tmp_path: Path) -> None:
    reflected = kedro("journal", "reflect", "s-is", "Not with two batches.")
    assert reflected.exit_code == 0, reflected.output
    assert [reflection.text for reflection in ran.entry.reflections] == ["Not with two batches."]
    (id,) = Journal(ran.folder).entries()
    for listed in (kedro("journal"), kedro("journal", "list")):
        assert f" {id} refuted " in words(listed)
    shown = kedro("journal", "show", "last")
    assert f"command kedro run --pipeline=train --env=test --params={DRY}" in words(shown)
    assert "Not with two batches." in shown.output
    assert max(map(len, shown.output.splitlines())) <= 80
    exported = kedro("journal", "export")
    assert exported.output.startswith("# Journal\n\n## S is defined by rhythm, so RR helps\n")
    assert kedro("journal", "export", str(tmp_path / "new/journal.md")).output == ""
    assert (tmp_path / "new/journal.md").read_text("utf-8") == exported.output


def test_the_journal_of_a_new_project_says_how_to_begin(untracked: Path) -> None:
    listed = kedro("journal")
    assert listed.exit_code == 0
    assert 'kedro journal propose "…" --expect "macro_recall > 0.9"' in listed.output
    assert not (untracked / "docs").exists()


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        (["propose", "a", "--expect", "macro_recal > 0.9"], "expect: Unknown metric 'macro_recal'. Did you mean"),
        (["propose", ""], "hypothesis: String should have at least 1 character"),
        (["show", "last"], "The journal has no entries yet"),
        (["reflect", "nothing", "a"], "The journal has no entries yet"),
        (["export", "conf"], "is a directory"),
    ],
)
def test_what_the_journal_cannot_do_it_says_in_few_lines(untracked: Path, arguments: list[str], message: str) -> None:
    result = kedro("journal", *arguments)
    assert result.exit_code in (1, 2)
    assert message in result.stderr
    assert "Traceback" not in result.output
    assert len(result.stderr.splitlines()) <= 5
    assert not entries(untracked)


def test_proposing_names_what_still_waits(untracked: Path) -> None:
    kedro("journal", "propose", "one")
    second = kedro("journal", "propose", "two")
    first_id, second_id = Journal(untracked).entries()
    assert f"Proposed: {second_id}" in second.output
    assert f"After it, these still wait:\n{first_id}\n" in second.output


# --- runs that do not end well


@pytest.mark.slow
def test_a_run_that_fails_says_so_in_the_journal_and_the_next_one_takes_the_hypothesis_up_again(
    untracked: Path,
) -> None:
    kedro("journal", "propose", "a", "--expect", EXPECTED)
    beats = untracked / "data/01_raw/demo/test.parquet"
    beats.rename(untracked / "taken_away")
    for runs in (1, 2):
        failed = kedro("run", "--env=test")
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
    assert kedro("run", "--env=test", "--params=model.use=gur").exit_code == 1
    (entry,) = entries(untracked)
    assert entry.state == "waiting"


# --- which runs test what: the hooks around runs, without the runs

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
    hooks: Any

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
        searches = Tune.model_validate({"use": "s", "s": search})
        parameters = {"params:hypothesis": hypothesis, "params:source": "demo", "params:tune": searches}
        metadata = {"project_path": str(self.folder), "env": None, "pipeline_names": [name]}
        self.hooks.before_pipeline_run(
            run_params={**metadata, "runtime_params": params or {}},
            pipeline=pipeline or PIPELINES[name],
            catalog=DataCatalog({key: MemoryDataset(value) for key, value in parameters.items()}),
        )

    def end(self, *, measured: bool = True) -> None:
        """Let it end well."""
        if measured:
            metrics = {"classes": [], **dict.fromkeys(("test", "val", "recall_first"), MEASURED)}
            self.hooks.after_dataset_saved(dataset_name="baseline.metrics", data=metrics, node=None)
        self.hooks.after_pipeline_run(run_params={}, run_result={}, pipeline=None, catalog=None)

    def fail(self, error: Exception) -> None:
        """Let it fail."""
        metadata = {"project_path": str(self.folder)}
        self.hooks.on_pipeline_error(error=error, run_params=metadata, pipeline=None, catalog=None)

    def states(self) -> list[str]:
        return [entry.state for entry in entries(self.folder)]


@pytest.fixture
def process(tmp_path: Path) -> Process:
    manager = _create_hook_manager()
    manager.register(JournalHooks(TrackingHooks()))
    return Process(tmp_path, manager.hook)


def test_a_run_that_is_interrupted_in_a_notebook_does_not_mix_with_the_next_one(process: Process) -> None:
    for hypothesis in ("first", "second"):
        Journal(process.folder).propose(hypothesis)
    process.begin()
    assert process.states() == ["waiting", "running"]
    # Ctrl-C, of which Kedro tells no hook; then whatever runs next.
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


def test_the_error_is_our_own_where_one_of_ours_led_to_it_and_one_line_of_it(process: Process) -> None:
    errors = [ValueError("no file /mnt/x/y.csv\nat all"), RuntimeError()]
    errors[1].__cause__ = BeatwiseError("Row 5 is wrong.\nAllowed: right ones.")
    for error in errors:
        process.begin(hypothesis="a")
        process.fail(error)
    (entry,) = entries(process.folder)
    assert [run.error for run in entry.runs] == ["ValueError: no file …/y.csv", "Row 5 is wrong."]


def test_the_params_of_a_run_are_stored_flat_and_plain_and_without_the_hypothesis(process: Process) -> None:
    given = {"train": {"epochs": 3, "augment": {"use": ["shift"]}, "patience": None}, "seed": np.int64(7)}
    process.begin(hypothesis="a", params={"hypothesis": "a", **given})
    (entry,) = entries(process.folder)
    assert entry.runs[0].params == {
        "train.epochs": 3,
        "train.augment.use": "['shift']",
        "train.patience": None,
        "seed": "7",
    }
    # Nobody typed a command, and without --env it is base.
    assert (entry.runs[0].command, entry.runs[0].environment) == (None, "base")


@pytest.mark.parametrize(
    ("name", "pipeline"), [("ingest", None), ("fit", None), ("evaluate", None), ("train", UP_TO_TRAINING)]
)
def test_a_run_that_does_not_both_train_and_measure_leaves_hypotheses_alone(
    process: Process, name: str, pipeline: Pipeline | None
) -> None:
    Journal(process.folder).propose("waits")
    process.begin(name, pipeline=pipeline)
    process.end()
    # One that stands in a parameters file comes to every run; one that is given to this one must not be lost.
    process.begin(name, hypothesis="given", pipeline=pipeline)
    process.end()
    with pytest.raises(BeatwiseError, match="hypothesis: this run does not both train and measure a model"):
        process.begin(name, hypothesis="given", params={"hypothesis": "given"}, pipeline=pipeline)
    assert process.states() == ["waiting"]


@pytest.mark.parametrize(
    ("name", "algorithm", "reminded"),
    [
        ("compare", "tpe", True),
        ("compare", "none", True),
        ("tune", "tpe", True),
        ("tune", "none", False),
        ("__default__", "tpe", True),
        ("__default__", "none", False),
        ("train", "tpe", False),
    ],
)
def test_a_comparison_or_a_search_without_a_hypothesis_reminds_of_how_to_give_one(
    process: Process, capsys: pytest.CaptureFixture[str], name: str, algorithm: str, reminded: bool
) -> None:
    pipeline = PIPELINES["tune" if name == "__default__" else name]
    process.begin(name, pipeline=pipeline, algorithm=algorithm)
    shown = capsys.readouterr().out
    assert ('kedro journal propose "…" --expect "macro_recall > 0.9"' in shown) == reminded
    assert len(shown.splitlines()) == (2 if reminded else 0)
    assert not (process.folder / "docs").exists()
    process.end()
    process.begin(name, hypothesis="RR helps", pipeline=pipeline, algorithm=algorithm)
    assert process.states() == ["running"]
    assert "tests no hypothesis" not in capsys.readouterr().out


def test_a_damaged_entry_stops_a_run_before_it_is_tracked(process: Process) -> None:
    path = Journal(process.folder).path(Journal(process.folder).propose("a"))
    path.write_text(path.read_text("utf-8") + "reflection: none\n")
    tracked = []

    class Tracking:
        @hook_impl
        def before_pipeline_run(self) -> None:
            tracked.append(True)

    manager = _create_hook_manager()
    manager.register(Tracking())
    manager.register(JournalHooks(TrackingHooks()))
    with pytest.raises(BeatwiseError, match=r"reflection: Unknown key 'reflection'\. Did you mean 'reflections'\?"):
        Process(process.folder, manager.hook).begin()
    assert not tracked
    # What trains nothing has nothing to do with the journal.
    Process(process.folder, manager.hook).begin("ingest")
    assert tracked
