"""Raw recordings of any supported format as records."""

from __future__ import annotations

from collections.abc import Callable
from functools import partial
from pathlib import Path

from beatwise.core.errors import BeatwiseError
from beatwise.ecg.records import Record
from beatwise.ecg.settings import Read
from beatwise.ecg.wfdb_files import WfdbFolder

WFDB_SUFFIXES = (".hea", ".dat", ".mat")


def find_records(path: Path, settings: Read) -> dict[str, Callable[[], Record]]:
    """The recordings in a file, or in a folder and the folders below it.

    Args:
        path: A folder; a file of a WFDB record, or its name without an ending, as WFDB's own tools take it.
        settings: How they are read.

    Returns:
        One function a record, which reads it, by name, sorted. A function raises BeatwiseError, which names the record,
        if the record cannot be read.

    Raises:
        BeatwiseError: If there is nothing at the path, or no recording.
    """
    if path.is_dir():
        folder = WfdbFolder(path)
        names = folder.names()
        if not names:
            raise BeatwiseError(f"No recording in {path.absolute()}: no WFDB record (.hea).")
        return {name: partial(_named, name, partial(_wfdb, folder, name, settings)) for name in names}
    stem = path.with_suffix("") if path.suffix in (*WFDB_SUFFIXES, f".{settings.annotator}") else path
    if not stem.with_name(f"{stem.name}.hea").is_file():
        raise BeatwiseError(f"{path.absolute()} is no recording: there is no such file or folder, nor a header (.hea).")
    folder = WfdbFolder(stem.parent)
    return {stem.name: partial(_named, stem.name, partial(_wfdb, folder, stem.name, settings))}


def _wfdb(folder: WfdbFolder, name: str, settings: Read) -> Record:
    return folder.read(name, settings.annotator, settings.uncalibrated)


def _named(name: str, read: Callable[[], Record]) -> Record:
    try:
        return read()
    except BeatwiseError as error:
        raise BeatwiseError(f"Record {name}: {error}") from error.__cause__
