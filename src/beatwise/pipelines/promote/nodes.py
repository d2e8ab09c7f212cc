"""Nodes that compare a candidate with the champion, and make it champion."""

from __future__ import annotations

import logging
from typing import Any

from beatwise.core.errors import BeatwiseError
from beatwise.data.examples import Examples
from beatwise.scoring.registry import ScorerRegistry
from beatwise.scoring.settings import Promote
from beatwise.tasks.settings import Evaluate

log = logging.getLogger(__name__)


def compare(
    registry: ScorerRegistry, test_beats: Examples, promote: Promote, evaluate: Evaluate, seed: int
) -> dict[str, Any]:
    """Whether the candidate is to be the champion.

    Raises:
        BeatwiseError: If there is no candidate, or the two cannot be compared.
    """
    from beatwise.scoring.promotion import judge

    versions = registry.versions()
    if not versions:
        raise BeatwiseError(
            f"No scorer of {registry.source} is registered yet. Train one: a tracked run of `kedro run "
            "--pipeline=train` registers it."
        )
    candidate = versions[0] if promote.candidate is None else registry.version(promote.candidate)
    champion = registry.champion()
    given = (candidate, registry.load(candidate))
    reigning = None if champion is None else (champion, registry.load(champion))
    return judge(given, reigning, test_beats, promote, evaluate, seed)


def move_champion(registry: ScorerRegistry, decision: dict[str, Any]) -> dict[str, Any]:
    """Make the candidate champion if it passed.

    Returns:
        ``registered``, the name; ``version`` and ``scorer`` of the champion.
    """
    if decision["promote"]:
        registry.crown(registry.version(decision["candidate"]["version"]))
    champion = registry.champion()
    return {
        "registered": registry.name,
        "version": champion and champion.number,
        "scorer": champion and champion.scorer,
        "notice": decision["notice"],
    }
