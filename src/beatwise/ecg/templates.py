"""Features of a beat that say how it differs from the other beats of its record: what new patients are told apart by.

Everything is a ratio, a correlation or a distance to the record's own rhythm and QRS template, so that amplitude, rate
and lead placement of a patient drop out. Both leads of a record are compared with the template.
"""

from __future__ import annotations

from fractions import Fraction
from typing import Any, Final

import numpy as np
import numpy.typing as npt
import pandas as pd

from beatwise.core.errors import BeatwiseError
from beatwise.ecg.records import LARGEST_FACTOR

Values = npt.NDArray[np.float64]
Ints = npt.NDArray[np.int64]
# Rate (Hz) at which records are compared, whatever their own is.
RATE: Final = 180
# The pieces of a beat, in ms from its R peak; and how far a beat may be shifted to match the template.
QRS: Final = (-90, 110)
WIDE: Final = (-150, 250)
P_WAVE: Final = (-240, -70)
T_WAVE: Final = (160, 400)
ST: Final = (80, 160)
LAG: Final = 50
CLUSTERS: Final = 10
SAME_SHAPE: Final = 0.88
# A reference of fewer beats says nothing of a patient.
FEWEST: Final = 30
TINY: Final = 1e-6


def patient_features(
    leads: npt.NDArray[Any],
    peaks: Ints,
    sample_rate: float,
    broken: npt.NDArray[np.bool_] | None = None,
    *,
    first_seconds: float | None = None,
) -> dict[str, npt.NDArray[np.float32]]:
    """Features of every beat of one whole record, relative to that record.

    Names begin with what they are relative to: ``near_`` RR intervals to those of the beats around; ``median_`` to the
    record's and long windows' medians, which takes the commonest beat for normal; ``mean_`` to means and upper
    quantiles, which does not; ``qrs_``, ``p_``, ``t_`` the waves to those of the template, the median of the largest
    cluster of QRS complexes, ``0`` and ``1`` being the leads; ``cluster_`` what the beat's cluster is; ``beside_`` the
    QRS complexes before and after. RR intervals are logarithms of ratios.

    Args:
        leads: At least two leads without gaps, in any unit, ``[n_leads, n]``; the first two are taken.
        peaks: Sample numbers of all its R peaks, ascending, ``int64 [n_beats]``, at least two.
        sample_rate: Samples per second (Hz).
        broken: Intervals that are not known, ``bool [n_beats - 1]``: the median interval stands for them.
        first_seconds: Seconds at the beginning of the record that its medians, quantiles, clusters and template are
            taken from; windows then look back only. A beat needs no more of the record than that, what came before,
            and the beat after it. None takes the whole record.

    Returns:
        One column a feature, each ``float32 [n_beats]``.

    Raises:
        BeatwiseError: If there is one lead only.
    """
    if len(leads) < 2:
        raise BeatwiseError(
            "The features of a patient compare two leads with their templates, and one is cut: set segment.leads: 2, "
            "or leave `patient` out of segment.features."
        )
    at = np.rint(peaks * (RATE / sample_rate)).astype(np.int64)
    n, causal = len(peaks), first_seconds is not None
    known = np.ones(n, dtype=bool)
    if first_seconds is not None:
        known = np.arange(n) < max(FEWEST, int(np.searchsorted(peaks, first_seconds * sample_rate)))
    intervals = np.maximum(np.diff(peaks) / sample_rate, 1e-3)
    if broken is not None and broken.any() and not broken.all():
        usable = ~broken & known[1:]
        intervals[broken] = np.median(intervals[usable if usable.any() else ~broken])
    rhythm, before, usual = _rhythm(intervals, known, causal)
    shape = _shape(_cleaned(leads[:2], sample_rate), at, known, np.abs(np.log(before / usual)) < 0.12, rhythm, causal)
    return {name: np.asarray(values, dtype=np.float32) for name, values in {**rhythm, **shape}.items()}


