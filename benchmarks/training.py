"""Seconds per epoch of training: `python -m benchmarks.training [--rounds 5]`, and `--levers` for what lowers them.

Beatwise's loop and its peers train the same networks on the same beats, beside a bare loop without bookkeeping: the
floor. No time contains validation. All are timed in turn, round by round, in one process and with the same number of
threads, so that whatever else the machine does befalls all; the ratio of the medians counts. The beats are made up: an
epoch takes as long on them as on real ones.

The peers live in an environment of their own: benchmarks/requirements.txt says how it is made. Without one of them its
row is missing.
"""

from __future__ import annotations

import argparse
import contextlib
import importlib
import io
import logging
import multiprocessing
import os
import resource
import statistics
import tempfile
import time
from collections.abc import Callable, Iterable, Iterator
from dataclasses import dataclass
from functools import partial
from multiprocessing.synchronize import Barrier
from pathlib import Path
from typing import Any
from unittest.mock import patch

import numpy as np
import pandas as pd
import torch
from rich.console import Console
from rich.table import Table
from torch import Tensor, nn
from torch.nn import functional as F
from torch.utils.data import DataLoader, TensorDataset

from beatwise.data.examples import Examples
from beatwise.data.representations import representation
from beatwise.networks.blocks import BatchNorm1d, Conv1d
from beatwise.networks.zoo import build_model, list_models
from beatwise.tasks.classification.task import Classification
from beatwise.tasks.tensors import build_tensors
from beatwise.training.loop import can_be_trimmed, fit_model
from beatwise.training.settings import FitSettings

# Size and shares of the classes of the training part of the Kaggle MIT-BIH set.
BEATS, SAMPLES = 87_554, 187
SHARES = {"N": 0.828, "S": 0.025, "V": 0.066, "F": 0.007, "Q": 0.074}
BATCH, LEARNING_RATE, SEED = 128, 1e-3, 0
VALIDATION_BEATS = 500
FLOOR = "bare loop (floor)"

# One epoch of training; the seconds that it took.
Epoch = Callable[[], float]
Batch = tuple[Tensor, Tensor]
Loss = Callable[[Tensor, Tensor], Tensor]


# Data and models


class SignalAlone(nn.Module):
    """A network of the zoo for those who hand over one tensor a batch: no auxiliary features."""

    def __init__(self, network: nn.Module) -> None:
        super().__init__()
        self.network = network

    def forward(self, x: Tensor) -> Tensor:
        """Map signals ``[n, 1, t]`` to logits ``[n, n_classes]``."""
        return self.network(x, x.new_empty(len(x), 0))


@dataclass(frozen=True, eq=False)
class Beats:
    """Beats to train on.

    Attributes:
        x: Signals within 0 and 1, zeros behind the end of each beat, ``float32 [n, 1, t]``.
        y: Class indices, ``int64 [n]``.
        lengths: Samples of each beat before the zeros, ``int64 [n]``.
    """

    x: Tensor
    y: Tensor
    lengths: Tensor


def make_beats(n: int) -> Beats:
    """Synthetic beats: an R peak, a T wave whose place depends on the class, the next R peak, zeros; and noise.

    Args:
        n: How many.
    """
    rng = np.random.default_rng(SEED)
    shares = np.array(list(SHARES.values()))
    y = rng.choice(len(shares), size=n, p=shares)
    # About the lengths of the real set.
    lengths = rng.normal(117, 25, size=n).round().clip(50, SAMPLES).astype(np.int64)
    time_axis = np.arange(SAMPLES, dtype=np.float32)
    x = np.empty((n, 1, SAMPLES), dtype=np.float32)
    for beat, length, label in zip(x, lengths, y, strict=True):
        t_wave = (0.25 + 0.08 * label) * length
        wave = np.exp(-((time_axis / 3) ** 2)) + np.exp(-(((time_axis - length) / 5) ** 2))
        wave += 0.4 * np.exp(-(((time_axis - t_wave) / 8) ** 2)) + 0.1 * rng.random(SAMPLES, dtype=np.float32)
        beat[0] = np.where(time_axis < length, wave.clip(0, 1), 0)
    return Beats(torch.from_numpy(x), torch.from_numpy(y), torch.from_numpy(lengths))


