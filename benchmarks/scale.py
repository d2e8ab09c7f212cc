"""Seconds and peak memory of every node as the table grows: `python -m benchmarks.scale [--times 1 4 10 40]`.

The Kaggle MIT-BIH set is repeated, each repetition with noise of its own so that no beat equals another, and a baseline
of cnn1d is trained for one epoch of 200 steps, from raw beats to report. Each size runs in a process of its own. Peak
memory is what the process itself holds (VmRSS less the pages of mapped files, which the system takes
back when it needs them), measured 50 times a second.
"""

from __future__ import annotations

import argparse
import json
import os
import subprocess
import sys
import tempfile
import threading
import time
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
import pyarrow as pa
import pyarrow.parquet as pq
from rich.console import Console
from rich.table import Table

from beatwise.ecg.beats import signal_columns

ROOT = Path(__file__).parents[1]
PARTS = {"train": "heart_big_train.parq", "test": "heart_big_test.parq"}
PARAMETERS = {
    "model": {"use": "cnn1d"},
    "train": {"epochs": 1, "steps_per_epoch": 200},
}


def grow(source: Path, target: Path, times: int, seed: int) -> int:
    """Write a table so many times below itself, with noise; returns its rows."""
    table = pd.read_parquet(source)
    columns = signal_columns(table.columns)
    values = table[columns].to_numpy(np.float32)
    rng = np.random.default_rng(seed)
    writer: pq.ParquetWriter | None = None
    for copy in range(times):
        noise = rng.normal(0, 0.002, values.shape).astype(np.float32) if copy else np.float32(0)
        # Padding stays padding.
        noisy = np.where(values != 0, np.clip(values + noise, 1e-6, 1), 0).astype(np.float32)
        grown = pa.Table.from_pandas(pd.DataFrame(noisy, columns=columns).assign(target=table["target"]))
        writer = writer or pq.ParquetWriter(target, grown.schema, compression="none")
        writer.write_table(grown)
    assert writer is not None
    writer.close()
    return len(table) * times


def resident() -> float:
    """Memory of this process without mapped files (MB)."""
    fields = dict(line.split(":", 1) for line in Path("/proc/self/status").read_text().splitlines())
    return (int(fields["VmRSS"].split()[0]) - int(fields["RssFile"].split()[0])) / 1024


class Meter:
    """A hook that notes how long each node takes, with loading and saving, and the peak of memory meanwhile."""

    def __init__(self) -> None:
        self.nodes: dict[str, tuple[float, float]] = {}
        self.peak, self.over = 0.0, False
        threading.Thread(target=self._watch, daemon=True).start()

    def _watch(self) -> None:
        while not self.over:
            self.peak = max(self.peak, resident())
            time.sleep(0.02)

    def begin(self) -> None:
        """Start with the next node."""
        self.started, self.peak = time.perf_counter(), resident()

    def end(self, name: str) -> None:
        """Write the node down."""
        self.nodes[name] = (time.perf_counter() - self.started, self.peak)


def run_here(folder: Path) -> None:
    """Run the baseline on what lies in a folder, and print what each node took as JSON."""
    os.environ["BEATWISE_DATA"] = str(folder)
    os.chdir(folder / "project")
    from kedro.framework.session import KedroSession
    from kedro.framework.startup import bootstrap_project
    from kedro.runner import SequentialRunner, Task

    meter = Meter()
    execute = Task.execute

    def measured(task: Any) -> Any:
        meter.begin()
        done = execute(task)
        meter.end(task.node.name)
        return done

    Task.execute = measured
    bootstrap_project(folder / "project")
    began = time.perf_counter()
    with KedroSession.create(folder / "project", env="mitbih", runtime_params=PARAMETERS) as session:
        session.run(pipeline_names=["train"], runner=SequentialRunner())
    meter.over = True
    print("RESULT" + json.dumps({"nodes": meter.nodes, "seconds": time.perf_counter() - began}))


def measure(times: int, scratch: Path, source: Path) -> dict[str, Any]:
    """One size, in a process of its own."""
    folder = scratch / str(times)
    (folder / "heartbeat").mkdir(parents=True)
    (folder / "project/src").mkdir(parents=True)
    rows = sum(grow(source / name, folder / "heartbeat" / name, times, i) for i, name in enumerate(PARTS.values()))
    for name in ("conf", "pyproject.toml", ".telemetry"):
        (folder / "project" / name).symlink_to(ROOT / name)
    command = [sys.executable, "-m", "benchmarks.scale", "--here", str(folder)]
    done = subprocess.run(command, cwd=ROOT, capture_output=True, text=True, check=False)
    found = [line for line in done.stdout.splitlines() if line.startswith("RESULT")]
    if not found:
        raise SystemExit(f"The run at {times} times the rows failed:\n{done.stdout[-3000:]}\n{done.stderr[-3000:]}")
    return {"rows": rows, **json.loads(found[0].removeprefix("RESULT"))}


def main() -> None:
    """Measure and print."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--times", type=int, nargs="+", default=[1, 4, 10, 40])
    parser.add_argument("--here", type=Path, help=argparse.SUPPRESS)
    arguments = parser.parse_args()
    if arguments.here is not None:
        run_here(arguments.here)
        return
    source = Path(os.environ.get("BEATWISE_DATA", "data/01_raw")).absolute() / "heartbeat"
    if not all((source / name).is_file() for name in PARTS.values()):
        raise SystemExit(f"No {' and '.join(PARTS.values())} in {source}: name the folder above in BEATWISE_DATA.")
    found = {}
    for times in arguments.times:
        with tempfile.TemporaryDirectory(dir=os.environ.get("TMPDIR")) as scratch:
            found[times] = measure(times, Path(scratch), source)
    table = Table("node", *(f"{times}× s" for times in found), *(f"{times}× MB" for times in found))
    for name in next(iter(found.values()))["nodes"]:
        cells = [one["nodes"].get(name, (0, 0)) for one in found.values()]
        table.add_row(name, *(f"{seconds:.1f}" for seconds, _ in cells), *(f"{peak:,.0f}" for _, peak in cells))
    table.add_row(
        "whole run",
        *(f"{one['seconds']:.0f}" for one in found.values()),
        *(f"{max(peak for _, peak in one['nodes'].values()):,.0f}" for one in found.values()),
    )
    for times, one in found.items():
        Console().print(f"{times}×: {one['rows']:,} beats")
    Console().print(table)


if __name__ == "__main__":
    main()
