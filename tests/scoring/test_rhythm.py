"""Runs, bigeminy, pauses and burden by hand-made beats."""

from __future__ import annotations

from dataclasses import replace
from typing import Any

import numpy as np
import pandas as pd
import pytest

from beatwise.scoring.rhythm import ORIGINS, find_events, summarise
from beatwise.scoring.score import Scored
from beatwise.scoring.settings import Rhythm

RATE = 100.0


def scored(
    classes: str, seconds: list[float] | None = None, unusable: Any = (), length: float = 0, model: str = "NSVFQ"
) -> Scored:
    """A record whose beats have these classes, a second apart from second 1 on."""
    at = np.arange(1.0, len(classes) + 1) if seconds is None else np.array(seconds)
    beats = pd.DataFrame({"record": "r", "sample": np.rint(at * RATE).astype(np.int64), "class": list(classes)})
    beats = beats.assign(unsure=False, **{f"probability_{name}": np.float32(0.2) for name in model})
    stretches = np.rint(np.reshape(unusable, (-1, 2)) * RATE).astype(np.int64)
    n_samples = round((length or at.max(initial=9.0) + 1) * RATE)
    return Scored("r", "II", RATE, n_samples, "xqrs", beats, stretches)


def found(record: Scored, **settings: Any) -> list[tuple[str, float, int]]:
    events = find_events(record, Rhythm(**settings))
    return list(zip(events["kind"], events["seconds"], events["beats"].tolist(), strict=True))


@pytest.mark.parametrize(
    ("classes", "events"),
    [
        ("NVVNVVVNSSNSSSSN", ["V couplet 2 2", "V run 5 3", "S couplet 9 2", "S run 12 4"]),
        ("VVVV", ["V run 1 4"]),
        # Neither another origin nor a fusion beat continues a run.
        ("NVVSVFVVN", ["V couplet 2 2", "V couplet 7 2"]),
        ("NVNVNVNNSNNSNNSNN", ["V bigeminy 2 5", "S trigeminy 9 7"]),
        # Two cycles are no bigeminy, and between its beats are only normal ones.
        ("NVNVNNVSVFVN", []),
        # The same beat may end bigeminy and begin a couplet.
        ("VNVNVVN", ["V bigeminy 1 5", "V couplet 5 2"]),
        ("", []),
        ("V", []),
    ],
)
def test_ectopic_beats_in_a_row_or_in_turn_are_events(classes: str, events: list[str]) -> None:
    names = {"ventricular": "V", "supraventricular": "S"}
    shown = [(kind.split(), at, n) for kind, at, n in found(scored(classes))]
    assert [f"{names[origin]} {kind} {at:.0f} {n}" for (origin, kind), at, n in shown] == events


def test_a_pause_is_longer_than_the_limit_and_spans_no_unusable_stretch() -> None:
    at = [1.0, 2.0, 4.0, 6.01, 7.0, 11.0, 12.0]
    assert found(scored("NNNNNNN", at)) == [("pause", 4.0, 2), ("pause", 7.0, 2)]
    assert found(scored("NNNNNNN", at, unusable=[[8, 10]])) == [("pause", 4.0, 2)]
    assert found(scored("NNNNNNN", at), pause=3.0) == [("pause", 7.0, 2)]


def test_a_summary_counts_what_could_be_analysed_and_does_not_take_the_unknown_for_zero() -> None:
    # 20 beats at 60/min, a run of four at 150/min, 20 beats at 60/min.
    at = np.concatenate([np.arange(20.0), 19 + 0.4 * np.arange(1, 5), 20.6 + np.arange(1, 21)]) + 1
    summary = summarise(scored("N" * 20 + "VVVV" + "N" * 20, list(at)))
    assert (summary["ventricular_runs"], summary["ventricular_longest_run"], summary["pauses"]) == (1, 4.0, 0)
    assert summary["ventricular_fastest_run"] == pytest.approx(150)
    assert summary["ventricular_share"] == pytest.approx(4 / 44)
    assert summary["rate"] == pytest.approx(60 * 43 / (39 + 1.6))
    assert (summary["rate_low"], summary["rate_high"]) == pytest.approx((60, 60 * 8 / 5.6))
    assert summary["longest_pause"] is None
    # The third beat lies in an unusable stretch, and behind the fourth is another: only the last three are a run.
    record = scored("NVVVVVVNN", unusable=[[2.9, 3.2], [4.5, 5.0]], length=100)
    assert found(record) == [("ventricular run", 5.0, 3)]
    summary = summarise(record)
    assert (summary["beats"], summary["ventricular_beats"], summary["beats_N"]) == (8, 5, 3)
    assert summary["unusable_share"] == pytest.approx(0.008)
    assert summary["ventricular_per_hour"] == pytest.approx(5 / 99.2 * 3600)
    assert (summary["rate"], summary["rate_low"]) == (pytest.approx(60), None)
    # A burden for which the model has no class is not zero.
    record = scored("NSSS", model="NS")
    assert [summarise(record)[f"{origin}_runs"] for origin in ORIGINS] == [None, 1]
    assert summarise(record, Rhythm(normal=["sinus"]))["supraventricular_bigeminy"] is None
    record = replace(record, beats=record.beats.replace({"class": {"S": "abnormal"}}))
    assert found(record, supraventricular=["abnormal"]) == [("supraventricular run", 2.0, 3)]
