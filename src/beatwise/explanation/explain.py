"""Everything that explains one model, on validation beats."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

import pandas as pd

from beatwise.data.examples import Examples
from beatwise.explanation.settings import Explain
from beatwise.tasks.tensors import TensorSet
from beatwise.training.trained_model import TrainedModel


@dataclass(frozen=True)
class Explanation:
    """The explanation of a model.

    Attributes:
        saliency: One row a sample: of the mean beat of a class, of its most confident hit and of its most confident
            mistake, see ``explain_beats``.
        attributions: One row an explained beat, see ``explain_beats``.
        saliency_check: One row a comparison with a network of random weights, see ``check_saliency``.
        random_saliency: One row a sample of a most confident hit under the first of these networks.
        embedding: One row a projected beat, see ``embed_beats``.
        summary: All numbers of the report's section as plain data, see ``summarise_explanation``.
    """

    saliency: pd.DataFrame
    attributions: pd.DataFrame
    saliency_check: pd.DataFrame
    random_saliency: pd.DataFrame
    embedding: pd.DataFrame
    summary: dict[str, Any]


def explain_model(
    model: TrainedModel,
    val_tensors: TensorSet,
    val_beats: Examples,
    val_predictions: pd.DataFrame,
    explain: Explain,
    seed: int,
    sample_rate: float | None,
) -> Explanation:
    """Explain a model as its task asks for: classes by ``explain_beats``, numbers by ``explain_numbers``.

    Args:
        model: A trained model.
        val_tensors: Tensors of the validation part.
        val_beats: The validation part.
        val_predictions: Predictions of the validation part; not used of a model that was trained on it in the end.
        explain: Which beats, how finely, and which projections.
        seed: Seed of every draw, of the random weights and of the projections.
        sample_rate: Samples per second (Hz).
    """
    if model.held_out is not None:
        # Those are of another network: what is explained is what this one predicts, though it was trained on these.
        val_predictions = model.predict(val_tensors)
    if not model.task.class_names:
        from beatwise.explanation.numbers import explain_numbers

        return explain_numbers(model, val_tensors, val_beats, val_predictions, explain, seed)
    from beatwise.explanation.attribution import explain_beats
    from beatwise.explanation.embedding import embed_beats
    from beatwise.explanation.sanity import check_saliency
    from beatwise.explanation.summary import summarise_explanation

    saliency, attributions = explain_beats(model, val_tensors, val_beats, val_predictions, explain, seed)
    check, random_saliency = check_saliency(model, val_tensors, val_beats, attributions, explain, seed)
    chosen = explain.projections.in_order()
    embedding, projections = embed_beats(model, val_tensors, val_predictions, chosen, explain.embedding_beats, seed)
    summary = summarise_explanation(
        model, val_tensors, attributions, check, embedding, projections, explain, sample_rate
    )
    return Explanation(saliency, attributions, check, random_saliency, embedding, summary)
