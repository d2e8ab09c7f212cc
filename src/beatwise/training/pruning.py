"""Easy examples left out of an epoch (InfoBatch, Qin et al., ICLR 2024)."""

from __future__ import annotations

import math
from dataclasses import dataclass
from typing import Final

import torch
from torch import Tensor

# Share of the epochs, the last ones, at least one, that visit all examples (1 - δ of the paper).
WHOLE: Final = 0.125


@dataclass(eq=False)
class Pruning:
    """Which examples an epoch leaves out, and how much those kept count.

    An example is easy when its last loss is below the mean of all. Each epoch leaves out a share of the easy ones,
    drawn anew, and the loss of the others counts 1 / (1 - share). The expected gradient of an epoch, summed over its
    steps, stays that of all examples; there are fewer steps, each with a larger gradient, which AdamW evens out and
    ``gradient_clip`` sees. Mixup draws partners among the examples of the epoch; a pair counts what its first does.

    Attributes:
        share: Share of the easy examples that is left out.
        epochs: Epochs of the training.
        losses: The last loss of each example, ``float32 [n]``; infinite before its first.
        weights: What the loss of each example counts in this epoch, ``float32 [n]``.
    """

    share: float
    epochs: int
    losses: Tensor
    weights: Tensor

    @classmethod
    def of(cls, n: int, share: float, epochs: int, device: torch.device) -> Pruning:
        """Before the first epoch over ``n`` examples."""
        return cls(share, epochs, torch.full((n,), torch.inf, device=device), torch.ones(n, device=device))

    def draw(self, done: int) -> Tensor:
        """The rows that an epoch visits, ascending, ``int64 [m]``; sets the weights.

        Args:
            done: Epochs before this one.
        """
        self.weights.fill_(1)
        if done == 0 or done >= self.epochs - math.ceil(WHOLE * self.epochs):
            return torch.arange(len(self.losses), device=self.losses.device)
        easy = self.losses < self.losses[self.losses.isfinite()].mean()
        self.weights[easy] = 1 / (1 - self.share)
        return (~easy | (torch.rand(len(easy), device=easy.device) >= self.share)).nonzero().squeeze(1)

    def weighted(self, rows: Tensor, each: Tensor) -> Tensor:
        """The mean loss of a batch, a scalar, from the loss of each of its rows, which is remembered."""
        self.losses[rows] = each.detach()
        return (each * self.weights[rows]).mean()
