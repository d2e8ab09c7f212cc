"""Boosted trees as a network: the same numbers as scikit-learn's, whatever classes and values there are."""

from __future__ import annotations

from types import SimpleNamespace
from typing import Any

import numpy as np
import pandas as pd
import pytest
import torch
from sklearn.ensemble import HistGradientBoostingClassifier, HistGradientBoostingRegressor

from beatwise.networks.base import SelfFitting
from beatwise.networks.zoo import build_model

SHAPE = (1, 12)


def part(n: int, classes: list[int], seed: int, missing: float = 0.0) -> Any:
    rng = np.random.default_rng(seed)
    y = rng.permutation(np.resize(classes, n)).astype(np.int64)
    x = (rng.normal(size=(n, *SHAPE)) + 0.4 * y[:, None, None]).astype(np.float32)
    aux = rng.normal(size=(n, 3)).astype(np.float32)
    aux[rng.random(aux.shape) < missing] = np.nan
    return SimpleNamespace(x=x, aux=aux, labels=y)


def built() -> SelfFitting:
    network = build_model("gradient_boosting", input_shape=SHAPE, n_outputs=5, n_aux=3, iterations=20)
    assert isinstance(network, SelfFitting)
    return network


def tensors(given: Any) -> tuple[torch.Tensor, torch.Tensor]:
    return torch.from_numpy(given.x), torch.from_numpy(given.aux)


@pytest.mark.parametrize(
    ("classes", "missing"), [([0, 1, 2, 3, 4], 0.0), ([0, 2, 4], 0.2), ([1, 3], 0.2)], ids=["five", "three", "two"]
)
def test_trees_predict_what_scikit_learn_predicts_to_the_last_bit(classes: list[int], missing: float) -> None:
    train, val, test = (part(n, classes, seed, missing) for seed, n in enumerate((300, 80, 100)))
    network = built()
    losses = network.fit(train, val, seed=7)
    theirs = HistGradientBoostingClassifier(
        max_iter=20, learning_rate=0.1, early_stopping=True, n_iter_no_change=10, random_state=7
    )
    flat = [np.hstack([p.x.reshape(len(p.x), -1), p.aux]) for p in (train, val, test)]
    theirs.fit(flat[0], train.labels, X_val=flat[1], y_val=val.labels)
    expected = np.zeros((len(test.x), 5), dtype=np.float32)
    expected[:, classes] = theirs.predict_proba(flat[2])
    outputs = network(*tensors(test))
    np.testing.assert_array_equal(outputs.softmax(dim=1).float().numpy(), expected)
    assert len(losses) == theirs.n_iter_
    assert losses == sorted(losses, reverse=True)


def test_trees_predict_a_number_as_scikit_learn_does() -> None:
    train, val, test = (part(n, [0, 1, 2], seed, missing=0.2) for seed, n in enumerate((300, 80, 100)))
    for given in (train, val):
        given.labels = (given.x[:, 0, 0] + given.labels).astype(np.float32)
    network = build_model("gradient_boosting", input_shape=SHAPE, n_outputs=1, n_aux=3, iterations=20)
    assert isinstance(network, SelfFitting)
    losses = network.fit(train, val, seed=7)
    theirs = HistGradientBoostingRegressor(max_iter=20, early_stopping=True, n_iter_no_change=10, random_state=7)
    flat = [np.hstack([p.x.reshape(len(p.x), -1), p.aux]) for p in (train, val, test)]
    theirs.fit(flat[0], train.labels, X_val=flat[1], y_val=val.labels)
    np.testing.assert_array_equal(network(*tensors(test))[:, 0].numpy(), theirs.predict(flat[2]))
    assert len(losses) == theirs.n_iter_


def test_weights_by_class_and_patient_are_those_of_scikit_learn_and_features_alone_can_be_seen() -> None:
    train, val, test = (part(n, [0, 0, 0, 1, 2], seed) for seed, n in enumerate((300, 80, 100)))
    group = np.where(np.arange(300) < 200, "a", "b")
    train.table = pd.DataFrame({"group": group})
    options = {"iterations": 8, "patience": None, "features_only": True, "class_power": 0.5, "group_power": 0.3}
    network = build_model("gradient_boosting", input_shape=SHAPE, n_outputs=3, n_aux=3, **options)
    assert isinstance(network, SelfFitting)
    network.fit(train, val, seed=7)
    n_class = np.bincount(train.labels)[train.labels]
    n_both = np.array([((group == g) & (train.labels == c)).sum() for g, c in zip(group, train.labels, strict=True)])
    weight = n_class**-0.5 * n_both**-0.3
    theirs = HistGradientBoostingClassifier(max_iter=8, early_stopping=False, random_state=7)
    theirs.fit(train.aux, train.labels, sample_weight=weight / weight.mean())
    np.testing.assert_allclose(
        network(*tensors(test)).softmax(dim=1).numpy(), theirs.predict_proba(test.aux), rtol=1e-6
    )


def test_rounds_end_with_the_outputs_and_trees_add_up_to_them() -> None:
    train, val, test = (part(n, [0, 1, 2, 3, 4], seed) for seed, n in enumerate((300, 80, 100)))
    network = built()
    n_rounds = len(network.fit(train, val, seed=1))
    *before, last = network.rounds(*tensors(test))
    assert torch.equal(last, network(*tensors(test)))
    assert len(before) == n_rounds - 1
    added = network.penultimate(*tensors(test)).reshape(100, n_rounds, 5).double().sum(dim=1)
    torch.testing.assert_close(added, last - network.state_dict()["trees.base"], rtol=1e-5, atol=1e-5)


def test_trees_that_are_loaded_are_as_many_as_were_fitted() -> None:
    train, val, test = (part(n, [0, 1, 2, 3, 4], seed) for seed, n in enumerate((300, 80, 100)))
    network, other = built(), built()
    network.fit(train, val, seed=1)
    other.load_state_dict(network.state_dict())
    assert torch.equal(other(*tensors(test)), network(*tensors(test)))
    assert sum(p.numel() for p in other.parameters()) == sum(p.numel() for p in network.parameters()) > 100
