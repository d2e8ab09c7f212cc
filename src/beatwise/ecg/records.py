"""A record: one continuous ECG, annotated or not."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

import numpy as np
import numpy.typing as npt


@dataclass(frozen=True, eq=False)
class Record:
    """One ECG recording in the units of its analogue-to-digital converter.

    Attributes:
        name: Record name, e.g. ``"100"``, with its folder where it lies in one, e.g. ``"patient001/s0010_re"``.
        adc: Samples in ADC units ``[n_samples, n_leads]``, integer; floating in millivolts, with gain 1 and
            baseline 0, where the file holds physical units; a masked array where there are samples missing.
        sample_rate: Samples per second and lead (Hz).
        leads: Lead names, one per column of ``adc``.
        adc_gain: ADC units per millivolt (per physical unit where that is no voltage), one per lead.
        adc_baseline: ADC value of 0 mV, one per lead.
        annotation_samples: Sample number of every annotation in ``adc``, ``int64 [n_annotations]``, ascending;
            empty where none were read.
        annotation_symbols: WFDB annotation codes (``"N"``, ``"V"``, ``"+"``, …), ``str [n_annotations]``.
        comments: Comment lines of the header, without the leading ``#``.
    """

    name: str
    adc: npt.NDArray[Any]
    sample_rate: float
    leads: tuple[str, ...]
    adc_gain: tuple[float, ...]
    adc_baseline: tuple[int, ...]
    annotation_samples: npt.NDArray[np.int64]
    annotation_symbols: npt.NDArray[np.str_]
    comments: tuple[str, ...] = ()

    def millivolts(self) -> npt.NDArray[np.float64]:
        """The signal in millivolts, ``float64 [n_samples, n_leads]``, NaN where a sample is missing."""
        physical = (self.adc - np.asarray(self.adc_baseline)) / np.asarray(self.adc_gain)
        return np.ma.filled(physical, np.nan)
