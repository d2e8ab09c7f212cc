from __future__ import annotations

from collections.abc import Callable
from typing import Any

import numpy as np
import pytest

from beatwise.comparison.documents import PlannedRow
from beatwise.comparison.plan import plan_rows
from beatwise.comparison.settings import Comparison
from beatwise.core.errors import BeatwiseError
from beatwise.data.examples import Examples
from beatwise.data.settings import Resample, Tensors
from beatwise.networks.settings import Model
from beatwise.params import check_parameters
from beatwise.training.settings import Train
from tests.conftest import TASK

MakeBeats = Callable[..., Examples]
Rows = list[PlannedRow]


def plan(
    models: dict[str, Any],
    strategies: dict[str, Any] | None = None,
    seeds: tuple[int, ...] = (1,),
    ensembles: dict[str, list[str]] | None = None,
    **base: Any,
) -> Rows:
    """The rows of a preset `p`, over a base that is an mlp trained for 7 epochs."""
    preset = {
        "models": models,
        "strategies": strategies or {"none": {}},
        "seeds": list(seeds),
        "ensembles": ensembles or {},
    }
    blocks = {
        "resample": Resample(use="none"),
        "tensors": Tensors(use="auto"),
        "model": Model(use="mlp", mlp={"width": 16, "layers": 1}),
        "train": Train(epochs=7, batch_size=32),
    }
    return plan_rows(Comparison.model_validate({"use": "p", "p": preset}), TASK, **{**blocks, **base})


def config_of(row: PlannedRow) -> dict[str, Any]:
    assert row.config is not None
    return row.config.model_dump(mode="json")


def names(rows: Rows) -> list[tuple[str, str, int | None]]:
    return [(row.model, row.strategy, row.seed) for row in rows]


# --- what is changed


def test_a_model_changes_the_base_and_a_strategy_changes_the_model() -> None:
    (row,) = plan(
        {"cnn": {"model": {"use": "cnn1d", "cnn1d": {"dropout": 0.1}}, "train": {"epochs": 3, "batch_size": 64}}},
        {"short": {"train": {"epochs": 2}, "resample": {"use": "full_oversampling"}}},
    )
    config = config_of(row)
    assert config["model"]["use"] == "cnn1d"
    assert config["model"]["cnn1d"]["dropout"] == 0.1
    assert config["train"]["epochs"] == 2
    assert config["train"]["batch_size"] == 64
    assert config["resample"]["use"] == "full_oversampling"


def test_what_neither_model_nor_strategy_says_is_the_base_s() -> None:
    (row,) = plan({"as it is": {}}, train=Train(epochs=5, augment={"use": ["noise"]}))
    assert config_of(row)["model"] == {"use": "mlp", "mlp": {"width": 16, "layers": 1, "dropout": 0.2}}
    assert config_of(row)["train"]["epochs"] == 5
    assert config_of(row)["train"]["augment"]["use"] == ["noise"]


def test_lists_are_replaced_rather_than_joined() -> None:
    (row,) = plan(
        {"a": {"train": {"augment": {"use": ["shift"]}}, "model": {"use": "cnn1d", "cnn1d": {"widths": [4]}}}},
        train=Train(augment={"use": ["noise", "amplitude"]}),
    )
    assert config_of(row)["train"]["augment"]["use"] == ["shift"]
    assert config_of(row)["model"]["cnn1d"]["widths"] == [4]


def test_options_of_the_base_hold_for_the_models_they_belong_to_and_only_the_chosen_ones_are_written_down() -> None:
    base = Model(use="mlp", mlp={"width": 16}, cnn1d={"kernel_size": 3})
    first, second = plan({"mlp": {}, "cnn": {"model": {"use": "cnn1d"}}}, model=base)
    assert set(config_of(first)["model"]) == {"use", "mlp"}
    assert set(config_of(second)["model"]) == {"use", "cnn1d"}
    assert config_of(second)["model"]["cnn1d"]["kernel_size"] == 3


