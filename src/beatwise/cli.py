"""`kedro run`, `kedro repeat` and `kedro journal`, with errors that a person can read: a few lines, no traceback."""

from __future__ import annotations

import os
import pkgutil
import re
import sys
import warnings
from collections.abc import Iterable, Iterator
from contextlib import contextmanager
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import Any

import click
import yaml
from kedro import KedroDeprecationWarning
from kedro.config import MissingConfigException
from kedro.framework.cli.project import run as kedro_run
from kedro.framework.project import pipelines as registered
from kedro.framework.project import settings
from kedro.framework.session import KedroSession
from kedro.io.core import DatasetError, Version
from kedro.runner import SequentialRunner
from kedro.utils import find_kedro_project
from kedro.validation.exceptions import ParameterValidationError
from rich import get_console

from beatwise import pipelines
from beatwise.core.errors import BeatwiseError, in_own_words, led_to
from beatwise.core.files import written_whole
from beatwise.core.registry import unknown_name
from beatwise.data.examples import fingerprints_of
from beatwise.report.journal import as_markdown, entries_table, on_terminal
from beatwise.report.run_card import repetition_table, verdict
from beatwise.report.terminal import as_rich
from beatwise.runs.card import Difference, RunCard, changed_beats, compare_scores, differences, read_card
from beatwise.runs.journal import HOW_TO_PROPOSE, WAITING, Journal
from beatwise.runs.metadata import git_state, hardware, package_versions

__all__ = ["cli", "run"]

# Problems that the reader can put right without seeing our code.
EXPECTED = (BeatwiseError, DatasetError, MissingConfigException, OSError, ParameterValidationError, yaml.YAMLError)


@contextmanager
def _readable(heading: str | None = None) -> Iterator[None]:
    """Errors that the reader can put right end the command with a message, below a heading."""
    try:
        yield
    except EXPECTED as error:
        if os.environ.get("BEATWISE_TRACEBACK"):
            raise
        click.secho("\n".join(_messages(error, heading)), fg="red", err=True)
        click.secho("(BEATWISE_TRACEBACK=1 shows where in the code.)", dim=True, err=True)
        sys.exit(1)


@_readable("The run stopped:")
def _run(**arguments: Any) -> Any:
    # `--pipeline` is what everybody types and what every tutorial shows.
    warnings.filterwarnings("ignore", message="Option '--pipeline'", category=KedroDeprecationWarning)
    _check_names([arguments["pipeline"], *(arguments["pipelines"] or [])])
    return kedro_run.callback(**arguments)


def _check_names(asked_for: Iterable[str | None]) -> None:
    known = ["__default__", *(module.name for module in pkgutil.iter_modules(pipelines.__path__))]
    for name in asked_for:
        if name and name not in known:
            raise BeatwiseError(unknown_name("pipeline", name, known))


def _messages(error: BaseException, heading: str | None) -> Iterator[str]:
    """What happened at which dataset; in our own words where one of the errors that led to it is ours."""
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
@_readable("The repetition stopped:")
def repeat(card: str) -> None:
    """Run again what a run card says, and compare the scores.

    CARD is the path of a run card, or the ID of an MLflow run or the beginning of one. The exit code is 0 where all
    scores agree to the last digit, and 1 where not.
    """
    # Hooks know MLflow, whose import takes seconds that no other command is to wait for.
    from beatwise.hooks.repetition import repeating

    project = find_kedro_project(Path.cwd()) or Path.cwd()
    then = _find_card(card, project)
    _check_repeatable(then, project)
    # It would stand in for the environment base.
    os.environ.pop("KEDRO_ENV", None)
    env = None if then.environment == "base" else then.environment
    click.echo(f"Repeating the run of {then.began:%Y-%m-%d %H:%M} UTC{f': {then.command}' if then.command else ''}")
    with repeating(then), KedroSession.create(project_path=project, env=env) as session:
        catalog = session.load_context().catalog
        # What the run makes itself it will tell.
        given = [name for name in then.data if name == "raw_beats" or "raw_beats" not in then.data]
        beats = {name: fingerprints_of(catalog.load(name))[0] for name in given}
        changed = differences(then, git_state(project), package_versions(), hardware(), beats)
        click.echo(_listed(changed) or "Nothing that the card knows of has changed.")
        session.run(
            runner=SequentialRunner(),
            pipeline_names=then.pipeline.split("+"),
            node_names=list(then.nodes) if then.selected else None,
            load_versions=then.load_versions,
        )
    stored = catalog.get("run_card", version=Version(session.session_id, None))
    now = RunCard.model_validate(stored.load())
    made = {name: fingerprint for name, fingerprint in now.data.items() if name not in beats}
    if changed_by_run := _listed(changed_beats(then, made)):
        click.echo(changed_by_run)
    scores = compare_scores(then, now)
    get_console().print(as_rich(repetition_table(scores), title="Then and now"))
    all_agree = all(score.agrees for score in scores.values())
    click.secho(verdict(scores), fg=None if all_agree else "red", err=not all_agree)
    sys.exit(0 if all_agree else 1)


