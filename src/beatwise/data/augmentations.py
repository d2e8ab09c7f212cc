"""Augmentations: training beats changed at random, a batch at a time, so that no epoch shows the same beats twice.

Every augmentation maps a batch to a new one and leaves the one it was given as it was. Random numbers come from torch's
global generator of the tensors' device, and are the same whatever the values in the batch.

For a signal in [0, 1], with or without its mask, as a series or folded into an image, every augmentation preserves
three properties: values lie in [0, 1]; a beat starts at the first sample and ends with its last sample that is not
zero; the padding behind it is exactly zero. A beat's last sample is therefore held just above zero (:data:`LEAST`)
where a change would take it there. Beats that are nothing but padding stay as they are, unless mixed with others.

Windows of leads have augmentations of their own (:data:`OF_LEADS`): their values have no bounds and no padding.

Pictures have theirs (:data:`OF_PICTURES`), which know no padding and no bounds: edges are repeated
where a picture moves, and changes of intensity are in deviations of the channel, whatever its unit.
"""

from __future__ import annotations

import math
from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass, replace
from typing import Annotated, Any

import torch
from pydantic import AfterValidator, Field
from torch import Tensor

from beatwise.core.errors import BeatwiseError
from beatwise.core.registry import Registry
from beatwise.data.padding import beat_lengths

# Representations that hold the signal itself; the meaning of a sample of any other is not known.
OF_THE_SIGNAL = ("signal", "signal_with_mask", "image")
# Augmentations that make sense of any series of numbers, wavelet coefficients among them.
OF_ANY_SERIES = ("mixup", "masking")
# Augmentations of pictures, which the representation identity alone holds.
OF_PICTURES = ("flip", "quarter_turns", "translate", "zoom", "brightness", "pixel_noise")
# Augmentations of windows of leads, which the representation identity alone holds.
OF_LEADS = ("lead_shift", "lead_amplitude", "lead_noise", "lead_dropout")
# Augmentations of named features alone, whatever the representation.
OF_FEATURES = ("feature_noise",)
# Distinguishes the last sample of a beat from padding; far below the resolution of recordings (8 to 12 bits).
LEAST = 1e-6


def _rising(bounds: tuple[float, float]) -> tuple[float, float]:
    if bounds[0] > bounds[1]:
        raise ValueError(f"the lower end stands first; got {list(bounds)}, use {[bounds[1], bounds[0]]}.")
    return bounds


Share = Annotated[float, Field(gt=0, le=1)]
Samples = Annotated[int, Field(ge=1)]
Fraction = Annotated[float, Field(ge=0, lt=1)]
Magnitude = Annotated[float, Field(ge=0)]
Frequency = Annotated[float, Field(ge=0)]
FrequencyRange = Annotated[tuple[Frequency, Frequency], AfterValidator(_rising)]


@dataclass(frozen=True, eq=False)
class Batch:
    """Beats as the training loop takes them.

    Attributes:
        x: The representation, ``float32 [n, c, t]`` or ``[n, c, height, width]``.
        aux: Auxiliary features, ``float32 [n, f]``; f = 0 where there are none.
        target: Share of each class in a beat, ``float32 [n, n_classes]``; one-hot before :func:`mixup`, rows add up
            to 1.
    """

    x: Tensor
    aux: Tensor
    target: Tensor


AUGMENTATIONS: Registry[Callable[..., Batch]] = Registry("augmentation")


def augment(batch: Batch, chosen: Sequence[tuple[str, Mapping[str, Any]]]) -> Batch:
    """A new batch after the given augmentations (names and checked options), one after the other."""
    for name, options in chosen:
        batch = AUGMENTATIONS[name](batch, **options)
    return batch


