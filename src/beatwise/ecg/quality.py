"""Signal quality: the stretches of a lead that say nothing on the heart, and the lead that says most.

How the limits were set: docs/how-to/raw-records.md compares the measure of noise with those of Li et al. (2008) and
Orphanidou et al. (2015).
"""

from __future__ import annotations

import re
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Final

import numpy as np
import numpy.typing as npt

from beatwise.ecg.records import Record, bridged

Bools = npt.NDArray[np.bool_]
Floats = npt.NDArray[np.float64]
Ints = npt.NDArray[np.int64]

# A lead within so many mV for so long is not connected.
FLAT_MV, FLAT_S = 0.01, 1.0
# A lead at its greatest or smallest value for so long, so far from the middle, is at the limit of its amplifier.
LIMIT_S, LIMIT_MV, LIMIT_DEVIATIONS = 0.04, 0.5, 5.0
# Noise is measured in stretches of this length; below this signal-to-noise ratio detectors err.
NOISE_S, NOISE_DB = 10.0, 6.0
# Band of the ECG; QRS within so many seconds of the R peak, and what is left for noise outside so many.
BAND_HZ, QRS_S, OUTSIDE_S = (0.5, 40.0), 0.05, 0.1
# P, QRS and T wave, from the R peak (s).
BEAT_S: Final = (-0.25, 0.45)
# Fewer R peaks than these give no amplitude of their own to a stretch.
FEWEST_PEAKS: Final = 3
# Higher QRS complexes than so many times the median of the lead are taken for noise that was detected.
HIGHEST_QRS: Final = 1.5
LEAST_USABLE: Final = 0.5


@dataclass(frozen=True, eq=False)
class Lead:
    """A lead, and where it is unusable whatever its beats are.

    Attributes:
        column: Its column in the record.
        millivolts: ``float64 [n]``; NaN where a sample is missing.
        unfit: Samples that are missing, flat or at the limit, ``bool [n]``.
    """

    column: int
    millivolts: Floats
    unfit: Bools

    @property
    def usable(self) -> float:
        """Share of its samples that are neither missing, flat nor at the limit; 1 where there is no sample."""
        return 1 - float(np.count_nonzero(self.unfit)) / max(len(self.unfit), 1)


def examine_lead(record: Record, column: int) -> Lead:
    """A lead of a record with its unfit samples."""
    millivolts = record.of_leads([column]).millivolts()[:, 0]
    return Lead(column, millivolts, unfit_samples(millivolts, record.sample_rate))


def unfit_samples(millivolts: Floats, sample_rate: float) -> Bools:
    """Samples of a lead that are missing, flat or at the limit (:func:`unusable_stretches`), ``bool [n]``."""
    missing = np.isnan(millivolts)
    if missing.all():
        return missing
    whole = bridged(millivolts, missing)
    return np.asarray(missing | _flat(whole, sample_rate) | _at_limit(whole, sample_rate))


def unusable_stretches(
    millivolts: Floats, sample_rate: float, peaks: Ints | None = None, unfit: Bools | None = None
) -> Ints:
    """Stretches of a lead in which no beat can be told: samples missing, flat, at the limit, or lost in noise.

    - Flat: within 10 µV for a second or more.
    - At the limit: at the greatest or smallest value of the lead for 40 ms or more, far from the middle.
    - Noise: ten seconds whose signal-to-noise ratio (:func:`signal_to_noise`) is below 6 dB.

    Args:
        millivolts: One lead at the rate of its recording, ``float64 [n]``; NaN where a sample is missing.
        sample_rate: Samples a second (Hz).
        peaks: R peaks, ascending, ``int64 [n_peaks]``; None leaves noise out. A lead without any is all noise.
        unfit: What :func:`unfit_samples` found, where that is at hand.

    Returns:
        First sample of each stretch, and the one behind its last, ``int64 [n_stretches, 2]``, ascending and apart.
    """
    bad = unfit_samples(millivolts, sample_rate) if unfit is None else unfit
    if peaks is not None and not bad.all():
        starts, ratio = signal_to_noise(millivolts, sample_rate, peaks, bad)
        bad = bad | np.repeat(ratio < NOISE_DB, np.diff(starts, append=len(bad)))
    return _runs(bad)


