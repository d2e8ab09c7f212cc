"""Blocks that several families share."""

from __future__ import annotations

import math
from typing import Any

import pytest
import torch
from torch import nn
from torch.nn.utils.rnn import pack_padded_sequence, pad_packed_sequence
from torch.testing import assert_close

from beatwise.data.padding import beat_mask
from beatwise.networks.blocks import BatchNorm1d, Conv1d, Pool1d, Positions
from beatwise.networks.recurrent import CELLS, RecurrentLayers, reversed_steps


def is_channels_last(x: torch.Tensor) -> bool:
    return x.unsqueeze(2).is_contiguous(memory_format=torch.channels_last)


@pytest.mark.parametrize(
    "options", [{}, {"stride": 2}, {"padding": 2}, {"padding": 4, "dilation": 2}, {"bias": False, "stride": 3}]
)
def test_a_convolution_and_its_gradients_are_those_of_torch(options):
    for channels in (1, 2, 8):
        check_convolution(channels, options)


def check_convolution(channels: int, options: dict[str, Any]) -> None:
    # In double precision, for sums in another order differ in their last bits.
    ours, theirs = (kind(channels, 6, 5, dtype=torch.float64, **options) for kind in (Conv1d, nn.Conv1d))
    theirs.load_state_dict(ours.state_dict())
    results = []
    for convolution in (ours, theirs):
        x = torch.linspace(-1, 1, 3 * channels * 40, dtype=torch.float64).reshape(3, channels, 40).requires_grad_()
        out = convolution(x)
        out.square().sum().backward()
        results.append([out, x.grad, *(p.grad for p in convolution.parameters())])
    assert_close(*results)


def test_normalisation_is_that_of_torch_in_training_and_after_it():
    ours, theirs = BatchNorm1d(4), nn.BatchNorm1d(4)
    x = torch.randn(8, 4, 30, generator=torch.Generator().manual_seed(1))
    for _ in range(2):
        assert_close(ours(x), theirs(x))
        ours.eval(), theirs.eval()
    assert_close(ours.state_dict(), theirs.state_dict())


@pytest.mark.parametrize("channels", [1, 2])
def test_channels_stay_last_from_the_first_convolution_on(channels):
    x = torch.rand(4, channels, 50)
    layers = [Conv1d(channels, 8, 5, padding=2), BatchNorm1d(8), nn.ReLU(), nn.MaxPool1d(3, 2, 1), Conv1d(8, 16, 3)]
    for layer in layers:
        x = layer(x)
        assert is_channels_last(x), layer
        assert not x.is_contiguous()


@pytest.mark.parametrize("bidirectional", [False, True])
@pytest.mark.parametrize("cell", sorted(CELLS))
def test_recurrent_layers_give_what_packed_sequences_give(cell, bidirectional):
    torch.manual_seed(0)
    # Both ways, PyTorch's second layer reads both directions of the first; ours are two stacks side by side.
    layers = 1 if bidirectional else 2
    ours = RecurrentLayers(cell, 3, 5, layers, 0.0, bidirectional)
    theirs = CELLS[cell](3, 5, layers, batch_first=True, bidirectional=bidirectional)
    weights = dict(ours.directions[0].state_dict())
    if bidirectional:
        weights |= {f"{key}_reverse": value for key, value in ours.directions[1].state_dict().items()}
    theirs.load_state_dict(weights)
    steps, lengths = torch.randn(4, 9, 3), torch.tensor([9, 1, 6, 4])
    mask = torch.arange(9) < lengths[:, None]
    packed = pack_padded_sequence(steps, lengths, batch_first=True, enforce_sorted=False)
    expected, _ = pad_packed_sequence(theirs(packed)[0], batch_first=True)
    torch.testing.assert_close(ours(steps, mask) * mask[:, :, None], expected)


def test_examples_that_are_reversed_twice_are_as_before():
    steps, mask = torch.arange(24.0).reshape(2, 6, 2), torch.arange(6) < torch.tensor([[6], [4]])
    assert reversed_steps(steps, mask)[1, :, 0].tolist() == [18, 16, 14, 12, 20, 22]
    assert torch.equal(reversed_steps(reversed_steps(steps, mask), mask), steps)


def test_an_example_ends_with_its_last_value_in_any_channel():
    x = torch.tensor([[[0.0, 1, 0, 0], [0, 0, 2, 0]], [[0, 0, 0, 0], [0, 0, 0, 0]]])
    assert beat_mask(x).tolist() == [[True, True, True, False], [True, False, False, False]]


@pytest.mark.parametrize("how", ["mean", "max", "attention"])
def test_without_a_mask_everything_is_pooled(how):
    torch.manual_seed(0)
    pool, x = Pool1d(how, 3), torch.randn(2, 3, 7)
    torch.testing.assert_close(pool(x), pool(x, torch.ones(2, 7, dtype=torch.bool)))


@pytest.mark.parametrize("width", [6, 7])
def test_positions_are_sines_and_cosines_of_growing_wave_length(width):
    added = Positions(50, width)(torch.zeros(1, 40, width))
    for position, i in ((0, 0), (1, 0), (7, 3), (39, 4), (39, 5)):
        angle = position / 10_000 ** (2 * (i // 2) / width)
        assert added[0, position, i].item() == pytest.approx(math.cos(angle) if i % 2 else math.sin(angle), abs=1e-5)
