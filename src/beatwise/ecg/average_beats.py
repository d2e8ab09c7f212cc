"""The average beat of each class and how much beats differ from it, time by time."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Final

import numpy as np
import pandas as pd

from beatwise.data.examples import Examples, evenly
from beatwise.data.representations import beat_mask

QUANTILES: Final = (0.05, 0.95)


def average_beats(beats: Examples, classes: Sequence[str], sample_rate: float) -> pd.DataFrame:
    """Mean and spread of each class over time, of the beats that have not ended yet, :data:`SHOWN` a class.

    Args:
        beats: Beats ``[n, t]``.
        classes: Class names in the order of their indices.
        sample_rate: Samples per second (Hz).

    Returns:
        One row a class and time, while at least a tenth of the class's beats last: ``class``, ``ms`` (from the R peak),
        ``beats`` (that last so long), ``mean``, ``low`` and ``high`` (nine of ten beats lie between them). A class
        without beats has no row.
    """
    target = beats.target
    rows = []
    for index, label in enumerate(classes):
        own = beats.x[evenly(np.flatnonzero(target == index))]
        ends = beat_mask(own).sum(axis=1)
        for sample in range(own.shape[1]):
            here = own[ends > sample, sample]
            if len(here) == 0 or len(here) < len(own) / 10:
                break
            low, high = np.quantile(here, QUANTILES)
            rows.append((label, sample / sample_rate * 1000, len(here), here.mean(dtype=np.float64), low, high))
    return pd.DataFrame(rows, columns=["class", "ms", "beats", "mean", "low", "high"])
