"""Models of the zoo and examples for them."""

from __future__ import annotations

import math
from typing import Any

import torch
from torch import Tensor, nn
from torch.nn import functional as F

from beatwise.networks.zoo import MODELS, Network, build_model, list_models

TRAINED = list_models(by_gradients=True)
# Options that build another network of a model: each option of each model at least once, and what goes with it.
VARIANTS: list[tuple[str, dict[str, Any]]] = [
    ("mlp", {"layers": 4, "width": 32}),
    ("cnn1d", {"widths": [8, 16, 32], "kernel_size": 5, "pool": 2}),
    ("dilated_cnn1d", {"residual": False, "pooling": "mean", "blocks": 2}),
    ("dilated_cnn1d", {"pooling": "attention", "kernel_size": 5}),
    ("resnet1d", {"widths": [8, 16], "blocks_per_stage": 2}),
    ("se_resnet1d", {"block_dropout": 0.1, "blocks_per_stage": 2, "widths": [8, 16]}),
    (
        "se_resnet1d",
        {"strides": [1, 2, 1, 2], "stem_kernel": 9, "pooling": "mean_and_max", "difference_and_ramp": True},
    ),
    ("se_resnet1d", {"stem_width": 8, "reduction": 8, "mean_shortcut": True, "widths": [8, 16, 16]}),
    ("rnn", {"bidirectional": True, "samples_per_step": 5, "layers": 1}),
    *(("gru", {"pooling": pooling}) for pooling in ("mean", "max", "attention")),
    ("lstm", {"bidirectional": True, "pooling": "mean"}),
    ("lstm", {"samples_per_step": 50}),
    ("attention_gru", {"heads": 1, "pooling": "mean", "layers": 2}),
    ("cnn_gru", {"residual": True, "heads": 4}),
    ("cnn_gru", {"bidirectional": False, "pooling": "attention", "blocks": 3}),
    ("transformer1d", {"pooling": "max", "residual": True}),
    ("transformer1d", {"pooling": "attention", "squeeze_excite": True}),
    ("transformer1d", {"stride": 2, "depth": 1, "heads": 8}),
    ("multiscale_transformer", {"pooling": "mean", "kernel_sizes": [3, 7], "blocks": 1, "heads": 2}),
    ("cnn2d", {"pooling": "mean", "normalise": False, "blocks": 2}),
    ("cnn2d", {"pooling": "max"}),
    ("cell_cnn2d", {"pooling": "flatten", "blocks": 2}),
    ("lenet5", {"widths": [4, 8, 16], "dense_widths": [32]}),
    ("squeezenet", {"normalise": False, "fires_per_stage": 1, "squeeze": 0.125, "pooling": "flatten"}),
    ("resnet2d", {"squeeze_excite": True, "pooling": "attention"}),
    ("resnet2d", {"blocks": 2, "pooling": "max"}),
    ("resnet2d", {"stages": 3, "pooling": "mean"}),
    ("transformer2d", {"residual": False, "squeeze_excite": True, "blocks": 2, "pooling": "max"}),
    ("transformer2d", {"squeeze_excite": True, "heads": 2, "pooling": "attention"}),
    ("vit", {"pooling": "attention", "patch_height": 1, "patch_width": 12}),
    ("vit", {"patch_height": 5, "patch_width": 5}),
]
DEFAULTS: list[tuple[str, dict[str, Any]]] = [(name, {}) for name in TRAINED]
# The defaults of each network, and its variants.
OPTIONS = {name: [options for other, options in (*DEFAULTS, *VARIANTS) if other == name] for name in TRAINED}


def shape_for(name: str, length: int = 187) -> tuple[int, ...]:
    """The shape of an example as the model takes it: a signal, with its mask where the model wants it, or an image."""
    if MODELS[name].representation == "image":
        return (1, 16, -(-length // 16))
    return (2 if MODELS[name].representation == "signal_with_mask" else 1, length)


def build(
    name: str, *, length: int = 187, outputs: int = 5, aux: int = 0, **options: Any
) -> tuple[Network, tuple[int, ...]]:
    """A network with weights of seed 0, and the shape of its input."""
    torch.manual_seed(0)
    shape = shape_for(name, length)
    return build_model(name, input_shape=shape, n_outputs=outputs, n_aux=aux, **options), shape


def batch(shape: tuple[int, ...], n: int = 16, aux: int = 0) -> tuple[Tensor, Tensor]:
    """Examples with a wave whose place says their class (the index modulo 5), noise, and zeros after their end."""
    generator = torch.Generator().manual_seed(1)
    length = math.prod(shape[1:])
    time, kind = torch.arange(length) / length, torch.arange(n)[:, None, None] % 5
    wave = torch.exp(-0.5 * ((time - 0.05 - 0.08 * kind) / 0.03) ** 2)
    x = 0.1 + 0.8 * wave + 0.1 * torch.rand(n, shape[0], length, generator=generator)
    end = length * (0.5 + 0.4 * torch.rand(n, 1, 1, generator=generator))
    return (x * (torch.arange(length) < end)).reshape(n, *shape), torch.randn(n, aux, generator=generator)


def build_used(name: str, n_aux: int = 0, length: int = 96, **options: Any) -> tuple[Network, tuple[int, ...]]:
    """A network in evaluation whose running statistics and normalisations are not the initial ones."""
    network, shape = build(name, aux=n_aux, length=length, **options)
    with torch.no_grad():
        for module in network.modules():
            if isinstance(module, nn.BatchNorm1d | nn.BatchNorm2d | nn.LayerNorm):
                nn.init.normal_(module.weight, 1.0, 0.2)
                nn.init.normal_(module.bias, 0.0, 0.5)
        network(*batch(shape, aux=n_aux))
    return network.eval(), shape


def gradients(network: nn.Module, x: Tensor) -> dict[str, Tensor]:
    """The gradient of a loss at each parameter that it reaches."""
    network.zero_grad()
    torch.autograd.backward(F.cross_entropy(network(x, x.new_zeros(len(x), 0)), torch.arange(len(x)) % 5))
    return {key: p.grad.clone() for key, p in network.named_parameters() if p.grad is not None}


def n_parameters(network: nn.Module) -> int:
    """Parameters of a network."""
    return sum(parameter.numel() for parameter in network.parameters())
