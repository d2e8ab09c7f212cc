"""The figure of the space in which a network separates the classes."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any, Final

import pandas as pd
from matplotlib.figure import Figure
from matplotlib.lines import Line2D

from beatwise.figures.style import class_colors, class_markers, new_figure

LABELS: Final = {"pca": "PCA", "tsne": "t-SNE", "umap": "UMAP"}


def plot_embedding(embedding: pd.DataFrame, projections: Sequence[Mapping[str, Any]], classes: Sequence[str]) -> Figure:
    """Every projection twice: by class, and by right and wrong."""
    n_rows = len(projections)
    figure, axes = new_figure(7.5, 0.7 + 3.3 * n_rows, n_rows, 2, squeeze=False, sharex="row", sharey="row")
    counts = embedding["target"].value_counts()
    colors, markers = list(class_colors(classes).values()), list(class_markers(classes).values())
    is_wrong = embedding["prediction"] != embedding["target"]
    for (by_class, by_error), metadata in zip(axes, projections, strict=True):
        name = LABELS.get(metadata["name"], metadata["name"])
        x, y = f"{metadata['name']}_1", f"{metadata['name']}_2"
        # The rarest lie on top.
        for index in counts.index:
            own = embedding[embedding["target"] == index]
            style: dict[str, Any] = {"color": colors[index], "marker": markers[index], "linewidth": 0}
            by_class.scatter(own[x], own[y], s=11, alpha=0.65, **style)
        right, wrong = embedding[~is_wrong], embedding[is_wrong]
        by_error.scatter(right[x], right[y], s=9, color="#BBBBBB", alpha=0.6, linewidth=0)
        for index in sorted(wrong["target"].unique()):
            own = wrong[wrong["target"] == index]
            by_error.scatter(
                own[x], own[y], s=34, c=colors[index], marker=markers[index], edgecolor="black", linewidth=0.7
            )
        variance = f", {metadata['variance']:.0%} of the variance" if metadata["variance"] is not None else ""
        by_class.set_title(f"{name}{variance}", fontsize=9)
        by_error.set_title(f"{name}: {is_wrong.sum():,} of {len(embedding):,} wrong", fontsize=9)
        by_class.set_ylabel(f"{name} 2", fontsize=8)
        for ax in (by_class, by_error):
            ax.set_xlabel(f"{name} 1", fontsize=8)
            ax.set_xticks([])
            ax.set_yticks([])
    handles = [
        Line2D([], [], color=colors[i], marker=markers[i], linewidth=0, label=f"{name} ({counts.get(i, 0):,})")
        for i, name in enumerate(classes)
    ]
    handles.append(Line2D([], [], color="#BBBBBB", marker="o", markersize=4, linewidth=0, label="right"))
    handles.append(
        Line2D([], [], color="white", marker="o", markeredgecolor="black", linewidth=0, label="wrong, by true class")
    )
    figure.legend(
        handles=handles,
        loc="outside upper center",
        ncols=min(len(handles), 7),
        fontsize=8,
        frameon=False,
        columnspacing=1,
    )
    return figure
