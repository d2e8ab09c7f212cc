"""The input of the last linear map of a network, projected onto a plane."""

from __future__ import annotations

from typing import Any, Final

import numpy as np
import numpy.typing as npt
import pandas as pd

from beatwise.data.examples import Array, Labels
from beatwise.explanation.projections import PROJECTIONS
from beatwise.tasks.classification.predictions import probabilities
from beatwise.tasks.tensors import TensorSet
from beatwise.training.trained_model import TrainedModel

# Neighbours of a beat that are looked at.
NEIGHBOURS: Final = 15


def embed_beats(
    model: TrainedModel,
    tensors: TensorSet,
    predictions: pd.DataFrame,
    projections: list[tuple[str, dict[str, Any]]],
    at_most: int,
    seed: int,
) -> tuple[pd.DataFrame, list[dict[str, Any]]]:
    """Project the input of the last linear map for each beat.

    Returns:
        One row a beat: ``beat`` (row in the beats table), ``target``, ``prediction``, ``probability`` (of the
        prediction), ``same_class`` (share of the 15 nearest of these beats in the whole space that are of its class),
        ``<projection>_1`` and ``<projection>_2``, and ``record`` and ``sample`` where they are known.

        Of each projection: ``name``, ``options``, ``trustworthiness`` (Venna & Kaski 2001: 1 where no beat is near in
        the plane that is not near in the space), ``variance`` (share that the plane holds, of a projection that is
        linear, else None).
    """
    rows = draw_beats(tensors.labels, at_most, seed)
    features = penultimate_features(model, tensors, rows)
    prediction = predictions["prediction"].to_numpy(np.int64)[rows]
    table = pd.DataFrame(
        {
            "beat": rows,
            "target": tensors.labels[rows],
            "prediction": prediction,
            "probability": probabilities(predictions)[rows, prediction],
            "same_class": same_class_share(features, tensors.labels[rows]),
        }
    )
    points, metadata = project(features, projections, seed)
    known = {name: predictions[name].to_numpy()[rows] for name in ("record", "sample") if name in predictions}
    return table.assign(**points, **known), metadata


def project(
    features: Array, projections: list[tuple[str, dict[str, Any]]], seed: int
) -> tuple[dict[str, Any], list[dict[str, Any]]]:
    """Two columns a projection, and the facts of each, as :func:`embed_beats` says."""
    columns: dict[str, Any] = {}
    metadata: list[dict[str, Any]] = []
    for name, options in projections:
        points = PROJECTIONS[name](features, seed=seed, **options)
        columns |= {f"{name}_1": points[:, 0], f"{name}_2": points[:, 1]}
        linear = name == "pca"
        metadata.append(
            {
                "name": name,
                "options": options,
                "trustworthiness": _trustworthiness(features, points),
                "variance": float(points.var(axis=0).sum() / features.var(axis=0).sum()) if linear else None,
            }
        )
    return columns, metadata


def draw_beats(target: Labels, at_most: int, seed: int) -> npt.NDArray[np.int64]:
    """Rows of as many beats of each class, in order; the unused share of rare classes goes to the others.

    Args:
        target: Class indices ``[n]``.
        at_most: Largest number of beats.
        seed: Seed of the draw.
    """
    rng = np.random.default_rng(seed)
    classes, counts = np.unique(target, return_counts=True)
    left, drawn = at_most, []
    for place, index in enumerate(np.argsort(counts, kind="stable")):
        share = min(counts[index], left // (len(classes) - place))
        drawn.append(rng.choice(np.flatnonzero(target == classes[index]), share, replace=False))
        left -= share
    return np.sort(np.concatenate(drawn)).astype(np.int64)


def penultimate_features(model: TrainedModel, tensors: TensorSet, rows: npt.NDArray[np.int64]) -> Array:
    """The input of the last linear map for some rows of tensors, ``float32 [n, n_features]``."""
    import torch

    from beatwise.networks.predict import in_chunks

    x, aux = (torch.from_numpy(part[rows]) for part in (tensors.x, tensors.aux))
    return in_chunks(model.network, model.network.penultimate, x, aux).cpu().numpy()


def same_class_share(features: Array, target: Labels) -> npt.NDArray[np.float64]:
    """The share of each beat's nearest neighbours, itself left out, that are of its class, ``float [n]``.

    Args:
        features: ``float32 [n, d]``.
        target: Class indices ``[n]``.
    """
    from sklearn.neighbors import NearestNeighbors

    neighbours = NearestNeighbors(n_neighbors=min(NEIGHBOURS, len(features) - 1)).fit(features).kneighbors()[1]
    return (target[neighbours] == target[:, None]).mean(axis=1)


def _trustworthiness(features: Array, points: Array) -> float:
    from sklearn.manifold import trustworthiness

    # It is defined for fewer neighbours than half of the beats.
    return float(trustworthiness(features, points, n_neighbors=min(NEIGHBOURS, (len(features) - 1) // 2)))
