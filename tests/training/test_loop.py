from __future__ import annotations

import dataclasses
from typing import Any

import numpy as np
import pandas as pd
import pytest
import torch
from sklearn.utils.class_weight import compute_class_weight
from torch import nn

from beatwise.errors import BeatwiseError
from beatwise.evaluation.metrics import point_scores
from beatwise.models import build_model
from beatwise.params import FitConfig
from beatwise.signals.representations import TensorSet, TensorSpec, build_tensors
from beatwise.trained_model import TrainedModel
from beatwise.training import loop
from beatwise.training.optim import build_optimizer, build_schedule

CLASSES = ["N", "S", "V", "F", "Q"]
CPU = torch.device("cpu")
Parts = tuple[TensorSet, TensorSet]


def config(model: str = "mlp", seed: int = 0, *, options: dict[str, Any] | None = None, **train: Any) -> FitConfig:
    sizes = {"mlp": {"width": 16}, "cnn1d": {"kernel_size": 3, "pool": 2}, "resnet1d": {"widths": [4, 4]}}
    return FitConfig.model_validate(
        {
            "classes": CLASSES,
            "seed": seed,
            "resample": {"use": "none"},
            "tensors": {"use": "signal"},
            "model": {"use": model, model: options or sizes[model]},
            "train": {"epochs": 3, "batch_size": 32, "learning_rate": 0.01, **train},
        }
    )


def tensors(beats: pd.DataFrame, train: pd.DataFrame) -> TensorSet:
    """Tensors as they come from a file: writable."""
    made = build_tensors(beats, TensorSpec.fit(train, use="signal", options={}, classes=CLASSES))
    return dataclasses.replace(made, y=made.y.copy())


@pytest.fixture
def parts(make_beats) -> Parts:
    train, val = make_beats(records=True), make_beats((20, 6, 6, 6, 6), seed=1, records=True)
    return tensors(train, train), tensors(val, train)


def weights(model: TrainedModel) -> dict[str, torch.Tensor]:
    return model.network.state_dict()


def same(a: TrainedModel, b: TrainedModel) -> bool:
    return all(torch.equal(value, weights(b)[key]) for key, value in weights(a).items())


def rare_class(make_beats, n_rare: int = 6) -> Parts:
    """Two overlapping classes, one of them rare, so that the plain loss hardly pays for finding it."""
    parts = [make_beats((300, n_rare, 0, 0, 0), seed=1), make_beats((60, 60, 0, 0, 0), seed=2)]
    return tensors(parts[0], parts[0]), tensors(parts[1], parts[0])


@pytest.mark.parametrize("model", ["mlp", "cnn1d", "resnet1d"])
def test_one_seed_gives_the_same_weights_to_the_last_bit_and_another_does_not(parts: Parts, model):
    first, again = loop.fit_model(*parts, config(model))[0], loop.fit_model(*parts, config(model))[0]
    other = loop.fit_model(*parts, config(model, seed=1))[0]
    assert same(first, again)
    assert not same(first, other)


def test_sampling_by_weight_is_deterministic_by_seed_too(parts: Parts):
    how = config(sampler_power=0.5, class_weights="balanced")
    assert same(loop.fit_model(*parts, how)[0], loop.fit_model(*parts, how)[0])


def test_the_generator_of_the_caller_is_left_as_it_was(parts: Parts):
    torch.manual_seed(3)
    before = torch.get_rng_state()
    loop.fit_model(*parts, config(sampler_power=0.5))
    assert torch.equal(torch.get_rng_state(), before)


def test_the_tensors_are_not_changed(parts: Parts):
    before = [(part.x.copy(), part.aux.copy(), part.y.copy()) for part in parts]
    loop.fit_model(*parts, config())
    for part, (x, aux, y) in zip(parts, before, strict=True):
        np.testing.assert_array_equal(part.x, x)
        np.testing.assert_array_equal(part.aux, aux)
        np.testing.assert_array_equal(part.y, y)


def test_a_history_has_one_row_an_epoch(parts: Parts):
    model, history = loop.fit_model(*parts, config())
    assert history["epoch"].tolist() == [1, 2, 3]
    assert list(history.columns) == [
        "epoch",
        "learning_rate",
        "train_loss",
        "val_loss",
        "val_accuracy",
        "val_macro_recall",
        "val_macro_f1",
        "seconds",
    ]
    assert np.isfinite(history.to_numpy()).all()
    pd.testing.assert_frame_equal(pd.DataFrame(model.history), history)


def test_training_learns(parts: Parts):
    _, history = loop.fit_model(*parts, config(epochs=25, patience=25, options={"width": 64}))
    assert history["train_loss"].iloc[-1] < 0.6 * history["train_loss"].iloc[0]
    assert history["val_accuracy"].max() > 0.8


