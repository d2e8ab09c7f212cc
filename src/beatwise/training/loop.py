"""The training loop: the whole training part is one tensor on the device, an epoch is a tensor of indices."""

from __future__ import annotations

import copy
import logging
import math
import time
from dataclasses import dataclass, replace
from typing import Any, cast

import numpy as np
import pandas as pd
import torch
from rich.progress import BarColumn, MofNCompleteColumn, Progress, TextColumn, TimeRemainingColumn
from torch import Tensor, nn

from beatwise.core.errors import BeatwiseError
from beatwise.data.augmentations import Batch, augment
from beatwise.data.padding import beat_lengths, without_common_padding
from beatwise.networks.base import SelfFitting
from beatwise.networks.predict import in_chunks
from beatwise.networks.zoo import Network, build_model
from beatwise.tasks.base import Task, ValHistory
from beatwise.tasks.registry import METRICS
from beatwise.tasks.tensors import TensorSet
from beatwise.training.checkpoint import Checkpoints, State, key_of
from beatwise.training.optim import AVERAGES, SCHEDULES, Average, Schedule, build_optimizer
from beatwise.training.pruning import Pruning
from beatwise.training.rounds import fit_rounds
from beatwise.training.settings import FitSettings, Train
from beatwise.training.start import STARTS, layer_rate
from beatwise.training.trained_model import TrainedModel

log = logging.getLogger(__name__)

# Examples of this many batches are sorted by length, to make batches of like length.
BATCHES_SORTED = 16
# Batches are cut to a multiple of this many samples.
LENGTH_STEP = 8
# The bar on the screen moves every so many batches: drawing it is not free.
BATCHES_A_TICK = 20


def fit_model(
    train: TensorSet,
    val: TensorSet,
    config: FitSettings,
    checkpoints: Checkpoints | None = None,
    *,
    refit_on: TensorSet | None = None,
    val_history: ValHistory | None = None,
    show_progress: bool = True,
) -> tuple[TrainedModel, pd.DataFrame]:
    """Train one model of the zoo and keep the weights of its best epoch, or fit one that fits itself.

    Args:
        train: Training part, resampled.
        val: Validation part; picks the epoch, is never trained on.
        config: Model, training and seed.
        checkpoints: Where the state is saved after each epoch. A training that was cut off continues from there, and
            ends with the numbers that it would have had; None saves nothing.
        refit_on: Train and validation together, to train a fresh network on in the end, for as many epochs as were
            kept; the first one predicts validation. None stays with the first one.
        val_history: Takes the predictions of validation after each epoch, and adds to the model's metadata; None keeps
            none.
        show_progress: Whether to show a bar, and each epoch in the log.

    Returns:
        The model, and its history: one row an epoch with ``epoch``, ``learning_rate``, ``train_loss``, ``val_<metric>``
        for each metric that the task tracks and for the monitored one, ``seconds`` of training and ``val_seconds`` of
        validation; of the first training.

    Raises:
        BeatwiseError: If the tensors of the two parts were made differently, the settings do not suit the task, or the
            loss is no longer finite.
    """
    # Weights, dropout and the order of examples come from the seed alone, and the caller's generator stays as it was.
    held_out, refit = None, {}
    with torch.random.fork_rng():
        network = _new_network(train, val, config)
        n_parameters = sum(p.numel() for p in network.parameters())
        if isinstance(network, SelfFitting):
            log.info("Fitting %s on %s examples", config.model.use, f"{len(train.labels):,}")
            rows = fit_rounds(network.cpu(), train, val, config, val_history)
            best_epoch = len(rows)
            if refit_on is not None:
                outputs = in_chunks(network, network, torch.from_numpy(val.x), torch.from_numpy(val.aux))
                held_out = val.task.decode(outputs, config.train.loss)
                network = cast("SelfFitting", _new_network(refit_on, val, config)).cpu()
                started = time.perf_counter()
                network.fit(refit_on, val, config.seed, rounds=best_epoch)
                refit = {"epochs": best_epoch, "examples": len(refit_on), "seconds": time.perf_counter() - started}
            n_parameters = sum(p.numel() for p in network.parameters())
        else:
            training = Training(network, train, val, config.train, _device(), val_history)
            if show_progress:
                size = (f"{n_parameters:,}", f"{len(train.labels):,}")
                log.info("Training %s with %s parameters on %s examples", config.model.use, *size)
            key = training_key(train, val, config, with_val_history=val_history is not None)
            training.run(checkpoints, key, show_progress)
            rows, best_epoch, keys = training.rows, training.best.epoch, [key]
            if refit_on is not None:
                outputs = in_chunks(network, network, training.val_x, training.val_aux)
                held_out = val.task.decode(outputs, config.train.loss)
                network = _new_network(refit_on, val, config)
                again = Training(network, refit_on, val, config.train, _device(), until=best_epoch)
                keys.append(f"{training_key(refit_on, val, config)}-{best_epoch}")
                again.run(checkpoints, keys[-1], show_progress)
                seconds = sum(row["seconds"] for row in again.rows)
                refit = {"epochs": best_epoch, "examples": len(refit_on), "seconds": seconds}
            if checkpoints is not None:
                # Only now: a second training that is cut off takes up the first one at its end.
                for done in keys:
                    checkpoints.remove(done)
    model = TrainedModel(
        network=network.cpu().eval(),
        input_shape=tuple(train.x.shape[1:]),
        representation=train.representation,
        task=train.task,
        config=_settings(config),
        history=rows,
        metadata={
            "n_parameters": n_parameters,
            "best_epoch": best_epoch,
            "trained_on": train.task.trained_on((refit_on or train).labels),
            "val_fingerprint": val.fingerprint,
            **({"rounds": len(rows)} if isinstance(network, SelfFitting) else {}),
            **({} if val_history is None else val_history.metadata()),
            **({"refit": refit} if refit else {}),
        },
        held_out=held_out,
    )
    return model, pd.DataFrame(rows)


