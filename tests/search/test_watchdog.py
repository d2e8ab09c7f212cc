"""What a killed process has started ends with it."""

from __future__ import annotations

import os
import subprocess
import sys
import time
from collections.abc import Iterator
from contextlib import contextmanager

import pytest

from beatwise.core.files import is_alive

SLEEPING = """
import subprocess, sys, time
from beatwise.search.watchdog import watched
def sleep():
    return subprocess.Popen([sys.executable, "-c", "import time; time.sleep(600)"], start_new_session=True).pid
before = sleep()
with watched():
    inside = sleep()
    print(before, inside, flush=True)
    time.sleep(600)
"""
BY_RAY = """
import os, time
from beatwise.search.engine import started_ray
from beatwise.search.settings import RaySettings
with started_ray(RaySettings(cpus=2)) as ray:
    @ray.remote(num_cpus=1)
    def job():
        return os.getpid()
    workers = ray.get([job.remote() for _ in range(2)])
    print(os.environ["BEATWISE_WATCHED"], flush=True)
    time.sleep(600)
"""
SECONDS = 10


@contextmanager
def killed_at_the_end(program: str) -> Iterator[list[str]]:
    """Run a program and give the words of the first line that it prints; the block's end kills the program."""
    process = subprocess.Popen([sys.executable, "-c", program], stdout=subprocess.PIPE, text=True)
    try:
        assert process.stdout is not None
        yield process.stdout.readline().split()
    finally:
        process.kill()
        process.wait()


def runs(pid: int) -> bool:
    """Whether a process runs; one that nobody has waited for does not."""
    if not is_alive(pid):
        return False
    with open(f"/proc/{pid}/stat", encoding="utf-8") as file:
        return file.read().rpartition(")")[2].split()[0] != "Z"


@pytest.mark.skipif(sys.platform != "linux", reason="processes are marked on Linux alone")
def test_only_what_was_started_under_watch_is_killed() -> None:
    with killed_at_the_end(SLEEPING) as words:
        before, inside = map(int, words)
        assert runs(inside)
    deadline = time.monotonic() + SECONDS
    while runs(inside):
        assert time.monotonic() < deadline
        time.sleep(0.05)
    assert runs(before)
    os.kill(before, 9)


def marked(token: str) -> list[str]:
    found = []
    for pid in filter(str.isdecimal, os.listdir("/proc")):
        try:
            with open(f"/proc/{pid}/environ", "rb") as file:
                if f"BEATWISE_WATCHED={token}".encode() in file.read():
                    found.append(pid)
        except OSError:
            continue
    return found


@pytest.mark.slow
@pytest.mark.skipif(sys.platform != "linux", reason="processes are marked on Linux alone")
def test_the_processes_of_ray_are_gone_ten_seconds_after_their_driver_was_killed() -> None:
    with killed_at_the_end(BY_RAY) as (token,):
        assert marked(token)
    time.sleep(SECONDS)
    assert marked(token) == []
