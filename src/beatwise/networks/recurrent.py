"""Recurrent networks that read an example step by step up to its end and leave out the padding."""

from __future__ import annotations

from collections.abc import Callable
from typing import ClassVar, Literal

import torch
from torch import Tensor, nn
from torch.nn import functional as F

from beatwise.data.padding import beat_mask
from beatwise.networks.base import MODELS, Network
from beatwise.networks.blocks import (
    Depth,
    Dropout,
    Heads,
    OddKernel,
    OptionalHeads,
    Pool1d,
    Pooling,
    Width,
    divisible,
)
from beatwise.networks.cnn1d import dilated_trunk

Ending = Literal["last", Pooling]
CELLS: dict[str, Callable[..., nn.RNNBase]] = {"rnn": nn.RNN, "gru": nn.GRU, "lstm": nn.LSTM}


class RecurrentLayers(nn.Module):
    """Layers of one recurrent cell over the steps of an example, forwards or both ways.

    Outputs before the end never depend on the padding, as with PyTorch's packed sequences: forwards the padding comes
    last, and backwards each example is reversed within its own length. Unlike packed sequences, plain tensors can be
    exported.
    """

    def __init__(self, cell: str, before: int, width: int, layers: int, dropout: float, bidirectional: bool) -> None:
        super().__init__()
        self.directions = nn.ModuleList(
            CELLS[cell](before, width, layers, batch_first=True, dropout=dropout if layers > 1 else 0.0)
            for _ in range(1 + bidirectional)
        )

    def forward(self, steps: Tensor, mask: Tensor) -> Tensor:
        """Map ``[n, t, before]`` to ``[n, t, width]``, twice as wide both ways."""
        forwards = self.directions[0](steps)[0]
        if len(self.directions) == 1:
            return forwards
        backwards = reversed_steps(self.directions[1](reversed_steps(steps, mask))[0], mask)
        return torch.cat([forwards, backwards], dim=2)


def reversed_steps(steps: Tensor, mask: Tensor) -> Tensor:
    """Each example ``[t, c]`` of a batch reversed, with its padding still at the end."""
    length = mask.sum(dim=1, keepdim=True)
    position = torch.arange(steps.shape[1], device=steps.device)
    origin = torch.where(mask, length - 1 - position, position)
    return steps.gather(1, origin[:, :, None].expand_as(steps))


class Ended(nn.Module):
    """Steps to one vector: the last one before the end, or a pooling over all of them."""

    def __init__(self, pooling: Ending, width: int, bidirectional: bool = False) -> None:
        super().__init__()
        self.pool = None if pooling == "last" else Pool1d(pooling, width)
        self.n_forwards = width // 2 if bidirectional else width

    def forward(self, steps: Tensor, mask: Tensor) -> Tensor:
        """Map ``[n, t, c]`` to ``[n, c]``."""
        if self.pool is not None:
            return self.pool(steps.transpose(1, 2), mask)
        last = mask.sum(dim=1) - 1
        end = steps.gather(1, last[:, None, None].expand(-1, 1, steps.shape[2])).squeeze(1)
        # The backward direction ends at the first step.
        return torch.cat([end[:, : self.n_forwards], steps[:, 0, self.n_forwards :]], dim=1)


class Recurrent(Network):
    """Recurrent layers over real time steps, then the last step before the end."""

    ignores_padding = True
    cell: ClassVar[str]

    def __init__(
        self,
        *,
        input_shape: tuple[int, ...],
        width: Width = 64,
        layers: Depth = 2,
        samples_per_step: Depth = 2,
        bidirectional: bool = False,
        pooling: Ending = "last",
        dropout: Dropout = 0.1,
    ) -> None:
        super().__init__()
        channels = input_shape[0]
        self.samples_per_step = samples_per_step
        self.layers = RecurrentLayers(self.cell, channels * samples_per_step, width, layers, dropout, bidirectional)
        features = width * (1 + bidirectional)
        self.end = Ended(pooling, features, bidirectional)
        self.n_features, self.dropout = features, dropout

    def features(self, x: Tensor) -> Tensor:
        """Map signals ``[n, c, t]`` to features."""
        steps, mask = in_steps(x, self.samples_per_step)
        return self.end(self.layers(steps, mask), mask)


