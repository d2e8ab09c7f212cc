"""Commands import what they need and nothing else: a second spent on imports is spent on every command."""

from __future__ import annotations

import subprocess
import sys

import pytest

from tests.conftest import ROOT

# Each of them takes a third of a second or more.
SLOW = {"matplotlib", "mlflow", "numpy", "pandas", "plotly", "ray", "scipy", "sklearn", "torch"}
# Kedro imports kedro-mlflow for every command, which imports these.
BY_PLUGIN = {"mlflow", "numpy", "pandas", "scipy"}


@pytest.mark.parametrize(
    ("command", "forbidden"),
    [
        (["-c", "import beatwise.cli, beatwise.settings"], {*SLOW, "beatwise.params"}),
        (["-m", "kedro", "--help"], {*(SLOW - BY_PLUGIN), "beatwise.params"}),
        (["-m", "kedro", "run", "--help"], {*(SLOW - BY_PLUGIN), "beatwise.params"}),
        # Functions of nodes name figures in their signatures.
        (["-m", "kedro", "registry", "list"], SLOW - BY_PLUGIN - {"matplotlib", "plotly"}),
    ],
)
def test_a_command_imports_nothing_slow_that_it_does_not_need(command: list[str], forbidden: set[str]) -> None:
    done = subprocess.run(
        [sys.executable, "-X", "importtime", *command], cwd=ROOT, capture_output=True, text=True, check=True
    )
    imported = {line.rpartition("|")[2].strip() for line in done.stderr.splitlines()}
    assert "beatwise.hooks" in imported
    assert sorted(imported & forbidden) == []
