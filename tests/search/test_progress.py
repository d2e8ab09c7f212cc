from __future__ import annotations

import logging
from collections.abc import Sequence
from typing import Any

import pytest
from rich.progress import Progress

from beatwise.data.examples import Examples
from beatwise.search import progress
from beatwise.search.progress import announce, seconds_per_epoch, shown
from beatwise.search.settings import RaySettings
from beatwise.search.trials import TrialRecord
from tests.search.conftest import plan, record
from tests.training.conftest import MakeBeats

HERE = RaySettings(cpus=2)
WRONG: dict[str, Any] = {"model": {"use": "transformer1d", "transformer1d": {"width": 8, "heads": {"choice": [3]}}}}
SOME_WRONG: dict[str, Any] = {
    "model": {"use": "transformer1d", "transformer1d": {"width": 8, "heads": {"choice": [2, 3]}}}
}
RATE = {"train.learning_rate": 0.01}


@pytest.fixture
def beats(make_beats: MakeBeats) -> Examples:
    return make_beats()


@pytest.mark.parametrize(
    ("pace", "settings", "search", "text"),
    [
        (6.0, HERE, {}, "Searching 8 trials of at most 10 epochs, 2 at once: about 4 min if none is stopped early."),
        (600.0, HERE, {"seeds": 3}, "10 epochs and 3 seeds, 2 at once: about 20.0 h if none is stopped early."),
        (0.1, HERE, {}, "10 epochs, 2 at once: less than a minute if none is stopped early."),
        (
            None,
            HERE,
            {},
            "Searching 8 trials of at most 10 epochs. `kedro run --pipeline=train` trains without a search.",
        ),
        (6.0, HERE, {"max_minutes": 2.5}, "if none is stopped early, at most 2.5 min."),
        # How fast a cluster is, it does not say.
        (6.0, RaySettings(address="auto"), {}, "Searching 8 trials of at most 10 epochs. `kedro run"),
    ],
)
def test_how_long_a_search_takes_is_said_beforehand(
    beats: Examples,
    monkeypatch: pytest.MonkeyPatch,
    caplog: pytest.LogCaptureFixture,
    pace: float | None,
    settings: RaySettings,
    search: dict[str, Any],
    text: str,
) -> None:
    monkeypatch.setattr(progress, "seconds_per_epoch", lambda *_: pace)
    with caplog.at_level(logging.INFO):
        announce(plan(trials=8, epochs=10, **search), beats, settings)
    assert text in caplog.text
    assert caplog.text.rstrip().endswith("trains without a search.")


@pytest.mark.parametrize(
    ("algorithm", "trials", "said"), [("grid", 2, True), ("grid", 3, False), ("grid", 9, False), ("random", 2, False)]
)
def test_a_grid_that_is_not_tried_as_a_whole_is_said_to_be(
    beats: Examples, caplog: pytest.LogCaptureFixture, algorithm: str, trials: int, said: bool
) -> None:
    searched = plan(algorithm={"use": algorithm}, trials=trials)
    # Not where it is planned, which is done before a run to check it, too.
    assert not caplog.messages
    announce(searched, beats, HERE)
    assert ("tune.s: 2 of the grid's 3 combinations are tried." in caplog.messages) is said


def test_the_pace_is_that_of_an_epoch_of_all_beats(make_beats: MakeBeats) -> None:
    few, many = (make_beats((60 * n, 12 * n, 14 * n, 10 * n, 12 * n)) for n in (1, 100))
    pace, slower = seconds_per_epoch(plan(), few), seconds_per_epoch(plan(), many)
    assert pace is not None
    assert slower is not None
    assert 0 < pace < slower / 10


def test_the_pace_of_an_epoch_of_few_batches_is_theirs(make_beats: MakeBeats) -> None:
    many = make_beats((6000, 1200, 1400, 1000, 1200))
    short = plan({"train": {"steps_per_epoch": 2, "learning_rate": {"uniform": [0.1, 0.2]}}})
    pace, whole = seconds_per_epoch(short, many), seconds_per_epoch(plan(), many)
    assert pace is not None
    assert whole is not None
    assert pace < whole / 10


