"""Cutting all records into beats, beside reading them: `python -m benchmarks.segmentation [--rounds 5]`.

Reading is wfdb's `rdrecord` and `rdann` for every record, and nothing else. Both are timed in turn, round by round, in
one process, so that whatever else the machine does befalls both; the ratio of the medians counts.
"""

from __future__ import annotations

import argparse
import os
import statistics
import time
from collections.abc import Callable
from pathlib import Path

import wfdb
from rich.console import Console
from rich.table import Table

from beatwise.datasets.records import RecordsDataset
from beatwise.ecg.segmentation import RULES, segment_records

CLASSES = ["N", "S", "V", "F", "Q"]
AAMI = {"N": list("NLRej"), "S": list("AaJS"), "V": list("VE"), "F": ["F"], "Q": list("/fQ")}


def seconds(call: Callable[[], object]) -> float:
    """The time of a call (s)."""
    started = time.perf_counter()
    call()
    return time.perf_counter() - started


def main() -> None:
    """Measure and print."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--rounds", type=int, default=5)
    rounds = parser.parse_args().rounds
    folder = Path(os.environ.get("BEATWISE_DATA", "data/01_raw")) / "mitdb"
    paths = [str(header.with_suffix("")) for header in sorted(folder.glob("*.hea"))]
    if not paths:
        raise SystemExit(f"No records in {folder.absolute()}: name the folder above mitdb/ in BEATWISE_DATA.")
    records = [read() for read in RecordsDataset(filepath=str(folder)).load().values()]

    def read_all() -> None:
        for path in paths:
            wfdb.rdrecord(path, physical=False)
            wfdb.rdann(path, "atr")

    def cut_all(rule: str) -> int:
        options = RULES.options(rule, {})
        return len(segment_records(records, rule=rule, options=options, classes=CLASSES, aami=AAMI)[0])

    jobs: dict[str, Callable[[], object]] = {"read with wfdb": read_all}
    jobs |= {f"cut, rule {rule}": lambda rule=rule: cut_all(rule) for rule in RULES.names()}  # type: ignore[misc]
    taken: dict[str, list[float]] = {name: [] for name in jobs}
    for _ in range(rounds):
        for name, job in jobs.items():
            taken[name].append(seconds(job))

    reading = statistics.median(taken["read with wfdb"])
    table = Table(title=f"{len(paths)} records, {cut_all('kaggle'):,} beats, median of {rounds} rounds")
    for column in ("", "seconds", "min to max", "of reading"):
        table.add_column(column, justify="left" if not column else "right")
    for name, times in taken.items():
        median = statistics.median(times)
        table.add_row(name, f"{median:.2f}", f"{min(times):.2f} to {max(times):.2f}", f"{median / reading:.2f}")
    Console().print(table)


if __name__ == "__main__":
    main()
