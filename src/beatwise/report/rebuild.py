"""A model as code: its parameters as YAML, and its network in Python."""

from __future__ import annotations

import textwrap
from collections.abc import Mapping
from typing import Any, Final

import yaml

from beatwise.tasks.base import Task

BLOCKS: Final = ("resample", "tensors", "model", "train")


def fit_as_yaml(config: Mapping[str, Any]) -> str:
    """The settings of a fit, as the parameters of an environment that repeats it."""
    blocks = {name: config[name] for name in BLOCKS}
    return yaml.safe_dump(blocks, sort_keys=False, allow_unicode=True, width=90, default_flow_style=None)


def network_as_python(model: Mapping[str, Any]) -> str:
    """Lines that build the network of a model, with fresh weights."""
    chosen = model["config"]["model"]
    options = {
        "input_shape": tuple(model["input_shape"]),
        "n_outputs": Task.from_dict(model["task"]).n_outputs,
        "n_aux": len(model["representation"]["fitted"]["feature_names"]),
        **(chosen.get(chosen["use"]) or {}),
    }
    arguments = [repr(chosen["use"]), *(f"{name}={value!r}" for name, value in options.items())]
    body = textwrap.indent(",\n".join(arguments), "    ")
    return f"from beatwise.networks.zoo import build_model\n\nnetwork = build_model(\n{body},\n)\n"
