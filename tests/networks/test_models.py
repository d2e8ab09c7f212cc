"""The contract of every registered model, at its defaults and with other options."""

from __future__ import annotations

from itertools import pairwise
from typing import Any

import numpy as np
import pytest
import torch
from torch.nn import functional as F
from torch.testing import assert_close

from beatwise.core.errors import BeatwiseError
from beatwise.data.padding import beat_mask
from beatwise.data.representations import REPRESENTATIONS
from beatwise.networks.outline import REARRANGED, ROWS_AT_MOST, outline_network
from beatwise.networks.predict import in_chunks
from beatwise.networks.zoo import MODELS, Network, build_model, list_models
from tests.networks.cases import (
    OPTIONS,
    TRAINED,
    batch,
    build,
    build_used,
    gradients,
    n_parameters,
    shape_for,
)

# With the defaults, for 187 samples (images of 16 × 12), five outputs and no auxiliary features.
PARAMETERS = {
    "mlp": 115_205,
    "cnn1d": 4_773,
    "dilated_cnn1d": 112_645,
    "resnet1d": 45_125,
    "se_resnet1d": 214_599,
    "rnn": 12_997,
    "gru": 38_341,
    "lstm": 51_013,
    "attention_gru": 30_277,
    "cnn_gru": 75_909,
    "transformer1d": 67_781,
    "multiscale_transformer": 118_491,
    "cnn2d": 77_541,
    "cell_cnn2d": 86_405,
    "lenet5": 36_321,
    "squeezenet": 64_069,
    "resnet2d": 68_293,
    "transformer2d": 37_285,
    "vit": 152_261,
}
EVERY_MODEL = pytest.mark.parametrize("name", list_models())
EVERY_TRAINED_MODEL = pytest.mark.parametrize("name", TRAINED)


@pytest.fixture(autouse=True)
def _own_generator():
    with torch.random.fork_rng():
        yield


# --- every model


@EVERY_MODEL
def test_a_model_keeps_the_contract(name):
    check_outputs(name)
    check_description(name)


def check_outputs(name: str) -> None:
    """A model gives one output a column for any shape of its layout."""
    channels, *size = shape_for(name)
    made_for = REPRESENTATIONS[MODELS[name].representation]()
    assert made_for.transform(np.ones((3, 187), dtype=np.float32)).shape[1:] == (channels, *size)
    shapes = [(channels, *size), (channels + 2, *size), shape_for(name, 96), shape_for(name, 250)]
    shapes += [(3, 40, 40), (1, 66, 66)] if MODELS[name].layout == "image" else []
    for shape, outputs, aux in zip(shapes, (5, 2, 1, 5, 5, 7), (0, 8, 3, 0, 2, 0), strict=False):
        network = build_model(name, input_shape=shape, n_outputs=outputs, n_aux=aux)
        made = network(*batch(shape, 3, aux))
        assert made.shape == (3, outputs)
        assert made.is_floating_point()
        assert torch.isfinite(made).all()
        assert network.penultimate(*batch(shape, 3, aux)).shape[0] == 3


def check_description(name: str) -> None:
    """A model describes itself and refuses what it does not know."""
    model = MODELS[name]
    assert model.source
    # A docstring of its own, not that of a class above.
    assert vars(model)["__doc__"].splitlines()[0].endswith(".")
    known = ", ".join(sorted(MODELS.options(name, {})))
    with pytest.raises(BeatwiseError) as caught:
        build(name, depth_of_sea=3)
    assert str(caught.value) == f"model.{name}.depth_of_sea: Unknown parameter 'depth_of_sea'. Known: {known}."
    other: tuple[int, ...] = (1, 187)
    words = r"takes images \[c, height, width\], not \[1, 187\]: use tensors\.use=image\."
    if model.layout == "series":
        other = (1, 16, 12)
        words = r"takes channels over time \[c, t\], not \[1, 16, 12\]: use tensors\.use=signal"
    if model.layout == "any":
        assert build_model(name, input_shape=(1, 16, 12), n_outputs=5)
    else:
        with pytest.raises(BeatwiseError, match=f"{name!r} {words}"):
            build_model(name, input_shape=other, n_outputs=5)


