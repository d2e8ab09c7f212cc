"""The optimizer and its learning-rate schedule."""

from __future__ import annotations

import math

import torch
from torch import nn


def build_optimizer(network: nn.Module, learning_rate: float, weight_decay: float) -> torch.optim.AdamW:
    """AdamW (Loshchilov & Hutter, ICLR 2019), fused; biases and normalisation are not decayed.

    Args:
        network: Whose parameters to optimise.
        learning_rate: Highest learning rate.
        weight_decay: Decay of matrices and kernels.
    """
    decayed = [p for p in network.parameters() if p.ndim > 1]
    plain = [p for p in network.parameters() if p.ndim <= 1]
    groups = [{"params": decayed, "weight_decay": weight_decay}, {"params": plain, "weight_decay": 0.0}]
    return torch.optim.AdamW(groups, lr=learning_rate, fused=True)


def build_schedule(
    optimizer: torch.optim.Optimizer, warmup_steps: int, total_steps: int
) -> torch.optim.lr_scheduler.LambdaLR:
    """Linear warm-up to the highest rate, then a cosine down to 0.

    Args:
        optimizer: Whose learning rate to set.
        warmup_steps: Steps of the rise.
        total_steps: Steps of the whole training.
    """

    def factor(step: int) -> float:
        if step < warmup_steps:
            return (step + 1) / warmup_steps
        progress = (step - warmup_steps) / max(total_steps - warmup_steps, 1)
        return 0.5 * (1 + math.cos(math.pi * min(progress, 1.0)))

    return torch.optim.lr_scheduler.LambdaLR(optimizer, factor)
