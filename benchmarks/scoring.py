"""Records a second, and memory, of scoring many recordings: `python -m benchmarks.scoring [--records 1 10 100 1000]`.

Half-hour recordings of two leads at 360 Hz are synthesised; of more than four, each is one of four under another name.
They are scored as `beatwise score` does it, with one worker and with two, each run in a process of its own. `--day`
scores one recording of 24 hours instead, and says where the time goes. The scorer is that of `--model`, by default the
latest of this project.
"""

from __future__ import annotations

import argparse
import json
import os
import resource
import subprocess
import sys
import tempfile
import threading
import time
from contextlib import suppress
from pathlib import Path
from typing import Any

import numpy as np
from rich.console import Console
from rich.table import Table

from beatwise.ecg.reading import find_records
from beatwise.ecg.settings import Read
from beatwise.scoring.models import load_scorer
from beatwise.scoring.registry import CHAMPION
from beatwise.scoring.settings import Score
from beatwise.search.settings import RaySettings
from beatwise.search.watchdog import MARK
from tools.synthetic_records import SyntheticSettings, synthesise_records

ROOT = Path(__file__).parents[1]
DISTINCT, RATE, HALF_HOUR = 4, 360.0, 650_000
SHARES = {"N": 0.9, "S": 0.03, "V": 0.06, "F": 0.01, "Q": 0.0}


def synthesise(folder: Path, n_records: int, times: int) -> None:
    """Write recordings of so many half hours with their annotations; those after the first four are links to them."""
    import wfdb

    folder.mkdir(parents=True)
    made = synthesise_records(SyntheticSettings(n_records=DISTINCT, beats_per_record=3000, class_shares=SHARES), seed=0)
    for index, record in enumerate(made[: min(n_records, DISTINCT)]):
        if len(record.adc) < HALF_HOUR:
            raise SystemExit(f"{len(record.adc)} samples were synthesised, less than half an hour.")
        name, inside = f"r{index:04d}", record.annotation_samples < HALF_HOUR
        samples, symbols = record.annotation_samples[inside], record.annotation_symbols[inside]
        wfdb.wrsamp(
            name,
            fs=RATE,
            units=["mV"] * len(record.leads),
            sig_name=list(record.leads),
            d_signal=np.tile(record.adc[:HALF_HOUR], (times, 1)),
            fmt=["16"] * len(record.leads),
            adc_gain=list(record.adc_gain),
            baseline=list(record.adc_baseline),
            write_dir=str(folder),
        )
        wfdb.wrann(
            name,
            "atr",
            np.concatenate([samples + HALF_HOUR * time for time in range(times)]),
            np.tile(symbols, times).tolist(),
            write_dir=str(folder),
        )
    for index in range(DISTINCT, n_records):
        name, of = f"r{index:04d}", f"r{index % DISTINCT:04d}"
        # The header names the signal file of the other.
        (folder / f"{name}.hea").write_text((folder / f"{of}.hea").read_text().replace(of, name, 1))
        (folder / f"{name}.atr").hardlink_to(folder / f"{of}.atr")


class Memory:
    """The peak of what this process holds, and of what any worker of Ray holds (MB), without shared memory.

    Beside it the seconds of the processor that the workers took, which other work on the machine changes little.
    """

    def __init__(self) -> None:
        self.here = self.worker = 0.0
        self.processor: dict[str, float] = {}
        threading.Thread(target=self._watch, daemon=True).start()

    def _watch(self) -> None:
        while True:
            self.here = max(self.here, _held("self"))
            mark = f"{MARK}={os.environ.get(MARK)}".encode()
            for folder in Path("/proc").glob("[0-9]*"):
                # A process may end meanwhile, or belong to another user.
                with suppress(OSError, KeyError):
                    name, environment = (folder / "comm").read_text(), (folder / "environ").read_bytes()
                    if name.startswith("ray::") and mark in environment.split(b"\0"):
                        self.worker = max(self.worker, _held(folder.name))
                        ticks = (folder / "stat").read_text().rpartition(")")[2].split()[11:13]
                        self.processor[folder.name] = sum(map(int, ticks)) / os.sysconf("SC_CLK_TCK")
            time.sleep(0.2)


def _held(process: str) -> float:
    fields = dict(line.split(":", 1) for line in Path(f"/proc/{process}/status").read_text().splitlines())
    return int(fields["RssAnon"].split()[0]) / 1024


