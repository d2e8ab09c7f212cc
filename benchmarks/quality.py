"""Measures of noise beside the errors of a detector: `python -m benchmarks.quality [--records 100 105]`.

The first lead of the records of nstdb and mitdb in stretches of ten seconds. The default detector errs in a stretch if
missed and false beats, at ±150 ms of the reference annotations, are more than 15 % of its beats. Each measure marks
stretches below the limit of its authors; the area under the ROC curve says how it does at any limit. In nstdb noise is
added to record 118 from minute 5 on, two minutes in four.
"""

from __future__ import annotations

import argparse
import os
from pathlib import Path
from typing import Final

import numpy as np
import numpy.typing as npt
import pandas as pd
from rich.console import Console
from rich.progress import track
from rich.table import Table
from scipy.stats import kurtosis
from sklearn.metrics import roc_auc_score

from beatwise.ecg.detection import find_peaks
from beatwise.ecg.quality import NOISE_DB, NOISE_S, band_passed, signal_to_noise, unusable_stretches
from beatwise.ecg.reading import find_records
from beatwise.ecg.segmentation import BEAT_SYMBOLS
from beatwise.ecg.settings import Read

Ints = npt.NDArray[np.int64]
MEASURES: Final = {
    "signal to noise (dB)": NOISE_DB,
    "kurtosis (Li 2008)": 5.0,
    "template correlation (Orphanidou 2015)": 0.66,
}
TOLERANCE_S, ERRORS = 0.15, 0.15


def errors(found: Ints, reference: Ints, tolerance: float, width: int, n: int) -> npt.NDArray[np.float64]:
    """Missed and false beats of each stretch, in units of its beats."""

    def far(beats: Ints, others: Ints) -> Ints:
        place = np.clip(np.searchsorted(others, beats)[:, None] + [-1, 0], 0, len(others) - 1)
        return beats[np.abs(others[place] - beats[:, None]).min(axis=1) > tolerance]

    def count(beats: Ints) -> Ints:
        return np.bincount(np.minimum(beats // width, n - 1), minlength=n)

    return (count(far(reference, found)) + count(far(found, reference))) / np.maximum(count(reference), 1)


def correlation(band: npt.NDArray[np.float64], peaks: Ints, rate: float, width: int, n: int) -> list[float]:
    """Mean correlation of the QRS complexes of each stretch with their mean; -1 where there are less than three."""
    half = round(0.1 * rate)
    peaks = peaks[(peaks >= half) & (peaks < len(band) - half)]
    beats = band[peaks[:, None] + np.arange(-half, half + 1)]
    stretch = np.minimum(peaks // width, n - 1)
    parts = [beats[stretch == i] for i in range(n)]
    return [float(np.mean([np.corrcoef(b, p.mean(axis=0))[0, 1] for b in p])) if len(p) > 2 else -1.0 for p in parts]


def measured(folder: Path, name: str) -> pd.DataFrame:
    """One row a stretch of a record."""
    record = find_records(folder / name, Read(annotator="atr"))[name]()
    lead, rate = record.millivolts()[:, 0], record.sample_rate
    reference = record.annotation_samples[np.isin(record.annotation_symbols, BEAT_SYMBOLS)]
    peaks = find_peaks(lead, rate)
    width, band = round(NOISE_S * rate), band_passed(lead, rate)
    starts, ratio = signal_to_noise(lead, rate, peaks)
    n = len(starts)
    marked = np.zeros(len(lead), dtype=bool)
    for first, last in unusable_stretches(lead, rate, peaks):
        marked[first:last] = True
    minute = starts / rate / 60
    return pd.DataFrame(
        {
            "record": name,
            "errs": errors(peaks, reference, TOLERANCE_S * rate, width, n) > ERRORS,
            "noise": (folder.name == "nstdb") & (minute >= 5) & ((minute - 5) % 4 < 2),
            "unusable": np.add.reduceat(marked, starts) / np.diff(starts, append=len(lead)),
            **dict(
                zip(
                    MEASURES,
                    (
                        ratio,
                        kurtosis(band[: n * width].reshape(n, width), axis=1) + 3,
                        correlation(band, peaks, rate, width, n),
                    ),
                    strict=True,
                )
            ),
        }
    )


def main() -> None:
    """Measure and print."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--records", nargs="*", default=["*"], help="records of mitdb; by default all")
    records = parser.parse_args().records
    data = Path(os.environ.get("BEATWISE_DATA", "data/01_raw"))
    paths = [
        *sorted(data.glob("nstdb/118e*.hea")),
        *(path for name in records for path in sorted(data.glob(f"mitdb/{name}.hea"))),
    ]
    if not paths:
        raise SystemExit(f"No records in {data.absolute()}: name the folder above mitdb/ and nstdb/ in BEATWISE_DATA.")
    rows = pd.concat([measured(path.parent, path.stem) for path in track(paths)])
    errs = rows["errs"]
    table = Table(title=f"{len(rows):,} stretches, the detector errs in {errs.sum()}; share marked")
    noises = ["118e24", "118e12", "118e00", "118e_6"]
    mitdb = ~rows["record"].isin(noises)
    for column in ("measure", "limit", "ROC area", "where it errs", "elsewhere", "mitdb", *noises, "their clean part"):
        table.add_column(column)
    marks = {name: (f"{limit:g}", rows[name], rows[name] < limit) for name, limit in MEASURES.items()}
    marks["unusable_stretches"] = ("", -rows["unusable"], rows["unusable"] > 0.5)
    for name, (limit, values, marked) in marks.items():
        of = [
            errs,
            ~errs,
            mitdb,
            *(rows["noise"] & (rows["record"] == noise) for noise in noises),
            ~rows["noise"] & ~mitdb,
        ]
        shares = [f"{marked[part].mean():.3f}" for part in of]
        table.add_row(name, limit, f"{roc_auc_score(errs, -values.clip(-99, 99)):.3f}", *shares)
    Console(width=200).print(table)
    by_record = rows[mitdb].groupby("record")["unusable"].mean().sort_values(ascending=False)
    Console().print(
        "Unusable in mitdb: " + ", ".join(f"{name} {share:.3f}" for name, share in by_record.head(8).items())
    )


if __name__ == "__main__":
    main()
