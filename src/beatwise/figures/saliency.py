"""Figures of attributions: colours behind a trace, sample by sample."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import Any, Final

import numpy as np
import pandas as pd
from matplotlib.axes import Axes
from matplotlib.cm import ScalarMappable
from matplotlib.colors import Colormap, LinearSegmentedColormap, Normalize
from matplotlib.figure import Figure
from matplotlib.ticker import MaxNLocator

from beatwise.explanation.methods import CAM, DEFLECTION, HIT, MEAN, MISTAKE, SIGNED, SIZE
from beatwise.figures.style import STEPS, class_colors, class_markers, light_grid, new_figure, new_note, origin
from beatwise.tasks.metrics import Floats

# Blue against, red for; both ends are pale enough for a black trace, and differ for colour-blind readers.
FOR_OR_AGAINST: Final = LinearSegmentedColormap.from_list("for_or_against", ["#4393C3", "#FFFFFF", "#E8735C"])
MORE_OR_LESS: Final = LinearSegmentedColormap.from_list("more_or_less", ["#FFFFFF", "#F5A623"])
NO_GRADIENTS: Final = "This model has no gradients, so that no saliency is defined."
TIME: Final = "time from the beat's first sample (ms)"
AMPLITUDE: Final = "amplitude (scaled to 0–1)"
# The name, colours and lowest value of each map.
MAPS: Final[dict[str, tuple[str, Colormap, float]]] = {
    SIGNED: ("integrated gradients", FOR_OR_AGAINST, -1.0),
    CAM: ("Grad-CAM", MORE_OR_LESS, 0.0),
}


def plot_saliency(saliency: pd.DataFrame, classes: Sequence[str], sample_rate: float) -> Figure:
    """The mean beat of each class, and behind it the mean saliency of its logit.

    Every row has a scale of its own, up to its largest value.
    """
    if saliency.empty:
        return new_note(NO_GRADIENTS)
    means = saliency[saliency["of"] == MEAN]
    shown = [SIGNED, *([CAM] if means["grad_cam"].notna().any() else [])]
    figure, axes = new_figure(7.5, 1.1 + 1.15 * len(classes), len(classes), len(shown), sharex=True, squeeze=False)
    end = (means["sample"].max() + 1) / sample_rate * 1000
    for index, (row, (name, color)) in enumerate(zip(axes, class_colors(classes).items(), strict=True)):
        beat = means[means["target"] == index]
        for ax, method in zip(row, shown, strict=True):
            _draw_beat(ax, beat, method, sample_rate)
            ax.set_xlim(0, end)
            if beat.empty:
                ax.text(0.5, 0.5, "no validation beats", transform=ax.transAxes, ha="center", va="center", fontsize=8)
        counted = f"\n{beat['beats'].max():,} beats" if len(beat) else ""
        row[0].set_ylabel(f"{name}{counted}", color=color, fontweight="bold", fontsize=9)
    for ax, method in zip(axes[0], shown, strict=True):
        ax.set_title(MAPS[method][0], fontsize=9)
    for ax in axes[-1]:
        ax.set_xlabel(TIME, fontsize=8)
    figure.supylabel(AMPLITUDE, fontsize=8)
    for column, method in zip(axes.T, shown, strict=True):
        add_scale(figure, column, method)
    return figure


def plot_lead_saliency(
    saliency: pd.DataFrame, classes: Sequence[str], leads: Sequence[str], sample_rate: float
) -> Figure:
    """The mean window of each class, a column a lead, and behind it the mean saliency of its logit.

    Every row has a scale of its own, the same for all leads, so that they can be compared.
    """
    if saliency.empty:
        return new_note(NO_GRADIENTS)
    means = saliency[saliency["of"] == MEAN]
    length = (means["sample"].max() + 1) // len(leads)
    figure, axes = new_figure(7.5, 1.1 + 1.15 * len(classes), len(classes), len(leads), sharex=True, squeeze=False)
    for index, (row, (name, color)) in enumerate(zip(axes, class_colors(classes).items(), strict=True)):
        window = means[means["target"] == index]
        scaled = window.assign(**{SIGNED: _scaled(window[SIGNED].to_numpy(np.float64))}) if len(window) else window
        for lead, ax in enumerate(row):
            of_lead = scaled[scaled["sample"] // length == lead]
            _draw_beat(ax, of_lead.assign(sample=of_lead["sample"] % length), SIGNED, sample_rate, rescale=False)
            ax.set_xlim(0, length / sample_rate * 1000)
            if window.empty:
                ax.text(0.5, 0.5, "no validation beats", transform=ax.transAxes, ha="center", va="center", fontsize=8)
        counted = f"\n{window['beats'].max():,} beats" if len(window) else ""
        row[0].set_ylabel(f"{name}{counted}", color=color, fontweight="bold", fontsize=9)
    for ax, lead_name in zip(axes[0], leads, strict=True):
        ax.set_title(lead_name, fontsize=9)
    for ax in axes[-1]:
        ax.set_xlabel("time from the window's first sample (ms)", fontsize=8)
    add_scale(figure, axes, SIGNED)
    return figure


def plot_explained_beats(
    saliency: pd.DataFrame, attributions: pd.DataFrame, classes: Sequence[str], sample_rate: float
) -> Figure:
    """The most confident hit and mistake of each class, shaded by what the predicted class's logit depends on."""
    if saliency.empty:
        return new_note(NO_GRADIENTS)
    figure, axes = new_figure(7.5, 1.1 + 1.35 * len(classes), len(classes), 2, sharex=True, squeeze=False)
    end = (saliency["sample"].max() + 1) / sample_rate * 1000
    for index, (row, (name, color)) in enumerate(zip(axes, class_colors(classes).items(), strict=True)):
        for ax, of in zip(row, (HIT, MISTAKE), strict=True):
            metadata = attributions[(attributions["of"] == of) & (attributions["target"] == index)]
            head = f"most confident {of}\n" if index == 0 else ""
            ax.set_title(head, fontsize=8)
            ax.set_xlim(0, end)
            ax.tick_params(labelsize=7)
            if metadata.empty:
                ax.text(0.5, 0.5, f"no {of} of {name}", transform=ax.transAxes, ha="center", va="center", fontsize=8)
                ax.set_yticks([])
                continue
            chosen = metadata.iloc[0]
            _draw_beat(ax, saliency[(saliency["of"] == of) & (saliency["target"] == index)], SIGNED, sample_rate)
            where = f"; {origin(chosen)}" if "record" in metadata else ""
            called = f"as {classes[chosen['prediction']]}, {chosen['probability']:.1%}{where}"
            ax.set_title(f"{head}{name} {called}", fontsize=8)
        row[0].set_ylabel(name, color=color, fontweight="bold", fontsize=9)
    for ax in axes[-1]:
        ax.set_xlabel(TIME, fontsize=8)
    figure.supylabel(AMPLITUDE, fontsize=8)
    add_scale(figure, axes, SIGNED, of="predicted class")
    return figure