def refuse_unsuitable(names: Iterable[str], representation: str) -> None:
    """Refuse augmentations of the signal, or of pictures, for a representation that does not hold them.

    Raises:
        BeatwiseError: If an augmentation is unknown, or makes no sense for the representation.
    """
    for name in names:
        AUGMENTATIONS[name]  # refuses an unknown name
        if name in (*OF_ANY_SERIES, *OF_FEATURES):
            continue
        of_identity = {**dict.fromkeys(OF_PICTURES, "pictures"), **dict.fromkeys(OF_LEADS, "windows of leads")}
        changes = of_identity.get(name, "a signal")
        held_by = ("identity",) if name in of_identity else OF_THE_SIGNAL
        if representation not in held_by:
            allowed = [*OF_ANY_SERIES, *(of_identity if representation == "identity" else ())]
            raise BeatwiseError(
                f"The augmentation {name!r} changes {changes}, which the representation {representation!r} does not "
                f"hold. Allowed with {representation!r}: {', '.join(allowed)}. Leave {name!r} "
                f"out (train.augment.use={OF_ANY_SERIES[0]}, or nothing behind the sign for none), or use "
                f"tensors.use={' or '.join(filter(None, [', '.join(held_by[:-1]), held_by[-1]]))}."
            )


@AUGMENTATIONS.register("shift")
def shift(batch: Batch, *, max_samples: Samples = 4, share: Share = 0.5) -> Batch:
    """Move beats in time by a whole number of samples, as in A. Telfer's ECG project (up to 10 there).

    To the right, the first sample is repeated and the beat gets longer, cut at t; to the left, the first samples are
    dropped and the beat gets shorter, down to its last sample.

    Args:
        batch: Beats.
        max_samples: Largest shift, in samples; drawn uniformly from ``-max_samples`` to ``max_samples``, 0 included.
        share: Share of the beats that are changed.
    """
    values, length = _beats(batch.x)
    chosen = _chosen(length, share)
    by = torch.randint(-max_samples, max_samples + 1, length.shape, device=length.device)
    by = torch.maximum(by, 1 - length)
    n_samples = values.shape[1]
    source = (_positions(values) - by[:, None]).clamp(0, n_samples - 1)
    return _rebuilt(batch, chosen, values.gather(1, source), (length + by).clamp(max=n_samples))


@AUGMENTATIONS.register("amplitude")
def amplitude(batch: Batch, *, max_offset: Fraction = 0.03, max_gain: Fraction = 0.05, share: Share = 0.5) -> Batch:
    """Add one offset to all of a beat, as in A. Telfer's ECG project (up to .1 there), and multiply it by one gain.

    Args:
        batch: Beats.
        max_offset: Largest offset, in units of the signal; drawn uniformly from both sides of 0.
        max_gain: Largest relative change by the gain; the gain is drawn uniformly from both sides of 1.
        share: Share of the beats that are changed.
    """
    values, length = _beats(batch.x)
    chosen = _chosen(length, share)
    gain = 1 + max_gain * _both_sides(values)
    offset = max_offset * _both_sides(values)
    return _rebuilt(batch, chosen, values * gain + offset, length)


@AUGMENTATIONS.register("noise")
def noise(batch: Batch, *, sd: Annotated[float, Field(gt=0)] = 0.02, share: Share = 0.5) -> Batch:
    """Multiply every sample by a normal number of mean 1, as in A. Telfer's ECG project (deviation .05 there).

    Args:
        batch: Beats.
        sd: Standard deviation of the factors.
        share: Share of the beats that are changed.
    """
    values, length = _beats(batch.x)
    chosen = _chosen(length, share)
    return _rebuilt(batch, chosen, values * (1 + sd * torch.randn_like(values)), length)


