from __future__ import annotations

import copy
from typing import Any

import pytest

from beatwise.report.summary import findings
from beatwise.tasks.classification.predictions import measure_predictions
from beatwise.tasks.settings import Evaluate
from tests.tasks.classification.cases import case

DATA: dict[str, Any] = {
    "parts": {"test": {"records": 20}},
    "records": {"known": True, "shared": {"train and test": ["101", "102"]}},
}


@pytest.fixture(scope="module")
def metrics() -> dict[str, Any]:
    val, test = case(1000, seed=1).table, case(2000, seed=2).table
    return measure_predictions(val, test, Evaluate(bootstrap_draws=20, accuracy_floor=0.5), seed=0)


def shortened(value: float) -> str:
    return f"{value:.3f}".replace("0.", ".", 1)


def test_every_number_is_that_of_the_metrics(metrics: dict[str, Any]) -> None:
    first, naive, recall_first, weakest, _ = findings(metrics, DATA)
    for sentence, part in ((first, "test"), (recall_first, "recall_first")):
        for name, label in (("macro_recall", "macro recall"), ("macro_f1", "macro F1"), ("accuracy", "accuracy")):
            value, low, high = (shortened(metrics[part]["overall"][name][end]) for end in ("value", "low", "high"))
            assert f"{label} {value} [{low}, {high}]" in sentence
    assert first.startswith("On 2,000 test beats")
    assert naive.startswith("Calling every beat N would give macro recall .200, ")
    assert f"accuracy {shortened(metrics['naive']['overall']['accuracy']['value'])}" in naive
    recalls = {label: scores["recall"]["value"] for label, scores in metrics["test"]["per_class"].items()}
    lowest = min(recalls, key=lambda label: recalls[label])
    assert f"is {lowest}: recall {shortened(recalls[lowest])} [" in weakest


@pytest.mark.parametrize(
    ("records", "said"),
    [
        (DATA["records"], "2 of the 20 records of test stand in train too"),
        ({"known": True, "shared": {"train and test": []}}, "No record stands in both train and test"),
        ({"known": False, "shared": {}}, "The records of the beats are not known"),
    ],
)
def test_it_is_said_whether_the_patients_are_known(metrics: dict[str, Any], records: Any, said: str) -> None:
    assert findings(metrics, {**DATA, "records": records})[-1].startswith(said)


def test_an_operating_point_that_changes_nothing_is_said_to(metrics: dict[str, Any]) -> None:
    same = {**metrics, "recall_first": metrics["test"]}
    assert "changes no prediction of test" in findings(same, DATA)[2]


def test_of_a_model_that_misses_nothing_no_class_is_named(metrics: dict[str, Any]) -> None:
    perfect = copy.deepcopy(metrics)
    for scores in perfect["test"]["per_class"].values():
        scores["recall"]["value"] = 1.0
    assert not any("largest share" in sentence for sentence in findings(perfect, DATA))


def test_what_is_not_defined_is_left_out(metrics: dict[str, Any]) -> None:
    undefined = copy.deepcopy(metrics)
    undefined["test"]["overall"]["macro_f1"] = {"value": None, "low": None, "high": None}
    undefined["test"]["per_class"]["F"]["recall"] = {"value": None, "low": None, "high": None}
    first, *_, weakest, _ = findings(undefined, DATA)
    assert "macro F1" not in first
    assert " is F:" not in weakest
