"""Jobs and searches on a real cluster of two nodes, which are two Rays on this machine with an address each."""

from __future__ import annotations

import json
import os
import secrets
import shutil
import signal
import socket
import subprocess
import sys
import tempfile
import time
from collections.abc import Callable, Iterator
from contextlib import suppress
from pathlib import Path
from typing import NamedTuple

import pytest
import yaml

from tests.conftest import copy_project

pytestmark = pytest.mark.slow
Start = Callable[..., subprocess.Popen[str]]

# What a machine that joins the cluster runs; it says which node did which job as soon as it knows.
JOBS = 12
DRIVER = """
import sys
import time
from pathlib import Path

import ray.cloudpickle

from beatwise.search.settings import RaySettings
from beatwise.search.engine import run_jobs


def node(seconds, seen):
    import ray

    mine = ray.get_runtime_context().get_node_id()
    (Path(seen) / mine).touch()
    # A node that is slow to begin is waited for: else the other one might do all jobs alone.
    until = time.monotonic() + 120
    while len(list(Path(seen).iterdir())) < 2 and time.monotonic() < until:
        time.sleep(0.05)
    time.sleep(seconds)
    return mine


ray.cloudpickle.register_pickle_by_value(sys.modules[__name__])
jobs = {str(i): float(sys.argv[3]) for i in range(int(sys.argv[2]))}
for key, outcome in run_jobs(node, jobs, sys.argv[4], RaySettings(address=sys.argv[1], cpus=7)):
    print(key, outcome, flush=True)
"""


@pytest.fixture
def start(tmp_path: Path) -> Iterator[Start]:
    """Start a process with a process group of its own; all are killed in the end, with what they have started."""
    started: list[subprocess.Popen[str]] = []
    environment = {name: value for name, value in os.environ.items() if not name.startswith("RAY_")}
    environment |= {"RAY_AUTH_MODE": "token", "RAY_AUTH_TOKEN": secrets.token_hex(32)}

    def start(*command: str | Path, log: str | None = None, cwd: Path | None = None) -> subprocess.Popen[str]:
        output = subprocess.PIPE if log is None else (tmp_path / log).open("w")
        process = subprocess.Popen(
            [str(word) for word in command],
            stdout=output,
            stderr=subprocess.STDOUT,
            text=True,
            start_new_session=True,
            env=environment,
            cwd=cwd,
        )
        started.append(process)
        return process

    yield start
    for process in reversed(started):
        kill(process)


def kill(process: subprocess.Popen[str]) -> None:
    """End a process and its whole group at once, as a machine that goes down does."""
    with suppress(ProcessLookupError):
        os.killpg(process.pid, signal.SIGKILL)
    process.wait()


@pytest.fixture
def address(start: Start, tmp_path: Path) -> Iterator[str]:
    """The address of the head of a cluster with one core."""
    with socket.socket() as free:
        free.bind(("127.0.0.1", 0))
        port = free.getsockname()[1]
    # The paths of Ray's sockets must be short.
    folder = tempfile.mkdtemp(prefix="ray-", dir="/tmp")
    ray = Path(sys.executable).with_name("ray")
    options = ("--num-cpus=1", "--include-dashboard=false", "--disable-usage-stats", f"--temp-dir={folder}", "--block")
    head = start(ray, "start", "--head", f"--port={port}", *options, log="head.log")
    wait_until_started(head, tmp_path / "head.log")
    yield f"127.0.0.1:{port}"
    shutil.rmtree(folder, ignore_errors=True)


def wait_until_started(ray: subprocess.Popen[str], log: Path) -> None:
    wait_until(lambda: "Ray runtime started" in log.read_text(), ray, log, 300)


def wait_until(condition: Callable[[], bool], process: subprocess.Popen[str], log: Path, seconds: float) -> None:
    """Wait for something that a process is to bring about, and show its log where it does not."""
    until = time.monotonic() + seconds
    while not condition():
        assert process.poll() is None, log.read_text()
        assert time.monotonic() < until, log.read_text()
        time.sleep(0.2)


@pytest.fixture
def second(start: Start, address: str, tmp_path: Path) -> subprocess.Popen[str]:
    """A second node with one core, which has joined the cluster."""
    ray = Path(sys.executable).with_name("ray")
    options = ("--num-cpus=1", "--disable-usage-stats", "--block")
    node = start(ray, "start", f"--address={address}", "--node-ip-address=127.0.0.2", *options, log="second.log")
    wait_until_started(node, tmp_path / "second.log")
    return node


@pytest.fixture
def driver(start: Start, address: str, second: subprocess.Popen[str], tmp_path: Path) -> subprocess.Popen[str]:
    """What hands a dozen jobs of half a second to the cluster."""
    (tmp_path / "driver.py").write_text(DRIVER)
    (tmp_path / "seen").mkdir()
    return start(sys.executable, tmp_path / "driver.py", address, str(JOBS), "0.5", tmp_path / "seen")


