"""The training loop: the whole training part is one tensor on the device, an epoch is a tensor of indices."""

from __future__ import annotations

import copy
import logging
import math
import time
from collections.abc import Iterator
from typing import Any

import numpy as np
import pandas as pd
import torch
from rich.progress import BarColumn, MofNCompleteColumn, Progress, TextColumn, TimeRemainingColumn
from torch import Tensor, nn
from torch.nn import functional as F

from beatwise.errors import BeatwiseError
from beatwise.evaluation.metrics import point_scores
from beatwise.models import MODELS, build_model
from beatwise.models.predicting import predict_probabilities
from beatwise.params import FitConfig, Train
from beatwise.signals.representations import TensorSet
from beatwise.trained_model import TrainedModel
from beatwise.training.optim import build_optimizer, build_schedule

log = logging.getLogger(__name__)


def fit_model(train: TensorSet, val: TensorSet, config: FitConfig) -> tuple[TrainedModel, pd.DataFrame]:
    """Train one model of the zoo and keep the weights of its best epoch.

    Args:
        train: Training part, resampled.
        val: Validation part; picks the epoch, is never trained on.
        config: Model, training and seed.

    Returns:
        The model, and its history: one row an epoch with ``epoch``, ``learning_rate``, ``train_loss``, ``val_loss``,
        ``val_accuracy``, ``val_macro_recall``, ``val_macro_f1`` and ``seconds``.

    Raises:
        BeatwiseError: If the tensors of the two parts were made differently, or the loss is no longer finite.
    """
    if train.spec != val.spec:
        raise BeatwiseError(
            "The training and validation tensors were made differently, so they do not belong to one run: run the "
            "pipeline from `build_tensors` on."
        )
    device = torch.device("cuda" if torch.cuda.is_available() else "cpu")
    options = config.model.chosen(MODELS)
    # Weights, dropout and the order of beats come from this seed alone, and the caller's generator is left as it was.
    with torch.random.fork_rng():
        torch.manual_seed(config.seed)
        network = build_model(
            config.model.use,
            input_shape=train.x.shape[1:],
            n_classes=len(train.spec.classes),
            n_aux=train.aux.shape[1],
            **options,
        ).to(device)
        n_parameters = sum(p.numel() for p in network.parameters())
        log.info(
            "Training %s with %s parameters on %s beats",
            config.model.use,
            f"{n_parameters:,}",
            f"{len(train.y):,}",
        )
        history, best_epoch = _run_epochs(network, train, val, config.train, device)
    counts = np.bincount(train.y, minlength=len(train.spec.classes)).tolist()
    model = TrainedModel(
        network=network.cpu().eval(),
        input_shape=tuple(train.x.shape[1:]),
        spec=train.spec,
        config={**config.model_dump(mode="json"), "model": {"use": config.model.use, config.model.use: options}},
        history=history,
        facts={
            "n_parameters": n_parameters,
            "best_epoch": best_epoch,
            "trained_on": dict(zip(train.spec.classes, counts, strict=True)),
            "val_fingerprint": val.fingerprint,
        },
    )
    return model, pd.DataFrame(history)


