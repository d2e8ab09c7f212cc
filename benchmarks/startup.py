"""Start-up times of commands: ``kedro --help``, and ``kedro run`` up to its first output and its first node.

Usage::

    python -m benchmarks.startup [--runs 5]

Each command runs in a process of its own, in a fresh copy of the project with the bundled sample; the commands take
turns. Beside seconds stand those of the processor, which other work on the machine changes less, and multiples of two
things that Beatwise cannot make faster: ``kedro --help`` outside any project, and ``import mlflow``.
"""

from __future__ import annotations

import argparse
import os
import re
import resource
import shutil
import signal
import statistics
import subprocess
import sys
import tempfile
import time
from collections.abc import Iterator
from pathlib import Path

from beatwise.runs.metadata import hardware

ROOT = Path(__file__).parents[1]
KEDRO = (sys.executable, "-m", "kedro")
FIRST_NODE = re.compile(r"\b1/\d+ ")
BARE, MLFLOW = "kedro --help outside a project", "import mlflow"
# Command, and whether it runs inside the project.
WHOLE = {
    BARE: ((*KEDRO, "--help"), False),
    MLFLOW: ((sys.executable, "-c", "import mlflow"), False),
    "kedro --help": ((*KEDRO, "--help"), True),
    "kedro registry list": ((*KEDRO, "registry", "list"), True),
}
RUNS = {
    "kedro run --env=test --pipeline=ingest": (*KEDRO, "run", "--env=test", "--pipeline=ingest"),
    "kedro run": (*KEDRO, "run"),
}


# Seconds, and seconds of the processor.
Taken = tuple[float, float | None]


def processor() -> float:
    """Seconds that ended child processes have computed."""
    used = resource.getrusage(resource.RUSAGE_CHILDREN)
    return used.ru_utime + used.ru_stime


def whole_command(command: tuple[str, ...], folder: Path) -> Taken:
    """Seconds until a command has ended."""
    began, before = time.perf_counter(), processor()
    subprocess.run(command, cwd=folder, stdout=subprocess.DEVNULL, check=True)
    return time.perf_counter() - began, processor() - before


def up_to_first_node(command: tuple[str, ...], folder: Path) -> tuple[Taken, Taken]:
    """Seconds until a run shows something, and until it names its first node; it is killed then.

    Raises:
        RuntimeError: If it ends before that.
    """
    began, before = time.perf_counter(), processor()
    run = subprocess.Popen(
        command, cwd=folder, stdout=subprocess.PIPE, stderr=subprocess.STDOUT, text=True, start_new_session=True
    )
    assert run.stdout is not None
    first, shown = 0.0, ""
    for line in run.stdout:
        first = first or time.perf_counter() - began
        if FIRST_NODE.search(line):
            seconds = time.perf_counter() - began
            os.killpg(run.pid, signal.SIGKILL)
            run.wait()
            return (first, None), (seconds, processor() - before)
        shown += line
    raise RuntimeError(f"{' '.join(command)} ended before its first node:\n{shown}")


def measure(project: Path, elsewhere: Path) -> Iterator[tuple[str, Taken]]:
    """Each command once: what was timed, and seconds."""
    for name, (command, inside) in WHOLE.items():
        yield name, whole_command(command, project if inside else elsewhere)
    for name, command in RUNS.items():
        first, node = up_to_first_node(command, project)
        yield f"{name}: first output", first
        yield f"{name}: first node", node


def copy_project(folder: Path) -> Path:
    """A copy of configuration and sample that is a project of its own."""
    for name in ("conf", "data/01_raw/demo"):
        shutil.copytree(ROOT / name, folder / name, ignore=shutil.ignore_patterns("records"))
    shutil.copy(ROOT / "pyproject.toml", folder)
    (folder / "src").mkdir()
    return folder


def main() -> None:
    """Measure, and print a table."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--runs", type=int, default=5, help="how often each command runs (default: 5)")
    runs = parser.parse_args().runs
    os.environ.update({"DO_NOT_TRACK": "1", "PYTHONPATH": os.pathsep.join([str(ROOT / "src"), *sys.path])})
    taken: dict[str, list[Taken]] = {}
    with tempfile.TemporaryDirectory() as scratch:
        project = copy_project(Path(scratch, "project"))
        (elsewhere := Path(scratch, "elsewhere")).mkdir()
        # The first round fills the disk's cache, and is not counted.
        for number in range(runs + 1):
            for name, seconds in measure(project, elsewhere):
                taken.setdefault(name, []).extend([seconds] if number else [])
    machine = hardware()
    print(f"{runs} runs each; {machine.cpu}, {machine.cores} cores, load {os.getloadavg()[0]:.1f}\n")
    walls = {name: [wall for wall, _ in times] for name, times in taken.items()}
    medians = {name: statistics.median(times) for name, times in walls.items()}
    print("| | median (s) | min | max | processor, min | × bare kedro | × import mlflow |\n|---|" + "---:|" * 6)
    for name, times in walls.items():
        computed = [used for _, used in taken[name] if used is not None]
        values = [medians[name], min(times), max(times), *([min(computed)] if computed else [])]
        ratios = [f"{medians[name] / medians[base]:.1f}" for base in (BARE, MLFLOW)]
        print("|", " | ".join([name, *(f"{value:.2f}" for value in values), *([] if computed else [""]), *ratios]), "|")


if __name__ == "__main__":
    main()