@AUGMENTATIONS.register("graft")
def graft(batch: Batch, *, share: Share = 0.5) -> Batch:
    """Join the head of a beat and the tail of a random other one of its class, as in A. Telfer's ECG project.

    The join is uniform over the samples of the beat but the first; head and tail stay where they were in time. The
    joined beat ends where the tail's beat ends, or at the join where that beat is shorter. It keeps its own target and
    has the mean of both beats' auxiliary features. A beat alone in its class stays as it was.

    Args:
        batch: Beats; the class of each is the one with the largest target.
        share: Share of the beats that are changed.
    """
    values, length = _beats(batch.x)
    partner = _partners(batch.target.argmax(dim=1))
    chosen = _chosen(length, share)
    join = 1 + _whole_below((length - 1).clamp(min=1))
    joined = torch.where(_positions(values) < join[:, None], values, values[partner])
    grafted = _rebuilt(batch, chosen, joined, torch.maximum(join, length[partner]))
    return replace(grafted, aux=_where(chosen, (batch.aux + batch.aux[partner]) / 2, batch.aux))


@AUGMENTATIONS.register("stretch")
def stretch(batch: Batch, *, max_stretch: Annotated[float, Field(gt=0)] = 0.05, share: Share = 0.5) -> Batch:
    """Stretch or squeeze beats in time, interpolating linearly between samples.

    The first sample stays; the beat ends with the last sample that still falls within the original, cut at t. A
    global form of the time warping of Um et al., ICMI 2017.

    Args:
        batch: Beats.
        max_stretch: The factor is drawn log-uniformly from ``1 / (1 + max_stretch)`` to ``1 + max_stretch``.
        share: Share of the beats that are changed.
    """
    values, length = _beats(batch.x)
    chosen = _chosen(length, share)
    factor = torch.exp(math.log1p(max_stretch) * _both_sides(values))
    last = (length - 1).clamp(min=0)[:, None]
    source = _positions(values) / factor
    before = torch.minimum(source.long(), last)
    after = torch.minimum(before + 1, last)
    between = torch.lerp(values.gather(1, before), values.gather(1, after), source - before)
    new_length = 1 + (last * factor).long().squeeze(1)
    return _rebuilt(batch, chosen, between, new_length.clamp(max=values.shape[1]))


@AUGMENTATIONS.register("baseline_wander")
def baseline_wander(
    batch: Batch, *, max_amplitude: Fraction = 0.05, cycles: FrequencyRange = (0.1, 1.0), share: Share = 0.5
) -> Batch:
    """Add one slow sine of random phase to each beat.

    Breathing moves the baseline at 0.15 to 0.3 Hz (Friesen et al., IEEE Trans. Biomed. Eng. 37(1), 1990), which is 0.2
    to 0.5 cycles in 187 samples at 125 Hz; the default range goes beyond it on both sides.

    Args:
        batch: Beats.
        max_amplitude: Largest amplitude of the sine, in units of the signal; drawn uniformly from 0 on.
        cycles: Lowest and highest frequency, in cycles in t samples; drawn uniformly between them.
        share: Share of the beats that are changed.
    """
    values, length = _beats(batch.x)
    chosen = _chosen(length, share)
    height, frequency, phase = torch.rand(3, len(values), 1, device=values.device)
    frequency = cycles[0] + (cycles[1] - cycles[0]) * frequency
    angle = 2 * math.pi * (frequency / values.shape[1] * _positions(values) + phase)
    return _rebuilt(batch, chosen, values + max_amplitude * height * angle.sin(), length)


