from __future__ import annotations

import json
from typing import Any

import numpy as np
import pytest
from sklearn.metrics import accuracy_score, recall_score

from beatwise.tasks.classification.reject import (
    COVERAGE_GRID,
    coverage_threshold,
    measure_rejection,
    measure_risk_coverage,
)
from tests.tasks.classification.cases import CLASSES, Case, case

VAL, TEST = case(1200, seed=1), case(1500, seed=2)
OPTIONS: dict[str, Any] = {"draws": 40, "seed": 0, "confidence": 0.9}


def curve(probability: Any = TEST.probability, target: Any = TEST.target, **options: Any) -> dict[str, Any]:
    return measure_risk_coverage(target, probability, **{**OPTIONS, **options})


def at_threshold(threshold: float, part: Case = TEST, **options: Any) -> dict[str, Any]:
    return measure_rejection(part.target, part.probability, CLASSES, threshold, **{**OPTIONS, **options})


# --- risk–coverage curve


def test_a_hand_worked_curve_and_area():
    # By falling top probability: right, wrong, right, right.
    probability = np.array([[0.9, 0.1], [0.8, 0.2], [0.3, 0.7], [0.6, 0.4]])
    found = curve(probability, np.array([0, 1, 1, 0]))
    assert found["aurc"]["value"] == pytest.approx((0 + 1 / 2 + 1 / 3 + 1 / 4) / 4)
    for coverage, error in zip(found["coverage"], found["error"]["value"], strict=True):
        assert error == pytest.approx([0, 1 / 2, 1 / 3, 1 / 4][int(np.ceil(coverage * 4 - 1e-9)) - 1])


def test_beats_of_equal_top_probability_are_accepted_together():
    probability = np.array([[0.9, 0.1], [0.6, 0.4], [0.4, 0.6], [0.6, 0.4]])
    target = np.array([0, 1, 1, 0])
    found = curve(probability, target)
    assert found["aurc"]["value"] == pytest.approx((1 * 0 + 3 * 1 / 4) / 4)
    in_order, reversed_ = (curve(probability[o], target[o])["error"]["value"] for o in ([0, 1, 2, 3], [3, 2, 1, 0]))
    assert in_order == reversed_


def test_at_every_coverage_it_is_the_error_of_the_beats_that_are_accepted():
    top, right = TEST.probability.max(axis=1), TEST.probability.argmax(axis=1) == TEST.target
    found = curve()
    for coverage, error in zip(COVERAGE_GRID, found["error"]["value"], strict=True):
        accepted = top >= coverage_threshold(TEST.probability, coverage)
        assert accepted.mean() >= coverage - 1e-9
        assert error == pytest.approx(1 - right[accepted].mean())
    assert found["error"]["value"][-1] == pytest.approx(
        1 - accuracy_score(TEST.target, TEST.probability.argmax(axis=1))
    )


def test_the_area_is_the_mean_error_over_all_coverages():
    wrong = TEST.probability.argmax(axis=1) != TEST.target
    # Without ties.
    probability = TEST.probability.astype(np.float64) + np.random.default_rng(0).random((1500, 1)) * 1e-9
    in_order = wrong[np.argsort(-probability.max(axis=1))]
    expected = (in_order.cumsum() / np.arange(1, 1501)).mean()
    found = curve(probability)["aurc"]
    assert found["value"] == pytest.approx(expected)
    assert found["low"] < found["value"] < found["high"]


def test_the_interval_of_the_area_is_that_of_a_plain_bootstrap():
    rng = np.random.default_rng(0)
    drawn = [rng.integers(0, 1500, 1500) for _ in range(40)]
    areas = [curve(TEST.probability[d], TEST.target[d], draws=10)["aurc"]["value"] for d in drawn]
    found = curve()["aurc"]
    assert (found["low"], found["high"]) == pytest.approx(np.quantile(areas, [0.05, 0.95]))


def test_a_better_order_of_the_same_predictions_has_a_smaller_area():
    right = TEST.probability.argmax(axis=1) == TEST.target
    others = np.eye(5)[TEST.probability.argmax(axis=1)]

    def area(top: Any) -> float:
        value = curve(others * np.asarray(top)[:, None] + 1e-3, draws=10)["aurc"]["value"]
        assert isinstance(value, float)
        return value

    chance = np.random.default_rng(0).random(1500) * 0.1
    best, worst = area(0.5 + right * 0.2), area(0.7 - right * 0.2)
    model, none = area(TEST.probability.max(axis=1)), area(0.5 + chance)
    assert best < model < none < worst
    assert none == pytest.approx(1 - right.mean(), abs=0.03)


