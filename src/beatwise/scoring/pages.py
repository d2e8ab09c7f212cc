"""The pages of scored records: ``report.html``, and where there are many, ``records/<record>.html`` beside it."""

from __future__ import annotations

from pathlib import Path
from typing import Any, Final
from urllib.parse import quote

import pandas as pd

from beatwise.core.files import written_whole
from beatwise.ecg.records import Record
from beatwise.report.sheet import Sheet, render_records, render_sheet
from beatwise.scoring import NOTICE
from beatwise.scoring.rhythm import KINDS, ORIGINS, RATE_INTERVALS, classes_of, counted_beats, find_events, summarise
from beatwise.scoring.score import Scored
from beatwise.scoring.scorer import Scorer
from beatwise.scoring.settings import Rhythm

REPORT: Final = "report.html"


def page_of(record: str) -> str:
    """Path of the page of one record of many, below the folder of the results."""
    return f"records/{record}.html"


def write_record_page(
    folder: Path, record: Record, scored: Scored, scorer: Scorer, settings: Rhythm, *, alone: bool
) -> dict[str, Any]:
    """Write the page of a record: its summary, and strips of its findings.

    Args:
        folder: Folder of the results.
        record: The recording.
        scored: Its beats.
        scorer: What scored them.
        settings: Which classes are ectopic, and what is a pause.
        alone: Whether it is the only record, whose page is ``report.html``; otherwise it is that of :func:`page_of`.

    Returns:
        The summary (:func:`~beatwise.scoring.rhythm.summarise`).

    Raises:
        BeatwiseError: If the folder cannot be written to.
    """
    events = find_events(scored, settings)
    summary = summarise(scored, settings, events)
    place = REPORT if alone else page_of(scored.name)
    sheet = Sheet(
        summary=summary,
        events=events,
        beats=counted_beats(scored),
        unusable=scored.unusable,
        millivolts=record.of_leads([record.leads.index(scored.lead)]).millivolts()[:, 0],
        classes=classes_of(scored),
        normal=settings.normal,
        ectopic={origin: getattr(settings, origin) for origin in ORIGINS},
        rate_intervals=RATE_INTERVALS,
        kinds=KINDS,
        model=_line_of(scorer),
        notice=NOTICE,
        index=None if alone else "../" * place.count("/") + REPORT,
    )
    _write(folder / place, render_sheet(sheet))
    return summary


def write_records_page(folder: Path, records: pd.DataFrame, failed: pd.DataFrame, scorer: Scorer) -> None:
    """Write ``report.html`` of many records, which leads to their own pages.

    Args:
        folder: Folder of the results.
        records: The summaries, one row a record.
        failed: ``record`` and ``reason`` of those that could not be scored.
        scorer: What scored them.

    Raises:
        BeatwiseError: If the folder cannot be written to.
    """
    pages = {name: quote(page_of(name)) for name in records["record"] if (folder / page_of(name)).is_file()}
    _write(folder / REPORT, render_records(records, failed, pages, NOTICE, _line_of(scorer)))


def _line_of(scorer: Scorer) -> str:
    return f"{scorer.model.name} of {scorer.source}, version {scorer.version}"


def _write(path: Path, page: str) -> None:
    with written_whole(path) as whole:
        whole.write_text(page, encoding="utf-8")