def _run_epochs(
    network: nn.Module, train: TensorSet, val: TensorSet, how: Train, device: torch.device
) -> tuple[list[dict[str, Any]], int]:
    """Train until the last epoch or until patience ends; leaves the best weights in the network."""
    x, aux, y = (torch.from_numpy(part).to(device) for part in (train.x, train.aux, train.y))
    val_x, val_aux = (torch.from_numpy(part).to(device) for part in (val.x, val.aux))
    n_classes = len(train.spec.classes)
    beat_weights = _sampling_weights(y, n_classes, how.sampler_power)
    class_weights = _class_weights(y, n_classes) if how.class_weights == "balanced" else None
    optimizer = build_optimizer(network, how.learning_rate, how.weight_decay)
    steps = math.ceil(len(y) / how.batch_size)
    schedule = build_schedule(optimizer, round(how.warmup_epochs * steps), how.epochs * steps)

    rows: list[dict[str, Any]] = []
    best, best_score, best_epoch = copy.deepcopy(network.state_dict()), -math.inf, 0
    with _progress() as bar:
        task = bar.add_task("training", total=how.epochs * steps, scores="")
        for epoch in range(1, how.epochs + 1):
            started = time.perf_counter()
            network.train()
            total_loss = torch.zeros((), device=device)
            for batch in _batches(len(y), how.batch_size, beat_weights, device):
                loss = F.cross_entropy(network(x[batch], aux[batch]), y[batch], weight=class_weights)
                optimizer.zero_grad(set_to_none=True)
                torch.autograd.backward(loss)
                if how.gradient_clip is not None:
                    nn.utils.clip_grad_norm_(network.parameters(), how.gradient_clip)
                optimizer.step()
                schedule.step()
                total_loss += loss.detach() * len(batch)
                bar.advance(task)
            _check_finite(total_loss.item(), epoch)
            scores = point_scores(val.y, predict_probabilities(network, val_x, val_aux))
            rows.append(
                {
                    "epoch": epoch,
                    "learning_rate": schedule.get_last_lr()[0],
                    "train_loss": total_loss.item() / len(y),
                    "val_loss": scores["log_loss"],
                    "val_accuracy": scores["accuracy"],
                    "val_macro_recall": scores["macro_recall"],
                    "val_macro_f1": scores["macro_f1"],
                    "seconds": time.perf_counter() - started,
                }
            )
            bar.update(task, scores=_summary(rows[-1]))
            if not bar.console.is_terminal:
                log.info(_summary(rows[-1]))
            score = -scores["log_loss"] if how.monitor == "loss" else scores[how.monitor]
            if score > best_score:
                best, best_score, best_epoch = copy.deepcopy(network.state_dict()), score, epoch
            elif epoch - best_epoch >= how.patience:
                log.info("No better %s for %d epochs: stopped after epoch %d", how.monitor, how.patience, epoch)
                break
        bar.update(task, completed=bar.tasks[0].total)
    network.load_state_dict(best)
    log.info("Best on validation: %s", _summary(rows[best_epoch - 1]))
    return rows, best_epoch


def _batches(n: int, size: int, weights: Tensor | None, device: torch.device) -> Iterator[Tensor]:
    """The indices of one epoch, batch by batch: every beat once, or drawn with weights."""
    # torch.multinomial takes at most 2**24 weights, some 150 times the training part of MIT-BIH.
    drawn = None if weights is None else torch.multinomial(weights, n, replacement=True)
    order = torch.randperm(n, device=device) if drawn is None else drawn
    batches = list(torch.split(order, size))
    if len(batches) > 1 and len(batches[-1]) == 1:
        # Batch normalisation has no variance over a single beat.
        batches[-2:] = [torch.cat(batches[-2:])]
    return iter(batches)


def _sampling_weights(y: Tensor, n_classes: int, power: float) -> Tensor | None:
    if power == 0:
        return None
    counts = torch.bincount(y, minlength=n_classes).clamp(min=1)
    return counts.double().pow(-power)[y]


def _class_weights(y: Tensor, n_classes: int) -> Tensor:
    # scikit-learn's "balanced": n / (classes · count), so that the mean weight of a beat is 1.
    counts = torch.bincount(y, minlength=n_classes)
    return torch.where(counts > 0, len(y) / (n_classes * counts.clamp(min=1)), 0.0).float()


def _check_finite(loss: float, epoch: int) -> None:
    if not math.isfinite(loss):
        raise BeatwiseError(
            f"The training loss is {loss} in epoch {epoch}: training has diverged. Lower "
            "train.learning_rate, or set train.gradient_clip."
        )


def _summary(row: dict[str, Any]) -> str:
    return (
        f"epoch {row['epoch']}  loss {row['train_loss']:.3f}  "
        f"macro recall {row['val_macro_recall']:.3f}  F1 {row['val_macro_f1']:.3f}"
    )


def _progress() -> Progress:
    return Progress(
        TextColumn("{task.description}"),
        BarColumn(bar_width=10),
        MofNCompleteColumn(),
        TimeRemainingColumn(compact=True),
        TextColumn("{task.fields[scores]}"),
    )
