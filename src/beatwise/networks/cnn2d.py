"""Plain 2D convolutional networks over images."""

from __future__ import annotations

from itertools import pairwise
from typing import Annotated

import torch
from pydantic import Field
from torch import Tensor, nn

from beatwise.networks.base import MODELS, Network
from beatwise.networks.blocks import (
    Depth,
    Dropout,
    ImagePooling,
    OddKernel,
    PoolImage,
    Width,
    Widths,
)

Share = Annotated[float, Field(gt=0, le=1)]


class Convolution2d(nn.Sequential):
    """Convolution that keeps the image's size, batch normalisation if asked, ReLU."""

    def __init__(self, before: int, after: int, kernel_size: int, *, normalise: bool, stride: int = 1) -> None:
        super().__init__(
            nn.Conv2d(before, after, kernel_size, stride=stride, padding=kernel_size // 2, bias=not normalise),
            nn.BatchNorm2d(after) if normalise else nn.Identity(),
            nn.ReLU(),
        )


class ConvBlock2d(nn.Sequential):
    """Two 3 × 3 convolutions, ``[n, before, height, width]`` to ``[n, after, height, width]``."""

    def __init__(self, before: int, after: int, *, normalise: bool) -> None:
        super().__init__(
            Convolution2d(before, after, 3, normalise=normalise), Convolution2d(after, after, 3, normalise=normalise)
        )


def halve_image() -> nn.MaxPool2d:
    """Maximum over 2 × 2 pixels; an odd last row or column is kept, so that no image is too small."""
    return nn.MaxPool2d(2, ceil_mode=True)


def n_pixels_halved(height: int, width: int, *, times: int = 1) -> int:
    """Pixels of an image that was halved by :func:`halve_image`."""
    return -(-height // 2**times) * -(-width // 2**times)


@MODELS.register("cnn2d")
class CNN2d(Network):
    """Blocks of two 3 × 3 convolutions at full resolution, one max-pool, a dense layer."""

    layout = "image"
    representation = "image"
    source = "FP-byte's MADS exam"

    def __init__(
        self,
        *,
        input_shape: tuple[int, ...],
        width: Width = 32,
        blocks: Depth = 1,
        normalise: bool = True,
        pooling: ImagePooling = "flatten",
        dropout: Dropout = 0.2,
    ) -> None:
        super().__init__()
        channels, *size = input_shape
        self.convolutions = nn.Sequential(
            ConvBlock2d(channels, width, normalise=normalise),
            *(ConvBlock2d(width, width, normalise=normalise) for _ in range(blocks)),
            halve_image(),
        )
        self.pool = PoolImage(pooling, width, n_pixels_halved(*size))
        self.dense = nn.Sequential(nn.Linear(self.pool.n_features, width), nn.ReLU())
        self.n_features, self.dropout = width, dropout

    def features(self, x: Tensor) -> Tensor:
        """Map images ``[n, c, height, width]`` to features."""
        return self.dense(self.pool(self.convolutions(x)))


@MODELS.register("cell_cnn2d")
class CellCNN2d(Network):
    """Convolution and max-pool, blocks of convolution, normalisation, ReLU and dropout, mean over the image."""

    layout = "image"
    representation = "image"
    source = "CELL assignment"

    def __init__(
        self,
        *,
        input_shape: tuple[int, ...],
        width: Width = 48,
        blocks: Depth = 4,
        pooling: ImagePooling = "mean",
        dropout: Dropout = 0.1,
    ) -> None:
        super().__init__()
        channels, *size = input_shape
        self.convolutions = nn.Sequential(
            Convolution2d(channels, width, 3, normalise=False),
            halve_image(),
            *(
                nn.Sequential(Convolution2d(width, width, 3, normalise=True), nn.Dropout(dropout))
                for _ in range(blocks)
            ),
        )
        self.pool = PoolImage(pooling, width, n_pixels_halved(*size))
        self.dense = nn.Sequential(nn.Linear(self.pool.n_features, width), nn.ReLU())
        self.n_features, self.dropout = width, dropout

    def features(self, x: Tensor) -> Tensor:
        """Map images ``[n, c, height, width]`` to features."""
        return self.dense(self.pool(self.convolutions(x)))


@MODELS.register("lenet5")
class LeNet5(Network):
    """Two 5 × 5 convolutions, each with a max-pool, and two dense layers; ReLU where 1998 had the tangent."""

    layout = "image"
    representation = "image"
    source = "LeCun et al., Proc. IEEE 1998; MAP583 project"

    def __init__(
        self,
        *,
        input_shape: tuple[int, ...],
        widths: Widths = (6, 16),
        kernel_size: OddKernel = 5,
        dense_widths: Widths = (120, 84),
        dropout: Dropout = 0.0,
    ) -> None:
        super().__init__()
        channels, *size = input_shape
        self.convolutions = nn.Sequential(
            *(
                nn.Sequential(Convolution2d(before, after, kernel_size, normalise=False), halve_image())
                for before, after in pairwise([channels, *widths])
            ),
            nn.Flatten(),
        )
        n_features = widths[-1] * n_pixels_halved(*size, times=len(widths))
        self.dense = nn.Sequential(
            *(
                nn.Sequential(nn.Linear(before, after), nn.ReLU())
                for before, after in pairwise([n_features, *dense_widths])
            )
        )
        self.n_features, self.dropout = dense_widths[-1], dropout

    def features(self, x: Tensor) -> Tensor:
        """Map images ``[n, c, height, width]`` to features."""
        return self.dense(self.convolutions(x))


class Fire(nn.Module):
    """Channels squeezed by 1 × 1 convolutions, then expanded by as many 1 × 1 as 3 × 3 ones."""

    def __init__(self, before: int, after: int, *, squeeze: float, normalise: bool) -> None:
        super().__init__()
        squeezed = max(round(after * squeeze), 1)
        self.squeeze = Convolution2d(before, squeezed, 1, normalise=normalise)
        self.one = Convolution2d(squeezed, after - after // 2, 1, normalise=normalise)
        self.three = Convolution2d(squeezed, after // 2, 3, normalise=normalise)

    def forward(self, x: Tensor) -> Tensor:
        """Map ``[n, before, height, width]`` to ``[n, after, height, width]``."""
        x = self.squeeze(x)
        return torch.cat([self.one(x), self.three(x)], dim=1)


@MODELS.register("squeezenet")
class SqueezeNet(Network):
    """Fire modules in stages that halve the image, mean over what is left of it."""

    layout = "image"
    representation = "image"
    source = "Iandola et al., arXiv 1602.07360; MAP583 project"

    def __init__(
        self,
        *,
        input_shape: tuple[int, ...],
        widths: Annotated[tuple[Annotated[int, Field(ge=2)], ...], Field(min_length=1)] = (32, 64, 128),
        fires_per_stage: Depth = 2,
        squeeze: Share = 0.25,
        normalise: bool = True,
        pooling: ImagePooling = "mean",
        dropout: Dropout = 0.2,
    ) -> None:
        super().__init__()
        channels, *size = input_shape
        layers: list[nn.Module] = [Convolution2d(channels, widths[0], 3, normalise=normalise)]
        before = widths[0]
        for after in widths:
            layers.append(halve_image())
            for _ in range(fires_per_stage):
                layers.append(Fire(before, after, squeeze=squeeze, normalise=normalise))
                before = after
        self.body = nn.Sequential(*layers)
        self.pool = PoolImage(pooling, before, n_pixels_halved(*size, times=len(widths)))
        self.n_features, self.dropout = self.pool.n_features, dropout

    def features(self, x: Tensor) -> Tensor:
        """Map images ``[n, c, height, width]`` to features."""
        return self.pool(self.body(x))
