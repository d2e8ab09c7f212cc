"""WFDB records in a folder: which there are, and one as a :class:`~beatwise.ecg.records.Record`.

wfdb reads the files; what it reads as something else, or lets pass, is refused here in words.
"""

from __future__ import annotations

import logging
import math
import re
from collections import Counter
from collections.abc import Sequence
from dataclasses import dataclass
from functools import cache
from pathlib import Path
from typing import Any, Final

import numpy as np
import numpy.typing as npt

from beatwise.core.errors import BeatwiseError
from beatwise.ecg.leads import PER_MILLIVOLT, ecg_leads
from beatwise.ecg.records import Record
from beatwise.ecg.segmentation import BEAT_SYMBOLS, OPTIONAL_BEAT_SYMBOLS

log = logging.getLogger(__name__)

CORRECT: Final = "Correct it, or fetch it again."
SIGNAL_SUFFIXES: Final = (".dat", ".mat")
GAIN: Final = re.compile(r"(?P<gain>[^(/]*)(\(-?\d+\))?(/.*)?")
NO_ANNOTATIONS: Final = (np.empty(0, dtype=np.int64), np.empty(0, dtype=np.str_))
NO_BEATS: Final = "A detector finds the R peaks where score.read.annotator is null."


@dataclass(frozen=True)
class WfdbFolder:
    """WFDB records in a folder and the folders below it.

    Whatever wfdb reads can be read: signals in several files or in ``.mat``, records of segments, several samples a
    frame. Where leads differ in samples a frame, all get the rate of the fastest, slower ones by repeated samples (as
    the WFDB library's high-resolution mode does). Samples that the format marks as missing, and segments that are, are
    masked. Annotations are in the time of the signal, whatever the rate of their file.

    A record is refused when a file of it is missing or cut short, when its signal file is shorter than its header says,
    when its samples do not have the header's checksum, or when rate or gain in its header are no numbers.

    Attributes:
        folder: The folder.
        block: Parameters that messages name, below which ``annotator`` and ``uncalibrated`` stand.
        how_to_get: Advice where a file is missing.
        no_beats: Advice where no annotations of beats are found.
    """

    folder: Path
    block: str = "score.read"
    how_to_get: str = ""
    no_beats: str = NO_BEATS

    def names(self) -> list[str]:
        """Names of the records, sorted; segments of a record are no records of their own.

        Annotations without a header are left out, and logged.
        """
        from wfdb.io.header import parse_header_content

        paths = [path for path in self.folder.rglob("*") if not is_hidden(path.relative_to(self.folder))]
        headers = {_stem(path): path for path in paths if path.suffix == ".hea"}
        # The first field of the lines below the first: signal files, or segments.
        parts: set[Path] = set()
        for header in headers.values():
            if header.is_file():
                lines, _ = parse_header_content(header.read_text(encoding="ascii", errors="ignore"))
                parts |= {header.parent / line.split()[0] for line in lines[1:]} - {_stem(header)}
        # A record whose header is missing is missed by its signal file, unless its annotations alone are there.
        lone = {path for path in paths if _stem(path) not in headers and path not in parts}
        unheard = {_stem(path) for path in lone if path.suffix == ".dat"}
        annotators = {path.suffix for path in paths if _stem(path) in headers} - {".hea", *SIGNAL_SUFFIXES}
        skipped = sorted(path.name for path in lone if path.suffix in annotators and _stem(path) not in unheard)
        if skipped:
            log.warning("Skipped: %s (no header, .hea, beside it).", ", ".join(skipped))
        stems = unheard | (headers.keys() - parts)
        return sorted(stem.relative_to(self.folder).as_posix() for stem in stems)

    def read(
        self,
        name: str,
        annotator: str | None = None,
        uncalibrated: bool = False,
        leads: Sequence[int | str] | None = None,
    ) -> Record:
        """Read a record.

        Args:
            name: Its name, with the folders below this one.
            annotator: Ending of the annotation file; None reads no annotations.
            uncalibrated: Whether a signal may have the gain 0, which says that it is not calibrated and is read as 200
                ADC units a millivolt.
            leads: Signals to take, by name or column; empty takes those that are an ECG by name and unit, None all.

        Raises:
            BeatwiseError: If it is refused; the message does not name the record.
        """
        path = self.folder / name
        header = self._header(path, uncalibrated)
        try:
            record = _rdrecord(path)
        except BeatwiseError:
            raise
        except Exception as error:  # wfdb lets whatever its parsers meet escape
            raise BeatwiseError(
                f"{path.absolute()}.hea and its signal files cannot be read as WFDB files ({error}); mostly a "
                "file is cut short or belongs to another header. Fetch them again."
            ) from error
        per_frame = max(record.samps_per_frame)
        rate = float(header.fs * per_frame)
        # Annotations count frames, unless their file states a rate of its own.
        samples, symbols = self.annotations(path, annotator, rate, header.fs) if annotator else NO_ANNOTATIONS
        names = tuple(lead or f"signal {i}" for i, lead in enumerate(record.sig_name))
        made = Record(
            name=name,
            adc=_signal(record, per_frame),
            sample_rate=rate,
            leads=names,
            # Where the unit is no voltage, as of breathing, the gain stays as it is.
            adc_gain=tuple(
                gain * PER_MILLIVOLT.get((unit or "").lower(), 1.0)
                for gain, unit in zip(record.adc_gain, record.units, strict=True)
            ),
            adc_baseline=tuple(record.baseline),
            annotation_samples=samples,
            annotation_symbols=symbols,
            comments=tuple(header.comments),
        )
        if leads is None:
            return made
        return made.of_leads(ecg_leads(names, [unit or "" for unit in record.units], leads))

    def _header(self, path: Path, uncalibrated: bool) -> Any:
        """The header of a record or segment as wfdb reads it, checked where wfdb puts something in a value's place."""
        from wfdb.io.header import parse_header_content

        file = self._file(path, ".hea")
        try:
            lines, _ = parse_header_content(file.read_text(encoding="ascii", errors="ignore"))
            header = _wfdb().rdheader(str(path))
            _check_header(header, lines, None if uncalibrated else self.block)
        except BeatwiseError as error:
            raise BeatwiseError(f"{file.absolute()} {error}") from error
        except Exception as error:
            raise BeatwiseError(
                f"{file.absolute()} cannot be read as a WFDB header ({error}). Fetch the file again."
            ) from error
        for segment in getattr(header, "seg_name", None) or []:
            if segment != "~" and self._header(path.parent / segment, uncalibrated).fs != header.fs:
                raise BeatwiseError(
                    f"{file.absolute()} says {header.fs:g} Hz, the header of its segment {segment} another rate. "
                    "Correct them, or fetch them again."
                )
        for signal in getattr(header, "file_name", None) or []:
            if signal != "~":
                self._file(path.parent / signal)
        return header

    def annotations(
        self, path: Path, annotator: str, rate: float, counted_at: float | None = None
    ) -> tuple[npt.NDArray[np.int64], npt.NDArray[np.str_]]:
        """Sample numbers and codes of annotations, ``[n_annotations]`` each.

        Args:
            path: The annotation file without its ending.
            annotator: The ending.
            rate: Rate (Hz) of the signal, in whose samples annotations are counted here.
            counted_at: Rate (Hz) in whose samples the file counts them if it does not say so; None for that of the
                signal.

        Raises:
            BeatwiseError: If the file is missing, damaged, or annotates no beats.
        """
        file = self._file(path, f".{annotator}")
        # wfdb takes the end of the file for the end of the annotations, and would lose beats without a word.
        if not file.read_bytes().endswith(b"\0\0"):
            raise BeatwiseError(f"{file.absolute()} is truncated: it has no end mark. Fetch the file again.")
        try:
            found = _wfdb().rdann(str(path), annotator)
        except Exception as error:
            raise BeatwiseError(
                f"{file.absolute()} cannot be read as WFDB annotations ({error}). Fetch the file again."
            ) from error
        symbols = np.asarray(found.symbol, dtype=np.str_)
        if not np.isin(symbols, [*BEAT_SYMBOLS, *OPTIONAL_BEAT_SYMBOLS]).any():
            counts = ", ".join(f"{count} × {code!r}" for code, count in Counter(symbols.tolist()).items())
            raise BeatwiseError(
                f"{file.absolute()} annotates no beats ({counts or 'it is empty'}). {self._others(file)}"
            )
        if found.fs is not None and not found.fs > 0:
            raise BeatwiseError(f"{file.absolute()} says that its rate is {found.fs:g} Hz. Fetch the file again.")
        counted_at = found.fs or counted_at or rate
        samples = found.sample if counted_at == rate else np.rint(found.sample * (rate / counted_at))
        return samples.astype(np.int64), symbols

    def _file(self, stem: Path, suffix: str = "") -> Path:
        file = stem.with_name(stem.name + suffix)
        if file.is_file():
            return file
        if file.exists():
            raise BeatwiseError(f"{file.absolute()} is no file, but a pipe, a device or a folder.")
        is_annotation = suffix and suffix != ".hea"
        advice = [self.how_to_get, self._others(file) if is_annotation else ""]
        raise BeatwiseError(" ".join([f"{file.absolute()} is missing.", *filter(None, advice)]))

    def _others(self, file: Path) -> str:
        """Advice for a record whose annotation file has no beats, or is missing."""
        others = _beside(file)
        if not others:
            return self.no_beats
        key = f"{self.block}.annotator"
        return (
            f"Beside it lies {', '.join(others)}: if that holds the beats, set {key}: {Path(others[0]).suffix[1:]} "
            f"(--params={key}={Path(others[0]).suffix[1:]})."
        )


