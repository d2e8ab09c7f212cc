from __future__ import annotations

from typing import Any

import numpy as np
import pandas as pd
import pytest
import torch
from torch import Tensor, nn

from beatwise.data.examples import Examples
from beatwise.data.representations import REPRESENTATIONS, Fitted, Representation, representation
from beatwise.explanation.saliency import (
    baseline_inputs,
    explained_layer,
    flat_examples,
    grad_cam,
    integrated_gradients,
    last_placed_layer,
)
from beatwise.networks.base import Head
from beatwise.networks.zoo import MODELS, build_model, list_models
from beatwise.tasks.classification.task import Classification
from beatwise.tasks.tensors import build_tensors

LENGTH = 48
CLASSES = ("N", "S", "V")
# Two channels of a bright square on a ground of its own.
PICTURES = np.broadcast_to(np.array([0.5, 0.25], np.float32)[:, None, None], (4, 2, 12, 12)).copy()
PICTURES[:, :, 3:7, 2:8] = np.random.default_rng(0).uniform(0.6, 1, (4, 2, 4, 6))
TABLE = pd.DataFrame({"target": [0, 1, 2, 0]})


class Linear(nn.Module):
    """Logits that are sums of weighted samples and features, so that every attribution is known."""

    def __init__(self, shape: tuple[int, ...], n_aux: int = 0) -> None:
        super().__init__()
        self.shape = shape
        self.head = Head(int(np.prod(shape)) + n_aux, 0, len(CLASSES), 0.0)

    def forward(self, x: Tensor, aux: Tensor) -> Tensor:
        # Features of the head's own would go through its hidden layer.
        return self.head(torch.cat([x.flatten(1), aux], dim=1), aux[:, :0])


class Convolution(nn.Module):
    """One filter that leaves the signal as it is, and logits that are multiples of its mean."""

    def __init__(self, *layers: nn.Module) -> None:
        super().__init__()
        self.body = nn.Sequential(*layers)
        self.head = Head(1, 0, len(CLASSES), 0.0)

    def forward(self, x: Tensor, aux: Tensor) -> Tensor:
        return self.head(self.body(x).flatten(2).mean(dim=2), aux)


@pytest.fixture(autouse=True)
def _own_generator():
    with torch.random.fork_rng():
        torch.manual_seed(0)
        yield


