"""Examples: what a network learns from and predicts, a beat, a window of two leads, a picture, a series."""

from __future__ import annotations

import hashlib
import re
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from typing import Any, Final, TypeGuard

import numpy as np
import numpy.typing as npt
import pandas as pd

from beatwise.core.errors import BeatwiseError

TARGET: Final = "target"
PART: Final = "part"
GROUP: Final = "group"
TIME: Final = "time"
# The last known target before an example, in the unit of the target: the forecast that nothing changes.
PERSISTENCE: Final = "persistence"
# The fold of a cross-validation whose model made a prediction.
FOLD: Final = "fold"
# What ``table.attrs`` calls the names of the channels, where the source has some.
INPUTS: Final = "inputs"
# What it calls the names of the classes in the order of their indices, once a contract has checked the labels.
CLASSES: Final = "classes"
# Where a beat was cut from.
IDENTITY_COLUMNS: Final = ("record", "sample", "lead")
# Columns of the table that are no features.
RESERVED: Final = (TARGET, PART, GROUP, TIME, PERSISTENCE, *IDENTITY_COLUMNS)
# Columns that predictions carry on.
CARRIED: Final = (GROUP, TIME, PERSISTENCE, "record", "sample")
# Examples behind a mean that is drawn, at most.
SHOWN: Final = 20_000
# What an example is called, by its number of axes.
NOUNS: Final = {1: "beat", 2: "window", 3: "picture"}
# Any shape of a beat, for texts that are about beats.
BEAT: Final = (0,)
# Rows that are looked at together: bounds the memory of temporary arrays.
CHUNK: Final = 65_536

Array = npt.NDArray[np.float32]
Labels = npt.NDArray[np.int64]
Rows = npt.NDArray[np.integer[Any]] | npt.NDArray[np.bool_]