def test_perfect_predictions_have_no_risk_and_useless_ones_the_same_at_every_coverage():
    perfect = curve(np.eye(5)[TEST.target])["error"]
    assert set(perfect["value"]) == {0.0}
    # Wilson's end for no error among 1,500 beats; the bootstrap has none.
    assert perfect["high"][-1] == pytest.approx(1.6449**2 / (1500 + 1.6449**2), abs=1e-5)
    useless = curve(np.full((1500, 5), 0.2))
    error = (TEST.target != 0).mean()
    np.testing.assert_allclose(useless["error"]["value"], error)
    assert useless["aurc"]["value"] == pytest.approx(error)


def test_where_records_differ_the_band_over_records_is_wider():
    singly, by_record = (curve(cluster=c, draws=200)["error"] for c in (None, TEST.record))
    assert singly["value"] == by_record["value"]
    assert by_record["high"][-1] - by_record["low"][-1] > 1.2 * (singly["high"][-1] - singly["low"][-1])


# --- one threshold


def test_the_threshold_is_the_highest_that_accepts_as_many():
    for decimals in (1, 8):
        for coverage in (0.01, 0.5, 0.9, 0.99, 1.0):
            probability = np.round(VAL.probability.astype(np.float64), decimals)
            top = probability.max(axis=1)
            threshold = coverage_threshold(probability, coverage)
            assert (top >= threshold).mean() >= coverage
            assert (top > threshold).mean() < coverage


@pytest.mark.parametrize("coverage", [0.8, 0.95, 1.0])
def test_scores_at_a_threshold_of_validation_are_those_of_the_accepted_test_beats(coverage):
    threshold = coverage_threshold(VAL.probability, coverage)
    found = at_threshold(threshold)
    accepted = TEST.probability.max(axis=1) >= threshold
    target, predicted = TEST.target[accepted], TEST.probability.argmax(axis=1)[accepted]
    assert (found["threshold"], found["accepted"]) == (threshold, accepted.sum())
    assert found["coverage"]["value"] == pytest.approx(accepted.mean())
    assert found["error"]["value"] == pytest.approx(1 - accuracy_score(target, predicted))
    assert found["macro_recall"]["value"] == pytest.approx(recall_score(target, predicted, average="macro"))
    recalls = recall_score(target, predicted, average=None)
    for index, label in enumerate(CLASSES):
        assert found["per_class"][label]["recall"]["value"] == pytest.approx(recalls[index])
        of_class = TEST.target == index
        assert found["per_class"][label]["coverage"]["value"] == pytest.approx(accepted[of_class].mean())


def test_fewer_beats_have_fewer_errors_and_rare_classes_are_rejected_more_often():
    found = {coverage: at_threshold(coverage_threshold(VAL.probability, coverage)) for coverage in (0.8, 0.95, 1.0)}
    assert found[0.8]["error"]["value"] < found[0.95]["error"]["value"] < found[1.0]["error"]["value"]
    per_class = found[0.8]["per_class"]
    assert per_class["F"]["coverage"]["value"] < 0.8 < per_class["N"]["coverage"]["value"]


def test_a_threshold_that_accepts_nothing_or_no_beat_of_a_class_leaves_scores_undefined():
    nothing = {"value": None, "low": None, "high": None}
    found = at_threshold(1.1)
    assert (found["accepted"], found["coverage"]["value"]) == (0, 0.0)
    assert found["error"] == found["macro_recall"] == found["per_class"]["N"]["recall"] == nothing
    kept = TEST.target != 3
    found = measure_rejection(TEST.target[kept], TEST.probability[kept], CLASSES, 0.5, **OPTIONS)
    assert found["per_class"]["F"] == {"coverage": nothing, "recall": nothing}
    assert found["macro_recall"]["value"] is not None
    assert json.loads(json.dumps(found, allow_nan=False)) == found
    assert json.loads(json.dumps(curve(), allow_nan=False)) == curve()
