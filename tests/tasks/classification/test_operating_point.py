from __future__ import annotations

import json
from itertools import pairwise, product
from typing import Any

import numpy as np
import pytest
from sklearn.metrics import confusion_matrix, roc_curve

from beatwise.core.errors import BeatwiseError
from beatwise.tasks.classification.metrics import point_scores
from beatwise.tasks.classification.operating_point import (
    apply_factors,
    measure_thresholds,
    recall_first_point,
    recall_thresholds,
)
from beatwise.tasks.classification.task import Classification
from beatwise.tasks.registry import METRICS
from tests.tasks.classification import cases

SHARES = {2: [0.8, 0.2], 3: [0.8, 0.15, 0.05], 5: [0.03, 0.8, 0.07, 0.02, 0.08]}


def case(n: int = 1500, classes: int = 5, *, seed: int = 0, skill: float = 2.5) -> tuple[Any, Any]:
    """Probabilities as a network gives them that knows the classes' shares, and does not know everything."""
    rng = np.random.default_rng(seed)
    target = rng.choice(classes, n, p=SHARES[classes])
    logits = rng.normal(size=(n, classes)) + skill * np.eye(classes)[target] + np.log(SHARES[classes])
    probability = np.exp(logits - logits.max(axis=1, keepdims=True))
    return target, (probability / probability.sum(axis=1, keepdims=True)).astype(np.float32)


def scores(target: Any, probability: Any, factors: Any) -> dict[str, float]:
    return point_scores(target, apply_factors(probability, factors))


@pytest.mark.parametrize("classes", list(SHARES))
def test_accuracy_stays_above_the_floor_and_macro_recall_never_falls(classes):
    for seed in range(2):
        target, probability = case(classes=classes, seed=seed)
        plain = point_scores(target, probability)
        recalls = []
        for below in (0.0, 0.01, 0.05, 0.4):
            floor = plain["accuracy"] - below
            factors = recall_first_point(target, probability, floor).factors
            found = scores(target, probability, factors)
            assert found["accuracy"] >= floor
            assert found["macro_recall"] >= plain["macro_recall"] + (0.03 if below >= 0.05 else 0)
            assert factors[int(np.bincount(target).argmax())] == 1
            assert ((factors > 0) & np.isfinite(factors)).all()
            assert factors.dtype == np.float64
            recalls.append(found["macro_recall"])
        # The search is greedy, and so may end a little lower though it was allowed more.
        assert all(more >= less - 0.01 for less, more in pairwise(recalls))


def test_where_no_factors_reach_the_floor_argmax_is_kept_and_the_best_accuracy_is_known():
    target, probability = case(skill=0.5)
    plain = point_scores(target, probability)
    found = recall_first_point(target, probability, 0.99)
    assert not found.reached
    assert found.factors.tolist() == [1.0] * 5
    assert plain["accuracy"] <= found.accuracy < 0.99
    assert found.macro_recall == pytest.approx(plain["macro_recall"])
    assert found.score == pytest.approx(found.accuracy - 0.99)


def test_the_recall_first_score_ranks_what_holds_the_floor_above_what_does_not():
    """By hand, 90 N and 10 S at a floor of .9: argmax of each model, and what factors can make of it.

    All N: accuracy .9 and macro recall .5. Eager: every S found, 20 N called S, no factor separates them, so that
    calling all N is the best that holds. Ranked: 5 S above every N, 5 below half of them: 5 of 10 found at no alarm,
    and all 10 at 45 alarms, which is too many. Wrong: half of the N are surely S, so no factors reach .9.
    """
    target = np.repeat([0, 1], [90, 10])

    def score(p_of_s: Any, floor: float = 0.9) -> float:
        p = np.asarray(p_of_s, dtype=np.float32)
        task = Classification(classes=("N", "S"), accuracy_floor=floor)
        return task.scores(target, np.column_stack([1 - p, p]), ["recall_first"])["recall_first"]

    all_n = np.full(100, 0.01)
    eager = np.where(np.arange(100) >= 70, 0.7, 0.01)
    ranked = np.concatenate([np.full(45, 0.1), np.full(45, 0.3), np.full(5, 0.4), np.full(5, 0.2)])
    wrong = np.where((np.arange(100) < 45) | (target == 1), 1.0, 0.0)
    assert score(all_n) == pytest.approx(0.5)
    assert score(eager) == pytest.approx(0.5)
    assert score(ranked) == pytest.approx(0.75)
    assert score(wrong) == pytest.approx(0.55 - 0.9)
    # Macro recall at argmax would rank them the other way round.
    assert point_scores(target, np.column_stack([1 - eager, eager]))["macro_recall"] > 0.85


def test_it_only_chooses_and_is_the_default_of_a_search_alone():
    assert "recall_first" in METRICS.choosing("classification")
    assert "recall_first" not in METRICS.overall()
    assert Classification.default_objective == "recall_first"
    with pytest.raises(BeatwiseError, match="Unknown metric 'recall_first'"):
        METRICS.check_overall("recall_first")


