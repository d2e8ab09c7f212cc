from __future__ import annotations

import math
from collections.abc import Callable
from typing import Any

import numpy as np
import pytest
import torch
from sklearn.utils.class_weight import compute_class_weight
from torch import Tensor
from torch.nn import functional as F

from beatwise.core.errors import BeatwiseError
from beatwise.tasks.classification.losses import CLASS_WEIGHTS, class_weights
from beatwise.tasks.losses import LOSSES
from beatwise.training import loop
from beatwise.training.trained_model import TrainedModel
from tests.training.conftest import MakeBeats, Parts, choose, config, tensors

N_CLASSES = 5
CLASS_LOSSES = [name for name in LOSSES.names() if LOSSES[name].task == "classification"]
WEIGHTS = torch.tensor([0.4, 2.0, 1.0, 3.0, 0.7])
ONES = torch.ones(N_CLASSES)
LOG_PRIOR = torch.tensor([0.8, 0.03, 0.07, 0.02, 0.08]).log()
# Options of each loss beside its defaults.
VARIANTS: dict[str, list[dict[str, Any]]] = {
    "cross_entropy": [{"label_smoothing": 0.2}, {"logit_adjustment": 1.0}],
    "focal": [{"gamma": 0.0}, {"gamma": 0.5}, {"gamma": 1.0}],
    "one_vs_rest": [{"label_smoothing": 0.2}],
}


def loss(name: str, logits: Tensor, target: Tensor, weights: Tensor = ONES, **options: Any) -> Tensor:
    log_prior = options.pop("log_prior", LOG_PRIOR)
    return LOSSES[name](**LOSSES.options(name, options))(logits, target, weights, log_prior)


def case(n: int = 40, *, soft: bool = False, seed: int = 0) -> tuple[Tensor, Tensor, Tensor]:
    """Logits, targets, and class indices; soft targets are shares of two classes, as mixup makes them."""
    generator = torch.Generator().manual_seed(seed)
    logits = 3 * torch.randn(n, N_CLASSES, generator=generator, dtype=torch.float64).float()
    y = torch.randint(N_CLASSES, (n,), generator=generator)
    target = F.one_hot(y, N_CLASSES).float()
    if soft:
        share = torch.rand(n, 1, generator=generator)
        target = share * target + (1 - share) * target.roll(1, dims=0)
    return logits, target, y


Cost = Callable[..., Tensor]


def cost_of(name: str, options: dict[str, Any]) -> Cost:
    def cost(logits: Tensor, target: Tensor, weights: Tensor = ONES, **more: Any) -> Tensor:
        return loss(name, logits, target, weights, **options, **more)

    return cost


def check_means(cost: Cost) -> None:
    """Mean over examples, proportional to weights, no class special, linear in the target."""
    logits, target, _ = case(soft=True)
    whole = cost(logits, target, WEIGHTS)
    each = [cost(logits[i : i + 1], target[i : i + 1], WEIGHTS) for i in range(len(logits))]
    assert whole.shape == ()
    torch.testing.assert_close(whole, torch.stack(each).mean())
    torch.testing.assert_close(cost(logits, target, 3 * WEIGHTS), 3 * whole)
    order = [3, 1, 4, 0, 2]
    shuffled = cost(logits[:, order], target[:, order], WEIGHTS[order], log_prior=LOG_PRIOR[order])
    torch.testing.assert_close(shuffled, whole)
    logits, target, _ = case()
    other = target.roll(1, dims=1)
    one, two, mixed = (cost(logits, t) for t in (target, other, 0.3 * target + 0.7 * other))
    torch.testing.assert_close(mixed, 0.3 * one + 0.7 * two)


def check_gradients(cost: Cost, *, ignores_weight_0: bool) -> None:
    logits, target, y = case()
    weights = torch.where(torch.arange(N_CLASSES) == 2, 0.0, WEIGHTS)
    found = gradient(lambda x: cost(x, target, weights), logits)
    assert not found[y == 2].any() or not ignores_weight_0
    assert (found[y != 2] != 0).any(dim=1).all()
    for scale in (0.0, 17.0, -17.0, 1000.0, -1000.0):
        assert cost(scale * target, target, WEIGHTS).isfinite()
        assert gradient(lambda x: cost(x, target, WEIGHTS), scale * target).isfinite().all()
    few, shares, _ = case(4, soft=True)
    double = {"log_prior": LOG_PRIOR.double()}
    assert torch.autograd.gradcheck(
        lambda x: cost(x, shares.double(), WEIGHTS.double(), **double), few.double().requires_grad_()
    )


@pytest.mark.parametrize("name", CLASS_LOSSES)
def test_a_loss_keeps_its_promises_with_all_its_options(name):
    for options in [{}, *VARIANTS.get(name, [])]:
        check_means(cost_of(name, options))
        # Smoothed targets of the cross-entropy give a share of every class to every example.
        smooth = name == "cross_entropy" and "label_smoothing" in options
        check_gradients(cost_of(name, options), ignores_weight_0=not smooth)
    _, target, _ = case()
    assert loss(name, 60 * target - 30, target) < 1e-6
    assert loss(name, 30 - 60 * target, target) > 20