@pytest.mark.parametrize("monitor", ["macro_recall", "macro_f1", "accuracy", "loss"])
def test_the_weights_of_the_best_epoch_come_back(parts: Parts, monitor):
    # A rate so high that the last epoch is not the best.
    how = config("resnet1d", epochs=6, patience=6, learning_rate=0.05, monitor=monitor, seed=2)
    model, history = loop.fit_model(*parts, how)
    best = model.facts["best_epoch"]
    column = history[f"val_{monitor}"]
    assert best == 1 + (column.argmin() if monitor == "loss" else column.argmax())
    scores = point_scores(parts[1].y, model.probabilities(parts[1]))
    row = history.iloc[best - 1]
    assert scores["log_loss"] == pytest.approx(row["val_loss"], rel=1e-5)
    assert [scores[name] for name in ("accuracy", "macro_recall", "macro_f1")] == pytest.approx(
        [row[f"val_{name}"] for name in ("accuracy", "macro_recall", "macro_f1")]
    )


def scripted(monkeypatch: pytest.MonkeyPatch, recalls: list[float]) -> None:
    """Validation scores as written, one an epoch."""
    left = iter(recalls)
    monkeypatch.setattr(
        loop,
        "point_scores",
        lambda *_: {"log_loss": 1.0, "accuracy": 0.5, "macro_recall": next(left), "macro_f1": 0.5},
    )


def test_training_stops_when_patience_ends(parts: Parts, monkeypatch):
    scripted(monkeypatch, [0.2, 0.5, 0.4, 0.5, 0.3, 0.9, 0.9])
    model, history = loop.fit_model(*parts, config(epochs=7, patience=3))
    assert len(history) == 5
    assert model.facts["best_epoch"] == 2


def test_a_better_epoch_starts_patience_anew(parts: Parts, monkeypatch):
    scripted(monkeypatch, [0.2, 0.1, 0.3, 0.2, 0.4, 0.1])
    model, history = loop.fit_model(*parts, config(epochs=6, patience=2))
    assert len(history) == 6
    assert model.facts["best_epoch"] == 5


def test_of_equal_epochs_the_first_is_kept(parts: Parts, monkeypatch):
    scripted(monkeypatch, [0.5, 0.5, 0.5])
    assert loop.fit_model(*parts, config())[0].facts["best_epoch"] == 1


def test_facts_say_what_the_model_was_trained_on(parts: Parts):
    model, _ = loop.fit_model(*parts, config())
    assert model.facts["trained_on"] == {"N": 60, "S": 12, "V": 14, "F": 10, "Q": 12}
    assert model.facts["val_fingerprint"] == parts[1].fingerprint
    assert model.facts["n_parameters"] == sum(p.numel() for p in model.network.parameters())
    assert (model.name, model.input_shape, model.spec) == ("mlp", (1, 24), parts[0].spec)
    assert not model.network.training


@pytest.mark.parametrize("counts", [(60, 12, 14, 10, 12), (5, 5, 5, 5, 5), (100, 1, 2, 3, 4)])
def test_balanced_weights_are_those_of_scikit_learn(counts):
    y = np.repeat(np.arange(5), counts)
    expected = compute_class_weight("balanced", classes=np.arange(5), y=y)
    np.testing.assert_allclose(loop._class_weights(torch.from_numpy(y), 5), expected, rtol=1e-6)


def test_a_class_without_beats_has_no_weight():
    weight = loop._class_weights(torch.tensor([0, 0, 0, 2]), 3)
    np.testing.assert_allclose(weight, [4 / 9, 0, 4 / 3], rtol=1e-6)


@pytest.mark.parametrize("power", [0.3, 0.5, 1.0])
def test_beats_are_drawn_with_a_power_of_the_count_of_their_class(power):
    y = torch.tensor([0, 0, 0, 0, 1, 2, 2])
    drawn = loop._sampling_weights(y, 4, power)
    assert drawn is not None
    np.testing.assert_allclose(drawn, np.array([4, 4, 4, 4, 1, 2, 2]) ** -power)


def test_power_0_visits_every_beat_once():
    assert loop._sampling_weights(torch.tensor([0, 1, 1]), 2, 0.0) is None
    batches = list(loop._batches(10, 4, None, CPU))
    assert [len(batch) for batch in batches] == [4, 4, 2]
    assert sorted(torch.cat(batches).tolist()) == list(range(10))


def test_power_1_draws_classes_equally_often():
    y = torch.from_numpy(np.repeat([0, 1, 2], [9000, 900, 100]))
    torch.manual_seed(0)
    drawn = torch.cat(list(loop._batches(len(y), 128, loop._sampling_weights(y, 3, 1.0), CPU)))
    assert len(drawn) == len(y)
    np.testing.assert_allclose(torch.bincount(y[drawn]) / len(y), 1 / 3, atol=0.02)


@pytest.mark.parametrize("how", [{"class_weights": "balanced"}, {"sampler_power": 1.0}])
def test_weights_and_sampling_find_more_of_a_rare_class(make_beats, how):
    train, val = rare_class(make_beats)
    common: dict[str, Any] = {"epochs": 15, "patience": 15, "monitor": "loss", "batch_size": 64}

    def recall(model: TrainedModel) -> float:
        return float((model.probabilities(val).argmax(axis=1) == 1)[val.y == 1].mean())

    plain = loop.fit_model(train, val, config(**common))[0]
    helped = loop.fit_model(train, val, config(**common, **how))[0]
    assert recall(helped) > recall(plain) + 0.2


