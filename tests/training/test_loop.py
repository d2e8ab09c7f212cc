from __future__ import annotations

import dataclasses
import logging
from types import SimpleNamespace
from typing import Any

import numpy as np
import pandas as pd
import pytest
import torch
from pydantic import ValidationError
from torch import Tensor, nn

from beatwise.core.errors import BeatwiseError
from beatwise.data.augmentations import AUGMENTATIONS, OF_LEADS, OF_PICTURES, Batch
from beatwise.data.padding import beat_lengths
from beatwise.networks.predict import in_chunks
from beatwise.networks.zoo import MODELS, build_model, list_models
from beatwise.tasks.classification.metrics import point_scores
from beatwise.tasks.classification.task import Classification
from beatwise.tasks.losses import LOSSES
from beatwise.tasks.registry import METRICS
from beatwise.training import loop
from beatwise.training.loop import BATCHES_SORTED, LENGTH_STEP, Training
from beatwise.training.optim import AVERAGES, OPTIMIZERS, SCHEDULES
from beatwise.training.settings import FitSettings
from tests.training.conftest import CLOCK, SIZES, MakeBeats, Parts, choose, config, refitted, same, tensors, training

CLASS_LOSSES = [name for name in LOSSES.names() if LOSSES[name].task == "classification"]
N = 108  # examples of the training part
AUGMENTING = [name for name in AUGMENTATIONS.names() if name not in (*OF_PICTURES, *OF_LEADS)]


# --- what comes out


COMBINATIONS: list[dict[str, Any]] = [
    {"sampler_power": 0.5, "class_weights": choose("balanced")},
    {"steps_per_epoch": 7, "augment": {"use": "shift+mixup"}, "average": choose("ema")},
    {"augment": {"use": AUGMENTING}, "loss": choose("focal"), "optimizer": choose("sgd")},
    {"average": choose("swa", start=0.3), "schedule": choose("one_cycle"), "loss": choose("one_vs_rest")},
    {"trim_padding": False, "log_prior_bias": True, "schedule": choose("plateau"), "sampler_power": 1.0},
    {"precision": "bfloat16", "gradient_clip": None, "batch_size": 25},
]


@pytest.mark.parametrize(("model", "combined"), zip(["gru", "resnet1d"] * 3, COMBINATIONS, strict=True), ids=str)
def test_one_seed_gives_the_same_numbers_whatever_is_combined(parts: Parts, model, combined):
    given = config(model, options={**SIZES[model], "dropout": 0.2}, **combined)
    torch.manual_seed(1)
    one, one_history = loop.fit_model(*parts, given)
    torch.manual_seed(2)
    two, two_history = loop.fit_model(*parts, given)
    assert same(one, two)
    assert one.fingerprint == two.fingerprint
    pd.testing.assert_frame_equal(one_history.drop(columns=CLOCK), two_history.drop(columns=CLOCK), check_exact=True)
    assert not same(one, loop.fit_model(*parts, given.model_copy(update={"seed": 1}))[0])


def test_the_generator_of_the_caller_and_the_tensors_are_left_as_they_were(parts: Parts):
    torch.manual_seed(3)
    generator = torch.get_rng_state()
    before = [(part.x.copy(), part.aux.copy(), part.labels.copy()) for part in parts]
    loop.fit_model(*parts, config("gru", sampler_power=0.5, augment={"use": AUGMENTING}))
    assert torch.equal(torch.get_rng_state(), generator)
    for part, kept in zip(parts, before, strict=True):
        for now, then in zip((part.x, part.aux, part.labels), kept, strict=True):
            np.testing.assert_array_equal(now, then)


COLUMNS = [
    "epoch",
    "learning_rate",
    "train_loss",
    "val_log_loss",
    "val_accuracy",
    "val_macro_recall",
    "val_macro_f1",
    "val_macro_auroc",
]


