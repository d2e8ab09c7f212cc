"""Nodes that search hyper-parameters and say what was found."""

from __future__ import annotations

import logging
from dataclasses import asdict
from typing import Any

import pandas as pd

from beatwise.data.examples import Examples
from beatwise.data.settings import Resample, Tensors
from beatwise.networks.settings import Model
from beatwise.search.settings import RaySettings, Tune
from beatwise.search.trials import Searches, TrialRecord
from beatwise.tasks.settings import TaskChoice
from beatwise.training.checkpoint import Checkpoints
from beatwise.training.settings import FitSettings, Train

log = logging.getLogger(__name__)

Records = list[dict[str, Any]]


def plan(
    tune: Tune,
    task: TaskChoice,
    seed: int,
    resample: Resample,
    tensors: Tensors,
    model: Model,
    train: Train,
    checkpoints: Checkpoints,
) -> dict[str, Any]:
    """Write down what is searched.

    Args:
        tune: The searches, of which one is chosen.
        task: What is predicted.
        seed: Seed of the search and of its trials.
        resample: What a trial is fitted with where the space does not say otherwise.
        tensors: Likewise.
        model: Likewise.
        train: Likewise.
        checkpoints: The trials of earlier searches lie beside them, for a refined search.

    Returns:
        See ``SearchPlan.plain``.

    Raises:
        BeatwiseError: If a range leads to what is no parameter or to a value that is not allowed, or if there is no
            search to refine.
    """
    from beatwise.search.plan import plan_search
    from beatwise.search.results import refined

    planned = plan_search(tune, task, seed, resample, tensors, model, train)
    if tune.refine is not None:
        planned = refined(planned, tune.refine, Searches.beside(checkpoints))
    return planned.plain()


def search(
    plan: dict[str, Any],
    train_beats: Examples,
    val_beats: Examples,
    checkpoints: Checkpoints,
    ray: RaySettings,
) -> Records:
    """Run the trials, or go on where they were cut off; the test part is not among this node's inputs.

    Args:
        plan: What is searched.
        train_beats: The training part.
        val_beats: The validation part.
        checkpoints: Where the state of each trial is saved after each epoch; the trials are stored beside them.
        ray: Where the trials are trained.

    Returns:
        The trials, ``TrialRecord`` as plain data, by number.

    Raises:
        BeatwiseError: If no trial got through an epoch.
        KeyboardInterrupt: If the search was interrupted; the same command goes on with it.
    """
    from beatwise.search.plan import SearchPlan
    from beatwise.search.progress import announce, shown
    from beatwise.search.results import best_trial
    from beatwise.search.tuner import run_search

    planned = SearchPlan.from_plain(plan)
    key, searches = planned.key([train_beats.fingerprint, val_beats.fingerprint]), Searches.beside(checkpoints)
    announce(planned, train_beats, ray)
    begun = searches.begin(key, plan)
    with shown(planned, begun) as tell:
        records = run_search(planned, key, begun, (train_beats, val_beats), searches, checkpoints, ray, tell)
    best_trial(records, planned)
    return [asdict(record) for record in records]


def choose(records: Records, plan: dict[str, Any]) -> FitSettings:
    """The configuration of the best trial, for a last fit.

    Args:
        records: The trials.
        plan: What was searched.

    Returns:
        The settings of the fit.
    """
    from beatwise.search.plan import SearchPlan
    from beatwise.search.results import best_trial

    planned = SearchPlan.from_plain(plan)
    best = best_trial(_read(records), planned)
    log.info("The best is trial %d; it is fitted once more", best.number)
    return planned.refit(best.values)


def tabulate(records: Records, plan: dict[str, Any]) -> tuple[pd.DataFrame, pd.DataFrame, pd.DataFrame]:
    """The trials, their epochs, and what was searched, as tables.

    Args:
        records: The trials.
        plan: What was searched.

    Returns:
        See ``trials_table``, ``histories_table`` and
        ``space_table``.
    """
    from beatwise.search.plan import SearchPlan
    from beatwise.search.results import histories_table, space_table, trials_table

    planned, read = SearchPlan.from_plain(plan), _read(records)
    return trials_table(read, planned), histories_table(read), space_table(read, planned)


def _read(records: Records) -> list[TrialRecord]:
    return [TrialRecord(**record) for record in records]