@pytest.mark.parametrize(("space", "known"), [(WRONG, False), (SOME_WRONG, True)], ids=["all", "some"])
def test_trials_that_cannot_be_trained_do_not_stop_the_announcement(
    beats: Examples, space: dict[str, Any], known: bool, caplog: pytest.LogCaptureFixture
) -> None:
    with caplog.at_level(logging.INFO):
        announce(plan(space, models={}), beats, HERE)
    assert ("at once" in caplog.text) is known


# --- while it runs


@pytest.fixture
def bar(monkeypatch: pytest.MonkeyPatch) -> list[dict[str, Any]]:
    """What the bar has shown."""
    found: list[dict[str, Any]] = []
    add, update = Progress.add_task, Progress.update

    def added(self: Progress, *given: Any, **options: Any) -> Any:
        found.append(options)
        return add(self, *given, **options)

    def updated(self: Progress, *given: Any, **options: Any) -> None:
        found.append(options)
        update(self, *given, **options)

    monkeypatch.setattr(Progress, "add_task", added)
    monkeypatch.setattr(Progress, "update", updated)
    return found


def tell(begun: Sequence[TrialRecord], *told: TrialRecord, **search: Any) -> None:
    with shown(plan(trials=5, **search), begun) as say:
        for trial in told:
            say(trial)


def test_the_best_trial_and_how_many_have_ended_are_shown(bar: list[dict[str, Any]]) -> None:
    tell([], record(0, RATE, 0.5, status="running"), record(0, RATE, 0.5, 0.6), record(1, RATE, 0.55))
    assert [state["completed"] for state in bar] == [0, 0, 1, 2]
    assert [state["best"] for state in bar] == [
        "",
        *["best recall-first score 0.500, trial 0"],
        *["best recall-first score 0.600, trial 0"] * 2,
    ]


def test_of_some_metrics_the_least_is_shown(bar: list[dict[str, Any]]) -> None:
    tell([], record(0, RATE, 0.5), record(1, RATE, 0.4), metric="log_loss")
    assert bar[-1]["best"] == "best log loss 0.400, trial 1"


def test_a_search_that_goes_on_begins_with_what_there_is(
    bar: list[dict[str, Any]], caplog: pytest.LogCaptureFixture
) -> None:
    with caplog.at_level(logging.INFO):
        tell(
            [record(0, RATE, 0.7), record(1, RATE, 0.9, status="running")],
            record(1, RATE, 0.9, 0.9),
            record(2, RATE, 0.8),
        )
    assert "1 of 5 trials have ended before" in caplog.text
    assert bar[0] == {"total": 5, "completed": 1, "best": "best recall-first score 0.900, trial 1"}
    assert bar[-1] == {"completed": 3, "best": "best recall-first score 0.900, trial 1"}


def test_a_trial_that_fails_is_no_longer_the_best(bar: list[dict[str, Any]]) -> None:
    tell(
        [record(0, RATE, 0.5)],
        record(1, RATE, 0.9, status="running"),
        record(1, RATE, 0.9, status="failed", failure="x"),
    )
    assert bar[-1]["best"] == "best recall-first score 0.500, trial 0"


def test_each_trial_that_ends_is_told_once(caplog: pytest.LogCaptureFixture) -> None:
    with caplog.at_level(logging.INFO):
        tell(
            [],
            record(0, RATE, 0.5, status="running"),
            record(0, RATE, 0.5, 0.6),
            record(0, RATE, 0.5, 0.6),
            record(1, RATE, 0.4, status="stopped"),
            record(2, RATE, status="failed", failure="too wide"),
            record(3, RATE, status="stopped"),
        )
    assert caplog.messages == [
        "trial 0: recall-first score 0.600, finished after 2 epochs, 3 s",
        "trial 1: recall-first score 0.400, stopped after 1 epoch, 2 s",
        "trial 2 failed: too wide",
        "trial 3: stopped before its first epoch",
    ]
