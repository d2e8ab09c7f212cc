"""A small regression goes through the same loop, prediction and measuring as a classification."""

from __future__ import annotations

import json
from typing import Any

import numpy as np
import pandas as pd
import pytest
import torch
from sklearn import metrics as sk
from torch.nn import functional as F

from beatwise.core.errors import BeatwiseError
from beatwise.data.examples import Examples
from beatwise.data.representations import representation
from beatwise.tasks.losses import LOSSES
from beatwise.tasks.registry import METRICS
from beatwise.tasks.regression.metrics import WeightedNumbers, every_metric
from beatwise.tasks.regression.task import Regression
from beatwise.tasks.settings import Evaluate
from beatwise.tasks.tensors import build_tensors
from beatwise.training import loop
from beatwise.training.checkpoint import Checkpoints
from beatwise.training.settings import Train
from beatwise.training.trained_model import TrainedModel
from tests.training.conftest import Parts, choose, config, same

REFERENCES = {
    "mse": sk.mean_squared_error,
    "rmse": sk.root_mean_squared_error,
    "mae": sk.mean_absolute_error,
    "r2": sk.r2_score,
}

PARTS = ("test", "val", "naive", "persistence", "hour_mean")


def numbers(n: int = 300, seed: int = 0) -> tuple[Any, Any]:
    rng = np.random.default_rng(seed)
    target = rng.normal(50, 12, n)
    return target, target + rng.normal(1, 5, n)


@pytest.mark.parametrize("name", REFERENCES)
def test_a_metric_is_that_of_scikit_learn_with_and_without_weights(name):
    target, prediction = numbers()
    weights = np.random.default_rng(1).integers(0, 4, (3, len(target))).astype(np.float32)
    found = every_metric(target, prediction, weights)[name]
    expected = [REFERENCES[name](target, prediction, sample_weight=row) for row in weights]
    np.testing.assert_allclose(found, expected)
    assert every_metric(target, prediction)[name][0] == pytest.approx(REFERENCES[name](target, prediction))
    better, worse = (METRICS[name].sign * every_metric(target, p)[name][0] for p in (target, prediction))
    assert better > worse
    assert METRICS[name].low is None or found.min() >= METRICS[name].low


def test_r2_is_not_defined_where_all_targets_are_the_same():
    assert np.isnan(WeightedNumbers(np.full(5, 3.0), np.arange(5.0))["r2"]).all()


@pytest.mark.parametrize(
    ("name", "options", "theirs"),
    [
        ("mse", {}, F.mse_loss),
        ("mae", {}, F.l1_loss),
        ("huber", {"delta": 0.5}, lambda a, b: F.huber_loss(a, b, delta=0.5)),
    ],
)
def test_a_loss_is_that_of_torch_and_leaves_outputs_as_they_are(name, options, theirs):
    outputs, target = torch.randn(20, 1, generator=torch.Generator().manual_seed(0)), torch.linspace(-1, 1, 20)[:, None]
    loss = LOSSES[name](**LOSSES.options(name, options))
    torch.testing.assert_close(loss(outputs, target, torch.ones(1), torch.zeros(1)), theirs(outputs, target))
    assert loss.decode(outputs) is outputs


def test_targets_are_standardised_by_the_training_part():
    target, _ = numbers()
    task = Regression().fitted(target)
    assert [task.mean, task.sd] == pytest.approx([target.mean(), target.std()])
    np.testing.assert_allclose(task.in_units(task.encode(target)), target, rtol=1e-5)
    assert Regression().fitted([2.0, 2.0]).sd == 1


