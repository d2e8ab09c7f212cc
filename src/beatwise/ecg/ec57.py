"""Beats that were found and classified, beside reference annotations, by the rules of ANSI/AAMI EC57.

A found beat belongs to the reference beat that it lies within 150 ms of; each belongs to one at most. Nothing counts in
ventricular flutter and fibrillation, nor, unless one wants it to, in the first five minutes, in which detectors learn.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Final

import numpy as np
import numpy.typing as npt
import pandas as pd

from beatwise.ecg.records import Record
from beatwise.ecg.segmentation import BEAT_SYMBOLS

Ints = npt.NDArray[np.int64]
WINDOW_S: Final = 0.15
LEARNING_S: Final = 300.0
# Reference beats that were not found, and found beats that are in no reference.
NONE: Final = "none"
# A beat whose code is in no class counts as a beat.
UNKNOWN: Final = "Q"
# Of EC57: what the reference is, where calling it a ventricular (supraventricular) beat is no error that counts.
NO_ERROR: Final = {"V": ("F", "Q"), "S": ("Q",)}
FLUTTER: Final = ("[", "]")


def match_beats(reference: Ints, found: Ints, sample_rate: float) -> Ints:
    """Which found beat each reference beat is, by WFDB's comparitor.

    Args:
        reference: Samples of the reference beats, ascending, ``int64 [n]``.
        found: Samples of the found ones, ascending, ``int64 [m]``.
        sample_rate: Samples per second (Hz) of both.

    Returns:
        Index in ``found``, -1 where none is within 150 ms, ``int64 [n]``.
    """
    from wfdb.processing import Comparitor

    if not len(reference) or not len(found):
        return np.full(len(reference), -1, dtype=np.int64)
    # It takes distances below its width.
    comparitor = Comparitor(reference, found, int(WINDOW_S * sample_rate) + 1)
    comparitor.compare()
    return np.asarray(comparitor.matching_sample_nums, dtype=np.int64)


def compare_beats(
    record: Record,
    found: Ints,
    labels: Sequence[str],
    aami: Mapping[str, Sequence[str]],
    *,
    learning: float = LEARNING_S,
) -> pd.Series:
    """Count the pairs of a reference beat and a found one.

    Args:
        record: The recording with its reference annotations.
        found: Samples of the found beats, ascending, ``int64 [m]``.
        labels: Their classes, ``[m]``.
        aami: Annotation codes of each class.
        learning: Seconds at the beginning that do not count.

    Returns:
        Counts by ``reference`` and ``found``: names of classes, or :data:`NONE` where a beat stands on one side only.
    """
    is_beat = np.isin(record.annotation_symbols, BEAT_SYMBOLS)
    reference, symbols = record.annotation_samples[is_beat], record.annotation_symbols[is_beat]
    class_of = {code: name for name, codes in aami.items() for code in codes}
    partner = match_beats(reference, found, record.sample_rate)
    alone = np.setdiff1d(np.arange(len(found)), partner)
    named = np.array([*labels, NONE], dtype=object)
    pairs = pd.DataFrame(
        {
            "sample": np.concatenate([reference, found[alone]]),
            "reference": [*(class_of.get(code, UNKNOWN) for code in symbols.tolist()), *[NONE] * len(alone)],
            "found": np.concatenate([named[partner], named[alone]]),
        }
    )
    counts = pairs["sample"] >= learning * record.sample_rate
    for begin, end in _flutter(record):
        counts &= ~pairs["sample"].between(begin, end)
    return pairs[counts].groupby(["reference", "found"]).size().rename("beats")


def _flutter(record: Record) -> list[tuple[int, int]]:
    """First and last sample of each stretch of flutter or fibrillation, with the window of a beat around it."""
    begins, ends = (record.annotation_samples[record.annotation_symbols == code] for code in FLUTTER)
    window = int(WINDOW_S * record.sample_rate)
    # One that begins before the recording, or lasts to its end, has one mark only.
    if len(ends) and (not len(begins) or ends[0] < begins[0]):
        begins = np.concatenate([[0], begins])
    closed = np.concatenate([ends, np.full(max(0, len(begins) - len(ends)), len(record.adc))])
    return [(int(begin) - window, int(end) + window) for begin, end in zip(begins, closed, strict=True)]


def measure(counts: pd.Series) -> dict[str, float]:
    """EC57's measures of counted pairs, of one record or, added up (gross), of many.

    Args:
        counts: Counts by ``reference`` and ``found``.

    Returns:
        ``beats``; sensitivity ``qrs_se`` and positive predictivity ``qrs_ppv`` of the detection; for the classes V and
        S ``<class>_se``, ``<class>_ppv`` and the false positive rate ``<class>_fpr``, in which missed beats are missed
        and beats of no reference false, but a fusion or unknown beat that is called V, or an unknown one that is called
        S, is no error. NaN where there is nothing to measure.
    """
    table = counts.reset_index(name="beats").pivot_table("beats", "reference", "found", aggfunc="sum", fill_value=0)

    def count(reference: pd.Index | list[str], found: pd.Index | list[str]) -> int:
        return int(table.loc[table.index.intersection(reference), table.columns.intersection(found)].to_numpy().sum())

    def share(part: int, whole: int) -> float:
        return part / whole if whole else float("nan")

    known, given = table.index.difference([NONE]), table.columns.difference([NONE])
    both = count(known, given)
    beats = count(known, table.columns)
    measured: dict[str, float] = {
        "beats": beats,
        "qrs_se": share(both, beats),
        "qrs_ppv": share(both, count(table.index, given)),
    }
    for name, no_error in NO_ERROR.items():
        others = table.index.difference([name, *no_error])
        true, false = count([name], [name]), count(others, [name])
        negatives = count(others, table.columns)
        measured |= {
            f"{name}_se": share(true, count([name], table.columns)),
            f"{name}_ppv": share(true, true + false),
            f"{name}_fpr": share(false, negatives),
        }
    return measured
