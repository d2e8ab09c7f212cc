"""What the beats of a scored record say about its rhythm: rate, burden, couplets, runs, bigeminy, pauses.

Definitions, for supraventricular and ventricular ectopic beats alike:

- A *couplet* is two, a *run* three or more consecutive ectopic beats of one kind (ANSI/AAMI EC57; three beats are also
  the shortest ventricular tachycardia of Al-Khatib et al., Circulation 138, 2018, where their rate is above 100/min).
- *Bigeminy* is every second beat being ectopic, *trigeminy* every third, for :data:`CYCLES` ectopic beats or more with
  only normal beats between them (three cycles are the convention of patient monitors).
- A *pause* is an interval between two beats that is longer than a limit. There is no agreed one: Holter reports
  use 2 s, the default; Kusumoto et al., Circulation 140, 2019, call a sinus pause what is longer than 3 s.
- *Burden* is the number of ectopic beats, as a share of all beats and for each hour that could be analysed.

Beats in unusable stretches do not count. An interval that spans one counts neither for the rate nor as a pause, and
beats on its two sides are not consecutive, because there may be beats between them.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from typing import Any, Final

import numpy as np
import numpy.typing as npt
import pandas as pd

from beatwise.scoring.score import Scored
from beatwise.scoring.settings import Rhythm
from beatwise.tasks.classification.predictions import PREFIX

CYCLES: Final = 3
# The lowest and the highest rate are means over so many consecutive intervals; an even number levels bigeminy out.
RATE_INTERVALS: Final = 8
ORIGINS: Final = ("ventricular", "supraventricular")
PATTERNS: Final = {"bigeminy": 2, "trigeminy": 3}
# What counts more comes first.
KINDS: Final = (
    "ventricular run",
    "pause",
    "supraventricular run",
    *("ventricular couplet", "ventricular bigeminy", "ventricular trigeminy"),
    *("supraventricular couplet", "supraventricular bigeminy", "supraventricular trigeminy"),
)

Mask = npt.NDArray[np.bool_]
Ints = npt.NDArray[np.int64]


def classes_of(scored: Scored) -> list[str]:
    """The classes of the model, from the columns of their probabilities."""
    return [name.removeprefix(PREFIX) for name in scored.beats.columns if name.startswith(PREFIX)]


def counted_beats(scored: Scored) -> pd.DataFrame:
    """The beats outside unusable stretches.

    Returns:
        Their rows, with ``interval`` (s) to the beat before, NaN where it spans an unusable stretch, and its mean over
        the last :data:`RATE_INTERVALS`, ``mean_interval``.
    """
    sample = scored.beats["sample"].to_numpy()
    begins, ends = scored.unusable.T
    # How many stretches begin up to a beat, and how many have ended by then; stretches do not overlap.
    begun, ended = np.searchsorted(begins, sample, side="right"), np.searchsorted(ends, sample, side="right")
    beats, begun = scored.beats[begun == ended].reset_index(drop=True), begun[begun == ended]
    interval = (beats["sample"].diff() / scored.sample_rate).where(np.diff(begun, prepend=-1) == 0)
    return beats.assign(interval=interval, mean_interval=interval.rolling(RATE_INTERVALS).mean())


def find_events(scored: Scored, settings: Rhythm | None = None) -> pd.DataFrame:
    """Couplets, runs, bigeminy, trigeminy and pauses, in the order of time.

    Returns:
        One row an event: ``kind`` (of :data:`KINDS`); ``first`` and ``last``, samples of its first and last R peak;
        ``seconds``, of the first; ``duration`` (s); ``beats``; ``rate`` from the first to the last beat (1/min).
    """
    settings = settings or Rhythm()
    beats = counted_beats(scored)
    sample, joined = beats["sample"].to_numpy(), beats["interval"].notna().to_numpy()
    normal = beats["class"].isin(settings.normal).to_numpy()
    found: list[pd.DataFrame] = []

    def add(kind: str, first: npt.NDArray[np.intp], last: npt.NDArray[np.intp]) -> None:
        duration, n_beats = (sample[last] - sample[first]) / scored.sample_rate, last - first + 1
        found.append(
            pd.DataFrame(
                {
                    "kind": np.full(len(first), kind, dtype=object),
                    "first": sample[first],
                    "last": sample[last],
                    "seconds": sample[first] / scored.sample_rate,
                    "duration": duration,
                    "beats": n_beats,
                    "rate": 60 * (n_beats - 1) / np.maximum(duration, 1 / scored.sample_rate),
                }
            )
        )

    for origin in ORIGINS:
        ectopic = beats["class"].isin(getattr(settings, origin)).to_numpy()
        places = np.flatnonzero(ectopic)
        # Sequences of ectopic beats that follow one another at a distance of one, two or three beats.
        first, last = _chains(_follows(places, 1, normal, joined))
        length = last - first + 1
        add(f"{origin} couplet", places[first[length == 2]], places[last[length == 2]])
        add(f"{origin} run", places[first[length > 2]], places[last[length > 2]])
        for pattern, period in PATTERNS.items():
            first, last = _chains(_follows(places, period, normal, joined))
            long = last - first + 1 >= CYCLES
            add(f"{origin} {pattern}", places[first[long]], places[last[long]])
    behind_pause = np.flatnonzero(beats["interval"] > settings.pause)
    add("pause", behind_pause - 1, behind_pause)
    events = pd.concat(found).sort_values(["first", "last"], kind="stable", ignore_index=True)
    return events.astype({"kind": "str", "first": "int64", "last": "int64", "beats": "int64"})


def _follows(places: npt.NDArray[np.intp], period: int, normal: Mask, joined: Mask) -> Mask:
    """Whether each but the first of some beats stands a period behind the one before, with normal beats between."""
    normals, joints = np.cumsum(normal), np.cumsum(joined)
    before, after = places[:-1], places[1:]
    between: Ints = normals[after] - normal[after] - normals[before]
    near: Mask = (after - before == period) & (joints[after] - joints[before] == period)
    return near & (between == period - 1)


def _chains(follows: Mask) -> tuple[npt.NDArray[np.intp], npt.NDArray[np.intp]]:
    """First and last place of every chain of two or more, by whether each but the first follows the one before it."""
    edges = np.diff(np.concatenate([[False], follows, [False]]).astype(np.int8))
    return np.flatnonzero(edges == 1), np.flatnonzero(edges == -1)


def summarise(scored: Scored, settings: Rhythm | None = None, events: pd.DataFrame | None = None) -> dict[str, Any]:
    """The rhythm of a record as one row of a table.

    Args:
        scored: The record.
        settings: Which classes are ectopic, and what is a pause.
        events: What :func:`find_events` found, where that is at hand.

    Returns:
        ``record``, ``lead``, ``detector``, ``sample_rate`` (Hz), ``seconds``, ``usable_seconds``, ``unusable_share``;
        ``beats`` (outside unusable stretches), ``unsure_share`` of them, ``without_interval`` (see :class:`Scored`);
        ``rate``, ``rate_low``, ``rate_high`` (1/min, the latter over :data:`RATE_INTERVALS` intervals, where there are
        twice as many); for both origins
        ``<origin>_beats``, ``<origin>_share``, ``<origin>_per_hour``, and the numbers of ``<origin>_couplets``,
        ``_runs``, ``_bigeminy``, ``_trigeminy``, with ``_longest_run`` (beats) and ``_fastest_run`` (1/min);
        ``pauses``, ``longest_pause`` (s); ``beats_<class>``.
        None where something is not defined: all of an origin where the model has no class for it, bigeminy and
        trigeminy where it has none for normal beats.
    """
    settings = settings or Rhythm()
    events = find_events(scored, settings) if events is None else events
    beats, classes = counted_beats(scored), classes_of(scored)
    unusable = int((scored.unusable[:, 1] - scored.unusable[:, 0]).sum())
    hours = (scored.n_samples - unusable) / scored.sample_rate / 3600
    return {
        "record": scored.name,
        "lead": scored.lead,
        "detector": scored.detector,
        "sample_rate": float(scored.sample_rate),
        "seconds": scored.n_samples / scored.sample_rate,
        "usable_seconds": hours * 3600,
        "unusable_share": unusable / scored.n_samples,
        "beats": len(beats),
        "unsure_share": float(beats["unsure"].mean()) if len(beats) else None,
        "without_interval": scored.without_interval,
        **_rates(beats),
        **dict(_pairs(beats, events, settings, classes, hours)),
        "pauses": int((events["kind"] == "pause").sum()),
        "longest_pause": _largest(events, "pause", "duration"),
        **{f"beats_{name}": int((beats["class"] == name).sum()) for name in classes},
    }


def _rates(beats: pd.DataFrame) -> dict[str, float | None]:
    intervals, means = beats["interval"], beats["mean_interval"]
    # Among fewer, the lowest and the highest would be almost the same intervals.
    if intervals.count() < 2 * RATE_INTERVALS:
        means = means[:0]
    names, values = ("rate", "rate_low", "rate_high"), (intervals.mean(), means.max(), means.min())
    return {name: None if np.isnan(mean) else float(60 / mean) for name, mean in zip(names, values, strict=True)}


def _pairs(
    beats: pd.DataFrame, events: pd.DataFrame, settings: Rhythm, classes: Sequence[str], hours: float
) -> Iterator[tuple[str, float | None]]:
    """The numbers of ectopic beats and of their events, by name."""
    usual = not {*settings.normal}.isdisjoint(classes)
    for origin in ORIGINS:
        ectopic = getattr(settings, origin)
        known = not {*ectopic}.isdisjoint(classes)
        n = int(beats["class"].isin(ectopic).sum())
        kinds = events["kind"].value_counts()
        run = f"{origin} run"
        values = {
            "beats": n,
            "share": n / len(beats) if len(beats) else None,
            "per_hour": n / hours if hours else None,
            "couplets": int(kinds.get(f"{origin} couplet", 0)),
            "runs": int(kinds.get(run, 0)),
            "longest_run": _largest(events, run, "beats"),
            "fastest_run": _largest(events, run, "rate"),
            **{pattern: int(kinds.get(f"{origin} {pattern}", 0)) if usual else None for pattern in PATTERNS},
        }
        yield from ((f"{origin}_{name}", value if known else None) for name, value in values.items())


def _largest(events: pd.DataFrame, kind: str, column: str) -> float | None:
    of_kind = events.loc[events["kind"] == kind, column]
    return float(of_kind.max()) if len(of_kind) else None
