"""Results of a search: tables of trials, the best trial, importances of hyper-parameters, refined searches."""

from __future__ import annotations

import logging
from collections.abc import Mapping, Sequence
from typing import Any, Final

import numpy as np
import pandas as pd

from beatwise.core.errors import BeatwiseError
from beatwise.core.nested import merged, nested
from beatwise.core.registry import unknown_name
from beatwise.search.plan import SearchPlan
from beatwise.search.space import Range, Space, label
from beatwise.search.trials import Searches, TrialRecord

log = logging.getLogger(__name__)

# A refined search uses this share of the trials, and at least this number.
BEST_SHARE: Final = 0.2
BEST_AT_LEAST: Final = 3
# A narrowed range extends beyond the best trials by this share of the old range.
MARGIN: Final = 0.1
# The smallest number of trials for importances.
ENOUGH: Final = 8


def trials_table(records: Sequence[TrialRecord], plan: SearchPlan) -> pd.DataFrame:
    """Tabulate all trials of a search.

    Returns:
        One row a trial, by number: ``trial``, ``status``, ``failure``, ``score`` (the best value of the metric; NaN
        without a finished epoch) and ``score_sd`` (over several seeds), ``best_epoch``, ``epochs``, ``seconds``,
        ``n_parameters``, ``started``; the validation metrics of the best epoch; a column for each hyper-parameter, by
        full name, empty if the trial does not use it; ``config``, the configuration of its fit as JSON.
    """
    metrics = dict.fromkeys(
        name for record in records for epoch in record.epochs for name in epoch if name.startswith("val_")
    )
    rows = []
    for record in records:
        best = _best_epoch(record)
        row: dict[str, Any] = {
            "trial": record.number,
            "status": record.status,
            "failure": record.failure,
            "score": record.scores[-1] if record.epochs else np.nan,
            "score_sd": record.epochs[-1].get("score_sd", np.nan) if record.epochs else np.nan,
            "best_epoch": best.get("epoch", pd.NA),
            "epochs": len(record.epochs),
            "seconds": record.seconds,
            "n_parameters": record.n_parameters,
            "started": record.started,
            **{name: best.get(name, np.nan) for name in metrics},
        }
        for name, range in plan.space.ranges.items():
            value = record.values.get(name)
            row[name] = label(value) if range.kind == "choice" and name in record.values else value
        row["config"] = _config(record, plan)
        rows.append(row)
    table = pd.DataFrame(rows)
    return table.astype({"best_epoch": "Int64", "n_parameters": "Int64"})


def _best_epoch(record: TrialRecord) -> dict[str, Any]:
    """The first epoch with the final score."""
    return next((epoch for epoch in record.epochs if epoch["score"] == record.scores[-1]), {})


def _config(record: TrialRecord, plan: SearchPlan) -> str | None:
    try:
        return plan.configs(record.values)[0].model_dump_json()
    except BeatwiseError:
        # The trial failed because its values do not fit together.
        return None


def histories_table(records: Sequence[TrialRecord]) -> pd.DataFrame:
    """All epochs of all trials: ``trial`` and the columns of an epoch."""
    return pd.DataFrame([{"trial": record.number, **epoch} for record in records for epoch in record.epochs])


def best_trial(records: Sequence[TrialRecord], plan: SearchPlan) -> TrialRecord:
    """The trial with the best score; the first one in case of a tie.

    Raises:
        BeatwiseError: If no trial has a score.
    """
    scored = ranked(records, plan)
    if not scored:
        reasons = [record.failure for record in records if record.failure]
        why = f" The first failed: {reasons[0]}" if reasons else ""
        raise BeatwiseError(f"No trial of the search {plan.name} finished an epoch.{why}")
    return scored[0]


def ranked(records: Sequence[TrialRecord], plan: SearchPlan) -> list[TrialRecord]:
    """The trials with a score that did not fail, the best first."""
    scored = [record for record in records if record.epochs and record.status != "failed"]
    return sorted(scored, key=lambda record: record.scores[-1], reverse=plan.larger_is_better)


def importances(records: Sequence[TrialRecord], plan: SearchPlan) -> dict[str, float]:
    """The share of the variation of the score that each hyper-parameter explains.

    A random forest predicts the score from the values. The importance of a hyper-parameter is the loss of accuracy
    when its values are permuted (Breiman, Machine Learning 45, 2001), as a share of the sum.
    """
    from sklearn.ensemble import RandomForestRegressor
    from sklearn.inspection import permutation_importance

    scored = ranked(records, plan)
    scores = np.array([record.scores[-1] for record in scored])
    if len(scored) < ENOUGH or np.ptp(scores) == 0:
        return {}
    coded = np.array(
        [[_code(record.values.get(name), range) for name, range in plan.space.ranges.items()] for record in scored]
    )
    forest = RandomForestRegressor(n_estimators=200, min_samples_leaf=2, random_state=plan.seed).fit(coded, scores)
    permuted = permutation_importance(forest, coded, scores, n_repeats=20, random_state=plan.seed)
    worth = np.clip(permuted.importances_mean, 0, None)
    shares = worth / worth.sum() if worth.sum() > 0 else worth
    by_name = zip(plan.space.ranges, shares.tolist(), strict=True)
    return dict(sorted(by_name, key=lambda item: -item[1]))


