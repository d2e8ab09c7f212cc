"""Settings of measuring."""

from __future__ import annotations

from typing import TYPE_CHECKING, Annotated

from pydantic import AfterValidator, Field

from beatwise.core.settings import Block, Choice
from beatwise.data.splits import Share

if TYPE_CHECKING:
    from beatwise.tasks.base import Task


def _known_metric(name: str) -> str:
    from beatwise.tasks.registry import METRICS

    return METRICS.check_overall(name, chooses=True)


# An overall metric of any task; whether it belongs to the task at hand is checked where the task is known.
MetricName = Annotated[str, AfterValidator(_known_metric)]


class TaskChoice(Choice):
    """The task: classification or regression (:mod:`beatwise.tasks`)."""

    registry = "beatwise.tasks.registry.TASKS"

    def check(self, key: str = "") -> None:
        """Check the names and options, and whether the chosen task can be made."""
        super().check(key)
        self.build()

    def build(self) -> Task:
        """The task, before it is fitted on the training part."""
        task: Task = self.entries()[self.use](**self.options)
        return task


class Evaluate(Block):
    """Measuring."""

    bootstrap_draws: int = Field(1000, ge=10, description="Bootstrap samples behind every interval.")
    confidence: Share = Field(0.95, description="Coverage of the bootstrap intervals.")
    accuracy_floor: Share = Field(
        0.985, description="Accuracy on validation that the recall-first operating point must keep."
    )
    wanted_recall: Share = Field(
        0.95, description="Recall on validation that the threshold of each class against the rest must reach."
    )
    coverages: list[Share] = Field(
        [0.99, 0.95, 0.9, 0.8],
        min_length=1,
        description="Shares of the validation beats that the reject option accepts; each gives a threshold.",
    )
    sure_coverage: Share = Field(
        0.95,
        description="Share of the validation beats whose predictions count as sure; the others, and new beats with as "
        "low a top probability, are marked unsure.",
    )
    mistakes_per_class: int = Field(4, ge=1, le=8, description="Mistakes of each class that are drawn.")
