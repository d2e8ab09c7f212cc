from __future__ import annotations

import json
import os
import threading
import time
from collections.abc import Callable
from datetime import datetime
from pathlib import Path
from typing import Any

import pytest

from beatwise.core.errors import BeatwiseError
from beatwise.core.versions import FORMAT
from beatwise.search.plan import SearchPlan
from beatwise.search.trials import Searches, TrialRecord
from tests.search.conftest import plan, record

PLAN = plan()


def told(epoch: int, **more: Any) -> dict[str, Any]:
    """What a trial reports after an epoch, flat and with what Ray adds to it."""
    result = {
        "epoch": epoch,
        "learning_rate": 0.01,
        "train_loss": 1 / epoch,
        "val_accuracy": 0.8,
        "seconds": 2.0,
        "score": epoch / 10,
        "over": False,
        "n_parameters": 12,
        "training_iteration": epoch,
        "time_total_s": 9.9,
        "config/resume": None,
    }
    return {**result, **more}


# --- a record


def test_an_epoch_is_noted_without_what_ray_adds_to_it() -> None:
    trial = TrialRecord(number=0, key="k", values={"a": 1})
    trial.add(told(1, score_sd=0.1))
    assert trial.epochs == [
        {
            "epoch": 1,
            "learning_rate": 0.01,
            "train_loss": 1.0,
            "val_accuracy": 0.8,
            "seconds": 2.0,
            "score": 0.1,
            "score_sd": 0.1,
        }
    ]
    assert trial.n_parameters == 12


def test_scores_and_seconds_are_those_of_the_epochs() -> None:
    trial = TrialRecord(number=0, key="k", values={"a": 1})
    assert (trial.scores, trial.seconds) == ([], 0)
    for epoch in (1, 2, 3):
        trial.add(told(epoch))
    assert trial.scores == [0.1, 0.2, 0.3]
    assert trial.seconds == 6


def test_an_epoch_that_is_told_twice_is_noted_once() -> None:
    trial = TrialRecord(number=0, key="k", values={"a": 1})
    for epoch in (1, 2, 2):
        trial.add(told(epoch))
    assert [epoch["epoch"] for epoch in trial.epochs] == [1, 2]


def test_a_trial_that_begins_anew_overwrites_its_epochs() -> None:
    trial = TrialRecord(number=0, key="k", values={"a": 1})
    for epoch in (1, 2, 3):
        trial.add(told(epoch))
    trial.add(told(1, score=0.7))
    assert [(epoch["epoch"], epoch["score"]) for epoch in trial.epochs] == [(1, 0.7)]
    trial.add(told(2, score=0.8))
    assert [(epoch["epoch"], epoch["score"]) for epoch in trial.epochs] == [(1, 0.7), (2, 0.8)]


def test_a_failure_is_no_epoch() -> None:
    trial = TrialRecord(number=0, key="k", values={"a": 1})
    trial.add({"failure": "too wide", "done": True, "training_iteration": 1})
    assert trial.epochs == []


@pytest.mark.parametrize(
    ("result", "error", "status", "failure"),
    [
        (told(3, over=True), False, "finished", None),
        (told(2), False, "stopped", None),
        ({}, False, "stopped", None),
        ({"failure": "too wide", "done": True}, False, "failed", "too wide"),
        ({"failure": "too wide", "done": True}, True, "failed", "too wide"),
        ({}, True, "failed", "its process was killed again and again; did the machine run out of memory?"),
    ],
)
def test_how_a_trial_ended(result: dict[str, Any], error: bool, status: str, failure: str | None) -> None:
    trial = TrialRecord(number=0, key="k", values={"a": 1})
    assert trial.status == "running"
    trial.end(result, error)
    assert (trial.status, trial.failure) == (status, failure)


def test_a_trial_began_when_it_began_first() -> None:
    trial = TrialRecord(number=0, key="k", values={})
    trial.begin()
    assert trial.started is not None
    assert datetime.fromisoformat(trial.started).tzinfo is not None
    trial.started = "2026-01-01T00:00:00+00:00"
    trial.begin()
    assert trial.started == "2026-01-01T00:00:00+00:00"


