"""Segmentation: annotated records into a beats table, one row a beat, vectorised over the beats of a record."""

from __future__ import annotations

import math
from collections.abc import Callable, Iterable, Mapping, Sequence
from fractions import Fraction
from typing import Annotated, Any, Final, Literal

import numpy as np
import numpy.typing as npt
import pandas as pd
from pydantic import Field

from beatwise.core.errors import BeatwiseError
from beatwise.core.registry import Registry
from beatwise.data.examples import INPUTS, Array, Examples
from beatwise.ecg.beats import beats_table
from beatwise.ecg.records import Record, bridged
from beatwise.ecg.rr import beat_features

# The codes that WFDB counts as beats (wfdb.io.annotation), whether or not AAMI has a class for them.
BEAT_SYMBOLS: Final = tuple("NLRBAaJSVrFejnE/fQ?")
# A wave of ventricular flutter: a beat where a class names it, and no beat otherwise.
OPTIONAL_BEAT_SYMBOLS: Final = ("!",)
SAME_RATE_HZ: Final = 1e-6
# Seconds before and after an R peak in which the QRS complex is measured that a record is scaled by.
QRS_S: Final = (0.15, 0.25)
SameSample = Literal["refuse", "first", "last"]

# The beats that a rule cuts, and the samples of the record that each is made of: from, and up to, which [n_beats, 2].
Cut = tuple[Array, npt.NDArray[np.int64]]
Rule = Callable[..., Cut]
RULES: Registry[Rule] = Registry("segmentation rule")


