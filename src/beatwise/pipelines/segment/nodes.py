"""Nodes that cut records into beats."""

from __future__ import annotations

import logging
from collections.abc import Callable, Iterator, Mapping

import pandas as pd
from rich.progress import Progress

from beatwise.core.errors import BeatwiseError
from beatwise.ecg.records import Record
from beatwise.ecg.segmentation import beat_rate, segment_records
from beatwise.ecg.settings import Segment

log = logging.getLogger(__name__)


def cut_records(
    records: Mapping[str, Callable[[], Record]], segment: Segment, classes: list[str], sample_rate: float
) -> pd.DataFrame:
    """Cut every record into beats.

    Args:
        records: One function a record that reads it.
        segment: Rule, lead and class map.
        classes: Class names in the order of their indices.
        sample_rate: Samples per second (Hz) that the beats are to have.

    Returns:
        Beats table with ``record``, ``sample``, ``lead`` and the RR columns (s).

    Raises:
        BeatwiseError: If the rule cuts beats of another rate from a record.
    """
    rule, options = segment.rule.use, segment.rule.options

    def read(bar: Progress) -> Iterator[Record]:
        task = bar.add_task("segmenting", total=len(records))
        for name in sorted(records):
            record = records[name]()
            rate = beat_rate(rule, options, record.sample_rate)
            if abs(rate - sample_rate) > 1e-6:
                raise BeatwiseError(
                    f"Record {name} has {record.sample_rate:g} Hz, so that the rule {rule!r} cuts beats of {rate:g} "
                    f"Hz, and globals.yml says sample_rate: {sample_rate:g}. Make the two agree."
                )
            yield record
            bar.advance(task)

    # The bar is opened here and not in the generator, which an error would leave suspended with its bar running.
    with Progress() as bar:
        beats = segment_records(
            read(bar),
            rule=rule,
            options=options,
            classes=classes,
            aami=segment.aami,
            lead=segment.lead,
        )
    log.info("%s beats from %d records", f"{len(beats):,}", len(records))
    return beats