def _cleaned(leads: npt.NDArray[Any], sample_rate: float) -> Values:
    """Two leads at :data:`RATE` without baseline (median filters of 200 and 600 ms) and above 40 Hz, ``[n, 2]``."""
    from scipy.ndimage import median_filter
    from scipy.signal import butter, resample_poly, sosfiltfilt

    up, down = Fraction(RATE / sample_rate).limit_denominator(LARGEST_FACTOR).as_integer_ratio()
    low_pass = butter(3, 40, fs=RATE, output="sos")
    cleaned = []
    for lead in leads:
        signal = resample_poly(lead.astype(np.float32), up, down, padtype="line").astype(np.float64)
        slow = resample_poly(signal, 1, 2, padtype="line")
        slow = median_filter(median_filter(slow, 19, mode="nearest"), 55, mode="nearest")
        cleaned.append(
            sosfiltfilt(low_pass, signal - np.interp(np.arange(len(signal)) / 2, np.arange(len(slow)), slow))
        )
    return np.column_stack(cleaned)


class _Around:
    """Statistics of the values around each beat, fewer where the record begins or ends."""

    def __init__(self, values: npt.ArrayLike, causal: bool) -> None:
        self.values, self.causal = np.asarray(values, dtype=np.float64), causal

    def __call__(self, before: int, after: int, statistic: str, *options: float) -> Values:
        after = 0 if self.causal else after
        padded = pd.Series(np.concatenate([self.values, np.full(after, np.nan)]))
        rolling = padded.rolling(before + after + 1, min_periods=1)
        return getattr(rolling, statistic)(*options).to_numpy()[after:]

    def share(self, half: int) -> Values:
        """Share of the values around each that are smaller."""
        padded = np.pad(self.values, (half, 0 if self.causal else half), constant_values=np.nan)
        windows = np.lib.stride_tricks.sliding_window_view(padded, len(padded) - len(self.values) + 1)
        return (windows < self.values[:, None]).sum(axis=1) / np.isfinite(windows).sum(axis=1)


def _beside(values: Values, places: int) -> Values:
    """The values of the beat so many places further on; the last one again behind the end."""
    return values[np.clip(np.arange(len(values)) + places, 0, len(values) - 1)]


def _rhythm(intervals: Values, known: npt.NDArray[np.bool_], causal: bool) -> tuple[dict[str, Values], Values, Values]:
    """Features of the RR intervals (s); the interval before each beat, and the median of those around it."""
    before, after = np.concatenate([intervals[:1], intervals]), np.concatenate([intervals, intervals[-1:]])
    log_before, log_after = np.log(before), np.log(after)
    around, around_after = _Around(before, causal), _Around(after, causal)
    usual = around(20, 20, "median")
    local, reference = np.log(around(5, 5, "mean")), before[known]
    median, mean = np.log(np.median(reference)), np.log(reference.mean())
    early = (before / usual < 0.88).astype(float)
    place = np.arange(len(early))
    ratio, irregular = np.log(before / usual), np.abs(np.diff(log_before, prepend=log_before[0]))
    steps = _Around(np.abs(np.diff(before, prepend=before[0])), causal)
    spread = np.median(np.abs(reference - np.exp(median)))
    jumps = _Around(irregular, causal)(30, 30, "median")
    found = {
        "near_before_after": log_before - log_after,
        "near_before_mean_11": log_before - local,
        "near_after_mean_11": log_after - local,
        "near_before_median_41": ratio,
        "near_after_median_41": np.log(after / usual),
        "near_before_median_11": log_before - np.log(around(5, 5, "median")),
        "near_before_median_behind": log_before - np.log(around(10, 0, "median")),
        "near_before_q75_21": log_before - np.log(around(10, 10, "quantile", 0.75)),
        "near_both_median_41": np.log((before + after) / (2 * usual)),
        "near_variation": np.nan_to_num(around(10, 10, "std")) / usual,
        "near_rmssd": np.sqrt(_Around(steps.values**2, causal)(10, 10, "mean")) / usual,
        "near_median_step": steps(10, 10, "median") / usual,
        "near_before_previous": log_before - _beside(log_before, -1),
        "near_rank_41": around.share(20),
        "near_early_share": _Around(early, causal)(10, 10, "mean"),
        # Beats since the last one that was not early.
        "near_early_run": np.minimum(place - np.maximum.accumulate(np.where(early == 0, place, -1)), 10),
        "near_longest": log_before - np.log(around(5, 5, "max")),
        "near_shortest": log_before - np.log(around(5, 5, "min")),
        "near_irregularity": jumps,
        "near_before_irregularity": ratio / (jumps + 0.02),
        "median_before": log_before - median,
        "median_after": log_after - median,
        "median_local": local - median,
        "median_usual": np.log(usual) - median,
        "median_z": (before - np.exp(median)) / (1.4826 * spread + 0.006),
        "median_z_usual": ratio / (1.4826 * np.median(np.abs(ratio[known])) + 0.01),
        "median_rank": np.searchsorted(np.sort(reference), before) / len(reference),
        "median_rank_usual": np.searchsorted(np.sort(ratio[known]), ratio) / len(reference),
        "median_irregularity": np.full(len(before), np.median(irregular[known])),
        "mean_before": log_before - mean,
        "mean_before_q75_121": log_before - np.log(around(60, 60, "quantile", 0.75)),
        "mean_rank_121": around.share(60),
    }
    if not causal:
        found["near_after_next"] = log_after - _beside(log_after, 1)
    for k in (-3, -2, -1) + (() if causal else (1, 2, 3)):
        found[f"near_before_{k:+d}"] = np.log(_beside(before, k) / usual)
    for half in (60, 150):
        behind = 2 * half if causal else half
        found[f"median_before_{half}"] = log_before - np.log(around(behind, half, "median"))
        found[f"median_after_{half}"] = log_after - np.log(around(behind, half, "median"))
        found[f"mean_before_{half}"] = log_before - np.log(around(behind, half, "mean"))
    for q in (10, 25, 75, 90):
        found[f"{'median' if q < 50 else 'mean'}_before_q{q}"] = log_before - np.log(np.percentile(reference, q))
    for k in (3, 5):
        found[f"median_previous_{k}"] = np.log(around(k - 1, 0, "mean")) - median
        found[f"median_next_{k}"] = np.log(around_after(0, k - 1, "mean")) - median
    return found, before, usual


