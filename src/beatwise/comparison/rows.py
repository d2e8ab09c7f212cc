"""One row of a comparison: fit, predict, measure; and the store of rows that are finished."""

from __future__ import annotations

import json
import logging
import math
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any, Final

import numpy as np
import pandas as pd

from beatwise.core.files import written_whole
from beatwise.data.examples import PART, TARGET, Examples
from beatwise.tasks.classification.intervals import draw_scores
from beatwise.tasks.classification.predictions import (
    measure_predictions,
    probabilities,
    probability_columns,
)
from beatwise.tasks.intervals import clusters_of
from beatwise.tasks.settings import Evaluate
from beatwise.training.checkpoint import Checkpoints
from beatwise.training.settings import FitSettings

log = logging.getLogger(__name__)

# Metrics whose bootstrap draws are kept, to compare rows in pairs.
COMPARED: Final = ("macro_recall", "macro_f1", "accuracy", "macro_auroc")
RESULT, PREDICTIONS = "row.json", "predictions.parquet"


class FinishedRows:
    """A folder with the results of finished rows, by key."""

    def __init__(self, folder: Path) -> None:
        """Name the folder; it is made when it is needed."""
        self.folder = folder

    def load(self, key: str) -> tuple[dict[str, Any], pd.DataFrame] | None:
        """Metadata and predictions of a row, or None where it is not finished or cannot be read."""
        folder = self.folder / key
        try:
            metadata = json.loads((folder / RESULT).read_text(encoding="utf-8"))
            return metadata, pd.read_parquet(folder / PREDICTIONS)
        except FileNotFoundError:
            return None
        except (OSError, ValueError) as error:
            log.warning("The finished row in %s cannot be read (%s); it is trained again.", folder, error)
            return None

    def save(self, key: str, metadata: Mapping[str, Any], predictions: pd.DataFrame) -> None:
        """Store a row, in whole or not at all."""
        with written_whole(self.folder / key) as folder:
            folder.mkdir()
            predictions.to_parquet(folder / PREDICTIONS)
            (folder / RESULT).write_text(json.dumps(metadata, allow_nan=False), encoding="utf-8")


def fit_row(
    row: Mapping[str, Any], parts: tuple[Examples, Examples, Examples, Checkpoints]
) -> tuple[dict[str, Any], pd.DataFrame]:
    """Fit a row and predict validation and test with it.

    Args:
        row: A row of the plan.
        parts: Examples of train, validation and test, and where checkpoints are kept.

    Returns:
        Metadata (``n_parameters``, ``best_epoch``, ``seconds``, ``history``), and predictions with a column ``part``.

    Raises:
        BeatwiseError: If training diverges.
    """
    from beatwise.training.fit import fit_tensors, resample_train
    from beatwise.training.loop import fit_model

    train_beats, val_beats, test_beats, checkpoints = parts
    config = FitSettings.model_validate(row["config"])
    train, val, test = fit_tensors(resample_train(train_beats, config), train_beats, config, val_beats, test_beats)
    # A machine of a cluster that does not share the project's folder keeps no checkpoints.
    kept = checkpoints if checkpoints.folder.parent.is_dir() else None
    model, history = fit_model(train, val, config, kept, show_progress=False)
    tables = {part: model.predict(tensors) for part, tensors in (("val", val), ("test", test))}
    metadata = {
        "n_parameters": model.metadata["n_parameters"],
        "best_epoch": model.metadata["best_epoch"],
        "seconds": float(history["seconds"].sum() + history["val_seconds"].sum()),
        "history": [_without_nan(epoch) for epoch in model.history],
    }
    together = pd.concat([table.assign(**{PART: part}) for part, table in tables.items()], ignore_index=True)
    return metadata, together.drop(columns="sample", errors="ignore")


def _without_nan(epoch: Mapping[str, float]) -> dict[str, float | None]:
    """An epoch of a history for JSON, which has no NaN."""
    return {name: value if math.isfinite(value) else None for name, value in epoch.items()}


def average_rows(
    outcomes: Sequence[tuple[dict[str, Any], pd.DataFrame]],
) -> tuple[dict[str, Any], pd.DataFrame]:
    """An ensemble of finished rows: the mean of their probabilities.

    Args:
        outcomes: What :func:`fit_row` returned for each, from the same examples.

    Returns:
        The same of the ensemble; parameters and seconds are those of all members together.
    """
    metadata, tables = zip(*outcomes, strict=True)
    mean = np.mean([probabilities(table) for table in tables], axis=0)
    averaged = tables[0].assign(prediction=mean.argmax(axis=1))
    averaged[probability_columns(averaged)] = mean
    together = {
        "n_parameters": sum(fact["n_parameters"] for fact in metadata),
        "best_epoch": None,
        "seconds": sum(fact["seconds"] for fact in metadata),
        "history": [],
    }
    return together, averaged


def measure_row(predictions: pd.DataFrame, settings: tuple[Evaluate, int]) -> tuple[dict[str, Any], pd.DataFrame]:
    """Measure a row from its predictions.

    Args:
        predictions: What :func:`fit_row` predicted.
        settings: Settings of the bootstrap, and its seed; the same for all rows, so that draw i holds the same beats in
            each.

    Returns:
        What ``measure_predictions`` returns, and the draws on test: one row each,
        a column a metric of :data:`COMPARED`.
    """
    evaluate, seed = settings
    val, test = (predictions[predictions[PART] == part].drop(columns=PART) for part in ("val", "test"))
    target = test[TARGET].to_numpy(np.int64)
    drawn = draw_scores(
        target, probabilities(test), draws=evaluate.bootstrap_draws, seed=seed, cluster=clusters_of(test)
    )
    metrics = measure_predictions(val, test, evaluate, seed, drawn)
    return metrics, pd.DataFrame({name: drawn.overall[name] for name in COMPARED})
