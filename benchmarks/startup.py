"""How long commands take to start: ``kedro --help``, and ``kedro run`` up to its first output and its first node.

Usage::

    python -m benchmarks.startup [--runs 5]

Each command runs in a process of its own, in a fresh copy of the project with the bundled sample; the commands take
turns. Kedro imports kedro-mlflow for every command, and with it MLflow: ``kedro --help`` is timed with the plugin and
without it. Beside seconds stand multiples of two things that Beatwise cannot make faster: ``kedro --help`` outside any
project, and ``import mlflow``. They hold on other machines too; seconds hold for an idle machine like the one that is
named.
"""

from __future__ import annotations

import argparse
import os
import re
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
# Kedro's command where kedro-mlflow is not among the plugins.
WITHOUT_PLUGIN = """
from kedro.framework.cli import utils
found = utils._get_entry_points
utils._get_entry_points = lambda name: [point for point in found(name) if point.dist.name != "kedro_mlflow"]
from kedro.framework.cli.cli import main
main()
"""
# Command, and whether it runs inside the project.
WHOLE = {
    BARE: ((*KEDRO, "--help"), False),
    MLFLOW: ((sys.executable, "-c", "import mlflow"), False),
    "kedro --help": ((*KEDRO, "--help"), True),
    "kedro --help without kedro-mlflow": ((sys.executable, "-c", WITHOUT_PLUGIN, "--help"), True),
    "kedro registry list": ((*KEDRO, "registry", "list"), True),
}
RUNS = {
    "kedro run --env=test --pipeline=ingest": (*KEDRO, "run", "--env=test", "--pipeline=ingest"),
    "kedro run": (*KEDRO, "run"),
}


def whole_command(command: tuple[str, ...], folder: Path) -> float:
    """Seconds until a command has ended."""
    began = time.perf_counter()
    subprocess.run(command, cwd=folder, stdout=subprocess.DEVNULL, check=True)
    return time.perf_counter() - began


def up_to_first_node(command: tuple[str, ...], folder: Path) -> tuple[float, float]:
    """Seconds until a run shows something, and until it names its first node; it is killed then.

    Raises:
        RuntimeError: If it ends before that.
    """
    began = time.perf_counter()
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
            return first, seconds
        shown += line
    raise RuntimeError(f"{' '.join(command)} ended before its first node:\n{shown}")


def measure(project: Path, elsewhere: Path) -> Iterator[tuple[str, float]]:
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
    taken: dict[str, list[float]] = {}
    with tempfile.TemporaryDirectory() as scratch:
        project = copy_project(Path(scratch, "project"))
        (elsewhere := Path(scratch, "elsewhere")).mkdir()
        # The first round fills the disk's cache, and is not counted.
        for number in range(runs + 1):
            for name, seconds in measure(project, elsewhere):
                taken.setdefault(name, []).extend([seconds] if number else [])
    machine = hardware()
    print(f"{runs} runs each; {machine.cpu}, {machine.cores} cores, load {os.getloadavg()[0]:.1f}\n")
    medians = {name: statistics.median(seconds) for name, seconds in taken.items()}
    print("| | median (s) | min | max | × bare kedro | × import mlflow |\n| --- | ---: | ---: | ---: | ---: | ---: |")
    for name, times in taken.items():
        ratios = [f"{medians[name] / medians[base]:.1f}" for base in (BARE, MLFLOW)]
        values = [f"{value:.2f}" for value in (medians[name], min(times), max(times))]
        print("|", " | ".join([name, *values, *ratios]), "|")


if __name__ == "__main__":
    main()