@pytest.mark.parametrize(("monitor", "more"), [("macro_recall", []), ("kappa", ["val_kappa"])])
def test_a_history_has_one_row_an_epoch(parts: Parts, monitor, more):
    model, history = loop.fit_model(*parts, config(monitor=monitor))
    assert history["epoch"].tolist() == [1, 2, 3]
    assert list(history.columns) == [*COLUMNS, *more, *CLOCK]
    assert np.isfinite(history.to_numpy()).all()
    assert (history[CLOCK] > 0).all(axis=None)
    pd.testing.assert_frame_equal(pd.DataFrame(model.history), history)


@pytest.mark.parametrize("batch_size", [32, 50, 200])
def test_the_training_loss_is_a_mean_over_examples(parts: Parts, batch_size):
    """However unequal the batches are; at a rate of next to nothing it is the loss of the network at its start."""
    for name in CLASS_LOSSES:
        chosen: dict[str, Any] = {"learning_rate": 1e-30, "loss": choose(name), "class_weights": choose("balanced")}
        made = training(parts, options={"width": 16, "dropout": 0.0}, batch_size=batch_size, epochs=1, **chosen)
        outputs = made.network(made.x, made.aux)
        expected = made.objective.loss(outputs, made.objective.target(torch.arange(N)))
        assert made.train_epoch() == pytest.approx(expected.item(), rel=1e-5)


def test_metadata_says_what_the_model_was_trained_on(parts: Parts):
    model, _ = loop.fit_model(*parts, config())
    assert model.metadata["trained_on"] == {"N": 60, "S": 12, "V": 14, "F": 10, "Q": 12}
    assert model.metadata["val_fingerprint"] == parts[1].fingerprint
    assert model.metadata["n_parameters"] == sum(p.numel() for p in model.network.parameters())
    assert (model.name, model.input_shape) == ("mlp", (1, 24))
    assert not model.network.training


def test_the_model_knows_every_option_that_it_was_trained_with(parts: Parts):
    model, _ = loop.fit_model(*parts, config(loss={"use": "focal"}, augment={"use": "shift"}))
    assert model.config["model"] == {"use": "mlp", "mlp": {"width": 16, "layers": 2, "dropout": 0.2}}
    train = model.config["train"]
    assert train["loss"] == {"use": "focal", "focal": {"gamma": 2.0}}
    assert train["augment"] == {"use": ["shift"], "shift": {"max_samples": 4, "share": 0.5}}
    assert train["optimizer"] == {"use": "adamw", "adamw": {"weight_decay": 0.01}}
    again, _ = loop.fit_model(*parts, FitSettings.model_validate(model.config))
    assert again.fingerprint == model.fingerprint


def test_the_log_shows_how_each_epoch_went_unless_it_is_to_be_quiet(parts: Parts, caplog):
    caplog.set_level(logging.INFO)
    loop.fit_model(*parts, config(), show_progress=False)
    assert not caplog.messages
    loop.fit_model(*parts, config())
    shown = [message for message in caplog.messages if message.startswith("epoch ")]
    assert [message.split()[1] for message in shown] == ["1", "2", "3"]
    assert "macro recall 0." in shown[0]
    assert "macro F1 0." in shown[0]
    assert "Best on validation" in caplog.messages[-1]


# --- the best epoch


@pytest.mark.parametrize("monitor", ["macro_recall", "kappa", "log_loss", "brier"])
def test_the_weights_of_the_best_epoch_come_back(parts: Parts, monitor):
    # A rate so high that the last epoch is not the best.
    settings = config("resnet1d", epochs=6, patience=6, learning_rate=0.05, monitor=monitor, seed=2)
    model, history = loop.fit_model(*parts, settings)
    best = model.metadata["best_epoch"]
    column = history[f"val_{monitor}"]
    assert best == 1 + (column.argmax() if METRICS[monitor].higher_is_better else column.argmin())
    scores = point_scores(parts[1].labels, model.probabilities(parts[1]))
    names = ("log_loss", "accuracy", "macro_recall", "macro_f1", "macro_auroc", monitor)
    assert [scores[name] for name in names] == pytest.approx([history.iloc[best - 1][f"val_{n}"] for n in names])


def scripted(monkeypatch: pytest.MonkeyPatch, recalls: list[float], name: str = "macro_recall") -> None:
    """Validation scores as written, one an epoch."""
    left = iter(recalls)

    def scores(*given: Any) -> dict[str, float]:
        return dict.fromkeys(given[-1], 0.5) | {name: next(left)}

    monkeypatch.setattr(Classification, "scores", scores)


