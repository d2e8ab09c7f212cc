"""Messages and progress bar of a search."""

from __future__ import annotations

import logging
import os
import time
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from typing import Any, Final

import numpy as np
import torch
from rich.progress import BarColumn, MofNCompleteColumn, Progress, TextColumn, TimeElapsedColumn

from beatwise.data.examples import Examples
from beatwise.data.settings import Resample
from beatwise.search.algorithms import ALGORITHMS
from beatwise.search.plan import SearchPlan
from beatwise.search.results import ranked
from beatwise.search.searcher import draws
from beatwise.search.settings import RaySettings
from beatwise.search.trial import TensorCache
from beatwise.search.trials import TrialRecord
from beatwise.tasks.registry import METRICS
from beatwise.training.loop import new_training
from beatwise.training.settings import FitSettings

log = logging.getLogger(__name__)

# The pace of a search is estimated from this many trials, and this many batches of each.
SAMPLED: Final = 4
BATCHES: Final = 4


def announce(plan: SearchPlan, train_beats: Examples, settings: RaySettings) -> None:
    """Log the size of a search and its expected duration."""
    search = plan.search
    if plan.n_trials < len(plan.grid):
        log.warning("tune.%s: %d of the grid's %d combinations are tried.", plan.name, plan.n_trials, len(plan.grid))
    text = f"Searching {plan.n_trials} trials of at most {search.epochs} epochs"
    if search.seeds > 1:
        text += f" and {search.seeds} seeds"
    if settings.address is None and (pace := seconds_per_epoch(plan, train_beats)) is not None:
        at_once = settings.cpus or os.cpu_count() or 1
        minutes = plan.n_trials * search.epochs * search.seeds * pace / at_once / 60
        text += f", {at_once} at once: {_duration(minutes)} if none is stopped early"
    if search.max_minutes is not None:
        text += f", at most {search.max_minutes:g} min"
    log.info("%s. `kedro run --pipeline=train` trains without a search.", text)


def seconds_per_epoch(plan: SearchPlan, train_beats: Examples) -> float | None:
    """Estimate the time of an epoch on one thread (s) from a few batches of random trials; None if none can train."""
    threads, paces = torch.get_num_threads(), []
    torch.set_num_threads(1)
    try:
        for values in draws(plan.space, ALGORITHMS["random"](seed=plan.seed), SAMPLED):
            try:
                paces.append(_pace(plan.configs(values)[0], train_beats))
            except Exception as error:
                # A trial that fails does not end a search either.
                log.debug("%s: %s", values, error)
    finally:
        torch.set_num_threads(threads)
    return sum(paces) / len(paces) if paces else None


def _pace(config: FitSettings, train_beats: Examples) -> float:
    """Measure the duration of an epoch of one trial (s)."""
    settings = config.train
    wanted = len(train_beats) if settings.steps_per_epoch is None else settings.steps_per_epoch * settings.batch_size
    rows = np.random.default_rng(config.seed).permutation(len(train_beats))
    few = train_beats.take(rows[: min(settings.batch_size * BATCHES, len(train_beats))])
    once = settings.model_copy(update={"steps_per_epoch": None})
    plain = config.model_copy(update={"resample": Resample(use="none"), "train": once})
    with torch.random.fork_rng():
        training = new_training(*TensorCache(few, few).get(plain), plain)
        # The first epoch is not timed: it prepares kernels.
        training.train_epoch()
        started = time.perf_counter()
        training.train_epoch()
        return (time.perf_counter() - started) / len(few) * wanted


def _duration(minutes: float) -> str:
    if minutes < 1:
        return "less than a minute"
    return f"about {minutes:.0f} min" if minutes < 90 else f"about {minutes / 60:.1f} h"


@contextmanager
def shown(plan: SearchPlan, begun: Sequence[TrialRecord]) -> Iterator[Callable[[TrialRecord], None]]:
    """Show a progress bar of finished trials, and log a line at the end of each.

    Yields:
        A function to call with a trial after each of its epochs and at its end.
    """
    ended = {record.number for record in begun if record.status != "running"}
    if ended:
        log.info("%d of %d trials have ended before", len(ended), plan.n_trials)
    metric = METRICS[plan.metric].label
    known = {record.number: record for record in begun}

    def best() -> str:
        found = ranked([*known.values()], plan)
        return f"best {metric} {found[0].scores[-1]:.3f}, trial {found[0].number}" if found else ""

    columns: list[Any] = [TextColumn("{task.description}"), BarColumn(bar_width=10), MofNCompleteColumn()]
    with Progress(*columns, TimeElapsedColumn(), TextColumn("{task.fields[best]}")) as bar:
        task = bar.add_task("trials", total=plan.n_trials, completed=len(ended), best=best())

        def report(record: TrialRecord) -> None:
            known[record.number] = record
            if record.status != "running" and record.number not in ended:
                ended.add(record.number)
                log.info("%s", _ending(record, metric))
            bar.update(task, completed=len(ended), best=best())

        yield report


def _ending(record: TrialRecord, metric: str) -> str:
    if record.status == "failed":
        return f"trial {record.number} failed: {record.failure}"
    n = len(record.epochs)
    if n == 0:
        return f"trial {record.number}: {record.status} before its first epoch"
    outcome = f"{metric} {record.scores[-1]:.3f}, {record.status} after {n} epoch{'s' if n > 1 else ''}"
    return f"trial {record.number}: {outcome}, {record.seconds:.0f} s"
