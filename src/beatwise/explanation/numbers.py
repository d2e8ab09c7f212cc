"""Explanation of a model that predicts a number: which input, and which hour of its window, moves the prediction."""

from __future__ import annotations

from typing import Any, Final

import numpy as np
import numpy.typing as npt
import pandas as pd
from torch import nn

from beatwise.core.errors import BeatwiseError
from beatwise.data.examples import Array, Examples, evenly
from beatwise.explanation.embedding import penultimate_features, project
from beatwise.explanation.explain import Explanation
from beatwise.explanation.methods import AUX, DRAWN, RANDOM, SIGNED, SIZE
from beatwise.explanation.saliency import Attributions, integrated_gradients
from beatwise.explanation.sanity import randomised_network, rank_correlation
from beatwise.explanation.settings import Explain
from beatwise.explanation.summary import summarise_correlations
from beatwise.networks.base import SelfFitting
from beatwise.tasks.metrics import Floats
from beatwise.tasks.regression.task import Regression
from beatwise.tasks.tensors import TensorSet
from beatwise.training.trained_model import TrainedModel

# Examples are drawn from each quarter of the targets, as those of a classification are from each class.
QUARTERS: Final = ("lowest", "second", "third", "highest")
# Predictions of one model by two machines differ by less, in deviations of the target.
TOLERANCE: Final = 1e-3


def explain_numbers(
    model: TrainedModel,
    tensors: TensorSet,
    examples: Examples,
    predictions: pd.DataFrame,
    explain: Explain,
    seed: int,
) -> Explanation:
    """Attribute predictions to the values of their examples, compare with random weights, and project.

    Attributions are integrated gradients from an example whose inputs all stay at their mean over these examples, in
    the unit of the target.

    Args:
        model: A trained model of a regression.
        tensors: Tensors of the examples, made by the model's own specification.
        examples: The examples.
        predictions: Predictions table of the same examples.
        explain: How many examples of each quarter of the targets, how finely, and which projections.
        seed: Seed of the draw, of the random weights and of the projections.

    Returns:
        ``saliency``, one row a value of an example: ``input`` (its channel), ``step`` (its place in the window),
        ``integrated_gradients`` (mean over the explained examples) and ``integrated_gradients_size`` (mean of the
        absolute values); empty where the examples are pictures. ``attributions``, one row an explained example: ``of``,
        ``beat`` (its row), ``target``, ``prediction``, ``quarter``, ``difference`` (of the prediction to that of the
        baseline), what of it falls to ``input_<i>`` and to each feature (``aux_<name>``), and the ``gap`` that is left.
        Both are empty for a model without gradients. ``saliency_check`` as of ``check_saliency``. ``embedding``:
        ``beat``, ``target``, ``prediction``, and two columns a projection. ``summary``: plain data, ``model``,
        ``representation``, ``features``, ``steps``, ``gap``, ``explained``, ``inputs`` and ``aux`` (the mean size of
        what falls to each), ``check`` and ``projections``.

    Raises:
        BeatwiseError: If examples, tensors, predictions and model do not belong together.
    """
    task = model.task
    assert isinstance(task, Regression)
    chosen = _choose(predictions, explain.beats_per_class, seed)
    rows = chosen["beat"].to_numpy(np.int64)
    _check_origin(model, task, tensors, examples, predictions, rows)
    baseline = _mean_example(examples, tensors)
    has_gradients = not isinstance(model.network, SelfFitting)

    def attribute(network: nn.Module, rows: npt.NDArray[np.int64]) -> Attributions:
        start = np.repeat(baseline, len(rows), axis=0)
        output = np.zeros(len(rows), np.int64)
        return integrated_gradients(network, tensors.x[rows], tensors.aux[rows], start, output, steps=explain.steps)

    if has_gradients:
        attributed = attribute(model.network, rows)
        values = _of_values(tensors, attributed.x) * task.sd
        aux, difference = attributed.aux * task.sd, attributed.difference * task.sd
    else:
        chosen, values = chosen.iloc[:0], np.zeros((0, 1, 1), np.float32)
        aux, difference = np.zeros((0, len(model.representation.feature_names))), np.zeros(0)
    by_input = values.reshape(*values.shape[:2], -1).sum(axis=2, dtype=np.float64)
    by_aux = {f"{AUX}{name}": aux[:, i] for i, name in enumerate(model.representation.feature_names)}
    attributions = chosen.assign(
        difference=difference,
        **{f"input_{i}": by_input[:, i] for i in range(by_input.shape[1])},
        **by_aux,
        gap=difference - by_input.sum(axis=1) - aux.sum(axis=1),
    )
    check = pd.DataFrame({"method": [], "against": [], "network": [], "beat": [], "rank_correlation": []})
    if has_gradients:
        some = chosen.groupby("quarter").head(explain.check_beats_per_class)["beat"].to_numpy(np.int64)
        trained = attribute(model.network, some).x
        tables = [
            _compared(trained, attribute(randomised_network(model, number), some).x, some, number)
            for number in range(seed, seed + explain.random_networks)
        ]
        check = pd.concat(tables, ignore_index=True)
    projected = evenly(np.arange(len(predictions)), explain.embedding_beats).astype(np.int64)
    features = penultimate_features(model, tensors, projected)
    points, projections = project(features, explain.projections.in_order(), seed)
    known = predictions[["target", "prediction"]].iloc[projected].reset_index(drop=True)
    size = np.abs(attributions["difference"]).mean()
    summary = {
        "model": model.fingerprint,
        "representation": model.representation.name,
        "features": features.shape[1],
        "steps": explain.steps,
        "gap": float(attributions["gap"].abs().mean() / size) if has_gradients and size else None,
        "explained": len(attributions),
        "inputs": np.abs(by_input).mean(axis=0).tolist() if has_gradients else [],
        "aux": {name: float(np.abs(of).mean()) for name, of in by_aux.items()} if has_gradients else {},
        "check": {
            method: summarise_correlations(check.loc[check["method"] == method, "rank_correlation"])
            for method in ((SIGNED, SIZE) if has_gradients else ())
        },
        "projections": projections,
    }
    return Explanation(
        saliency=_saliency(values),
        attributions=attributions,
        saliency_check=check,
        random_saliency=pd.DataFrame(),
        embedding=known.assign(beat=projected, **points),
        summary=summary,
    )


