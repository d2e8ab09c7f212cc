from __future__ import annotations

from typing import Any

import pytest
import torch
from torch import Tensor, nn
from torch.nn import functional as F

from beatwise.errors import BeatwiseError
from beatwise.models import MODELS, build_model, list_models
from beatwise.models.predicting import predict_probabilities

# With the defaults, for one channel of 187 samples, five classes and no auxiliary features.
PARAMETERS = {"mlp": 115_205, "cnn1d": 4_773, "resnet1d": 45_125}
EVERY_MODEL = pytest.mark.parametrize("name", list_models())


def shape_for(name: str, length: int = 187) -> tuple[int, ...]:
    """A shape of input that the model takes: one channel over time, or an image."""
    try:
        build_model(name, input_shape=(1, length), n_classes=2)
    except BeatwiseError:
        return (1, 16, -(-length // 16))
    return (1, length)


def build(
    name: str, *, length: int = 187, classes: int = 5, aux: int = 0, **options: Any
) -> tuple[nn.Module, tuple[int, ...]]:
    torch.manual_seed(0)
    shape = shape_for(name, length)
    return build_model(name, input_shape=shape, n_classes=classes, n_aux=aux, **options), shape


def batch(shape: tuple[int, ...], n: int = 16, aux: int = 0) -> tuple[Tensor, Tensor]:
    generator = torch.Generator().manual_seed(1)
    return torch.rand(n, *shape, generator=generator), torch.randn(n, aux, generator=generator)


@pytest.fixture(autouse=True)
def _own_generator():
    with torch.random.fork_rng():
        yield


@EVERY_MODEL
@pytest.mark.parametrize("aux", [0, 8])
@pytest.mark.parametrize("classes", [2, 5])
def test_logits_have_one_column_a_class(name, classes, aux):
    network, shape = build(name, classes=classes, aux=aux)
    logits = network(*batch(shape, aux=aux))
    assert logits.shape == (16, classes)
    assert logits.dtype == torch.float32
    assert torch.isfinite(logits).all()


@EVERY_MODEL
@pytest.mark.parametrize("aux", [0, 8])
def test_the_gradient_reaches_every_parameter(name, aux):
    network, shape = build(name, aux=aux)
    x, features = batch(shape, 64, aux)
    torch.autograd.backward(F.cross_entropy(network(x, features), torch.arange(64) % 5))
    unreached = [key for key, p in network.named_parameters() if p.grad is None or not p.grad.any()]
    assert unreached == []


@EVERY_MODEL
def test_logits_depend_on_every_auxiliary_feature(name):
    network, shape = build(name, aux=8)
    network.eval()
    x, features = batch(shape, 1, 8)
    features.requires_grad_()
    torch.autograd.backward(network(x, features)[0, 0])
    assert features.grad is not None
    assert (features.grad != 0).all()


@EVERY_MODEL
def test_a_beat_is_predicted_alone_as_among_others(name):
    network, shape = build(name, aux=3)
    x, features = batch(shape, aux=3)
    network(x, features)  # so that running statistics are not those of a fresh network
    network.eval()
    with torch.no_grad():
        together = network(x, features)
        alone = torch.cat([network(x[[i]], features[[i]]) for i in range(len(x))])
    torch.testing.assert_close(alone, together, rtol=1e-4, atol=1e-5)


@EVERY_MODEL
@pytest.mark.parametrize("length", [96, 250])
def test_a_model_is_built_for_other_lengths(name, length):
    network, shape = build(name, length=length)
    assert network(*batch(shape)).shape == (16, 5)


@EVERY_MODEL
@pytest.mark.parametrize("channels", [2, 4])
def test_a_model_takes_several_channels(name, channels):
    shape = (channels, *shape_for(name)[1:])
    network = build_model(name, input_shape=shape, n_classes=5)
    assert network(*batch(shape)).shape == (16, 5)


@EVERY_MODEL
def test_a_model_learns_64_beats_by_heart(name):
    network, shape = build(name)
    x, aux = batch(shape, 64)
    y = torch.arange(64) % 5
    optimizer = torch.optim.AdamW(network.parameters(), lr=5e-3)
    for _ in range(20):
        network.train()
        for _ in range(20):
            loss = F.cross_entropy(network(x, aux), y)
            optimizer.zero_grad()
            torch.autograd.backward(loss)
            optimizer.step()
        if (predict_probabilities(network, x, aux).argmax(axis=1) == y.numpy()).all():
            return
    pytest.fail(f"After 400 steps the loss is {loss.item():.3f}")


@EVERY_MODEL
def test_the_number_of_parameters_is_the_one_written_down(name):
    network, _ = build(name)
    assert sum(p.numel() for p in network.parameters()) == PARAMETERS[name]


@EVERY_MODEL
def test_weights_come_from_the_global_generator(name):
    first, again = build(name)[0].state_dict(), build(name)[0].state_dict()
    torch.manual_seed(1)
    other = build_model(name, input_shape=shape_for(name), n_classes=5).state_dict()
    assert all(torch.equal(first[key], again[key]) for key in first)
    assert any(not torch.equal(first[key], other[key]) for key in first)


@EVERY_MODEL
def test_a_model_can_be_exported_for_any_number_of_beats(name):
    network, shape = build(name, aux=2)
    network.eval()
    example, more = batch(shape, 4, 2), batch(shape, 9, 2)
    n = torch.export.Dim("n")
    exported = torch.export.export(network, example, dynamic_shapes=({0: n}, {0: n})).module()
    with torch.no_grad():
        torch.testing.assert_close(exported(*more), network(*more), rtol=1e-4, atol=1e-5)


@EVERY_MODEL
def test_evaluation_is_deterministic_and_leaves_the_network_as_it_was(name):
    network, shape = build(name)
    x, aux = batch(shape)
    network.train()
    before = {key: value.clone() for key, value in network.state_dict().items()}
    first, again = predict_probabilities(network, x, aux), predict_probabilities(network, x, aux)
    assert (first == again).all()
    assert network.training
    assert all(torch.equal(value, before[key]) for key, value in network.state_dict().items())


@EVERY_MODEL
def test_probabilities_add_up_to_one_across_chunks(name, monkeypatch):
    network, shape = build(name)
    x, aux = batch(shape)
    whole = predict_probabilities(network, x, aux)
    monkeypatch.setattr("beatwise.models.predicting.CHUNK", 5)
    assert whole.sum(axis=1) == pytest.approx(1, abs=1e-6)
    assert predict_probabilities(network, x, aux) == pytest.approx(whole, abs=1e-6)


def test_an_unknown_model_is_refused_and_the_known_ones_are_listed():
    with pytest.raises(BeatwiseError, match=r"Unknown model 'resnet'\. Did you mean 'resnet1d'\?") as caught:
        build_model("resnet", input_shape=(1, 187), n_classes=5)
    assert f"Known: {', '.join(sorted(list_models()))}." in str(caught.value)


@EVERY_MODEL
def test_an_unknown_option_is_refused_with_its_full_key(name):
    known = ", ".join(sorted(MODELS.options(name, {})))
    with pytest.raises(BeatwiseError) as caught:
        build(name, depth_of_sea=3)
    assert str(caught.value) == f"model.{name}.depth_of_sea: Unknown parameter 'depth_of_sea'. Known: {known}."


def test_an_even_kernel_is_refused_with_the_nearest_odd_ones():
    with pytest.raises(BeatwiseError, match=r"model\.resnet1d\.kernel_size: an even kernel.*got 4, use 3 or 5"):
        build("resnet1d", kernel_size=4)


@pytest.mark.parametrize(
    ("name", "options"),
    [("mlp", {"dropout": 1.0}), ("mlp", {"layers": 0}), ("cnn1d", {"widths": [0]}), ("resnet1d", {"widths": []})],
)
def test_a_value_out_of_bounds_is_named(name, options):
    with pytest.raises(BeatwiseError, match=rf"model\.{name}\.{next(iter(options))}"):
        MODELS.options(name, options, f"model.{name}")


def test_beats_too_short_for_a_network_are_refused():
    with pytest.raises(BeatwiseError, match="Beats of 12 samples are too short for cnn1d with kernel_size=7, pool=3"):
        build_model("cnn1d", input_shape=(1, 12), n_classes=5)


@pytest.mark.parametrize("name", ["cnn1d", "resnet1d"])
def test_an_image_is_refused_by_a_network_over_time(name):
    with pytest.raises(BeatwiseError, match=rf"{name!r} takes channels over time \[c, t\], not \[1, 16, 12\]"):
        build_model(name, input_shape=(1, 16, 12), n_classes=5)


def test_options_change_the_network():
    count = {width: sum(p.numel() for p in build("mlp", width=width)[0].parameters()) for width in (8, 16)}
    assert count == {8: 188 * 8 + 9 * 8 + 9 * 5, 16: 188 * 16 + 17 * 16 + 17 * 5}