def gradient(function: Callable[[Tensor], Tensor], logits: Tensor) -> Tensor:
    given = logits.clone().requires_grad_()
    torch.autograd.backward(function(given))
    assert given.grad is not None
    return given.grad


@pytest.mark.parametrize("name", CLASS_LOSSES)
def test_a_loss_decodes_to_probabilities_and_begins_at_the_shares_of_the_classes(name):
    made = LOSSES[name](**LOSSES.options(name, {}))
    logits, _, _ = case(5000)
    for shift in (0.0, -50.0, -200.0, 200.0):
        found = made.decode(logits + shift)
        assert found.dtype == torch.float32
        assert ((found >= 0) & (found <= 1)).all()
        torch.testing.assert_close(found.sum(dim=1), torch.ones(5000), atol=1e-5, rtol=0)
        exact = (logits + shift).double()
        expected = F.logsigmoid(exact) if name == "one_vs_rest" else exact
        torch.testing.assert_close(found.double(), expected.softmax(dim=1), atol=1e-6, rtol=0)
    start = made.decode(made.initial_bias(LOG_PRIOR, 1e-4)[None])[0]
    torch.testing.assert_close(start, LOG_PRIOR.exp())


def test_cross_entropy_is_that_of_torch():
    logits, target, y = case()
    for label_smoothing in (0.0, 0.1, 0.6):
        for weights in (ONES, WEIGHTS):
            ours = loss("cross_entropy", logits, target, weights, label_smoothing=label_smoothing)
            # With class indices torch's own mean would divide by the sum of the weights.
            theirs = F.cross_entropy(logits, y, weights, label_smoothing=label_smoothing, reduction="sum") / len(y)
            torch.testing.assert_close(ours, theirs)


@pytest.mark.parametrize("tau", [0.0, 0.5, 1.0, 1.5])
def test_logit_adjustment_learns_the_share_to_the_power_1_minus_tau(tau):
    """Of examples that nothing tells apart, the plain loss learns the classes' shares, and τ = 1 equal ones."""
    logits, target, y = case()
    ours = loss("cross_entropy", logits, target, logit_adjustment=tau)
    torch.testing.assert_close(ours, F.cross_entropy(logits + tau * LOG_PRIOR, y))

    shares = LOG_PRIOR.double().exp()
    learned = torch.zeros(1, N_CLASSES, dtype=torch.float64, requires_grad=True)
    optimizer: Any = torch.optim.LBFGS([learned], max_iter=200, tolerance_grad=1e-12, line_search_fn="strong_wolfe")

    def closure() -> Tensor:
        optimizer.zero_grad()
        given = {"log_prior": shares.log(), "logit_adjustment": tau}
        value = loss("cross_entropy", learned, shares[None], ONES.double(), **given)
        torch.autograd.backward(value)
        return value

    optimizer.step(closure)
    expected = shares ** (1 - tau)
    torch.testing.assert_close(learned.detach().softmax(1)[0], expected / expected.sum(), atol=1e-4, rtol=1e-3)


@pytest.mark.parametrize("gamma", [0.0, 0.5, 2.0, 5.0])
def test_focal_loss_is_that_of_the_paper_example_by_example(gamma):
    logits, target, y = case()
    total = 0.0
    for row, index in zip(logits.tolist(), y.tolist(), strict=True):
        p = math.exp(row[index]) / sum(map(math.exp, row))
        total += -float(WEIGHTS[index]) * (1 - p) ** gamma * math.log(p)
    assert float(loss("focal", logits, target, WEIGHTS, gamma=gamma)) == pytest.approx(total / len(y), rel=1e-5)


@pytest.mark.parametrize("label_smoothing", [0.0, 0.2])
def test_one_vs_rest_is_a_sum_of_binary_cross_entropies(label_smoothing):
    logits, target, y = case()
    total = torch.zeros(())
    for index in range(N_CLASSES):
        wanted = (y == index).float() * (1 - label_smoothing) + label_smoothing / 2
        total = total + F.binary_cross_entropy_with_logits(logits[:, index], wanted, weight=WEIGHTS[y])
    torch.testing.assert_close(loss("one_vs_rest", logits, target, WEIGHTS, label_smoothing=label_smoothing), total)


# --- class weights


COUNTS = [(60, 12, 14, 10, 12), (5, 5, 5, 5, 5), (72471, 2223, 5788, 641, 6431), (100, 1, 2, 3, 4)]


def weigh(counts: tuple[float, ...], name: str, **options: Any) -> Any:
    given = torch.tensor(counts, dtype=torch.float64)
    return class_weights(given, name, CLASS_WEIGHTS.options(name, options)).double().numpy()


