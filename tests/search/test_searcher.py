from __future__ import annotations

import copy
import json
import warnings
from collections.abc import Callable, Mapping, Sequence
from typing import Any

import numpy as np
import pytest
from optuna.trial import TrialState

from beatwise.search.algorithms import ALGORITHMS
from beatwise.search.searcher import SpaceSearcher, draws
from beatwise.search.trials import TrialRecord
from tests.search.conftest import record, space_of

FINISHED = SpaceSearcher.FINISHED
SPACE: dict[str, Any] = {
    "model": {
        "use": {"choice": ["mlp", "cnn1d"]},
        "mlp": {"width": {"randint": [4, 33]}},
        "cnn1d": {"widths": {"choice": [[4], [4, 8]]}, "dropout": {"quniform": [0.0, 0.5, 0.1]}},
    },
    "train": {
        "learning_rate": {"loguniform": [1e-4, 1e-1]},
        "batch_size": {"lograndint": [8, 129]},
        "augment": {"use": {"choice": [[], ["shift"]]}, "shift": {"max_samples": {"randint": [1, 5]}}},
    },
}


class Search:
    """A searcher, and what Ray would do with it."""

    def __init__(
        self,
        tree: Mapping[str, Any] = SPACE,
        algorithm: str = "random",
        *,
        records: Sequence[TrialRecord] = (),
        n_trials: int = 5,
        seed: int = 0,
        larger_is_better: bool = True,
        grid: Sequence[dict[str, Any]] = (),
        **options: Any,
    ) -> None:
        self.saved: list[TrialRecord] = []
        self.space = space_of(tree)
        self.searcher = SpaceSearcher(
            self.space,
            sampler=None if grid else ALGORITHMS[algorithm](seed=seed, **options),
            known=grid,
            records=copy.deepcopy(list(records)),
            n_trials=n_trials,
            larger_is_better=larger_is_better,
            save=lambda trial: self.saved.append(copy.deepcopy(trial)),
        )
        self._ids = (f"id{number}" for number in range(10**6))

    def next(self) -> tuple[str, dict[str, Any]] | None:
        """A trial's name and what it is told, or None where there is none left."""
        name = next(self._ids)
        told = self.searcher.suggest(name)
        assert told is not None
        if isinstance(told, str):
            assert told == FINISHED
            return None
        assert set(told) == {"values", "resume"} | ({"until"} & set(told))
        return name, json.loads(json.dumps(told))

    def result(self, config: Mapping[str, Any], epoch: int, score: float, *, over: bool = False) -> dict[str, Any]:
        """What a trial reports, flat."""
        return {"epoch": epoch, "score": score, "seconds": 1.0, "over": over, "n_parameters": 7}

    def run(self, score: Callable[[dict[str, Any]], float] = lambda values: 0.5) -> list[dict[str, Any]]:
        """Run all trials one after the other for an epoch; their values."""
        found = []
        while (trial := self.next()) is not None:
            name, config = trial
            found.append(config["values"])
            result = self.result(config, 1, score(config["values"]), over=True)
            self.searcher.on_trial_complete(name, result)
        return found

    @property
    def reported(self) -> list[TrialState]:
        """What the sampler knows."""
        return [trial.state for trial in self.searcher._study.trials]


# --- what is handed out


def test_exactly_as_many_trials_are_handed_out_as_there_are_to_be() -> None:
    search = Search(n_trials=7)
    assert len(search.run()) == 7
    assert search.next() is None
    assert [trial.number for trial in search.searcher.all_records()] == list(range(7))
    assert {trial.status for trial in search.searcher.all_records()} == {"finished"}


def test_trials_may_run_side_by_side() -> None:
    search = Search(n_trials=4, algorithm="tpe", startup_trials=1)
    asked = [search.next() for _ in range(5)]
    assert asked[-1] is None
    for trial in asked[:4]:
        assert trial is not None
        name, config = trial
        search.searcher.on_trial_result(name, search.result(config, 1, 0.3))
    for trial in asked[3::-1]:
        assert trial is not None
        name, config = trial
        search.searcher.on_trial_complete(name, search.result(config, 2, 0.4, over=True))
    assert [len(trial.epochs) for trial in search.searcher.all_records()] == [2] * 4


