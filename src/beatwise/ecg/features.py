"""Simple features of a beat: enough to see whether classes differ, without a model."""

from __future__ import annotations

import numpy as np
import pandas as pd

from beatwise.data.examples import Examples
from beatwise.data.representations import beat_mask


def simple_features(beats: Examples, sample_rate: float, bins: int = 10) -> pd.DataFrame:
    """Length, mean, standard deviation, and how the amplitudes of a beat are distributed, padding left out.

    Args:
        beats: Beats ``[n, t]``.
        sample_rate: Samples per second (Hz).
        bins: Amplitude bins between 0 and 1.

    Returns:
        One row a beat: ``length_ms``, ``mean``, ``sd``, and ``amplitude_0`` …, the share of its samples in each bin;
        1 is in the last bin.
    """
    within, values = beat_mask(beats.x), beats.x.astype(np.float64)
    length = within.sum(axis=1)
    mean = values.sum(axis=1, where=within) / length
    variance = ((values - mean[:, None]) ** 2).sum(axis=1, where=within) / length
    place = np.clip((values * bins).astype(int), 0, bins - 1)
    shares = {f"amplitude_{i}": ((place == i) & within).sum(axis=1) / length for i in range(bins)}
    return pd.DataFrame({"length_ms": length / sample_rate * 1000, "mean": mean, "sd": np.sqrt(variance), **shares})
