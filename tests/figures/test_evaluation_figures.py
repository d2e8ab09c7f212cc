from __future__ import annotations

from collections.abc import Callable
from functools import cache
from itertools import product
from typing import Any

import numpy as np
import pytest
from matplotlib.colors import to_hex
from matplotlib.figure import Figure

from beatwise import figures
from beatwise.data.examples import Examples
from beatwise.ecg.beats import beats_table, examples_of
from beatwise.figures.style import class_colors, origin, to_png
from beatwise.tasks.classification.calibration import measure_calibration
from beatwise.tasks.classification.curves import measure_curves
from beatwise.tasks.classification.intervals import draw_scores, measure
from beatwise.tasks.classification.mistakes import (
    errors_by_length,
    errors_by_record,
    errors_by_rr,
    most_confident_mistakes,
)
from beatwise.tasks.classification.prevalence import measure_predictive_value
from beatwise.tasks.classification.reject import coverage_threshold, measure_rejection, measure_risk_coverage
from tests.layout import check_layout
from tests.tasks.classification.cases import CLASSES, SAMPLE_RATE, Case, case

OPTIONS: dict[str, Any] = {"draws": 20, "seed": 0, "confidence": 0.95}


def chosen(beats: Case, kept: Any) -> Case:
    return Case(beats.target[kept], beats.probability[kept], beats.record[kept], beats.lengths[kept], beats.beats[kept])


def with_probability(beats: Case, probability: Any) -> Case:
    return Case(beats.target, probability, beats.record, beats.lengths, beats.beats)


@cache
def made(name: str) -> Case:
    beats = case(3000, seed=2, sharpness=2.0)
    return {
        "usual": lambda: beats,
        "many records": lambda: case(3000, records=40, skill=3.0),
        "an absent class": lambda: chosen(beats, beats.target != 3),
        "one record": lambda: chosen(beats, beats.record == "107"),
        "perfect": lambda: with_probability(beats, np.eye(5, dtype=np.float32)[beats.target]),
        # Every class is called, and none is hit.
        "always wrong": lambda: with_probability(beats, np.eye(5, dtype=np.float32)[(beats.target + 1) % 5]),
        "useless": lambda: with_probability(beats, np.full((3000, 5), 0.2, dtype=np.float32)),
    }[name]()


# Usual beats are drawn in tests/report/test_figures.py.
EDGES = ("usual", "perfect", "always wrong", "useless")
BY_CLASS = ("roc", "precision_recall", "confusion_matrices", "per_class", "reliability_by_class", "predictive_value")


def waves(beats: Case) -> Examples:
    """Waves whose place of the peak says their class, as long as the lengths say."""
    time = np.arange(187)
    values = np.exp(-(((time - 20 - 25 * beats.target[:, None]) / 8.0) ** 2)) + 0.01
    values[time >= beats.lengths[:, None]] = 0
    return examples_of(beats_table(values.astype(np.float32), beats.target))


def calibration_of(beats: Case, **options: Any) -> dict[str, Any]:
    val = case(1000, seed=1, sharpness=2.0)
    return measure_calibration(val.target, val.probability, beats.target, beats.probability, CLASSES, **options)


def curves_of(beats: Case) -> dict[str, Any]:
    return measure_curves(beats.target, beats.probability, CLASSES, **OPTIONS)


def metrics_of(beats: Case) -> dict[str, Any]:
    drawn = draw_scores(beats.target, beats.probability, draws=20, seed=0)
    measured = measure(beats.target, beats.probability, CLASSES, drawn, 0.95)
    return {"classes": CLASSES, "confidence": 0.95, "test": measured}


def values_of(beats: Case) -> dict[str, Any]:
    drawn = draw_scores(beats.target, beats.probability, draws=20, seed=0)
    return measure_predictive_value(beats.target, beats.probability, CLASSES, drawn, 0.95)


def rejections_of(beats: Case) -> list[dict[str, Any]]:
    thresholds = [coverage_threshold(beats.probability, coverage) for coverage in (0.99, 0.95, 0.8)]
    return [measure_rejection(beats.target, beats.probability, CLASSES, t, **OPTIONS) for t in thresholds]


FIGURES: dict[str, Callable[[Case], Figure]] = {
    "roc": lambda beats: figures.plot_roc_curves(curves_of(beats)),
    "precision_recall": lambda beats: figures.plot_precision_recall_curves(curves_of(beats)),
    "confusion_matrices": lambda beats: figures.plot_confusion_matrices(metrics_of(beats)),
    "per_class": lambda beats: figures.plot_per_class(metrics_of(beats)),
    "reliability": lambda beats: figures.plot_reliability(calibration_of(beats)),
    "reliability_by_class": lambda beats: figures.plot_reliability_by_class(calibration_of(beats)),
    "predictive_value": lambda beats: figures.plot_predictive_value(values_of(beats)),
    "risk_coverage": lambda beats: figures.plot_risk_coverage(
        measure_risk_coverage(beats.target, beats.probability, **OPTIONS), rejections_of(beats)
    ),
    "errors_by_record": lambda beats: figures.plot_errors_by_record(errors_by_record(beats.table, 0.95)),
    "errors_by_length": lambda beats: figures.plot_errors_by_length(
        errors_by_length(beats.table, beats.lengths, SAMPLE_RATE, 0.95)
    ),
    "errors_by_rr": lambda beats: figures.plot_errors_by_rr(errors_by_rr(beats.table, beats.beats, 0.95)),
    "most_confident_mistakes": lambda beats: figures.plot_most_confident_mistakes(
        most_confident_mistakes(beats.table, 3), waves(beats), CLASSES, SAMPLE_RATE
    ),
}


