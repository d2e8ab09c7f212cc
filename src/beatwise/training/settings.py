"""Settings of a training, and of a whole fit."""

from __future__ import annotations

from typing import Annotated, Literal

from pydantic import Field

from beatwise.core.settings import Block, Choice, Choices, Positive
from beatwise.data.settings import Resample, Tensors
from beatwise.networks.settings import Model
from beatwise.tasks.settings import MetricName


class TrainingChoice(Choice):
    """A choice of the training loop; its options are checked in ``configure``, because its registry needs torch."""


class Augment(Choices):
    """Augmentations of batches (:mod:`beatwise.data.augmentations`), in order; checked in ``configure``."""


class Train(Block):
    """The training loop.

    Attributes:
        epochs: Epochs, at most.
        steps_per_epoch: Batches an epoch; null is one pass over the training part. A number makes strategies that
            leave parts of different size comparable, and a dry run short.
        max_minutes: Training stops after the epoch in which this time is over; null is no limit.
        batch_size: Beats a step.
        learning_rate: Highest learning rate.
        optimizer: Optimizer (:mod:`beatwise.training.optim`).
        schedule: Learning-rate schedule (:mod:`beatwise.training.optim`).
        loss: Loss (:mod:`beatwise.tasks.classification.losses`).
        class_weights: Weights of the classes in the loss (:mod:`beatwise.tasks.classification.losses`).
        sampler_power: Beats are drawn with weight count^-p of their class; 0 visits each beat once, 1 draws classes
            equally often.
        log_prior_bias: Whether the last layer's bias begins at the logarithm of the classes' shares.
        augment: Augmentations of the batches.
        average: Average of the weights that is validated and kept (:mod:`beatwise.training.optim`).
        gradient_clip: Largest norm of the gradient; null does not clip.
        trim_padding: Whether beats of like length share a batch and batches are cut to their longest beat; for models
            that ignore padding and have no batch normalisation.
        precision: Number format of the forward pass; ``bfloat16`` pays where the processor computes in it.
        monitor: Overall validation metric that picks the best epoch (:mod:`beatwise.tasks.metrics`); null is the
            task's own.
        patience: Epochs without a better one after which training stops; null never stops early.
    """

    epochs: Annotated[int, Field(ge=1)] = 20
    steps_per_epoch: Annotated[int, Field(ge=1)] | None = None
    max_minutes: Positive | None = None
    batch_size: Annotated[int, Field(ge=1)] = 128
    learning_rate: Positive = 3e-3
    optimizer: TrainingChoice = TrainingChoice(use="adamw")
    schedule: TrainingChoice = TrainingChoice(use="cosine")
    loss: TrainingChoice = TrainingChoice(use="cross_entropy")
    class_weights: TrainingChoice = TrainingChoice(use="none")
    sampler_power: Annotated[float, Field(ge=0, le=1)] = 0.0
    log_prior_bias: bool = False
    augment: Augment = Augment()
    average: TrainingChoice = TrainingChoice(use="none")
    gradient_clip: Positive | None = 1.0
    trim_padding: bool = True
    precision: Literal["float32", "bfloat16"] = "float32"
    monitor: MetricName | None = "macro_recall"
    patience: Annotated[int, Field(ge=1)] | None = 8


class FitConfig(Block):
    """What one fit is made with: the dataset ``config`` of each namespace, checked in every node that takes it."""

    classes: list[str]
    seed: int
    resample: Resample
    tensors: Tensors
    model: Model
    train: Train
