from __future__ import annotations

from collections.abc import Callable
from typing import Any

import numpy as np
import numpy.typing as npt
import pytest
from sklearn import metrics as sk

from beatwise.core.errors import BeatwiseError
from beatwise.tasks.classification.metrics import Counts, Predictions, confusion_shares, point_scores, score
from beatwise.tasks.metrics import Floats, Metrics
from beatwise.tasks.registry import METRICS

Case = tuple[npt.NDArray[np.int64], npt.NDArray[np.float64]]
OVERALL, PER_CLASS = METRICS.overall("classification"), METRICS.per_class("classification")


def random_case(n_classes: int, n: int = 300, seed: int = 0, *, skill: float = 1.5) -> Case:
    rng = np.random.default_rng(seed)
    target = rng.choice(n_classes, n, p=rng.dirichlet(np.ones(n_classes) * 3))
    logits = rng.normal(size=(n, n_classes)) + skill * np.eye(n_classes)[target]
    probability = np.exp(logits)
    return target, probability / probability.sum(axis=1, keepdims=True)


def with_ties(case: Case) -> Case:
    """Probabilities in quarters: many equal scores, and top classes that tie."""
    coarse = np.round(case[1] * 4) + 0.25
    return case[0], coarse / coarse.sum(axis=1, keepdims=True)


def without_class(case: Case, index: int) -> Case:
    return case[0][case[0] != index], case[1][case[0] != index]


def constant(n_classes: int) -> Case:
    target, shares = random_case(n_classes)[0], np.linspace(2, 1, n_classes)
    return target, np.tile(shares / shares.sum(), (len(target), 1))


CASES: dict[str, Case] = {
    "two classes": random_case(2),
    "five classes": random_case(5, 800, 1),
    "two classes, ties": with_ties(random_case(2, seed=2)),
    "five classes, ties": with_ties(random_case(5, 800, 3)),
    "worse than chance": random_case(5, seed=4, skill=-1),
    "absent class": without_class(random_case(5, 800, 5), 3),
    "perfect": (np.arange(60) % 5, np.eye(5)[np.arange(60) % 5]),
    "constant, two classes": constant(2),
    "constant, five classes": constant(5),
}


def one_class(function: Any) -> Callable[..., float]:
    """A metric of scikit-learn for one class among several."""
    return lambda target, predicted, _, i: function(target, predicted, labels=[i], average="macro", zero_division=0)


def plain_ece(target: Any, predicted: Any, probability: Any) -> float:
    top, found = probability.max(axis=1), 0.0
    for place in range(15):
        inside = np.minimum((top * 15).astype(int), 14) == place
        if inside.any():
            found += inside.mean() * abs((predicted == target)[inside].mean() - top[inside].mean())
    return found


def own_class(probability: Any, target: Any) -> Any:
    return np.clip(probability[np.arange(len(target)), target], np.finfo(float).eps, 1)


BY_CLASS: dict[str, Callable[..., float]] = {
    "precision": one_class(sk.precision_score),
    "recall": one_class(sk.recall_score),
    "specificity": lambda target, predicted, _, i: (predicted[target != i] != i).mean(),
    "f1": one_class(sk.f1_score),
    "auroc": lambda target, _, probability, i: sk.roc_auc_score(target == i, probability[:, i]),
    "average_precision": lambda target, _, probability, i: sk.average_precision_score(target == i, probability[:, i]),
}
OF_ALL: dict[str, Callable[..., float]] = {
    "accuracy": lambda target, predicted, _: sk.accuracy_score(target, predicted),
    "balanced_accuracy": lambda target, predicted, _: sk.recall_score(
        target, predicted, average="macro", labels=np.unique(target)
    ),
    "kappa": lambda target, predicted, _: sk.cohen_kappa_score(target, predicted),
    "mcc": lambda target, predicted, _: sk.matthews_corrcoef(target, predicted),
    "log_loss": lambda target, _, probability: -np.log(own_class(probability, target)).mean(),
    "ece": plain_ece,
    "brier": lambda target, _, probability: (
        ((probability - np.eye(probability.shape[1])[target]) ** 2).sum(axis=1).mean()
    ),
}


