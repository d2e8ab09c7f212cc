"""Base class of tasks: the outputs of a network, the targets that they are compared with, and its metrics.

Training, search, comparison, figures and reports ask the task for everything that differs between classification and
regression. A task is small plain data, is stored with tensors and models, and needs no torch to be imported.
"""

from __future__ import annotations

from abc import ABC, abstractmethod
from collections.abc import Iterable, Mapping, Sequence
from typing import TYPE_CHECKING, Any, ClassVar, Protocol, Self

import numpy as np
import numpy.typing as npt

from beatwise.core.errors import BeatwiseError
from beatwise.core.registry import Registry
from beatwise.core.settings import Choice, Choices
from beatwise.tasks.metrics import METRICS, Floats

if TYPE_CHECKING:
    import pandas as pd
    from torch import Tensor

    from beatwise.data.examples import Examples
    from beatwise.tasks.loss import Loss
    from beatwise.tasks.objective import Objective
    from beatwise.tasks.settings import Evaluate

Array = npt.NDArray[np.float32]


class TrainSettings(Protocol):
    """The settings of a training that a task reads."""

    @property
    def loss(self) -> Choice:
        """The loss."""

    @property
    def class_weights(self) -> Choice:
        """The kind of class weights."""

    @property
    def sampler_power(self) -> float:
        """Examples are drawn with weight count^-p of their class."""

    @property
    def augment(self) -> Choices:
        """The augmentations."""

    @property
    def monitor(self) -> str | None:
        """The validation metric that picks the best epoch; None is the task's own."""


class ValHistory(Protocol):
    """The predictions for the validation part after each epoch; part of the state of a training."""

    def add(self, decoded: Array) -> None:
        """Add an epoch."""

    def state(self) -> dict[str, Any]:
        """All epochs so far, as tensors."""

    def set_state(self, state: Mapping[str, Any]) -> None:
        """Restore a :meth:`state`."""

    def metadata(self) -> dict[str, Any]:
        """Plain data for the metadata of the model."""

    def table(self) -> pd.DataFrame:
        """All epochs, one row an epoch and example."""


