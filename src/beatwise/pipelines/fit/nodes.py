"""Nodes that turn beats and a configuration into a trained model."""

from __future__ import annotations

import pandas as pd

from beatwise.data.examples import Examples
from beatwise.data.settings import Resample, Tensors
from beatwise.networks.settings import Model
from beatwise.tasks.tensors import TensorSet
from beatwise.training.checkpoint import Checkpoints
from beatwise.training.settings import FitSettings, Train
from beatwise.training.trained_model import TrainedModel


def configure(
    classes: list[str], seed: int, resample: Resample, tensors: Tensors, model: Model, train: Train
) -> FitSettings:
    """Write down what a fit is made with: only the choices that were made, all their options filled in.

    Args:
        classes: Class names in the order of their indices.
        seed: Seed of resampling and training.
        resample: Resampling strategy.
        tensors: Representation.
        model: Model of the zoo.
        train: Training.

    Returns:
        The settings of the fit.

    Raises:
        BeatwiseError: If the model or one of its options is unknown, or a value is not allowed.
    """
    from beatwise.training.fit import fit_settings

    return fit_settings(classes, seed, resample, tensors, model, train)


def resample(train_beats: Examples, config: FitSettings) -> Examples:
    """Resample the training part; validation and test are not among this node's inputs.

    Args:
        train_beats: Beats table of the training part.
        config: Configuration of the fit.

    Returns:
        Beats table of the resampled training part.
    """
    from beatwise.training.fit import resample_train

    return resample_train(train_beats, config)


def tensors(
    resampled_beats: Examples,
    train_beats: Examples,
    val_beats: Examples,
    test_beats: Examples,
    config: FitSettings,
) -> tuple[TensorSet, TensorSet, TensorSet]:
    """Build the tensors of all parts.

    Args:
        resampled_beats: What is trained on.
        train_beats: The training part before resampling: the means and deviations of the auxiliary features are its
            own, so that the tensors of validation and test do not depend on the resampling strategy.
        val_beats: Beats table of the validation part.
        test_beats: Beats table of the test part.
        config: Configuration of the fit.

    Returns:
        Tensors of train, validation and test.
    """
    from beatwise.training.fit import fit_tensors

    train, val, test = fit_tensors(resampled_beats, train_beats, config, val_beats, test_beats)
    return train, val, test


def train(
    train_tensors: TensorSet, val_tensors: TensorSet, config: FitSettings, checkpoints: Checkpoints
) -> tuple[TrainedModel, pd.DataFrame, pd.DataFrame]:
    """Train the model; the test part is not among this node's inputs.

    Args:
        train_tensors: Tensors of the resampled training part.
        val_tensors: Tensors of the validation part.
        config: Configuration of the fit.
        checkpoints: Where the state is saved after each epoch; a training that was cut off goes on from there.

    Returns:
        The model with the weights of its best epoch; its history; and what was predicted of each validation beat after
        each epoch, see ``ClassHistory.table``.
    """
    from beatwise.training.loop import fit_model

    val_history = val_tensors.task.val_history(val_tensors.labels)
    model, history = fit_model(train_tensors, val_tensors, config, checkpoints, val_history=val_history)
    return model, history, pd.DataFrame() if val_history is None else val_history.table()