@cache
def _wfdb() -> Any:
    """The package wfdb, so that names of records and of their files may have dots.

    wfdb 4 reads "2019.05.01_p1" in a header as the name "2019" and stumbles over the rest.
    """
    import wfdb
    from wfdb.io import _header

    for pattern, name, dotted in (
        ("rx_record", r"[-\w]+", r"[-.\w]+"),
        ("rx_signal", r"~?[-\w]*\.?[\w]*", r"~?[-.\w]*"),
        ("rx_segment", r"[-\w]*~?", r"[-.\w]*~?"),
    ):
        narrow = getattr(_header, pattern)
        setattr(_header, pattern, re.compile(narrow.pattern.replace(name, dotted, 1), narrow.flags))
    return wfdb


def _check_header(header: Any, lines: list[str], block: str | None) -> None:
    """Refuse what wfdb reads as something else: it passes over text that is no number, and takes a default.

    The gain 0 is refused where a block of parameters is named that can allow it.
    """
    from wfdb.io import _header

    match = _header.rx_record.match(lines[0])
    rate, rest = match["fs"], lines[0][match.end() :].strip()
    stated = lines[0].split()[2:3]
    if not header.fs > 0 or (stated and re.split("[/(]", stated[0])[0] != rate):
        raise BeatwiseError(f"states a rate that is no positive number of Hz: {lines[0]!r}. {CORRECT}")
    if rest:
        raise BeatwiseError(
            f"has {rest!r} in its first line, where a number, a time or a date is expected: {lines[0]!r}. {CORRECT}"
        )
    if not header.n_sig:
        raise BeatwiseError(f"says that the record has no signals, so that no beat can be cut from it. {CORRECT}")
    if hasattr(header, "seg_name"):
        header.check_field_cohesion()
        return
    if len(lines) - 1 != header.n_sig:
        raise BeatwiseError(f"says that there are {header.n_sig} signals, and describes {len(lines) - 1}. {CORRECT}")
    for line, gain, file in zip(lines[1:], header.adc_gain, header.file_name, strict=True):
        stated = line.split()[2:3]
        if stated and file != "~":
            match = GAIN.fullmatch(stated[0])
            number = float(match["gain"]) if match and _is_number(match["gain"]) else math.nan
            if number == 0 and block:
                raise BeatwiseError(
                    f"states the gain 0 for the signal {line!r}: it is not calibrated. Set {block}.uncalibrated: "
                    "true to read it as 200 ADC units a millivolt (beats are scaled from 0 to 1, whatever the gain), "
                    "or correct the header."
                )
            if number not in (0, gain):
                raise BeatwiseError(
                    f"states the gain {stated[0]!r} for the signal {line!r}; a number, of ADC units a physical unit, "
                    f"is needed. {CORRECT}"
                )


