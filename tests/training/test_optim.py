from __future__ import annotations

import copy
from typing import Any

import numpy as np
import pytest
import torch
from torch import Tensor, nn

from beatwise.networks.zoo import build_model
from beatwise.training.optim import AVERAGES, OPTIMIZERS, SCHEDULES, Schedule, build_optimizer

HIGHEST = 2.0


class Small(nn.Module):
    """A matrix, a bias, normalisation."""

    def __init__(self) -> None:
        super().__init__()
        self.linear = nn.Linear(4, 3)
        self.norm = nn.BatchNorm1d(3)

    def forward(self, x: Tensor) -> Tensor:
        return self.norm(self.linear(x))


def optimizer(network: nn.Module, name: str, learning_rate: float = 0.1, **options: Any) -> torch.optim.Optimizer:
    return build_optimizer(network, name, learning_rate, OPTIMIZERS.options(name, options))


def one_step(name: str, *, gradient: float, **options: Any) -> tuple[Small, Small]:
    """A network before and after a step along the same gradient everywhere."""
    torch.manual_seed(0)
    network = Small()
    before = copy.deepcopy(network)
    stepped = optimizer(network, name, **options)
    for parameter in network.parameters():
        parameter.grad = torch.full_like(parameter, gradient)
    stepped.step()
    return before, network


# --- optimizers


@pytest.mark.parametrize("name", OPTIMIZERS.names())
def test_an_optimizer_gets_down_a_hill_and_decays_matrices_alone(name):
    for model in ("mlp", "cnn1d", "resnet1d"):
        network = build_model(model, input_shape=(1, 187), n_outputs=5, n_aux=8)
        groups = optimizer(network, name, weight_decay=0.1).param_groups
        decay = {id(p): group["weight_decay"] for group in groups for p in group["params"]}
        assert len(decay) == len(list(network.parameters()))
        for module in network.modules():
            for key, parameter in module.named_parameters(recurse=False):
                plain = key == "bias" or isinstance(module, (nn.BatchNorm1d, nn.BatchNorm2d))
                assert decay[id(parameter)] == (0.0 if plain else 0.1)

    before, after = one_step(name, gradient=0.0, weight_decay=0.5)
    for (key, old), new in zip(before.named_parameters(), after.named_parameters(), strict=True):
        if key == "linear.weight":
            assert ((new[1] - old).sign() == -old.sign()).all()
        else:
            assert torch.equal(new[1], old)
    for gradient in (0.0, 3.0, -3.0):
        before, after = one_step(name, gradient=gradient, weight_decay=0.0)
        for old, stepped in zip(before.parameters(), after.parameters(), strict=True):
            assert ((stepped - old).sign() == -np.sign(gradient)).all()

    small = Small()
    made = optimizer(small, name, learning_rate=0.03)
    heights = []
    for _ in range(200):
        height = torch.stack([(parameter - 1).square().sum() for parameter in small.parameters()]).sum()
        made.zero_grad()
        torch.autograd.backward(height)
        made.step()
        heights.append(height.item())
    assert heights[-1] < 0.02 * heights[0]


@pytest.mark.parametrize("momentum", [0.0, 0.5, 0.9])
def test_sgd_steps_with_nesterovs_momentum(momentum):
    before, after = one_step("sgd", gradient=3.0, weight_decay=0.2, momentum=momentum)
    for old, new in zip(before.parameters(), after.parameters(), strict=True):
        slope = 3.0 + (0.2 * old if old.ndim > 1 else 0)
        torch.testing.assert_close(new, old - 0.1 * (1 + momentum) * slope)


def test_adam_and_adamw_step_by_the_learning_rate_and_differ_in_the_decay():
    for name in ("adam", "adamw"):
        before, after = one_step(name, gradient=3.0, weight_decay=0.2)
        old, new = before.linear.weight, after.linear.weight
        # The first step of Adam is the learning rate, whatever the gradient, of which its decay is a part.
        expected = old - 0.1 * (3.0 + 0.2 * old).sign() if name == "adam" else (1 - 0.1 * 0.2) * old - 0.1
        torch.testing.assert_close(new, expected)
        torch.testing.assert_close(after.linear.bias, before.linear.bias - 0.1)


# --- schedules


def schedule(name: str, *, steps: int, epochs: int, **options: Any) -> Schedule:
    groups = [{"params": [nn.Parameter(torch.zeros(1))]}, {"params": [nn.Parameter(torch.zeros(1))]}]
    stepped = torch.optim.SGD(groups, lr=HIGHEST)
    return SCHEDULES[name](stepped, steps=steps, epochs=epochs, **SCHEDULES.options(name, options))


