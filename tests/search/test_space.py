from __future__ import annotations

import json
import random
from collections.abc import Callable
from typing import Any

import pytest

from beatwise.core.errors import BeatwiseError
from beatwise.core.nested import flatten
from beatwise.search.space import KINDS, Range, Space, label, parse_range, with_model_spaces
from beatwise.training.fit import fit_blocks
from tests.search.conftest import BASE, space_of

# As it is written, its ends, three points of it, and how a table shows it.
RANGES: list[tuple[dict[str, list[Any]], list[Any], list[Any], str]] = [
    ({"choice": ["a", 2, None, True, [1, 2]]}, ["a", 2, None, True, [1, 2]], ["a", 2, None, True, [1, 2]], ""),
    ({"choice": [0.5]}, [0.5], [0.5], "0.5"),
    ({"uniform": [0, 0.5]}, [0, 0.5], [0, 0.25, 0.5], "0 … 0.5"),
    ({"uniform": [-1.0, 3]}, [-1.0, 3], [-1.0, 1.0, 3], "-1 … 3"),
    ({"loguniform": [1e-4, 1e-2]}, [1e-4, 1e-2], [1e-4, 1e-3, 1e-2], "0.0001 … 0.01"),
    ({"quniform": [0, 1, 0.25]}, [0, 1], [0, 0.5, 1], "0 … 1 by 0.25"),
    ({"quniform": [0.1, 0.5, 0.1]}, [0.1, 0.5], [0.1, 0.3, 0.5], "0.1 … 0.5 by 0.1"),
    ({"quniform": [0.05, 0.2, 0.15]}, [0.05, 0.2], [0.05, 0.2], "0.05 … 0.2 by 0.15"),
    # The highest value that steps lead to.
    ({"quniform": [0, 1, 0.35]}, [0, 0.7], [0, 0.35, 0.7], "0 … 0.7 by 0.35"),
    ({"quniform": [10, 100, 20]}, [10, 90], [10, 50, 90], "10 … 90 by 20"),
    ({"randint": [1, 4]}, [1, 3], [1, 2, 3], "1 … 3"),
    ({"randint": [1, 3]}, [1, 2], [1, 2], "1 … 2"),
    ({"randint": [7, 8]}, [7, 7], [7], "7 … 7"),
    ({"lograndint": [1, 101]}, [1, 100], [1, 10, 100], "1 … 100"),
]


def test_a_range_is_read_as_it_is_written() -> None:
    for given, ends, points, shown in RANGES:
        within = parse_range(given, "k")
        assert within.ends() == ends
        assert within.points(3) == pytest.approx(points) if within.kind != "choice" else within.points(3) == points
        assert within.plain() == given
        assert parse_range(within.plain(), "k") == within
        assert str(within) == (shown or "a, 2, null, true, [1, 2]")
        if within.is_integer:
            assert all(isinstance(value, int) for value in [*within.ends(), *within.points(3)])


def test_every_kind_of_range_is_tested() -> None:
    assert {kind for given, *_ in RANGES for kind in given} == set(KINDS)


def test_the_nearest_number_of_a_range_lies_in_it() -> None:
    for given in [given for given, *_ in RANGES if "choice" not in given]:
        parsed = parse_range(given, "k")
        for number in (-1e9, -0.3, 0.0, 0.33, 0.99, 2.4, 2.6, 55.0, 1e9):
            nearest = parsed.nearest(number)
            assert parsed.low <= nearest <= parsed.high
            assert parsed.nearest(nearest) == nearest
            if not parsed.is_integer and parsed.kind != "quniform" and parsed.low <= number <= parsed.high:
                assert nearest == number


def test_a_number_is_rounded_to_what_the_range_holds() -> None:
    cases: list[tuple[dict[str, Any], float, float]] = [
        ({"quniform": [0.1, 0.5, 0.1]}, 0.29, 0.3),
        ({"quniform": [0, 1, 0.3]}, 1.0, 0.9),
        ({"randint": [0, 10]}, 4.6, 5),
        ({"randint": [0, 10]}, 10.0, 9),
        ({"lograndint": [1, 9]}, 0.1, 1),
    ]
    for given, number, nearest in cases:
        assert parse_range(given, "k").nearest(number) == nearest