def _find_card(asked: str, project: Path) -> RunCard:
    """The card in a file, or that of an MLflow run."""
    if Path(asked).exists() or not re.fullmatch("[0-9a-f]{1,32}", asked):
        return read_card(Path(asked))
    import mlflow

    with KedroSession.create(project_path=project) as session:
        # Where the runs are tracked is said by the configuration.
        session.load_context()
    client = mlflow.MlflowClient()
    experiments = [experiment.experiment_id for experiment in client.search_experiments()]
    found = mlflow.search_runs(experiments, f"attributes.run_id LIKE '{asked}%'", output_format="list")
    ids = [run.info.run_id for run in found]
    if not ids:
        raise BeatwiseError(
            f"There is neither a file {asked} nor an MLflow run whose ID begins so. `kedro mlflow ui` shows those that "
            "there are."
        )
    if len(ids) > 1:
        raise BeatwiseError(f"{asked} may be any of these MLflow runs: {', '.join(ids[:5])}{', …' * (len(ids) > 5)}.")
    if "run_card.json" not in [file.path for file in client.list_artifacts(ids[0])]:
        raise BeatwiseError(
            f"The MLflow run {ids[0]} has no run card. A run has one that trains or measures a model and comes to its "
            "end."
        )
    os.environ.setdefault("MLFLOW_ENABLE_ARTIFACTS_PROGRESS_BAR", "false")
    with TemporaryDirectory() as folder:
        return read_card(Path(client.download_artifacts(ids[0], "run_card.json", folder)))


def _check_repeatable(card: RunCard, project: Path) -> None:
    """Refuse a card that cannot be repeated here.

    Raises:
        BeatwiseError: If it has no scores, or if its environment, its pipeline or one of its nodes is not known here.
    """
    if not card.measured:
        raise BeatwiseError(
            "The run of this card measured nothing, so that there is nothing to compare. To do the same again: "
            f"{card.command or f'kedro run --pipeline={card.pipeline} --env={card.environment}'}"
        )
    environments = [folder.name for folder in (project / settings.CONF_SOURCE).iterdir() if folder.is_dir()]
    if card.environment not in environments:
        raise BeatwiseError(unknown_name("environment", card.environment, environments))
    names = card.pipeline.split("+")
    _check_names(names)
    registered.set_requested(names)
    known = {node.name for name in names for node in registered[name].nodes}
    if card.selected and (unknown := sorted(card.nodes.keys() - known)):
        raise BeatwiseError(f"The run of this card had nodes that are not there any more: {', '.join(unknown)}.")


def _listed(changed: Iterable[Difference]) -> str:
    lines = [f"  {what}: {then} → {now}" for what, then, now in changed]
    return "\n".join(["Not as it was then:", *lines]) if lines else ""


def _journal() -> Journal:
    return Journal(find_kedro_project(Path.cwd()) or Path.cwd())


@cli.group(invoke_without_command=True)
@click.pass_context
def journal(context: click.Context) -> None:
    """Hypotheses, the runs that tested them, and what came of it.

    An ENTRY is named by the beginning of its ID, with or without the date, or as `last`.
    """
    if context.invoked_subcommand is None:
        context.invoke(list_entries)


@journal.command()
@click.argument("hypothesis")
@click.option(
    "--expect", default="", help="What the result has to be, e.g. 'macro_recall > 0.93 and accuracy >= 0.98'."
)
@_readable()
def propose(hypothesis: str, expect: str) -> None:
    """Write down a hypothesis, which the next run that trains takes up."""
    entries = _journal()
    id = entries.propose(hypothesis, expect)
    click.echo(f"Proposed: {id}\nThe next run that trains and measures a model takes it up.")
    others = [other for other, entry in entries.entries().items() if entry.state in WAITING and other != id]
    if others:
        click.echo("After it, these still wait:\n" + "\n".join(reversed(others)))


@journal.command("list")
@_readable()
def list_entries() -> None:
    """List all entries, the latest below."""
    entries = _journal().entries()
    if entries:
        get_console().print(as_rich(entries_table(entries)))
    else:
        click.echo(f"The journal has no entries yet. To make one: {HOW_TO_PROPOSE}")


@journal.command()
@click.argument("entry")
@_readable()
def show(entry: str) -> None:
    """Show everything about an entry."""
    entries = _journal()
    id = entries.find(entry)
    get_console().print(on_terminal(id, entries.entries()[id]))


@journal.command()
@click.argument("entry")
@click.argument("text")
@_readable()
def reflect(entry: str, text: str) -> None:
    """Add what you make of an entry."""
    entries = _journal()
    id = entries.find(entry)
    entries.reflect(id, text)
    click.echo(f"Added to {id}.")


@journal.command()
@click.argument("file", type=click.Path(dir_okay=False, path_type=Path), required=False)
@_readable()
def export(file: Path | None) -> None:
    """Give all entries as Markdown, into FILE or onto the screen."""
    text = as_markdown(_journal().entries())
    if file is None:
        click.echo(text, nl=False)
    else:
        with written_whole(file) as path:
            path.write_text(text, encoding="utf-8")