@RULES.register("kaggle")
def cut_kaggle(
    leads: npt.NDArray[np.number],
    annotations: npt.NDArray[np.int64],
    beats: npt.NDArray[np.intp],
    peaks: npt.NDArray[np.int64],
    sample_rate: float,
    *,
    n_samples: Annotated[int, Field(ge=2)] = 187,
    keep_every: Annotated[int, Field(ge=1)] = 3,
) -> Cut:
    """Cut beats the way the Kaggle "ECG Heartbeat Categorization" set was made, to the last bit.

    From the R peak on, r₁ + 0.2 r₂ raw samples, r₁ and r₂ being the next two intervals between annotations of any kind
    (the record's end closes the list); every third sample; min–max over that whole piece; the first
    187 values, zeros behind. Kachuee et al. (arXiv:1805.00794) publish another recipe (10 s windows, 1.2 × the median
    RR, 125 Hz); this one was recovered from the rows and reproduces them.

    Args:
        leads: One lead, ADC units, ``[1, n]``.
        annotations: Sample numbers of all annotations, ascending, ``int64 [n_annotations]``.
        beats: Which annotations to cut, ``[n_beats]``.
        peaks: R peaks of the record; not used.
        sample_rate: Sampling rate of the record (Hz); not used, because the rule counts samples.
        n_samples: Values kept of a beat.
        keep_every: Decimation: one raw sample in so many is kept.

    Returns:
        Values in [0, 1], ``float32 [n_beats, n_samples]``, and the samples of each beat.

    Raises:
        BeatwiseError: If there are several leads.
    """
    if len(leads) > 1:
        raise BeatwiseError("The rule 'kaggle' cuts one lead. Set segment.leads: 1, or segment.rule.use: window.")
    (adc,) = leads
    closed = np.concatenate([annotations, [len(adc), len(adc)]])
    start = closed[beats]
    first, second = closed[beats + 1] - start, closed[beats + 2] - closed[beats + 1]
    raw_length = np.maximum((first + 0.2 * second).astype(np.int64), 1)
    length = -(-raw_length // keep_every)

    # Every phase of the decimation as one contiguous stretch with room behind it, so that a beat is a plain slice.
    per_phase = -(-len(adc) // keep_every) + n_samples
    phases = np.zeros((keep_every, per_phase), dtype=np.float32)
    for phase in range(keep_every):
        kept = adc[phase::keep_every]
        phases[phase, : len(kept)] = kept
    decimated = phases.ravel()
    begin = (start % keep_every) * per_phase + start // keep_every

    # Reducing over (begin, end) pairs leaves the wanted pieces at the even places, overlapping or not. In ascending
    # order the pieces between them, which are not used, add up to no more than the record.
    order = np.argsort(begin)
    pairs = np.column_stack([begin, begin + length])[order].ravel()
    low, high = np.empty((2, len(begin), 1), dtype=np.float32)
    low[order, 0] = np.minimum.reduceat(decimated, pairs)[::2]
    high[order, 0] = np.maximum.reduceat(decimated, pairs)[::2]

    values = np.lib.stride_tricks.sliding_window_view(decimated, n_samples)[begin]
    _scale(values, low, high)
    # Faster than assigning under a mask; adding zero turns the minus zeros that the product leaves into zeros.
    values *= np.arange(n_samples) < length[:, None]
    values += 0
    return values, np.column_stack([start, np.minimum(start + raw_length, len(adc))])


@RULES.register("window")
def cut_window(
    leads: npt.NDArray[np.number],
    annotations: npt.NDArray[np.int64],
    beats: npt.NDArray[np.intp],
    peaks: npt.NDArray[np.int64],
    sample_rate: float,
    *,
    before: Annotated[float, Field(ge=0, le=5)] = 0.35,
    after: Annotated[float, Field(gt=0, le=5)] = 0.55,
    rate: Annotated[float, Field(gt=0, le=1000)] | None = 120.0,
    high_pass: Annotated[float, Field(gt=0, le=5)] | None = None,
    scale: Literal["beat", "record"] = "beat",
) -> Cut:
    """Cut a window of fixed length around every R peak, at a rate of one's choice.

    The record is resampled as a whole (polyphase filter, ``scipy.signal.resample_poly``) and high-passed before it is
    cut, so that no window has filter edges of its own. A window that reaches beyond the record is filled with the
    record's first or last value: no beat is lost.

    Args:
        leads: Leads, ADC units, ``[n_leads, n]``.
        annotations: Sample numbers of all annotations, ascending, ``int64 [n_annotations]``.
        beats: Which annotations to cut, ``[n_beats]``.
        peaks: All R peaks of the record, ``int64 [n_peaks]``, for its scale.
        sample_rate: Sampling rate of the record (Hz).
        before: Seconds before the R peak.
        after: Seconds from the R peak on.
        rate: Samples per second (Hz) of the result; null in a source without beats.
        high_pass: Corner (Hz) of a Butterworth filter of the second order, run both ways so that it shifts nothing,
            which takes the wander of the baseline away; null for none.
        scale: ``beat`` brings every lead of a window to [0, 1] by its minimum and maximum; ``record`` divides every
            lead by the median peak-to-peak amplitude of the record's QRS complexes (150 ms before to 250 ms after the R
            peak), so that a beat keeps its size beside the others of its record.

    Returns:
        Windows, ``float32 [n_beats, n_leads, round(before·rate) + round(after·rate)]``, without the axis of leads for
        one lead in [0, 1]; and the samples of each beat, those included that the filter of the resampling reaches.

    Raises:
        BeatwiseError: If a window holds fewer than two samples, or the rate is too low for the high-pass.
    """
    from scipy.signal import butter, resample_poly, sosfiltfilt

    assert rate is not None
    offsets = np.arange(-round(before * rate), round(after * rate))
    if len(offsets) < 2:
        raise BeatwiseError(
            f"A window of {before:g} s before and {after:g} s after the R peak holds {len(offsets)} samples at "
            f"{rate:g} Hz; at least two are needed. Raise segment.rule.window.before, after or rate."
        )
    ratio = Fraction(rate / sample_rate).limit_denominator(1000)
    resampled = np.stack(
        [resample_poly(lead.astype(np.float32), ratio.numerator, ratio.denominator, padtype="line") for lead in leads]
    )
    if high_pass is not None:
        if high_pass >= rate / 2:
            raise BeatwiseError(
                f"segment.rule.window.high_pass: {high_pass:g} Hz is too high for {rate:g} samples a second; allowed: "
                f"below {rate / 2:g}."
            )
        corner = butter(2, high_pass, "highpass", fs=rate, output="sos")
        # The ends of a record are continued by a second, so that a filter so slow does not ring there.
        resampled = sosfiltfilt(corner, resampled, axis=1, padlen=min(round(rate), resampled.shape[1] - 1))
        resampled = resampled.astype(np.float32)
    if scale == "record":
        around = np.arange(-round(QRS_S[0] * rate), round(QRS_S[1] * rate) + 1)
        size = np.median(np.ptp(_around(resampled, peaks, float(ratio), around), axis=2), axis=1)
        resampled = resampled / np.where(size > 0, size, 1).astype(np.float32)[:, None]
    windows = _around(resampled, annotations[beats], float(ratio), offsets).swapaxes(0, 1)
    if scale == "beat":
        _scale(windows, windows.min(axis=2, keepdims=True), windows.max(axis=2, keepdims=True))
    # Half the length of the filter that resample_poly designs, in samples of the record; it copies at the same rate.
    reach = 0 if ratio == 1 else math.ceil(10 * max(ratio.as_integer_ratio()) / ratio.numerator)
    place = _place(annotations[beats], float(ratio), offsets[[0, -1]], resampled.shape[1])
    source = place / float(ratio)
    span = np.column_stack([np.floor(source[:, 0]) - reach, np.ceil(source[:, 1]) + reach + 1]).astype(np.int64)
    values = windows[:, 0] if len(leads) == 1 and scale == "beat" else windows
    return np.ascontiguousarray(values), np.clip(span, 0, leads.shape[1])


def _place(
    peaks: npt.NDArray[np.int64], ratio: float, offsets: npt.NDArray[np.int64], length: int
) -> npt.NDArray[np.int64]:
    """Samples around R peaks of a record that was resampled by a ratio, held within it, ``[n_peaks, n_offsets]``."""
    peak = np.rint(peaks * ratio).astype(np.int64)
    return np.clip(peak[:, None] + offsets, 0, length - 1)


def _around(resampled: Array, peaks: npt.NDArray[np.int64], ratio: float, offsets: npt.NDArray[np.int64]) -> Array:
    """The samples of :func:`_place` in every lead, ``float32 [n_leads, n_peaks, n_offsets]``."""
    return resampled[:, _place(peaks, ratio, offsets, resampled.shape[1])]


def _scale(windows: Array, low: Array, high: Array) -> None:
    """Min–max scale the last axis, in place.

    Single precision gives the very bits that double precision rounded to single gives, as Kaggle's rows were made: ADC
    values of up to 24 bits and their differences are exact in it, and the quotient p/q of two such numbers cannot come
    so near the middle between two single-precision numbers that rounding twice would differ from rounding once.
    """
    windows -= low
    windows /= np.where(high > low, high - low, np.float32(1))


def beat_shape(rule: str, options: Mapping[str, Any], sample_rate: float) -> tuple[float, int]:
    """Rate (Hz) and number of samples of the beats that a rule cuts from a record of a given rate."""
    if rule == "window":
        rate = float(options["rate"])
        return rate, round(options["before"] * rate) + round(options["after"] * rate)
    return sample_rate / options["keep_every"], options["n_samples"]


def check_beat_shape(
    record: Record, rule: str, options: Mapping[str, Any], sample_rate: float, beat_length: int
) -> None:
    """Refuse a record whose beats, cut by a rule, would not have the rate (Hz) and length of the source.

    Raises:
        BeatwiseError: With the values of the keys that would agree.
    """
    rate, length = beat_shape(rule, options, record.sample_rate)
    if abs(rate - sample_rate) <= SAME_RATE_HZ and length == beat_length:
        return
    window = options if rule == "window" else RULES.options("window", {"rate": sample_rate})
    window_rate, window_length = beat_shape("window", window, record.sample_rate)
    kaggle = options if rule == "kaggle" else RULES.options("kaggle", {"n_samples": beat_length})
    keep_every = max(1, round(record.sample_rate / sample_rate))
    raise BeatwiseError(
        f"Record {record.name} has {record.sample_rate:g} Hz, so that the rule {rule!r} cuts beats of {length} samples "
        f"at {rate:g} Hz from it; globals.yml says beat_length: {beat_length} and sample_rate: {sample_rate:g}. Make "
        "them agree in one of two ways:\n"
        f"- resample the records: segment.rule.use: window in parameters.yml; sample_rate: {window_rate:g} and "
        f"beat_length: {window_length} in globals.yml;\n"
        f"- keep one sample in {keep_every}: segment.rule.use: kaggle and segment.rule.kaggle.keep_every: {keep_every} "
        f"in parameters.yml; sample_rate: {record.sample_rate / keep_every:.10g} and beat_length: "
        f"{kaggle['n_samples']} in globals.yml."
    )


def segment_examples(
    records: Iterable[Record],
    *,
    rule: str,
    options: Mapping[str, Any],
    classes: Sequence[str],
    aami: Mapping[str, Sequence[str]],
    lead: int | str | Sequence[int | str] = 0,
    leads: int = 1,
    features: Sequence[str] = ("rr",),
    same_sample: SameSample = "refuse",
) -> tuple[Examples, pd.DataFrame]:
    """Cut the beats of records, record after record.

    Every annotated beat of a known class is cut, except the last of each record, whose end is not known, and those that
    touch a stretch without samples. RR intervals count all annotated beats, whether they are cut or not.

    Args:
        records: The records.
        rule: Name of a segmentation rule (:data:`RULES`).
        options: Options of the rule, already checked.
        classes: Class names in the order of their indices.
        aami: Annotation codes of each class; a code in no class of ``classes`` is not cut.
        lead: Column or name of the lead to cut; of several, the first that a record has.
        leads: How many leads are cut: ``lead``, and behind it the others in the order of the record.
        features: Names of feature sets (:data:`beatwise.ecg.rr.FEATURES`).
        same_sample: Where two beats are annotated on one sample: ``"refuse"`` the record, or keep the ``"first"`` or
            the ``"last"`` of them in the file.

    Returns:
        Beats ``[n, t]`` or windows of leads ``[n, leads, t]`` with ``target``, ``record``, ``sample`` (of the R peak),
        ``lead`` (several joined by ``+``) and the features; and what became of the annotated beats, one row a record:
        ``record``, ``lead``, ``annotated``, ``cut``, ``no_samples`` (dropped, because they touch a stretch without
        samples), ``no_class`` (their code is in no class), ``last`` (1 if the record's last beat has a class),
        ``same_sample`` (left out beside another beat on their sample).

    Raises:
        BeatwiseError: If there is no record, or one has no such lead or too few, fewer than two beats, annotations in
            disorder or beyond its end, or two beats on one sample.
    """
    class_of = {code: index for index, name in enumerate(classes) for code in aami.get(name, [])}
    parts: list[dict[str, npt.NDArray[Any]]] = []
    rows: list[dict[str, Any]] = []
    for record in records:
        columns = lead_columns(record, lead, leads)
        part, counts = _cut_record(record, rule, options, class_of, columns, features, same_sample)
        parts.append(part)
        rows.append({"record": record.name, "lead": "+".join(record.leads[column] for column in columns), **counts})
    if not parts:
        raise BeatwiseError("There is no record to segment.")
    summary = pd.DataFrame(rows)
    joined = {name: np.concatenate([part[name] for part in parts]) for name in parts[0]}
    values, target, sample = joined.pop("values"), joined.pop("target"), joined.pop("sample")
    if not len(target):
        missing = summary["no_samples"].sum()
        if missing:
            raise BeatwiseError(
                f"All {missing} beats of {len(parts)} records touch stretches where the lead has no samples. Set "
                "segment.lead to another lead."
            )
        raise BeatwiseError(
            f"No beat of {len(parts)} records has a code of the classes {', '.join(classes)}: segment.aami names codes "
            f"for {', '.join(aami)}. Map every class of globals.yml there."
        )
    record_name, lead_name = (
        pd.array(summary[column].tolist(), dtype="str").repeat(summary["cut"]) for column in ("record", "lead")
    )
    table = pd.DataFrame({"target": target, "record": record_name, "sample": sample, "lead": lead_name, **joined})
    if values.ndim == 3:
        table.attrs[INPUTS] = [f"lead {i}" for i in range(1, values.shape[1] + 1)]
    return Examples(values, table), summary


def segment_records(records: Iterable[Record], **how: Any) -> tuple[pd.DataFrame, pd.DataFrame]:
    """Cut beats of one lead ``[n, t]`` as :func:`segment_examples` does, into one beats table, one row a beat."""
    examples, summary = segment_examples(records, **how)
    return beats_table(examples.x, **{str(name): examples.table[name].array for name in examples.table}), summary


def _cut_record(
    record: Record,
    rule: str,
    options: Mapping[str, Any],
    class_of: Mapping[str, int],
    columns: Sequence[int],
    feature_sets: Sequence[str],
    same_sample: SameSample,
) -> tuple[dict[str, npt.NDArray[Any]], dict[str, int]]:
    """The numeric columns of the table and ``values`` for the signals; and the counts of the record."""
    samples, symbols = record.annotation_samples, record.annotation_symbols
    backwards = np.flatnonzero(np.diff(samples) < 0)
    if len(backwards):
        first, second = samples[backwards[0] : backwards[0] + 2]
        raise BeatwiseError(
            f"Record {record.name}: its annotations are not in the order of time: sample {second} comes after sample "
            f"{first}. Sort the annotation file, or fetch it again."
        )
    # Some annotators place the last beat at the record's very end (svdb, 860); the last beat is not cut.
    outside = samples[(samples < 0) | (samples > len(record.adc))]
    if len(outside):
        raise BeatwiseError(
            f"Record {record.name}: its annotation file has an annotation at sample {outside[-1]}, but the signal ends "
            f"at sample {len(record.adc) - 1}. They do not belong together: fetch both again, or "
            "leave the record out, in segment.leave_out."
        )
    is_beat = np.isin(symbols, [*BEAT_SYMBOLS, *class_of])
    annotated = int(is_beat.sum())
    kept = _one_a_sample(record, is_beat, same_sample)
    samples, symbols, is_beat = samples[kept], symbols[kept], is_beat[kept]
    if is_beat.sum() < 2:
        raise BeatwiseError(
            f"Record {record.name}: {is_beat.sum()} annotated beats; at least two are needed. Fetch its annotations "
            "again, or leave the record out, in segment.leave_out."
        )
    codes, which = np.unique(symbols, return_inverse=True)
    target = np.array([class_of.get(code, -1) for code in codes.tolist()])[which]
    of_class = np.flatnonzero(is_beat & (target >= 0))
    beats = of_class[:-1]
    signals, missing = record_leads(record, columns)
    gaps, peaks = np.flatnonzero(missing), samples[is_beat]
    values, span = RULES[rule](signals, samples, beats, peaks, record.sample_rate, **options)
    # As many samples are missing before the end of a whole beat as before its beginning.
    whole = np.searchsorted(gaps, span[:, 1]) == np.searchsorted(gaps, span[:, 0])
    beats = beats[whole]
    features = beat_features(feature_sets, signals, peaks, record.sample_rate)
    place = np.cumsum(is_beat)[beats] - 1
    table = {
        "values": values if whole.all() else values[whole],
        "target": target[beats],
        "sample": samples[beats],
        **{name: feature[place] for name, feature in features.items()},
    }
    return table, {
        "annotated": annotated,
        "cut": len(beats),
        "no_samples": int((~whole).sum()),
        "no_class": int(is_beat.sum()) - len(of_class),
        "last": min(len(of_class), 1),
        "same_sample": int((~kept).sum()),
    }


def _one_a_sample(record: Record, is_beat: npt.NDArray[np.bool_], same_sample: SameSample) -> npt.NDArray[np.bool_]:
    """Which annotations to keep, so that no sample has two beats."""
    beats, kept = np.flatnonzero(is_beat), np.ones(len(is_beat), dtype=bool)
    samples, symbols = record.annotation_samples, record.annotation_symbols
    twice = np.flatnonzero(np.diff(samples[beats]) == 0)
    if len(twice) and same_sample == "refuse":
        places = [f"{samples[beats[i]]} ({symbols[beats[i]]}, {symbols[beats[i + 1]]})" for i in twice[:5]]
        raise BeatwiseError(
            f"Record {record.name}: two beats are annotated on one sample, {len(twice)} times: sample "
            f"{', '.join(places)}{', …' if len(twice) > 5 else ''}. Correct the annotation file, or keep one of them: "
            "segment.same_sample: first (or last)."
        )
    kept[beats[twice + (same_sample == "first")]] = False
    return kept


def record_leads(record: Record, columns: Sequence[int]) -> tuple[npt.NDArray[Any], npt.NDArray[np.bool_]]:
    """Leads of a record ``[n_leads, n]``, straight lines where samples are missing; and where one misses, ``[n]``."""
    data, missing = np.ma.getdata(record.adc), np.ma.getmaskarray(record.adc)
    bridges = [bridged(data[:, column], missing[:, column]) for column in columns]
    # One lead is not copied.
    return bridges[0][None] if len(bridges) == 1 else np.stack(bridges), np.asarray(
        missing[:, list(columns)].any(axis=1)
    )


def lead_columns(record: Record, lead: int | str | Sequence[int | str], n_leads: int) -> list[int]:
    """Columns of the leads to cut: the first wanted one that the record has, and behind it others in their order.

    Raises:
        BeatwiseError: If the record has none of the wanted leads, or fewer leads.
    """
    first = _lead_column(record, lead)
    others = [column for column in range(len(record.leads)) if column != first]
    if len(record.leads) < n_leads:
        raise BeatwiseError(
            f"Record {record.name} has no {n_leads} leads, as segment.leads asks, but {', '.join(record.leads)}. Lower "
            "segment.leads, or leave the record out, in segment.leave_out."
        )
    return [first, *others][:n_leads]


def _lead_column(record: Record, lead: int | str | Sequence[int | str]) -> int:
    wanted = [lead] if isinstance(lead, int | str) else lead
    for choice in wanted:
        if isinstance(choice, str) and record.leads.count(choice) == 1:
            return record.leads.index(choice)
        if isinstance(choice, int) and 0 <= choice < len(record.leads):
            return choice
    known = f"it has {', '.join(f'{i} ({name})' for i, name in enumerate(record.leads))}"
    kind = " number" if isinstance(lead, int) else ""
    lacks = "several leads" if lead in record.leads else f"no lead{kind}"
    raise BeatwiseError(
        f"Record {record.name} has {lacks} {' or '.join(map(repr, wanted))}: {known}. Set segment.lead. It may be a "
        "list, such as [MLII, II, 0], of which the first that there is counts; segment.leave_out leaves records out."
    )