def test_points_of_a_range_with_few_values_stand_there_once() -> None:
    assert parse_range({"randint": [2, 5]}, "k").points(50) == [2, 3, 4]
    assert parse_range({"quniform": [0, 1, 0.5]}, "k").points(9) == [0, 0.5, 1]


def test_a_label_is_the_text_or_json() -> None:
    for value, shown in [
        ("a b", "a b"),
        (3, "3"),
        (0.1, "0.1"),
        (None, "null"),
        (False, "false"),
        ([1, "a"], '[1, "a"]'),
        ([], "[]"),
    ]:
        assert label(value) == shown


# --- mistakes

MISTAKES: list[tuple[dict[str, Any], str]] = [
    ({"uniform": [1, 1]}, r"k\.a\.b\.uniform: \[1, 1\] is an empty range; the first number must be below the second\."),
    ({"uniform": [2, 1]}, r"k\.a\.b\.uniform: \[2, 1\] is an empty range"),
    ({"loguniform": [0.1, 0.01]}, r"k\.a\.b\.loguniform: .* is an empty range"),
    ({"quniform": [1, 0, 0.1]}, r"k\.a\.b\.quniform: .* is an empty range"),
    ({"randint": [3, 3]}, r"k\.a\.b\.randint: \[3, 3\] is an empty range, the upper end of which is not drawn"),
    ({"lograndint": [3, 2]}, r"k\.a\.b\.lograndint: .* is an empty range, the upper end"),
    ({"loguniform": [0, 1]}, r"k\.a\.b\.loguniform: \[0, 1\] goes through zero, which has no logarithm; begin above"),
    ({"loguniform": [-1.0, 1]}, r"k\.a\.b\.loguniform: .* goes through zero"),
    ({"lograndint": [0, 5]}, r"k\.a\.b\.lograndint: .* goes through zero"),
    ({"uniform": [False, True]}, r"k\.a\.b\.uniform: got \[False, True\]; allowed: 2 numbers, the lowest and the hig"),
    ({"uniform": ["0", "1"]}, r"k\.a\.b\.uniform: got \['0', '1'\]; allowed: 2 numbers"),
    # YAML reads 1e-4 as text.
    ({"loguniform": ["1e-4", 1]}, r"k\.a\.b\.loguniform: got \['1e-4', 1\]; allowed: 2 numbers"),
    ({"uniform": [0, None]}, r"k\.a\.b\.uniform: got \[0, None\]; allowed"),
    ({"uniform": [0, float("inf")]}, r"k\.a\.b\.uniform: got \[0, inf\]; allowed"),
    ({"uniform": [float("nan"), 1]}, r"k\.a\.b\.uniform: got \[nan, 1\]; allowed"),
    ({"uniform": [0]}, r"k\.a\.b\.uniform: got \[0\]; allowed: 2 numbers"),
    ({"uniform": [0, 1, 2]}, r"k\.a\.b\.uniform: got \[0, 1, 2\]; allowed: 2 numbers"),
    ({"randint": [0.0, 4.0]}, r"k\.a\.b\.randint: got \[0\.0, 4\.0\]; allowed: 2 whole numbers"),
    ({"lograndint": [1, 4.5]}, r"k\.a\.b\.lograndint: got \[1, 4\.5\]; allowed: 2 whole numbers"),
    ({"quniform": [0, 1]}, r"k\.a\.b\.quniform: got \[0, 1\]; allowed: 3 numbers, the lowest .*, and the step\."),
    ({"quniform": [0, 1, 0]}, r"k\.a\.b\.quniform: got the step 0; allowed: above 0, and no wider than the range\."),
    ({"quniform": [0, 1, -0.1]}, r"k\.a\.b\.quniform: got the step -0\.1; allowed"),
    ({"quniform": [0, 1, 1.5]}, r"k\.a\.b\.quniform: got the step 1\.5; allowed"),
    ({"choice": []}, r"k\.a\.b\.choice: got no value; allowed: a list of at least one\."),
    ({"choice": [1, 2, 1]}, r"k\.a\.b\.choice: 1, 2, 1 names a value twice"),
    ({"choice": [[1, 2], [1, 2]]}, r"k\.a\.b\.choice: \[1, 2\], \[1, 2\] names a value twice"),
    ({"choice": "abc"}, r"k\.a\.b\.choice: got 'abc'; allowed: a list\."),
    ({"choice": None}, r"k\.a\.b\.choice: got None; allowed: a list\."),
    ({"uniform": {"low": 0, "high": 1}}, r"k\.a\.b\.uniform: got \{.*\}; allowed: a list\."),
    ({"choice": [1], "uniform": [0, 1]}, r"k\.a\.b: got choice, uniform; allowed: one of choice, uniform, loguniform"),
    ({"choice": [1], "use": "a"}, r"k\.a\.b: got choice, use; allowed: one of choice"),
]


