"""The average beat of each class and how much beats differ from it, time by time."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Final

import numpy as np
import pandas as pd

from beatwise.data.examples import Examples
from beatwise.data.summary import beat_lengths

QUANTILES: Final = (0.05, 0.95)


def average_beats(beats: Examples, classes: Sequence[str], sample_rate: float) -> pd.DataFrame:
    """Mean and spread of each class, of the beats that have not ended yet.

    Args:
        beats: Beats ``[n, t]``.
        classes: Class names in the order of their indices.
        sample_rate: Samples per second (Hz).

    Returns:
        One row a class and time, as far as a tenth of the class's beats go on: ``class``, ``ms`` (from the R peak),
        ``beats`` (that go on), ``mean``, ``low`` and ``high`` (between them are nine of ten beats). A class without
        beats has no row.
    """
    values, target = beats.x, beats.target
    length = beat_lengths(beats)
    rows = []
    for index, label in enumerate(classes):
        own, ends = values[target == index], length[target == index]
        for sample in range(values.shape[1]):
            here = own[ends > sample, sample]
            if len(here) == 0 or len(here) < len(own) / 10:
                break
            low, high = np.quantile(here, QUANTILES)
            rows.append((label, sample / sample_rate * 1000, len(here), here.mean(dtype=np.float64), low, high))
    return pd.DataFrame(rows, columns=["class", "ms", "beats", "mean", "low", "high"])
