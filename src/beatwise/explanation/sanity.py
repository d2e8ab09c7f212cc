"""A check of saliency: it must change when the weights are random.

After Adebayo et al., NeurIPS 2018, with new random weights in all layers.
"""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

import numpy as np
import numpy.typing as npt
import pandas as pd
from torch import nn

from beatwise.data.examples import Array, Examples
from beatwise.data.representations import value_mask
from beatwise.explanation.attribution import explain_rows, saliency_table
from beatwise.explanation.methods import CAM, DEFLECTION, DRAWN, HIT, RANDOM, SIGNED, SIZE
from beatwise.explanation.saliency import flat_examples
from beatwise.explanation.settings import Explain
from beatwise.tasks.tensors import TensorSet
from beatwise.training.trained_model import TrainedModel


def randomised_network(model: TrainedModel, seed: int) -> nn.Module:
    """Build the architecture of a model with fresh weights."""
    import torch

    from beatwise.networks.zoo import build_model

    with torch.random.fork_rng():
        torch.manual_seed(seed)
        network = build_model(
            model.name,
            input_shape=model.input_shape,
            n_outputs=model.task.n_outputs,
            n_aux=len(model.representation.feature_names),
            **(model.config["model"].get(model.name) or {}),
        )
    return network.to(next(model.network.parameters()).device).eval()


def check_saliency(
    model: TrainedModel,
    tensors: TensorSet,
    beats: Examples,
    attributions: pd.DataFrame,
    explain: Explain,
    seed: int,
) -> tuple[pd.DataFrame, pd.DataFrame]:
    """Compare the saliency of the trained network with that of networks with random weights, on the same beats.

    Returns:
        One row a comparison: ``method`` (``integrated_gradients``; ``integrated_gradients_size``, the same without its
        sign; ``grad_cam`` where it is defined), ``against`` (``random weights``; or ``deflection``, the distance of the
        trace from its mean, with which the size is compared because the method multiplies by it), ``network`` (its
        seed, -1 against the deflection), ``beat``, ``target``, and ``rank_correlation``, Spearman's, over the samples
        within the beat; missing where a saliency is the same at all of them.

        The saliency of the most confident hit of each class under the first random network, laid out like that of the
        trained one.
    """
    drawn = attributions[attributions["of"] == DRAWN].groupby("target").head(explain.check_beats_per_class)
    target, rows = drawn["target"].to_numpy(), drawn["beat"].to_numpy(np.int64)
    values = beats.x
    if drawn.empty:
        types = {"method": str, "against": str, "network": int, "beat": int, "target": int, "rank_correlation": float}
        empty = pd.DataFrame({name: pd.Series(dtype=kind) for name, kind in types.items()})
        return empty, saliency_table(drawn, values[:0], values[:0], None)
    mask = value_mask(values[rows])

    def saliency(network: nn.Module, chosen: pd.DataFrame) -> dict[str, Array]:
        beat, explained = (chosen[name].to_numpy(np.int64) for name in ("beat", "explained"))
        attributed, cam = explain_rows(network, tensors, values[beat], beat, explained, explain.steps)
        trace = tensors.representation.to_samples(attributed.x)
        return {SIGNED: trace, SIZE: np.abs(trace), **({} if cam is None else {CAM: cam})}

    def compared(one: Array, other: Array, **metadata: Any) -> pd.DataFrame:
        correlation = [rank_correlation(*both) for both in zip(_within(one, mask), _within(other, mask), strict=True)]
        return pd.DataFrame({**metadata, "beat": rows, "target": target, "rank_correlation": correlation})

    trained = saliency(model.network, drawn)
    tables = []
    for number in range(seed, seed + explain.random_networks):
        random = saliency(randomised_network(model, number), drawn)
        metadata = {"against": RANDOM, "network": number}
        tables += [compared(trained[method], random[method], method=method, **metadata) for method in trained]
    deflection = np.abs(values[rows] - flat_examples(values[rows]))
    tables.append(compared(trained[SIZE], deflection, method=SIZE, against=DEFLECTION, network=-1))
    hits = attributions[attributions["of"] == HIT]
    random = saliency(randomised_network(model, seed), hits) if len(hits) else {SIGNED: values[:0]}
    of_hits = saliency_table(hits, values[hits["beat"].to_numpy(np.int64)], random[SIGNED], random.get(CAM))
    return pd.concat(tables, ignore_index=True), of_hits


def _within(values: Array, mask: npt.NDArray[np.bool_]) -> Iterator[Array]:
    """The samples of each row before the padding."""
    return (row[within] for row, within in zip(values, mask, strict=True))


def rank_correlation(one: npt.NDArray[Any], other: npt.NDArray[Any]) -> float:
    """Spearman's rank correlation; NaN if one of the two is constant."""
    from scipy.stats import rankdata

    if np.ptp(one) == 0 or np.ptp(other) == 0:
        return float("nan")
    return float(np.corrcoef(rankdata(one), rankdata(other))[0, 1])