def _samples(ms: float) -> int:
    return round(ms * RATE / 1000)


def _pieces(signal: Values, at: Ints, piece: tuple[int, int], room: int = 0) -> Values:
    """A piece around each place, ``[n, leads, w]``; where the signal ends, its last sample again."""
    offsets = np.arange(_samples(piece[0]) - room, _samples(piece[1]) + room)
    return signal[np.clip(at[:, None] + offsets, 0, len(signal) - 1)].transpose(0, 2, 1)


def _correlation(a: Values, b: Values) -> Values:
    a, b = a - a.mean(-1, keepdims=True), b - b.mean(-1, keepdims=True)
    return (a * b).sum(-1) / (np.sqrt((a * a).sum(-1) * (b * b).sum(-1)) + TINY)


def _matched(signal: Values, at: Ints, template: Values, piece: tuple[int, int], reach: int) -> tuple[Ints, Values]:
    """The shift (samples) at which both leads together are most like a template ``[leads, w]``, and how like."""
    big, width = _pieces(signal, at, piece, reach), template.shape[1]
    shifted = np.lib.stride_tricks.sliding_window_view(big, width, axis=2)
    centred = template - template.mean(-1, keepdims=True)
    dot = np.einsum("nlmw,lw->nm", shifted, centred, optimize=True)
    total, square = (np.cumsum(np.pad(v, ((0, 0), (0, 0), (1, 0))), axis=2) for v in (big, big**2))
    mean = (total[:, :, width:] - total[:, :, :-width]) / width
    energy = (square[:, :, width:] - square[:, :, :-width] - width * mean**2).sum(axis=1)
    like = dot / (np.sqrt(np.maximum(energy, TINY) * (centred**2).sum()) + TINY)
    best = like.argmax(axis=1)
    return best - reach, like[np.arange(len(at)), best]