def new_training(
    train: TensorSet, val: TensorSet, config: FitSettings, val_history: ValHistory | None = None
) -> Training:
    """A training by gradients before its first epoch; seeds torch's generator.

    Raises:
        BeatwiseError: If the tensors of the two parts were made differently, the settings do not suit the task, or the
            model fits itself.
    """
    network = _new_network(train, val, config)
    if isinstance(network, SelfFitting):
        raise BeatwiseError(f"The model {config.model.use!r} fits itself: it cannot be trained epoch by epoch.")
    return Training(network, train, val, config.train, _device(), val_history)


def _new_network(train: TensorSet, val: TensorSet, config: FitSettings) -> Network:
    """A network with fresh weights on the device; seeds torch's generator."""
    if train.representation != val.representation or train.task != val.task:
        raise BeatwiseError(
            "The training and validation tensors were made differently, so they do not belong to one run: run the "
            "pipeline from `build_tensors` on."
        )
    train.task.check(config.train, config.resample.use)
    torch.manual_seed(config.seed)
    network = build_model(
        config.model.use,
        input_shape=train.x.shape[1:],
        n_outputs=train.task.n_outputs,
        n_aux=train.aux.shape[1],
        **config.model.options,
    )
    start = config.train.start
    STARTS[start.use](network, **start.options)
    return network.to(_device())


def training_key(train: TensorSet, val: TensorSet, config: FitSettings, *, with_val_history: bool = False) -> str:
    """A name for the one training that these settings and examples make with these versions on this kind of device.

    One that keeps its validation predictions has a name of its own: it cannot continue from a state without them.
    """
    examples = [train.representation.to_dict(), train.task.to_dict(), train.fingerprint, val.fingerprint]
    kept = ["val_history"] if with_val_history else []
    return key_of(_settings(config), examples, torch.__version__, _device().type, *kept)


def _settings(config: FitSettings) -> dict[str, Any]:
    """The configuration as plain data: only what was chosen, with all its options."""
    return {
        **config.model_dump(mode="json"),
        "model": config.model.settled().model_dump(mode="json"),
        "train": config.train.settled().model_dump(mode="json"),
    }


def _device() -> torch.device:
    return torch.device("cuda" if torch.cuda.is_available() else "cpu")


@dataclass(frozen=True)
class Best:
    """The best epoch so far: its number (0 is before training), its score (more is better), its weights."""

    epoch: int
    score: float
    weights: dict[str, Tensor]


