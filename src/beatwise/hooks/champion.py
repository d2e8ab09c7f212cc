"""The registered scorers of a project: a list, the earlier champion again, or a version without a comparison."""

from __future__ import annotations

from pathlib import Path

from kedro.framework.session import KedroSession
from kedro.framework.startup import bootstrap_project

from beatwise.core.errors import BeatwiseError
from beatwise.scoring.registry import Registered, ScorerRegistry


def open_registry(project: Path, env: str | None) -> ScorerRegistry:
    """The registry of the source of an environment, where its ``mlflow.yml`` says that it is.

    Raises:
        BeatwiseError: Outside a project, for an unknown environment, or if a server does not answer.
    """
    from beatwise.hooks.selection import check_environment
    from beatwise.hooks.tracking import TrackedRun

    if not (project / "conf").is_dir():
        raise BeatwiseError(f"{project} is no project of Beatwise. Change into the folder of one.")

    bootstrap_project(project)
    check_environment(env, project)
    with KedroSession.create(project_path=project, env=env) as session:
        context = session.load_context()
        TrackedRun(context).check()
        return ScorerRegistry(context.config_loader["globals"]["source"])


def crown(registry: ScorerRegistry, number: int | None) -> Registered:
    """Make a version the champion, or the champion before the current one where no number is given.

    Raises:
        BeatwiseError: If there is no such version, or none to go back to.
    """
    if number is None:
        return registry.step_back()
    version = registry.version(number)
    # A scorer that cannot be read must not become champion.
    registry.load(version)
    registry.crown(version)
    return version


def listed(registry: ScorerRegistry) -> list[str]:
    """One line a version, the latest first."""
    champion = registry.champion()
    return [
        f"{version.number:>4}  {version.made.astimezone():%Y-%m-%d %H:%M}  {version.fitted:<9} {version.model:<16} "
        f"{version.scorer}{'  champion' if version == champion else ''}"
        for version in registry.versions()
    ]