def _choose(predictions: pd.DataFrame, per_quarter: int, seed: int) -> pd.DataFrame:
    """As many examples of each quarter of the targets."""
    target = predictions["target"].to_numpy(np.float64)
    quarter = np.searchsorted(np.quantile(target, [0.25, 0.5, 0.75]), target)
    rng = np.random.default_rng(seed)
    members = [np.flatnonzero(quarter == index) for index in range(len(QUARTERS))]
    rows = np.concatenate([np.sort(rng.choice(own, min(per_quarter, len(own)), replace=False)) for own in members])
    return pd.DataFrame(
        {
            "of": DRAWN,
            "beat": rows.astype(np.int64),
            "target": target[rows],
            "prediction": predictions["prediction"].to_numpy(np.float64)[rows],
            "quarter": quarter[rows],
        }
    )


def _mean_example(examples: Examples, tensors: TensorSet) -> Array:
    """The baseline as input of a model: every channel at its mean over the examples, ``float32 [1, *input_shape]``."""
    behind = tuple(range(2, examples.x.ndim)) if examples.x.ndim > 2 else (1,)
    mean = examples.x.mean(axis=(0, *behind), dtype=np.float64, keepdims=True)
    flat = np.broadcast_to(mean, (1, *examples.shape)).astype(np.float32)
    return np.ascontiguousarray(tensors.representation.transform(flat))


def _of_values(tensors: TensorSet, attributed: Array) -> Array:
    """Attributions of the values of examples, ``[n, channels, …]``."""
    values = tensors.representation.to_samples(attributed)
    return values[:, None] if values.ndim == 2 else values


def _saliency(values: Array) -> pd.DataFrame:
    names = ("input", "step", SIGNED, SIZE)
    if values.ndim != 3 or not len(values):
        return pd.DataFrame({name: [] for name in names})
    inputs, steps = (index.ravel() for index in np.indices(values.shape[1:]))
    means = (values.mean(axis=0, dtype=np.float64), np.abs(values).mean(axis=0, dtype=np.float64))
    return pd.DataFrame(dict(zip(names, (inputs, steps, *(mean.ravel() for mean in means)), strict=True)))


def _compared(trained: Array, random: Array, rows: npt.NDArray[np.int64], network: int) -> pd.DataFrame:
    """Rank correlations of the trained network's attributions with those of one of random weights."""

    def correlations(one: Floats, other: Floats) -> list[float]:
        return [rank_correlation(a.ravel(), b.ravel()) for a, b in zip(one, other, strict=True)]

    found = {SIGNED: correlations(trained, random), SIZE: correlations(np.abs(trained), np.abs(random))}
    tables = [
        pd.DataFrame({"method": method, "against": RANDOM, "network": network, "beat": rows, "rank_correlation": of})
        for method, of in found.items()
    ]
    return pd.concat(tables, ignore_index=True)


def _check_origin(
    model: TrainedModel,
    task: Regression,
    tensors: TensorSet,
    examples: Examples,
    predictions: pd.DataFrame,
    rows: npt.NDArray[np.int64],
) -> None:
    """Check that the predictions are those of this model for these examples."""
    if tensors.fingerprint == examples.fingerprint and len(predictions) == len(examples):
        difference: Any = np.abs(model.decoded(tensors.take(rows))[:, 0] - predictions["prediction"].to_numpy()[rows])
        if difference.max(initial=0) < TOLERANCE * task.sd:
            return
    raise BeatwiseError(
        "The latest validation predictions are not those of the model that is loaded and of today's validation "
        "examples. Measure the model first: `kedro run --pipeline=evaluate`, with the same --load-versions if you give "
        "any."
    )