@pytest.mark.parametrize(
    ("scores", "patience", "monitor", "epochs", "best"),
    [
        ([0.2, 0.5, 0.4, 0.5, 0.3, 0.9, 0.9], 3, "macro_recall", 5, 2),
        ([0.2, 0.1, 0.3, 0.2, 0.4, 0.1], 2, "macro_recall", 6, 5),  # a better epoch starts patience anew
        ([0.5] + [0.1] * 29, None, "macro_recall", 30, 1),
        ([0.5, 0.5, 0.5], 8, "macro_recall", 3, 1),  # the first of equal ones is kept
        ([0.5, 0.3, 0.4, 0.4, 0.1], 2, "log_loss", 4, 2),
        ([0.5, 0.3, 0.4, 0.4, 0.1], 2, "brier", 4, 2),
        ([0.2, 0.5, 0.4, 0.5, 0.3, 0.9, 0.9], 3, None, 5, 2),  # the monitor of the task
    ],
)
def test_training_stops_when_patience_ends(parts: Parts, monkeypatch, scores, patience, monitor, epochs, best):
    scripted(monkeypatch, scores, monitor or Classification.default_monitor)
    settings = config(epochs=len(scores), patience=patience, steps_per_epoch=1, monitor=monitor)
    model, history = loop.fit_model(*parts, settings)
    assert (len(history), model.metadata["best_epoch"]) == (epochs, best)


@pytest.mark.parametrize(("minutes", "epochs"), [(0.4, 2), (1.01, 4), (60, 6)])
def test_training_stops_after_the_epoch_in_which_its_time_is_over(parts: Parts, monkeypatch, caplog, minutes, epochs):
    clock = iter(range(0, 10_000, 20))  # each look at it is 20 seconds later
    monkeypatch.setattr(loop, "time", SimpleNamespace(perf_counter=lambda: float(next(clock))))
    caplog.set_level(logging.INFO)
    _, history = loop.fit_model(*parts, config(epochs=6, patience=None, max_minutes=minutes))
    assert history["seconds"].tolist() == [20.0] * epochs
    assert any("minutes are over" in message for message in caplog.messages) == (epochs < 6)


# --- batches


def epoch_of(made: Training) -> list[Tensor]:
    return list(made.batches())


def visits(made: Training) -> list[int]:
    return torch.bincount(torch.cat(epoch_of(made)), minlength=len(made.y)).tolist()


@pytest.mark.parametrize(("size", "lengths"), [(107, [108]), (50, [50, 50, 8]), (36, [36, 36, 36]), (200, [108])])
def test_a_last_batch_of_one_example_joins_the_one_before(parts: Parts, size, lengths):
    assert [len(batch) for batch in epoch_of(training(parts, batch_size=size))] == lengths


@pytest.mark.parametrize("model", ["mlp", "gru"])
def test_every_beat_is_visited_once_an_epoch_in_another_order_each_time(parts: Parts, model):
    made = training(parts, model)
    one, two = torch.cat(epoch_of(made)), torch.cat(epoch_of(made))
    assert sorted(one.tolist()) == sorted(two.tolist()) == list(range(N))
    assert not torch.equal(one, two)


@pytest.mark.parametrize("model", ["mlp", "gru"])
def test_a_number_of_steps_makes_an_epoch_of_less_or_more_than_one_pass(parts: Parts, model):
    # Fewer than one pass, one and a bit, exactly two, more than five.
    for steps, seen in ((1, {0, 1}), (4, {1, 2}), (27, {8}), (18, {5, 6})):
        made = training(parts, model, steps_per_epoch=steps)
        assert set(visits(made)) == seen
        assert [len(batch) for batch in epoch_of(made)] == [32] * steps
        assert made.steps == steps
    made = training(parts, model, steps_per_epoch=1)
    assert np.sum([visits(made) for _ in range(40)], axis=0).min() > 0


