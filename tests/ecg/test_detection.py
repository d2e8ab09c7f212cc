"""R peaks that are found in signals where it is known where they are."""

from __future__ import annotations

import numpy as np
import numpy.typing as npt
import pytest

from beatwise.core.errors import BeatwiseError
from beatwise.ecg.detection import DEFAULT, DETECTORS, find_peaks

RATE = 250.0


def ecg(peaks: npt.NDArray[np.int64], n_samples: int, sign: float = 1.0) -> npt.NDArray[np.float64]:
    """Narrow complexes with broad T waves and a little noise, in mV."""
    time = np.arange(n_samples)
    signal = np.random.default_rng(1).normal(0, 0.01, n_samples)
    for peak in peaks:
        signal += sign * np.exp(-0.5 * ((time - peak) / 2.5) ** 2)
        signal += 0.15 * np.exp(-0.5 * ((time - peak - 65) / 12) ** 2)
    return signal


@pytest.mark.parametrize("detector", DETECTORS.names())
@pytest.mark.parametrize("sign", [1.0, -1.0])
def test_peaks_are_found_where_they_are(detector: str, sign: float) -> None:
    # A beat within the first two seconds, from which thresholds are learned.
    peaks = np.cumsum(np.random.default_rng(2).integers(180, 230, 60))
    found = find_peaks(ecg(peaks, peaks[-1] + 200, sign), RATE, detector=detector)
    assert found.dtype == np.int64
    # A detector may take the first beat to learn.
    assert np.abs(found[-59:] - peaks[-59:]).max() <= 1
    assert len(found) <= 60


def test_missing_samples_have_no_peaks_and_hide_none_around_them() -> None:
    peaks = np.arange(400, 12_000, 200)
    signal = ecg(peaks, 12_200)
    signal[5_050:6_950] = np.nan
    found = find_peaks(signal, RATE)
    there = peaks[(peaks < 5_050) | (peaks >= 6_950)]
    assert not np.isnan(signal[found]).any()
    assert len(np.setdiff1d(there, [peak + shift for peak in found for shift in (-1, 0, 1)])) <= 1


@pytest.mark.parametrize("signal", [np.zeros(5_000), np.full(5_000, np.nan), np.zeros(0), np.arange(100.0)])
def test_a_signal_without_beats_has_no_peaks(signal: npt.NDArray[np.float64]) -> None:
    assert len(find_peaks(signal, RATE)) == 0


def test_what_cannot_be_searched_is_refused_in_words() -> None:
    with pytest.raises(BeatwiseError, match=r"at 32 Hz.*more than 50 Hz"):
        find_peaks(np.zeros(5_000), 32.0)
    with pytest.raises(BeatwiseError, match=f"Unknown detector of R peaks 'xqr'.*{DEFAULT}"):
        find_peaks(np.zeros(5_000), RATE, detector="xqr")
