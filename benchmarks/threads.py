"""Seconds of a training step on two threads, alone and beside a busy core: ``python -m benchmarks.threads``.

The threads of a training wait for each other at every step, and spin for a while before they sleep. Where another
process keeps a core busy, a thread that spins takes the time of the one that it waits for. GNU's OpenMP reads how long
they spin when PyTorch is imported, so each setting has a process of its own; settings take turns, round by round.

Anything else that the machine does makes the training look slower, never faster: the shortest of the rounds counts.
"""

from __future__ import annotations

import argparse
import multiprocessing
import os
import statistics
import subprocess
import sys
import time
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

from beatwise.runs.metadata import hardware

THREADS, BATCH, SAMPLES, CLASSES = 2, 128, 187, 5
WARM_UP = 5
# A process that is forked from one with threads may hang.
CONTEXT = multiprocessing.get_context("spawn")
VARIABLES = ("OMP_WAIT_POLICY", "GOMP_SPINCOUNT")
SETTINGS: dict[str, dict[str, str]] = {
    "GNU's default": {},
    **{f"GOMP_SPINCOUNT={n}": {"GOMP_SPINCOUNT": str(n)} for n in (100, 1_000, 3_000, 10_000, 30_000, 100_000)},
    "OMP_WAIT_POLICY=PASSIVE": {"OMP_WAIT_POLICY": "PASSIVE"},
    "one thread": {"OMP_NUM_THREADS": "1"},
}


def seconds_per_step(model: str, steps: int) -> float:
    """The median time of a training step, in this process."""
    import torch

    from beatwise.networks.zoo import build_model

    torch.manual_seed(0)
    network = build_model(model, input_shape=(1, SAMPLES), n_outputs=CLASSES, n_aux=0)
    optimizer = torch.optim.AdamW(network.parameters(), fused=True)
    x, aux, y = torch.rand(BATCH, 1, SAMPLES), torch.empty(BATCH, 0), torch.randint(CLASSES, (BATCH,))
    taken = []
    for _ in range(WARM_UP + steps):
        began = time.perf_counter()
        optimizer.zero_grad(set_to_none=True)
        torch.autograd.backward(torch.nn.functional.cross_entropy(network(x, aux), y))
        optimizer.step()
        taken.append(time.perf_counter() - began)
    return statistics.median(taken[WARM_UP:])


def measured(models: list[str], setting: dict[str, str], steps: int) -> dict[tuple[str, int], float]:
    """Seconds of a step by model and number of busy cores, in a new process with a setting of OpenMP."""
    environment = {name: value for name, value in os.environ.items() if name not in VARIABLES}
    run = subprocess.run(
        [sys.executable, "-m", "benchmarks.threads", "--here", "--models", *models, "--steps", str(steps)],
        env={**environment, "OMP_NUM_THREADS": str(THREADS), **setting},
        capture_output=True,
        text=True,
        check=True,
    )
    rows = (line.split() for line in run.stdout.splitlines())
    return {(model, int(busy)): float(seconds) for model, busy, seconds in rows}


def measure_here(models: list[str], steps: int) -> None:
    """Measure in this process, and print a line for each model, alone and beside a busy core."""
    for model in models:
        for busy in (0, 1):
            with busy_cores(busy):
                print(model, busy, seconds_per_step(model, steps))


def _spin() -> None:
    # As a program in another terminal. Linux shares the processor between sessions first; the priority of the
    # benchmark's own session is kept: `setsid bash -c "echo -20 > /proc/self/autogroup; python -m benchmarks.threads"`
    # keeps other work away from it.
    group = Path("/proc/self/autogroup")
    if group.exists():
        nice = group.read_text(encoding="ascii").split()[-1]
        os.setsid()
        group.write_text(nice, encoding="ascii")
    while True:
        pass


@contextmanager
def busy_cores(n: int) -> Iterator[None]:
    """Keep cores busy in this block."""
    processes = [CONTEXT.Process(target=_spin, daemon=True) for _ in range(n)]
    for process in processes:
        process.start()
    try:
        yield
    finally:
        for process in processes:
            process.kill()


def main() -> None:
    """Measure, and print a table as Markdown."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--models", nargs="+", default=["cnn1d", "resnet1d"])
    parser.add_argument("--settings", nargs="+", default=list(SETTINGS), help="some of the rows")
    parser.add_argument("--rounds", type=int, default=5)
    parser.add_argument("--steps", type=int, default=40, help="steps of a round, of which the median counts")
    parser.add_argument("--here", action="store_true", help="measure in this process, with the setting that it has")
    given = parser.parse_args()
    if given.here:
        measure_here(given.models, given.steps)
        return
    found: dict[tuple[str, str, int], list[float]] = {}
    for number in range(given.rounds):
        for name in given.settings:
            for (model, busy), seconds in measured(given.models, SETTINGS[name], given.steps).items():
                found.setdefault((name, model, busy), []).append(seconds)
        print(f"round {number + 1} of {given.rounds}", file=sys.stderr)
    machine = hardware()
    print(f"{machine.cpu}, {machine.cores} cores; ms a step, the shortest of {given.rounds} rounds\n")
    print("| setting |" + "".join(f" {model}, alone | {model}, beside a busy core |" for model in given.models))
    print("|---|" + "---|---|" * len(given.models))
    for name in given.settings:
        cells = [f" {1000 * min(found[name, model, busy]):.2f} |" for model in given.models for busy in (0, 1)]
        print(f"| {name} |" + "".join(cells))


if __name__ == "__main__":
    main()
