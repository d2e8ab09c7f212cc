"""2D residual networks over images."""

from __future__ import annotations

from torch import Tensor, nn

from beatwise.networks.base import MODELS, Network
from beatwise.networks.blocks import Depth, Dropout, ImagePooling, PoolImage, ResidualBlock2d, Width
from beatwise.networks.cnn2d import halve_image, n_pixels_halved


@MODELS.register("resnet2d")
class ResNet2d(Network):
    """Convolution, stages of residual blocks that end in a max-pool, a dense layer; the width doubles by stage."""

    layout = "image"
    representation = "image"
    source = "He et al., CVPR 2016; FP-byte's MADS exam"

    def __init__(
        self,
        *,
        input_shape: tuple[int, ...],
        width: Width = 32,
        blocks: Depth = 1,
        stages: Depth = 1,
        squeeze_excite: bool = False,
        pooling: ImagePooling = "flatten",
        dropout: Dropout = 0.3,
    ) -> None:
        super().__init__()
        channels, *size = input_shape
        layers: list[nn.Module] = [nn.Conv2d(channels, width, 3, padding=1), nn.ReLU(), nn.BatchNorm2d(width)]
        after = width
        for stage in range(stages):
            before, after = after, width * 2**stage
            layers.append(ResidualBlock2d(before, after, squeeze_excite=squeeze_excite))
            layers += [ResidualBlock2d(after, after, squeeze_excite=squeeze_excite) for _ in range(blocks - 1)]
            layers.append(halve_image())
        self.body = nn.Sequential(*layers)
        self.pool = PoolImage(pooling, after, n_pixels_halved(*size, times=stages))
        self.dense = nn.Sequential(nn.Linear(self.pool.n_features, after), nn.ReLU())
        self.n_features, self.dropout = after, dropout

    def features(self, x: Tensor) -> Tensor:
        """Map images ``[n, c, height, width]`` to features."""
        return self.dense(self.pool(self.body(x)))
