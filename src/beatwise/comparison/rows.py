"""One row of a comparison: fit, predict, measure; and the store of rows that are finished."""

from __future__ import annotations

import logging
import math
from collections.abc import Mapping, Sequence
from pathlib import Path
from statistics import fmean
from typing import Any

import pandas as pd

from beatwise.comparison.documents import FitMetadata
from beatwise.core.files import written_whole
from beatwise.data.examples import FOLD, PART, Examples
from beatwise.data.settings import Ingest
from beatwise.data.splits import ingest_parts
from beatwise.tasks.base import Task
from beatwise.tasks.settings import Evaluate
from beatwise.training.checkpoint import Checkpoints
from beatwise.training.settings import FitSettings

log = logging.getLogger(__name__)

RESULT, PREDICTIONS = "row.json", "predictions.parquet"
Outcome = tuple[FitMetadata, pd.DataFrame]


class FinishedRows:
    """A folder with the results of finished rows, by key."""

    def __init__(self, folder: Path) -> None:
        """Name the folder; it is made when it is needed."""
        self.folder = folder

    def load(self, key: str) -> Outcome | None:
        """Metadata and predictions of a row, or None where it is not finished or cannot be read."""
        folder = self.folder / key
        try:
            metadata = FitMetadata.model_validate_json((folder / RESULT).read_bytes())
            return metadata, pd.read_parquet(folder / PREDICTIONS)
        except FileNotFoundError:
            return None
        except (OSError, ValueError) as error:
            log.warning("The finished row in %s cannot be read (%s); it is trained again.", folder, error)
            return None

    def save(self, key: str, metadata: FitMetadata, predictions: pd.DataFrame) -> None:
        """Store a row, in whole or not at all."""
        with written_whole(self.folder / key) as folder:
            folder.mkdir()
            predictions.to_parquet(folder / PREDICTIONS)
            (folder / RESULT).write_text(metadata.model_dump_json(), encoding="utf-8")


def fit_row(config: FitSettings, parts: tuple[Examples, Examples, Examples, Checkpoints]) -> Outcome:
    """Fit a row and predict validation and test with it.

    Args:
        config: The settings of the fit.
        parts: Examples of train, validation and test, and where checkpoints are kept.

    Returns:
        Metadata, and predictions with a column ``part``.

    Raises:
        BeatwiseError: If training diverges.
    """
    from beatwise.training.fit import fit_tensors, refit_tensors, resample_train
    from beatwise.training.loop import fit_model

    train_beats, val_beats, test_beats, checkpoints = parts
    train, val, test = fit_tensors(resample_train(train_beats, config), train_beats, config, val_beats, test_beats)
    # A machine of a cluster that does not share the project's folder keeps no checkpoints.
    kept = checkpoints if checkpoints.folder.parent.is_dir() else None
    refit_on = refit_tensors(train_beats, val_beats, config)
    model, history = fit_model(train, val, config, kept, refit_on=refit_on, show_progress=False)
    tables = dict(zip(("val", "test"), model.predict_held_out(val, test), strict=True))
    metadata = FitMetadata(
        task=model.task.to_dict(),
        n_parameters=model.metadata["n_parameters"],
        best_epoch=model.metadata["best_epoch"],
        seconds=float(history["seconds"].sum() + history["val_seconds"].sum()) + model.refit.get("seconds", 0.0),
        history=[_without_nan(epoch) for epoch in model.history],
    )
    together = pd.concat([table.assign(**{PART: part}) for part, table in tables.items()], ignore_index=True)
    return metadata, together.drop(columns="sample", errors="ignore")