def waves(n: int = 6, length: int = LENGTH) -> Any:
    """Beats of several lengths, with zeros behind their ends."""
    rng = np.random.default_rng(0)
    ends = rng.integers(length // 2, length, n)
    return np.where(np.arange(length) < ends[:, None], rng.uniform(0.05, 1, (n, length)), 0).astype(np.float32)


def seen_as(use: str, **options: Any) -> Representation:
    return representation(use, options).with_fitted(Fitted((LENGTH,)))


OPTIONS: dict[str, dict[str, Any]] = {"image": {"height": 7, "width": 8}, "scalogram": {"scales": (1.0, 3.0)}}


def made(use: str) -> tuple[Any, Any, Representation]:
    """A representation of beats, that of their baselines, and how both were made."""
    seen = seen_as(use, **OPTIONS.get(use, {}))
    values = waves()
    return seen.transform(values), baseline_inputs(values, seen), seen


def no_aux(x: Any) -> Any:
    return np.zeros((len(x), 0), dtype=np.float32)


def test_the_baseline_is_a_flat_line_as_long_as_the_beat_at_its_mean():
    values = waves()
    for beat, flat in zip(values, flat_examples(values), strict=True):
        end = np.flatnonzero(beat)[-1] + 1
        assert flat[:end] == pytest.approx(beat[:end].mean())
        assert not flat[end:].any()
    assert not flat_examples(np.zeros((1, 8), dtype=np.float32)).any()


@pytest.mark.parametrize("steps", [2, 5])
def test_attributions_of_a_linear_network_are_its_weights_times_the_way_from_the_baseline(steps):
    x, baseline, _ = made("signal")
    aux = np.random.default_rng(1).normal(size=(len(x), 2)).astype(np.float32)
    target = np.arange(len(x)) % 3
    network = Linear(x.shape[1:], 2)
    found = integrated_gradients(network, x, aux, baseline, target, steps=steps)
    weight = network.head.linear.weight.detach().numpy()[target]
    np.testing.assert_allclose(found.x[:, 0], weight[:, :LENGTH] * (x - baseline)[:, 0], atol=1e-6)
    np.testing.assert_allclose(found.aux, weight[:, LENGTH:] * aux, atol=1e-6)


@pytest.mark.parametrize("name", list_models(by_gradients=True))
def test_attributions_of_every_model_add_up_to_the_difference_of_the_logits(name):
    use = MODELS[name].representation
    x, baseline, _ = made(use)
    aux = np.random.default_rng(1).normal(size=(len(x), 2)).astype(np.float32)
    target = np.arange(len(x)) % 3
    network = build_model(name, input_shape=x.shape[1:], n_outputs=3, n_aux=2).eval()
    found = integrated_gradients(network, x, aux, baseline, target, steps=100)
    with torch.no_grad():
        of_beats = network(torch.from_numpy(x), torch.from_numpy(aux)).numpy()
        of_baselines = network(torch.from_numpy(baseline), torch.zeros(len(x), 2)).numpy()
    expected = (of_beats - of_baselines)[np.arange(len(x)), target]
    np.testing.assert_allclose(found.difference, expected, atol=1e-5)
    total = found.x.reshape(len(x), -1).sum(axis=1) + found.aux.sum(axis=1)
    np.testing.assert_allclose(total, expected, atol=0.02 * np.abs(of_beats - of_baselines).max())


def test_a_beat_is_explained_alone_as_among_others(monkeypatch):
    x, baseline, _ = made("signal")
    network = build_model("cnn1d", input_shape=x.shape[1:], n_outputs=3)
    target = np.arange(len(x)) % 3
    together = integrated_gradients(network, x, no_aux(x), baseline, target, steps=7).x
    monkeypatch.setattr("beatwise.explanation.saliency.CHUNK", 1)
    alone = integrated_gradients(network, x, no_aux(x), baseline, target, steps=7).x
    np.testing.assert_allclose(alone, together, atol=1e-6)


@pytest.mark.parametrize("use", REPRESENTATIONS.names())
def test_what_falls_to_a_representation_falls_to_the_samples_of_the_beat(use):
    x, baseline, seen = made(use)
    found = integrated_gradients(Linear(x.shape[1:]), x, no_aux(x), baseline, np.zeros(len(x), np.int64), steps=3)
    samples = seen.to_samples(found.x)
    assert samples.shape == (len(x), LENGTH)
    np.testing.assert_allclose(samples.sum(axis=1), found.x.reshape(len(x), -1).sum(axis=1), atol=1e-5)


def test_the_pixels_of_an_image_are_samples_row_by_row_and_the_mask_has_no_say():
    (image, flat_image, seen), (x, baseline, _) = made("image"), made("signal")
    (masked, flat_masked, masked_as) = made("signal_with_mask")
    linear = Linear(image.shape[1:])
    same, with_mask = Linear(x.shape[1:]), Linear(masked.shape[1:])
    weight = linear.head.linear.weight.data
    same.head.linear.weight.data = weight[:, :LENGTH]
    # However much the network makes of the mask, the baseline has the same.
    with_mask.head.linear.weight.data = torch.cat([weight[:, :LENGTH], torch.ones(3, LENGTH)], dim=1)
    target = np.zeros(len(x), np.int64)
    expected = integrated_gradients(same, x, no_aux(x), baseline, target, steps=2).x[:, 0]
    found = seen.to_samples(integrated_gradients(linear, image, no_aux(x), flat_image, target, steps=2).x)
    np.testing.assert_allclose(found, expected, atol=1e-6)
    found = integrated_gradients(with_mask, masked, no_aux(x), flat_masked, target, steps=2).x
    np.testing.assert_allclose(masked_as.to_samples(found), expected, atol=1e-6)


def test_grad_cam_of_one_filter_is_the_signal_itself_where_it_speaks_for_the_class():
    x, _, _ = made("signal")
    network = Convolution(nn.Conv1d(1, 1, 1, bias=False))
    for weight in network.body.parameters():
        weight.data.fill_(1.0)
    network.head.linear.weight.data = torch.tensor([[2.0], [-1.0], [0.0]])
    layer = last_placed_layer(network, x, no_aux(x))
    assert layer is not None
    target = np.arange(len(x)) % 3
    expected = np.maximum(np.array([2.0, -1.0, 0.0])[target][:, None] * x[:, 0] / LENGTH, 0)
    np.testing.assert_allclose(grad_cam(network, x, no_aux(x), target, layer), expected, atol=1e-6)


def test_grad_cam_lies_where_the_deflection_is_whatever_the_strides():
    layers: tuple[nn.Module, ...] = (
        *(nn.Conv1d(1, 1, 5, bias=False), nn.MaxPool1d(3)),
        *(nn.ConstantPad1d(1, 0.0), nn.Conv1d(1, 1, 3, stride=2, bias=False)),
    )
    x = np.zeros((3, 1, 120), dtype=np.float32)
    peaks = np.array([[33], [60], [87]])
    x[range(3), 0, peaks[:, 0]] = 1.0
    check_place(layers, x, peaks)
    # In a picture the two axes have strides of their own.
    layers = (
        *(nn.Conv2d(1, 1, (5, 3), bias=False), nn.MaxPool2d((3, 2))),
        *(nn.ZeroPad2d((2, 0, 1, 0)), nn.Conv2d(1, 1, 3, stride=(1, 2), bias=False)),
    )
    x = np.zeros((3, 1, 60, 80), dtype=np.float32)
    peaks = np.array([[18, 60], [40, 30], [27, 44]])
    x[range(3), 0, peaks[:, 0], peaks[:, 1]] = 1.0
    check_place(layers, x, peaks)


def check_place(layers: tuple[nn.Module, ...], x: Any, peaks: Any) -> None:
    """The centre of Grad-CAM is the deflection, to half a step of the last layer, along every axis."""
    network = Convolution(*layers)
    for module in network.modules():
        if isinstance(module, nn.Conv1d | nn.Conv2d | nn.Linear):
            module.weight.data.fill_(1.0)
    layer = last_placed_layer(network, x, no_aux(x))
    assert layer is not None
    found = grad_cam(network, x, no_aux(x), np.zeros(3, np.int64), layer)
    assert found.shape == (3, *x.shape[2:])
    for axis, stride in enumerate(layer.stride):
        along = found.sum(axis=tuple(i for i in range(1, found.ndim) if i != axis + 1))
        middle = (along * np.arange(along.shape[1])).sum(axis=1) / along.sum(axis=1)
        assert middle == pytest.approx(peaks[:, axis], abs=stride / 2)


@pytest.mark.parametrize("name", ["cnn1d", "resnet1d", "dilated_cnn1d", "transformer1d", "cnn_gru"])
def test_a_step_of_the_last_layer_over_time_stands_in_the_middle_of_the_samples_that_it_sees(name):
    network = build_model(name, input_shape=(1, 600), n_outputs=3).eval()
    x = torch.rand(24, 1, 600) + 0.1
    layer = last_placed_layer(network, x.numpy(), np.zeros((24, 0), np.float32))
    assert layer is not None
    kept = []
    network.get_submodule(layer.name).register_forward_hook(lambda module, given, made: kept.append(made))
    network(x.requires_grad_(), torch.zeros(24, 0))
    step = layer.steps[0] // 2
    (seen,) = torch.autograd.grad(kept[0][:, :, step].sum(), x)
    samples = np.flatnonzero(seen.abs().sum(dim=(0, 1)).numpy())
    # Samples at the edges may have been drowned by their neighbours in every beat.
    assert layer.offset[0] + layer.stride[0] * step == pytest.approx(
        (samples[0] + samples[-1]) / 2, abs=layer.stride[0] / 4
    )


def test_grad_cam_is_defined_for_networks_with_convolutions_over_the_axes_of_the_examples_alone():
    defined: dict[str, set[str]] = {"beats": set(), "pictures": set()}
    beats, pictures = Examples(waves(), pd.DataFrame({"target": range(6)})), Examples(PICTURES, TABLE)
    task = Classification(classes=CLASSES)
    for name in list_models(by_gradients=True):
        of_pictures = representation("identity", {"normalise": True})
        for kind, examples, seen in (
            ("beats", beats, seen_as(MODELS[name].representation)),
            ("pictures", pictures, of_pictures.fit(pictures)),
        ):
            if kind == "beats" or MODELS[name].layout == "image":
                tensors = build_tensors(examples.without("target"), seen, task)
                network = build_model(name, input_shape=tensors.x.shape[1:], n_outputs=3)
                if explained_layer(network, tensors) is not None:
                    defined[kind].add(name)
    assert defined == {
        "beats": {
            *("cnn1d", "dilated_cnn1d", "cnn_gru", "resnet1d", "se_resnet1d", "transformer1d"),
            "multiscale_transformer",
        },
        "pictures": {"cnn2d", "cell_cnn2d", "lenet5", "squeezenet", "resnet2d", "transformer2d", "vit"},
    }


def test_the_baseline_of_a_picture_is_its_ground_and_what_falls_to_its_pixels_has_its_shape():
    flat = flat_examples(PICTURES)
    assert flat[:, 0] == pytest.approx(0.5)
    assert flat[:, 1] == pytest.approx(0.25)
    seen = representation("identity", {"normalise": True}).fit(Examples(PICTURES, TABLE))
    x, baseline = seen.transform(PICTURES), baseline_inputs(PICTURES, seen)
    network = Linear(x.shape[1:])
    found = seen.to_samples(integrated_gradients(network, x, no_aux(x), baseline, np.zeros(4, np.int64), steps=2).x)
    assert found.shape == PICTURES.shape
    assert not found[:, 0, 0].any()
    assert found[:, :, 4, 4].all()


def test_explaining_leaves_the_network_as_it_was():
    x, baseline, _ = made("signal")
    network = build_model("resnet1d", input_shape=x.shape[1:], n_outputs=3).train()
    before = {key: value.clone() for key, value in network.state_dict().items()}
    layer = last_placed_layer(network, x, no_aux(x))
    assert layer is not None
    grad_cam(network, x, no_aux(x), np.zeros(len(x), np.int64), layer)
    integrated_gradients(network, x, no_aux(x), baseline, np.zeros(len(x), np.int64), steps=2)
    assert network.training
    assert all(torch.equal(value, before[key]) for key, value in network.state_dict().items())
    assert all(p.grad is None for p in network.parameters())
    assert not any(module._forward_hooks for module in network.modules())