@dataclass(frozen=True, eq=False)
class Examples:
    """Examples in memory, from ``ingest`` to ``predict``.

    Attributes:
        x: ``float32 [n, *shape]``, C-contiguous: a beat ``[t]``, leads ``[c, t]``, a picture ``[c, h, w]``.
        table: One row an example, numbered from 0. Optional columns: ``target`` (class index, or the number to
            predict), ``part``, ``group`` (the patient; splits and bootstraps keep a group together), ``time``
            (of what is predicted, datetime64), ``persistence`` (the last known target before it), and ``record``,
            ``sample``, ``lead`` of a beat. Every other column is a named numeric feature.
    """

    x: Array
    table: pd.DataFrame

    def __post_init__(self) -> None:
        if len(self.x) != len(self.table):
            raise BeatwiseError(f"There are {len(self.x):,} examples, and a table of {len(self.table):,} rows.")

    def __len__(self) -> int:
        return len(self.table)

    @property
    def shape(self) -> tuple[int, ...]:
        """Shape of one example."""
        return self.x.shape[1:]

    def has(self, *columns: str) -> bool:
        """Whether the table has all of these columns."""
        return set(columns) <= set(self.table.columns)

    @property
    def target(self) -> Labels:
        """Class indices, ``int64 [n]``, a copy.

        Raises:
            BeatwiseError: If the examples have no labels, or numbers to predict that are no class indices.
        """
        if not self.has(TARGET):
            raise BeatwiseError(f"These {len(self):,} examples have no labels: the column {TARGET!r} is missing.")
        indices = self.table[TARGET].to_numpy(dtype=np.int64, copy=True)
        if (indices != self.table[TARGET]).any():
            raise BeatwiseError(f"These {len(self):,} examples have numbers to predict in {TARGET!r}, and no classes.")
        return indices

    @property
    def group(self) -> npt.NDArray[Any] | None:
        """The group of each example, ``[n]``; None where it is not known."""
        return self.table[GROUP].to_numpy() if self.has(GROUP) else None

    @property
    def feature_names(self) -> list[str]:
        """Names of the features."""
        return [name for name in map(str, self.table.columns) if name not in RESERVED]

    @property
    def features(self) -> pd.DataFrame:
        """The features, one column each."""
        return self.table[self.feature_names]

    def channel_names(self, n: int) -> list[str]:
        """Names of the ``n`` channels: those that the source gave them, or their numbers from 1."""
        given = list(self.table.attrs.get(INPUTS, []))
        return given if len(given) == n else [f"channel {i}" for i in range(1, n + 1)]

    def take(self, rows: Rows) -> Examples:
        """Some of the examples, by their numbers or by a mask, in that order."""
        return Examples(self.x[rows], self.table.loc[rows].reset_index(drop=True))

    def without(self, *columns: str) -> Examples:
        """The same examples without some columns of the table."""
        return Examples(self.x, self.table.drop(columns=list(columns), errors="ignore"))

    def chunks(self) -> Iterator[Array]:
        """``x``, :data:`CHUNK` rows at a time, as views."""
        return (self.x[start : start + CHUNK] for start in range(0, max(len(self), 1), CHUNK))

    def keys(self) -> npt.NDArray[np.uint64]:
        """A 64-bit key of each example's ``x`` and label, ``uint64 [n]``: equal examples have equal keys.

        Two different examples share a key with a chance of about n²/2⁶⁵, 3e-10 for the 109,446 beats of MIT-BIH.
        """
        target = np.zeros(len(self)) if not self.has(TARGET) else self.table[TARGET].to_numpy()
        target = target.astype(np.float32)
        out = np.empty(len(self), np.uint64)
        for start in range(0, len(self), CHUNK):
            # Adding 0 turns -0.0 into 0.0, so that values that compare equal have equal bytes.
            values = self.x[start : start + CHUNK].reshape(-1, int(np.prod(self.shape))) + np.float32(0)
            for row, (value, label) in enumerate(zip(values, target[start : start + CHUNK], strict=True), start):
                digest = hashlib.blake2b(value, digest_size=8)
                digest.update(label.tobytes())
                out[row] = int.from_bytes(digest.digest(), "little")
        return out

    @property
    def fingerprint(self) -> str:
        """SHA-256 over ``x`` and labels in order, followed by that of the features where there are some."""
        digest = hashlib.sha256(np.ascontiguousarray(self.x).data)
        if self.has(TARGET):
            digest.update(self._target_bytes())
        if not self.feature_names:
            return digest.hexdigest()
        features = self.features.to_numpy(dtype=np.float32)
        return digest.hexdigest() + hashlib.sha256(np.ascontiguousarray(features).data).hexdigest()

    def _target_bytes(self) -> bytes:
        target = self.table[TARGET].to_numpy()
        return target.astype(np.int64 if target.dtype.kind in "iub" else np.float64).tobytes()


def noun(shape: Sequence[int]) -> str:
    """What one example of this shape is called: a beat, a window of channels, a picture."""
    return NOUNS[len(shape)]


def reword(text: str, shape: Sequence[int]) -> str:
    """A text that speaks of beats, in the word for examples of this shape."""
    word = noun(shape)
    if word == noun(BEAT):
        return text
    named = {"b": word, "B": word.capitalize()}
    # Between slashes and plus signs it is a piece of an encoded file.
    return re.sub(r"(?<![\w+/])([bB])eat(s?)(?![\w+/=])", lambda found: named[found[1]] + found[2], text)


def are_times(column: pd.Series | None) -> TypeGuard[pd.Series]:
    """Whether a column is there and holds points in time."""
    return column is not None and pd.api.types.is_datetime64_any_dtype(column)


def evenly(rows: Rows, at_most: int = SHOWN) -> Rows:
    """At most so many of these rows, evenly spaced, so that a mean that is drawn costs the same at any size."""
    kept = min(at_most, len(rows))
    return rows[np.arange(kept) * len(rows) // max(kept, 1)]


def concatenate(parts: Sequence[Examples]) -> Examples:
    """Examples one after the other; their tables have the same columns."""
    tables = pd.concat([part.table for part in parts], ignore_index=True)
    return Examples(np.concatenate([part.x for part in parts]), tables)