def make_network(model: str) -> SignalAlone:
    """A network with the weights that everyone starts from."""
    torch.manual_seed(SEED)
    return SignalAlone(build_model(model, input_shape=(1, SAMPLES), n_outputs=len(SHARES)))


def trimmable(model: str) -> bool:
    """Whether Beatwise trains the network on batches that are cut to their longest beat."""
    return can_be_trimmed(build_model(model, input_shape=(1, SAMPLES), n_outputs=len(SHARES)))


def make_optimizer(network: nn.Module) -> torch.optim.AdamW:
    """The optimizer that everyone uses."""
    return torch.optim.AdamW(network.parameters(), lr=LEARNING_RATE, fused=True)


def make_dataset(beats: Beats) -> TensorDataset:
    """The beats as the peers take them."""
    return TensorDataset(beats.x, beats.y)


# Timing


def seconds(call: Callable[[], object]) -> float:
    """The time of a call (s)."""
    started = time.perf_counter()
    call()
    return time.perf_counter() - started


def peak(who: int) -> float:
    """The most memory that a process has held (MiB); Linux counts in KiB."""
    return resource.getrusage(who).ru_maxrss / 1024


def interleave(jobs: dict[str, Epoch], rounds: int) -> dict[str, list[float]]:
    """One epoch of each job to warm up, then one epoch of each in every round.

    Args:
        jobs: Functions to measure, by name.
        rounds: How often.

    Returns:
        The seconds of every job, one a round.
    """
    taken: dict[str, list[float]] = {name: [] for name in jobs}
    for number in range(rounds + 1):
        for name, epoch in jobs.items():
            # Bars and reports go nowhere: a terminal's speed is not what is measured.
            with contextlib.redirect_stdout(io.StringIO()), contextlib.redirect_stderr(io.StringIO()):
                took = epoch()
            if number:
                taken[name].append(took)
    return taken


def shuffled(beats: Beats, size: int = BATCH) -> Iterator[Batch]:
    """The batches of one epoch, gathered from the resident tensors."""
    for batch in torch.split(torch.randperm(len(beats.y)), size):
        yield beats.x[batch], beats.y[batch]


# Those who train


def bare_loop(
    model: str,
    beats: Beats,
    *,
    wrap: Callable[[Loss], Loss] = lambda loss_of: loss_of,
    batches: Callable[[Beats], Iterable[Batch]] = shuffled,
) -> Epoch:
    """Resident tensors, an epoch as a permutation, nothing else.

    Args:
        model: Name of the network.
        beats: Training beats.
        wrap: Changes the loss, a function of a batch, before it is used.
        batches: The batches of one epoch.
    """
    network = make_network(model).train()
    optimizer = make_optimizer(network)
    loss_of = wrap(lambda x, y: F.cross_entropy(network(x), y))

    def train() -> None:
        for x, y in batches(beats):
            torch.autograd.backward(loss_of(x, y))
            optimizer.step()
            optimizer.zero_grad(set_to_none=True)

    return lambda: seconds(train)


