"""Raw recordings of any supported format as records."""

from __future__ import annotations

from collections.abc import Callable
from functools import partial
from pathlib import Path
from typing import Final

import numpy as np
import pandas as pd

from beatwise.core.errors import BeatwiseError
from beatwise.ecg import tables
from beatwise.ecg.edf import read_edf
from beatwise.ecg.leads import PER_MILLIVOLT
from beatwise.ecg.records import Record
from beatwise.ecg.settings import Read
from beatwise.ecg.tables import Floats, Signals, read_table
from beatwise.ecg.wfdb_files import SIGNAL_SUFFIXES, WfdbFolder, is_hidden

EDF: Final = (".edf", ".bdf")
FORMATS: Final = f"WFDB (.hea), EDF ({', '.join(EDF)}), text with one row a sample ({', '.join(tables.SUFFIXES)})"
# Texts that PhysioNet's databases hold beside recordings.
NO_RECORDINGS: Final = {"license", "readme", "sha256sums", "changelog", "notes"}
# Peak to peak of an ECG within two seconds, mV; values without a unit that are far from it are in another unit.
SMALLEST_MV, LARGEST_MV, STRETCH_S = 0.05, 30.0, 2.0
# Units a millivolt where nothing says it, as WFDB assumes.
ASSUMED_GAIN: Final = 200.0


def find_records(path: Path, settings: Read) -> dict[str, Callable[[], Record]]:
    """The recordings in a file, or in a folder and the folders below it.

    Args:
        path: A folder; a file; or the name of a WFDB record without an ending, as WFDB's own tools take it.
        settings: How they are read.

    Returns:
        One function a record, which reads it, by name, sorted. The name is the path below the folder without the
        ending, which stays where two files would have the same name. A function raises BeatwiseError, which names the
        record, if the record cannot be read.

    Raises:
        BeatwiseError: If there is nothing at the path, or no recording.
    """
    if path.is_dir():
        folder = WfdbFolder(path)
        found = {name: partial(_read_wfdb, folder, name, settings) for name in folder.names()}
        for file in sorted(path.rglob("*")):
            place = file.relative_to(path)
            is_other = is_hidden(place) or file.stem.casefold() in NO_RECORDINGS
            if file.suffix.lower() in (*EDF, *tables.SUFFIXES) and file.is_file() and not is_other:
                name = place.with_suffix("").as_posix()
                found[place.as_posix() if name in found else name] = partial(_read_file, file, settings)
        if not found:
            raise BeatwiseError(f"No recording in {path.absolute()}. Formats that are read: {FORMATS}.")
    elif path.suffix.lower() in (*EDF, *tables.SUFFIXES) and path.is_file():
        found = {path.stem: partial(_read_file, path, settings)}
    else:
        endings = (".hea", *SIGNAL_SUFFIXES, f".{settings.annotator}")
        stem = path.with_suffix("") if path.suffix in endings else path
        if not stem.with_name(f"{stem.name}.hea").is_file():
            lacks = "no recording that can be read" if path.exists() else "not there"
            raise BeatwiseError(f"{path.absolute()} is {lacks}. Formats that are read: {FORMATS}.")
        found = {stem.name: partial(_read_wfdb, WfdbFolder(stem.parent), stem.name, settings)}
    return {name: partial(_named, name, found[name]) for name in sorted(found)}


def _named(name: str, read: Callable[[str], Record]) -> Record:
    try:
        return read(name)
    except BeatwiseError as error:
        raise BeatwiseError(f"Record {name}: {error}") from error.__cause__


def _read_wfdb(folder: WfdbFolder, place: str, settings: Read, name: str) -> Record:
    return folder.read(place, settings.annotator, settings.uncalibrated, settings.columns)


def _read_file(path: Path, settings: Read, name: str) -> Record:
    """A file that is no WFDB record, with the WFDB annotations beside it: of ``x.edf``, ``x.atr`` or ``x.edf.atr``."""
    signals = read_edf(path, settings.columns) if path.suffix.lower() in EDF else read_table(path, settings)
    millivolts = _millivolts(path, signals, settings)
    samples, symbols = np.empty(0, dtype=np.int64), np.empty(0, dtype=np.str_)
    if settings.annotator:
        stem = path.with_suffix("")
        own = path.with_name(f"{path.name}.{settings.annotator}").is_file()
        annotations = WfdbFolder(path.parent).annotations(path if own else stem, settings.annotator, signals.rate)
        samples, symbols = annotations
    missing = np.isnan(millivolts)
    n_leads = millivolts.shape[1]
    return Record(
        name=name,
        adc=np.ma.masked_array(millivolts, missing) if missing.any() else millivolts,
        sample_rate=signals.rate,
        leads=tuple(signals.names),
        adc_gain=(1.0,) * n_leads,
        adc_baseline=(0,) * n_leads,
        annotation_samples=samples,
        annotation_symbols=symbols,
    )


def _millivolts(path: Path, signals: Signals, settings: Read) -> Floats:
    """The samples in mV, by the unit that the file states, or else the settings.

    Raises:
        BeatwiseError: If neither does, and the size of the values is not that of an ECG in mV.
    """
    stated = [PER_MILLIVOLT.get(unit.lower()) for unit in signals.units]
    if all(stated):
        return signals.values / np.array(stated, dtype=np.float64)
    if isinstance(settings.unit, str):
        return signals.values / np.array([gain or PER_MILLIVOLT[settings.unit.lower()] for gain in stated])
    size = span_of(signals.values, signals.rate)
    gain = settings.unit or (ASSUMED_GAIN if settings.uncalibrated else None)
    if gain is None and not SMALLEST_MV <= size <= LARGEST_MV:
        raise BeatwiseError(
            f"{path.absolute()} states no known unit, and its values, {size:.4g} from peak to peak within "
            f"{STRETCH_S:g} s, are not those of an ECG in mV. Set score.read.unit to uV, to V, or to the number "
            f"of units a millivolt; if that is not known, score.read.uncalibrated=true takes {ASSUMED_GAIN:g} (classes "
            "do not depend on it, amplitudes do)."
        )
    # What units of a converter hold at 0 mV is not known; it bears no meaning.
    offset = np.nanmedian(signals.values, axis=0) if gain else 0.0
    return (signals.values - offset) / (gain or 1.0)


def span_of(samples: Floats, sample_rate: float) -> float:
    """Peak to peak of leads ``[n_samples, n_leads]`` within two seconds: median of a lead, greatest of the leads.

    Missing samples are NaN; the span is 0 where all are.
    """
    stretch = np.arange(len(samples)) // max(2, round(STRETCH_S * sample_rate))
    by_stretch = pd.DataFrame(samples).groupby(stretch)
    return float(np.nan_to_num((by_stretch.max() - by_stretch.min()).median().max()))
