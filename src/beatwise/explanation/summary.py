"""Summary of the explanation of a model, as plain data."""

from __future__ import annotations

from typing import Any, Final

import numpy as np
import pandas as pd

from beatwise.explanation.embedding import penultimate_features
from beatwise.explanation.methods import AUX, DEFLECTION, DRAWN, METHODS, RANDOM, SIZE
from beatwise.explanation.saliency import PlacedLayer, explained_layer
from beatwise.explanation.settings import Explain
from beatwise.tasks.classification.task import classes_of
from beatwise.tasks.tensors import TensorSet
from beatwise.training.trained_model import TrainedModel

# A saliency counts as lost below this mean rank correlation: two saliencies then share less than a tenth of the
# variance of their ranks.
LOST: Final = 0.3


def summarise_explanation(
    model: TrainedModel,
    tensors: TensorSet,
    attributions: pd.DataFrame,
    saliency_check: pd.DataFrame,
    embedding: pd.DataFrame,
    projections: list[dict[str, Any]],
    explain: Explain,
    sample_rate: float | None,
) -> dict[str, Any]:
    """Summarise the attributions, their numerical error, the check with random weights, and the embedding.

    Args:
        model: The model that was explained.
        tensors: Tensors of the validation part.
        attributions: The beats that were explained (``explain_beats``).
        saliency_check: Rank correlations (``check_saliency``).
        embedding: The beats that were projected (``embed_beats``).
        projections: Facts of the projections, from there too.
        explain: Settings.
        sample_rate: Samples per second (Hz).

    Returns:
        ``model``, its fingerprint; ``shape`` of an example; ``representation``; ``features``, how many numbers the last
        layer is given; ``steps`` of the integral; ``gap``: the mean of its size over the beats, relative to that of the
        difference, None for a model without gradients; ``grad_cam``: None where it is not defined, else the ``layer``,
        its ``steps``, and their distance ``step_ms``, or in a picture ``step_pixels``.

        ``classes``: of each its ``beats`` in validation, those ``drawn`` and ``projected``; ``attributed``: the means
        over the drawn beats of the logit's ``difference``, of what falls to the ``trace`` and to each auxiliary
        feature, None where there are no beats; ``same_class``, the mean share of neighbours of the same class.

        ``check``: of each method the ``mean`` rank correlation with random weights, the 2.5th and the 97.5th
        percentile (``low``, ``high``), how many ``comparisons`` there were, how many more are ``undefined``, and
        whether the saliency is ``lost``. ``deflection``: the mean rank correlation of the size of integrated gradients
        with the deflection. ``projections``, as they were given.
    """
    layer = explained_layer(model.network, tensors)
    random = saliency_check[saliency_check["against"] == RANDOM]
    size = saliency_check[(saliency_check["against"] == DEFLECTION) & (saliency_check["method"] == SIZE)]
    drawn = attributions[attributions["of"] == DRAWN]
    return {
        "model": model.fingerprint,
        "shape": list(tensors.shape),
        "representation": tensors.representation.name,
        "features": penultimate_features(model, tensors, np.arange(1)).shape[1],
        "steps": explain.steps,
        "gap": float(attributions["gap"].abs().mean() / attributions["difference"].abs().mean())
        if len(attributions)
        else None,
        "grad_cam": layer and _describe_layer(layer, sample_rate),
        "classes": {
            name: {
                "beats": int((tensors.labels == index).sum()),
                "drawn": int((drawn["target"] == index).sum()),
                "projected": int((embedding["target"] == index).sum()),
                "attributed": _mean_attributed(drawn[drawn["target"] == index]),
                "same_class": _mean(embedding.loc[embedding["target"] == index, "same_class"]),
            }
            for index, name in enumerate(classes_of(tensors.task))
        },
        "check": {
            method: summarise_correlations(random.loc[random["method"] == method, "rank_correlation"])
            for method in METHODS
            if (random["method"] == method).any()
        },
        "deflection": _mean(size["rank_correlation"]),
        "projections": projections,
    }


def _describe_layer(layer: PlacedLayer, sample_rate: float | None) -> dict[str, Any]:
    if len(layer.steps) > 1 or sample_rate is None:
        steps, pixels = (" × ".join(f"{n:g}" for n in of) for of in (layer.steps, layer.stride))
        return {"layer": layer.name, "steps": steps, "step_pixels": pixels}
    return {"layer": layer.name, "steps": layer.steps[0], "step_ms": layer.stride[0] / sample_rate * 1000}


def _mean_attributed(drawn: pd.DataFrame) -> dict[str, float] | None:
    names = ["difference", "trace", *(name for name in map(str, drawn) if name.startswith(AUX))]
    return None if drawn.empty else {name: float(drawn[name].mean()) for name in names}


def summarise_correlations(correlations: pd.Series) -> dict[str, Any]:
    """Rank correlations of one method with random weights, as :func:`summarise_explanation` says."""
    known = correlations.dropna().to_numpy(np.float64)
    low, high = np.percentile(known, [2.5, 97.5]).tolist() if len(known) else (None, None)
    mean = _mean(correlations)
    return {
        "mean": mean,
        "low": low,
        "high": high,
        "comparisons": len(known),
        "undefined": len(correlations) - len(known),
        "lost": None if mean is None else abs(mean) < LOST,
    }


def _mean(values: pd.Series) -> float | None:
    known = values.dropna()
    return float(known.mean()) if len(known) else None
