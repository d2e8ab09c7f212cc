"""Which samples of a beat a logit hangs on: integrated gradients and Grad-CAM.

The networks are taken as they are in evaluation. Nothing of them is changed.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from typing import Any, Final

import numpy as np
import numpy.typing as npt
import torch
from torch import Tensor, nn

from beatwise.data.examples import Array, Labels
from beatwise.data.representations import Representation, beat_mask
from beatwise.tasks.metrics import ratio

# Rows that go through a network at once: what they make on the way stays in a CPU's cache.
CHUNK: Final = 256
# What moves samples along the time axis; all else leaves them where they are.
MOVERS: Final = (nn.Conv1d, nn.MaxPool1d, nn.ConstantPad1d)


@dataclass(frozen=True, eq=False)
class Attributions:
    """What of the difference between two logits falls to each part of the input.

    Attributes:
        x: Of the representation, ``float32 [n, *input_shape]``.
        aux: Of the auxiliary features, ``float32 [n, f]``.
        difference: Logit of the beat minus logit of its baseline, ``float32 [n]``; all attributions of a beat add up
            to it, as far as the path was sampled finely enough.
    """

    x: Array
    aux: Array
    difference: Array


@dataclass(frozen=True)
class TimeLayer:
    """A layer whose output ``[n, c, length]`` has a place on the time axis of the input.

    Attributes:
        name: Name of the module.
        length: Its steps over time.
        stride: Samples of the input from one to the next.
        offset: Sample of the input on which the first one is centred.
    """

    name: str
    length: int
    stride: float
    offset: float


def flat_beats(values: Array) -> Array:
    """The baseline of every beat: a flat line at its own mean, as long as the beat, zeros behind it.

    It is what the beat would be without any deflection. Because it is as long as the beat and never zero, networks that
    leave out the padding see the same beat all the way along the path, so that attributions add up exactly.

    Args:
        values: Beats, ``float32 [n, t]``.
    """
    mask = beat_mask(values)
    mean = ratio(values.sum(axis=1, dtype=np.float64), mask.sum(axis=1))
    return np.where(mask, np.nan_to_num(mean)[:, None], 0.0).astype(np.float32)


def baseline_inputs(values: Array, representation: Representation) -> Array:
    """The flat lines as a model takes them, ``float32 [n, *input_shape]``.

    Args:
        values: Beats, ``float32 [n, t]``.
        representation: How beats become the model's input.
    """
    return np.ascontiguousarray(representation.transform(flat_beats(values)))


def integrated_gradients(
    network: nn.Module, x: Array, aux: Array, baseline: Array, target: Labels, *, steps: int
) -> Attributions:
    """Integrated gradients (Sundararajan, Taly & Yan, ICML 2017, equation 1), from a baseline to each beat.

    Auxiliary features are integrated along the same path, from their means over the training part (0, because they are
    standardised). The integral is a sum over the middles of equal steps.

    Args:
        network: Maps ``x, aux`` to logits.
        x: Beats, ``float32 [n, *input_shape]``.
        aux: Auxiliary features, ``float32 [n, f]``.
        baseline: Where the path of each beat begins, as ``x``.
        target: Class whose logit is explained, of each beat, ``int64 [n]``.
        steps: Steps of the path; in the middle of each the gradient is taken.
    """

    def along(start: Tensor, end: Tensor) -> Tensor:
        middles = (torch.arange(steps, device=end.device) + 0.5) / steps
        share = middles.reshape(-1, *[1] * end.ndim)
        return (start + share * (end - start)).flatten(0, 1).requires_grad_()

    def integral(gradient: Tensor, start: Tensor, end: Tensor) -> Tensor:
        return gradient.reshape(steps, *end.shape).mean(dim=0) * (end - start)

    found: list[tuple[Array, ...]] = []
    with _evaluating(network):
        for start, end, features, of in _chunks(network, max(CHUNK // steps, 1), baseline, x, aux, target):
            mean_features = torch.zeros_like(features)
            path, path_features = along(start, end), along(mean_features, features)
            logits = _logits_of(network(path, path_features), of.repeat(steps))
            gradient, gradient_features = torch.autograd.grad(
                logits.sum(), (path, path_features), materialize_grads=True
            )
            with torch.no_grad():
                both = network(torch.cat([end, start]), torch.cat([features, mean_features]))
            ends = _logits_of(both, of.repeat(2)).reshape(2, -1)
            attributed = (integral(gradient, start, end), integral(gradient_features, mean_features, features))
            found.append(tuple(part.cpu().numpy() for part in (*attributed, ends[0] - ends[1])))
    return Attributions(*map(np.concatenate, zip(*found, strict=True)))


def last_time_layer(network: nn.Module, x: Array, aux: Array) -> TimeLayer | None:
    """The last layer that keeps time apart and has a 1D convolution in it: what Grad-CAM looks at.

    Args:
        network: Maps ``x, aux`` to logits.
        x: One beat or more, ``float32 [n, *input_shape]``.
        aux: Auxiliary features, ``float32 [n, f]``.

    Returns:
        None where the network has no convolutions over time.
    """
    # By the length of what comes out: all that is of one length in a network stands at the same places.
    places = {x.shape[-1]: (1.0, 0.0)}
    found: list[TimeLayer] = []

    def follow(name: str, module: nn.Module) -> Callable[..., None]:
        has_convolution = any(isinstance(part, nn.Conv1d) for part in module.modules())

        def note(_: nn.Module, given: tuple[Any, ...], made: Any) -> None:
            if isinstance(module, MOVERS) and given[0].shape[-1] in places:
                stride, offset = places[given[0].shape[-1]]
                step, start = _move(module)
                places.setdefault(made.shape[-1], (stride * step, offset + stride * start))
            if has_convolution and isinstance(made, Tensor) and made.ndim == 3 and made.shape[-1] in places:
                found.append(TimeLayer(name, made.shape[-1], *places[made.shape[-1]]))

        return note

    handles = [module.register_forward_hook(follow(name, module)) for name, module in network.named_modules()]
    try:
        with _evaluating(network), torch.no_grad():
            for beats, features in _chunks(network, 1, x[:1], aux[:1]):
                network(beats, features)
    finally:
        for handle in handles:
            handle.remove()
    return found[-1] if found and x.ndim == 3 else None


def grad_cam(network: nn.Module, x: Array, aux: Array, target: Labels, layer: TimeLayer) -> Array:
    """Grad-CAM (Selvaraju et al., ICCV 2017, equations 1 and 2) over time, at every sample of the input.

    Args:
        network: Maps ``x, aux`` to logits.
        x: Beats, ``float32 [n, c, t]``.
        aux: Auxiliary features, ``float32 [n, f]``.
        target: Class whose logit is explained, of each beat, ``int64 [n]``.
        layer: What :func:`last_time_layer` found.

    Returns:
        ``float32 [n, t]``, 0 or more, in a unit of no meaning; between the steps of the layer it is interpolated, and
        beyond the first and the last it stays what it is there.
    """
    kept: list[Tensor] = []
    handle = network.get_submodule(layer.name).register_forward_hook(lambda module, given, made: kept.append(made))
    found: list[Array] = []
    try:
        with _evaluating(network):
            for beats, features, of in _chunks(network, CHUNK, x, aux, target):
                logits = _logits_of(network(beats.requires_grad_(), features), of)
                maps = kept.pop()
                (gradient,) = torch.autograd.grad(logits.sum(), maps)
                weighted = gradient.mean(dim=2, keepdim=True) * maps
                found.append(weighted.sum(dim=1).relu().detach().cpu().numpy())
    finally:
        handle.remove()
    return _at_samples(np.concatenate(found), x.shape[-1], layer)


def _at_samples(steps: Array, n_samples: int, layer: TimeLayer) -> Array:
    position = np.clip((np.arange(n_samples) - layer.offset) / layer.stride, 0, layer.length - 1)
    before = np.minimum(position.astype(np.int64), max(layer.length - 2, 0))
    after = np.minimum(before + 1, layer.length - 1)
    share = (position - before).astype(np.float32)
    return steps[:, before] * (1 - share) + steps[:, after] * share


def _move(module: nn.Module) -> tuple[int, float]:
    """Samples of a layer's input from one output to the next, and the one on which the first output is centred."""
    if isinstance(module, nn.ConstantPad1d):
        return 1, -float(module.padding[0])
    size, stride, padding, dilation = (
        _single(getattr(module, name)) for name in ("kernel_size", "stride", "padding", "dilation")
    )
    return stride, dilation * (size - 1) / 2 - padding


def _single(value: Any) -> int:
    return int(value[0] if isinstance(value, tuple) else value)


def _logits_of(logits: Tensor, target: Tensor) -> Tensor:
    return logits.gather(1, target[:, None]).squeeze(1)


def _chunks(network: nn.Module, size: int, *arrays: npt.NDArray[Any]) -> Iterator[tuple[Tensor, ...]]:
    """The rows of arrays, a few at a time, on the device that the network is on."""
    device = next(network.parameters()).device
    for start in range(0, len(arrays[0]), size):
        yield tuple(torch.tensor(array[start : start + size], device=device) for array in arrays)


@contextmanager
def _evaluating(network: nn.Module) -> Iterator[None]:
    """Evaluation, with gradients; cuDNN gives none of recurrent layers then."""
    was_training = network.training
    network.eval()
    try:
        with torch.enable_grad(), torch.backends.cudnn.flags(enabled=False):
            yield
    finally:
        network.train(was_training)
