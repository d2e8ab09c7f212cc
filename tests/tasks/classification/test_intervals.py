from __future__ import annotations

import json
from typing import Any

import numpy as np
import pandas as pd
import pytest
from scipy.stats import binom

from beatwise.core.errors import BeatwiseError
from beatwise.tasks.classification.intervals import draw_scores, measure
from beatwise.tasks.classification.metrics import point_scores
from beatwise.tasks.classification.operating_point import apply_factors, recall_first_point
from beatwise.tasks.classification.predictions import (
    PREFIX,
    class_names,
    measure_predictions,
    probabilities,
)
from beatwise.tasks.intervals import band, bootstrap_weights, draw_weights, interval, interval_ends
from beatwise.tasks.metrics import flatten_scores
from beatwise.tasks.registry import METRICS
from beatwise.tasks.settings import Evaluate

CLASSES = ["N", "S", "V"]


def case(n: int, seed: int = 0, classes: int = 3) -> tuple[Any, Any]:
    rng = np.random.default_rng(seed)
    target = rng.choice(classes, n, p=[0.6, 0.25, 0.15] if classes == 3 else None)
    logits = rng.normal(size=(n, classes)) + 1.5 * np.eye(classes)[target]
    probability = np.exp(logits)
    return target, (probability / probability.sum(axis=1, keepdims=True)).astype(np.float32)


def measure_case(
    target: Any, probability: Any, *, draws: int, confidence: float = 0.9, seed: int = 0
) -> dict[str, Any]:
    drawn = draw_scores(target, probability, draws=draws, seed=seed)
    return measure(target, probability, CLASSES, drawn, confidence)


def measured(n: int = 400, *, draws: int = 200, confidence: float = 0.95, seed: int = 0) -> dict[str, Any]:
    return measure_case(*case(n), draws=draws, confidence=confidence, seed=seed)


def width(metric: dict[str, float]) -> float:
    return metric["high"] - metric["low"]


def table(target: Any, probability: Any) -> pd.DataFrame:
    columns = {f"{PREFIX}{name}": probability[:, i] for i, name in enumerate(CLASSES)}
    return pd.DataFrame({"target": target, "prediction": probability.argmax(axis=1), **columns})


def test_every_draw_draws_as_many_beats_as_there_are():
    weights = bootstrap_weights(np.random.default_rng(0), 50, 300)
    assert (weights.shape, weights.dtype) == ((300, 50), np.dtype("float32"))
    np.testing.assert_array_equal(weights.sum(axis=1), 50)
    assert weights.mean(axis=0) == pytest.approx(np.ones(50), abs=0.3)
    assert (weights == 0).mean() == pytest.approx((1 - 1 / 50) ** 50, abs=0.02)


def test_intervals_are_deterministic_by_seed():
    assert measured(seed=1) == measured(seed=1)
    assert measured(seed=1) != measured(seed=2)


def test_draws_do_not_depend_on_how_many_are_scored_at_once(monkeypatch):
    whole = measured(draws=120)
    monkeypatch.setattr("beatwise.tasks.intervals.CHUNK", 7)
    assert measured(draws=120)["overall"]["accuracy"] == whole["overall"]["accuracy"]


def test_the_interval_of_accuracy_is_close_to_the_binomial_one():
    target, probability = case(1000)
    metric = measure_case(target, probability, draws=2000)["overall"]["accuracy"]
    low, high = binom.ppf([0.05, 0.95], 1000, metric["value"]) / 1000
    assert metric["low"] == pytest.approx(low, abs=0.003)
    assert metric["high"] == pytest.approx(high, abs=0.003)


def test_more_beats_make_an_interval_narrower():
    few, many = measured(200), measured(3200)
    for name in ("accuracy", "macro_recall", "macro_auroc", "kappa"):
        assert width(many["overall"][name]) < 0.5 * width(few["overall"][name])


def test_more_confidence_makes_an_interval_wider():
    assert width(measured(confidence=0.99)["overall"]["accuracy"]) > width(
        measured(confidence=0.5)["overall"]["accuracy"]
    )


def test_an_interval_contains_the_value():
    metrics = measured()["overall"]
    metrics.pop("ece")  # which is larger in every draw
    for name, metric in metrics.items():
        assert metric["low"] < metric["value"] < metric["high"], name


def test_values_are_the_plain_metrics_and_not_means_over_draws():
    values = {name: metric["value"] for name, metric in measured()["overall"].items()}
    assert values == point_scores(*case(400))


