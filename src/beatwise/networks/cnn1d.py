"""Plain 1D convolutional networks."""

from __future__ import annotations

from itertools import pairwise

import torch
from torch import Tensor, nn

from beatwise.core.errors import BeatwiseError
from beatwise.data.padding import beat_mask
from beatwise.networks.base import MODELS, Network
from beatwise.networks.blocks import (
    BatchNorm1d,
    Conv1d,
    Depth,
    Dropout,
    Kernel,
    MaskedSequential,
    OddKernel,
    Pool1d,
    Pooling,
    ResidualBlock1d,
    Width,
    Widths,
    masked,
)


@MODELS.register("cnn1d")
class CNN1d(Network):
    """Convolution, ReLU and max-pool for every width, then one linear layer on all that is left.

    With the defaults and 187 samples this is the 4,773-parameter ``cnn1d_3`` of the MAP583 project.
    """

    source = "MAP583 project"

    def __init__(
        self,
        *,
        input_shape: tuple[int, ...],
        widths: Widths = (8, 32),
        kernel_size: Kernel = 7,
        pool: Kernel = 3,
        dropout: Dropout = 0.0,
    ) -> None:
        super().__init__()
        sizes = [input_shape[0], *widths]
        self.convolutions = nn.Sequential(
            *(
                nn.Sequential(Conv1d(before, after, kernel_size), nn.ReLU(), nn.MaxPool1d(pool))
                for before, after in pairwise(sizes)
            ),
            nn.Flatten(),
        )
        try:
            n_features = self.convolutions(torch.zeros(1, *input_shape)).shape[1]
        except RuntimeError as error:
            raise BeatwiseError(
                f"{input_shape[1]} samples are too few for cnn1d with kernel_size={kernel_size}, "
                f"pool={pool} and {len(widths)} layers: lower model.cnn1d.kernel_size, pool or the number of widths."
            ) from error
        self.n_features, self.dropout = n_features, dropout

    def features(self, x: Tensor) -> Tensor:
        """Map signals ``[n, c, t]`` to features."""
        return self.convolutions(x)


class ConvBlock1d(nn.Module):
    """Convolution over time that keeps its length, ReLU, batch normalisation, dropout."""

    def __init__(
        self, before: int, after: int, kernel_size: int, *, dilation: int = 1, stride: int = 1, dropout: float = 0.0
    ) -> None:
        super().__init__()
        self.stride = stride
        self.layers = nn.Sequential(
            Conv1d(before, after, kernel_size, stride=stride, padding=kernel_size // 2 * dilation, dilation=dilation),
            nn.ReLU(),
            BatchNorm1d(after),
            nn.Dropout(dropout),
        )

    def forward(self, x: Tensor, mask: Tensor | None = None) -> Tensor:
        """Map ``[n, before, t]`` to ``[n, after, t / stride]``; the mask is that of the output."""
        return masked(self.layers(x), mask)


class MaxPool1d(nn.Module):
    """Maximum over three samples around every second one, with zeros beyond the ends."""

    stride = 2

    def __init__(self) -> None:
        super().__init__()
        # MaxPool1d pads with -∞: the end of an example would then depend on whether zeros follow it.
        self.pool = nn.Sequential(nn.ConstantPad1d(1, 0.0), nn.MaxPool1d(3, stride=2))

    def forward(self, x: Tensor, mask: Tensor | None = None) -> Tensor:
        """Map ``[n, c, t]`` to ``[n, c, t / 2]``."""
        return masked(self.pool(x), mask)


def dilated_trunk(
    channels: int, width: int, blocks: int, kernel_size: int, residual: bool, dropout: float
) -> MaskedSequential:
    """Convolutions whose dilation grows by one a block, each with a residual block if asked, then a max-pool.

    The 1D networks of FP-byte's MADS exam have this layout. Time is halved before the blocks, and again after them.
    """
    layers: list[nn.Module] = [ConvBlock1d(channels, width, kernel_size, stride=2)]
    for block in range(blocks):
        layers.append(ConvBlock1d(width, width, kernel_size, dilation=block + 1, dropout=dropout))
        if residual:
            layers.append(ResidualBlock1d(width, width, kernel_size, dropout=dropout))
    return MaskedSequential([*layers, MaxPool1d()])


@MODELS.register("dilated_cnn1d")
class DilatedCNN1d(Network):
    """Dilated convolutions, each followed by a residual block, pooled over time."""

    source = "FP-byte's MADS exam"
    ignores_padding = True

    def __init__(
        self,
        *,
        input_shape: tuple[int, ...],
        width: Width = 64,
        blocks: Depth = 3,
        kernel_size: OddKernel = 3,
        residual: bool = True,
        pooling: Pooling = "max",
        dropout: Dropout = 0.1,
    ) -> None:
        super().__init__()
        channels = input_shape[0]
        self.trunk = dilated_trunk(channels, width, blocks, kernel_size, residual, dropout)
        self.pool = Pool1d(pooling, width)
        self.n_features, self.dropout = width, dropout

    def features(self, x: Tensor) -> Tensor:
        """Map signals ``[n, c, t]`` to features."""
        return self.pool(*self.trunk(x, beat_mask(x)))
