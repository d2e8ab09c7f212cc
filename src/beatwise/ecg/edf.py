"""EDF, EDF+ and BDF files (https://www.edfplus.info/specs), read by pyedflib."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path

import numpy as np

from beatwise.core.errors import BeatwiseError
from beatwise.ecg.leads import ecg_leads
from beatwise.ecg.tables import Signals


def read_edf(path: Path, wanted: Sequence[int | str] = ()) -> Signals:
    """The leads of an EDF file in its physical units.

    All leads get the rate of the fastest, slower ones by repeated samples, as in WFDB records.

    Args:
        path: The file.
        wanted: Names or numbers of the signals; empty takes those that are an ECG by name and unit.

    Raises:
        BeatwiseError: If the file does not follow the specification, is cut short or not continuous, or has no such
            signal.
    """
    import pyedflib

    try:
        with pyedflib.EdfReader(str(path)) as file:
            labels = [label.strip() for label in file.getSignalLabels()]
            units = [file.getPhysicalDimension(i).strip() for i in range(file.signals_in_file)]
            columns = ecg_leads(labels, units, wanted)
            rates, lengths = file.getSampleFrequencies()[columns], file.getNSamples()[columns]
            n_samples = int(lengths.max())
            values = np.empty((n_samples, len(columns)), order="F")
            for place, (column, length) in enumerate(zip(columns, lengths.tolist(), strict=True)):
                signal = file.readSignal(column)
                values[:, place] = signal if length == n_samples else signal[np.arange(n_samples) * length // n_samples]
    except BeatwiseError as error:
        raise BeatwiseError(f"{path.absolute()}: {error}") from error
    except (OSError, ValueError) as error:
        raise BeatwiseError(
            f"{path.absolute()} cannot be read as EDF ({str(error).removeprefix(str(path)).strip(' :')}). Fetch it "
            "again; a file that does not follow the specification, or is not continuous (EDF+D), can be repaired or "
            "converted with EDFbrowser."
        ) from error
    return Signals(values, float(rates.max()), [labels[i] for i in columns], [units[i] for i in columns])
