"""Scorers by name."""

from __future__ import annotations

import logging
from pathlib import Path

from beatwise.core.errors import BeatwiseError
from beatwise.scoring.scorer import FACTS, Scorer, read_scorer

CHAMPION = "champion"

log = logging.getLogger(__name__)


def load_scorer(name: str, local: Path = Path("data/06_models")) -> Scorer:
    """The scorer of a name.

    Args:
        name: The folder of a scorer, or a folder of its versions, of which the latest is taken; or ``champion``, which
            is the latest below ``local``.
        local: Folder of the models of the project, or of one source.

    Raises:
        BeatwiseError: If there is none, or it cannot be read.
    """
    if name == CHAMPION:
        found = _latest(local, "**/scorer/*/scorer")
        if found is None:
            raise BeatwiseError(
                f"There is no scorer below {local.absolute()}. Train a model with `kedro run --pipeline=train`, or "
                "name the folder of a scorer by score.model (--model)."
            )
        log.info("No champion is registered: the latest scorer is taken, %s", found)
        return read_scorer(found)
    folder = Path(name)
    return read_scorer(folder if (folder / FACTS).is_file() else _latest(folder, "*/scorer") or folder)


def _latest(folder: Path, pattern: str) -> Path | None:
    """The folder of the latest version, by the name of the version, which is its time."""
    return max(
        (path.parent for path in folder.glob(f"{pattern}/{FACTS}")), key=lambda path: path.parent.name, default=None
    )