def test_a_mistake_is_named_with_its_full_key() -> None:
    for given, message in MISTAKES:
        with pytest.raises(BeatwiseError, match=f"^{message}"):
            space_of({"a": {"b": given}})


# --- what is drawn


def first(name: str, within: Range) -> Any:
    return within.ends()[0]


def last(name: str, within: Range) -> Any:
    return within.ends()[-1]


def test_what_is_no_range_is_a_constant() -> None:
    space = space_of(
        {"train": {"patience": None, "learning_rate": {"uniform": [0.1, 0.2]}}, "model": {"cnn1d": {"widths": [4]}}}
    )
    assert list(space.ranges) == ["train.learning_rate"]
    assert space.constants == {"train": {"patience": None}, "model": {"cnn1d": {"widths": [4]}}}
    assert space.changes({"train.learning_rate": 0.15}) == {
        "train": {"patience": None, "learning_rate": 0.15},
        "model": {"cnn1d": {"widths": [4]}},
    }


MODELS: dict[str, Any] = {
    "model": {
        "mlp": {"width": {"choice": [4, 8]}},
        "cnn1d": {"kernel_size": {"choice": [3, 5, 7]}, "dropout": {"uniform": [0.0, 0.5]}},
        "use": {"choice": ["mlp", "cnn1d"]},
    },
    "train": {"learning_rate": {"loguniform": [1e-3, 1e-2]}},
}


@pytest.mark.parametrize(
    ("pick", "names"),
    [
        (first, ["model.use", "model.mlp.width", "train.learning_rate"]),
        (last, ["model.use", "model.cnn1d.kernel_size", "model.cnn1d.dropout", "train.learning_rate"]),
    ],
)
def test_options_are_drawn_only_where_their_choice_is_made(pick: Callable[[str, Range], Any], names: list[str]) -> None:
    assert list(space_of(MODELS).draw(pick)) == names


def test_a_choice_that_is_a_constant_says_which_options_are_drawn() -> None:
    tree = {"model": {**MODELS["model"], "use": "cnn1d"}}
    assert list(space_of(tree).draw(first)) == ["model.cnn1d.kernel_size", "model.cnn1d.dropout"]


def test_a_choice_of_the_base_says_which_options_are_drawn() -> None:
    tree = {"model": {name: options for name, options in MODELS["model"].items() if name != "use"}}
    assert list(space_of(tree).draw(first)) == ["model.mlp.width"]
    assert BASE["model"].use == "mlp"


def test_an_option_that_belongs_to_the_block_itself_is_always_drawn() -> None:
    space = space_of({"tensors": {"features": {"choice": [False, True]}, "use": {"choice": ["signal", "image"]}}})
    assert space.draw(last) == {"tensors.use": "image", "tensors.features": True}


def test_choices_within_choices_are_drawn_from_above_whatever_their_order() -> None:
    tree = {
        "outer": {
            "a": {"inner": {"x": {"depth": {"randint": [1, 3]}}, "use": {"choice": ["x", "y"]}}},
            "b": {"inner": {"y": {"depth": {"randint": [5, 8]}}, "use": {"choice": ["x", "y"]}}},
            "use": {"choice": ["a", "b"]},
        }
    }
    space = Space({}, tree, "k")
    assert space.draw(first) == {"outer.use": "a", "outer.a.inner.use": "x", "outer.a.inner.x.depth": 1}
    assert space.draw(last) == {"outer.use": "b", "outer.b.inner.use": "y", "outer.b.inner.y.depth": 7}


