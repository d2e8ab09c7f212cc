"""A record: one continuous ECG, annotated or not."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, replace
from fractions import Fraction
from typing import Any, Final

import numpy as np
import numpy.typing as npt

# A ratio of two rates is one of whole numbers up to this.
LARGEST_FACTOR: Final = 10**5


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

    def of_leads(self, columns: Sequence[int]) -> Record:
        """The record with these of its leads, by column, in this order."""
        return replace(
            self,
            adc=self.adc if list(columns) == list(range(len(self.leads))) else self.adc[:, list(columns)],
            leads=tuple(self.leads[i] for i in columns),
            adc_gain=tuple(self.adc_gain[i] for i in columns),
            adc_baseline=tuple(self.adc_baseline[i] for i in columns),
        )

    def at_rate(self, hz: float) -> Record:
        """The record at another rate: resampled as a whole by a polyphase filter (``scipy.signal.resample_poly``).

        Samples become ``float32``, in the same units; those that the filter makes of missing ones are missing, too.
        Annotations move with the signal.

        Args:
            hz: Samples per second; met to one in 100,000, because the filter takes a ratio of whole numbers. Over a
                day even so small a difference adds up to some samples, so that ``sample_rate`` of the result is the
                rate that it has. A record whose rate is as near is returned as it is.
        """
        from scipy.signal import resample_poly

        ratio = Fraction(hz / self.sample_rate).limit_denominator(LARGEST_FACTOR)
        if ratio == 1:
            return self
        up, down = ratio.as_integer_ratio()
        n_samples, missing = -(-len(self.adc) * up // down), np.ma.getmaskarray(self.adc)
        adc = np.empty((n_samples, len(self.leads)), dtype=np.float32, order="F")
        masked = np.zeros(adc.shape, dtype=bool, order="F")
        # Half the length of the filter that resample_poly designs, in samples of this record.
        reach = 10 * max(up, down) / up
        for lead, values in enumerate(np.ma.getdata(self.adc).T):
            whole = bridged(values, missing[:, lead]).astype(np.float32)
            adc[:, lead] = resample_poly(whole, up, down, padtype="line")
            gaps = np.flatnonzero(missing[:, lead])
            if len(gaps):
                place = np.arange(n_samples) * (down / up)
                masked[:, lead] = np.searchsorted(gaps, place - reach) < np.searchsorted(gaps, place + reach, "right")
        return replace(
            self,
            adc=np.ma.masked_array(adc, masked) if masked.any() else adc,
            sample_rate=self.sample_rate * float(ratio),
            annotation_samples=np.rint(self.annotation_samples * float(ratio)).astype(np.int64),
        )


def bridged(adc: npt.NDArray[Any], missing: npt.NDArray[np.bool_]) -> npt.NDArray[Any]:
    """One lead ``[n]`` with straight lines over the stretches without samples."""
    if not missing.any():
        return adc
    whole = np.zeros_like(adc)
    if not missing.all():
        there = np.flatnonzero(~missing)
        whole[:] = np.interp(np.arange(len(adc)), there, adc[there])
        whole[there] = adc[there]
    return whole
