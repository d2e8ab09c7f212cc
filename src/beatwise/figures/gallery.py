"""Several figures in one, of which a menu shows one at a time."""

from __future__ import annotations

import base64
from collections.abc import Mapping
from typing import Any

import plotly.graph_objects as go

# kedro-viz draws on a dark ground, with colours that a choice from the menu resets.
LIGHT: dict[str, Any] = {"font": {"size": 13, "color": "#2a3f5f"}, "paper_bgcolor": "white", "plot_bgcolor": "white"}
MENU: dict[str, Any] = {
    **{"x": 1, "xanchor": "right", "y": 1, "yanchor": "bottom", "pad": {"b": 30}},
    **{"bgcolor": "white", "font": LIGHT["font"]},
}
HIDDEN: dict[str, Any] = {"visible": False}
# Plotly draws the ground of every pair of axes, shown or not.
UNUSED: dict[str, Any] = {**HIDDEN, "domain": [0, 0.001]}


def gallery(figures: Mapping[str, go.Figure | bytes]) -> go.Figure:
    """One figure with a menu of several, of plotly or as PNG; the first one is shown first."""
    plots = {name: _picture(drawn) if isinstance(drawn, bytes) else drawn for name, drawn in figures.items()}
    traces = [(name, trace) for name, plot in plots.items() for trace in plot.data]
    layouts = {name: plot.to_plotly_json()["layout"] for name, plot in plots.items()}
    menus = [(name, menu) for name, layout in layouts.items() for menu in layout.pop("updatemenus", [])]
    for name, menu in menus:
        own = [index for index, (owner, _) in enumerate(traces) if owner == name]
        # The buttons of a figure change its own traces only.
        menu["buttons"] = [{**button, "args": [*button["args"], own]} for button in menu["buttons"]]
    # A choice resets what the figure before it has set.
    keys = {key for layout in layouts.values() for key in layout}
    axes = {key: UNUSED for key in (*keys, "xaxis", "yaxis") if "axis" in key}
    unset = {**dict.fromkeys(sorted(keys - {"template"})), **axes, **LIGHT}
    buttons = [
        {
            "label": name.removesuffix("_plot").replace("_", " "),
            "method": "update",
            "args": [
                {"visible": [owner == name for owner, _ in traces]},
                {
                    **unset,
                    **{key: value for key, value in layout.items() if key not in ("template", *LIGHT)},
                    **{f"updatemenus[{place}].visible": owner == name for place, (owner, _) in enumerate(menus, 1)},
                },
            ],
        }
        for name, layout in layouts.items()
    ]
    first = next(iter(plots))
    chosen = go.Figure([trace.update(visible=owner == first) for owner, trace in traces], {**axes, **layouts[first]})
    own_menus = [{**menu, "visible": owner == first} for owner, menu in menus]
    return chosen.update_layout(updatemenus=[{**MENU, "buttons": buttons}, *own_menus])


def _picture(png: bytes) -> go.Figure:
    image = {
        "source": "data:image/png;base64," + base64.b64encode(png).decode("ascii"),
        **{"xref": "paper", "yref": "paper", "x": 0, "y": 1, "sizex": 1, "sizey": 1, "sizing": "contain"},
    }
    # A figure without a trace shows no picture.
    return go.Figure(go.Scatter(x=[], y=[]), {"images": [image], "xaxis": HIDDEN, "yaxis": HIDDEN, "showlegend": False})
