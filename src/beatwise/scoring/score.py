"""Raw recordings and examples into classified beats."""

from __future__ import annotations

import logging
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any, Final

import numpy as np
import numpy.typing as npt
import pandas as pd

from beatwise.core.errors import BeatwiseError
from beatwise.data.examples import IDENTITY_COLUMNS, TIME, Array, Examples
from beatwise.data.features import RR_COLUMNS
from beatwise.ecg.detection import find_peaks
from beatwise.ecg.quality import Lead, choose_lead, examine_lead, unusable_stretches
from beatwise.ecg.records import Record
from beatwise.ecg.rr import beat_features, rr_intervals
from beatwise.ecg.segmentation import BEAT_SYMBOLS, RULES, lead_columns, record_leads
from beatwise.scoring.monitoring import measure_beats
from beatwise.scoring.scorer import Cut, Scorer
from beatwise.scoring.settings import Score

Ints = npt.NDArray[np.int64]
# The detector of R peaks that were read.
ANNOTATIONS: Final = "annotations"
# Seconds before and after an R peak that hold the whole QRS complex, wide ones too.
QRS: Final = 0.1
# Intervals before the last beat whose median stands for the one after it.
LAST_INTERVALS: Final = 5

# R peaks below which medians over a recording are not sure.
FEWEST_BESIDE: Final = 100

log = logging.getLogger(__name__)


@dataclass(frozen=True, eq=False)
class Scored:
    """One recording with its classified beats.

    Attributes:
        name: Name of the recording.
        lead: Name of the lead that was scored; of windows of leads, the first.
        sample_rate: Its samples per second (Hz).
        n_samples: Its length (samples).
        detector: The detector of the R peaks; ``"annotations"`` where they were read.
        beats: One row a beat: ``record``; ``sample`` of the R peak (int64) in the recording as it is; ``seconds``
            (float64); the columns of ``Scorer.predict``; the RR intervals (s, float32); ``amplitude``, of the QRS
            complex from peak to peak (mV, float32); what ``measure_beats`` measures. Beats that touch
            an unusable stretch are left out.
        unusable: Stretches that were not classified, first sample and the one after the last, ``int64 [k, 2]``.
        without_interval: R peaks in usable signal that are left out, because no interval between two R peaks of the
            recording is known; without one, neither the end of a beat nor its RR intervals are.
    """

    name: str
    lead: str
    sample_rate: float
    n_samples: int
    detector: str
    beats: pd.DataFrame
    unusable: Ints
    without_interval: int = 0


