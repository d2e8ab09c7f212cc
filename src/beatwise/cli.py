"""`kedro run`, `repeat`, `report`, `journal` and `beats`; errors that a person can read: a few lines, no traceback.

Kedro imports this module for every command, ``kedro --help`` among them: what takes long to import is imported by the
commands that need it.
"""

from __future__ import annotations

import os
import shlex
import sys
import warnings
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from pathlib import Path
from typing import TYPE_CHECKING, Any

import click
import yaml
from kedro import KedroDeprecationWarning
from kedro.config import MissingConfigException
from kedro.framework.cli.project import run as kedro_run
from kedro.io.core import DatasetError
from kedro.utils import find_kedro_project
from kedro.validation.exceptions import ParameterValidationError

from beatwise import __version__
from beatwise.core.errors import BeatwiseError, in_own_words, led_to
from beatwise.hooks.selection import check_selection

if TYPE_CHECKING:
    from beatwise.datasets.own_tables import OwnTables
    from beatwise.runs.journal import Journal

__all__ = ["cli", "run"]

# Problems that the reader can put right without seeing our code.
EXPECTED = (BeatwiseError, DatasetError, MissingConfigException, OSError, ParameterValidationError, yaml.YAMLError)

# What the pipeline `monitor` makes, and the exit code of a run in which it raises an alarm; 1 is an error, 2 a usage.
MONITORING, ALARM = "monitoring", 3


@contextmanager
def readable(heading: str | None = None) -> Iterator[None]:
    """Errors that the reader can put right end the command with a message, below a heading."""
    try:
        yield
    except EXPECTED as error:
        if os.environ.get("BEATWISE_TRACEBACK"):
            raise
        click.secho("\n".join(_messages(error, heading)), fg="red", err=True)
        click.secho("(BEATWISE_TRACEBACK=1 shows where in the code.)", dim=True, err=True)
        sys.exit(1)


@readable("The run stopped:")
def _run(**arguments: Any) -> Any:
    # `--pipeline` is what everybody types and what every tutorial shows.
    warnings.filterwarnings("ignore", message="Option '--pipeline'", category=KedroDeprecationWarning)
    asked_for = [name for name in (arguments["pipeline"], *(arguments["pipelines"] or [])) if name]
    # Seconds pass before the first node is named.
    named = "+".join(asked_for) or "__default__"
    click.secho(f"Beatwise {__version__}: {named}, environment {arguments['env'] or 'base'}", dim=True)
    check_selection(arguments, asked_for, _project())
    made = kedro_run.callback(**arguments)
    if MONITORING in made and made[MONITORING].load()["raised"]:
        sys.exit(ALARM)
    return made


def _messages(error: BaseException, heading: str | None) -> Iterator[str]:
    """The dataset and the error; the message of our own error where one led to it."""
    dataset = getattr(error, "dataset_name", None)
    if above := f"Data set {dataset!r} breaks its contract:" if dataset else heading:
        yield above
    ours = in_own_words(error)
    yield ours or str(error)
    system = next((link for link in led_to(error) if isinstance(link, OSError) and link.filename), None)
    if ours is None and system is not None:
        yield f"{system.filename}: {system.strerror}. Check its permissions, the free space, and what lies in its way."


@click.group(name="beatwise")
def cli() -> None:
    """Beatwise's own version of Kedro's commands."""


run = click.Command(
    name="run",
    callback=_run,
    params=kedro_run.params,
    help=kedro_run.help,
    context_settings=kedro_run.context_settings,
)
cli.add_command(run)


@cli.command()
@click.argument("card")
@readable("The repetition stopped:")
def repeat(card: str) -> None:
    """Run again what a run card says, and compare the scores.

    CARD is the path of a run card, or the ID of an MLflow run or the beginning of one. The exit code is 0 where all
    scores agree to the last digit, and 1 where not.
    """
    from beatwise.hooks.repeat import repeat_run

    sys.exit(0 if repeat_run(card, _project()) else 1)


