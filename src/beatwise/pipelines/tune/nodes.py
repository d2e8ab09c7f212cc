"""Nodes that search hyper-parameters and tabulate the trials."""

from __future__ import annotations

import logging

import pandas as pd

from beatwise.data.examples import Examples
from beatwise.data.settings import Resample, Tensors
from beatwise.networks.settings import Model
from beatwise.search.plan import SearchPlan
from beatwise.search.settings import RaySettings, Tune
from beatwise.search.trials import Searches, TrialRecord
from beatwise.tasks.settings import TaskChoice
from beatwise.training.checkpoint import Checkpoints
from beatwise.training.settings import FitSettings, Train

log = logging.getLogger(__name__)


def plan(
    tune: Tune,
    task: TaskChoice,
    seed: int,
    resample: Resample,
    tensors: Tensors,
    model: Model,
    train: Train,
    checkpoints: Checkpoints,
) -> SearchPlan:
    """Plan the chosen search.

    Raises:
        BeatwiseError: If a range is that of an unknown parameter or holds a value that is not allowed, or if there is
            no search to refine.
    """
    from beatwise.search.plan import plan_search
    from beatwise.search.results import refined

    planned = plan_search(tune, task, seed, resample, tensors, model, train)
    return planned if tune.refine is None else refined(planned, tune.refine, Searches.beside(checkpoints))


def search(
    plan: SearchPlan,
    train_beats: Examples,
    val_beats: Examples,
    checkpoints: Checkpoints,
    ray: RaySettings,
) -> list[TrialRecord]:
    """Run the trials, or resume them, and return them by number; the test part is not among this node's inputs.

    Raises:
        BeatwiseError: If no trial finished an epoch.
        KeyboardInterrupt: If the search was interrupted; the same command resumes it.
    """
    from beatwise.search.progress import announce, shown
    from beatwise.search.results import best_trial
    from beatwise.search.tuner import run_search

    key, searches = plan.key([train_beats.fingerprint, val_beats.fingerprint]), Searches.beside(checkpoints)
    announce(plan, train_beats, ray)
    with searches.alone(key):
        begun = searches.begin(key, plan)
        with shown(plan, begun) as report:
            records = run_search(plan, key, begun, (train_beats, val_beats), searches, checkpoints, ray, report)
    best_trial(records, plan)
    return records


def choose(records: list[TrialRecord], plan: SearchPlan) -> FitSettings:
    """The settings of the last fit, those of the best trial."""
    from beatwise.search.results import best_trial

    best = best_trial(records, plan)
    if shortfall := plan.task.build().shortfall(plan.metric, best.scores[-1]):
        log.warning("%s", shortfall)
    log.info("The best is trial %d; it is fitted once more", best.number)
    return plan.refit(best.values)


def tabulate(records: list[TrialRecord], plan: SearchPlan) -> tuple[pd.DataFrame, pd.DataFrame, pd.DataFrame]:
    """The trials, their epochs and the space: ``trials_table``, ``histories_table`` and ``space_table``."""
    from beatwise.search.results import histories_table, space_table, trials_table

    return trials_table(records, plan), histories_table(records), space_table(records, plan)
