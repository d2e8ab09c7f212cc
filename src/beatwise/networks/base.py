"""The registry of models: a model's keyword-only signature is the schema of its hyper-parameters."""

from __future__ import annotations

from typing import Any, ClassVar

from torch import Tensor, nn

from beatwise.core.registry import Registry


class Network(nn.Module):
    """A network from beats to logits; every model of the zoo is one.

    Attributes:
        representation: The representation that it is made for; ``tensors.use: auto`` takes it.
        source: Where the architecture comes from.
        ignores_padding: Whether zeros behind a beat never change its logits. Training may then cut batches to their
            longest beat.
    """

    representation: ClassVar[str] = "signal"
    source: ClassVar[str] = ""
    ignores_padding: ClassVar[bool] = False

    def forward(self, x: Tensor, aux: Tensor) -> Tensor:
        """Map ``float32 [n, *input_shape]`` and auxiliary features ``[n, n_aux]`` to logits ``[n, n_classes]``."""
        raise NotImplementedError


MODELS: Registry[type[Network]] = Registry("model", supplied=["input_shape", "n_classes", "n_aux"])


def list_models() -> list[str]:
    """Names of all models."""
    return MODELS.names()


def build_model(name: str, *, input_shape: tuple[int, ...], n_classes: int, n_aux: int = 0, **options: Any) -> Network:
    """Build a model with fresh weights from torch's global generator.

    Args:
        name: Name of the model.
        input_shape: Shape of one beat without the batch axis, ``(c, t)`` or ``(c, height, width)``.
        n_classes: Number of classes.
        n_aux: Number of auxiliary features.
        **options: Hyper-parameters of the model; what is left out takes its default.

    Returns:
        A module that maps ``x`` ``float32 [n, *input_shape]`` and ``aux`` ``float32 [n, n_aux]`` to logits
        ``float32 [n, n_classes]``; its last layer is ``head.linear``.

    Raises:
        BeatwiseError: If the name or a hyper-parameter is unknown, or a value is not allowed.
    """
    checked = MODELS.options(name, options, f"model.{name}")
    # The class's own signature is wider than the common one.
    build: Any = MODELS[name]
    return build(input_shape=input_shape, n_classes=n_classes, n_aux=n_aux, **checked)