def _clusters(shapes: Values, known: npt.NDArray[np.bool_]) -> npt.NDArray[np.intp]:
    """Clusters of QRS complexes ``[n, f]`` of unit length: k-means on the reference, merged where alike."""
    from sklearn.cluster import KMeans

    k = min(CLUSTERS, len(np.unique(shapes[known].round(6), axis=0)))
    fitted = KMeans(k, n_init=2, random_state=0).fit(shapes[known])
    label, centres, count = fitted.predict(shapes), fitted.cluster_centers_, np.bincount(fitted.labels_, minlength=k)
    count = count.astype(float)
    while k > 1:
        unit = centres / (np.linalg.norm(centres, axis=1, keepdims=True) + TINY)
        alike = unit @ unit.T
        alike[count == 0], alike[:, count == 0] = -1, -1
        np.fill_diagonal(alike, -1)
        i, j = np.unravel_index(alike.argmax(), alike.shape)
        if alike[i, j] < SAME_SHAPE:
            break
        centres[i] = (centres[i] * count[i] + centres[j] * count[j]) / (count[i] + count[j])
        count[i], count[j] = count[i] + count[j], 0
        label[label == j] = i
    return label


def _described(qrs: Values) -> dict[str, Values]:
    """Size, width and direction of QRS complexes of one lead ``[n, w]``."""
    time = np.arange(qrs.shape[1]) * 1000 / RATE
    size, absolute, energy = np.ptp(qrs, axis=1) + TINY, np.abs(qrs), qrs**2 + TINY
    centre = (energy * time).sum(1) / energy.sum(1)
    over = absolute > 0.2 * absolute.max(1, keepdims=True)
    return {
        "size": size,
        "spread": np.sqrt((energy * (time - centre[:, None]) ** 2).sum(1) / energy.sum(1)),
        "width": over.sum(1) * 1000 / RATE,
        "duration": (qrs.shape[1] - over[:, ::-1].argmax(1) - over.argmax(1)) * 1000 / RATE,
        "slope": np.abs(np.diff(qrs, axis=1)).max(1) / size,
        "area": absolute.sum(1) / size,
        "positive": np.maximum(qrs, 0).sum(1) / (absolute.sum(1) + TINY),
        "centre": centre,
        "highest": qrs.max(1),
        "lowest": qrs.min(1),
    }


