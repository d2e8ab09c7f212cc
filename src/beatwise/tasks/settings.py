"""Settings of measuring."""

from __future__ import annotations

from typing import Annotated

from pydantic import AfterValidator, Field

from beatwise.core.settings import Block
from beatwise.data.splits import Share


def _known_metric(name: str) -> str:
    from beatwise.tasks.registry import METRICS

    return METRICS.check_overall(name)


# An overall metric of any task; whether it belongs to the task at hand is checked where the task is known.
MetricName = Annotated[str, AfterValidator(_known_metric)]


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
    mistakes_per_class: int = Field(4, ge=1, le=8, description="Mistakes of each class that are drawn.")