@EVERY_TRAINED_MODEL
def test_a_network_keeps_the_contract(name, monkeypatch):
    monkeypatch.setattr("beatwise.networks.predict.CHUNK", 5)
    check_weights(name)
    check_aux_and_bias(name)
    for options in OPTIONS[name]:
        check_training(name, options)
        if MODELS[name].ignores_padding:
            check_padding(name, options)


def check_weights(name: str) -> None:
    """Weights come from the global generator and predict the same when they are loaded."""
    network, again = build(name)[0], build(name)[0]
    torch.manual_seed(1)
    other = build_model(name, input_shape=shape_for(name), n_outputs=5)
    first = network.state_dict()
    assert all(torch.equal(first[key], value) for key, value in again.state_dict().items())
    assert any(not torch.equal(first[key], value) for key, value in other.state_dict().items())
    assert n_parameters(network) == PARAMETERS[name], "write it down above, or explain why it changed"
    other.load_state_dict(first)
    x, aux = batch(shape_for(name), 8)
    before = {key: value.clone() for key, value in first.items()}
    predicted = in_chunks(network, network, x, aux)
    # Prediction leaves a network as it was.
    assert network.training
    assert all(torch.equal(value, before[key]) for key, value in network.state_dict().items())
    assert_close(other.eval()(x, aux), predicted, rtol=1e-4, atol=1e-5)


def check_aux_and_bias(name: str) -> None:
    """Outputs depend on every auxiliary feature and begin at the bias that is set."""
    network, shape = build(name, aux=8, length=96)
    network.eval()
    x, aux = batch(shape, 2, 8)
    aux.requires_grad_()
    outputs = network(x, aux)
    torch.autograd.backward(outputs[0, 0])
    assert aux.grad is not None
    assert (aux.grad[0] != 0).all()
    bias = torch.arange(5.0)
    linear = network.head.linear
    expected = network.penultimate(x, aux) @ linear.weight.T
    network.set_output_bias(bias)
    assert_close(network(x, aux), expected + bias)


def check_outline(network: Network, shape: tuple[int, ...], n_aux: int) -> None:
    """The blocks of the outline are connected, and their parameters add up."""
    blocks = outline_network(network, shape, n_aux)
    assert blocks[0].before == shape
    assert blocks[-1].after == (5,)
    assert all(first.after == second.before for first, second in pairwise(blocks))
    assert sum(block.n_parameters for block in blocks) == n_parameters(network)
    assert len(blocks) <= ROWS_AT_MOST
    # What happens between modules has a row of its own, and is not most of the rows.
    assert sum(block.name == REARRANGED for block in blocks) <= 3


def check_training(name: str, options: dict[str, Any]) -> None:
    """A network can be trained, and predicts an example alone as among others."""
    network, shape = build(name, length=96, **options)
    reached = gradients(network, batch(shape, 64)[0])
    # Rounding alone would pass for a gradient.
    assert [key for key, _ in network.named_parameters() if key not in reached or reached[key].norm() < 1e-7] == []
    nothing = torch.cat([torch.zeros(4, *shape), batch(shape, 4)[0]])
    assert torch.isfinite(network.eval()(nothing, nothing.new_zeros(8, 0))).all()
    assert all(torch.isfinite(gradient).all() for gradient in gradients(network.train(), nothing).values())

    network, shape = build_used(name, 3, **options)
    check_outline(network, shape, 3)
    x, aux = batch(shape, aux=3)
    with torch.no_grad():
        together = network(x, aux)
        alone = torch.cat([network(x[[i]], aux[[i]]) for i in range(len(x))])
        assert_close(alone, together, rtol=1e-4, atol=1e-5)
        if options:
            default, _ = build_used(name, 3)
            assert not torch.allclose(together, default(x, aux), rtol=1e-3)


