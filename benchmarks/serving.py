"""Load on ``beatwise serve``: requests of one beat at a rate and as fast as they are answered.

Usage::

    python -m benchmarks.serving --model data/06_models/demo/baseline/scorer/<version>/scorer [--seconds 20]

The load comes from ``hey`` (https://github.com/rakyll/hey; ``apt-get install hey``), from the same machine. The server
is restarted before each row. Latencies are those that the client sees; processor is what the server computed for a
request, which other work on the machine changes less.
"""

from __future__ import annotations

import argparse
import io
import json
import os
import re
import shutil
import signal
import subprocess
import sys
import tempfile
import time
from pathlib import Path
from typing import Any
from urllib.request import urlopen

import numpy as np
import pandas as pd

from beatwise.runs.metadata import hardware

# Connections, and requests a second over all of them (None: as many as are answered).
LOADS = ((8, 200), (1, None), (8, None), (32, None))


def one_beat(address: str) -> dict[str, Any]:
    """A request of one random beat with all features at .8, as the server's model takes it."""
    model = json.load(urlopen(f"{address}/health"))
    beat = np.random.default_rng(0).random(model["shape"]).round(6).tolist()
    features = {name: [0.8] for name in model["features"]}
    return {"beats": [beat], **({"features": features} if features else {})}


def processor(process: int) -> float:
    """Seconds that a process has computed (Linux)."""
    fields = Path(f"/proc/{process}/stat").read_text(encoding="ascii").rpartition(")")[2].split()
    return (int(fields[11]) + int(fields[12])) / os.sysconf("SC_CLK_TCK")


def measure(model: Path, connections: int, rate: int | None, seconds: int, folder: Path) -> list[str]:
    """One row of the table: the load, and what came of it.

    Raises:
        RuntimeError: If the server does not start, or refuses a request.
    """
    command = [sys.executable, "-m", "beatwise", "serve", "--model", str(model), "--port=0"]
    with subprocess.Popen(command, stdout=subprocess.PIPE, stderr=subprocess.STDOUT, text=True) as server:
        try:
            assert server.stdout is not None
            said = ""
            while not (found := re.search(r"at (http://\S+:\d+) ", said)):
                if not (line := server.stdout.readline()):
                    raise RuntimeError(f"The server did not start:\n{said}")
                said += line
            body, address = folder / "beat.json", found[1]
            time.sleep(1)
            body.write_text(json.dumps(one_beat(address)), encoding="utf-8")
            hey = ["hey", "-m", "POST", "-T", "application/json", "-D", str(body), "-c", str(connections), "-o", "csv"]
            hey += ["-q", str(rate // connections)] if rate else []
            # The first requests warm the server up, and are not counted.
            subprocess.run([*hey, "-z", "2s", f"{address}/beats"], stdout=subprocess.DEVNULL, check=True)
            before = processor(server.pid)
            done = subprocess.run(
                [*hey, "-z", f"{seconds}s", f"{address}/beats"], stdout=subprocess.PIPE, text=True, check=True
            )
            used = processor(server.pid) - before
        finally:
            server.send_signal(signal.SIGINT)
    answers = pd.read_csv(io.StringIO(done.stdout))
    if refused := int((answers["status-code"] != 200).sum()):
        raise RuntimeError(f"{refused} of {len(answers)} requests were not answered with 200.")
    latency = np.percentile(answers["response-time"] * 1000, [50, 99, 100])
    per_second = len(answers) / answers["offset"].max()
    milliseconds = [f"{value:.1f}" for value in (*latency, used / len(answers) * 1000)]
    return [str(connections), "any" if rate is None else str(rate), f"{per_second:.0f}", *milliseconds]


def main() -> None:
    """Measure, and print a table."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--model", type=Path, required=True, help="folder of a scorer")
    parser.add_argument("--seconds", type=int, default=20, help="length of a row (default: 20)")
    given = parser.parse_args()
    if shutil.which("hey") is None:
        sys.exit("The load comes from hey: apt-get install hey")
    machine = hardware()
    print(f"{machine.cpu}, {machine.cores} cores, load {os.getloadavg()[0]:.1f}\n")
    print(
        "| connections | asked a second | answered a second | median (ms) | p99 (ms) | longest (ms) | processor (ms) |"
    )
    print("|" + "---:|" * 7)
    with tempfile.TemporaryDirectory() as folder:
        for connections, rate in LOADS:
            row = measure(given.model, connections, rate, given.seconds, Path(folder))
            print("|", " | ".join(row), "|", flush=True)


if __name__ == "__main__":
    main()
