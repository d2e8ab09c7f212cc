"""Representations by name: what a network gets to see of an example.

A representation holds its options and what is fitted on the training part: the shape of the examples, and the means and
deviations by which features and channels are standardised. It is stored with the model.
"""

from __future__ import annotations

import copy
import fnmatch
from abc import ABC, abstractmethod
from collections.abc import Callable, Mapping, Sequence
from dataclasses import asdict, dataclass, replace
from typing import Annotated, Any, ClassVar, Literal, Self, TypeVar

import numpy as np
import numpy.typing as npt
from pydantic import AfterValidator, BeforeValidator, Field

from beatwise.core.errors import BeatwiseError
from beatwise.core.registry import Registry, unknown_name
from beatwise.core.settings import split_names
from beatwise.data.examples import CHUNK, Array, Examples
from beatwise.data.features import mean_and_sd, with_ratios

Layout = Literal["series", "image"]


def _listed(given: Any) -> Any:
    # `--params` gives one number as a number.
    return [given] if isinstance(given, int) else split_names(given)


def _distinct(channels: tuple[int, ...]) -> tuple[int, ...]:
    if len(set(channels)) < len(channels):
        raise ValueError(f"got {list(channels)}; each channel stands there once.")
    return channels


Channels = Annotated[tuple[Annotated[int, Field(ge=0)], ...], BeforeValidator(_listed), AfterValidator(_distinct)]
# Shapes of an example, by their number of axes.
AXES = {1: "[t]", 2: "[c, t]", 3: "[c, h, w]"}


@dataclass(frozen=True)
class Fitted:
    """The state of a representation that is fitted on the training part before resampling.

    Attributes:
        shape: Shape of one example.
        features: Names of the features that examples bring.
        feature_names: Names of the features that a network gets: those and their ratios.
        feature_mean: Their means.
        feature_sd: Their standard deviations.
        channel_mean: Means of the channels, where they are normalised.
        channel_sd: Standard deviations of the channels, where they are normalised.
    """

    shape: tuple[int, ...]
    features: tuple[str, ...] = ()
    feature_names: tuple[str, ...] = ()
    feature_mean: tuple[float, ...] = ()
    feature_sd: tuple[float, ...] = ()
    channel_mean: tuple[float, ...] = ()
    channel_sd: tuple[float, ...] = ()


class Representation(ABC):
    """How examples become the input of a network; an entry's keyword-only signature is the schema of its options.

    Attributes:
        name: Name in the registry.
        layout: ``series`` for ``[c, t]``, ``image`` for ``[c, height, width]``.
        masks_padding: Whether a channel marks the padding behind the last sample.
        axes: Numbers of axes of the examples that it takes: 1 for beats, 2 for channels of a series, 3 for pictures.
        options: Its options.
        fitted: The state fitted on train.
    """

    name: ClassVar[str]
    layout: Layout = "series"
    masks_padding: ClassVar[bool] = False
    axes: ClassVar[tuple[int, ...]] = (1,)
    fitted: Fitted

    def __init__(self, **options: Any) -> None:
        self.options = options

    @abstractmethod
    def transform(self, x: Array) -> Array:
        """Map examples ``float32 [n, *shape]`` to ``[n, *input_shape]``."""

    def to_samples(self, attribution: Array) -> Array:
        """Attributions of ``[n, *input_shape]`` as attributions of the values of an example, ``float32 [n, *shape]``.

        The channels that a beat [t] has become are added up.
        """
        return attribution.sum(axis=1) if len(self.fitted.shape) == 1 else attribution

    def fit(self, train: Examples, *, features: bool | Sequence[str] = True) -> Self:
        """A copy with the shape, and the means and deviations, of the training part before resampling.

        Raises:
            BeatwiseError: If it does not take examples of this shape, or a feature is unknown.
        """
        if (axes := len(train.shape)) not in self.axes:
            others = [name for name in REPRESENTATIONS.names() if axes in REPRESENTATIONS[name].axes]
            raise BeatwiseError(
                f"The representation {self.name!r} takes {' or '.join(AXES[axes] for axes in self.axes)}, and the "
                f"examples are {list(train.shape)}: use tensors.use={' or '.join(others)}."
            )
        names = tuple(train.feature_names if features is True else _named(features or (), train.feature_names))
        fitted = Fitted(train.shape, names)
        if names:
            values = with_ratios(train.table[list(names)])
            derived = tuple(map(str, values.columns))
            # In order of rows, because the order of a sum decides its last digits.
            mean, sd = mean_and_sd(np.ascontiguousarray(values.to_numpy(np.float32)).astype(np.float64))
            fitted = replace(fitted, feature_names=derived, feature_mean=mean, feature_sd=sd)
        channel_mean, channel_sd = self._fit_channels(train.x)
        return self.with_fitted(replace(fitted, channel_mean=channel_mean, channel_sd=channel_sd))

    def _fit_channels(self, x: Array) -> tuple[tuple[float, ...], tuple[float, ...]]:
        """Means and deviations of the channels; empty where they are not normalised."""
        return (), ()

    def with_fitted(self, fitted: Fitted) -> Self:
        """A copy with what was fitted."""
        other = copy.copy(self)
        other.fitted = fitted
        return other

    @property
    def feature_names(self) -> tuple[str, ...]:
        """Names of the features that a network gets."""
        return self.fitted.feature_names

    @property
    def input_shape(self) -> tuple[int, ...]:
        """Shape of one example as a network takes it."""
        return self.transform(np.zeros((1, *self.fitted.shape), dtype=np.float32)).shape[1:]

    def _aux(self, examples: Examples) -> Array:
        fitted = self.fitted
        if not fitted.features:
            return np.zeros((len(examples), 0), dtype=np.float32)
        if missing := [name for name in fitted.features if not examples.has(name)]:
            raise BeatwiseError(
                f"The model was trained with the features {', '.join(fitted.features)}, and these examples lack "
                f"{', '.join(missing)}. Use a source that has them, or train with tensors.features=false."
            )
        values = with_ratios(examples.table[list(fitted.features)]).to_numpy(np.float32)
        return ((values - np.asarray(fitted.feature_mean)) / np.asarray(fitted.feature_sd)).astype(np.float32)

    def apply(self, examples: Examples) -> tuple[Array, Array]:
        """``x`` and the standardised features of examples, ``float32 [n, *input_shape]`` and ``[n, f]``.

        Raises:
            BeatwiseError: If the examples are of another shape, or lack features that the model was trained with.
        """
        if examples.shape != self.fitted.shape:
            raise BeatwiseError(
                f"These examples have the shape {list(examples.shape)}, and the model was trained on "
                f"{list(self.fitted.shape)}: they come from another source or segmentation rule."
            )
        return np.ascontiguousarray(self.transform(examples.x)), self._aux(examples)

    def to_dict(self) -> dict[str, Any]:
        """Plain data for JSON."""
        return {"use": self.name, "options": self.options, "fitted": asdict(self.fitted)}

    @staticmethod
    def from_dict(stored: Mapping[str, Any]) -> Representation:
        """The inverse of :meth:`to_dict`."""
        made = representation(stored["use"], _with_tuples(stored["options"]))
        return made.with_fitted(Fitted(**_with_tuples(stored["fitted"])))

    def __eq__(self, other: object) -> bool:
        return isinstance(other, Representation) and self.to_dict() == other.to_dict()

    __hash__ = None  # type: ignore[assignment]


