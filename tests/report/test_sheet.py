"""The page of a scored record, true to scale, and the page of many."""

from __future__ import annotations

import re
from dataclasses import replace

import numpy as np
import pandas as pd
import pytest

from beatwise.report.paper import fitting_gain, strip
from beatwise.report.sheet import Sheet, choose_findings, render_records, render_sheet
from beatwise.scoring import NOTICE
from beatwise.scoring.rhythm import KINDS, RATE_INTERVALS, classes_of, counted_beats, find_events, summarise
from beatwise.scoring.score import Scored

RATE = 200.0


def sheet(classes: str, name: str = "r") -> Sheet:
    """A record with these beats, a second apart from second 1 on, and a spike of 1.5 mV at each."""
    sample = (np.arange(1, len(classes) + 1) * RATE).astype(np.int64)
    beats = pd.DataFrame({"record": name, "sample": sample, "class": list(classes), "recall_first": list(classes)})
    beats = beats.assign(unsure=False, amplitude=1.5, **{f"probability_{label}": np.float32(0.3) for label in "NSVFQ"})
    millivolts = np.zeros(round((len(classes) + 1) * RATE))
    millivolts[sample] = 1.5
    scored = Scored(name, "II", RATE, len(millivolts), "xqrs", beats, np.zeros((0, 2), np.int64))
    events = find_events(scored)
    return Sheet(
        summary=summarise(scored, events=events),
        events=events,
        beats=counted_beats(scored),
        unusable=scored.unusable,
        millivolts=millivolts,
        classes=classes_of(scored),
        normal=["N"],
        ectopic={"ventricular": ["V"], "supraventricular": ["S"]},
        rate_intervals=RATE_INTERVALS,
        kinds=KINDS,
        model="cnn1d of demo, version 0",
        notice=NOTICE,
    )


@pytest.mark.parametrize(("times", "gain"), [(1.0, 10.0), (4.0, 5.0), (800.0, 0.025)])
def test_a_strip_is_true_to_scale_in_both_directions(times: float, gain: float) -> None:
    # A step of 1.6 mV from second 2 to 4, and samples that are missing from second 5 on.
    millivolts = np.zeros(1200)
    millivolts[400:800] = 1.6 * times
    millivolts[1000:] = np.nan
    assert fitting_gain(1.6 * times) == gain
    svg = strip(millivolts, RATE, [(2.0, "V", "red")], gain=gain)
    assert (width := re.match(r'<svg class="paper" width="150mm" height="(\d+)mm" viewBox="0 -5 150 (\d+)">', svg))
    assert width[1] == width[2]
    (line,) = re.findall(r' d="(M[^"]+)"', svg)
    steps = np.array(re.findall(r"-?\d+", line), dtype=float).reshape(-1, 2)
    x, y = (steps.cumsum(axis=0) * 0.02).T
    up, down = x[np.flatnonzero(np.diff(y))]
    assert down - up == pytest.approx(2 * 25)
    assert np.ptp(y) == pytest.approx(1.6 * times * gain)
    assert x[-1] == pytest.approx(999 / RATE * 25, abs=0.02)
    assert '<text x="50.00"' in svg


def test_the_worst_of_each_kind_is_shown_then_other_classes_rates_and_the_usual_rhythm() -> None:
    usual = "N" * 30
    shown = choose_findings(sheet(f"{usual}VVV{usual}VVVVV{usual}VV{usual}S{usual}F{usual}"))
    assert [f"{finding.title}: {finding.detail}, {finding.first / RATE:.0f}" for finding in shown] == [
        "Ventricular run: 5 beats at 60/min, longest of 2, 64",
        "Ventricular couplet: 2 beats at 60/min, 99",
        "Supraventricular beat: the only one, 131",
        "Beat of class F: the only one, 162",
        "Highest rate: 60/min, 5",
        "Usual rhythm: 60/min, 92",
    ]
    # A short record is shown whole, and a quiet one has strips, too.
    assert [finding.first / RATE for finding in choose_findings(sheet("N" * 14))] == [0, 6, 12]
    titles = [finding.title for finding in choose_findings(sheet("N" * 60))]
    assert titles == ["Highest rate", "Lowest rate", "Usual rhythm"]
    empty = replace(sheet(""), millivolts=np.full(20_000, np.nan))
    assert [finding.title for finding in choose_findings(empty)] == ["The beginning"]


def test_pages_say_what_was_found_those_with_most_findings_first_and_what_failed() -> None:
    page = render_sheet(sheet("N" * 300 + "VVV" + "N" * 297, name="<a>"))
    assert "Record &lt;a&gt;" in page
    assert NOTICE in page
    assert "3 beats, 18/h" in page
    # A burden an hour says nothing about a minute, and a share that is not zero is not shown as zero.
    assert "3 beats<" in render_sheet(sheet("N" * 60 + "VVV"))
    assert "&lt; 0.1 %" in render_sheet(sheet("N" * 3000 + "V" + "N" * 10))
    assert render_sheet(sheet("")).count('class="paper"') == 1
    named = {"quiet": "N" * 40, "runs": "N" * 20 + "VVV" + "N" * 20, "none": ""}
    records = pd.DataFrame([sheet(classes, name).summary for name, classes in named.items()])
    failed = pd.DataFrame({"record": ["bad"], "reason": ["its signal has no samples"]})
    page = render_records(records, failed, {"runs": "records/runs.html"}, NOTICE, "cnn1d of demo, version 0")
    assert re.findall(r'<th scope="row">(?:<a href="([^"]+)">)?(\w+)', page) == [
        ("records/runs.html", "runs"),
        ("", "quiet"),
        ("", "none"),
        ("", "bad"),
    ]
    assert "its signal has no samples" in page
    assert NOTICE in page
