from __future__ import annotations

from functools import cache
from typing import Any

import numpy as np
import pytest
from matplotlib.colors import to_hex

from beatwise import figures
from beatwise.explanation.attribution import explain_beats
from beatwise.explanation.embedding import embed_beats
from beatwise.explanation.sanity import check_saliency
from beatwise.figures.interactive import embedding as draw_embedding
from beatwise.figures.style import class_colors
from tests.conftest import CLASSES, random_beats
from tests.explanation.cases import EXPLAIN, LENGTH, explained
from tests.layout import check_layout

RATE = 120.0
COUNTS = {"cnn1d": (30, 6, 5, 4, 6), "mlp": (30, 6, 5, 0, 6)}


@cache
def made(name: str) -> dict[str, Any]:
    case = explained(random_beats(COUNTS[name], length=LENGTH, records=True), name)
    saliency, attributions = explain_beats(case.model, case.tensors, case.beats, case.predictions, EXPLAIN, 0)
    check, random = check_saliency(case.model, case.tensors, case.beats, attributions, EXPLAIN, 0)
    projections: list[tuple[str, dict[str, Any]]] = [("pca", {}), ("tsne", {})]
    table, metadata = embed_beats(case.model, case.tensors, case.predictions, projections, 60, 0)
    return {"saliency": saliency, "attributions": attributions, "check": check, "random": random, "table": table} | {
        "metadata": metadata
    }


FIGURES = {
    "saliency": lambda of: figures.plot_saliency(of["saliency"], CLASSES, RATE),
    "explained_beats": lambda of: figures.plot_explained_beats(of["saliency"], of["attributions"], CLASSES, RATE),
    "saliency_check": lambda of: figures.plot_saliency_check(of["check"], of["saliency"], of["random"], CLASSES, RATE),
    "embedding": lambda of: figures.plot_embedding(of["table"], of["metadata"], CLASSES),
}


@pytest.mark.parametrize("figure", FIGURES)
@pytest.mark.parametrize("name", COUNTS)
def test_a_figure_is_drawn_with_everything_in_it_and_nothing_written_over_another(name, figure):
    check_layout(FIGURES[figure](made(name)))


def test_colours_behind_the_mean_beat_are_its_mean_saliency_in_milliseconds():
    figure = FIGURES["saliency"](made("cnn1d"))
    saliency = made("cnn1d")["saliency"]
    mean = saliency[(saliency["of"] == "mean") & (saliency["target"] == 2)]
    ax = figure.axes[4]
    (image,), (line,) = ax.images, ax.lines
    expected = mean["integrated_gradients"] / mean["integrated_gradients"].abs().max()
    np.testing.assert_allclose(np.asarray(image.get_array())[0], expected, atol=1e-6)
    np.testing.assert_allclose(np.asarray(line.get_xdata()), mean["sample"] / RATE * 1000)
    assert image.get_extent()[:2] == pytest.approx([-500 / RATE, (len(mean) - 0.5) * 1000 / RATE])


def test_where_grad_cam_is_not_defined_there_is_no_column_of_it_and_an_absent_class_is_said_to_be():
    figure = FIGURES["saliency"](made("mlp"))
    assert [ax.get_title() for ax in figure.axes[:5]] == ["integrated gradients", "", "", "", ""]
    assert [text.get_text() for text in figure.axes[3].texts] == ["no validation beats"]


def test_the_interactive_embedding_has_every_beat_once_in_its_class_colour():
    of = made("cnn1d")
    figure = draw_embedding(of["table"], of["metadata"], CLASSES)
    assert sum(len(trace.x) for trace in figure.data) == len(of["table"])
    colors = class_colors(CLASSES)
    for trace in figure.data:
        name, _, wrong = trace.name.partition(", ")
        assert trace.marker.color == colors[name]
        assert all(("predicted " + name in text) != bool(wrong) for text in trace.text)
    # The buttons move every trace to the other projection.
    (menu,) = figure.layout.updatemenus
    assert [button.label for button in menu.buttons] == ["PCA", "t-SNE"]
    assert len(menu.buttons[0].args[0]["x"]) == len(figure.data)


def test_mistakes_are_marked_in_the_colour_of_their_true_class():
    of = made("cnn1d")
    by_error = FIGURES["embedding"](of).axes[1]
    wrong = of["table"][of["table"]["prediction"] != of["table"]["target"]]
    grey, *marked = by_error.collections
    assert len(np.asarray(grey.get_offsets())) == len(of["table"]) - len(wrong)
    expected = [list(class_colors(CLASSES).values())[index] for index in sorted(wrong["target"].unique())]
    assert [to_hex(np.asarray(points.get_facecolor())[0].tolist()).upper() for points in marked] == expected
