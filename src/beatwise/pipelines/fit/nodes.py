"""The node that trains a model."""

from __future__ import annotations

import pandas as pd

from beatwise.data.examples import Examples
from beatwise.tasks.tensors import TensorSet
from beatwise.training.checkpoint import Checkpoints
from beatwise.training.fit import refit_tensors
from beatwise.training.settings import FitSettings
from beatwise.training.trained_model import TrainedModel


def train(
    train_tensors: TensorSet,
    val_tensors: TensorSet,
    train_beats: Examples,
    val_beats: Examples,
    config: FitSettings,
    checkpoints: Checkpoints,
) -> tuple[TrainedModel, pd.DataFrame, pd.DataFrame]:
    """Train the model; the test part is not among this node's inputs.

    The beats of train and validation are taken as they are where the model is trained on both in the end.

    Returns:
        The model with the weights of its best epoch; its history; and what was predicted of each validation beat after
        each epoch, see ``ClassHistory.table``.
    """
    from beatwise.training.loop import fit_model

    val_history = val_tensors.task.val_history(val_tensors.labels)
    refit_on = refit_tensors(train_beats, val_beats, config)
    model, history = fit_model(
        train_tensors, val_tensors, config, checkpoints, refit_on=refit_on, val_history=val_history
    )
    return model, history, pd.DataFrame() if val_history is None else val_history.table()
