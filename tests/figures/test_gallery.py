from __future__ import annotations

import plotly.graph_objects as go

from beatwise.figures.gallery import gallery

MENU = {"type": "buttons", "buttons": [{"label": "t-SNE", "method": "restyle", "args": [{"x": [[1.0], [2.0]]}]}]}


def test_a_menu_shows_one_figure_at_a_time_and_leaves_nothing_of_the_one_before() -> None:
    bars = go.Figure(go.Bar(x=[1], y=[2]), {"xaxis3": {"title": {"text": "epoch"}}, "barmode": "stack"})
    points = go.Figure([go.Scatter(x=[1], y=[1]), go.Scatter(x=[2], y=[2])], {"updatemenus": [MENU]})
    shown = gallery({"bars_plot": bars, "points": points, "picture": b"\x89PNG"})
    assert [trace.visible for trace in shown.data] == [True, False, False, False]
    menu, own = shown.layout.updatemenus
    assert [button.label for button in menu.buttons] == ["bars", "points", "picture"]
    (traces, layout) = menu.buttons[1].args
    assert traces == {"visible": [False, True, True, False]}
    assert (layout["barmode"], layout["xaxis3"]["visible"], layout["updatemenus[1].visible"]) == (None, False, True)
    # The buttons of a figure reach its own traces only.
    assert not own.visible
    assert own.buttons[0].args[-1] == (1, 2)
    picture = menu.buttons[2].args[1]
    assert picture["images"][0]["source"] == "data:image/png;base64,iVBORw=="
    assert picture["updatemenus[1].visible"] is False