def beatwise(model: str, beats: Beats, *, trim_padding: bool = False) -> Epoch | None:
    """`fit_model` for one epoch; every fit starts from the same weights.

    Clipping is off, as in the others. The learning rate's schedule and the training loss are part of the loop.

    Args:
        model: Name of the network.
        beats: Training beats.
        trim_padding: Whether to cut batches to their longest beat, as Beatwise does by default.

    Returns:
        The epoch; None if padding should be cut and the network does not allow it.
    """
    if trim_padding and not trimmable(model):
        return None
    x, y = beats.x.numpy(), beats.y.numpy()
    parts = [Examples(x[:n, 0], pd.DataFrame({"target": y[:n]})) for n in (len(y), VALIDATION_BEATS)]
    signal = representation("signal", {}).fit(parts[0])
    train, val = (build_tensors(part, signal, Classification(classes=tuple(SHARES))) for part in parts)
    config = FitSettings.model_validate(
        {
            "task": {"use": "classification", "classification": {"classes": list(SHARES)}},
            "seed": SEED,
            "resample": {"use": "none"},
            "tensors": {"use": "signal"},
            "model": {"use": model},
            "train": {
                "epochs": 1,
                "batch_size": BATCH,
                "learning_rate": LEARNING_RATE,
                "gradient_clip": None,
                "trim_padding": trim_padding,
            },
        }
    )
    return lambda: seconds_of_training(fit_model(train, val, config)[1])


def seconds_of_training(history: pd.DataFrame) -> float:
    """The time of the last epoch of a fit without validation (s)."""
    return float(history["seconds"].iloc[-1])


def pytorch_lightning(model: str, beats: Beats) -> Epoch:
    """A Trainer with everything off that can be; timed from the hook before an epoch to the one behind it."""
    import lightning  # type: ignore[import-not-found]

    class Module(lightning.LightningModule):
        def __init__(self) -> None:
            super().__init__()
            self.network = make_network(model)
            # Every fit asks for the optimizer: it is to keep its moments.
            self.optimizer = make_optimizer(self.network)

        def configure_optimizers(self) -> torch.optim.Optimizer:
            return self.optimizer

        def training_step(self, batch: list[Tensor], _index: int) -> Tensor:
            x, y = batch
            return F.cross_entropy(self.network(x), y)

    class Clock(lightning.Callback):
        def on_train_epoch_start(self, *_: Any) -> None:
            self.started = time.perf_counter()

        def on_train_epoch_end(self, *_: Any) -> None:
            self.took = time.perf_counter() - self.started

    logging.getLogger("lightning.pytorch").setLevel(logging.ERROR)
    module, clock = Module(), Clock()
    loader = DataLoader(make_dataset(beats), batch_size=BATCH, shuffle=True)

    def epoch() -> float:
        trainer = lightning.Trainer(
            accelerator="cpu",
            devices=1,
            max_epochs=1,
            callbacks=[clock],
            logger=False,
            enable_checkpointing=False,
            enable_progress_bar=False,
            enable_model_summary=False,
        )
        trainer.fit(module, loader)
        return clock.took

    return epoch


def skorch(model: str, beats: Beats) -> Epoch:
    """A NeuralNetClassifier without validation and printing; its own history has the time."""
    from skorch import NeuralNetClassifier  # type: ignore[import-not-found]

    net = NeuralNetClassifier(
        make_network(model),
        criterion=nn.CrossEntropyLoss,
        optimizer=torch.optim.AdamW,
        optimizer__fused=True,
        lr=LEARNING_RATE,
        batch_size=BATCH,
        max_epochs=1,
        train_split=None,
        iterator_train__shuffle=True,
        verbose=0,
    ).initialize()
    dataset = make_dataset(beats)

    def epoch() -> float:
        net.partial_fit(dataset, y=None)
        return float(net.history[-1, "dur"])

    return epoch