def plot_saliency_check(
    saliency_check: pd.DataFrame,
    saliency: pd.DataFrame,
    random_saliency: pd.DataFrame,
    classes: Sequence[str],
    sample_rate: float | None,
    draw_picture: Callable[[Axes, pd.DataFrame], None] | None = None,
) -> Figure:
    """The most confident hits under the trained network and one with random weights, and all rank correlations.

    Args:
        saliency_check: Rank correlations.
        saliency: Saliency of the trained network.
        random_saliency: Saliency of a network with random weights.
        classes: Class names in the order of their indices.
        sample_rate: Samples per second (Hz); not used of pictures.
        draw_picture: Draws the saliency of one picture; None draws traces.
    """
    if saliency_check.empty:
        return new_note(NO_GRADIENTS)
    figure, axes = new_figure(7.5, 5.2, 3, len(classes), squeeze=False, gridspec_kw={"height_ratios": [1, 1, 2.2]})
    grid = axes[0, 0].get_gridspec()
    for ax in axes[2]:
        ax.remove()
    of_itself = "the\ntrace's own deflection" if draw_picture is None else "the\npicture's own contrast"
    _draw_correlations(figure.add_subplot(grid[2, :]), saliency_check, classes, of_itself)
    for row, table, name in ((0, saliency, "trained"), (1, random_saliency, "random\nweights")):
        axes[row, 0].set_ylabel(name, fontsize=8)
        for index, ax in enumerate(axes[row]):
            beat = table[(table["of"] == HIT) & (table["target"] == index)]
            if draw_picture is not None:
                draw_picture(ax, beat)
            elif sample_rate is not None:
                _draw_beat(ax, beat, SIGNED, sample_rate)
                ax.xaxis.set_major_locator(MaxNLocator(3, steps=STEPS))
            if beat.empty:
                ax.text(0.5, 0.5, "no hit", transform=ax.transAxes, ha="center", va="center", fontsize=8)
                ax.set_xticks([])
            ax.set_yticks([])
    for ax, (name, color) in zip(axes[0], class_colors(classes).items(), strict=True):
        of = f"hit of\n{name}" if draw_picture is not None else f"hit of {name}"
        ax.set_title(of, color=color, fontweight="bold", fontsize=8)
    for ax in axes[1] if draw_picture is None else ():
        ax.set_xlabel("time (ms)", fontsize=7.5)
    return figure


