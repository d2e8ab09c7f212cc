from __future__ import annotations

import numpy as np
import pytest
import torch
from pydantic import ValidationError
from sklearn.manifold import trustworthiness

from beatwise.core.errors import BeatwiseError
from beatwise.explanation.embedding import draw_beats, embed_beats, penultimate_features, same_class_share
from beatwise.explanation.projections import PROJECTIONS, check_installed
from beatwise.explanation.settings import Projections
from beatwise.networks.base import HEAD_WIDTH
from tests.explanation.cases import LENGTH, Explained, explained


@pytest.fixture
def case(make_beats) -> Explained:
    return explained(make_beats((30, 6, 5, 4, 6), length=LENGTH, records=True))


def test_the_last_linear_map_makes_the_logits_of_the_features(case):
    rows = np.array([0, 7, 3])
    features = penultimate_features(case.model, case.tensors, rows)
    head = case.model.network.get_submodule("head.linear")
    with torch.no_grad():
        logits = case.model.network(torch.from_numpy(case.tensors.x[rows]), torch.from_numpy(case.tensors.aux[rows]))
        np.testing.assert_allclose(head(torch.from_numpy(features)), logits, atol=1e-6)
    # Behind the layer in which RR features meet the network's own.
    assert features.shape == (3, HEAD_WIDTH)


def test_rare_classes_are_drawn_whole_and_the_rest_is_shared():
    target = np.repeat([0, 1, 2, 3], [1000, 10, 300, 90])
    drawn = np.bincount(target[draw_beats(target, 500, seed=0)])
    assert drawn.tolist() == [200, 10, 200, 90]
    assert len(draw_beats(target, 5000, seed=0)) == len(target)
    assert (draw_beats(target, 500, seed=0) == draw_beats(target, 500, seed=0)).all()


def test_the_principal_components_are_those_of_the_singular_value_decomposition():
    features = np.random.default_rng(0).normal(size=(40, 6)).astype(np.float32) * np.arange(1, 7)
    centred = features - features.mean(axis=0)
    _, _, directions = np.linalg.svd(centred, full_matrices=False)
    found = PROJECTIONS["pca"](features, seed=0)
    np.testing.assert_allclose(np.abs(found), np.abs(centred @ directions[:2].T), rtol=1e-3, atol=1e-3)


def test_tsne_keeps_groups_together_and_is_the_same_again():
    rng = np.random.default_rng(0)
    group = np.repeat([0, 1, 2], 15)
    features = (rng.normal(size=(45, 8)) + 20 * np.eye(8)[group]).astype(np.float32)
    one, again = (PROJECTIONS["tsne"](features, seed=3) for _ in range(2))
    assert one.tobytes() == again.tobytes()
    assert (same_class_share(one, group) > 0.85).all()


def test_the_share_of_neighbours_leaves_the_beat_itself_out():
    features = np.arange(4, dtype=np.float32)[:, None]
    # Three neighbours of each: all others.
    assert same_class_share(features, np.array([0, 0, 1, 1])).tolist() == [1 / 3] * 4


def test_a_row_a_beat_with_what_the_projections_are_worth(case):
    table, (metadata,) = embed_beats(case.model, case.tensors, case.predictions, [("pca", {})], 40, 0)
    assert len(table) == 40
    assert (case.tensors.y[table["beat"]] == table["target"]).all()
    assert (case.predictions["record"][table["beat"]].to_numpy() == table["record"].to_numpy()).all()
    features = penultimate_features(case.model, case.tensors, table["beat"].to_numpy())
    points = table[["pca_1", "pca_2"]].to_numpy()
    assert metadata["trustworthiness"] == pytest.approx(trustworthiness(features, points, n_neighbors=15), abs=1e-6)
    scales = np.linalg.svd(features - features.mean(axis=0), compute_uv=False) ** 2
    assert metadata["variance"] == pytest.approx(scales[:2].sum() / scales.sum(), rel=1e-3)


def test_umap_without_its_package_is_refused_before_anything_runs(monkeypatch):
    monkeypatch.setattr("beatwise.explanation.projections.find_spec", lambda name: None)
    with pytest.raises(ValidationError, match="pip install umap-learn"):
        Projections(use=["pca", "umap"])
    with pytest.raises(BeatwiseError, match="'umap' needs the package umap-learn"):
        PROJECTIONS["umap"](np.zeros((30, 4), np.float32), seed=0)
    check_installed("tsne")


def test_an_unknown_projection_or_option_is_refused():
    with pytest.raises(ValidationError, match=r"Unknown projection 'tnse'\. Did you mean 'tsne'"):
        Projections(use="pca+tnse")
    with pytest.raises(ValidationError, match="perplexity"):
        Projections.model_validate({"use": ["tsne"], "tsne": {"perplexity": 0.5}})
