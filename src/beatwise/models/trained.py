"""A trained model with all that is needed to use it on raw beats again."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

import numpy as np
import numpy.typing as npt
import torch
from torch import nn

from beatwise.models.registry import build_model
from beatwise.signals.representations import TensorSet, TensorSpec

# Beats that are predicted at once.
CHUNK = 2048


@dataclass(frozen=True, eq=False)
class TrainedModel:
    """A network, how it was made, and how to make its input: enough to use it on beats and to report on it.

    Attributes:
        network: The network with its trained weights.
        input_shape: Shape of one beat of its input, ``(c, t)`` or ``(c, height, width)``.
        spec: How beats become its input.
        config: What it was fitted with, a :class:`beatwise.params.FitConfig` as plain data.
        history: One row an epoch.
        facts: Best epoch, number of parameters, class counts that it was trained on, fingerprint of the validation part.
    """

    network: nn.Module
    input_shape: tuple[int, ...]
    spec: TensorSpec
    config: dict[str, Any]
    history: list[dict[str, float]]
    facts: dict[str, Any]

    @property
    def name(self) -> str:
        """The model's name in the registry."""
        return self.config["model"]["use"]

    def to_dict(self) -> dict[str, Any]:
        """All but the weights, as plain data for JSON."""
        return {
            "input_shape": list(self.input_shape),
            "spec": self.spec.to_dict(),
            "config": self.config,
            "history": self.history,
            "facts": self.facts,
        }

    @classmethod
    def from_dict(cls, stored: dict[str, Any], weights: dict[str, torch.Tensor]) -> TrainedModel:
        """The inverse of :meth:`to_dict`, with the weights.

        Raises:
            RuntimeError: If the weights are not those of the model.
        """
        spec = TensorSpec.from_dict(stored["spec"])
        shape, model = tuple(stored["input_shape"]), stored["config"]["model"]
        with torch.random.fork_rng():
            network = build_model(
                model["use"],
                input_shape=shape,
                n_classes=len(spec.classes),
                n_aux=len(spec.aux_names),
                **model[model["use"]],
            )
        network.load_state_dict(weights)
        return cls(network.eval(), shape, spec, stored["config"], stored["history"], stored["facts"])

    def probabilities(self, tensors: TensorSet) -> npt.NDArray[np.float32]:
        """Predict.

        Args:
            tensors: Made by the model's own ``spec``.

        Returns:
            One probability a class, ``float32 [n, n_classes]``; rows add up to 1.
        """
        return predict_probabilities(self.network, torch.from_numpy(tensors.x), torch.from_numpy(tensors.aux))


@torch.inference_mode()
def predict_probabilities(
    network: nn.Module, x: torch.Tensor, aux: torch.Tensor
) -> npt.NDArray[np.float32]:
    """Softmax of a network's logits, in chunks, on the device that the network is on.

    Args:
        network: Maps ``x, aux`` to logits.
        x: ``float32 [n, …]``.
        aux: ``float32 [n, f]``.

    Returns:
        ``float32 [n, n_classes]``.
    """
    device = next(network.parameters()).device
    was_training = network.training
    network.eval()
    logits = [
        network(x[start : start + CHUNK].to(device), aux[start : start + CHUNK].to(device))
        for start in range(0, len(x), CHUNK)
    ]
    network.train(was_training)
    return torch.cat(logits).float().softmax(dim=1).cpu().numpy()
