"""Training again on train and validation together: what changes, and what stays that of the first training."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from pydantic import ValidationError

from beatwise.tasks.tensors import TensorSet
from beatwise.training.checkpoint import Checkpoints
from beatwise.training.fit import changed_fit, fit_tensors, refit_tensors, resample_train
from beatwise.training.loop import fit_model
from beatwise.training.settings import Train, with_recipe
from beatwise.training.trained_model import TrainedModel, read_model, write_model
from tests.conftest import TASK
from tests.training.conftest import CLOCK, MakeBeats, config

HOW: dict[str, Any] = {"epochs": 4, "keep": "last", "refit": True, "average": {"use": "ema"}}


class Cut(Checkpoints):
    """Cuts a fit off after so many epochs of both trainings."""

    epochs = 0

    def __init__(self, folder: Path, after: int) -> None:
        super().__init__(folder)
        self.after = after

    def save(self, key: str, state: Mapping[str, Any]) -> None:
        super().save(key, state)
        self.epochs += 1
        if self.epochs == self.after:
            raise KeyboardInterrupt


def fitted(make_beats: MakeBeats, checkpoints: Checkpoints | None = None, **train: Any) -> tuple[TrainedModel, Any]:
    beats = (
        make_beats(records=True),
        make_beats((20, 6, 6, 6, 6), seed=1, records=True),
        make_beats(seed=2, records=True),
    )
    given = config(**{**HOW, **train})
    train_set, val, test = fit_tensors(resample_train(beats[0], given), beats[0], given, *beats[1:])
    on = refit_tensors(*beats[:2], given)
    model, history = fit_model(train_set, val, given, checkpoints, refit_on=on, show_progress=False)
    return model, (val, test, history)


def test_validation_stays_that_of_a_model_that_has_not_seen_it(make_beats: MakeBeats, tmp_path: Path) -> None:
    once, (val, test, history) = fitted(make_beats, refit=False)
    twice, (*_, history_of_twice) = fitted(make_beats)
    val_of_once, test_of_once = once.predict_held_out(val, test)
    val_of_twice, test_of_twice = twice.predict_held_out(val, test)
    assert val_of_twice.equals(val_of_once)
    assert not test_of_twice.equals(test_of_once)
    assert not twice.predict(val).equals(val_of_twice)
    assert history_of_twice.drop(columns=CLOCK).equals(history.drop(columns=CLOCK))
    assert twice.refit["examples"] == sum(once.metadata["trained_on"].values()) + len(val)
    assert sum(twice.metadata["trained_on"].values()) == twice.refit["examples"]
    write_model(tmp_path, twice)
    for stored, made in zip(
        read_model(tmp_path).predict_held_out(val, test), (val_of_twice, test_of_twice), strict=True
    ):
        assert stored.equals(made)


def test_boosted_trees_grow_again_on_both_parts_as_many_rounds(make_beats: MakeBeats) -> None:
    train, val = make_beats(records=True), make_beats((20, 6, 6, 6, 6), seed=1, records=True)

    def grown(refit: bool) -> tuple[TrainedModel, TensorSet]:
        chosen: dict[str, Any] = {"use": "gradient_boosting", "gradient_boosting": {"iterations": 40, "patience": 3}}
        blocks = {"resample": {"use": "none"}, "tensors": {"use": "signal"}, "model": chosen, "train": {"refit": refit}}
        given = changed_fit(blocks, {}, TASK, 0, "here")
        train_set, val_set = fit_tensors(train, train, given, val)
        on = refit_tensors(train, val, given)
        return fit_model(train_set, val_set, given, refit_on=on, show_progress=False)[0], val_set

    (once, val_set), (twice, _) = grown(refit=False), grown(refit=True)
    assert 1 <= twice.refit["epochs"] == once.metadata["best_epoch"] == twice.metadata["best_epoch"] < 40
    assert twice.refit["examples"] == len(train) + len(val)
    held_out, _ = twice.predict_held_out(val_set, val_set)
    assert held_out.equals(once.predict(val_set))
    # Having seen them, the second one knows the beats of validation better.
    right = [(model.predict(val_set)["prediction"].to_numpy() == val_set.labels).mean() for model in (once, twice)]
    assert right[1] > right[0]


def test_the_second_training_has_the_epochs_that_the_first_kept(make_beats: MakeBeats) -> None:
    model, _ = fitted(make_beats, keep="best", learning_rate=0.3, average={"use": "none"})
    assert model.refit["epochs"] == model.metadata["best_epoch"]
    assert fitted(make_beats)[0].metadata["best_epoch"] == 4


@pytest.mark.parametrize("after", [3, 6])
def test_a_fit_that_was_cut_off_ends_with_the_same_numbers(make_beats: MakeBeats, tmp_path: Path, after: int) -> None:
    whole, _ = fitted(make_beats)
    with pytest.raises(KeyboardInterrupt):
        fitted(make_beats, Cut(tmp_path, after))
    again, _ = fitted(make_beats, Checkpoints(tmp_path))
    assert again.fingerprint == whole.fingerprint
    assert np.array_equal(np.asarray(again.held_out), np.asarray(whole.held_out))
    assert not list(tmp_path.iterdir())


def test_a_schedule_that_follows_validation_is_refused() -> None:
    with pytest.raises(ValidationError, match=r"train\.schedule\.use=plateau follows it"):
        Train.model_validate({"refit": True, "schedule": {"use": "plateau"}})


def test_a_recipe_stands_over_files_and_below_the_command() -> None:
    files = {
        "model": {"use": "mlp"},
        "train": {"epochs": 5, "patience": 3},
        "recipe": {"use": "none", "none": {}, "short": {"train": {"epochs": 2, "patience": None}}},
    }
    assert with_recipe(files, {"seed": 1}) == {**files, "seed": 1}
    found = with_recipe(files, {"recipe": {"use": "short"}, "train": {"epochs": 7}})
    assert (found["model"], found["train"]) == ({"use": "mlp"}, {"epochs": 7, "patience": None})
