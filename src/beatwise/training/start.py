"""The weights that a training begins with, by name: drawn from the seed, or those of a trained model."""

from __future__ import annotations

import hashlib
import json
from collections.abc import Callable, Iterable, Mapping
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any, Final, TypeVar

from pydantic import Field

from beatwise.core.errors import BeatwiseError
from beatwise.core.registry import Registry
from beatwise.core.versions import check_format
from beatwise.training.trained_model import CONFIG, WEIGHTS

if TYPE_CHECKING:
    from beatwise.training.settings import FitSettings, Start

R = TypeVar("R")
Rate = Annotated[float, Field(ge=0)]
# Names for all layers of the head, and for all others.
HEAD, TRUNK = "head", "trunk"
KEY: Final = "train.start.pretrained"
# Options of a model that may differ from those of the pretrained one.
ANY: Final = {"dropout", "block_dropout"}

STARTS: Registry[Callable[..., None]] = Registry("start of the weights")


@STARTS.register("fresh")
def fresh(network: Any) -> None:
    """Weights drawn from the seed."""


@STARTS.register("pretrained")
def pretrained(
    network: Any,
    *,
    folder: str = "data/06_models/mitbih/baseline/model",
    rates: dict[str, Rate] | None = None,
    sha256: str = "",
) -> None:
    """The trunk of a trained model (all layers but the head), under a head drawn from the seed.

    Transfer learning as Yosinski et al., NeurIPS 2014: rates of 0 freeze layers, so that their weights and the
    statistics of their normalisation stay as they were.

    Args:
        network: The network; its trunk is changed in place.
        folder: Folder of the model, or of its versions, of which the latest is taken when a run begins; relative to the
            folder of the project.
        rates: Multiples of ``train.learning_rate`` by layer (``body.4``), for ``trunk`` or for ``head``; the longest
            name counts, and a layer without one has the rate itself.
        sha256: Checksum of the weights, written down when a run begins.

    Raises:
        BeatwiseError: If the weights cannot be read, are not those of the checksum, or do not fit the network.
    """
    from safetensors import SafetensorError
    from safetensors.torch import load

    path = Path(folder) / WEIGHTS
    try:
        stored = path.read_bytes()
        weights = {name: weight for name, weight in load(stored).items() if not _is_of_head(name)}
    except (OSError, SafetensorError) as error:
        raise BeatwiseError(f"{KEY}.folder: {path} cannot be read ({error}).") from error
    if sha256 and hashlib.sha256(stored).hexdigest() != sha256:
        raise BeatwiseError(f"{KEY}.folder: the weights in {path} have changed since this run began.")
    own = network.state_dict()
    for name in sorted({name for name in own if not _is_of_head(name)} ^ weights.keys()):
        raise BeatwiseError(f"{KEY}.folder: only one of the network and the model in {folder} has a layer {name}.")
    for name, weight in weights.items():
        if weight.shape != own[name].shape:
            raise BeatwiseError(
                f"{KEY}.folder: {name} has the shape {[*weight.shape]} in {folder} and {[*own[name].shape]} in the "
                "network, whose examples are of another shape. Start from a model of such examples."
            )
    network.load_state_dict({**own, **weights})


def with_version(start: Start) -> Start:
    """A start that names one version of its model: the latest one, where none is named.

    Raises:
        BeatwiseError: If there is no such model.
    """
    if start.use != "pretrained":
        return start
    folder = _version(Path((options := start.options)["folder"]))
    return start.model_copy(update={"pretrained": {**options, "folder": folder.as_posix()}})


def pinned(start: Start) -> Start:
    """A start that names one version of its model and the checksum of its weights, so that runs can be told apart.

    Raises:
        BeatwiseError: If there is no such model, or its weights are not those of the checksum.
    """
    if start.use != "pretrained":
        return start
    options = with_version(start).options
    folder = Path(options["folder"])
    checksum = _read(folder, lambda: hashlib.sha256((folder / WEIGHTS).read_bytes()).hexdigest())
    if options["sha256"] not in ("", checksum):
        raise BeatwiseError(f"{KEY}.sha256: the weights in {folder} are others. Name their folder, or leave it out.")
    return start.model_copy(update={"pretrained": {**options, "sha256": checksum}})