def check_padding(name: str, options: dict[str, Any]) -> None:
    """Zeros after an example change neither outputs nor gradients."""
    network, shape = build_used(name, length=120, **options)
    x, aux = batch(shape)
    ends = [int(n) for n in beat_mask(x).sum(dim=1)]
    with torch.no_grad():
        whole = network(x, aux)
        for length in range(max(ends), max(ends) + 5):
            assert_close(network(x[..., :length], aux), whole, rtol=1e-4, atol=1e-5)
        alone = torch.cat([network(x[[i], :, :end], aux[[i]]) for i, end in enumerate(ends)])
    assert_close(alone, whole, rtol=1e-4, atol=1e-5)
    assert_close(gradients(network, x[..., : max(ends)]), gradients(network, x), rtol=1e-3, atol=1e-5)


# --- slow


@pytest.mark.slow
@EVERY_TRAINED_MODEL
def test_a_model_learns_64_examples_by_heart(name):
    network, shape = build(name, length=48, aux=2)
    x, aux = batch(shape, 64, 2)
    y = torch.arange(64) % 5
    optimizer = torch.optim.AdamW(network.parameters(), lr=5e-3)
    for _ in range(60):
        network.train()
        for _ in range(5):
            loss = F.cross_entropy(network(x, aux), y)
            optimizer.zero_grad()
            torch.autograd.backward(loss)
            optimizer.step()
        if torch.equal(in_chunks(network, network, x, aux).argmax(dim=1), y):
            break
    else:
        pytest.fail(f"After 300 steps the loss is {loss.item():.3f}")


# --- single models


@pytest.mark.parametrize("size", [(1, 1), (5, 7), (1, 48)])
def test_no_image_is_too_small_or_odd(size):
    for name in (name for name in TRAINED if MODELS[name].layout == "image"):
        network = build_model(name, input_shape=(1, *size), n_outputs=5)
        assert network(*batch((1, *size))).shape == (16, 5)


def test_models_have_the_published_sizes():
    # MAP583 counts a bias in both convolutions of every block; batch normalisation subtracts it with the mean.
    for widths, published in (((32, 32, 32, 32), 45_381), ((32, 64, 128, 254), 696_991)):
        assert n_parameters(build("resnet1d", widths=widths)[0]) + 2 * sum(widths) == published
    network, _ = build("lstm", width=100, layers=1, samples_per_step=187)
    assert n_parameters(network) == 4 * 100 * (187 + 100 + 2) + 101 * 5
    assert n_parameters(build("mlp", width=8)[0]) == 188 * 8 + 9 * 8 + 9 * 5


# --- mistakes


def test_an_unknown_model_is_refused_and_the_known_ones_are_listed():
    with pytest.raises(BeatwiseError, match=r"Unknown model 'resnet1'\. Did you mean 'resnet1d'\?") as caught:
        build_model("resnet1", input_shape=(1, 187), n_outputs=5)
    assert f"Known: {', '.join(sorted(list_models()))}." in str(caught.value)


def test_a_value_that_cannot_be_built_is_named():
    mistakes: list[tuple[str, dict[str, Any], str]] = [
        ("mlp", {"dropout": 1.0}, r"model\.mlp\.dropout"),
        ("cnn1d", {"widths": [0]}, r"model\.cnn1d\.widths"),
        ("resnet1d", {"widths": []}, r"model\.resnet1d\.widths"),
        ("resnet1d", {"kernel_size": 4}, r"model\.resnet1d\.kernel_size: an even kernel.*got 4, use 3 or 5"),
        ("se_resnet1d", {"strides": [1, 2]}, r"se_resnet1d\.strides: \[1, 2\] has 2 numbers for 4 stages"),
        ("gru", {"pooling": "median"}, r"model\.gru\.pooling"),
        ("squeezenet", {"squeeze": 1.5}, r"model\.squeezenet\.squeeze"),
        ("vit", {"heads": 7}, r"model\.vit\.heads: 7 heads of attention cannot share a width of 64;"),
        ("cnn_gru", {"heads": 7}, r"model\.cnn_gru\.heads: 7 heads of attention cannot share a width of 128;"),
        (
            "multiscale_transformer",
            {"width": 2, "heads": 1},
            r"multiscale_transformer\.width: 2 channels cannot be split among 3 kernel",
        ),
        (
            "cnn1d",
            {"length": 12},
            "12 samples are too few for cnn1d with kernel_size=7, pool=3",
        ),
    ]
    for name, options, words in mistakes:
        with pytest.raises(BeatwiseError, match=words):
            build(name, **options)
