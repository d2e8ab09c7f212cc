"""Nodes that cut records into beats."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Mapping

import pandas as pd
from rich.progress import track

from beatwise.params import Segment
from beatwise.signals.records import Record
from beatwise.signals.segmentation import segment_records


def segment(records: Mapping[str, Callable[[], Record]], segment: Segment, classes: list[str]) -> pd.DataFrame:
    """Cut every record into beats.

    Args:
        records: One function a record that reads it.
        segment: Rule, lead and class map.
        classes: Class names in the order of their indices.

    Returns:
        Beats table with ``record``, ``sample``, ``lead`` and the RR columns (s).
    """
    read: Iterable[Record] = (records[name]() for name in track(sorted(records), description="segmenting"))
    return segment_records(
        read,
        rule=segment.rule.use,
        options=segment.rule.options,
        classes=classes,
        aami=segment.aami,
        lead=segment.lead,
    )