@AUGMENTATIONS.register("mixup")
def mixup(
    batch: Batch, *, alpha: Annotated[float, Field(gt=0)] = 0.2, share: Share = 0.5, mostly_itself: bool = False
) -> Batch:
    """Mix each beat with a random other one of any class (Zhang et al., ICLR 2018).

    Signal, auxiliary features and targets are mixed with one weight a beat, drawn from Beta(alpha, alpha); the mask
    becomes the union of both beats' masks. A beat alone in its batch stays as it was.

    Args:
        batch: Beats.
        alpha: Both parameters of the Beta distribution.
        share: Share of the beats that are changed.
        mostly_itself: Whether a beat keeps the larger of the two weights.
    """
    series = batch.x.flatten(2)
    chosen = _drawn(batch.x, share)
    partner = _partners(torch.zeros(len(series), dtype=torch.long, device=series.device))
    # Nearer to 0 or 1, float32 could lose one of the two beats, and its part of the mask with it.
    weight = _beta(batch.x, alpha).clamp(LEAST, 1 - LEAST)[:, None]
    if mostly_itself:
        weight = torch.maximum(weight, 1 - weight)
    mixed = torch.lerp(series[partner], series, weight[:, :, None])
    if _has_mask(series):
        mixed = torch.stack([mixed[:, 0], (mixed[:, 1] > 0).to(mixed.dtype)], dim=1)
    return Batch(
        x=_where(chosen, mixed, batch.x),
        aux=_where(chosen, torch.lerp(batch.aux[partner], batch.aux, weight), batch.aux),
        target=_where(chosen, torch.lerp(batch.target[partner], batch.target, weight), batch.target),
    )


@AUGMENTATIONS.register("masking")
def masking(batch: Batch, *, max_samples: Samples = 20, share: Share = 0.5) -> Batch:
    """Set a random stretch of each beat to zero, in all channels alike; a mask stays as it was.

    The time masking of Park et al. (SpecAugment), Interspeech 2019. The beat's last sample is never part of the
    stretch, so that its length does not change; a beat of one sample stays as it was.

    Args:
        batch: Beats.
        max_samples: Largest number of samples that are set to zero; drawn uniformly from 1 on, and cut to the beat.
        share: Share of the beats that are changed.
    """
    series = batch.x.flatten(2)
    length = beat_lengths(series)
    chosen = _chosen(length, share)
    width = torch.randint(1, max_samples + 1, length.shape, device=length.device)
    width = torch.minimum(width, (length - 1).clamp(min=0))
    since_start = _positions(series[:, 0]) - _whole_below(length - width)[:, None]
    hidden = ((since_start >= 0) & (since_start < width[:, None]))[:, None, :]
    kept = series.masked_fill(hidden, 0)
    if _has_mask(series):
        kept = torch.stack([kept[:, 0], series[:, 1]], dim=1)
    return replace(batch, x=_where(chosen, kept, batch.x))


@AUGMENTATIONS.register("lead_shift")
def lead_shift(batch: Batch, *, max_samples: Samples = 3, share: Share = 1.0) -> Batch:
    """Move all leads of a window together by a whole number of samples; the first or last sample is repeated.

    Args:
        batch: Windows of leads.
        max_samples: Largest shift, in samples; drawn uniformly from ``-max_samples`` to ``max_samples``, 0 included.
        share: Share of the windows that are changed.
    """
    x = _leads(batch.x)
    chosen = _drawn(x, share)
    by = torch.randint(-max_samples, max_samples + 1, (len(x), 1), device=x.device)
    source = (torch.arange(x.shape[2], device=x.device) - by).clamp(0, x.shape[2] - 1)
    return replace(batch, x=_where(chosen, x.gather(2, source[:, None].expand_as(x)), x))


@AUGMENTATIONS.register("lead_amplitude")
def lead_amplitude(batch: Batch, *, gain_sd: Magnitude = 0.1, offset_sd: Magnitude = 0.05, share: Share = 1.0) -> Batch:
    """Multiply every lead of a window by a gain, and add an offset to it, each drawn for itself.

    Args:
        batch: Windows of leads.
        gain_sd: Standard deviation of the gain, whose mean is 1.
        offset_sd: Standard deviation of the offset, in units of the window.
        share: Share of the windows that are changed.
    """
    x = _leads(batch.x)
    chosen = _drawn(x, share)
    gain, offset = torch.randn(2, *x.shape[:2], 1, device=x.device)
    return replace(batch, x=_where(chosen, x * (1 + gain_sd * gain) + offset_sd * offset, x))


