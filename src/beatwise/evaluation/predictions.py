"""Predictions as a table: all that metrics are ever computed from."""

from __future__ import annotations

from typing import Any

import numpy as np
import pandas as pd

from beatwise.evaluation.intervals import measure
from beatwise.evaluation.metrics import Floats
from beatwise.signals.representations import TensorSet
from beatwise.trained_model import TrainedModel

PREFIX = "probability_"


def predict(model: TrainedModel, tensors: TensorSet) -> pd.DataFrame:
    """Predict every beat once.

    Args:
        model: A trained model.
        tensors: Made by the model's own specification.

    Returns:
        One row a beat, in order: ``target`` and ``prediction`` (class indices, int64), ``probability_<class>``
        (float32), and ``record`` and ``sample`` where they are known.
    """
    probability = model.probabilities(tensors)
    table = pd.DataFrame({"target": tensors.y, "prediction": probability.argmax(axis=1)})
    for index, name in enumerate(model.spec.classes):
        table[f"{PREFIX}{name}"] = probability[:, index]
    if tensors.record is not None:
        table = table.assign(record=tensors.record, sample=tensors.sample)
    return table


def class_names(predictions: pd.DataFrame) -> list[str]:
    """Class names, read off the probability columns, in the order of their indices."""
    return [name.removeprefix(PREFIX) for name in predictions.columns if name.startswith(PREFIX)]


def probabilities(predictions: pd.DataFrame) -> Floats:
    """The probability columns, ``float32 [n, n_classes]``."""
    return predictions[[PREFIX + name for name in class_names(predictions)]].to_numpy(np.float32)


def measure_predictions(
    val_predictions: pd.DataFrame,
    predictions: pd.DataFrame,
    *,
    draws: int,
    confidence: float,
    seed: int,
) -> dict[str, Any]:
    """Metrics of validation and test, and of the naive classifier on test.

    The naive classifier knows nothing but the class shares of the validation part: it always predicts the largest
    class, with the shares as probabilities.

    Args:
        val_predictions: Predictions of the validation part.
        predictions: Predictions of the test part.
        draws: Bootstrap samples.
        confidence: Of the intervals.
        seed: Seed of the bootstrap.

    Returns:
        ``classes``, ``confidence``, ``bootstrap_draws``, and what :func:`~beatwise.evaluation.intervals.measure`
        returns under ``test``, ``val`` and ``naive``.
    """
    classes = class_names(predictions)
    shares = np.bincount(val_predictions["target"], minlength=len(classes)) / len(val_predictions)
    naive = np.tile(shares, (len(predictions), 1))

    def measured(target: pd.Series, probability: Floats) -> dict[str, Any]:
        return measure(target.to_numpy(np.int64), probability, classes, draws=draws, confidence=confidence, seed=seed)

    return {
        "classes": classes,
        "confidence": confidence,
        "bootstrap_draws": draws,
        "test": measured(predictions["target"], probabilities(predictions)),
        "val": measured(val_predictions["target"], probabilities(val_predictions)),
        "naive": measured(predictions["target"], naive),
    }


def flatten_scores(metrics: dict[str, Any]) -> dict[str, float]:
    """The values without intervals under short keys, ``test.macro_recall`` or ``test.recall.S``, for trackers."""
    flat: dict[str, float] = {}
    for part in ("test", "val"):
        scores = metrics[part]
        flat |= {f"{part}.{name}": metric["value"] for name, metric in scores["overall"].items()}
        for label in metrics["classes"]:
            named = {name: metric for name, metric in scores["per_class"][label].items() if name != "support"}
            flat |= {f"{part}.{name}.{label}": metric["value"] for name, metric in named.items()}
    return {key: value for key, value in flat.items() if value is not None}