def mltrainer(model: str, beats: Beats) -> Epoch:
    """A Trainer on an endless stream of batches, without reports; its training without its evaluation is timed."""
    from loguru import logger  # type: ignore[import-not-found]
    from mltrainer import Trainer, TrainerSettings  # type: ignore[import-not-found]

    logger.disable("mltrainer")
    loader = DataLoader(make_dataset(beats), batch_size=BATCH, shuffle=True)

    def stream() -> Iterator[list[Tensor]]:
        while True:
            yield from loader

    trainer = Trainer(
        model=make_network(model),
        settings=TrainerSettings(
            epochs=1,
            metrics=[],
            logdir=Path("mltrainer"),
            train_steps=len(loader),
            valid_steps=0,
            reporttypes=[],
            optimizer_kwargs={"lr": LEARNING_RATE, "fused": True},
            scheduler_kwargs=None,
            earlystop_kwargs=None,
        ),
        loss_fn=nn.CrossEntropyLoss(),
        optimizer=torch.optim.AdamW,
        traindataloader=stream(),
        validdataloader=(),
        scheduler=None,
    )
    return lambda: seconds(trainer.trainbatches)


# None where there is nothing to measure for that network.
Contestant = Callable[[str, Beats], Epoch | None]

# By the name of the row: who trains, and what must be installed for it.
CONTESTANTS: dict[str, tuple[Contestant, str | None]] = {
    FLOOR: (bare_loop, None),
    "beatwise": (beatwise, None),
    "beatwise, trim_padding": (partial(beatwise, trim_padding=True), None),
    "PyTorch Lightning": (pytorch_lightning, "lightning"),
    "skorch": (skorch, "skorch"),
    "mltrainer": (mltrainer, "mltrainer"),
}


def installed(console: Console) -> dict[str, Contestant]:
    """The contestants that can run here; says which cannot."""
    there = {}
    for name, (contestant, package) in CONTESTANTS.items():
        try:
            if package is not None:
                importlib.import_module(package)
            there[name] = contestant
        except ImportError as error:
            console.print(
                f"The row {name!r} is missing ({error}): benchmarks/requirements.txt says how to make an environment "
                "that has it.",
                markup=False,
            )
    return there


def compare(console: Console, models: list[str], beats: Beats, rounds: int) -> None:
    """Measure and print everyone's epochs, one table a network."""
    contestants = installed(console)
    for model in models:
        started = {name: start(model, beats) for name, start in contestants.items()}
        taken = interleave({name: epoch for name, epoch in started.items() if epoch is not None}, rounds)
        floor = statistics.median(taken[FLOOR])
        parameters = sum(p.numel() for p in make_network(model).parameters())
        table = Table(title=f"{model} ({parameters:,} parameters), median of {rounds} rounds")
        for column in ("", "seconds per epoch", "min to max", "of the floor"):
            table.add_column(column, justify="left" if not column else "right")
        for name, times in taken.items():
            median = statistics.median(times)
            table.add_row(name, f"{median:.2f}", f"{min(times):.2f} to {max(times):.2f}", f"{median / floor:.2f}")
        console.print(table)


# Settings that lower the floor


def trimmed(beats: Beats) -> Iterator[Batch]:
    """The batches of one epoch, each of beats of about one length and cut behind the longest.

    Beats are sorted within chunks of 16 batches alone, so that batches still differ from epoch to epoch.
    """
    for chunk in torch.split(torch.randperm(len(beats.y)), 16 * BATCH):
        batches = torch.split(chunk[beats.lengths[chunk].argsort()], BATCH)
        for i in torch.randperm(len(batches)).tolist():
            longest = int(beats.lengths[batches[i]].max())
            yield beats.x[..., :longest][batches[i]], beats.y[batches[i]]


def in_bfloat16(loss_of: Loss) -> Loss:
    """The same loss with bfloat16 wherever autocast takes it."""

    def under_autocast(x: Tensor, y: Tensor) -> Tensor:
        with torch.autocast("cpu", dtype=torch.bfloat16):
            return loss_of(x, y)

    return under_autocast


def with_threads(n: int, epoch: Epoch) -> Epoch:
    """The same epoch with another number of threads."""

    def timed() -> float:
        before = torch.get_num_threads()
        torch.set_num_threads(n)
        try:
            return epoch()
        finally:
            torch.set_num_threads(before)

    return timed