@cli.group()
def mlflow() -> None:
    """The runs that MLflow has tracked."""


@mlflow.command()
@click.option("--env", "-e", help="The environment whose mlflow.yml says where the runs are.")
@click.option("--host", "-h", help="Address to serve at; by default that of mlflow.yml.")
@click.option("--port", "-p", help="Port to serve at; by default that of mlflow.yml.")
@readable()
def ui(env: str | None, host: str | None, port: str | None) -> None:
    """Show all runs in the browser."""
    from beatwise.hooks.ui import serve_runs

    serve_runs(_project(), env, host, port)


@cli.command()
@click.argument("source", required=False)
@readable()
def report(source: str | None) -> None:
    """Open the latest report, of SOURCE or of any source, and print its path."""
    import webbrowser

    from beatwise.hooks.catalog import short_path
    from beatwise.report.html import source_folder
    from beatwise.report.index import INDEX, latest_report

    path = latest_report(_project() / "data/08_reporting", source)
    click.echo(short_path(path))
    click.echo(f"All reports: {short_path(source_folder(path) / INDEX)}")
    if sys.platform in ("darwin", "win32") or os.environ.get("DISPLAY") or os.environ.get("WAYLAND_DISPLAY"):
        webbrowser.open(path.as_uri())


def _project() -> Path:
    return find_kedro_project(Path.cwd()) or Path.cwd()


def _journal() -> Journal:
    from beatwise.runs.journal import Journal

    return Journal(_project())


@cli.group(invoke_without_command=True)
@click.pass_context
def journal(context: click.Context) -> None:
    """Hypotheses, the runs that tested them, and the outcomes.

    An ENTRY is named by the beginning of its ID, with or without the date, or as `last`.
    """
    if context.invoked_subcommand is None:
        context.invoke(list_entries)


@journal.command()
@click.argument("hypothesis")
@click.option(
    "--expect", default="", help="What the result has to be, e.g. 'macro_recall > 0.93 and accuracy >= 0.98'."
)
@readable()
def propose(hypothesis: str, expect: str) -> None:
    """Write down a hypothesis, which the next run that trains takes up."""
    from beatwise.runs.journal import WAITING

    entries = _journal()
    id = entries.propose(hypothesis, expect)
    click.echo(f"Proposed: {id}\nThe next run that trains and measures a model takes it up.")
    others = [other for other, entry in entries.entries().items() if entry.state in WAITING and other != id]
    if others:
        click.echo("After it, these still wait:\n" + "\n".join(reversed(others)))


@journal.command("list")
@readable()
def list_entries() -> None:
    """List all entries, the latest below."""
    from rich import get_console

    from beatwise.report.journal import entries_table
    from beatwise.report.terminal import as_rich
    from beatwise.runs.journal import HOW_TO_PROPOSE

    entries = _journal().entries()
    if entries:
        get_console().print(as_rich(entries_table(entries)))
    else:
        click.echo(f"The journal has no entries yet. To make one: {HOW_TO_PROPOSE}")


@journal.command()
@click.argument("entry")
@readable()
def show(entry: str) -> None:
    """Show everything about an entry."""
    from rich import get_console

    from beatwise.report.journal import on_terminal

    entries = _journal()
    id = entries.find(entry)
    get_console().print(on_terminal(id, entries.entries()[id]))


@journal.command()
@click.argument("entry")
@click.argument("text")
@readable()
def reflect(entry: str, text: str) -> None:
    """Add what you conclude from an entry."""
    entries = _journal()
    id = entries.find(entry)
    entries.reflect(id, text)
    click.echo(f"Added to {id}.")


@journal.command()
@click.argument("file", type=click.Path(dir_okay=False, path_type=Path), required=False)
@readable()
def export(file: Path | None) -> None:
    """Write all entries as Markdown, into FILE or onto the screen."""
    from beatwise.core.files import written_whole
    from beatwise.report.journal import as_markdown

    text = as_markdown(_journal().entries())
    if file is None:
        click.echo(text, nl=False)
    else:
        with written_whole(file) as path:
            path.write_text(text, encoding="utf-8")