def test_supports_and_confusion_are_counts():
    target, probability = case(400)
    result = measured()
    counts = np.bincount(target).tolist()
    assert result["n"] == 400
    assert [result["per_class"][name]["support"] for name in CLASSES] == counts
    assert np.sum(result["confusion"], axis=1).tolist() == counts
    assert np.sum(result["confusion"], axis=0).tolist() == np.bincount(probability.argmax(axis=1)).tolist()


def test_a_metric_of_an_absent_class_is_none():
    target, probability = case(300)
    kept = target != 1
    result = measure_case(target[kept], probability[kept], draws=20)
    assert result["per_class"]["S"].pop("support") == 0
    for name, metric in result["per_class"]["S"].items():
        assert metric == {"value": None, "low": None, "high": None}
        assert result["per_class"]["N"][name]["value"] is not None


def test_measurements_are_plain_data_for_json():
    assert json.loads(json.dumps(measured(draws=10), allow_nan=False)) == measured(draws=10)


def evaluate(floor: float = 0.6) -> Evaluate:
    return Evaluate(bootstrap_draws=20, confidence=0.9, accuracy_floor=floor)


def val_and_test() -> tuple[pd.DataFrame, pd.DataFrame]:
    return table(*case(200, seed=1)), table(*case(300, seed=2))


def test_the_naive_classifier_predicts_the_class_shares_of_validation():
    val, test = val_and_test()
    naive = measure_predictions(val, test, evaluate(), seed=0)["naive"]
    shares = np.bincount(val["target"], minlength=3) / 200
    expected = point_scores(test["target"].to_numpy(), np.tile(shares, (300, 1)))
    assert {name: metric["value"] for name, metric in naive["overall"].items()} == expected
    assert naive["per_class"]["N"]["recall"]["value"] == 1
    assert naive["overall"]["macro_recall"]["value"] == pytest.approx(1 / 3)
    assert naive["overall"]["macro_auroc"]["value"] == 0.5


def test_parts_are_measured_on_their_own_predictions():
    val, test = val_and_test()
    result = measure_predictions(val, test, evaluate(), seed=0)
    assert (result["classes"], result["bootstrap_draws"], result["confidence"]) == (CLASSES, 20, 0.9)
    assert {name: result[name]["n"] for name in ("val", "test", "naive", "recall_first")} == {
        "val": 200,
        "test": 300,
        "naive": 300,
        "recall_first": 300,
    }
    for name, part in (("val", val), ("test", test)):
        accuracy = (part["target"] == part["prediction"]).mean()
        assert result[name]["overall"]["accuracy"]["value"] == pytest.approx(accuracy)


def test_the_recall_first_operating_point_is_chosen_on_validation_and_applied_to_test():
    val, test = val_and_test()
    result = measure_predictions(val, test, evaluate(floor=0.6), seed=0)
    factors = recall_first_point(val["target"].to_numpy(), probabilities(val), 0.6).factors
    assert result["class_factors"] == dict(zip(CLASSES, factors.tolist(), strict=True))
    assert result["accuracy_floor"] == 0.6
    weighted = apply_factors(probabilities(test), factors)
    found = {name: metric["value"] for name, metric in result["recall_first"]["overall"].items()}
    assert found == point_scores(test["target"].to_numpy(), weighted)
    assert set(factors) != {1.0}
    # Whatever the test part is, the factors are the same.
    other = measure_predictions(val, test.iloc[::3], evaluate(floor=0.6), seed=0)
    assert other["class_factors"] == result["class_factors"]


def test_where_the_floor_is_out_of_reach_the_recall_first_operating_point_is_argmax():
    val, test = val_and_test()
    result = measure_predictions(val, test, evaluate(floor=0.999), seed=0)
    assert set(result["class_factors"].values()) == {1.0}
    assert result["recall_first"]["confusion"] == result["test"]["confusion"]
    accuracy = result["recall_first"]["overall"]["accuracy"]
    assert accuracy == pytest.approx(result["test"]["overall"]["accuracy"])


def test_draws_that_were_made_before_are_taken_as_they_are():
    val, test = val_and_test()
    target = test["target"].to_numpy()
    drawn = draw_scores(target, probabilities(test), draws=20, seed=0)
    given, own = (measure_predictions(val, test, evaluate(), 0, drawn=d) for d in (drawn, None))
    assert given == own
    others = draw_scores(target, probabilities(test), draws=20, seed=1)
    assert measure_predictions(val, test, evaluate(), 0, drawn=others)["test"] != own["test"]
    assert measure_predictions(val, test, evaluate(), 0, drawn=others)["val"] == own["val"]


