from __future__ import annotations

import math
from typing import Any

import numpy as np
import pytest
import torch
from torch import Tensor, nn
from torch.nn import functional as F
from torch.nn.utils.rnn import pack_padded_sequence, pad_packed_sequence

from beatwise.core.errors import BeatwiseError
from beatwise.data.padding import beat_mask
from beatwise.data.representations import REPRESENTATIONS
from beatwise.networks.blocks import Pool1d, Positions
from beatwise.networks.predict import in_chunks
from beatwise.networks.recurrent import CELLS, RecurrentLayers, turned
from beatwise.networks.zoo import MODELS, Network, build_model, list_models

# With the defaults, for 187 samples (images of 16 × 12), five classes and no auxiliary features.
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
# Options that make another network of a model.
VARIANTS: list[tuple[str, dict[str, Any]]] = [
    ("mlp", {"layers": 4}),
    ("cnn1d", {"widths": [8, 16, 32], "kernel_size": 5, "pool": 2}),
    *(("dilated_cnn1d", options) for options in ({"residual": False}, {"pooling": "mean"}, {"pooling": "attention"})),
    ("resnet1d", {"blocks_per_stage": 2}),
    ("resnet1d", {"widths": [8, 16]}),
    ("se_resnet1d", {"block_dropout": 0.1, "blocks_per_stage": 2, "widths": [8, 16]}),
    *(("gru", {"pooling": pooling}) for pooling in ("mean", "max", "attention")),
    *((cell, {"bidirectional": True}) for cell in ("rnn", "gru", "lstm")),
    ("lstm", {"bidirectional": True, "pooling": "mean"}),
    ("rnn", {"samples_per_step": 5, "layers": 1}),
    ("lstm", {"samples_per_step": 50}),
    ("attention_gru", {"heads": 1}),
    ("attention_gru", {"pooling": "mean", "layers": 2}),
    ("cnn_gru", {"residual": True}),
    ("cnn_gru", {"heads": 4}),
    ("cnn_gru", {"bidirectional": False, "pooling": "attention", "blocks": 3}),
    *(("transformer1d", {"pooling": pooling}) for pooling in ("max", "attention")),
    ("transformer1d", {"residual": True}),
    ("transformer1d", {"squeeze_excite": True}),
    ("transformer1d", {"stride": 2, "depth": 1, "heads": 8}),
    ("multiscale_transformer", {"pooling": "mean"}),
    ("multiscale_transformer", {"kernel_sizes": [3, 7], "blocks": 1, "heads": 2}),
    *(("cnn2d", {"pooling": pooling}) for pooling in ("mean", "max", "attention")),
    ("cnn2d", {"normalise": False, "blocks": 2}),
    ("cell_cnn2d", {"pooling": "flatten", "blocks": 2}),
    ("lenet5", {"widths": [4, 8, 16], "dense_widths": [32]}),
    ("squeezenet", {"normalise": False, "fires_per_stage": 1}),
    ("squeezenet", {"squeeze": 0.125, "pooling": "flatten"}),
    ("resnet2d", {"squeeze_excite": True}),
    ("resnet2d", {"blocks": 2, "pooling": "max"}),
    *(("transformer2d", {"pooling": pooling}) for pooling in ("max", "attention")),
    ("transformer2d", {"residual": False}),
    ("transformer2d", {"residual": False, "squeeze_excite": True, "blocks": 2}),
    ("transformer2d", {"squeeze_excite": True, "heads": 2}),
    ("vit", {"pooling": "attention"}),
    ("vit", {"patch_height": 1, "patch_width": 12}),
    ("vit", {"patch_height": 5, "patch_width": 5}),
]
EVERY_MODEL = pytest.mark.parametrize("name", list_models())
EVERY_VARIANT = pytest.mark.parametrize(("name", "options"), VARIANTS)
DEFAULTS: list[tuple[str, dict[str, Any]]] = [(name, {}) for name in list_models()]
DEFAULTS_AND_VARIANTS = [*DEFAULTS, *VARIANTS]
EVERY_MODEL_AND_VARIANT = pytest.mark.parametrize(("name", "options"), DEFAULTS_AND_VARIANTS)
EVERY_ONE_THAT_IGNORES_PADDING = pytest.mark.parametrize(
    ("name", "options"), [(name, options) for name, options in DEFAULTS_AND_VARIANTS if MODELS[name].ignores_padding]
)


