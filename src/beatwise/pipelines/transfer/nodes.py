"""The node that plans a transfer."""

from __future__ import annotations

from typing import Final

from beatwise.comparison.documents import PlannedRow
from beatwise.comparison.plan import plan_rows
from beatwise.comparison.settings import Comparison
from beatwise.data.settings import Ingest, Resample, Tensors
from beatwise.networks.settings import Model
from beatwise.tasks.settings import TaskChoice
from beatwise.training.settings import Train

PRESET: Final = "transfer"


def plan_transfer(
    comparison: Comparison,
    task: TaskChoice,
    resample: Resample,
    tensors: Tensors,
    model: Model,
    train: Train,
    ingest: Ingest,
) -> list[PlannedRow]:
    """Write down the rows of the preset ``transfer``, see ``plan_rows``.

    Raises:
        BeatwiseError: As ``plan_rows`` does; also if there is no model to start from.
    """
    chosen = comparison.model_copy(update={"use": PRESET})
    return plan_rows(chosen, task, resample, tensors, model, train, ingest)
