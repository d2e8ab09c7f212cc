"""Which beats are mistaken: the most confident mistakes, and the share of errors by record, length and RR interval."""

from __future__ import annotations

from typing import Any, Final

import numpy as np
import numpy.typing as npt
import pandas as pd

from beatwise.core.errors import BeatwiseError
from beatwise.data.examples import Examples
from beatwise.data.features import RR_COLUMNS
from beatwise.tasks.classification.predictions import class_names, probabilities
from beatwise.tasks.intervals import wilson_interval
from beatwise.tasks.metrics import Floats
from beatwise.tasks.settings import Evaluate

BEATS: Final = "beats_"
ERRORS: Final = "errors_"
# RR interval before the beat over the local mean, in steps of a tenth; what is beyond is taken together.
RR_EDGES: Final = np.round(np.arange(0.5, 1.55, 0.1), 1)


def find_mistakes(
    predictions: pd.DataFrame, test_beats: Examples, evaluate: Evaluate, sample_rate: float | None
) -> tuple[pd.DataFrame, pd.DataFrame]:
    """Find the most confident mistakes (:func:`most_confident_mistakes`), and where errors are frequent.

    Args:
        predictions: Predictions of the test part.
        test_beats: The test part.
        evaluate: Mistakes of each class, and confidence of the intervals.
        sample_rate: Samples per second (Hz).

    Raises:
        BeatwiseError: If the beats are not those that were predicted.
    """
    from beatwise.tasks.classification.assessment import find_errors

    if not np.array_equal(predictions["target"], test_beats.target):
        raise BeatwiseError(
            "The latest predictions are not of today's test beats. Measure the model again: `kedro run "
            "--pipeline=evaluate`."
        )
    return (
        most_confident_mistakes(predictions, evaluate.mistakes_per_class),
        find_errors(predictions, test_beats, sample_rate, evaluate.confidence),
    )


def most_confident_mistakes(predictions: pd.DataFrame, per_class: int) -> pd.DataFrame:
    """The mistakes with the highest probability, for each true class.

    Returns:
        One row a mistake, by class, the most confident first: ``beat`` (place in the table), ``target`` and
        ``prediction`` (class indices), ``probability`` (of the prediction), ``probability_of_truth``, and ``record``
        and ``sample`` where they are known.
    """
    probability = probabilities(predictions)
    target, prediction = (predictions[name].to_numpy(np.int64) for name in ("target", "prediction"))
    beat = np.arange(len(predictions))
    table = pd.DataFrame(
        {
            "beat": beat,
            "target": target,
            "prediction": prediction,
            "probability": probability[beat, prediction],
            "probability_of_truth": probability[beat, target],
            **{name: predictions[name].to_numpy() for name in ("record", "sample") if name in predictions},
        }
    )
    most_confident = table[prediction != target].sort_values(
        ["target", "probability"], ascending=[True, False], kind="stable"
    )
    return most_confident.groupby("target").head(per_class).reset_index(drop=True)


def errors_by_record(predictions: pd.DataFrame, confidence: float) -> pd.DataFrame:
    """The share of errors in each record, the record with most errors first.

    Returns:
        One row a record: ``record``; ``beats``, ``errors``, ``error``, the share, with ``low`` and ``high``
        (Wilson's interval); and of each true class ``beats_<class>`` and ``errors_<class>``.

    Raises:
        BeatwiseError: If the records are not known.
    """
    if "record" not in predictions:
        raise BeatwiseError(
            "Errors by record need the column 'record', which these predictions do not have. Use a source that says "
            "which record each beat comes from, or leave this table out."
        )
    table = _errors_by(predictions, predictions["record"].to_numpy(), "record", confidence)
    return table.sort_values(["errors", "beats"], ascending=False, kind="stable").reset_index(drop=True)


def errors_by_length(
    predictions: pd.DataFrame,
    lengths: npt.NDArray[np.integer[Any]],
    sample_rate: float,
    confidence: float,
    step_ms: float = 100.0,
) -> pd.DataFrame:
    """The share of errors over the length of a beat without its padding.

    Args:
        predictions: Predictions table.
        lengths: Length of each beat in samples, ``int [n]``.
        sample_rate: Samples per second (Hz).
        confidence: Confidence of the intervals.
        step_ms: Width of a bin in ms.

    Returns:
        One row a bin that holds beats: ``from`` and ``to`` (ms; a beat on an edge is in the upper bin), the other
        columns like those of :func:`errors_by_record`.

    Raises:
        BeatwiseError: If there is not one length a beat.
    """
    milliseconds = lengths / sample_rate * 1000
    last = np.floor(milliseconds.max() / step_ms) + 1
    return _errors_by_bin(predictions, milliseconds, np.arange(last + 1) * step_ms, confidence)


def errors_by_rr(predictions: pd.DataFrame, beats: pd.DataFrame, confidence: float) -> pd.DataFrame:
    """The share of errors over the RR interval before the beat, relative to the local mean: below 1 a beat is early.

    Returns:
        One row a bin that holds beats: ``from`` and ``to`` (a ratio; the first and the last bin reach to the smallest
        and the largest), the other columns like those of :func:`errors_by_record`.

    Raises:
        BeatwiseError: If the RR intervals are not known, or the two tables are not of the same beats.
    """
    if not set(RR_COLUMNS) <= set(beats.columns):
        raise BeatwiseError(
            f"Errors by RR interval need the columns {', '.join(RR_COLUMNS)}, which these beats do not have. Use a "
            "source with RR intervals, or leave this table out."
        )
    ratio = beats["rr_before"].to_numpy(np.float64) / beats["rr_local_mean"].to_numpy(np.float64)
    edges = [min(ratio.min(), RR_EDGES[0]), *RR_EDGES, max(np.nextafter(ratio.max(), np.inf), RR_EDGES[-1])]
    return _errors_by_bin(predictions, ratio, np.unique(edges), confidence)


def _errors_by_bin(predictions: pd.DataFrame, values: Floats, edges: Floats, confidence: float) -> pd.DataFrame:
    if len(values) != len(predictions):
        raise BeatwiseError(
            f"There are predictions for {len(predictions):,} beats and values of {len(values):,}: give those of the "
            "beats that were predicted, in their order."
        )
    place = np.searchsorted(edges, values, side="right") - 1
    table = _errors_by(predictions, place, "from", confidence)
    table.insert(1, "to", edges[table["from"] + 1])
    return table.assign(**{"from": edges[table["from"]]})


def _errors_by(predictions: pd.DataFrame, group: npt.NDArray[Any], name: str, confidence: float) -> pd.DataFrame:
    target = predictions["target"].to_numpy(np.int64)
    wrong = predictions["prediction"].to_numpy(np.int64) != target
    by_class: dict[str, npt.NDArray[np.bool_]] = {}
    for index, label in enumerate(class_names(predictions)):
        by_class |= {f"{BEATS}{label}": target == index, f"{ERRORS}{label}": wrong & (target == index)}
    counts = pd.DataFrame({"beats": True, "errors": wrong, **by_class}).astype(np.int64)
    table = counts.groupby(group).sum().rename_axis(name).reset_index()
    low, high = wilson_interval(table["errors"], table["beats"], confidence)
    table = table.assign(error=table["errors"] / table["beats"], low=low, high=high)
    return table[[name, "beats", "errors", "error", "low", "high", *by_class]]
