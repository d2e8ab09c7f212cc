from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
import pytest
from pydantic_core import PydanticSerializationError

from beatwise.comparison.documents import FitMetadata
from beatwise.comparison.plan import plan_rows
from beatwise.comparison.rows import PREDICTIONS, RESULT, FinishedRows, fit_row, measure_row
from beatwise.comparison.settings import Comparison
from beatwise.core.errors import BeatwiseError
from beatwise.data.examples import Examples
from beatwise.data.features import RATIOS, RR_COLUMNS
from beatwise.data.settings import Resample, Tensors
from beatwise.networks.base import HEAD_WIDTH
from beatwise.networks.settings import Model
from beatwise.pipelines.fit import nodes as fit_nodes
from beatwise.tasks.classification.metrics import point_scores
from beatwise.tasks.classification.predictions import measure_predictions, probabilities
from beatwise.tasks.settings import Evaluate
from beatwise.training.checkpoint import Checkpoints
from beatwise.training.fit import fit_tensors, resample_train
from beatwise.training.settings import FitSettings, Train
from tests.conftest import CLASSES, TASK

MakeBeats = Callable[..., Examples]
Parts = tuple[Examples, Examples, Examples, Checkpoints]
BOOSTING = {"model": {"use": "gradient_boosting", "gradient_boosting": {"iterations": 5}}}
COUNTS = ((60, 12, 14, 10, 12), (20, 6, 6, 6, 6), (30, 7, 7, 7, 7))
SETTINGS = (TASK.build(), Evaluate(bootstrap_draws=20), 42)


def row(changes: dict[str, Any] | None = None, seed: int = 1) -> FitSettings:
    """The settings of a row with a small mlp, or what the changes say."""
    (planned,) = plan_rows(
        Comparison.model_validate({"use": "p", "p": {"models": {"m": changes or {}}, "seeds": [seed]}}),
        TASK,
        Resample(use="full_oversampling"),
        Tensors(use="auto"),
        Model(use="mlp", mlp={"width": 8, "layers": 1}, cnn1d={"kernel_size": 3, "pool": 2}),
        Train(epochs=2, batch_size=32),
    )
    assert planned.config is not None
    return planned.config


@pytest.fixture
def parts(make_beats: MakeBeats, tmp_path: Path) -> Parts:
    train, val, test = (make_beats(counts, seed=i, records=True) for i, counts in enumerate(COUNTS))
    return train, val, test, Checkpoints(tmp_path / "checkpoints")


# --- fitting


@pytest.mark.parametrize("changes", [{}, BOOSTING], ids=["mlp", "boosting"])
def test_a_row_predicts_every_beat_of_validation_and_test(changes: dict[str, Any], parts: Parts) -> None:
    _, predictions = fit_row(row(changes), parts)
    known = ["target", "prediction", *(f"probability_{name}" for name in CLASSES), "group", "record", "part"]
    assert list(predictions.columns) == known
    for part, beats in (("val", parts[1]), ("test", parts[2])):
        of_part = predictions[predictions["part"] == part]
        assert of_part["target"].tolist() == beats.target.tolist()
        np.testing.assert_allclose(probabilities(of_part).sum(axis=1), 1, atol=1e-5)
    assert len(predictions) == len(parts[1]) + len(parts[2])


def test_a_row_of_a_network_says_what_it_cost_and_how_it_went(parts: Parts) -> None:
    metadata, _ = fit_row(row(), parts)
    n_features = len(RR_COLUMNS) + len(RATIOS)
    # 24 samples to 8, 8 with the RR features to the hidden layer of the head, and that to 5 classes.
    assert metadata.n_parameters == 24 * 8 + 8 + (8 + n_features + 1) * HEAD_WIDTH + (HEAD_WIDTH + 1) * 5
    assert metadata.best_epoch in (1, 2)
    assert metadata.seconds > 0
    assert [epoch["epoch"] for epoch in metadata.history] == [1, 2]
    assert FitMetadata.model_validate_json(metadata.model_dump_json()) == metadata


def test_a_model_that_fits_itself_has_a_history_of_its_rounds(parts: Parts) -> None:
    metadata, _ = fit_row(row(BOOSTING), parts)
    assert metadata.seconds > 0
    assert (metadata.n_parameters or 0) > 5
    assert metadata.best_epoch == len(metadata.history) == 5
    losses = [epoch["train_loss"] for epoch in metadata.history]
    assert np.all(np.diff(np.array(losses, float)) <= 0)


