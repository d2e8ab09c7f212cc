"""Nodes that train many rows side by side and measure them."""

from __future__ import annotations

import logging
from collections.abc import Iterator
from contextlib import closing, contextmanager
from typing import Any

import pandas as pd

from beatwise.comparison.documents import NAIVE, PlannedRow, Row
from beatwise.comparison.rows import (
    FinishedRows,
    Outcome,
    average_rows,
    beside_naive,
    fit_fold,
    measure_row,
    naive_rows,
    pool_rows,
)
from beatwise.core.errors import BeatwiseError
from beatwise.data.examples import Examples
from beatwise.data.settings import Ingest
from beatwise.data.splits import ingest_parts
from beatwise.search.settings import RaySettings
from beatwise.tasks.settings import Evaluate
from beatwise.training.checkpoint import Checkpoints

log = logging.getLogger(__name__)


def fit(
    plan: list[PlannedRow],
    raw_beats: Examples,
    ingest: Ingest,
    seed: int,
    checkpoints: Checkpoints,
    finished_rows: FinishedRows,
    ray: RaySettings,
) -> tuple[list[Row], pd.DataFrame]:
    """Fit every row that is not finished yet, side by side, and predict validation and test with each.

    Returns:
        The rows, and naive ones; and the predictions of all rows, with a column ``row`` (its number) and a column
        ``part``.

    Raises:
        BeatwiseError: If every row failed.
    """
    from beatwise.search.engine import Failure, run_jobs

    fits = {number: row for number, row in enumerate(plan) if row.is_fit}
    fingerprints = {
        fold: [part.fingerprint for part in ingest_parts(raw_beats, ingest, seed, fold)]
        for fold in dict.fromkeys(row.fold for row in fits.values())
    }
    keys = {number: row.key(fingerprints[row.fold]) for number, row in fits.items()}
    # Rows may be called differently and yet be the same training.
    distinct = {keys[number]: row for number, row in fits.items()}
    finished = {key: found for key in distinct if (found := finished_rows.load(key)) is not None}
    todo = {key: row for key, row in distinct.items() if key not in finished}
    log.info("%d rows to train; %d of %d are finished already", len(todo), len(finished), len(distinct))
    failures: dict[str, str] = {}
    jobs = {key: (row.config, row.fold) for key, row in todo.items()}
    with (
        _progress("training rows", len(distinct), len(finished)) as advance,
        closing(run_jobs(fit_fold, jobs, (raw_beats, ingest, seed, checkpoints), ray)) as outcomes,
    ):
        for key, outcome in outcomes:
            named = todo[key].name
            if isinstance(outcome, Failure):
                failures[key] = outcome.reason
                log.warning("%s failed: %s", named, outcome.reason)
            else:
                finished_rows.save(key, *outcome)
                finished[key] = outcome
                log.info("%s: finished in %.0f s", named, outcome[0].seconds)
            advance()
    if not finished:
        raise BeatwiseError(f"Every row of the comparison failed. The first: {next(iter(failures.values()))}")
    results: list[Outcome | None] = []
    rows = []
    for number, row in enumerate(plan):
        if row.is_fit:
            failure, result = failures.get(keys[number]), finished.get(keys[number])
            result = result and beside_naive(result, row.fold)
        else:
            # Members come before what is made of them.
            lost = [plan[member].name for member in row.members if results[member] is None]
            together, verb = (average_rows, "averages") if row.is_ensemble else (pool_rows, "pools")
            failure = f"of what it {verb}, {' and '.join(lost)} failed" if lost else None
            known = [found for member in row.members if (found := results[member]) is not None]
            result = None if lost else together(known)
        rows.append(Row(**dict(row), row=number, metadata=result and result[0], failure=failure))
        results.append(result)
    for row, outcome in _naive(plan, results):
        rows.append(Row(**dict(row), row=len(rows), metadata=outcome[0]))
        results.append(outcome)
    tables = [result[1].assign(row=number) for number, result in enumerate(results) if result is not None]
    return rows, pd.concat(tables, ignore_index=True)


def _naive(plan: list[PlannedRow], results: list[Outcome | None]) -> Iterator[tuple[PlannedRow, Outcome]]:
    """Naive rows on the examples of each fold, and of all folds together."""
    by_fold: dict[int | None, Outcome] = {}
    for row, result in zip(plan, results, strict=True):
        if result is not None and (row.is_fit or row.fold is None):
            by_fold.setdefault(row.fold, result)
    for fold, result in by_fold.items():
        for name, outcome in naive_rows(result).items():
            yield PlannedRow(model=name, strategy=NAIVE, seed=None, fold=fold, changes={}, naive=True), outcome


def measure(
    rows: list[Row], row_predictions: pd.DataFrame, evaluate: Evaluate, seed: int, ray: RaySettings
) -> tuple[list[Row], pd.DataFrame]:
    """Measure every row from its predictions, side by side.

    Returns:
        The rows that did not fail, with ``metrics``; and the bootstrap draws on test, columns ``row``, ``draw`` and one
        a metric.
    """
    from beatwise.search.engine import Failure, run_jobs

    jobs = {str(number): table.drop(columns="row") for number, table in row_predictions.groupby("row")}
    # The same for all rows: what each was fitted on stands beside its predictions.
    task = next(row.metadata.fitted_task for row in rows if row.metadata is not None)
    metrics: dict[int, dict[str, Any]] = {}
    draws: dict[int, pd.DataFrame] = {}
    with (
        _progress("measuring rows", len(jobs)) as advance,
        closing(run_jobs(measure_row, jobs, (task, evaluate, seed), ray)) as outcomes,
    ):
        for number, outcome in outcomes:
            if isinstance(outcome, Failure):
                raise BeatwiseError(f"Row {number} of the comparison cannot be measured: {outcome.reason}")
            metrics[int(number)], draws[int(number)] = outcome
            advance()
    scored = [row.model_copy(update={"metrics": metrics[row.row]}) for row in rows if row.row in metrics]
    drawn = pd.concat([draws[number].assign(row=number) for number in sorted(draws)])
    return scored, drawn.rename_axis("draw").reset_index()


@contextmanager
def _progress(what: str, total: int, done: int = 0) -> Iterator[Any]:
    """A bar on the screen, and the function that moves it on."""
    from rich.progress import BarColumn, MofNCompleteColumn, Progress, TextColumn, TimeElapsedColumn

    with Progress(TextColumn("{task.description}"), BarColumn(), MofNCompleteColumn(), TimeElapsedColumn()) as bar:
        task = bar.add_task(what, total=total, completed=done)
        yield lambda: bar.advance(task)