def _is_number(text: str) -> bool:
    try:
        return math.isfinite(float(text))
    except ValueError:
        return False


def _rdrecord(path: Path) -> Any:
    """One wfdb record, of one segment, with ``e_d_signal``, or ``e_p_signal`` where segments differ in gain."""
    read = _wfdb().rdrecord
    record = read(str(path), physical=False, smooth_frames=False, m2s=False)
    is_single = not hasattr(record, "segments")
    parts = [record] if is_single else [part for part in record.segments if part is not None and part.e_d_signal]
    for part in parts:
        # wfdb shifts leads that are skewed; the checksum is that of the file.
        as_stored = part
        if any(part.skew):
            stored_at = path if is_single else path.parent / part.record_name
            as_stored = read(str(stored_at), physical=False, smooth_frames=False, ignore_skew=True)
        # Headers hold the 16-bit checksum as a signed or an unsigned number, or leave it out.
        for lead, (stated, actual) in enumerate(
            zip(part.checksum, as_stored.calc_checksum(expanded=True), strict=True)
        ):
            if stated is not None and stated % 2**16 != actual:
                raise BeatwiseError(
                    f"{path.parent.absolute() / part.file_name[lead]} is damaged: the checksum of lead "
                    f"{part.sig_name[lead]} is {actual}, its header says {stated % 2**16}. Fetch the file again."
                )
    if is_single:
        return record
    # wfdb joins the leads of a fixed layout by their place, and values by their number, whatever the unit.
    orders = {tuple(part.sig_name) for part in parts}
    units = {pair for part in parts for pair in zip(part.sig_name, part.units, strict=True)}
    if (record.layout == "fixed" and len(orders) > 1) or len(units) > len({lead for lead, _ in units}):
        raise BeatwiseError(
            f"{path.absolute()}.hea joins segments whose leads or units differ: {sorted(orders)}, {sorted(units)}. "
            "Correct the headers."
        )
    scales = {
        (lead, *scale)
        for part in parts
        for lead, *scale in zip(part.sig_name, part.fmt, part.adc_gain, part.baseline, strict=True)
    }
    if len(scales) == record.n_sig:
        return record.multi_to_single(physical=False, expanded=True)
    joined = read(str(path), physical=True, smooth_frames=False)
    joined.adc_gain, joined.baseline = [1.0] * joined.n_sig, [0] * joined.n_sig
    return joined


