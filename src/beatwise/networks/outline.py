"""The outline of a network: its blocks in the order of the forward pass, with shapes and parameters."""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Mapping
from dataclasses import dataclass, replace
from itertools import groupby
from typing import Any, Final

import torch
from torch import Tensor, nn

from beatwise.networks.blocks import SqueezeExcite

Shape = tuple[int, ...]

# Modules that only call their children, one after the other.
CONTAINERS: Final = (nn.Sequential, nn.ModuleList)
# More rows do not fit on a page: the outline then shows the parts of the network instead of its layers.
ROWS_AT_MOST: Final = 18
NORMS: Final = (nn.BatchNorm1d, nn.BatchNorm2d, nn.LayerNorm)
SHOWN_AS_ONE: Final = (nn.MultiheadAttention, nn.TransformerEncoderLayer, SqueezeExcite)
REARRANGED: Final = "rearranged"


@dataclass(frozen=True)
class OutlineBlock:
    """One block of a network, or several equal ones in a row.

    Attributes:
        name: Its class, or its first layer.
        layers: Its layers, in a few words.
        before: Shape of one example of its input, without the batch axis.
        after: The same for its output.
        n_parameters: Parameters of all the blocks that it stands for.
        times: How many equal blocks it stands for.
    """

    name: str
    layers: str
    before: Shape
    after: Shape
    n_parameters: int
    times: int = 1


@dataclass(frozen=True)
class _Call:
    """A call of a module in the forward pass."""

    module: nn.Module
    before: Shape
    after: Shape


def outline_network(network: nn.Module, input_shape: Shape, n_aux: int = 0) -> list[OutlineBlock]:
    """Pass one example through a network and list its blocks.

    A convolution or a linear map shares a row with the layers that follow it (normalisation, activation, pooling); a
    block of the zoo is one row; equal blocks in sequence are counted. A change of shape without a module (samples to
    steps, channels to the last axis) is a row of its own, so that each row begins with the shape at which the previous
    one ended. Parameters outside all blocks have rows of their own.

    Args:
        network: A model of the zoo, or any other network of ``x`` and auxiliary features.
        input_shape: Shape of one example without the batch axis.
        n_aux: Number of auxiliary features.

    Returns:
        At most :data:`ROWS_AT_MOST` rows, unless the network has more parts than that; their parameters add up to those
        of the network.
    """
    rows = _rows(network, list(_layers(network)), input_shape, n_aux)
    return rows if len(rows) <= ROWS_AT_MOST else _rows(network, list(network.children()), input_shape, n_aux)


def _rows(network: nn.Module, modules: list[nn.Module], input_shape: Shape, n_aux: int) -> list[OutlineBlock]:
    counted: set[nn.Parameter] = set()
    blocks = [_block(group, counted) for group in _grouped(_traced(network, modules, input_shape, n_aux))]
    rest = {name: parameter for name, parameter in network.named_parameters() if parameter not in counted}
    return _connected(_counted(blocks), rest, input_shape)


def _layers(module: nn.Module) -> Iterator[nn.Module]:
    for child in module.children():
        if isinstance(child, CONTAINERS):
            yield from _layers(child)
        else:
            yield child


def _traced(network: nn.Module, modules: Iterable[nn.Module], input_shape: Shape, n_aux: int) -> list[_Call]:
    calls: list[_Call] = []

    def note(module: nn.Module, given: tuple[Any, ...], returned: Any) -> None:
        after = returned[0] if isinstance(returned, tuple) else returned
        calls.append(_Call(module, tuple(given[0].shape[1:]), tuple(after.shape[1:])))

    parameter = next(network.parameters())
    hooks = [module.register_forward_hook(note) for module in modules]
    was_training = network.training
    try:
        with torch.no_grad():
            # Ones, because zeros are padding.
            options: dict[str, Any] = {"dtype": parameter.dtype, "device": parameter.device}
            network.eval()(torch.ones(1, *input_shape, **options), torch.zeros(1, n_aux, **options))
    finally:
        network.train(was_training)
        for hook in hooks:
            hook.remove()
    return calls


def _is_layer(module: nn.Module) -> bool:
    """Whether a module is a layer of torch's, or one made from it, that holds no others."""
    kinds = set(type(module).__mro__) - set(nn.Module.__mro__)
    return any(kind.__module__.startswith("torch.nn") for kind in kinds) and not list(module.children())


def _grouped(calls: list[_Call]) -> Iterator[list[_Call]]:
    """Layers with the layers that follow them and have no weights (or only normalise); every other block alone."""
    group: list[_Call] = []
    for call in calls:
        follows = _is_layer(call.module) and (isinstance(call.module, NORMS) or not list(call.module.parameters()))
        fits = group and _is_layer(group[-1].module) and group[-1].after == call.before
        if follows and fits:
            group.append(call)
            continue
        if group:
            yield group
        group = [call]
    if group:
        yield group


