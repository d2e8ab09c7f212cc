"""Segmentation: annotated records into a beats table, one row a beat, vectorised over the beats of a record."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Mapping, Sequence
from fractions import Fraction
from typing import Annotated, Any, Final

import numpy as np
import numpy.typing as npt
import pandas as pd
from pydantic import Field

from beatwise.core.errors import BeatwiseError
from beatwise.core.registry import Registry
from beatwise.data.examples import Array
from beatwise.ecg.beats import beats_table
from beatwise.ecg.records import Record
from beatwise.ecg.rr import rr_intervals

# The codes that WFDB counts as beats (wfdb.io.annotation), whether or not AAMI has a class for them.
BEAT_SYMBOLS: Final = tuple("NLRBAaJSVrFejnE/fQ?")
UNICODE_LATIN: Final = 256
IS_BEAT: Final = np.isin(np.arange(UNICODE_LATIN), [ord(symbol) for symbol in BEAT_SYMBOLS])

Rule = Callable[..., Array]
RULES: Registry[Rule] = Registry("segmentation rule")


@RULES.register("kaggle")
def cut_kaggle(
    adc: npt.NDArray[np.integer],
    annotations: npt.NDArray[np.int64],
    beats: npt.NDArray[np.intp],
    sample_rate: float,
    *,
    n_samples: Annotated[int, Field(ge=2)] = 187,
    keep_every: Annotated[int, Field(ge=1)] = 3,
) -> Array:
    """Cut beats the way the Kaggle "ECG Heartbeat Categorization" set was made, to the last bit.

    From the R peak on, r₁ + 0.2 r₂ raw samples, r₁ and r₂ being the next two intervals between annotations of any kind
    (the record's end closes the list); every third sample; min–max over that whole piece; the first
    187 values, zeros behind. Kachuee et al. (arXiv:1805.00794) publish another recipe (10 s windows, 1.2 × the median
    RR, 125 Hz); this one was recovered from the rows and reproduces them.

    Args:
        adc: One lead, ADC units, integer ``[n]``.
        annotations: Sample numbers of all annotations, ascending, ``int64 [n_annotations]``.
        beats: Which annotations to cut, ``[n_beats]``.
        sample_rate: Of the record (Hz); the rule counts samples and does not use it.
        n_samples: Values kept of a beat.
        keep_every: Decimation: one raw sample in so many is kept.

    Returns:
        Values in [0, 1], ``float32 [n_beats, n_samples]``.
    """
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
    return values


@RULES.register("window")
def cut_window(
    adc: npt.NDArray[np.integer],
    annotations: npt.NDArray[np.int64],
    beats: npt.NDArray[np.intp],
    sample_rate: float,
    *,
    before: Annotated[float, Field(ge=0, le=5)] = 0.35,
    after: Annotated[float, Field(gt=0, le=5)] = 0.55,
    rate: Annotated[float, Field(gt=0, le=1000)] = 120.0,
) -> Array:
    """Cut a window of fixed length around every R peak, at a rate of one's choice.

    The record is resampled as a whole (polyphase filter, ``scipy.signal.resample_poly``) before it is cut, so that no
    window has filter edges of its own. A window that reaches beyond the record is filled with the record's first or
    last
    value: no beat is lost. Each window is min–max scaled.

    Args:
        adc: One lead, ADC units, integer ``[n]``.
        annotations: Sample numbers of all annotations, ascending, ``int64 [n_annotations]``.
        beats: Which annotations to cut, ``[n_beats]``.
        sample_rate: Of the record (Hz).
        before: Seconds before the R peak.
        after: Seconds from the R peak on.
        rate: Samples per second (Hz) of the result.

    Returns:
        Values in [0, 1], ``float32 [n_beats, round(before·rate) + round(after·rate)]``.
    """
    from scipy.signal import resample_poly

    offsets = np.arange(-round(before * rate), round(after * rate))
    if len(offsets) < 2:
        raise BeatwiseError(
            f"A window of {before:g} s before and {after:g} s after the R peak holds {len(offsets)} samples at "
            f"{rate:g} Hz; at least two are needed. Raise segment.rule.window.before, after or rate."
        )
    ratio = Fraction(rate / sample_rate).limit_denominator(1000)
    resampled = resample_poly(adc.astype(np.float32), ratio.numerator, ratio.denominator, padtype="line")
    peak = np.rint(annotations[beats] * float(ratio)).astype(np.int64)
    windows = resampled[np.clip(peak[:, None] + offsets, 0, len(resampled) - 1)]
    _scale(windows, windows.min(axis=1, keepdims=True), windows.max(axis=1, keepdims=True))
    return windows


def _scale(windows: Array, low: Array, high: Array) -> None:
    """Min–max scale every row, in place.

    Single precision gives the very bits that double precision rounded to single gives, as Kaggle's rows were made: ADC
    values of up to 24 bits and their differences are exact in it, and the quotient p/q of two such numbers cannot come
    so near the middle between two single-precision numbers that rounding twice would differ from rounding once.
    """
    windows -= low
    windows /= np.where(high > low, high - low, np.float32(1))


def beat_rate(rule: str, options: Mapping[str, Any], sample_rate: float) -> float:
    """Samples per second (Hz) of the beats that a rule cuts from a record of a given rate."""
    return float(options["rate"]) if rule == "window" else sample_rate / options["keep_every"]


def segment_records(
    records: Iterable[Record],
    *,
    rule: str,
    options: Mapping[str, Any],
    classes: Sequence[str],
    aami: Mapping[str, Sequence[str]],
    lead: int | str = 0,
) -> pd.DataFrame:
    """Cut records into one beats table, record after record.

    Every annotated beat of a known class is cut, except the last of each record, whose end is not known.

    Args:
        records: The records.
        rule: Name of a segmentation rule (:data:`RULES`).
        options: Options of the rule, already checked.
        classes: Class names in the order of their indices.
        aami: Annotation codes of each class; a code in no class of ``classes`` is not cut.
        lead: Column or name of the lead to cut.

    Returns:
        Beats table with ``record``, ``sample`` (of the R peak), ``lead`` and the RR columns (s).

    Raises:
        BeatwiseError: If there is no record, or one has no such lead, fewer than two beats, or an annotation beyond its
            end.
    """
    class_of = np.full(UNICODE_LATIN, -1)
    for index, name in enumerate(classes):
        class_of[[ord(code) for code in aami.get(name, [])]] = index
    parts: list[dict[str, npt.NDArray[Any]]] = []
    names: list[tuple[str, str]] = []
    for record in records:
        column = _lead_column(record, lead)
        names.append((record.name, record.leads[column]))
        part = _cut_record(record, rule, options, class_of, column)
        parts.append(part)
    if not parts:
        raise BeatwiseError("There is no record to segment.")
    joined = {name: np.concatenate([part[name] for part in parts]) for name in parts[0]}
    values, target, sample = joined.pop("values"), joined.pop("target"), joined.pop("sample")
    if not len(target):
        raise BeatwiseError(
            f"No beat of {len(parts)} records has a code of the classes {', '.join(classes)}: segment.aami names codes "
            f"for {', '.join(aami)}. Map every class of globals.yml there."
        )
    counts = [len(part["target"]) for part in parts]
    record_name, lead_name = (pd.array(column, dtype="str").repeat(counts) for column in zip(*names, strict=True))
    return beats_table(values, target, record=record_name, sample=sample, lead=lead_name, **joined)


def _cut_record(
    record: Record, rule: str, options: Mapping[str, Any], class_of: npt.NDArray[np.int64], column: int
) -> dict[str, npt.NDArray[Any]]:
    """The numeric columns of a beats table, and ``values`` for the signals."""
    samples = record.annotation_samples
    if len(samples) and (samples[-1] >= len(record.adc) or samples[0] < 0):
        raise BeatwiseError(
            f"Record {record.name}: its annotation file has an annotation at sample {samples[-1]}, but the signal ends "
            f"at sample {len(record.adc) - 1}. Fetch the record's .dat and .atr again; they do not belong together."
        )
    # Annotation codes are single characters: their numbers look classes up without a comparison of texts.
    codes = record.annotation_symbols.astype("<U1").view(np.uint32) % UNICODE_LATIN
    is_beat, target = IS_BEAT[codes], class_of[codes]
    if is_beat.sum() < 2:
        raise BeatwiseError(
            f"Record {record.name}: {is_beat.sum()} annotated beats; at least two are needed. Fetch its .atr again, or "
            "take the record out."
        )
    beats = np.flatnonzero(is_beat & (target >= 0))[:-1]
    rr = rr_intervals(samples[is_beat], record.sample_rate)
    place = np.cumsum(is_beat)[beats] - 1
    return {
        "values": RULES[rule](record.adc[:, column], samples, beats, record.sample_rate, **options),
        "target": target[beats],
        "sample": samples[beats],
        **{name: intervals[place] for name, intervals in rr.items()},
    }


def _lead_column(record: Record, lead: int | str) -> int:
    known = f"it has {', '.join(f'{i} ({name})' for i, name in enumerate(record.leads))}"
    if isinstance(lead, str):
        if lead not in record.leads:
            raise BeatwiseError(f"Record {record.name} has no lead {lead!r}: {known}. Set segment.lead.")
        return record.leads.index(lead)
    if not 0 <= lead < len(record.leads):
        raise BeatwiseError(f"Record {record.name} has no lead number {lead}: {known}. Set segment.lead.")
    return lead