def score_record(record: Record, scorer: Scorer, settings: Score) -> Scored:
    """Find the beats of a recording, cut them as those of the training were cut, and classify them.

    Every beat is scored, the last one too: where a rule asks for the interval after it, the median of those before it
    stands for that. An interval across an unusable stretch counts as not known, like those at the ends of a recording.

    Args:
        record: The recording; beats that it annotates are taken as they are.
        scorer: The scorer.
        settings: Which lead, and how R peaks are found that are not annotated.

    Raises:
        BeatwiseError: If the model does not take beats of recordings, the recording lacks the lead, its annotations lie
            beyond its end, or its rate is too low to find R peaks.
    """
    if scorer.cut is None:
        raise BeatwiseError(
            f"This model, of the source {scorer.source}, was not trained to classify beats that its segment.rule cuts "
            "from recordings, so that it cannot score any. It scores tables of such examples as it was trained on."
        )
    lead = _lead(record, settings.lead, scorer.cut.leads)
    signal, millivolts = record.of_leads(_columns(record, lead.column, scorer.cut.n_leads)), lead.millivolts
    peaks, detector = _peaks(signal, millivolts, settings)
    unusable = _unusable(signal, lead, peaks)
    peaks = peaks[~_touch(unusable, np.column_stack([peaks, peaks + 1]))]
    broken = _touch(unusable, np.column_stack([peaks[:-1], peaks[1:]]))
    without_interval = 0
    if broken.all():
        without_interval = len(peaks)
        peaks, broken = peaks[:0], broken[:0]
    if without_interval:
        log.warning(
            "Record %s: no beat is classified, because no interval between its R peaks in usable signal is known "
            "(%d such R peaks).",
            *(record.name, without_interval),
        )
    if scorer.cut.of_the_whole_record and 0 < len(peaks) < FEWEST_BESIDE:
        log.warning(
            "Record %s: %d R peaks; this model describes a beat beside all others of its recording, and needs some "
            "minutes of it.",
            *(record.name, len(peaks)),
        )
    values, span = _cut(signal, peaks, scorer.cut, scorer.model.representation.fitted.shape)
    usable = ~_touch(unusable, span)
    rr = {name: interval[usable] for name, interval in _rr(peaks, signal.sample_rate, broken).items()}
    features = _features(signal, peaks, broken, scorer.cut)
    examples = Examples(values[usable], pd.DataFrame({**rr, **{name: f[usable] for name, f in features.items()}}))
    beats = pd.DataFrame(
        {
            "record": pd.array([record.name] * len(examples), dtype="str"),
            "sample": peaks[usable],
            "seconds": peaks[usable] / signal.sample_rate,
            **scorer.predict(examples),
            **rr,
            "amplitude": _amplitude(millivolts, peaks[usable], signal.sample_rate),
            **measure_beats(examples, scorer.reference.get("sample_rate")),
        }
    )
    return Scored(
        name=record.name,
        lead=signal.leads[0],
        sample_rate=signal.sample_rate,
        n_samples=len(millivolts),
        detector=detector,
        beats=beats,
        unusable=unusable,
        without_interval=without_interval,
    )


def score_examples(examples: Examples, scorer: Scorer) -> pd.DataFrame:
    """Classify examples.

    Returns:
        One row an example, in order: record, sample, lead, time and RR intervals where they are known, the columns of
        ``Scorer.predict``, and what ``measure_beats`` measures. Labels are left out.

    Raises:
        BeatwiseError: If they are of another shape, lack features that the model was trained with, or have values that
            are not finite, or of a beat, outside [0, 1]; a line for each problem.
    """
    known = [name for name in (*IDENTITY_COLUMNS, TIME, *RR_COLUMNS) if examples.has(name)]
    measured = measure_beats(examples, scorer.reference.get("sample_rate"))
    return pd.concat([examples.table[known], scorer.predict(examples), measured], axis="columns")


def _lead(record: Record, wanted: Any, preferred: Sequence[int | str]) -> Lead:
    """The lead to score."""
    if wanted is None:
        # Sources without names of leads, as the Kaggle set, are mostly of the first one.
        return choose_lead(record, preferred or (0,))
    choices = wanted if isinstance(wanted, list) else [wanted]
    for choice in choices:
        if isinstance(choice, str) and choice in record.leads:
            return examine_lead(record, record.leads.index(choice))
        if isinstance(choice, int) and 0 <= choice < len(record.leads):
            return examine_lead(record, choice)
    raise BeatwiseError(
        f"Record {record.name} has no lead {' or '.join(map(repr, choices))}: it has "
        f"{', '.join(f'{i} ({name})' for i, name in enumerate(record.leads))}. Set score.lead."
    )


def _peaks(record: Record, millivolts: npt.NDArray[np.float64], settings: Score) -> tuple[Ints, str]:
    """R peaks, ascending, and how they were found."""
    is_beat = np.isin(record.annotation_symbols, BEAT_SYMBOLS)
    if not is_beat.any():
        use, options = settings.detector.use, settings.detector.options
        return find_peaks(millivolts, record.sample_rate, detector=use, options=options), use
    peaks, n_samples = np.unique(record.annotation_samples[is_beat]), len(millivolts)
    # Some annotators place the last beat at the record's very end (svdb, 860).
    outside = peaks[(peaks < 0) | (peaks > n_samples)]
    if len(outside):
        raise BeatwiseError(
            f"Record {record.name}: its annotation file has a beat at sample {outside[-1]}, but the signal ends at "
            f"sample {n_samples - 1}. They do not belong together: fetch both again, or set score.read.annotator: null."
        )
    return peaks[peaks < n_samples], ANNOTATIONS


