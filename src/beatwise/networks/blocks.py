"""Blocks that several model families share.

Blocks over time take a mask ``bool [n, t]``, True until the end of each example. They keep the steps after the end at
zero, so that padding never changes the values before it.
"""

from __future__ import annotations

import math
from typing import Annotated, Literal

import torch
from pydantic import AfterValidator, Field
from torch import Tensor, nn

from beatwise.core.errors import BeatwiseError


def _odd(size: int) -> int:
    if size % 2 == 0:
        raise ValueError(f"an even kernel cannot be centred on a sample; got {size}, use {size - 1} or {size + 1}.")
    return size


Width = Annotated[int, Field(ge=1)]
Widths = Annotated[tuple[Width, ...], Field(min_length=1)]
Depth = Annotated[int, Field(ge=1)]
Kernel = Annotated[int, Field(ge=1)]
OddKernel = Annotated[int, Field(ge=1), AfterValidator(_odd)]
Dropout = Annotated[float, Field(ge=0, lt=1)]
# Width of the hidden layer of a transformer, as a multiple of its own width.
Expansion = Annotated[float, Field(gt=0)]
Pooling = Literal["mean", "max", "attention"]
ImagePooling = Literal["flatten", Pooling]
# Heads of attention; 0 leaves out an attention that is optional.
Heads = Annotated[int, Field(ge=1)]
OptionalHeads = Annotated[int, Field(ge=0)]


class Conv1d(nn.Conv1d):
    """A convolution over time that, on a CPU, keeps the channels of a sample side by side in memory.

    Image kernels are faster in this layout; residual networks gain a third (docs/benchmarks.md). Shapes are those of
    ``nn.Conv1d``; values differ in their last bits.
    """

    def forward(self, x: Tensor) -> Tensor:
        """Map ``[n, in, t]`` to ``[n, out, t]``."""
        if x.device.type != "cpu":
            return super().forward(x)
        kernel = self.weight.unsqueeze(2).contiguous(memory_format=torch.channels_last)
        assert not isinstance(self.padding, str)
        settings = ((1, *self.stride), (0, *self.padding), (1, *self.dilation), self.groups)
        out = nn.functional.conv2d(x.unsqueeze(2), kernel, self.bias, *settings)
        # A single channel has no layout of its own, so the kernel may have chosen the other one.
        return out.contiguous(memory_format=torch.channels_last).squeeze(2)


class BatchNorm1d(nn.BatchNorm2d):
    """Batch normalisation over time that keeps the layout in memory; torch's own changes it."""

    def forward(self, x: Tensor) -> Tensor:
        """Map ``[n, c, t]`` to the same shape."""
        return super().forward(x.unsqueeze(2)).squeeze(2)


def divisible(model: str, width: int, heads: int) -> None:
    """Refuse a number of heads of attention that cannot share a width.

    Raises:
        BeatwiseError: If the width is no multiple of the number of heads.
    """
    if heads and width % heads:
        raise BeatwiseError(
            f"model.{model}.heads: {heads} heads of attention cannot share a width of {width}; use a divisor of it."
        )


def masked(x: Tensor, mask: Tensor | None) -> Tensor:
    """Set ``[n, c, t]`` to zero after the end of each example."""
    return x if mask is None else x * mask[:, None, :]


def masked_mean(x: Tensor, mask: Tensor) -> Tensor:
    """Mean over the steps inside the mask, ``[n, c]`` from ``[n, c, t]``."""
    return masked(x, mask).sum(dim=2) / mask.sum(dim=1, keepdim=True)


class SqueezeExcite(nn.Module):
    """Weight channels by a function of their means (Hu et al., CVPR 2018), divided by the reduction inside."""

    def __init__(self, width: int, reduction: int = 16) -> None:
        super().__init__()
        squeezed = max(width, 64) // reduction
        self.weigh = nn.Sequential(nn.Linear(width, squeezed), nn.ReLU(), nn.Linear(squeezed, width), nn.Sigmoid())

    def forward(self, x: Tensor, mask: Tensor | None = None) -> Tensor:
        """Map ``[n, c, …]`` to the same shape; means of a series are taken inside the mask."""
        mean = x.flatten(2).mean(dim=2) if mask is None else masked_mean(x, mask)
        return x * self.weigh(mean).reshape(*mean.shape, *[1] * (x.ndim - 2))


class ResidualBlock1d(nn.Module):
    """Two convolutions with batch normalisation, added to the input (He et al., CVPR 2016, over time).

    The input is projected where the shape changes, from every stride-th sample or from means over the stride (ResNet-D
    of He et al., CVPR 2019); squeeze-and-excitation weights the residual where a reduction is given.
    """

    def __init__(
        self,
        before: int,
        after: int,
        kernel_size: int,
        *,
        stride: int = 1,
        dilation: int = 1,
        reduction: int | None = None,
        mean_shortcut: bool = False,
        dropout: float = 0.0,
    ) -> None:
        super().__init__()
        padding = kernel_size // 2
        self.stride = stride
        self.first = nn.Sequential(
            Conv1d(
                before, after, kernel_size, stride=stride, padding=padding * dilation, dilation=dilation, bias=False
            ),
            BatchNorm1d(after),
            nn.ReLU(),
            nn.Dropout(dropout),
        )
        self.second = nn.Sequential(Conv1d(after, after, kernel_size, padding=padding, bias=False), BatchNorm1d(after))
        self.squeeze_excite = SqueezeExcite(after, reduction) if reduction else None
        self.shortcut: nn.Module = nn.Identity()
        if mean_shortcut and stride != 1:
            mean = nn.AvgPool1d(stride, ceil_mode=True)
            self.shortcut = nn.Sequential(mean, Conv1d(before, after, 1, bias=False), BatchNorm1d(after))
        elif stride != 1 or before != after:
            self.shortcut = nn.Sequential(Conv1d(before, after, 1, stride=stride, bias=False), BatchNorm1d(after))
        self.activation = nn.ReLU()

    def forward(self, x: Tensor, mask: Tensor | None = None) -> Tensor:
        """Map ``[n, before, t]`` to ``[n, after, t / stride]``; the mask is that of the output."""
        added = self.second(masked(self.first(x), mask))
        if self.squeeze_excite is not None:
            added = self.squeeze_excite(added, mask)
        return masked(self.activation(added + self.shortcut(x)), mask)


