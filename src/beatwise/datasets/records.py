"""A folder of WFDB records as one dataset."""

from __future__ import annotations

from collections.abc import Callable, Iterable
from functools import partial
from pathlib import Path
from typing import Any, Final

import numpy as np
from kedro.io import AbstractDataset, DatasetError

from beatwise.core.errors import BeatwiseError
from beatwise.core.files import written_whole
from beatwise.ecg.records import Record
from beatwise.ecg.wfdb_files import WfdbFolder

# The smallest sample of format 212, the coarsest that `save` writes: no sample.
NO_SAMPLE_212: Final = -(2**11)
LEAVE_OUT: Final = "segment.leave_out leaves a record out."


class RecordsDataset(AbstractDataset[Iterable[Record], dict[str, Callable[..., Record]]]):
    """WFDB records in a folder and the folders below it.

    Loading gives one function a record, by name in order, as Kedro's ``PartitionedDataset`` does: a record is read when
    its function is called, so that 48 records never stand in memory at once. The function takes the annotator, which is
    the ending of the annotation file, by default ``"atr"``, and whether a signal may have the gain 0, which says that
    it is not calibrated and is read as 200 ADC units a physical unit. Saving writes real WFDB files.

    Which files are read, and which are refused, says :class:`~beatwise.ecg.wfdb_files.WfdbFolder`.
    """

    def __init__(
        self,
        *,
        filepath: str,
        how_to_get: str = "",
        metadata: dict[str, Any] | None = None,
    ) -> None:
        """Name the folder, and the advice that ends the message where it or its records are missing."""
        self._folder = Path(filepath)
        self._how_to_get = how_to_get
        self._records = WfdbFolder(
            self._folder,
            block="segment",
            how_to_get=how_to_get,
            no_beats="Beats are cut where R peaks are annotated; where they are not, the pipeline `score` finds them.",
        )
        self.metadata = metadata

    def load(self) -> dict[str, Callable[..., Record]]:
        """One function a record, by name, sorted.

        Segments of a record are no records of their own. Annotations without a header are left out, and logged.

        Raises:
            DatasetError: If there is no record in the folder.
        """
        names = self._records.names()
        if not names:
            raise DatasetError(f"No WFDB record (*.hea, *.dat, *.atr) in {self._folder.absolute()}. {self._how_to_get}")
        return {name: partial(self._read, name) for name in names}

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
                    d_signal=np.ma.filled(record.adc, NO_SAMPLE_212).astype(np.int64),
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

    def _read(self, name: str, annotator: str = "atr", uncalibrated: bool = False) -> Record:
        try:
            return self._records.read(name, annotator, uncalibrated)
        except BeatwiseError as error:
            raise BeatwiseError(f"Record {name}: {error} {LEAVE_OUT}") from error.__cause__

    def _exists(self) -> bool:
        return any(self._folder.rglob("*.hea"))

    def _describe(self) -> dict[str, Any]:
        return {"filepath": str(self._folder)}