@pytest.mark.parametrize("given", [{}, {"steps_per_epoch": 9}])
def test_as_many_steps_are_taken_as_the_schedule_was_made_for(parts: Parts, given):
    made = training(parts, schedule=choose("cosine", warmup_epochs=0), epochs=2, **given)
    for _ in range(2):
        made.validate_epoch(made.train_epoch(), 0.0)
    steps = {parameter_state["step"].item() for parameter_state in made.optimizer.state.values()}
    assert steps == {2 * made.steps}
    assert made.rows[-1]["learning_rate"] == pytest.approx(0, abs=1e-12)
    assert made.steps == given.get("steps_per_epoch", 4)


@pytest.mark.parametrize("model", ["mlp", "gru"])
def test_as_many_batches_are_made_as_steps_are_counted(parts: Parts, model):
    for size in (1, 2, 5, 7, 60, 107, 108, 500):
        made = training(parts, model, batch_size=size)
        assert len(epoch_of(made)) == made.steps


def test_pruning_leaves_out_easy_examples_and_keeps_the_expected_gradient(parts: Parts):
    made = training(parts, prune=0.6, epochs=8, schedule=choose("cosine", warmup_epochs=0), batch_size=8)
    assert made.pruning is not None
    assert visits(made) == [1] * N
    made.validate_epoch(made.train_epoch(), 0.0)
    assert torch.isfinite(made.pruning.losses).all()
    easy = made.pruning.losses < made.pruning.losses.mean()
    counted = np.zeros(N)
    for _ in range(400):
        counted += np.array(visits(made)) * made.pruning.weights.numpy()
    # An easy example is visited two times in five, and counts two and a half times.
    assert (counted[~easy.numpy()] == 400).all()
    np.testing.assert_allclose(counted[easy.numpy()] / 400, 1, atol=0.3)
    # The losses of a pruned epoch count as those of all, not as the harder ones that are visited.
    of_all = made.pruning.losses.mean().item()
    assert made.train_epoch() == pytest.approx(of_all, rel=0.3)
    while not made.is_over():
        made.next_epoch()
    assert made.schedule.rate() == pytest.approx(0, abs=1e-12)
    made.rows = made.rows[:7]
    assert visits(made) == [1] * N
    with pytest.raises(ValidationError, match=r"train\.prune leaves examples out .* train\.sampler_power=0"):
        config(prune=0.5, sampler_power=0.5)


@pytest.mark.parametrize("power", [0.5, 1.0])
def test_examples_are_drawn_with_a_power_of_the_count_of_their_class(parts: Parts, power):
    made = training(parts, sampler_power=power, steps_per_epoch=1500)
    counts = np.bincount(parts[0].labels)
    assert made.objective.draw_weights is not None
    np.testing.assert_allclose(made.objective.draw_weights, counts[parts[0].labels] ** -power)
    drawn = np.bincount(parts[0].labels, weights=visits(made))
    expected = counts ** (1 - power)
    np.testing.assert_allclose(drawn / drawn.sum(), expected / expected.sum(), atol=0.01)
    # As many as without, where no number of steps is given.
    assert sum(visits(training(parts, sampler_power=power))) == N
    assert training(parts, sampler_power=0.0).objective.draw_weights is None


def loss_of(made: Training, label: int, logits: Tensor) -> float:
    """The loss of one example of a class with given logits."""
    return made.objective.loss(logits[None], torch.eye(5)[label][None]).item()


def test_class_weights_and_logit_adjustment_take_the_shares_as_they_are_drawn(parts: Parts):
    counts = np.bincount(parts[0].labels)
    for power in (0.0, 0.5, 1.0):
        drawn = counts ** (1 - power) / (counts ** (1 - power)).sum()
        balanced = training(parts, sampler_power=power, class_weights=choose("balanced"))
        weights = [loss_of(balanced, label, torch.zeros(5)) / np.log(5) for label in range(5)]
        np.testing.assert_allclose(weights, 1 / drawn / 5, rtol=1e-5)
        adjusted = training(parts, sampler_power=power, loss=choose("cross_entropy", logit_adjustment=1.0))
        np.testing.assert_allclose(
            [loss_of(adjusted, label, torch.zeros(5)) for label in range(5)], -np.log(drawn), rtol=1e-5
        )


