from __future__ import annotations

import copy
from pathlib import Path
from typing import Any

import pytest

from beatwise.core.errors import BeatwiseError
from beatwise.networks.settings import Model
from beatwise.networks.zoo import list_models
from beatwise.params import Parameters, check_parameters
from beatwise.search.plan import SearchPlan, plan_search
from beatwise.settings import CONFIG_LOADER_ARGS, ConfigLoader
from beatwise.training.settings import Train
from tests.conftest import TASK
from tests.search.conftest import LEARNING_RATE, plan

CONF = Path(__file__).parents[2] / "conf"
ENVIRONMENTS = sorted(path.name for path in CONF.iterdir() if path.is_dir() and path.name != "local")


def load(env: str) -> dict[str, Any]:
    return dict(ConfigLoader(str(CONF), env=env, **CONFIG_LOADER_ARGS)["parameters"])


GIVEN = load("base")
PRESETS = sorted(set(GIVEN["tune"]) - {"use", "refine", "models"})


def planned(parameters: dict[str, Any]) -> SearchPlan:
    """What `kedro run --pipeline=tune` searches with these parameters."""
    checked: Parameters = check_parameters(copy.deepcopy(parameters))
    return plan_search(
        checked.tune, checked.task, checked.seed, checked.resample, checked.tensors, checked.model, checked.train
    )


# --- the configuration that is delivered


@pytest.mark.parametrize("name", PRESETS)
def test_every_search_of_the_configuration_can_be_run(name: str) -> None:
    # One of a regression, which heartbeats are not.
    given = load("air") if name == "hourly_gru" else GIVEN
    searched = planned({**given, "tune": {**given["tune"], "use": name}})
    assert searched.name == name
    assert len(searched.configs(searched.space.draw(lambda _, within: within.ends()[-1]))) == searched.search.seeds


@pytest.mark.parametrize("env", ENVIRONMENTS)
def test_the_search_of_every_environment_can_be_run(env: str) -> None:
    assert planned(load(env)).n_trials >= 1


@pytest.mark.parametrize("model", sorted(GIVEN["tune"]["models"]))
def test_the_space_of_every_model_holds_values_that_it_takes(model: str) -> None:
    alone = {"space": {"model": {"use": model}}, "trials": 1, "epochs": 1}
    space = planned({**GIVEN, "tune": {**GIVEN["tune"], "use": "alone", "alone": alone}}).space
    assert space.ranges
    assert all(name.startswith(f"model.{model}.") for name in space.ranges)


def test_every_model_that_can_be_trained_has_a_space() -> None:
    assert set(GIVEN["tune"]["models"]) == set(list_models(by_gradients=True))


# --- mistakes


def refused(message: str, space: Any = LEARNING_RATE, **given: Any) -> None:
    with pytest.raises(BeatwiseError, match=message):
        plan(space, **given)


