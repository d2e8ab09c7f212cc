"""R peaks: where the beats of a recording are.

A detector finds QRS complexes; :func:`find_peaks` moves each to its R peak, so that beats are cut from the same point
whatever found them. `python -m benchmarks.detectors` compares detectors on annotated records.
"""

from __future__ import annotations

from collections import deque
from collections.abc import Callable
from typing import Annotated, Any, Final

import numpy as np
import numpy.typing as npt
from pydantic import Field

from beatwise.core.errors import BeatwiseError
from beatwise.core.registry import Registry
from beatwise.ecg.records import bridged

Floats = npt.NDArray[np.float64]
Ints = npt.NDArray[np.int64]

DETECTORS: Registry[Callable[..., Ints]] = Registry("detector of R peaks")
DEFAULT: Final = "pan_tompkins"
# The detectors filter up to 20 Hz and more; GQRS itself refuses this rate.
LOWEST_RATE: Final = 50.0
# Width of a QRS complex, over which its energy is summed (s).
INTEGRATION_S: Final = 0.12
# Shorter signals hold no two beats, and are too short for the filters.
SHORTEST_S: Final = 2.0
# The R peak is sought so far from where the complex was found, as the farthest from the mean of so long a time (s).
REACH_S: Final = 0.06
BASELINE_S: Final = 0.6


@DETECTORS.register("pan_tompkins")
def find_by_pan_tompkins(
    millivolts: Floats,
    sample_rate: float,
    *,
    lowest: Annotated[float, Field(gt=0, lt=15)] = 5.0,
    highest: Annotated[float, Field(ge=15, le=24)] = 18.0,
    sensitivity: Annotated[float, Field(gt=0, lt=1)] = 0.18,
    refractory: Annotated[float, Field(ge=0.1, le=0.5)] = 0.25,
) -> Ints:
    """Energy of the slope in the band of the QRS complex, thresholds between beats and noise, and search back.

    Pan and Tompkins, IEEE Trans. Biomed. Eng. 32(3), 1985, for a whole recording: filters without delay, no beat counts
    for more than three times the usual one, so that a spike does not blind what follows, and the level of beats falls
    while none are found. The defaults were chosen on DS1 of MIT-BIH.

    Args:
        millivolts: One lead (mV), finite, ``float64 [n]``.
        sample_rate: Samples per second (Hz).
        lowest: Lower end of the band (Hz).
        highest: Upper end of the band (Hz).
        sensitivity: Where the threshold lies between the levels of noise (0) and beats (1).
        refractory: Shortest interval between beats (s).

    Returns:
        Samples of QRS complexes, ``int64 [n_peaks]``.
    """
    from scipy import ndimage, signal

    band = signal.butter(2, [lowest, highest], "bandpass", fs=sample_rate, output="sos")
    slope = np.gradient(signal.sosfiltfilt(band, millivolts))
    energy = ndimage.uniform_filter1d(slope**2, max(1, round(INTEGRATION_S * sample_rate)))
    places, _ = signal.find_peaks(energy, distance=max(1, round(refractory * sample_rate)))
    stretch = round(SHORTEST_S * sample_rate)
    usual = float(np.median(energy[: len(energy) // stretch * stretch].reshape(-1, stretch).max(axis=1)))
    return places[_beats_among(places.tolist(), energy[places].tolist(), usual, sample_rate, sensitivity)]


def _beats_among(
    places: list[int], energies: list[float], usual: float, sample_rate: float, sensitivity: float
) -> list[int]:
    """Which candidates are beats: the sequential part of Pan and Tompkins."""
    beats: list[int] = []
    beat_level, noise_level = usual, 0.1 * usual
    recent = deque([sample_rate] * 8, maxlen=8)

    def take(candidate: int, weight: float) -> None:
        nonlocal beat_level
        if beats:
            recent.append(min(places[candidate] - places[beats[-1]], 2 * sum(recent) / 8))
        beats.append(candidate)
        beat_level += weight * (min(energies[candidate], 3 * max(beat_level, usual)) - beat_level)

    for candidate, (place, energy) in enumerate(zip(places, energies, strict=True)):
        threshold = noise_level + sensitivity * (beat_level - noise_level)
        # Search back where a beat is late, for the highest energy above half of the threshold.
        while beats and place - places[beats[-1]] > 1.66 * sum(recent) / 8:
            missed = max(range(beats[-1] + 1, candidate), key=energies.__getitem__, default=candidate)
            if missed == candidate or energies[missed] <= threshold / 2:
                break
            take(missed, 0.25)
            threshold = noise_level + sensitivity * (beat_level - noise_level)
        if beats and place - places[beats[-1]] > max(2 * sample_rate, 3 * sum(recent) / 8):
            beat_level *= 0.9
        if energy > threshold:
            take(candidate, 0.125)
        else:
            noise_level += 0.125 * (energy - noise_level)
    return beats


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
