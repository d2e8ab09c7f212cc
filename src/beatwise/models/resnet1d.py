"""1D residual networks (He et al., CVPR 2016, with convolutions over time)."""

from __future__ import annotations

import torch
from torch import Tensor, nn

from beatwise.models.blocks import (
    Depth,
    Dropout,
    Head,
    MaskedSequential,
    OddKernel,
    Pool1d,
    Pooling,
    ResidualBlock1d,
    Widths,
    needs_series,
)
from beatwise.models.cnn1d import ConvBlock1d
from beatwise.models.registry import MODELS, BeatModel
from beatwise.padding import beat_mask


@MODELS.register("resnet1d")
class ResNet1d(BeatModel):
    """Stem, stages of residual blocks that halve time, mean over time.

    With the defaults this has the layout of ``resnet1d_10`` of the MAP583 project; two blocks a stage make ``_18``, and
    widths 32, 64, 128, 254 its ``v2``.
    """

    source = "He et al., CVPR 2016; MAP583 project"

    def __init__(
        self,
        *,
        input_shape: tuple[int, ...],
        n_classes: int,
        n_aux: int,
        widths: Widths = (32, 32, 32, 32),
        blocks_per_stage: Depth = 1,
        kernel_size: OddKernel = 5,
        dropout: Dropout = 0.0,
    ) -> None:
        super().__init__()
        channels = needs_series("resnet1d", input_shape)
        layers: list[nn.Module] = [
            nn.Conv1d(channels, widths[0], kernel_size, padding=kernel_size // 2, bias=False),
            nn.BatchNorm1d(widths[0]),
            nn.ReLU(),
            nn.MaxPool1d(3, stride=2, padding=1),
        ]
        before = widths[0]
        for stage, after in enumerate(widths):
            for block in range(blocks_per_stage):
                stride = 2 if stage > 0 and block == 0 else 1
                layers.append(ResidualBlock1d(before, after, kernel_size, stride=stride))
                before = after
        self.body = nn.Sequential(*layers, nn.AdaptiveAvgPool1d(1), nn.Flatten())
        self.head = Head(before, n_aux, n_classes, dropout)

    def forward(self, x: Tensor, aux: Tensor) -> Tensor:
        """Map signals ``[n, c, t]`` to logits."""
        return self.head(self.body(x), aux)


@MODELS.register("se_resnet1d")
class SEResNet1d(BeatModel):
    """Residual network with squeeze-and-excitation, padding masked throughout, positions as an input channel.

    Goes beyond the earlier projects. Positions (0 at the first sample, 1 at the last that fits) tell early from late,
    and how long a beat is, which a mean over the beat would forget.
    """

    source = "He et al., CVPR 2016; Hu et al., CVPR 2018"
    ignores_padding = True

    def __init__(
        self,
        *,
        input_shape: tuple[int, ...],
        n_classes: int,
        n_aux: int,
        widths: Widths = (32, 64, 96, 128),
        blocks_per_stage: Depth = 1,
        stem_kernel_size: OddKernel = 11,
        kernel_size: OddKernel = 5,
        pooling: Pooling = "mean",
        dropout: Dropout = 0.2,
        block_dropout: Dropout = 0.0,
    ) -> None:
        super().__init__()
        channels, self.length = needs_series("se_resnet1d", input_shape), input_shape[1]
        layers: list[nn.Module] = [ConvBlock1d(channels + 1, widths[0], stem_kernel_size, stride=2)]
        before = widths[0]
        for stage, after in enumerate(widths):
            for block in range(blocks_per_stage):
                stride = 2 if stage > 0 and block == 0 else 1
                layers.append(
                    ResidualBlock1d(
                        before, after, kernel_size, stride=stride, squeeze_excite=True, dropout=block_dropout
                    )
                )
                before = after
        self.body = MaskedSequential(layers)
        self.pool = Pool1d(pooling, before)
        self.head = Head(before, n_aux, n_classes, dropout)

    def forward(self, x: Tensor, aux: Tensor) -> Tensor:
        """Map signals ``[n, c, t]`` to logits."""
        mask = beat_mask(x)
        position = torch.arange(x.shape[2], device=x.device) / self.length
        with_position = torch.cat([x, (position * mask)[:, None, :]], dim=1)
        return self.head(self.pool(*self.body(with_position, mask)), aux)