def lines(driver: subprocess.Popen[str]) -> Iterator[tuple[str, str]]:
    """Key and node of every job as it ends."""
    assert driver.stdout is not None
    for line in driver.stdout:
        key, _, outcome = line.strip().partition(" ")
        if key.isdecimal():
            yield key, outcome
        else:
            sys.stderr.write(line)  # shown where the test fails


def test_jobs_run_on_every_node_and_those_of_one_that_goes_down_are_done_by_the_others(
    driver: subprocess.Popen[str], second
) -> None:
    nodes = {}
    for key, node in lines(driver):
        nodes[key] = node
        if len(set(nodes.values())) == 2 and second.poll() is None:
            kill(second)
    assert driver.wait() == 0
    assert second.returncode is not None
    assert set(nodes) == {str(i) for i in range(JOBS)}
    assert not any("Failure" in node for node in nodes.values())
    assert len(set(nodes.values())) == 2


# `kedro run`, of which every trial waits after its first epoch until a node has gone down. Each epoch that has ended
# leaves a file `trial-epoch-node-process`.
SEARCH_DRIVER = """
import os
import sys
import time
from pathlib import Path

import ray.cloudpickle
from kedro.framework.cli.cli import main

from beatwise.search import tuner

seen = Path(sys.argv.pop(1))


class Waiting(tuner.TrialTrainable):
    def step(self):
        import ray

        result = super().step()
        (seen / f"{self.trial_id}-{result['epoch']}-{ray.util.get_node_ip_address()}-{os.getpid()}").touch()
        until = time.monotonic() + 600
        while not (seen / "down").exists() and time.monotonic() < until:
            time.sleep(0.05)
        return result


ray.cloudpickle.register_pickle_by_value(sys.modules[__name__])
tuner.TrialTrainable = Waiting
main()
"""
TRIALS, EPOCHS = 4, 3
SEARCH = {
    "tune": {
        "use": "small",
        "small": {
            "space": {"train": {"learning_rate": {"loguniform": [1e-3, 1e-2]}}},
            "algorithm": {"use": "random"},
            "scheduler": {"use": "none"},
            "trials": TRIALS,
            "epochs": EPOCHS,
        },
        "models": {"cnn1d": {}},
    },
    "model": {"use": "cnn1d"},
    "train": {"epochs": 1, "steps_per_epoch": 5},
    "evaluate": {"bootstrap_draws": 20},
}


def test_a_search_runs_on_both_nodes_and_loses_no_trial_with_one_of_them(
    start: Start, address: str, second: subprocess.Popen[str], tmp_path: Path
) -> None:
    (tmp_path / "project").mkdir()
    project = copy_project(tmp_path / "project")
    (project / "conf/test/parameters.yml").write_text(yaml.safe_dump({**SEARCH, "ray": {"address": address}}))
    (tmp_path / "driver.py").write_text(SEARCH_DRIVER)
    seen = tmp_path / "seen"
    seen.mkdir()
    options = ("run", "--pipeline=tune", "--env=test", "--to-outputs=tuned.metrics")
    run = start(sys.executable, tmp_path / "driver.py", seen, *options, log="run.log", cwd=project)
    wait_until(lambda: len(epochs_ended(seen)) >= 2, run, tmp_path / "run.log", 600)
    (lost,) = (epoch for epoch in epochs_ended(seen) if epoch.node == "127.0.0.2")
    kill(second)
    # Where Ray puts its processes into groups of their own.
    with suppress(ProcessLookupError):
        os.kill(lost.process, signal.SIGKILL)
    (seen / "down").touch()
    assert run.wait(timeout=900) == 0, (tmp_path / "run.log").read_text()
    (searched,) = (project / "data/06_models/test/searches").glob("*/search.json")
    trials = [json.loads(path.read_text()) for path in sorted(searched.parent.glob("trial-*.json"))]
    assert [(trial["number"], trial["status"]) for trial in trials] == [(n, "finished") for n in range(TRIALS)]
    for trial in trials:
        assert [epoch["epoch"] for epoch in trial["epochs"]] == [*range(1, EPOCHS + 1)]
    # What the lost node had begun was ended by the other one.
    (last,) = (epoch for epoch in epochs_ended(seen) if (epoch.trial, epoch.epoch) == (lost.trial, EPOCHS))
    assert last.node != lost.node
    assert list((project / "data/07_model_output/test/tuned/metrics.json").glob("*/metrics.json"))


class Epoch(NamedTuple):
    """An epoch of a trial, with the address of its node and its process."""

    trial: str
    epoch: int
    node: str
    process: int


def epochs_ended(seen: Path) -> list[Epoch]:
    """What the trials have written down."""
    files = (path.name.split("-") for path in seen.glob("*-*"))
    return [Epoch(trial, int(epoch), node, int(process)) for trial, epoch, node, process in files]
