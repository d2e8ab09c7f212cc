"""Predicting with a network, in chunks."""

from __future__ import annotations

from collections.abc import Callable

import numpy as np
import numpy.typing as npt
import torch
from torch import nn
from torch.nn import functional as F

# Beats that are predicted at once: what they make on the way stays in a CPU's cache, 2,048 took twice as long.
CHUNK = 128


@torch.inference_mode()
def in_chunks(
    network: nn.Module,
    function: Callable[[torch.Tensor, torch.Tensor], torch.Tensor],
    x: torch.Tensor,
    aux: torch.Tensor,
) -> torch.Tensor:
    """Apply a network, or another of its methods, to many examples, in evaluation and on the device that it is on.

    Args:
        network: The network; it is left in the mode that it was in.
        function: The network itself, or one of its methods: maps ``x, aux`` to one row an example.
        x: ``float32 [n, …]``.
        aux: ``float32 [n, f]``.

    Returns:
        The rows, ``float32 [n, …]`` (``float64``, where the function returns it), on that device.
    """
    device = next(network.parameters()).device
    was_training = network.training
    network.eval()
    rows = [
        function(x[start : start + CHUNK].to(device), aux[start : start + CHUNK].to(device))
        for start in range(0, len(x), CHUNK)
    ]
    network.train(was_training)
    together = torch.cat(rows)
    return together if together.dtype == torch.float64 else together.float()


@torch.inference_mode()
def predict_probabilities(
    network: nn.Module, x: torch.Tensor, aux: torch.Tensor, *, loss: str = "cross_entropy"
) -> npt.NDArray[np.float32]:
    """Probabilities from a network's logits, in chunks, on the device that the network is on.

    Args:
        network: Maps ``x, aux`` to logits.
        x: ``float32 [n, …]``.
        aux: ``float32 [n, f]``.
        loss: What the network was trained with: ``one_vs_rest`` makes sigmoids divided by their sum out of the logits,
            every other loss the softmax.

    Returns:
        ``float32 [n, n_classes]``.
    """
    logits = in_chunks(network, network, x, aux)
    if loss == "one_vs_rest":
        logits = F.logsigmoid(logits)
    return logits.softmax(dim=1).float().cpu().numpy()
