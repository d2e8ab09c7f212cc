"""Searches by a real Ray."""

from __future__ import annotations

import os
import signal
import subprocess
import sys
import time
from collections.abc import Callable, Iterator, Mapping, Sequence
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import numpy as np
import pytest

from beatwise.data.examples import Examples
from beatwise.search import tuner
from beatwise.search.algorithms import SCHEDULERS
from beatwise.search.engine import started_ray
from beatwise.search.plan import SearchPlan
from beatwise.search.settings import RaySettings
from beatwise.search.trial import TensorCache, Trial
from beatwise.search.trials import Searches, TrialRecord
from beatwise.search.tuner import EpochBudget, PastTrial, TrialTrainable, replay, run_search
from beatwise.training.checkpoint import Checkpoints
from beatwise.training.fit import fit_tensors
from beatwise.training.loop import Training, fit_model
from tests.conftest import ROOT
from tests.search.conftest import plan, record
from tests.training.conftest import MakeBeats

HERE = RaySettings(cpus=2)
Beats = tuple[Examples, Examples]
Reported = list[tuple[int, str, int]]


@pytest.fixture(scope="module")
def ray() -> Iterator[Any]:
    """One Ray for the tests of this module."""
    with started_ray(HERE) as module:
        yield module


@pytest.fixture
def beats(make_beats: MakeBeats) -> Beats:
    return make_beats(), make_beats((20, 6, 6, 6, 6), seed=1)


class Folders:
    """Where a search keeps what it keeps."""

    def __init__(self, folder: Path, beats: Beats) -> None:
        self.searches, self.checkpoints = Searches(folder / "searches"), Checkpoints(folder / "checkpoints")
        self.folder, self.beats = folder, beats
        self.reported: Reported = []
        self.listener: Callable[[TrialRecord], None] = lambda trial: None

    def run(self, searched: SearchPlan, key: str = "k") -> list[TrialRecord]:
        def report(trial: TrialRecord) -> None:
            self.reported.append((trial.number, trial.status, len(trial.epochs)))
            self.listener(trial)

        begun = self.searches.begin(key, searched)
        records = run_search(searched, key, begun, self.beats, self.searches, self.checkpoints, HERE, report)
        stored = self.searches.begin(key, searched)
        assert stored == records  # what is given back is what is stored
        return records

    @property
    def kept(self) -> list[str]:
        """Keys of the checkpoints that are there."""
        return sorted(path.stem for path in self.checkpoints.folder.glob("*.safetensors"))


@pytest.fixture
def folders(tmp_path: Path, beats: Beats) -> Folders:
    return Folders(tmp_path, beats)


def statuses(records: Sequence[TrialRecord]) -> list[str]:
    return [trial.status for trial in records]


def fitted_score(searched: SearchPlan, values: Mapping[str, Any], beats: Beats) -> float:
    """The best value of the metric in a fit with these values, in this process."""
    (config,) = searched.configs(values)
    train, val = beats
    train_tensors, val_tensors = fit_tensors(train, train, config, val)
    _, history = fit_model(train_tensors, val_tensors, config, show_progress=False)
    column = history[f"val_{searched.search.metric}"]
    return float(column.max() if searched.larger_is_better else column.min())


# --- whole searches


@pytest.mark.slow
def test_a_search_is_run_and_gone_on_with(ray: Any, folders: Folders) -> None:
    searched = plan(trials=4, epochs=3)
    records = folders.run(searched)
    assert statuses(records) == ["finished"] * 4
    assert [trial.number for trial in records] == [0, 1, 2, 3]
    assert [[epoch["epoch"] for epoch in trial.epochs] for trial in records] == [[1, 2, 3]] * 4
    assert len({trial.values["train.learning_rate"] for trial in records}) == 4
    assert all(trial.n_parameters == records[0].n_parameters for trial in records)
    assert folders.kept == []
    # Every trial is the fit of its configuration, to the last bit.
    for trial in records[:2]:
        assert trial.scores[-1] == fitted_score(searched, trial.values, folders.beats)
    # Whoever listens hears of each epoch, and of the end of each trial.
    assert {number for number, status, _ in folders.reported if status == "finished"} == {0, 1, 2, 3}
    assert {(number, 1) for number in range(4)} <= {(number, n) for number, _, n in folders.reported}

    # The same search again trains nothing.
    folders.reported.clear()
    assert folders.run(searched) == records
    assert folders.reported == []

    # One of more trials trains only the new ones.
    more = folders.run(plan(trials=6, epochs=3))
    assert more[:4] == records
    assert statuses(more[4:]) == ["finished"] * 2
    assert {number for number, *_ in folders.reported} == {4, 5}
    assert len({trial.values["train.learning_rate"] for trial in more}) == 6
    assert [trial.call for trial in more] == [0] * 4 + [1] * 2


