"""Nodes that train many rows side by side and measure them."""

from __future__ import annotations

import logging
from collections.abc import Iterator
from contextlib import closing, contextmanager
from typing import Any

import pandas as pd

from beatwise.comparison.documents import PlannedRow, Row
from beatwise.comparison.rows import FinishedRows, average_rows, fit_row, measure_row
from beatwise.core.errors import BeatwiseError
from beatwise.data.examples import Examples
from beatwise.search.settings import RaySettings
from beatwise.tasks.settings import Evaluate
from beatwise.training.checkpoint import Checkpoints

log = logging.getLogger(__name__)


def fit(
    plan: list[PlannedRow],
    train_beats: Examples,
    val_beats: Examples,
    test_beats: Examples,
    checkpoints: Checkpoints,
    finished_rows: FinishedRows,
    ray: RaySettings,
) -> tuple[list[Row], pd.DataFrame]:
    """Fit every row that is not finished yet, side by side, and predict validation and test with each.

    Returns:
        The rows; and the predictions of all rows, with a column ``row`` (its number) and a column ``part``.

    Raises:
        BeatwiseError: If every row failed.
    """
    from beatwise.search.engine import Failure, run_jobs

    parts = (train_beats, val_beats, test_beats)
    fingerprints = [part.fingerprint for part in parts]
    fits = [row for row in plan if not row.is_ensemble]
    keys = [row.key(fingerprints) for row in fits]
    # Rows may be called differently and yet be the same training.
    distinct = dict(zip(keys, fits, strict=True))
    finished = {key: found for key in distinct if (found := finished_rows.load(key)) is not None}
    todo = {key: row for key, row in distinct.items() if key not in finished}
    log.info("%d rows to train; %d of %d are finished already", len(todo), len(finished), len(distinct))
    failures: dict[str, str] = {}
    with (
        _progress("training rows", len(distinct), len(finished)) as advance,
        closing(
            run_jobs(fit_row, {key: row.config for key, row in todo.items()}, (*parts, checkpoints), ray)
        ) as outcomes,
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
    rows, tables = [], []
    for number, row in enumerate(plan):
        if row.is_ensemble:
            lost = [plan[member].name for member in row.members if keys[member] not in finished]
            failure = f"of what it averages, {' and '.join(lost)} failed" if lost else None
            outcome = None if lost else average_rows([finished[keys[member]] for member in row.members])
        else:
            failure, outcome = failures.get(keys[number]), finished.get(keys[number])
        metadata, predictions = outcome or (None, None)
        rows.append(Row(**dict(row), row=number, metadata=metadata, failure=failure))
        if predictions is not None:
            tables.append(predictions.assign(row=number))
    return rows, pd.concat(tables, ignore_index=True)


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
    # The same for all rows: each was fitted on the same training part.
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
