"""The command `beatwise`, and `python -m beatwise`: what `kedro run` does, and what works outside a project, too."""

# ruff: noqa: E402
from __future__ import annotations

import logging
import sys
from pathlib import Path
from typing import TYPE_CHECKING, Any

# Kedro says at its import which file configures its logging; outside a project that is a file of Kedro's own.
logging.getLogger("kedro.framework.project").addFilter(lambda record: "as logging configuration" not in str(record.msg))

import click
from kedro.framework.cli.utils import _split_params
from kedro.framework.project import configure_project
from kedro.utils import find_kedro_project

from beatwise import __version__
from beatwise.cli import readable, run
from beatwise.scoring import NOTICE

if TYPE_CHECKING:
    from beatwise.scoring.scorer import Scorer


class Commands(click.Group):
    """A group for which options without a command are those of `run`."""

    def parse_args(self, ctx: click.Context, args: list[str]) -> list[str]:
        """See the base class."""
        own = {name for parameter in self.get_params(ctx) for name in parameter.opts}
        if not args or (args[0].startswith("-") and args[0] not in own):
            args = ["run", *args]
        return super().parse_args(ctx, args)

    def get_command(self, ctx: click.Context, cmd_name: str) -> click.Command | None:
        """See the base class; Kedro's own command finds the project's settings."""
        if cmd_name == "run":
            configure_project("beatwise")
        return super().get_command(ctx, cmd_name)


@click.group(name="beatwise", cls=Commands, help=f"Heartbeats of the ECG, classified. {NOTICE}")
@click.version_option(__version__, prog_name="beatwise")
def commands() -> None:
    """The group of all commands."""


commands.add_command(run)

_model = click.option(
    "--model", default="champion", show_default=True, help="Folder of a scorer, or its registered name."
)


def _scorer(model: str) -> Scorer:
    from beatwise.scoring.models import load_scorer

    return load_scorer(model, (find_kedro_project(Path.cwd()) or Path.cwd()) / "data/06_models")


@commands.command()
@click.argument("paths", nargs=-1, required=True, type=click.Path(path_type=Path))
@_model
@click.option("--out", type=click.Path(file_okay=False, path_type=Path), help="Folder of the results.")
@click.option("--lead", help="Lead to score, by name or column.")
@click.option("--annotator", help="Ending of the files that hold the R peaks (atr, qrs, …); else they are detected.")
@click.option("--workers", type=click.IntRange(1), help="Recordings of a folder at once; by default one for each core.")
@click.option("--ray", metavar="ADDRESS", help="Ray cluster that scores the recordings of a folder, or auto.")
@click.option(
    "--params", default="", callback=_split_params, help="Further parameters of `score`: read.rate=250,read.unit=uV."
)
@readable("Not scored:")
def score(
    paths: tuple[Path, ...],
    model: str,
    out: Path | None,
    lead: str | None,
    annotator: str | None,
    workers: int | None,
    ray: str | None,
    params: dict[str, Any],
) -> None:
    """Classify the beats of recordings, of folders of them, or of tables of beats.

    PATHS are WFDB records, EDF, CSV or text, folders of them, or tables with a row a beat.
    """
    from beatwise.core.nested import merged
    from beatwise.core.settings import checked
    from beatwise.scoring.run import default_folder, score_path
    from beatwise.scoring.settings import Score
    from beatwise.search.settings import RaySettings

    given: dict[str, Any] = {"model": model, "read": {}, **merged(params, params.pop("score", {}))}
    if lead is not None:
        given["lead"] = int(lead) if lead.isdecimal() else lead
    if annotator is not None:
        given["read"] = {**given["read"], "annotator": annotator}
    project, scorer = find_kedro_project(Path.cwd()), _scorer(model)
    root = out or (project / "data/07_model_output" / scorer.source / "scored" if project else Path("scored"))
    for path in paths:
        settings = checked(Score, {**given, "input": str(path)}, "The parameters cannot be used:")
        folder = root if out and len(paths) == 1 else default_folder(path, root)
        click.echo(
            "\n".join(score_path(path, scorer, settings, folder, RaySettings(address=ray, cpus=workers)).lines())
        )


@commands.command()
@click.argument("file", type=click.Path(dir_okay=False, path_type=Path))
@_model
@readable("Nothing is exported:")
def export(file: Path, model: str) -> None:
    """Write the network of a scorer into FILE as ONNX, checked against torch."""
    from beatwise.scoring.export import export_scorer

    click.echo(f"{file}: {export_scorer(_scorer(model), file)}\n{NOTICE}")


@commands.command()
@_model
@click.option(
    "--host", default="127.0.0.1", show_default=True, help="Address to listen at; 0.0.0.0 lets other machines in."
)
@click.option(
    "--port", default=8000, show_default=True, type=click.IntRange(0, 65535), help="Port; 0 takes a free one."
)
@readable("The server stopped:")
def serve(model: str, host: str, port: int) -> None:
    """Score beats and recordings that are sent as JSON, until Ctrl+C."""
    from beatwise.scoring.server import serve

    serve(_scorer(model), host, port, lambda line: click.echo(f"{line}\n{NOTICE}"))


@commands.command()
@click.option("--env", "-e", help="Environment whose source is meant; by default base.")
@click.option("--back", is_flag=True, help="Make the champion before the current one champion again.")
@click.option("--to", type=click.IntRange(1), metavar="N", help="Make version N champion without a comparison.")
@click.option("--list", "shown", is_flag=True, help="List the registered versions.")
@readable("The champion is not changed:")
def promote(env: str | None, back: bool, to: int | None, shown: bool) -> None:
    """Compare the latest registered scorer of a source with its champion, or choose the champion yourself.

    Without --back, --to or --list: what `kedro run --pipeline=promote` does.
    """
    if back + shown + (to is not None) > 1:
        raise click.UsageError("Give one of --back, --to and --list.")
    if not (back or shown or to):
        configure_project("beatwise")
        run.main(["--pipeline=promote", *([f"--env={env}"] if env else [])], prog_name="beatwise promote")
    from beatwise.hooks.champion import crown, listed, open_registry

    registry = open_registry(find_kedro_project(Path.cwd()) or Path.cwd(), env)
    if shown:
        click.echo("\n".join([f"{registry.name}:", *listed(registry)]))
    else:
        click.echo(f"Champion of {registry.source}: {crown(registry, to)}.\n{NOTICE}")


def main(*args: Any, **kwargs: Any) -> Any:
    """Run a command."""
    return commands(*args, standalone_mode=not hasattr(sys, "ps1"), **kwargs)


if __name__ == "__main__":
    main()
