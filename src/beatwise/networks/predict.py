"""Predicting with a network, in chunks."""

from __future__ import annotations

import numpy as np
import numpy.typing as npt
import torch
from torch import nn
from torch.nn import functional as F

# Beats that are predicted at once: what they make on the way stays in a CPU's cache, 2,048 took twice as long.
CHUNK = 128


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
    device = next(network.parameters()).device
    was_training = network.training
    network.eval()
    logits = [
        network(x[start : start + CHUNK].to(device), aux[start : start + CHUNK].to(device))
        for start in range(0, len(x), CHUNK)
    ]
    network.train(was_training)
    together = torch.cat(logits).float()
    if loss == "one_vs_rest":
        together = F.logsigmoid(together)
    return together.softmax(dim=1).cpu().numpy()
