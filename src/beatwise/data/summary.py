"""Contents of the three parts: counts, lengths, duplicates, and groups that are in two parts."""

from __future__ import annotations

import logging
from collections.abc import Mapping, Sequence
from itertools import combinations
from typing import Any, Final

import numpy as np
import numpy.typing as npt
import pandas as pd

from beatwise.data.examples import TARGET, TIME, Examples, are_times
from beatwise.data.representations import beat_mask

log = logging.getLogger(__name__)

# A feature whose ranks agree so well with those of the target gives it away.
GIVES_AWAY: Final = 0.99
QUANTILES: Final = (0.05, 0.25, 0.5, 0.75, 0.95)


def beat_lengths(beats: Examples) -> npt.NDArray[np.int64]:
    """Samples of each beat ``[n, t]`` without its padding, ``int64 [n]``; examples of another shape have no padding."""
    if len(beats.shape) != 1:
        return np.full(len(beats), beats.shape[-1])
    return np.concatenate([beat_mask(x).sum(axis=1) for x in beats.chunks()])


def summarise_data(parts: Mapping[str, Examples], classes: Sequence[str], sample_rate: float | None) -> dict[str, Any]:
    """Describe the parts of a split.

    Args:
        parts: The examples of each part, time as their last axis.
        classes: Class names in the order of their indices.
        sample_rate: Samples per second (Hz).

    Returns:
        Plain data: ``shape`` of an example, ``parts`` (examples, count and share of each class, number of records),
        ``length_ms`` (quantiles of the beats' length without padding, by class, over all parts; a picture has none),
        ``padding_share``, ``duplicates`` (examples that repeat an earlier one ``within`` a part, examples of a part
        that are ``across`` in another), ``records`` (``known``, and which are in two parts), ``notes`` (what was made
        of the source), and for a number as target ``rank_correlation`` (Spearman's, of each feature with it) and
        ``gives_away`` (features in which it is at least :data:`GIVES_AWAY`). A part of numbers to predict has mean,
        deviation, least and largest ``target``; ``spans`` has the first and the last time of each part where known.
    """
    length = {name: beat_lengths(beats) for name, beats in parts.items()}
    # Without classes nothing is counted by class.
    target = {name: beats.target if classes else np.zeros(len(beats)) for name, beats in parts.items()}
    keys = {name: beats.keys() for name, beats in parts.items()}
    all_lengths = np.concatenate(list(length.values())) / (sample_rate or np.nan) * 1000
    all_targets = np.concatenate(list(target.values()))
    shape = next(iter(parts.values())).shape
    n_samples = shape[-1]
    pairs = list(combinations(parts, 2))
    return {
        "classes": list(classes),
        "shape": list(shape),
        "sample_rate": sample_rate,
        "samples_per_beat": n_samples,
        "parts": {
            name: {
                "beats": len(beats),
                "counts": {label: int((target[name] == i).sum()) for i, label in enumerate(classes)},
                "shares": {
                    label: float((target[name] == i).sum() / max(len(beats), 1)) for i, label in enumerate(classes)
                },
                "records": int(beats.table["record"].nunique()) if beats.has("record") else None,
                **({} if classes else {"target": _numbers(beats.table[TARGET])}),
            }
            for name, beats in parts.items()
        },
        "length_ms": {
            label: dict(
                zip(map(str, QUANTILES), np.quantile(all_lengths[all_targets == i], QUANTILES).tolist(), strict=True)
            )
            for i, label in enumerate(classes)
            if (all_targets == i).any() and len(shape) < 3 and sample_rate
        },
        "padding_share": float(1 - np.concatenate(list(length.values())).mean() / n_samples),
        "duplicates": {
            "within": {name: int(pd.Series(values).duplicated().sum()) for name, values in keys.items()},
            "across": {f"{a} and {b}": int(np.isin(keys[a], keys[b]).sum()) for a, b in pairs},
        },
        "records": _shared_records(parts, pairs),
        "notes": parts["train"].table.attrs.get("notes", []),
        **_correlations({} if classes else parts),
        **_spans(parts),
    }


def _numbers(target: pd.Series) -> dict[str, float]:
    """A target that is a number."""
    return {"mean": target.mean(), "sd": target.std(ddof=0), "min": target.min(), "max": target.max()}


def _spans(parts: Mapping[str, Examples]) -> dict[str, Any]:
    """``spans``: the first and the last time of each part; nothing where times are not known."""
    tables = {name: beats.table for name, beats in parts.items()}
    if not all(are_times(table.get(TIME)) for table in tables.values()):
        return {}
    return {
        "spans": {
            name: [f"{end:%Y-%m-%d %H:%M}" for end in (table[TIME].min(), table[TIME].max())]
            for name, table in tables.items()
        }
    }


def _correlations(parts: Mapping[str, Examples]) -> dict[str, Any]:
    """How well each feature ranks the examples as the target does, and the features that give it away."""
    tables = [part.table[[*part.feature_names, TARGET]] for part in parts.values() if part.has(TARGET)]
    if not tables:
        return {"rank_correlation": {}, "gives_away": []}
    table = pd.concat(tables)
    ranks = table.drop(columns=TARGET).corrwith(table[TARGET], method="spearman")
    gives_away = [str(name) for name in ranks.index[ranks.abs() >= GIVES_AWAY]]
    for name in gives_away:
        log.warning(
            "The feature %s ranks the examples as the target does (rank correlation %.4f): a model that gets it by "
            "tensors.features is given the answer.",
            name,
            ranks[name],
        )
    return {"rank_correlation": ranks.dropna().to_dict(), "gives_away": gives_away}


def drop_duplicates(parts: Mapping[str, Examples]) -> dict[str, Examples]:
    """Remove from train what is in validation or test too, and from validation what is in test."""
    keys = {name: beats.keys() for name, beats in parts.items()}
    known = {
        "train": np.concatenate([keys["val"], keys["test"]]),
        "val": keys["test"],
        "test": np.zeros(0, dtype=np.uint64),
    }
    return {name: beats.take(np.flatnonzero(~np.isin(keys[name], known[name]))) for name, beats in parts.items()}


def _shared_records(parts: Mapping[str, Examples], pairs: Sequence[tuple[str, str]]) -> dict[str, Any]:
    if not all(beats.has("record") for beats in parts.values()):
        return {"known": False, "shared": {}}
    records = {name: set(beats.table["record"].astype(str)) for name, beats in parts.items()}
    return {"known": True, "shared": {f"{a} and {b}": sorted(records[a] & records[b]) for a, b in pairs}}
