"""Runs, bigeminy and trigeminy against the rhythms that the cardiologists of mitdb annotated."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pandas as pd
import pytest
import wfdb

from beatwise.scoring.rhythm import find_events
from beatwise.scoring.score import Scored

pytestmark = pytest.mark.real_data

AAMI = {
    code: name for name, codes in {"N": "NLRej", "S": "AaJS", "V": "VE", "F": "F", "Q": "/fQ"}.items() for code in codes
}
# A run is a tachycardia above 100/min; below, it is an idioventricular rhythm.
RHYTHMS = {"(B": ("ventricular bigeminy", 0), "(T": ("ventricular trigeminy", 0), "(VT": ("ventricular run", 100)}


def test_events_of_annotated_beats_are_the_annotated_rhythms(real_data: Path) -> None:
    seconds = pd.DataFrame(0.0, index=list(RHYTHMS), columns=["annotated", "found", "both"])
    for header in sorted((real_data / "mitdb").glob("*.hea")):
        path = str(header.with_suffix(""))
        read, length = wfdb.rdann(path, "atr"), wfdb.rdheader(path).sig_len
        codes = np.array(read.symbol)
        beats = pd.DataFrame({"sample": read.sample, "class": [AAMI.get(code, "") for code in codes]})
        beats = beats[beats["class"] != ""].reset_index(drop=True)
        events = find_events(Scored(header.stem, "", 360, length, "annotations", beats, np.zeros((0, 2), np.int64)))
        changes = np.flatnonzero(codes == "+")
        names = [read.aux_note[i].strip("\0") for i in changes]
        until = [*read.sample[changes[1:]], length]
        for rhythm, (kind, slowest) in RHYTHMS.items():
            annotated, found = np.zeros((2, length), dtype=bool)
            for name, begin, end in zip(names, read.sample[changes], until, strict=True):
                annotated[begin:end] |= name == rhythm
            for begin, end in events.loc[
                (events["kind"] == kind) & (events["rate"] > slowest), ["first", "last"]
            ].to_numpy():
                found[begin : end + 1] = True
            seconds.loc[rhythm] += np.array([annotated.sum(), found.sum(), (annotated & found).sum()]) / 360
    # The table of docs/how-to/read-a-scored-record.md.
    assert seconds.round().astype(int).to_numpy().tolist() == [[2511, 2556, 2267], [1141, 1267, 1055], [214, 151, 151]]