def test_the_model_s_own_representation_is_written_down() -> None:
    first, second = plan({"a": {}, "b": {"tensors": {"use": "image"}}})
    assert config_of(first)["tensors"]["use"] == "signal"
    assert config_of(second)["tensors"]["image"] == {"height": 16, "width": 12}


# --- rows


def test_there_is_a_row_for_every_model_strategy_and_seed_in_the_order_of_the_preset() -> None:
    rows = plan({"z": {}, "a": {"model": {"use": "cnn1d"}}}, {"second": {}, "first": {}}, seeds=(3, 1, 2))
    assert names(rows) == [(m, s, seed) for m in ("z", "a") for s in ("second", "first") for seed in (3, 1, 2)]


def test_a_row_is_fitted_with_its_own_seed_and_a_configuration_that_a_fit_takes() -> None:
    for row in plan({"a": {}}, seeds=(5, 6)):
        assert config_of(row)["seed"] == row.seed
        assert config_of(row)["task"] == TASK.model_dump(mode="json")


def test_a_row_names_what_it_changes_the_strategy_over_the_model() -> None:
    (row,) = plan({"a": {"train": {"epochs": 3, "batch_size": 8}}}, {"long": {"train": {"epochs": 9}}})
    assert row.changes == {"train.epochs": 9, "train.batch_size": 8}


def test_rows_come_back_from_json() -> None:
    rows = plan({"a": {}, "gb": {"model": {"use": "gradient_boosting"}}})
    assert [PlannedRow.model_validate_json(row.model_dump_json()) for row in rows] == rows


def test_a_model_that_fits_itself_takes_the_strategy_and_its_own_representation() -> None:
    (row,) = plan(
        {"gb": {"model": {"use": "gradient_boosting"}}},
        {"over": {"resample": {"use": "full_oversampling"}}},
        model=Model(use="resnet2d"),
    )
    assert config_of(row)["resample"]["use"] == "full_oversampling"
    assert config_of(row)["tensors"]["use"] == "signal"


def test_an_ensemble_is_one_row_a_strategy_after_all_fits_and_averages_all_seeds() -> None:
    rows = plan({"a": {}, "b": {}}, {"x": {}, "y": {}}, seeds=(1, 2), ensembles={"one": ["b"], "two": ["b", "a"]})
    assert [row.members for row in rows[:8]] == [[]] * 8
    found = [(row.model, row.strategy, row.members, row.changes) for row in rows[8:]]
    assert found == [
        ("one", "x", [4, 5], {"ensemble": "b"}),
        ("one", "y", [6, 7], {"ensemble": "b"}),
        ("two", "x", [0, 1, 4, 5], {"ensemble": "b + a"}),
        ("two", "y", [2, 3, 6, 7], {"ensemble": "b + a"}),
    ]
    assert [row.name for row in (rows[0], rows[8])] == ["a · x · seed 1", "one · x"]


# --- mistakes

ENSEMBLES: dict[str, tuple[dict[str, list[str]], str]] = {
    "a single fit": ({"e": ["a"]}, "compare.p.ensembles.e averages a single fit. Name more models in it, or seeds"),
    "unknown model": ({"e": ["a", "aa"]}, "compare.p.ensembles.e: Unknown model of this comparison 'aa'. Did you mean"),
    "a model twice": ({"e": ["a", "b", "a"]}, "compare.p.ensembles.e: ['a', 'b', 'a'] names a model twice."),
    "name of a model": ({"a": ["a", "b"]}, "compare.p.ensembles.a: a model has that name already."),
}


@pytest.mark.parametrize("mistake", ENSEMBLES)
def test_an_ensemble_that_cannot_be_is_refused(mistake: str) -> None:
    ensembles, words = ENSEMBLES[mistake]
    with pytest.raises(BeatwiseError) as caught:
        plan({"a": {}, "b": {}}, ensembles=ensembles)
    assert str(caught.value).startswith(words)


