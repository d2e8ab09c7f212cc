from __future__ import annotations

from typing import Any

import pytest

from beatwise.figures import plot_architecture
from beatwise.networks.outline import ROWS_AT_MOST, OutlineBlock, outline_network
from tests.layout import check_layout, texts
from tests.networks.cases import DEFAULTS, VARIANTS, build

# A4 less its margins and the lines of a caption, in inches.
PAGE = (7.0, 9.0)


@pytest.mark.parametrize(
    ("name", "options"),
    [*DEFAULTS, *(pytest.param(*variant, marks=pytest.mark.slow) for variant in VARIANTS)],
)
def test_every_network_is_drawn_with_all_its_parameters_and_nothing_is_cut_off(
    name: str, options: dict[str, Any]
) -> None:
    network, shape = build(name, aux=3, **options)
    blocks = outline_network(network, shape, 3)
    figure = plot_architecture(blocks, shape)
    check_layout(figure)
    written = [text.get_text() for text in texts(figure)]
    for block in blocks:
        assert any(text.endswith(block.name) for text in written)
        assert not block.n_parameters or f"{block.n_parameters:,}" in written
    assert f"parameters ({sum(p.numel() for p in network.parameters()):,})" in written


def test_the_longest_outline_fits_on_a_page() -> None:
    layers = "convolution 7, stride 2 · normalisation · ReLU · " * 5
    blocks = [OutlineBlock("AVeryLongNameOfABlock1d", layers, (128, 94), (128, 94), 1_234_567, 12)] * ROWS_AT_MOST
    figure = plot_architecture(blocks, (128, 94))
    check_layout(figure)
    width, height = figure.get_size_inches()
    assert height * min(1, PAGE[0] / width) <= PAGE[1]
