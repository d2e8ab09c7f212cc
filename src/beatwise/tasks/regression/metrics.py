"""Metrics of a regression, for many weightings of the examples at a time; a new one is one function."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from functools import cached_property, partial
from typing import Any, Final

import numpy as np

from beatwise.data.examples import PERSISTENCE
from beatwise.tasks.metrics import METRICS, F, Floats, Sample, ratio
from beatwise.tasks.regression.naive import HOUR_MEAN

TASK: Final = "regression"


class WeightedNumbers(Sample):
    """b samples of the same predictions."""

    def __init__(
        self,
        target: Floats,
        prediction: Floats,
        weights: Floats | None = None,
        forecasts: Mapping[str, Floats] | None = None,
    ) -> None:
        """Take the predictions.

        Args:
            target: ``float64 [n]``.
            prediction: ``float64 [n]``.
            weights: How often each example counts in each sample, ``float [b, n]``; None counts each once.
            forecasts: Naive forecasts by name, each ``float64 [n]`` (``naive_forecasts``).
        """
        super().__init__()
        self.forecasts = forecasts or {}
        self.target, self.error = target, prediction - target
        self.weights = np.ones((1, len(target)), dtype=np.float32) if weights is None else weights

    def mean(self, values: Floats) -> Floats:
        """Weighted mean of a value an example, ``float64 [b]``."""
        return self.weights @ values / self.weight

    @cached_property
    def weight(self) -> Floats:
        """Sum of the weights, ``float64 [b]``."""
        return self.weights.sum(axis=1, dtype=np.float64)

    @cached_property
    def variance(self) -> Floats:
        """Variance of the target, ``float64 [b]``."""
        centred = self.target - self.target.mean()
        return self.mean(centred**2) - self.mean(centred) ** 2


metric: Callable[..., Callable[[F], F]] = partial(METRICS.register, task=TASK, high=None, higher_is_better=False)


@metric("mse", label="mean squared error")
def mse(sample: WeightedNumbers) -> Floats:
    """Mean squared error, in squared units of the target."""
    return sample.mean(sample.error**2)


@metric("rmse", label="root mean squared error")
def rmse(sample: WeightedNumbers) -> Floats:
    """Root of the mean squared error, in units of the target."""
    return np.sqrt(sample["mse"])


@metric("mae", label="mean absolute error")
def mae(sample: WeightedNumbers) -> Floats:
    """Mean absolute error, in units of the target."""
    return sample.mean(np.abs(sample.error))


@metric("r2", label="R²", higher_is_better=True, low=None, high=1.0)
def r2(sample: WeightedNumbers) -> Floats:
    """Share of the target's variance that is explained; not defined where all targets are the same."""
    return 1 - ratio(sample["mse"], np.where(sample.variance > 0, sample.variance, 0.0))


def skill(sample: WeightedNumbers, forecast: str) -> Floats:
    """Share of a naive forecast's mean squared error that the model saves; NaN where that forecast is not known.

    1 - MSE / MSE of the forecast (Murphy, Mon. Weather Rev. 116, 1988): 1 without an error, 0 where the model is no
    better, below 0 where it is worse.
    """
    if forecast not in sample.forecasts:
        return np.full(len(sample.weights), np.nan)
    return 1 - ratio(sample["mse"], sample.mean((sample.forecasts[forecast] - sample.target) ** 2))


@metric(
    "skill_persistence", label="skill against persistence", higher_is_better=True, low=None, high=1.0, relative=True
)
def skill_persistence(sample: WeightedNumbers) -> Floats:
    """1 - MSE / MSE of persistence, the forecast that the last known target stays."""
    return skill(sample, PERSISTENCE)


@metric("skill_hour", label="skill against the hour's mean", higher_is_better=True, low=None, high=1.0, relative=True)
def skill_hour(sample: WeightedNumbers) -> Floats:
    """1 - MSE / MSE of the mean target of the hour of the day in train."""
    return skill(sample, HOUR_MEAN)


def every_metric(
    target: Floats,
    prediction: Floats,
    weights: Floats | None = None,
    forecasts: Mapping[str, Floats] | None = None,
) -> dict[str, Any]:
    """Every metric of a regression in each of b samples, each ``float64 [b]``."""
    sample = WeightedNumbers(target, prediction, weights, forecasts)
    return {name: sample[name] for name in METRICS.overall(TASK)}
