"""`kedro run` with errors that a person can read: what went wrong in a few lines, the traceback only on request."""

from __future__ import annotations

import os
import sys
import warnings
from collections.abc import Callable, Iterator
from typing import Any

import click
from kedro import KedroDeprecationWarning
from kedro.framework.cli.project import run as kedro_run
from kedro.io.core import DatasetError
from kedro.validation.exceptions import ParameterValidationError

from beatwise.errors import BeatwiseError

__all__ = ["cli", "run"]

# Problems that the reader can put right without seeing our code.
EXPECTED = (BeatwiseError, DatasetError, ParameterValidationError, PermissionError)


def _readable(call: Callable[..., Any]) -> Callable[..., Any]:
    def readable(**arguments: Any) -> Any:
        # `--pipeline` is what everybody types and what every tutorial shows.
        warnings.filterwarnings("ignore", message="Option '--pipeline'", category=KedroDeprecationWarning)
        try:
            return call(**arguments)
        except EXPECTED as error:
            if os.environ.get("BEATWISE_TRACEBACK"):
                raise
            click.secho("\n".join(_messages(error)), fg="red", err=True)
            click.secho("(BEATWISE_TRACEBACK=1 shows where in the code.)", dim=True, err=True)
            sys.exit(1)

    return readable


def _messages(error: BaseException) -> Iterator[str]:
    """The message of the innermost error that is ours, after the dataset it happened at."""
    chain = [error]
    while (cause := chain[-1].__cause__) is not None:
        chain.append(cause)
    ours = next((link for link in chain if isinstance(link, BeatwiseError)), None)
    dataset = getattr(error, "dataset_name", None)
    yield f"Data set {dataset!r} breaks its contract:" if dataset else "The run stopped:"
    yield str(ours or error)


@click.group(name="beatwise")
def cli() -> None:
    """Beatwise's own version of Kedro's commands."""


run = click.Command(
    name="run",
    callback=_readable(kedro_run.callback),
    params=kedro_run.params,
    help=kedro_run.help,
    context_settings=kedro_run.context_settings,
)
cli.add_command(run)
