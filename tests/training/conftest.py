"""Small parts, small models and short trainings."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import pytest
import torch

from beatwise.data.examples import Examples
from beatwise.data.representations import REPRESENTATIONS, Representation, representation
from beatwise.networks.zoo import build_model
from beatwise.tasks.classification.task import Classification
from beatwise.tasks.tensors import TensorSet, build_tensors
from beatwise.training.loop import Training
from beatwise.training.settings import FitSettings
from beatwise.training.trained_model import TrainedModel
from tests.conftest import CLASSES, TASK

Parts = tuple[TensorSet, TensorSet]
MakeBeats = Callable[..., Examples]
# Of the history, what depends on the clock.
CLOCK = ["seconds", "val_seconds"]
SIZES: dict[str, dict[str, Any]] = {
    "mlp": {"width": 16},
    "cnn1d": {"kernel_size": 3, "pool": 2},
    "resnet1d": {"widths": [4, 4]},
    # Ignores padding and has no batch normalisation, so that its batches can be cut.
    "gru": {"width": 6, "layers": 1},
}


def choose(name: str, **options: Any) -> dict[str, Any]:
    """A choice as the configuration states it."""
    return {"use": name, name: options}


def config(model: str = "mlp", seed: int = 0, *, options: dict[str, Any] | None = None, **train: Any) -> FitSettings:
    return FitSettings.model_validate(
        {
            "task": TASK,
            "seed": seed,
            "resample": {"use": "none"},
            "tensors": {"use": "signal"},
            "model": {"use": model, model: options or SIZES[model]},
            "train": {"epochs": 3, "batch_size": 32, "learning_rate": 0.01, **train},
        }
    )


def tensors(beats: Examples, train: Examples, use: str = "signal") -> TensorSet:
    fitted = representation(use, REPRESENTATIONS.options(use, {})).fit(train)
    return build_tensors(beats, fitted, Classification(classes=tuple(CLASSES)))


@pytest.fixture
def parts(make_beats: MakeBeats) -> Parts:
    train, val = make_beats(records=True), make_beats((20, 6, 6, 6, 6), seed=1, records=True)
    return tensors(train, train), tensors(val, train)


def refitted(part: TensorSet, mean: float) -> Representation:
    """The representation of a part with other means of its features."""
    fitted = part.representation.fitted
    stored = {**part.representation.to_dict(), "fitted": {**vars(fitted), "feature_mean": [mean] * 8}}
    return Representation.from_dict(stored)


def training(parts: Parts, model: str = "mlp", *, options: dict[str, Any] | None = None, **train: Any) -> Training:
    """A training that has not begun, its network made from a fixed seed."""
    settings = config(model, options=options, **train)
    torch.manual_seed(settings.seed)
    network = build_model(
        model,
        input_shape=parts[0].x.shape[1:],
        n_outputs=len(CLASSES),
        n_aux=parts[0].aux.shape[1],
        **(options or SIZES[model]),
    )
    return Training(network, *parts, settings.train, torch.device("cpu"))


def same(a: TrainedModel, b: TrainedModel) -> bool:
    """Whether the weights are the same to the last bit."""
    ours, theirs = a.network.state_dict(), b.network.state_dict()
    return ours.keys() == theirs.keys() and all(torch.equal(value, theirs[key]) for key, value in ours.items())