@cli.group()
def beats() -> None:
    """Tables of beats of your own."""


def _of_tables(command: Callable[..., None]) -> Callable[..., None]:
    """The options of commands that look at tables."""
    table = click.Path(exists=True, dir_okay=False, path_type=Path)
    options = [
        click.option("--val", type=table, multiple=True, help="Table to validate on; may be given several times."),
        click.option("--test", type=table, multiple=True, help="Table to test on; may be given several times."),
        click.option("--classes", default="", help="Names of the classes in the order of the labels: N,S,V."),
        click.option("--sample-rate", type=click.FloatRange(0, min_open=True), help="Samples per second (Hz)."),
        click.option(
            "--column",
            multiple=True,
            metavar="NAME=MEANING",
            help="What a column is: age= leaves it out, 0=target names the first one of a table without a header.",
        ),
    ]
    for option in reversed(options):
        command = option(command)
    return command


def _look(train: Sequence[Path], name: str, **options: Any) -> OwnTables:
    from beatwise.datasets.own_tables import look_at

    columns = dict(given.rpartition("=")[::2] for given in options["column"])
    found = look_at(
        {"train": train, "val": options["val"], "test": options["test"]},
        source=name,
        classes=[part.strip() for part in options["classes"].split(",") if part.strip()],
        sample_rate=options["sample_rate"],
        columns=columns,
    )
    click.echo("\n".join(found.seen))
    if found.problems:
        click.secho(f"\nWrong, {len(found.problems)} in all:", fg="red")
        click.echo("\n".join(f"- {problem}" for problem in found.problems))
    return found


@beats.command()
@click.argument("tables", nargs=-1, required=True, type=click.Path(exists=True, dir_okay=False, path_type=Path))
@_of_tables
@readable()
def check(tables: tuple[Path, ...], **options: Any) -> None:
    """Say what TABLES hold, all that is wrong with them, and the globals.yml that reads them.

    TABLES are those to train on. The exit code is 1 where something is wrong.
    """
    found = _look(tables, "mine", **options)
    if found.problems:
        sys.exit(1)
    click.secho("\nNothing is wrong. The globals.yml that reads this:\n", fg="green")
    click.echo(found.globals_yml())
    given = [("train", tables), *((name, options[name]) for name in ("val", "test", "column"))]
    arguments = [f"--{name}={value}" for name, values in given for value in values]
    arguments += [f"--classes={options['classes']}"] if options["classes"] else []
    command = shlex.join([*arguments, f"--sample-rate={options['sample_rate'] or 'HZ'}"])
    click.echo(f"To write it as conf/mine/globals.yml:\n    kedro beats new mine {command}")


@beats.command()
@click.argument("name")
@click.option(
    "--train",
    required=True,
    multiple=True,
    type=click.Path(exists=True, dir_okay=False, path_type=Path),
    help="Table to train on; may be given several times. Without --test, a part of it becomes the test part.",
)
@_of_tables
@readable()
def new(name: str, train: tuple[Path, ...], **options: Any) -> None:
    """Write the environment NAME for tables of your own, so that `kedro run --env=NAME` runs on them."""
    from beatwise.datasets.own_tables import write_environment
    from beatwise.params import check_globals

    if options["sample_rate"] is None:
        raise BeatwiseError("No table says how many samples a second its beats have. Say it: --sample-rate 125")
    found = _look(train, name, **options)
    if found.problems:
        click.echo("Nothing is written.")
        sys.exit(1)
    inherited = yaml.safe_load((_project() / "conf" / "base" / "globals.yml").read_text(encoding="utf-8"))
    check_globals(inherited | found.globals)
    for path in write_environment(found, _project() / "conf"):
        click.echo(f"\n{path.relative_to(_project())}:\n{path.read_text(encoding='utf-8')}", nl=False)
    click.secho(f"\nNow: kedro run --env={name} --pipeline=train", fg="green")
