"""Figures of pictures: examples, mistakes, and attributions over them. Channels are grey, side by side."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from typing import Any, Final

import numpy as np
import numpy.typing as npt
import pandas as pd
from matplotlib.axes import Axes
from matplotlib.figure import Figure

from beatwise.data.examples import Array, Examples, evenly
from beatwise.explanation.methods import CAM, HIT, MEAN, MISTAKE, SIGNED
from beatwise.figures.saliency import MAPS, NO_GRADIENTS, add_scale
from beatwise.figures.style import class_colors, new_figure, new_note, origin

# Grey values from black to white, as percentiles of a channel.
GREYS: Final = (0.5, 99.8)
# How much of a map covers the picture where it is strongest.
OPACITY: Final = 0.75


def plot_example_pictures(pictures: Examples, classes: Sequence[str], per_class: int, seed: int) -> Figure:
    """A few pictures of each class, drawn at random; below one another the channels, each with greys of its own."""
    target, greys = pictures.target, _greys(pictures)
    n_channels = pictures.shape[0]
    # A single channel has room for two rows.
    columns = per_class if n_channels > 1 else -(-per_class // 2)
    rows = -(-len(classes) // 2)
    height = 0.35 + 3.6 / columns * (n_channels if n_channels > 1 else 2) * pictures.shape[1] / pictures.shape[2]
    figure, axes = new_figure(7.5, height * rows, rows, 2, squeeze=False)
    rng = np.random.default_rng(seed)
    for index, (ax, (name, color)) in enumerate(zip(axes.flat, class_colors(classes).items(), strict=False)):
        members = np.flatnonzero(target == index)
        chosen = rng.choice(members, size=min(per_class, len(members)), replace=False)
        drawn = _in_grey(pictures.x[chosen], greys)
        if len(drawn) and n_channels > 1:
            _show(ax, np.concatenate([_row(drawn[:, channel], columns) for channel in range(n_channels)]))
        elif len(drawn):
            parts = [drawn[start : start + columns, 0] for start in range(0, len(drawn), columns)]
            _show(ax, np.concatenate([_row(part, columns) for part in parts]))
        ax.set_title(f"{name}  ({len(members):,} beats)", fontsize=9, color=color, loc="left")
        _bare(ax)
        if n_channels > 1 and index % 2 == 0:
            places = (np.arange(n_channels) + 0.5) * (pictures.shape[1] + 1)
            ax.set_yticks(places, pictures.channel_names(n_channels), fontsize=7)
    for ax in axes.flat[len(classes) :]:
        ax.set_visible(False)
    return figure


def plot_mistaken_pictures(mistakes: pd.DataFrame, pictures: Examples, classes: Sequence[str]) -> Figure:
    """The most confident mistakes of each true class; the channels of a picture stand side by side."""
    if mistakes.empty:
        return new_note("no mistakes")
    by_class = [rows.to_dict("records") for _, rows in mistakes.groupby("target")]
    columns, greys = max(2, *map(len, by_class)), _greys(pictures)
    n_channels, height, width = pictures.shape
    each = 7.5 / columns
    figure, axes = new_figure(
        7.5, len(by_class) * (0.35 + each / n_channels * height / width), len(by_class), columns, squeeze=False
    )
    for row, of_class in zip(axes, by_class, strict=True):
        for ax, mistake in zip(row, of_class, strict=False):
            _show(ax, _row(_in_grey(pictures.x[[mistake["beat"]]], greys)[0], n_channels))
            where = f"\n{origin(mistake)}" if "record" in mistake else ""
            called = f"{classes[mistake['target']]} as {classes[mistake['prediction']]}, {mistake['probability']:.0%}"
            ax.set_title(f"{called}{where}", fontsize=7, color=list(class_colors(classes).values())[mistake["target"]])
    for ax in axes.flat:
        _bare(ax)
    return figure


def plot_picture_saliency(saliency: pd.DataFrame, classes: Sequence[str], pictures: Examples) -> Figure:
    """The mean picture of each class, and over it the mean saliency of its logit; every row has scales of its own."""
    if saliency.empty:
        return new_note(NO_GRADIENTS)
    shape = pictures.shape
    means = saliency[saliency["of"] == MEAN]
    heads = [*_heads(pictures), *(["Grad-CAM"] if means[CAM].notna().any() else [])]
    figure, axes = new_figure(7.5, 0.9 + 1.2 * len(classes), len(classes), len(heads), squeeze=False)
    for index, (row, (name, color)) in enumerate(zip(axes, class_colors(classes).items(), strict=True)):
        own = means[means["target"] == index]
        _draw_explained(row, own, shape)
        n_pictures = own["beats"].max() if len(own) else 0
        counted = (
            f"\n{n_pictures:,} {'beat' if n_pictures == 1 else 'beats'}" if n_pictures else "\nno validation\nbeats"
        )
        row[0].set_ylabel(f"{name}{counted}", color=color, fontweight="bold", fontsize=8)
    for ax, head in zip(axes[0], heads, strict=True):
        ax.set_title(head, fontsize=8)
    _add_scales(figure, axes, shape, "class")
    return figure


def plot_explained_pictures(
    saliency: pd.DataFrame, attributions: pd.DataFrame, classes: Sequence[str], pictures: Examples
) -> Figure:
    """The most confident hit and mistake of each class, under what the predicted class's logit depends on."""
    if saliency.empty:
        return new_note(NO_GRADIENTS)
    shape = pictures.shape
    n = shape[0] + int(saliency[CAM].notna().any())
    figure, axes = new_figure(7.5, 0.9 + 1.15 * len(classes), len(classes), 2 * n, squeeze=False)
    for index, (row, (name, color)) in enumerate(zip(axes, class_colors(classes).items(), strict=True)):
        for place, of in enumerate((HIT, MISTAKE)):
            panels = row[place * n : (place + 1) * n]
            own = saliency[(saliency["of"] == of) & (saliency["target"] == index)]
            known = attributions[(attributions["of"] == of) & (attributions["target"] == index)]
            _draw_explained(panels, own, shape)
            if known.empty:
                panels[0].set_title(f"no {of}", fontsize=7.5, loc="left", color="#666666")
                continue
            chosen = known.iloc[0]
            called = "" if of == HIT else f" as {classes[chosen['prediction']]}"
            panels[0].set_title(f"{of}{called}, {chosen['probability']:.0%}", fontsize=7.5, loc="left")
        row[0].set_ylabel(name, color=color, fontweight="bold", fontsize=8)
    _add_scales(figure, axes, shape, "predicted class")
    return figure