def test_the_learning_rate_rises_linearly_and_falls_along_a_cosine_to_zero():
    parameter = nn.Parameter(torch.zeros(1))
    optimizer = torch.optim.SGD([parameter], lr=2.0)
    schedule = build_schedule(optimizer, 4, 12)
    rates = []
    for _ in range(12):
        rates.append(optimizer.param_groups[0]["lr"])
        optimizer.step()
        schedule.step()
    cosine = [1 + np.cos(np.pi * step / 8) for step in range(8)]
    np.testing.assert_allclose(rates, [0.5, 1.0, 1.5, 2.0, *cosine])
    assert schedule.get_last_lr()[0] == pytest.approx(0, abs=1e-12)


def test_without_warm_up_the_rate_begins_at_the_highest():
    optimizer = torch.optim.SGD([nn.Parameter(torch.zeros(1))], lr=2.0)
    build_schedule(optimizer, 0, 10)
    assert optimizer.param_groups[0]["lr"] == 2.0


def test_the_rate_of_the_last_epoch_ends_at_zero(parts: Parts):
    _, history = loop.fit_model(*parts, config(epochs=4, warmup_epochs=1))
    assert history["learning_rate"].iloc[0] == pytest.approx(0.01)
    assert history["learning_rate"].iloc[-1] == pytest.approx(0, abs=1e-12)


@pytest.mark.parametrize("name", ["mlp", "cnn1d", "resnet1d"])
def test_biases_and_normalisation_are_not_decayed(name):
    network = build_model(name, input_shape=(1, 187), n_classes=5, n_aux=8)
    groups = build_optimizer(network, 0.01, 0.1).param_groups
    decay = {id(p): group["weight_decay"] for group in groups for p in group["params"]}
    assert len(decay) == len(list(network.parameters()))
    for module in network.modules():
        for key, parameter in module.named_parameters(recurse=False):
            plain = key == "bias" or isinstance(module, nn.BatchNorm1d)
            assert decay[id(parameter)] == (0.0 if plain else 0.1)


def test_weight_decay_makes_weights_smaller(parts: Parts):
    def size(decay: float) -> float:
        model = loop.fit_model(*parts, config(weight_decay=decay, epochs=6))[0]
        return sum(float(p.square().sum()) for p in model.network.parameters() if p.ndim > 1)

    assert size(5.0) < 0.9 * size(0.0)


def test_a_loss_that_is_not_finite_is_an_error_that_says_what_to_do(parts: Parts):
    train, val = parts
    x = train.x.copy()
    x[3, 0, 2] = np.inf
    with pytest.raises(BeatwiseError, match=r"training loss is nan in epoch 1.*train\.learning_rate"):
        loop.fit_model(dataclasses.replace(train, x=x), val, config())


def test_a_learning_rate_that_diverges_is_an_error_that_says_what_to_do(parts: Parts):
    with pytest.raises(BeatwiseError, match=r"training has diverged.*train\.gradient_clip"):
        loop.fit_model(*parts, config(learning_rate=1e30, gradient_clip=None, warmup_epochs=0))


def test_tensors_that_were_made_differently_are_refused(parts: Parts):
    train, val = parts
    other = dataclasses.replace(val, spec=dataclasses.replace(val.spec, aux_mean=(0.0,) * len(val.spec.aux_names)))
    with pytest.raises(BeatwiseError, match="were made differently"):
        loop.fit_model(train, other, config())


def test_an_unknown_option_of_the_model_is_refused(parts: Parts):
    with pytest.raises(BeatwiseError, match=r"^(model\.)?mlp\.height: Unknown parameter 'height'\. Known: dropout"):
        loop.fit_model(*parts, config(options={"height": 3}))


def test_a_last_batch_of_one_beat_can_be_trained_on(make_beats):
    beats = make_beats((9, 6, 6, 6, 6))
    data = tensors(beats, beats)
    assert len(data.y) % 32 == 1
    _, history = loop.fit_model(data, data, config("resnet1d", options={"widths": [4, 4, 4, 4, 4, 4]}))
    assert len(history) == 3
    assert np.isfinite(history.to_numpy()).all()


@pytest.mark.parametrize(
    ("n", "size", "lengths"), [(9, 4, [4, 5]), (5, 4, [5]), (3, 1, [1, 2]), (1, 4, [1]), (4, 4, [4])]
)
@pytest.mark.parametrize("weighted", [False, True])
def test_a_last_batch_of_one_beat_joins_the_one_before(n, size, lengths, weighted):
    batches = list(loop._batches(n, size, torch.ones(n) if weighted else None, CPU))
    assert [len(batch) for batch in batches] == lengths
    if not weighted:
        assert sorted(torch.cat(batches).tolist()) == list(range(n))