def test_a_mistake_in_a_space_is_named_with_its_key() -> None:
    for space, message in [
        ({"train": {"learning_rat": {"uniform": [0.1, 1]}}}, r"^tune\.s\.space\.train\.learning_rat: .*learning_rate"),
        (
            {"model": {"use": "mlp", "mlp": {"widht": {"choice": [3]}}}},
            r"^tune\.s\.space\.model\.mlp\.widht: model\.mlp\.widht: Unknown parameter 'widht'\. Did you mean 'width'\?"
            r" Known: dropout, layers, width\.",
        ),
        (
            {"model": {"use": {"choice": ["mlp", "cnn1d"]}, "cnn1d": {"width": {"choice": [3]}}}},
            r"^tune\.s\.space\.model\.cnn1d\.width: .*Unknown parameter 'width'\. Did you mean 'widths'",
        ),
        (
            {"model": {"mlp": {"dropout": {"uniform": [0.5, 1.5]}}}},
            r"^tune\.s\.space\.model\.mlp\.dropout: model\.mlp\.dropout: .*less than.* 1; got 1\.5\.",
        ),
        (
            {"model": {"mlp": {"dropout": {"uniform": [-0.5, 0.5]}}}},
            r"^tune\.s\.space\.model\.mlp\.dropout: .*greater than or equal to 0; got -0\.5\.",
        ),
        (
            {"train": {"sampler_power": {"uniform": [0, 2]}}},
            r"^tune\.s\.space\.train\.sampler_power: .*less than or equal to 1; got 2\.",
        ),
        (
            {"train": {"batch_size": {"uniform": [8, 16.5]}}},
            r"^tune\.s\.space\.train\.batch_size: .*valid integer.*got 16\.5\.",
        ),
        (
            {"train": {"optimizer": {"use": {"choice": ["adamw", "adan"]}}}},
            r"^tune\.s\.space\.train\.optimizer\.use: train\.optimizer: Unknown optimizer 'adan'\. Did you mean 'adam'",
        ),
        (
            {"train": {"optimizer": {"sgd": {"momentum": {"uniform": [0, 3]}}}}},
            r"^tune\.s\.space\.train\.optimizer\.sgd\.momentum: .*got 3\.",
        ),
        (
            {"train": {"augment": {"use": {"choice": [["shift"], ["shfit"]]}}}},
            r"^tune\.s\.space\.train\.augment\.use: .*Unknown augmentation 'shfit'\. Did you mean 'shift'",
        ),
        (
            {"resample": {"use": {"choice": ["none", "smot"]}}},
            r"^tune\.s\.space\.resample\.use: .*Did you mean 'smote'",
        ),
        ({"tensors": {"use": {"choice": ["pixels"]}}}, r"^tune\.s\.space\.tensors\.use: .*Unknown representation"),
        (
            {"tensors": {"use": {"choice": ["auto", "scalogram"]}}, "train": {"augment": {"use": ["shift"]}}},
            r"^tune\.s\.space\.tensors\.use: The augmentation 'shift' changes a signal",
        ),
        (
            {"evaluate": {"confidence": {"uniform": [0.8, 0.9]}}},
            r"^tune\.s\.space\.evaluate\.confidence: evaluate cannot be changed here; allowed: resample, tensors,"
            r" model, train\.",
        ),
        ({"train": {"learning_rate": {"uniform": [1, 0]}}}, r"^tune\.s\.space\.train\.learning_rate\.uniform: .*empty"),
        (
            {"model": "cnn1d", **LEARNING_RATE},
            r"^tune\.s\.space\.train\.learning_rate: model: got 'cnn1d'; allowed: parameters by name, for instance",
        ),
        ({"model": {"use": {"choice": "mlp"}}}, r"^tune\.s\.space\.model\.use\.choice: got 'mlp'; allowed: a list\."),
        ({"model": {"use": {"choice": [["mlp"]]}}}, r"^tune\.s\.space\.model\.use: "),
        ({}, r"^tune\.s\.space: there is nothing to search\. Give at least one value a range\.$"),
        ({"train": {"patience": 3}}, r"^tune\.s\.space: there is nothing to search\."),
        (
            {"model": {"use": "cnn1d"}, **LEARNING_RATE},
            r"^tune\.s: there is no space for the model cnn1d\. Say in tune",
        ),
        # How long a trial is and what is searched for is said once, beside the space.
        ({"train": {"epochs": {"randint": [2, 5]}}}, r"^tune\.s\.space\.train\.epochs: .*tune\.s\.epochs"),
        (
            {"train": {"epochs": 3, "learning_rate": {"uniform": [0.1, 1]}}},
            r"^tune\.s\.space\.train\.epochs: .*tune\.s\.epochs",
        ),
        (
            {"train": {"monitor": "kappa", "learning_rate": {"uniform": [0.1, 1]}}},
            r"^tune\.s\.space\.train\.monitor: .*tune\.s\.metric",
        ),
    ]:
        refused(message, space)


def test_a_mistake_in_a_search_is_named_with_its_key_and_what_is_allowed() -> None:
    mistakes: list[tuple[dict[str, Any], str]] = [
        (
            {"algorithm": {"use": "tep"}},
            r"s\.algorithm: Unknown search algorithm 'tep'\. Did you mean 'tpe'\? Known: grid",
        ),
        ({"algorithm": {"use": "tpe", "tpe": {"startup": 1}}}, r"s\.algorithm\.tpe\.startup: Unknown .*startup_trials"),
        ({"algorithm": {"use": "grid", "grid": {"points": 1}}}, r"s\.algorithm\.grid\.points: .*or equal to 2; got 1"),
        (
            {"scheduler": {"use": "ahsa"}},
            r"s\.scheduler: Unknown trial scheduler 'ahsa'\. Did you mean 'asha'\? Known: as",
        ),
        ({"scheduler": {"use": "asha", "asha": {"grace_epochs": 0}}}, r"s\.scheduler\.asha\.grace_epochs: .*got 0"),
        ({"metric": "f1"}, r"s\.metric: .*'f1'.*macro_f1"),
        ({"trials": 0}, r"s\.trials: Input should be greater than or equal to 1; got 0"),
        ({"epochs": 0}, r"s\.epochs: Input should be greater than or equal to 1; got 0"),
        ({"total_epochs": 0}, r"s\.total_epochs: .*got 0"),
        ({"max_minutes": 0}, r"s\.max_minutes: .*got 0"),
        ({"seeds": 0}, r"s\.seeds: .*got 0"),
        ({"trails": 3}, r"s\.trails: Unknown parameter 'trails'\. Did you mean 'trials'"),
        ({"space": None}, r"s\.space: Input should be a valid dictionary"),
    ]
    for given, message in mistakes:
        parameters = copy.deepcopy(GIVEN)
        parameters["tune"] = {"use": "s", "s": {"space": LEARNING_RATE, "trials": 2, "epochs": 2, **given}}
        with pytest.raises(BeatwiseError, match=f"(?m)^tune\\.{message}"):
            check_parameters(parameters)