def test_factors_below_1_reach_a_floor_that_argmax_misses():
    """A network that was trained on equal classes calls too many beats rare; the classes' shares put that right."""
    target, right = case()
    probability = right / np.array(SHARES[5], np.float32)
    probability /= probability.sum(axis=1, keepdims=True)
    plain, shares = point_scores(target, probability), point_scores(target, right)
    floor = (plain["accuracy"] + shares["accuracy"]) / 2
    found = recall_first_point(target, probability, floor)
    assert plain["accuracy"] < floor <= found.accuracy
    assert found.reached
    assert found.score == found.macro_recall
    at_point = scores(target, probability, found.factors)
    assert (at_point["accuracy"], at_point["macro_recall"]) == pytest.approx((found.accuracy, found.macro_recall))
    # By the shares themselves the recall would be lower.
    assert found.macro_recall > shares["macro_recall"]


def test_the_factors_are_chosen_by_no_random_number():
    target, probability = case()
    one, two = (recall_first_point(target, probability, 0.8).factors for _ in range(2))
    assert one.tolist() == two.tolist()


@pytest.mark.parametrize(("seed", "below"), [(0, 0.005), (1, 0.05), (2, 0.05)])
def test_no_grid_of_factors_is_much_better(seed, below):
    target, probability = case(400, 3, seed=seed)
    floor = point_scores(target, probability)["accuracy"] - below

    def recall(factors: Any) -> float:
        hit = (probability * factors).argmax(axis=1) == target
        return np.mean([hit[target == index].mean() for index in range(3)]) if hit.mean() >= floor else -1.0

    best = max(recall(np.exp([0.0, *logs])) for logs in product(np.linspace(-2, 5, 36), repeat=2))
    assert recall(recall_first_point(target, probability, floor).factors) >= best - 0.01


def test_with_two_classes_no_threshold_is_much_better():
    target, probability = case(classes=2)
    floor = point_scores(target, probability)["accuracy"] - 0.05
    found = scores(target, probability, recall_first_point(target, probability, floor).factors)["macro_recall"]
    recalls = []
    for threshold in np.unique(probability[:, 1]):
        hit = (probability[:, 1] > threshold) == target
        if hit.mean() >= floor:
            recalls.append((hit[target == 0].mean() + hit[target == 1].mean()) / 2)
    assert found >= max(recalls) - 0.005


def test_a_class_without_beats_does_not_count():
    target, probability = case()
    kept = target != 3
    floor = 0.8
    factors = recall_first_point(target[kept], probability[kept], floor).factors
    assert np.isfinite(factors).all()
    assert scores(target[kept], probability[kept], factors)["accuracy"] >= floor


def test_predictions_that_are_quite_certain_are_no_trouble():
    target = np.array([1, 1, 1, 1, 0, 2] * 20)
    probability = np.eye(3, dtype=np.float32)[np.where(np.arange(120) % 7 == 0, 0, target)]
    floor = 0.8
    factors = recall_first_point(target, probability, floor).factors
    found = apply_factors(probability, factors)
    np.testing.assert_array_equal(found, probability)
    assert point_scores(target, found)["accuracy"] >= floor


@pytest.mark.parametrize("factors", [[1, 1, 1, 1, 1], [1, 30, 0.5, 2000, 1e-4], [1, 1e12, 1, 1e-12, 1]])
def test_probabilities_with_factors_add_up_to_1_again(factors):
    _, probability = case()
    found = apply_factors(probability, np.array(factors))
    np.testing.assert_allclose(found.sum(axis=1), 1)
    assert ((found >= 0) & (found <= 1)).all()
    odds = (found[:, 1] / found[:, 0]) / (probability[:, 1].astype(np.float64) / probability[:, 0])
    np.testing.assert_allclose(odds, factors[1] / factors[0], rtol=1e-5)


def test_factors_of_1_change_nothing():
    _, probability = case()
    found = apply_factors(probability, np.ones(5))
    np.testing.assert_allclose(found, probability, rtol=1e-5)
    np.testing.assert_array_equal(found.argmax(axis=1), probability.argmax(axis=1))


# --- thresholds for a wanted recall

VAL, TEST = cases.case(1200, seed=1), cases.case(1500, seed=2)


def thresholds_of(recall: float = 0.9) -> Any:
    return recall_thresholds(VAL.target, VAL.probability, recall)


def at_thresholds(thresholds: Any, part: cases.Case = TEST, **options: Any) -> dict[str, Any]:
    options = {"draws": 40, "seed": 0, "confidence": 0.9, **options}
    return measure_thresholds(part.target, part.probability, cases.CLASSES, thresholds, **options)


