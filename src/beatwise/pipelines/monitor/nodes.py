"""The node that compares."""

from __future__ import annotations

from pathlib import Path
from typing import Any

from beatwise.scoring.settings import Monitor


def watch_scored(monitor: Monitor, scored: Path, seed: int) -> tuple[dict[str, Any], str]:
    """Compare the latest scoring with the training part, or with the run that ``monitor.reference`` names.

    Args:
        monitor: Which scoring, and thresholds.
        scored: Folder of the scorings of the source, of which the latest is taken where ``monitor.input`` is empty.
        seed: Seed of the draws.

    Returns:
        The comparison (``raised``, ``checks``, …), and its page.

    Raises:
        BeatwiseError: If there is no scoring, or it cannot be compared.
    """
    from beatwise.scoring.watch import watch

    return watch(Path(monitor.input) if monitor.input else scored, monitor, seed)