def rates(name: str, *, steps: int, epochs: int, monitored: list[float] | None = None, **options: Any) -> list[float]:
    """The rate of every step, and the one that would come after the last."""
    made = schedule(name, steps=steps, epochs=epochs, **options)
    found = []
    for epoch in range(epochs):
        for _ in range(steps):
            found.append(made.rate())
            made.scheduler.optimizer.step()
            made.after_batch()
        made.after_epoch(monitored[epoch] if monitored else float(epoch))
    groups = made.scheduler.optimizer.param_groups
    assert len({group["lr"] for group in groups}) == 1
    return [*found, made.rate()]


@pytest.mark.parametrize("name", SCHEDULES.names())
def test_a_rate_is_never_negative_and_never_above_the_highest(name):
    for steps, epochs in ((1, 1), (1, 2), (3, 1), (1, 9), (7, 12)):
        found = rates(name, steps=steps, epochs=epochs)
        assert len(found) == steps * epochs + 1
        assert min(found[:-1]) > 0
        assert min(found) >= 0
        assert max(found) <= HIGHEST * (1 + 1e-12)
    up, down = (rates(name, steps=2, epochs=8, monitored=list(scores)) for scores in (range(8), range(8, 0, -1)))
    assert (up == down) == (name != "plateau")


def test_rates_that_change_with_the_epoch_alone():
    assert rates("constant", steps=3, epochs=4) == [HIGHEST] * 13
    for every, factor in ((1, 0.5), (3, 0.1), (100, 0.1)):
        expected = [HIGHEST * factor ** (epoch // every) for epoch in range(10) for _ in range(4)]
        np.testing.assert_allclose(rates("step", steps=4, epochs=10, every=every, factor=factor)[:-1], expected)
    for factor in (0.5, 0.9):
        expected = [HIGHEST * factor**epoch for epoch in range(10) for _ in range(4)]
        np.testing.assert_allclose(rates("exponential", steps=4, epochs=10, factor=factor)[:-1], expected)


@pytest.mark.parametrize(
    ("patience", "scores", "drops"),
    [
        # The rate falls after the epoch that is one too many without a better one than the best so far.
        (2, [0.5, 0.4, 0.4, 0.4, 0.4, 0.4, 0.4, 0.4], [4, 7]),
        (2, [0.1, 0.2, 0.3, 0.4, 0.5, 0.6, 0.7, 0.8], []),
        (2, [0.5, 0.4, 0.4, 0.6, 0.5, 0.5, 0.5, 0.5], [7]),
        (0, [0.5, 0.5, 0.6, 0.5, 0.7, 0.8, 0.8, 0.9], [2, 4, 7]),
        (2, [-0.5, -0.6, -0.6, -0.6, -0.4, -0.4, -0.4, -0.4], [4, 8]),
    ],
)
def test_a_rate_falls_when_the_monitored_metric_has_come_to_a_plateau(patience, scores, drops):
    found = rates("plateau", steps=1, epochs=8, monitored=scores, factor=0.3, patience=patience)
    expected = [HIGHEST * 0.3 ** sum(epoch >= drop for drop in drops) for epoch in range(9)]
    np.testing.assert_allclose(found, expected)


def test_a_rate_rises_linearly_and_falls_along_a_cosine_to_zero():
    for warmup in (0, 0.5, 1, 3):
        rise = round(4 * warmup)
        found = rates("cosine", steps=4, epochs=5, warmup_epochs=warmup)
        linear = [HIGHEST * (step + 1) / rise for step in range(rise)]
        falling = [HIGHEST / 2 * (1 + np.cos(np.pi * step / (20 - rise))) for step in range(21 - rise)]
        np.testing.assert_allclose(found, [*linear, *falling], atol=1e-12)
        assert (found[rise], found[-1]) == (HIGHEST, 0)
    # A warm-up as long as the training or longer only rises.
    for warmup in (2, 5):
        found = rates("cosine", steps=3, epochs=2, warmup_epochs=warmup)
        np.testing.assert_allclose(found[:-1], [HIGHEST * (step + 1) / (3 * warmup) for step in range(6)])


def test_one_cycle_goes_up_and_down_once():
    for rise, start in ((0.3, 25), (0.5, 2), (0.05, 100), (0.9, 10)):
        found = np.array(rates("one_cycle", steps=10, epochs=6, rise=rise, start=start))
        top = round(rise * 60)
        assert [found[0], found[top], found[-1]] == pytest.approx([HIGHEST / start, HIGHEST, HIGHEST / start / 1e4])
        assert (np.diff(found[: top + 1]) > 0).all()
        assert (np.diff(found[top:]) < 0).all()
        way = np.arange(top) / top
        expected = HIGHEST * (1 / start + (1 - 1 / start) * (1 - np.cos(np.pi * way)) / 2)
        np.testing.assert_allclose(found[:top], expected)
    # It can reach its top with the first step.
    for steps, rise in ((1, 0.5), (3, 0.25), (4, 0.2), (9, 0.1)):
        assert np.isfinite(rates("one_cycle", steps=steps, epochs=1, rise=rise)).all()


# --- averages


def series(n: int, seed: int = 0) -> list[Small]:
    """A network as it might be after each of n steps."""
    torch.manual_seed(seed)
    made = []
    for step in range(n):
        network = Small()
        network.norm.running_mean = torch.randn(3)
        network.norm.num_batches_tracked = torch.tensor(7 * step + 1)
        made.append(network)
    return made


def numbers(network: nn.Module) -> dict[str, Any]:
    return {key: value.double().numpy() for key, value in network.state_dict().items() if value.is_floating_point()}


def average(name: str, *, steps: int, epochs: int, **options: Any) -> Any:
    return AVERAGES[name](Small(), steps=steps, epochs=epochs, **AVERAGES.options(name, options))


def test_no_average_is_none():
    assert average("none", steps=3, epochs=2) is None


@pytest.mark.parametrize("horizon", [0.01, 1.0, 3.0])
def test_an_exponential_average_follows_its_recursion(horizon):
    steps = 10
    made = average("ema", steps=steps, epochs=4, horizon_epochs=horizon)
    expected: dict[str, Any] = {}
    for n, network in enumerate(series(40)):
        made.take_up(network, n // steps + 1, "batch")
        # Early on, weights fade faster than over the horizon; the first are taken as they are.
        keep = min(1 - 1 / max(horizon * steps, 1), (1 + n) / (10 + n)) if n else 0.0
        expected = {key: keep * expected.get(key, 0.0) + (1 - keep) * value for key, value in numbers(network).items()}
        for key, value in numbers(made.network.module).items():
            np.testing.assert_allclose(value, expected[key], rtol=1e-4, atol=1e-5)


def test_an_exponential_average_soon_forgets_where_it_began():
    made = average("ema", steps=1000, epochs=10)
    first, later = series(2)
    made.take_up(first, 1, "batch")
    for _ in range(60):
        made.take_up(later, 1, "batch")
    # With the decay of the horizon alone, 94 % of the first weights would be left.
    left = (made.network.module.linear.weight - later.linear.weight) / (first.linear.weight - later.linear.weight)
    assert left.abs().max() < 1e-4


@pytest.mark.parametrize(("start", "epochs", "first"), [(0.75, 8, 7), (0.0, 3, 1), (0.99, 2, 2)])
def test_a_stochastic_average_is_the_mean_of_the_epochs_from_its_start_on(start, epochs, first):
    made = average("swa", steps=3, epochs=epochs, start=start)
    networks = series(epochs)
    for epoch, network in enumerate(networks, start=1):
        made.take_up(network, epoch, "epoch")
        assert made.has_begun() == (epoch >= first)
        if epoch >= first:
            for key, value in numbers(made.network.module).items():
                mean = np.mean([numbers(n)[key] for n in networks[first - 1 : epoch]], axis=0)
                np.testing.assert_allclose(value, mean, rtol=1e-5, atol=1e-6)


@pytest.mark.parametrize("name", [name for name in AVERAGES.names() if name != "none"])
def test_an_average_takes_weights_up_after_batches_or_epochs_copies_whole_numbers_and_leaves_them_alone(name):
    made = average(name, steps=1, epochs=8)
    networks = series(8)
    made.take_up(networks[0], 8, "epoch" if made.every == "batch" else "batch")
    assert not made.has_begun()
    for epoch, network in enumerate(networks, start=1):
        made.take_up(network, epoch, made.every)
    assert made.has_begun()
    assert made.network.module.norm.num_batches_tracked == 7 * 7 + 1
    assert made.network.module.norm.num_batches_tracked.dtype == torch.int64

    made, network = average(name, steps=1, epochs=1), networks[0]
    before = numbers(network)
    for _ in range(3):
        made.take_up(network, 1, made.every)
    for key, value in numbers(made.network.module).items():
        np.testing.assert_allclose(value, before[key], rtol=1e-6)
        np.testing.assert_array_equal(numbers(network)[key], before[key])