def _touch(stretches: Ints, spans: Ints) -> npt.NDArray[np.bool_]:
    """Which spans have a sample in one of the stretches, which are in order and apart, ``bool [n]``."""
    return np.searchsorted(stretches[:, 1], spans[:, 0], "right") < np.searchsorted(stretches[:, 0], spans[:, 1])


def _columns(record: Record, first: int, n_leads: int) -> list[int]:
    """Columns of the leads that a beat is cut from."""
    if len(record.leads) < n_leads:
        raise BeatwiseError(
            f"Record {record.name} has no {n_leads} leads, of which this model takes windows, but "
            f"{', '.join(record.leads)}. Score it with a model of one lead, or read another signal as a lead, by "
            "score.read.columns."
        )
    return lead_columns(record, first, n_leads)


def _unusable(signal: Record, first: Lead, peaks: Ints) -> Ints:
    """Stretches in which a beat cannot be told in the first lead, or another one is missing, flat or at its limit."""
    unfit = first.unfit
    for column in range(1, len(signal.leads)):
        unfit = unfit | examine_lead(signal, column).unfit
    return unusable_stretches(first.millivolts, signal.sample_rate, peaks, unfit)


def _features(
    signal: Record, peaks: Ints, broken: npt.NDArray[np.bool_], cut: Cut
) -> dict[str, npt.NDArray[np.float32]]:
    """The features of the model beside RR intervals."""
    if not cut.features or not len(peaks):
        return {}
    signals, _ = record_leads(signal, range(len(signal.leads)))
    return beat_features(cut.features, signals, peaks, signal.sample_rate, broken)


def _cut(record: Record, peaks: Ints, cut: Cut, shape: Sequence[int]) -> tuple[Array, Ints]:
    """Beats ``float32 [n, *shape]``, and the samples of the record that each is made of, ``int64 [n, 2]``."""
    if not len(peaks):
        return np.empty((0, *shape), np.float32), np.empty((0, 2), np.int64)
    at = record if cut.record_rate is None else record.at_rate(cut.record_rate)
    ratio, end = at.sample_rate / record.sample_rate, len(at.adc)
    places = np.minimum(np.rint(peaks * ratio).astype(np.int64), end - 1)
    interval = int(np.median(np.diff(places[-LAST_INTERVALS - 1 :])))
    expected = np.minimum(places[-1] + interval * np.array([1, 2]), end)
    signals, _ = record_leads(at, range(len(at.leads)))
    annotations, order = np.concatenate([places, expected]), np.arange(len(places))
    values, span = RULES[cut.rule](signals, annotations, order, places, at.sample_rate, **cut.options)
    # Samples of the record that the filter of the resampling reaches.
    reach = 0 if at is record else int(np.ceil(10 * max(1.0, 1 / ratio)))
    source = np.column_stack([np.floor(span[:, 0] / ratio) - reach, np.ceil(span[:, 1] / ratio) + reach])
    return values, np.clip(source, 0, len(record.adc)).astype(np.int64)


def _rr(peaks: Ints, sample_rate: float, broken: npt.NDArray[np.bool_]) -> dict[str, npt.NDArray[np.float32]]:
    if not len(peaks):
        return {name: np.empty(0, dtype=np.float32) for name in RR_COLUMNS}
    return rr_intervals(peaks, sample_rate, broken)


def _amplitude(millivolts: npt.NDArray[np.float64], peaks: Ints, sample_rate: float) -> npt.NDArray[np.float32]:
    """Highest less lowest value around each R peak (mV), ``float32 [n_beats]``."""
    reach = round(QRS * sample_rate)
    around = millivolts[np.clip(peaks[:, None] + np.arange(-reach, reach + 1), 0, len(millivolts) - 1)]
    return (np.nanmax(around, axis=1) - np.nanmin(around, axis=1)).astype(np.float32)
