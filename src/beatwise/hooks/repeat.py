"""Running again what a run card says, and comparing the scores."""

from __future__ import annotations

import os
import re
from collections.abc import Iterable
from pathlib import Path
from tempfile import TemporaryDirectory

import click
from kedro.framework.project import pipelines as registered
from kedro.framework.session import KedroSession
from kedro.io.core import Version
from kedro.runner import SequentialRunner
from rich import get_console

from beatwise.core.errors import BeatwiseError
from beatwise.hooks.repetition import repeating
from beatwise.hooks.selection import check_environment
from beatwise.pipelines import check_pipelines
from beatwise.report.run_card import repetition_table, search_run, verdict
from beatwise.report.terminal import as_rich
from beatwise.runs.card import Difference, RunCard, SearchBest, changed_beats, compare_scores, differences, read_card
from beatwise.runs.metadata import git_state, hardware, package_versions


def repeat_run(card: str, project: Path) -> bool:
    """Run again what a card says (its path, or an MLflow run's ID), and print whether all scores agree.

    Raises:
        BeatwiseError: If there is no such card, or it cannot be repeated here.
    """
    then = _find_card(card, project)
    _check_repeatable(then, project)
    # It would replace the environment base.
    os.environ.pop("KEDRO_ENV", None)
    env = None if then.environment == "base" else then.environment
    click.echo(f"Repeating the run of {then.began:%Y-%m-%d %H:%M} UTC{f': {then.command}' if then.command else ''}")
    with repeating(then), KedroSession.create(project_path=project, env=env) as session:
        catalog = session.load_context().catalog
        # The tables that the run makes itself are compared when it has made them.
        given = [name for name in then.data if name == "raw_beats" or "raw_beats" not in then.data]
        beats = {name: catalog.load(name).fingerprint for name in given}
        changed = differences(then, git_state(project), package_versions(), hardware(), beats)
        click.echo(_listed(changed) or "Nothing on the card has changed.")
        if then.search is not None:
            click.echo(searched_again(then.search))
        session.run(
            runner=SequentialRunner(),
            pipeline_names=then.pipeline.split("+"),
            node_names=list(then.nodes) if then.selected else None,
            load_versions=then.load_versions,
        )
    stored = catalog.get("run_card", version=Version(session.session_id, None))
    now = stored.load()
    made = {name: fingerprint for name, fingerprint in now.data.items() if name not in beats}
    if changed_by_run := _listed(changed_beats(then, made)):
        click.echo(changed_by_run)
    scores = compare_scores(then, now)
    get_console().print(as_rich(repetition_table(scores), title="Then and now"))
    all_agree = all(score.agrees for score in scores.values())
    click.secho(verdict(scores), fg=None if all_agree else "red", err=not all_agree)
    return all_agree


def searched_again(search: SearchBest) -> str:
    """The replacement of a search in a repetition."""
    if not search.trials:
        return "The card does not list the trials of its search: this run proposes its own, and numbers may differ."
    return (
        f"The {len(search.trials)} trials of the search ({search_run(search)}) are trained again, each for as many "
        "epochs as then; none is proposed anew."
    )


def _find_card(asked: str, project: Path) -> RunCard:
    """The card in a file, or that of an MLflow run."""
    if Path(asked).exists() or not re.fullmatch("[0-9a-f]{1,32}", asked):
        return read_card(Path(asked))
    import mlflow

    with KedroSession.create(project_path=project) as session:
        # MLflow knows then where the runs are.
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
            f"{card.equal_command}"
        )
    check_environment(card.environment, project)
    names = card.pipeline.split("+")
    check_pipelines(names)
    registered.set_requested(names)
    known = {node.name for name in names for node in registered[name].nodes}
    if card.selected and (unknown := sorted(card.nodes.keys() - known)):
        raise BeatwiseError(f"The run of this card had nodes that are not there any more: {', '.join(unknown)}.")


def _listed(changed: Iterable[Difference]) -> str:
    lines = [f"  {what}: {then} → {now}" for what, then, now in changed]
    return "\n".join(["Not as it was then:", *lines]) if lines else ""