@pytest.mark.slow
def test_recorded_trials_are_trained_again_to_the_same_numbers(ray: Any, folders: Folders, tmp_path: Path) -> None:
    cut_off = plan(trials=3, epochs=4, total_epochs=10, scheduler={"use": "asha", "asha": {"reduction_factor": 2}})
    records = folders.run(cut_off)
    again = Folders(tmp_path / "again", folders.beats)
    again.searches.replay(
        TrialRecord(number=trial.number, key=f"repeated-{trial.number}", values=trial.values, until=len(trial.epochs))
        for trial in records
    )
    begun = again.searches.begin("k", cut_off)
    repeated = run_search(cut_off, "k", begun, again.beats, again.searches, again.checkpoints, HERE)
    assert [(trial.values, trial.scores) for trial in repeated] == [(trial.values, trial.scores) for trial in records]
    assert "running" not in statuses(repeated)


WRONG: dict[str, Any] = {
    "model": {"use": "transformer1d", "transformer1d": {"width": 8, "depth": 1, "heads": {"choice": [2, 3]}}},
    "train": {"augment": {"use": {"choice": [[], ["shift"]]}}},
}


@pytest.mark.slow
def test_a_trial_that_fails_says_why_and_the_others_go_on(ray: Any, folders: Folders) -> None:
    records = folders.run(plan(WRONG, trials=4, epochs=2, algorithm={"use": "grid"}, scheduler={"use": "asha"}))
    by_heads = {
        (trial.values["model.transformer1d.heads"], len(trial.values["train.augment.use"])): trial for trial in records
    }
    assert set(by_heads) == {(2, 0), (2, 1), (3, 0), (3, 1)}
    for (heads, _), trial in by_heads.items():
        if heads == 3:
            assert trial.status == "failed"
            assert trial.failure is not None
            assert trial.failure.startswith("model.transformer1d.heads: 3 heads of attention cannot share a width of 8")
            assert trial.epochs == []
        else:
            assert trial.status in ("finished", "stopped")
            assert trial.failure is None
    assert {(number, status) for number, status, _ in folders.reported if status == "failed"} == {
        (trial.number, "failed") for trial in records if trial.status == "failed"
    }


@pytest.mark.slow
def test_a_budget_of_epochs_leaves_trials_open_and_the_next_call_ends_them(ray: Any, folders: Folders) -> None:
    cut_off = folders.run(plan(trials=3, epochs=4, total_epochs=5))
    assert "running" in statuses(cut_off)
    trained = {trial.number: len(trial.epochs) for trial in cut_off}
    assert 5 <= sum(trained.values()) <= 7
    cut = [trial for trial in cut_off if trial.status == "running"]
    assert {trial.key for trial in cut if trial.epochs} <= set(folders.kept) <= {trial.key for trial in cut}

    # Of the same budget nothing is left.
    assert folders.run(plan(trials=3, epochs=4, total_epochs=5)) == cut_off

    # Epochs that were trained before do not count again.
    whole = plan(trials=3, epochs=4, total_epochs=12)
    records = folders.run(whole)
    assert statuses(records) == ["finished"] * 3
    assert [len(trial.epochs) for trial in records] == [4] * 3
    for before, after in zip(cut_off, records, strict=False):
        assert after.values == before.values
        assert after.epochs[: len(before.epochs)] == before.epochs
    # As if it had never been cut off.
    for trial in records:
        assert trial.scores[-1] == fitted_score(whole, trial.values, folders.beats)
    assert folders.kept == []


@pytest.mark.slow
def test_a_search_whose_time_is_over_leaves_trials_open_and_the_next_call_ends_them(ray: Any, folders: Folders) -> None:
    cut_off = folders.run(plan(trials=2, epochs=30, max_minutes=0.01))
    assert "running" in statuses(cut_off)
    assert set(statuses(cut_off)) <= {"running", "finished"}
    records = folders.run(plan(trials=2, epochs=30))
    assert statuses(records) == ["finished"] * 2
    for before, after in zip(cut_off, records, strict=False):
        assert after.values == before.values
        assert after.epochs[: len(before.epochs)] == before.epochs
    assert folders.kept == []