@pytest.mark.parametrize("decimals", [1, 8], ids=["ties", "distinct"])
def test_the_threshold_is_the_highest_of_the_roc_curve_that_reaches_the_recall(decimals):
    probability = np.round(VAL.probability.astype(np.float64), decimals)
    for recall in (0.05, 0.5, 0.9, 0.99, 1.0):
        found = recall_thresholds(VAL.target, probability, recall)
        for index in range(5):
            _, tpr, thresholds = roc_curve(VAL.target == index, probability[:, index], drop_intermediate=False)
            assert found[index] == thresholds[tpr >= recall - 1e-9].max()


def test_a_hand_worked_threshold():
    probability = np.column_stack([np.arange(1, 11) / 10, 1 - np.arange(1, 11) / 10])
    for recall, expected in ((1.0, 0.1), (0.9, 0.2), (0.81, 0.2), (0.8, 0.3), (0.1, 1.0), (0.01, 1.0)):
        assert recall_thresholds(np.zeros(10, dtype=np.int64), probability, recall)[0] == expected


def test_thresholds_of_validation_give_on_test_what_a_plain_count_gives():
    thresholds = thresholds_of()
    found = at_thresholds(thresholds)
    for index, label in enumerate(cases.CLASSES):
        called = TEST.probability[:, index] >= thresholds[index]
        ((rest, false_alarms), (missed, hits)) = confusion_matrix(TEST.target == index, called)
        assert found[label]["threshold"] == thresholds[index]
        assert (found[label]["support"], found[label]["called"]) == (hits + missed, hits + false_alarms)
        assert found[label]["recall"]["value"] == pytest.approx(hits / (hits + missed))
        assert found[label]["specificity"]["value"] == pytest.approx(rest / (rest + false_alarms))
        assert found[label]["precision"]["value"] == pytest.approx(hits / (hits + false_alarms))
        for metric in (found[label][name] for name in ("recall", "specificity", "precision")):
            assert metric["low"] <= metric["value"] <= metric["high"]


def test_on_validation_itself_the_recall_is_reached():
    for recall in (0.5, 0.9, 1.0):
        for of_class in at_thresholds(thresholds_of(recall), VAL).values():
            assert recall <= of_class["recall"]["value"] < recall + 1 / of_class["support"]


def test_the_intervals_at_thresholds_are_those_of_a_plain_bootstrap():
    thresholds = thresholds_of()
    found = at_thresholds(thresholds, draws=80)["V"]
    rng = np.random.default_rng(0)
    called, positive = TEST.probability[:, 2] >= thresholds[2], TEST.target == 2
    drawn = [rng.integers(0, 1500, 1500) for _ in range(80)]
    precision = [positive[sample][called[sample]].mean() for sample in drawn]
    assert (found["precision"]["low"], found["precision"]["high"]) == pytest.approx(
        np.quantile(precision, [0.05, 0.95])
    )


def test_where_records_differ_intervals_over_records_are_wider():
    singly, by_record = (
        at_thresholds(thresholds_of(), draws=200, cluster=c)["N"]["recall"] for c in (None, TEST.record)
    )
    assert singly["value"] == by_record["value"]
    assert by_record["high"] - by_record["low"] > 1.5 * (singly["high"] - singly["low"])


def test_a_class_without_beats_has_no_threshold_or_no_recall():
    without = VAL.target != 3
    thresholds = recall_thresholds(VAL.target[without], VAL.probability[without], 0.9)
    assert np.isnan(thresholds).tolist() == [False, False, False, True, False]
    found = at_thresholds(thresholds)
    nothing = {"value": None, "low": None, "high": None}
    assert (found["F"]["threshold"], found["F"]["called"]) == (None, 0)
    assert found["F"]["recall"] == found["F"]["specificity"] == found["F"]["precision"] == nothing
    kept = TEST.target != 3
    found = measure_thresholds(
        TEST.target[kept], TEST.probability[kept], cases.CLASSES, thresholds_of(), draws=10, seed=0, confidence=0.9
    )
    assert found["F"]["support"] == 0
    assert found["F"]["recall"] == nothing
    assert json.loads(json.dumps(found, allow_nan=False)) == found


def test_perfect_predictions_are_called_perfectly_and_useless_ones_all_or_none():
    options: dict[str, Any] = {"draws": 10, "seed": 0, "confidence": 0.9}
    perfect = np.eye(5)[TEST.target]
    found = measure_thresholds(
        TEST.target, perfect, cases.CLASSES, recall_thresholds(TEST.target, perfect, 0.9), **options
    )
    assert {of_class[name]["value"] for of_class in found.values() for name in ("recall", "precision")} == {1.0}
    useless = np.full((1500, 5), 0.2)
    found = measure_thresholds(
        TEST.target, useless, cases.CLASSES, recall_thresholds(TEST.target, useless, 0.9), **options
    )
    assert {(of_class["recall"]["value"], of_class["specificity"]["value"]) for of_class in found.values()} == {(1, 0)}
