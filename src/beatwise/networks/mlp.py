"""Multi-layer perceptron on the flattened representation."""

from __future__ import annotations

from itertools import pairwise
from math import prod

from torch import Tensor, nn

from beatwise.networks.base import MODELS, Network
from beatwise.networks.blocks import Depth, Dropout, Width


@MODELS.register("mlp")
class MLP(Network):
    """Hidden layers of one width with LeakyReLU and dropout, on any representation.

    On the scalogram, with width 2048, this is the wavelet network of A. Telfer's ECG project, with dropout.
    """

    source = "A. Telfer's ECG project"
    layout = "any"

    def __init__(
        self,
        *,
        input_shape: tuple[int, ...],
        width: Width = 256,
        layers: Depth = 2,
        dropout: Dropout = 0.2,
    ) -> None:
        super().__init__()
        sizes = [prod(input_shape), *[width] * layers]
        self.hidden = nn.Sequential(
            nn.Flatten(),
            *(
                nn.Sequential(nn.Linear(before, after), nn.LeakyReLU(), nn.Dropout(dropout))
                for before, after in pairwise(sizes)
            ),
        )
        self.n_features = width

    def features(self, x: Tensor) -> Tensor:
        """Map any representation to features."""
        return self.hidden(x)
