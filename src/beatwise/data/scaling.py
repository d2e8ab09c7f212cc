"""Values as tables of beats bring them, and values in [0, 1] with zeros behind the end of a beat."""

from __future__ import annotations

from typing import Final, Literal

import numpy as np
import numpy.typing as npt

from beatwise.data.examples import CHUNK, Array

Scale = Literal["none", "per_example"]
# Rounding, such as that of single precision, leaves [0, 1] by less than this.
ROUNDING: Final = 1e-6


def pad_with_zeros(x: Array) -> int:
    """Replace the NaN at the end of beats ``float32 [n, t]`` by zeros in place, and count these beats."""
    rows = np.flatnonzero(np.isnan(x[:, -1]))
    tail = _tail(np.isnan(x[rows]))
    x[rows] = np.where(tail & ~tail.all(axis=1, keepdims=True), 0, x[rows])
    return len(rows)


def scale_each(x: Array) -> npt.NDArray[np.intp]:
    """Scale every beat to [0, 1] by its own minimum and maximum, in place; padding is left out and becomes 0.

    Padding is NaN at the end of a beat; where no beat ends in NaN, zeros at the end.

    Args:
        x: Beats in any unit, ``float32 [n, t]``.

    Returns:
        The rows that have no scale, because all their samples are equal. These rows, and rows with a value that is not
        finite before their padding, are left as they are.
    """
    nan_is_padding = bool(np.isnan(x[:, -1]).any())
    flat = [np.empty(0, np.intp)]
    for i, values in enumerate(_chunks(x)):
        padding = _tail(np.isnan(values) if nan_is_padding else values == 0)
        low = np.where(padding, np.inf, values).min(axis=1, keepdims=True)
        high = np.where(padding, -np.inf, values).max(axis=1, keepdims=True)
        flat.append(np.flatnonzero(low >= high) + i * CHUNK)
        scaled = np.flatnonzero((low < high) & np.isfinite(low) & np.isfinite(high))
        # In single precision as the rules that cut records: equal values are scaled to equal ones.
        low, high = low[scaled].astype(np.float32), high[scaled].astype(np.float32)
        values[scaled] = np.where(padding[scaled], 0, (values[scaled] - low) / (high - low))
    return np.concatenate(flat)


def clip_rounding(x: Array) -> int:
    """Clip values of ``float32 [n, t]`` that leave [0, 1] by no more than :data:`ROUNDING` in place, and count them."""
    clipped = 0
    for values in _chunks(x):
        if values.min() < 0 or values.max() > 1:
            beyond = ((values < 0) & (values >= -ROUNDING)) | ((values > 1) & (values <= 1 + ROUNDING))
            values[beyond] = values[beyond].clip(0, 1)
            clipped += int(beyond.sum())
    return clipped


def _chunks(x: Array) -> list[Array]:
    """Views of ``x``, some rows each."""
    return [x[start : start + CHUNK] for start in range(0, len(x), CHUNK)]


def _tail(marked: npt.NDArray[np.bool_]) -> npt.NDArray[np.bool_]:
    """Samples from there to the end of the row, ``bool [n, t]``."""
    tail: npt.NDArray[np.bool_] = np.logical_and.accumulate(marked[:, ::-1], axis=1)[:, ::-1]
    return tail