@pytest.mark.parametrize(
    ("beats", "name"),
    [
        *product(("an absent class",), BY_CLASS),
        *(pytest.param(*which, marks=pytest.mark.slow) for which in product(EDGES, FIGURES)),
        *product(("many records", "one record"), ("errors_by_record", "errors_by_rr")),
    ],
)
def test_a_figure_is_drawn_with_everything_in_it_and_nothing_written_over_another(beats, name):
    check_layout(FIGURES[name](made(beats)))


def colors(figure: Figure, ax: int = 0) -> dict[str, str]:
    handles, labels = figure.axes[ax].get_legend_handles_labels()
    return {label: to_hex(getattr(h, "lines", [h])[0].get_color()) for h, label in zip(handles, labels, strict=True)}


@pytest.mark.parametrize("name", ["roc", "precision_recall", "predictive_value"])
def test_a_class_has_its_colour_and_an_absent_one_no_line_and_does_not_shift_the_others(name):
    for beats, labels in (("usual", CLASSES), ("an absent class", ["N", "S", "V", "Q"])):
        found = colors(FIGURES[name](made(beats)))
        expected = class_colors(CLASSES)
        assert {text.split()[0]: color.upper() for text, color in found.items()} == {
            label: expected[label].upper() for label in labels
        }


def test_the_curves_of_the_figures_are_those_that_were_measured():
    curves = curves_of(made("usual"))
    for figure, name, grid in (
        (figures.plot_roc_curves(curves), "roc", "fpr"),
        (figures.plot_precision_recall_curves(curves), "precision_recall", "recall"),
    ):
        for line, label in zip(figure.axes[0].lines, CLASSES, strict=False):
            assert np.asarray(line.get_xdata()).tolist() == curves[grid]
            assert np.asarray(line.get_ydata()).tolist() == curves["per_class"][label][name]["value"]


def test_cells_of_a_class_without_beats_are_dashes():
    figure = figures.plot_confusion_matrices(metrics_of(made("an absent class")))
    of_truth = [text.get_text() for text in figure.axes[0].texts]
    assert [text == "–" for text in of_truth] == [row == 3 for row in range(5) for _ in range(5)]
    assert "–" not in [text.get_text() for text in figure.axes[1].texts]


def test_the_dot_of_the_predictive_value_is_the_precision_on_test():
    beats = made("usual")
    metrics = metrics_of(beats)["test"]["per_class"]
    ax = figures.plot_predictive_value(values_of(beats)).axes[0]
    dots = [line for line in ax.lines if line.get_marker() == "o"]
    for dot, (index, label) in zip(dots, enumerate(CLASSES), strict=True):
        (x,), (y,) = np.asarray(dot.get_xdata()), np.asarray(dot.get_ydata())
        assert x == (beats.target == index).mean()
        assert y == pytest.approx(metrics[label]["precision"]["value"], abs=0.01)


def test_bars_of_errors_add_up_to_all_errors():
    beats = made("usual")
    wrong = int((beats.table["prediction"] != beats.table["target"]).sum())
    for name, of in (
        ("errors_by_record", "get_width"),
        ("errors_by_length", "get_height"),
        ("errors_by_rr", "get_height"),
    ):
        bars = FIGURES[name](beats).axes[0].patches
        assert sum(getattr(bar, of)() for bar in bars) == wrong


def test_records_beyond_those_that_fit_are_counted_below():
    beats = made("many records")
    errors = errors_by_record(beats.table, 0.95)
    ax = figures.plot_errors_by_record(errors).axes[0]
    assert [text.get_text().split()[0] for text in ax.get_yticklabels()] == errors["record"].head(25).tolist()
    assert ax.get_xlabel() == f"errors; 15 more have {errors['errors'][25:].sum():,} errors"


def test_a_mistake_is_drawn_in_milliseconds_and_without_its_padding():
    beats = made("usual")
    mistakes = most_confident_mistakes(beats.table, 2)
    figure = figures.plot_most_confident_mistakes(mistakes, waves(beats), CLASSES, SAMPLE_RATE)
    first = mistakes.iloc[0]
    *_, line = figure.axes[0].lines
    time, wave = np.asarray(line.get_xdata()), np.asarray(line.get_ydata())
    assert time[-1] == pytest.approx(186 / 125 * 1000)
    assert np.isfinite(wave).sum() == beats.lengths[first["beat"]]
    title = figure.axes[0].get_title()
    assert title.startswith(f"{CLASSES[first['target']]} as {CLASSES[first['prediction']]}, {first['probability']:.1%}")
    assert title.endswith(f"{first['record']}, sample {first['sample']:,}")


def test_a_beat_is_named_by_its_record_alone_where_no_sample_is_known():
    assert origin({"record": "r1", "sample": 1234}) == "r1, sample 1,234"
    assert origin({"record": "r1"}) == "r1"


def test_where_nothing_is_mistaken_it_is_said():
    assert [text.get_text() for text in FIGURES["most_confident_mistakes"](made("perfect")).texts] == ["no mistakes"]


def test_equal_figures_are_equal_files():
    one, other = (to_png(FIGURES["risk_coverage"](made("usual"))) for _ in range(2))
    assert one == other
