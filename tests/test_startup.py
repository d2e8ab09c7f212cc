"""Commands import what they need and nothing else: a second spent on imports is spent on every command."""

from __future__ import annotations

import subprocess
import sys
from importlib.util import find_spec

import pytest

from tests.conftest import ROOT

# Each of them takes a third of a second or more.
SLOW = {"matplotlib", "mlflow", "numpy", "pandas", "plotly", "ray", "scipy", "sklearn", "torch"}


@pytest.mark.parametrize(
    ("command", "forbidden"),
    [
        (["--help"], {*SLOW, "beatwise.params"}),
        (["run", "--help"], {*SLOW, "beatwise.params"}),
        # Functions of nodes name tables and arrays in their signatures.
        (["registry", "list"], SLOW - {"matplotlib", "numpy", "pandas", "plotly"}),
    ],
)
def test_a_command_imports_nothing_slow_that_it_does_not_need(command: list[str], forbidden: set[str]) -> None:
    if find_spec("kedro_mlflow"):
        pytest.skip("kedro-mlflow is installed, which imports MLflow for every command")
    done = subprocess.run(
        [sys.executable, "-X", "importtime", "-m", "kedro", *command],
        cwd=ROOT,
        capture_output=True,
        text=True,
        check=True,
    )
    imported = {line.rpartition("|")[2].strip() for line in done.stderr.splitlines()}
    assert "beatwise.hooks" in imported
    assert sorted(imported & forbidden) == []
