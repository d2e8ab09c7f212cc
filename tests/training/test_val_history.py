from __future__ import annotations

import numpy as np
import pandas as pd
import pytest

from beatwise.networks.predict import in_chunks
from beatwise.tasks.classification.forgetting import ClassHistory, count_moves
from beatwise.training import loop
from beatwise.training.checkpoint import Checkpoints
from tests.conftest import CLASSES
from tests.training.conftest import Parts, choose, config, same, training
from tests.training.test_checkpoint import Cut, files

# Much that is random, and an average that is what is validated.
HOW = config(
    "resnet1d", epochs=5, patience=None, sampler_power=0.5, augment={"use": "noise+mixup"}, average=choose("ema")
)


def fitted(parts: Parts, checkpoints: Checkpoints | None = None):
    val_history = ClassHistory(parts[1].labels, CLASSES)
    model, _ = loop.fit_model(*parts, HOW, checkpoints, val_history=val_history, show_progress=False)
    return model, val_history.table()


def of_epoch(table: pd.DataFrame, epoch: int) -> pd.DataFrame:
    return table[table["epoch"] == epoch]


def test_every_epoch_says_what_its_network_predicted_of_every_validation_beat(parts: Parts) -> None:
    made = training(parts, epochs=3)
    made.val_history = ClassHistory(parts[1].labels, CLASSES)
    for epoch in (1, 2, 3):
        made.next_epoch()
        probability = in_chunks(made.network, made.network, made.val_x, made.val_aux).softmax(dim=1).numpy()
        kept = of_epoch(made.val_history.table(), epoch)
        assert kept["beat"].tolist() == list(range(len(parts[1].labels)))
        assert kept["target"].tolist() == parts[1].labels.tolist()
        assert kept["prediction"].tolist() == probability.argmax(axis=1).tolist()
        expected = [row[target] for row, target in zip(probability, parts[1].labels, strict=True)]
        np.testing.assert_allclose(kept["probability_of_truth"], expected, atol=5e-4)
    assert made.val_history.table()["epoch"].unique().tolist() == [1, 2, 3]


def test_the_best_epoch_holds_the_predictions_of_the_model_that_is_kept(parts: Parts) -> None:
    model, table = fitted(parts)
    predicted = model.probabilities(parts[1]).argmax(axis=1)
    assert of_epoch(table, model.metadata["best_epoch"])["prediction"].tolist() == predicted.tolist()


def test_the_model_says_how_beats_moved(parts: Parts) -> None:
    model, table = fitted(parts)
    predicted = table.pivot_table(index="epoch", columns="beat", values="prediction").to_numpy()
    assert model.metadata["moves"] == count_moves(parts[1].labels, predicted, CLASSES)


@pytest.mark.parametrize("after", [2, 5])
def test_a_training_that_was_cut_off_ends_with_the_predictions_of_all_epochs(tmp_path, parts: Parts, after) -> None:
    model, whole = fitted(parts)
    with pytest.raises(KeyboardInterrupt):
        fitted(parts, Cut(tmp_path, after))
    gone_on, table = fitted(parts, Checkpoints(tmp_path))
    assert same(gone_on, model)
    pd.testing.assert_frame_equal(table, whole, check_exact=True)
    assert not files(tmp_path)


def test_keeping_the_predictions_changes_nothing_else(parts: Parts) -> None:
    model, _ = fitted(parts)
    without, _ = loop.fit_model(*parts, HOW, show_progress=False)
    assert same(without, model)
    assert without.metadata == {name: fact for name, fact in model.metadata.items() if name != "moves"}


def test_a_state_takes_four_bytes_a_beat_and_epoch_and_none_where_nothing_is_kept(parts: Parts) -> None:
    made = training(parts)
    made.next_epoch()
    assert made.state()["val_history"] is None
    made = training(parts)
    made.val_history = ClassHistory(parts[1].labels, CLASSES)
    for _ in range(3):
        made.next_epoch()
    kept = made.state()["val_history"]
    assert sum(tensor.nbytes for tensor in kept.values()) == 4 * 3 * len(parts[1].labels)


def test_a_fit_does_not_go_on_from_a_state_without_predictions_nor_the_other_way_round(tmp_path, parts: Parts) -> None:
    with pytest.raises(KeyboardInterrupt):
        loop.fit_model(*parts, HOW, Cut(tmp_path, 2), show_progress=False)
    model, table = fitted(parts, Checkpoints(tmp_path))
    assert table["epoch"].max() == 5
    # The state of the other one, a row of a comparison for instance, is still there for it.
    assert len(files(tmp_path)) == 1
    again, _ = loop.fit_model(*parts, HOW, Checkpoints(tmp_path), show_progress=False)
    assert same(again, model)
    assert not files(tmp_path)