class Pair:
    """Two processes of one thread each, which train side by side."""

    def __init__(self, n_beats: int) -> None:
        context = multiprocessing.get_context("spawn")
        self.pool = context.Pool(2, _start_worker, (n_beats, context.Barrier(2)))
        # Their start is to disturb no measurement.
        self.pool.map(_meet, range(2), chunksize=1)

    def epoch(self, model: str) -> float:
        """Seconds per epoch while both train one: half of what the slower takes."""
        return max(self.pool.map(_epoch_of_worker, [model, model], chunksize=1)) / 2

    def end(self) -> None:
        """End both."""
        self.pool.close()
        self.pool.join()


# Within a worker: its beats, where it meets the other, and its epochs by model.
_WORKER: dict[str, Any] = {}


def _start_worker(n_beats: int, meeting: Barrier) -> None:
    torch.set_num_threads(1)
    _WORKER.update(beats=make_beats(n_beats), meeting=meeting, epochs={})


def _meet(_: object = None) -> None:
    # Also keeps one worker from taking both tasks.
    _WORKER["meeting"].wait()


def _epoch_of_worker(model: str) -> float:
    if model not in _WORKER["epochs"]:
        _WORKER["epochs"][model] = bare_loop(model, _WORKER["beats"])
    _meet()
    return _WORKER["epochs"][model]()


def with_torchs_layers(epoch: Epoch) -> Epoch:
    """The same with torch's own convolutions and batch normalisation over time, not those with channels last."""

    def run() -> float:
        norm = {name: getattr(nn.BatchNorm1d, name) for name in ("forward", "_check_input_dim")}
        with patch.multiple(Conv1d, forward=nn.Conv1d.forward), patch.multiple(BatchNorm1d, **norm):
            return epoch()

    return run


def pull_levers(model: str, beats: Beats, threads: int, pair: Pair) -> tuple[dict[str, Epoch], dict[str, str]]:
    """The bare loop, and with one lever pulled at a time.

    Args:
        model: Name of the network.
        beats: Training beats.
        threads: Threads of the bare loop.
        pair: Two more processes.

    Returns:
        Functions to measure by the name of the lever, and remarks by that name, also on those that cannot be
        pulled for this network.
    """
    jobs, remarks = {FLOOR: bare_loop(model, beats)}, {}
    for size in (64, 256, 512):
        jobs[f"batch size: {size}"] = bare_loop(model, beats, batches=partial(shuffled, size=size))
    jobs["bfloat16 autocast"] = bare_loop(model, beats, wrap=in_bfloat16)
    other = 2 if threads == 1 else 1
    jobs[f"threads: {other}"] = with_threads(other, bare_loop(model, beats))
    jobs["two processes"] = partial(pair.epoch, model)
    remarks["two processes"] = "of 1 thread each"

    jobs["torch's layers"] = with_torchs_layers(bare_loop(model, beats))

    name = "cut to longest"
    if trimmable(model):
        jobs[name] = bare_loop(model, beats, batches=trimmed)
    else:
        remarks[name] = "reads padding, or batch normalisation"

    def compiled(loss_of: Loss) -> Loss:
        # One graph for full batches and one for the last, shorter one: a single graph for any size would be slower.
        fast = torch.compile(loss_of, dynamic=False)
        sizes = {min(BATCH, len(beats.y)), len(beats.y) % BATCH} - {0}
        took = seconds(lambda: torch.autograd.backward([fast(beats.x[:n], beats.y[:n]) for n in sizes]))
        remarks["torch.compile"] = f"compiled in {took:.0f} s"
        return fast

    try:
        jobs["torch.compile"] = bare_loop(model, beats, wrap=compiled)
    except RuntimeError as error:
        remarks["torch.compile"] = f"failed: {str(error).strip().splitlines()[0]}"
    return jobs, remarks


