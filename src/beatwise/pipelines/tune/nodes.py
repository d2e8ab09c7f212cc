"""Nodes that search hyper-parameters and say what was found."""

from __future__ import annotations

import logging
from dataclasses import asdict
from typing import Any

import numpy as np
import pandas as pd
from matplotlib.figure import Figure

from beatwise import figures
from beatwise.data.examples import TARGET, Examples
from beatwise.data.settings import Resample, Tensors
from beatwise.networks.settings import Model
from beatwise.report.html import SearchResult, render_search
from beatwise.report.settings import Report
from beatwise.search.settings import RaySettings, Tune
from beatwise.search.trials import Searches, TrialRecord
from beatwise.tasks.settings import Evaluate
from beatwise.training.checkpoint import Checkpoints
from beatwise.training.settings import Train

log = logging.getLogger(__name__)

Records = list[dict[str, Any]]


def plan(
    tune: Tune,
    classes: list[str],
    seed: int,
    resample: Resample,
    tensors: Tensors,
    model: Model,
    train: Train,
    searches: Searches,
) -> dict[str, Any]:
    """Write down what is searched.

    Args:
        tune: The searches, of which one is chosen.
        classes: Class names in the order of their indices.
        seed: Seed of the search and of its trials.
        resample: What a trial is fitted with where the space does not say otherwise.
        tensors: Likewise.
        model: Likewise.
        train: Likewise.
        searches: Where the trials of earlier searches are, for a refined one.

    Returns:
        See ``SearchPlan.plain``.

    Raises:
        BeatwiseError: If a range leads to what is no parameter or to a value that is not allowed, or if there is no
            search to refine.
    """
    from beatwise.search.plan import plan_search
    from beatwise.search.results import refined

    planned = plan_search(tune, classes, seed, resample, tensors, model, train)
    return (planned if tune.refine is None else refined(planned, tune.refine, searches)).plain()


def search(
    plan: dict[str, Any],
    train_beats: Examples,
    val_beats: Examples,
    checkpoints: Checkpoints,
    searches: Searches,
    ray: RaySettings,
) -> Records:
    """Run the trials, or go on where they were cut off; the test part is not among this node's inputs.

    Args:
        plan: What is searched.
        train_beats: The training part.
        val_beats: The validation part.
        checkpoints: Where the state of each trial is saved after each epoch.
        searches: Where each trial is stored as it goes.
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
    key = planned.key([train_beats.fingerprint, val_beats.fingerprint])
    announce(planned, train_beats, ray)
    begun = searches.begin(key, plan)
    with shown(planned, begun) as tell:
        records = run_search(planned, key, begun, (train_beats, val_beats), searches, checkpoints, ray, tell)
    best_trial(records, planned)
    return [asdict(record) for record in records]


def choose(records: Records, plan: dict[str, Any]) -> dict[str, Any]:
    """The configuration of the best trial, for a last fit.

    Args:
        records: The trials.
        plan: What was searched.

    Returns:
        A ``FitConfig`` as plain data.
    """
    from beatwise.search.plan import SearchPlan
    from beatwise.search.results import best_trial

    planned = SearchPlan.from_plain(plan)
    best = best_trial(_read(records), planned)
    log.info("The best is trial %d; it is fitted once more", best.number)
    return planned.refit(best.values).model_dump(mode="json")


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


def plot_search(trials: pd.DataFrame, plan: dict[str, Any]) -> Figure:
    """Draw how the search went: every trial, the best so far, and the epochs that it took."""
    return figures.plot_search(trials, plan["search"]["metric"])


def plot_trial_curves(histories: pd.DataFrame, trials: pd.DataFrame, plan: dict[str, Any]) -> Figure:
    """Draw the metric of every trial epoch by epoch, and where trials were stopped."""
    return figures.plot_trial_curves(histories, trials, plan["search"]["metric"])


def plot_slices(trials: pd.DataFrame, space: pd.DataFrame, plan: dict[str, Any]) -> Figure:
    """Draw the score over each hyper-parameter."""
    return figures.plot_slices(trials, space, plan["search"]["metric"])


def plot_importance(space: pd.DataFrame) -> Figure:
    """Draw how much of the score each hyper-parameter explains."""
    return figures.plot_importance(space)


def plot_parallel(trials: pd.DataFrame, space: pd.DataFrame, plan: dict[str, Any]) -> Figure:
    """Draw every trial as a line over the axes of its hyper-parameters."""
    return figures.plot_parallel(trials, space, plan["search"]["metric"])


def draw_interactive(
    trials: pd.DataFrame, histories: pd.DataFrame, space: pd.DataFrame, plan: dict[str, Any]
) -> tuple[Any, Any, Any]:
    """Draw parallel coordinates, the trials and their curves with plotly."""
    from beatwise.figures import interactive

    metric = plan["search"]["metric"]
    return (
        interactive.parallel_coordinates(trials, space, metric),
        interactive.history(trials, metric),
        interactive.curves(histories, trials, metric),
    )


def compare(
    baseline_predictions: pd.DataFrame, tuned_predictions: pd.DataFrame, evaluate: Evaluate, seed: int
) -> dict[str, Any]:
    """Compare baseline and tuned model on the same test beats.

    Args:
        baseline_predictions: Predictions of the test part.
        tuned_predictions: Likewise.
        evaluate: Settings of the bootstrap.
        seed: Seed of the bootstrap.

    Returns:
        See ``compare_paired``; with ``confidence`` and ``bootstrap_draws``.
    """
    from beatwise.tasks.classification.paired import compare_paired
    from beatwise.tasks.classification.predictions import probabilities
    from beatwise.tasks.intervals import clusters_of

    paired = compare_paired(
        tuned_predictions[TARGET].to_numpy(np.int64),
        probabilities(baseline_predictions),
        probabilities(tuned_predictions),
        draws=evaluate.bootstrap_draws,
        seed=seed,
        confidence=evaluate.confidence,
        cluster=clusters_of(tuned_predictions),
    )
    return {**paired, "confidence": evaluate.confidence, "bootstrap_draws": evaluate.bootstrap_draws}


def render(
    plan: dict[str, Any],
    trials: pd.DataFrame,
    space: pd.DataFrame,
    against_baseline: dict[str, Any],
    report: Report,
    source: str,
    **drawn: Figure | bytes,
) -> str:
    """Render the report of the search as one HTML file.

    Args:
        plan: What was searched.
        trials: The trials.
        space: What was searched, as a table.
        against_baseline: Baseline and tuned model on test.
        report: Notice.
        source: Name of the data source.
        **drawn: Figures by the name that the template calls them.

    Returns:
        HTML.
    """
    result = SearchResult(plan, trials, space, against_baseline)
    return render_search(result, drawn, notice=report.notice, source=source)
