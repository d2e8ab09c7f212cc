"""Transformers over the pixels or patches of an image."""

from __future__ import annotations

import torch
from torch import Tensor, nn

from beatwise.networks.base import MODELS, Network
from beatwise.networks.blocks import (
    Depth,
    Dropout,
    Expansion,
    Heads,
    Kernel,
    Pool1d,
    Pooling,
    Positions,
    ResidualBlock2d,
    SqueezeExcite,
    TransformerBlocks,
    Width,
    divisible,
)
from beatwise.networks.cnn2d import ConvBlock2d, Convolution2d, halve_image, n_pixels_halved


@MODELS.register("transformer2d")
class Transformer2d(Network):
    """Convolutions that halve the image, a transformer over its pixels, pooling, a dense layer.

    The image is halved by a strided convolution before residual blocks, or by a max-pool after plain ones.
    """

    layout = "image"
    representation = "image"
    source = "Vaswani et al., NeurIPS 2017; FP-byte's MADS exam"

    def __init__(
        self,
        *,
        input_shape: tuple[int, ...],
        width: Width = 32,
        blocks: Depth = 1,
        residual: bool = True,
        squeeze_excite: bool = False,
        heads: Heads = 4,
        depth: Depth = 2,
        expansion: Expansion = 2.0,
        pooling: Pooling = "mean",
        dropout: Dropout = 0.1,
    ) -> None:
        super().__init__()
        channels, *size = input_shape
        divisible("transformer2d", width, heads)
        layers: list[nn.Module]
        if residual:
            layers = [Convolution2d(channels, width, 3, normalise=True, stride=2)]
            layers += [ResidualBlock2d(width, width) for _ in range(blocks)]
        else:
            layers = [ConvBlock2d(width if block else channels, width, normalise=True) for block in range(blocks)]
            layers.append(halve_image())
        if squeeze_excite:
            layers.append(SqueezeExcite(width))
        self.tokens = nn.Sequential(*layers, nn.Flatten(2))
        self.positions = Positions(n_pixels_halved(*size), width)
        self.blocks = TransformerBlocks(width, heads, depth, expansion, dropout)
        self.pool = Pool1d(pooling, width)
        self.dense = nn.Sequential(nn.Linear(width, width), nn.ReLU())
        self.n_features, self.dropout = width, dropout

    def features(self, x: Tensor) -> Tensor:
        """Map images ``[n, c, height, width]`` to features."""
        tokens = self.blocks(self.positions(self.tokens(x).transpose(1, 2)))
        return self.dense(self.pool(tokens.transpose(1, 2)))


@MODELS.register("vit")
class VisionTransformer(Network):
    """Patches of the image as tokens with learned positions, a transformer, pooling."""

    layout = "image"
    representation = "image"
    source = "Dosovitskiy et al., ICLR 2021; CELL assignment"

    def __init__(
        self,
        *,
        input_shape: tuple[int, ...],
        patch_height: Kernel = 4,
        patch_width: Kernel = 3,
        width: Width = 64,
        heads: Heads = 4,
        depth: Depth = 3,
        expansion: Expansion = 4.0,
        pooling: Pooling = "mean",
        dropout: Dropout = 0.1,
    ) -> None:
        super().__init__()
        channels, image_height, image_width = input_shape
        divisible("vit", width, heads)
        # Zeros at the right and below, until the patches divide the image.
        self.pad = nn.ZeroPad2d((0, -image_width % patch_width, 0, -image_height % patch_height))
        patch = (patch_height, patch_width)
        self.patches = nn.Sequential(nn.Conv2d(channels, width, patch, stride=patch), nn.Flatten(2))
        n_patches = -(-image_height // patch_height) * -(-image_width // patch_width)
        self.positions = nn.Parameter(torch.empty(n_patches, width))
        nn.init.normal_(self.positions, std=0.02)
        self.blocks = TransformerBlocks(width, heads, depth, expansion, dropout)
        self.pool = Pool1d(pooling, width)
        self.n_features, self.dropout = width, dropout

    def features(self, x: Tensor) -> Tensor:
        """Map images ``[n, c, height, width]`` to features."""
        tokens = self.patches(self.pad(x)).transpose(1, 2)
        tokens = self.blocks(tokens + self.positions)
        return self.pool(tokens.transpose(1, 2))
