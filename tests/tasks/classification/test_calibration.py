from __future__ import annotations

import json
from typing import Any

import numpy as np
import pytest
import torch
from scipy.optimize import minimize
from scipy.special import softmax
from sklearn.calibration import calibration_curve
from sklearn.metrics import brier_score_loss

from beatwise.tasks.classification.calibration import (
    TEMPERATURES,
    apply_temperature,
    fit_temperature,
    measure_calibration,
    reliability,
)
from beatwise.tasks.classification.metrics import point_scores
from tests.tasks.classification.cases import CLASSES, case

VAL, TEST = case(1200, seed=1, sharpness=2.5), case(1500, seed=2, sharpness=2.5)


def calibration(**options: Any) -> dict[str, Any]:
    return measure_calibration(VAL.target, VAL.probability, TEST.target, TEST.probability, CLASSES, **options)


# --- reliability


def test_equal_widths_give_the_curve_and_the_error_of_scikit_learn_and_of_the_metrics():
    top, right = TEST.probability.max(axis=1), TEST.probability.argmax(axis=1) == TEST.target
    found = reliability(top, right)
    frequency, probability = calibration_curve(right, top, n_bins=15, strategy="uniform")
    np.testing.assert_allclose(found["frequency"], frequency)
    np.testing.assert_allclose(found["probability"], probability, rtol=1e-6)
    assert found["ece"] == pytest.approx(point_scores(TEST.target, TEST.probability)["ece"])


def test_every_beat_is_in_the_bin_whose_edges_are_around_its_probability():
    probability = np.append(TEST.probability[:, 1], [0.0, 1.0])
    found = reliability(probability, probability > 0.4)
    assert sum(found["beats"]) == len(probability)
    assert all(np.array(found["from"]) <= found["probability"])
    assert all(np.array(found["probability"]) <= found["to"])
    np.testing.assert_allclose(np.array(found["to"]) - found["from"], 1 / 15)


def test_a_hand_worked_reliability():
    probability, happened = np.array([0.1, 0.2, 0.2, 0.9, 1.0]), np.array([False, False, True, True, True])
    found = reliability(probability, happened, n_bins=2)
    assert (found["from"], found["to"], found["beats"]) == ([0.0, 0.5], [0.5, 1.0], [3, 2])
    assert found["probability"] == pytest.approx([0.5 / 3, 0.95])
    assert found["frequency"] == pytest.approx([1 / 3, 1.0])
    assert found["ece"] == pytest.approx((3 * (1 / 3 - 0.5 / 3) + 2 * 0.05) / 5)
    # Wilson's interval of 1 in 3, z = 1.96.
    assert (found["low"][0], found["high"][0]) == pytest.approx((0.0615, 0.7923), abs=1e-4)


def test_one_probability_for_all_beats_is_one_bin():
    for value in (0.0, 0.2, 1.0):
        found = reliability(np.full(40, value), np.arange(40) < 10)
        assert (found["beats"], found["frequency"]) == ([40], [0.25])
        assert found["ece"] == pytest.approx(abs(value - 0.25))


# --- temperature


@pytest.mark.parametrize("given", [0.3, 0.7, 1.0, 1.8, 5.0])
def test_the_temperature_that_the_logits_were_multiplied_by_is_found_again(given):
    """Targets drawn from the probabilities: these are calibrated, and sharpened by 1 / T they need T."""
    rng = np.random.default_rng(0)
    logits = rng.normal(size=(30_000, 4)) * 2
    target = (softmax(logits, axis=1).cumsum(axis=1) < rng.random((30_000, 1))).sum(axis=1)
    found = fit_temperature(target, softmax(logits * given, axis=1))
    assert found == pytest.approx(given, rel=0.04)


def test_the_temperature_is_the_one_that_a_plain_search_over_logits_finds():
    target = VAL.target[:500]
    logits = torch.tensor(4 * (np.random.default_rng(1).normal(size=(500, 5)) + np.eye(5)[target]))

    def log_loss(temperature: Any) -> float:
        return float(torch.nn.functional.cross_entropy(logits / float(temperature[0]), torch.tensor(target)))

    expected = minimize(log_loss, x0=[1.5], bounds=[(0.1, 20)], tol=1e-10).x[0]
    assert fit_temperature(target, softmax(logits.numpy(), axis=1)) == pytest.approx(expected, rel=1e-3)


