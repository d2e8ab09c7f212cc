"""What reports and the screen say of the models of each task; its figures are in :mod:`beatwise.report.figures`.

A new task is a class and a template here, and an entry of :data:`TASK_REPORTS`. Parameters are named after the results
that they take, as in :mod:`beatwise.report.tables`.
"""

from __future__ import annotations

from abc import ABC, abstractmethod
from collections.abc import Mapping, Sequence
from typing import Any, ClassVar, Final

from beatwise.report import regression, summary, tables
from beatwise.report.tables import Table
from beatwise.tasks.registry import METRICS


class TaskReport(ABC):
    """The words, tables and sections of one task.

    Attributes:
        template: Template of the report; it extends ``report.html``.
        noun: Examples, as the report calls them.
        expectation: An expectation of a hypothesis, as an example.
        paired: Metrics of the comparison with the baseline in the report.
        paired_on_screen: Those on the screen.
    """

    template: ClassVar[str]
    noun: ClassVar[str]
    expectation: ClassVar[str]
    paired: ClassVar[Sequence[str]]
    paired_on_screen: ClassVar[Sequence[str]]

    @abstractmethod
    def answers(
        self, metrics: Mapping[str, Any], data: Mapping[str, Any], paired: Mapping[str, Any] | None
    ) -> dict[str, list[str]]:
        """The questions of the first screen, each with its sentences."""

    @abstractmethod
    def sections(
        self,
        metrics: Mapping[str, Any],
        assessment: Mapping[str, Any],
        mistakes: Any,
        explanation: Mapping[str, Any],
        data: Mapping[str, Any],
        source: str,
    ) -> dict[str, Any]:
        """What its template needs beside what is the same for all tasks."""

    @abstractmethod
    def on_screen(self, metrics: Mapping[str, Any]) -> list[Table]:
        """The tables of scores at the end of a run."""

    @abstractmethod
    def failures(self, metrics: Mapping[str, Any]) -> list[str]:
        """Where the model fails."""


class ClassificationReport(TaskReport):
    """Of classes, and a probability of each."""

    template = "classification.html"
    noun = "beats"
    expectation = "macro_recall > 0.9"
    paired = ("macro_recall", "macro_precision", "macro_f1", "accuracy", "macro_auroc", "kappa", "log_loss")
    paired_on_screen = tables.HEADLINE
    # What stands elsewhere in the report: the recall under its other name, and the calibration.
    elsewhere: Final = ("balanced_accuracy", "log_loss", "ece", "brier")

    def answers(
        self, metrics: Mapping[str, Any], data: Mapping[str, Any], paired: Mapping[str, Any] | None
    ) -> dict[str, list[str]]:
        """Whether it is good, whether that can be trusted, where it fails, what to do."""
        return {
            "Is it good?": summary.quality(metrics),
            "Can it be trusted?": summary.trust(metrics, data),
            "Where does it fail?": summary.failures(metrics),
            "What to do": summary.advice(metrics, data, paired),
        }

    def sections(
        self,
        metrics: Mapping[str, Any],
        assessment: Mapping[str, Any],
        mistakes: Any,
        explanation: Mapping[str, Any],
        data: Mapping[str, Any],
        source: str,
    ) -> dict[str, Any]:
        """Confusion, scores by class, the field, thresholds, calibration, the reject option."""
        from beatwise.report.field import field_table

        names = dict.fromkeys([*tables.ALL, *metrics["test"]["overall"]])
        return {
            "matrix": summary.confusion(metrics),
            "field": field_table(source, data["split"], metrics, assessment),
            "overall": tables.overall_table(metrics, [name for name in names if name not in self.elsewhere]),
            "per_class": tables.per_class_table(metrics),
            "ec57": tables.ec57_tables(assessment),
            "thresholds": tables.thresholds_table(assessment),
            "calibration": tables.calibration_table(assessment),
            "rejections": tables.rejections_table(assessment),
            "explained": tables.explanation_table(explanation),
            "parts": tables.parts_table(data),
        }

    def on_screen(self, metrics: Mapping[str, Any]) -> list[Table]:
        """The headline, and the scores of each class."""
        return [
            tables.overall_table(metrics, tables.HEADLINE, tables.PARTS_ON_TERMINAL),
            tables.per_class_table(metrics, tables.HEADLINE_BY_CLASS),
        ]

    def failures(self, metrics: Mapping[str, Any]) -> list[str]:
        """Weak classes, and the worst confusion."""
        return summary.failures(metrics)


class RegressionReport(TaskReport):
    """Of numbers, in the unit of the target."""

    template = "regression.html"
    noun = "examples"
    expectation = "rmse < 3"
    paired = ("rmse", "mae", "r2", "mse", "skill_persistence", "skill_hour")
    paired_on_screen = paired

    def answers(
        self, metrics: Mapping[str, Any], data: Mapping[str, Any], paired: Mapping[str, Any] | None
    ) -> dict[str, list[str]]:
        """How large the error is, whether it is better than a naive forecast, where it fails, what holds."""
        return {
            "How large is the error?": regression.error_size(metrics),
            "Is it better than a naive forecast?": regression.against_naive(metrics),
            "Where does it fail?": regression.failures(metrics),
            "Can it be trusted?": regression.trust(metrics, data),
            "What to do": regression.advice(metrics, paired),
        }

    def sections(
        self,
        metrics: Mapping[str, Any],
        assessment: Mapping[str, Any],
        mistakes: Any,
        explanation: Mapping[str, Any],
        data: Mapping[str, Any],
        source: str,
    ) -> dict[str, Any]:
        """Model and naive forecasts, errors by month and hour, the largest errors, attributions."""
        return {
            "beside": regression.beside_table(metrics),
            "naive": regression.naive_table(metrics),
            "overall": regression.overall_table(metrics),
            "by": regression.errors_tables(metrics),
            "worst": regression.worst_table(metrics, mistakes),
            "explained": regression.explanation_table(metrics, explanation),
            "parts": regression.parts_table(metrics, data),
        }

    def on_screen(self, metrics: Mapping[str, Any]) -> list[Table]:
        """The model beside the naive forecasts."""
        return [regression.beside_table(metrics)]

    def failures(self, metrics: Mapping[str, Any]) -> list[str]:
        """Whether it beats the naive forecasts, and its worst months and hours."""
        return [*regression.against_naive(metrics), *regression.failures(metrics)]


TASK_REPORTS: Final[dict[str, TaskReport]] = {
    "classification": ClassificationReport(),
    "regression": RegressionReport(),
}


def report_of(overall: Mapping[str, Any]) -> TaskReport:
    """The report of the task that some overall metrics belong to."""
    return TASK_REPORTS[METRICS[next(iter(overall))].task]
