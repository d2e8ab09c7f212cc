"""Optimizers, learning-rate schedules and averages of weights, by name."""

from __future__ import annotations

import math
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from typing import Annotated, Any, Literal

import torch
from pydantic import Field
from torch import nn
from torch.optim import lr_scheduler
from torch.optim.swa_utils import AveragedModel

from beatwise.core.registry import Registry
from beatwise.training.start import layer_rate

Groups = list[dict[str, Any]]
Decay = Annotated[float, Field(ge=0)]
Momentum = Annotated[float, Field(ge=0, lt=1)]
Factor = Annotated[float, Field(gt=0, lt=1)]
Share = Annotated[float, Field(ge=0, lt=1)]

# At its end, one_cycle's rate is this many times smaller than at its start.
FADE = 1e4

OPTIMIZERS: Registry[Callable[..., torch.optim.Optimizer]] = Registry("optimizer")


@OPTIMIZERS.register("sgd")
def sgd(groups: Groups, learning_rate: float, *, momentum: Momentum = 0.9, weight_decay: Decay = 1e-4) -> Any:
    """Stochastic gradient descent, with Nesterov's momentum unless it is 0."""
    return torch.optim.SGD(
        _decayed(groups, weight_decay), lr=learning_rate, momentum=momentum, nesterov=momentum > 0, fused=True
    )


@OPTIMIZERS.register("adam")
def adam(groups: Groups, learning_rate: float, *, weight_decay: Decay = 0.0) -> Any:
    """Adam (Kingma & Ba, ICLR 2015); weight decay is part of the gradient."""
    return torch.optim.Adam(_decayed(groups, weight_decay), lr=learning_rate, fused=True)


@OPTIMIZERS.register("adamw")
def adamw(groups: Groups, learning_rate: float, *, weight_decay: Decay = 1e-2) -> Any:
    """AdamW (Loshchilov & Hutter, ICLR 2019)."""
    return torch.optim.AdamW(_decayed(groups, weight_decay), lr=learning_rate, fused=True)


def _decayed(groups: Groups, weight_decay: float) -> Groups:
    return [{**group, "weight_decay": weight_decay if group["decayed"] else 0.0} for group in groups]


def build_optimizer(
    network: nn.Module,
    use: str,
    learning_rate: float,
    options: dict[str, Any],
    rates: Mapping[str, float] | None = None,
) -> torch.optim.Optimizer:
    """Build an optimizer with checked options; biases and normalisation are not decayed.

    Args:
        network: The network; its frozen weights take no gradients from now on.
        use: Name of the optimizer.
        learning_rate: Its learning rate.
        options: Its options.
        rates: Multiples of the learning rate by layer (``start.layer_rate``).
    """
    by_rate: dict[float, list[nn.Parameter]] = {}
    for name, parameter in network.named_parameters():
        by_rate.setdefault(layer_rate(name, rates or {}), []).append(parameter)
    for frozen in by_rate.pop(0.0, []):
        frozen.requires_grad_(False)
    groups: Groups = []
    # The first group shows the rate in the history: that of the layers which learn fastest.
    for rate in sorted(by_rate, reverse=True):
        matrices = [p for p in by_rate[rate] if p.ndim > 1]
        vectors = [p for p in by_rate[rate] if p.ndim <= 1]
        shared = {"lr": rate * learning_rate}
        groups += [{"params": matrices, "decayed": True, **shared}, {"params": vectors, "decayed": False, **shared}]
    return OPTIMIZERS[use](groups, learning_rate, **options)


@dataclass(frozen=True)
class Schedule:
    """A learning-rate scheduler of PyTorch, and when it takes a step.

    Attributes:
        scheduler: The scheduler.
        every: After every ``batch``, every ``epoch``, or every epoch with the value of ``monitor``.
    """

    scheduler: Any
    every: Literal["batch", "epoch", "monitor"]

    def after_batch(self) -> None:
        """To be called after each optimizer step."""
        if self.every == "batch":
            self.scheduler.step()

    def after_epoch(self, monitored: float) -> None:
        """To be called after each epoch with the monitored metric, signed so that more is better."""
        if self.every == "epoch":
            self.scheduler.step()
        elif self.every == "monitor":
            self.scheduler.step(monitored)

    def rate(self) -> float:
        """The learning rate of the next step."""
        return float(self.scheduler.optimizer.param_groups[0]["lr"])


SCHEDULES: Registry[Callable[..., Schedule]] = Registry("learning-rate schedule", supplied=["steps", "epochs"])


@SCHEDULES.register("constant")
def constant(optimizer: Any, *, steps: int, epochs: int) -> Schedule:
    """Always the same rate."""
    return Schedule(lr_scheduler.LambdaLR(optimizer, lambda _: 1.0), "epoch")


@SCHEDULES.register("step")
def step(
    optimizer: Any, *, steps: int, epochs: int, every: Annotated[int, Field(ge=1)] = 10, factor: Factor = 0.1
) -> Schedule:
    """Times a factor every few epochs."""
    return Schedule(lr_scheduler.StepLR(optimizer, every, factor), "epoch")


