"""kedro-mlflow's commands, which the project's own group ``mlflow`` replaces, and which import MLflow: a second."""

from __future__ import annotations

import sys
from types import SimpleNamespace
from typing import Any, cast

# The module of kedro-mlflow's entry point in the group kedro.project_commands.
MODULE = "kedro_mlflow.framework.cli.cli"


def leave_out_mlflow_commands() -> None:
    """Let Kedro find nothing where it looks for the commands of kedro-mlflow, whichever command it runs."""
    sys.modules.setdefault(MODULE, cast("Any", SimpleNamespace(commands=None)))
