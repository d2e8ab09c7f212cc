"""Many recordings, scored by Ray Data: one task a recording, which writes its results as files of their own.

Ray Data hands out the recordings, on this machine or on a cluster, and streams one small row a recording back, so that
memory does not grow with their number. What it has for a run that goes on and for a bad recording (Ray 2.60) does not
fit files like ours:

- Its checkpoints cover one table, take a recording that failed for done, and do not see that a recording or the scorer
  has changed. So each row of ``records.parquet`` holds the fingerprint of what it was made from, and a recording is
  scored where that differs.
- It drops a task that failed without saying which it was, and repeats one whose process died without end. So a task
  reports its own failure, one whose process died is repeated once, and what sends nothing back is missing by its name.
"""

from __future__ import annotations

import hashlib
import json
import logging
import pickle
import shutil
import warnings
from collections.abc import Callable, Collection, Iterator, Mapping
from functools import partial
from pathlib import Path
from typing import Any, Final
from urllib.parse import quote, unquote

import numpy as np
import pandas as pd
from rich.progress import track

from beatwise import __version__
from beatwise.core.errors import BeatwiseError, in_own_words
from beatwise.core.files import clear_left_over, written_whole
from beatwise.ecg.records import Record
from beatwise.scoring.outputs import failed_table, files_of, unusable_table, write_record
from beatwise.scoring.score import score_record
from beatwise.scoring.scorer import Scorer
from beatwise.scoring.settings import Score
from beatwise.search.engine import one_line, one_thread, started_ray
from beatwise.search.settings import RaySettings

Read = Callable[[], Record]
# Folders of one parquet file a recording, in the order of writing: a recording in the last one is done.
TABLES: Final = ("beats", "unusable", "records")
FAILED: Final = "failed.parquet"
# Readers of a folder pass over files whose names begin with "." or "_", as the name of a recording may.
PREFIX: Final = "record-"
FINGERPRINT: Final = "fingerprint"
KILLED: Final = "its process was killed, twice; did the machine run out of memory?"
# Settings without influence on the results.
PLACES: Final = {"input", "model", "out"}


def score_folder(
    records: Mapping[str, Read], scorer: Scorer, settings: Score, ray: RaySettings, out: Path
) -> tuple[pd.DataFrame, dict[str, str]]:
    """Score many recordings, each of which fails alone, and write what each has of its own.

    A recording whose results are there, made of the same signal, annotations, scorer and settings, is read but not
    scored again: so a run that was stopped goes on, and one over a folder with some new recordings scores those.
    Results of recordings that are not among these are removed.

    Args:
        records: The function that reads a recording, by name. On a cluster, every machine has to see the files and
            ``out`` at the same paths.
        scorer: The scorer.
        settings: How recordings are scored.
        ray: Where, and how many at once.
        out: Folder of the results: ``beats.parquet``, ``unusable.parquet`` and ``records.parquet`` are folders of one
            file a recording; ``failed.parquet`` is one file.

    Returns:
        The table of records, and the reasons why others could not be scored, by name.

    Raises:
        BeatwiseError: If none could be scored.
    """
    _clear(records, out)
    score = partial(_score, scorer=scorer, settings=settings, out=out.absolute())
    rows = track(_by_ray_data(score, records, ray), "scoring recordings", total=len(records))
    ended = {row["record"]: row["reason"] for row in rows}
    failed = {name: reason for name in records if (reason := ended.get(name, f"Record {name}: {KILLED}"))}
    for name in failed:
        _remove(out, name)
    if len(failed) == len(records):
        first = next(iter(failed.values()))
        raise BeatwiseError(f"None of {len(failed)} recordings could be scored. The first: {first}")
    with written_whole(out / FAILED) as file:
        failed_table(failed).to_parquet(file, index=False)
    return pd.read_parquet(out / "records.parquet").drop(columns=FINGERPRINT), failed