class Training:
    """All that changes while a network is trained."""

    def __init__(
        self,
        network: Network,
        train: TensorSet,
        val: TensorSet,
        settings: Train,
        device: torch.device,
        val_history: ValHistory | None = None,
        until: int | None = None,
    ) -> None:
        """Put the tensors on the device and build all that training takes.

        Args:
            network: With fresh weights, on the device.
            train: Training part.
            val: Validation part.
            settings: Settings of the training.
            device: Where the tensors go.
            val_history: Takes the predictions of validation after each epoch; None keeps none, as in trials and rows,
                whose states are written by the hundred.
            until: The epoch after which training ends and whose weights are kept, in place of what validation says,
                which is then not predicted: it is part of train. The schedule is that of all epochs.
        """
        self.network, self.settings, self.device = network, settings, device
        self.task, self.val_history, self.until = train.task, val_history, until
        self.x, self.aux, self.y = (torch.from_numpy(part).to(device) for part in (train.x, train.aux, train.labels))
        self.val_x, self.val_aux = (torch.from_numpy(part).to(device) for part in (val.x, val.aux))
        self.val_y = val.labels
        self.monitor = self.task.monitor(settings)
        self.objective = self.task.objective(self.y, settings)
        if settings.log_prior_bias:
            network.set_output_bias(self.objective.initial_bias)
        self.augmentations = settings.augment.in_order()
        self.lengths = beat_lengths(self.x) if settings.trim_padding and can_be_trimmed(network) else None
        self.pruning = Pruning.of(len(self.y), settings.prune, settings.epochs, device) if settings.prune else None
        self.steps = settings.steps_per_epoch or len(_cut(torch.arange(len(self.y)), settings.batch_size))
        self.optimizer = build_optimizer(
            network, settings.optimizer.use, settings.learning_rate, settings.optimizer.options, settings.start.rates
        )
        span = {"steps": self.steps, "epochs": settings.epochs}
        self.schedule: Schedule = SCHEDULES[settings.schedule.use](self.optimizer, **span, **settings.schedule.options)
        self.average: Average | None = AVERAGES[settings.average.use](network, **span, **settings.average.options)
        self.rows: list[dict[str, Any]] = []
        self.best = Best(0, -math.inf, copy.deepcopy(network.state_dict()))

    def run(self, checkpoints: Checkpoints | None, key: str, show_progress: bool) -> None:
        """Train until the last epoch, or until patience or time is over; leaves the best weights in the network."""
        if checkpoints is not None and (state := checkpoints.load(key)) is not None:
            self.set_state(state)
            log.info("Resuming after epoch %d, where this training was cut off", len(self.rows))
        with _progress(hidden=not show_progress) as bar:
            total = (self.until or self.settings.epochs) * self.steps
            shown = bar.add_task("training" if self.until is None else "on train and val", total=total, scores="")
            while not self.is_over():
                bar.update(shown, completed=len(self.rows) * self.steps)
                self.next_epoch(lambda: bar.advance(shown, BATCHES_A_TICK))
                if checkpoints is not None:
                    checkpoints.save(key, self.state())
                bar.update(shown, scores=_summary(self.rows[-1], self.task))
                if show_progress and not bar.console.is_terminal:
                    log.info(_summary(self.rows[-1], self.task))
            bar.update(shown, completed=bar.tasks[0].total)
        self.network.load_state_dict(self.best.weights)
        if show_progress and self.until is None:
            kept = "Best on validation" if self.settings.keep == "best" else "The last epoch is kept"
            log.info("%s: %s", kept, _summary(self.rows[self.best.epoch - 1], self.task))
        elif show_progress:
            log.info("Trained again with validation: %s examples, epoch %d", f"{len(self.y):,}", self.until)

    def is_over(self) -> bool:
        """Whether there is no epoch left to train."""
        settings, done = self.settings, len(self.rows)
        if self.until is not None:
            return done >= self.until
        if settings.patience is not None and done - self.best.epoch >= settings.patience:
            log.info("No better %s for %d epochs: stopped after epoch %d", self.monitor, settings.patience, done)
            return True
        if settings.max_minutes is not None and sum(row["seconds"] for row in self.rows) >= settings.max_minutes * 60:
            log.info("The %g minutes are over: stopped after epoch %d", settings.max_minutes, done)
            return True
        return done >= settings.epochs

    def next_epoch(self, tick: Any = lambda: None) -> None:
        """Train one epoch, and validate it without ``until``; ``tick`` is called every :data:`BATCHES_A_TICK` batches.

        Raises:
            BeatwiseError: As :meth:`validate_epoch` does.
        """
        started = time.perf_counter()
        loss = self.train_epoch(tick)
        seconds = time.perf_counter() - started
        if self.until is None:
            self.validate_epoch(loss, seconds)
        else:
            self.keep_epoch(loss, seconds)

    def train_epoch(self, tick: Any = lambda: None) -> float:
        """Train one epoch, and return the mean loss of its examples."""
        settings, network, parameters = self.settings, self.network, list(self.network.parameters())
        half = torch.autocast(self.device.type, torch.bfloat16, enabled=settings.precision == "bfloat16")
        network.train()
        for name, module in network.named_modules() if settings.start.rates else ():
            # Of a frozen layer, the statistics of its normalisation stay too, and nothing is dropped.
            module.training = not name or layer_rate(name, settings.start.rates) > 0
        total, seen = torch.zeros((), device=self.device), 0
        batches = self.batches()
        for step, rows in enumerate(batches, start=1):
            batch = Batch(self.x[rows], self.aux[rows], self.objective.target(rows))
            if self.augmentations:
                batch = augment(batch, self.augmentations)
            if self.lengths is not None:
                batch = replace(batch, x=without_common_padding(batch.x, LENGTH_STEP))
            with half:
                outputs = network(batch.x, batch.aux)
            if self.pruning is None:
                loss = self.objective.loss(outputs.float(), batch.target)
            else:
                loss = self.pruning.weighted(rows, self.objective.loss(outputs.float(), batch.target, "none"))
            self.optimizer.zero_grad(set_to_none=True)
            torch.autograd.backward(loss)
            if settings.gradient_clip is not None:
                nn.utils.clip_grad_norm_(parameters, settings.gradient_clip)
            self.optimizer.step()
            # An epoch that leaves examples out takes as much of the schedule as any other.
            for _ in range(step * self.steps // len(batches) - (step - 1) * self.steps // len(batches)):
                self.schedule.after_batch()
            if self.average is not None:
                self.average.take_up(network, len(self.rows) + 1, "batch")
            total += loss.detach() * len(rows)
            seen += len(rows)
            if step % BATCHES_A_TICK == 0:
                tick()
        if self.average is not None:
            self.average.take_up(network, len(self.rows) + 1, "epoch")
        # The weights of a pruned epoch add up to the number of all examples, but for chance.
        return total.item() / (seen if self.pruning is None else len(self.y))

    def validate_epoch(self, train_loss: float, seconds: float) -> None:
        """Score the epoch on validation, write it down, and keep its weights if it is the best.

        Args:
            train_loss: Mean loss of the epoch.
            seconds: How long it took to train (s).

        Raises:
            BeatwiseError: If the loss or a prediction is not finite, or the monitored metric is not defined.
        """
        epoch, started = len(self.rows) + 1, time.perf_counter()
        network = self._checked(train_loss)
        decoded = self.task.decode(in_chunks(network, network, self.val_x, self.val_aux), self.settings.loss)
        # The loss is that before the last step.
        if not np.isfinite(decoded).all():
            raise _diverged("Predictions of the validation part are no numbers", epoch)
        scores = self.task.scores(self.val_y, decoded, self.task.history_metrics(self.settings))
        if math.isnan(scores[self.monitor]):
            defined = [name for name, value in scores.items() if not math.isnan(value)]
            raise BeatwiseError(
                f"train.monitor={self.monitor} is not defined on the validation part, whose targets are all the same: "
                f"use {', '.join(defined)}, or another split."
            )
        monitored = METRICS[self.monitor].sign * scores[self.monitor]
        rate = self.schedule.rate()
        self.schedule.after_epoch(monitored)
        if monitored > self.best.score or self.settings.keep == "last":
            self.best = Best(epoch, monitored, copy.deepcopy(network.state_dict()))
        if self.val_history is not None:
            self.val_history.add(decoded)
        self.rows.append(
            {
                "epoch": epoch,
                "learning_rate": rate,
                "train_loss": train_loss,
                **{f"val_{name}": value for name, value in scores.items()},
                "seconds": seconds,
                "val_seconds": time.perf_counter() - started,
            }
        )

    def keep_epoch(self, train_loss: float, seconds: float) -> None:
        """Write down an epoch that is not validated, and keep its weights; arguments as of :meth:`validate_epoch`.

        Raises:
            BeatwiseError: If the loss is not finite.
        """
        network, rate = self._checked(train_loss), self.schedule.rate()
        self.schedule.after_epoch(0.0)
        self.rows.append(
            {"epoch": len(self.rows) + 1, "learning_rate": rate, "train_loss": train_loss, "seconds": seconds}
        )
        self.best = Best(len(self.rows), 0.0, copy.deepcopy(network.state_dict()))

    def _checked(self, train_loss: float) -> Network:
        """The network that an epoch leaves, averaged where there is an average; refuses a loss that is no number."""
        if not math.isfinite(train_loss):
            raise _diverged(f"The training loss is {train_loss}", len(self.rows) + 1)
        if self.average is not None and self.average.has_begun():
            return cast("Network", self.average.network.module)
        return self.network

    def state(self) -> State:
        """All that changes from epoch to epoch, and the random generators with it."""
        return {
            "rows": self.rows,
            "best": {"epoch": self.best.epoch, "score": self.best.score, "weights": self.best.weights},
            "network": self.network.state_dict(),
            "average": None if self.average is None else self.average.network.state_dict(),
            "optimizer": self.optimizer.state_dict(),
            "schedule": {k: v for k, v in self.schedule.scheduler.state_dict().items() if _is_plain(v)},
            "val_history": None if self.val_history is None else self.val_history.state(),
            "losses": None if self.pruning is None else self.pruning.losses,
            "generator": torch.get_rng_state(),
            "cuda_generators": torch.cuda.get_rng_state_all() if self.device.type == "cuda" else [],
        }

    def set_state(self, state: State) -> None:
        """Return to a :meth:`state` of a training with the same configuration."""
        self.rows = state["rows"]
        self.best = Best(**state["best"])
        self.network.load_state_dict(state["network"])
        if self.average is not None:
            self.average.network.load_state_dict(state["average"])
        self.optimizer.load_state_dict(state["optimizer"])
        self.schedule.scheduler.load_state_dict(state["schedule"])
        if self.val_history is not None:
            self.val_history.set_state(state["val_history"])
        if self.pruning is not None:
            self.pruning.losses = state["losses"].to(self.device)
        torch.set_rng_state(state["generator"])
        if self.device.type == "cuda":
            torch.cuda.set_rng_state_all(state["cuda_generators"])

    def batches(self) -> list[Tensor]:
        """The indices of one epoch, batch by batch: every example once, or drawn with weights, or without easy ones."""
        n, size = len(self.y), self.settings.batch_size
        wanted = self.steps * size if self.settings.steps_per_epoch else n
        if self.pruning is not None:
            kept = self.pruning.draw(len(self.rows))
            order = kept[torch.randperm(len(kept), device=self.device)]
        elif self.objective.draw_weights is None:
            passes = [torch.randperm(n, device=self.device) for _ in range(-(-wanted // n))]
            order = torch.cat(passes)[:wanted] if len(passes) > 1 else passes[0][:wanted]
        else:
            # torch.multinomial takes at most 2**24 weights, some 150 times the training part of MIT-BIH.
            order = torch.multinomial(self.objective.draw_weights, wanted, replacement=True)
        if self.lengths is None:
            return _cut(order, size)
        sorted_parts = [part[self.lengths[part].argsort(stable=True)] for part in _cut(order, BATCHES_SORTED * size)]
        batches = [batch for part in sorted_parts for batch in _cut(part, size)]
        return [batches[index] for index in torch.randperm(len(batches)).tolist()]


def _cut(order: Tensor, size: int) -> list[Tensor]:
    """Indices in batches; a last batch of one joins the one before, as one example has no variance to normalise by."""
    batches = list(torch.split(order, size))
    if size > 1 and len(batches) > 1 and len(batches[-1]) == 1:
        batches[-2:] = [torch.cat(batches[-2:])]
    return batches


def can_be_trimmed(network: Network) -> bool:
    """Whether batches of like length, cut to their longest example, teach the network the same as any others.

    Batch normalisation takes its means from the batch: over examples of one length they are not those of all examples,
    which it uses afterwards, and validation suffers (measured in docs/benchmarks.md).
    """
    normalised = any(isinstance(module, nn.modules.batchnorm._BatchNorm) for module in network.modules())
    return network.ignores_padding and not normalised


def _is_plain(value: Any) -> bool:
    """Whether a part of a scheduler's state is data rather than a function or an object."""
    if isinstance(value, list | tuple):
        return all(map(_is_plain, value))
    return value is None or isinstance(value, bool | int | float | str)


def _diverged(what: str, epoch: int) -> BeatwiseError:
    return BeatwiseError(
        f"{what} in epoch {epoch}: training has diverged. Lower train.learning_rate, or set train.gradient_clip."
    )


def _summary(row: dict[str, Any], task: Task) -> str:
    scores = [f"{METRICS[name].label} {row[f'val_{name}']:.3f}" for name in task.shown if f"val_{name}" in row]
    return "  ".join([f"epoch {row['epoch']}", f"loss {row['train_loss']:.3f}", *scores])


def _progress(hidden: bool) -> Progress:
    return Progress(
        TextColumn("{task.description}"),
        BarColumn(bar_width=10),
        MofNCompleteColumn(),
        TimeRemainingColumn(compact=True),
        TextColumn("{task.fields[scores]}"),
        disable=hidden,
    )
