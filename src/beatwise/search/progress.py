"""What a search shows on the screen."""

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
from beatwise.search.plan import SearchPlan
from beatwise.search.population import draw
from beatwise.search.results import ranked
from beatwise.search.settings import RaySettings
from beatwise.search.trial import TensorCache
from beatwise.search.trials import TrialRecord
from beatwise.tasks.registry import METRICS
from beatwise.training.loop import new_training
from beatwise.training.settings import FitConfig

log = logging.getLogger(__name__)

# What the pace of a search is estimated from: so many trials, and so many batches of each.
SAMPLED: Final = 4
BATCHES: Final = 4


def announce(plan: SearchPlan, train_beats: Examples, settings: RaySettings) -> None:
    """Say how much is going to be computed, and how to do without it.

    Args:
        plan: What is searched.
        train_beats: Beats table of the training part.
        settings: Where Ray runs.
    """
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
        text += f", and no more than {search.max_minutes:g} min"
    log.info("%s. `kedro run --pipeline=train` does without a search.", text)


def seconds_per_epoch(plan: SearchPlan, train_beats: Examples) -> float | None:
    """About how long an epoch takes on one thread (s): a few batches of a few trials, drawn by chance.

    Args:
        plan: What is searched.
        train_beats: Beats table of the training part.

    Returns:
        The mean of the trials that can be trained; None where none of them can.
    """
    random, threads = np.random.default_rng(plan.seed), torch.get_num_threads()
    paces = []
    torch.set_num_threads(1)
    try:
        for _ in range(SAMPLED):
            values = plan.space.draw(lambda _, within: draw(within, random))
            try:
                paces.append(_pace(plan.configs(values)[0], train_beats))
            except Exception as error:
                # In the search itself a trial that fails is one trial less.
                log.debug("%s: %s", values, error)
    finally:
        torch.set_num_threads(threads)
    return sum(paces) / len(paces) if paces else None


def _pace(config: FitConfig, train_beats: Examples) -> float:
    """How long an epoch of one trial takes (s)."""
    how = config.train
    wanted = len(train_beats) if how.steps_per_epoch is None else how.steps_per_epoch * how.batch_size
    rows = np.random.default_rng(config.seed).permutation(len(train_beats))
    few = train_beats.take(rows[: min(how.batch_size * BATCHES, len(train_beats))])
    once = how.model_copy(update={"steps_per_epoch": None})
    plain = config.model_copy(update={"resample": Resample(use="none"), "train": once})
    with torch.random.fork_rng():
        training = new_training(*TensorCache(few, few).get(plain), plain)
        # The first batches prepare kernels.
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
    """A bar of the trials that have ended, and a line for each as it ends.

    Args:
        plan: What is searched.
        begun: Trials that have begun already.

    Yields:
        A function to call with each trial that has trained an epoch or has ended.
    """
    ended = {record.number for record in begun if record.status != "running"}
    if ended:
        log.info("%d of %d trials have ended already", len(ended), plan.n_trials)
    metric = METRICS[plan.search.metric].label
    known = {record.number: record for record in begun}

    def best() -> str:
        found = ranked([*known.values()], plan)
        return f"best {metric} {found[0].scores[-1]:.3f}, trial {found[0].number}" if found else ""

    columns: list[Any] = [TextColumn("{task.description}"), BarColumn(bar_width=10), MofNCompleteColumn()]
    with Progress(*columns, TimeElapsedColumn(), TextColumn("{task.fields[best]}")) as bar:
        task = bar.add_task("trials", total=plan.n_trials, completed=len(ended), best=best())

        def tell(record: TrialRecord) -> None:
            known[record.number] = record
            if record.status != "running" and record.number not in ended:
                ended.add(record.number)
                log.info("%s", _ending(record, metric))
            bar.update(task, completed=len(ended), best=best())

        yield tell


def _ending(record: TrialRecord, metric: str) -> str:
    if record.status == "failed":
        return f"trial {record.number} failed: {record.failure}"
    n = len(record.epochs)
    if n == 0:
        return f"trial {record.number}: {record.status} before its first epoch"
    how = f"{metric} {record.scores[-1]:.3f}, {record.status} after {n} epoch{'s' if n > 1 else ''}"
    return f"trial {record.number}: {how}, {record.seconds:.0f} s"
