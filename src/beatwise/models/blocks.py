"""Blocks that several model families share."""

from __future__ import annotations

from typing import Annotated

import torch
from pydantic import Field
from torch import Tensor, nn

from beatwise.errors import BeatwiseError

Width = Annotated[int, Field(ge=1)]
Kernel = Annotated[int, Field(ge=1)]
Dropout = Annotated[float, Field(ge=0, lt=1)]


class Head(nn.Module):
    """The last layer: dropout, auxiliary features put beside the network's own, one linear map to logits."""

    def __init__(self, n_features: int, n_aux: int, n_classes: int, dropout: float) -> None:
        super().__init__()
        self.dropout = nn.Dropout(dropout)
        self.linear = nn.Linear(n_features + n_aux, n_classes)

    def forward(self, features: Tensor, aux: Tensor) -> Tensor:
        """Map ``[n, n_features]`` and ``[n, n_aux]`` to logits ``[n, n_classes]``."""
        return self.linear(torch.cat([self.dropout(features), aux], dim=1))


def needs_series(model: str, input_shape: tuple[int, ...]) -> int:
    """The number of channels of a 1D representation.

    Raises:
        BeatwiseError: If the representation is not one of channels over time.
    """
    if len(input_shape) != 2:
        raise BeatwiseError(
            f"The model {model!r} takes channels over time [c, t], not {list(input_shape)}: use "
            "tensors.use=signal, signal_with_mask or scalogram."
        )
    return input_shape[0]