def test_no_temperature_on_a_grid_has_a_lower_log_loss():
    best = fit_temperature(VAL.target, VAL.probability)
    losses = [
        point_scores(VAL.target, apply_temperature(VAL.probability, temperature))["log_loss"]
        for temperature in (best, 1.0, *np.geomspace(*TEMPERATURES, 60))
    ]
    assert losses[0] <= min(losses) + 1e-9


def test_a_temperature_is_a_softmax_of_the_logits_over_it():
    logits = np.random.default_rng(0).normal(size=(50, 5)) * 3
    for temperature in (0.5, 1.0, 3.0):
        found = apply_temperature(softmax(logits, axis=1), temperature)
        np.testing.assert_allclose(found, softmax(logits / temperature, axis=1), atol=1e-9)


@pytest.mark.parametrize("temperature", TEMPERATURES)
def test_no_prediction_changes_with_the_temperature_however_close_two_classes_are(temperature):
    probability = np.vstack([TEST.probability, np.eye(5, dtype=np.float32), np.full((1, 5), 0.2, dtype=np.float32)])
    close = np.array([[0.1, 0.45, 0.45, 0, 0]], dtype=np.float32)
    closer = close.copy()
    closer[0, 2] = np.nextafter(closer[0, 2], np.float32(1))
    probability = np.vstack([probability, close, closer])
    found = apply_temperature(probability, temperature)
    np.testing.assert_array_equal(found.argmax(axis=1), probability.argmax(axis=1))
    np.testing.assert_allclose(found.sum(axis=1), 1)


@pytest.mark.parametrize(("right", "end"), [(True, 0), (False, 1)])
def test_certain_predictions_want_an_end_of_the_range(right, end):
    target = np.arange(100) % 5
    probability = np.eye(5)[target if right else (target + 1) % 5] * 0.9 + 0.02
    assert fit_temperature(target, probability) == pytest.approx(TEMPERATURES[end])


def test_probabilities_of_0_and_1_have_a_temperature():
    target = np.arange(200) % 5
    probability = np.eye(5, dtype=np.float32)[np.where(np.arange(200) % 10 == 0, (target + 1) % 5, target)]
    temperature = fit_temperature(target, probability)
    after = point_scores(target, apply_temperature(probability, temperature))
    # One in ten is wrong; 36 is the logit that stands for a probability of 0.
    assert temperature == pytest.approx(-np.log(np.finfo(float).eps) / np.log(0.9 / 0.1 * 4), rel=1e-3)
    assert after["log_loss"] < point_scores(target, probability)["log_loss"]
    assert after["accuracy"] == 0.9


# --- before and after


def test_calibration_of_test_becomes_better_by_a_temperature_of_validation():
    found = calibration()
    assert found["temperature"] == fit_temperature(VAL.target, VAL.probability) > 1.2
    for name in ("log_loss", "brier", "classwise_ece"):
        assert found["after"][name] < found["before"][name]
    assert found["after"]["top"]["ece"] < found["before"]["top"]["ece"]


def test_before_and_after_are_those_of_the_probabilities_before_and_after():
    found = calibration()
    scaled = apply_temperature(TEST.probability, found["temperature"])
    for name, probability in (("before", TEST.probability), ("after", scaled)):
        scores = point_scores(TEST.target, probability)
        assert found[name]["top"]["ece"] == pytest.approx(scores["ece"])
        assert (found[name]["log_loss"], found[name]["brier"]) == (scores["log_loss"], scores["brier"])
        per_class = found[name]["per_class"]
        for index, label in enumerate(CLASSES):
            expected = brier_score_loss(TEST.target == index, probability[:, index])
            assert per_class[label]["brier"] == pytest.approx(expected)
        assert sum(of_class["brier"] for of_class in per_class.values()) == pytest.approx(scores["brier"])
        assert found[name]["classwise_ece"] == pytest.approx(np.mean([c["ece"] for c in per_class.values()]))


def test_the_test_part_may_lack_a_class_and_all_is_plain_data():
    kept = TEST.target != 3
    found = measure_calibration(
        VAL.target,
        VAL.probability,
        TEST.target[kept],
        TEST.probability[kept],
        CLASSES,
    )
    assert set(found["before"]["per_class"]["F"]["frequency"]) == {0.0}
    assert json.loads(json.dumps(found, allow_nan=False)) == found
    assert max(len(found["after"]["per_class"][label]["beats"]) for label in CLASSES) <= 15
