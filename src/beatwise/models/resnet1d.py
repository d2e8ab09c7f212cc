"""1D residual network (He et al., CVPR 2016, with convolutions over time)."""

from __future__ import annotations

from typing import Annotated

from pydantic import AfterValidator, Field
from torch import Tensor, nn

from beatwise.models.blocks import Dropout, Head, Width, needs_series
from beatwise.models.registry import MODELS


def _odd(size: int) -> int:
    if size % 2 == 0:
        raise ValueError(f"an even kernel cannot be centred on a sample; got {size}, use {size - 1} or {size + 1}.")
    return size


OddKernel = Annotated[int, Field(ge=1), AfterValidator(_odd)]


class ResidualBlock(nn.Module):
    """Two convolutions with batch normalisation, added to the input (projected where the shape changes)."""

    def __init__(self, before: int, after: int, kernel_size: int, stride: int) -> None:
        super().__init__()
        padding = kernel_size // 2
        self.body = nn.Sequential(
            nn.Conv1d(before, after, kernel_size, stride=stride, padding=padding, bias=False),
            nn.BatchNorm1d(after),
            nn.ReLU(),
            nn.Conv1d(after, after, kernel_size, padding=padding, bias=False),
            nn.BatchNorm1d(after),
        )
        self.shortcut: nn.Module = nn.Identity()
        if stride != 1 or before != after:
            self.shortcut = nn.Sequential(nn.Conv1d(before, after, 1, stride=stride, bias=False), nn.BatchNorm1d(after))
        self.activation = nn.ReLU()

    def forward(self, x: Tensor) -> Tensor:
        """Map ``[n, before, t]`` to ``[n, after, t / stride]``."""
        return self.activation(self.body(x) + self.shortcut(x))


@MODELS.register("resnet1d")
class ResNet1d(nn.Module):
    """Stem, stages of residual blocks that halve time, average over time.

    With the defaults this has the layout of ``resnet1d_10`` of the MAP583 project; two blocks a stage make ``_18``, and
    widths 32, 64, 128, 256 its ``v2``.
    """

    def __init__(
        self,
        *,
        input_shape: tuple[int, ...],
        n_classes: int,
        n_aux: int,
        widths: Annotated[tuple[Width, ...], Field(min_length=1)] = (32, 32, 32, 32),
        blocks_per_stage: Annotated[int, Field(ge=1)] = 1,
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
                layers.append(ResidualBlock(before, after, kernel_size, stride))
                before = after
        self.body = nn.Sequential(*layers, nn.AdaptiveAvgPool1d(1), nn.Flatten())
        self.head = Head(before, n_aux, n_classes, dropout)

    def forward(self, x: Tensor, aux: Tensor) -> Tensor:
        """Map signals ``[n, c, t]`` and auxiliary features to logits ``[n, n_classes]``."""
        return self.head(self.body(x), aux)