@pytest.mark.parametrize("changes", [{}, BOOSTING, {"model": {"use": "cnn1d"}}], ids=["mlp", "boosting", "cnn1d"])
def test_the_same_row_predicts_the_same_to_the_last_bit_and_another_seed_does_not(changes, parts: Parts) -> None:
    # For boosting, the seed draws what is oversampled.
    (_, first), (_, again), (_, other) = (fit_row(row(changes, seed), parts) for seed in (1, 1, 2))
    pd.testing.assert_frame_equal(first, again, check_exact=True)
    assert (probabilities(first) != probabilities(other)).any()


def test_a_row_predicts_what_the_fit_template_predicts_with_the_same_settings(parts: Parts, tmp_path: Path) -> None:
    train, val, test, _ = parts
    config = row({"model": {"use": "cnn1d"}}, seed=3)
    resampled = resample_train(train, config)
    train_tensors, val_tensors, test_tensors = fit_tensors(resampled, train, config, val, test)
    model, history, _ = fit_nodes.train(train_tensors, val_tensors, train, val, config, Checkpoints(tmp_path / "other"))
    expected = dict(zip(("val", "test"), model.predict_held_out(val_tensors, test_tensors), strict=True))

    metadata, predictions = fit_row(config, parts)
    for part, table in expected.items():
        ours = predictions[predictions["part"] == part].drop(columns="part").reset_index(drop=True)
        pd.testing.assert_frame_equal(ours, table.drop(columns="sample"), check_exact=True)
    assert [epoch["val_macro_f1"] for epoch in metadata.history] == history["val_macro_f1"].tolist()
    assert metadata.n_parameters == model.metadata["n_parameters"]


def test_the_test_part_has_no_say_in_what_is_fitted(parts: Parts, make_beats: MakeBeats) -> None:
    train, val, _, checkpoints = parts
    for changes in ({}, BOOSTING):
        _, first = fit_row(row(changes), parts)
        _, other = fit_row(row(changes), (train, val, make_beats(seed=9, records=True), checkpoints))
        ours, theirs = (table[table["part"] == "val"] for table in (first, other))
        pd.testing.assert_frame_equal(ours, theirs, check_exact=True)


def test_a_network_learns_what_can_be_learnt(parts: Parts) -> None:
    _, predictions = fit_row(row({"train": {"epochs": 12, "learning_rate": 0.02}}), parts)
    test = predictions[predictions["part"] == "test"]
    assert point_scores(test["target"].to_numpy(), probabilities(test))["macro_recall"] > 0.6


def test_a_class_without_training_beats_is_never_predicted_by_gradient_boosting(make_beats, parts: Parts) -> None:
    _, val, test, checkpoints = parts
    train = make_beats((60, 12, 0, 10, 12), records=True)
    planned = row({**BOOSTING, "resample": {"use": "none"}})
    _, predictions = fit_row(planned, (train, val, test, checkpoints))
    assert (predictions["probability_V"] == 0).all()
    assert not (predictions["prediction"] == 2).any()
    assert set(predictions["prediction"]) > {0}
    np.testing.assert_allclose(probabilities(predictions).sum(axis=1), 1, atol=1e-5)


def test_a_training_that_diverges_says_so(parts: Parts) -> None:
    with pytest.raises(BeatwiseError, match="diverged"):
        fit_row(row({"train": {"learning_rate": 1e30, "gradient_clip": None}}), parts)


def test_a_row_that_is_finished_leaves_no_checkpoint(parts: Parts) -> None:
    fit_row(row(), parts)
    assert list(parts[3].folder.iterdir()) == []


def test_a_row_that_was_cut_off_goes_on_from_its_checkpoint_to_the_same_predictions(parts: Parts, monkeypatch) -> None:
    from beatwise.training import loop

    planned = row({"train": {"epochs": 4}})
    _, expected = fit_row(planned, parts)
    train_epoch, trained = loop.Training.train_epoch, 0

    def cut_off(self: Any, *args: Any) -> float:
        nonlocal trained
        trained += 1
        if trained == 3:
            raise KeyboardInterrupt
        return train_epoch(self, *args)

    monkeypatch.setattr(loop.Training, "train_epoch", cut_off)
    with pytest.raises(KeyboardInterrupt):
        fit_row(planned, parts)
    _, predictions = fit_row(planned, parts)
    assert trained == 3 + 2
    pd.testing.assert_frame_equal(predictions, expected, check_exact=True)


