"""Nodes that split the raw beats and describe the parts."""

from __future__ import annotations

from typing import Any

import pandas as pd
from matplotlib.figure import Figure

from beatwise.evaluation import data_summary as summaries
from beatwise.params import Ingest
from beatwise.splits import split_beats


def split(raw_beats: pd.DataFrame, ingest: Ingest, seed: int) -> tuple[pd.DataFrame, pd.DataFrame, pd.DataFrame]:
    """Split the raw beats.

    Args:
        raw_beats: Beats table with ``part``.
        ingest: Split, and what to do with duplicates.
        seed: Seed of the split.

    Returns:
        Beats tables of train, validation and test.
    """
    parts = split_beats(raw_beats, ingest.split.use, ingest.split.options, seed)
    if ingest.drop_duplicates:
        parts = summaries.drop_duplicates(parts)
    return parts["train"], parts["val"], parts["test"]


def summarise(
    train_beats: pd.DataFrame,
    val_beats: pd.DataFrame,
    test_beats: pd.DataFrame,
    ingest: Ingest,
    classes: list[str],
    sample_rate: float,
) -> dict[str, Any]:
    """Count classes, lengths, duplicates and shared records of the parts.

    Args:
        train_beats: Beats table of the training part.
        val_beats: Beats table of the validation part.
        test_beats: Beats table of the test part.
        ingest: How they were split.
        classes: Class names in the order of their indices.
        sample_rate: Samples per second (Hz) of the beats.

    Returns:
        See :func:`beatwise.evaluation.data_summary.summarise_data`; and ``split``, its name.
    """
    parts = {"train": train_beats, "val": val_beats, "test": test_beats}
    return {"split": ingest.split.use, **summaries.summarise_data(parts, classes, sample_rate)}


def plot_data_summary(data_summary: dict[str, Any]) -> Figure:
    """Draw class counts and beat lengths."""
    from beatwise import figures

    return figures.plot_data_summary(data_summary)