@SCHEDULES.register("exponential")
def exponential(optimizer: Any, *, steps: int, epochs: int, factor: Factor = 0.9) -> Schedule:
    """Times a factor every epoch."""
    return Schedule(lr_scheduler.ExponentialLR(optimizer, factor), "epoch")


@SCHEDULES.register("plateau")
def plateau(
    optimizer: Any, *, steps: int, epochs: int, factor: Factor = 0.3, patience: Annotated[int, Field(ge=0)] = 2
) -> Schedule:
    """Times a factor when the monitored validation metric has not become better for some epochs."""
    scheduler = lr_scheduler.ReduceLROnPlateau(optimizer, "max", factor, patience, threshold=0.0, threshold_mode="abs")
    return Schedule(scheduler, "monitor")


@SCHEDULES.register("cosine")
def cosine(optimizer: Any, *, steps: int, epochs: int, warmup_epochs: Annotated[float, Field(ge=0)] = 1.0) -> Schedule:
    """Linear rise to the highest rate, then along a cosine to 0 (Loshchilov & Hutter, ICLR 2017, without restarts)."""
    rise, total = round(warmup_epochs * steps), steps * epochs

    def factor(step: int) -> float:
        if step < rise:
            return (step + 1) / rise
        return _along_cosine(1.0, 0.0, (step - rise) / max(total - rise, 1))

    return Schedule(lr_scheduler.LambdaLR(optimizer, factor), "batch")


@SCHEDULES.register("one_cycle")
def one_cycle(
    optimizer: Any, *, steps: int, epochs: int, rise: Factor = 0.3, start: Annotated[float, Field(gt=1)] = 25.0
) -> Schedule:
    """One cycle (Smith & Topin 2019): from highest / ``start`` up in the first ``rise`` of all steps, then down.

    Along cosines; down to highest / ``start`` / 10,000.
    """
    top, total = rise * steps * epochs, steps * epochs

    # Not torch's OneCycleLR, which divides by zero where the rise ends with the first step.
    def factor(step: int) -> float:
        if step < top:
            return _along_cosine(1 / start, 1.0, step / top)
        return _along_cosine(1.0, 1 / (start * FADE), (step - top) / (total - top))

    return Schedule(lr_scheduler.LambdaLR(optimizer, factor), "batch")


def _along_cosine(first: float, last: float, way: float) -> float:
    return last + (first - last) * 0.5 * (1 + math.cos(math.pi * min(way, 1.0)))


@dataclass(frozen=True)
class Average:
    """An average of a network's weights along its training, and when they are taken up.

    Attributes:
        network: The averaged network.
        every: Taken up after every ``batch`` or every ``epoch``.
        start_epoch: First epoch whose weights count.
    """

    network: AveragedModel
    every: Literal["batch", "epoch"]
    start_epoch: int

    def take_up(self, network: nn.Module, epoch: int, after: Literal["batch", "epoch"]) -> None:
        """To be called after each batch and after each epoch."""
        if after == self.every and epoch >= self.start_epoch:
            self.network.update_parameters(network)

    def has_begun(self) -> bool:
        """Whether anything has been taken up."""
        return bool(self.network.n_averaged > 0)


AVERAGES: Registry[Callable[..., Average | None]] = Registry("average of weights", supplied=["steps", "epochs"])


@AVERAGES.register("none")
def no_average(network: nn.Module, *, steps: int, epochs: int) -> None:
    """The weights as the last step left them."""
    return


@AVERAGES.register("ema")
def exponential_average(
    network: nn.Module, *, steps: int, epochs: int, horizon_epochs: Annotated[float, Field(gt=0)] = 1.0
) -> Average:
    """Exponential moving average after every batch (Polyak & Juditsky 1992); weights fade over ``horizon_epochs``.

    Early on they fade faster, so that the weights that training began with are soon forgotten.
    """
    decay = 1 - 1 / max(horizon_epochs * steps, 1)

    return _averaged(network, lambda n: 1 - min(decay, (1 + n) / (10 + n)), "batch", 1)


@AVERAGES.register("swa")
def stochastic_average(network: nn.Module, *, steps: int, epochs: int, start: Share = 0.75) -> Average:
    """Plain mean over the epochs from ``start`` of the training on (Izmailov et al., UAI 2018).

    The running statistics of batch normalisation are averaged too, instead of being taken anew.
    """
    return _averaged(network, lambda n: 1 / (n + 1), "epoch", math.floor(start * epochs) + 1)


def _averaged(
    network: nn.Module, share: Callable[[int], float], every: Literal["batch", "epoch"], start_epoch: int
) -> Average:
    """An average that moves by a share of the way to the current weights, given how often it has been taken up."""

    @torch.no_grad()
    def take_up(averaged: Any, current: Any, n_averaged: Any) -> None:
        # Whole numbers, as batch normalisation counts its batches in, have no average; torch's own fails on a GPU.
        if averaged[0].is_floating_point():
            torch._foreach_lerp_(averaged, current, share(int(n_averaged)))
        else:
            torch._foreach_copy_(averaged, current)

    return Average(AveragedModel(network, multi_avg_fn=take_up, use_buffers=True), every, start_epoch)