def test_skill_and_naive_forecasts_are_those_computed_by_hand():
    hours = pd.Series(pd.to_datetime(["2004-03-10 18:00", "2004-03-11 18:00", "2004-03-11 19:00"]))
    # Means of train by hour: 18 h 3, 19 h 8, every other hour that of all, 14 / 3.
    task = Regression(label="C6H6", unit="µg/m³").fitted([2.0, 4.0, 8.0], hours)
    assert task.by_hour == pytest.approx([14 / 3] * 18 + [3.0, 8.0] + [14 / 3] * 4)
    assert Regression().fitted([2.0, 4.0]).by_hour == ()
    table = pd.DataFrame(
        {
            "target": [5.0, 9.0, 6.0, 2.0],
            "prediction": [4.0, 8.0, 8.0, 2.0],
            "time": pd.to_datetime(["2004-05-31 18:00", "2004-05-31 19:00", "2004-06-01 18:00", "2004-06-01 19:00"]),
            "persistence": [2.0, 5.0, 9.0, 6.0],
            "group": ["a", "a", "b", "b"],
        }
    )
    measured = task.measure(table, table, Evaluate(bootstrap_draws=50), seed=0)
    value = {part: {k: v["value"] for k, v in measured[part]["overall"].items()} for part in measured if part in PARTS}
    # Errors: model -1 -1 2 0; mean of train squared 1/9 169/9 16/9 64/9; persistence -3 -4 3 4; hour -2 -1 -3 6.
    mse = {"test": 6 / 4, "val": 6 / 4, "naive": 250 / 36, "persistence": 50 / 4, "hour_mean": 50 / 4}
    assert {part: found["mse"] for part, found in value.items()} == pytest.approx(mse)
    for part, found in value.items():
        assert found["skill_persistence"] == pytest.approx(1 - mse[part] / 12.5)
        assert found["skill_hour"] == pytest.approx(1 - mse[part] / 12.5)
    # Of two days a bootstrap has three samples: the first twice, both, the second twice.
    interval = measured["test"]["overall"]["mse"]
    assert (interval["low"], interval["high"], measured["bootstrap_of"]) == (1, 2, "days")
    months, hours = measured["test"]["by"]["month"], measured["test"]["by"]["hour"]
    assert [(m["name"], m["n"], m["mae"], m["bias"]) for m in months] == [("2004-05", 2, 1, -1), ("2004-06", 2, 1, 1)]
    assert [(h["name"], h["rmse"], h["persistence"]) for h in hours] == [
        ("18", pytest.approx(2.5**0.5), 3),
        ("19", pytest.approx(0.5**0.5), 4),
    ]
    bare = table[["target", "prediction"]]
    alone = task.measure(bare, bare, Evaluate(bootstrap_draws=50), seed=0)
    assert not {"persistence", "hour_mean"} & alone.keys()
    assert alone["test"]["overall"]["skill_persistence"]["value"] is None
    assert alone["test"]["by"] == {}
    # What needs a forecast measures, and cannot choose.
    assert "skill_hour" in METRICS.overall("regression")
    with pytest.raises(ValueError, match="Unknown metric 'skill_hour'"):
        Train(monitor="skill_hour")


def test_a_tuned_model_is_judged_by_a_bootstrap_of_days():
    target = np.zeros(6)
    table = pd.DataFrame({"target": target, "group": ["a", "a", "b", "b", "c", "c"]})
    # Squared errors of the baseline are 4 on every day; of the tuned model 1 on each, or 1, 1 and 9.
    first = table.assign(prediction=2.0)
    task, evaluate = Regression(unit="m"), Evaluate(bootstrap_draws=200)
    measured = task.measure(first, first, evaluate, seed=0)
    for second, outcome, ends in (([1] * 6, "better", (-3, -3)), ([1, 1, 1, 1, 3, 3], "no different", (-3, 5))):
        pair = (first, table.assign(prediction=np.array(second, float)))
        found = task.compare_with_baseline(pair, (measured, measured), "mse", evaluate, seed=0)
        mse = found["overall"]["mse"]
        assert mse["difference"] == pytest.approx(np.square(second).mean() - 4)
        assert (mse["low"], mse["high"]) == pytest.approx(ends)
        assert found["verdict"]["outcomes"] == {"mse": outcome}
        assert found["verdict"]["advice"].startswith("Use the tuned" if outcome == "better" else "Keep the baseline")
    worse = task.compare_with_baseline(pair[::-1], (measured, measured), "mse", evaluate, seed=0)
    assert worse["overall"]["mse"]["difference"] == -mse["difference"]


# --- one synthetic case: the height of a bump in a series of two channels


def examples(n: int, seed: int) -> Examples:
    rng = np.random.default_rng(seed)
    height = rng.uniform(20, 80, n)
    x = rng.normal(0, 0.05, (n, 2, 24)).astype(np.float32)
    x[:, 0, 8:12] += (height / 80)[:, None].astype(np.float32)
    return Examples(x, pd.DataFrame({"target": height, "group": [f"day {i % 10}" for i in range(n)]}))


