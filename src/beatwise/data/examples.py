"""The beats table: one row a beat, the words that every part of Beatwise uses for its columns.

A beats table holds the signal in columns ``"0"``, ``"1"``, …, the class index in ``target`` and, where they are known,
``record``, ``sample`` (of the R peak), ``lead`` and the RR intervals in seconds.
"""

from __future__ import annotations

import hashlib
from typing import Any, Final

import numpy as np
import numpy.typing as npt
import pandas as pd

TARGET: Final = "target"
PART: Final = "part"
IDENTITY_COLUMNS: Final = ("record", "sample", "lead")
RR_COLUMNS: Final = ("rr_before", "rr_after", "rr_local_mean", "rr_record_mean")

Signals = npt.NDArray[np.float32]
Labels = npt.NDArray[np.int64]


def signal_columns(beats: pd.DataFrame) -> list[str]:
    """Names of the signal columns, ``"0"`` … ``"T-1"``, in order of time."""
    return [str(i) for i in range(sum(str(column).isdecimal() for column in beats.columns))]


def signals(beats: pd.DataFrame) -> Signals:
    """The signals of a beats table, ``float32 [n_beats, n_samples]``, a contiguous copy."""
    return np.array(beats[signal_columns(beats)], dtype=np.float32, order="C")


def labels(beats: pd.DataFrame) -> Labels:
    """The class indices of a beats table, ``int64 [n_beats]``, a copy."""
    return beats[TARGET].to_numpy(dtype=np.int64, copy=True)


def has_records(beats: pd.DataFrame) -> bool:
    """Whether the table says which record each beat comes from."""
    return "record" in beats.columns


def has_rr(beats: pd.DataFrame) -> bool:
    """Whether the table carries the RR intervals."""
    return all(column in beats.columns for column in RR_COLUMNS)


def beats_table(values: Signals, target: Labels, **columns: Any) -> pd.DataFrame:
    """Put signals, labels and further columns together as a beats table.

    Args:
        values: ``float32 [n_beats, n_samples]``; the table takes it over without a copy.
        target: Class indices ``[n_beats]``.
        **columns: Further columns by name, each ``[n_beats]`` or a scalar.
    """
    table = pd.DataFrame(values, columns=[str(i) for i in range(values.shape[1])], copy=False)
    return table.assign(**{TARGET: target}, **columns)


def beat_keys(beats: pd.DataFrame) -> npt.NDArray[np.uint64]:
    """A 64-bit key of every beat's signal and label: equal beats have equal keys, ``uint64 [n_beats]``.

    Two different beats share a key with a chance of about n²/2⁶⁵, some 3e-10 for the 109,446 beats of MIT-BIH.
    """
    values = signals(beats)
    # Adding 0 turns -0.0 into 0.0, so that beats that compare equal have equal bytes.
    rows = np.column_stack([values + np.float32(0), labels(beats).astype(np.float32)])
    return np.array(
        [int.from_bytes(hashlib.blake2b(row.tobytes(), digest_size=8).digest(), "little") for row in rows],
        dtype=np.uint64,
    )


def fingerprint(beats: pd.DataFrame) -> str:
    """SHA-256 over signals and labels in order: two tables with one fingerprint hold the same beats."""
    digest = hashlib.sha256(signals(beats).tobytes())
    digest.update(labels(beats).tobytes())
    return digest.hexdigest()


def fingerprints_of(*parts: pd.DataFrame) -> list[str]:
    """One fingerprint a beats table: of signals, labels and, where they are known, RR intervals."""
    return [fingerprint(part) + _rr_fingerprint(part) for part in parts]


def _rr_fingerprint(beats: pd.DataFrame) -> str:
    if not has_rr(beats):
        return ""
    return hashlib.sha256(beats[list(RR_COLUMNS)].to_numpy(dtype=np.float32).tobytes()).hexdigest()
