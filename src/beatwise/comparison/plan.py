"""The rows of a comparison: every model with every strategy and every seed, each a fit of its own."""

from __future__ import annotations

import hashlib
from collections.abc import Mapping
from typing import Any

import numpy as np
import pandas as pd
from pydantic import ValidationError

from beatwise.beats import RR_COLUMNS, fingerprint, has_rr
from beatwise.comparison.reference import REFERENCES
from beatwise.comparison.rows import own_config
from beatwise.errors import BeatwiseError
from beatwise.params import Block, Comparison, FitConfig, Model, Resample, Tensors, Train, flatten
from beatwise.registry import describe_validation
from beatwise.training.checkpoint import key_of
from beatwise.training.fit import fit_config

BLOCKS: dict[str, type[Block]] = {"resample": Resample, "tensors": Tensors, "model": Model, "train": Train}


def plan_rows(
    comparison: Comparison, classes: list[str], resample: Resample, tensors: Tensors, model: Model, train: Train
) -> list[dict[str, Any]]:
    """Write down every row.

    Args:
        comparison: Models and strategies, each as what it changes in the parameters of a fit; and seeds.
        classes: Class names in the order of their indices.
        resample: What a row is fitted with where neither its model nor its strategy says otherwise.
        tensors: Likewise.
        model: Likewise.
        train: Likewise.

    Returns:
        One mapping a row: ``model`` and ``strategy`` (what they are called), ``seed``, ``reference`` (whether it is
        one), ``changes`` (what model and strategy change, by full name), and ``config``, a
        :class:`beatwise.params.FitConfig` as plain data.

    Raises:
        BeatwiseError: If a model or strategy changes what is no parameter, or to a value that is not allowed.
    """
    chosen, key = comparison.rows, f"compare.{comparison.use}"
    if len(set(chosen.seeds)) < len(chosen.seeds):
        raise BeatwiseError(f"{key}.seeds: {chosen.seeds} names a seed twice. Each may stand there once.")
    base = {
        name: block.model_dump(mode="json")
        for name, block in (("resample", resample), ("tensors", tensors), ("model", model), ("train", train))
    }
    plan = []
    for model_name, model_changes in chosen.models.items():
        for strategy, strategy_changes in chosen.strategies.items():
            changes = merged(model_changes, strategy_changes)
            config, is_reference = _config(
                base, changes, classes, f"{key}.models.{model_name} with strategies.{strategy}"
            )
            for seed in chosen.seeds:
                plan.append(
                    {
                        "model": model_name,
                        "strategy": strategy,
                        "seed": seed,
                        "reference": is_reference,
                        "changes": flatten(changes),
                        "config": {**config.model_dump(mode="json"), "seed": seed},
                    }
                )
    return plan


def _config(
    base: Mapping[str, Any], changes: Mapping[str, Any], classes: list[str], key: str
) -> tuple[FitConfig, bool]:
    """The configuration of a fit, and whether it is one of a reference."""
    unknown = sorted(set(changes) - {*BLOCKS, "reference"})
    if unknown:
        raise BeatwiseError(
            f"{key}: {', '.join(unknown)} cannot be changed here; allowed: {', '.join(BLOCKS)}, reference."
        )
    blocks = {name: _block(schema, base[name], changes.get(name), f"{key}: {name}") for name, schema in BLOCKS.items()}
    reference = _reference(changes["reference"], key) if "reference" in changes else None
    if reference is not None and blocks["tensors"].use == "auto":
        # Of a reference's own: the base's model may be made for images.
        blocks["tensors"] = blocks["tensors"].model_copy(update={"use": "signal"})
    try:
        config = fit_config(classes, 0, **blocks)
    except BeatwiseError as error:
        raise BeatwiseError(f"{key}: {error}") from error
    return (config if reference is None else config.model_copy(update={"model": reference})), reference is not None


def _block(schema: type[Block], base: Mapping[str, Any], changes: Any, key: str) -> Any:
    if not isinstance(changes, Mapping | None):
        raise BeatwiseError(f"{key}: got {changes!r}; allowed: parameters by name, for instance {{use: …}}.")
    try:
        return schema.model_validate(merged(base, changes or {}))
    except ValidationError as error:
        raise BeatwiseError(describe_validation(error, key, schema)) from error


def _reference(given: Any, key: str) -> Model:
    """The choice of a reference, by its name alone or with options as every choice has them."""
    key = f"{key}: reference"
    choice: Model = _block(Model, {}, {"use": given} if isinstance(given, str) else given, key)
    try:
        return Model.model_validate({"use": choice.use, choice.use: choice.chosen(REFERENCES)})
    except BeatwiseError as error:
        raise BeatwiseError(f"{key}: {error}") from error


def merged(base: Mapping[str, Any], changes: Mapping[str, Any]) -> dict[str, Any]:
    """One mapping over another, key by key all the way down; everything but mappings is replaced."""
    out = dict(base)
    for key, value in changes.items():
        below = out.get(key)
        out[key] = merged(below, value) if isinstance(below, Mapping) and isinstance(value, Mapping) else value
    return out


def row_key(row: Mapping[str, Any], fingerprints: list[str]) -> str:
    """Names what this row computes from these beats: a row with the same key need not be trained again.

    Args:
        row: A row of the plan.
        fingerprints: Of the parts, see :func:`fingerprints_of`.
    """
    return key_of([own_config(row), row["reference"]], fingerprints)


def fingerprints_of(*parts: pd.DataFrame) -> list[str]:
    """One fingerprint a beats table: of signals, labels and, where they are known, RR intervals."""
    return [fingerprint(part) + _rr_fingerprint(part) for part in parts]


def _rr_fingerprint(beats: pd.DataFrame) -> str:
    if not has_rr(beats):
        return ""
    return hashlib.sha256(beats[list(RR_COLUMNS)].to_numpy(dtype=np.float32).tobytes()).hexdigest()
