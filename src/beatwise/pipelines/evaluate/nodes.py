"""Nodes that predict once and measure what was predicted."""

from __future__ import annotations

from typing import Any

import numpy as np
import pandas as pd

from beatwise.core.errors import BeatwiseError
from beatwise.data.examples import Examples
from beatwise.tasks.settings import Evaluate
from beatwise.tasks.tensors import TensorSet
from beatwise.training.trained_model import TrainedModel


def rebuild_tensors(model: TrainedModel, val_beats: Examples, test_beats: Examples) -> tuple[TensorSet, TensorSet]:
    """Build the tensors that a stored model takes, whatever representation was configured since.

    Args:
        model: The stored model.
        val_beats: Beats table of the validation part.
        test_beats: Beats table of the test part.

    Returns:
        Tensors of validation and test.

    Raises:
        BeatwiseError: If the beats have been split differently since the model was trained: what is test now may have
            been trained on.
    """
    check_split(model, val_beats.fingerprint)
    return model.tensors(val_beats), model.tensors(test_beats)


def predict(model: TrainedModel, val_tensors: TensorSet, test_tensors: TensorSet) -> tuple[pd.DataFrame, pd.DataFrame]:
    """Predict validation and test, once.

    Args:
        model: A trained model.
        val_tensors: Tensors of the validation part.
        test_tensors: Tensors of the test part.

    Returns:
        Predictions of validation and of test, one row a beat.
    """
    check_split(model, val_tensors.fingerprint)
    return model.predict(val_tensors), model.predict(test_tensors)


def measure(
    model: TrainedModel, val_predictions: pd.DataFrame, predictions: pd.DataFrame, evaluate: Evaluate, seed: int
) -> dict[str, Any]:
    """Compute every metric from the stored predictions.

    Args:
        model: The model that predicted; the metrics name it.
        val_predictions: Predictions of the validation part.
        predictions: Predictions of the test part.
        evaluate: Settings of the bootstrap and of the operating point.
        seed: Seed of the bootstrap.

    Returns:
        See ``Task.measure``; and ``model``, the fingerprint of the model.
    """
    return {"model": model.fingerprint, **model.task.measure(val_predictions, predictions, evaluate, seed)}


def assess(
    model: TrainedModel, val_predictions: pd.DataFrame, predictions: pd.DataFrame, evaluate: Evaluate, seed: int
) -> dict[str, Any]:
    """Compute curves, calibration, thresholds and the rest from the stored predictions.

    Args:
        model: The model that predicted; its task says what is assessed.
        val_predictions: Predictions of the validation part.
        predictions: Predictions of the test part.
        evaluate: Settings of the bootstrap, the wanted recall and the coverages.
        seed: Seed of the bootstrap.

    Returns:
        See ``Task.assess``.
    """
    return model.task.assess(val_predictions, predictions, evaluate, seed)


def find_mistakes(
    predictions: pd.DataFrame, test_beats: Examples, evaluate: Evaluate, sample_rate: float
) -> tuple[pd.DataFrame, pd.DataFrame]:
    """Find the most confident mistakes of each class, and where errors are frequent.

    Args:
        predictions: Predictions of the test part.
        test_beats: Beats table of the test part.
        evaluate: Mistakes of each class, and confidence of the intervals.
        sample_rate: Samples per second (Hz).

    Returns:
        See ``most_confident_mistakes`` and
        ``find_errors``.

    Raises:
        BeatwiseError: If the beats are not those that were predicted.
    """
    from beatwise.tasks.classification.assessment import find_errors
    from beatwise.tasks.classification.mistakes import most_confident_mistakes

    if not np.array_equal(predictions["target"], test_beats.target):
        raise BeatwiseError(
            "The latest predictions are not of today's test beats. Measure the model again: `kedro run "
            "--pipeline=evaluate`."
        )
    return (
        most_confident_mistakes(predictions, evaluate.mistakes_per_class),
        find_errors(predictions, test_beats, sample_rate, evaluate.confidence),
    )


def check_split(model: TrainedModel, val_fingerprint: str) -> None:
    """Refuse beats that have been split differently since a model was trained.

    Args:
        model: The model.
        val_fingerprint: Fingerprint of today's validation beats.

    Raises:
        BeatwiseError: If they are not those of then.
    """
    if val_fingerprint != model.metadata["val_fingerprint"]:
        raise BeatwiseError(
            "The beats have been split differently since this model was trained, so today's test beats may be among "
            "those it was trained on. Run `kedro run --pipeline=ingest` with the split and seed of the model's own "
            "run first."
        )