@AUGMENTATIONS.register("lead_noise")
def lead_noise(batch: Batch, *, sd: Magnitude = 0.02, share: Share = 1.0) -> Batch:
    """Add a normal number to every sample of every lead.

    Args:
        batch: Windows of leads.
        sd: Its standard deviation, in units of the window.
        share: Share of the windows that are changed.
    """
    x = _leads(batch.x)
    chosen = _drawn(x, share)
    return replace(batch, x=_where(chosen, x + sd * torch.randn_like(x), x))


@AUGMENTATIONS.register("lead_dropout")
def lead_dropout(batch: Batch, *, share: Share = 0.05) -> Batch:
    """Set whole leads of windows to zero, so that a model does not rest on one of them; never all of a window.

    Args:
        batch: Windows of leads.
        share: Share of the leads that are set to zero.
    """
    x = _leads(batch.x)
    dropped = torch.rand(*x.shape[:2], 1, device=x.device) < share
    dropped &= ~dropped.all(dim=1, keepdim=True)
    return replace(batch, x=x.masked_fill(dropped, 0))


@AUGMENTATIONS.register("feature_noise")
def feature_noise(batch: Batch, *, sd: Magnitude = 0.05, share: Share = 1.0) -> Batch:
    """Add a normal number to every named feature, such as the logarithms of RR intervals.

    Args:
        batch: Examples of any shape.
        sd: Its standard deviation, in deviations of the feature over the training part.
        share: Share of the examples that are changed.
    """
    chosen = _drawn(batch.aux, share)
    return replace(batch, aux=_where(chosen, batch.aux + sd * torch.randn_like(batch.aux), batch.aux))


@AUGMENTATIONS.register("flip")
def flip(batch: Batch, *, share: Share = 0.5) -> Batch:
    """Mirror pictures, top to bottom and left to right, each drawn for itself.

    Args:
        batch: Pictures.
        share: Share of the pictures that are mirrored, in each of the two directions.
    """
    x = _pictures(batch.x)
    for axis in (2, 3):
        x = _where(_drawn(x, share), x.flip(axis), x)
    return replace(batch, x=x)


@AUGMENTATIONS.register("quarter_turns")
def quarter_turns(batch: Batch, *, share: Share = 0.75) -> Batch:
    """Turn square pictures by 90, 180 or 270 degrees.

    Args:
        batch: Pictures.
        share: Share of the pictures that are turned; three quarters make all four orientations equally frequent.
    """
    x = _pictures(batch.x)
    if x.shape[2] != x.shape[3]:
        raise BeatwiseError(
            f"The augmentation 'quarter_turns' turns square pictures, and these have {x.shape[2]} × {x.shape[3]} "
            "pixels (height × width). Leave it out of train.augment.use, or resize the pictures in catalog.yml."
        )
    chosen, turns = _drawn(x, share), torch.randint(1, 4, (len(x),), device=x.device)
    turned = x
    for quarter in (1, 2, 3):
        turned = _where(chosen & (turns == quarter), x.rot90(quarter, (2, 3)), turned)
    return replace(batch, x=turned)


@AUGMENTATIONS.register("translate")
def translate(batch: Batch, *, max_pixels: Samples = 3, share: Share = 0.5) -> Batch:
    """Move pictures by whole pixels, up or down and left or right; pixels at the edges are repeated.

    Args:
        batch: Pictures.
        max_pixels: Largest shift in each direction, drawn uniformly from ``-max_pixels`` to ``max_pixels``.
        share: Share of the pictures that are moved.
    """
    x = _pictures(batch.x)
    chosen = _drawn(x, share)
    by = torch.randint(-max_pixels, max_pixels + 1, (2, len(x), 1), device=x.device)
    rows, columns = (
        (torch.arange(size, device=x.device) - shift_by).clamp(0, size - 1)
        for size, shift_by in zip(x.shape[2:], by, strict=True)
    )
    every = torch.arange(len(x), device=x.device)[:, None, None]
    moved = x.permute(0, 2, 3, 1)[every, rows[:, :, None], columns[:, None, :]].permute(0, 3, 1, 2)
    return replace(batch, x=_where(chosen, moved, x))