AUGMENTED = {
    "train": {
        "augment": {
            "use": {"choice": [[], ["shift"], ["noise", "shift"]]},
            "shift": {"max_samples": {"randint": [1, 5]}},
            "noise": {"sd": {"uniform": [0.01, 0.1]}},
        }
    }
}


@pytest.mark.parametrize(
    ("use", "drawn"),
    [([], []), (["shift"], ["shift.max_samples"]), (["noise", "shift"], ["shift.max_samples", "noise.sd"])],
)
def test_options_of_each_entry_of_a_list_are_drawn(use: list[str], drawn: list[str]) -> None:
    space = space_of(AUGMENTED)
    values = space.draw(lambda name, within: use if name.endswith(".use") else within.low)
    assert list(values) == ["train.augment.use", *(f"train.augment.{name}" for name in drawn)]


@pytest.mark.parametrize("use", ["noise+shift", {"choice": ["noise + shift", "noise"]}])
def test_a_list_may_be_written_with_a_plus_as_on_the_command_line(use: Any) -> None:
    space = space_of({"train": {"augment": {**AUGMENTED["train"]["augment"], "use": use}}})
    assert {"train.augment.shift.max_samples", "train.augment.noise.sd"} <= set(space.draw(first))


@pytest.mark.parametrize(
    ("use", "out_of_reach"),
    [
        ({"choice": ["mlp", "cnn1d"]}, set()),
        ({"choice": ["cnn1d"]}, {"model.mlp.width"}),
        ("cnn1d", {"model.mlp.width"}),
        ({"choice": ["gru"]}, {"model.mlp.width", "model.cnn1d.kernel_size", "model.cnn1d.dropout"}),
    ],
)
def test_what_no_choice_calls_for_is_out_of_reach(use: Any, out_of_reach: set[str]) -> None:
    space = space_of({"model": {**MODELS["model"], "use": use}, "train": MODELS["train"]})
    assert {name for name in space.ranges if not space.is_within_reach(name)} == out_of_reach


@pytest.mark.parametrize(("use", "out_of_reach"), [([[], ["shift"]], "noise.sd"), (["noise", ""], "shift.max_samples")])
def test_what_no_list_names_is_out_of_reach(use: list[Any], out_of_reach: str) -> None:
    space = space_of({"train": {"augment": {**AUGMENTED["train"]["augment"], "use": {"choice": use}}}})
    assert [name for name in space.ranges if not space.is_within_reach(name)] == [f"train.augment.{out_of_reach}"]


# --- grids


def test_a_grid_is_every_combination() -> None:
    space = space_of({"train": {"learning_rate": {"loguniform": [1e-3, 1e-1]}, "batch_size": {"choice": [8, 16]}}})
    grid = [(d["train.learning_rate"], d["train.batch_size"]) for d in space.grid(3)]
    assert grid == [(pytest.approx(rate), size) for rate in (1e-3, 1e-2, 1e-1) for size in (8, 16)]


def test_combinations_that_differ_in_what_is_not_called_for_stand_in_a_grid_once() -> None:
    grid = space_of(MODELS).grid(2)
    # Two rates with two widths of the mlp, and with three kernels and two dropouts of the convolutions.
    assert len(grid) == 2 * (2 + 3 * 2)
    assert len({json.dumps(drawn) for drawn in grid}) == len(grid)
    assert all(("model.mlp.width" in drawn) == (drawn["model.use"] == "mlp") for drawn in grid)


def test_a_grid_holds_lists_as_lists() -> None:
    grid = space_of(AUGMENTED).grid(2)
    assert len(grid) == 1 + 2 + 2 * 2
    assert [drawn["train.augment.use"] for drawn in grid[:2]] == [[], ["shift"]]


# --- examples


