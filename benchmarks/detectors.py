"""Detectors of R peaks beside annotations: `python -m benchmarks.detectors [--databases mitdb svdb nstdb]`.

The first lead of every record; WFDB's comparitor at 150 ms over whole records, without flutter. The seconds are those
of the processor, so that other work on the machine changes them little. What a record gave is kept in `--cache`, so
that a measurement that was stopped continues. The contenders beyond those of the registry are in
benchmarks/requirements.txt (`make bench` installs them into .venv-bench); those that are not installed are left out.
"""

from __future__ import annotations

import argparse
import importlib
import importlib.util
import json
import os
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any, Final

import numpy as np
import pandas as pd
from rich.console import Console
from rich.table import Table

from beatwise.core.files import written_whole
from beatwise.ecg.detection import DETECTORS
from beatwise.ecg.ec57 import NONE, UNKNOWN, compare_beats
from beatwise.ecg.reading import find_records
from beatwise.ecg.records import Record, bridged
from beatwise.ecg.settings import Read

# Those of NeuroKit2 that take some .1 s for half an hour.
NEUROKIT: Final = ("neurokit", "pantompkins1985", "kalidas2017")
# Records of nstdb without beats.
NOISE: Final = ("bw", "em", "ma")
DATABASES: Final = ("mitdb", "svdb", "nstdb")


def contenders() -> dict[str, Callable[..., Any]]:
    """Functions of a lead (mV) and its rate (Hz), by name."""
    found: dict[str, Callable[..., Any]] = {name: DETECTORS[name] for name in DETECTORS.names()}
    if importlib.util.find_spec("sleepecg"):
        found["SleepECG"] = lambda x, rate: importlib.import_module("sleepecg").detect_heartbeats(x, rate)
    if importlib.util.find_spec("neurokit2"):
        found |= {f"NeuroKit2 {method}": lambda x, rate, m=method: by_neurokit(x, rate, m) for method in NEUROKIT}
    return found


def by_neurokit(millivolts: np.ndarray[Any, Any], sample_rate: float, method: str) -> np.ndarray[Any, Any]:
    """Peaks by a method of NeuroKit2, cleaned as that method asks for."""
    neurokit2: Any = importlib.import_module("neurokit2")

    clean = "neurokit" if method == "kalidas2017" else method
    cleaned = neurokit2.ecg_clean(millivolts, sampling_rate=sample_rate, method=clean)
    found = neurokit2.ecg_peaks(cleaned, sampling_rate=sample_rate, method=method)[1]["ECG_R_Peaks"]
    return np.unique(np.asarray(found, dtype=np.int64))


def compare(record: Record, detect: Callable[..., Any]) -> dict[str, float]:
    """Counts of beats that are found and annotated (``both``), ``missed`` and ``false``; ``seconds`` and ``hours``."""
    first = record.of_leads([0])
    millivolts = first.millivolts()[:, 0]
    whole = bridged(millivolts, np.isnan(millivolts))
    # Imports and what is compiled at first use are not measured.
    detect(whole[: round(10 * record.sample_rate)], record.sample_rate)
    started = time.process_time()
    found = detect(whole, record.sample_rate)
    seconds = time.process_time() - started
    counts = compare_beats(record, found, ["found"] * len(found), {}, learning=0)
    pairs = {"both": (UNKNOWN, "found"), "missed": (UNKNOWN, NONE), "false": (NONE, "found")}
    return {
        **{name: int(counts.get(pair, 0)) for name, pair in pairs.items()},
        "seconds": seconds,
        "hours": len(whole) / record.sample_rate / 3600,
    }


def measure_all(detectors: list[str], databases: list[str], cache: Path) -> pd.DataFrame:
    """One row a detector and record, from the cache where it is there."""
    rows, detect = [], contenders()
    for detector in detectors:
        for database in databases:
            folder = Path(os.environ.get("BEATWISE_DATA", "data/01_raw")) / database
            if not folder.is_dir():
                raise SystemExit(f"There is no {folder.absolute()}: name the folder above it in BEATWISE_DATA.")
            for name, read in find_records(folder, Read(annotator="atr", uncalibrated=True)).items():
                if name in NOISE:
                    continue
                kept = cache / f"{database}-{name}-{detector}.json"
                if not kept.is_file():
                    cache.mkdir(parents=True, exist_ok=True)
                    with written_whole(kept) as whole:
                        whole.write_text(json.dumps(compare(read(), detect[detector])), encoding="utf-8")
                result = json.loads(kept.read_text(encoding="utf-8"))
                rows.append({"records": name if database == "nstdb" else database, "detector": detector, **result})
    return pd.DataFrame(rows)


def main() -> None:
    """Measure and print."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--databases", nargs="+", choices=DATABASES, default=DATABASES)
    parser.add_argument("--detectors", nargs="+", choices=list(contenders()), default=list(contenders()))
    parser.add_argument("--cache", type=Path, default=Path("data/09_tracking/benchmarks/detectors"))
    given = parser.parse_args()
    measured = measure_all(given.detectors, given.databases, given.cache)
    table = Table(title="R peaks of the first lead beside annotations, 150 ms, whole records")
    for column in ("records", "detector", "beats", "Se", "+P", "F1", "s an hour"):
        table.add_column(column, justify="left" if column in ("records", "detector") else "right")
    for row in measured.groupby(["records", "detector"], sort=False, as_index=False).sum().to_dict("records"):
        annotated, found = row["both"] + row["missed"], row["both"] + row["false"]
        shares = row["both"] / annotated, row["both"] / found, 2 * row["both"] / (annotated + found)
        speed = f"{row['seconds'] / row['hours']:.2f}"
        table.add_row(
            row["records"], row["detector"], f"{annotated:,.0f}", *(f"{100 * share:.2f}" for share in shares), speed
        )
    Console().print(table)


if __name__ == "__main__":
    main()