def pull_layouts() -> dict[str, Epoch]:
    """Two convolutions of 64 channels over 94 samples, forward and backward, 20 batches: torch's and Beatwise's."""

    def steps(convolution: type[nn.Module], norm: type[nn.Module]) -> Epoch:
        def once() -> list[nn.Module]:
            return [convolution(64, 64, 5, padding=2, bias=False), norm(64), nn.ReLU()]

        network, x = nn.Sequential(*once(), *once()), torch.rand(BATCH, 64, 94)
        # The input asks for its gradient too, as it does within a network.
        wanted = [x.requires_grad_(), *network.parameters()]

        def train() -> None:
            for _ in range(20):
                torch.autograd.grad(network(x).square().mean(), wanted)

        return lambda: seconds(train)

    return {"torch's layers": steps(nn.Conv1d, nn.BatchNorm1d), "channels last": steps(Conv1d, BatchNorm1d)}


def compare_levers(console: Console, models: list[str], beats: Beats, rounds: int) -> None:
    """Measure and print each lever for each network, in one table; when interrupted, what is done so far."""
    table = Table(title=f"Levers, median of {rounds} rounds")
    for column in ("lever", "network", "seconds", "of the floor", ""):
        table.add_column(column, justify="right" if column in ("seconds", "of the floor") else "left")

    def add(network: str, taken: dict[str, list[float]], remarks: dict[str, str]) -> None:
        medians = {name: statistics.median(times) for name, times in taken.items()}
        floor = next(iter(medians.values()))
        for name, median in medians.items():
            table.add_row(name, network, f"{median:.2f}", f"{median / floor:.2f}", remarks.get(name, ""))
        for name in [name for name in remarks if name not in medians]:
            table.add_row(name, network, "", "", remarks[name])
        table.add_section()

    # Compiled kernels are kept between runs: from an empty folder, the seconds of compiling are those of a first run.
    os.environ["TORCHINDUCTOR_CACHE_DIR"] = str(Path("inductor").absolute())
    pair = Pair(len(beats.y))
    try:
        add("conv block", interleave(pull_layouts(), rounds), {})
        for model in models:
            jobs, remarks = pull_levers(model, beats, torch.get_num_threads(), pair)
            add(model, interleave(jobs, rounds), remarks)
            torch.compiler.reset()
        pair.end()
    finally:
        console.print(table)


def main() -> None:
    """Measure and print."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--rounds", type=int, default=5)
    parser.add_argument("--beats", type=int, default=BEATS)
    parser.add_argument("--models", default="mlp,cnn1d,resnet1d,cnn_gru", help="names, with commas between")
    parser.add_argument("--threads", type=int, default=torch.get_num_threads())
    parser.add_argument("--levers", action="store_true", help="measure what lowers the floor instead of the peers")
    given = parser.parse_args()
    models = given.models.split(",")
    if unknown := [name for name in models if name not in list_models(by_gradients=True)]:
        parser.error(f"no model {', '.join(unknown)}; there are {', '.join(list_models(by_gradients=True))}")

    # Everyone trains on the CPU, and Beatwise would take a GPU by itself.
    os.environ["CUDA_VISIBLE_DEVICES"] = ""
    torch.set_num_threads(given.threads)
    console = Console()
    console.print(
        f"{given.beats:,} beats of {SAMPLES} samples, batches of {BATCH}, threads: {given.threads}, "
        f"torch {torch.__version__}",
        highlight=False,
    )
    beats = make_beats(given.beats)
    # Some peers write files wherever they are.
    with tempfile.TemporaryDirectory() as folder, contextlib.chdir(folder):
        (compare_levers if given.levers else compare)(console, models, beats, given.rounds)
    console.print(f"Peak memory: {peak(resource.RUSAGE_SELF):,.0f} MiB", highlight=False)
    if given.levers:
        console.print(f"Largest of the other processes: {peak(resource.RUSAGE_CHILDREN):,.0f} MiB", highlight=False)


if __name__ == "__main__":
    main()
