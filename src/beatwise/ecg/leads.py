"""Leads of a recording: which signals are an ECG, and how many units make a millivolt."""

from __future__ import annotations

import re
from collections.abc import Sequence
from typing import Final

from beatwise.core.errors import BeatwiseError

# Units a millivolt, by the unit's name in lower case; both signs for micro are in use.
PER_MILLIVOLT: Final = {"mv": 1.0, "uv": 1e3, "µv": 1e3, "μv": 1e3, "v": 1e-3, "nv": 1e6}
ECG: Final = re.compile(
    r"\b(ecg|ekg|mlii|ml\d|mcl\d|mv\d|cm\d|cc\d|cs\d|i|ii|iii|d[123]|av[rlf]|v\d{1,2}r?|v[xyz]|lead ?\w+)\b|ecg|ekg",
    re.IGNORECASE,
)
OTHER: Final = re.compile(
    r"resp|pleth|ppg|spo2|sao2|art|abp|cvp|pap|icp|co2|temp|eeg|emg|eog|acc|gyro|\b(hr|rr|nn|ibi|x|y|z)\b|rate|event|"
    r"marker|status|quality|label",
    re.IGNORECASE,
)


def ecg_leads(names: Sequence[str], units: Sequence[str], wanted: Sequence[int | str] = ()) -> list[int]:
    """Columns of the signals that are leads of an ECG.

    Args:
        names: Names of the signals.
        units: Their physical units; empty where not stated.
        wanted: Columns or names of the signals to take, in any case that tells them apart; empty takes those that are
            named as leads are, and else all that have a voltage, or no unit, and no name of another signal.

    Raises:
        BeatwiseError: If there is none, or a wanted one is not there.
    """
    if wanted:
        return [find_column(names, choice, "columns") for choice in wanted]
    electric = [
        i for i, unit in enumerate(units) if (not unit or unit.lower() in PER_MILLIVOLT) and not OTHER.search(names[i])
    ]
    named = [i for i, name in enumerate(names) if ECG.search(name) and not OTHER.search(name)]
    if found := named or electric:
        return found
    raise BeatwiseError(
        f"no signal is an ECG by its name and unit: {listed(names)}. Name the leads in score.read.columns."
    )


def listed(names: Sequence[str]) -> str:
    """Names with their places, for a message."""
    return ", ".join(f"{i} ({name})" for i, name in enumerate(names))


def find_column(names: Sequence[str], choice: int | str, key: str) -> int:
    """The place of a name, in any case that tells it apart, or of a place; ``key`` of ``score.read`` chose it.

    Raises:
        BeatwiseError: If there is none, or several.
    """
    if isinstance(choice, int) and 0 <= choice < len(names):
        return choice
    same = [i for i, name in enumerate(names) if name == choice] or [
        i for i, name in enumerate(names) if name.casefold() == str(choice).casefold()
    ]
    if len(same) != 1:
        lacks = "several signals" if same else "no signal"
        raise BeatwiseError(f"score.read.{key}: there is {lacks} {choice!r}: {listed(names)}.")
    return same[0]
