"""Named features: numbers beside an example's ``x``, RR intervals first of all, and what is derived from them."""

from __future__ import annotations

from typing import Final

import numpy as np
import numpy.typing as npt
import pandas as pd

RR_COLUMNS: Final = ("rr_before", "rr_after", "rr_local_mean", "rr_record_mean")
# A ratio says "early for this patient, here and now", which an interval in seconds does not.
RATIOS: Final = (
    ("rr_before", "rr_local_mean"),
    ("rr_after", "rr_local_mean"),
    ("rr_before", "rr_record_mean"),
    ("rr_before", "rr_after"),
)


def with_ratios(features: pd.DataFrame) -> pd.DataFrame:
    """The features as ``float32``, followed by the ratios of :data:`RATIOS` whose two columns they hold.

    Ratios are computed here and not stored, so that an example that resampling interpolates between two others has
    ratios that agree with its intervals.

    Args:
        features: One column a feature, one row an example.
    """
    single = features.astype(np.float32)
    ratios = {f"{top}/{bottom}": single[top] / single[bottom] for top, bottom in RATIOS if {top, bottom} <= {*single}}
    return single.assign(**ratios)


def mean_and_sd(values: npt.NDArray[np.float64]) -> tuple[tuple[float, ...], tuple[float, ...]]:
    """Mean and standard deviation of every column of ``float64 [n, f]``; a constant column has deviation 1.

    A feature that is the same for all examples then becomes 0 instead of a division by 0.
    """
    sd = values.std(axis=0)
    return tuple(values.mean(axis=0).tolist()), tuple(np.where(sd > 0, sd, 1.0).tolist())
