"""The leaderboard: means over seeds, ranks, and paired differences from the best row."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

import numpy as np
import pandas as pd

from beatwise.comparison.rows import COMPARED
from beatwise.tasks.intervals import interval_ends
from beatwise.tasks.settings import Evaluate

RANKED = ("macro_recall", "macro_f1")


def rank_rows(scores: Sequence[Mapping[str, Any]], draws: pd.DataFrame, evaluate: Evaluate) -> pd.DataFrame:
    """Average the seeds of each model and strategy, and rank by macro recall and by macro F1 on test.

    Intervals are bootstrap intervals over examples of the mean over the seeds. Rows are compared in pairs: draw i holds
    the same examples in every row, so that common errors cancel (Koehn, EMNLP 2004). The deviation over seeds, not the
    intervals, shows chance in training.

    Args:
        scores: A mapping a row: ``row``, ``model``, ``strategy``, ``seed``, ``metadata`` and ``metrics``.
        draws: Columns ``row``, ``draw`` and ``COMPARED``.
        evaluate: Confidence of the intervals.

    Returns:
        One row for each model and strategy, best macro F1 first: ``model``, ``strategy``, ``seeds``, ``averaged`` (how
        many fits an ensemble averages, 0 otherwise), ``n_parameters``, ``best_epoch``, ``seconds`` (means over the
        seeds); of each compared metric ``<metric>``, ``<metric>_sd`` (NaN for a single seed), ``<metric>_low``,
        ``<metric>_high``; the validation's ``val_macro_recall`` and ``val_macro_f1``; ``recall_first_macro_recall``,
        ``recall_first_accuracy``; ``rank_<metric>`` and ``behind_<metric>``, ``behind_<metric>_low``,
        ``behind_<metric>_high``: the difference from the first.
    """
    ends = interval_ends(evaluate.confidence)
    by_row = {row: group.sort_values("draw") for row, group in draws.groupby("row")}
    table, drawn = [], []
    for (model, strategy), group in pd.DataFrame(list(scores)).groupby(["model", "strategy"], sort=False):
        # An ensemble is the only row of its name.
        averaged = len(group.iloc[0].get("members", []))
        entry: dict[str, Any] = {"model": model, "strategy": strategy, "seeds": len(group), "averaged": averaged}
        for fact in ("n_parameters", "best_epoch", "seconds"):
            known = [metadata[fact] for metadata in group["metadata"] if metadata[fact] is not None]
            entry[fact] = float(np.mean(known)) if known else np.nan
        mean_draws = {name: np.mean([by_row[row][name] for row in group["row"]], axis=0) for name in COMPARED}
        for name in COMPARED:
            values = _values(group["metrics"], "test", name)
            entry[name] = values.mean()
            entry[f"{name}_sd"] = values.std(ddof=1) if len(values) > 1 else np.nan
            entry[f"{name}_low"], entry[f"{name}_high"] = np.nanquantile(mean_draws[name], ends)
        for name in RANKED:
            entry[f"val_{name}"] = _values(group["metrics"], "val", name).mean()
        for name in ("macro_recall", "accuracy"):
            entry[f"recall_first_{name}"] = _values(group["metrics"], "recall_first", name).mean()
        table.append(entry)
        drawn.append(mean_draws)
    board = pd.DataFrame(table)
    for name in RANKED:
        board[f"rank_{name}"] = board[name].rank(ascending=False, method="min").astype(int)
        best = int(board[name].argmax())
        board[f"behind_{name}"] = board[name].iloc[best] - board[name]
        behind = [np.nanquantile(drawn[best][name] - own[name], ends) for own in drawn]
        board[f"behind_{name}_low"], board[f"behind_{name}_high"] = np.array(behind).T
    return board.sort_values("rank_macro_f1", kind="stable", ignore_index=True)


def is_ensemble(row: Mapping[str, Any]) -> bool:
    """Whether a row averages others; rows that were stored before there were ensembles do not."""
    return bool(row.get("members"))


def row_name(row: Mapping[str, Any]) -> str:
    """The name of a row: its model, its strategy, and the seed of a fit."""
    named = f"{row['model']} · {row['strategy']}"
    return named if is_ensemble(row) else f"{named} · seed {row['seed']}"


def row_labels(leaderboard: pd.DataFrame) -> list[str]:
    """A short name of each row: the model, and the strategy where there are several."""
    several = len(set(leaderboard["strategy"])) > 1
    return [
        f"{model} · {strategy}" if several else str(model)
        for model, strategy in zip(leaderboard["model"], leaderboard["strategy"], strict=True)
    ]


def _values(metrics: pd.Series, part: str, name: str) -> Any:
    """A metric of each seed; NaN where it is not defined."""
    return np.array([row[part]["overall"][name]["value"] for row in metrics], dtype=np.float64)
