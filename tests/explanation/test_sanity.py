from __future__ import annotations

import json
from typing import Any

import numpy as np
import pandas as pd
import pytest
import torch
from scipy.stats import spearmanr

from beatwise.explanation import sanity
from beatwise.explanation.attribution import explain_beats
from beatwise.explanation.embedding import embed_beats
from beatwise.explanation.sanity import check_saliency, randomised_network, rank_correlation
from beatwise.explanation.summary import summarise_explanation
from beatwise.figures.saliency import plot_saliency, plot_saliency_check
from beatwise.networks.base import SelfFitting
from tests.conftest import CLASSES
from tests.explanation.cases import EXPLAIN, LENGTH, Explained, explained, waves


@pytest.fixture
def case(make_beats) -> Explained:
    return explained(make_beats((30, 6, 5, 4, 6), length=LENGTH))


def checked(case: Explained) -> tuple[pd.DataFrame, pd.DataFrame, pd.DataFrame]:
    _, attributions = explain_beats(case.model, case.tensors, case.beats, case.predictions, EXPLAIN, 0)
    return attributions, *check_saliency(case.model, case.tensors, case.beats, attributions, EXPLAIN, 0)


def summary(case: Explained, attributions: pd.DataFrame, table: pd.DataFrame) -> dict[str, Any]:
    embedding, projections = embed_beats(case.model, case.tensors, case.predictions, [("pca", {})], 60, 0)
    return summarise_explanation(
        case.model, case.tensors, attributions, table, embedding, projections, EXPLAIN, sample_rate=120.0
    )


def test_rank_correlation_is_spearmans():
    rng = np.random.default_rng(0)
    one, other = rng.normal(size=(2, 40)).round(1)
    assert rank_correlation(one, other) == pytest.approx(spearmanr(one, other).statistic)
    assert np.isnan(rank_correlation(one, np.ones(40)))


def test_random_weights_destroy_the_saliency_of_a_trained_network():
    case = explained(waves(), steps=60)
    attributions, table, _ = checked(case)
    found = summary(case, attributions, table)["check"]
    assert found["integrated_gradients"]["lost"]
    # All classes, all of their beats that were asked for, both networks.
    assert found["integrated_gradients"]["comparisons"] == 5 * 3 * 2


def test_a_saliency_that_does_not_hang_on_the_weights_is_found_out(case, monkeypatch):
    monkeypatch.setattr(sanity, "randomised_network", lambda model, seed: model.network)
    attributions, table, same = checked(case)
    found = summary(case, attributions, table)["check"]
    for method in ("integrated_gradients", "integrated_gradients_size", "grad_cam"):
        assert found[method]["mean"] == pytest.approx(1)
        assert not found[method]["lost"]
    saliency, _ = explain_beats(case.model, case.tensors, case.beats, case.predictions, EXPLAIN, 0)
    hits = saliency[saliency["of"] == "hit"].reset_index(drop=True)
    np.testing.assert_allclose(same["integrated_gradients"], hits["integrated_gradients"], atol=1e-5)


def test_what_lies_behind_a_beat_is_not_compared(case, monkeypatch):
    monkeypatch.setattr(sanity, "rank_correlation", lambda one, other: float(len(one)))
    _, table, _ = checked(case)
    beats = case.beats.x[table["beat"]]
    assert table["rank_correlation"].tolist() == [np.flatnonzero(beat)[-1] + 1 for beat in beats]


def test_random_networks_have_the_architecture_and_other_weights_by_their_seed(case):
    torch.manual_seed(5)
    before = torch.random.get_rng_state()
    one, again, other = (randomised_network(case.model, seed).state_dict() for seed in (1, 1, 2))
    assert torch.equal(torch.random.get_rng_state(), before)
    trained = case.model.network.state_dict()
    assert {key: value.shape for key, value in one.items()} == {key: value.shape for key, value in trained.items()}
    key = "head.linear.weight"
    assert torch.equal(one[key], again[key])
    assert not torch.equal(one[key], other[key])
    assert not torch.equal(one[key], trained[key])


def test_without_convolutions_over_time_grad_cam_is_left_out(make_beats):
    case = explained(make_beats((20, 4, 4, 4, 4), length=LENGTH), "mlp", width=8)
    attributions, table, _ = checked(case)
    found = summary(case, attributions, table)
    assert found["grad_cam"] is None
    assert set(found["check"]) == {"integrated_gradients", "integrated_gradients_size"}


def test_a_model_without_gradients_has_no_saliency_and_is_explained_by_its_embedding_alone(make_beats) -> None:
    case = explained(make_beats((30, 6, 5, 4, 6), length=LENGTH), "gradient_boosting")
    network = case.model.network
    assert isinstance(network, SelfFitting)
    network.fit(case.tensors, case.tensors, seed=1)
    predictions = case.model.predict(case.tensors)
    saliency, attributions = explain_beats(case.model, case.tensors, case.beats, predictions, EXPLAIN, 0)
    check, random = check_saliency(case.model, case.tensors, case.beats, attributions, EXPLAIN, 0)
    assert [len(table) for table in (saliency, attributions, check, random)] == [0, 0, 0, 0]
    embedding, projections = embed_beats(case.model, case.tensors, predictions, [("pca", {})], 40, 0)
    found = summarise_explanation(case.model, case.tensors, attributions, check, embedding, projections, EXPLAIN, 360.0)
    assert (found["gap"], found["grad_cam"], found["check"]) == (None, None, {})
    assert found["features"] == len(network.state_dict()["trees.root"])
    assert json.loads(json.dumps(found, allow_nan=False)) == found
    shown = [plot_saliency(saliency, CLASSES, 360.0), plot_saliency_check(check, saliency, random, CLASSES, 360.0)]
    assert all("no gradients" in figure.texts[0].get_text() for figure in shown)