RATES = [0.05, *(10.0**-n for n in range(3, 8))]


@pytest.mark.slow
def test_asha_stops_trials_that_are_behind(ray: Any, folders: Folders) -> None:
    def searched(rates: list[float]) -> SearchPlan:
        options = {"use": "asha", "asha": {"grace_epochs": 1, "reduction_factor": 2}}
        space = {"train": {"learning_rate": {"choice": rates}}}
        how: dict[str, Any] = {"scheduler": options, "algorithm": {"use": "grid"}, "metric": "log_loss"}
        return plan(space, trials=len(rates), epochs=4, **how)

    records = folders.run(searched(RATES))
    assert set(statuses(records)) == {"stopped", "finished"}
    for trial in records:
        assert (len(trial.epochs) == 4) == (trial.status == "finished")
    best = min(records, key=lambda trial: trial.scores[-1])
    assert best.values == {"train.learning_rate": 0.05}
    assert best.status == "finished"
    # A new one is measured against those that ran before.
    new = folders.run(searched([*RATES, 1e-9]))[-1]
    assert (new.number, new.status, len(new.epochs)) == (len(RATES), "stopped", 1)


@pytest.mark.slow
@pytest.mark.parametrize(
    ("scheduler", "metric"),
    [
        ({"use": "hyperband", "hyperband": {"reduction_factor": 2}}, "macro_recall"),
        ({"use": "median", "median": {"grace_epochs": 2, "min_trials": 1}}, "log_loss"),
        ({"use": "asha"}, "macro_recall"),
    ],
    ids=str,
)
def test_every_scheduler_runs_through_and_goes_on(
    ray: Any, folders: Folders, scheduler: dict[str, Any], metric: str
) -> None:
    rates = [0.05, 1e30, 0.02, 1e-3, 1e-2, 1e-4, 1e-5, 0.04]
    space = {"train": {"learning_rate": {"choice": rates}}}
    for n in (6, 8):
        searched = plan(space, trials=n, epochs=4, scheduler=scheduler, metric=metric, algorithm={"use": "grid"})
        records = folders.run(searched)
        assert [trial.values["train.learning_rate"] for trial in records] == rates[:n]
        assert statuses(records)[1] == "failed"
        assert "diverged" in (records[1].failure or "")
        assert set(statuses([*records[:1], *records[2:]])) <= {"finished", "stopped"}
        for trial in records:
            assert [epoch["epoch"] for epoch in trial.epochs] == list(range(1, len(trial.epochs) + 1))
            assert (trial.status == "finished") == (len(trial.epochs) == 4)
    finished = [trial for trial in records if trial.status == "finished"]
    assert finished
    for trial in finished[:2]:
        assert trial.scores[-1] == fitted_score(searched, trial.values, folders.beats)


@pytest.fixture
def kill_if(monkeypatch: pytest.MonkeyPatch) -> Callable[[Callable[[TrialRecord], bool]], list[int]]:
    """A function that says after which epochs the process of a trial is killed, as where memory is short."""

    def make(condition: Callable[[TrialRecord], bool]) -> list[int]:
        killed: list[int] = []

        class Killer(tuner.Reporter):
            def on_trial_result(self, iteration: int, trials: Any, trial: Any, result: Any, **info: Any) -> None:
                super().on_trial_result(iteration, trials, trial, result, **info)
                record = self._records[trial.trial_id]
                if not result["over"] and condition(record):
                    killed.append(record.number)
                    os.kill(result["pid"], signal.SIGKILL)

        monkeypatch.setattr(tuner, "Reporter", Killer)
        return killed

    return make


KillIf = Callable[[Callable[[TrialRecord], bool]], list[int]]


@pytest.mark.slow
def test_a_trial_whose_process_is_killed_goes_on_and_ends_with_the_same_numbers(
    ray: Any, folders: Folders, kill_if: KillIf
) -> None:
    times = iter([True])
    killed = kill_if(lambda trial: len(trial.epochs) == 3 and next(times, False))
    searched = plan(trials=2, epochs=6)
    records = folders.run(searched)
    assert len(killed) == 1
    assert statuses(records) == ["finished"] * 2
    for trial in records:
        assert [epoch["epoch"] for epoch in trial.epochs] == list(range(1, 7))
        assert trial.scores[-1] == fitted_score(searched, trial.values, folders.beats)