# --- files


@pytest.fixture
def searches(tmp_path: Path) -> Searches:
    return Searches(tmp_path / "models" / "searches")


def test_trials_come_back_as_they_were_saved_by_number(searches: Searches) -> None:
    values: dict[str, Any] = {"model.use": "mlp", "widths": [4, 8], "rate": 1e-3, "on": False, "none": None}
    saved = [
        record(11, values, 0.1, 0.3, status="stopped"),
        record(2, {}, status="failed", failure='it said: "no"\nä'),
        record(3, values, 0.5, status="running"),
    ]
    assert searches.begin("k", PLAN) == []
    for trial in saved:
        searches.save("k", trial)
    read = Searches(searches.folder).begin("k", PLAN)
    assert read == sorted(saved, key=lambda trial: trial.number)


def test_a_trial_is_saved_as_it_stands(searches: Searches) -> None:
    searches.begin("k", PLAN)
    trial = record(0, {}, 0.1, status="running")
    searches.save("k", trial)
    trial.status = "finished"
    assert searches.begin("k", PLAN)[0].status == "running"
    searches.save("k", trial)
    assert [found.status for found in searches.begin("k", PLAN)] == ["finished"]


def test_trials_of_another_search_are_not_found(searches: Searches) -> None:
    searches.begin("k", PLAN)
    searches.save("k", record(0, {}))
    assert searches.begin("other", PLAN) == []


def test_what_is_searched_now_can_be_read_in_the_folder(searches: Searches) -> None:
    for searched in (PLAN, plan(trials=9)):
        searches.begin("k", searched)
        stored = json.loads((searches.folder / "k" / "search.json").read_text())
        assert stored.pop("format") == FORMAT
        assert SearchPlan.model_validate(stored) == searched


def test_a_search_that_is_not_begun_makes_no_folder(searches: Searches) -> None:
    assert searches.all() == []
    assert not searches.folder.exists()


def aged(folder: Path, seconds: float) -> None:
    """Make a folder's files older."""
    for path in folder.iterdir():
        then = path.stat().st_mtime - seconds
        os.utime(path, (then, then))


def test_the_search_that_ran_last_comes_last_with_its_trials(searches: Searches) -> None:
    for key, name in (("old", "s"), ("new", "s"), ("other", "t")):
        searches.begin(key, plan(name=name))
        searches.save(key, record(0, {"from": key}))
    aged(searches.folder / "old", 60)
    aged(searches.folder / "other", -60)
    assert [(stored.key, stored.plan.name) for stored in searches.all()] == [("old", "s"), ("new", "s"), ("other", "t")]
    assert [trial.values for trial in searches.all()[1].trials] == [{"from": "new"}]
    # The oldest one is taken up again.
    aged(searches.folder / "new", 60)
    aged(searches.folder / "other", 120)
    aged(searches.folder / "old", 60)
    searches.save("old", record(1, {"from": "old"}))
    assert [(stored.key, len(stored.trials)) for stored in searches.all()][-1] == ("old", 2)


# --- what goes wrong


def shortened(path: Path) -> None:
    path.write_bytes(path.read_bytes()[:-20])


DAMAGES: dict[str, Callable[[Path], Any]] = {
    "half-written": shortened,
    "empty": lambda path: path.write_bytes(b""),
    "not text": lambda path: path.write_bytes(b"\xff\xfe\x00"),
    "not a mapping": lambda path: path.write_text("[1, 2]"),
    "without what it takes": lambda path: path.write_text('{"number": 1}'),
    "with more than it takes": lambda path: path.write_text('{"number": 1, "key": "k", "values": {}, "colour": 2}'),
}


