"""The network, its head, and the registry of models: a model's keyword-only signature is the schema of its options."""

from __future__ import annotations

from collections.abc import Iterator
from typing import TYPE_CHECKING, Any, ClassVar, Final, Literal

import torch
from torch import Tensor, nn

from beatwise.core.errors import BeatwiseError
from beatwise.core.registry import Registry

if TYPE_CHECKING:
    from beatwise.tasks.tensors import TensorSet

# Units of the hidden layer that joins auxiliary features with those of the network.
HEAD_WIDTH: Final = 64
# By layout: how many axes an example has, what they are, and the representations that have them.
LAYOUTS: Final = {
    "series": (2, "channels over time [c, t]", "signal, signal_with_mask or scalogram"),
    "image": (3, "images [c, height, width]", "image"),
}


class Head(nn.Module):
    """The end of a network: dropout, then a linear map to the outputs; auxiliary features join before it.

    Auxiliary features are concatenated with the features of the network and pass a hidden layer of :data:`HEAD_WIDTH`
    units. A linear map alone could only add the two up, and an S beat is one that comes early *and* looks like N.
    """

    def __init__(self, n_features: int, n_aux: int, n_outputs: int, dropout: float) -> None:
        super().__init__()
        self.dropout = nn.Dropout(dropout)
        self.hidden = nn.Sequential(nn.Linear(n_features + n_aux, HEAD_WIDTH), nn.ReLU()) if n_aux else nn.Identity()
        self.linear = nn.Linear(HEAD_WIDTH if n_aux else n_features, n_outputs)

    def penultimate(self, features: Tensor, aux: Tensor) -> Tensor:
        """Map ``[n, n_features]`` and ``[n, n_aux]`` to the input of the last linear map."""
        return self.hidden(torch.cat([self.dropout(features), aux], dim=1))

    def forward(self, features: Tensor, aux: Tensor) -> Tensor:
        """Map ``[n, n_features]`` and ``[n, n_aux]`` to outputs ``[n, n_outputs]``."""
        return self.linear(self.penultimate(features, aux))


class Network(nn.Module):
    """A network from examples to outputs: the layers of its family, and a head that all families share.

    A family builds its layers in the constructor, sets ``n_features`` there (and ``dropout``, where the head is to have
    one), and maps examples to features in :meth:`features`.

    Attributes:
        layout: Layout of the input: ``series`` [c, t], ``image`` [c, height, width], or ``any``.
        representation: The representation that it is made for; ``tensors.use: auto`` takes it.
        source: Where the architecture comes from.
        ignores_padding: Whether zeros after the end of an example never change its outputs. Training may then cut
            batches to their longest example.
        n_features: Length of what :meth:`features` returns.
        dropout: Dropout of the features in the head.
        head: The head.
    """

    layout: ClassVar[Literal["series", "image", "any"]] = "series"
    representation: ClassVar[str] = "signal"
    source: ClassVar[str] = ""
    ignores_padding: ClassVar[bool] = False

    n_features: int
    dropout: float = 0.0
    head: Head

    def features(self, x: Tensor) -> Tensor:
        """Map ``float32 [n, *input_shape]`` to features ``[n, n_features]``."""
        raise NotImplementedError

    def add_head(self, n_outputs: int, n_aux: int) -> None:
        """Add the head, with fresh weights.

        Args:
            n_outputs: Number of outputs.
            n_aux: Number of auxiliary features.
        """
        self.head = Head(self.n_features, n_aux, n_outputs, self.dropout)

    def forward(self, x: Tensor, aux: Tensor) -> Tensor:
        """Map ``float32 [n, *input_shape]`` and auxiliary features ``[n, n_aux]`` to outputs ``[n, n_outputs]``."""
        return self.head(self.features(x), aux)

    def penultimate(self, x: Tensor, aux: Tensor) -> Tensor:
        """The input of the last linear map, ``[n, d]``, of the same arguments as :meth:`forward`."""
        return self.head.penultimate(self.features(x), aux)

    def set_output_bias(self, bias: Tensor) -> None:
        """Set what the last linear map adds, ``[n_outputs]``: the outputs before anything is learned."""
        with torch.no_grad():
            self.head.linear.bias.copy_(bias)


class SelfFitting(Network):
    """A network that an algorithm of its own fits, without gradients and without the settings of ``train``.

    Its outputs are constant almost everywhere in its input, so that no gradient explains them.

    Attributes:
        learning_rate: Its learning rate, as the history shows it.
    """

    learning_rate: float

    def fit(self, train: TensorSet, val: TensorSet, seed: int, *, rounds: int | None = None) -> list[float]:
        """Fit the network.

        Args:
            train: Training part.
            val: Validation part; may end the fit, is not fitted.
            seed: Seed.
            rounds: Number of rounds, which validation then does not end; None lets it.

        Returns:
            The loss on the training part after each round; empty with ``rounds``.
        """
        raise NotImplementedError

    def rounds(self, x: Tensor, aux: Tensor) -> Iterator[Tensor]:
        """Outputs ``[n, n_outputs]`` after each round; the last ones are those of :meth:`forward`."""
        raise NotImplementedError


MODELS: Registry[type[Network]] = Registry("model", supplied=["input_shape"])


def list_models(*, by_gradients: bool = False) -> list[str]:
    """Names of all models, or of those alone that gradients train."""
    return [name for name in MODELS.names() if not (by_gradients and issubclass(MODELS[name], SelfFitting))]


def build_model(name: str, *, input_shape: tuple[int, ...], n_outputs: int, n_aux: int = 0, **options: Any) -> Network:
    """Build a model with fresh weights from torch's global generator.

    Args:
        name: Name of the model.
        input_shape: Shape of one example without the batch axis, ``(c, t)`` or ``(c, height, width)``.
        n_outputs: Number of outputs; for a classification, of classes.
        n_aux: Number of auxiliary features.
        **options: Hyper-parameters of the model; what is left out takes its default.

    Returns:
        A module that maps ``x`` ``float32 [n, *input_shape]`` and ``aux`` ``float32 [n, n_aux]`` to outputs
        ``float32 [n, n_outputs]``.

    Raises:
        BeatwiseError: If the name or a hyper-parameter is unknown, a value is not allowed, or the model takes another
            layout.
    """
    checked = MODELS.options(name, options, f"model.{name}")
    # The class's own signature is wider than the common one.
    build: Any = MODELS[name]
    if build.layout in LAYOUTS:
        n_axes, axes, representations = LAYOUTS[build.layout]
        if len(input_shape) != n_axes:
            raise BeatwiseError(
                f"The model {name!r} takes {axes}, not {list(input_shape)}: use tensors.use={representations}."
            )
    network: Network = build(input_shape=input_shape, **checked)
    network.add_head(n_outputs, n_aux)
    return network
