from __future__ import annotations

from typing import Any

import numpy as np
import numpy.typing as npt
import pytest
from sklearn import metrics as sk

from beatwise.tasks.classification.metrics import (
    LABELS,
    OVERALL,
    PER_CLASS,
    confusion_scores,
    confusion_shares,
    point_scores,
    score,
)

Case = tuple[npt.NDArray[np.int64], npt.NDArray[np.float64]]


def random_case(n_classes: int, n: int = 300, seed: int = 0, *, skill: float = 1.5) -> Case:
    rng = np.random.default_rng(seed)
    target = rng.choice(n_classes, n, p=rng.dirichlet(np.ones(n_classes) * 3))
    logits = rng.normal(size=(n, n_classes)) + skill * np.eye(n_classes)[target]
    probability = np.exp(logits)
    return target, probability / probability.sum(axis=1, keepdims=True)


def with_ties(case: Case) -> Case:
    """Probabilities in quarters: many equal scores, and top classes that tie."""
    target, probability = case
    coarse = np.round(probability * 4) + 0.25
    return target, coarse / coarse.sum(axis=1, keepdims=True)


def without_class(case: Case, index: int) -> Case:
    target, probability = case
    return target[target != index], probability[target != index]


def perfect(n_classes: int) -> Case:
    target = np.arange(60) % n_classes
    return target, np.eye(n_classes)[target]


def constant(n_classes: int) -> Case:
    target, _ = random_case(n_classes)
    return target, np.tile(np.linspace(2, 1, n_classes) / np.linspace(2, 1, n_classes).sum(), (len(target), 1))


CASES: dict[str, Case] = {
    "two classes": random_case(2),
    "five classes": random_case(5, 800, 1),
    "two classes, ties": with_ties(random_case(2, seed=2)),
    "five classes, ties": with_ties(random_case(5, 800, 3)),
    "worse than chance": random_case(5, seed=4, skill=-1),
    "absent class": without_class(random_case(5, 800, 5), 3),
    "perfect, two classes": perfect(2),
    "perfect, five classes": perfect(5),
    "constant, two classes": constant(2),
    "constant, five classes": constant(5),
}


@pytest.fixture(params=list(CASES))
def case(request: pytest.FixtureRequest) -> Case:
    return CASES[request.param]


def present(case: Case) -> list[int]:
    return np.unique(case[0]).tolist()


def specificity(target: npt.NDArray[np.int64], predicted: npt.NDArray[np.int64], index: int) -> float:
    rest = target != index
    return float((predicted[rest] != index).mean())


def of_class(name: str, case: Case, index: int) -> float:
    """One metric of one class, by scikit-learn."""
    target, probability = case
    predicted = probability.argmax(axis=1)
    only: dict[str, Any] = {"labels": [index], "average": "macro", "zero_division": 0}
    if name == "specificity":
        return specificity(target, predicted, index)
    if name == "auroc":
        return float(sk.roc_auc_score(target == index, probability[:, index]))
    if name == "average_precision":
        return float(sk.average_precision_score(target == index, probability[:, index]))
    return float(
        {"precision": sk.precision_score, "recall": sk.recall_score, "f1": sk.f1_score}[name](target, predicted, **only)
    )


@pytest.mark.parametrize("name", PER_CLASS)
def test_metrics_of_a_class_equal_those_of_scikit_learn(case, name):
    values = score(*case).per_class[name][0]
    expected = [of_class(name, case, index) for index in present(case)]
    np.testing.assert_allclose(values[present(case)], expected, rtol=1e-6, atol=1e-9)


@pytest.mark.parametrize("name", PER_CLASS)
def test_a_macro_average_is_the_mean_over_the_classes_that_have_beats(case, name):
    expected = np.mean([of_class(name, case, index) for index in present(case)])
    assert point_scores(*case)[f"macro_{name}"] == pytest.approx(expected, rel=1e-6, abs=1e-9)


def test_metrics_of_all_classes_equal_those_of_scikit_learn(case):
    target, probability = case
    predicted, classes = probability.argmax(axis=1), list(range(probability.shape[1]))
    scores = point_scores(target, probability)
    assert scores["accuracy"] == pytest.approx(sk.accuracy_score(target, predicted), rel=1e-6)
    assert scores["mcc"] == pytest.approx(sk.matthews_corrcoef(target, predicted), rel=1e-6, abs=1e-9)
    assert scores["kappa"] == pytest.approx(sk.cohen_kappa_score(target, predicted), rel=1e-6, abs=1e-9)
    assert scores["log_loss"] == pytest.approx(sk.log_loss(target, probability, labels=classes), rel=1e-6, abs=1e-9)
    recalls = [sk.recall_score(target == c, predicted == c) for c in present(case)]
    assert scores["balanced_accuracy"] == pytest.approx(np.mean(recalls), rel=1e-6)


def test_the_confusion_matrix_is_that_of_scikit_learn(case):
    target, probability = case
    expected = sk.confusion_matrix(target, probability.argmax(axis=1), labels=list(range(probability.shape[1])))
    np.testing.assert_array_equal(score(target, probability).confusion[0], expected)


