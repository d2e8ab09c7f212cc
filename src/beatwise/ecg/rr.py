"""RR intervals: the time between R peaks, which identifies a premature beat better than its shape."""

from __future__ import annotations

from typing import Final

import numpy as np
import numpy.typing as npt

from beatwise.data.features import RR_COLUMNS

LOCAL_INTERVALS: Final = 10


def rr_intervals(
    peaks: npt.NDArray[np.int64], sample_rate: float, broken: npt.NDArray[np.bool_] | None = None
) -> dict[str, npt.NDArray[np.float32]]:
    """RR intervals of every beat of one whole record.

    The local mean is taken over the ten RR intervals that surround the beat, five on either side, the record mean over
    all of them (de Chazal et al., IEEE Trans. Biomed. Eng. 51(7), 2004, section II-D). Where the record begins or ends,
    the local mean takes what there is, and the missing first or last interval is that of the neighbouring beat.

    Args:
        peaks: Sample numbers of all R peaks of the record, ascending, ``int64 [n_beats]``, at least two.
        sample_rate: Samples per second (Hz).
        broken: Intervals that are not known, because there may be beats between their peaks, ``bool [n_beats - 1]``.
            They are missing ones; a beat without any other before or after it has the record mean. None for none.

    Returns:
        The columns of :data:`~beatwise.data.features.RR_COLUMNS`, each ``float32 [n_beats]``, in seconds.
    """
    intervals = np.diff(peaks) / sample_rate
    known = np.ones(len(intervals), dtype=bool) if broken is None else ~broken
    record_mean = (intervals[known] if known.any() else intervals).mean()
    before = np.concatenate([[np.nan], np.where(known, intervals, np.nan)])
    after = np.roll(before, -1)

    cumulative = np.concatenate([[0.0], np.cumsum(np.where(known, intervals, 0.0))])
    count = np.concatenate([[0], np.cumsum(known)])
    beat = np.arange(len(peaks))
    half = LOCAL_INTERVALS // 2
    first = np.maximum(beat - half, 0)
    last = np.minimum(beat + half, len(intervals))
    total, n = cumulative[last] - cumulative[first], count[last] - count[first]
    columns = (
        np.where(np.isnan(before), np.where(np.isnan(after), record_mean, after), before),
        np.where(np.isnan(after), np.where(np.isnan(before), record_mean, before), after),
        np.where(n > 0, total / np.maximum(n, 1), record_mean),
        np.full(len(peaks), record_mean),
    )
    return {name: values.astype(np.float32) for name, values in zip(RR_COLUMNS, columns, strict=True)}
