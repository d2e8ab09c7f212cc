"""How long the threads of a training spin while they wait for each other."""

from __future__ import annotations

import os
import subprocess
import sys

import pytest

SHOWN = "import os, beatwise; print(os.environ.get('GOMP_SPINCOUNT'))"


@pytest.mark.parametrize(
    ("given", "spins"),
    [({}, "10000"), ({"GOMP_SPINCOUNT": "7"}, "7"), ({"OMP_WAIT_POLICY": "ACTIVE"}, "None")],
)
def test_threads_spin_briefly_unless_the_user_says_otherwise(given: dict[str, str], spins: str) -> None:
    environment = {
        name: value for name, value in os.environ.items() if name not in ("GOMP_SPINCOUNT", "OMP_WAIT_POLICY")
    }
    command = [sys.executable, "-c", SHOWN]
    shown = subprocess.run(command, env={**environment, **given}, capture_output=True, text=True, check=True).stdout
    assert shown.strip() == spins
