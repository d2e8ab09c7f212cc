"""From a path to a folder of results: recordings and tables of beats."""

from __future__ import annotations

import csv
import logging
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Final

import pandas as pd

from beatwise.core.errors import BeatwiseError
from beatwise.core.files import written_whole
from beatwise.data.examples import PART, Examples
from beatwise.ecg.beats_files import OPENERS, TEXT, column_problems, open_beats, read_beats
from beatwise.ecg.reading import find_records
from beatwise.ecg.records import Record
from beatwise.scoring import NOTICE
from beatwise.scoring.outputs import check_folder, failed_table, write_facts, write_record, write_tables
from beatwise.scoring.pages import REPORT, write_records_page
from beatwise.scoring.score import score_examples, score_record
from beatwise.scoring.scorer import Scorer
from beatwise.scoring.settings import Score
from beatwise.scoring.watch import write_monitoring
from beatwise.search.settings import RaySettings

PARQUET: Final = (".parquet", ".parq", ".pq")
# A text whose rows have so many fields is a table of beats; recordings have a column a lead.
FIELDS_OF_BEATS: Final = 40
# Records that are named on the screen.
LINES: Final = 20

log = logging.getLogger(__name__)


@dataclass(frozen=True)
class Outcome:
    """What a scoring has made.

    Attributes:
        folder: Folder of the results.
        summaries: One a recording that was scored.
        counts: Beats by class.
        failed: Why a recording could not be scored, by name.
        page: The report; None for a table of beats.
    """

    folder: Path
    summaries: list[dict[str, Any]]
    counts: dict[str, int]
    failed: dict[str, str]
    page: Path | None = None

    def lines(self) -> list[str]:
        """What a person wants to know first."""
        shown = [_line(summary) for summary in self.summaries[:LINES]]
        if more := len(self.summaries) - LINES:
            shown += [f"… and {more:,} recordings more"] if more > 0 else []
        total = f"{sum(self.counts.values()):,} beats: " + ", ".join(f"{n:,} {name}" for name, n in self.counts.items())
        shown += [total] if len(self.summaries) != 1 else []
        shown += [f"Not scored: {reason}" for reason in list(self.failed.values())[:LINES]]
        shown += [f"{'Report: ' if self.page else 'Results: '}{self.page or self.folder}", NOTICE]
        return shown


def score_path(path: Path, scorer: Scorer, settings: Score, folder: Path, ray: RaySettings) -> Outcome:
    """Score a table of beats, a recording, or a folder of recordings, and write the results.

    Args:
        path: What to score.
        scorer: The scorer.
        settings: How.
        folder: Folder of the results. Results of an earlier scoring are replaced; of a folder of recordings, those
            that would come out the same are kept.
        ray: Where the recordings of a folder are scored, and how many at once.

    Raises:
        BeatwiseError: If there is nothing to score, nothing could be scored, or the folder holds something else.
    """
    check_folder(folder)
    if is_table_of_beats(path):
        return _score_table(path, scorer, settings, folder)
    found = find_records(path, settings.read)
    if len(found) > 1:
        return _score_many(found, scorer, settings, folder, ray)
    (read,) = found.values()
    with written_whole(folder) as scratch:
        scratch.mkdir()
        record = read()
        scored = score_record(record, scorer, settings)
        summary = write_record(scratch, record, scored, scorer, settings, alone=True)
        write_tables(scratch, [scored], [summary], {})
        write_facts(scratch, scorer, settings, records=[summary], failed={})
        write_monitoring(scratch, scorer)
    return Outcome(folder, [summary], count_classes(scorer, scored.beats), {}, folder / REPORT)


def _score_many(
    found: Mapping[str, Callable[[], Record]], scorer: Scorer, settings: Score, folder: Path, ray: RaySettings
) -> Outcome:
    from beatwise.scoring.many import score_folder

    # Marks the folder as one of results, so that a run that is stopped can be taken up again.
    write_facts(folder, scorer, settings)
    records, failed = score_folder(found, scorer, settings, ray, folder)
    write_records_page(folder, records, failed_table(failed), scorer)
    rows = records.astype(object).where(records.notna(), None).to_dict("records")
    summaries = [{str(name): value for name, value in row.items()} for row in rows]
    write_facts(folder, scorer, settings, records=summaries, failed=failed)
    write_monitoring(folder, scorer)
    counts = {name: int(records[f"beats_{name}"].sum()) for name in scorer.classes}
    return Outcome(folder, summaries, counts, failed, folder / REPORT)


def count_classes(scorer: Scorer, beats: pd.DataFrame) -> dict[str, int]:
    """Beats by class."""
    return {name: int((beats["class"] == name).sum()) for name in scorer.classes}


def is_table_of_beats(path: Path) -> bool:
    """Whether a file is a table with a row a beat: parquet, or text with many fields a row."""
    if not path.is_file():
        return False
    endings = [suffix.lower() for suffix in path.suffixes]
    opener: Callable[..., Any] = open
    if endings and endings[-1] in OPENERS:
        opener = OPENERS[endings.pop()]
    if not endings or endings[-1] not in TEXT:
        return bool(endings) and endings[-1] in PARQUET
    with opener(path, "rt", encoding="utf-8", errors="replace") as file:
        first = file.readline(1 << 20)
    return max(len(next(csv.reader([first], delimiter=mark), [])) for mark in ",;\t ") >= FIELDS_OF_BEATS


def _score_table(path: Path, scorer: Scorer, settings: Score, folder: Path) -> Outcome:
    file = open_beats(path, "all", {str(name): meaning for name, meaning in settings.columns.items()})
    if problem := next(column_problems([file]), None):
        raise BeatwiseError(problem)
    examples, notes = read_beats([file], settings.scale)
    for note in notes:
        log.info(note)
    beats = score_examples(Examples(examples.x, examples.table.drop(columns=PART, errors="ignore")), scorer)
    counts = count_classes(scorer, beats) if scorer.classes else {}
    with written_whole(folder) as scratch:
        scratch.mkdir()
        beats.to_parquet(scratch / "beats.parquet")
        write_facts(scratch, scorer, settings, beats=len(beats), counts=counts)
        write_monitoring(scratch, scorer)
    return Outcome(folder, [], counts, {})


def _line(summary: Mapping[str, Any]) -> str:
    minutes, seconds = divmod(round(summary["seconds"]), 60)
    hours, minutes = divmod(minutes, 60)
    length = f"{hours}:{minutes:02d}:{seconds:02d} h" if hours else f"{minutes}:{seconds:02d} min"
    counts = {name.removeprefix("beats_"): n for name, n in summary.items() if name.startswith("beats_") and n}
    parts = [
        f"{summary['beats']:,} beats in {length} (lead {summary['lead']}, R peaks: {summary['detector']})",
        ", ".join(f"{n:,} {name}" for name, n in counts.items()) or "no beat that could be classified",
        f"{summary['rate']:.0f}/min" if summary["rate"] is not None else "",
        f"left out without a known interval: {alone}" if (alone := summary.get("without_interval")) else "",
        f"unsure {summary['unsure_share']:.1%}" if summary["unsure_share"] else "",
        f"unusable {summary['unusable_share']:.1%}" if summary["unusable_share"] else "",
    ]
    return f"{summary['record']}: " + "; ".join(filter(None, parts))


def default_folder(path: Path, root: Path) -> Path:
    """Folder of the results for an input below a root: named like the input."""
    return root / (path.absolute().name.partition(".")[0] or "root")