@pytest.mark.slow
def test_a_trial_whose_process_is_killed_again_and_again_fails_and_says_so(
    ray: Any, folders: Folders, kill_if: KillIf
) -> None:
    killed = kill_if(lambda trial: trial.number == 0)
    first, second = folders.run(plan(trials=2, epochs=6))
    assert killed == [0] * (tuner.RETRIES + 1)
    assert first.status == "failed"
    assert first.failure is not None
    assert "killed again and again" in first.failure
    assert second.status == "finished"


@pytest.mark.slow
def test_a_search_that_is_interrupted_goes_on_where_it_was(
    ray: Any, folders: Folders, caplog: pytest.LogCaptureFixture
) -> None:
    def interrupt(trial: TrialRecord) -> None:
        if len(trial.epochs) == 2:
            os.kill(os.getpid(), signal.SIGINT)

    folders.listener = interrupt
    searched = plan(trials=3, epochs=6)
    with pytest.raises(KeyboardInterrupt):
        folders.run(searched)
    assert "of 3 trials have ended. Repeat the command to resume." in caplog.text
    before = folders.searches.begin("k", searched)
    assert any(trial.status == "running" and trial.epochs for trial in before)
    folders.listener = lambda trial: None
    records = folders.run(searched)
    assert statuses(records) == ["finished"] * 3
    for old, new in zip(before, records, strict=False):
        assert new.values == old.values
        assert new.epochs[: len(old.epochs)] == old.epochs
        assert new.scores[-1] == fitted_score(searched, new.values, folders.beats)


# --- without Ray


def test_no_search_is_one_trial_in_this_process(folders: Folders, monkeypatch: pytest.MonkeyPatch) -> None:
    def started(*_: Any) -> None:
        raise AssertionError("Ray was started for nothing")

    monkeypatch.setattr(tuner, "started_ray", started)
    searched = plan(algorithm={"use": "none"}, trials=3, epochs=3)
    (only,) = folders.run(searched)
    assert (only.status, only.values, len(only.epochs)) == ("finished", {"train.learning_rate": 1e-4}, 3)
    assert only.scores[-1] == fitted_score(searched, only.values, folders.beats)
    assert folders.reported == [(0, "finished", 3)]
    assert folders.run(searched) == [only]


def scheduler(use: str, **options: Any) -> Any:
    made = SCHEDULERS[use](epochs=9, **options)
    made.set_search_properties("score", "max")
    return made


@pytest.mark.parametrize(("use", "options"), [("asha", {"reduction_factor": 2}), ("median", {"min_trials": 2})])
@pytest.mark.parametrize(("score", "decision"), [(0.1, "STOP"), (0.9, "CONTINUE")])
def test_a_scheduler_measures_a_trial_against_those_that_ran_before(
    use: str, options: dict[str, Any], score: float, decision: str
) -> None:
    before = [record(number, {}, 0.4, 0.5, 0.6) for number in range(4)]
    made = scheduler(use, **options)
    replay(made, [*before, record(5, {}, status="failed", failure="no"), record(6, {}, 0.99, status="running")])
    assert said_of("new", made, score) == decision


def said_of(name: str, made: Any, score: float) -> str:
    """What a scheduler says of a new trial after two epochs, or earlier if it stops it."""
    trial, controller = PastTrial(name), SimpleNamespace(get_live_trials=list)
    made.on_trial_add(controller, trial)
    for epoch in (1, 2):
        said: str = made.on_trial_result(controller, trial, {"score": score, "training_iteration": epoch})
        if said == "STOP":
            break
    return said


@pytest.mark.parametrize("use", ["asha", "median", "none"])
def test_a_trial_that_fails_without_a_score_does_not_disturb_a_scheduler(use: str) -> None:
    made, controller = scheduler(use), SimpleNamespace(get_live_trials=list)
    for name in ("a", "b", "c", "d"):
        failed = PastTrial(name)
        made.on_trial_add(controller, failed)
        made.on_trial_complete(controller, failed, {"score": np.nan, "training_iteration": 1})
    assert [said_of(name, made, 0.5) for name in ("e", "f", "g")] == ["CONTINUE"] * 3