def test_a_machine_that_does_not_share_the_project_s_folder_keeps_no_checkpoints(parts: Parts, tmp_path: Path) -> None:
    elsewhere = Checkpoints(tmp_path / "project of another machine" / "checkpoints")
    metadata, _ = fit_row(row(), (*parts[:3], elsewhere))
    assert len(metadata.history) == 2
    assert not elsewhere.folder.parent.exists()


# --- measuring


def test_a_row_is_measured_like_every_model_and_its_draws_on_test_are_kept(parts: Parts) -> None:
    _, predictions = fit_row(row(), parts)
    val, test = (predictions[predictions["part"] == part].drop(columns="part") for part in ("val", "test"))
    metrics, draws = measure_row(predictions, SETTINGS)
    assert metrics == measure_predictions(val, test, *SETTINGS[1:])
    assert list(draws.columns) == list(SETTINGS[0].compared)
    assert len(draws) == 20
    low, high = (metrics["test"]["overall"]["accuracy"][end] for end in ("low", "high"))
    assert np.quantile(draws["accuracy"], [0.025, 0.975]) == pytest.approx([low, high])


def test_draw_i_holds_the_same_beats_in_every_row(make_beats: MakeBeats) -> None:
    target = make_beats().target
    right = np.eye(5, dtype=np.float32)[target]
    wrong = np.roll(right, 1, axis=1)
    lucky = (np.arange(len(target)) % 3 == 0)[:, None]
    drawn = []
    for probability in (np.where(lucky, right, wrong), np.where(lucky, wrong, right)):
        table = pd.DataFrame(probability, columns=[f"probability_{name}" for name in CLASSES]).assign(target=target)
        drawn.append(measure_row(pd.concat([table.assign(part=part) for part in ("val", "test")]), SETTINGS)[1])
    # Where one is right the other is wrong: in every draw the two make up all beats.
    np.testing.assert_allclose(drawn[0]["accuracy"] + drawn[1]["accuracy"], 1)
    assert drawn[0]["accuracy"].std() > 0


# --- finished rows


@pytest.fixture
def finished(tmp_path: Path) -> FinishedRows:
    return FinishedRows(tmp_path / "new" / "finished")


TABLE = pd.DataFrame({"target": [0, 1], "prediction": [0, 0], "probability_N": [0.9, 0.6], "part": ["val", "test"]})
METADATA = FitMetadata(
    task={"use": "regression"},
    n_parameters=None,
    best_epoch=None,
    seconds=1.5,
    history=[{"epoch": 1, "val_macro_f1": 0.1}],
)
# Cannot be written as JSON.
BROKEN = METADATA.model_copy(update={"seconds": object()})


def test_a_row_that_is_not_finished_is_none(finished: FinishedRows) -> None:
    assert finished.load("key") is None
    assert not finished.folder.exists()


def test_a_finished_row_comes_back_as_it_was_saved(finished: FinishedRows) -> None:
    finished.save("key", METADATA, TABLE)
    found = finished.load("key")
    assert found is not None
    assert found[0] == METADATA
    pd.testing.assert_frame_equal(found[1], TABLE)
    assert finished.load("other") is None


def test_what_a_fit_gives_can_be_stored(finished: FinishedRows, parts: Parts) -> None:
    for changes in ({}, BOOSTING):
        metadata, predictions = fit_row(row(changes), parts)
        finished.save("key", metadata, predictions)
        found = finished.load("key")
        assert found is not None
        assert found[0] == metadata
        pd.testing.assert_frame_equal(found[1], predictions, check_exact=True)


def test_a_row_is_stored_in_whole_or_not_at_all(finished: FinishedRows) -> None:
    with pytest.raises(PydanticSerializationError):
        finished.save("key", BROKEN, TABLE)
    assert finished.load("key") is None
    assert list(finished.folder.iterdir()) == []


def test_a_row_that_cannot_be_replaced_is_left_as_it_was(finished: FinishedRows) -> None:
    finished.save("key", METADATA, TABLE)
    with pytest.raises(PydanticSerializationError):
        finished.save("key", BROKEN, TABLE)
    found = finished.load("key")
    assert found is not None
    assert found[0] == METADATA


@pytest.mark.parametrize(("name", "content"), [(RESULT, b""), (PREDICTIONS, b"rubbish"), (PREDICTIONS, None)])
def test_a_damaged_row_counts_as_not_finished_and_is_named(finished: FinishedRows, name, content, caplog) -> None:
    finished.save("key", METADATA, TABLE)
    path = finished.folder / "key" / name
    path.unlink()
    if content is not None:
        path.write_bytes(content)
    assert finished.load("key") is None
    assert (str(path.parent) in caplog.text) == (content is not None)