REPRESENTATIONS: Registry[type[Representation]] = Registry("representation")
R = TypeVar("R", bound=type[Representation])


def register(name: str) -> Callable[[R], R]:
    """Decorate a representation to make it known under ``name``."""

    def add(entry: R) -> R:
        entry.name = name
        REPRESENTATIONS.register(name)(entry)
        return entry

    return add


def representation(use: str, options: Mapping[str, Any]) -> Representation:
    """A representation by name and checked options, not fitted yet."""
    return REPRESENTATIONS[use](**options)


@register("signal")
class Signal(Representation):
    """The signal of one lead as one channel, ``[n, 1, t]``; channels ``[n, c, t]`` as they are."""

    axes = (1, 2)

    def __init__(self) -> None:
        super().__init__()

    def transform(self, x: Array) -> Array:
        """Map ``[n, t]`` or ``[n, c, t]`` to ``[n, c, t]``, as a view."""
        return x[:, None, :] if x.ndim == 2 else x


@register("signal_with_mask")
class SignalWithMask(Representation):
    """The signal, and a second channel that is 1 within the beat and 0 on the padding behind it, ``[n, 2, t]``."""

    masks_padding = True

    def __init__(self) -> None:
        super().__init__()

    def transform(self, x: Array) -> Array:
        """Map ``[n, t]`` to ``[n, 2, t]``."""
        return np.stack([x, beat_mask(x).astype(np.float32)], axis=1)


@register("image")
class Folded(Representation):
    """The signal padded with zeros and folded row by row into an image, ``[n, 1, height, width]``."""

    layout = "image"

    def __init__(self, *, height: Annotated[int, Field(ge=1)] = 16, width: Annotated[int, Field(ge=1)] = 12) -> None:
        super().__init__(height=height, width=width)
        self.height, self.width = height, width

    def transform(self, x: Array) -> Array:
        """Map ``[n, t]`` to ``[n, 1, height, width]``."""
        room = self.height * self.width - x.shape[1]
        if room < 0:
            raise BeatwiseError(
                f"An image of {self.height} × {self.width} holds {self.height * self.width} values, a beat has "
                f"{x.shape[1]}. Raise tensors.image.height or tensors.image.width."
            )
        return np.pad(x, ((0, 0), (0, room))).reshape(-1, 1, self.height, self.width)

    def to_samples(self, attribution: Array) -> Array:
        """Unfold the image row by row."""
        return attribution.reshape(len(attribution), -1)[:, : self.fitted.shape[0]]