def _clear(records: Collection[str], out: Path) -> None:
    """Remove what earlier runs left that is no result of this one."""
    clear_left_over(out)
    (out / FAILED).unlink(missing_ok=True)
    if any((out / f"{table}.parquet").is_file() for table in TABLES):
        # Of a run that scored one recording, or a table of beats.
        shutil.rmtree(out)
    for name in {unquote(file.stem.removeprefix(PREFIX)) for file in out.glob("*.parquet/*")} - {*records}:
        _remove(out, name)


def _remove(out: Path, name: str) -> None:
    places = [*(_part(out, table, name) for table in TABLES), *files_of(out, name)]
    for place in places:
        place.unlink(missing_ok=True)


def _by_ray_data(
    score: Callable[[dict[str, Any]], dict[str, Any]], records: Mapping[str, Read], settings: RaySettings
) -> Iterator[dict[str, Any]]:
    with started_ray(settings) as ray, warnings.catch_warnings():
        # The number of retries has no other parameter; pyproject.toml excludes the Ray that lacks this one.
        warnings.filterwarnings("ignore", message="`ray_remote_args` is deprecated")
        context = ray.data.DataContext.get_current()
        # Its import sets up its log.
        logging.getLogger("ray.data").setLevel(logging.CRITICAL)
        context.enable_progress_bars = context.print_on_execution_start = False
        context.max_errored_blocks = -1
        rows = [{"record": name, "read": ray.cloudpickle.dumps(read)} for name, read in records.items()]
        table = ray.data.from_items(rows, override_num_blocks=len(rows))
        yield from table.map(score, num_cpus=1, max_retries=1).iter_rows()


def _score(row: dict[str, Any], scorer: Scorer, settings: Score, out: Path) -> dict[str, Any]:
    """Score one recording and write its results.

    Returns:
        ``record``, and ``reason`` why it failed, or ``""``.
    """
    one_thread()
    name, reason = row["record"], ""
    try:
        record = pickle.loads(row["read"])()
        fingerprint = _fingerprint(record, scorer, settings)
        if _stored_fingerprint(_part(out, TABLES[-1], name)) != fingerprint:
            _score_and_write(record, scorer, settings, out, fingerprint)
    except Exception as error:
        reason = in_own_words(error) or f"Record {name}: {one_line(error)}"
    return {"record": name, "reason": reason}


def _score_and_write(record: Record, scorer: Scorer, settings: Score, out: Path, fingerprint: str) -> None:
    scored = score_record(record, scorer, settings)
    summary = write_record(out, record, scored, scorer, settings, alone=False)
    tables = {
        "beats": scored.beats,
        "unusable": unusable_table(scored),
        # A number that is not defined is NaN, so that its column has one type in all files.
        "records": pd.DataFrame([{k: np.nan if v is None else v for k, v in summary.items()}]),
    }
    tables["records"][FINGERPRINT] = fingerprint
    for table in TABLES:
        with written_whole(_part(out, table, record.name)) as file:
            tables[table].to_parquet(file, index=False)


def _part(out: Path, table: str, name: str) -> Path:
    return out / f"{table}.parquet" / f"{PREFIX}{quote(name, safe='')}.parquet"


def _fingerprint(record: Record, scorer: Scorer, settings: Score) -> str:
    """SHA-256 over all that the results depend on."""
    facts = (
        *(__version__, scorer.version, settings.model_dump(mode="json", exclude=PLACES)),
        *(record.sample_rate, record.leads, record.adc_gain, record.adc_baseline, record.annotation_symbols.tolist()),
    )
    digest = hashlib.sha256(json.dumps(facts, sort_keys=True, default=str).encode())
    for values in (*np.ma.getdata(record.adc).T, np.ma.getmaskarray(record.adc), record.annotation_samples):
        digest.update(np.ascontiguousarray(values).data)
    return digest.hexdigest()


def _stored_fingerprint(file: Path) -> str | None:
    try:
        return str(pd.read_parquet(file, columns=[FINGERPRINT])[FINGERPRINT][0])
    except (OSError, ValueError, KeyError):
        return None