@pytest.mark.parametrize("algorithm", ["random", "tpe"])
def test_values_are_those_that_the_choices_made_call_for(algorithm: str) -> None:
    search = Search(algorithm=algorithm, n_trials=40)
    found = search.run(lambda values: values["train.learning_rate"])
    for values in found:
        assert {name for name in search.space.ranges if search.space.is_called_for(name, values)} == set(values)
        for name, value in values.items():
            range = search.space.ranges[name]
            if range.kind == "choice":
                assert value in range.given
            else:
                assert range.low <= value <= range.high
                assert range.nearest(value) == value
                assert isinstance(value, int) == range.is_integer
    assert {values["model.use"] for values in found} == {"mlp", "cnn1d"}


def test_a_choice_of_any_type_keeps_its_type() -> None:
    for value in (None, True, 3, 0.5, "a", [1, [2]]):
        search = Search({"train": {"patience": {"choice": [value]}}}, n_trials=1)
        assert search.run() == [{"train.patience": value}]
        again = Search({"train": {"patience": {"choice": [value]}}}, records=search.saved[-1:], n_trials=2)
        assert again.run() == [{"train.patience": value}]


def test_steps_are_drawn_without_a_rounding_error_and_without_a_warning() -> None:
    tree = {"train": {"sampler_power": {"quniform": [0.1, 1.0, 0.35]}}}
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        search = Search(tree, n_trials=30, algorithm="tpe")
        found = search.run(lambda values: values["train.sampler_power"])
        Search(tree, n_trials=40, algorithm="tpe", records=search.searcher.all_records()).run()
    assert {values["train.sampler_power"] for values in found} == {0.1, 0.45, 0.8}


def test_a_grid_is_handed_out_in_order() -> None:
    tree = {"train": {"learning_rate": {"uniform": [0.1, 0.3]}, "augment": {"use": {"choice": [[], ["shift"]]}}}}
    grid = space_of(tree).grid(3)
    search = Search(tree, grid=grid, n_trials=4)
    assert search.run() == grid[:4]
    rest = Search(tree, grid=grid, records=search.searcher.all_records(), n_trials=len(grid))
    assert rest.run() == grid[4:]
    assert [trial.number for trial in rest.searcher.all_records()] == list(range(len(grid)))


# --- trials that were cut off


CUT_OFF = [
    record(0, {"train.batch_size": 8}, 0.5, status="finished"),
    record(1, {"train.batch_size": 9}, 0.3, 0.4, status="running"),
    record(2, {"train.batch_size": 10}, status="running"),
    record(3, {"train.batch_size": 11}, status="failed", failure="no"),
]
SIZES = {"train": {"batch_size": {"randint": [8, 64]}}}


def test_trials_that_were_cut_off_come_first_with_the_key_of_their_checkpoint() -> None:
    search = Search(SIZES, records=CUT_OFF, n_trials=5)
    assert search.next() == ("id0", {"values": {"train.batch_size": 9}, "resume": "key1"})
    assert search.next() == ("id1", {"values": {"train.batch_size": 10}, "resume": "key2"})
    new = search.next()
    assert new is not None
    assert new[1]["resume"] is None
    assert search.next() is None
    assert [trial.number for trial in search.searcher.all_records()] == [0, 1, 2, 3, 4]
    assert {name: trial.number for name, trial in search.searcher.records.items()} == {"id0": 1, "id1": 2, "id2": 4}


def test_a_trial_that_is_cut_off_before_it_has_trained_again_keeps_the_key_of_its_checkpoint() -> None:
    search = Search(SIZES, records=CUT_OFF, n_trials=4)
    trial = search.next()
    assert trial is not None
    assert (search.saved[-1].key, search.saved[-1].started) == ("key1", CUT_OFF[1].started)
    search.searcher.on_trial_result(trial[0], search.result(trial[1], 1, 0.3))
    assert search.saved[-1].key == trial[0]


def test_trials_that_were_cut_off_are_taken_up_though_there_are_enough() -> None:
    search = Search(SIZES, records=CUT_OFF, n_trials=1)
    assert [trial.status for trial in search.searcher.all_records()] == ["finished", "running", "running", "failed"]
    assert [values["train.batch_size"] for values in search.run()] == [9, 10]


