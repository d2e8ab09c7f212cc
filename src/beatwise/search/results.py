"""What a search found: its trials as tables, the best of them, and what each hyper-parameter was worth."""

from __future__ import annotations

import logging
from collections.abc import Mapping, Sequence
from dataclasses import replace
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

# Of the trials that a refined search goes by: this share, but no fewer than so many.
BEST_SHARE: Final = 0.2
BEST_AT_LEAST: Final = 3
# A narrowed range reaches this share of the old one beyond the best trials.
MARGIN: Final = 0.1
# Trials from which something can be said about the worth of a hyper-parameter.
ENOUGH: Final = 8


def trials_table(records: Sequence[TrialRecord], plan: SearchPlan) -> pd.DataFrame:
    """Every trial of a search.

    Args:
        records: The trials.
        plan: What was searched.

    Returns:
        One row a trial, by number: ``trial``, ``status``, ``failure``, ``score`` (the best value of the metric; NaN
        where no epoch ended) and ``score_sd`` (over several seeds), ``best_epoch``, ``epochs``, ``seconds``,
        ``n_parameters``, ``started``; the validation metrics of the best epoch; a column for each hyper-parameter, by
        full name, empty where it was not called for; ``config``, the configuration of its fit as JSON.
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
        for name, within in plan.space.ranges.items():
            value = record.values.get(name)
            row[name] = label(value) if within.kind == "choice" and name in record.values else value
        row["config"] = _config(record, plan)
        rows.append(row)
    table = pd.DataFrame(rows)
    return table.astype({"best_epoch": "Int64", "n_parameters": "Int64"})


def _best_epoch(record: TrialRecord) -> dict[str, Any]:
    """The first epoch in which the score was as good as it got."""
    return next((epoch for epoch in record.epochs if epoch["score"] == record.scores[-1]), {})


def _config(record: TrialRecord, plan: SearchPlan) -> str | None:
    try:
        return plan.configs(record.values)[0].model_dump_json()
    except BeatwiseError:
        # Values that do not go together are why this trial failed.
        return None


def histories_table(records: Sequence[TrialRecord]) -> pd.DataFrame:
    """Every epoch of every trial: ``trial`` and the columns of an epoch."""
    return pd.DataFrame([{"trial": record.number, **epoch} for record in records for epoch in record.epochs])


def best_trial(records: Sequence[TrialRecord], plan: SearchPlan) -> TrialRecord:
    """The trial with the best score; of several the first.

    Raises:
        BeatwiseError: If no trial has a score.
    """
    scored = ranked(records, plan)
    if not scored:
        reasons = [record.failure for record in records if record.failure]
        why = f" The first failed: {reasons[0]}" if reasons else ""
        raise BeatwiseError(f"No trial of the search {plan.name} got through an epoch.{why}")
    return scored[0]


def ranked(records: Sequence[TrialRecord], plan: SearchPlan) -> list[TrialRecord]:
    """The trials that have a score and did not fail, the best first."""
    scored = [record for record in records if record.epochs and record.status != "failed"]
    return sorted(scored, key=lambda record: record.scores[-1], reverse=plan.larger_is_better)


def importances(records: Sequence[TrialRecord], plan: SearchPlan) -> dict[str, float]:
    """How much of the score's spread each hyper-parameter explains.

    A random forest learns the score from the values; a value's importance is how much worse the forest predicts when
    that value is permuted (Breiman, Machine Learning 45, 2001), as a share of the sum.

    Args:
        records: The trials.
        plan: What was searched.

    Returns:
        Shares by full name, the largest first; empty where there are too few trials to say.
    """
    from sklearn.ensemble import RandomForestRegressor
    from sklearn.inspection import permutation_importance

    scored = ranked(records, plan)
    scores = np.array([record.scores[-1] for record in scored])
    if len(scored) < ENOUGH or np.ptp(scores) == 0:
        return {}
    coded = np.array(
        [[_code(record.values.get(name), within) for name, within in plan.space.ranges.items()] for record in scored]
    )
    forest = RandomForestRegressor(n_estimators=200, min_samples_leaf=2, random_state=plan.seed).fit(coded, scores)
    permuted = permutation_importance(forest, coded, scores, n_repeats=20, random_state=plan.seed)
    worth = np.clip(permuted.importances_mean, 0, None)
    shares = worth / worth.sum() if worth.sum() > 0 else worth
    by_name = zip(plan.space.ranges, shares.tolist(), strict=True)
    return dict(sorted(by_name, key=lambda item: -item[1]))


def _code(value: Any, within: Range) -> float:
    """A value as a number for a forest; below all others where it was not called for."""
    if value is None:
        return -1e9
    if within.kind == "choice":
        return float([label(choice) for choice in within.given].index(label(value)))
    return float(np.log(value) if within.is_log else value)


def space_table(records: Sequence[TrialRecord], plan: SearchPlan) -> pd.DataFrame:
    """What was searched, in the manner of Table 3 of Vaswani et al., NeurIPS 2017.

    Args:
        records: The trials.
        plan: What was searched.

    Returns:
        One row a hyper-parameter: ``name``, ``range``, ``prior``, ``best`` (its value in the best trial, empty where
        that did not call for it), ``importance`` (NaN where nothing can be said).
    """
    best, shares = best_trial(records, plan).values, importances(records, plan)
    rows = [
        {
            "name": name,
            "range": str(within),
            "prior": within.kind,
            "best": label(best[name]) if name in best else "",
            "importance": shares.get(name, np.nan),
        }
        for name, within in plan.space.ranges.items()
    ]
    return pd.DataFrame(rows).sort_values("importance", ascending=False, kind="stable", ignore_index=True)


def refined(plan: SearchPlan, name: str, searches: Searches) -> SearchPlan:
    """A search whose ranges are narrowed around the best trials of an earlier one, and say how in the log.

    Options that no choice left calls for are searched no more. The search has a name of its own, so that it goes on
    with its own trials where it is started again.

    Args:
        plan: What would be searched otherwise.
        name: Name of the earlier search; of several of this name the one that ran last.
        searches: Where the trials of searches are.

    Raises:
        BeatwiseError: If there is none of this name with as many trials as it takes, if one of them cannot be read, or
            if none of its hyper-parameters is searched here.
    """
    found = {stored.name: stored for stored in searches.all()}
    if name not in found:
        raise BeatwiseError(
            f"tune.refine: {unknown_name('search', name, found)} Run it first: `kedro run --pipeline=tune "
            f"--params=tune.use={name}`."
        )
    earlier, records = SearchPlan.from_plain(found[name].plan), found[name].trials
    scored = ranked(records, earlier)
    if len(scored) < BEST_AT_LEAST:
        raise BeatwiseError(
            f"tune.refine: the search {name} has {len(scored)} trials with a score, and a refined one takes "
            f"{BEST_AT_LEAST}."
        )
    ranges = {key: to for key, to in narrowed(earlier.space, scored).items() if key in plan.space.ranges}
    if not ranges:
        raise BeatwiseError(f"tune.refine: nothing that the search {name} has searched is searched by {plan.name}.")
    for key, to in ranges.items():
        log.info("refined: %s from %s to %s", key, plan.space.ranges[key], to)
    space = _searching(plan, {**plan.space.ranges, **ranges}).space
    reached = {key: within for key, within in space.ranges.items() if space.is_within_reach(key)}
    for key in space.ranges:
        if key not in reached:
            log.info("refined: %s is searched no more: no choice that is left calls for it", key)
    return replace(_searching(plan, reached), name=f"{name}_refined")


def _searching(plan: SearchPlan, ranges: Mapping[str, Range]) -> SearchPlan:
    """The same search over other ranges."""
    space = merged(plan.space.constants, nested({key: within.plain() for key, within in ranges.items()}))
    return replace(plan, search=plan.search.model_copy(update={"space": space}))


def narrowed(space: Space, records: Sequence[TrialRecord]) -> dict[str, Range]:
    """Ranges around the best trials of a search.

    A number's range becomes that of the best trials and a margin on both sides, within what it was; a choice keeps the
    values that the best trials have.

    Args:
        space: What was searched.
        records: Its trials that have a score, the best first.

    Returns:
        A range for each hyper-parameter that the best trials call for.
    """
    best = records[: max(BEST_AT_LEAST, round(BEST_SHARE * len(records)))]
    out = {}
    for name, within in space.ranges.items():
        values = [record.values[name] for record in best if name in record.values]
        if values:
            out[name] = _around(values, within)
    return out


def _around(values: Sequence[Any], within: Range) -> Range:
    if within.kind == "choice":
        kept = {label(value) for value in values}
        return Range("choice", tuple(value for value in within.given if label(value) in kept))
    scale, back = (np.log, np.exp) if within.is_log else (float, float)
    margin = MARGIN * (scale(within.high) - scale(within.low))
    if within.kind == "quniform":
        # Of one step alone there is no range.
        margin = max(margin, within.given[2])
    low = within.nearest(float(back(scale(min(values)) - margin)))
    high = within.nearest(float(back(scale(max(values)) + margin)))
    if within.is_integer:
        return Range(within.kind, (low, high + 1))
    return Range(within.kind, (low, high, *within.given[2:]))
