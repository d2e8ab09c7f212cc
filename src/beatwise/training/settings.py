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
    """The training loop."""

    epochs: int = Field(20, ge=1, description="Most epochs.")
    steps_per_epoch: Annotated[int, Field(ge=1)] | None = Field(
        None, description="Batches in an epoch; null is one pass over the training part."
    )
    max_minutes: Positive | None = Field(
        None, description="Time after which no further epoch begins (min); null is no limit."
    )
    batch_size: int = Field(128, ge=1, description="Examples in a step.")
    learning_rate: Positive = Field(3e-3, description="Highest learning rate.")
    optimizer: TrainingChoice = Field(TrainingChoice(use="adamw"), description="Optimizer (`beatwise.training.optim`).")
    schedule: TrainingChoice = Field(
        TrainingChoice(use="cosine"), description="Learning-rate schedule (`beatwise.training.optim`)."
    )
    loss: TrainingChoice = Field(
        TrainingChoice(use="cross_entropy"), description="Loss (`beatwise.tasks.classification.losses`)."
    )
    class_weights: TrainingChoice = Field(
        TrainingChoice(use="none"),
        description="Weights of the classes in the loss (`beatwise.tasks.classification.losses`).",
    )
    sampler_power: float = Field(
        0.0,
        ge=0,
        le=1,
        description="Examples are drawn with weight count^-p; 0: each once an epoch, 1: all classes equally often.",
    )
    log_prior_bias: bool = Field(
        False, description="Whether the last bias starts at the logarithm of the classes' shares."
    )
    augment: Augment = Field(Augment(), description="Augmentations of the batches.")
    average: TrainingChoice = Field(
        TrainingChoice(use="none"),
        description="Average of the weights that is validated and kept (`beatwise.training.optim`).",
    )
    gradient_clip: Positive | None = Field(1.0, description="Largest norm of the gradient; null does not clip.")
    trim_padding: bool = Field(
        True, description="Whether to batch beats of like length and cut padding; for models that ignore padding."
    )
    precision: Literal["float32", "bfloat16"] = Field(
        "float32",
        description="Number format of the forward pass; `bfloat16` is faster on processors that compute in it.",
    )
    monitor: MetricName | None = Field(
        "macro_recall", description="Overall validation metric that picks the best epoch; null is the task's default."
    )
    patience: Annotated[int, Field(ge=1)] | None = Field(
        8, description="Epochs without improvement after which training stops; null never stops early."
    )


class FitConfig(Block):
    """What one fit is made with: the dataset ``config`` of each namespace, checked in every node that takes it."""

    classes: list[str]
    seed: int
    resample: Resample
    tensors: Tensors
    model: Model
    train: Train