def test_an_unknown_search_is_named_with_the_known_ones() -> None:
    parameters = {**GIVEN, "tune": {**GIVEN["tune"], "use": "quik"}}
    with pytest.raises(BeatwiseError, match=r"Unknown search 'quik'\. Did you mean 'quick'\? Known: .*gru.*quick"):
        check_parameters(parameters)


def test_searches_that_are_not_chosen_are_checked_too() -> None:
    parameters = {**GIVEN, "tune": {**GIVEN["tune"], "other": {"space": {}, "trials": 0, "epochs": 1}}}
    with pytest.raises(BeatwiseError, match=r"other\.trials: .*got 0"):
        check_parameters(parameters)


@pytest.mark.parametrize(
    ("refit", "message"),
    [
        ({"train": {"epoch": 3}}, r"^tune\.s\.refit: train\.epoch: Unknown parameter 'epoch'\. Did you mean 'epochs'"),
        ({"train": {"epochs": 0}}, r"^tune\.s\.refit: train\.epochs: .*got 0"),
        ({"evaluate": {}}, r"^tune\.s\.refit: evaluate cannot be changed here"),
    ],
)
def test_a_mistake_in_the_last_fit_is_named_with_its_key(refit: dict[str, Any], message: str) -> None:
    refused(message, refit=refit)


# --- the grid


SIZES = {"model": {"mlp": {"width": {"choice": [4, 8]}}}, "train": {"learning_rate": {"uniform": [0.1, 0.2]}}}


def test_a_grid_has_no_more_trials_than_combinations() -> None:
    searched = plan(SIZES, algorithm={"use": "grid", "grid": {"points": 3}}, trials=100)
    assert searched.n_trials == len(searched.grid) == 6


def test_a_grid_has_no_more_trials_than_there_are_to_be() -> None:
    assert plan(SIZES, algorithm={"use": "grid"}, trials=4).n_trials == 4


def test_a_grid_that_is_too_large_is_refused() -> None:
    train: dict[str, Any] = {"learning_rate": {"uniform": [0.1, 0.2]}, "sampler_power": {"uniform": [0, 1]}}
    train["batch_size"] = {"choice": list(range(1, 41))}
    message = r"^tune\.s: the grid has 16,000 combinations, and 10,000 are allowed\. Take ranges out"
    refused(message, {"train": train}, algorithm={"use": "grid", "grid": {"points": 20}})


def test_no_search_is_one_trial_with_the_first_of_every_range() -> None:
    searched = plan(SIZES, algorithm={"use": "none"}, trials=9)
    assert searched.n_trials == 1
    assert searched.grid == [{"model.mlp.width": 4, "train.learning_rate": 0.1}]


@pytest.mark.parametrize("algorithm", ["random", "tpe"])
def test_other_algorithms_have_no_grid(algorithm: str) -> None:
    searched = plan(SIZES, algorithm={"use": algorithm}, trials=9)
    assert (searched.grid, searched.n_trials) == ([], 9)


# --- configurations


def test_a_trial_has_a_configuration_a_seed_with_the_epochs_and_the_metric_of_the_search() -> None:
    searched = plan(SIZES, seed=5, seeds=3, epochs=7, metric="kappa")
    configs = searched.configs({"model.mlp.width": 8, "train.learning_rate": 0.15})
    assert [config.seed for config in configs] == [5, 6, 7]
    for config in configs:
        assert (config.train.epochs, config.train.monitor, config.train.learning_rate) == (7, "kappa", 0.15)
        assert config.model.model_dump() == {"use": "mlp", "mlp": {"width": 8, "layers": 1, "dropout": 0.2}}
        assert config.train.batch_size == 32
        assert config.task.build() == TASK.build()


def test_constants_of_the_space_change_every_trial() -> None:
    searched = plan({"train": {"batch_size": 8, "patience": 2, "learning_rate": {"uniform": [0.1, 0.2]}}})
    (config,) = searched.configs({"train.learning_rate": 0.1})
    assert (config.train.batch_size, config.train.patience) == (8, 2)


