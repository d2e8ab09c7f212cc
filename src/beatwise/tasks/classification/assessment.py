"""All that is measured of a model beyond its scores, from the stored predictions."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import numpy as np
import pandas as pd

from beatwise.data.examples import Examples
from beatwise.data.features import RR_COLUMNS
from beatwise.data.summary import beat_lengths
from beatwise.tasks.classification.aami import measure_aami, uses_of_ec57
from beatwise.tasks.classification.calibration import measure_calibration
from beatwise.tasks.classification.curves import measure_curves
from beatwise.tasks.classification.intervals import draw_scores
from beatwise.tasks.classification.metrics import score
from beatwise.tasks.classification.mistakes import errors_by_length, errors_by_record, errors_by_rr
from beatwise.tasks.classification.operating_point import measure_thresholds, recall_thresholds
from beatwise.tasks.classification.predictions import class_names, probabilities
from beatwise.tasks.classification.prevalence import measure_predictive_value
from beatwise.tasks.classification.reject import coverage_threshold, measure_rejection, measure_risk_coverage
from beatwise.tasks.intervals import clusters_of

if TYPE_CHECKING:
    from beatwise.tasks.settings import Evaluate


def assess_predictions(
    val_predictions: pd.DataFrame, predictions: pd.DataFrame, evaluate: Evaluate, seed: int
) -> dict[str, Any]:
    """Curves, calibration, thresholds, predictive values, the reject option and the table of EC57, on test.

    The temperature, the threshold of each class and those of the reject option are chosen on validation.

    Returns:
        ``curves`` (``measure_curves``), ``calibration``
        (``measure_calibration``), ``wanted_recall`` and ``thresholds``
        (``measure_thresholds``), ``predictive_value``
        (``measure_predictive_value``), ``risk_coverage`` and ``rejections``, one a
        coverage (``beatwise.tasks.classification.reject``), ``ec57``: with five classes and with four
        (``measure_aami``), empty where the classes are others.
    """
    classes = class_names(predictions)
    val_target, target = (table["target"].to_numpy(np.int64) for table in (val_predictions, predictions))
    val_probability, probability = probabilities(val_predictions), probabilities(predictions)
    drawing: dict[str, Any] = {"draws": evaluate.bootstrap_draws, "seed": seed, "cluster": clusters_of(predictions)}
    sure: dict[str, Any] = {"confidence": evaluate.confidence, **drawing}
    drawn = draw_scores(target, probability, **drawing)
    thresholds = recall_thresholds(val_target, val_probability, evaluate.wanted_recall)
    return {
        "curves": measure_curves(target, probability, classes, **sure),
        "calibration": measure_calibration(
            val_target, val_probability, target, probability, classes, confidence=evaluate.confidence
        ),
        "wanted_recall": evaluate.wanted_recall,
        "thresholds": measure_thresholds(target, probability, classes, thresholds, **sure),
        "predictive_value": measure_predictive_value(target, probability, classes, drawn, evaluate.confidence),
        "risk_coverage": measure_risk_coverage(target, probability, **sure),
        "rejections": [
            measure_rejection(target, probability, classes, coverage_threshold(val_probability, coverage), **sure)
            for coverage in evaluate.coverages
        ],
        "ec57": [
            measure_aami(score(target, probability).confusion[0], classes, drawn.confusion, evaluate.confidence, out)
            for out in uses_of_ec57(classes)
        ],
    }


def find_errors(
    predictions: pd.DataFrame, beats: Examples, sample_rate: float | None, confidence: float
) -> pd.DataFrame:
    """Where the errors are: by length of the beat, by record and by RR interval, as far as these are known.

    Args:
        predictions: Predictions table.
        beats: The same beats.
        sample_rate: Samples per second (Hz).
        confidence: Confidence of the intervals.

    Returns:
        One row a group: ``by`` (``length``, ``record`` or ``rr``), ``record``, ``from`` and ``to`` (missing where they
        do not apply), the other columns like those of ``errors_by_record``.
    """
    tables = {}
    if len(beats.shape) == 1 and sample_rate is not None:
        tables["length"] = errors_by_length(predictions, beat_lengths(beats), sample_rate, confidence)
    if "record" in predictions:
        tables["record"] = errors_by_record(predictions, confidence)
    if beats.has(*RR_COLUMNS):
        tables["rr"] = errors_by_rr(predictions, beats.table, confidence)
    first = ["by", "record", "from", "to"]
    if not tables:
        return pd.DataFrame(columns=first).astype({"by": "str", "record": "str"})
    together = pd.concat([table.assign(by=by) for by, table in tables.items()], ignore_index=True)
    return together.reindex(columns=[*first, *together.columns.drop(first, errors="ignore")]).astype({"record": "str"})
