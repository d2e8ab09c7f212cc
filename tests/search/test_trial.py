from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
import pytest
import torch

from beatwise.data.examples import Examples
from beatwise.search import trial as module
from beatwise.search.trial import KEPT, TensorCache, Trial
from beatwise.training.checkpoint import Checkpoints
from beatwise.training.fit import fit_tensors, resample_train
from beatwise.training.loop import Training, fit_model
from beatwise.training.settings import FitSettings
from beatwise.training.trained_model import TrainedModel
from tests.search.conftest import plan
from tests.training.conftest import CLOCK, MakeBeats, choose, config

Beats = tuple[Examples, Examples]
STRATEGY = {"use": "full_oversampling", "full_oversampling": {"majority_share": 1.0}}


@pytest.fixture
def beats(make_beats: MakeBeats) -> Beats:
    return make_beats(records=True), make_beats((20, 6, 6, 6, 6), seed=1, records=True)


def seeds(given: FitSettings, n: int) -> list[FitSettings]:
    return [given.model_copy(update={"seed": given.seed + offset}) for offset in range(n)]


def fitted(given: FitSettings, beats: Beats) -> tuple[TrainedModel, pd.DataFrame]:
    """What a fit of this configuration gives."""
    train, val = beats
    train_tensors, val_tensors = fit_tensors(resample_train(train, given), train, given, val)
    return fit_model(train_tensors, val_tensors, given, show_progress=False)


def run(trial: Trial, epochs: int | None = None) -> list[dict[str, Any]]:
    """Step until the trial is over, or so many epochs."""
    results: list[dict[str, Any]] = []
    while not (results and results[-1]["over"]) and len(results) != epochs:
        results.append(trial.step())
    return results


def numbers(results: list[dict[str, Any]]) -> pd.DataFrame:
    """Results without what the clock says."""
    return pd.DataFrame(results).drop(columns="seconds")


def weights_of(training: Training) -> dict[str, torch.Tensor]:
    return training.best.weights


def same(a: dict[str, torch.Tensor], b: dict[str, torch.Tensor]) -> bool:
    return a.keys() == b.keys() and all(torch.equal(value, b[key]) for key, value in a.items())


# --- a trial is a fit


HOW: list[dict[str, Any]] = [
    {},
    {
        "model": "cnn1d",
        "options": {"kernel_size": 3, "pool": 2, "dropout": 0.3},
        "augment": {"use": ["shift", "mixup"]},
    },
    {"model": "gru", "sampler_power": 0.5, "average": choose("ema"), "schedule": choose("one_cycle")},
    {
        "model": "resnet1d",
        "average": choose("swa", start=0.3),
        "schedule": choose("plateau"),
        "optimizer": choose("sgd"),
    },
    {"epochs": 6, "patience": 2, "learning_rate": 0.3, "monitor": "log_loss"},
]


@pytest.mark.parametrize("how", HOW, ids=str)
@pytest.mark.parametrize("resample", [{"use": "none"}, STRATEGY], ids=lambda given: given["use"])
def test_a_trial_has_the_history_and_the_weights_of_a_fit_to_the_last_bit(
    beats: Beats, how: dict[str, Any], resample: Any
) -> None:
    given = FitSettings.model_validate({**config(seed=3, **how).model_dump(), "resample": resample})
    model, history = fitted(given, beats)
    torch.manual_seed(9)  # what the caller has drawn does not matter
    trial = Trial([given], TensorCache(*beats))
    results = run(trial)
    ours = pd.DataFrame(results)[[name for name in history if name not in CLOCK]]
    pd.testing.assert_frame_equal(ours, history.drop(columns=CLOCK), check_exact=True)
    assert same(weights_of(trial._trainings[0]), model.network.state_dict())
    assert trial.n_parameters == model.metadata["n_parameters"]
    best = history[f"val_{given.train.monitor}"]
    assert results[-1]["score"] == (best.min() if given.train.monitor == "log_loss" else best.max())
    assert [result["over"] for result in results] == [False] * (len(history) - 1) + [True]


def test_the_generator_of_the_caller_is_left_as_it_was(beats: Beats) -> None:
    torch.manual_seed(3)
    before = torch.get_rng_state()
    trial = Trial([config(augment={"use": ["noise"]})], TensorCache(*beats))
    trial.step()
    trial.set_state(trial.state())
    assert torch.equal(torch.get_rng_state(), before)


@pytest.mark.parametrize("metric", ["macro_recall", "log_loss", "brier", "kappa"])
def test_the_score_is_the_best_so_far(beats: Beats, metric: str) -> None:
    given = config(epochs=12, learning_rate=0.3, monitor=metric, patience=None, schedule=choose("constant"))
    table = pd.DataFrame(run(Trial([given], TensorCache(*beats))))
    values = table[f"val_{metric}"]
    best = values.cummax() if metric in ("macro_recall", "kappa") else values.cummin()
    assert table["score"].tolist() == best.tolist()
    assert not values.equals(best)  # some epoch is worse than the one before
    # Where a fit keeps the last epoch, that one is the score, whatever came before.
    last = pd.DataFrame(run(Trial([config(**{**given.train.model_dump(), "keep": "last"})], TensorCache(*beats))))
    assert last["score"].tolist() == values.tolist()


