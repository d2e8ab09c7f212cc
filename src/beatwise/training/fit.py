"""One fit from examples to a model: the nodes of the fit template, and what every row of a comparison does.

Pipelines name these functions, so that importing them must not import torch.
"""

from __future__ import annotations

import logging
from collections.abc import Mapping
from functools import cache
from typing import Any, Final, TypeVar

from pydantic import ValidationError

from beatwise.core.errors import BeatwiseError
from beatwise.core.nested import merged
from beatwise.core.registry import describe_validation
from beatwise.core.settings import Block, Choice
from beatwise.data.examples import TARGET, TIME, Examples, concatenate
from beatwise.data.representations import representation as representation_of
from beatwise.data.resampling import resample_examples
from beatwise.data.settings import Resample, Tensors
from beatwise.networks.settings import Model
from beatwise.tasks.settings import TaskChoice
from beatwise.tasks.tensors import TensorSet, build_tensors
from beatwise.training.settings import FitSettings, Loss, Train

log = logging.getLogger(__name__)

B = TypeVar("B", bound=Block)

BLOCKS: Final[dict[str, type[Block]]] = {"resample": Resample, "tensors": Tensors, "model": Model, "train": Train}


def fit_settings(
    task: TaskChoice, seed: int, resample: Resample, tensors: Tensors, model: Model, train: Train
) -> FitSettings:
    """The settings of one fit: each choice with its chosen entry only, and all options of that entry.

    Raises:
        BeatwiseError: If a name or an option is unknown, or a value is not allowed.
    """
    from beatwise.networks.base import SelfFitting
    from beatwise.networks.zoo import MODELS
    from beatwise.training.start import check_start, pinned

    (built := task.build()).check(train, resample.use)
    if issubclass(MODELS[model.use], SelfFitting):
        if train.start.use != "fresh":
            raise BeatwiseError(
                f"train.start.use={train.start.use}: the model {model.use!r} has no layers to start from."
            )
        # It uses no other settings; their defaults stand for them, so that equal fits have equal configurations.
        train = Train(monitor=train.monitor, loss=Loss(use=built.default_loss), refit=train.refit)
    chosen = tensors.model_copy(update={"use": representation(model, tensors)})
    if model.options.get("difference_and_ramp") and chosen.use not in ("signal", "signal_with_mask"):
        raise BeatwiseError(
            f"model.{model.use}.difference_and_ramp: the representation {chosen.use!r} has no mask of the padding; "
            "allowed with tensors.use=signal or signal_with_mask. Set it to false."
        )
    settings = FitSettings(
        task=task,
        seed=seed,
        resample=resample.settled(),
        tensors=chosen.settled(),
        model=model.settled(),
        train=train.model_copy(update={"start": pinned(train.start)}).settled(),
    )
    check_start(settings)
    return settings


def check_fit(model: Model, train: Train, tensors: Tensors) -> None:
    """Check the choices whose registries import torch, chosen or not, and whether they suit each other.

    A precision that this processor has to emulate is warned of.

    Raises:
        BeatwiseError: On an unknown name or option, or a value that is not allowed.
    """
    from beatwise.data.augmentations import refuse_unsuitable

    model.check("model")
    for name in Train.model_fields:
        if isinstance(choice := getattr(train, name), Choice):
            choice.check(f"train.{name}")
    refuse_unsuitable(train.augment.use, representation(model, tensors))
    if train.precision == "bfloat16":
        warn_of_emulated_bfloat16()


@cache
def warn_of_emulated_bfloat16() -> None:
    """Warn, once a process, if torch has to emulate bfloat16 on this processor."""
    import torch

    if torch.backends.cpu.get_cpu_capability() == "AVX2" and not torch.cuda.is_available():
        log.warning(
            "train.precision=bfloat16: this processor has no instructions for bfloat16, and a training takes several "
            "times as long as with train.precision=float32."
        )


def representation(model: Model, tensors: Tensors) -> str:
    """Name of the configured representation; the model's own where ``tensors.use`` is ``auto``."""
    from beatwise.networks.zoo import MODELS

    return MODELS[model.use].representation if tensors.use == "auto" else tensors.use


def fit_blocks(resample: Resample, tensors: Tensors, model: Model, train: Train) -> dict[str, Any]:
    """The parameters of a fit as plain data, by block; one version of the model that it starts from."""
    from beatwise.training.start import with_version

    train = train.model_copy(update={"start": with_version(train.start)})
    given = {"resample": resample, "tensors": tensors, "model": model, "train": train}
    return {name: block.model_dump(mode="json") for name, block in given.items()}


def changed_fit(
    base: Mapping[str, Any], changes: Mapping[str, Any], task: TaskChoice, seed: int, key: str
) -> FitSettings:
    """The configuration of a fit with changed parameters.

    Args:
        base: Result of :func:`fit_blocks`.
        changes: New values by block, nested as the parameters are.
        task: The task.
        seed: Seed of resampling and training.
        key: The key of the changes in the configuration, for messages.

    Raises:
        BeatwiseError: If what is changed is no parameter, or a value is not allowed.
    """
    unknown = sorted(set(changes) - set(BLOCKS))
    if unknown:
        raise BeatwiseError(f"{key}: {', '.join(unknown)} cannot be changed here; allowed: {', '.join(BLOCKS)}.")
    blocks: dict[str, Any] = {
        name: changed_block(schema, base[name], changes.get(name), f"{key}: {name}") for name, schema in BLOCKS.items()
    }
    try:
        check_fit(blocks["model"], blocks["train"], blocks["tensors"])
        return fit_settings(task, seed, **blocks)
    except BeatwiseError as error:
        raise BeatwiseError(f"{key}: {error}") from error


def changed_block(schema: type[B], base: Mapping[str, Any], changes: Any, key: str) -> B:
    """One block of parameters with changed values; messages name their ``key``.

    Raises:
        BeatwiseError: If what is changed is no parameter, or a value is not allowed.
    """
    if not isinstance(changes, Mapping | None):
        raise BeatwiseError(f"{key}: got {changes!r}; allowed: parameters by name, for instance {{use: …}}.")
    try:
        return schema.model_validate(merged(base, changes or {}))
    except ValidationError as error:
        raise BeatwiseError(describe_validation(error, key, schema)) from error


def resample_train(train: Examples, config: FitSettings) -> Examples:
    """Resample the training part as the fit says; no other part is ever resampled."""
    classes = config.task.build().class_names
    return resample_examples(train, config.resample.use, config.resample.options, classes, config.seed)


def fit_tensors(resampled: Examples, train: Examples, config: FitSettings, *others: Examples) -> tuple[TensorSet, ...]:
    """Tensors of the resampled training part, and of other parts."""
    # Means and deviations are those before resampling, so that other parts do not depend on the strategy.
    chosen = representation_of(config.tensors.use, config.tensors.options)
    fitted = chosen.fit(train, features=config.tensors.features)
    task = config.task.build().fitted(train.table[TARGET], train.table.get(TIME))
    return tuple(build_tensors(part, fitted, task) for part in (resampled, *others))


def refit_tensors(train: Examples, val: Examples, config: FitSettings) -> TensorSet | None:
    """Tensors of train and validation together, resampled together, for ``train.refit``; None without it.

    What the representation and the task take from the examples, such as means, stays that of the training part.
    """
    if not config.train.refit:
        return None
    return fit_tensors(resample_train(concatenate([train, val]), config), train, config)[0]
