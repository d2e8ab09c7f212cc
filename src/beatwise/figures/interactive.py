"""Interactive figures, as plotly draws them; kedro-viz shows them too."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

import pandas as pd
import plotly.graph_objects as go

from beatwise.data.examples import PERSISTENCE, TIME
from beatwise.figures.embedding import LABELS as LABELS_OF_PROJECTIONS
from beatwise.figures.search import STATUS, best_so_far
from beatwise.figures.style import GREY, PALETTE, class_colors, origin
from beatwise.tasks.registry import METRICS

LAYOUT: dict[str, Any] = {
    "template": "plotly_white",
    "font": {"size": 13},
    "margin": {"l": 70, "r": 40, "t": 60, "b": 60},
}


def parallel_coordinates(trials: pd.DataFrame, space: pd.DataFrame, metric: str) -> go.Figure:
    """Every trial with a score over its hyper-parameters; drag along an axis to choose trials."""
    scored = trials[trials["score"].notna()]
    axes = [_axis(name, scored[name], prior) for name, prior in zip(space["name"], space["prior"], strict=True)]
    axes += [
        {"label": "epochs", "values": scored["epochs"]},
        {"label": METRICS[metric].label, "values": scored["score"]},
    ]
    line = {
        "color": scored["score"],
        "colorscale": "Viridis",
        "reversescale": not METRICS[metric].higher_is_better,
        "showscale": True,
        "colorbar": {"title": {"text": METRICS[metric].label}},
    }
    figure = go.Figure(go.Parcoords(line=line, dimensions=axes, labelangle=-15))
    return figure.update_layout(**{**LAYOUT, "margin": {"l": 70, "r": 40, "t": 120, "b": 40}})


def _axis(name: str, values: pd.Series, prior: str) -> dict[str, Any]:
    if prior != "choice":
        # Missing values stand below everything else.
        numbers = values.astype(float)
        return {"label": name, "values": numbers.fillna(numbers.min())}
    texts = values.fillna("–").astype(str)
    known = sorted(set(texts))
    return {
        "label": name,
        "values": texts.map(known.index),
        "tickvals": list(range(len(known))),
        "ticktext": known,
    }


def history(trials: pd.DataFrame, metric: str) -> go.Figure:
    """The score of every trial and the best so far."""
    scored = trials[trials["score"].notna()]
    figure = go.Figure()
    for status, (_, color, name) in STATUS.items():
        own = scored[scored["status"] == status]
        if len(own):
            figure.add_scatter(
                x=own["trial"], y=own["score"], mode="markers", name=name, marker={"color": color, "size": 9}
            )
    best = best_so_far(trials, metric)
    figure.add_scatter(x=best.index, y=best, mode="lines", name="best so far", line={"shape": "hv", "color": GREY})
    return figure.update_layout(xaxis_title="trial", yaxis_title=f"{METRICS[metric].label}, validation", **LAYOUT)


def curves(histories: pd.DataFrame, trials: pd.DataFrame, metric: str) -> go.Figure:
    """The metric of every trial, epoch by epoch."""
    figure = go.Figure()
    statuses = trials.set_index("trial")["status"]
    for number, curve in histories.groupby("trial"):
        _, color, name = STATUS[statuses.loc[number]]
        figure.add_scatter(
            x=curve["epoch"],
            y=curve[f"val_{metric}"],
            mode="lines+markers",
            name=f"trial {number}, {name}",
            line={"color": color, "width": 1.2},
            marker={"size": 4},
            opacity=0.7,
        )
    return figure.update_layout(xaxis_title="epoch", yaxis_title=f"{METRICS[metric].label}, validation", **LAYOUT)


def embedding(table: pd.DataFrame, projections: Sequence[Mapping[str, Any]], classes: Sequence[str]) -> go.Figure:
    """The projections of the beats, chosen by buttons; points have the names of their beats, and errors are marked."""
    names = [metadata["name"] for metadata in projections]
    figure, parts = go.Figure(), []
    is_wrong = table["prediction"] != table["target"]
    for index, (name, color) in enumerate(class_colors(classes).items()):
        for wrong in (False, True):
            own = table[(table["target"] == index) & (is_wrong == wrong)]
            if own.empty:
                continue
            parts.append(own)
            marker = {"color": color, "size": 10, "symbol": "x", "line": {"color": "black", "width": 1}}
            figure.add_scatter(
                x=own[f"{names[-1]}_1"],
                y=own[f"{names[-1]}_2"],
                mode="markers",
                name=f"{name}, wrong" if wrong else name,
                marker=marker if wrong else {"color": color, "size": 6, "opacity": 0.7},
                text=[_hover(row, classes) for row in own.to_dict("records")],
                hoverinfo="text",
            )
    buttons = [
        {
            "label": LABELS_OF_PROJECTIONS.get(name, name),
            "method": "restyle",
            "args": [{axis: [own[f"{name}_{place}"] for own in parts] for axis, place in (("x", 1), ("y", 2))}],
        }
        for name in names
    ]
    hidden = {"showticklabels": False, "zeroline": False}
    menu = {"type": "buttons", "direction": "right", "buttons": buttons, "active": len(names) - 1}
    return figure.update_layout(
        xaxis=hidden,
        yaxis=hidden,
        updatemenus=[{**menu, "x": 0, "xanchor": "left", "y": 1.12, "yanchor": "top"}] if len(names) > 1 else [],
        legend_title_text="true class",
        **LAYOUT,
    )


def _hover(row: Mapping[Any, Any], classes: Sequence[str]) -> str:
    lines = [
        f"validation beat {row['beat']:,}",
        f"class {classes[row['target']]}, predicted {classes[row['prediction']]} ({row['probability']:.1%})",
        f"{row['same_class']:.0%} of its nearest are of its class",
    ]
    if "record" in row:
        lines.append(f"record {origin(row)}")
    return "<br>".join(lines)


def forecast(predictions: pd.DataFrame, what: str) -> go.Figure | str:
    """Target, prediction and last known target over time; drag to look closer.

    Args:
        predictions: Predictions table.
        what: Name of the target with its unit.
    """
    if TIME not in predictions:
        return "The times of the examples are not known."
    table = predictions.sort_values(TIME)
    looks: dict[str, tuple[str, str, bool | str]] = {
        "target": ("measured", "black", True),
        "prediction": ("predicted", PALETTE[0], True),
        PERSISTENCE: ("last known", PALETTE[1], "legendonly"),
    }
    figure = go.Figure()
    for column, (name, color, visible) in looks.items():
        if column in table:
            style = {"name": name, "mode": "lines", "line": {"color": color, "width": 1}, "visible": visible}
            figure.add_scatter(x=table[TIME], y=table[column].round(4), **style)
    return figure.update_layout(**LAYOUT, yaxis_title=what, xaxis={"rangeslider": {"visible": True}})
