from __future__ import annotations

import pytest
import torch
from torch import Tensor

from beatwise.data.padding import beat_lengths, beat_mask, without_common_padding


def beats(lengths: list[int], *, t: int = 23, channels: int = 1, seed: int = 0) -> Tensor:
    """Beats of these lengths; inside them there are zeros too, and the channels end at different samples."""
    generator = torch.Generator().manual_seed(seed)
    x = torch.rand(len(lengths), channels, t, generator=generator)
    x[:, :, 2::5] = 0
    for row, length in enumerate(lengths):
        x[row, :, length:] = 0
        if length:
            x[row, :, length - 1] = 0
            x[row, row % channels, length - 1] = -0.5 if row % 2 else 1e-6
    return x


LENGTHS = [5, 23, 1, 0, 12, 7]


@pytest.mark.parametrize("channels", [1, 2, 4])
def test_a_beat_ends_with_its_last_sample_that_is_not_zero_in_every_channel(channels):
    found = beat_lengths(beats(LENGTHS, channels=channels))
    assert found.tolist() == LENGTHS
    assert found.dtype == torch.int64


@pytest.mark.parametrize("channels", [1, 2, 4])
def test_the_mask_holds_the_beat_and_at_least_the_first_sample(channels):
    mask = beat_mask(beats(LENGTHS, channels=channels))
    assert mask.dtype == torch.bool
    assert mask.sum(dim=1).tolist() == [max(length, 1) for length in LENGTHS]
    assert all(row[: max(length, 1)].all() for row, length in zip(mask, LENGTHS, strict=True))


def test_what_is_padding_in_every_beat_is_cut_to_a_multiple():
    for channels in [1, 2]:
        for lengths, multiple, left in [
            ([5, 12, 7], 1, 12),
            ([5, 12, 7], 8, 16),
            ([5, 8, 7], 8, 8),
            ([5, 9, 7], 8, 16),
            ([3], 8, 8),
            # No longer than the beats were before.
            ([17, 3], 8, 23),
            ([23, 3], 8, 23),
            ([23, 3], 1, 23),
            # Something is left of beats that are nothing but padding.
            ([0, 0], 8, 8),
            ([0, 0], 1, 1),
        ]:
            x = beats(lengths, channels=channels)
            cut = without_common_padding(x, multiple)
            assert torch.equal(cut, x[:, :, :left])
            assert not x[:, :, left:].any()


def test_cutting_leaves_lengths_as_they_were():
    x = beats([5, 12, 7])
    assert torch.equal(beat_lengths(without_common_padding(x, 8)), beat_lengths(x))
    assert torch.equal(beat_mask(without_common_padding(x, 8)), beat_mask(x)[:, :16])