@pytest.mark.parametrize("name", CLASS_WEIGHTS.names())
def test_the_mean_weight_of_an_example_is_1_and_a_class_without_examples_has_none(name):
    for counts in [*COUNTS, (0, 3, 0, 7, 1), (20.5, 3.25, 1.75, 8.0, 9.5)]:
        weights = weigh(counts, name)
        assert (weights >= 0).all()
        assert np.average(weights, weights=counts) == pytest.approx(1, rel=1e-6)
        np.testing.assert_array_equal(weights == 0, np.array(counts) == 0)
    whole = class_weights(torch.tensor([4, 3, 2, 0, 1]), name, CLASS_WEIGHTS.options(name, {}))
    assert whole.dtype == torch.float32
    np.testing.assert_allclose(whole, weigh((4, 3, 2, 0, 1), name), rtol=1e-6)


@pytest.mark.parametrize("counts", COUNTS)
def test_class_weights_are_those_of_their_sources(counts):
    np.testing.assert_allclose(weigh(counts, "none"), 1)
    expected = compute_class_weight("balanced", classes=np.arange(5), y=np.repeat(np.arange(5), counts))
    np.testing.assert_allclose(weigh(counts, "balanced"), expected, rtol=1e-6)
    importance = np.array([1.0, 2.0, 2.0, 2.0, 0.5])
    together = weigh(counts, "importance") * counts
    np.testing.assert_allclose(together / together.sum(), importance / importance.sum(), rtol=1e-6)
    np.testing.assert_allclose(weigh(counts, "importance", importance=[3] * 5), expected, rtol=1e-6)
    raw = np.array([(1 - 0.999) / (1 - 0.999**n) for n in counts])
    found = weigh(counts, "effective_number", beta=0.999)
    np.testing.assert_allclose(found / found[0], raw / raw[0], rtol=1e-5)
    np.testing.assert_allclose(weigh(counts, "effective_number", beta=0.0), 1, rtol=1e-6)


def test_an_importance_that_cannot_be_used_is_refused():
    for importance in ([1, 2, 3], [1] * 6, [], [0] * 5):
        with pytest.raises(BeatwiseError, match=r"train\.class_weights\.importance\.importance.*each of the 5 classes"):
            weigh(COUNTS[0], "importance", importance=importance)
    with pytest.raises(BeatwiseError, match="every class that has training examples gets weight 0"):
        weigh((3, 0, 4, 5, 6), "importance", importance=[0, 1, 0, 0, 0])


# --- their effect on a training


@pytest.mark.parametrize("name", CLASS_LOSSES)
def test_every_loss_learns_with_every_kind_of_weights(parts: Parts, name):
    for weights in CLASS_WEIGHTS.names():
        chosen: dict[str, Any] = {"loss": {"use": name}, "class_weights": {"use": weights}}
        settings = config(epochs=30, patience=40, options={"width": 64}, **chosen)
        model, history = loop.fit_model(*parts, settings, show_progress=False)
        assert history["train_loss"].iloc[-1] < 0.6 * history["train_loss"].iloc[0]
        assert history["val_macro_recall"].max() > 0.75
    with torch.no_grad():
        logits = model.network(torch.from_numpy(parts[1].x), torch.from_numpy(parts[1].aux))
    expected = LOSSES[name](**LOSSES.options(name, {})).decode(logits)
    np.testing.assert_allclose(model.probabilities(parts[1]), expected, atol=1e-6)


def rare_class(make_beats: MakeBeats, n_rare: int = 6) -> Parts:
    """Two overlapping classes, one of them rare, so that the plain loss hardly pays for finding it."""
    parts = [make_beats((300, n_rare, 0, 0, 0), seed=1), make_beats((60, 60, 0, 0, 0), seed=2)]
    return tensors(parts[0], parts[0]), tensors(parts[1], parts[0])


def test_weights_sampling_and_logit_adjustment_find_more_of_a_rare_class(make_beats):
    train, val = rare_class(make_beats)
    common: dict[str, Any] = {"epochs": 15, "patience": 15, "monitor": "log_loss", "batch_size": 64}

    def recall(model: TrainedModel) -> float:
        return float((model.probabilities(val).argmax(axis=1) == 1)[val.labels == 1].mean())

    plain = recall(loop.fit_model(train, val, config(**common))[0])
    for helping in (
        {"class_weights": choose("balanced")},
        {"class_weights": choose("effective_number")},
        {"class_weights": choose("importance", importance=[1, 2, 0, 0, 0])},
        {"sampler_power": 1.0},
        {"loss": choose("cross_entropy", logit_adjustment=1.0)},
        {"loss": choose("focal", gamma=2.0), "class_weights": choose("balanced")},
        {"loss": choose("one_vs_rest"), "class_weights": choose("balanced")},
    ):
        assert recall(loop.fit_model(train, val, config(**common, **helping))[0]) > plain + 0.2, helping
