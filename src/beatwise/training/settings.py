"""Settings of a training, and of a whole fit."""

from __future__ import annotations

from typing import Annotated, Literal

from pydantic import Field, model_validator

from beatwise.core.errors import BeatwiseError
from beatwise.core.settings import Block, Choice, Choices, Positive
from beatwise.data.settings import Resample, Tensors
from beatwise.networks.settings import Model
from beatwise.tasks.settings import MetricName, TaskChoice


class Start(Choice):
    """The weights that a training begins with (:mod:`beatwise.training.start`)."""

    registry = "beatwise.training.start.STARTS"

    @property
    def rates(self) -> dict[str, float]:
        """Multiples of the learning rate by layer (``start.layer_rate``)."""
        return self.options.get("rates") or {}


class Optimizer(Choice):
    """The optimizer (:mod:`beatwise.training.optim`)."""

    registry = "beatwise.training.optim.OPTIMIZERS"
    needs_torch = True


class Schedule(Choice):
    """The learning-rate schedule (:mod:`beatwise.training.optim`)."""

    registry = "beatwise.training.optim.SCHEDULES"
    needs_torch = True


class Loss(Choice):
    """The loss (:mod:`beatwise.tasks.losses`)."""

    registry = "beatwise.tasks.losses.LOSSES"
    needs_torch = True


class ClassWeights(Choice):
    """Weights of the classes in the loss (:mod:`beatwise.tasks.classification.losses`)."""

    registry = "beatwise.tasks.classification.losses.CLASS_WEIGHTS"
    needs_torch = True


class Average(Choice):
    """Average of the weights that is validated and kept (:mod:`beatwise.training.optim`)."""

    registry = "beatwise.training.optim.AVERAGES"
    needs_torch = True


class Augment(Choices):
    """Augmentations of the batches in order (:mod:`beatwise.data.augmentations`)."""

    registry = "beatwise.data.augmentations.AUGMENTATIONS"
    needs_torch = True


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
    start: Start = Start(use="fresh")
    optimizer: Optimizer = Optimizer(use="adamw")
    schedule: Schedule = Schedule(use="cosine")
    loss: Loss = Loss(use="cross_entropy")
    class_weights: ClassWeights = ClassWeights(use="none")
    sampler_power: float = Field(
        0.0,
        ge=0,
        le=1,
        description="Examples are drawn with weight count^-p; 0: each once an epoch, 1: all classes equally often.",
    )
    prune: float = Field(
        0.0,
        ge=0,
        lt=1,
        description="Share of the easy examples, whose last loss is below the mean, that an epoch leaves out; those "
        "kept count as much more. The first epoch and the last eighth visit all. 0: every epoch visits all.",
    )
    log_prior_bias: bool = Field(
        False, description="Whether the last bias starts at the logarithm of the classes' shares."
    )
    augment: Augment = Augment()
    average: Average = Average(use="none")
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

    @model_validator(mode="after")
    def _check_pruning(self) -> Train:
        if self.prune and (self.sampler_power or self.steps_per_epoch):
            given = "sampler_power" if self.sampler_power else "steps_per_epoch"
            raise BeatwiseError(
                f"train.prune leaves examples out of a whole pass, and train.{given} draws them another way. Set "
                f"train.{given}={'0' if self.sampler_power else 'null'}, or train.prune=0."
            )
        return self


class FitSettings(Block):
    """Settings of one fit: the dataset ``config`` of each namespace."""

    task: TaskChoice
    seed: int
    resample: Resample
    tensors: Tensors
    model: Model
    train: Train
