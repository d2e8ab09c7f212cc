"""Saliency of many beats: the choice of beats, their attributions, and the mean of each class."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any, Final

import numpy as np
import numpy.typing as npt
import pandas as pd
from torch import nn

from beatwise.core.errors import BeatwiseError
from beatwise.data.examples import Array, Examples, Labels
from beatwise.data.representations import value_mask
from beatwise.explanation.methods import AUX, DRAWN, HIT, MEAN, MISTAKE
from beatwise.explanation.saliency import (
    Attributions,
    baseline_inputs,
    explained_layer,
    grad_cam,
    integrated_gradients,
)
from beatwise.explanation.settings import Explain
from beatwise.networks.base import SelfFitting
from beatwise.tasks.classification.mistakes import most_confident_mistakes
from beatwise.tasks.classification.predictions import probabilities
from beatwise.tasks.metrics import Floats, ratio
from beatwise.tasks.tensors import TensorSet
from beatwise.training.trained_model import TrainedModel

Rows = npt.NDArray[np.int64]
# Predictions of one model by two machines differ by less.
TOLERANCE: Final = 1e-3


def explain_beats(
    model: TrainedModel,
    tensors: TensorSet,
    beats: Examples,
    predictions: pd.DataFrame,
    explain: Explain,
    seed: int,
) -> tuple[pd.DataFrame, pd.DataFrame]:
    """Explain beats of each class: a random draw, the most confident hit and the most confident mistake.

    The explained logit is that of the true class for a drawn beat, and that of the predicted class for a hit or a
    mistake.

    Args:
        model: A trained model.
        tensors: Tensors of the beats, made by the model's own specification.
        beats: The beats, or examples of another shape.
        predictions: Predictions table of the same beats.
        explain: Number of drawn beats per class, and steps of the integral.
        seed: Seed of the draw.

    Returns:
        The saliency, one row a sample: ``of`` (``mean`` of the drawn beats of a class, ``hit`` or ``mistake``),
        ``target`` and ``explained`` (class indices), ``beat`` (row in the beats table, -1 for a mean), ``beats`` (how
        many have this sample), ``sample`` (from the first, of the flattened example), ``amplitude``,
        ``integrated_gradients`` (in units of the logit), ``grad_cam`` (missing where it is not defined). Samples behind
        a beat are left out, and those of a mean that fewer than half of its beats have.

        The beats, one row each: ``of`` (``drawn``, ``hit`` or ``mistake``), ``beat``, ``target``, ``prediction``,
        ``probability`` (of the prediction), ``explained``; ``difference`` of the logit to that of the baseline, what of
        it falls to the ``trace`` and to each auxiliary feature (``aux_<name>``), and the ``gap`` that is left; and
        ``record`` and ``sample`` where they are known. Both tables are empty for a model without gradients.

    Raises:
        BeatwiseError: If beats, tensors, predictions and model do not belong together.
    """
    chosen = choose_beats(predictions, explain.beats_per_class, seed)
    _check_origin(model, tensors, beats, predictions, chosen["beat"].to_numpy())
    rows, explained = chosen["beat"].to_numpy(np.int64), chosen["explained"].to_numpy(np.int64)
    values = beats.x[rows]
    if isinstance(model.network, SelfFitting):
        # Its outputs are constant almost everywhere: there is no gradient to explain them by.
        nothing = np.zeros(0, dtype=np.float32)
        none = chosen.iloc[:0].assign(difference=nothing, trace=nothing, gap=nothing)
        return saliency_table(none, values[:0], values[:0], None), none
    attributed, cam = explain_rows(model.network, tensors, values, rows, explained, explain.steps)
    trace = tensors.representation.to_samples(attributed.x)
    by_aux = {f"{AUX}{name}": attributed.aux[:, i] for i, name in enumerate(tensors.representation.feature_names)}
    total = attributed.x.reshape(len(rows), -1).sum(axis=1)
    gap = attributed.difference - total - attributed.aux.sum(axis=1)
    numbers = {"difference": attributed.difference, "trace": total, **by_aux, "gap": gap}
    known = {name: predictions[name].to_numpy()[rows] for name in ("record", "sample") if name in predictions}
    return saliency_table(chosen, values, trace, cam), chosen.assign(**numbers, **known)


def choose_beats(predictions: pd.DataFrame, per_class: int, seed: int) -> pd.DataFrame:
    """Choose the beats to explain, with at most ``per_class`` drawn ones of each class.

    Returns:
        One row each: ``of``, ``beat``, ``target``, ``prediction``, ``probability`` and ``explained``, as
        :func:`explain_beats` says; drawn beats first, then the hit and the mistake of each class that has one.
    """
    target, prediction = (predictions[name].to_numpy(np.int64) for name in ("target", "prediction"))
    probability = probabilities(predictions)
    rng = np.random.default_rng(seed)
    drawn = [
        np.sort(rng.choice(members, min(per_class, len(members)), replace=False))
        for members in (np.flatnonzero(target == index) for index in range(probability.shape[1]))
    ]
    most_confident = probability[np.arange(len(target)), prediction]
    hits = [
        members[[most_confident[members].argmax()]]
        for members in (np.flatnonzero((target == k) & (prediction == k)) for k in range(probability.shape[1]))
        if len(members)
    ]
    mistakes = most_confident_mistakes(predictions, 1)["beat"].to_numpy(np.int64)
    places = {DRAWN: np.concatenate(drawn), HIT: np.concatenate([*hits, np.empty(0, np.int64)]), MISTAKE: mistakes}
    beat = np.concatenate(list(places.values()))
    of = np.repeat(list(places), [len(rows) for rows in places.values()])
    return pd.DataFrame(
        {
            "of": of,
            "beat": beat,
            "target": target[beat],
            "prediction": prediction[beat],
            "probability": most_confident[beat],
            "explained": np.where(of == DRAWN, target[beat], prediction[beat]),
        }
    )


def explain_rows(
    network: nn.Module, tensors: TensorSet, values: Array, rows: Rows, explained: Labels, steps: int
) -> tuple[Attributions, Array | None]:
    """Integrated gradients and Grad-CAM of some beats.

    Args:
        network: The network.
        tensors: Tensors of all beats.
        values: Values of the explained examples, ``float32 [n, *shape]``.
        rows: Rows of the explained beats in the tensors.
        explained: Class of the explained logit, one a beat.
        steps: Steps of the integral.

    Returns:
        Attributions; and Grad-CAM at every value, ``float32 [n, *shape]``, None if it is not defined.
    """
    x, aux = tensors.x[rows], tensors.aux[rows]
    baseline = baseline_inputs(values, tensors.representation)
    attributed = integrated_gradients(network, x, aux, baseline, explained, steps=steps)
    layer = explained_layer(network, tensors)
    if layer is None:
        return attributed, None
    cam = grad_cam(network, x, aux, explained, layer)
    # The channels of an example share one map.
    return attributed, np.broadcast_to(cam if cam.ndim == values.ndim else cam[:, None], values.shape)


def saliency_table(chosen: pd.DataFrame, values: Array, trace: Array, cam: Array | None) -> pd.DataFrame:
    """The means of the drawn beats and the single beats, one row a sample, as :func:`explain_beats` says.

    Args:
        chosen: The result of :func:`choose_beats`.
        values: Their values, ``float32 [n, *shape]``.
        trace: Integrated gradients of each value, ``float32 [n, *shape]``.
        cam: Grad-CAM of each sample, or None.
    """
    cam = np.full_like(trace, np.nan) if cam is None else cam
    flat = (len(chosen), int(np.prod(values.shape[1:])))
    mask, values, trace, cam = value_mask(values).reshape(flat), *(part.reshape(flat) for part in (values, trace, cam))
    of, target = chosen["of"].to_numpy(), chosen["target"].to_numpy()
    parts = []
    for index in np.unique(target[of == DRAWN]):
        members = (of == DRAWN) & (target == index)
        inside = mask[members]
        counts = inside.sum(axis=0)
        (kept,) = np.nonzero(counts >= max(members.sum() / 2, 1))
        metadata = {"of": MEAN, "target": index, "explained": index, "beat": -1}
        means = [_mean_inside(part[members], inside)[kept] for part in (values, trace, cam)]
        parts.append(_rows(metadata, kept, counts[kept], *means))
    for place in np.flatnonzero(of != DRAWN):
        (kept,) = np.nonzero(mask[place])
        metadata = {name: chosen[name].iloc[place] for name in ("of", "target", "explained", "beat")}
        parts.append(_rows(metadata, kept, np.ones_like(kept), *(part[place, kept] for part in (values, trace, cam))))
    if not parts:
        no_beats, no_values = np.zeros(0, np.int64), np.zeros(0)
        parts.append(_rows({"of": MEAN, "target": 0, "explained": 0, "beat": -1}, no_beats, no_beats, *[no_values] * 3))
    return pd.concat(parts, ignore_index=True)


def _rows(metadata: dict[str, Any], sample: Rows, beats: Rows, *parts: Floats) -> pd.DataFrame:
    names: Sequence[str] = ("amplitude", "integrated_gradients", "grad_cam")
    columns = {name: part.astype(np.float32) for name, part in zip(names, parts, strict=True)}
    return pd.DataFrame({**metadata, "beats": beats, "sample": sample, **columns}, index=range(len(sample)))


def _mean_inside(values: Array, inside: npt.NDArray[np.bool_]) -> Floats:
    return ratio(np.where(inside, values, 0).sum(axis=0, dtype=np.float64), inside.sum(axis=0))


def _check_origin(
    model: TrainedModel, tensors: TensorSet, beats: Examples, predictions: pd.DataFrame, rows: Rows
) -> None:
    """Check that the predictions are those of this model for these beats."""
    same_beats = tensors.fingerprint == beats.fingerprint and predictions["target"].tolist() == tensors.labels.tolist()
    if same_beats:
        some = tensors.take(rows)
        difference = np.abs(model.probabilities(some) - probabilities(predictions)[rows])
        if difference.max(initial=0) < TOLERANCE:
            return
    raise BeatwiseError(
        "The latest validation predictions are not those of the model that is loaded and of today's validation beats. "
        "Measure the model first: `kedro run --pipeline=evaluate`, with the same --load-versions if you give any."
    )