def _code(value: Any, range: Range) -> float:
    """A value as a number for the forest; below all others if the trial does not use the hyper-parameter."""
    if value is None:
        return -1e9
    if range.kind == "choice":
        return float([label(choice) for choice in range.given].index(label(value)))
    return float(np.log(value) if range.is_log else value)


def space_table(records: Sequence[TrialRecord], plan: SearchPlan) -> pd.DataFrame:
    """Tabulate the search space, after Table 3 of Vaswani et al., NeurIPS 2017.

    Returns:
        One row a hyper-parameter: ``name``, ``range``, ``prior``, ``best`` (its value in the best trial, empty if
        that trial does not use it), ``importance`` (NaN if it is unknown).
    """
    best, shares = best_trial(records, plan).values, importances(records, plan)
    rows = [
        {
            "name": name,
            "range": str(range),
            "prior": range.kind,
            "best": label(best[name]) if name in best else "",
            "importance": shares.get(name, np.nan),
        }
        for name, range in plan.space.ranges.items()
    ]
    return pd.DataFrame(rows).sort_values("importance", ascending=False, kind="stable", ignore_index=True)


def refined(plan: SearchPlan, name: str, searches: Searches) -> SearchPlan:
    """Narrow the ranges of a search around the best trials of the latest one of a name, and log the new ranges.

    Options of excluded choices are no longer searched. The refined search has its own name, so that it resumes its own
    trials.

    Raises:
        BeatwiseError: If there is no earlier search with enough trials, if a trial cannot be read, or if the searches
            have no hyper-parameter in common.
    """
    found = {stored.plan.name: stored for stored in searches.all()}
    if name not in found:
        raise BeatwiseError(
            f"tune.refine: {unknown_name('search', name, found)} Run it first: `kedro run --pipeline=tune "
            f"--params=tune.use={name}`."
        )
    earlier, records = found[name].plan, found[name].trials
    scored = ranked(records, earlier)
    if len(scored) < BEST_AT_LEAST:
        raise BeatwiseError(
            f"tune.refine: the search {name} has {len(scored)} trials with a score; a refined search needs "
            f"{BEST_AT_LEAST}."
        )
    ranges = {key: to for key, to in narrowed(earlier.space, scored).items() if key in plan.space.ranges}
    if not ranges:
        raise BeatwiseError(f"tune.refine: the searches {name} and {plan.name} have no hyper-parameter in common.")
    for key, to in ranges.items():
        log.info("refined: %s from %s to %s", key, plan.space.ranges[key], to)
    space = _searching(plan, {**plan.space.ranges, **ranges}, plan.name).space
    reached = {key: range for key, range in space.ranges.items() if space.is_within_reach(key)}
    for key in space.ranges:
        if key not in reached:
            log.info("refined: %s is no longer searched, because its choice is excluded", key)
    return _searching(plan, reached, f"{name}_refined")


def _searching(plan: SearchPlan, ranges: Mapping[str, Range], name: str) -> SearchPlan:
    """A search with the same settings over other ranges, under another name."""
    space = merged(plan.space.constants, nested({key: range.plain() for key, range in ranges.items()}))
    search = plan.search.model_copy(update={"space": space})
    return SearchPlan(name=name, task=plan.task, seed=plan.seed, base=plan.base, search=search)


def narrowed(space: Space, records: Sequence[TrialRecord]) -> dict[str, Range]:
    """The ranges of the hyper-parameters that the best trials use, narrowed; the records come with the best first.

    A range of numbers becomes the range of the best trials with a margin on both sides, inside the old range. A choice
    keeps the values of the best trials.
    """
    best = records[: max(BEST_AT_LEAST, round(BEST_SHARE * len(records)))]
    out = {}
    for name, range in space.ranges.items():
        values = [record.values[name] for record in best if name in record.values]
        if values:
            out[name] = _around(values, range)
    return out


def _around(values: Sequence[Any], range: Range) -> Range:
    if range.kind == "choice":
        kept = {label(value) for value in values}
        return Range("choice", tuple(value for value in range.given if label(value) in kept))
    scale, back = (np.log, np.exp) if range.is_log else (float, float)
    margin = MARGIN * (scale(range.high) - scale(range.low))
    if range.kind == "quniform":
        # A range has at least one step.
        margin = max(margin, range.given[2])
    low = range.nearest(float(back(scale(min(values)) - margin)))
    high = range.nearest(float(back(scale(max(values)) + margin)))
    if range.is_integer:
        return Range(range.kind, (low, high + 1))
    return Range(range.kind, (low, high, *range.given[2:]))
