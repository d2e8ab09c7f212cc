"""Commands import what they need and nothing else: a second spent on imports is spent on every command."""

from __future__ import annotations

import subprocess
import sys
from importlib import import_module
from importlib.metadata import entry_points
from types import ModuleType

import pytest

from beatwise.hooks.mlflow_commands import MODULE, defer_mlflow_commands
from tests.conftest import ROOT

# Each of them takes a third of a second or more.
SLOW = {"matplotlib", "mlflow", "numpy", "pandas", "plotly", "ray", "scipy", "sklearn", "torch"}


@pytest.mark.parametrize(
    ("command", "forbidden"),
    [
        (["-c", "import beatwise.cli, beatwise.settings"], {*SLOW, "beatwise.params"}),
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


def test_the_commands_that_stand_in_for_those_of_kedro_mlflow_read_as_they_do_and_lead_to_them(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    def shown(module: ModuleType) -> tuple[str, dict[str, str]]:
        group = module.commands
        return group.help, {name: command.get_short_help_str(80) for name, command in group.commands.items()}

    (point,) = entry_points(group="kedro.project_commands", name="kedro_mlflow")
    assert point.module == MODULE
    monkeypatch.delitem(sys.modules, MODULE, raising=False)
    theirs = shown(import_module(MODULE))
    monkeypatch.delitem(sys.modules, MODULE)
    defer_mlflow_commands()
    ours = sys.modules[MODULE]
    assert shown(ours) == theirs
    context = ours.commands.commands["mlflow"].make_context("mlflow", ["ui"])
    assert context.command is sys.modules[MODULE].commands.commands["mlflow"]
    assert sys.modules[MODULE] is not ours
