"""The rows of a comparison: every model with every strategy and every seed, each a fit of its own."""

from __future__ import annotations

import hashlib
import json
from collections.abc import Mapping
from typing import Any

import pandas as pd
from pydantic import ValidationError

from beatwise.beats import fingerprint
from beatwise.comparison.reference import REFERENCES
from beatwise.errors import BeatwiseError
from beatwise.params import Block, Comparison, FitConfig, Model, Resample, Tensors, Train
from beatwise.registry import describe_validation
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
        one), and ``config``, a :class:`beatwise.params.FitConfig` as plain data.

    Raises:
        BeatwiseError: If a model or strategy changes what is no parameter, or to a value that is not allowed.
    """
    base = {
        name: block.model_dump(mode="json")
        for name, block in (("resample", resample), ("tensors", tensors), ("model", model), ("train", train))
    }
    chosen = comparison.rows
    plan = []
    for model_name, model_changes in chosen.models.items():
        for strategy, strategy_changes in chosen.strategies.items():
            key = f"compare.{comparison.use}.models.{model_name} with strategies.{strategy}"
            for seed in chosen.seeds:
                changes = merged(dict(model_changes or {}), dict(strategy_changes or {}))
                reference = changes.pop("reference", None)
                config = _config(base, changes, classes, seed, key)
                if reference is not None:
                    options = REFERENCES.options(reference, {}, key)
                    config = config.model_copy(update={"model": Model(use=reference, **{reference: options})})
                plan.append(
                    {
                        "model": model_name,
                        "strategy": strategy,
                        "seed": seed,
                        "reference": reference is not None,
                        "config": config.model_dump(mode="json"),
                    }
                )
    return plan


def _config(base: Mapping[str, Any], changes: Mapping[str, Any], classes: list[str], seed: int, key: str) -> FitConfig:
    unknown = sorted(set(changes) - set(BLOCKS))
    if unknown:
        raise BeatwiseError(
            f"{key}: {', '.join(unknown)} cannot be changed here; allowed: {', '.join(BLOCKS)}, reference."
        )
    try:
        blocks: dict[str, Any] = {
            name: schema.model_validate(merged(base[name], changes.get(name) or {})) for name, schema in BLOCKS.items()
        }
        return fit_config(classes, seed, **blocks)
    except ValidationError as error:
        raise BeatwiseError(f"{key}:\n{describe_validation(error, '', BLOCKS[error.title.lower()])}") from error
    except BeatwiseError as error:
        raise BeatwiseError(f"{key}: {error}") from error


def merged(base: Mapping[str, Any], changes: Mapping[str, Any]) -> dict[str, Any]:
    """One mapping over another, key by key all the way down; everything but mappings is replaced."""
    out = dict(base)
    for key, value in changes.items():
        below = out.get(key)
        out[key] = merged(below, value) if isinstance(below, Mapping) and isinstance(value, Mapping) else value
    return out


def row_key(row: Mapping[str, Any], *parts: pd.DataFrame) -> str:
    """Names what this row computes from these beats: a row with the same key need not be trained again.

    Args:
        row: A row of the plan.
        *parts: Beats tables of train, validation and test.
    """
    return key_of([row["config"], row["reference"]], [fingerprint(part) for part in parts])


def key_of(config: Any, fingerprints: list[str]) -> str:
    """A short hash of a configuration and of the beats that it is applied to."""
    return hashlib.sha256(json.dumps([config, fingerprints], sort_keys=True).encode()).hexdigest()[:20]