def _block(group: list[_Call], counted: set[nn.Parameter]) -> OutlineBlock:
    """A group as one row; weights that another row has counted are not counted again."""
    modules = [call.module for call in group]
    new = {parameter for module in modules for parameter in module.parameters()} - counted
    counted |= new
    layers = _listed(modules) if _is_layer(modules[0]) else _listed(_leaves(modules[0]), weights_only=True)
    n_parameters = sum(parameter.numel() for parameter in new)
    return OutlineBlock(type(modules[0]).__name__, layers, group[0].before, group[-1].after, n_parameters)


def _leaves(module: nn.Module) -> list[nn.Module]:
    """The layers in a block; some that hold others are shown as one."""
    found: list[nn.Module] = []
    for child in module.children():
        found += [child] if isinstance(child, SHOWN_AS_ONE) or not list(child.children()) else _leaves(child)
    return found


def _listed(modules: Iterable[nn.Module], *, weights_only: bool = False) -> str:
    """Layers in a few words, without those that do nothing in evaluation; or only those with weights."""
    shown = [m for m in modules if not weights_only or (list(m.parameters()) and not isinstance(m, NORMS))]
    words = [word for module in shown if (word := _word(module))]
    counted = [(word, len(list(equal))) for word, equal in groupby(words)]
    often = {1: "", 2: ", twice"}
    return " · ".join(word + often.get(n, f", {n} times") for word, n in counted)


def _word(module: nn.Module) -> str:
    match module:
        case nn.Identity() | nn.Dropout():
            return ""
        case nn.ZeroPad2d() if not any(module.padding):
            return ""
        case nn.Conv1d() | nn.Conv2d():
            size = " × ".join(map(str, module.kernel_size))
            by = f", stride {module.stride[0]}" if max(module.stride) > 1 else ""
            wide = f", dilation {module.dilation[0]}" if max(module.dilation) > 1 else ""
            return f"convolution {size}{by}{wide}"
        case nn.Linear():
            return f"linear {module.in_features} → {module.out_features}"
        case nn.RNNBase():
            n = module.num_layers
            return f"{n} {'layer' if n == 1 else 'layers'} of {type(module).__name__} cells"
        case nn.MultiheadAttention():
            return f"attention of {module.num_heads} heads"
        case nn.TransformerEncoderLayer():
            return f"transformer layer of {module.self_attn.num_heads} heads, {module.linear1.out_features} hidden"
        case SqueezeExcite():
            return "squeeze and excite"
        case nn.MaxPool1d() | nn.MaxPool2d():
            return f"max-pool {_one(module.kernel_size)}, stride {_one(module.stride)}"
        case nn.AdaptiveAvgPool1d() | nn.AdaptiveAvgPool2d():
            return "mean"
        case _ if isinstance(module, NORMS):
            return "normalisation"
        case nn.Flatten() | nn.ConstantPad1d() | nn.ConstantPad2d():
            return {"Flatten": "flatten"}.get(type(module).__name__, "padding")
    return type(module).__name__ if _is_layer(module) else ""


def _one(size: int | tuple[int, ...]) -> int:
    return size if isinstance(size, int) else size[0]


def _counted(blocks: Iterable[OutlineBlock]) -> list[OutlineBlock]:
    """Equal blocks in sequence as one; only blocks that keep the shape can be equal."""
    rows = []
    for block, equal in groupby(blocks):
        n = len(list(equal))
        if n > 1 and block.before == block.after:
            rows.append(replace(block, n_parameters=n * block.n_parameters, times=n))
        else:
            rows += [block] * n
    return rows


def _connected(rows: list[OutlineBlock], rest: Mapping[str, Tensor], input_shape: Shape) -> list[OutlineBlock]:
    """Rows that each begin where the previous one ended; parameters outside all blocks stand where their shape fits."""
    out: list[OutlineBlock] = []
    shape, left = input_shape, dict(rest)
    for row in rows:
        if row.before != shape:
            out.append(OutlineBlock(REARRANGED, "", shape, row.before, 0))
        for name in [name for name, parameter in left.items() if tuple(parameter.shape) == row.before]:
            n_parameters = left.pop(name).numel()
            out.append(OutlineBlock(name, "learned, added", row.before, row.before, n_parameters))
        out.append(row)
        shape = row.after
    return out + [OutlineBlock(name, "of no block", shape, shape, p.numel()) for name, p in left.items()]