def fit_fold(job: tuple[FitSettings, int | None], shared: tuple[Examples, Ingest, int, Checkpoints]) -> Outcome:
    """Cut the parts of a row, then :func:`fit_row`.

    Args:
        job: The settings of the fit, and the fold that is test; None takes the configured one.
        shared: The examples of all parts, how they are split, the seed of the split, and where checkpoints are kept.
            All rows read the same table in memory; a row copies its parts for as long as it is trained.

    Raises:
        BeatwiseError: If training diverges.
    """
    config, fold = job
    raw_beats, ingest, seed, checkpoints = shared
    return fit_row(config, (*ingest_parts(raw_beats, ingest, seed, fold), checkpoints))


def _without_nan(epoch: Mapping[str, float]) -> dict[str, float | None]:
    """An epoch of a history for JSON, which has no NaN."""
    return {name: value if math.isfinite(value) else None for name, value in epoch.items()}


def average_rows(outcomes: Sequence[Outcome]) -> Outcome:
    """An ensemble of finished rows, which averages their predictions as the task says.

    Args:
        outcomes: Results of :func:`fit_row` for each, from the same examples.
    """
    metadata, tables = zip(*outcomes, strict=True)
    together = FitMetadata(
        task=metadata[0].task,
        n_parameters=sum(one.n_parameters or 0 for one in metadata),
        best_epoch=None,
        seconds=sum(one.seconds for one in metadata),
        history=[],
    )
    return together, together.fitted_task.average(tables)


def beside_naive(outcome: Outcome, fold: int | None) -> Outcome:
    """A finished row whose predictions can be measured together with those of other folds.

    Args:
        outcome: Result of :func:`fit_row`.
        fold: The fold that is test; None without cross-validation.
    """
    metadata, predictions = outcome
    predictions = metadata.fitted_task.with_naive(predictions)
    return metadata, predictions if fold is None else predictions.assign(**{FOLD: fold})


def pool_rows(outcomes: Sequence[Outcome]) -> Outcome:
    """The folds of a cross-validation as one row, whose predictions are measured once over the whole set.

    Args:
        outcomes: Results of :func:`beside_naive` for each fold, from the same examples.

    Returns:
        Metadata, with the means of parameters and best epoch and the sum of seconds; and the predictions of all folds.
        A validation example is there once for each fold in which it validated.
    """
    metadata, tables = zip(*outcomes, strict=True)
    together = FitMetadata(
        task=metadata[0].task,
        n_parameters=_mean([one.n_parameters for one in metadata]),
        best_epoch=_mean([one.best_epoch for one in metadata]),
        seconds=sum(one.seconds for one in metadata),
        history=[],
    )
    return together, pd.concat(tables, ignore_index=True)


def _mean(numbers: Sequence[int | None]) -> int | None:
    known = [number for number in numbers if number is not None]
    return round(fmean(known)) if known else None


def naive_rows(outcome: Outcome) -> dict[str, Outcome]:
    """What the naive models of the task predict for the examples of a row, by name.

    Args:
        outcome: Result of :func:`fit_row`.
    """
    metadata, predictions = outcome
    task = metadata.fitted_task
    val = predictions[predictions[PART] == "val"]
    found = task.naive_predictions(val, predictions)
    nothing = FitMetadata(task=metadata.task, n_parameters=None, best_epoch=None, seconds=0.0, history=[])
    return {name: (nothing, table) for name, table in found.items()}


def measure_row(predictions: pd.DataFrame, settings: tuple[Task, Evaluate, int]) -> tuple[dict[str, Any], pd.DataFrame]:
    """Measure a row from its predictions.

    Args:
        predictions: Predictions of :func:`fit_row`.
        settings: The fitted task, settings of the bootstrap, and its seed; the same for all rows, so that draw i holds
            the same examples in each.

    Returns:
        The result of ``Task.measure``, and the draws on test: one row each, a column for each compared metric.
    """
    task, evaluate, seed = settings
    val, test = (predictions[predictions[PART] == part].drop(columns=PART) for part in ("val", "test"))
    metrics, drawn = task.measure_and_draw(val, test, evaluate, seed)
    return metrics, pd.DataFrame({name: drawn[name] for name in task.compared})
