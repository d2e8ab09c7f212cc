"""Nodes that describe the parts of the raw beats."""

from __future__ import annotations

from typing import Any

from beatwise.data import summary as summaries
from beatwise.data.examples import Examples
from beatwise.data.settings import Ingest
from beatwise.report.settings import Report


def summarise(
    train_beats: Examples,
    val_beats: Examples,
    test_beats: Examples,
    ingest: Ingest,
    classes: list[str],
    sample_rate: float | None,
) -> dict[str, Any]:
    """Count classes, lengths, duplicates and shared records, see ``summarise_data``; and name the ``split``.

    Args:
        train_beats: The training part.
        val_beats: The validation part.
        test_beats: The test part.
        ingest: How they were split.
        classes: Class names in the order of their indices.
        sample_rate: Samples per second (Hz) of the beats.
    """
    parts = {"train": train_beats, "val": val_beats, "test": test_beats}
    return {"split": ingest.split.use, **summaries.summarise_data(parts, classes, sample_rate)}


def draw_data(
    train_beats: Examples,
    val_beats: Examples,
    test_beats: Examples,
    data_summary: dict[str, Any],
    report: Report,
    classes: list[str],
    sample_rate: float | None,
    seed: int,
) -> tuple[Any, Any]:
    """Draw class shares and examples by class with plotly, see ``class_shares`` and ``draw_examples``.

    Args:
        train_beats: The training part.
        val_beats: The validation part.
        test_beats: The test part.
        data_summary: Description of the parts.
        report: How many beats of each class are drawn.
        classes: Class names in the order of their indices.
        sample_rate: Samples per second (Hz).
        seed: Seed of the draw.
    """
    from beatwise.figures.interactive_data import class_shares, draw_examples
    from beatwise.figures.table import in_words_for

    parts = {"train": train_beats, "val": val_beats, "test": test_beats}
    examples = draw_examples(parts, classes, sample_rate, report.examples_per_class, seed)
    return in_words_for(train_beats.shape, class_shares(data_summary)), examples
