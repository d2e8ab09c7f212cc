"""A folder of WFDB records as one dataset."""

from __future__ import annotations

from collections.abc import Callable, Iterable
from pathlib import Path
from typing import Any

import numpy as np
from kedro.io import AbstractDataset, DatasetError

from beatwise.core.errors import BeatwiseError
from beatwise.core.files import written_whole
from beatwise.ecg.records import Record

SUFFIXES = (".hea", ".dat", ".atr")


class RecordsDataset(AbstractDataset[Iterable[Record], dict[str, Callable[[], Record]]]):
    """WFDB records (``.hea``, ``.dat``, ``.atr``) in a folder.

    Loading gives one function a record, by name in order, as Kedro's ``PartitionedDataset`` does: a record is read when
    its function is called, so that 48 records never stand in memory at once. Saving writes real WFDB files.

    A record is refused when one of its files is missing or cut short, when its signal file is shorter than its header
    says, or when its samples do not have the header's checksum.
    """

    def __init__(
        self,
        *,
        filepath: str,
        how_to_get: str = "",
        metadata: dict[str, Any] | None = None,
    ) -> None:
        """Describe the folder.

        Args:
            filepath: The folder.
            how_to_get: What to do when the folder or its records are missing; ends the error message.
            metadata: Kept for plugins such as kedro-viz.
        """
        self._folder = Path(filepath)
        self._how_to_get = how_to_get
        self.metadata = metadata

    def load(self) -> dict[str, Callable[[], Record]]:
        """One function a record, by name, sorted.

        Raises:
            DatasetError: If there is no record in the folder.
        """
        # By any of its files, so that a record whose header is missing is missed.
        names = sorted({file.stem for suffix in SUFFIXES for file in self._folder.glob(f"*{suffix}")})
        if not names:
            raise DatasetError(f"No WFDB record (*.hea, *.dat, *.atr) in {self._folder.absolute()}. {self._how_to_get}")
        return {name: lambda name=name: self._read(name) for name in names}  # type: ignore[misc]

    def save(self, data: Iterable[Record]) -> None:
        """Write every record as ``<name>.hea``, ``.dat`` (format 212) and ``.atr``, in place of what was there."""
        import wfdb

        with written_whole(self._folder) as folder:
            folder.mkdir()
            for record in data:
                wfdb.wrsamp(
                    record.name,
                    fs=record.sample_rate,
                    units=["mV"] * len(record.leads),
                    sig_name=list(record.leads),
                    d_signal=np.asarray(record.adc, dtype=np.int64),
                    fmt=["212"] * len(record.leads),
                    adc_gain=list(record.adc_gain),
                    baseline=list(record.adc_baseline),
                    comments=list(record.comments),
                    write_dir=str(folder),
                )
                wfdb.wrann(
                    record.name,
                    "atr",
                    sample=record.annotation_samples,
                    symbol=record.annotation_symbols.tolist(),
                    write_dir=str(folder),
                )

    def _read(self, name: str) -> Record:
        import wfdb

        path = self._folder / name
        for suffix in SUFFIXES:
            if not path.with_suffix(suffix).is_file():
                raise BeatwiseError(
                    f"Record {name}: {path.with_suffix(suffix).absolute()} is missing. {self._how_to_get}"
                )
        # wfdb takes the end of the file for the end of the annotations, and would lose beats without a word.
        if not path.with_suffix(".atr").read_bytes().endswith(b"\0\0"):
            raise BeatwiseError(
                f"Record {name}: {path.absolute()}.atr is truncated: it has no end mark. Fetch the file again."
            )
        try:
            record = wfdb.rdrecord(str(path), physical=False)
            annotations = wfdb.rdann(str(path), "atr")
        except Exception as error:  # wfdb lets whatever its parsers meet escape
            raise BeatwiseError(
                f"Record {name}: {path.absolute()}.hea, .dat and .atr cannot be read as WFDB files ({error}). "
                "Fetch them again."
            ) from error
        # Lead by lead in memory, for readers of one lead; wfdb gives 64 bits, WFDB's formats hold at most 32.
        adc = np.asfortranarray(record.d_signal, dtype=np.int32)
        # Headers hold the 16-bit checksum as a signed or an unsigned number, or leave it out.
        actual = adc.sum(axis=0, dtype=np.int64) % 2**16
        for lead, stated in enumerate(record.checksum or []):
            if stated is not None and stated % 2**16 != actual[lead]:
                raise BeatwiseError(
                    f"Record {name}: {path.absolute()}.dat is damaged: the checksum of lead {record.sig_name[lead]} is "
                    f"{actual[lead]}, its header says {stated % 2**16}. Fetch the file again."
                )
        return Record(
            name=name,
            adc=adc,
            sample_rate=float(record.fs),
            leads=tuple(record.sig_name),
            adc_gain=tuple(record.adc_gain),
            adc_baseline=tuple(record.baseline),
            annotation_samples=annotations.sample.astype(np.int64),
            annotation_symbols=np.asarray(annotations.symbol),
            comments=tuple(record.comments),
        )

    def _exists(self) -> bool:
        return any(self._folder.glob("*.hea"))

    def _describe(self) -> dict[str, Any]:
        return {"filepath": str(self._folder)}
