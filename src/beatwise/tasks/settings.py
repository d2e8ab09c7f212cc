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
    """Measuring.

    Attributes:
        bootstrap_draws: Bootstrap samples behind every interval.
        confidence: Share of the bootstrap distribution between the ends of an interval.
        accuracy_floor: Accuracy on validation that the recall-first operating point must keep.
        wanted_recall: Recall on validation that the threshold of each class against the rest must reach.
        coverages: Shares of validation's beats that the reject option accepts, one threshold each.
        mistakes_per_class: Mistakes of each class that are shown as waveforms.
    """

    bootstrap_draws: Annotated[int, Field(ge=10)] = 1000
    confidence: Share = 0.95
    accuracy_floor: Share = 0.985
    wanted_recall: Share = 0.95
    coverages: Annotated[list[Share], Field(min_length=1)] = [0.99, 0.95, 0.9, 0.8]
    mistakes_per_class: Annotated[int, Field(ge=1, le=8)] = 4
