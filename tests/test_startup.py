"""Commands import what they need and nothing else: a second spent on imports is spent on every command."""

from __future__ import annotations

import subprocess
import sys
from importlib.metadata import entry_points

import pytest

from beatwise.hooks.mlflow_commands import MODULE, leave_out_mlflow_commands
from tests.conftest import ROOT

# Each of them takes a third of a second or more.
SLOW = {"matplotlib", "mlflow", "numpy", "pandas", "plotly", "ray", "scipy", "sklearn", "torch"}


@pytest.mark.parametrize(
    ("command", "forbidden"),
    [
        (["-m", "kedro", "--help"], {*SLOW, "beatwise.params"}),
        (["-m", "kedro", "run", "--help"], {*SLOW, "beatwise.params"}),
        # Functions of nodes name tables and arrays in their signatures.
        (["-m", "kedro", "registry", "list"], SLOW - {"numpy", "pandas"}),
    ],
)
def test_a_command_imports_nothing_slow_that_it_does_not_need(command: list[str], forbidden: set[str]) -> None:
    done = subprocess.run(
        [sys.executable, "-X", "importtime", *command], cwd=ROOT, capture_output=True, text=True, check=True
    )
    imported = {line.rpartition("|")[2].strip() for line in done.stderr.splitlines()}
    assert "beatwise.hooks" in imported
    assert sorted(imported & forbidden) == []


def test_kedro_finds_no_commands_where_those_of_kedro_mlflow_are(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.delitem(sys.modules, MODULE, raising=False)
    leave_out_mlflow_commands()
    (point,) = entry_points(group="kedro.project_commands", name="kedro_mlflow")
    assert point.module == MODULE
    assert point.load() is None
