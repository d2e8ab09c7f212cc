"""Changes that monitoring has to raise, and some that it must not: `python -m benchmarks.monitoring --model SCORER`.

The scorer is one that was trained on beats of all records of mitdb. Its annotated R peaks are taken, so that nothing
but the change itself differs between the rows. Noise is that of nstdb, at a ratio of powers as the Noise Stress Test
defines it.
"""

from __future__ import annotations

import argparse
import os
from collections.abc import Callable, Iterator
from dataclasses import replace
from functools import partial
from pathlib import Path
from typing import Any, Final

import numpy as np
from rich.console import Console
from rich.table import Table

from beatwise.ecg.reading import find_records
from beatwise.ecg.records import Record
from beatwise.ecg.settings import Read
from beatwise.scoring.monitoring import combine, compare, describe
from beatwise.scoring.score import score_record
from beatwise.scoring.scorer import Scorer, read_scorer
from beatwise.scoring.settings import Monitor, Score

ANNOTATED: Final = Read(annotator="atr", uncalibrated=True)
# Seconds around an R peak in which the QRS complex is measured for the strength of the noise.
AROUND: Final = 0.05


def records_of(data: Path, database: str) -> Iterator[Record]:
    """All records of a database."""
    yield from (read() for read in find_records(data / database, ANNOTATED).values())


def half(record: Record, second: bool) -> Record:
    """One half of a record, with its annotations."""
    middle = len(record.adc) // 2
    inside = (record.annotation_samples >= middle) == second
    start = middle if second else 0
    return replace(
        record,
        adc=record.adc[middle:] if second else record.adc[:middle],
        annotation_samples=record.annotation_samples[inside] - start,
        annotation_symbols=record.annotation_symbols[inside],
    )


def noisy(record: Record, noise: np.ndarray[Any, Any], ratio: float) -> Record:
    """A record with noise on all its leads, at a ratio of the powers of signal and noise (dB).

    The power of the signal is an eighth of the squared median QRS amplitude (Moody et al., Computers in Cardiology 11,
    1984; WFDB's nst).
    """
    millivolts = record.millivolts()
    reach = round(AROUND * record.sample_rate)
    peaks = record.annotation_samples
    around = np.clip(peaks[:, None] + np.arange(-reach, reach + 1), 0, len(millivolts) - 1)
    size = np.median(np.ptp(millivolts[around, 0], axis=1))
    added = noise[: len(millivolts), 0]
    factor = np.sqrt(size**2 / 8 / (np.var(added) * 10 ** (ratio / 10)))
    adc = millivolts + factor * added[:, None]
    n_leads = len(record.leads)
    return replace(record, adc=adc, adc_gain=(1.0,) * n_leads, adc_baseline=(0,) * n_leads)


def described(scorer: Scorer, records: Iterator[Record], change: Callable[[Record], Record], score: Score) -> Any:
    """The description of the changed records."""
    descriptions = []
    for record in records:
        scored = score_record(change(record), scorer, score)
        share = float(np.diff(scored.unusable, axis=1).sum() / scored.n_samples)
        descriptions.append(describe(scored.beats, scorer.reference, {record.name: share}))
    return combine(descriptions)


def main() -> None:
    """Print a row a change."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--model", type=Path, required=True, help="folder of the scorer")
    parser.add_argument("--data", type=Path, default=Path(os.environ.get("BEATWISE_DATA", "data/01_raw")))
    options = parser.parse_args()
    scorer, score, monitor = read_scorer(options.model), Score(read=ANNOTATED), Monitor()
    as_noise = Read(uncalibrated=True, columns=["noise1"])
    noise = {name: find_records(options.data / "nstdb" / name, as_noise)[name]().millivolts() for name in ("em", "ma")}
    changes: dict[str, tuple[str, Callable[[Record], Record], Score]] = {
        "second half of the same records": ("mitdb", lambda record: half(record, second=True), score),
        "recorded at 250 Hz": ("mitdb", lambda record: record.at_rate(250), score),
        "recorded at 250 Hz, said to be 360 Hz": (
            "mitdb",
            lambda record: replace(record.at_rate(250), sample_rate=record.sample_rate),
            score,
        ),
        "another lead (the second)": ("mitdb", lambda record: record, score.model_copy(update={"lead": 1})),
        "svdb": ("svdb", lambda record: record, score),
    }
    for name, label in (("ma", "muscle artefacts"), ("em", "electrode motion")):
        for ratio in (6, 0):
            changes[f"{label}, {ratio} dB"] = ("mitdb", partial(noisy, noise=noise[name], ratio=ratio), score)
    table = Table("change", "records", "beats", "unusable", "alarm", "nearest to its limit")
    for label, (database, change, settings) in changes.items():
        found = compare(
            scorer.reference, described(scorer, records_of(options.data, database), change, settings), monitor
        )
        of_limit = {
            f"{check['name']} {key.upper()}": (check[key], check[f"{key}_limit"])
            for check in found["checks"]
            for key in ("psi", "ks")
            if check[key] is not None
        }
        nearest = max(of_limit, key=lambda of: of_limit[of][0] / of_limit[of][1])
        alarms = [check["name"] for check in found["checks"] if check["raised"]]
        alarms += ["unusable"] if found["unusable"]["raised"] else []
        table.add_row(
            label,
            str(found["records"]),
            f"{found['beats']:,}",
            f"{found['unusable']['share']:.1%}",
            ", ".join(alarms) or "none",
            f"{nearest} {of_limit[nearest][0]:.2f} of {of_limit[nearest][1]:.2f}",
        )
        Console(width=160).print(f"{label}: {', '.join(alarms) or 'none'}")
    Console(width=160).print(table)


if __name__ == "__main__":
    main()