@pytest.fixture
def regression_parts() -> Parts:
    train, val = examples(200, 0), examples(80, 1)
    task, fitted = Regression().fitted(train.table["target"]), representation("identity", {}).fit(train)
    return build_tensors(train, fitted, task), build_tensors(val, fitted, task)


SETTINGS: dict[str, Any] = {"epochs": 30, "patience": None, "monitor": None, "options": {"width": 32, "dropout": 0.0}}


@pytest.mark.parametrize("loss", ["mse", "mae", "huber"])
def test_it_trains_through_the_same_loop_and_beats_the_naive_row(regression_parts: Parts, loss):
    train, val = regression_parts
    settings = config("mlp", loss=choose(loss), augment={"use": "mixup"}, log_prior_bias=True, **SETTINGS)
    model, history = loop.fit_model(train, val, settings, show_progress=False)
    assert [name for name in map(str, history) if name.startswith("val_")] == [
        "val_rmse",
        "val_mae",
        "val_r2",
        "val_seconds",
    ]
    assert model.metadata["best_epoch"] == 1 + history["val_rmse"].argmin()
    assert model.metadata["trained_on"]["examples"] == 200

    table = model.predict(val)
    np.testing.assert_allclose(table["target"], examples(80, 1).table["target"], rtol=1e-6)
    assert list(table.columns) == ["target", "prediction", "group"]
    assert (
        model.task == TrainedModel.from_dict(json.loads(json.dumps(model.to_dict())), model.network.state_dict()).task
    )
    measured = model.task.measure(table, table, Evaluate(bootstrap_draws=50), seed=0)
    rmse, naive = (measured[row]["overall"]["rmse"] for row in ("test", "naive"))
    assert rmse["low"] < rmse["value"] < rmse["high"] < 0.5 * naive["low"]
    assert rmse["value"] == pytest.approx(history["val_rmse"].min(), rel=1e-5)
    assert naive["value"] == pytest.approx(np.sqrt(((table["target"] - model.task.to_dict()["mean"]) ** 2).mean()))
    assert measured["test"]["overall"]["r2"]["value"] > 0.7
    assert (measured["bootstrap_of"], measured["test"]["n"]) == ("groups", 80)
    assert model.task.assess(table, table, Evaluate(), seed=0) == {}


def test_a_training_that_was_cut_off_ends_with_the_same_numbers(tmp_path, regression_parts: Parts):
    train, val = regression_parts
    settings = config("mlp", loss=choose("huber"), **{**SETTINGS, "epochs": 4})
    whole, _ = loop.fit_model(train, val, settings, show_progress=False)
    key, store = loop.training_key(train, val, settings), Checkpoints(tmp_path)
    with torch.random.fork_rng():
        begun = loop.new_training(train, val, settings)
        begun.next_epoch()
        begun.next_epoch()
        store.save(key, begun.state())
    resumed, _ = loop.fit_model(train, val, settings, store, show_progress=False)
    assert same(resumed, whole)


@pytest.mark.parametrize(
    ("given", "resampling", "message"),
    [
        ({"class_weights": choose("balanced")}, "none", r"train\.class_weights\.use: 'balanced' needs classes"),
        ({"sampler_power": 0.5}, "none", r"train\.sampler_power: 0\.5 needs classes.*allowed: 0\."),
        ({}, "smote", r"resample\.use: 'smote' needs classes, and a regression has none; allowed: none\."),
        ({"augment": {"use": "noise+graft"}}, "none", r"train\.augment\.use: 'graft' needs classes"),
        ({"loss": choose("cross_entropy")}, "none", r"train\.loss: cross_entropy is no loss of a regression; .*mse"),
        ({"monitor": "macro_recall"}, "none", r"train\.monitor: macro_recall is no metric of a regression; .*rmse"),
    ],
)
def test_what_needs_classes_is_refused(regression_parts: Parts, given, resampling, message):
    train, val = regression_parts
    settings = config("mlp", **{"loss": choose("mse"), **SETTINGS, **given})
    settings = settings.model_copy(update={"resample": settings.resample.model_copy(update={"use": resampling})})
    with pytest.raises(BeatwiseError, match=message):
        loop.fit_model(train, val, settings)