# --- what is written down


def test_a_record_is_saved_after_each_event() -> None:
    search = Search(SIZES, n_trials=2)
    trial = search.next()
    assert trial is not None
    name, config = trial
    assert [(saved.status, len(saved.epochs)) for saved in search.saved] == [("running", 0)]
    assert search.saved[0].started is not None
    for epoch in (1, 2):
        search.searcher.on_trial_result(name, search.result(config, epoch, epoch / 10))
    assert [(saved.status, saved.scores) for saved in search.saved[1:]] == [("running", [0.1]), ("running", [0.1, 0.2])]
    search.searcher.on_trial_complete(name, search.result(config, 3, 0.3, over=True))
    assert (search.saved[-1].status, search.saved[-1].scores) == ("finished", [0.1, 0.2, 0.3])
    assert {saved.number for saved in search.saved} == {0}


def test_a_result_that_is_told_twice_is_written_down_once() -> None:
    search = Search(SIZES, n_trials=1)
    trial = search.next()
    assert trial is not None
    name, config = trial
    search.searcher.on_trial_result(name, search.result(config, 1, 0.1))
    search.searcher.on_trial_complete(name, search.result(config, 1, 0.1))
    assert (search.saved[-1].status, search.saved[-1].scores) == ("stopped", [0.1])


@pytest.mark.parametrize(
    ("result", "error", "status", "state"),
    [
        ({"epoch": 1, "score": 0.5, "seconds": 1.0, "over": True, "n_parameters": 7}, False, "finished", "COMPLETE"),
        ({"epoch": 1, "score": 0.5, "seconds": 1.0, "over": False, "n_parameters": 7}, False, "stopped", "PRUNED"),
        ({"failure": "too wide", "done": True}, False, "failed", "FAIL"),
        (None, True, "failed", "FAIL"),
        (None, False, "stopped", "PRUNED"),
    ],
    ids=str,
)
def test_a_trial_that_ends_is_written_down_and_told_to_the_sampler(
    result: dict[str, Any] | None, error: bool, status: str, state: str
) -> None:
    search = Search(SIZES, algorithm="tpe", n_trials=2)
    trial = search.next()
    assert trial is not None
    search.searcher.on_trial_complete(trial[0], result, error)
    assert search.saved[-1].status == status
    assert search.saved[-1].values == trial[1]["values"]
    assert search.reported == [TrialState[state]]
    assert search.next() is not None  # and the sampler goes on


def test_the_sampler_is_told_of_every_epoch_once_where_a_trial_began_anew() -> None:
    search = Search(SIZES, algorithm="tpe", n_trials=1)
    trial = search.next()
    assert trial is not None
    name, config = trial
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        for epoch, score in ((1, 0.1), (2, 0.2), (1, 0.3), (2, 0.4)):
            search.searcher.on_trial_result(name, search.result(config, epoch, score))
        search.searcher.on_trial_complete(name, search.result(config, 2, 0.4))
    (told,) = search.searcher._study.trials
    assert told.intermediate_values == {1: 0.3, 2: 0.4}
    assert told.state == TrialState.PRUNED
    assert told.value == 0.4


# --- what the sampler learns


def test_the_sampler_knows_of_the_trials_that_ran_before() -> None:
    before = [
        record(0, {"train.batch_size": 8}, 0.5),
        record(1, {"train.batch_size": 9}, 0.3, status="stopped"),
        record(2, {"train.batch_size": 9}, status="failed", failure="no"),
        record(3, {"train.batch_size": 9}, 0.7, status="failed", failure="diverged"),
        record(4, {"train.batch_size": 9}, status="stopped"),
        record(5, {"train.batch_size": 9}, 0.3, status="running"),
    ]
    search = Search(SIZES, algorithm="tpe", records=before, n_trials=6)
    states = ["COMPLETE", "PRUNED", "FAIL", "FAIL", "FAIL"]
    assert [state.name for state in search.reported] == states
    search.run()
    assert [state.name for state in search.reported] == [*states, "COMPLETE"]
    assert search.searcher._study.best_value == 0.5