MISTAKES: dict[str, tuple[dict[str, Any], dict[str, Any], str]] = {
    "unknown block": ({"a": {"modle": {"use": "mlp"}}}, {}, "modle cannot be changed here; allowed: resample, tensors"),
    "a block that is no mapping": ({"a": {"model": "mlp"}}, {}, "model: got 'mlp'"),
    "unknown model": ({"a": {"model": {"use": "mpl"}}}, {}, "Unknown model 'mpl'. Did you mean 'mlp'?"),
    "unknown option": (
        {"a": {"model": {"mlp": {"widht": 3}}}},
        {},
        "model.mlp.widht: Unknown parameter 'widht'. Did you mean 'width'?",
    ),
    "option out of bounds": ({"a": {"model": {"mlp": {"width": 0}}}}, {}, "model.mlp.width: Input should be greater"),
    "option of the wrong type": ({"a": {"model": {"mlp": {"width": "wide"}}}}, {}, "model.mlp.width: Input should be"),
    "options that are no mapping": ({"a": {"model": {"mlp": 5}}}, {}, "model.mlp: got 5"),
    "unknown parameter": ({"a": {"train": {"epoch": 3}}}, {}, "train.epoch: Unknown parameter 'epoch'"),
    "value out of bounds": ({"a": {"train": {"epochs": 0}}}, {}, "train.epochs: Input should be greater"),
    "unknown optimizer": ({"a": {"train": {"optimizer": {"use": "x"}}}}, {}, "Unknown optimizer 'x'"),
    "unknown augmentation": ({"a": {"train": {"augment": {"use": ["x"]}}}}, {}, "Unknown augmentation 'x'"),
    "unknown representation": ({"a": {"tensors": {"use": "x"}}}, {}, "tensors: Unknown representation 'x'"),
    "unsuitable augmentation": (
        {"a": {"tensors": {"use": "scalogram"}, "train": {"augment": {"use": ["shift"]}}}},
        {},
        "The augmentation 'shift' changes a signal",
    ),
    "unknown strategy": ({"a": {}}, {"s": {"resample": {"use": "x"}}}, "resample: Unknown resampling strategy 'x'"),
    "strategy option out of bounds": (
        {"a": {}},
        {"s": {"resample": {"use": "n_per_class", "n_per_class": {"n": -1}}}},
        "resample.n_per_class.n: Input should be greater",
    ),
    "reference": ({"a": {"reference": "gradient_boosting"}}, {}, "reference cannot be changed here"),
}


def test_a_mistake_is_reported_with_its_key() -> None:
    for mistake, (models, strategies, words) in MISTAKES.items():
        with pytest.raises(BeatwiseError) as caught:
            plan(models, strategies)
        first = str(caught.value).splitlines()[0]
        assert first.startswith(f"compare.p.models.a with strategies.{next(iter(strategies), 'none')}: "), mistake
        assert words in first, mistake


def test_all_wrong_values_of_a_block_are_reported_at_once() -> None:
    with pytest.raises(BeatwiseError) as caught:
        plan({"a": {"train": {"epochs": 0, "batch_size": "many"}}})
    lines = str(caught.value).splitlines()
    assert [line.split(": ")[:2] for line in lines] == [
        ["compare.p.models.a with strategies.none", f"train.{name}"] for name in ("epochs", "batch_size")
    ]


def test_a_seed_that_stands_there_twice_is_refused_because_it_would_make_the_deviation_too_small() -> None:
    with pytest.raises(BeatwiseError, match=r"^compare\.p\.seeds: \[1, 2, 1\] names a seed twice"):
        plan({"a": {}}, seeds=(1, 2, 1))


def test_a_preset_of_the_wrong_shape_is_reported_with_its_key_whether_or_not_it_is_used() -> None:
    cases: list[tuple[dict[str, Any], str]] = [
        ({"use": "zoo", "quick": {"models": {"a": {}}}}, "Unknown comparison 'zoo'"),
        ({"use": "quick", "quick": {"models": {}}}, r"compare\.quick\.models: "),
        ({"use": "quick", "quick": {"models": {"a": None}}}, r"compare\.quick\.models\.a: "),
        ({"use": "quick", "quick": {"models": {"a": {}}, "seeds": []}}, r"compare\.quick\.seeds: "),
        ({"use": "quick", "quick": {"models": {"a": {}}, "seeds": [-1]}}, r"compare\.quick\.seeds\.0: "),
        ({"use": "quick", "quick": {"models": {"a": {}}, "ensembles": {"e": []}}}, r"compare\.quick\.ensembles\.e: "),
        ({"use": "quick", "quick": {"model": {"a": {}}}}, r"compare\.quick\.model"),
        ({"use": "quick", "quick": {"models": {"a": {}}}, "other": {"models": 3}}, r"compare\.other\.models: "),
    ]
    for compare, words in cases:
        with pytest.raises(BeatwiseError, match=words):
            check_parameters({"compare": compare})


