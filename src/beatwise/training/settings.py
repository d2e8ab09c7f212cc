"""Settings of a training, and of a whole fit."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Annotated, Any, Literal

from pydantic import Field, model_validator

from beatwise.core.errors import BeatwiseError
from beatwise.core.nested import merged
from beatwise.core.settings import Block, Choice, Choices, Positive, Presets
from beatwise.data.settings import Resample, Tensors
from beatwise.networks.settings import Model
from beatwise.tasks.settings import MetricName, TaskChoice


class Start(Choice):
    """The weights that a training begins with (:mod:`beatwise.training.start`)."""

    registry = "beatwise.training.start.STARTS"
    needs_torch = True

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

    keep: Literal["best", "last"] = Field(
        "best",
        description="`best` keeps the weights of the best epoch by `monitor`; `last` those of the last one, without "
        "patience: the number of epochs is then fixed beforehand.",
    )
    refit: bool = Field(
        False,
        description="Whether to train once more, on train and validation together, for as many epochs as the first "
        "training kept. Twice the time. Predictions of validation, and all that is chosen on them, stay those of the "
        "first training, which has not seen it.",
    )

    @model_validator(mode="after")
    def _check_refit(self) -> Train:
        if self.refit and self.schedule.use == "plateau":
            raise BeatwiseError(
                "train.refit trains without validation, and train.schedule.use=plateau follows it. Use another "
                "schedule (cosine), or train.refit=false."
            )
        return self

    @model_validator(mode="after")
    def _check_pruning(self) -> Train:
        if self.prune and (self.sampler_power or self.steps_per_epoch):
            given = "sampler_power" if self.sampler_power else "steps_per_epoch"
            raise BeatwiseError(
                f"train.prune leaves examples out of a whole pass, and train.{given} draws them another way. Set "
                f"train.{given}={'0' if self.sampler_power else 'null'}, or train.prune=0."
            )
        return self


class FitChanges(Block):
    """Parameters of a fit that are set together, over those of the files."""

    resample: dict[str, Any] = Field({}, description="Changes to `resample`.")
    tensors: dict[str, Any] = Field({}, description="Changes to `tensors`.")
    model: dict[str, Any] = Field({}, description="Changes to `model`.")
    train: dict[str, Any] = Field({}, description="Changes to `train`.")


class Recipe(Presets):
    """A recipe by name: it stands over the files of all environments; what `--params` gives stands over the recipe."""

    kind = "recipe"
    preset = FitChanges


def with_recipe(files: dict[str, Any], given: Mapping[str, Any]) -> dict[str, Any]:
    """The parameters of the files, then those of the chosen recipe, then those of the command.

    Args:
        files: Parameters of all files.
        given: Parameters of the command.
    """
    asked = merged(files, given)
    # What is no recipe is refused where the parameters are checked.
    recipe = asked.get("recipe")
    chosen = recipe.get(recipe.get("use")) if isinstance(recipe, Mapping) else None
    return merged(merged(files, chosen), given) if isinstance(chosen, Mapping) else asked


class FitSettings(Block):
    """Settings of one fit: the dataset ``config`` of each namespace."""

    task: TaskChoice
    seed: int
    resample: Resample
    tensors: Tensors
    model: Model
    train: Train
