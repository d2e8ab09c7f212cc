"""``kedro mlflow``, which imports MLflow when it is used.

Kedro loads the commands of all plugins for every command, and those of kedro-mlflow import MLflow, which takes longer
than everything else together. Until someone types ``kedro mlflow``, a group of the same name takes their place. If a
later version keeps its commands elsewhere, Kedro loads them as it does those of any plugin.
"""

from __future__ import annotations

import importlib
import sys
from types import ModuleType
from typing import Any

import click

# The commands of kedro-mlflow's entry point in the group kedro.project_commands.
MODULE, GROUP = "kedro_mlflow.framework.cli.cli", "commands"


class _Deferred(click.Command):
    """A command that is looked up in kedro-mlflow when it is used."""

    def make_context(self, info_name: str | None, args: list[str], *rest: Any, **extra: Any) -> click.Context:
        del sys.modules[MODULE]
        command: click.Command = getattr(importlib.import_module(MODULE), GROUP).commands[self.name]
        return command.make_context(info_name, args, *rest, **extra)


def defer_mlflow_commands() -> None:
    """Let Kedro find kedro-mlflow's commands without importing them."""
    if MODULE not in sys.modules:
        command = _Deferred("mlflow", help="Use mlflow-specific commands inside kedro project.")
        module = ModuleType(MODULE)
        setattr(module, GROUP, click.Group("Mlflow", [command], help="Kedro plugin for interactions with mlflow."))
        sys.modules[MODULE] = module