# --- keys


@pytest.fixture
def fingerprints(make_beats: MakeBeats) -> list[str]:
    return [make_beats(seed=seed).fingerprint for seed in (1, 2, 3)]


def test_a_row_s_key_does_not_depend_on_what_its_model_and_strategy_are_called(fingerprints: list[str]) -> None:
    rows = [plan({model: {}}, {strategy: {}})[0] for model in "ab" for strategy in "xy"]
    assert len({row.key(fingerprints) for row in rows}) == 1


def test_a_row_s_key_does_not_depend_on_where_its_settings_are_given(fingerprints: list[str]) -> None:
    change = {"train": {"epochs": 3}}
    rows = [
        plan({"a": change})[0],
        plan({"a": {}}, {"s": change})[0],
        plan({"a": {}}, train=Train(epochs=3, batch_size=32))[0],
    ]
    assert len({row.key(fingerprints) for row in rows}) == 1


def test_every_setting_of_a_row_changes_its_key(fingerprints: list[str]) -> None:
    changes: list[dict[str, Any]] = [
        {},
        {"model": {"use": "cnn1d"}},
        {"model": {"mlp": {"width": 17}}},
        {"train": {"learning_rate": 0.5}},
        {"train": {"optimizer": {"adamw": {"weight_decay": 0.5}}}},
        {"resample": {"use": "full_oversampling"}},
        {"tensors": {"features": False}},
        {"model": {"use": "gradient_boosting"}},
    ]
    assert len({plan({"a": change})[0].key(fingerprints) for change in changes}) == len(changes)
    assert len({row.key(fingerprints) for row in plan({"a": {}}, seeds=(1, 2, 3))}) == 3


def test_options_of_what_was_not_chosen_do_not_change_the_key(fingerprints: list[str]) -> None:
    plain, other = plan({"a": {}})[0], plan({"a": {"model": {"cnn1d": {"kernel_size": 3}}}})[0]
    assert plain.key(fingerprints) == other.key(fingerprints)


def test_the_key_of_a_model_that_fits_itself_does_not_depend_on_how_networks_are_trained(
    fingerprints: list[str],
) -> None:
    reference = {"model": {"use": "gradient_boosting"}}
    rows = plan({"a": reference}, {"x": {}, "y": {"train": {"epochs": 3}}}) + plan({"a": reference}, train=Train())
    assert len({row.key(fingerprints) for row in rows}) == 1


def test_other_beats_make_another_key(make_beats: MakeBeats) -> None:
    (row,) = plan({"a": {}})
    train, val, test = (make_beats(seed=seed, records=True) for seed in (1, 2, 3))
    relabelled = Examples(test.x, test.table.assign(target=test.target[::-1]))
    other_rr = Examples(test.x, test.table.assign(rr_before=test.table["rr_before"] + 0.1))
    parts = [
        (train, val, test),
        (val, train, test),
        (train.take(np.arange(len(train))[::-1]), val, test),
        (train, val, relabelled),
        (train, val, other_rr),
        (train, val, test.without("rr_before")),
    ]
    assert len({row.key([part.fingerprint for part in three]) for three in parts}) == len(parts)


def test_the_same_beats_from_other_records_make_the_same_key(make_beats: MakeBeats) -> None:
    (row,) = plan({"a": {}})
    beats = make_beats(records=True)
    others = Examples(beats.x, beats.table.assign(record="another"))
    assert row.key([beats.fingerprint]) == row.key([others.fingerprint])
