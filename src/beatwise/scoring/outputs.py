"""What scoring writes: tables, WFDB annotations, and a summary, in one folder."""

from __future__ import annotations

import hashlib
import json
import re
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any, Final

import numpy as np
import numpy.typing as npt
import pandas as pd

from beatwise.core.errors import BeatwiseError
from beatwise.core.files import written_whole
from beatwise.core.versions import FORMAT
from beatwise.ecg.records import Record
from beatwise.ecg.segmentation import BEAT_SYMBOLS
from beatwise.scoring import NOTICE
from beatwise.scoring.pages import page_of, write_record_page
from beatwise.scoring.score import Scored
from beatwise.scoring.scorer import Scorer
from beatwise.scoring.settings import Score

SCORED: Final = "scored.json"
# Ending of the annotation files.
ANNOTATOR: Final = "bwz"
ENDINGS: Final = (ANNOTATOR, "hea", "dat")
ANNOTATIONS: Final = "annotations"
# Digits that tell names apart of which WFDB allows only a part.
DIGITS: Final = 8
# WFDB's code for a change of the signal's quality; its subtypes for an unreadable signal, and for a clean one.
QUALITY, UNREADABLE, CLEAN = "~", -1, 0
# WFDB's code for a beat whose class has no code of its own; a note names the class.
OTHER_CLASS: Final = "Q"


def check_folder(folder: Path) -> None:
    """Refuse a folder that holds anything but an earlier result, because writing a result replaces the folder.

    Raises:
        BeatwiseError: If it does.
    """
    if folder.is_dir() and any(folder.iterdir()) and not (folder / SCORED).is_file():
        raise BeatwiseError(
            f"{folder.absolute()} is not empty, and holds no earlier result ({SCORED}) that could be replaced. Name "
            "another folder by --out (score.out)."
        )
    if folder.exists() and not folder.is_dir():
        raise BeatwiseError(f"{folder.absolute()} is a file. Name a folder by --out (score.out).")


def file_name(record: str) -> str:
    """The name of a record as WFDB allows it: letters, digits, ``-`` and ``_``, and folders.

    A name or folder that has other characters ends in a part of its SHA-256, so that ``a b`` and ``a_b`` stay apart.
    """
    parts = []
    for part in record.split("/"):
        plain = re.sub(r"[^-\w]", "_", part, flags=re.ASCII)
        parts.append(plain if plain == part else f"{plain}-{hashlib.sha256(part.encode()).hexdigest()[:DIGITS]}")
    return "/".join(parts)


def write_record(
    folder: Path, record: Record, scored: Scored, scorer: Scorer, settings: Score, *, alone: bool
) -> dict[str, Any]:
    """Write what a scored recording has of its own: WFDB annotations and a page.

    Args:
        folder: Folder of the results.
        record: The recording.
        scored: Its beats.
        scorer: What scored them.
        settings: Which classes are ectopic, and what is a pause.
        alone: Whether it is the only recording, whose page is the report.

    Returns:
        The summary, one row of the table of records.
    """
    write_annotations(folder / ANNOTATIONS, record, scored)
    return write_record_page(folder, record, scored, scorer, settings.rhythm, alone=alone)


def files_of(folder: Path, record: str) -> list[Path]:
    """The files that :func:`write_record` writes for one of many recordings."""
    place = folder / ANNOTATIONS / file_name(record)
    return [*(place.with_name(f"{place.name}.{ending}") for ending in ENDINGS), folder / page_of(record)]