def test_draws_hold_the_same_beats_of_any_two_models():
    target, probability = case(300)
    one, two = (draw_scores(target, p, draws=30, seed=3) for p in (probability, probability[:, [1, 2, 0]]))
    np.testing.assert_array_equal(one.confusion.sum(axis=2), two.confusion.sum(axis=2))
    assert one.confusion.shape == (30, 3, 3)
    assert {values.shape for values in one.overall.values()} == {(30,)}
    assert {values.shape for values in one.per_class.values()} == {(30, 3)}


@pytest.mark.parametrize("confidence", [0.5, 0.9, 0.95])
def test_the_ends_of_an_interval_hold_its_confidence_in_the_middle(confidence):
    low, high = interval_ends(confidence)
    assert high - low == pytest.approx(confidence)
    assert low == pytest.approx(1 - high)


def test_class_names_and_probabilities_are_read_off_the_table():
    target, probability = case(50)
    predictions = table(target, probability).assign(record="100", sample=1)
    assert class_names(predictions) == CLASSES
    np.testing.assert_array_equal(probabilities(predictions), probability)


def test_flat_scores_leave_out_what_is_not_defined():
    val, test = val_and_test()
    result = measure_predictions(val, test[test["target"] != 2], evaluate(), seed=0)
    flat = flatten_scores(result)
    assert flat["test.macro_recall"] == result["test"]["overall"]["macro_recall"]["value"]
    assert flat["val.recall.V"] == result["val"]["per_class"]["V"]["recall"]["value"]
    assert flat["recall_first.accuracy"] == result["recall_first"]["overall"]["accuracy"]["value"]
    assert "test.recall.V" not in flat
    assert not [key for key in flat if key.startswith("naive") or "support" in key]


def test_measured_predictions_are_plain_data_for_json():
    result = measure_predictions(*val_and_test(), evaluate(), seed=0)
    assert json.loads(json.dumps(result, allow_nan=False)) == result


