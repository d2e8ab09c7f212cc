"""The fit of a model that fits itself, round by round, with the history that a training by gradients has."""

from __future__ import annotations

import time
from typing import Any

import torch

from beatwise.networks.base import SelfFitting
from beatwise.tasks.base import ValHistory
from beatwise.tasks.tensors import TensorSet
from beatwise.training.settings import FitSettings


def fit_rounds(
    network: SelfFitting,
    train: TensorSet,
    val: TensorSet,
    config: FitSettings,
    val_history: ValHistory | None = None,
) -> list[dict[str, Any]]:
    """Fit a network by its own algorithm, and score validation after each round.

    Returns:
        One row a round, with the columns of a training's history. ``seconds`` is the same share of the whole fit in
        each.
    """
    task = train.task
    started = time.perf_counter()
    losses = network.fit(train, val, config.seed)
    seconds = (time.perf_counter() - started) / len(losses)
    rows = []
    started = time.perf_counter()
    rounds = network.rounds(torch.from_numpy(val.x), torch.from_numpy(val.aux))
    for number, (loss, outputs) in enumerate(zip(losses, rounds, strict=True), start=1):
        decoded = task.decode(outputs, config.train.loss)
        scores = task.scores(val.labels, decoded, task.history_metrics(config.train))
        if val_history is not None:
            val_history.add(decoded)
        rows.append(
            {
                "epoch": number,
                "learning_rate": network.learning_rate,
                "train_loss": loss,
                **{f"val_{name}": value for name, value in scores.items()},
                "seconds": seconds,
                "val_seconds": time.perf_counter() - started,
            }
        )
        started = time.perf_counter()
    return rows