@register("scalogram")
class Scalogram(Representation):
    """Continuous wavelet transform with the Mexican hat, one channel a scale, ``[n, n_scales, t]``."""

    def __init__(self, *, scales: tuple[Annotated[float, Field(gt=0)], ...] = (1.0, 2.0, 3.0, 4.0)) -> None:
        super().__init__(scales=scales)
        self.scales = scales

    def transform(self, x: Array) -> Array:
        """Map ``[n, t]`` to ``[n, n_scales, t]``."""
        import pywt

        out = np.empty((len(x), len(self.scales), x.shape[1]), dtype=np.float32)
        # The transform computes in double precision: some rows at a time.
        for start in range(0, len(x), CHUNK // 8):
            rows = slice(start, start + CHUNK // 8)
            try:
                coefficients, _ = pywt.cwt(x[rows], np.asarray(self.scales), "mexh", axis=-1)
            except ValueError as error:
                raise BeatwiseError(
                    f"tensors.scalogram.scales: {list(self.scales)} cannot be used ({error}). Use scales of about 1 "
                    "and more."
                ) from error
            out[rows] = coefficients.transpose(1, 0, 2)
        return out


@register("identity")
class Identity(Representation):
    """Channels as the examples have them, ``[n, c, t]`` or ``[n, c, height, width]``, normalised if asked.

    Examples ``[n, t]`` have one channel.
    """

    axes = (1, 2, 3)

    def __init__(self, *, normalise: bool = False, channels: Channels = ()) -> None:
        """Choose what a network sees.

        Args:
            normalise: Whether each channel gets mean 0 and deviation 1 over the training part.
            channels: Numbers of the channels from 0, in order; behind ``--params`` joined by ``+``; empty takes all.
        """
        super().__init__(normalise=normalise, channels=channels)
        self.normalise, self.channels = normalise, channels

    @property
    def layout(self) -> Layout:  # type: ignore[override]
        """That of the examples."""
        return "image" if len(self.fitted.shape) == 3 else "series"

    def _seen(self, x: Array) -> Array:
        """The chosen channels, ``[n, c, …]``."""
        x = x[:, None] if x.ndim == 2 else x
        if not self.channels:
            return x
        if max(self.channels) >= x.shape[1]:
            raise BeatwiseError(
                f"tensors.identity.channels: there is no channel {max(self.channels)}; these examples have "
                f"{x.shape[1]}, numbered from 0 to {x.shape[1] - 1}."
            )
        return x[:, list(self.channels)]

    def _fit_channels(self, x: Array) -> tuple[tuple[float, ...], tuple[float, ...]]:
        x = self._seen(x)
        if not self.normalise:
            return (), ()
        axes = (0, *range(2, x.ndim))
        mean = x.mean(axis=axes, dtype=np.float64)
        sd = x.std(axis=axes, dtype=np.float64)
        return tuple(mean.tolist()), tuple(np.where(sd > 0, sd, 1.0).tolist())

    def transform(self, x: Array) -> Array:
        """The chosen channels of ``x``, each with mean 0 and deviation 1 over the training part if asked."""
        x = self._seen(x)
        if not self.normalise:
            return x
        behind = (1,) * (x.ndim - 2)
        mean, sd = (
            np.asarray(values, dtype=np.float32).reshape(-1, *behind)
            for values in (self.fitted.channel_mean, self.fitted.channel_sd)
        )
        return (x - mean) / sd

    def to_samples(self, attribution: Array) -> Array:
        """Those of the base class; channels that the network does not see have none."""
        if not self.channels or len(self.fitted.shape) == 1:
            return super().to_samples(attribution)
        out = np.zeros((len(attribution), *self.fitted.shape), dtype=attribution.dtype)
        out[:, list(self.channels)] = attribution
        return out


def _named(wanted: Sequence[str], known: Sequence[str]) -> list[str]:
    """The features that names or patterns such as ``near_*`` mean, in the order in which examples have them."""
    for pattern in wanted:
        if not fnmatch.filter(known, pattern):
            raise BeatwiseError(f"tensors.features: {unknown_name('feature', pattern, known)}")
    return [name for name in known if any(fnmatch.fnmatchcase(name, pattern) for pattern in wanted)]


def value_mask(x: Array) -> npt.NDArray[np.bool_]:
    """Which values of examples are no padding, ``bool [n, *shape]``; only beats [t] have padding."""
    return beat_mask(x) if x.ndim == 2 else np.ones(x.shape, dtype=np.bool_)


def beat_mask(x: Array) -> npt.NDArray[np.bool_]:
    """True up to the last sample of a beat that is not zero, False on the padding behind it, ``[n, t]``."""
    return np.logical_or.accumulate(x[:, ::-1] != 0, axis=1)[:, ::-1]


def _with_tuples(stored: Mapping[str, Any]) -> dict[str, Any]:
    """Lists, as JSON has them, as the tuples that they were."""
    return {name: tuple(value) if isinstance(value, list) else value for name, value in stored.items()}
