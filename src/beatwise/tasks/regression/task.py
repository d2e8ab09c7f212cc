"""Regression: a number for each example."""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, field, replace
from typing import TYPE_CHECKING, Any, ClassVar, Final, Self

import numpy as np
import numpy.typing as npt
import pandas as pd

from beatwise.core.errors import BeatwiseError
from beatwise.core.settings import Choice
from beatwise.data.examples import GROUP, TARGET, TIME, are_times
from beatwise.tasks.base import TASKS, Array, Task, TrainSettings, finite_numbers
from beatwise.tasks.intervals import (
    Clusters,
    Outcome,
    bootstrap,
    clusters_of,
    interval,
    interval_ends,
    outcome_of,
    paired_differences,
)
from beatwise.tasks.metrics import METRICS, Floats
from beatwise.tasks.regression.metrics import WeightedNumbers, every_metric
from beatwise.tasks.regression.naive import FITTED, errors_by, hour_means, naive_forecasts, worst_errors

if TYPE_CHECKING:
    from torch import Tensor

    from beatwise.data.examples import Examples
    from beatwise.tasks.objective import Objective
    from beatwise.tasks.settings import Evaluate

# Which model to use, by the outcome of the metric that was searched for.
ADVICE: Final[dict[Outcome, str]] = {
    "better": "Use the tuned model.",
    "no different": "Keep the baseline: this test part shows no gain from the search.",
    "worse": "Keep the baseline.",
}


