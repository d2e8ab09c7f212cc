"""The leaderboard: means over seeds, ranks, and paired differences from the best row."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

import numpy as np
import pandas as pd

from beatwise.comparison.documents import NAIVE, Row
from beatwise.core.errors import BeatwiseError
from beatwise.tasks.intervals import interval_ends, moved_apart
from beatwise.tasks.metrics import Floats
from beatwise.tasks.registry import METRICS
from beatwise.tasks.settings import Evaluate


def rank_rows(scores: Sequence[Row], draws: pd.DataFrame, evaluate: Evaluate) -> pd.DataFrame:
    """Average the seeds of each model and strategy, and rank by the metrics on test that the task ranks by.

    Of a cross-validation the test part is the whole set: the folds are pooled before anything is measured, because a
    mean over folds is no metric of the set (Forman & Scholz, SIGKDD Explor. 12, 2010).

    Intervals are bootstrap intervals over examples of the mean over the seeds. Rows are compared in pairs: draw i holds
    the same examples in every row, so that common errors cancel (Koehn, EMNLP 2004). The deviation over seeds, not the
    intervals, shows chance in training.

    Args:
        scores: The measured rows.
        draws: Columns ``row``, ``draw`` and the compared metrics.
        evaluate: Confidence of the intervals.

    Returns:
        One row for each model and strategy, the best by the first ranked metric first: ``model``, ``strategy``,
        ``naive`` (whether it is a naive model), ``seeds``, ``averaged`` (how many fits an ensemble averages, 0
        otherwise), ``n_parameters``, ``best_epoch``, ``seconds`` (means over the seeds); of each compared metric
        ``<metric>``, ``<metric>_sd`` (NaN for a single seed), ``<metric>_low``, ``<metric>_high``; of each ranked
        metric ``val_<metric>`` on validation, ``rank_<metric>`` and ``behind_<metric>``, ``behind_<metric>_low``,
        ``behind_<metric>_high``: by how much it is
        worse than the best; where rows are compared ``against`` a model, that name, and of each compared metric
        ``over_<metric>``, ``over_<metric>_low``, ``over_<metric>_high``, by how much it is larger than in that model's
        row of the same strategy, and ``over_<metric>_p``, see :func:`p_over_folds`; in a cross-validation
        ``fold_1_<metric>``, … (means over the seeds); and ``<part>_<metric>`` of what the task lists beside them.

    Raises:
        BeatwiseError: If in every row of a cross-validation a fold failed.
    """
    whole = [row for row in scores if row.fold is None]
    if not whole:
        raise BeatwiseError(
            "Every row of the cross-validation lacks a fold that failed. The same command tries them again."
        )
    task, ends = whole[0].fitted.fitted_task, interval_ends(evaluate.confidence)
    of_folds: dict[tuple[str, str], dict[int, list[Row]]] = {}
    # A seed that lacks a fold has no pooled row, and its other folds are left out too.
    pooled = {(row.model, row.strategy, row.seed) for row in whole}
    for row in scores:
        if row.fold is not None and (row.model, row.strategy, row.seed) in pooled:
            of_folds.setdefault((row.model, row.strategy), {}).setdefault(row.fold, []).append(row)
    by_row = {row: group.sort_values("draw") for row, group in draws.groupby("row")}
    groups: dict[tuple[str, str], list[Row]] = {}
    for row in whole:
        groups.setdefault((row.model, row.strategy), []).append(row)
    table: list[dict[str, Any]] = []
    drawn: dict[tuple[str, str], dict[str, Floats]] = {}
    for (model, strategy), rows in groups.items():
        # An ensemble is the only row of its name.
        entry: dict[str, Any] = {
            "model": model,
            "strategy": strategy,
            "naive": rows[0].naive,
            "seeds": len(rows),
            "averaged": len(rows[0].members) if rows[0].is_ensemble else 0,
        }
        for name in ("n_parameters", "best_epoch", "seconds"):
            known = [number for row in rows if (number := getattr(row.fitted, name)) is not None]
            entry[name] = float(np.mean(known)) if known else np.nan
        mean_draws = {name: np.mean([by_row[row.row][name] for row in rows], axis=0) for name in task.compared}
        for name in task.compared:
            values = _values(rows, "test", name)
            entry[name] = values.mean()
            entry[f"{name}_sd"] = values.std(ddof=1) if len(values) > 1 else np.nan
            ends_of_rows = [np.nanquantile(by_row[row.row][name], ends) for row in rows]
            entry[f"{name}_low"], entry[f"{name}_high"] = _widened(
                values, np.nanquantile(mean_draws[name], ends), np.array(ends_of_rows), _measured_ends(rows, name)
            )
        for part, name in (*(("val", name) for name in task.ranked), *task.listed):
            entry[f"{part}_{name}"] = _values(rows, part, name).mean()
        for fold, in_fold in of_folds.get((model, strategy), {}).items():
            for name in task.ranked:
                entry[f"fold_{fold}_{name}"] = _values(in_fold, "test", name).mean()
        table.append(entry)
        drawn[model, strategy] = mean_draws
    for entry in table:
        own = groups[entry["model"], entry["strategy"]]
        other = (own[0].against or "", entry["strategy"])
        if other in groups:
            entry["against"] = other[0]
            pair = [(entry["model"], entry["strategy"]), other]
            for name in task.compared:
                mine, theirs = (_values(groups[key], "test", name).mean() for key in pair)
                low, high = np.nanquantile(drawn[pair[0]][name] - drawn[other][name], ends)
                of_folds_each = [_over_folds(of_folds.get(key, {}), name) for key in pair]
                entry[f"over_{name}"] = mine - theirs
                entry[f"over_{name}_low"], entry[f"over_{name}_high"] = low, high
                entry[f"over_{name}_p"] = p_over_folds(*of_folds_each)
    board = pd.DataFrame(table)
    for name in task.ranked:
        sign = METRICS[name].sign
        board[f"rank_{name}"] = board[name].rank(ascending=sign < 0, method="min").astype(int)
        best = int((sign * board[name]).argmax())
        board[f"behind_{name}"] = sign * (board[name].iloc[best] - board[name])
        of_best = drawn[board["model"].iloc[best], board["strategy"].iloc[best]][name]
        behind = [np.nanquantile(sign * (of_best - of_row[name]), ends) for of_row in drawn.values()]
        board[f"behind_{name}_low"], board[f"behind_{name}_high"] = np.array(behind).T
    return board.sort_values(f"rank_{task.ranked[0]}", kind="stable", ignore_index=True)


def p_over_folds(first: Floats, second: Floats) -> float:
    """Two-sided p of no difference between two models over the same folds, ``[k]`` each; NaN with fewer than two.

    The corrected resampled t-test: the training parts of folds overlap, so that the variance over the folds is too
    small (Nadeau & Bengio, Mach. Learn. 52, 2003). Unlike the bootstrap, it knows of chance in training.
    """
    from scipy.stats import t

    if len(first) != len(second) or (k := len(first)) < 2:
        return float("nan")
    difference = first - second
    error = float(np.sqrt(difference.var(ddof=1) * (1 / k + 1 / (k - 1))))
    if error == 0:
        return float(not difference.any())
    return float(2 * t.sf(abs(difference.mean()) / error, k - 1))


def compared_metrics(leaderboard: pd.DataFrame) -> list[str]:
    """The metrics in which the rows of a leaderboard were compared."""
    return [name for name in leaderboard.columns if name in METRICS]


def ranked_metrics(leaderboard: pd.DataFrame) -> list[str]:
    """The metrics by which the rows of a leaderboard were ranked, the one that orders them first."""
    return [name.removeprefix("rank_") for name in leaderboard.columns if name.startswith("rank_")]


def row_labels(leaderboard: pd.DataFrame) -> list[str]:
    """A short name of each row: the model, and the strategy where there are several."""
    several = len(set(leaderboard.loc[~leaderboard["naive"], "strategy"])) > 1
    return [
        f"{NAIVE}: {model}" if naive else f"{model} · {strategy}" if several else str(model)
        for model, strategy, naive in zip(*(leaderboard[name] for name in ("model", "strategy", "naive")), strict=True)
    ]


def folds_of(leaderboard: pd.DataFrame, metric: str) -> pd.DataFrame:
    """A ranked metric of each row in each fold, columns numbered by fold; without columns where there are no folds."""
    folds = leaderboard.filter(regex=rf"^fold_\d+_{metric}$")
    return folds.rename(columns=lambda name: int(name.split("_")[1]))


def _widened(values: Floats, of_mean: Floats, of_rows: Floats, measured: Floats) -> Floats:
    """The interval of a mean over seeds, with what the bootstrap cannot know of classes at 0 or 1.

    Args:
        values: The metric of each seed, ``[s]``.
        of_mean: Ends of the bootstrap interval of the mean, ``[2]``.
        of_rows: Ends of the bootstrap intervals of the seeds, ``[s, 2]``.
        measured: Ends of their measured intervals, which are as wide or wider (``intervals.widened``), ``[s, 2]``.
    """
    # All seeds are tested on the same examples: what widens them does not average out.
    added = ((values[:, None] - measured) ** 2 - (values[:, None] - of_rows) ** 2).mean(axis=0)
    if not (added > 1e-9).any():
        return of_mean
    return moved_apart(values.mean(), of_mean, np.maximum(added, 0.0))


def _over_folds(by_fold: Mapping[int, Sequence[Row]], name: str) -> Floats:
    """A metric in each fold, the mean over its seeds, ``[k]``."""
    return np.array([_values(by_fold[fold], "test", name).mean() for fold in sorted(by_fold)])


def _measured_ends(rows: Sequence[Row], name: str) -> Any:
    """The interval of a metric on test of each seed, ``[s, 2]``."""
    metrics = [row.metrics["test"]["overall"][name] for row in rows]
    return np.array([[metric["low"], metric["high"]] for metric in metrics], dtype=np.float64)


def _values(rows: Sequence[Row], part: str, name: str) -> Any:
    """A metric of each seed; NaN where it is not defined."""
    return np.array([row.metrics[part]["overall"][name]["value"] for row in rows], dtype=np.float64)
