from __future__ import annotations

import json
from typing import Any

import numpy as np
import pytest

from beatwise.core.errors import BeatwiseError
from beatwise.tasks.classification.aami import PER_CLASS, aami_scores, measure_aami
from beatwise.tasks.classification.intervals import draw_scores
from beatwise.tasks.classification.metrics import score
from tests.tasks.classification.cases import CLASSES, case

# de Chazal et al. 2004 on DS2. The row of the 7 Q beats is made up; they are too few to show in what is checked.
DE_CHAZAL = np.array(
    [
        [38444, 1904, 303, 3509, 98],
        [173, 1395, 252, 16, 1],
        [117, 321, 2504, 176, 103],
        [33, 1, 7, 347, 0],
        [3, 1, 1, 0, 2],
    ]
)
# The single support vector machine of Mondéjar-Guerra et al. 2019 on DS2, without Q.
MONDEJAR_GUERRA = np.array([[39446, 2404, 340, 1843], [443, 1374, 186, 47], [28, 162, 3005, 25], [240, 2, 35, 111]])


def table(confusion: Any, classes: list[str] = CLASSES, **options: Any) -> dict[str, Any]:
    return measure_aami(confusion, classes, np.asarray(confusion, dtype=float)[None], 0.95, **options)


def values(found: dict[str, Any]) -> dict[str, float]:
    return {name: metric["value"] for name, metric in found.items() if isinstance(metric, dict) and "value" in metric}


def test_the_published_rates_of_de_chazal_come_out():
    per_class = table(DE_CHAZAL)["per_class"]
    # Se, +P, FPR and accuracy as they stand in their comparison with others.
    assert values(per_class["S"]) == pytest.approx(
        {"recall": 0.759, "precision": 0.385, "fpr": 0.047, "accuracy": 0.946}, abs=6e-4
    )
    assert values(per_class["V"]) == pytest.approx(
        {"recall": 0.777, "precision": 0.819, "fpr": 0.012, "accuracy": 0.974}, abs=6e-4
    )


def test_the_published_accuracy_and_index_of_de_chazal_come_out_where_q_is_left_out():
    found = table(DE_CHAZAL, leave_out=["Q"])
    assert (found["classes"], found["left_out"]) == (["N", "S", "V", "F"], ["Q"])
    assert found["n"] == DE_CHAZAL[:4, :4].sum()
    assert found["accuracy"]["value"] == pytest.approx(0.862, abs=5e-4)
    assert found["j_kappa"]["value"] == pytest.approx(0.612, abs=5e-4)
    assert table(DE_CHAZAL[:4, :4], CLASSES[:4])["j_kappa"] == found["j_kappa"]


def test_the_published_accuracy_and_index_of_mondejar_guerra_come_out():
    found = table(MONDEJAR_GUERRA, CLASSES[:4])
    assert found["accuracy"]["value"] == pytest.approx(0.884, abs=5e-4)
    assert found["j_kappa"]["value"] == pytest.approx(0.640, abs=5e-4)


def test_a_hand_worked_table():
    confusion = [[90, 2, 3, 4, 1], [1, 6, 2, 0, 1], [2, 1, 15, 1, 1], [0, 1, 3, 5, 1], [1, 2, 4, 1, 2]]
    per_class = table(confusion)["per_class"]
    # Called S but not S: 2 N, 1 V, 1 F; the 2 Q do not count. Called V: 3 N, 2 S; neither the 3 F nor the 4 Q.
    assert values(per_class["S"]) == pytest.approx(
        {"recall": 6 / 10, "precision": 6 / 10, "fpr": 4 / 138, "accuracy": 140 / 148}
    )
    assert values(per_class["V"]) == pytest.approx(
        {"recall": 15 / 20, "precision": 15 / 20, "fpr": 5 / 123, "accuracy": 133 / 143}
    )
    assert values(per_class["F"]) == pytest.approx(
        {"recall": 5 / 10, "precision": 5 / 11, "fpr": 6 / 140, "accuracy": 139 / 150}
    )
    expected = (94 * 100 + 12 * 10 + 27 * 20 + 11 * 10 + 6 * 10) / 150**2
    kappa = (118 / 150 - expected) / (1 - expected)
    found = table(confusion)
    assert found["kappa"]["value"] == pytest.approx(kappa)
    assert found["j_kappa"]["value"] == pytest.approx(kappa / 2 + (0.6 + 0.6 + 0.75 + 0.75) / 8)


def test_but_for_what_does_not_count_the_rates_are_the_usual_ones():
    beats = case(2000)
    scores = score(beats.target, beats.probability)
    found = aami_scores(scores.confusion, CLASSES)
    for index in (0, 3, 4):
        assert found[1]["precision"][0, index] == pytest.approx(scores.per_class["precision"][0, index])
        assert 1 - found[1]["fpr"][0, index] == pytest.approx(scores.per_class["specificity"][0, index])
    np.testing.assert_allclose(found[1]["recall"], scores.per_class["recall"])
    for name in ("accuracy", "kappa"):
        np.testing.assert_allclose(found[0][name], scores.overall[name])


def test_the_order_of_the_classes_does_not_matter():
    order = [3, 1, 4, 0, 2]
    turned = table(DE_CHAZAL[np.ix_(order, order)], [CLASSES[i] for i in order])
    assert turned["j_kappa"] == table(DE_CHAZAL)["j_kappa"]
    assert turned["per_class"]["V"] == table(DE_CHAZAL)["per_class"]["V"]


def test_intervals_are_those_of_the_scores_in_the_samples():
    beats = case(2000)
    drawn = draw_scores(beats.target, beats.probability, draws=60, seed=0, cluster=beats.record).confusion
    found = measure_aami(score(beats.target, beats.probability).confusion[0], CLASSES, drawn, 0.9, leave_out=["Q"])
    each = [table(confusion, leave_out=["Q"])["j_kappa"]["value"] for confusion in drawn]
    assert (found["j_kappa"]["low"], found["j_kappa"]["high"]) == pytest.approx(np.quantile(each, [0.05, 0.95]))
    assert found["j_kappa"]["low"] < found["j_kappa"]["value"] < found["j_kappa"]["high"]
    assert json.loads(json.dumps(found, allow_nan=False)) == found


def test_perfect_predictions_have_full_marks_and_useless_ones_none():
    perfect = table(np.diag([50, 5, 7, 2, 3]))
    assert perfect["j_kappa"]["value"] == 1
    assert {perfect["per_class"][label]["fpr"]["value"] for label in CLASSES} == {0.0}
    always_n = np.zeros((5, 5))
    always_n[:, 0] = [50, 5, 7, 2, 3]
    assert table(always_n)["j_kappa"]["value"] == 0


def test_without_beats_of_a_class_there_are_no_rates_of_it_and_without_s_or_v_no_index():
    without_q = DE_CHAZAL.copy()
    without_q[4] = 0
    found = table(without_q)
    assert {found["per_class"]["Q"][name]["value"] for name in PER_CLASS} == {None}
    assert found["j_kappa"]["value"] is not None
    without_s = DE_CHAZAL.copy()
    without_s[1] = 0
    assert table(without_s)["j_kappa"]["value"] is None
    assert table(without_s)["kappa"]["value"] is not None


@pytest.mark.parametrize("classes", [["normal", "abnormal"], ["N", "S", "V"], ["N", "S", "V", "F", "Q", "X"]])
def test_other_classes_are_refused(classes):
    with pytest.raises(BeatwiseError, match="made for the classes N, S, V, F, Q"):
        table(np.ones((len(classes), len(classes))), classes)
