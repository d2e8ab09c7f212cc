"""The objective of one training, as its task sets it up."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass

from torch import Tensor


@dataclass(frozen=True, eq=False)
class Objective:
    """Targets, loss and sampling of one training part.

    Attributes:
        loss: From outputs and targets of a batch, each ``float32 [n, n_outputs]``, to its mean loss, a scalar; with the
            reduction ``"none"`` to the loss of each example, ``float32 [n]``.
        target: From rows of the training part, ``int64 [n]``, to their targets, ``float32 [n, n_outputs]``.
        draw_weights: How often each example is drawn against others, ``float64 [n_train]``; None visits each once.
        initial_bias: Outputs that predict what is known without looking at an example, ``float32 [n_outputs]``.
    """

    loss: Callable[..., Tensor]
    target: Callable[[Tensor], Tensor]
    draw_weights: Tensor | None
    initial_bias: Tensor
