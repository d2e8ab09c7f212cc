"""Attribution of a logit to the samples of a beat: integrated gradients and Grad-CAM, both by Captum.

Networks are explained in evaluation mode and are left unchanged.
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

# The number of rows in one pass through a network: few enough that activations stay in the cache of a CPU.
CHUNK: Final = 256
# The layers that change positions on the time axis.
MOVERS: Final = (nn.Conv1d, nn.MaxPool1d, nn.ConstantPad1d)


@dataclass(frozen=True, eq=False)
class Attributions:
    """The difference between two logits, divided among the parts of the input.

    Attributes:
        x: Attributions of the representation, ``float32 [n, *input_shape]``.
        aux: Attributions of the auxiliary features, ``float32 [n, f]``.
        difference: Logit of the beat minus logit of its baseline, ``float32 [n]``. The attributions of a beat add up
            to it, except for the error of the numerical integral.
    """

    x: Array
    aux: Array
    difference: Array


@dataclass(frozen=True)
class TimeLayer:
    """A layer whose output ``[n, c, length]`` has known positions on the time axis of the input.

    Attributes:
        name: Name of the module.
        length: Number of steps over time.
        stride: Samples of the input between two steps.
        offset: Sample of the input at the centre of the first step.
    """

    name: str
    length: int
    stride: float
    offset: float


def flat_beats(values: Array) -> Array:
    """The baseline of each beat: a flat line at the mean of the beat, as long as the beat, and zeros behind it.

    The baseline is the beat without any deflection. It is as long as the beat and never zero, so networks that skip
    the padding see the same length all along the path, and attributions add up exactly.

    Args:
        values: Beats, ``float32 [n, t]``.
    """
    mask = beat_mask(values)
    mean = ratio(values.sum(axis=1, dtype=np.float64), mask.sum(axis=1))
    return np.where(mask, np.nan_to_num(mean)[:, None], 0.0).astype(np.float32)


def baseline_inputs(values: Array, representation: Representation) -> Array:
    """The baselines of beats ``float32 [n, t]`` as input of a model, ``float32 [n, *input_shape]``."""
    return np.ascontiguousarray(representation.transform(flat_beats(values)))


def integrated_gradients(
    network: nn.Module, x: Array, aux: Array, baseline: Array, target: Labels, *, steps: int
) -> Attributions:
    """Integrated gradients (Sundararajan, Taly & Yan, ICML 2017, equation 1) from a baseline to each beat.

    Auxiliary features are integrated along the same path, from their training means (0, because they are
    standardised). The integral is a sum over the midpoints of equal steps.

    Args:
        network: Maps ``x, aux`` to logits.
        x: Beats, ``float32 [n, *input_shape]``.
        aux: Auxiliary features, ``float32 [n, f]``.
        baseline: Start of the path of each beat, shaped as ``x``.
        target: Class of the explained logit, one a beat, ``int64 [n]``.
        steps: Number of steps of the path.
    """
    # Captum imports matplotlib.
    from captum.attr import IntegratedGradients

    found = []
    with _evaluating(network):
        method = IntegratedGradients(network)
        for start, end, features, of in _chunks(network, CHUNK, baseline, x, aux, target):
            (of_x, of_aux), gap = method.attribute(
                (end, features),
                (start, torch.zeros_like(features)),
                target=of,
                n_steps=steps,
                method="riemann_middle",
                internal_batch_size=CHUNK,
                return_convergence_delta=True,
            )
            found.append((of_x, of_aux, of_x.flatten(1).sum(dim=1) + of_aux.sum(dim=1) - gap))
    parts = (torch.cat(part).detach().cpu().numpy().astype(np.float32) for part in zip(*found, strict=True))
    return Attributions(*parts)


def last_time_layer(network: nn.Module, x: Array, aux: Array) -> TimeLayer | None:
    """The last layer over time that contains a 1D convolution: the layer that Grad-CAM explains.

    Returns:
        The layer; None for a network without convolutions over time.
    """
    # Stride and offset by length: all outputs of one length in a network have the same positions.
    places = {x.shape[-1]: (1.0, 0.0)}
    found: list[TimeLayer] = []

    def follow(name: str, module: nn.Module) -> Callable[..., None]:
        has_convolution = any(isinstance(part, nn.Conv1d) for part in module.modules())

        def note(_: nn.Module, inputs: tuple[Any, ...], output: Any) -> None:
            if isinstance(module, MOVERS) and inputs[0].shape[-1] in places:
                stride, offset = places[inputs[0].shape[-1]]
                step, start = _move(module)
                places.setdefault(output.shape[-1], (stride * step, offset + stride * start))
            if has_convolution and isinstance(output, Tensor) and output.ndim == 3 and output.shape[-1] in places:
                found.append(TimeLayer(name, output.shape[-1], *places[output.shape[-1]]))

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

    Returns:
        ``float32 [n, t]``, 0 or more, in arbitrary units. Values between the steps of the layer are interpolated;
        values before the first and after the last step equal those of that step.
    """
    from captum.attr import LayerGradCam

    with _evaluating(network):
        method = LayerGradCam(network, network.get_submodule(layer.name))
        maps = [
            method.attribute((beats, features), target=of, relu_attributions=True).detach().cpu().numpy()
            for beats, features, of in _chunks(network, CHUNK, x, aux, target)
        ]
    return _at_samples(np.concatenate(maps)[:, 0], x.shape[-1], layer)


def _at_samples(steps: Array, n_samples: int, layer: TimeLayer) -> Array:
    position = np.clip((np.arange(n_samples) - layer.offset) / layer.stride, 0, layer.length - 1)
    before = np.minimum(position.astype(np.int64), max(layer.length - 2, 0))
    after = np.minimum(before + 1, layer.length - 1)
    share = (position - before).astype(np.float32)
    return steps[:, before] * (1 - share) + steps[:, after] * share


def _move(module: nn.Module) -> tuple[int, float]:
    """Stride of a layer, and the position of its first output, both in samples of its input."""
    if isinstance(module, nn.ConstantPad1d):
        return 1, -float(module.padding[0])
    size, stride, padding, dilation = (
        _single(getattr(module, name)) for name in ("kernel_size", "stride", "padding", "dilation")
    )
    return stride, dilation * (size - 1) / 2 - padding


def _single(value: Any) -> int:
    return int(value[0] if isinstance(value, tuple) else value)


def _chunks(network: nn.Module, size: int, *arrays: npt.NDArray[Any]) -> Iterator[tuple[Tensor, ...]]:
    """The rows of arrays, a chunk at a time, on the device of the network."""
    device = next(network.parameters()).device
    for start in range(0, len(arrays[0]), size):
        yield tuple(torch.tensor(array[start : start + size], device=device) for array in arrays)


@contextmanager
def _evaluating(network: nn.Module) -> Iterator[None]:
    """Evaluation mode with gradients; cuDNN is off, because it has no gradients of recurrent layers in this mode."""
    was_training = network.training
    network.eval()
    try:
        with torch.enable_grad(), torch.backends.cudnn.flags(enabled=False):
            yield
    finally:
        network.train(was_training)
