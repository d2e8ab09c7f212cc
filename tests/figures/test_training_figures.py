from __future__ import annotations

from typing import Any

import numpy as np
import pytest
from matplotlib.colors import to_hex
from matplotlib.patches import StepPatch

from beatwise import figures
from beatwise.figures.forgetting import FORGOTTEN, MOST, OFTEN, shares_of_moves, shares_of_times
from beatwise.figures.interactive_training import forgetting
from beatwise.figures.style import class_colors
from beatwise.tasks.classification.forgetting import count_moves
from tests.conftest import CLASSES
from tests.layout import check_layout

COUNTS = (900, 60, 120, 20, 150)


def moved(epochs: int = 12, *, right: float = 0.8, classes: list[str] = CLASSES) -> dict[str, Any]:
    rng, n = np.random.default_rng(0), len(classes)
    target = np.repeat(np.arange(n), COUNTS[:n])
    hits = rng.uniform(size=(epochs, len(target))) < right
    return count_moves(target, np.where(hits, target, (target + 1) % n), classes)


CASES: dict[str, dict[str, Any]] = {
    "usual": moved(),
    "one epoch": moved(1),
    "many epochs": moved(100),
    "perfect": moved(right=1.0),
    "always wrong": moved(right=0.0),
    "two classes": moved(classes=["normal", "abnormal"]),
    "an absent class": count_moves(np.zeros(50, int), np.zeros((4, 50), int), CLASSES),
}


@pytest.mark.parametrize("case", CASES)
def test_nothing_is_cut_off_or_written_over(case: str) -> None:
    check_layout(figures.plot_forgetting(CASES[case], 1))


def test_bars_are_the_shares_of_the_class_one_on_another_in_its_colour() -> None:
    moves = CASES["usual"]
    panels = figures.plot_forgetting(moves, 3).axes
    for ax, label in zip(panels, CLASSES, strict=False):
        stacks = [patch for patch in ax.patches if isinstance(patch, StepPatch)]
        heights = np.array([np.subtract(*stack.get_data()[::2]) for stack in stacks])
        expected = [
            np.array(moves["moves"][label][name]) / COUNTS[CLASSES.index(label)] for name in moves["moves"][label]
        ]
        np.testing.assert_allclose(heights, expected)
        np.testing.assert_allclose(heights.sum(axis=0), 1)
        assert to_hex(stacks[1].get_facecolor()) == FORGOTTEN
        assert to_hex(stacks[2].get_facecolor()).upper() == class_colors(CLASSES)[label]


def test_how_often_beats_were_forgotten_adds_up_and_what_is_beyond_is_taken_together() -> None:
    moves = CASES["many epochs"]
    for label, shares in shares_of_times(moves).items():
        assert len(shares) == len(OFTEN)
        assert sum(shares) == pytest.approx(1)
        assert shares[-1] == pytest.approx(sum(moves["forgotten"][label][MOST:]) / COUNTS[CLASSES.index(label)])
    assert shares_of_times(CASES["perfect"])["N"] == [0, 1, 0, 0, 0, 0]
    assert shares_of_times(CASES["always wrong"])["N"] == [1, 0, 0, 0, 0, 0]


@pytest.mark.parametrize("case", CASES)
def test_the_interactive_figure_shows_the_same(case: str) -> None:
    moves = CASES[case]
    drawn = forgetting(moves, 1)
    expected = [list(shares) for of_class in shares_of_moves(moves).values() for shares in of_class.values()]
    expected += list(shares_of_times(moves).values())
    assert [list(trace.y) for trace in drawn.data] == expected
    named = {trace.name: trace.marker.color for trace in drawn.data if trace.name}
    assert named.items() <= class_colors(list(moves["moves"])).items()
    drawn.to_json()
