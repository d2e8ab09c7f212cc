"""Scorers by name: the champion, another registered version, or a folder."""

from __future__ import annotations

import logging
import os
import re
import sys
from pathlib import Path
from typing import Final

from beatwise.core.errors import BeatwiseError
from beatwise.scoring.registry import CHAMPION, PREFIX, ScorerRegistry, sources_with_champion
from beatwise.scoring.scorer import FACTS, Scorer, read_scorer

MODELS: Final = "06_models"
# Where the database of a project lies, beside its models.
DATABASE: Final = "09_tracking/mlflow.db"

log = logging.getLogger(__name__)


def load_scorer(name: str, local: Path = Path("data", MODELS)) -> Scorer:
    """The scorer of a name.

    Args:
        name: The folder of a scorer, or a folder of its versions, of which the latest is taken; a version of a
            registered one, ``beatwise-demo/3`` or ``beatwise-demo/champion``; or ``champion``. Where no champion is
            registered, that is the latest below ``local``, with a warning.
        local: Folder of the models of the project, or of one source, whose champion is meant then.

    Raises:
        BeatwiseError: If there is none, several sources have a champion, or the scorer or the registry cannot be read.
    """
    if name == CHAMPION:
        return _champion(local)
    folder, registered = Path(name), re.fullmatch(rf"(?:{PREFIX})?([\w-]+)/(\d+|{CHAMPION})", name)
    if registered and not folder.exists():
        return _registered(registered[1], registered[2], local)
    return read_scorer(folder if (folder / FACTS).is_file() else _latest(folder, "*/scorer") or folder)


def _champion(local: Path) -> Scorer:
    store = _store(local)
    if store is not None:
        crowned = sources_with_champion(store)
        mine = [source for source in crowned if local.name in (MODELS, source)]
        if len(mine) > 1:
            names = ", ".join(f"{PREFIX}{source}/{CHAMPION}" for source in mine)
            raise BeatwiseError(
                f"Several sources have a champion. Say which one scores, by score.model (--model): {names}"
            )
        if mine:
            return _registered(mine[0], CHAMPION, local)
    found = _latest(local, "**/scorer/*/scorer")
    if found is None:
        raise BeatwiseError(
            f"No champion is registered, and there is no scorer below {local.absolute()}. Train a model with "
            "`kedro run --pipeline=train`, or name the folder of a scorer by score.model (--model)."
        )
    log.warning("No champion is registered: the latest scorer is taken, %s", found)
    return read_scorer(found)


def _registered(source: str, version: str, local: Path) -> Scorer:
    registry = ScorerRegistry(source, _store(local))
    chosen = registry.champion() if version == CHAMPION else registry.version(int(version))
    if chosen is None:
        raise BeatwiseError(f"{registry.name} has no champion yet. To choose one: kedro run --pipeline=promote")
    log.info("Scored by %s, %s", registry.name, chosen)
    return registry.load(chosen)


def _store(local: Path) -> str | None:
    """Address of the tracking store: that of the run, of the environment, or the project's own; None for none."""
    if "mlflow" in sys.modules:
        import mlflow

        # Kedro's run has set it; importing MLflow to ask takes more than a second.
        if mlflow.is_tracking_uri_set():
            return str(mlflow.get_tracking_uri())
    if server := os.environ.get("BEATWISE_MLFLOW"):
        return server
    databases = [folder / DATABASE for folder in local.absolute().parents]
    database = next((path for path in databases if path.is_file()), None)
    return f"sqlite:///{database}" if database else os.environ.get("MLFLOW_TRACKING_URI")


def _latest(folder: Path, pattern: str) -> Path | None:
    """The folder of the latest version, by the name of the version, which is its time."""
    return max(
        (path.parent for path in folder.glob(f"{pattern}/{FACTS}")), key=lambda path: path.parent.name, default=None
    )
