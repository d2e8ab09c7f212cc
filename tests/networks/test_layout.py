"""Convolutions and normalisation over time that keep channels last."""

from __future__ import annotations

import pytest
import torch
from torch import nn
from torch.testing import assert_close

from beatwise.networks.blocks import BatchNorm1d, Conv1d


def is_channels_last(x: torch.Tensor) -> bool:
    return x.unsqueeze(2).is_contiguous(memory_format=torch.channels_last)


@pytest.mark.parametrize("channels", [1, 2, 8])
@pytest.mark.parametrize(
    "options", [{}, {"stride": 2}, {"padding": 2}, {"padding": 4, "dilation": 2}, {"bias": False, "stride": 3}]
)
def test_a_convolution_and_its_gradients_are_those_of_torch(channels, options):
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