def signal_to_noise(
    signal: Floats, sample_rate: float, peaks: Ints, left_out: Bools | None = None
) -> tuple[Ints, Floats]:
    """Signal-to-noise ratio of stretches of ten seconds; the last takes what is left.

    As in the Noise Stress Test (Moody, Muldrow and Mark, Computers in Cardiology 1984; WFDB's ``nst``), the signal is
    the square of the QRS complexes' peak-to-peak amplitude over eight, here of the median of a stretch, but of no more
    than one and a half times the median of the lead: in strong noise, detected peaks are noise themselves. The noise is
    what P and T waves of neighbouring beats differ by: half the mean square of the difference of a beat, outside of its
    QRS complex and between 0.5 and 40 Hz, to that of the next two beats before or behind that is most alike, so that
    neither high T waves nor ectopic beats are noise.

    A stretch with less than three R peaks has the median amplitude of the lead, and for noise the mean square of all
    that lies outside of QRS complexes; as that holds P and T waves, its ratio is raised by 3 dB.

    Args:
        signal: One lead (mV), finite but for what is left out, ``float64 [n]``.
        sample_rate: Samples a second (Hz).
        peaks: R peaks, ascending, ``int64 [n_peaks]``.
        left_out: Samples that count for nothing, ``bool [n]``.

    Returns:
        First sample of each stretch, and its ratio (dB), ``[n_stretches]`` each; minus infinity in a lead without
        R peaks.
    """
    outside = np.ones(len(signal), dtype=bool) if left_out is None else ~left_out
    # A step at the end of what is left out would be noise for seconds.
    band = band_passed(bridged(signal, ~outside), sample_rate)
    width = min(round(NOISE_S * sample_rate), len(band))
    starts = np.arange(len(band) // width) * width
    first, last = (round(end * sample_rate) for end in BEAT_S)
    near, apart = round(QRS_S * sample_rate), round(OUTSIDE_S * sample_rate)
    peaks = peaks[(peaks + first >= 0) & (peaks + last < len(band))]
    if not len(peaks):
        return starts, np.full(len(starts), -np.inf)
    amplitude = np.ptp(np.lib.stride_tricks.sliding_window_view(band, 2 * near + 1)[peaks - near], axis=1)
    # The band needs no more than 100 samples a second.
    step = max(1, round(sample_rate / 100))
    offsets = np.concatenate([np.arange(first, -apart, step), np.arange(apart, last, step)])
    waves, unlike = band[peaks[:, None] + offsets], np.full(len(peaks), np.inf)
    for lag in (1, 2):
        half = ((waves[lag:] - waves[:-lag]) ** 2).mean(axis=1) / 2
        unlike[lag:] = np.minimum(unlike[lag:], half)
        unlike[:-lag] = np.minimum(unlike[:-lag], half)
    for offset in range(-apart, apart + 1):
        outside[peaks + offset] = False
    power = np.add.reduceat(np.where(outside, band**2, 0.0), starts)
    noise = power / np.maximum(np.add.reduceat(outside.astype(np.int64), starts), 1) / 2
    usual = float(np.median(amplitude))
    height = np.full(len(starts), usual)
    edges = np.searchsorted(peaks, [*starts, len(band)])
    for i in np.flatnonzero(np.diff(edges) >= FEWEST_PEAKS):
        beats = slice(edges[i], edges[i + 1])
        height[i], noise[i] = min(np.median(amplitude[beats]), HIGHEST_QRS * usual), unlike[beats].mean()
    with np.errstate(divide="ignore"):
        return starts, 10 * np.log10(height**2 / 8 / noise)


def choose_lead(record: Record, preferred: Sequence[int | str] = ()) -> Lead:
    """The lead to classify: the first preferred one that the record has, unless half of it or more is unusable.

    Without such a lead the best counts: the one with the largest part that is neither flat, missing nor at its limit
    (in tenths), and of those with the greatest kurtosis, as few and high QRS complexes have it and noise has not
    (kSQI of Li, Mark and Clifford, Physiol Meas 29(1), 2008).

    No lead is examined twice, and none that is not needed: the others only where the preferred ones are not usable.

    Args:
        record: The record.
        preferred: Columns or names, best first. Names match in any case, with or without ``ECG`` or ``lead`` before
            them, and MLII matches II.

    Returns:
        The lead.
    """
    names = [_plain(name) for name in record.leads]
    examined: dict[int, Lead] = {}
    for wanted in preferred:
        is_column = isinstance(wanted, int) and wanted < len(names)
        column = wanted if is_column else names.index(_plain(wanted)) if _plain(wanted) in names else None
        if isinstance(column, int):
            lead = examined[column] = examined.get(column) or examine_lead(record, column)
            if lead.usable > LEAST_USABLE:
                return lead
    leads = [examined.get(column) or examine_lead(record, column) for column in range(len(names))]
    tenths = [round(lead.usable, 1) for lead in leads]
    best = [lead for lead, tenth in zip(leads, tenths, strict=True) if tenth == max(tenths)]
    if len(best) == 1:
        return best[0]
    return max(best, key=lambda lead: _kurtosis(lead.millivolts, record.sample_rate))


def _plain(name: int | str) -> str:
    plain = re.sub(r"^(ecg|ekg|lead)[ _-]*(?=.)", "", str(name).strip().casefold())
    return {"mlii": "ii", "ml2": "ii"}.get(plain, plain)


def _flat(signal: Floats, sample_rate: float) -> Bools:
    from scipy.ndimage import maximum_filter1d, minimum_filter1d

    half = round(FLAT_S * sample_rate / 2)
    width, n_samples = 2 * half + 1, len(signal)
    found = np.zeros(n_samples, dtype=bool)
    if n_samples < width:
        return found
    # A flat stretch, even one cut by an end of the lead, holds a whole block of this length. So only the surroundings
    # of flat blocks are looked at, so far that what lies at the ends of a part is not flat.
    block = half // 2 + 1
    blocks = signal[: n_samples // block * block].reshape(-1, block)
    quiet = np.flatnonzero(blocks.max(axis=1) - blocks.min(axis=1) <= FLAT_MV) * block
    begins, ends = quiet - 4 * half, quiet + block + 4 * half
    apart = begins[1:] > ends[:-1]
    for begin, end in zip(
        begins[np.r_[True, apart][: len(quiet)]], ends[np.r_[apart, True][: len(quiet)]], strict=True
    ):
        part = slice(max(begin, 0), end)
        flat = maximum_filter1d(signal[part], width) - minimum_filter1d(signal[part], width) <= FLAT_MV
        # All samples of a flat stretch, not its middle alone.
        found[part] = maximum_filter1d(flat.view(np.uint8), width)
    return found


def _at_limit(signal: Floats, sample_rate: float) -> Bools:
    bad = np.zeros(len(signal), dtype=bool)
    long: list[tuple[float, Ints]] = []
    for limit in (float(signal.min()), float(signal.max())):
        runs = _runs(signal == limit)
        long += [(limit, run) for run in runs[np.diff(runs)[:, 0] >= LIMIT_S * sample_rate]]
    if not long:
        return bad
    middle = np.median(signal)
    far = max(LIMIT_MV, LIMIT_DEVIATIONS * 1.4826 * float(np.median(np.abs(signal - middle))))
    for limit, (first, last) in long:
        bad[first:last] = abs(limit - middle) > far
    return bad


def band_passed(signal: Floats, sample_rate: float) -> Floats:
    """A lead ``[n]`` between 0.5 and 40 Hz, by a Butterworth filter of the second order run both ways."""
    from scipy.signal import butter, sosfiltfilt

    low, high = BAND_HZ[0], min(BAND_HZ[1], 0.45 * sample_rate)
    filtered = sosfiltfilt(butter(2, [low, high], "bandpass", fs=sample_rate, output="sos"), signal, padlen=0)
    return np.asarray(filtered, dtype=np.float64)


def _kurtosis(lead: Floats, sample_rate: float) -> float:
    """Median kurtosis of stretches of ten seconds in the band of the ECG; -inf where there is none."""
    from scipy.stats import kurtosis

    missing = np.isnan(lead)
    if missing.all():
        return -np.inf
    band = band_passed(bridged(lead, missing), sample_rate)
    width = min(round(NOISE_S * sample_rate), len(band))
    return float(np.nanmedian(kurtosis(band[: len(band) // width * width].reshape(-1, width), axis=1)))


def _runs(mask: Bools) -> Ints:
    """First and behind the last place of every run of true values, ``int64 [n_runs, 2]``."""
    edges = np.flatnonzero(np.diff(mask, prepend=False, append=False))
    return edges.reshape(-1, 2).astype(np.int64)
