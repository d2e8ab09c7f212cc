"""Attribution of a logit to the values of an example: integrated gradients and Grad-CAM, both by Captum.

Networks are explained in evaluation mode and are left unchanged.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
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
from beatwise.tasks.tensors import TensorSet

# The number of rows in one pass through a network: few enough that activations stay in the cache of a CPU.
CHUNK: Final = 256
CONVOLUTIONS: Final = (nn.Conv1d, nn.Conv2d)
PADS: Final = (nn.ConstantPad1d, nn.ConstantPad2d)
# The layers that change positions in time or in the plane.
MOVERS: Final = (*CONVOLUTIONS, *PADS, nn.MaxPool1d, nn.MaxPool2d)


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
class PlacedLayer:
    """A layer whose output ``[n, c, *steps]`` has known positions on the axes of the input, time or height and width.

    Attributes:
        name: Name of the module.
        steps: Number of steps along each axis.
        stride: Samples of the input between two steps.
        offset: Sample of the input at the centre of the first step.
    """

    name: str
    steps: tuple[int, ...]
    stride: tuple[float, ...]
    offset: tuple[float, ...]


def flat_examples(values: Array) -> Array:
    """The baseline of each example: the same without anything to see.

    Of a beat [t] a flat line at its mean, as long as the beat, and zeros behind it. It is as long as the beat and never
    zero, so networks that skip the padding see the same length all along the path, and attributions add up exactly. Of
    a window [c, t] each channel at its mean. Of a picture [c, h, w] each channel at the median along its border, which
    is the ground: so the brightness of what stands on it falls to its pixels.

    Args:
        values: Examples, ``float32 [n, *shape]``.
    """
    if values.ndim == 3:
        return np.broadcast_to(values.mean(axis=2, keepdims=True), values.shape).astype(np.float32)
    if values.ndim == 4:
        sides = (values[..., 0, :], values[..., -1, :], values[..., :, 0], values[..., :, -1])
        ground = np.median(np.concatenate(sides, axis=-1), axis=-1)
        return np.broadcast_to(ground[..., None, None], values.shape).astype(np.float32)
    mask = beat_mask(values)
    mean = ratio(values.sum(axis=1, dtype=np.float64), mask.sum(axis=1))
    return np.where(mask, np.nan_to_num(mean)[:, None], 0.0).astype(np.float32)


def baseline_inputs(values: Array, representation: Representation) -> Array:
    """The baselines of examples ``float32 [n, *shape]`` as input of a model, ``float32 [n, *input_shape]``.

    Args:
        values: Beats, ``float32 [n, t]``.
        representation: The representation of the model.
    """
    return np.ascontiguousarray(representation.transform(flat_examples(values)))


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


def explained_layer(network: nn.Module, tensors: TensorSet) -> PlacedLayer | None:
    """The layer that Grad-CAM explains; None where it is not defined.

    It is defined for networks with convolutions over the axes that the examples themselves have: not for a beat that
    was folded into an image.
    """
    axes = tensors.representation.input_shape[1:]
    return last_placed_layer(network, tensors.x, tensors.aux) if axes == tensors.shape[-len(axes) :] else None


def last_placed_layer(network: nn.Module, x: Array, aux: Array) -> PlacedLayer | None:
    """The last layer in time, or in the plane, that contains a convolution.

    Returns:
        The layer; None for a network without convolutions.
    """
    sizes = tuple(x.shape[2:])
    # Strides and offsets by size: all outputs of one size in a network have the same positions.
    places = {sizes: ((1.0,) * len(sizes), (0.0,) * len(sizes))}
    found: list[PlacedLayer] = []

    def follow(name: str, module: nn.Module) -> Callable[..., None]:
        has_convolution = any(isinstance(part, CONVOLUTIONS) for part in module.modules())

        def note(_: nn.Module, inputs: tuple[Any, ...], output: Any) -> None:
            if isinstance(module, MOVERS) and (before := tuple(inputs[0].shape[2:])) in places:
                moves = [_move(module, axis, len(before)) for axis in range(len(before))]
                old = list(zip(*places[before], moves, strict=True))
                strides = tuple(stride * step for stride, _, (step, _) in old)
                offsets = tuple(offset + stride * start for stride, offset, (_, start) in old)
                places.setdefault(tuple(output.shape[2:]), (strides, offsets))
            if has_convolution and isinstance(output, Tensor) and output.ndim == x.ndim:
                steps = tuple(output.shape[2:])
                if steps in places:
                    found.append(PlacedLayer(name, steps, *places[steps]))

        return note

    handles = [module.register_forward_hook(follow(name, module)) for name, module in network.named_modules()]
    try:
        with _evaluating(network), torch.no_grad():
            for examples, features in _chunks(network, 1, x[:1], aux[:1]):
                network(examples, features)
    finally:
        for handle in handles:
            handle.remove()
    return found[-1] if found else None


def grad_cam(network: nn.Module, x: Array, aux: Array, target: Labels, layer: PlacedLayer) -> Array:
    """Grad-CAM (Selvaraju et al., ICCV 2017, equations 1 and 2), at every sample or pixel of the input.

    Args:
        network: Maps ``x, aux`` to logits.
        x: Beats, ``float32 [n, c, t]``.
        aux: Auxiliary features, ``float32 [n, f]``.
        target: Class of the explained logit, one a beat, ``int64 [n]``.
        layer: The result of :func:`last_time_layer`.

    Returns:
        ``float32 [n, t]`` or ``[n, height, width]``, 0 or more, in arbitrary units. Values between the steps of the
        layer are interpolated; values before the first and after the last step equal those of that step.
    """
    from captum.attr import LayerGradCam

    with _evaluating(network):
        method = LayerGradCam(network, network.get_submodule(layer.name))
        maps = [
            method.attribute((beats, features), target=of, relu_attributions=True).detach().cpu().numpy()
            for beats, features, of in _chunks(network, CHUNK, x, aux, target)
        ]
    return _at_samples(np.concatenate(maps)[:, 0], x.shape[2:], layer)


def _at_samples(found: Array, sizes: Sequence[int], layer: PlacedLayer) -> Array:
    for axis, (size, steps, stride, offset) in enumerate(
        zip(sizes, layer.steps, layer.stride, layer.offset, strict=True), start=1
    ):
        position = np.clip((np.arange(size) - offset) / stride, 0, steps - 1)
        before = np.minimum(position.astype(np.int64), max(steps - 2, 0))
        after = np.minimum(before + 1, steps - 1)
        share = (position - before).astype(np.float32).reshape(-1, *[1] * (found.ndim - 1 - axis))
        found = found.take(before, axis) * (1 - share) + found.take(after, axis) * share
    return found


def _move(module: nn.Module, axis: int, n_axes: int) -> tuple[int, float]:
    """Stride of a layer along an axis, and the position of its first output, both in samples of its input."""
    if isinstance(module, PADS):
        # Torch names the sides of the last axis first.
        return 1, -float(module.padding[2 * (n_axes - 1 - axis)])
    size, stride, padding, dilation = (
        _along(getattr(module, name), axis) for name in ("kernel_size", "stride", "padding", "dilation")
    )
    return stride, dilation * (size - 1) / 2 - padding


def _along(value: Any, axis: int) -> int:
    return int(value[axis] if isinstance(value, tuple) else value)


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
