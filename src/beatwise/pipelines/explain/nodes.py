"""Nodes that explain a model on validation beats; the test part is among no node's inputs."""

from __future__ import annotations

from typing import Any

import pandas as pd
import plotly.graph_objects as go
from matplotlib.figure import Figure

from beatwise import figures
from beatwise.data.examples import Examples
from beatwise.explanation.settings import Explain
from beatwise.tasks.tensors import TensorSet
from beatwise.training.trained_model import TrainedModel


def rebuild_val_tensors(model: TrainedModel, val_beats: Examples) -> TensorSet:
    """Build the validation tensors that a stored model takes, whatever representation was configured since.

    Args:
        model: The stored model.
        val_beats: Beats table of the validation part.

    Raises:
        BeatwiseError: If the beats have been split differently since the model was trained.
    """
    from beatwise.pipelines.evaluate.nodes import check_split

    check_split(model, val_beats.fingerprint)
    return model.tensors(val_beats)


def explain(
    model: TrainedModel,
    val_tensors: TensorSet,
    val_beats: Examples,
    val_predictions: pd.DataFrame,
    explain: Explain,
    seed: int,
) -> tuple[pd.DataFrame, pd.DataFrame]:
    """Attribute logits to samples of validation beats.

    Args:
        model: A trained model.
        val_tensors: Tensors of the validation part.
        val_beats: Beats table of the validation part.
        val_predictions: Predictions of the validation part.
        explain: Which beats, and how finely.
        seed: Seed of the draw.

    Returns:
        See ``explain_beats``.
    """
    from beatwise.explanation.attribution import explain_beats

    return explain_beats(model, val_tensors, val_beats, val_predictions, explain, seed)


def check(
    model: TrainedModel,
    val_tensors: TensorSet,
    val_beats: Examples,
    attributions: pd.DataFrame,
    explain: Explain,
    seed: int,
) -> tuple[pd.DataFrame, pd.DataFrame]:
    """Compare the saliency with that of networks with random weights.

    Args:
        model: A trained model.
        val_tensors: Tensors of the validation part.
        val_beats: Beats table of the validation part.
        attributions: The beats that were explained.
        explain: How many of them, and with how many networks.
        seed: Seed of the random weights.

    Returns:
        See ``check_saliency``.
    """
    from beatwise.explanation.sanity import check_saliency

    return check_saliency(model, val_tensors, val_beats, attributions, explain, seed)


def embed(
    model: TrainedModel, val_tensors: TensorSet, val_predictions: pd.DataFrame, explain: Explain, seed: int
) -> tuple[pd.DataFrame, list[dict[str, Any]]]:
    """Project the input of the last layer onto a plane.

    Args:
        model: A trained model.
        val_tensors: Tensors of the validation part.
        val_predictions: Predictions of the validation part.
        explain: How many beats, and which projections.
        seed: Seed of the draw and of the projections.

    Returns:
        See ``embed_beats``.
    """
    from beatwise.explanation.embedding import embed_beats
    from beatwise.explanation.projections import PROJECTIONS

    projections = explain.projections.chosen_in_order(PROJECTIONS)
    return embed_beats(model, val_tensors, val_predictions, projections, explain.embedding_beats, seed)


def summarise(
    model: TrainedModel,
    val_tensors: TensorSet,
    attributions: pd.DataFrame,
    saliency_check: pd.DataFrame,
    embedding: pd.DataFrame,
    projections: list[dict[str, Any]],
    explain: Explain,
    sample_rate: float,
) -> dict[str, Any]:
    """Sum up what the explanation came to; see ``summarise_explanation``."""
    from beatwise.explanation.summary import summarise_explanation

    return summarise_explanation(
        model, val_tensors, attributions, saliency_check, embedding, projections, explain, sample_rate
    )


def plot_saliency(saliency: pd.DataFrame, classes: list[str], sample_rate: float) -> Figure:
    """Draw the mean beat of each class over what its logit hangs on."""
    return figures.plot_saliency(saliency, classes, sample_rate)


def plot_explained_beats(
    saliency: pd.DataFrame, attributions: pd.DataFrame, classes: list[str], sample_rate: float
) -> Figure:
    """Draw the most confident hit and the most confident mistake of each class over what the logit hangs on."""
    return figures.plot_explained_beats(saliency, attributions, classes, sample_rate)


def plot_saliency_check(
    saliency_check: pd.DataFrame,
    saliency: pd.DataFrame,
    random_saliency: pd.DataFrame,
    classes: list[str],
    sample_rate: float,
) -> Figure:
    """Draw what is left of the saliency when the weights are random."""
    return figures.plot_saliency_check(saliency_check, saliency, random_saliency, classes, sample_rate)


def plot_embedding(embedding: pd.DataFrame, projections: list[dict[str, Any]], classes: list[str]) -> Figure:
    """Draw the projections, by class and by right and wrong."""
    return figures.plot_embedding(embedding, projections, classes)


def draw_embedding(embedding: pd.DataFrame, projections: list[dict[str, Any]], classes: list[str]) -> go.Figure:
    """Draw the projections for the browser."""
    from beatwise.figures.interactive import embedding as draw

    return draw(embedding, projections, classes)
