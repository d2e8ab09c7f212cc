"""Representations: what of a beat a model gets to see, by name, and the tensors made of them."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import asdict, dataclass, field
from typing import Annotated, Any

import numpy as np
import numpy.typing as npt
import pandas as pd
from pydantic import Field

from beatwise.core.errors import BeatwiseError
from beatwise.core.registry import Registry
from beatwise.data.examples import Labels, Signals, fingerprint, has_records, has_rr, labels, signal_columns, signals
from beatwise.ecg.rr import RR_FEATURES, rr_features

Array = npt.NDArray[np.float32]
REPRESENTATIONS: Registry[Callable[..., Array]] = Registry("representation")

# Beats that are transformed at once: bounds the memory that double-precision transforms take.
CHUNK = 8192


@REPRESENTATIONS.register("signal")
def as_signal(values: Signals) -> Array:
    """The signal as one channel, ``[n, 1, t]``."""
    return values[:, None, :]


@REPRESENTATIONS.register("signal_with_mask")
def as_signal_with_mask(values: Signals) -> Array:
    """The signal, and a second channel that is 1 within the beat and 0 on the padding behind it, ``[n, 2, t]``."""
    return np.stack([values, beat_mask(values).astype(np.float32)], axis=1)


@REPRESENTATIONS.register("image")
def as_image(
    values: Signals, *, height: Annotated[int, Field(ge=1)] = 16, width: Annotated[int, Field(ge=1)] = 12
) -> Array:
    """The signal padded with zeros and folded row by row into an image, ``[n, 1, height, width]``."""
    room = height * width - values.shape[1]
    if room < 0:
        raise BeatwiseError(
            f"An image of {height} × {width} holds {height * width} values, a beat has {values.shape[1]}. "
            "Raise tensors.image.height or tensors.image.width."
        )
    return np.pad(values, ((0, 0), (0, room))).reshape(-1, 1, height, width)


@REPRESENTATIONS.register("scalogram")
def as_scalogram(values: Signals, *, scales: tuple[Annotated[float, Field(gt=0)], ...] = (1.0, 2.0, 3.0, 4.0)) -> Array:
    """Continuous wavelet transform with the Mexican hat, one channel a scale, ``[n, n_scales, t]``."""
    import pywt

    out = np.empty((len(values), len(scales), values.shape[1]), dtype=np.float32)
    for start in range(0, len(values), CHUNK):
        try:
            coefficients, _ = pywt.cwt(values[start : start + CHUNK], np.asarray(scales), "mexh", axis=-1)
        except ValueError as error:
            raise BeatwiseError(
                f"tensors.scalogram.scales: {list(scales)} cannot be used ({error}). Use scales of about 1 and more."
            ) from error
        out[start : start + CHUNK] = coefficients.transpose(1, 0, 2)
    return out


def beat_mask(values: Signals) -> npt.NDArray[np.bool_]:
    """True within a beat, False on the zeros behind its last non-zero value, ``[n, t]``."""
    return np.logical_or.accumulate(values[:, ::-1] != 0, axis=1)[:, ::-1]


@dataclass(frozen=True)
class TensorSpec:
    """All that is needed to turn beats into the tensors of one model; stored with the model.

    Attributes:
        use: Name of the representation.
        options: Its options.
        classes: Class names in the order of their indices.
        beat_length: Samples of a beat.
        aux_names: Names of the auxiliary features, empty where there are none.
        aux_mean: Their means over the training part.
        aux_sd: Their standard deviations over the training part.
    """

    use: str
    options: dict[str, Any]
    classes: tuple[str, ...]
    beat_length: int
    aux_names: tuple[str, ...] = ()
    aux_mean: tuple[float, ...] = ()
    aux_sd: tuple[float, ...] = ()

    @classmethod
    def fit(
        cls,
        train_beats: pd.DataFrame,
        *,
        use: str,
        options: Mapping[str, Any],
        classes: Sequence[str],
        rr: bool = True,
    ) -> TensorSpec:
        """Take the means and deviations of the auxiliary features from the training part, before it is resampled.

        Args:
            train_beats: Beats table of the training part.
            use: Name of the representation.
            options: Its options, already checked.
            classes: Class names.
            rr: Whether to use the RR intervals where the beats carry them.
        """
        common = (use, dict(options), tuple(classes), len(signal_columns(train_beats)))
        if not (rr and has_rr(train_beats)):
            return cls(*common)
        aux = rr_features(train_beats).astype(np.float64)
        # A feature that is the same for every beat says nothing: it becomes 0 rather than a division by 0.
        sd = np.where(aux.std(axis=0) > 0, aux.std(axis=0), 1.0)
        return cls(*common, RR_FEATURES, tuple(aux.mean(axis=0).tolist()), tuple(sd.tolist()))

    @classmethod
    def from_dict(cls, metadata: Mapping[str, Any]) -> TensorSpec:
        """The inverse of :meth:`to_dict`, from JSON, whose lists become tuples again."""
        return cls(**{**_with_tuples(metadata), "options": _with_tuples(metadata["options"])})

    def to_dict(self) -> dict[str, Any]:
        """Plain data for JSON."""
        return asdict(self)


@dataclass(frozen=True, eq=False)
class TensorSet:
    """Beats as a model takes them, with what identifies them.

    Attributes:
        x: The representation, ``float32 [n, c, t]`` or ``[n, c, height, width]``.
        aux: Auxiliary features, standardised on train, ``float32 [n, f]``; f = 0 where there are none.
        y: Class indices, ``int64 [n]``.
        spec: How they were made.
        fingerprint: Of the beats they were made of.
        record: Record names ``[n]``, or None where they are not known.
        sample: R-peak samples, ``int64 [n]``, -1 for beats that were made; None where they are not known.
    """

    x: Array
    aux: Array
    y: Labels
    spec: TensorSpec
    fingerprint: str
    record: npt.NDArray[np.str_] | None = field(default=None)
    sample: npt.NDArray[np.int64] | None = field(default=None)

    @property
    def labels(self) -> Labels:
        """Encoded targets."""
        return self.y

    @property
    def task(self) -> Any:
        """The task."""
        from beatwise.tasks.classification.task import Classification

        return Classification(self.spec.classes)


def _with_tuples(metadata: Mapping[str, Any]) -> dict[str, Any]:
    return {name: tuple(value) if isinstance(value, list) else value for name, value in metadata.items()}


def build_tensors(beats: pd.DataFrame, spec: TensorSpec) -> TensorSet:
    """Turn a beats table into tensors.

    Args:
        beats: Beats table.
        spec: The representation, and the means and deviations of the auxiliary features.

    Raises:
        BeatwiseError: If the beats are of another length, or lack the RR intervals that the specification needs.
    """
    values = signals(beats)
    if values.shape[1] != spec.beat_length:
        raise BeatwiseError(
            f"These beats have {values.shape[1]} samples, the tensors to be built hold {spec.beat_length}: the beats "
            "come from another source or segmentation rule than those that the model was trained on."
        )
    if spec.aux_names and not has_rr(beats):
        raise BeatwiseError(
            "These tensors carry RR features, and the beats have no RR columns. Use a source with records, or train "
            "with tensors.rr=false."
        )
    aux = np.zeros((len(beats), 0), dtype=np.float32)
    if spec.aux_names:
        aux = ((rr_features(beats) - np.asarray(spec.aux_mean)) / np.asarray(spec.aux_sd)).astype(np.float32)
    known = has_records(beats)
    return TensorSet(
        x=np.ascontiguousarray(REPRESENTATIONS[spec.use](values, **spec.options)),
        aux=aux,
        y=labels(beats),
        spec=spec,
        fingerprint=fingerprint(beats),
        record=beats["record"].fillna("").to_numpy(dtype=str) if known else None,
        sample=beats["sample"].fillna(-1).to_numpy(dtype=np.int64) if known else None,
    )