def test_seconds_are_those_of_training_and_validation(beats: Beats) -> None:
    trial = Trial([config()], TensorCache(*beats))
    result = trial.step()
    (row,) = trial._trainings[0].rows
    assert result["seconds"] == row["seconds"] + row["val_seconds"] > row["seconds"]
    assert "val_seconds" not in result


def test_a_result_is_plain_numbers(beats: Beats) -> None:
    for value in Trial(seeds(config(), 2), TensorCache(*beats)).step().values():
        assert type(value) in (int, float, bool)


# --- several seeds


@pytest.mark.parametrize("resample", [{"use": "none"}, STRATEGY], ids=lambda given: given["use"])
def test_seeds_side_by_side_give_the_means_of_each_alone(beats: Beats, resample: Any) -> None:
    given = config("cnn1d", options={"kernel_size": 3, "pool": 2, "dropout": 0.3}, augment={"use": ["noise"]})
    given = FitSettings.model_validate({**given.model_dump(), "resample": resample})
    together = Trial(seeds(given, 3), TensorCache(*beats))
    results = numbers(run(together))
    alone = [Trial([one], TensorCache(*beats)) for one in seeds(given, 3)]
    tables = [numbers(run(trial)) for trial in alone]
    assert len({table["train_loss"].iloc[-1] for table in tables}) == 3
    for column in ("train_loss", "val_log_loss", "val_macro_recall", "score"):
        each = np.array([table[column] for table in tables])
        np.testing.assert_allclose(results[column], each.mean(0), rtol=1e-12)
    np.testing.assert_allclose(results["score_sd"], np.std([table["score"] for table in tables], axis=0, ddof=1))
    assert results["epoch"].tolist() == [1, 2, 3]
    for ours, other in zip(together._trainings, alone, strict=True):
        assert same(weights_of(ours), weights_of(other._trainings[0]))


def test_one_seed_has_no_deviation(beats: Beats) -> None:
    assert "score_sd" not in Trial([config()], TensorCache(*beats)).step()


def test_seconds_of_several_seeds_are_added_up(beats: Beats) -> None:
    trial = Trial(seeds(config(), 3), TensorCache(*beats))
    rows = [training.rows for training in trial._trainings]
    assert trial.step()["seconds"] == pytest.approx(sum(row[0]["seconds"] + row[0]["val_seconds"] for row in rows))


def test_a_seed_whose_patience_is_over_waits_for_the_others(beats: Beats) -> None:
    given = config(epochs=12, patience=2, learning_rate=0.2)
    lengths = [len(fitted(one, beats)[1]) for one in seeds(given, 3)]
    assert len(set(lengths)) > 1, "no seed ends before another"
    trial = Trial(seeds(given, 3), TensorCache(*beats))
    results = run(trial)
    assert len(results) == max(lengths)
    assert [len(training.rows) for training in trial._trainings] == lengths
    assert [result["over"] for result in results] == [False] * (max(lengths) - 1) + [True]
    assert [result["epoch"] for result in results] == list(range(1, max(lengths) + 1))
    # The one that is over counts with its last epoch, and with its best score.
    histories = [fitted(one, beats)[1]["val_macro_recall"] for one in seeds(given, 3)]
    assert results[-1]["val_macro_recall"] == pytest.approx(np.mean([history.iloc[-1] for history in histories]))
    assert results[-1]["score"] == pytest.approx(np.mean([history.max() for history in histories]))
    # Only what was trained took time.
    assert results[-1]["seconds"] == pytest.approx(
        sum(t.rows[-1]["seconds"] + t.rows[-1]["val_seconds"] for t in trial._trainings if len(t.rows) == max(lengths))
    )


# --- cut off and taken up again


RICH: dict[str, Any] = {
    "options": {"width": 16, "dropout": 0.3},
    "epochs": 5,
    "augment": {"use": ["noise", "mixup"]},
    "sampler_power": 0.5,
    "patience": None,
}


def stored(trial: Trial, folder: Path) -> dict[str, Any]:
    """The state as it comes back from a file."""
    checkpoints = Checkpoints(folder)
    checkpoints.save("k", trial.state())
    state = checkpoints.load("k")
    assert state is not None
    return state


@pytest.mark.parametrize("schedule", ["cosine", "one_cycle", "plateau", "step"])
def test_a_trial_that_is_taken_up_again_ends_with_the_same_numbers(beats: Beats, tmp_path: Path, schedule: str) -> None:
    configs = seeds(config(**RICH, schedule=choose(schedule), average=choose("ema")), 2)
    whole, first = Trial(configs, TensorCache(*beats)), Trial(configs, TensorCache(*beats))
    expected = numbers(run(whole))
    run(first, 2)
    second = Trial(configs, TensorCache(*beats))
    second.set_state(stored(first, tmp_path))
    rest = run(second)
    pd.testing.assert_frame_equal(numbers(rest), expected[2:].reset_index(drop=True), check_exact=True)
    for ours, theirs in zip(second._trainings, whole._trainings, strict=True):
        assert same(weights_of(ours), weights_of(theirs))


