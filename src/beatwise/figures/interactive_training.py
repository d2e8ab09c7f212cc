"""Interactive figures of a training, as plotly draws them."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

import numpy as np
import plotly.graph_objects as go
from plotly.subplots import make_subplots

from beatwise.figures.forgetting import (
    FORGOTTEN,
    OFTEN,
    PALE,
    STILL_WRONG,
    floor_of,
    shares_of_moves,
    shares_of_times,
    top_of,
)
from beatwise.figures.interactive import LAYOUT
from beatwise.figures.style import GREY, class_colors

WHAT = {
    "wrong": "wrong before and after",
    "forgotten": "forgotten: right before, wrong after",
    "learnt": "learnt: wrong before, right after",
    "right": "right before and after",
}


def forgetting(moves: Mapping[str, Any], best_epoch: int) -> go.Figure:
    """How beats moved between right and wrong in each epoch, and how often they were forgotten, by class."""
    shares, times, colors = shares_of_moves(moves), shares_of_times(moves), class_colors(list(moves["moves"]))
    beats = {label: sum(counts[0] for counts in moves["moves"][label].values()) for label in shares}
    figure = make_subplots(
        rows=2,
        cols=len(shares),
        specs=[[{}] * len(shares), [{"colspan": len(shares)}, *[None] * (len(shares) - 1)]],
        subplot_titles=[f"{label} ({n:,} beats)" for label, n in beats.items()],
        horizontal_spacing=0.05,
        vertical_spacing=0.16,
    )
    for column, (label, of_class) in enumerate(shares.items(), start=1):
        epochs = np.arange(1, len(of_class["right"]) + 1)
        looks = {
            "wrong": (STILL_WRONG, 1.0),
            "forgotten": (FORGOTTEN, 1.0),
            "learnt": (colors[label], 1.0),
            "right": (colors[label], PALE),
        }
        for name, (color, opacity) in looks.items():
            figure.add_bar(
                x=epochs,
                y=of_class[name],
                width=1,
                marker={"color": color, "opacity": opacity, "line": {"width": 0}},
                customdata=moves["moves"][label][name],
                hovertemplate=f"{label}, epoch %{{x}}: %{{customdata:,}} {WHAT[name]}, %{{y:.2%}}<extra></extra>",
                showlegend=False,
                row=1,
                col=column,
            )
        figure.add_vline(best_epoch, line={"dash": "dot", "width": 1}, row=1, col=column)
        figure.update_yaxes(range=[0, top_of(of_class)], tickformat=".1~%", row=1, col=column)
        figure.update_xaxes(title_text="epoch", range=[0.5, len(epochs) + 0.5], row=1, col=column)
    for label, of_times in times.items():
        figure.add_bar(
            x=list(OFTEN),
            y=of_times,
            name=label,
            marker_color=colors[label],
            customdata=np.round(np.array(of_times) * beats[label]),
            hovertemplate=f"{label}, %{{x}}: %{{customdata:,}} beats, %{{y:.2%}}<extra></extra>",
            offsetgroup=label,
            row=2,
            col=1,
        )
    figure.update_yaxes(title_text="share of validation", row=1, col=1)
    figure.update_yaxes(title_text="share (log scale)", type="log", tickformat=".1~%", dtick=1, row=2, col=1)
    figure.update_yaxes(range=[np.log10(floor_of(times)), 0], row=2, col=1)
    notes = "grey: wrong before and after · black: forgotten · full colour: learnt · pale: right before and after"
    figure.add_annotation(
        text=f"{notes} · dotted: best epoch ({best_epoch})",
        **{"x": 0, "y": 1.13, "xref": "paper", "yref": "paper", "xanchor": "left", "showarrow": False},
        font={"color": GREY},
    )
    legend = {"orientation": "h", "x": 1, "xanchor": "right", "y": 0.42, "yanchor": "bottom", "traceorder": "normal"}
    return figure.update_layout(
        **{**LAYOUT, "margin": {**LAYOUT["margin"], "t": 90}}, barmode="stack", height=680, legend=legend
    )
