"""The registry of models: a model's keyword-only signature is the schema of its hyper-parameters."""

from __future__ import annotations

from typing import Any

from torch import nn

from beatwise.registry import Registry

MODELS: Registry[Any] = Registry("model", supplied=["input_shape", "n_classes", "n_aux"])


def list_models() -> list[str]:
    """Names of all models."""
    return MODELS.names()


def build_model(
    name: str, *, input_shape: tuple[int, ...], n_classes: int, n_aux: int = 0, **options: Any
) -> nn.Module:
    """Build a model with fresh weights from torch's global generator.

    Args:
        name: Name of the model.
        input_shape: Shape of one beat without the batch axis, ``(c, t)`` or ``(c, height, width)``.
        n_classes: Number of classes.
        n_aux: Number of auxiliary features.
        **options: Hyper-parameters of the model; what is left out takes its default.

    Returns:
        A module that maps ``x`` ``float32 [n, *input_shape]`` and ``aux`` ``float32 [n, n_aux]`` to logits
        ``float32 [n, n_classes]``.

    Raises:
        BeatwiseError: If the name or a hyper-parameter is unknown, or a value is not allowed.
    """
    checked = MODELS.options(name, options, f"model.{name}")
    return MODELS[name](input_shape=input_shape, n_classes=n_classes, n_aux=n_aux, **checked)
