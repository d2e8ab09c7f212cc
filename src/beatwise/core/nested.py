"""Nested mappings: flattened, nested again, merged."""

from __future__ import annotations

import re
from collections.abc import Mapping
from typing import Any


def flatten(values: Mapping[str, Any], prefix: str = "") -> dict[str, Any]:
    """Nested settings as one level, ``{"train.epochs": 20}``."""
    flat: dict[str, Any] = {}
    for key, value in values.items():
        name = f"{prefix}.{key}" if prefix else str(key)
        flat |= flatten(value, name) if isinstance(value, Mapping) and value else {name: value}
    return flat


def as_key(name: str) -> str:
    """A name of the user's as one part of a flat key: "_" is what MLflow does not take there, or what parts a key."""
    return re.sub(r"[^\w -]", "_", name)


def nested(flat: Mapping[str, Any]) -> dict[str, Any]:
    """The inverse of :func:`flatten`."""
    values: dict[str, Any] = {}
    for name, value in flat.items():
        *above, last = name.split(".")
        block = values
        for step in above:
            block = block.setdefault(step, {})
        block[last] = value
    return values


def merged(base: Mapping[str, Any], changes: Mapping[str, Any]) -> dict[str, Any]:
    """One mapping over another, key by key all the way down; everything but mappings is replaced."""
    out = dict(base)
    for key, value in changes.items():
        below = out.get(key)
        out[key] = merged(below, value) if isinstance(below, Mapping) and isinstance(value, Mapping) else value
    return out