def test_a_budget_counts_what_is_trained() -> None:
    budget = EpochBudget(2)
    told: list[dict[str, Any]] = [{"trained": False}, {"trained": True}, {"failure": "too wide"}, {"trained": False}]
    assert [(budget("a", result), budget.stop_all()) for result in told] == [(False, False)] * 4
    assert not budget("b", {"trained": True})
    assert budget.stop_all()
    assert not EpochBudget(float("inf")).stop_all()


# --- one trial as a process of Ray's runs it


@pytest.fixture(autouse=True)
def this_process(monkeypatch: pytest.MonkeyPatch) -> None:
    """Leave the threads of this process as they are."""
    monkeypatch.setattr(tuner, "one_thread", lambda: None)


Made = Callable[..., TrialTrainable]


@pytest.fixture
def process(folders: Folders) -> Made:
    """A function that makes a process with its first trial."""

    def make(
        searched: SearchPlan, values: Mapping[str, Any], name: str = "a", resume: str | None = None
    ) -> TrialTrainable:
        folders.checkpoints.folder.mkdir(exist_ok=True)
        made = TrialTrainable.__new__(TrialTrainable)
        made._trial_info = SimpleNamespace(trial_id=name)
        made.setup(
            {"values": dict(values), "resume": resume, "until": None}, searched, folders.beats, folders.checkpoints
        )
        return made

    return make


def steps(made: TrialTrainable, n: int = 99) -> list[dict[str, Any]]:
    """What it reports until it is over, or so many epochs, without what the clock says."""
    results: list[dict[str, Any]] = []
    while len(results) < n and not (results and results[-1]["done"]):
        results.append(made.step())
    return [{name: value for name, value in result.items() if name != "seconds"} for result in results]


RATE = {"train.learning_rate": 0.02}


def test_a_process_reports_a_trial_epoch_by_epoch(process: Made, folders: Folders) -> None:
    searched = plan(epochs=3)
    results = steps(process(searched, RATE))
    trial = Trial(searched.configs(RATE), TensorCache(*folders.beats))
    for epoch, result in enumerate(results, start=1):
        expected = {**trial.step(), "n_parameters": trial.n_parameters, "done": epoch == 3}
        assert result == {name: value for name, value in expected.items() if name != "seconds"}
    assert len(results) == 3
    assert folders.kept == ["a"]


def test_a_process_runs_one_trial_after_the_other_and_keeps_the_tensors(process: Made) -> None:
    searched = plan(epochs=2)
    first = process(searched, RATE)
    steps(first)
    tensors = first.tensors
    first._trial_info = SimpleNamespace(trial_id="b")
    assert first.reset_config({"values": {"train.learning_rate": 0.05}, "resume": None, "until": None})
    assert first.tensors is tensors
    second = process(searched, {"train.learning_rate": 0.05}, "c")
    assert steps(first) == steps(second)


def test_a_trial_that_cannot_begin_says_why_and_is_over(process: Made) -> None:
    made = process(plan(WRONG), {"model.transformer1d.heads": 3, "train.augment.use": []})
    (result,) = steps(made)
    assert result.pop("failure").startswith("model.transformer1d.heads: 3 heads of attention cannot share a width of 8")
    assert np.isnan(result.pop("score"))
    assert result == {"done": True}
    # The process itself is well.
    assert made.reset_config(
        {"values": {"model.transformer1d.heads": 2, "train.augment.use": []}, "resume": None, "until": None}
    )
    assert "failure" not in steps(made)[-1]


def test_values_that_are_not_allowed_are_a_reason_too(process: Made) -> None:
    (result,) = steps(process(plan(), {"train.learning_rate": -1.0}))
    assert "train.learning_rate" in result["failure"]


def test_a_trial_that_fails_on_its_way_says_why_and_is_over(process: Made, monkeypatch: pytest.MonkeyPatch) -> None:
    made = process(plan(epochs=5), RATE)
    assert len(steps(made, 2)) == 2

    def fail(*_: Any) -> float:
        raise RuntimeError("out of memory\nat some place")

    monkeypatch.setattr(Training, "train_epoch", fail)
    (result,) = steps(made)
    assert np.isnan(result.pop("score"))
    assert result == {"failure": "RuntimeError: out of memory", "done": True}