def _draw_correlations(ax: Axes, saliency_check: pd.DataFrame, classes: Sequence[str], of_itself: str) -> None:
    """Rank correlations as dots, a row a comparison, and their means."""
    named = {
        (SIGNED, False): "integrated gradients",
        (SIZE, False): "the same without sign",
        (CAM, False): "Grad-CAM",
        (SIZE, True): f"without sign, and {of_itself}",
    }
    against = saliency_check["against"] == DEFLECTION
    rows = [
        (name, saliency_check[(saliency_check["method"] == method) & (against == of_trace)])
        for (method, of_trace), name in named.items()
    ]
    rows = [(name, table) for name, table in rows if len(table)]
    rng = np.random.default_rng(0)
    for place, (_, table) in enumerate(rows):
        for (name, color), marker in zip(class_colors(classes).items(), class_markers(classes).values(), strict=True):
            own = table.loc[table["target"] == list(classes).index(name), "rank_correlation"]
            jitter = place + rng.uniform(-0.22, 0.22, len(own))
            label = name if place == 0 and len(own) else None
            ax.scatter(own, jitter, s=14, color=color, marker=marker, alpha=0.75, linewidth=0, label=label)
        mean = table["rank_correlation"].mean()
        if np.isfinite(mean):
            ax.plot([mean, mean], [place - 0.32, place + 0.32], color="black", linewidth=2)
    ax.axvline(0, color="#999999", linewidth=0.8)
    if len(rows) > 1 and against.any():
        ax.axhline(len(rows) - 1.5, color="#999999", linewidth=0.8, linestyle=":")
    ax.set_yticks(range(len(rows)), [name for name, _ in rows], fontsize=8)
    ax.set(ylim=(len(rows) - 0.5, -0.5), xlim=(-1.02, 1.02))
    ax.set_xlabel(
        "rank correlation of the trained network's saliency with that of random weights; line: mean", fontsize=8
    )
    ax.spines[["top", "right"]].set_visible(False)
    ax.tick_params(labelsize=8)
    light_grid(ax, "x")
    ax.legend(fontsize=8, frameon=False, loc="center left", bbox_to_anchor=(1.0, 0.5))


def _draw_beat(ax: Axes, beat: pd.DataFrame, method: str, sample_rate: float, *, rescale: bool = True) -> None:
    """A trace in black, and the value of each of its samples as a colour behind it."""
    ax.tick_params(labelsize=7)
    if beat.empty:
        ax.set_yticks([])
        return
    step = 1000 / sample_rate
    time, trace = beat["sample"].to_numpy() * step, beat["amplitude"].to_numpy()
    room = 0.08 * max(np.ptp(trace), 1e-6)
    low, high = trace.min() - room, trace.max() + room
    _, colors, lowest = MAPS[method]
    extent = (time[0] - step / 2, time[-1] + step / 2, low, high)
    style: dict[str, Any] = {"aspect": "auto", "interpolation": "nearest", "cmap": colors, "vmin": lowest, "vmax": 1.0}
    values = beat[method].to_numpy(np.float64)
    ax.imshow((_scaled(values) if rescale else values)[None], extent=extent, zorder=0, **style)
    ax.plot(time, trace, color="black", linewidth=1.1)
    ax.set_ylim(low, high)
    ax.yaxis.set_major_locator(MaxNLocator(3, steps=STEPS))


def _scaled(values: Floats) -> Floats:
    """Values as shares of the largest, zero where all are."""
    largest = np.abs(values).max()
    return values / largest if largest > 0 else np.zeros_like(values)


def add_scale(figure: Figure, axes: Any, method: str, of: str = "class", name: str = "") -> None:
    """The colours of a map, below some axes."""
    _, colors, lowest = MAPS[method]
    drawn = ScalarMappable(Normalize(lowest, 1.0), colors)
    bar = figure.colorbar(drawn, ax=axes, location="bottom", shrink=0.7, aspect=35, pad=0.01)
    ends = [f"against the {of}", "0", f"for the {of}"] if lowest < 0 else ["none", "most"]
    bar.set_ticks(np.linspace(lowest, 1, len(ends)).tolist(), labels=ends)
    bar.ax.tick_params(labelsize=7.5, length=2)
    bar.set_label(name, fontsize=7.5)
    bar.outline.set_linewidth(0.5)
