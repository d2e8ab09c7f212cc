from __future__ import annotations

import json
from typing import Any

import numpy as np
import pytest

from beatwise.search.population import FACTORS, Mutation, draw
from beatwise.search.space import Space, parse_range
from tests.search.conftest import space_of

TREE: dict[str, Any] = {
    "train": {
        "learning_rate": {"loguniform": [1e-3, 1e-1]},
        "sampler_power": {"uniform": [0.0, 1.0]},
        "batch_size": {"randint": [8, 129]},
        "gradient_clip": {"quniform": [0.5, 2.0, 0.5]},
        "patience": {"choice": [2, 4, 8, 16]},
        "augment": {
            "use": {"choice": [[], ["shift"], ["noise", "shift"]]},
            "shift": {"max_samples": {"randint": [1, 5]}},
        },
    }
}
START = {
    "train.augment.use": [],
    "train.learning_rate": 0.01,
    "train.sampler_power": 0.5,
    "train.batch_size": 32,
    "train.gradient_clip": 1.0,
    "train.patience": 4,
}


def changed(times: int, resample: float, start: dict[str, Any] | None = None, seed: int = 0) -> list[dict[str, Any]]:
    """The values after one change, so many times over."""
    mutate = Mutation(space_of(TREE), resample, seed)
    return [mutate({"values": dict(start or START), "resume": None})["values"] for _ in range(times)]


def test_a_number_moves_by_a_factor_within_its_range() -> None:
    found = changed(100, resample=0)
    rates = {round(values["train.learning_rate"] / 0.01, 9) for values in found}
    assert rates == set(FACTORS)
    assert {values["train.batch_size"] for values in found} == {26, 38}
    # Up to the nearest step, which is the one where it stands.
    assert {values["train.gradient_clip"] for values in found} == {1.0}


@pytest.mark.parametrize(("name", "end"), [("train.learning_rate", 0.1), ("train.batch_size", 128)])
def test_a_number_at_the_end_of_its_range_does_not_leave_it(name: str, end: float) -> None:
    assert max(values[name] for values in changed(50, 0, {**START, name: end})) == end


def test_a_choice_moves_to_its_neighbour() -> None:
    assert {values["train.patience"] for values in changed(60, 0)} == {2, 8}
    assert {values["train.patience"] for values in changed(60, 0, {**START, "train.patience": 16})} == {8, 16}
    uses = [values["train.augment.use"] for values in changed(60, 0)]
    assert {json.dumps(use) for use in uses} == {"[]", '["shift"]'}


def test_what_is_drawn_anew_comes_from_the_whole_range() -> None:
    found = changed(200, resample=1)
    assert {values["train.patience"] for values in found} == {2, 4, 8, 16}
    rates = [values["train.learning_rate"] for values in found]
    assert min(rates) < 2e-3 < 5e-2 < max(rates)
    assert np.median(np.log10(rates)) == pytest.approx(-2, abs=0.3)


def test_some_values_are_moved_and_some_are_drawn_anew() -> None:
    moved = [round(v["train.learning_rate"] / 0.01, 9) in FACTORS for v in changed(400, resample=0.25)]
    assert sum(moved) / len(moved) == pytest.approx(0.75, abs=0.08)


@pytest.mark.parametrize("resample", [0.0, 0.5, 1.0])
def test_values_belong_to_the_space_however_often_they_are_changed(resample: float) -> None:
    space = space_of(TREE)
    config: dict[str, Any] = {"values": dict(START), "resume": None}
    mutate = Mutation(space, resample, 0)
    for _ in range(200):
        config = mutate(config)
        values = config["values"]
        assert {name for name in space.ranges if space.is_called_for(name, values)} == set(values)
        for name, value in values.items():
            within = space.ranges[name]
            assert value in within.given if within.kind == "choice" else within.nearest(value) == value
        assert json.loads(json.dumps(values)) == values


def test_an_option_of_what_is_chosen_now_is_drawn_and_of_what_is_no_longer_chosen_is_left_out() -> None:
    found = changed(60, 0, {**START, "train.augment.use": ["shift"], "train.augment.shift.max_samples": 4})
    for values in found:
        assert ("train.augment.shift.max_samples" in values) == ("shift" in values["train.augment.use"])
    drawn = {values.get("train.augment.shift.max_samples") for values in changed(200, 0)}
    assert drawn == {None, 1, 2, 3, 4}


def test_the_rest_of_the_configuration_is_left_as_it_is_and_the_given_one_is_not_changed() -> None:
    config = {"values": dict(START), "resume": "key"}
    assert Mutation(space_of(TREE), 1.0, 0)(config)["resume"] == "key"
    assert config == {"values": START, "resume": "key"}


def test_changes_depend_on_the_seed_alone() -> None:
    assert changed(20, 0.5, seed=1) == changed(20, 0.5, seed=1) != changed(20, 0.5, seed=2)


@pytest.mark.parametrize(
    "given",
    [
        {"uniform": [-1.0, 3.0]},
        {"loguniform": [1e-4, 1.0]},
        {"quniform": [0.0, 1.0, 0.35]},
        {"randint": [2, 5]},
        {"lograndint": [1, 1001]},
        {"choice": ["a", [1], None]},
    ],
    ids=str,
)
def test_a_range_is_drawn_from_all_over(given: Any) -> None:
    within, random = parse_range(given, "k"), np.random.default_rng(0)
    drawn = [draw(within, random) for _ in range(500)]
    if within.kind == "choice":
        assert all(drawn.count(value) > 100 for value in within.given)
        return
    assert all(within.low <= value <= within.high and within.nearest(value) == value for value in drawn)
    middle = np.sqrt(within.low * within.high) if within.is_log else (within.low + within.high) / 2
    assert np.mean(np.array(drawn) < middle) + np.mean(np.array(drawn) == middle) / 2 == pytest.approx(0.5, abs=0.1)
    if len(within.points(1001)) < 10:
        assert set(drawn) == set(within.points(1001))


def test_whole_numbers_are_drawn_equally_often() -> None:
    within, random = parse_range({"randint": [0, 4]}, "k"), np.random.default_rng(0)
    counts = np.bincount([draw(within, random) for _ in range(2000)], minlength=4)
    assert counts.min() > 400


def test_a_space_without_ranges_that_are_called_for_changes_nothing() -> None:
    space = Space({"a": {"use": "x"}}, {"a": {"y": {"n": {"randint": [1, 3]}}}}, "k")
    assert Mutation(space, 0.5, 0)({"values": {}, "resume": None}) == {"values": {}, "resume": None}