@AUGMENTATIONS.register("zoom")
def zoom(batch: Batch, *, max_zoom: Annotated[float, Field(gt=0)] = 0.1, share: Share = 0.5) -> Batch:
    """Enlarge or shrink pictures about their centre, interpolating linearly; pixels at the edges are repeated.

    Args:
        batch: Pictures.
        max_zoom: The factor is drawn log-uniformly from ``1 / (1 + max_zoom)`` to ``1 + max_zoom``.
        share: Share of the pictures that are changed.
    """
    x = _pictures(batch.x)
    chosen = _drawn(x, share)
    factor = torch.exp(math.log1p(max_zoom) * _both_sides(x))[:, :, None]
    maps = torch.eye(2, 3, device=x.device) / factor
    grid = torch.nn.functional.affine_grid(maps, list(x.shape), align_corners=False)
    zoomed = torch.nn.functional.grid_sample(x, grid, padding_mode="border", align_corners=False)
    return replace(batch, x=_where(chosen, zoomed, x))


@AUGMENTATIONS.register("brightness")
def brightness(batch: Batch, *, max_offset: Magnitude = 0.1, max_gain: Fraction = 0.1, share: Share = 0.5) -> Batch:
    """Add one offset to all of a picture, and multiply its differences from the mean of a channel by one gain.

    Args:
        batch: Pictures.
        max_offset: Largest offset, in deviations of each channel over the batch; uniform on both sides of 0.
        max_gain: Largest relative change of the contrast; the gain is drawn uniformly from both sides of 1.
        share: Share of the pictures that are changed.
    """
    x = _pictures(batch.x)
    chosen = _drawn(x, share)
    gain, offset = (size * _both_sides(x)[:, :, None, None] for size in (max_gain, max_offset))
    mean = x.mean(dim=(2, 3), keepdim=True)
    return replace(batch, x=_where(chosen, x + gain * (x - mean) + offset * _deviations(x), x))


@AUGMENTATIONS.register("pixel_noise")
def pixel_noise(batch: Batch, *, sd: Annotated[float, Field(gt=0)] = 0.05, share: Share = 0.5) -> Batch:
    """Add a normal number to each pixel of each channel.

    Args:
        batch: Pictures.
        sd: Its standard deviation, in deviations of each channel over the batch.
        share: Share of the pictures that are changed.
    """
    x = _pictures(batch.x)
    chosen = _drawn(x, share)
    return replace(batch, x=_where(chosen, x + sd * _deviations(x) * torch.randn_like(x), x))


def _pictures(x: Tensor) -> Tensor:
    """Pictures ``[n, c, h, w]`` as they are, see :func:`_of_axes`."""
    return _of_axes(
        x, 4, "pictures [n, c, h, w]", f"series with the representation identity: {', '.join(OF_ANY_SERIES)}"
    )


def _leads(x: Tensor) -> Tensor:
    """Windows of leads ``[n, c, t]`` as they are, see :func:`_of_axes`."""
    return _of_axes(x, 3, "windows of leads [n, c, t]", f"pictures: {', '.join((*OF_PICTURES, *OF_ANY_SERIES))}")


def _of_axes(x: Tensor, axes: int, needed: str, instead: str) -> Tensor:
    """What has so many axes, as it is.

    Raises:
        BeatwiseError: If it has more or fewer.
    """
    if x.ndim != axes:
        raise BeatwiseError(
            f"This augmentation changes {needed}, not {list(x.shape)}. Leave it out of train.augment.use; allowed for "
            f"{instead}."
        )
    return x


def _deviations(x: Tensor) -> Tensor:
    """Deviation of each channel over a batch of pictures, ``[1, c, 1, 1]``."""
    return x.std(dim=(0, 2, 3), keepdim=True, correction=0)


