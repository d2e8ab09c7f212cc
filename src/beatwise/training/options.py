"""The choices that a training makes by name, checked against their registries."""

from __future__ import annotations

from typing import Any

from beatwise.core.errors import BeatwiseError
from beatwise.core.registry import Registry
from beatwise.data.augmentations import AUGMENTATIONS, refuse_unsuitable
from beatwise.data.settings import Tensors
from beatwise.networks.settings import Model
from beatwise.networks.zoo import MODELS
from beatwise.tasks.classification.losses import CLASS_WEIGHTS
from beatwise.tasks.losses import LOSSES
from beatwise.training.optim import AVERAGES, OPTIMIZERS, SCHEDULES
from beatwise.training.settings import Train

CHOICES: dict[str, Registry[Any]] = {
    "optimizer": OPTIMIZERS,
    "schedule": SCHEDULES,
    "loss": LOSSES,
    "class_weights": CLASS_WEIGHTS,
    "average": AVERAGES,
}


def check_fit(model: Model, train: Train, tensors: Tensors) -> None:
    """Check the choices whose registries need torch: model, optimizer, schedule, loss, class weights, augmentations.

    Raises:
        BeatwiseError: On an unknown name or option, or a value that is not allowed.
    """
    model.check(MODELS, "model")
    for name, registry in {**CHOICES, "augment": AUGMENTATIONS}.items():
        key = f"train.{name}"
        try:
            getattr(train, name).check(registry, key)
        except BeatwiseError as error:
            # An unknown name does not say where it stands; an option does.
            raise BeatwiseError(str(error) if str(error).startswith(key) else f"{key}: {error}") from error
    refuse_unsuitable(train.augment.use, representation(model, tensors))


def representation(model: Model, tensors: Tensors) -> str:
    """The representation that is configured, or the model's own where ``tensors.use`` is ``auto``."""
    return MODELS[model.use].representation if tensors.use == "auto" else tensors.use


def chosen_training(train: Train) -> dict[str, Any]:
    """The training as plain data: only the choices that were made, all their options filled in."""
    settings = train.model_dump(mode="json")
    for name, registry in CHOICES.items():
        choice = getattr(train, name)
        settings[name] = {"use": choice.use, choice.use: choice.chosen(registry)}
    settings["augment"] = {"use": train.augment.use, **dict(train.augment.chosen_in_order(AUGMENTATIONS))}
    return settings