def draw_attributed_picture(ax: Axes, rows: pd.DataFrame, shape: tuple[int, ...]) -> None:
    """The mean of a picture's channels, and over it what all channels together have of the logit."""
    if len(rows):
        grey, attributed = (rows[name].to_numpy(np.float64).reshape(shape) for name in ("amplitude", SIGNED))
        _overlay(ax, _stretched(grey).mean(axis=0), _strength(attributed.sum(axis=0)), SIGNED)
    _bare(ax)


def _draw_explained(panels: Iterable[Axes], rows: pd.DataFrame, shape: tuple[int, ...]) -> None:
    """Each channel under its integrated gradients, then the mean of the channels under Grad-CAM where there is one."""
    panels = list(panels)
    for ax in panels:
        _bare(ax)
    if rows.empty:
        return
    grey = _stretched(rows["amplitude"].to_numpy(np.float64).reshape(shape))
    # All channels share a scale, so that one that says nothing looks like it.
    attributed = _strength(rows[SIGNED].to_numpy(np.float64)).reshape(shape)
    for ax, channel, found in zip(panels, grey, attributed, strict=False):
        _overlay(ax, channel, found, SIGNED)
    if len(panels) > len(grey):
        _overlay(panels[-1], grey.mean(axis=0), _strength(rows[CAM].to_numpy(np.float64).reshape(shape)[0]), CAM)


def _overlay(ax: Axes, grey: npt.NDArray[Any], found: npt.NDArray[Any], method: str) -> None:
    _show(ax, grey)
    _, colors, lowest = MAPS[method]
    ax.imshow(found, cmap=colors, vmin=lowest, vmax=1, alpha=OPACITY * np.abs(found))


def _add_scales(figure: Figure, axes: Any, shape: tuple[int, ...], of: str) -> None:
    add_scale(figure, axes, SIGNED, of=of, name="integrated gradients")
    if axes.shape[1] % (shape[0] + 1) == 0:
        add_scale(figure, axes, CAM, name="Grad-CAM")


def _heads(pictures: Examples) -> list[str]:
    n_channels = pictures.shape[0]
    return pictures.channel_names(n_channels) if n_channels > 1 else ["integrated gradients"]


def _greys(pictures: Examples) -> npt.NDArray[np.float64]:
    """What is black and what is white in each channel, over all pictures, ``[2, c, 1, 1]``."""
    some = pictures.x[evenly(np.arange(len(pictures)), 500)].astype(np.float64)
    return np.asarray(np.percentile(some, GREYS, axis=(0, 2, 3), keepdims=True)[:, 0])


def _in_grey(x: Array, greys: npt.NDArray[np.float64]) -> npt.NDArray[np.float64]:
    black, white = greys
    return np.clip((x - black) / np.maximum(white - black, 1e-12), 0, 1)


def _stretched(picture: npt.NDArray[np.float64]) -> npt.NDArray[np.float64]:
    """Each channel of one picture from 0 to 1."""
    low, high = (of(picture, axis=(1, 2), keepdims=True) for of in (np.min, np.max))
    return (picture - low) / np.maximum(high - low, 1e-12)


def _strength(values: npt.NDArray[np.float64]) -> npt.NDArray[np.float64]:
    """Values from -1 to 1; one pixel in two hundred may be stronger than that, so that none hides the others."""
    strong = np.percentile(np.abs(values), 99.5)
    return np.clip(values / strong, -1, 1) if strong > 0 else np.zeros_like(values)


def _row(pictures: npt.NDArray[np.float64], columns: int) -> npt.NDArray[np.float64]:
    """Pictures ``[n, h, w]`` side by side with white lines around them, and white where there are too few."""
    row = np.ones((columns, pictures.shape[1] + 1, pictures.shape[2] + 1))
    row[: len(pictures), :-1, :-1] = pictures
    return np.concatenate(list(row), axis=1)


def _show(ax: Axes, grey: npt.NDArray[Any]) -> None:
    ax.imshow(grey, cmap="gray", vmin=0, vmax=1, interpolation="nearest")


def _bare(ax: Axes) -> None:
    for spine in ax.spines.values():
        spine.set_visible(False)
    ax.set_xticks([])
    ax.set_yticks([])
    ax.tick_params(length=0)
