"""Where a beat ends: the zeros behind its last non-zero sample are padding."""

from __future__ import annotations

import torch
from torch import Tensor


def beat_lengths(x: Tensor) -> Tensor:
    """Samples up to the last that is not zero in every channel, ``int64 [n]`` from ``[n, c, t]``."""
    position = torch.arange(1, x.shape[-1] + 1, device=x.device)
    return ((x != 0).any(dim=1) * position).amax(dim=1)


def beat_mask(x: Tensor) -> Tensor:
    """True within the beat, ``bool [n, t]`` from ``[n, c, t]``.

    The first sample is always within the beat, so that a mean over the beat is defined.
    """
    return torch.arange(x.shape[-1], device=x.device) < beat_lengths(x).clamp(min=1)[:, None]


def without_common_padding(x: Tensor, multiple: int) -> Tensor:
    """Cut the samples that are padding in every beat, ``[n, c, t]``.

    Args:
        x: Beats.
        multiple: The remaining length is a multiple of this number of samples, as far as t allows: kernels are prepared
            once for each shape, so that fewer shapes take less time.
    """
    longest = max(int(beat_lengths(x).amax()), 1)
    return x[..., : -(-longest // multiple) * multiple]