class ResidualBlock2d(nn.Module):
    """Two 3 × 3 convolutions with batch normalisation, added to the input (He et al., CVPR 2016).

    The input is projected where the number of channels changes; squeeze-and-excitation weights the residual.
    """

    def __init__(self, before: int, after: int, *, squeeze_excite: bool = False) -> None:
        super().__init__()
        self.added = nn.Sequential(
            nn.Conv2d(before, after, 3, padding=1, bias=False),
            nn.BatchNorm2d(after),
            nn.ReLU(),
            nn.Conv2d(after, after, 3, padding=1, bias=False),
            nn.BatchNorm2d(after),
            SqueezeExcite(after) if squeeze_excite else nn.Identity(),
        )
        self.shortcut: nn.Module = nn.Identity()
        if before != after:
            self.shortcut = nn.Sequential(nn.Conv2d(before, after, 1, bias=False), nn.BatchNorm2d(after))
        self.activation = nn.ReLU()

    def forward(self, x: Tensor) -> Tensor:
        """Map ``[n, before, height, width]`` to ``[n, after, height, width]``."""
        return self.activation(self.added(x) + self.shortcut(x))


class MaskedSequential(nn.ModuleList):
    """A sequence of blocks that take the mask of their output; a block with a stride thins it out."""

    def forward(self, x: Tensor, mask: Tensor) -> tuple[Tensor, Tensor]:
        """Map ``[n, c, t]`` and its mask to the output of the last block and its mask."""
        for block in self:
            # An odd kernel with "same" padding centres output i on input i · stride.
            mask = mask[:, :: getattr(block, "stride", 1)]
            x = block(x, mask)
        return x, mask


class Pool1d(nn.Module):
    """Time or tokens to one vector: mean or maximum inside the mask, or a learned weighted mean (attention)."""

    def __init__(self, pooling: Pooling, width: int) -> None:
        super().__init__()
        self.pooling = pooling
        if pooling == "attention":
            # A bias would cancel in the softmax.
            self.score = nn.Linear(width, 1, bias=False)

    def forward(self, x: Tensor, mask: Tensor | None = None) -> Tensor:
        """Map ``[n, c, t]`` to ``[n, c]``."""
        if mask is None:
            mask = torch.ones_like(x[:, 0], dtype=torch.bool)
        if self.pooling == "max":
            return x.masked_fill(~mask[:, None, :], -math.inf).amax(dim=2)
        if self.pooling == "mean":
            return masked_mean(x, mask)
        score = self.score(x.transpose(1, 2)).squeeze(2).masked_fill(~mask, -math.inf)
        return (x * score.softmax(dim=1)[:, None, :]).sum(dim=2)


class PoolImage(nn.Module):
    """An image of features to one vector: all its pixels, or a pooling over them.

    Attributes:
        n_features: Length of the vector.
    """

    def __init__(self, pooling: ImagePooling, width: int, n_pixels: int) -> None:
        super().__init__()
        self.pool = None if pooling == "flatten" else Pool1d(pooling, width)
        self.n_features = width * n_pixels if pooling == "flatten" else width

    def forward(self, x: Tensor) -> Tensor:
        """Map ``[n, width, …]`` to ``[n, n_features]``."""
        return x.flatten(1) if self.pool is None else self.pool(x.flatten(2))


class Positions(nn.Module):
    """Adds sines and cosines of the position (Vaswani et al., NeurIPS 2017, section 3.5)."""

    table: Tensor

    def __init__(self, length: int, width: int) -> None:
        super().__init__()
        angle = torch.arange(length)[:, None] * torch.exp(-math.log(10_000.0) * torch.arange(0, width, 2) / width)
        table = torch.stack([angle.sin(), angle.cos()], dim=2).flatten(1)[:, :width]
        self.register_buffer("table", table, persistent=False)

    def forward(self, tokens: Tensor) -> Tensor:
        """Map ``[n, t, width]`` to the same shape, for any t up to the length."""
        return tokens + self.table[: tokens.shape[1]]


class TransformerBlocks(nn.Module):
    """Transformer encoder with normalisation before each part (Xiong et al., ICML 2020)."""

    def __init__(self, width: int, heads: int, depth: int, expansion: float, dropout: float) -> None:
        super().__init__()
        self.blocks = nn.ModuleList(
            nn.TransformerEncoderLayer(
                width,
                heads,
                dim_feedforward=round(width * expansion),
                dropout=dropout,
                activation="gelu",
                batch_first=True,
                norm_first=True,
            )
            for _ in range(depth)
        )
        for attention in (m for m in self.modules() if isinstance(m, nn.MultiheadAttention)):
            # Dropout of the attention weights excludes the fused kernel and costs half of the block's time on a CPU.
            attention.dropout = 0.0
        self.norm = nn.LayerNorm(width)

    def forward(self, tokens: Tensor, mask: Tensor | None = None) -> Tensor:
        """Map ``[n, t, width]`` to the same shape; no token attends to those outside the mask."""
        padding = None if mask is None else ~mask
        for block in self.blocks:
            tokens = block(tokens, src_key_padding_mask=padding)
        return self.norm(tokens)
