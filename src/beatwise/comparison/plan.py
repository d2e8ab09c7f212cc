"""The rows of a comparison: every model with every strategy and every seed, each a fit of its own; and ensembles."""

from __future__ import annotations

from collections.abc import Sequence

from beatwise.comparison.documents import PlannedRow
from beatwise.comparison.settings import Comparison, Rows
from beatwise.core.errors import BeatwiseError
from beatwise.core.nested import flatten, merged
from beatwise.core.registry import unknown_name
from beatwise.data.settings import Resample, Tensors
from beatwise.networks.settings import Model
from beatwise.tasks.settings import TaskChoice
from beatwise.training.fit import changed_fit, fit_blocks
from beatwise.training.settings import Train


def plan_rows(
    comparison: Comparison, task: TaskChoice, resample: Resample, tensors: Tensors, model: Model, train: Train
) -> list[PlannedRow]:
    """Write down every row.

    Args:
        comparison: Models and strategies, each as what it changes in the parameters of a fit; and seeds.
        task: The task.
        resample: Resampling strategy of a row unless its model or strategy changes it; likewise the following.
        tensors: Representation.
        model: Model of the zoo.
        train: Training.

    Returns:
        The rows; ensembles come last.

    Raises:
        BeatwiseError: If a model or strategy changes what is no parameter, or to a value that is not allowed, or an
            ensemble averages what is no model of the comparison, or a single fit.
    """
    chosen, key = comparison.rows, f"compare.{comparison.use}"
    if len(set(chosen.seeds)) < len(chosen.seeds):
        raise BeatwiseError(f"{key}.seeds: {chosen.seeds} names a seed twice. Each may stand there once.")
    base = fit_blocks(resample, tensors, model, train)
    plan: list[PlannedRow] = []
    for model_name, model_changes in chosen.models.items():
        for strategy, strategy_changes in chosen.strategies.items():
            changes = merged(model_changes, strategy_changes)
            config = changed_fit(base, changes, task, 0, f"{key}.models.{model_name} with strategies.{strategy}")
            for seed in chosen.seeds:
                fit = config.model_copy(update={"seed": seed})
                row = PlannedRow(model=model_name, strategy=strategy, seed=seed, changes=flatten(changes), config=fit)
                plan.append(row)
    return plan + _ensembles(chosen, plan, key)


def _ensembles(chosen: Rows, fits: Sequence[PlannedRow], key: str) -> list[PlannedRow]:
    """One row for each ensemble and strategy."""
    rows = []
    for name, models in chosen.ensembles.items():
        here = f"{key}.ensembles.{name}"
        if name in chosen.models:
            raise BeatwiseError(f"{here}: a model has that name already. Give the ensemble another one.")
        if len(set(models)) < len(models):
            raise BeatwiseError(f"{here}: {models} names a model twice. Each may stand there once.")
        for model in models:
            if model not in chosen.models:
                raise BeatwiseError(f"{here}: {unknown_name('model of this comparison', model, chosen.models)}")
        for strategy in chosen.strategies:
            members = [number for number, fit in enumerate(fits) if fit.model in models and fit.strategy == strategy]
            if len(members) < 2:
                raise BeatwiseError(f"{here} averages a single fit. Name more models in it, or seeds in {key}.seeds.")
            changes = {"ensemble": " + ".join(models)}
            rows.append(PlannedRow(model=name, strategy=strategy, seed=None, changes=changes, members=members))
    return rows