def test_the_last_fit_is_the_trial_with_other_settings() -> None:
    refit = {"train": {"epochs": 30, "monitor": "macro_f1", "patience": 4}, "model": {"mlp": {"dropout": 0.5}}}
    searched = plan(SIZES, seed=3, seeds=2, epochs=7, metric="kappa", refit=refit)
    last = searched.refit({"model.mlp.width": 8, "train.learning_rate": 0.15})
    assert (last.train.epochs, last.train.monitor, last.train.patience) == (30, "macro_f1", 4)
    assert last.model.model_dump()["mlp"] == {"width": 8, "layers": 1, "dropout": 0.5}
    assert (last.seed, last.train.learning_rate) == (3, 0.15)


def test_without_other_settings_the_last_fit_is_the_trial() -> None:
    searched, values = plan(SIZES, epochs=7), {"model.mlp.width": 8, "train.learning_rate": 0.15}
    assert searched.refit(values) == searched.configs(values)[0]


def test_values_that_do_not_go_together_are_refused_with_the_search() -> None:
    searched = plan(SIZES)
    with pytest.raises(BeatwiseError, match=r"^tune\.s: model\.mlp\.width: .*got 0"):
        searched.configs({"model.mlp.width": 0})


@pytest.mark.parametrize(
    ("metric", "larger"), [("macro_f1", True), ("kappa", True), ("log_loss", False), ("ece", False)]
)
def test_of_some_metrics_less_is_better(metric: str, larger: bool) -> None:
    assert plan(metric=metric).larger_is_better is larger


# --- plain data and the key


def test_a_plan_comes_back_from_plain_data() -> None:
    searched = plan(
        {"model": {"use": {"choice": ["mlp", "cnn1d"]}}, **LEARNING_RATE},
        models={"mlp": {"width": {"randint": [3, 9]}}, "cnn1d": {"widths": {"choice": [[4], [4, 8]]}}},
        refit={"train": {"patience": None}},
        max_minutes=3,
    )
    again = SearchPlan.model_validate_json(searched.model_dump_json())
    assert again == searched
    assert again.space.ranges == searched.space.ranges
    assert set(again.space.ranges) == {"model.use", "model.mlp.width", "model.cnn1d.widths", "train.learning_rate"}
    assert again.key(["a", "b"]) == searched.key(["a", "b"])


KEY = plan().key(["train", "val"])


def test_how_long_a_search_goes_on_does_not_change_its_key() -> None:
    changes: list[dict[str, Any]] = [
        {"trials": 5},
        {"total_epochs": 7},
        {"max_minutes": 7},
        {"refit": {"train": {"epochs": 9}}},
        {"trials": 100, "max_minutes": 1.5, "total_epochs": 1, "refit": {}},
    ]
    for changed in changes:
        assert plan(**changed).key(["train", "val"]) == KEY


def test_the_name_and_what_a_trial_depends_on_change_the_key() -> None:
    changes: list[dict[str, Any]] = [
        {"name": "t"},
        {"space": {"train": {"learning_rate": {"loguniform": [1e-4, 1e-2]}}}},
        {"space": {"train": {"learning_rate": {"uniform": [1e-4, 1e-1]}}}},
        {"space": {"train": {**LEARNING_RATE["train"], "batch_size": 8}}},
        {"models": {"mlp": {"width": {"choice": [3]}}}},
        {"algorithm": {"use": "random"}},
        {"algorithm": {"use": "tpe", "tpe": {"startup_trials": 3}}},
        {"scheduler": {"use": "asha"}},
        {"metric": "kappa"},
        {"epochs": 4},
        {"seeds": 2},
        {"seed": 1},
        {"base": {"train": Train(epochs=20, batch_size=16, patience=None)}},
        {"base": {"model": Model(use="mlp", mlp={"width": 16, "layers": 1})}},
    ]
    for changed in changes:
        assert plan(**changed).key(["train", "val"]) != KEY, changed


@pytest.mark.parametrize("beats", [["train", "other"], ["other", "val"], ["val", "train"]])
def test_other_beats_are_another_search(beats: list[str]) -> None:
    assert plan().key(beats) != KEY


def test_the_key_does_not_depend_on_the_order_in_which_parameters_are_written() -> None:
    train = {"learning_rate": {"uniform": [0.1, 0.2]}, "batch_size": 8}
    other_way_round = dict(reversed(train.items()))
    assert plan({"train": train}).key([]) == plan({"train": other_way_round}).key([])
