"""Networks that were not trained, with beats, for tests of what explains them."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

import numpy as np
import pandas as pd
import torch
from torch.nn import functional as F

from beatwise.data.examples import Examples
from beatwise.data.representations import representation
from beatwise.explanation.settings import Explain
from beatwise.networks.zoo import MODELS, build_model
from beatwise.tasks.classification.task import Classification
from beatwise.tasks.tensors import TensorSet, build_tensors
from beatwise.training.trained_model import TrainedModel
from tests.conftest import CLASSES

LENGTH = 48
EXPLAIN = Explain(
    beats_per_class=4,
    steps=8,
    random_networks=2,
    check_beats_per_class=3,
    embedding_beats=60,
    projections={"use": ["pca"]},
)


@dataclass(frozen=True, eq=False)
class Explained:
    """A model, beats, and all that is made of them before anything is explained."""

    model: TrainedModel
    beats: Examples
    tensors: TensorSet
    predictions: pd.DataFrame


def waves(n: int = 60) -> Examples:
    """Beats with one wave, whose place says their class, noise, and zeros behind their ends."""
    rng = np.random.default_rng(0)
    target, time = np.arange(n) % len(CLASSES), np.arange(LENGTH)
    wave = np.exp(-(((time - 6 - 7 * target[:, None]) / 3.0) ** 2)) + rng.uniform(0.05, 0.25, (n, LENGTH))
    ends = rng.integers(40, LENGTH, n)
    x = np.where(time < ends[:, None], wave / 1.3, 0).astype(np.float32)
    return Examples(x, pd.DataFrame({"target": target}))


def explained(beats: Examples, name: str = "cnn1d", *, steps: int = 0, **options: Any) -> Explained:
    """A network with weights by chance or after a short training, as a model that was trained would be stored.

    Args:
        beats: Beats.
        name: Name of the model.
        steps: Steps of its training, on all beats.
        **options: Its hyper-parameters.
    """
    seen = representation(MODELS[name].representation, {}).fit(beats)
    tensors = build_tensors(beats, seen, Classification(classes=tuple(CLASSES)))
    shape = tensors.x.shape[1:]
    with torch.random.fork_rng():
        torch.manual_seed(0)
        network = build_model(name, input_shape=shape, n_outputs=len(CLASSES), n_aux=tensors.aux.shape[1], **options)
    optimizer = torch.optim.Adam(network.parameters(), 5e-3)
    for _ in range(steps):
        logits = network(torch.from_numpy(tensors.x), torch.from_numpy(tensors.aux))
        loss = F.cross_entropy(logits, torch.from_numpy(tensors.labels))
        optimizer.zero_grad()
        torch.autograd.backward(loss)
        optimizer.step()
    config = {"model": {"use": name, name: options}, "train": {"loss": {"use": "cross_entropy"}}}
    metadata = {"val_fingerprint": tensors.fingerprint}
    model = TrainedModel(network.eval(), shape, seen, tensors.task, config, [], metadata)
    return Explained(model, beats, tensors, model.predict(tensors))
