"""1D residual networks (He et al., CVPR 2016, with convolutions over time)."""

from __future__ import annotations

from typing import Annotated, Literal

import torch
from pydantic import Field
from torch import Tensor, nn

from beatwise.core.errors import BeatwiseError
from beatwise.networks.base import MODELS, Network
from beatwise.networks.blocks import (
    BatchNorm1d,
    Conv1d,
    Depth,
    Dropout,
    OddKernel,
    ResidualBlock1d,
    Width,
    Widths,
)


def residual_stages(
    channels: int,
    widths: tuple[int, ...],
    blocks_per_stage: int,
    kernel_size: int,
    *,
    strides: tuple[int, ...] = (),
    stem_width: int | None = None,
    stem_kernel: int | None = None,
    reduction: int | None = None,
    mean_shortcut: bool = False,
    dropout: float = 0.0,
) -> nn.Sequential:
    """A stem that halves time, and stages of residual blocks that halve it again from the second on.

    Args:
        channels: Channels of the input.
        widths: Channels of each stage.
        blocks_per_stage: Residual blocks of each stage.
        kernel_size: Length of every kernel, in samples.
        strides: Stride of each stage, in place of 1 and then 2.
        stem_width: Channels of the stem; None is those of the first stage.
        stem_kernel: Length of the stem's kernel, in samples; None is that of the others.
        reduction: By what squeeze-and-excitation divides the width of a block inside; None is without it.
        mean_shortcut: Whether shortcuts with a stride take means over it.
        dropout: Dropout inside the blocks.

    Returns:
        Maps ``[n, channels, t]`` to ``[n, widths[-1], t']``.
    """
    stem, before = stem_kernel or kernel_size, stem_width or widths[0]
    strides = strides or (1, *(2 for _ in widths[1:]))
    layers: list[nn.Module] = [
        Conv1d(channels, before, stem, padding=stem // 2, bias=False),
        BatchNorm1d(before),
        nn.ReLU(),
        nn.MaxPool1d(3, stride=2, padding=1),
    ]
    for after, of_stage in zip(widths, strides, strict=True):
        for block in range(blocks_per_stage):
            stride = of_stage if block == 0 else 1
            layers.append(
                ResidualBlock1d(
                    before,
                    after,
                    kernel_size,
                    stride=stride,
                    reduction=reduction,
                    mean_shortcut=mean_shortcut,
                    dropout=dropout,
                )
            )
            before = after
    return nn.Sequential(*layers)


class DifferenceAndRamp(nn.Module):
    """Two more channels, made after augmentation: the difference to the sample before, and how far along a sample is.

    Both are zero outside the mask, the second channel, where there is one.
    """

    def forward(self, x: Tensor) -> Tensor:
        """Map ``[n, c, t]`` to ``[n, c + 2, t]``."""
        difference = 4 * nn.functional.pad(x[:, :1].diff(dim=2), (1, 0))
        ramp = torch.linspace(0, 1, x.shape[2], device=x.device).expand_as(difference)
        added = torch.cat([difference, ramp], dim=1)
        return torch.cat([x, added * x[:, 1:2] if x.shape[1] > 1 else added], dim=1)


class MeanAndMax(nn.Module):
    """The mean and the maximum over time side by side."""

    def forward(self, x: Tensor) -> Tensor:
        """Map ``[n, c, t]`` to ``[n, 2 c]``."""
        return torch.cat([x.mean(dim=2), x.amax(dim=2)], dim=1)


@MODELS.register("resnet1d")
class ResNet1d(Network):
    """Stem, stages of residual blocks that halve time, mean over time.

    With the defaults this has the layout of ``resnet1d_10`` of the MAP583 project; two blocks a stage make ``_18``, and
    widths 32, 64, 128, 254 its ``v2``.
    """

    source = "He et al., CVPR 2016; MAP583 project"

    def __init__(
        self,
        *,
        input_shape: tuple[int, ...],
        widths: Widths = (32, 32, 32, 32),
        blocks_per_stage: Depth = 1,
        kernel_size: OddKernel = 5,
        dropout: Dropout = 0.0,
    ) -> None:
        super().__init__()
        stages = residual_stages(input_shape[0], widths, blocks_per_stage, kernel_size)
        self.body = nn.Sequential(*stages, nn.AdaptiveAvgPool1d(1), nn.Flatten())
        self.n_features, self.dropout = widths[-1], dropout

    def features(self, x: Tensor) -> Tensor:
        """Map signals ``[n, c, t]`` to features."""
        return self.body(x)


@MODELS.register("se_resnet1d")
class SEResNet1d(Network):
    """Residual network with squeeze-and-excitation with the padding mask as a second channel.

    It is no model of the earlier projects. The mean over all of time, padding included, depends on the length of an
    example; a mean up to its end does not.

    Raises:
        BeatwiseError: If there is not one stride a stage.
    """

    representation = "signal_with_mask"
    source = "He et al., CVPR 2016; Hu et al., CVPR 2018"

    def __init__(
        self,
        *,
        input_shape: tuple[int, ...],
        widths: Widths = (32, 48, 64, 96),
        blocks_per_stage: Depth = 1,
        kernel_size: OddKernel = 7,
        stem_width: Width | None = None,
        stem_kernel: OddKernel | None = None,
        strides: tuple[Annotated[int, Field(ge=1)], ...] = (),
        pooling: Literal["mean", "mean_and_max"] = "mean",
        difference_and_ramp: bool = False,
        reduction: Annotated[int, Field(ge=1, le=64)] = 16,
        mean_shortcut: bool = False,
        dropout: Dropout = 0.1,
        block_dropout: Dropout = 0.0,
    ) -> None:
        super().__init__()
        if strides and len(strides) != len(widths):
            raise BeatwiseError(
                f"model.se_resnet1d.strides: {list(strides)} has {len(strides)} numbers for {len(widths)} stages "
                "(widths). Give one a stage, or leave it empty."
            )
        stages = residual_stages(
            input_shape[0] + 2 * difference_and_ramp,
            widths,
            blocks_per_stage,
            kernel_size,
            strides=strides,
            stem_width=stem_width,
            stem_kernel=stem_kernel,
            reduction=reduction,
            mean_shortcut=mean_shortcut,
            dropout=block_dropout,
        )
        both = pooling == "mean_and_max"
        pool = [MeanAndMax()] if both else [nn.AdaptiveAvgPool1d(1), nn.Flatten()]
        added = [DifferenceAndRamp()] if difference_and_ramp else []
        self.body = nn.Sequential(*added, *stages, *pool)
        self.n_features, self.dropout = widths[-1] * (1 + both), dropout

    def features(self, x: Tensor) -> Tensor:
        """Map signals with their mask ``[n, 2, t]``, or any other series, to features."""
        return self.body(x)