def records(n: int, each: int) -> Any:
    return np.array([str(100 + i // each) for i in range(n)], dtype=object)


def test_a_sample_of_records_holds_each_record_whole():
    record = np.random.default_rng(0).permutation(records(120, 10))
    for weights in draw_weights(120, draws=30, seed=0, cluster=record):
        assert weights.dtype == np.dtype("float32")
        of_record = np.array([weights[:, record == name] for name in np.unique(record)])
        np.testing.assert_array_equal(of_record.min(axis=2), of_record.max(axis=2))
        np.testing.assert_array_equal(of_record[:, :, 0].sum(axis=0), 12)


def test_records_of_one_beat_each_are_beats():
    single = list(draw_weights(50, draws=70, seed=3))
    by_record = list(draw_weights(50, draws=70, seed=3, cluster=np.arange(50)))
    for one, other in zip(single, by_record, strict=True):
        np.testing.assert_array_equal(one, other)


def test_which_records_are_drawn_does_not_depend_on_the_order_of_the_beats():
    target, probability = case(300)
    record = records(300, 15)
    order = np.random.default_rng(1).permutation(300)
    one = draw_scores(target, probability, draws=20, seed=0, cluster=record)
    other = draw_scores(target[order], probability[order], draws=20, seed=0, cluster=record[order])
    np.testing.assert_array_equal(one.confusion, other.confusion)


def test_drawing_records_is_drawing_beats_where_records_do_not_differ_and_wider_where_they_do():
    """A record of m beats that are all right or all wrong is one observation: the interval is √m times as wide."""
    rng = np.random.default_rng(0)
    record = records(4000, 20)
    target = np.zeros(4000, dtype=np.int64)

    def interval_width(right: Any, cluster: Any) -> float:
        probability = np.column_stack([right, 1 - right])
        drawn = draw_scores(target, probability, draws=1000, seed=0, cluster=cluster).overall["accuracy"]
        low, high = np.quantile(drawn, interval_ends(0.95))
        return float(high - low)

    independent, alike = rng.random(4000) < 0.8, np.repeat(rng.random(200) < 0.8, 20)
    assert interval_width(independent, record) == pytest.approx(interval_width(independent, None), rel=0.15)
    assert interval_width(alike, record) == pytest.approx(np.sqrt(20) * interval_width(alike, None), rel=0.1)


def test_the_deviation_over_samples_of_records_is_the_one_of_the_ratio_of_sums():
    """The delta method for a mean over clusters of unequal size (Cochran 1977, eq. 6.13, with replacement)."""
    rng = np.random.default_rng(0)
    sizes = rng.integers(5, 60, 80)
    right = np.concatenate([rng.random(size) < share for size, share in zip(sizes, rng.beta(8, 2, 80), strict=True)])
    record = np.repeat(np.arange(80), sizes)
    target, probability = np.zeros(len(right), dtype=np.int64), np.column_stack([right, ~right]).astype(float)
    drawn = draw_scores(target, probability, draws=4000, seed=0, cluster=record).overall["accuracy"]
    residuals = np.bincount(record, weights=right) - right.mean() * sizes
    expected = np.sqrt((residuals**2).sum()) / sizes.sum()
    assert drawn.std() == pytest.approx(expected, rel=0.05)


@pytest.mark.parametrize(
    ("record", "message"),
    [
        (records(299, 10), "300 beats, and records of 299"),
        (np.where(np.arange(300) < 3, None, records(300, 10)), "3 of 300 beats have none"),
        (np.full(300, "208"), "all 300 beats are of 208"),
    ],
    ids=["too few", "missing", "one record"],
)
def test_records_that_cannot_be_drawn_are_refused(record, message):
    target, probability = case(300)
    with pytest.raises(BeatwiseError, match=message):
        draw_scores(target, probability, draws=10, seed=0, cluster=record)


def test_a_band_is_the_interval_at_every_point():
    drawn = np.random.default_rng(0).normal(size=(100, 4))
    values = np.array([0.0, np.nan, 1.0, 2.0])
    found = band(values, drawn, (0.1, 0.9))
    at_points = [interval(value, drawn[:, i], (0.1, 0.9)) for i, value in enumerate(values)]
    for name, column in found.items():
        assert column == pytest.approx([point[name] for point in at_points])


# By hand: the lower end of Wilson's interval of n of n is n / (n + z²), z² = 1.959964² = 3.841459.
@pytest.mark.parametrize(
    ("value", "of", "expected"),
    [
        (1.0, 20, (20 / 23.841459, 1.0)),  # [.839, 1]
        (1.0, 1, (1 / 4.841459, 1.0)),
        (0.0, 6, (0.0, 3.841459 / 9.841459)),
        (0.0, 0, (0.0, 1.0)),
        (0.9, 20, (0.9, 0.9)),  # inside, the bootstrap's own
        (1.0, None, (1.0, 1.0)),
    ],
)
def test_a_share_of_0_or_1_has_the_interval_of_wilson(value, of, expected):
    found = interval(value, np.full(50, value), interval_ends(0.95), of)
    assert (found["low"], found["high"]) == pytest.approx(expected, abs=1e-6)


def test_a_perfect_model_is_not_certain():
    """N 40 of 40, S 20 of 20, V 5 of 5: [.912, 1], [.839, 1], [.566, 1]; the distances of a mean add up in squares."""
    target = np.repeat([0, 1, 2], [40, 20, 5])
    found = measure_case(target, np.eye(3)[target].astype(np.float32), draws=50, confidence=0.95)
    lows = [n / (n + 3.841459) for n in (40, 20, 5)]
    for name in ("recall", "precision"):
        assert [found["per_class"][label][name]["low"] for label in CLASSES] == pytest.approx(lows, abs=1e-6)
    mean = 1 - np.sqrt(sum((1 - low) ** 2 for low in lows)) / 3
    for name in ("macro_recall", "macro_precision", "balanced_accuracy"):
        assert found["overall"][name] == pytest.approx({"value": 1, "low": mean, "high": 1}, abs=1e-6)
    assert found["overall"]["accuracy"]["low"] == pytest.approx(65 / 68.841459, abs=1e-6)
    assert not [name for name, m in found["overall"].items() if METRICS[name].high == 1 and m["low"] == m["value"] == 1]


def test_six_of_six_beats_widen_the_interval_of_the_macro_recall():
    target = np.repeat([0, 1, 2], [300, 100, 6])
    predicted = np.where(np.arange(406) < 30, 1, target)
    probability = np.eye(3)[predicted].astype(np.float32)
    found = measure_case(target, probability, draws=300, confidence=0.95)["overall"]["macro_recall"]
    drawn = draw_scores(target, probability, draws=300, seed=0).overall["macro_recall"]
    low = np.quantile(drawn, 0.025)
    rare = ((1 - 100 / 103.841459) ** 2 + (1 - 6 / 9.841459) ** 2) / 9
    assert found["low"] == pytest.approx(found["value"] - np.sqrt((found["value"] - low) ** 2 + rare), abs=1e-6)
    assert found["value"] - found["low"] > 4 * (found["value"] - low)
