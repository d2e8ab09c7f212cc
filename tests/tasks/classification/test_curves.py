from __future__ import annotations

import json
from typing import Any

import numpy as np
import pytest
from sklearn.metrics import precision_recall_curve, roc_curve

from beatwise.tasks.classification.curves import FPR_GRID, RECALL_GRID, measure_curves
from beatwise.tasks.classification.intervals import draw_scores, measure
from tests.tasks.classification.cases import CLASSES, Case, case

BEATS = case()
COARSE = Case(BEATS.target, np.round(BEATS.probability * 8) / 8, BEATS.record, BEATS.lengths, BEATS.beats)


def curves(beats: Case = BEATS, *, draws: int = 30, **options: Any) -> dict[str, Any]:
    return measure_curves(
        beats.target, beats.probability, CLASSES, draws=draws, seed=0, **{"confidence": 0.9, **options}
    )


def chosen(beats: Case, kept: Any) -> Case:
    return Case(beats.target[kept], beats.probability[kept], beats.record[kept], beats.lengths, beats.beats)


def recall_at_fpr(positive: Any, probability: Any) -> list[float]:
    """The recall on the grid, from the ROC curve of scikit-learn."""
    fpr, tpr, _ = roc_curve(positive, probability, drop_intermediate=False)
    recalls = []
    for limit in FPR_GRID:
        last = int((fpr <= limit + 1e-9).sum()) - 1
        step = min(last + 1, len(fpr) - 1)
        way = (limit - fpr[last]) / (fpr[step] - fpr[last]) if step > last else 0.0
        recalls.append(tpr[last] + max(way, 0.0) * (tpr[step] - tpr[last]))
    return recalls


@pytest.mark.parametrize("beats", [BEATS, COARSE], ids=["distinct", "ties"])
def test_the_roc_curve_is_the_one_of_scikit_learn(beats):
    for index, label in enumerate(CLASSES):
        expected = recall_at_fpr(beats.target == index, beats.probability[:, index])
        np.testing.assert_allclose(curves(beats, draws=10)["per_class"][label]["roc"]["value"], expected)


@pytest.mark.parametrize("beats", [BEATS, COARSE], ids=["distinct", "ties"])
def test_the_precision_recall_curve_is_the_one_of_scikit_learn(beats):
    for index, label in enumerate(CLASSES):
        precision, recall, thresholds = precision_recall_curve(beats.target == index, beats.probability[:, index])
        # The last point is scikit-learn's own, at no threshold.
        expected = [
            precision[:-1][recall[:-1] >= wanted - 1e-9][np.argmax(thresholds[recall[:-1] >= wanted - 1e-9])]
            for wanted in RECALL_GRID
        ]
        np.testing.assert_allclose(curves(beats, draws=10)["per_class"][label]["precision_recall"]["value"], expected)


@pytest.mark.parametrize("beats", [BEATS, COARSE], ids=["distinct", "ties"])
def test_the_area_under_the_curve_on_the_grid_is_the_area(beats):
    for of_class in curves(beats, draws=10)["per_class"].values():
        area = np.trapezoid(of_class["roc"]["value"], FPR_GRID)
        assert area == pytest.approx(of_class["auroc"]["value"], abs=0.002)


@pytest.mark.parametrize("cluster", [None, BEATS.record], ids=["beats", "records"])
def test_areas_and_their_intervals_are_those_of_the_metrics(cluster):
    found = curves(cluster=cluster)["per_class"]
    drawn = draw_scores(BEATS.target, BEATS.probability, draws=30, seed=0, cluster=cluster)
    metrics = measure(BEATS.target, BEATS.probability, CLASSES, drawn, 0.9)["per_class"]
    for label in CLASSES:
        assert found[label]["support"] == metrics[label]["support"]
        for name in ("auroc", "average_precision"):
            assert found[label][name] == pytest.approx(metrics[label][name])


@pytest.mark.parametrize("name", ["roc", "precision_recall"])
def test_the_curve_lies_within_its_band(name):
    for of_class in curves(draws=200)["per_class"].values():
        low, value, high = (np.array(of_class[name][end]) for end in ("low", "value", "high"))
        assert (low <= high).all()
        assert ((low <= value + 1e-9) & (value <= high + 1e-9)).mean() > 0.97


def test_the_band_of_the_roc_curve_is_that_of_the_recall_at_each_false_positive_rate():
    kept = BEATS.target != 0
    beats = chosen(BEATS, kept)
    found = curves(beats, draws=60)["per_class"]["S"]["roc"]
    rng = np.random.default_rng(0)
    recalls = []
    for _ in range(60):
        drawn = rng.integers(0, kept.sum(), kept.sum())
        recalls.append(recall_at_fpr(beats.target[drawn] == 1, beats.probability[drawn, 1]))
    low, high = np.quantile(recalls, [0.05, 0.95], axis=0)
    between = np.array(found["value"]) < 1
    np.testing.assert_allclose(np.array(found["low"])[between], low[between])
    np.testing.assert_allclose(found["high"], high)


def test_a_perfect_class_has_full_curves_and_a_useless_one_a_diagonal():
    target = BEATS.target
    perfect = Case(target, np.eye(5, dtype=np.float32)[target], BEATS.record, BEATS.lengths, BEATS.beats)
    for of_class in curves(perfect)["per_class"].values():
        assert set(of_class["roc"]["value"]) == {1.0}
        # No bootstrap sample differs; the ends are Wilson's for so many hits of as many beats.
        n, z = of_class["support"], 1.6449
        assert of_class["roc"]["low"][0] == pytest.approx(n / (n + z**2), abs=1e-4)
        assert of_class["roc"]["low"][-1] == 1.0
        assert of_class["precision_recall"]["low"][-1] == pytest.approx(n / (n + z**2), abs=1e-4)
        assert of_class["precision_recall"]["low"][0] < of_class["precision_recall"]["low"][-1]
    useless = Case(target, np.full((len(target), 5), 0.2, dtype=np.float32), BEATS.record, BEATS.lengths, BEATS.beats)
    for of_class in curves(useless)["per_class"].values():
        # All beats tie, so that which of them are called is chance.
        np.testing.assert_allclose(of_class["roc"]["value"], FPR_GRID)
        assert set(of_class["precision_recall"]["value"]) == {of_class["share"]}
        assert of_class["auroc"]["value"] == 0.5


def test_a_class_without_beats_has_no_curves_and_the_only_class_no_roc_curve():
    found = curves(chosen(BEATS, BEATS.target != 3))["per_class"]
    assert found["F"]["support"] == 0
    for name in ("roc", "precision_recall"):
        assert set(found["F"][name]["value"] + found["F"][name]["low"]) == {None}
    assert found["F"]["auroc"]["value"] is None
    only = curves(chosen(BEATS, BEATS.target == 0))["per_class"]["N"]
    assert set(only["roc"]["value"]) == {None}
    assert set(only["precision_recall"]["value"]) == {1.0}


def test_curves_are_few_points_of_plain_data_however_many_beats_there_are():
    few, many = (curves(case(n), draws=10) for n in (200, 4000))
    assert json.loads(json.dumps(many, allow_nan=False)) == many
    assert len(json.dumps(many)) < 2 * len(json.dumps(few))
    for grid in (FPR_GRID, RECALL_GRID):
        assert (np.diff(grid) > 0).all()
        assert len(grid) <= 200
