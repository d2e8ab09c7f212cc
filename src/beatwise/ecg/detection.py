"""R peaks: where the beats of a recording are.

A detector finds QRS complexes; :func:`find_peaks` moves each to its R peak, so that beats are cut from the same point
whatever found them. `python -m benchmarks.detectors` compares detectors on annotated records.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Any, Final

import numpy as np
import numpy.typing as npt

from beatwise.core.errors import BeatwiseError
from beatwise.core.registry import Registry
from beatwise.ecg.records import bridged

Floats = npt.NDArray[np.float64]
Ints = npt.NDArray[np.int64]

DETECTORS: Registry[Callable[..., Ints]] = Registry("detector of R peaks")
DEFAULT: Final = "xqrs"
# The detectors filter up to 20 Hz and more; GQRS itself refuses this rate.
LOWEST_RATE: Final = 50.0
# Shorter signals hold no two beats, and are too short for the filters.
SHORTEST_S: Final = 2.0
# The R peak is sought so far from where the complex was found, as the farthest from the mean of so long a time (s).
REACH_S: Final = 0.06
BASELINE_S: Final = 0.6


@DETECTORS.register("sleepecg")
def find_by_sleepecg(millivolts: Floats, sample_rate: float) -> Ints:
    """Detector of SleepECG, in C: Pan and Tompkins (1985), whose thresholds follow beats and noise, with search back.

    Args:
        millivolts: One lead (mV), finite, ``float64 [n]``.
        sample_rate: Samples per second (Hz).

    Returns:
        Samples of QRS complexes, ``int64 [n_peaks]``.
    """
    from sleepecg import detect_heartbeats

    return np.asarray(detect_heartbeats(millivolts, sample_rate), dtype=np.int64)


@DETECTORS.register("xqrs")
def find_by_xqrs(millivolts: Floats, sample_rate: float) -> Ints:
    """XQRS of WFDB: band-pass filter, Ricker wavelet, thresholds that follow beats and noise, search back.

    Args:
        millivolts: One lead (mV), finite, ``float64 [n]``.
        sample_rate: Samples per second (Hz).

    Returns:
        Samples of QRS complexes, ``int64 [n_peaks]``.
    """
    from wfdb.processing import xqrs_detect

    return np.asarray(xqrs_detect(millivolts, fs=sample_rate, verbose=False), dtype=np.int64)


@DETECTORS.register("gqrs")
def find_by_gqrs(millivolts: Floats, sample_rate: float) -> Ints:
    """GQRS of WFDB: matched filter and thresholds in mV, as in WFDB's program of that name.

    Args:
        millivolts: One lead (mV), finite, ``float64 [n]``.
        sample_rate: Samples per second (Hz).

    Returns:
        Samples of QRS complexes, ``int64 [n_peaks]``.
    """
    from wfdb.processing import gqrs_detect

    return np.asarray(gqrs_detect(millivolts, fs=sample_rate), dtype=np.int64)


def find_peaks(
    millivolts: Floats, sample_rate: float, *, detector: str = DEFAULT, options: dict[str, Any] | None = None
) -> Ints:
    """R peaks of one lead.

    The R peak of a complex, as that of annotations, is the sample that is farthest from the mean around it, above or
    below, within 60 ms of where the detector found the complex.

    Args:
        millivolts: The lead (mV), ``float64 [n]``; NaN where samples are missing, which get no peaks.
        sample_rate: Samples per second (Hz).
        detector: Name of a detector (:data:`DETECTORS`).
        options: Its options, already checked.

    Returns:
        Samples of the R peaks, ascending, ``int64 [n_peaks]``; none where the signal is flat or shorter than 2 s.

    Raises:
        BeatwiseError: If the rate is not above 50 Hz, or there is no such detector.
    """
    from scipy.ndimage import uniform_filter1d

    if sample_rate <= LOWEST_RATE:
        raise BeatwiseError(
            f"R peaks cannot be found at {sample_rate:g} Hz: detectors need more than {LOWEST_RATE:g} Hz. If that is "
            "not the rate of the recording, state it in score.read.rate."
        )
    find = DETECTORS[detector]
    missing = np.isnan(millivolts)
    whole = bridged(millivolts, missing)
    if len(whole) < SHORTEST_S * sample_rate or np.ptp(whole) == 0:
        return np.empty(0, dtype=np.int64)
    found = find(whole, sample_rate, **(options or {}))
    deflection = np.abs(whole - uniform_filter1d(whole, max(1, round(BASELINE_S * sample_rate))))
    reach = round(REACH_S * sample_rate)
    around = np.clip(found[:, None] + np.arange(-reach, reach + 1), 0, len(whole) - 1)
    peaks = np.unique(np.take_along_axis(around, deflection[around].argmax(axis=1)[:, None], axis=1))
    return peaks[~missing[peaks]].astype(np.int64)