def shape_for(name: str, length: int = 187) -> tuple[int, ...]:
    """The shape of a beat as the model takes it: a signal, with its mask where the model wants it, or an image."""
    if MODELS[name].representation == "image":
        return (1, 16, -(-length // 16))
    return (2 if MODELS[name].representation == "signal_with_mask" else 1, length)


def build(
    name: str, *, length: int = 187, classes: int = 5, aux: int = 0, **options: Any
) -> tuple[Network, tuple[int, ...]]:
    torch.manual_seed(0)
    shape = shape_for(name, length)
    return build_model(name, input_shape=shape, n_outputs=classes, n_aux=aux, **options), shape


def batch(shape: tuple[int, ...], n: int = 16, aux: int = 0) -> tuple[Tensor, Tensor]:
    """Beats with a wave that stands elsewhere in every class (every fifth beat), noise, and zeros behind their end."""
    generator = torch.Generator().manual_seed(1)
    length = math.prod(shape[1:])
    time, kind = torch.arange(length) / length, torch.arange(n)[:, None, None] % 5
    wave = torch.exp(-0.5 * ((time - 0.05 - 0.08 * kind) / 0.03) ** 2)
    x = 0.1 + 0.8 * wave + 0.1 * torch.rand(n, shape[0], length, generator=generator)
    end = length * (0.5 + 0.4 * torch.rand(n, 1, 1, generator=generator))
    return (x * (torch.arange(length) < end)).reshape(n, *shape), torch.randn(n, aux, generator=generator)


def build_used(name: str, n_aux: int = 0, length: int = 96, **options: Any) -> tuple[Network, tuple[int, ...]]:
    """A network in evaluation whose running statistics and normalisations are not those at birth."""
    network, shape = build(name, aux=n_aux, length=length, **options)
    with torch.no_grad():
        for module in network.modules():
            if isinstance(module, nn.BatchNorm1d | nn.BatchNorm2d | nn.LayerNorm):
                nn.init.normal_(module.weight, 1.0, 0.2)
                nn.init.normal_(module.bias, 0.0, 0.5)
        network(*batch(shape, aux=n_aux))
    return network.eval(), shape


def gradients(network: nn.Module, x: Tensor) -> dict[str, Tensor]:
    network.zero_grad()
    torch.autograd.backward(F.cross_entropy(network(x, x.new_zeros(len(x), 0)), torch.arange(len(x)) % 5))
    return {key: p.grad.clone() for key, p in network.named_parameters() if p.grad is not None}


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
def test_a_model_takes_the_representation_that_it_is_made_for(name):
    x = REPRESENTATIONS[MODELS[name].representation]().transform(np.ones((3, 187), dtype=np.float32))
    network = build_model(name, input_shape=x.shape[1:], n_outputs=5)
    assert network(torch.from_numpy(x), torch.zeros(3, 0)).shape == (3, 5)


@EVERY_MODEL
def test_a_model_says_what_it_is_and_where_it_comes_from(name):
    model = MODELS[name]
    assert model.source
    # A docstring of its own, not that of a class above.
    assert vars(model)["__doc__"].splitlines()[0].endswith(".")


@EVERY_MODEL_AND_VARIANT
def test_the_gradient_reaches_every_parameter(name, options):
    network, shape = build(name, length=96, **options)
    reached = gradients(network, batch(shape, 64)[0])
    # Rounding alone would pass for a gradient.
    assert [key for key, _ in network.named_parameters() if key not in reached or reached[key].norm() < 1e-7] == []


@EVERY_MODEL
def test_logits_depend_on_every_auxiliary_feature(name):
    network, shape = build(name, aux=8)
    network.eval()
    x, features = batch(shape, 1, 8)
    features.requires_grad_()
    torch.autograd.backward(network(x, features)[0, 0])
    assert features.grad is not None
    assert (features.grad != 0).all()


@EVERY_MODEL_AND_VARIANT
def test_a_beat_is_predicted_alone_as_among_others(name, options):
    network, shape = build_used(name, 3, **options)
    x, features = batch(shape, aux=3)
    with torch.no_grad():
        together = network(x, features)
        alone = torch.cat([network(x[[i]], features[[i]]) for i in range(len(x))])
    torch.testing.assert_close(alone, together, rtol=1e-4, atol=1e-5)


@EVERY_VARIANT
def test_options_change_the_network(name, options):
    (default, shape), (variant, _) = build_used(name), build_used(name, **options)
    with torch.no_grad():
        assert not torch.allclose(variant(*batch(shape)), default(*batch(shape)), rtol=1e-3)


@EVERY_ONE_THAT_IGNORES_PADDING
def test_zeros_behind_a_beat_change_neither_logits_nor_gradients(name, options):
    network, shape = build_used(name, length=120, **options)
    x, aux = batch(shape)
    ends = [int(n) for n in beat_mask(x).sum(dim=1)]
    with torch.no_grad():
        whole = network(x, aux)
        for length in range(max(ends), max(ends) + 5):
            torch.testing.assert_close(network(x[..., :length], aux), whole, rtol=1e-4, atol=1e-5)
        alone = torch.cat([network(x[[i], :, :end], aux[[i]]) for i, end in enumerate(ends)])
    torch.testing.assert_close(alone, whole, rtol=1e-4, atol=1e-5)
    torch.testing.assert_close(gradients(network, x[..., : max(ends)]), gradients(network, x), rtol=1e-3, atol=1e-5)


@EVERY_MODEL_AND_VARIANT
def test_beats_of_nothing_but_padding_give_finite_logits_and_gradients(name, options):
    network, shape = build(name, length=96, **options)
    x = torch.cat([torch.zeros(4, *shape), batch(shape, 4)[0]])
    assert torch.isfinite(network.eval()(x, x.new_zeros(8, 0))).all()
    assert all(torch.isfinite(gradient).all() for gradient in gradients(network.train(), x).values())


@EVERY_MODEL
@pytest.mark.parametrize("length", [96, 250])
def test_a_model_is_built_for_other_lengths(name, length):
    network, shape = build(name, length=length)
    assert network(*batch(shape)).shape == (16, 5)


@pytest.mark.parametrize("name", [name for name in list_models() if MODELS[name].representation == "image"])
@pytest.mark.parametrize("size", [(1, 1), (5, 7), (1, 48)])
def test_no_image_is_too_small_or_odd(name, size):
    network = build_model(name, input_shape=(1, *size), n_outputs=5)
    assert network(*batch((1, *size))).shape == (16, 5)


@EVERY_MODEL
@pytest.mark.parametrize("channels", [2, 4])
def test_a_model_takes_several_channels(name, channels):
    shape = (channels, *shape_for(name)[1:])
    network = build_model(name, input_shape=shape, n_outputs=5)
    assert network(*batch(shape)).shape == (16, 5)


@EVERY_MODEL
def test_a_model_learns_64_beats_by_heart(name):
    network, shape = build(name, length=48)
    x, aux = batch(shape, 64)
    y = torch.arange(64) % 5
    optimizer = torch.optim.AdamW(network.parameters(), lr=5e-3)
    for _ in range(60):
        network.train()
        for _ in range(5):
            loss = F.cross_entropy(network(x, aux), y)
            optimizer.zero_grad()
            torch.autograd.backward(loss)
            optimizer.step()
        if (in_chunks(network, network, x, aux).softmax(dim=1).numpy().argmax(axis=1) == y.numpy()).all():
            return
    pytest.fail(f"After 300 steps the loss is {loss.item():.3f}")


@EVERY_MODEL
def test_the_number_of_parameters_is_the_one_written_down(name):
    network, _ = build(name)
    assert sum(p.numel() for p in network.parameters()) == PARAMETERS[name]


@pytest.mark.parametrize(
    ("widths", "published"), [((32, 32, 32, 32), 45_381), ((32, 64, 128, 254), 696_991)], ids=["resnet1d_10", "v2_10"]
)
def test_resnet1d_has_the_published_layout_without_biases_that_normalisation_takes_out_again(widths, published):
    network, _ = build("resnet1d", widths=widths)
    # MAP583 counts a bias in both convolutions of every block; batch normalisation subtracts it with the mean.
    biases = 2 * sum(widths)
    assert sum(p.numel() for p in network.parameters()) + biases == published


def test_lstm_over_whole_beats_is_the_one_of_map583():
    network, _ = build("lstm", width=100, layers=1, samples_per_step=187)
    assert sum(p.numel() for p in network.parameters()) == 4 * 100 * (187 + 100 + 2) + 101 * 5


@EVERY_MODEL
def test_weights_come_from_the_global_generator(name):
    first, again = build(name)[0].state_dict(), build(name)[0].state_dict()
    torch.manual_seed(1)
    other = build_model(name, input_shape=shape_for(name), n_outputs=5).state_dict()
    assert all(torch.equal(first[key], again[key]) for key in first)
    assert any(not torch.equal(first[key], other[key]) for key in first)


@pytest.mark.slow
# PyTorch notes that the weights of its own recurrent layers are no buffers.
@pytest.mark.filterwarnings("ignore:The tensor attributes .*_flat_weights")
@EVERY_MODEL
def test_a_model_can_be_exported_for_any_number_of_beats(name):
    # Short beats: a recurrent network is written out step by step.
    network, shape = build(name, length=36, aux=2)
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
    first, again = (
        in_chunks(network, network, x, aux).softmax(dim=1).numpy(),
        in_chunks(network, network, x, aux).softmax(dim=1).numpy(),
    )
    assert (first == again).all()
    assert network.training
    assert all(torch.equal(value, before[key]) for key, value in network.state_dict().items())


@EVERY_MODEL
def test_probabilities_add_up_to_one_across_chunks(name, monkeypatch):
    network, shape = build(name)
    x, aux = batch(shape)
    whole = in_chunks(network, network, x, aux).softmax(dim=1).numpy()
    monkeypatch.setattr("beatwise.networks.predict.CHUNK", 5)
    assert whole.sum(axis=1) == pytest.approx(1, abs=1e-6)
    assert in_chunks(network, network, x, aux).softmax(dim=1).numpy() == pytest.approx(whole, abs=1e-6)


@pytest.mark.parametrize("bidirectional", [False, True])
@pytest.mark.parametrize("cell", sorted(CELLS))
def test_recurrent_layers_give_what_packed_sequences_give(cell, bidirectional):
    torch.manual_seed(0)
    # Both ways, PyTorch's second layer reads both directions of the first; ours are two stacks side by side.
    layers = 1 if bidirectional else 2
    ours = RecurrentLayers(cell, 3, 5, layers, 0.0, bidirectional)
    theirs = CELLS[cell](3, 5, layers, batch_first=True, bidirectional=bidirectional)
    weights = dict(ours.directions[0].state_dict())
    if bidirectional:
        weights |= {f"{key}_reverse": value for key, value in ours.directions[1].state_dict().items()}
    theirs.load_state_dict(weights)
    steps, lengths = torch.randn(4, 9, 3), torch.tensor([9, 1, 6, 4])
    mask = torch.arange(9) < lengths[:, None]
    packed = pack_padded_sequence(steps, lengths, batch_first=True, enforce_sorted=False)
    expected, _ = pad_packed_sequence(theirs(packed)[0], batch_first=True)
    torch.testing.assert_close(ours(steps, mask) * mask[:, :, None], expected)


def test_beats_turned_twice_are_as_they_were():
    steps, mask = torch.arange(24.0).reshape(2, 6, 2), torch.arange(6) < torch.tensor([[6], [4]])
    assert turned(steps, mask)[1, :, 0].tolist() == [18, 16, 14, 12, 20, 22]
    assert torch.equal(turned(turned(steps, mask), mask), steps)


def test_a_beat_ends_with_its_last_value_in_any_channel():
    x = torch.tensor([[[0.0, 1, 0, 0], [0, 0, 2, 0]], [[0, 0, 0, 0], [0, 0, 0, 0]]])
    assert beat_mask(x).tolist() == [[True, True, True, False], [True, False, False, False]]


@pytest.mark.parametrize("how", ["mean", "max", "attention"])
def test_without_a_mask_everything_is_pooled(how):
    torch.manual_seed(0)
    pool, x = Pool1d(how, 3), torch.randn(2, 3, 7)
    torch.testing.assert_close(pool(x), pool(x, torch.ones(2, 7, dtype=torch.bool)))


@pytest.mark.parametrize("width", [6, 7])
def test_positions_are_sines_and_cosines_of_growing_wave_length(width):
    added = Positions(50, width)(torch.zeros(1, 40, width))
    for position, i in ((0, 0), (1, 0), (7, 3), (39, 4), (39, 5)):
        angle = position / 10_000 ** (2 * (i // 2) / width)
        assert added[0, position, i].item() == pytest.approx(math.cos(angle) if i % 2 else math.sin(angle), abs=1e-5)


def test_an_unknown_model_is_refused_and_the_known_ones_are_listed():
    with pytest.raises(BeatwiseError, match=r"Unknown model 'resnet1'\. Did you mean 'resnet1d'\?") as caught:
        build_model("resnet1", input_shape=(1, 187), n_outputs=5)
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
    [
        ("mlp", {"dropout": 1.0}),
        ("mlp", {"layers": 0}),
        ("cnn1d", {"widths": [0]}),
        ("resnet1d", {"widths": []}),
        ("gru", {"pooling": "median"}),
        ("transformer1d", {"expansion": 0.0}),
        ("squeezenet", {"squeeze": 1.5}),
        ("vit", {"patch_height": 0}),
    ],
)
def test_a_value_out_of_bounds_is_named(name, options):
    with pytest.raises(BeatwiseError, match=rf"model\.{name}\.{next(iter(options))}"):
        MODELS.options(name, options, f"model.{name}")


@pytest.mark.parametrize("name", [name for name in list_models() if "heads" in MODELS.options(name, {})])
def test_heads_that_cannot_share_the_width_are_refused(name):
    with pytest.raises(
        BeatwiseError, match=rf"model\.{name}\.heads: 7 heads of attention cannot share a width of \d+;"
    ):
        build(name, heads=7)


def test_more_kernels_than_channels_are_refused():
    with pytest.raises(
        BeatwiseError, match=r"multiscale_transformer\.width: 2 channels cannot be split among 3 kernel"
    ):
        build("multiscale_transformer", width=2, heads=1)


def test_beats_too_short_for_a_network_are_refused():
    with pytest.raises(BeatwiseError, match="Beats of 12 samples are too short for cnn1d with kernel_size=7, pool=3"):
        build_model("cnn1d", input_shape=(1, 12), n_outputs=5)


@EVERY_MODEL
def test_another_representation_is_refused_unless_a_model_takes_any(name):
    if name == "mlp":
        assert build_model(name, input_shape=(1, 16, 12), n_outputs=5)
    elif MODELS[name].representation == "image":
        with pytest.raises(BeatwiseError, match=rf"{name!r} takes images \[c, height, width\], not \[1, 187\]"):
            build_model(name, input_shape=(1, 187), n_outputs=5)
    else:
        with pytest.raises(BeatwiseError, match=rf"{name!r} takes channels over time \[c, t\], not \[1, 16, 12\]"):
            build_model(name, input_shape=(1, 16, 12), n_outputs=5)


def test_options_set_the_sizes_of_a_network():
    count = {width: sum(p.numel() for p in build("mlp", width=width)[0].parameters()) for width in (8, 16)}
    assert count == {8: 188 * 8 + 9 * 8 + 9 * 5, 16: 188 * 16 + 17 * 16 + 17 * 5}
