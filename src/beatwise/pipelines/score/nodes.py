"""The node that scores."""

from __future__ import annotations

from pathlib import Path
from typing import Any

from beatwise.core.errors import BeatwiseError
from beatwise.scoring.settings import Score
from beatwise.search.settings import RaySettings


def score_input(score: Score, scorers: Path, scored: Path, ray: RaySettings) -> dict[str, Any]:
    """Score what ``score.input`` names, and write the results into a folder.

    Args:
        score: What is scored, by which scorer, and how.
        scorers: Folder of the models of the source.
        scored: Folder of the results where ``score.out`` names none; there, they have a folder of the input's name.
        ray: Where the recordings of a folder are scored, and how many at once.

    Returns:
        ``lines``, what a person wants to know first; ``folder`` of the results; ``counts``, beats by class; ``failed``,
        why recordings could not be scored, by name.

    Raises:
        BeatwiseError: If there is nothing to score, or nothing could be scored.
    """
    from beatwise.scoring.models import load_scorer
    from beatwise.scoring.run import default_folder, score_path

    if not score.input:
        raise BeatwiseError("Name what is to be scored: --params=score.input=path/of/a/recording, folder or table.")
    path = Path(score.input)
    folder = Path(score.out) if score.out else default_folder(path, scored)
    outcome = score_path(path, load_scorer(score.model, scorers), score, folder, ray)
    return {
        "lines": outcome.lines(),
        "folder": str(outcome.folder),
        "counts": outcome.counts,
        "failed": outcome.failed,
    }