@pytest.mark.parametrize("damage", DAMAGES.values(), ids=DAMAGES)
def test_a_damaged_trial_is_named_with_the_way_out(searches: Searches, damage: Callable[[Path], Any]) -> None:
    searches.begin("k", PLAN)
    searches.save("k", record(0, {}, 0.1))
    searches.save("k", record(1, {}, 0.1))
    path = searches.folder / "k" / "trial-0001.json"
    damage(path)
    with pytest.raises(BeatwiseError, match=f"^{path} cannot be read.*Remove the folder {path.parent} to sear"):
        searches.begin("k", PLAN)


@pytest.mark.parametrize("name", ["half-written", "empty", "not text", "not a mapping"])
def test_a_damaged_description_of_a_search_is_named_with_the_way_out(searches: Searches, name: str) -> None:
    searches.begin("k", PLAN)
    searches.begin("another", plan(name="t"))
    path = searches.folder / "k" / "search.json"
    DAMAGES[name](path)
    with pytest.raises(BeatwiseError, match=f"^{path} cannot be read.*Remove the folder {path.parent}"):
        searches.all()


def test_a_file_that_was_being_written_when_the_search_was_killed_is_no_trial(searches: Searches) -> None:
    searches.begin("k", PLAN)
    searches.save("k", record(0, {}))
    scratch = searches.folder / "k" / ".trial-0001.json-x1y2"
    scratch.mkdir()
    (scratch / "trial-0001.json").write_text('{"number"')
    assert [trial.number for trial in searches.begin("k", PLAN)] == [0]


def test_a_file_in_the_way_of_the_folder_is_named(searches: Searches) -> None:
    searches.folder.parent.mkdir(parents=True)
    searches.folder.write_text("in the way")
    with pytest.raises(BeatwiseError, match=str(searches.folder)):
        searches.begin("k", PLAN)


def test_a_folder_that_mkdir_is_not_permitted_to_make_is_named(
    searches: Searches, monkeypatch: pytest.MonkeyPatch
) -> None:
    def refuse(path: Any, *arguments: Any, **options: Any) -> None:
        raise PermissionError(13, "Permission denied", str(path))

    monkeypatch.setattr(os, "mkdir", refuse)
    with pytest.raises(BeatwiseError, match=rf"{searches.folder}.*Permission denied.*[Cc]heck its permissions"):
        searches.begin("k", PLAN)
    with pytest.raises(BeatwiseError, match=rf"{searches.folder}.*Permission denied"):
        searches.save("k", record(0, {}))


@pytest.mark.skipif(os.geteuid() == 0, reason="root may write anywhere")
def test_a_folder_without_permission_to_write_is_named(searches: Searches) -> None:
    searches.begin("k", PLAN)
    folder = searches.folder / "k"
    folder.chmod(0o555)
    try:
        with pytest.raises(BeatwiseError, match=rf"{folder}.*Permission denied"):
            searches.save("k", record(0, {}))
    finally:
        folder.chmod(0o755)


def test_a_disk_that_is_full_leaves_the_trial_as_it_was(searches: Searches, monkeypatch: pytest.MonkeyPatch) -> None:
    searches.begin("k", PLAN)
    searches.save("k", record(0, {}, 0.1))

    def fail(*_: Any, **__: Any) -> int:
        raise OSError(28, "No space left on device")

    with monkeypatch.context() as patch:
        patch.setattr(Path, "write_text", fail)
        with pytest.raises(BeatwiseError, match=r"trial-0000\.json cannot be written: No space left on device"):
            searches.save("k", record(0, {}, 0.1, 0.2))
    assert searches.begin("k", PLAN) == [record(0, {}, 0.1)]


def test_of_two_runs_of_one_search_the_second_waits(searches: Searches, caplog: pytest.LogCaptureFixture) -> None:
    caplog.set_level("INFO")
    order = []

    def second() -> None:
        with searches.alone("k"):
            order.append("second")

    with searches.alone("k"):
        (searches.folder / "k/ray").mkdir(parents=True)
        other = threading.Thread(target=second)
        other.start()
        while "waits for its trials" not in caplog.text:
            time.sleep(0.01)
        order.append("first")
    other.join()
    assert order == ["first", "second"]
    assert not (searches.folder / "k/ray").exists()
