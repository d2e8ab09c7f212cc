"""Predictions as a table: all that metrics are ever computed from."""

from __future__ import annotations

from typing import Any

import numpy as np
import numpy.typing as npt
import pandas as pd

from beatwise.data.examples import has_records
from beatwise.data.representations import TensorSet
from beatwise.data.splits import patients_of
from beatwise.tasks.classification.intervals import draw_scores, measure
from beatwise.tasks.classification.metrics import Scores
from beatwise.tasks.classification.operating_point import apply_factors, recall_first_factors
from beatwise.tasks.metrics import Floats
from beatwise.tasks.settings import Evaluate
from beatwise.training.trained_model import TrainedModel

PREFIX = "probability_"
# The patient of each beat; None where beats are drawn singly.
Clusters = npt.NDArray[np.str_] | None


def predict(model: TrainedModel, tensors: TensorSet) -> pd.DataFrame:
    """Predict every beat once.

    Args:
        model: A trained model.
        tensors: Made by the model's own specification.

    Returns:
        One row a beat, in order: ``target`` and ``prediction`` (class indices, int64), ``probability_<class>``
        (float32), and ``record`` and ``sample`` where they are known.
    """
    return prediction_table(tensors, model.probabilities(tensors))


def prediction_table(tensors: TensorSet, probability: npt.NDArray[np.float32]) -> pd.DataFrame:
    """Probabilities as a table, laid out as :func:`predict` says.

    Args:
        tensors: What was predicted.
        probability: ``float32 [n, n_classes]``.
    """
    table = pd.DataFrame({"target": tensors.y, "prediction": probability.argmax(axis=1)})
    for index, name in enumerate(tensors.spec.classes):
        table[f"{PREFIX}{name}"] = probability[:, index]
    if tensors.record is not None:
        table = table.assign(record=tensors.record, sample=tensors.sample)
    return table


def probability_columns(predictions: pd.DataFrame) -> list[str]:
    """Names of the probability columns, in the order of the classes' indices."""
    return [name for name in predictions.columns if name.startswith(PREFIX)]


def class_names(predictions: pd.DataFrame) -> list[str]:
    """Class names, read off the probability columns, in the order of their indices."""
    return [name.removeprefix(PREFIX) for name in probability_columns(predictions)]


def probabilities(predictions: pd.DataFrame) -> Floats:
    """The probability columns, ``float32 [n, n_classes]``."""
    return predictions[probability_columns(predictions)].to_numpy(np.float32)


def clusters_of(predictions: pd.DataFrame) -> Clusters:
    """What the bootstrap draws as a whole: the patient of each beat, ``str [n]``, by the record.

    Args:
        predictions: Predictions table.

    Returns:
        None where the records are not known, or there is one alone: beats are then drawn singly.
    """
    if not has_records(predictions):
        return None
    patients = patients_of(predictions)
    return patients if len(np.unique(patients)) > 1 else None


def measure_predictions(
    val_predictions: pd.DataFrame,
    predictions: pd.DataFrame,
    evaluate: Evaluate,
    seed: int,
    drawn: Scores | None = None,
) -> dict[str, Any]:
    """Metrics of validation and test, at the recall-first operating point too, and of the naive classifier on test.

    The naive classifier knows nothing but the class shares of the validation part: it always predicts the largest
    class, with the shares as probabilities.

    Args:
        val_predictions: Predictions of the validation part.
        predictions: Predictions of the test part.
        evaluate: Settings of the bootstrap and of the operating point.
        seed: Seed of the bootstrap.
        drawn: Bootstrap samples of test, where they have been made already.

    Returns:
        ``classes``, ``confidence``, ``bootstrap_draws``, and ``bootstrap_of``, ``patients`` where whole patients are
        drawn and ``beats`` where beats are drawn singly; what ``measure`` returns
        under ``test``, ``val``, ``naive`` and ``recall_first`` (test); ``class_factors``, by which probabilities are
        multiplied at the recall-first operating point, by class.
    """
    classes = class_names(predictions)
    val_target, target = (table["target"].to_numpy(np.int64) for table in (val_predictions, predictions))
    val_probability, probability = probabilities(val_predictions), probabilities(predictions)
    naive = np.tile(np.bincount(val_target, minlength=len(classes)) / len(val_target), (len(target), 1))
    factors = recall_first_factors(val_target, val_probability, evaluate.accuracy_floor)

    val_clusters, clusters = clusters_of(val_predictions), clusters_of(predictions)

    def measured(
        target: npt.NDArray[np.int64], probability: Floats, cluster: Clusters = clusters, drawn: Scores | None = None
    ) -> dict[str, Any]:
        drawn = drawn or draw_scores(target, probability, draws=evaluate.bootstrap_draws, seed=seed, cluster=cluster)
        return measure(target, probability, classes, drawn, evaluate.confidence)

    return {
        "classes": classes,
        "confidence": evaluate.confidence,
        "bootstrap_draws": evaluate.bootstrap_draws,
        "bootstrap_of": "beats" if clusters is None else "patients",
        "accuracy_floor": evaluate.accuracy_floor,
        "class_factors": dict(zip(classes, factors.tolist(), strict=True)),
        "test": measured(target, probability, drawn=drawn),
        "val": measured(val_target, val_probability, val_clusters),
        "naive": measured(target, naive),
        "recall_first": measured(target, apply_factors(probability, factors)),
    }


def flatten_scores(metrics: dict[str, Any]) -> dict[str, float]:
    """The values without intervals under short keys, ``test.macro_recall`` or ``test.recall.S``, for trackers."""
    flat: dict[str, float] = {}
    for part in ("test", "val", "recall_first"):
        scores = metrics[part]
        flat |= {f"{part}.{name}": metric["value"] for name, metric in scores["overall"].items()}
        for label in metrics["classes"]:
            named = {name: metric for name, metric in scores["per_class"][label].items() if name != "support"}
            flat |= {f"{part}.{name}.{label}": metric["value"] for name, metric in named.items()}
    return {key: value for key, value in flat.items() if value is not None}