RATES = {"train": {"learning_rate": {"loguniform": [1e-5, 1.0]}, "sampler_power": {"uniform": [0.0, 1.0]}}}


def bump(values: Mapping[str, Any]) -> float:
    """A score whose best region is a small part of the space."""
    near = abs(np.log10(values["train.learning_rate"]) + 3) / 5 + abs(values["train.sampler_power"] - 0.2)
    return float(np.exp(-3 * near))


def in_the_region(found: Sequence[Mapping[str, Any]]) -> int:
    return sum(bump(values) > 0.5 for values in found)


@pytest.mark.parametrize("larger_is_better", [True, False])
def test_tpe_finds_a_good_region_more_often_than_chance(larger_is_better: bool) -> None:
    sign = 1 if larger_is_better else -1
    found = {
        algorithm: [
            in_the_region(
                Search(RATES, algorithm, n_trials=40, seed=seed, larger_is_better=larger_is_better).run(
                    lambda values: sign * bump(values)
                )[10:]
            )
            for seed in (0, 1)
        ]
        for algorithm in ("tpe", "random")
    }
    assert min(found["tpe"]) > 2 * max(found["random"])


def test_tpe_learns_from_the_trials_of_a_search_that_goes_on() -> None:
    first = Search(RATES, "tpe", n_trials=40)
    first.run(bump)

    def found(records: Sequence[TrialRecord]) -> int:
        """In the region, of three times ten trials, which for a search of their own would be its first."""
        more = [Search(RATES, "tpe", n_trials=len(records) + 10, seed=seed, records=records) for seed in (70, 71, 72)]
        return sum(in_the_region(search.run(bump)) for search in more)

    assert found(first.searcher.all_records()) > 2 * found([])


@pytest.mark.parametrize("algorithm", ["random", "tpe"])
def test_draws_depend_on_the_seed_and_a_resumed_search_does_not_repeat_them(algorithm: str) -> None:
    searches = [Search(algorithm=algorithm, n_trials=6, seed=seed) for seed in (3, 3, 4)]
    first, again, other = (search.run() for search in searches)
    assert first == again != other
    more = Search(algorithm=algorithm, n_trials=12, seed=3 + 6, records=searches[0].searcher.all_records())
    assert len({values["train.learning_rate"] for values in [*first, *more.run()]}) == 12


def test_trials_that_run_side_by_side_are_not_drawn_from_one_place() -> None:
    first = Search(RATES, "tpe", n_trials=30)
    first.run(bump)
    more = Search(RATES, "tpe", n_trials=38, seed=30, records=first.searcher.all_records())
    asked = [more.next() for _ in range(8)]
    rates = [np.log10(trial[1]["values"]["train.learning_rate"]) for trial in asked if trial is not None]
    assert len(rates) == 8
    assert len({round(rate, 6) for rate in rates}) == 8


def test_a_random_draw_depends_on_seed_and_number_alone() -> None:
    values = draws(space_of(SPACE), ALGORITHMS["random"](seed=3), 20)
    assert draws(space_of(SPACE), ALGORITHMS["random"](seed=3), 7) == values[:7]
    assert draws(space_of(SPACE), ALGORITHMS["random"](seed=4), 7) != values[:7]
    # As they are drawn one by one between the ends of other trials.
    assert Search(seed=3, n_trials=20).run() == values
    cut_off = Search(grid=values, n_trials=20, records=[record(n, values[n], 0.5) for n in range(12)])
    assert cut_off.run() == values[12:]


def test_a_trial_knows_in_which_call_of_the_search_it_was_trained() -> None:
    first = Search(n_trials=2)
    first.run()
    assert {trial.call for trial in first.saved} == {0}
    again = Search(n_trials=4, records=[*first.saved[-1:], record(1, first.saved[-1].values, status="running")])
    again.run()
    assert {trial.call for trial in again.saved} == {1}
    repeated = Search(n_trials=1, records=[record(0, first.saved[-1].values, status="running", until=2)])
    _, config = repeated.next() or ("", {})
    assert config["until"] == 2
    assert repeated.saved[-1].call == 0
