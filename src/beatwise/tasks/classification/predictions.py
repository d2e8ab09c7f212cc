"""Predictions of a classification as a table: every metric is computed from it alone."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from typing import TYPE_CHECKING, Any

import numpy as np
import numpy.typing as npt
import pandas as pd

from beatwise.data.examples import FOLD
from beatwise.tasks.classification.intervals import draw_scores, measure
from beatwise.tasks.classification.metrics import Scores
from beatwise.tasks.classification.operating_point import apply_factors, recall_first_point
from beatwise.tasks.intervals import Clusters, clusters_of
from beatwise.tasks.metrics import Floats

if TYPE_CHECKING:
    from beatwise.tasks.settings import Evaluate

Mask = npt.NDArray[np.bool_]
PREFIX = "probability_"


def prediction_table(
    target: npt.NDArray[np.int64] | None, probability: npt.NDArray[np.float32], classes: Sequence[str]
) -> pd.DataFrame:
    """Probabilities as a table.

    Args:
        target: Class indices, ``int64 [n]``; None where they are not known.
        probability: ``float32 [n, n_classes]``.
        classes: Class names in the order of their indices.

    Returns:
        One row an example, in order: ``target`` where it is known, and ``prediction`` (class indices, int64), and
        ``probability_<class>`` (float32).
    """
    known = {} if target is None else {"target": target}
    columns = {f"{PREFIX}{name}": probability[:, index] for index, name in enumerate(classes)}
    return pd.DataFrame({**known, "prediction": probability.argmax(axis=1), **columns})


def probability_columns(predictions: pd.DataFrame) -> list[str]:
    """Names of the probability columns, in the order of the classes' indices."""
    return [name for name in predictions.columns if name.startswith(PREFIX)]


def class_names(predictions: pd.DataFrame) -> list[str]:
    """Class names, read off the probability columns, in the order of their indices."""
    return [name.removeprefix(PREFIX) for name in probability_columns(predictions)]


def probabilities(predictions: pd.DataFrame) -> Floats:
    """The probability columns, ``float32 [n, n_classes]``."""
    return predictions[probability_columns(predictions)].to_numpy(np.float32)


def naive_predictions(val_predictions: pd.DataFrame, predictions: pd.DataFrame) -> pd.DataFrame:
    """Predictions of the naive classifier, which knows nothing but the class shares of the validation part.

    It always predicts the largest class, with the shares as probabilities; in each fold of a cross-validation those of
    the fold's own validation part.
    """
    shares = _class_shares(val_predictions, predictions)
    table = predictions.assign(prediction=shares.argmax(axis=1))
    table[probability_columns(table)] = shares.astype(np.float32)
    return table


def _class_shares(val_predictions: pd.DataFrame, predictions: pd.DataFrame) -> Floats:
    shares = np.empty((len(predictions), len(class_names(predictions))))
    for val, rows in _folds(val_predictions, predictions):
        target = val_predictions["target"].to_numpy(np.int64)[val]
        shares[rows] = np.bincount(target, minlength=shares.shape[1]) / len(target)
    return shares


def _folds(val_predictions: pd.DataFrame, predictions: pd.DataFrame) -> Iterator[tuple[Mask, Mask]]:
    """Rows of the validation part of each fold, and of the examples for which it chooses; of all without folds."""
    if FOLD not in predictions:
        yield np.ones(len(val_predictions), bool), np.ones(len(predictions), bool)
        return
    for fold in predictions[FOLD].unique():
        yield tuple((table[FOLD] == fold).to_numpy() for table in (val_predictions, predictions))


def average_predictions(tables: Sequence[pd.DataFrame]) -> pd.DataFrame:
    """The mean of the probabilities of several models for the same examples, and the class with the largest."""
    mean = np.mean([probabilities(table) for table in tables], axis=0)
    averaged = tables[0].assign(prediction=mean.argmax(axis=1))
    averaged[probability_columns(averaged)] = mean
    return averaged


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

    Returns:
        ``classes``, ``confidence``, ``bootstrap_draws``, and ``bootstrap_of``, ``patients`` where whole patients are
        drawn and ``beats`` where beats are drawn singly; ``patients``, how many of test are drawn, None where beats
        are; what ``measure`` returns under ``test``, ``val``, ``naive`` and ``recall_first`` (test);
        ``class_factors``, by which probabilities are multiplied at the recall-first operating point, by class;
        ``floor_reached``, whether any factors reach the accuracy floor on validation, and ``floor_accuracy``, the
        accuracy there of the best that were found. With a column ``fold`` factors are chosen and applied fold by fold:
        these are then their mean, all, and the lowest accuracy.
    """
    classes = class_names(predictions)
    val_target, target = (table["target"].to_numpy(np.int64) for table in (val_predictions, predictions))
    val_probability, probability = probabilities(val_predictions), probabilities(predictions)
    naive = _class_shares(val_predictions, predictions)
    chosen, recall_first = [], np.empty(probability.shape)
    for val, rows in _folds(val_predictions, predictions):
        chosen.append(recall_first_point(val_target[val], val_probability[val], evaluate.accuracy_floor))
        recall_first[rows] = apply_factors(probability[rows], chosen[-1].factors)
    factors = np.mean([point.factors for point in chosen], axis=0)

    val_clusters, clusters = clusters_of(val_predictions), clusters_of(predictions)

    def measured(
        target: npt.NDArray[np.int64],
        probability: Floats,
        cluster: Clusters = clusters,
        drawn: Scores | None = None,
        **options: bool,
    ) -> dict[str, Any]:
        drawn = drawn or draw_scores(target, probability, draws=evaluate.bootstrap_draws, seed=seed, cluster=cluster)
        return measure(target, probability, classes, drawn, evaluate.confidence, **options)

    return {
        "classes": classes,
        "confidence": evaluate.confidence,
        "bootstrap_draws": evaluate.bootstrap_draws,
        "bootstrap_of": "beats" if clusters is None else "patients",
        "patients": None if clusters is None else len(np.unique(clusters)),
        "accuracy_floor": evaluate.accuracy_floor,
        "class_factors": dict(zip(classes, factors.tolist(), strict=True)),
        "floor_reached": all(point.reached for point in chosen),
        "floor_accuracy": min(point.accuracy for point in chosen),
        "test": measured(target, probability, drawn=drawn),
        "val": measured(val_target, val_probability, val_clusters),
        "naive": measured(target, naive, estimated=False),
        "recall_first": measured(target, recall_first),
    }
