"""2D residual networks over images."""

from __future__ import annotations

from torch import Tensor, nn

from beatwise.networks.base import MODELS, Network
from beatwise.networks.blocks import Depth, Dropout, ImagePooling, PoolImage, ResidualBlock2d, Width
from beatwise.networks.cnn2d import halve_image, n_pixels_halved


@MODELS.register("resnet2d")
class ResNet2d(Network):
    """Convolution, residual blocks at full resolution, one max-pool, a dense layer."""

    layout = "image"
    representation = "image"
    source = "He et al., CVPR 2016; FP-byte's MADS exam"

    def __init__(
        self,
        *,
        input_shape: tuple[int, ...],
        width: Width = 32,
        blocks: Depth = 1,
        squeeze_excite: bool = False,
        pooling: ImagePooling = "flatten",
        dropout: Dropout = 0.3,
    ) -> None:
        super().__init__()
        channels, *size = input_shape
        self.body = nn.Sequential(
            nn.Conv2d(channels, width, 3, padding=1),
            nn.ReLU(),
            nn.BatchNorm2d(width),
            *(ResidualBlock2d(width, width, squeeze_excite=squeeze_excite) for _ in range(blocks)),
            halve_image(),
        )
        self.pool = PoolImage(pooling, width, n_pixels_halved(*size))
        self.dense = nn.Sequential(nn.Linear(self.pool.n_features, width), nn.ReLU())
        self.n_features, self.dropout = width, dropout

    def features(self, x: Tensor) -> Tensor:
        """Map images ``[n, c, height, width]`` to features."""
        return self.dense(self.pool(self.body(x)))