class Task(ABC):
    """One kind of question about an example; a subclass is a frozen dataclass.

    Attributes:
        name: Name of the task in the registry.
        default_loss: The loss that reads the outputs of a network that fits itself.
        default_monitor: Default validation metric that picks the best epoch.
        default_objective: Default validation metric of a search.
        tracked: Validation metrics in every history.
        shown: Those of them in the log after each epoch.
        compared: Metrics that a comparison shows for each row, the first ones on the screen.
        ranked: Those of them that rank the rows; the first one orders the leaderboard.
        listed: Further columns of a leaderboard, each a part of the measured metrics and a metric.
    """

    name: ClassVar[str]
    default_loss: ClassVar[str]
    default_monitor: ClassVar[str]
    default_objective: ClassVar[str]
    tracked: ClassVar[tuple[str, ...]]
    shown: ClassVar[tuple[str, ...]]
    compared: ClassVar[tuple[str, ...]]
    ranked: ClassVar[tuple[str, ...]]
    listed: ClassVar[tuple[tuple[str, str], ...]] = ()

    @property
    @abstractmethod
    def n_outputs(self) -> int:
        """Numbers that a network gives for one example."""

    @abstractmethod
    def encode(self, target: npt.ArrayLike) -> npt.NDArray[Any]:
        """Encode the column ``target`` for training.

        Args:
            target: One value an example, ``[n]``.

        Returns:
            A writable copy, ``[n]``.

        Raises:
            BeatwiseError: If a value cannot be a target of this task.
        """

    @property
    def class_names(self) -> tuple[str, ...]:
        """Names of the classes in the order of their indices; none where the target is a number."""
        return ()

    def fitted(self, target: npt.ArrayLike, time: pd.Series | None = None) -> Self:
        """The task, fitted on the training part before resampling; a classification has nothing to fit.

        Args:
            target: The column ``target`` of the training part, ``[n]``.
            time: Its column ``time``; None where it has none.
        """
        return self

    # --- training

    def loss(self, chosen: Choice) -> Loss:
        """The chosen loss with its options.

        Raises:
            BeatwiseError: If it belongs to another task.
        """
        from beatwise.tasks.losses import LOSSES

        loss = LOSSES[chosen.use]
        if loss.task != self.name:
            own = [name for name in LOSSES.names() if LOSSES[name].task == self.name]
            raise BeatwiseError(f"train.loss: {chosen.use} is no loss of a {self.name}; allowed: {', '.join(own)}.")
        return loss(**chosen.options)

    @abstractmethod
    def objective(self, y: Tensor, settings: TrainSettings) -> Objective:
        """The objective that a training minimises.

        Args:
            y: Encoded targets of the training part, resampled, ``[n]``.
            settings: Loss, class weights and sampling.

        Raises:
            BeatwiseError: If class weights do not fit the classes.
        """

    @abstractmethod
    def decode(self, outputs: Tensor, loss: Choice) -> Array:
        """Predictions from the outputs of a network, ``float32 [n, n_outputs]``.

        Args:
            outputs: ``float32 [n, n_outputs]``.
            loss: The loss that the network was trained with.
        """

    @abstractmethod
    def scores(self, y: npt.NDArray[Any], decoded: Array, names: Iterable[str]) -> dict[str, float]:
        """Overall metrics without intervals.

        Args:
            y: Encoded targets, ``[n]``.
            decoded: What :meth:`decode` returned.
            names: Names of the metrics.
        """

    def monitor(self, settings: TrainSettings) -> str:
        """The validation metric that picks the best epoch.

        Raises:
            BeatwiseError: If the chosen one belongs to another task.
        """
        if settings.monitor is None:
            return self.default_monitor
        if METRICS[settings.monitor].task != self.name:
            raise BeatwiseError(
                f"train.monitor: {settings.monitor} is no metric of a {self.name}; allowed: "
                f"{', '.join(METRICS.choosing(self.name))}."
            )
        return settings.monitor

    def history_metrics(self, settings: TrainSettings) -> list[str]:
        """The validation metrics of a history: those that the task tracks, and the monitored one."""
        return list(dict.fromkeys([*self.tracked, self.monitor(settings)]))

    def check(self, settings: TrainSettings, resampling: str) -> None:
        """Refuse settings that belong to another task or do not suit this one.

        Args:
            settings: Settings of the training.
            resampling: Name of the resampling strategy.

        Raises:
            BeatwiseError: If the loss or the monitor is another task's, or something cannot be weighted or sampled.
        """
        self.loss(settings.loss)
        self.monitor(settings)
        self.refuse_unsuitable(settings, resampling)

    def refuse_unsuitable(self, settings: TrainSettings, resampling: str) -> None:
        """Refuse settings that do not suit this task; a classification takes all.

        Args:
            settings: Class weights, sampling and augmentations.
            resampling: Name of the resampling strategy.

        Raises:
            BeatwiseError: If something cannot be weighted or sampled.
        """
        return

    def val_history(self, y: npt.NDArray[Any]) -> ValHistory | None:
        """An empty history of validation predictions, or None where the task keeps none.

        Args:
            y: Encoded targets of the validation part, ``[n]``.
        """
        return None

    @abstractmethod
    def trained_on(self, y: npt.NDArray[Any]) -> dict[str, Any]:
        """A summary of the training part for the metadata of a model, plain data.

        Args:
            y: Its encoded targets, ``[n]``.
        """

    # --- measuring

    @abstractmethod
    def prediction_table(self, y: npt.NDArray[Any] | None, decoded: Array) -> pd.DataFrame:
        """Predictions as a table, one row an example: every metric is computed from it alone.

        Args:
            y: Encoded targets, ``[n]``; None where they are not known.
            decoded: What :meth:`decode` returned.

        Returns:
            ``target`` where it is known, ``prediction``, and whatever else metrics need.
        """

    def with_naive(self, predictions: pd.DataFrame) -> pd.DataFrame:
        """Predictions beside what :meth:`fitted` knows of the training part, in columns of their own.

        Predictions of the folds of a cross-validation, whose training parts differ, are measured together. A
        classification needs nothing of the training part.
        """
        return predictions

    @abstractmethod
    def naive_predictions(self, val_predictions: pd.DataFrame, predictions: pd.DataFrame) -> dict[str, pd.DataFrame]:
        """Predictions of the models that a real one has to beat, by name.

        Args:
            val_predictions: Any predictions of the validation part, of which a naive model may know the targets.
            predictions: Any predictions of the examples, from :meth:`with_naive`.

        Returns:
            ``predictions``, with those of each naive model in their place.
        """

    @abstractmethod
    def average(self, tables: Sequence[pd.DataFrame]) -> pd.DataFrame:
        """The predictions of an ensemble: those of its members, averaged.

        Args:
            tables: Predictions of the same examples, one table a member.
        """

    @abstractmethod
    def measure_and_draw(
        self, val_predictions: pd.DataFrame, predictions: pd.DataFrame, evaluate: Evaluate, seed: int
    ) -> tuple[dict[str, Any], Mapping[str, Floats]]:
        """What :meth:`measure` returns, and the overall metrics of test in each bootstrap draw, ``float64 [draws]``."""

    def measure(
        self, val_predictions: pd.DataFrame, predictions: pd.DataFrame, evaluate: Evaluate, seed: int
    ) -> dict[str, Any]:
        """Every metric with its bootstrap interval, beside those of a naive model.

        Args:
            val_predictions: Predictions of the validation part.
            predictions: Predictions of the test part.
            evaluate: Settings of the bootstrap, and of what is chosen on validation.
            seed: Seed of the bootstrap.

        Returns:
            Plain data: ``confidence``, ``bootstrap_draws``, ``bootstrap_of``, ``patients`` (how many groups were drawn,
            or None); ``test``, ``val`` and ``naive`` (on test), each with ``n`` and ``overall``, where a metric is
            ``{value, low, high}``.
        """
        return self.measure_and_draw(val_predictions, predictions, evaluate, seed)[0]

    def assess(
        self, val_predictions: pd.DataFrame, predictions: pd.DataFrame, evaluate: Evaluate, seed: int
    ) -> dict[str, Any]:
        """Further results for the report, plain data; by default none. The arguments are those of :meth:`measure`."""
        return {}

    def find_mistakes(
        self, predictions: pd.DataFrame, examples: Examples, evaluate: Evaluate, sample_rate: float | None
    ) -> tuple[pd.DataFrame, pd.DataFrame]:
        """The worst mistakes, and where errors are frequent; by default two empty tables.

        Args:
            predictions: Predictions of the test part.
            examples: The test part.
            evaluate: How many mistakes, and confidence of the intervals.
            sample_rate: Samples per second (Hz).

        Raises:
            BeatwiseError: If the examples are not those that were predicted.
        """
        import pandas as pd

        return pd.DataFrame(), pd.DataFrame()

    @abstractmethod
    def compare_with_baseline(
        self,
        predictions: tuple[pd.DataFrame, pd.DataFrame],
        metrics: tuple[Mapping[str, Any], Mapping[str, Any]],
        monitor: str,
        evaluate: Evaluate,
        seed: int,
    ) -> dict[str, Any]:
        """Compare a tuned model with the baseline on the same test examples, and say which to use.

        Args:
            predictions: Those of the baseline and of the tuned model for the test part.
            metrics: Results of :meth:`measure` for both.
            monitor: The metric that was searched for, which picked the epoch too.
            evaluate: Settings of the bootstrap.
            seed: Seed of the bootstrap.

        Returns:
            Plain data: ``n``, ``confidence``, ``bootstrap_draws``; ``overall``, a metric each: ``first``, ``second``,
            ``difference`` (the second less the first) with its ends ``low`` and ``high``; ``verdict``: ``metric``,
            ``differences`` and ``outcomes`` by metric, ``advice``.
        """

    def shortfall(self, objective: str, score: float) -> str:
        """A sentence where the best score of a search does not keep what the task asks for; empty where it does.

        Args:
            objective: The metric of the search.
            score: The best score.
        """
        return ""

    # --- storage

    def to_dict(self) -> dict[str, Any]:
        """The task as plain data for JSON, under its name (``use``)."""
        fields = {name: list(v) if isinstance(v, tuple) else v for name, v in vars(self).items()}
        return {"use": self.name, **fields}

    @classmethod
    def from_dict(cls, stored: Mapping[str, Any]) -> Task:
        """The inverse of :meth:`to_dict`, for every task.

        Raises:
            BeatwiseError: If the task is unknown.
        """
        from beatwise.tasks.registry import TASKS

        fields = {name: tuple(v) if isinstance(v, list) else v for name, v in stored.items() if name != "use"}
        return TASKS[stored["use"]](**fields)


TASKS: Registry[type[Task]] = Registry("task")


def finite_numbers(target: npt.ArrayLike) -> npt.NDArray[np.bool_]:
    """Which targets are finite numbers, ``bool [n]``."""
    return np.isfinite(np.asarray(target, dtype=np.float64))
