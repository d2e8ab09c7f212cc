"""RR intervals: the time between R peaks, which identifies a premature beat better than its shape."""

from __future__ import annotations

from typing import Final

import numpy as np
import numpy.typing as npt

from beatwise.data.features import RR_COLUMNS

LOCAL_INTERVALS: Final = 10


def rr_intervals(peaks: npt.NDArray[np.int64], sample_rate: float) -> dict[str, npt.NDArray[np.float32]]:
    """RR intervals of every beat of one whole record.

    The local mean is taken over the ten RR intervals that surround the beat, five on either side, the record mean over
    all of them (de Chazal et al., IEEE Trans. Biomed. Eng. 51(7), 2004, section II-D). Where the record begins or ends,
    the local mean takes what there is, and the missing first or last interval is that of the neighbouring beat.

    Args:
        peaks: Sample numbers of all R peaks of the record, ascending, ``int64 [n_beats]``, at least two.
        sample_rate: Samples per second (Hz).

    Returns:
        The columns of :data:`~beatwise.data.features.RR_COLUMNS`, each ``float32 [n_beats]``, in seconds.
    """
    intervals = np.diff(peaks) / sample_rate
    cumulative = np.concatenate([[0.0], np.cumsum(intervals)])
    beat = np.arange(len(peaks))
    half = LOCAL_INTERVALS // 2
    first = np.maximum(beat - half, 0)
    last = np.minimum(beat + half, len(intervals))
    columns = (
        np.concatenate([intervals[:1], intervals]),
        np.concatenate([intervals, intervals[-1:]]),
        (cumulative[last] - cumulative[first]) / (last - first),
        np.full(len(peaks), intervals.mean()),
    )
    return {name: values.astype(np.float32) for name, values in zip(RR_COLUMNS, columns, strict=True)}
