"""RR intervals: the time between R peaks, which identifies a premature beat better than its shape."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import Any, Final

import numpy as np
import numpy.typing as npt
import pandas as pd

from beatwise.core.registry import Registry
from beatwise.data.features import RR_COLUMNS
from beatwise.ecg.templates import patient_features

LOCAL_INTERVALS: Final = 10
# Intervals on either side of a beat that are features of `log_rr`, and those that its local median is taken over.
NEIGHBOURS: Final = 5
LOCAL_MEDIAN: Final = 10
# Bounds of an interval (s) before its logarithm is taken.
LOG_BOUNDS_S: Final = (0.1, 5.0)
# About the logarithm of a usual interval (0.8 s), so that levels lie around 0.
USUAL_LOG_RR: Final = -0.2
# Seconds that say what a patient is like, in the set that does not look ahead (the learning period of EC57).
FIRST_SECONDS: Final = 300.0

Features = dict[str, npt.NDArray[np.float32]]
# Leads in ADC units without gaps [n_leads, n], R peaks of the whole record int64 [n_beats], samples a second (Hz), and
# intervals that are not known, bool [n_beats - 1] or None: one column a feature, float32 [n_beats].
FeatureSet = Callable[[npt.NDArray[Any], npt.NDArray[np.int64], float, npt.NDArray[np.bool_] | None], Features]
FEATURES: Registry[FeatureSet] = Registry("feature set")


def beat_features(
    names: Sequence[str],
    leads: npt.NDArray[Any],
    peaks: npt.NDArray[np.int64],
    sample_rate: float,
    broken: npt.NDArray[np.bool_] | None = None,
) -> Features:
    """The features of every beat of one whole record.

    Args:
        names: Names of feature sets (:data:`FEATURES`).
        leads: Leads without gaps, ADC units, ``[n_leads, n]``.
        peaks: Sample numbers of all R peaks of the record, ascending, ``int64 [n_beats]``, at least two.
        sample_rate: Samples per second (Hz).
        broken: Intervals that are not known (:func:`rr_intervals`).
    """
    sets = [FEATURES[name](leads, peaks, sample_rate, broken) for name in names]
    return {name: values for features in sets for name, values in features.items()}


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


@FEATURES.register("rr")
def rr(
    leads: npt.NDArray[Any], peaks: npt.NDArray[np.int64], sample_rate: float, broken: npt.NDArray[np.bool_] | None
) -> Features:
    """The interval before a beat and the one after it, their local mean, and the record's mean, in seconds."""
    return rr_intervals(peaks, sample_rate, broken)


@FEATURES.register("log_rr")
def log_rr(
    leads: npt.NDArray[Any], peaks: npt.NDArray[np.int64], sample_rate: float, broken: npt.NDArray[np.bool_] | None
) -> Features:
    """Logarithms of RR intervals, relative to the medians of the record and of the surroundings: 20 features.

    Five intervals before and five after the beat over the record's median; the two on either side over the median of
    the twenty around the beat; that over the record's; the record's median, the interval before and the one after by
    themselves; the one before over the one after, and over the one before it. An interval that is not known, as those
    beyond the ends of the record, counts as the record's median.
    """
    intervals = np.diff(peaks) / sample_rate
    known = intervals if broken is None or broken.all() else np.where(broken, np.nan, intervals)
    median = float(np.nanmedian(known))
    reach = np.full(LOCAL_MEDIAN, np.nan)
    around = pd.Series(np.concatenate([reach, known, reach])).rolling(2 * LOCAL_MEDIAN, min_periods=1).median()
    local = _log(around.to_numpy()[2 * LOCAL_MEDIAN - 1 :], median)
    edge = np.full(NEIGHBOURS, np.nan)
    near = np.lib.stride_tricks.sliding_window_view(_log(np.concatenate([edge, known, edge]), median), 2 * NEIGHBOURS)
    names = [f"before_{i}" for i in range(NEIGHBOURS, 0, -1)] + [f"after_{i}" for i in range(1, NEIGHBOURS + 1)]
    by_name = dict(zip(names, near.T, strict=True))
    before, after, record = by_name["before_1"], by_name["after_1"], _log(np.full(len(peaks), median), median)
    features = {
        **{f"{name}_to_record": values - record for name, values in by_name.items()},
        **{f"{name}_to_local": by_name[name] - local for name in ("before_2", "before_1", "after_1", "after_2")},
        "local_to_record": local - record,
        "record": record - USUAL_LOG_RR,
        "before": before - USUAL_LOG_RR,
        "after": after - USUAL_LOG_RR,
        "before_to_after": before - after,
        "before_to_before_2": before - by_name["before_2"],
    }
    return {f"log_rr_{name}": values.astype(np.float32) for name, values in features.items()}


def _log(intervals: npt.NDArray[np.float64], unknown: float) -> npt.NDArray[np.float64]:
    """Logarithms of intervals (s) within :data:`LOG_BOUNDS_S`; NaN becomes ``unknown`` (s)."""
    return np.log(np.clip(np.where(np.isnan(intervals), unknown, intervals), *LOG_BOUNDS_S))


@FEATURES.register("patient")
def patient(
    leads: npt.NDArray[Any], peaks: npt.NDArray[np.int64], sample_rate: float, broken: npt.NDArray[np.bool_] | None
) -> Features:
    """How rhythm and waves of a beat differ from those of its whole record (:mod:`beatwise.ecg.templates`)."""
    return patient_features(leads, peaks, sample_rate, broken)


@FEATURES.register("patient_first_minutes")
def patient_first_minutes(
    leads: npt.NDArray[Any], peaks: npt.NDArray[np.int64], sample_rate: float, broken: npt.NDArray[np.bool_] | None
) -> Features:
    """The same beside the record's first five minutes alone, and what came before: no look ahead but one beat.

    Names end with ``_so_far``, so that no model takes one kind for the other.
    """
    found = patient_features(leads, peaks, sample_rate, broken, first_seconds=FIRST_SECONDS)
    return {f"{name}_so_far": values for name, values in found.items()}
