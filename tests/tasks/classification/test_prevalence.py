from __future__ import annotations

import json
from typing import Any

import numpy as np
import pytest

from beatwise.tasks.classification.intervals import draw_scores
from beatwise.tasks.classification.metrics import score
from beatwise.tasks.classification.prevalence import PREVALENCE, measure_predictive_value, predictive_value
from tests.tasks.classification.cases import CLASSES, case

BEATS = case()


def values(target: Any = BEATS.target, probability: Any = BEATS.probability, draws: int = 100) -> dict[str, Any]:
    drawn = draw_scores(target, probability, draws=draws, seed=0)
    return measure_predictive_value(target, probability, CLASSES, drawn, 0.9)


@pytest.mark.parametrize(
    ("recall", "specificity", "prevalence", "expected"),
    [
        # Altman & Bland 1994: sensitivity .90 and specificity .63 at a prevalence of .75 (258 of 344 patients).
        (231 / 258, 54 / 86, 258 / 344, 231 / 263),
        # The same at a prevalence of a quarter, as they print it: .45.
        (0.90, 0.63, 0.25, 0.45),
        (0.99, 0.99, 0.01, 0.5),
        (0.5, 1.0, 0.001, 1.0),
        (0.0, 0.9, 0.3, 0.0),
    ],
)
def test_published_and_hand_worked_predictive_values(recall, specificity, prevalence, expected):
    found = predictive_value(np.array(recall), np.array(specificity), np.array(prevalence))
    assert float(found) == pytest.approx(expected, abs=0.005)


def test_at_the_prevalence_of_the_test_part_it_is_the_precision():
    scores = score(BEATS.target, BEATS.probability).per_class
    shares = np.bincount(BEATS.target) / len(BEATS.target)
    found = predictive_value(scores["recall"], scores["specificity"], shares)
    np.testing.assert_allclose(found, scores["precision"])
    per_class = values()["per_class"]
    assert [per_class[label]["test_prevalence"] for label in CLASSES] == pytest.approx(shares)
    for label, share, precision in zip(CLASSES, shares, scores["precision"][0], strict=True):
        near = np.interp(np.log(share), np.log(PREVALENCE), per_class[label]["value"])
        assert near == pytest.approx(precision, abs=0.01)


def test_values_rise_with_the_prevalence_and_lie_within_their_interval():
    found = values()
    assert found["prevalence"] == PREVALENCE.tolist()
    for of_class in found["per_class"].values():
        assert (np.diff(of_class["value"]) > 0).all()
        assert of_class["value"][-1] == 1
        assert all(np.array(of_class["low"]) <= of_class["value"])
        assert all(np.array(of_class["value"]) <= of_class["high"])


def test_the_interval_is_that_of_the_value_in_each_sample():
    drawn = draw_scores(BEATS.target, BEATS.probability, draws=100, seed=0)
    found = values()["per_class"]["S"]
    recall, specificity = (drawn.per_class[name][:, 1] for name in ("recall", "specificity"))
    at = 20
    expected = recall * PREVALENCE[at] / (recall * PREVALENCE[at] + (1 - specificity) * (1 - PREVALENCE[at]))
    assert (found["low"][at], found["high"][at]) == pytest.approx(np.quantile(expected, [0.05, 0.95]))


def test_a_class_without_beats_or_never_called_has_no_value():
    kept = BEATS.target != 3
    found = values(BEATS.target[kept], BEATS.probability[kept], draws=20)
    assert set(found["per_class"]["F"]["value"]) == {None}
    assert json.loads(json.dumps(found, allow_nan=False)) == found
    always_n = np.tile(np.array([[0.6, 0.1, 0.1, 0.1, 0.1]]), (len(BEATS.target), 1))
    per_class = values(probability=always_n, draws=20)["per_class"]
    assert set(per_class["V"]["value"]) == {None}
    np.testing.assert_allclose(per_class["N"]["value"], PREVALENCE)


def test_perfect_predictions_can_always_be_trusted():
    for of_class in values(probability=np.eye(5)[BEATS.target], draws=20)["per_class"].values():
        assert set(of_class["value"] + of_class["low"]) == {1.0}
