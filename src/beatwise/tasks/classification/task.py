"""Classification: which of several classes an example belongs to."""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any, ClassVar

import numpy as np
import numpy.typing as npt
import pandas as pd

from beatwise.core.errors import BeatwiseError
from beatwise.core.settings import Choice
from beatwise.tasks.base import TASKS, Array, Task, TrainSettings, finite_numbers
from beatwise.tasks.classification.forgetting import ClassHistory
from beatwise.tasks.classification.intervals import draw_scores
from beatwise.tasks.classification.metrics import ACCURACY_FLOOR, point_scores
from beatwise.tasks.classification.predictions import (
    average_predictions,
    measure_predictions,
    naive_predictions,
    prediction_table,
    probabilities,
)
from beatwise.tasks.intervals import clusters_of
from beatwise.tasks.metrics import Floats

if TYPE_CHECKING:
    from torch import Tensor

    from beatwise.data.examples import Examples
    from beatwise.tasks.objective import Objective
    from beatwise.tasks.settings import Evaluate


@TASKS.register("classification")
@dataclass(frozen=True)
class Classification(Task):
    """One class for each example, and a probability of each class.

    Args:
        classes: Class names in the order of their indices.
        accuracy_floor: Accuracy on validation that the recall-first score must keep (``evaluate.accuracy_floor``).
    """

    name: ClassVar[str] = "classification"
    default_loss: ClassVar[str] = "cross_entropy"
    default_monitor: ClassVar[str] = "macro_recall"
    default_objective: ClassVar[str] = "recall_first"
    tracked: ClassVar[tuple[str, ...]] = ("log_loss", "accuracy", "macro_recall", "macro_f1", "macro_auroc")
    shown: ClassVar[tuple[str, ...]] = ("macro_recall", "macro_f1")
    compared: ClassVar[tuple[str, ...]] = ("macro_f1", "macro_recall", "accuracy", "macro_auroc")
    ranked: ClassVar[tuple[str, ...]] = ("macro_f1", "macro_recall")
    listed: ClassVar[tuple[tuple[str, str], ...]] = (("recall_first", "macro_recall"), ("recall_first", "accuracy"))

    classes: tuple[str, ...] = field(default=(), kw_only=True)
    accuracy_floor: float = field(default=ACCURACY_FLOOR, kw_only=True)

    def __post_init__(self) -> None:
        if len(self.classes) < 2:
            raise BeatwiseError(f"classification.classes: got {list(self.classes)}; allowed: two class names or more.")

    @property
    def n_outputs(self) -> int:
        """One output a class."""
        return len(self.classes)

    @property
    def class_names(self) -> tuple[str, ...]:
        """The classes."""
        return self.classes

    def encode(self, target: npt.ArrayLike) -> npt.NDArray[np.int64]:
        """Class indices, ``int64 [n]``, a copy.

        Args:
            target: Class indices, ``[n]``.

        Raises:
            BeatwiseError: If a target is missing or not the index of a class.
        """
        given = np.asarray(target)
        known = finite_numbers(given)
        indices = np.where(known, given, -1).astype(np.int64)
        wrong = ~known | (indices != given) | (indices < 0) | (indices >= len(self.classes))
        if wrong.any():
            raise BeatwiseError(
                f"target: {wrong.sum():,} of {len(given):,} examples have no class, the first {given[wrong][0]!r}; "
                f"allowed: 0 to {len(self.classes) - 1} for {', '.join(self.classes)}."
            )
        return indices

    def objective(self, y: Tensor, settings: TrainSettings) -> Objective:
        """Classes drawn and weighted as the settings say, and the loss of their logits."""
        import torch

        from beatwise.tasks.classification.losses import class_weights
        from beatwise.tasks.objective import Objective

        power, n = settings.sampler_power, len(y)
        counts = torch.bincount(y, minlength=self.n_outputs)
        # The counts that the network sees, which the sampler has made more equal.
        drawn = torch.where(counts > 0, counts.double().pow(1 - power), 0.0)
        drawn = drawn * n / drawn.sum()
        # A class without examples gets the share of half an example.
        least = 0.5 / n
        log_prior = (drawn.clamp(min=0.5) / n).log().float()
        weights = class_weights(drawn, settings.class_weights.use, settings.class_weights.options)
        loss, one_hot = self.loss(settings.loss), torch.eye(self.n_outputs, device=y.device)
        return Objective(
            loss=lambda outputs, target, reduction="mean": loss(outputs, target, weights, log_prior, reduction),
            target=lambda rows: one_hot[y[rows]],
            draw_weights=None if power == 0 else counts.double().pow(-power)[y],
            initial_bias=loss.initial_bias(log_prior, least),
        )

    def decode(self, outputs: Tensor, loss: Choice) -> Array:
        """Probabilities, ``float32 [n, n_classes]``; rows add up to 1."""
        return self.loss(loss).decode(outputs).float().cpu().numpy()

    def scores(self, y: npt.NDArray[Any], decoded: Array, names: Iterable[str]) -> dict[str, float]:
        """Overall metrics of probabilities."""
        return point_scores(y, decoded, names, accuracy_floor=self.accuracy_floor)

    def val_history(self, y: npt.NDArray[Any]) -> ClassHistory:
        """Predicted class and probability of the true class after each epoch."""
        return ClassHistory(y, self.classes)

    def trained_on(self, y: npt.NDArray[Any]) -> dict[str, Any]:
        """Examples of each class."""
        counts = np.bincount(y, minlength=self.n_outputs).tolist()
        return dict(zip(self.classes, counts, strict=True))

    def prediction_table(self, y: npt.NDArray[Any] | None, decoded: Array) -> pd.DataFrame:
        """Class indices, and a column of probabilities for each class."""
        return prediction_table(y, decoded, self.classes)

    def naive_predictions(self, val_predictions: pd.DataFrame, predictions: pd.DataFrame) -> dict[str, pd.DataFrame]:
        """The largest class, with the class shares as probabilities (``naive_predictions``)."""
        return {"largest class": naive_predictions(val_predictions, predictions)}

    def average(self, tables: Sequence[pd.DataFrame]) -> pd.DataFrame:
        """The mean of the probabilities, and the class with the largest."""
        return average_predictions(tables)

    def measure_and_draw(
        self, val_predictions: pd.DataFrame, predictions: pd.DataFrame, evaluate: Evaluate, seed: int
    ) -> tuple[dict[str, Any], Mapping[str, Floats]]:
        """Measure a model overall, by class and at the recall-first operating point (``measure_predictions``)."""
        drawn = draw_scores(
            predictions["target"].to_numpy(np.int64),
            probabilities(predictions),
            draws=evaluate.bootstrap_draws,
            seed=seed,
            cluster=clusters_of(predictions),
        )
        return measure_predictions(val_predictions, predictions, evaluate, seed, drawn), drawn.overall

    def assess(
        self, val_predictions: pd.DataFrame, predictions: pd.DataFrame, evaluate: Evaluate, seed: int
    ) -> dict[str, Any]:
        """Curves, calibration, thresholds, the reject option and the table of EC57 (``assess_predictions``)."""
        from beatwise.tasks.classification.assessment import assess_predictions

        return assess_predictions(val_predictions, predictions, evaluate, seed)

    def find_mistakes(
        self, predictions: pd.DataFrame, examples: Examples, evaluate: Evaluate, sample_rate: float | None
    ) -> tuple[pd.DataFrame, pd.DataFrame]:
        """The most confident mistakes of each class, and the share of errors by length, record and RR interval."""
        from beatwise.tasks.classification.mistakes import find_mistakes

        return find_mistakes(predictions, examples, evaluate, sample_rate)

    def compare_with_baseline(
        self,
        predictions: tuple[pd.DataFrame, pd.DataFrame],
        metrics: tuple[Mapping[str, Any], Mapping[str, Any]],
        monitor: str,
        evaluate: Evaluate,
        seed: int,
    ) -> dict[str, Any]:
        """By the searched metric and by accuracy, beat by beat (``compare_with_baseline``)."""
        from beatwise.tasks.classification.paired import compare_with_baseline

        return compare_with_baseline(predictions, metrics, monitor, evaluate, seed)

    def shortfall(self, objective: str, score: float) -> str:
        """Whether the accuracy floor is out of reach: the recall-first score is then below 0."""
        if objective != "recall_first" or score >= 0:
            return ""
        floor = self.accuracy_floor
        return (
            f"No trial reaches an accuracy of {floor:g} on validation, with any factors of the classes; the best is "
            f"{floor + score:.3f}. More epochs or trials may reach it; or lower evaluate.accuracy_floor."
        )


def classes_of(task: Task) -> tuple[str, ...]:
    """Class names of a classification.

    Raises:
        BeatwiseError: If the task is another one.
    """
    if not isinstance(task, Classification):
        raise BeatwiseError(f"This needs class labels, and the task is {task.name}.")
    return task.classes
