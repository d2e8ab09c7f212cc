"""Naive forecasts of a number, which a model has to beat, and where its errors are large."""

from __future__ import annotations

from typing import Any, Final

import numpy as np
import pandas as pd

from beatwise.data.examples import GROUP, PERSISTENCE, TARGET, TIME, are_times
from beatwise.tasks.metrics import Floats

HOUR_MEAN: Final = "hour_mean"
# Columns of predictions that hold the forecasts that were fitted on train.
FITTED: Final = {"mean": "naive_mean", HOUR_MEAN: "naive_hour_mean"}
HOURS: Final = 24
# Largest errors that are listed.
WORST: Final = 20
# More groups than these are no rows of a table.
GROUPS_AT_MOST: Final = 40


def hour_means(target: Floats, time: pd.Series | None) -> tuple[float, ...]:
    """The mean target of each hour of the day, 24 numbers; the mean of all where an hour has no example.

    Args:
        target: Targets of the training part, ``float64 [n]``.
        time: When each was, ``[n]``.

    Returns:
        Empty where the times are not known.
    """
    if not are_times(time):
        return ()
    by_hour = pd.Series(target).groupby(time.dt.hour.to_numpy()).mean()
    return tuple(by_hour.reindex(range(HOURS), fill_value=float(target.mean())).tolist())


def naive_forecasts(predictions: pd.DataFrame, by_hour: tuple[float, ...]) -> dict[str, Floats]:
    """The naive forecasts that are known beside that of the mean, each ``float64 [n]``.

    Args:
        predictions: Predictions table.
        by_hour: Result of :func:`hour_means`.

    Returns:
        ``persistence``, the last known target; ``hour_mean``, the mean target of the hour of the day in train.
    """
    known: dict[str, Floats] = {}
    if PERSISTENCE in predictions:
        known[PERSISTENCE] = predictions[PERSISTENCE].to_numpy(np.float64)
    if FITTED[HOUR_MEAN] in predictions:
        known[HOUR_MEAN] = predictions[FITTED[HOUR_MEAN]].to_numpy(np.float64)
    elif by_hour and are_times(predictions.get(TIME)):
        known[HOUR_MEAN] = np.array(by_hour)[predictions[TIME].dt.hour.to_numpy()]
    return known


def worst_errors(predictions: pd.DataFrame) -> pd.DataFrame:
    """The examples with the largest errors, the largest first.

    Returns:
        ``example`` (row in the predictions), ``time``, ``group``, ``record`` and ``persistence`` where they are known,
        ``target``, ``prediction`` and ``error`` (prediction less target).
    """
    error = predictions["prediction"] - predictions[TARGET]
    rows = error.abs().sort_values(ascending=False, kind="stable").index[:WORST]
    names = [name for name in (TIME, GROUP, "record", TARGET, "prediction", PERSISTENCE) if name in predictions]
    found = predictions.loc[rows, names].assign(error=error[rows])
    return found.rename_axis("example").reset_index()


def errors_by(predictions: pd.DataFrame, forecasts: dict[str, Floats]) -> dict[str, list[dict[str, Any]]]:
    """The errors month by month and hour by hour, or group by group where the times are not known.

    Args:
        predictions: Predictions table.
        forecasts: Result of :func:`naive_forecasts`.

    Returns:
        Of ``month`` (2004-11), ``hour`` (07) and ``group`` those that are known, in order: the ``name`` of each, how
        many examples it has (``n``), ``rmse``, ``mae``, ``bias`` (mean of prediction less target), and the ``rmse`` of
        each naive forecast by its name.
    """
    by: dict[str, Any] = {}
    if are_times(time := predictions.get(TIME)):
        by = {"month": time.dt.strftime("%Y-%m").to_numpy(), "hour": time.dt.strftime("%H").to_numpy()}
    elif GROUP in predictions and predictions[GROUP].nunique() <= GROUPS_AT_MOST:
        by = {"group": predictions[GROUP].to_numpy(dtype=str)}
    target = predictions[TARGET].to_numpy(np.float64)
    error = predictions["prediction"].to_numpy(np.float64) - target
    values = {
        "mse": error**2,
        "mae": np.abs(error),
        "bias": error,
        **{name: (naive - target) ** 2 for name, naive in forecasts.items()},
    }
    found: dict[str, list[dict[str, Any]]] = {}
    for name, labels in by.items():
        table = pd.DataFrame(values).groupby(labels).agg(["mean", "size"])
        found[name] = [
            {
                "name": str(label),
                "n": int(row["mse", "size"]),
                "rmse": float(np.sqrt(row["mse", "mean"])),
                "mae": float(row["mae", "mean"]),
                "bias": float(row["bias", "mean"]),
                **{naive: float(np.sqrt(row[naive, "mean"])) for naive in forecasts},
            }
            for label, row in table.iterrows()
        ]
    return found