# --- padding


def test_only_networks_that_ignore_padding_and_have_no_batch_normalisation_are_trimmed(make_beats):
    for model in list_models(by_gradients=True):
        beats = make_beats(length=96, records=True)
        given = (tensors(beats, beats, MODELS[model].representation),) * 2
        settings: dict[str, Any] = {"options": {"dropout": 0.0}, "learning_rate": 1e-30}
        made, plain = training(given, model, **settings), training(given, model, trim_padding=False, **settings)
        assert plain.lengths is None
        normalised = any("running_mean" in name for name in made.network.state_dict())
        assert (made.lengths is not None) == (MODELS[model].ignores_padding and not normalised)
        if made.lengths is not None:
            # It costs the same, whatever the batches are.
            assert made.train_epoch() == pytest.approx(plain.train_epoch(), rel=1e-5)


def seen_by(made: Training) -> list[Tensor]:
    """What the network gets to see in an epoch, batch by batch."""
    seen: list[Tensor] = []

    def remember(module: nn.Module, inputs: tuple[Tensor, Tensor]) -> None:
        seen.append(inputs[0].clone())

    handle = made.network.register_forward_pre_hook(remember)
    made.train_epoch()
    handle.remove()
    return seen


def padded(x: Tensor, t: int) -> list[tuple[float, ...]]:
    """Beats that can be compared and sorted, their padding put back."""
    return [tuple(row) for row in nn.functional.pad(x, (0, t - x.shape[-1])).flatten(1).tolist()]


@pytest.fixture
def long_parts(make_beats: MakeBeats) -> Parts:
    """Beats of 48 samples or of half as many, more than are sorted at a time."""
    train, val = make_beats((150, 40, 40, 40, 43), length=48), make_beats(seed=1, length=48)
    return tensors(train, train), tensors(val, train)


@pytest.mark.parametrize("size", [8, 12])
def test_trimmed_batches_hold_the_same_beats_in_all(long_parts: Parts, size):
    plain = seen_by(training(long_parts, "gru", batch_size=size, trim_padding=False))
    trimmed = seen_by(training(long_parts, "gru", batch_size=size))
    assert {x.shape[-1] for x in plain} == {48}
    together = [sorted(row for x in batches for row in padded(x, 48)) for batches in (plain, trimmed)]
    assert together[0] == together[1] == sorted(padded(torch.from_numpy(long_parts[0].x), 48))
    assert sorted(map(len, plain)) == sorted(map(len, trimmed))


