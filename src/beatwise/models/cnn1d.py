"""A small plain 1D convolutional network."""

from __future__ import annotations

from itertools import pairwise

import torch
from torch import Tensor, nn

from beatwise.errors import BeatwiseError
from beatwise.models.blocks import Dropout, Head, Kernel, Width, needs_series
from beatwise.models.registry import MODELS


@MODELS.register("cnn1d")
class CNN1d(nn.Module):
    """Convolution, ReLU, max-pool for every width, then one linear layer on what is left of time.

    With the defaults and 187 samples this is the 4,773-parameter ``cnn1d_3`` of the MAP583 project.
    """

    def __init__(
        self,
        *,
        input_shape: tuple[int, ...],
        n_classes: int,
        n_aux: int,
        widths: tuple[Width, ...] = (8, 32),
        kernel_size: Kernel = 7,
        pool: Kernel = 3,
        dropout: Dropout = 0.0,
    ) -> None:
        super().__init__()
        sizes = [needs_series("cnn1d", input_shape), *widths]
        self.convolutions = nn.Sequential(
            *(
                nn.Sequential(nn.Conv1d(before, after, kernel_size), nn.ReLU(), nn.MaxPool1d(pool))
                for before, after in pairwise(sizes)
            ),
            nn.Flatten(),
        )
        try:
            n_features = self.convolutions(torch.zeros(1, *input_shape)).shape[1]
        except RuntimeError as error:
            raise BeatwiseError(
                f"Beats of {input_shape[1]} samples are too short for cnn1d with kernel_size={kernel_size}, "
                f"pool={pool} and {len(widths)} layers: lower model.cnn1d.kernel_size, pool or the number of widths."
            ) from error
        self.head = Head(n_features, n_aux, n_classes, dropout)

    def forward(self, x: Tensor, aux: Tensor) -> Tensor:
        """Map signals ``[n, c, t]`` and auxiliary features to logits ``[n, n_classes]``."""
        return self.head(self.convolutions(x), aux)
