"""The node that trains a model."""

from __future__ import annotations

import pandas as pd

from beatwise.tasks.tensors import TensorSet
from beatwise.training.checkpoint import Checkpoints
from beatwise.training.settings import FitSettings
from beatwise.training.trained_model import TrainedModel


def train(
    train_tensors: TensorSet, val_tensors: TensorSet, config: FitSettings, checkpoints: Checkpoints
) -> tuple[TrainedModel, pd.DataFrame, pd.DataFrame]:
    """Train the model; the test part is not among this node's inputs.

    Returns:
        The model with the weights of its best epoch; its history; and what was predicted of each validation beat after
        each epoch, see ``ClassHistory.table``.
    """
    from beatwise.training.loop import fit_model

    val_history = val_tensors.task.val_history(val_tensors.labels)
    model, history = fit_model(train_tensors, val_tensors, config, checkpoints, val_history=val_history)
    return model, history, pd.DataFrame() if val_history is None else val_history.table()
