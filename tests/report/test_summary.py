from __future__ import annotations

import copy
from typing import Any

import numpy as np
import pytest

from beatwise.report import summary
from beatwise.tasks.classification.predictions import measure_predictions, prediction_table
from beatwise.tasks.settings import Evaluate
from tests.tasks.classification.cases import CLASSES, case

DATA: dict[str, Any] = {
    "parts": {"test": {"records": 20}},
    "records": {"known": True, "shared": {"train and test": ["101", "102"]}},
    "duplicates": {"across": {"train and test": 0}},
}


def measured(floor: float = 0.5) -> dict[str, Any]:
    val, test = case(1000, seed=1).table, case(2000, seed=2).table
    return measure_predictions(val, test, Evaluate(bootstrap_draws=20, accuracy_floor=floor), seed=0)


@pytest.fixture(scope="module")
def metrics() -> dict[str, Any]:
    return measured()


def shortened(value: float) -> str:
    return f"{value:.3f}".replace("0.", ".", 1)


def test_every_number_is_that_of_the_metrics(metrics: dict[str, Any]) -> None:
    first, recall_first = summary.quality(metrics)
    for sentence, part, names in (
        (first, "test", ("macro recall", "macro F1", "accuracy")),
        (recall_first, "recall_first", ("macro recall", "accuracy")),
    ):
        for label in names:
            metric = metrics[part]["overall"][label.replace(" ", "_").lower()]
            value, low, high = (shortened(metric[end]) for end in ("value", "low", "high"))
            assert f"{label} {value} [{low}, {high}]".lower() in sentence.lower()
    accuracy = shortened(metrics["naive"]["overall"]["accuracy"]["value"])
    assert "on 2,000 test beats. Better than calling every beat N, which gives macro recall .200, " in first
    assert first.endswith(f"and accuracy {accuracy}.")


def test_where_no_factors_reach_the_floor_nothing_is_promised() -> None:
    out_of_reach = measured(0.999)
    said = summary.quality(out_of_reach)[1]
    best = shortened(out_of_reach["floor_accuracy"])
    assert said == f"Recall first: no factors reach an accuracy of .999 on validation (best {best}); argmax is kept."
    assert any("out of reach" in sentence for sentence in summary.advice(out_of_reach, DATA))


@pytest.mark.parametrize(
    ("records", "said"),
    [
        (DATA["records"], "2 of the 20 records of test stand in train too"),
        ({"known": True, "shared": {"train and test": []}}, "No record stands in both train and test"),
        ({"known": False, "shared": {}}, "The records of the beats are not known"),
    ],
)
def test_it_is_said_whether_the_patients_are_known(metrics: dict[str, Any], records: Any, said: str) -> None:
    assert summary.trust(metrics, {**DATA, "records": records})[0].startswith(said)


@pytest.mark.parametrize(("patients", "narrow"), [(None, False), (19, True), (20, False)])
def test_below_twenty_patients_the_intervals_are_said_to_be_too_narrow(metrics, patients, narrow) -> None:
    text = " ".join(summary.trust({**metrics, "patients": patients}, DATA))
    assert ("From only 19 patients these intervals are too narrow" in text) == narrow


def test_every_weak_class_and_the_worst_confusion_are_named() -> None:
    """S: 2 of 8 found, 6 called V. F: 3 of 4 found, and 5 N called F, so a precision of 3 of 8. Q is perfect."""
    target = np.repeat([0, 1, 2, 3, 4], [60, 8, 10, 4, 5])
    predicted = target.copy()
    predicted[:5], predicted[60:66], predicted[78] = 3, 2, 0
    table = prediction_table(target, np.eye(5)[predicted].astype(np.float32), CLASSES)
    weak, precision, confused = summary.failures(measure_predictions(table, table, Evaluate(bootstrap_draws=50), 0))
    assert weak.startswith("S: recall .250 [")
    assert weak.endswith("], 8 test beats.")
    assert precision.startswith("F: precision .375 [")
    assert confused == "Worst confusion: S is called V, 6 of 8 test beats (75%)."


def test_a_class_that_is_never_predicted_is_said_to_be() -> None:
    target = np.repeat([0, 1, 2, 3, 4], 25)
    predicted = np.where(target == 3, 0, target)
    table = prediction_table(target, np.eye(5)[predicted].astype(np.float32), CLASSES)
    said = summary.failures(measure_predictions(table, table, Evaluate(bootstrap_draws=10), 0))
    assert said == [
        "F: never predicted, 25 test beats.",
        "Worst confusion: F is called N, 25 of 25 test beats (100%).",
    ]


def test_what_is_not_defined_is_left_out(metrics: dict[str, Any]) -> None:
    undefined = copy.deepcopy(metrics)
    nothing = {"value": None, "low": None, "high": None}
    undefined["test"]["overall"]["macro_f1"] = nothing
    undefined["test"]["per_class"]["F"]["recall"] = nothing
    assert "macro F1" not in summary.quality(undefined)[0].partition("Better")[0]
    assert not any(sentence.startswith("F: recall") for sentence in summary.failures(undefined))


def test_a_model_without_a_mistake_is_said_to_have_none() -> None:
    target = np.repeat([0, 1, 2, 3, 4], 25)
    table = prediction_table(target, np.eye(5)[target].astype(np.float32), CLASSES)
    perfect = measure_predictions(table, table, Evaluate(bootstrap_draws=10), seed=0)
    assert summary.failures(perfect) == ["It makes no mistake on these test beats."]