def test_the_brier_score_is_that_of_a_plain_loop(case):
    target, probability = case
    total = 0.0
    for truth, row in zip(target.tolist(), probability.tolist(), strict=True):
        total += sum((p - (index == truth)) ** 2 for index, p in enumerate(row))
    assert point_scores(*case)["brier"] == pytest.approx(total / len(target), rel=1e-6, abs=1e-9)


def test_the_calibration_error_is_that_of_a_plain_loop(case):
    target, probability = case
    bins: list[list[tuple[float, bool]]] = [[] for _ in range(15)]
    for truth, row in zip(target.tolist(), probability.tolist(), strict=True):
        top = max(row)
        bins[min(int(top * 15), 14)].append((top, row.index(top) == truth))
    error = 0.0
    for members in bins:
        if members:
            confidence = sum(top for top, _ in members) / len(members)
            accuracy = sum(hit for _, hit in members) / len(members)
            error += len(members) / len(target) * abs(accuracy - confidence)
    assert point_scores(*case)["ece"] == pytest.approx(error, rel=1e-6, abs=1e-9)


def test_a_class_without_beats_has_no_metrics_that_need_some():
    per_class = score(*CASES["absent class"]).per_class
    for name in ("precision", "recall", "f1", "auroc", "average_precision"):
        assert np.isnan(per_class[name][0]).tolist() == [False, False, False, True, False]


def test_integer_weights_are_repeated_beats(case):
    target, probability = case
    times = np.random.default_rng(7).integers(0, 4, len(target))
    times[[np.flatnonzero(target == index)[0] for index in present(case)]] = 2
    weighted = score(target, probability, times[None].astype(np.float32))
    repeated = score(np.repeat(target, times), np.repeat(probability, times, axis=0))
    for name in OVERALL:
        np.testing.assert_allclose(weighted.overall[name], repeated.overall[name], rtol=1e-6, atol=1e-9)
    for name in PER_CLASS:
        np.testing.assert_allclose(weighted.per_class[name], repeated.per_class[name], rtol=1e-6, atol=1e-9)
    np.testing.assert_array_equal(weighted.confusion, repeated.confusion)


def test_every_row_of_weights_is_a_sample_of_its_own():
    target, probability = CASES["five classes"]
    weights = np.random.default_rng(0).integers(0, 3, (4, len(target))).astype(np.float32)
    together = score(target, probability, weights)
    for row in range(4):
        alone = score(target, probability, weights[[row]])
        for name in OVERALL:
            assert together.overall[name][row] == pytest.approx(alone.overall[name][0], rel=1e-9)


def test_the_order_of_beats_does_not_matter(case):
    target, probability = case
    order = np.random.default_rng(1).permutation(len(target))
    shuffled = point_scores(target[order], probability[order])
    for name, value in point_scores(*case).items():
        assert shuffled[name] == pytest.approx(value, rel=1e-6, abs=1e-9)


def test_single_precision_probabilities_give_the_same_metrics():
    target, probability = CASES["five classes"]
    narrow = point_scores(target, probability.astype(np.float32))
    for name, value in point_scores(target, probability).items():
        assert narrow[name] == pytest.approx(value, rel=1e-4)


def test_a_certain_mistake_costs_much_and_not_infinitely_much():
    target, probability = perfect(2)
    assert 30 < point_scores(1 - target, probability)["log_loss"] < 40


def test_all_metrics_have_their_names_in_order():
    scores = score(*CASES["two classes"])
    assert tuple(scores.overall) == OVERALL
    assert set(scores.per_class) == set(PER_CLASS)
    assert set(LABELS) == {*OVERALL, *PER_CLASS}


@pytest.mark.parametrize(("of", "normalize", "axis"), [("truth", "true", 1), ("prediction", "pred", 0)])
def test_shares_of_a_confusion_matrix_are_those_of_scikit_learn(case, of, normalize, axis):
    target, probability = case
    predicted, labels = probability.argmax(axis=1), range(probability.shape[1])
    counts = sk.confusion_matrix(target, predicted, labels=labels)
    shares = np.array(confusion_shares(counts.tolist(), of), dtype=float)
    empty = counts.sum(axis=axis) == 0
    assert np.isnan(shares.sum(axis=axis)).tolist() == empty.tolist()
    expected = sk.confusion_matrix(target, predicted, labels=labels, normalize=normalize)
    np.testing.assert_allclose(np.nan_to_num(shares), expected)


def test_the_diagonals_of_the_shares_are_recall_and_precision():
    scores = score(*CASES["five classes"])
    of_truth = np.array(confusion_shares(scores.confusion[0], "truth"), dtype=np.float64)
    of_prediction = np.array(confusion_shares(scores.confusion[0], "prediction"), dtype=np.float64)
    np.testing.assert_allclose(of_truth.diagonal(), scores.per_class["recall"][0])
    np.testing.assert_allclose(of_prediction.diagonal(), scores.per_class["precision"][0])


def test_a_confusion_matrix_without_beats_has_no_scores():
    overall, per_class = confusion_scores(np.zeros((1, 3, 3)))
    assert np.isnan(overall["accuracy"]).all()
    assert all(np.isnan(values).all() for values in per_class.values())