def test_batches_are_cut_to_their_longest_beat_and_a_multiple(long_parts: Parts):
    batches = seen_by(training(long_parts, "gru", batch_size=8))
    for x in batches:
        longest = int(beat_lengths(x).max())
        assert x.shape[-1] == min(-(-longest // LENGTH_STEP) * LENGTH_STEP, 48)
    assert len({x.shape[-1] for x in batches}) > 2


def test_beats_of_like_length_share_a_batch(long_parts: Parts):
    def padding(made: Training) -> float:
        assert made.lengths is not None
        lengths = [made.lengths[batch] for batch in epoch_of(made)]
        return sum(int((part.max() - part).sum()) for part in lengths)

    made = training(long_parts, "gru", batch_size=8)
    assert made.lengths is not None
    lengths = made.lengths
    by_chance = sum(int((part.max() - part).sum()) for part in torch.split(lengths[torch.randperm(len(lengths))], 8))
    assert padding(made) < 0.2 * by_chance
    # Short ones do not come first.
    order = [int(lengths[batch].max()) for batch in epoch_of(made)]
    assert order != sorted(order)


@pytest.mark.parametrize("size", [2, 16])
def test_a_last_part_of_one_beat_joins_the_one_before(long_parts: Parts, size):
    keep = BATCHES_SORTED * size + 1
    part = dataclasses.replace(
        long_parts[0], x=long_parts[0].x[:keep], aux=long_parts[0].aux[:keep], y=long_parts[0].labels[:keep]
    )
    batches = epoch_of(training((part, long_parts[1]), "gru", batch_size=size))
    assert sorted(map(len, batches)) == [size] * (BATCHES_SORTED - 1) + [size + 1]
    assert sorted(torch.cat(batches).tolist()) == list(range(keep))


@pytest.mark.parametrize("model", ["mlp", "resnet1d", "gru"])
def test_a_last_batch_of_one_beat_can_be_trained_on(make_beats, model):
    beats = make_beats((9, 6, 6, 6, 6))
    data = tensors(beats, beats)
    assert len(data.labels) % 32 == 1
    options = {"widths": [4] * 6} if model == "resnet1d" else None  # of which one sample is left
    _, history = loop.fit_model(data, data, config(model, options=options))
    assert len(history) == 3
    assert np.isfinite(history.to_numpy()).all()


def test_validation_sees_whole_examples(long_parts: Parts, monkeypatch):
    shapes = []

    def predict(network: nn.Module, function: Any, x: Tensor, aux: Tensor) -> Tensor:
        shapes.append(x.shape)
        return in_chunks(network, function, x, aux)

    monkeypatch.setattr(loop, "in_chunks", predict)
    loop.fit_model(*long_parts, config("gru"))
    assert set(shapes) == {(108, 1, 48)}


# --- where training starts


def bias(made: Training) -> Tensor:
    return made.network.head.linear.bias.detach()


@pytest.mark.parametrize("name", CLASS_LOSSES)
def test_training_can_begin_with_the_shares_as_prediction(parts: Parts, name):
    for model, power in (("mlp", 0.0), ("mlp", 0.5), ("resnet1d", 1.0)):
        made = training(parts, model, loss=choose(name), sampler_power=power, log_prior_bias=True)
        made.network.head.linear.weight.data.zero_()  # so that nothing but the bias speaks
        found = made.task.decode(in_chunks(made.network, made.network, made.x, made.aux), made.settings.loss)
        drawn = np.bincount(parts[0].labels) ** (1 - power)
        np.testing.assert_allclose(found, np.tile(drawn / drawn.sum(), (N, 1)), rtol=1e-5)


def test_a_class_without_examples_begins_with_the_share_of_half_an_example(make_beats):
    beats = make_beats((60, 12, 0, 10, 12))
    made = training((tensors(beats, beats),) * 2, log_prior_bias=True)
    np.testing.assert_allclose(bias(made).exp(), np.array([60, 12, 0.5, 10, 12]) / 94, rtol=1e-5)


def test_without_it_the_bias_begins_as_the_model_made_it(parts: Parts):
    made = training(parts)
    torch.manual_seed(0)
    fresh = build_model("mlp", input_shape=(1, 24), n_outputs=5, n_aux=parts[0].aux.shape[1], width=16)
    assert torch.equal(bias(made), fresh.head.linear.bias)


# --- augmentation, precision, clipping


def test_every_augmentation_changes_what_is_learned(parts: Parts):
    plain = loop.fit_model(*parts, config())[0]
    for name in AUGMENTING:
        augmented, history = loop.fit_model(*parts, config(augment={"use": name, name: {"share": 1.0}}))
        assert not same(plain, augmented)
        assert np.isfinite(history.to_numpy()).all()


def test_augmentations_are_applied_to_training_batches_in_their_order_and_to_nothing_else(parts: Parts, monkeypatch):
    given: list[tuple[Batch, Any]] = []

    def blank(batch: Batch, chosen: Any) -> Batch:
        given.append((batch, chosen))
        return dataclasses.replace(batch, x=torch.zeros_like(batch.x))

    monkeypatch.setattr(loop, "augment", blank)
    model, history = loop.fit_model(*parts, config(epochs=2, augment={"use": "noise+shift", "shift": {"share": 0.25}}))
    assert [name for name, _ in given[0][1]] == ["noise", "shift"]
    assert given[0][1][1][1] == {"max_samples": 4, "share": 0.25}
    for epoch in (given[:4], given[4:]):
        seen = [row for batch, _ in epoch for row in padded(batch.x, 24)]
        assert sorted(seen) == sorted(padded(torch.from_numpy(parts[0].x), 24))
        assert all((batch.target.sum(dim=1) == 1).all() for batch, _ in epoch)
    scores = point_scores(parts[1].labels, model.probabilities(parts[1]))
    assert scores["log_loss"] == pytest.approx(history["val_log_loss"].iloc[model.metadata["best_epoch"] - 1])


def test_augmented_beats_that_got_longer_are_not_cut(long_parts: Parts):
    batches = seen_by(training(long_parts, "gru", batch_size=8, augment={"use": "stretch"}))
    plain = seen_by(training(long_parts, "gru", batch_size=8))
    assert sum(x.shape[-1] for x in batches) > sum(x.shape[-1] for x in plain)
    assert max(int(beat_lengths(x).max()) for x in batches) <= 48


@pytest.mark.parametrize("model", ["mlp", "resnet1d"])
def test_a_forward_pass_in_bfloat16_trains_and_stays_close(parts: Parts, model):
    common: dict[str, Any] = {"epochs": 4, "patience": None, "learning_rate": 0.003}
    exact, exact_history = loop.fit_model(*parts, config(model, **common))
    half, half_history = loop.fit_model(*parts, config(model, precision="bfloat16", **common))
    assert not same(exact, half)
    assert {parameter.dtype for parameter in half.network.parameters()} == {torch.float32}
    assert half_history["train_loss"].is_monotonic_decreasing
    for name in ("train_loss", "val_log_loss"):
        np.testing.assert_allclose(half_history[name], exact_history[name], rtol=0.05)


def gradient_norms(made: Training) -> list[float]:
    norms: list[float] = []

    def remember(optimizer: Any, *_: Any) -> None:
        gradients = [p.grad for group in optimizer.param_groups for p in group["params"]]
        norms.append(float(torch.stack([g.norm() for g in gradients]).norm()))

    made.optimizer.register_step_pre_hook(remember)
    for _ in range(2):
        made.train_epoch()
    return norms


def test_clipping_limits_the_norm_of_the_gradient(parts: Parts):
    free = gradient_norms(training(parts, gradient_clip=None))
    assert max(free) > 0.2
    clipped = gradient_norms(training(parts, gradient_clip=0.1))
    assert max(clipped) <= 0.1 * (1 + 1e-4)
    # What is short enough is left as it was.
    assert gradient_norms(training(parts, gradient_clip=2 * max(free))) == free


# --- optimizer, schedule, average


@pytest.mark.parametrize("name", OPTIMIZERS.names())
def test_every_optimizer_learns_with_every_schedule(parts: Parts, name):
    for schedule in SCHEDULES.names():
        chosen: dict[str, Any] = {"optimizer": {"use": name}, "schedule": {"use": schedule}}
        _, history = loop.fit_model(*parts, config(epochs=12, patience=None, options={"width": 64}, **chosen))
        assert history["train_loss"].min() < 0.85 * history["train_loss"].iloc[0]


def test_the_rate_of_the_last_epoch_ends_at_zero(parts: Parts):
    _, history = loop.fit_model(*parts, config(epochs=4, schedule=choose("cosine", warmup_epochs=1)))
    assert history["learning_rate"].iloc[0] == pytest.approx(0.01)
    assert history["learning_rate"].iloc[-1] == pytest.approx(0, abs=1e-12)


@pytest.mark.parametrize(("monitor", "scores"), [("macro_recall", [0.5, 0.4, 0.3, 0.2]), ("log_loss", [1, 2, 3, 4])])
def test_a_plateau_is_one_of_the_monitored_metric(parts: Parts, monkeypatch, monitor, scores):
    scripted(monkeypatch, scores, monitor)
    settings = config(epochs=4, monitor=monitor, schedule=choose("plateau", factor=0.5, patience=1))
    _, history = loop.fit_model(*parts, settings)
    assert history["learning_rate"].tolist() == [0.01, 0.01, 0.01, 0.005]


def test_weight_decay_makes_weights_smaller(parts: Parts):
    def size(decay: float) -> float:
        model = loop.fit_model(*parts, config(optimizer=choose("adamw", weight_decay=decay), epochs=6))[0]
        return sum(p.square().sum().item() for p in model.network.parameters() if p.ndim > 1)

    assert size(5.0) < 0.9 * size(0.0)


@pytest.mark.parametrize("name", [name for name in AVERAGES.names() if name != "none"])
@pytest.mark.parametrize("model", ["mlp", "resnet1d"])
def test_the_averaged_weights_are_validated_and_kept(parts: Parts, name, model):
    made = training(parts, model, average={"use": name}, epochs=4, monitor="log_loss")
    assert made.average is not None
    for _ in range(4):
        made.validate_epoch(made.train_epoch(), 0.0)
        averaged = made.average.network.module
        began = made.average.has_begun()
        validated = averaged if began else made.network
        outputs = in_chunks(validated, validated, made.val_x, made.val_aux)
        expected = point_scores(parts[1].labels, outputs.softmax(dim=1).numpy())
        assert made.rows[-1]["val_log_loss"] == expected["log_loss"]
        if made.best.epoch == len(made.rows):
            kept = validated.state_dict()
            assert all(torch.equal(value, kept[key]) for key, value in made.best.weights.items())
    assert began
    ours, theirs = made.network.state_dict(), made.average.network.module.state_dict()
    assert not all(torch.equal(value, theirs[key]) for key, value in ours.items()) or name == "swa"


@pytest.mark.parametrize("name", [name for name in AVERAGES.names() if name != "none"])
def test_an_average_does_not_change_the_training_itself(parts: Parts, name):
    averaged, plain = (training(parts, "resnet1d", average={"use": use}) for use in (name, "none"))
    for made in (averaged, plain):
        torch.manual_seed(1)
        for _ in range(3):
            made.validate_epoch(made.train_epoch(), 0.0)
    theirs = plain.network.state_dict()
    assert all(torch.equal(value, theirs[key]) for key, value in averaged.network.state_dict().items())
    assert [row["train_loss"] for row in averaged.rows] == [row["train_loss"] for row in plain.rows]


# --- what is refused


def test_a_loss_that_is_not_finite_is_an_error_that_says_what_to_do(parts: Parts):
    train, val = parts
    x = train.x.copy()
    x[3, 0, 2] = np.inf
    with pytest.raises(BeatwiseError, match=r"training loss is nan in epoch 1.*train\.learning_rate"):
        loop.fit_model(dataclasses.replace(train, x=x), val, config())


def test_a_learning_rate_that_diverges_is_an_error_that_says_what_to_do(parts: Parts):
    settings = config(learning_rate=1e30, gradient_clip=None, schedule=choose("cosine", warmup_epochs=0))
    with pytest.raises(BeatwiseError, match=r"training has diverged.*train\.gradient_clip"):
        loop.fit_model(*parts, settings)


def test_weights_that_the_last_step_spoilt_are_no_model(parts: Parts):
    """The loss of a single batch is that before the step."""
    settings = config(epochs=1, steps_per_epoch=1, learning_rate=1e38, gradient_clip=None, schedule=choose("constant"))
    with pytest.raises(
        BeatwiseError, match=r"Predictions of the validation part are no numbers in epoch 1.*train\.learning_rate"
    ):
        loop.fit_model(*parts, settings)


def test_a_metric_that_the_validation_part_does_not_define_cannot_be_monitored(make_beats):
    train, val = make_beats(), make_beats((20, 0, 0, 0, 0), seed=1)
    given = tensors(train, train), tensors(val, train)
    with pytest.raises(
        BeatwiseError, match=r"train\.monitor=macro_auroc is not defined .* all the same: use log_loss, accuracy"
    ):
        loop.fit_model(*given, config(monitor="macro_auroc"))
    assert len(loop.fit_model(*given, config(monitor="accuracy"))[1]) == 3


def test_tensors_that_were_made_differently_are_refused(parts: Parts):
    train, val = parts
    other = dataclasses.replace(val, representation=refitted(val, 0.0))
    with pytest.raises(BeatwiseError, match="were made differently"):
        loop.fit_model(train, other, config())


def test_an_unknown_option_of_the_model_is_refused(parts: Parts):
    with pytest.raises(BeatwiseError, match=r"^(model\.)?mlp\.height: Unknown parameter 'height'\. Known: dropout"):
        loop.fit_model(*parts, config(options={"height": 3}))