def test_a_trial_goes_on_from_the_checkpoint_that_it_is_told(process: Made, folders: Folders) -> None:
    searched = plan(epochs=5)
    whole = steps(process(searched, RATE, "whole"))
    steps(process(searched, RATE, "before"), 3)
    after = steps(process(searched, RATE, "after", resume="before"))
    assert [result.pop("trained") for result in after] == [False] * 3 + [True] * 2
    assert after == [{name: value for name, value in result.items() if name != "trained"} for result in whole]
    assert set(folders.kept) == {"whole", "before", "after"}


def test_a_trial_s_own_checkpoint_comes_before_the_one_that_it_is_told(process: Made) -> None:
    searched = plan(epochs=5)
    steps(process(searched, RATE, "old"), 1)
    steps(process(searched, RATE, "own", resume="old"), 4)
    assert [result["trained"] for result in steps(process(searched, RATE, "own", resume="old"))] == [False] * 4 + [True]


def test_a_machine_without_the_project_s_folder_keeps_no_checkpoints(folders: Folders, tmp_path: Path) -> None:
    elsewhere = Checkpoints(tmp_path / "not" / "here" / "checkpoints")
    made = TrialTrainable.__new__(TrialTrainable)
    made._trial_info = SimpleNamespace(trial_id="a")
    made.setup({"values": RATE, "resume": None, "until": None}, plan(epochs=2), folders.beats, elsewhere)
    assert len(steps(made)) == 2
    assert not (tmp_path / "not").exists()


def test_a_trial_that_is_set_aside_goes_on_to_the_same_numbers(process: Made, tmp_path: Path) -> None:
    """As in HyperBand, where a process trains another trial in between."""
    searched = plan(epochs=5)
    expected = steps(process(searched, RATE, "whole"))
    first = process(searched, RATE, "a")
    results = steps(first, 2)
    first.save_checkpoint(str(tmp_path))
    first._trial_info = SimpleNamespace(trial_id="b")
    first.reset_config({"values": {"train.learning_rate": 0.05}, "resume": None, "until": None})
    steps(first, 1)
    first._trial_info = SimpleNamespace(trial_id="a")
    first.reset_config({"values": RATE, "resume": None, "until": None})
    first.load_checkpoint(str(tmp_path))
    assert [*results, *steps(first)] == expected


# A search in a process of its own, that stores its trials in a folder.
SEARCH = """
import sys
from pathlib import Path
from beatwise.search.settings import RaySettings
from beatwise.search.trials import Searches
from beatwise.search.tuner import run_search
from beatwise.training.checkpoint import Checkpoints
from tests.conftest import random_beats
from tests.search.conftest import plan
folder = Path(sys.argv[1])
searches, checkpoints = Searches(folder / "searches"), Checkpoints(folder / "checkpoints")
searched = plan(trials=5, epochs=6, algorithm={"use": "random"})
with searches.alone("k"):
    begun = searches.begin("k", searched)
    beats = random_beats(), random_beats((20, 6, 6, 6, 6), seed=1)
    run_search(searched, "k", begun, beats, searches, checkpoints, RaySettings(cpus=1))
"""


@pytest.mark.slow
def test_a_random_search_that_is_killed_ends_with_the_trials_of_one_that_is_not(tmp_path: Path) -> None:
    def start(folder: Path) -> subprocess.Popen[bytes]:
        return subprocess.Popen([sys.executable, "-c", SEARCH, str(folder)], cwd=ROOT)

    def trials(folder: Path) -> list[TrialRecord]:
        return Searches(folder / "searches").begin("k", plan(trials=5, epochs=6, algorithm={"use": "random"}))

    killed = tmp_path / "killed"
    for epochs in (2, 14):
        process = start(killed)
        while not (killed / "searches/k").is_dir() or sum(len(trial.epochs) for trial in trials(killed)) < epochs:
            assert process.poll() is None
            time.sleep(0.05)
        process.kill()
        process.wait()
    assert any((killed / "searches/k/ray").iterdir())
    for folder in (killed, tmp_path / "left_alone"):
        assert start(folder).wait() == 0
        assert not (folder / "searches/k/ray").exists()
    again, alone = trials(killed), trials(tmp_path / "left_alone")
    assert [(trial.values, trial.scores) for trial in again] == [(trial.values, trial.scores) for trial in alone]
    assert max(trial.call for trial in again) == 2