@pytest.mark.parametrize("name", METRICS.overall("classification") + METRICS.per_class("classification"))
def test_a_metric_is_that_of_scikit_learn_and_keeps_its_promises(name):
    metric = METRICS[name]
    for label, (target, probability) in CASES.items():
        predicted, present = probability.argmax(axis=1), np.unique(target)
        found = score(target, probability)
        by_class = BY_CLASS.get(name.removeprefix("macro_"))
        if by_class is not None:
            expected = np.full(probability.shape[1], np.nan)
            expected[present] = [by_class(target, predicted, probability, i) for i in present]
            if metric.per_class:
                assert found.per_class[name][0] == pytest.approx(expected, nan_ok=True), label
                value = found.per_class[name]
            else:
                value = found.overall[name]
                assert value[0] == pytest.approx(np.nanmean(expected)), label
        else:
            value = found.overall[name]
            assert value[0] == pytest.approx(OF_ALL[name](target, predicted, probability), abs=1e-12), label
        # Its bounds.
        assert np.nanmin(value) >= (-np.inf if metric.low is None else metric.low) - 1e-12
        assert np.nanmax(value) <= (np.inf if metric.high is None else metric.high) + 1e-12

    # The direction: a skilled model is better than one that is worse than chance.
    skilled, unskilled = (point_scores(*CASES[case], OVERALL) for case in ("five classes", "worse than chance"))
    if not metric.per_class:
        assert metric.sign * (skilled[name] - unskilled[name]) > 0
        assert metric.best([0.1, 0.3, 0.2]) == (0.3 if metric.higher_is_better else 0.1)


@pytest.mark.parametrize("label", ["five classes, ties", "absent class"])
def test_integer_weights_are_repeated_examples_and_every_row_is_a_sample_of_its_own(label):
    target, probability = CASES[label]
    rng = np.random.default_rng(0)
    weights = rng.integers(0, 4, (3, len(target))).astype(np.float32)
    together = Predictions(target, probability).weighted(weights)
    for row, counts in enumerate(weights.astype(int)):
        order = rng.permutation(np.repeat(np.arange(len(target)), counts))
        alone = score(target[order], probability[order])
        for name, values in {**alone.overall, **alone.per_class}.items():
            assert together[name][row] == pytest.approx(values[0], nan_ok=True), name
        np.testing.assert_array_equal(together.confusion[row], alone.confusion[0])


def test_single_precision_probabilities_give_the_same_metrics():
    target, probability = CASES["five classes"]
    assert point_scores(target, probability.astype(np.float32)) == pytest.approx(
        point_scores(target, probability), abs=1e-6
    )


def test_the_names_and_labels_that_people_know():
    assert OVERALL == [
        "accuracy", "balanced_accuracy", "macro_precision", "macro_recall", "macro_specificity", "macro_f1",
        "macro_auroc", "macro_average_precision", "kappa", "mcc", "log_loss", "ece", "brier",
    ]  # fmt: skip
    assert list(PER_CLASS) == list(BY_CLASS)
    labels = {name: METRICS[name].label for name in ("macro_f1", "balanced_accuracy", "kappa", "ece", "auroc")}
    assert list(labels.values()) == [
        "macro F1", "balanced accuracy", "Cohen's κ", "expected calibration error", "AUROC",
    ]  # fmt: skip
    assert {name for name in OVERALL if not METRICS[name].higher_is_better} == {"log_loss", "ece", "brier"}


def test_a_new_metric_is_one_function_and_a_wrong_name_is_refused():
    metrics = Metrics()

    @metrics.register("youden", task="classification", low=-1.0, per_class=True)
    def youden(sample: Counts) -> Floats:
        return sample["recall"] + sample["specificity"] - 1

    assert (metrics["youden"].label, metrics.per_class("classification"), metrics.overall()) == (
        "youden",
        ["youden"],
        [],
    )
    assert metrics["youden"].compute(Counts(np.array([[[3.0, 1], [0, 4]]])))[0] == pytest.approx([0.75, 0.75])
    with pytest.raises(BeatwiseError, match="'youden' is registered twice"):
        metrics.register("youden", task="classification")(youden)
    with pytest.raises(BeatwiseError, match=r"Unknown metric 'macro_recal'\. Did you mean 'macro_recall'\?"):
        METRICS["macro_recal"]
    with pytest.raises(BeatwiseError, match=r"Unknown metric 'recall'\. Did you mean 'macro_recall'\?"):
        METRICS.check_overall("recall")


@pytest.mark.parametrize(("of", "normalize", "axis"), [("truth", "true", 1), ("prediction", "pred", 0)])
def test_shares_of_a_confusion_matrix_are_those_of_scikit_learn(of, normalize, axis):
    for target, probability in CASES.values():
        confusion = score(target, probability).confusion[0]
        predicted, labels = probability.argmax(axis=1), range(probability.shape[1])
        np.testing.assert_array_equal(confusion, sk.confusion_matrix(target, predicted, labels=labels))
        expected = sk.confusion_matrix(target, predicted, labels=labels, normalize=normalize)
        shares = np.array(confusion_shares(confusion, of), dtype=float)
        filled = confusion.sum(axis=axis) > 0
        kept, wanted = (shares, expected) if axis == 1 else (shares.T, expected.T)
        np.testing.assert_allclose(kept[filled], wanted[filled])
        assert np.isnan(kept[~filled]).all()


def test_a_confusion_matrix_without_examples_has_no_scores():
    empty = Counts(np.zeros((1, 3, 3)))
    assert np.isnan([*empty["recall"][0], *empty["precision"][0], *empty["f1"][0], *empty["accuracy"]]).all()
