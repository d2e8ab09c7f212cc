"""Figures of the reject option."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

from matplotlib.axes import Axes
from matplotlib.figure import Figure
from matplotlib.ticker import PercentFormatter

from beatwise.figures.style import GREY, class_colors, draw_band, light_grid, new_figure


def plot_risk_coverage(risk_coverage: Mapping[str, Any], rejections: Sequence[Mapping[str, Any]]) -> Figure:
    """Errors among the accepted beats, macro recall, and who is accepted, over the share that is."""
    figure, (errors, recalls, accepted) = new_figure(8.6, 3.6, 1, 3)
    aurc, confidence = risk_coverage["aurc"], risk_coverage["confidence"]
    draw_band(errors, risk_coverage["coverage"], risk_coverage["error"], GREY)
    errors.set_title(
        f"errors among accepted beats\narea {aurc['value']:.4f} [{aurc['low']:.4f}, {aurc['high']:.4f}]", fontsize=9
    )
    errors.set_ylim(bottom=0)
    defined = [one for one in rejections if one["macro_recall"]["value"] is not None]
    _draw_points(errors, defined, [one["error"] for one in defined], "o", GREY, "threshold of validation")
    _draw_points(recalls, defined, [one["macro_recall"] for one in defined], "o-", GREY)
    recalls.set_title("macro recall\namong accepted beats", fontsize=9)
    for label, color in class_colors(list(rejections[0]["per_class"])).items():
        of_class = [one["per_class"][label]["coverage"] for one in defined]
        if of_class and of_class[0]["value"] is not None:
            _draw_points(accepted, defined, of_class, "o-", color, label)
    accepted.set_title("accepted share\nof each class", fontsize=9)
    for ax in (recalls, accepted):
        ax.set_ylim(top=1 + 0.03 * (1 - ax.get_ylim()[0]))
    for ax in (errors, recalls, accepted):
        ax.set_xlabel("coverage: share of accepted beats", fontsize=9)
        ax.xaxis.set_major_formatter(PercentFormatter(1, decimals=0))
        ax.yaxis.set_major_formatter(PercentFormatter(1))
        ax.tick_params(labelsize=8)
        light_grid(ax, "both")
    figure.legend(loc="outside upper center", ncols=6, fontsize=8, frameon=False)
    errors.set_ylabel(f"test, {confidence:.0%} interval")
    return figure


def _draw_points(
    ax: Axes,
    rejections: Sequence[Mapping[str, Any]],
    metrics: Sequence[Mapping[str, float]],
    line: str,
    color: str,
    label: str | None = None,
) -> None:
    """A metric with its interval at the coverage of each threshold."""
    places = [one["coverage"]["value"] for one in rejections]
    values = [metric["value"] for metric in metrics]
    spread = [
        [max(metric["value"] - metric["low"], 0) for metric in metrics],
        [max(metric["high"] - metric["value"], 0) for metric in metrics],
    ]
    style: dict[str, Any] = {"markersize": 4.5, "linewidth": 0.9, "elinewidth": 0.9, "capsize": 2}
    ax.errorbar(places, values, yerr=spread, fmt=line, color=color, label=label, **style)