@TASKS.register("regression")
@dataclass(frozen=True)
class Regression(Task):
    """One number for each example; a network learns it standardised.

    Attributes:
        mean: Mean of the target over the training part, in its own unit.
        sd: Standard deviation of the target over the training part.
        by_hour: Mean of the target over the training part in each hour of the day, 24 numbers; empty where the times
            are not known.

    Args:
        label: What the target is called in tables and figures.
        unit: Its unit there, e.g. µg/m³; empty for none.
    """

    name: ClassVar[str] = "regression"
    default_loss: ClassVar[str] = "mse"
    default_monitor: ClassVar[str] = "rmse"
    default_objective: ClassVar[str] = "rmse"
    tracked: ClassVar[tuple[str, ...]] = ("rmse", "mae", "r2")
    shown: ClassVar[tuple[str, ...]] = ("rmse", "r2")
    compared: ClassVar[tuple[str, ...]] = ("mse", "rmse", "mae", "r2")
    ranked: ClassVar[tuple[str, ...]] = ("mse",)

    mean: float = 0.0
    sd: float = 1.0
    by_hour: tuple[float, ...] = ()
    label: str = field(default="target", kw_only=True)
    unit: str = field(default="", kw_only=True)

    @property
    def n_outputs(self) -> int:
        """One."""
        return 1

    def fitted(self, target: npt.ArrayLike, time: pd.Series | None = None) -> Self:
        """The task with mean, standard deviation and hourly means of train; equal targets have a deviation of 1."""
        numbers = _numbers(target)
        mean, sd = float(numbers.mean()), float(numbers.std()) or 1.0
        return replace(self, mean=mean, sd=sd, by_hour=hour_means(numbers, time))

    def encode(self, target: npt.ArrayLike) -> npt.NDArray[np.float32]:
        """Standardised targets, ``float32 [n]``.

        Args:
            target: Finite numbers, ``[n]``.

        Raises:
            BeatwiseError: If a target is missing or not a finite number.
        """
        return ((_numbers(target) - self.mean) / self.sd).astype(np.float32)

    def in_units(self, standardised: npt.NDArray[Any]) -> Floats:
        """Numbers in the unit of the target, ``float64``, from standardised ones."""
        return standardised.astype(np.float64) * self.sd + self.mean

    def objective(self, y: Tensor, settings: TrainSettings) -> Objective:
        """The loss of standardised numbers; each example counts once."""
        import torch

        from beatwise.tasks.objective import Objective

        loss, ones = self.loss(settings.loss), torch.ones(1, device=y.device)
        return Objective(
            loss=lambda outputs, target, reduction="mean": loss(outputs, target, ones, 0 * ones, reduction),
            target=lambda rows: y[rows, None],
            draw_weights=None,
            initial_bias=loss.initial_bias(0 * ones, 0.0),
        )

    def decode(self, outputs: Tensor, loss: Choice) -> Array:
        """Numbers in the unit of the target, ``float32 [n, 1]``."""
        return self.in_units(self.loss(loss).decode(outputs).cpu().numpy()).astype(np.float32)

    def scores(self, y: npt.NDArray[Any], decoded: Array, names: Iterable[str]) -> dict[str, float]:
        """Overall metrics, in units of the target."""
        sample = WeightedNumbers(self.in_units(y), decoded[:, 0].astype(np.float64))
        return {name: float(sample[name][0]) for name in names}

    def refuse_unsuitable(self, settings: TrainSettings, resampling: str) -> None:
        """Refuse what needs classes: their weights, sampling by them, resampling, and grafts within one.

        Raises:
            BeatwiseError: If one of them is asked for.
        """
        chosen: list[tuple[str, Any, Any]] = [
            ("train.class_weights.use", settings.class_weights.use, "none"),
            ("train.sampler_power", settings.sampler_power, 0),
            ("resample.use", resampling, "none"),
        ]
        if "graft" in settings.augment.use:
            chosen.append(("train.augment.use", "graft", "every other augmentation"))
        for key, given, allowed in chosen:
            if given != allowed:
                raise BeatwiseError(f"{key}: {given!r} needs classes, and a regression has none; allowed: {allowed}.")

    def trained_on(self, y: npt.NDArray[Any]) -> dict[str, Any]:
        """Number of examples; mean and standard deviation of the target before resampling."""
        return {"examples": len(y), "mean": self.mean, "sd": self.sd}

    def prediction_table(self, y: npt.NDArray[Any] | None, decoded: Array) -> pd.DataFrame:
        """Target and prediction in the unit of the target, float64."""
        known = {} if y is None else {"target": self.in_units(y)}
        return pd.DataFrame({**known, "prediction": decoded[:, 0].astype(np.float64)})

    def with_naive(self, predictions: pd.DataFrame) -> pd.DataFrame:
        """Predictions beside the mean of train, and the mean of train in the hour of the day where it is known."""
        known = {"mean": self._mean(predictions), **naive_forecasts(predictions, self.by_hour)}
        return predictions.assign(**{column: known[name] for name, column in FITTED.items() if name in known})

    def _mean(self, predictions: pd.DataFrame) -> Floats:
        """The mean of the training part that each prediction was made from."""
        if FITTED["mean"] in predictions:
            return predictions[FITTED["mean"]].to_numpy(np.float64)
        return np.full(len(predictions), self.mean)

    def naive_predictions(self, val_predictions: pd.DataFrame, predictions: pd.DataFrame) -> dict[str, pd.DataFrame]:
        """The mean of train, the last known target, and the mean of the hour of the day, as far as they are known."""
        known = {"mean": self._mean(predictions), **naive_forecasts(predictions, self.by_hour)}
        return {name.replace("_", " "): predictions.assign(prediction=values) for name, values in known.items()}

    def average(self, tables: Sequence[pd.DataFrame]) -> pd.DataFrame:
        """The mean of the predictions."""
        return tables[0].assign(prediction=np.mean([table["prediction"] for table in tables], axis=0))

    def measure_and_draw(
        self, val_predictions: pd.DataFrame, predictions: pd.DataFrame, evaluate: Evaluate, seed: int
    ) -> tuple[dict[str, Any], Mapping[str, Floats]]:
        """Measure a model and the naive forecasts: the mean of train, and ``persistence`` and ``hour_mean`` if known.

        Returns:
            As for every task; with ``label`` and ``unit`` of the target, and of test the mean of prediction less target
            (``bias``) and the errors by month, hour or group (``by``, see ``errors_by``).
        """
        clusters, ends = clusters_of(predictions), interval_ends(evaluate.confidence)

        def measured(
            table: pd.DataFrame, prediction: Floats, cluster: Clusters
        ) -> tuple[dict[str, Any], Mapping[str, Floats]]:
            point, drawn = self._draw(table, prediction, cluster, evaluate, seed)
            overall = {name: interval(float(value), drawn[name], ends) for name, value in point.items()}
            return {"n": len(table), "overall": overall}, drawn

        val_predicted, predicted = (t["prediction"].to_numpy(np.float64) for t in (val_predictions, predictions))
        test, drawn = measured(predictions, predicted, clusters)
        known = naive_forecasts(predictions, self.by_hour)
        metrics = {
            "label": self.label,
            "unit": self.unit,
            "confidence": evaluate.confidence,
            "bootstrap_draws": evaluate.bootstrap_draws,
            "bootstrap_of": "examples" if clusters is None else _units(predictions),
            "patients": None if clusters is None else len(np.unique(clusters)),
            "test": {
                **test,
                "bias": float((predicted - predictions[TARGET]).mean()),
                "by": errors_by(predictions, known),
            },
            "val": measured(val_predictions, val_predicted, clusters_of(val_predictions))[0],
            "naive": measured(predictions, self._mean(predictions), clusters)[0],
            **{name: measured(predictions, forecast, clusters)[0] for name, forecast in known.items()},
        }
        return metrics, drawn

    def _draw(
        self, table: pd.DataFrame, prediction: Floats, cluster: Clusters, evaluate: Evaluate, seed: int
    ) -> tuple[dict[str, Floats], dict[str, Floats]]:
        """Every metric of a prediction, and the same in each bootstrap sample."""
        target, forecasts = table[TARGET].to_numpy(np.float64), naive_forecasts(table, self.by_hour)
        return bootstrap(
            lambda weights: every_metric(target, prediction, weights, forecasts),
            len(table),
            draws=evaluate.bootstrap_draws,
            seed=seed,
            cluster=cluster,
        )

    def find_mistakes(
        self, predictions: pd.DataFrame, examples: Examples, evaluate: Evaluate, sample_rate: float | None
    ) -> tuple[pd.DataFrame, pd.DataFrame]:
        """The largest errors, and the errors by month, hour or group (``worst_errors``, ``errors_by``)."""
        target = examples.table[TARGET].to_numpy(np.float64)
        if len(target) != len(predictions) or not np.allclose(predictions[TARGET], target, atol=1e-5 * self.sd):
            raise BeatwiseError(
                "The latest predictions are not of today's test examples. Measure the model again: `kedro run "
                "--pipeline=evaluate`."
            )
        by = errors_by(predictions, naive_forecasts(predictions, self.by_hour))
        tables = [pd.DataFrame(rows).assign(by=name) for name, rows in by.items()]
        return worst_errors(predictions), pd.concat(tables, ignore_index=True) if tables else pd.DataFrame()

    def compare_with_baseline(
        self,
        predictions: tuple[pd.DataFrame, pd.DataFrame],
        metrics: tuple[Mapping[str, Any], Mapping[str, Any]],
        monitor: str,
        evaluate: Evaluate,
        seed: int,
    ) -> dict[str, Any]:
        """By the searched metric, over the same days or groups in each draw."""
        results = [
            self._draw(table, table["prediction"].to_numpy(np.float64), clusters_of(table), evaluate, seed)
            for table in predictions
        ]
        points, drawn = zip(*results, strict=True)
        overall = paired_differences(points, drawn, evaluate.confidence)
        outcome = outcome_of(overall[monitor], METRICS[monitor].sign)
        return {
            "n": len(predictions[1]),
            "overall": overall,
            "unit": self.unit,
            "confidence": evaluate.confidence,
            "bootstrap_draws": evaluate.bootstrap_draws,
            "bootstrap_of": metrics[1]["bootstrap_of"],
            "verdict": {
                "metric": monitor,
                "differences": {monitor: overall[monitor]},
                "outcomes": {monitor: outcome},
                "advice": ADVICE[outcome],
            },
        }


def _units(predictions: pd.DataFrame) -> str:
    """What a bootstrap of groups draws: days where every group lies within one."""
    if not are_times(time := predictions.get(TIME)):
        return "groups"
    days = time.dt.normalize().groupby(predictions[GROUP])
    return "days" if (days.min() == days.max()).all() else "groups"


def _numbers(target: npt.ArrayLike) -> Floats:
    given = np.asarray(target)
    finite = finite_numbers(given)
    if not finite.all():
        raise BeatwiseError(
            f"target: {(~finite).sum():,} of {len(given):,} examples have no number, the first {given[~finite][0]!r}; "
            "allowed: finite numbers."
        )
    return given.astype(np.float64)
