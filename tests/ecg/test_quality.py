"""Which stretches of a lead are unusable, and which lead is taken."""

from __future__ import annotations

import numpy as np
from scipy.ndimage import maximum_filter1d, minimum_filter1d

from beatwise.ecg import quality
from beatwise.ecg.quality import FLAT_MV, Lead, choose_lead, examine_lead, unfit_samples, unusable_stretches
from beatwise.ecg.records import Record

RATE = 250
RNG = np.random.default_rng(0)


def ecg(seconds: int = 120) -> tuple[np.ndarray, np.ndarray]:
    """A lead (mV) with a QRS and a T wave every 0.8 s, and its R peaks; no beat from 50 s to 56 s."""
    peaks = np.arange(100, seconds * RATE - 100, 200)
    peaks = peaks[(peaks < 50 * RATE) | (peaks > 56 * RATE)]
    offset = np.arange(-60, 61) / RATE
    beat = np.exp(-0.5 * (offset / 0.012) ** 2) + 0.25 * np.exp(-0.5 * ((offset - 0.22) / 0.03) ** 2)
    impulses = np.bincount(peaks, minlength=seconds * RATE)
    signal = RNG.normal(0, 0.01, seconds * RATE) + np.convolve(impulses, beat, "same")
    return signal, peaks


def test_missing_flat_limited_and_noisy_stretches_are_found_and_a_pause_is_none():
    signal, peaks = ecg()
    assert len(unusable_stretches(signal, RATE, peaks)) == 0
    signal[2000:2003] = np.nan
    signal[5000:5500] = 0.2
    signal[7600:7620] = -4.0
    wander = np.convolve(RNG.normal(0, 1, 20 * RATE), np.ones(50) / 50, "same")
    signal[80 * RATE : 100 * RATE] += 0.5 * wander / wander.std()
    found = unusable_stretches(signal, RATE, peaks)
    np.testing.assert_array_equal(found, [[2000, 2003], [5000, 5500], [7600, 7620], [80 * RATE, 100 * RATE]])
    assert found.dtype == np.int64
    np.testing.assert_array_equal(unusable_stretches(signal, RATE), found[:3])
    np.testing.assert_array_equal(unusable_stretches(signal, RATE, np.empty(0, np.int64)), [[0, len(signal)]])
    np.testing.assert_array_equal(unusable_stretches(np.full(9, np.nan), RATE), [[0, 9]])
    assert len(unusable_stretches(np.empty(0), RATE)) == 0


def test_peaks_that_were_found_in_the_noise_do_not_make_it_a_signal():
    signal, peaks = ecg()
    noise = slice(80 * RATE, 100 * RATE)
    wander = np.convolve(RNG.normal(0, 1, 20 * RATE), np.ones(10) / 10, "same")
    signal[noise] += 0.5 * wander / wander.std()
    spikes = np.arange(noise.start + 100, noise.stop - 100, 170)
    for offset in range(-5, 6):
        signal[spikes + offset] += 4 - abs(offset) * 0.8
    found = np.sort(np.concatenate([peaks[(peaks < noise.start) | (peaks >= noise.stop)], spikes]))
    np.testing.assert_array_equal(unusable_stretches(signal, RATE, found), [[noise.start, noise.stop]])


def test_the_preferred_lead_is_taken_where_it_is_usable_and_else_the_best_and_no_other_is_examined(monkeypatch):
    signal, _ = ecg()
    noisy, flat = signal + RNG.normal(0, 0.5, len(signal)), np.where(np.arange(len(signal)) < 20000, 0.0, signal)
    adc = np.column_stack([noisy, signal, flat])
    none = np.empty(0, np.int64), np.empty(0, np.str_)
    record = Record("r", adc, RATE, ("ECG V1", "ECG aVF", "ECG II"), (1.0,) * 3, (0,) * 3, *none)
    examined: list[int] = []

    def examine(record: Record, column: int) -> Lead:
        examined.append(column)
        return examine_lead(record, column)

    monkeypatch.setattr(quality, "examine_lead", examine)
    cases: tuple[tuple[list[int | str], int, list[int]], ...] = (
        (["V5", "v1"], 0, [0]),
        ([0], 0, [0]),
        (["MLII", "V1"], 0, [2, 0]),  # II is flat for most of the time
        (["MLII", "V5", 7], 1, [2, 0, 1]),
        ([], 1, [0, 1, 2]),
    )
    for preferred, column, needed in cases:
        examined.clear()
        assert (choose_lead(record, preferred).column, examined) == (column, needed)


def test_flat_parts_are_those_of_a_filter_over_the_whole_lead():
    signal = RNG.normal(0, 0.1, 20_000)
    for first, last in ((0, 125), (400, 649), (1000, 1251), (1260, 1520), (9000, 14000), (19_870, 20_000)):
        signal[first:last] = 0.3
    flat = maximum_filter1d(signal, 251) - minimum_filter1d(signal, 251) <= FLAT_MV
    np.testing.assert_array_equal(unfit_samples(signal, RATE), maximum_filter1d(flat.view(np.uint8), 251))
