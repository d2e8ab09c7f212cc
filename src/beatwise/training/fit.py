"""One fit from beats to a model: what the nodes of the fit template do, and what every row of a comparison does."""

from __future__ import annotations

import pandas as pd

from beatwise.models import MODELS
from beatwise.params import FitConfig, Model, Resample, Tensors, Train
from beatwise.resampling import resample_beats
from beatwise.signals.representations import TensorSet, TensorSpec, build_tensors
from beatwise.training.options import check_fit, chosen_training, representation


def fit_config(
    classes: list[str], seed: int, resample: Resample, tensors: Tensors, model: Model, train: Train
) -> FitConfig:
    """Write down what a fit is made with: only the choices that were made, all their options filled in.

    Args:
        classes: Class names in the order of their indices.
        seed: Seed of resampling and training.
        resample: Resampling strategy.
        tensors: Representation.
        model: Model of the zoo.
        train: Training.

    Raises:
        BeatwiseError: If a name or an option is unknown, or a value is not allowed.
    """
    check_fit(model, train, tensors)
    chosen = tensors.model_copy(update={"use": representation(model, tensors)})
    return FitConfig.model_validate(
        {
            "classes": classes,
            "seed": seed,
            "resample": {"use": resample.use, resample.use: resample.options},
            "tensors": {"use": chosen.use, "rr": chosen.rr, chosen.use: chosen.options},
            "model": {"use": model.use, model.use: model.chosen(MODELS)},
            "train": chosen_training(train),
        }
    )


def resample_train(train_beats: pd.DataFrame, config: FitConfig) -> pd.DataFrame:
    """Resample the training part as the fit says."""
    return resample_beats(train_beats, config.resample.use, config.resample.options, config.classes, config.seed)


def fit_tensors(
    resampled_beats: pd.DataFrame, train_beats: pd.DataFrame, config: FitConfig, *others: pd.DataFrame
) -> tuple[TensorSet, ...]:
    """Tensors of the resampled training part, and of other parts.

    Args:
        resampled_beats: What is trained on.
        train_beats: The training part before resampling: the means and deviations of the auxiliary features are its
            own, so that the tensors of other parts do not depend on the resampling strategy.
        config: Configuration of the fit.
        *others: Beats tables of other parts.
    """
    spec = TensorSpec.fit(
        train_beats,
        use=config.tensors.use,
        options=config.tensors.options,
        classes=config.classes,
        rr=config.tensors.rr,
    )
    return tuple(build_tensors(beats, spec) for beats in (resampled_beats, *others))