def test_epochs_that_were_not_told_are_told_from_the_state_without_training(
    beats: Beats, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    configs = seeds(config(**RICH), 2)
    whole, first = Trial(configs, TensorCache(*beats)), Trial(configs, TensorCache(*beats))
    expected = numbers(run(whole))
    told_before = run(first, 3)
    second = Trial(configs, TensorCache(*beats))
    second.set_state(stored(first, tmp_path), reported=0)
    trained: list[int] = []
    train_epoch = Training.train_epoch

    def counted(training: Training, *given: Any) -> float:
        trained.append(len(training.rows) + 1)
        return train_epoch(training, *given)

    monkeypatch.setattr(Training, "train_epoch", counted)
    again = run(second, 3)
    assert again == [{**result, "trained": False} for result in told_before]
    assert trained == []
    rest = run(second)
    assert trained == [4, 4, 5, 5]
    table = numbers([*again, *rest])
    assert table.pop("trained").tolist() == [False] * 3 + [True] * 2
    pd.testing.assert_frame_equal(table, expected.drop(columns="trained"), check_exact=True)


def test_a_trial_that_was_over_is_told_to_its_end(beats: Beats, tmp_path: Path) -> None:
    given = config(epochs=12, patience=2, learning_rate=0.2)
    whole = Trial(seeds(given, 2), TensorCache(*beats))
    expected = run(whole)
    second = Trial(seeds(given, 2), TensorCache(*beats))
    second.set_state(stored(whole, tmp_path), reported=0)
    assert run(second) == [{**result, "trained": False} for result in expected]


# --- tensors


@pytest.fixture
def built(monkeypatch: pytest.MonkeyPatch) -> list[FitSettings]:
    """The configurations that tensors were built for."""
    found: list[FitSettings] = []
    build: Callable[..., Any] = fit_tensors

    def noted(resampled: Any, train: Any, given: FitSettings, *others: Any) -> Any:
        found.append(given)
        return build(resampled, train, given, *others)

    monkeypatch.setattr(module, "fit_tensors", noted)
    return found


def test_tensors_are_built_once_for_equal_settings(beats: Beats, built: list[FitSettings]) -> None:
    cache = TensorCache(*beats)
    first = cache.get(config("mlp", learning_rate=0.1))
    assert all(cache.get(config(model, seed, epochs=9)) is first for model in ("mlp", "cnn1d") for seed in (0, 1, 2))
    assert len(built) == 1


def test_tensors_are_those_of_a_fit(beats: Beats) -> None:
    given = FitSettings.model_validate({**config(seed=4).model_dump(), "resample": STRATEGY})
    expected = fit_tensors(resample_train(beats[0], given), beats[0], given, beats[1])
    for ours, theirs in zip(TensorCache(*beats).get(given), expected, strict=True):
        assert ours.fingerprint == theirs.fingerprint
        np.testing.assert_array_equal(ours.y, theirs.y)


@pytest.mark.parametrize(
    "changed",
    [
        {"tensors": {"use": "signal", "features": False}},
        {"tensors": {"use": "signal_with_mask"}},
        {"resample": STRATEGY},
        {"resample": {"use": "full_oversampling", "full_oversampling": {"majority_share": 0.5}}},
    ],
    ids=str,
)
def test_other_settings_of_the_data_are_other_tensors(
    beats: Beats, built: list[FitSettings], changed: dict[str, Any]
) -> None:
    cache, given = TensorCache(*beats), config()
    cache.get(given)
    cache.get(FitSettings.model_validate({**given.model_dump(), **changed}))
    assert len(built) == 2


def test_what_is_drawn_with_another_seed_is_built_for_it(beats: Beats, built: list[FitSettings]) -> None:
    cache, given = TensorCache(*beats), FitSettings.model_validate({**config().model_dump(), "resample": STRATEGY})
    for one in seeds(given, 2):
        cache.get(one)
        cache.get(one)
    assert [one.seed for one in built] == [0, 1]


def test_few_tensors_are_kept(beats: Beats, built: list[FitSettings]) -> None:
    cache, given = TensorCache(*beats), FitSettings.model_validate({**config().model_dump(), "resample": STRATEGY})
    for one in seeds(given, KEPT + 3):
        cache.get(one)
    assert len(cache._kept) == KEPT
    cache.get(seeds(given, KEPT + 3)[-1])
    assert len(built) == KEPT + 3
    cache.get(given)
    assert len(built) == KEPT + 4


def test_a_search_s_configurations_make_a_trial(beats: Beats) -> None:
    searched = plan(seeds=2, epochs=2)
    results = run(Trial(searched.configs({"train.learning_rate": 0.01}), TensorCache(*beats)))
    assert [result["epoch"] for result in results] == [1, 2]
    assert results[-1]["score"] == max(results[-1]["score"], results[0]["score"])