def run_many(folder: Path, workers: int, model: str, settings: Score) -> dict[str, Any]:
    """Score a folder in this process."""
    from beatwise.scoring.many import score_folder

    memory, scorer = Memory(), load_scorer(model)
    began = time.perf_counter()
    with tempfile.TemporaryDirectory() as out:
        records, failed = score_folder(
            find_records(folder, settings.read), scorer, settings, RaySettings(cpus=workers), Path(out)
        )
    return {
        "seconds": time.perf_counter() - began,
        "beats": int(records["beats"].sum()),
        "failed": len(failed),
        "processor": sum(memory.processor.values()),
        "here": memory.here,
        "worker": memory.worker,
    }


def run_day(folder: Path, model: str, settings: Score) -> dict[str, Any]:
    """Read, score and write one recording in this process."""
    from beatwise.scoring.outputs import write_record
    from beatwise.scoring.score import score_record

    scorer = load_scorer(model)
    (read,) = find_records(folder, settings.read).values()
    with tempfile.TemporaryDirectory() as out:
        marks, processor = [time.perf_counter()], time.process_time()
        record = read()
        marks.append(time.perf_counter())
        scored = score_record(record, scorer, settings)
        marks.append(time.perf_counter())
        write_record(Path(out), record, scored, scorer, settings, alone=True)
        scored.beats.to_parquet(Path(out) / "beats.parquet")
        marks.append(time.perf_counter())
    times = dict(zip(("read", "score", "write"), np.diff(marks).tolist(), strict=True))
    processor = time.process_time() - processor
    peak = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / 1024
    return {**times, "processor": processor, "beats": len(scored.beats), "detector": scored.detector, "here": peak}


def measure(folder: Path, arguments: argparse.Namespace, workers: int) -> dict[str, Any]:
    """One run, in a process of its own."""
    options = ["--model", arguments.model, "--annotator", arguments.annotator]
    command = [sys.executable, "-m", "benchmarks.scoring", "--here", str(folder), "--workers", str(workers), *options]
    done = subprocess.run(
        [*command, *(["--day"] if arguments.day else [])], cwd=ROOT, capture_output=True, text=True, check=False
    )
    found = [line for line in done.stdout.splitlines() if line.startswith("RESULT")]
    if not found:
        raise SystemExit(f"The run failed:\n{done.stdout[-3000:]}\n{done.stderr[-3000:]}")
    return dict(json.loads(found[0].removeprefix("RESULT")))


def main() -> None:
    """Measure and print."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--records", type=int, nargs="+", default=[1, 10, 100, 1000])
    parser.add_argument("--workers", type=int, nargs="+", default=[1, 2])
    parser.add_argument("--day", action="store_true")
    parser.add_argument("--model", default=CHAMPION)
    parser.add_argument("--annotator", default="", help="take R peaks from these annotations (atr); else detect them")
    parser.add_argument("--here", type=Path, help=argparse.SUPPRESS)
    arguments = parser.parse_args()
    if arguments.here is not None:
        settings = Score(read=Read(annotator=arguments.annotator or None))
        one = (arguments.here, arguments.model, settings)
        found = run_day(*one) if arguments.day else run_many(one[0], arguments.workers[0], *one[1:])
        print("RESULT" + json.dumps(found))
        return
    if arguments.day:
        with tempfile.TemporaryDirectory() as scratch:
            synthesise(Path(scratch, "day"), 1, 48)
            Console().print(measure(Path(scratch, "day"), arguments, 1))
        return
    table = Table(
        "records", "workers", "seconds", "records a second", "processor s", "beats", "failed", "MB here", "MB a worker"
    )
    for n_records in arguments.records:
        for workers in arguments.workers:
            with tempfile.TemporaryDirectory() as scratch:
                synthesise(Path(scratch, "many"), n_records, 1)
                found = measure(Path(scratch, "many"), arguments, workers)
            rate, sizes = n_records / found["seconds"], (f"{found['here']:,.0f}", f"{found['worker']:,.0f}")
            processor = f"{found['processor']:.0f}"
            counts = (f"{found['beats']:,}", str(found["failed"]))
            table.add_row(
                f"{n_records:,}", str(workers), f"{found['seconds']:.0f}", f"{rate:.2f}", processor, *counts, *sizes
            )
    Console(width=120).print(table)


if __name__ == "__main__":
    main()
