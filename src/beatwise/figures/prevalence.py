"""Figures of predictive values."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

import numpy as np
from matplotlib.figure import Figure

from beatwise.figures.style import class_colors, draw_band, light_grid, new_figure


def plot_predictive_value(values: Mapping[str, Any]) -> Figure:
    """Positive predictive value of each class over its prevalence; a dot is the test part."""
    figure, ax = new_figure(7.0, 4.2)
    for label, color in class_colors(list(values["per_class"])).items():
        of_class = values["per_class"][label]
        if of_class["value"][0] is None:
            continue
        draw_band(ax, values["prevalence"], of_class, color, label)
        here = of_class["test_prevalence"]
        # The value at a prevalence of 1 is not defined for a class that is called and never hit.
        known = np.array(of_class["value"], dtype=np.float64)
        height = np.interp(np.log(here), np.log(values["prevalence"]), known)
        ax.plot(here, height, "o", color=color, markersize=6, markeredgecolor="white", zorder=3)
    ax.set(xscale="log", xlim=(values["prevalence"][0], 1), ylim=(0, 1.02))
    ax.set_xlabel("prevalence: share of the class among all beats (log scale); dot: test part")
    ax.set_ylabel(f"positive predictive value, {values['confidence']:.0%} interval")
    figure.legend(loc="outside upper center", ncols=len(values["per_class"]), fontsize=8, frameon=False)
    light_grid(ax, "both")
    return figure
