"""Base class of losses: a loss judges the outputs of a network, and decodes the outputs that it has trained."""

from __future__ import annotations

from typing import ClassVar, Literal

from torch import Tensor

from beatwise.core.registry import Registry

Reduction = Literal["mean", "none"]


class Loss:
    """One loss; a subclass is a frozen dataclass whose fields are its options.

    Attributes:
        task: Name of the task that it belongs to.
    """

    task: ClassVar[str]

    def __call__(
        self, outputs: Tensor, target: Tensor, weights: Tensor, log_prior: Tensor, reduction: Reduction = "mean"
    ) -> Tensor:
        """The mean loss of a batch, a scalar, or the loss of each example, ``float32 [n]``.

        Args:
            outputs: ``float32 [n, n_outputs]``.
            target: ``float32 [n, n_outputs]``; of a classification the shares of the classes, whose rows add up to 1
                (mixup makes others than 0 and 1).
            weights: Weights of the classes, ``float32 [n_outputs]``; 1 for any other task.
            log_prior: Logarithm of the share of each class among the examples that are drawn, ``float32 [n_outputs]``;
                0 for any other task.
            reduction: ``"mean"``, or ``"none"`` for the loss of each example.
        """
        raise NotImplementedError

    def decode(self, outputs: Tensor) -> Tensor:
        """Decoded outputs, ``float32 [n, n_outputs]``: probabilities, or standardised numbers."""
        return outputs

    def initial_bias(self, log_prior: Tensor, least: float) -> Tensor:
        """Outputs that predict what is known without looking at an example, ``float32 [n_outputs]``.

        Args:
            log_prior: As above.
            least: Share of half an example: no share is taken for less, or for more than 1 less this.
        """
        return log_prior


LOSSES: Registry[type[Loss]] = Registry("loss")