def _shape(
    signal: Values,
    peaks: Ints,
    known: npt.NDArray[np.bool_],
    regular: npt.NDArray[np.bool_],
    rhythm: dict[str, Values],
    causal: bool,
) -> dict[str, Values]:
    """Features of the waves of two leads ``[n, 2]`` around R peaks against the record's template."""
    reach, n = _samples(LAG), len(peaks)
    signal = signal / (np.median(np.ptp(_pieces(signal, peaks[known], (-100, 100)), axis=2), axis=0) + TINY)
    template = np.median(_pieces(signal, peaks[known], QRS), axis=0)
    for _ in range(2):
        lag, like = _matched(signal, peaks, template, QRS, reach)
        at = peaks + np.where(like > 0.6, lag, 0)
        typical = known & (like >= np.quantile(like[known], 0.3))
        template = np.median(_pieces(signal, at[typical], QRS), axis=0)
    lag, like = _matched(signal, peaks, template, QRS, reach)
    at = peaks + np.where(like > 0.6, lag, 0)
    shapes = _pieces(signal, at, QRS)[:, :, ::2].reshape(n, -1)
    shapes /= np.linalg.norm(shapes, axis=1, keepdims=True) + TINY
    label = _clusters(shapes, known)
    share = np.bincount(label[known], minlength=CLUSTERS) / known.sum()
    main = label == share.argmax()
    models = main & known & regular
    models = models if models.sum() >= FEWEST else main & known
    template = np.median(_pieces(signal, at[models], QRS), axis=0)
    lag, like = _matched(signal, peaks, template, QRS, reach)
    at = peaks + np.where(like > 0.5, lag, 0)

    qrs = _pieces(signal, at, QRS)
    found = {
        "qrs_like": like,
        "qrs_lag": lag * 1000 / RATE,
        "qrs_distance": np.sqrt(((qrs - template) ** 2).sum((1, 2)) / ((template**2).sum() + TINY)),
    }
    pieces = {name: _pieces(signal, at, piece) for name, piece in (("p", P_WAVE), ("t", T_WAVE), ("wide", WIDE))}
    medians = {name: np.median(values[models], axis=0) for name, values in pieces.items()}
    level = _pieces(signal, at, ST).mean(axis=2)
    for lead in (0, 1):
        own, usual = qrs[:, lead], template[lead]
        energy = (usual**2).sum() + TINY
        gain = (own * usual).sum(1) / energy
        found |= {
            f"qrs_correlation{lead}": _correlation(own, usual),
            f"qrs_distance{lead}": np.sqrt(((own - usual) ** 2).sum(1) / energy),
            f"qrs_energy{lead}": 0.5 * np.log(((own**2).sum(1) + TINY) / energy),
            f"qrs_gain{lead}": gain,
            f"qrs_residual{lead}": np.sqrt(((own - gain[:, None] * usual) ** 2).sum(1) / ((own**2).sum(1) + TINY)),
            f"qrs_wide_correlation{lead}": _correlation(pieces["wide"][:, lead], medians["wide"][lead]),
            f"t_st{lead}": level[:, lead] - np.median(level[models, lead]),
        }
        theirs = _described(medians["wide"][lead][None])
        for name, values in _described(pieces["wide"][:, lead]).items():
            found[f"qrs_{name}{lead}"] = (
                values - theirs[name]
                if name in ("positive", "centre", "highest", "lowest")
                else np.log((values + TINY) / (theirs[name] + TINY))
            )
        wave, usual = pieces["t"][:, lead], medians["t"][lead]
        found |= {
            f"t_correlation{lead}": _correlation(wave, usual),
            f"t_distance{lead}": np.sqrt(((wave - usual) ** 2).mean(1)),
            f"t_level{lead}": wave.mean(1) - usual.mean(),
        }
        wave, usual = pieces["p"][:, lead], medians["p"][lead]
        flat, flat_usual = wave - wave.mean(1, keepdims=True), usual - usual.mean()
        distance = np.sqrt(((flat - flat_usual) ** 2).mean(1))
        found |= {
            f"p_correlation{lead}": _correlation(wave, usual),
            f"p_distance{lead}": distance,
            f"p_relative_distance{lead}": distance / (usual.std() + 0.02),
            f"p_gain{lead}": (flat * flat_usual).sum(1) / ((flat_usual**2).sum() + 0.05),
            f"p_size{lead}": np.log((np.ptp(wave, axis=1) + 0.01) / (np.ptp(usual) + 0.01)),
        }
    found["p_correlation"] = _correlation(pieces["p"].reshape(n, -1), medians["p"].reshape(-1))
    p_template = np.median(_pieces(signal, at[models], (-220, -80)), axis=0)
    found["p_lag"], found["p_found"] = _matched(signal, at, p_template, (-220, -80), _samples(60))

    flat = qrs.reshape(n, -1)
    for k in (-1, 1):
        if k < 0 or not causal:
            found[f"beside_correlation{k:+d}"] = _correlation(flat, flat[np.clip(np.arange(n) + k, 0, n - 1)])
            found[f"beside_like{k:+d}"] = _beside(like, k)
            found[f"beside_energy{k:+d}"] = _beside(found["qrs_energy0"], k)
    for name in ("p_correlation", "p_correlation0", "p_found", "p_relative_distance0"):
        around, record = _Around(found[name], causal), np.median(found[name][known])
        found |= {f"{name}_{half}": around(half, half, "median") for half in (2, 5, 30)}
        found[f"{name}_record"] = found[name] - record
    for name in ("qrs_like", "t_correlation0", "qrs_wide_correlation0"):
        found[f"{name}_2"] = _Around(found[name], causal)(2, 2, "median")

    found |= {"cluster_share": share[label], "cluster_main": main.astype(float)}
    centre = pd.DataFrame(shapes[known]).groupby(label[known]).mean().reindex(range(CLUSTERS), fill_value=0).to_numpy()
    found["cluster_like_main"] = _correlation(centre, centre[share.argmax()])[label]
    found["cluster_like_own"] = _correlation(shapes, centre[label])
    of_rhythm, of_shape = ("near_before_median_41", "near_after_median_41"), ("qrs_like", "qrs_distance")
    for name in (*of_rhythm, *of_shape, "p_correlation", "qrs_spread0", "qrs_spread1"):
        values = {**rhythm, **found}[name]
        by_cluster = pd.Series(values[known]).groupby(label[known]).median().reindex(range(CLUSTERS), fill_value=0)
        found[f"cluster_{name}"] = by_cluster.to_numpy()[label]
    return found
