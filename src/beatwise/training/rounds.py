"""The fit of a model that fits itself, round by round, with the history that a training by gradients has."""

from __future__ import annotations

import time
from typing import Any

import torch

from beatwise.data.representations import TensorSet
from beatwise.networks.base import SelfFitting
from beatwise.tasks.classification.metrics import point_scores
from beatwise.training.val_history import ValHistory


def fit_rounds(
    network: SelfFitting,
    train: TensorSet,
    val: TensorSet,
    seed: int,
    metrics: list[str],
    val_history: ValHistory | None = None,
) -> list[dict[str, Any]]:
    """Fit a network by its own algorithm, and score validation after each round.

    Args:
        network: Not fitted yet; left with all its rounds.
        train: Training part, resampled.
        val: Validation part; may end the fit.
        seed: Seed.
        metrics: Validation metrics of the history.
        val_history: Is given the predictions of validation after each round.

    Returns:
        One row a round, with the columns of a training's history. ``seconds`` is the same share of the whole fit in
        each.
    """
    started = time.perf_counter()
    losses = network.fit(train, val, seed)
    seconds = (time.perf_counter() - started) / len(losses)
    rows = []
    started = time.perf_counter()
    rounds = network.rounds(torch.from_numpy(val.x), torch.from_numpy(val.aux))
    for number, (loss, outputs) in enumerate(zip(losses, rounds, strict=True), start=1):
        probability = outputs.softmax(dim=1).float().numpy()
        scores = point_scores(val.y, probability)
        if val_history is not None:
            val_history.add(probability)
        rows.append(
            {
                "epoch": number,
                "learning_rate": network.learning_rate,
                "train_loss": loss,
                **{f"val_{name}": scores[name] for name in metrics},
                "seconds": seconds,
                "val_seconds": time.perf_counter() - started,
            }
        )
        started = time.perf_counter()
    return rows