def _beats(x: Tensor) -> tuple[Tensor, Tensor]:
    """The signal as a series, ``[n, t]``, and the lengths of its beats, ``int64 [n]``.

    Raises:
        BeatwiseError: If there are other channels than the signal and its mask.
    """
    series = x.flatten(2)
    if series.shape[1] != 1 + _has_mask(series):
        raise BeatwiseError(
            f"This augmentation changes a signal [n, 1, t], or a signal and its mask [n, 2, t], not {list(x.shape)}. "
            f"Use tensors.use={', '.join(OF_THE_SIGNAL[:-1])} or {OF_THE_SIGNAL[-1]}."
        )
    return series[:, 0], beat_lengths(series)


def _has_mask(series: Tensor) -> bool:
    """Whether the second of two channels is a mask: a signal or wavelet has values other than 0 and 1."""
    return series.shape[1] == 2 and bool((series[:, 1] == series[:, 1].bool()).all())


def _positions(values: Tensor) -> Tensor:
    """Index of each sample, ``int64 [t]``."""
    return torch.arange(values.shape[1], device=values.device)


def _drawn(like: Tensor, share: float) -> Tensor:
    """Beats to change, ``bool [n]``, each with the same probability."""
    return torch.rand(len(like), device=like.device) < share


def _chosen(length: Tensor, share: float) -> Tensor:
    """Beats to change, ``bool [n]``; a beat that is all padding is never one."""
    return _drawn(length, share) & (length > 0)


def _both_sides(values: Tensor) -> Tensor:
    """One number a beat, uniform in [-1, 1), ``float32 [n, 1]``."""
    return 2 * torch.rand(len(values), 1, device=values.device) - 1


def _whole_below(high: Tensor) -> Tensor:
    """One whole number a beat, uniform from 0 up to but without ``high``, ``int64 [n]``."""
    return (torch.rand(high.shape, device=high.device) * high).long()


def _beta(like: Tensor, alpha: float) -> Tensor:
    """One number a beat from Beta(alpha, alpha), ``float32 [n]``."""
    both = torch.full((len(like),), alpha, device=like.device)
    return torch.distributions.Beta(both, both, validate_args=False).sample()


def _partners(group: Tensor) -> Tensor:
    """Index of a random other beat of the same group for each beat, ``int64 [n]``; its own where it is alone.

    Beats are put in a random order within each group, and each takes the next one, the last the first.
    """
    shuffled = torch.randperm(len(group), device=group.device)
    ordered, places = torch.sort(group[shuffled], stable=True)
    order = shuffled[places]
    first, end = (torch.searchsorted(ordered, ordered, right=right) for right in (False, True))
    following = torch.arange(1, len(group) + 1, device=group.device)
    partner = torch.empty_like(order)
    partner[order] = order[torch.where(following < end, following, first)]
    return partner


def _where(chosen: Tensor, changed: Tensor, kept: Tensor) -> Tensor:
    """The chosen beats as changed, folded like the others, which are kept bit for bit."""
    return torch.where(chosen.reshape(-1, *[1] * (kept.ndim - 1)), changed.reshape(kept.shape), kept)


def _rebuilt(batch: Batch, chosen: Tensor, values: Tensor, length: Tensor) -> Batch:
    """Put the changed signal of the chosen beats back, with zeros and a mask that fit its length.

    Args:
        batch: The beats before the change.
        chosen: Which beats are changed, ``bool [n]``.
        values: Changed signals, ``float32 [n, t]``; values behind their ends do not matter.
        length: Their lengths, 1 or more for chosen beats, ``int64 [n]``.
    """
    behind_end = _positions(values) - length[:, None]
    mask = (behind_end < 0).to(values.dtype)
    # The bounds are [0, 1] within the beat and [0, 0] behind it.
    values = values.clamp(LEAST * (behind_end == -1), mask)
    channels = [values, mask][: batch.x.shape[1]]
    return replace(batch, x=_where(chosen, torch.stack(channels, dim=1), batch.x))
