from __future__ import annotations

import numpy as np
import pytest

from beatwise.data.summary import summarise_data
from beatwise.ecg.average_beats import average_beats
from beatwise.figures.interactive_data import EXAMPLES, MEAN, PARTS, class_shares, example_signals
from beatwise.figures.style import class_colors
from tests.conftest import CLASSES

RATE = 120.0


@pytest.fixture
def parts(make_beats):
    counts = {"train": (60, 12, 14, 10, 12), "val": (20, 4, 4, 0, 4), "test": (30, 5, 2, 3, 5)}
    return {name: make_beats(counts[name], seed=i, records=True) for i, name in enumerate(counts)}


def test_bars_are_the_counts_of_each_part_and_the_buttons_give_shares_too(parts) -> None:
    summary = summarise_data(parts, CLASSES, RATE)
    drawn = class_shares(summary)
    counts = [[part["counts"][label] for label in CLASSES] for part in summary["parts"].values()]
    assert [list(trace.y) for trace in drawn.data] == counts
    for trace in drawn.data:
        assert list(trace.marker.color) == list(class_colors(CLASSES).values())
    beats, shares = (button.args[0]["y"] for button in drawn.layout.updatemenus[0].buttons)
    assert beats == counts
    for of_part, of_shares in zip(counts, shares, strict=True):
        assert of_shares == pytest.approx([count / sum(of_part) for count in of_part])


def test_single_beats_are_beats_of_the_part_without_their_padding_and_say_which(parts) -> None:
    drawn = example_signals(parts, CLASSES, RATE, per_class=3, seed=0)
    singles = [trace for trace in drawn.data if trace.legendgroup == EXAMPLES and trace.hovertemplate]
    # Of F there is none in validation, and of V two in test.
    assert len(singles) == 3 * 5 * 3 - 3 - 1
    for trace in singles:
        row, part = trace.hovertemplate.split("beat ")[1].split(",")[0].split(" of ")
        beats = parts[next(name for name, words in PARTS.items() if words == part)]
        beat = beats.x[int(row)]
        assert list(trace.y) == pytest.approx(beat[: len(trace.y)].tolist(), abs=6e-4)
        assert not beat[len(trace.y) :].any()
        assert trace.line.color == class_colors(CLASSES)[CLASSES[beats.target[int(row)]]]
        assert (
            f"record {beats.table['record'].iloc[int(row)]}, sample {beats.table['sample'].iloc[int(row)]}"
            in trace.hovertemplate
        )
        assert trace.x[1] == pytest.approx(1000 / RATE, abs=0.05)


def test_means_are_those_of_the_class_and_part(parts) -> None:
    drawn = example_signals(parts, CLASSES, RATE, per_class=1, seed=0)
    means = [trace for trace in drawn.data if trace.legendgroup == MEAN and trace.hovertemplate]
    expected = [
        own for beats in parts.values() for _, own in average_beats(beats, CLASSES, RATE).groupby("class", sort=False)
    ]
    assert len(means) == len(expected) == 14
    for trace, own in zip(means, expected, strict=True):
        np.testing.assert_allclose(np.array(trace.y), own["mean"], atol=6e-4)


def test_one_part_is_shown_at_first_and_each_button_shows_another_with_the_legend(parts) -> None:
    drawn = example_signals(parts, CLASSES, RATE, per_class=2, seed=0)
    in_legend = [trace.showlegend is not False for trace in drawn.data]
    assert sum(in_legend) == 3
    shown = [list(button.args[0]["visible"]) for button in drawn.layout.updatemenus[0].buttons]
    assert [trace.visible for trace in drawn.data] == shown[0]
    for index, legend in enumerate(in_legend):
        assert sum(of_part[index] for of_part in shown) == (3 if legend else 1)


def test_any_number_of_classes_finds_its_place(make_beats) -> None:
    for counts in ((9, 8), (5, 4, 6, 7, 8, 9, 5)):
        names = [f"class {i}" for i in range(len(counts))]
        drawn = example_signals({"train": make_beats(counts)}, names, RATE, per_class=1, seed=0)
        assert [title.text for title in drawn.layout.annotations] == names