def _signal(record: Any, per_frame: int) -> npt.NDArray[Any]:
    """All leads at the rate of the fastest ``[n_samples, n_leads]``, masked where samples are missing."""
    physical, values = record.e_p_signal, record.e_p_signal
    if values is None:
        physical, values = record.dac(expanded=True), record.e_d_signal
    # Lead by lead in memory, for readers of one lead; wfdb gives 64 bits, WFDB's formats hold at most 32.
    shape = (len(values[0]) // record.samps_per_frame[0] * per_frame, len(values))
    adc = np.empty(shape, order="F", dtype=np.int32 if record.e_p_signal is None else np.float64)
    missing = np.zeros(shape, order="F", dtype=bool)
    for lead, n_samples in enumerate(record.samps_per_frame):
        source = slice(None) if n_samples == per_frame else np.arange(len(adc)) * n_samples // per_frame
        adc[:, lead] = values[lead][source]
        missing[:, lead] = np.isnan(physical[lead])[source]
    return np.ma.masked_array(adc, missing) if missing.any() else adc


def is_hidden(path: Path) -> bool:
    """Whether a file, or a folder that it is in, has a name that begins with a dot."""
    return any(part.startswith(".") for part in path.parts)


def _stem(path: Path) -> Path:
    return path.with_name(path.name.removesuffix(path.suffix))


def _beside(file: Path) -> list[str]:
    """Names of files that look like other annotations of the record that an annotation file belongs to."""
    return sorted(
        other.name
        for other in file.parent.iterdir()
        if _stem(other) == _stem(file)
        and other not in (file, _stem(file))
        and other.suffix not in (".hea", *SIGNAL_SUFFIXES)
        and other.is_file()
        and other.stat().st_size % 2 == 0
        and other.read_bytes().endswith(b"\0\0")
    )
