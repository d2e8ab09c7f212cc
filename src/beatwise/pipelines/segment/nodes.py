"""Nodes that cut records into beats."""

from __future__ import annotations

import difflib
import logging
from collections.abc import Callable, Iterator, Mapping
from typing import Any

import pandas as pd
from rich.progress import Progress

from beatwise.core.errors import BeatwiseError
from beatwise.data.examples import GROUP, TARGET, Examples
from beatwise.ecg.beats import beats_table, with_group
from beatwise.ecg.records import Record
from beatwise.ecg.segmentation import check_beat_shape, segment_examples
from beatwise.ecg.settings import Segment

log = logging.getLogger(__name__)


def cut_records(
    records: Mapping[str, Callable[[str, bool], Record]],
    segment: Segment,
    classes: list[str],
    sample_rate: float | None,
    beat_length: int,
) -> tuple[pd.DataFrame | Examples, dict[str, Any]]:
    """Cut records into beats.

    Args:
        records: One function a record that reads it with the annotations of an annotator.
        segment: Which records, rule, lead and class map.
        classes: Class names in the order of their indices.
        sample_rate: Samples per second (Hz) that the beats are to have.
        beat_length: Samples that a beat is to have.

    Returns:
        Beats with ``record``, ``sample``, ``lead``, the features, and ``group`` where that is a folder: a table for
        beats of one lead, examples for windows of leads; and what became of the annotated beats, in all and by record.

    Raises:
        BeatwiseError: If a record is named that is not there, or the rule cuts beats of another rate or length.
    """
    if sample_rate is None:
        raise BeatwiseError(
            "globals.yml says sample_rate: null, so this source has no beats that records could be cut into."
        )
    rule, options = segment.rule.use, segment.rule.options
    names = _wanted(records, segment)

    def read(bar: Progress) -> Iterator[Record]:
        task = bar.add_task("segmenting", total=len(names))
        for name in names:
            record = records[name](segment.annotator, segment.uncalibrated)
            check_beat_shape(record, rule, options, sample_rate, beat_length)
            yield record
            bar.advance(task)

    # The bar is opened here and not in the generator, which an error would leave suspended with its bar running.
    with Progress() as bar:
        beats, by_record = segment_examples(
            read(bar),
            rule=rule,
            options=options,
            classes=classes,
            aami=segment.aami,
            lead=segment.lead,
            leads=segment.leads,
            features=segment.features,
            same_sample=segment.same_sample,
        )
    log.info("%s beats from %d records", f"{len(beats):,}", len(names))
    _warn(by_record, "no_samples", "Beats dropped, because the lead has no samples where they are")
    _warn(by_record, "same_sample", "Beats left out, because another beat is annotated on their sample")
    if segment.group == "folder":
        record = beats.table["record"]
        beats.table[GROUP] = record.str.rpartition("/")[0].where(lambda folder: folder != "", record)
    rows = by_record.to_dict("records")
    totals = {count: sum(row[count] for row in rows) for count in by_record.columns.drop(["record", "lead"])}
    stored: pd.DataFrame | Examples
    if len(beats.shape) == 1:
        others = {str(name): column for name, column in beats.without(TARGET).table.items()}
        stored = beats_table(beats.x, beats.target, **others)
    else:
        stored = Examples(beats.x, with_group(beats.table))
    return stored, {"records": len(rows), **totals, "by_record": rows}


def _wanted(records: Mapping[str, object], segment: Segment) -> list[str]:
    for key in ("records", "leave_out"):
        for name in getattr(segment, key):
            if name not in records:
                near = ", ".join(sorted(difflib.get_close_matches(name, records, n=5, cutoff=0.0)))
                raise BeatwiseError(
                    f"segment.{key}: there is no record {name!r} among {len(records)}. Nearest names: {near}."
                )
    names = sorted(set(segment.records or records) - set(segment.leave_out))
    if not names:
        raise BeatwiseError("segment.records and segment.leave_out leave no record.")
    return names


def _warn(by_record: pd.DataFrame, count: str, why: str) -> None:
    found = by_record[by_record[count] > 0]
    if len(found):
        first = [f"{row.record}: {getattr(row, count)} of {row.annotated}" for row in found.head(10).itertuples()]
        more = f", and {len(found) - 10} records more" if len(found) > 10 else ""
        log.warning("%s: %s (%s%s).", why, f"{found[count].sum():,}", ", ".join(first), more)
