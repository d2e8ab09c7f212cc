"""`kedro run` with errors that a person can read: a few lines on what went wrong, the traceback only on request."""

from __future__ import annotations

import os
import pkgutil
import sys
import warnings
from collections.abc import Callable, Iterator
from typing import Any

import click
import yaml
from kedro import KedroDeprecationWarning
from kedro.config import MissingConfigException
from kedro.framework.cli.project import run as kedro_run
from kedro.io.core import DatasetError
from kedro.validation.exceptions import ParameterValidationError

from beatwise import pipelines
from beatwise.errors import BeatwiseError
from beatwise.registry import unknown_name

__all__ = ["cli", "run"]

# Problems that the reader can put right without seeing our code.
EXPECTED = (BeatwiseError, DatasetError, MissingConfigException, OSError, ParameterValidationError, yaml.YAMLError)


def _readable(call: Callable[..., Any]) -> Callable[..., Any]:
    def readable(**arguments: Any) -> Any:
        # `--pipeline` is what everybody types and what every tutorial shows.
        warnings.filterwarnings("ignore", message="Option '--pipeline'", category=KedroDeprecationWarning)
        try:
            _check_names([arguments["pipeline"], *(arguments["pipelines"] or [])])
            return call(**arguments)
        except EXPECTED as error:
            if os.environ.get("BEATWISE_TRACEBACK"):
                raise
            click.secho("\n".join(_messages(error)), fg="red", err=True)
            click.secho("(BEATWISE_TRACEBACK=1 shows where in the code.)", dim=True, err=True)
            sys.exit(1)

    return readable


def _check_names(asked_for: list[str | None]) -> None:
    known = ["__default__", *(module.name for module in pkgutil.iter_modules(pipelines.__path__))]
    for name in asked_for:
        if name and name not in known:
            raise BeatwiseError(unknown_name("pipeline", name, known))


def _messages(error: BaseException) -> Iterator[str]:
    """What happened at which dataset; in our own words where one of the errors that led to it is ours."""
    chain = [error]
    while (cause := chain[-1].__cause__ or chain[-1].__context__) is not None:
        chain.append(cause)
    dataset = getattr(error, "dataset_name", None)
    yield f"Data set {dataset!r} breaks its contract:" if dataset else "The run stopped:"
    ours = next((link for link in chain if isinstance(link, BeatwiseError)), None)
    yield str(ours or error)
    system = next((link for link in chain if isinstance(link, OSError) and link.filename), None)
    if ours is None and system is not None:
        yield f"{system.filename}: {system.strerror}. Check its permissions, the free space, and what lies in its way."


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
