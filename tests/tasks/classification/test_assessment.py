"""Everything that is measured beyond scores, put together from stored predictions."""

from __future__ import annotations

import json
from typing import Any

import numpy as np
import pandas as pd
import pytest

from beatwise.ecg.beats import with_group
from beatwise.tasks.classification.assessment import assess_predictions, find_errors
from beatwise.tasks.classification.calibration import fit_temperature
from beatwise.tasks.classification.curves import measure_curves
from beatwise.tasks.classification.operating_point import recall_thresholds
from beatwise.tasks.classification.predictions import measure_predictions, probabilities
from beatwise.tasks.intervals import clusters_of
from beatwise.tasks.settings import Evaluate
from tests.conftest import CLASSES

EVALUATE = Evaluate(bootstrap_draws=20, coverages=[0.95, 0.5])


def predicted(n: int, seed: int, classes: list[str] = CLASSES, records: int = 0) -> pd.DataFrame:
    """Predictions that are right more often than not."""
    random = np.random.default_rng(seed)
    target = random.integers(0, len(classes), n)
    logits = random.normal(0, 1, (n, len(classes))) + 2 * np.eye(len(classes))[target]
    probability = (np.exp(logits) / np.exp(logits).sum(axis=1, keepdims=True)).astype(np.float32)
    table = pd.DataFrame({"target": target, "prediction": probability.argmax(axis=1)})
    table = table.assign(**{f"probability_{name}": probability[:, i] for i, name in enumerate(classes)})
    if records:
        table = table.assign(record=[str(201 + i) for i in random.integers(0, records, n)], sample=np.arange(n))
    return with_group(table)


VAL, TEST = predicted(300, 1), predicted(400, 2)


def test_what_is_chosen_is_chosen_on_validation() -> None:
    found = assess_predictions(VAL, TEST, EVALUATE, 0)
    target, probability = VAL["target"].to_numpy(), probabilities(VAL)
    assert found["calibration"]["temperature"] == fit_temperature(target, probability)
    thresholds = recall_thresholds(target, probability, EVALUATE.wanted_recall)
    assert [scores["threshold"] for scores in found["thresholds"].values()] == thresholds.tolist()
    top = probability.max(axis=1)
    for coverage, one in zip(EVALUATE.coverages, found["rejections"], strict=True):
        assert np.mean(top >= one["threshold"]) == pytest.approx(coverage, abs=1 / len(VAL))


def test_it_can_be_stored_as_json() -> None:
    found = assess_predictions(VAL, TEST, EVALUATE, 0)
    assert json.loads(json.dumps(found, allow_nan=False)) == found


def test_intervals_draw_whole_patients_where_records_are_known() -> None:
    val, test = predicted(300, 1, records=8), predicted(400, 2, records=8)
    options: dict[str, Any] = {"draws": 20, "seed": 0, "confidence": 0.95}
    curves = measure_curves(
        test["target"].to_numpy(), probabilities(test), CLASSES, cluster=clusters_of(test), **options
    )
    assert assess_predictions(val, test, EVALUATE, 0)["curves"] == curves
    assert measure_predictions(val, test, EVALUATE, 0)["bootstrap_of"] == "patients"
    assert measure_predictions(VAL, TEST, EVALUATE, 0)["bootstrap_of"] == "beats"


def test_two_records_of_one_patient_are_drawn_together() -> None:
    clusters = clusters_of(predicted(100, 0, records=3))  # 201, 202, 203; the first two are one patient's
    assert clusters is not None
    assert set(clusters) == {"201", "203"}


@pytest.mark.parametrize("records", [0, 1])
def test_without_records_or_with_one_alone_beats_are_drawn_singly(records: int) -> None:
    assert clusters_of(predicted(100, 0, records=records)) is None


@pytest.mark.parametrize(
    ("classes", "uses"),
    [(CLASSES, [[], ["Q"]]), (CLASSES[:4], [[]]), (["normal", "abnormal"], [])],
    ids=["five classes", "four", "others"],
)
def test_the_tables_of_ec57_are_made_for_its_classes_alone(classes: list[str], uses: list[list[str]]) -> None:
    found = assess_predictions(predicted(200, 1, classes), predicted(200, 2, classes), EVALUATE, 0)
    assert [table["left_out"] for table in found["ec57"]] == uses


def test_errors_are_found_by_whatever_is_known(make_beats) -> None:
    beats = make_beats(records=True)
    predictions = predicted(len(beats), 3).assign(record=beats.table["record"])
    errors = find_errors(predictions, beats, 120.0, 0.95)
    assert set(errors["by"]) == {"length", "record", "rr"}
    wrong = int((predictions["target"] != predictions["prediction"]).sum())
    assert errors.groupby("by")["errors"].sum().tolist() == [wrong] * 3
    assert errors.groupby("by")["beats"].sum().tolist() == [len(beats)] * 3
    assert errors["beats"].dtype == np.int64


def test_without_records_errors_are_found_by_length_alone(make_beats) -> None:
    beats = make_beats()
    errors = find_errors(predicted(len(beats), 3), beats, 120.0, 0.95)
    assert set(errors["by"]) == {"length"}
    assert errors["record"].isna().all()
