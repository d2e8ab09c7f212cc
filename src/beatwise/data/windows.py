"""Windows of a regular series: past hours of several inputs, and the number to forecast behind them."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any, Final

import numpy as np
import numpy.typing as npt
import pandas as pd

from beatwise.core.errors import BeatwiseError
from beatwise.core.registry import unknown_name
from beatwise.data.examples import GROUP, INPUTS, PERSISTENCE, RESERVED, TARGET, TIME, Examples

# Inputs that the clock gives, by the length of their cycle; each is a sine and a cosine.
CYCLES: Final = {
    "hour_of_day": pd.Timedelta(days=1),
    "day_of_week": pd.Timedelta(days=7),
    "day_of_year": pd.Timedelta(days=365.2425),
}


@dataclass(frozen=True)
class Windows:
    """How windows are cut.

    Attributes:
        target: Column to forecast.
        inputs: Columns of the window, or names of :data:`CYCLES`.
        present: Columns, or names of :data:`CYCLES`, whose value at the forecast time is a feature.
        window: Steps in a window.
        horizon: Steps from the end of the window to the forecast time; 1 is the next value.
        gap: Longest run of missing steps of an input that is filled.
    """

    target: str
    inputs: Sequence[str]
    present: Sequence[str]
    window: int
    horizon: int
    gap: int


def cut_windows(series: pd.DataFrame, how: Windows) -> tuple[Examples, dict[str, int]]:
    """Cut every window of a series whose target is known.

    A window is filled from its own steps alone: between two known values along a straight line, at its ends with the
    nearest known value. So no value from behind the window, the target first of all, and none of another part of a
    split gets into it. The target is never filled. A feature of the forecast time that is missing takes the last known
    value within ``gap`` steps.

    Args:
        series: One row a step, indexed by regular times; NaN where a value is missing.
        how: How windows are cut.

    Returns:
        ``x`` ``float32 [n, inputs, window]`` with the table's ``target``, ``time`` (the forecast time), ``group`` (its
        day), ``persistence`` (the last known target in the window) and a feature for each of ``present``; and how many
        windows there are: ``possible``, and left out because of the ``target``, a ``gap`` in the window, or a
        ``feature``.

    Raises:
        BeatwiseError: If a column is unknown or has no value, there are fewer steps than a window needs, or no window
            is left.
    """
    series = with_cycles(series, [*how.inputs, *how.present])
    inputs, present = (_expanded(names) for names in (how.inputs, how.present))
    for name in dict.fromkeys([how.target, *inputs, *present]):
        if name not in series:
            raise BeatwiseError(unknown_name("column", name, map(str, series.columns)))
        if series[name].isna().all():
            raise BeatwiseError(f"Column {name!r} has no value: all {len(series):,} are missing.")
    if bad := next((name for name in present if name == how.target or name in RESERVED), ""):
        raise BeatwiseError(
            f"{bad!r} cannot be a feature of the forecast time: "
            + ("it is what is to be forecast." if bad == how.target else "Beatwise uses the name. Rename the column.")
        )
    n = len(series) - how.window - how.horizon + 1
    if n < 1:
        raise BeatwiseError(
            f"The series has {len(series):,} steps, and a window of {how.window} with its target needs "
            f"{how.window + how.horizon}."
        )
    start = np.arange(n)
    end, forecast = start + how.window - 1, start + how.window - 1 + how.horizon
    target = series[how.target].to_numpy(np.float64)
    values, features = series[inputs].to_numpy(np.float64), series[present].to_numpy(np.float64)

    before = _last_known(target[:, None])[end, 0]
    has_gap = _has_long_gap(values, start, how).any(axis=1) | (before < start)
    known = _last_known(features)[forecast]
    lacks_feature = (known < forecast[:, None] - how.gap).any(axis=1)
    unknown = np.isnan(target[forecast])
    counts = {
        "possible": n,
        "target": int(unknown.sum()),
        "gap": int((has_gap & ~unknown).sum()),
        "feature": int((lacks_feature & ~has_gap & ~unknown).sum()),
    }
    kept = np.flatnonzero(~(unknown | has_gap | lacks_feature))
    if not len(kept):
        raise BeatwiseError(
            f"No window is left of {n:,}: {described(counts, how.gap)}. Allow longer gaps, choose other inputs, or "
            "lengthen the time of a step."
        )
    time = pd.DatetimeIndex(series.index[forecast[kept]])
    table: dict[str, Any] = {
        TARGET: target[forecast[kept]],
        TIME: time,
        GROUP: time.strftime("%Y-%m-%d"),
        PERSISTENCE: target[before[kept]],
        **{name: features[known[kept, i], i] for i, name in enumerate(present)},
    }
    examples = Examples(_filled(values, kept, how), pd.DataFrame(table))
    examples.table.attrs = {INPUTS: list(inputs)}
    return examples, counts


def described(counts: dict[str, int], gap: int) -> str:
    """How many windows are left out and why, in words."""
    return (
        f"{counts['target']:,} windows have no target, {counts['gap']:,} more a gap of over {gap} steps, and "
        f"{counts['feature']:,} more no value at the forecast time"
    )


def with_cycles(series: pd.DataFrame, names: Sequence[str]) -> pd.DataFrame:
    """The series with a sine and a cosine of each cycle that is named.

    Args:
        series: Indexed by time.
        names: Names of columns and of :data:`CYCLES`.
    """
    elapsed = pd.DatetimeIndex(series.index) - pd.Timestamp(2001, 1, 1)  # a Monday
    made: dict[str, Any] = {}
    for name in CYCLES.keys() & {*names}:
        angle = 2 * np.pi * (elapsed / CYCLES[name])
        made |= dict(zip(_expanded([name]), (np.sin(angle), np.cos(angle)), strict=True))
    return series.assign(**made)


def _expanded(names: Sequence[str]) -> list[str]:
    """The columns of each name, each once: a cycle has two."""
    both = (((f"{name}_sin", f"{name}_cos") if name in CYCLES else (name,)) for name in names)
    return list(dict.fromkeys(column for columns in both for column in columns))


def _last_known(values: npt.NDArray[np.float64]) -> npt.NDArray[np.intp]:
    """The last step up to each one at which a column has a value, ``[t, c]``; -1 before the first one."""
    steps = np.arange(len(values))[:, None]
    known: npt.NDArray[np.intp] = np.maximum.accumulate(np.where(np.isnan(values), -1, steps), axis=0)
    return known


def _has_long_gap(values: npt.NDArray[np.float64], start: npt.NDArray[np.intp], how: Windows) -> npt.NDArray[np.bool_]:
    """Which windows have more missing steps one after the other than are filled, ``bool [n, c]``."""
    too_long = np.arange(len(values))[:, None] - _last_known(values) > how.gap
    # A run of gap + 1 steps within the window ends at its step number ``gap`` at the earliest.
    counted = np.vstack([np.zeros_like(too_long[:1], np.intp), too_long.cumsum(axis=0)])
    return counted[start + how.window] > counted[start + how.gap]


def _filled(values: npt.NDArray[np.float64], kept: npt.NDArray[np.intp], how: Windows) -> npt.NDArray[np.float32]:
    """The kept windows without gaps, ``float32 [n, c, window]``."""
    line = pd.DataFrame(values).interpolate(limit_area="inside").to_numpy(np.float32)
    x = np.lib.stride_tricks.sliding_window_view(line, how.window, axis=0)[kept]
    last = _last_known(values)
    following = len(values) - 1 - _last_known(values[::-1])[::-1]
    first, end = kept[:, None], kept[:, None] + how.window - 1
    columns = np.arange(values.shape[1])[None, :]
    for step in range(how.gap):
        x[..., step] = np.where(
            following[kept] > first + step, values[following[kept].clip(max=len(values) - 1), columns], x[..., step]
        )
        at = how.window - 1 - step
        x[..., at] = np.where(last[end[:, 0]] < end - step, values[last[end[:, 0]], columns], x[..., at])
    return np.ascontiguousarray(x)
