"""ECG on paper: strips as SVG at true scale, with the grid of ECG paper, and the course of a whole record.

A strip is in millimetres, which a printer keeps (at 100 %) and a screen keeps as far as its system knows its size.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from html import escape
from math import ceil, floor
from typing import Final

import numpy as np
import numpy.typing as npt
import pandas as pd

Floats = npt.NDArray[np.float64]
Ints = npt.NDArray[np.int64]

MM_PER_SECOND: Final = 25.0
MM_PER_MV: Final = 10.0
# A signal that does not fit at 10 mm/mV is drawn at the first of these at which it does.
GAINS: Final = tuple(digit * 10.0**power for power in range(1, -6, -1) for digit in (1, 0.5, 0.25))
STRIP_SECONDS: Final = 6
TALLEST_MM: Final = 55
# Above and below the median; what is beyond is cut off.
SIDE_MM: Final = 40
# Room above the grid for the classes of the beats.
HEAD_MM: Final = 5
# Coordinates of a line are whole numbers of a fiftieth of a millimetre, far below the width of the line.
PER_MM: Final = 50
_WITHOUT_SPIKES: Final = (0.2, 99.8)
# The pattern that the strips of a page refer to: it stands once on the page.
GRID: Final = (
    '<svg width="0" height="0" style="position:absolute"><defs>'
    '<pattern id="mm" width="1" height="1" patternUnits="userSpaceOnUse">'
    '<path d="M1 0H0V1" fill="none" stroke="#f3c3bc" stroke-width=".12"/></pattern>'
    '<pattern id="paper" width="5" height="5" patternUnits="userSpaceOnUse">'
    '<rect width="5" height="5" fill="url(#mm)"/>'
    '<path d="M5 0H0V5" fill="none" stroke="#e58d82" stroke-width=".22"/></pattern></defs></svg>'
)


def fitting_gain(amplitude: float) -> float:
    """Millimetres a millivolt at which beats of this amplitude (mV, NaN if not known) fit on paper; 10 if possible."""
    return next((gain for gain in GAINS if not amplitude * gain > TALLEST_MM), GAINS[-1])


def strip(
    millivolts: Floats,
    sample_rate: float,
    beats: Sequence[tuple[float, str, str]],
    shaded: Iterable[tuple[float, float, str]] = (),
    gain: float = MM_PER_MV,
) -> str:
    """One strip of :data:`STRIP_SECONDS` as SVG.

    Args:
        millivolts: Its samples ``[n]``, NaN where there are none.
        sample_rate: Samples per second (Hz).
        beats: Time of each R peak in the strip (s), the letters to put above it, and their colour.
        shaded: Stretches to shade: from, to (s), and colour.
        gain: Millimetres a millivolt.
    """
    width = STRIP_SECONDS * MM_PER_SECOND
    known = np.isfinite(millivolts)
    values = millivolts[known] if known.any() else np.zeros(1)
    middle = float(np.median(values))
    low, high = (np.percentile(values, _WITHOUT_SPIKES) - middle) * gain
    # The line of the median lies on a thick line of the grid.
    above, below = (min(max(5 * ceil((reach + 1.5) / 5), 10), SIDE_MM) for reach in (high, -low))
    x = _rounded(np.arange(len(millivolts)) / sample_rate * MM_PER_SECOND)
    y = _rounded(above - (np.where(known, millivolts, middle) - middle) * gain)
    edges = np.flatnonzero(np.diff(known, prepend=False, append=False)).reshape(-1, 2)
    line = "".join(_line(x[begin:end], y[begin:end]) for begin, end in edges)
    size = f'width="{width:g}" height="{above + below}"'
    parts = [
        f'<svg class="paper" width="{width:g}mm" height="{above + below + HEAD_MM}mm" '
        f'viewBox="0 {-HEAD_MM} {width:g} {above + below + HEAD_MM}">'
    ]
    for start, end, color in shaded:
        left, right = (min(max(at * MM_PER_SECOND, 0), width) for at in (start, end))
        parts.append(f'<rect x="{left:.2f}" width="{right - left:.2f}" height="{above + below}" fill="{color}"/>')
    parts.append(f'<rect {size} fill="url(#paper)"/>')
    parts += [
        f'<text x="{at * MM_PER_SECOND:.2f}" y="-1.3" fill="{color}">{escape(text)}</text>' for at, text, color in beats
    ]
    # Nothing is drawn outside of an inner svg, so that a spike does not run over what stands above the strip.
    parts.append(f'<svg {size}><path transform="scale({1 / PER_MM:g})" d="{line}"/></svg></svg>')
    return "".join(parts)


def _rounded(millimetres: Floats) -> Ints:
    return np.rint(millimetres * PER_MM).astype(np.int64)


def _line(x: Ints, y: Ints) -> str:
    steps = np.column_stack([np.diff(x), np.diff(y)]).ravel().tolist()
    return f"M{x[0]} {y[0]}l{' '.join(map(str, steps)) or '0 0'}"


# --- the course of a record

COURSE_WIDTH: Final = 1148
TOP: Final = 14
RATE_HEIGHT: Final = 62
LANE_HEIGHT: Final = 16
LEFT: Final = 152
RIGHT: Final = COURSE_WIDTH - 24
BINS: Final = 240
# Seconds: in each should be some beats.
SHORTEST_BIN: Final = 5
MARK_WIDTH: Final = 12
# Seconds between two times that are named below the course.
STEPS: Final = (1, 2, 5, 10, 20, 30, 60, 120, 300, 600, 1200, 1800, 3600, 7200, 14400)
UNUSABLE: Final = "#d9dde3"


def course(
    seconds: float,
    beat_seconds: Floats,
    rates: Floats,
    lanes: Mapping[str, tuple[Floats, str]],
    unusable: Floats,
    marks: Mapping[str, float],
) -> str:
    """A whole record on one line as SVG: rate, lanes that count findings in each bin of time, unusable stretches.

    Args:
        seconds: Length of the record.
        beat_seconds: Time of each beat (s).
        rates: Rate at each of them (1/min), NaN where it is not known.
        lanes: Times (s) of what is counted, and a colour, by the name of the lane.
        unusable: Unusable stretches, from and to (s) ``[k, 2]``.
        marks: Times (s) to mark, by the text of the mark.
    """
    base = TOP + RATE_HEIGHT
    bottom = base + 8 + LANE_HEIGHT * len(lanes)
    n_bins = max(min(round(seconds / SHORTEST_BIN), BINS), 1)
    edges = np.linspace(0, seconds, n_bins + 1)

    def at(time: float) -> float:
        return round(LEFT + (RIGHT - LEFT) * time / seconds, 1)

    parts = [f'<svg class="course" viewBox="0 0 {COURSE_WIDTH} {bottom + 16}" role="img" aria-label="whole record">']
    for start, end in unusable:
        wide = max(at(end) - at(start), 0.5)
        parts.append(f'<rect x="{at(start)}" y="{TOP}" width="{wide:.1f}" height="{bottom - TOP}" fill="{UNUSABLE}"/>')
    known = np.isfinite(rates)
    if known.any():
        ends = np.nanpercentile(rates, (2, 98)) / 10
        low, high = 10 * floor(ends[0]), max(10 * ceil(ends[1]), 10 * floor(ends[0]) + 20)

        def level(rate: float) -> float:
            return round(base - RATE_HEIGHT * (min(max(rate, low), high) - low) / (high - low), 1)

        parts.append(f'<text x="0" y="{TOP + RATE_HEIGHT / 2 + 4}">rate (1/min)</text>')
        for rate in (low, high):
            parts.append(_rule(level(rate)))
            parts.append(f'<text x="{LEFT - 6}" y="{level(rate) + 4}" class="end">{rate}</text>')
        bins = np.clip(np.searchsorted(edges, beat_seconds, side="right") - 1, 0, n_bins - 1)
        medians = pd.Series(rates).groupby(bins).median().reindex(range(n_bins)).to_numpy()
        # The line is broken where bins have no rate.
        line = [
            f"{'L' if index and np.isfinite(medians[index - 1]) else 'M'}"
            f"{at((index + 0.5) * seconds / n_bins)} {level(medians[index])}"
            for index in np.flatnonzero(np.isfinite(medians))
        ]
        parts.append(f'<path d="{"".join(line)}" class="rate"/>')
    for place, (name, (times, color)) in enumerate(lanes.items(), start=1):
        ground = base + 5 + LANE_HEIGHT * place
        parts.append(f'<text x="0" y="{ground}">{escape(name)}</text>{_rule(ground)}')
        counts = np.histogram(times, edges)[0]
        for index in np.flatnonzero(counts):
            tall = max((LANE_HEIGHT - 4) * counts[index] / counts.max(), 2)
            corner = f'x="{at(edges[index])}" y="{ground - tall:.1f}" width="{(RIGHT - LEFT) / n_bins:.1f}"'
            parts.append(f'<rect {corner} height="{tall:.1f}" fill="{color}"/>')
    for time in _times(seconds):
        parts.append(f'<text x="{at(time)}" y="{bottom + 12}" class="middle">{clock(time)}</text>')
    labels: list[tuple[float, str]] = []
    for text, time in sorted(marks.items(), key=lambda mark: mark[1]):
        parts.append(f'<path d="M{at(time)} {TOP}V{bottom}" class="mark"/>')
        # The texts of marks that stand too near to each other are one.
        if labels and at(time) - labels[-1][0] < MARK_WIDTH:
            labels[-1] = (labels[-1][0], f"{labels[-1][1]} {text}")
        else:
            labels.append((at(time), text))
    parts += [f'<text x="{x}" y="{TOP - 3}" class="middle mark">{escape(text)}</text>' for x, text in labels]
    return "".join(parts) + "</svg>"


def _times(seconds: float) -> list[float]:
    """Times to name below a record: round ones, and its end."""
    step = next((step for step in STEPS if seconds <= 8 * step), ceil(seconds / 8 / STEPS[-1]) * STEPS[-1])
    return [*np.arange(0, seconds - step / 2, step).tolist(), seconds]


def _rule(y: float) -> str:
    return f'<path d="M{LEFT} {y}H{RIGHT}" class="rule"/>'


def clock(seconds: float) -> str:
    """``0:12:05``, time since the beginning."""
    whole = round(seconds)
    return f"{whole // 3600}:{whole // 60 % 60:02}:{whole % 60:02}"