def test_an_example_chooses_what_it_is_an_option_of() -> None:
    found = [(name, flatten(changes)) for name, changes in space_of(MODELS).examples()]
    assert ("model.cnn1d.kernel_size", {"model.use": "cnn1d", "model.cnn1d.kernel_size": 7}) in found
    assert ("model.mlp.width", {"model.use": "mlp", "model.mlp.width": 4}) in found
    assert ("train.learning_rate", {"train.learning_rate": 1e-3}) in found
    assert ("train.learning_rate", {"train.learning_rate": 1e-2}) in found
    assert len(found) == 2 + 2 + 3 + 2 + 2


def test_an_example_chooses_an_entry_of_a_list_alone() -> None:
    found = [changes["train"]["augment"] for name, changes in space_of(AUGMENTED).examples() if "noise" in name]
    assert found == [{"use": ["noise"], "noise": {"sd": 0.01}}, {"use": ["noise"], "noise": {"sd": 0.1}}]


def test_an_example_holds_the_constants_of_the_space() -> None:
    space = space_of({"train": {"patience": None, "batch_size": {"choice": [8]}}})
    assert list(space.examples()) == [("train.batch_size", {"train": {"patience": None, "batch_size": 8}})]


def test_the_base_is_not_changed() -> None:
    base = fit_blocks(**BASE)
    before = json.dumps(base)
    space = Space(base, MODELS, "k")
    list(space.examples())
    space.changes(space.draw(last))
    assert json.dumps(base) == before


def test_whatever_is_drawn_lies_in_its_range() -> None:
    rng = random.Random(0)
    space = space_of(MODELS)
    for _ in range(50):
        drawn = space.draw(lambda name, within: rng.choice(within.points(5)))
        assert all(drawn[name] in space.ranges[name].points(5) for name in drawn)
        assert {name for name in space.ranges if space.is_called_for(name, drawn)} == set(drawn)


# --- the models' own spaces

OWN = {"mlp": {"width": {"choice": [1, 2]}}, "cnn1d": {"kernel_size": {"choice": [3, 5]}}, "gru": {}}


def filled(tree: dict[str, Any], default: str = "mlp") -> dict[str, Any]:
    return with_model_spaces(tree, default, OWN, "tune.x")


def test_the_spaces_of_the_models_that_can_be_chosen_are_filled_in() -> None:
    use = {"choice": ["cnn1d", "gru"]}
    assert filled({"model": {"use": use}}) == {"model": {"use": use, "cnn1d": OWN["cnn1d"], "gru": {}}}
    assert filled({"model": {"use": "cnn1d"}}) == {"model": {"use": "cnn1d", "cnn1d": OWN["cnn1d"]}}


@pytest.mark.parametrize("tree", [{}, {"train": {}}, {"model": {}}, {"model": None}], ids=str)
def test_without_a_model_in_the_space_it_is_the_configured_one(tree: dict[str, Any]) -> None:
    assert filled(tree)["model"] == {"mlp": OWN["mlp"]}


@pytest.mark.parametrize("options", [{}, {"dropout": {"uniform": [0, 1]}}, {"width": 3}], ids=str)
def test_what_the_search_says_of_a_model_stands_for_itself(options: dict[str, Any]) -> None:
    assert filled({"model": {"mlp": options}}) == {"model": {"mlp": options}}


def test_a_model_without_a_space_is_named_with_the_way_out() -> None:
    message = (
        r"^tune\.x: there is no space for the model cnn2\. Say in tune\.models\.cnn2 what to search of it \(\{\} for "
        r"nothing\)\. Unknown space of a model 'cnn2'\. Did you mean 'cnn1d'\? Known: cnn1d, gru, mlp\.$"
    )
    with pytest.raises(BeatwiseError, match=message):
        filled({"model": {"use": {"choice": ["mlp", "cnn2"]}}})
    with pytest.raises(BeatwiseError, match=r"there is no space for the model lstm\."):
        filled({}, default="lstm")


def test_a_model_without_a_space_may_have_one_in_the_search() -> None:
    tree = {"model": {"use": "lstm", "lstm": {}}}
    assert filled(tree) == tree


@pytest.mark.parametrize("model", ["cnn1d", {"use": {"choice": "cnn1d"}}, {"use": {"choice": None}}], ids=str)
def test_a_model_that_is_not_written_as_it_should_be_is_left_to_the_checks_that_name_it(model: Any) -> None:
    assert filled({"model": model})["model"] == model
