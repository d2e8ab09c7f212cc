"""Ends what a killed process leaves running: some processes of Ray outlive it by a minute.

The watchdog is a process of its own, which runs this file alone. It reads from a pipe that only the watched process
holds, and the system closes that pipe however the process ends. What the process has started carries a mark in its
environment, by which Linux finds it; other systems know no such marks, and Ray is left to itself there.
"""

from __future__ import annotations

import os
import secrets
import signal
import subprocess
import sys
import time
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from pathlib import Path
from typing import Final

MARK: Final = "BEATWISE_WATCHED"
# A process that is just being started may show up after the others are gone.
ROUNDS: Final = 10
PAUSE: Final = 0.2


@contextmanager
def watched() -> Iterator[None]:
    """If this process is killed in this block, kill everything that it has started since the block began."""
    token = secrets.token_hex(8)
    command = [sys.executable, "-I", __file__, f"{MARK}={token}"]
    # Its own session, because Ctrl-C is meant for the run.
    watchdog = subprocess.Popen(command, stdin=subprocess.PIPE, start_new_session=True)
    os.environ[MARK] = token
    try:
        yield
    finally:
        os.environ.pop(MARK, None)
        watchdog.kill()
        watchdog.wait()


def _kill_marked(mark: str) -> None:
    for folder in Path("/proc").glob("[0-9]*"):
        with suppress(OSError):
            if mark.encode() in (folder / "environ").read_bytes().split(b"\0"):
                os.kill(int(folder.name), signal.SIGKILL)


if __name__ == "__main__":
    sys.stdin.read()
    for _ in range(ROUNDS):
        _kill_marked(sys.argv[1])
        time.sleep(PAUSE)
