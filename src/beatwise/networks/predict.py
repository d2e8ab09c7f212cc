"""Predicting with a network, in chunks."""

from __future__ import annotations

from collections.abc import Callable

import torch
from torch import nn

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