def write_annotations(folder: Path, record: Record, scored: Scored) -> None:
    """Write the beats as WFDB annotations, and the lead that was scored beside them, so that any viewer opens both.

    The code of a beat is its class where that is one of WFDB's, and else ``Q`` with the class as a note. ``~`` marks
    where unusable stretches begin and end.

    Args:
        folder: Folder of the files ``<record>.bwz``, ``.hea`` and ``.dat``; records may lie in folders below it.
        record: The record.
        scored: Its beats.
    """
    import wfdb

    place = folder / file_name(scored.name)
    place.parent.mkdir(parents=True, exist_ok=True)
    samples, codes, subtypes, notes = _annotations(scored)
    if len(samples):
        wfdb.wrann(
            place.name,
            ANNOTATOR,
            sample=samples,
            symbol=codes.tolist(),
            subtype=subtypes,
            aux_note=notes,
            fs=scored.sample_rate,
            write_dir=str(place.parent),
        )
    else:
        # wfdb writes no empty file; two zeros end the annotations.
        place.with_name(f"{place.name}.{ANNOTATOR}").write_bytes(b"\0\0")
    lead = record.of_leads([record.leads.index(scored.lead)])
    wfdb.wrsamp(
        place.name,
        fs=scored.sample_rate,
        units=["mV"],
        sig_name=[scored.lead],
        p_signal=lead.millivolts(),
        fmt=["16"],
        comments=[NOTICE, f"Annotations: {place.name}.{ANNOTATOR}"],
        write_dir=str(place.parent),
    )


def _annotations(
    scored: Scored,
) -> tuple[npt.NDArray[np.int64], npt.NDArray[np.str_], npt.NDArray[np.int64], list[str]]:
    """Samples, codes, subtypes and notes, in order of time; beats come first where one begins a stretch."""
    classes = scored.beats["class"].to_numpy(dtype=np.str_)
    known = np.isin(classes, BEAT_SYMBOLS)
    n_beats, edges = len(classes), scored.unusable[scored.unusable < scored.n_samples]
    samples = np.concatenate([scored.beats["sample"].to_numpy(np.int64), edges])
    codes = np.concatenate([np.where(known, classes, OTHER_CLASS), np.full(len(edges), QUALITY)])
    # Stretches begin at even places of the flat array, and end at odd ones.
    subtypes = np.concatenate([np.zeros(n_beats, np.int64), np.resize([UNREADABLE, CLEAN], len(edges))])
    notes = np.concatenate([np.where(known, "", classes), np.full(len(edges), "")])
    order = np.argsort(samples, kind="stable")
    return samples[order], codes[order], subtypes[order], notes[order].tolist()


def write_tables(
    folder: Path, scored: Sequence[Scored], summaries: Sequence[Mapping[str, Any]], failed: Mapping[str, str]
) -> None:
    """Write ``beats``, ``records``, ``unusable`` and ``failed``, a parquet file each."""
    pd.concat([one.beats for one in scored], ignore_index=True).to_parquet(folder / "beats.parquet")
    pd.DataFrame(list(summaries)).to_parquet(folder / "records.parquet")
    unusable = [unusable_table(one) for one in scored]
    pd.concat(unusable, ignore_index=True).to_parquet(folder / "unusable.parquet")
    failed_table(failed).to_parquet(folder / "failed.parquet")


def failed_table(failed: Mapping[str, str]) -> pd.DataFrame:
    """Recordings that could not be scored: ``record`` and ``reason``."""
    return pd.DataFrame({"record": list(failed), "reason": list(failed.values())}, dtype="str")


def unusable_table(scored: Scored) -> pd.DataFrame:
    """The stretches that were not classified: ``record``, ``first`` and ``end`` (after the last), in samples."""
    return pd.DataFrame(
        {
            "record": pd.array([scored.name] * len(scored.unusable), dtype="str"),
            "first": scored.unusable[:, 0],
            "end": scored.unusable[:, 1],
        }
    )


def write_facts(folder: Path, scorer: Scorer, settings: Score, **facts: Any) -> None:
    """Write ``scored.json``: the notice, the scorer, the settings, and further facts."""
    document = {
        "format": FORMAT,
        "notice": NOTICE,
        "scorer": scorer.identity,
        "settings": settings.model_dump(mode="json"),
        **facts,
    }
    text = json.dumps(document, indent=2, allow_nan=False)
    with written_whole(folder / SCORED) as file:
        file.write_text(text, encoding="utf-8")
