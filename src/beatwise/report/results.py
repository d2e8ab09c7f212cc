"""Results from which reports are drawn and written."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
import pandas as pd

from beatwise.comparison.documents import Row
from beatwise.core.errors import BeatwiseError
from beatwise.data.examples import Examples
from beatwise.explanation.explain import Explanation
from beatwise.report.settings import Report
from beatwise.search.plan import SearchPlan
from beatwise.training.trained_model import TrainedModel


@dataclass(frozen=True)
class Results:
    """Everything that is known of one model.

    Attributes:
        model: The model.
        metrics: Result of ``measure_predictions``.
        assessment: Result of ``Task.assess``.
        predictions: Predictions of the test part.
        mistakes: The worst mistakes (``Task.find_mistakes``).
        errors: Where errors are frequent, from there too.
        explanation: Result of ``explain_model``.
        data_summary: Result of ``summarise_data``.
        test_beats: The test part.
        report: How many example beats are drawn.
        classes: Class names in the order of their indices.
        sample_rate: Samples per second (Hz); None of pictures.
        seed: Seed of the draw of example beats.
        history: One row an epoch, where this run has trained the model; an older one is taken from the model.
        val_history: One row an epoch and validation beat, where this run has trained the model.
        search: Result of ``summarise_search``, where the model is the best of a search.
    """

    model: TrainedModel
    metrics: Mapping[str, Any]
    assessment: Mapping[str, Any]
    predictions: pd.DataFrame
    mistakes: pd.DataFrame
    errors: pd.DataFrame
    explanation: Explanation
    data_summary: Mapping[str, Any]
    test_beats: Examples
    report: Report
    classes: list[str]
    sample_rate: float | None
    seed: int
    history: pd.DataFrame | None = None
    val_history: pd.DataFrame | None = None
    search: Mapping[str, Any] | None = None

    def __post_init__(self) -> None:
        check_model(self.model, self.metrics, self.explanation)

    @property
    def epochs(self) -> pd.DataFrame:
        """One row an epoch, see ``fit_model``."""
        return pd.DataFrame(self.model.history) if self.history is None else self.history

    @property
    def best_epoch(self) -> int:
        """The epoch whose weights were kept."""
        return int(self.model.metadata["best_epoch"])

    @property
    def moves(self) -> Mapping[str, Any] | None:
        """The moves of validation beats between right and wrong (``count_moves``); None if the task counts none."""
        moves: Mapping[str, Any] | None = self.model.metadata.get("moves")
        if moves is None or self.val_history is None:
            return moves
        from beatwise.tasks.classification.forgetting import count_moves

        epochs = self.val_history["epoch"].nunique()
        target, prediction = (
            self.val_history[name].to_numpy(np.int64).reshape(epochs, -1) for name in ("target", "prediction")
        )
        return count_moves(target[0], prediction, self.classes)

    @property
    def rate(self) -> float:
        """The sample rate (Hz), for figures over time."""
        assert self.sample_rate is not None, "a figure over time is drawn of examples without time"
        return self.sample_rate

    def errors_by(self, by: str) -> pd.DataFrame:
        """Errors by ``length``, ``record`` or ``rr``; empty where that is not known of the beats."""
        return self.errors[self.errors["by"] == by]


@dataclass(frozen=True)
class SearchResults:
    """Everything that is known of one search.

    Attributes:
        metric: The metric of the search.
        trials: The result of ``trials_table``.
        histories: The result of ``histories_table``.
        space: The result of ``space_table``.
    """

    metric: str
    trials: pd.DataFrame
    histories: pd.DataFrame
    space: pd.DataFrame


@dataclass(frozen=True)
class ComparisonResults:
    """Everything that is known of one comparison.

    Attributes:
        leaderboard: The result of ``rank_rows``.
        rows: The rows that were fitted.
    """

    leaderboard: pd.DataFrame
    rows: Sequence[Row]


def check_model(model: TrainedModel, metrics: Mapping[str, Any], explanation: Explanation) -> None:
    """Refuse results of another model.

    Raises:
        BeatwiseError: If the metrics or the explanation are those of another model.
    """
    if metrics["model"] != model.fingerprint:
        raise BeatwiseError(
            "The latest metrics are not those of the model that is loaded. Measure it first: `kedro run "
            "--pipeline=evaluate`, with the same --load-versions if you give any."
        )
    if explanation.summary["model"] != model.fingerprint:
        raise BeatwiseError(
            "The latest explanation is not that of the model that is loaded. Explain it first: `kedro run "
            "--pipeline=explain`, with the same --load-versions if you give any."
        )


def draw_report(**results: Any) -> dict[str, Any]:
    """Draw every figure of a model's report from the fields of :class:`Results`.

    Raises:
        BeatwiseError: If the metrics or the explanation are those of another model.
    """
    from beatwise.figures.table import draw_all
    from beatwise.report.figures import OF_TASK

    known = Results(**results)
    return draw_all(OF_TASK[known.model.task.name], known, known.test_beats.shape)


def draw_search(plan: SearchPlan, trials: pd.DataFrame, histories: pd.DataFrame, space: pd.DataFrame) -> dict[str, Any]:
    """Draw every figure of a search's report."""
    from beatwise.figures.table import draw_all
    from beatwise.report.figures import SEARCH

    return draw_all(SEARCH, SearchResults(plan.metric, trials, histories, space))


def draw_leaderboard(leaderboard: pd.DataFrame, rows: Sequence[Row]) -> dict[str, Any]:
    """Draw every figure of a comparison's report."""
    from beatwise.figures.table import draw_all
    from beatwise.report.figures import LEADERBOARD

    return draw_all(LEADERBOARD, ComparisonResults(leaderboard, rows))