def in_steps(x: Tensor, samples_per_step: int) -> tuple[Tensor, Tensor]:
    """Samples ``[n, c, t]`` in steps of a few, ``[n, t / samples_per_step, c · samples_per_step]``, and their mask."""
    x = F.pad(x, (0, -x.shape[2] % samples_per_step))
    n, channels, length = x.shape
    steps = x.reshape(n, channels, length // samples_per_step, samples_per_step).permute(0, 2, 1, 3).flatten(2)
    return steps, beat_mask(x)[:, ::samples_per_step]


@MODELS.register("rnn")
class RNN(Recurrent):
    """Plain recurrent network over real time steps."""

    source = "Elman, Cogn. Sci. 1990; CELL assignment"
    cell = "rnn"


@MODELS.register("gru")
class GRU(Recurrent):
    """Gated recurrent units over real time steps."""

    source = "Cho et al., EMNLP 2014; FP-byte's MADS exam"
    cell = "gru"


@MODELS.register("lstm")
class LSTM(Recurrent):
    """Long short-term memory over real time steps."""

    source = "Hochreiter & Schmidhuber, Neural Comput. 1997; MAP583 project"
    cell = "lstm"


class SelfAttention(nn.Module):
    """Normalisation, multi-head self-attention, addition to the input, normalisation."""

    def __init__(self, width: int, heads: int) -> None:
        super().__init__()
        self.before, self.after = nn.LayerNorm(width), nn.LayerNorm(width)
        self.attention = nn.MultiheadAttention(width, heads, batch_first=True)

    def forward(self, steps: Tensor, mask: Tensor) -> Tensor:
        """Map ``[n, t, width]`` to the same shape."""
        normal = self.before(steps)
        attended = self.attention(normal, normal, normal, key_padding_mask=~mask, need_weights=False)[0]
        return self.after(steps + attended)


@MODELS.register("attention_gru")
class AttentionGRU(Network):
    """GRU, then multi-head self-attention over its steps, then the last step before the end."""

    source = "FP-byte's MADS exam"
    ignores_padding = True

    def __init__(
        self,
        *,
        input_shape: tuple[int, ...],
        width: Width = 64,
        layers: Depth = 1,
        samples_per_step: Depth = 2,
        heads: Heads = 4,
        pooling: Ending = "last",
        dropout: Dropout = 0.1,
    ) -> None:
        super().__init__()
        channels = input_shape[0]
        divisible("attention_gru", width, heads)
        self.samples_per_step = samples_per_step
        self.layers = RecurrentLayers("gru", channels * samples_per_step, width, layers, dropout, bidirectional=False)
        self.attention = SelfAttention(width, heads)
        self.end = Ended(pooling, width)
        self.n_features, self.dropout = width, dropout

    def features(self, x: Tensor) -> Tensor:
        """Map signals ``[n, c, t]`` to features."""
        steps, mask = in_steps(x, self.samples_per_step)
        return self.end(self.attention(self.layers(steps, mask), mask), mask)


@MODELS.register("cnn_gru")
class CNNGRU(Network):
    """Dilated convolutions with residual blocks if asked, a GRU over their output, attention if asked."""

    source = "FP-byte's MADS exam, the GRU over the sequence instead of one step"
    ignores_padding = True

    def __init__(
        self,
        *,
        input_shape: tuple[int, ...],
        width: Width = 64,
        blocks: Depth = 2,
        kernel_size: OddKernel = 3,
        residual: bool = False,
        gru_width: Width = 64,
        bidirectional: bool = True,
        heads: OptionalHeads = 0,
        pooling: Ending = "last",
        dropout: Dropout = 0.1,
    ) -> None:
        super().__init__()
        channels = input_shape[0]
        features = gru_width * (1 + bidirectional)
        divisible("cnn_gru", features, heads)
        self.trunk = dilated_trunk(channels, width, blocks, kernel_size, residual, dropout)
        self.gru = RecurrentLayers("gru", width, gru_width, 1, 0.0, bidirectional)
        self.attention = SelfAttention(features, heads) if heads else None
        self.end = Ended(pooling, features, bidirectional)
        self.n_features, self.dropout = features, dropout

    def features(self, x: Tensor) -> Tensor:
        """Map signals ``[n, c, t]`` to features."""
        x, mask = self.trunk(x, beat_mask(x))
        steps = self.gru(x.transpose(1, 2), mask)
        if self.attention is not None:
            steps = self.attention(steps, mask)
        return self.end(steps, mask)
