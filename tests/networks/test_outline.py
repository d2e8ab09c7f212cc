from __future__ import annotations

import pytest

from beatwise.networks.outline import ROWS_AT_MOST, OutlineBlock, outline_network
from beatwise.networks.zoo import build_model
from tests.networks.cases import build, n_parameters


def test_a_plain_network_is_told_as_one_would_write_it_down() -> None:
    network, shape = build("cnn1d")
    assert outline_network(network, shape) == [
        # 187 samples less 6 of the kernel, by 3; 60 less 6, by 3; 7 weights and a bias for each of the outputs.
        OutlineBlock("Conv1d", "convolution 7 · ReLU · max-pool 3, stride 3", (1, 187), (8, 60), 8 * 7 + 8),
        OutlineBlock(
            "Conv1d", "convolution 7 · ReLU · max-pool 3, stride 3 · flatten", (8, 60), (576,), 32 * 8 * 7 + 32
        ),
        OutlineBlock("Head", "linear 576 → 5", (576,), (5,), 576 * 5 + 5),
    ]


def test_equal_blocks_in_a_row_are_counted() -> None:
    network, shape = build("resnet1d", widths=[16], blocks_per_stage=30)
    (blocks,) = (block for block in outline_network(network, shape) if block.name == "ResidualBlock1d")
    assert blocks.times == 30
    # Two convolutions of 16 × 16 × 5 without bias, and what normalises each.
    assert blocks.n_parameters == 30 * 2 * (16 * 16 * 5 + 2 * 16)


def test_a_network_of_many_different_blocks_is_told_by_its_parts() -> None:
    network, shape = build("mlp", layers=1)
    assert len(outline_network(network, shape)) == 3
    widths = list(range(8, 8 + 2 * ROWS_AT_MOST))
    deep = build_model("resnet1d", input_shape=shape, n_outputs=5, widths=widths)
    blocks = outline_network(deep, shape)
    assert [block.name for block in blocks] == ["Sequential", "Head"]
    assert sum(block.n_parameters for block in blocks) == n_parameters(deep)


def test_parameters_of_no_block_stand_in_a_row_of_their_own() -> None:
    network, shape = build("vit")
    (positions,) = (block for block in outline_network(network, shape) if block.name == "positions")
    assert (positions.before, positions.n_parameters) == ((16, 64), 16 * 64)


@pytest.mark.parametrize("training", [True, False])
def test_the_network_is_left_as_it_was(training: bool) -> None:
    network, shape = build("se_resnet1d")
    before = {name: value.clone() for name, value in network.train(training).state_dict().items()}
    outline_network(network, shape)
    assert network.training is training
    assert all(value.equal(before[name]) for name, value in network.state_dict().items())
    assert not any(module._forward_hooks for module in network.modules())
