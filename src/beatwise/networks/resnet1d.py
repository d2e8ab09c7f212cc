"""1D residual networks (He et al., CVPR 2016, with convolutions over time)."""

from __future__ import annotations

from torch import Tensor, nn

from beatwise.networks.base import MODELS, Network
from beatwise.networks.blocks import (
    BatchNorm1d,
    Conv1d,
    Depth,
    Dropout,
    OddKernel,
    ResidualBlock1d,
    Widths,
)


def residual_stages(
    channels: int,
    widths: tuple[int, ...],
    blocks_per_stage: int,
    kernel_size: int,
    *,
    squeeze_excite: bool = False,
    dropout: float = 0.0,
) -> nn.Sequential:
    """A stem that halves time, stages of residual blocks that halve it again from the second on, the mean over time.

    Args:
        channels: Channels of the input.
        widths: Channels of each stage.
        blocks_per_stage: Residual blocks of each stage.
        kernel_size: Length of every kernel, in samples.
        squeeze_excite: Whether blocks weight their channels.
        dropout: Dropout inside the blocks.

    Returns:
        Maps ``[n, channels, t]`` to ``[n, widths[-1]]``.
    """
    layers: list[nn.Module] = [
        Conv1d(channels, widths[0], kernel_size, padding=kernel_size // 2, bias=False),
        BatchNorm1d(widths[0]),
        nn.ReLU(),
        nn.MaxPool1d(3, stride=2, padding=1),
    ]
    before = widths[0]
    for stage, after in enumerate(widths):
        for block in range(blocks_per_stage):
            stride = 2 if stage > 0 and block == 0 else 1
            layers.append(
                ResidualBlock1d(
                    before, after, kernel_size, stride=stride, squeeze_excite=squeeze_excite, dropout=dropout
                )
            )
            before = after
    return nn.Sequential(*layers, nn.AdaptiveAvgPool1d(1), nn.Flatten())


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
        self.body = residual_stages(input_shape[0], widths, blocks_per_stage, kernel_size)
        self.n_features, self.dropout = widths[-1], dropout

    def features(self, x: Tensor) -> Tensor:
        """Map signals ``[n, c, t]`` to features."""
        return self.body(x)


@MODELS.register("se_resnet1d")
class SEResNet1d(Network):
    """Residual network with squeeze-and-excitation with the padding mask as a second channel.

    It is no model of the earlier projects. The mean over all of time, padding included, depends on the length of an
    example; a mean up to its end does not.
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
        dropout: Dropout = 0.1,
        block_dropout: Dropout = 0.0,
    ) -> None:
        super().__init__()
        self.body = residual_stages(
            input_shape[0],
            widths,
            blocks_per_stage,
            kernel_size,
            squeeze_excite=True,
            dropout=block_dropout,
        )
        self.n_features, self.dropout = widths[-1], dropout

    def features(self, x: Tensor) -> Tensor:
        """Map signals with their mask ``[n, 2, t]``, or any other series, to features."""
        return self.body(x)
