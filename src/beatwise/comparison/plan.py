"""The rows of a comparison: every model with every strategy and every seed, each a fit of its own; and ensembles."""

from __future__ import annotations

from collections.abc import Sequence

from beatwise.comparison.documents import PlannedRow
from beatwise.comparison.settings import Comparison, Rows
from beatwise.core.errors import BeatwiseError
from beatwise.core.nested import flatten, merged
from beatwise.core.registry import unknown_name
from beatwise.data.settings import Ingest, Resample, Tensors
from beatwise.data.splits import splits_with_folds
from beatwise.networks.settings import Model
from beatwise.tasks.settings import TaskChoice
from beatwise.training.fit import changed_fit, fit_blocks
from beatwise.training.settings import FitSettings, Train


def plan_rows(
    comparison: Comparison,
    task: TaskChoice,
    resample: Resample,
    tensors: Tensors,
    model: Model,
    train: Train,
    ingest: Ingest | None = None,
) -> list[PlannedRow]:
    """Write down every row.

    Args:
        comparison: Models and strategies, each as what it changes in the parameters of a fit; and seeds.
        task: The task.
        resample: Resampling strategy of a row unless its model or strategy changes it; likewise the following.
        tensors: Representation.
        model: Model of the zoo.
        train: Training.
        ingest: The split, whose folds a cross-validation takes.

    Returns:
        The fits; then, of a cross-validation, a row for each model, strategy and seed that pools the folds; then
        ensembles.

    Raises:
        BeatwiseError: If a model or strategy changes what is no parameter, or to a value that is not allowed, or an
            ensemble averages what is no model of the comparison, or a single fit; or if the split has no folds.
    """
    chosen, key = comparison.rows, f"compare.{comparison.use}"
    if len(set(chosen.seeds)) < len(chosen.seeds):
        raise BeatwiseError(f"{key}.seeds: {chosen.seeds} names a seed twice. Each may stand there once.")
    if chosen.against is not None and chosen.against not in chosen.models:
        raise BeatwiseError(f"{key}.against: {unknown_name('model of this comparison', chosen.against, chosen.models)}")
    folds = _folds(ingest, key) if chosen.cross_validate else []
    base = fit_blocks(resample, tensors, model, train)
    plan: list[PlannedRow] = []
    whole: list[PlannedRow] = []
    for model_name, model_changes in chosen.models.items():
        for strategy, strategy_changes in chosen.strategies.items():
            changes = merged(model_changes, strategy_changes)
            config = changed_fit(base, changes, task, 0, f"{key}.models.{model_name} with strategies.{strategy}")
            written = {**flatten(changes), **_version_started_from(config)}
            against = None if model_name == chosen.against else chosen.against
            for seed in chosen.seeds:
                fit = config.model_copy(update={"seed": seed})
                row = PlannedRow(
                    model=model_name, strategy=strategy, seed=seed, against=against, changes=written, config=fit
                )
                members = list(range(len(plan), len(plan) + len(folds)))
                plan += [row.model_copy(update={"fold": fold}) for fold in folds] or [row]
                whole.append(row.model_copy(update={"members": members}))
    pooled = whole if folds else []
    return plan + pooled + _ensembles(chosen, whole, len(plan) if folds else 0, key)


def _version_started_from(config: FitSettings) -> dict[str, str]:
    """The version of the model that a fit starts from, as a change."""
    start = config.train.start
    return {} if start.use == "fresh" else {f"train.start.{start.use}.folder": start.options["folder"]}


def _folds(ingest: Ingest | None, key: str) -> list[int]:
    """The folds of the split, from 1."""
    if ingest is None or ingest.split.use not in splits_with_folds():
        given = "none" if ingest is None else ingest.split.use
        raise BeatwiseError(
            f"{key}.cross_validate: the split {given!r} has no folds. Allowed for ingest.split.use: "
            f"{', '.join(splits_with_folds())}."
        )
    return list(range(1, ingest.split.options["folds"] + 1))


def _ensembles(chosen: Rows, fits: Sequence[PlannedRow], first: int, key: str) -> list[PlannedRow]:
    """One row for each ensemble and strategy, of fits that are numbered from ``first``."""
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
            members = [
                number for number, fit in enumerate(fits, first) if fit.model in models and fit.strategy == strategy
            ]
            if len(members) < 2:
                raise BeatwiseError(f"{here} averages a single fit. Name more models in it, or seeds in {key}.seeds.")
            changes = {"ensemble": " + ".join(models)}
            rows.append(PlannedRow(model=name, strategy=strategy, seed=None, changes=changes, members=members))
    return rows
