"""Nodes that predict once and measure what was predicted."""

from __future__ import annotations

from typing import Any

import pandas as pd

from beatwise.tasks.settings import Evaluate
from beatwise.tasks.tensors import TensorSet
from beatwise.training.trained_model import TrainedModel


def predict(model: TrainedModel, val_tensors: TensorSet, test_tensors: TensorSet) -> tuple[pd.DataFrame, pd.DataFrame]:
    """Predict validation and test, once.

    Args:
        model: A trained model.
        val_tensors: Tensors of the validation part.
        test_tensors: Tensors of the test part.

    Returns:
        Predictions of validation and of test, one row a beat.

    Raises:
        BeatwiseError: If the beats have been split differently since the model was trained.
    """
    model.check_split(val_tensors.fingerprint)
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
