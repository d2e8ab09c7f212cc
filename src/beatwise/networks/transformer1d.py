"""Transformers over time."""

from __future__ import annotations

from typing import Annotated

import torch
from pydantic import Field
from torch import Tensor, nn

from beatwise.core.errors import BeatwiseError
from beatwise.data.padding import beat_mask
from beatwise.networks.base import MODELS, Network
from beatwise.networks.blocks import (
    BatchNorm1d,
    Conv1d,
    Depth,
    Dropout,
    Expansion,
    Heads,
    Kernel,
    MaskedSequential,
    OddKernel,
    Pool1d,
    Pooling,
    Positions,
    ResidualBlock1d,
    SqueezeExcite,
    TransformerBlocks,
    Width,
    divisible,
    masked,
)
from beatwise.networks.cnn1d import MaxPool1d


class Tokens(nn.Module):
    """A strided convolution: the transformer reads its outputs in place of samples."""

    def __init__(self, channels: int, width: int, kernel_size: int, stride: int) -> None:
        super().__init__()
        self.stride = stride
        self.convolution = Conv1d(channels, width, kernel_size, stride=stride, padding=kernel_size // 2)

    def forward(self, x: Tensor, mask: Tensor) -> Tensor:
        """Map ``[n, channels, t]`` to ``[n, width, t / stride]``; the mask is that of the output."""
        return masked(self.convolution(x), mask)


@MODELS.register("transformer1d")
class Transformer1d(Network):
    """Tokens by a strided convolution, residual block and squeeze-and-excitation if asked, transformer, pooling."""

    source = "Vaswani et al., NeurIPS 2017; FP-byte's MADS exam"
    ignores_padding = True

    def __init__(
        self,
        *,
        input_shape: tuple[int, ...],
        width: Width = 64,
        heads: Heads = 4,
        depth: Depth = 2,
        expansion: Expansion = 2.0,
        stride: Kernel = 4,
        residual: bool = False,
        squeeze_excite: bool = False,
        pooling: Pooling = "mean",
        dropout: Dropout = 0.1,
    ) -> None:
        super().__init__()
        channels, length = input_shape
        divisible("transformer1d", width, heads)
        # An odd kernel no shorter than the stride, so that every sample is seen.
        kernel_size = max(3, stride + 1 - stride % 2)
        layers: list[nn.Module] = [Tokens(channels, width, kernel_size, stride)]
        if residual:
            layers.append(ResidualBlock1d(width, width, 3))
        if squeeze_excite:
            layers.append(SqueezeExcite(width))
        self.tokens = MaskedSequential(layers)
        self.positions = Positions(-(-length // stride), width)
        self.blocks = TransformerBlocks(width, heads, depth, expansion, dropout)
        self.pool = Pool1d(pooling, width)
        self.n_features, self.dropout = width, dropout

    def features(self, x: Tensor) -> Tensor:
        """Map signals ``[n, c, t]`` to features."""
        x, mask = self.tokens(x, beat_mask(x))
        tokens = self.blocks(self.positions(x.transpose(1, 2)), mask)
        return self.pool(tokens.transpose(1, 2), mask)


class MultiScaleStem(nn.Module):
    """Convolutions of several sizes side by side, time halved."""

    stride = 2

    def __init__(self, channels: int, width: int, kernel_sizes: tuple[int, ...]) -> None:
        super().__init__()
        widths = [width // len(kernel_sizes)] * len(kernel_sizes)
        widths[0] += width - sum(widths)
        self.scales = nn.ModuleList(
            Conv1d(channels, part, size, stride=2, padding=size // 2, bias=False)
            for part, size in zip(widths, kernel_sizes, strict=True)
        )
        self.norm = nn.Sequential(BatchNorm1d(width), nn.ReLU())

    def forward(self, x: Tensor, mask: Tensor) -> Tensor:
        """Map ``[n, channels, t]`` to ``[n, width, t / 2]``."""
        return masked(self.norm(torch.cat([scale(x) for scale in self.scales], dim=1)), mask)


@MODELS.register("multiscale_transformer")
class MultiScaleTransformer(Network):
    """Convolutions of several sizes, residual blocks with squeeze-and-excitation, then a transformer over time.

    In the spirit of ECGTransForm (El-Ghaish & Eldele, Biomed. Signal Process. Control 89:105714, 2024).
    """

    source = "after El-Ghaish & Eldele, BSPC 2024"
    ignores_padding = True

    def __init__(
        self,
        *,
        input_shape: tuple[int, ...],
        width: Width = 64,
        kernel_sizes: Annotated[tuple[OddKernel, ...], Field(min_length=1)] = (5, 11, 21),
        blocks: Depth = 2,
        heads: Heads = 4,
        depth: Depth = 1,
        expansion: Expansion = 2.0,
        pooling: Pooling = "attention",
        dropout: Dropout = 0.1,
    ) -> None:
        super().__init__()
        channels, length = input_shape
        divisible("multiscale_transformer", width, heads)
        if width < len(kernel_sizes):
            raise BeatwiseError(
                f"model.multiscale_transformer.width: {width} channels cannot be split among {len(kernel_sizes)} "
                f"kernel sizes; use {len(kernel_sizes)} or more."
            )
        stem: list[nn.Module] = [MultiScaleStem(channels, width, kernel_sizes), MaxPool1d()]
        self.convolutions = MaskedSequential(
            [*stem, *(ResidualBlock1d(width, width, 5, reduction=16) for _ in range(blocks))]
        )
        self.positions = Positions(-(-length // 4), width)
        self.blocks = TransformerBlocks(width, heads, depth, expansion, dropout)
        self.pool = Pool1d(pooling, width)
        self.n_features, self.dropout = width, dropout

    def features(self, x: Tensor) -> Tensor:
        """Map signals ``[n, c, t]`` to features."""
        x, mask = self.convolutions(x, beat_mask(x))
        tokens = self.blocks(self.positions(x.transpose(1, 2)), mask)
        return self.pool(tokens.transpose(1, 2), mask)
