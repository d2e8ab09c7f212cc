"""Interactive figures of the data, as plotly draws them."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any, Final

import numpy as np
import pandas as pd
import plotly.graph_objects as go
from plotly.subplots import make_subplots

from beatwise.data.examples import Examples
from beatwise.data.representations import beat_mask
from beatwise.ecg.average_beats import average_beats
from beatwise.figures.gallery import gallery
from beatwise.figures.interactive import LAYOUT
from beatwise.figures.pictures import plot_example_pictures
from beatwise.figures.style import GREY, class_colors, to_png
from beatwise.figures.table import in_words_for

PARTS: Final = {"train": "train", "val": "validation", "test": "test"}
COLUMNS: Final = 3
PANEL_HEIGHT: Final = 290
BAND, MEAN, EXAMPLES = "nine of ten beats", "mean", "single beats"


def class_shares(summary: Mapping[str, Any]) -> go.Figure:
    """Beats of each class in each part; buttons change between beats, on a logarithmic scale, and shares."""
    classes, parts = summary["classes"], summary["parts"]
    figure = make_subplots(
        rows=1,
        cols=len(parts),
        shared_yaxes=True,
        horizontal_spacing=0.03,
        subplot_titles=[f"{PARTS[name]}, {part['beats']:,} beats" for name, part in parts.items()],
    )
    beats = [[part["counts"][label] for label in classes] for part in parts.values()]
    shares = [[part["shares"][label] for label in classes] for part in parts.values()]
    for column, (counts, of_part) in enumerate(zip(beats, shares, strict=True), start=1):
        figure.add_bar(
            x=classes,
            y=counts,
            marker_color=list(class_colors(classes).values()),
            text=[f"{share:.1%}" for share in of_part],
            textposition="outside",
            cliponaxis=False,
            customdata=np.column_stack([counts, of_part]),
            hovertemplate="%{x}: %{customdata[0]:,} beats, %{customdata[1]:.2%}<extra></extra>",
            showlegend=False,
            row=1,
            col=column,
        )
    axes = ["yaxis", *(f"yaxis{i}" for i in range(2, len(parts) + 1))]

    def button(label: str, values: list[list[float]], title: str, **axis: Any) -> dict[str, Any]:
        layout = {f"{name}.{key}": value for name in axes for key, value in axis.items()}
        return {"label": label, "method": "update", "args": [{"y": values}, {**layout, "yaxis.title.text": title}]}

    logarithmic = {"type": "log", "dtick": 1, "tickformat": ","}
    buttons = [
        button("beats, log scale", beats, "beats (log scale)", **logarithmic),
        button("shares", shares, "share of the part", type="linear", dtick=0.2, tickformat=".0%"),
    ]
    figure.update_yaxes(**logarithmic)
    figure.update_layout(yaxis_title="beats (log scale)", updatemenus=[_menu(buttons)], height=400, **_layout(110))
    return figure


def draw_examples(
    parts: Mapping[str, Examples], classes: Sequence[str], sample_rate: float | None, per_class: int, seed: int
) -> go.Figure:
    """Examples of each class; buttons or a menu change the part: signals of beats, pictures as they are.

    Args:
        parts: The examples of each part.
        classes: Class names in the order of their indices.
        sample_rate: Samples per second (Hz); None of pictures.
        per_class: Examples of each class and part, drawn at random.
        seed: Seed of the draw.
    """
    shape = next(iter(parts.values())).shape
    if len(shape) == 3 and classes:
        drawn = {
            PARTS[name]: in_words_for(shape, plot_example_pictures(examples, classes, per_class, seed))
            for name, examples in parts.items()
        }
        height = max(100 * drawn[name].get_figheight() for name in drawn) + 170
        return gallery({name: to_png(figure) for name, figure in drawn.items()}).update_layout(
            height=height, **_layout(110)
        )
    if len(shape) != 1 or not classes or sample_rate is None:
        text = f"Signals are drawn of beats [t] with a class; these examples are {list(shape)}."
        note = {"text": text, "showarrow": False, "xref": "paper", "yref": "paper"}
        return go.Figure(layout={"annotations": [note], "height": PANEL_HEIGHT, **_layout(20)})
    return example_signals(parts, classes, sample_rate, per_class, seed)


def example_signals(
    parts: Mapping[str, Examples], classes: Sequence[str], sample_rate: float, per_class: int, seed: int
) -> go.Figure:
    """The mean beat of each class, its spread, and single beats; buttons change the part.

    Args:
        parts: The beats of each part.
        classes: Class names in the order of their indices.
        sample_rate: Samples per second (Hz).
        per_class: Beats of each class and part, drawn at random.
        seed: Seed of the draw.
    """
    columns = min(COLUMNS, len(classes))
    rows = -(-len(classes) // columns)
    figure = make_subplots(
        rows=rows,
        cols=columns,
        subplot_titles=list(classes),
        shared_yaxes=True,
        horizontal_spacing=0.03,
        vertical_spacing=0.32 / rows,
    )
    # The legend shows these; a click on one hides or shows its like in every panel.
    for name, style in (
        (MEAN, {"line": {"color": GREY, "width": 3}}),
        (BAND, {"line": {"color": GREY, "width": 10}, "opacity": 0.3}),
        (EXAMPLES, {"line": {"color": GREY, "width": 1}}),
    ):
        figure.add_scatter(x=[None], y=[None], mode="lines", name=name, legendgroup=name, row=1, col=1, **style)
    part_of: list[str | None] = [None] * len(figure.data)
    for part, beats in parts.items():
        averages = dict(list(average_beats(beats, classes, sample_rate).groupby("class")))
        examples = _draw(beats, len(classes), per_class, seed)
        for index, (label, color) in enumerate(class_colors(classes).items()):
            place = {"row": index // columns + 1, "col": index % columns + 1}
            traces = [
                *_averages(averages.get(label), color),
                *_singles(beats, examples[index], part, sample_rate, color),
            ]
            for trace in traces:
                figure.add_trace(trace, **place)
            part_of += [part] * len(traces)
    first = next(iter(parts))
    buttons = []
    for part in parts:
        shown = [of in (None, part) for of in part_of]
        buttons.append({"label": PARTS[part], "method": "restyle", "args": [{"visible": shown}]})
    for trace, of in zip(figure.data, part_of, strict=True):
        trace.visible = of in (None, first)
    end = parts[first].shape[0] / sample_rate * 1000
    figure.update_xaxes(title_text="time from R peak (ms)", range=[0, end])
    figure.update_yaxes(range=[-0.05, 1.05])
    figure.update_yaxes(title_text="amplitude (scaled to 0–1)", col=1)
    legend = {"orientation": "h", "x": 1, "xanchor": "right", "y": 1 + 30 / (PANEL_HEIGHT * rows), "yanchor": "bottom"}
    return figure.update_layout(
        updatemenus=[_menu(buttons, top=1 + 35 / (PANEL_HEIGHT * rows))],
        legend=legend,
        height=PANEL_HEIGHT * rows + 170,
        **_layout(110),
    )


def _draw(beats: Examples, n_classes: int, per_class: int, seed: int) -> list[np.ndarray]:
    rng, target = np.random.default_rng(seed), beats.target
    members = [np.flatnonzero(target == index) for index in range(n_classes)]
    return [np.sort(rng.choice(own, size=min(per_class, len(own)), replace=False)) for own in members]


def _averages(average: pd.DataFrame | None, color: str) -> list[go.Scatter]:
    if average is None:
        return []
    ms = average["ms"].round(1)
    edge = {"mode": "lines", "line": {"width": 0}, "legendgroup": BAND, "showlegend": False, "hoverinfo": "skip"}
    red, green, blue = (int(color[i : i + 2], 16) for i in (1, 3, 5))
    return [
        go.Scatter(x=ms, y=average["low"].round(3), **edge),
        go.Scatter(
            x=ms, y=average["high"].round(3), fill="tonexty", fillcolor=f"rgba({red},{green},{blue},0.2)", **edge
        ),
        go.Scatter(
            x=ms,
            y=average["mean"].round(3),
            mode="lines",
            line={"color": color, "width": 3},
            legendgroup=MEAN,
            showlegend=False,
            customdata=average["beats"],
            hovertemplate="%{x:.0f} ms: mean %{y:.3f} of %{customdata:,} beats<extra></extra>",
        ),
    ]


def _singles(beats: Examples, chosen: np.ndarray, part: str, sample_rate: float, color: str) -> list[go.Scatter]:
    table, values = beats.table.iloc[chosen], beats.x[chosen]
    names = [f"beat {row:,} of {PARTS[part]}" for row in chosen]
    if beats.has("record", "sample"):
        names = [
            f"{name}, record {record}, sample {sample}"
            for name, record, sample in zip(names, table["record"], table["sample"], strict=True)
        ]
    return [
        go.Scatter(
            x=np.round(np.arange(length) / sample_rate * 1000, 1),
            y=beat[:length].round(3),
            mode="lines",
            line={"color": color, "width": 1},
            opacity=0.6,
            legendgroup=EXAMPLES,
            showlegend=False,
            hovertemplate=f"%{{x:.0f}} ms: %{{y:.3f}}<extra>{name}</extra>",
        )
        for name, beat, length in zip(names, values, beat_mask(values).sum(axis=1), strict=True)
    ]


def _menu(buttons: list[dict[str, Any]], top: float = 1.16) -> dict[str, Any]:
    return {
        "type": "buttons",
        "direction": "right",
        "buttons": buttons,
        "x": 0,
        "xanchor": "left",
        "y": top,
        "yanchor": "bottom",
        "showactive": True,
    }


def _layout(top: int) -> dict[str, Any]:
    return {**LAYOUT, "margin": {**LAYOUT["margin"], "r": 20, "t": top}}