def check_start(config: FitSettings) -> None:
    """Refuse a fit whose network, representation or rates are not those of the model that it starts from.

    Raises:
        BeatwiseError: Names the setting.
    """
    from safetensors import safe_open

    if config.train.start.use != "pretrained":
        return
    options = config.train.start.options
    folder = Path(options["folder"])
    stored = _read(folder, lambda: json.loads((folder / CONFIG).read_text(encoding="utf-8")))
    check_format(stored, folder / CONFIG, "Train that model again.")
    then = _read(folder, lambda: {name: _chosen(stored["config"][name]) for name in ("model", "tensors")})
    _check_same("model", then["model"], _chosen(config.model.model_dump(mode="json")))
    _check_same("tensors", then["tensors"], _chosen(config.tensors.model_dump(mode="json")))

    def names() -> list[str]:
        with safe_open(folder / WEIGHTS, "np") as file:
            return list(file.keys())

    _check_rates(options["rates"] or {}, _layers(_read(folder, names)))


def _read(folder: Path, read: Callable[[], R]) -> R:
    """What is read of the model in a folder."""
    from safetensors import SafetensorError

    try:
        return read()
    except (OSError, SafetensorError, ValueError, LookupError, TypeError) as error:
        raise BeatwiseError(
            f"{KEY}.folder: the model in {folder} cannot be read ({type(error).__name__}: {error}). Train it again."
        ) from error


def layer_rate(name: str, rates: Mapping[str, float]) -> float:
    """The multiple of the learning rate of a layer or weight; 0 if it is frozen."""
    matching = [key for key in rates if name == key or name.startswith(f"{key}.")]
    if matching:
        return rates[max(matching, key=len)]
    return rates.get(TRUNK, 1.0) if not _is_of_head(name) else 1.0


def _is_of_head(name: str) -> bool:
    return name.split(".", 1)[0] == HEAD


def _version(folder: Path) -> Path:
    """The folder itself, or its latest version if it holds versions."""
    if (folder / CONFIG).is_file():
        return folder
    versions = sorted(path.parent for path in folder.glob(f"*/*/{CONFIG}"))
    if not versions:
        raise BeatwiseError(
            f"{KEY}.folder: there is no model in {folder}. Train one first, for instance with `kedro run --env=mitbih "
            "--pipeline=train`, or name the folder of another."
        )
    return versions[-1]


def _chosen(choice: Mapping[str, Any]) -> dict[str, Any]:
    """The chosen entry and its options by name, without those that the weights do not depend on."""
    use = choice["use"]
    options = {f"{use}.{name}": value for name, value in (choice.get(use) or {}).items() if name not in ANY}
    return {"use": use, **options}


def _check_same(block: str, then: Mapping[str, Any], now: Mapping[str, Any]) -> None:
    for name in (*then, *(now.keys() - then.keys())):
        if then.get(name) != now.get(name):
            raise BeatwiseError(
                f"{KEY}.folder: the model there has {block}.{name}={then.get(name)}, this fit {now.get(name)}. Set "
                f"{block}.{name} as there, or start from another model."
            )


def _layers(weights: Iterable[str]) -> set[str]:
    """Names of all layers that have weights, and of what they are parts of."""
    parts = [name.split(".") for name in weights]
    return {".".join(words[:n]) for words in parts for n in range(1, len(words))}


def _check_rates(rates: Mapping[str, float], layers: Iterable[str]) -> None:
    known = {TRUNK, HEAD, *layers}
    for name in rates:
        if name not in known:
            at_top = sorted(layer for layer in known if layer.count(".") <= 1)
            raise BeatwiseError(f"{KEY}.rates: {name!r} is no layer of the model. Known: {', '.join(at_top)}.")
    if layer_rate(f"{HEAD}.linear", rates) == 0:
        raise BeatwiseError(f"{KEY}.rates: the head is new, so its rate cannot be 0.")
