"""Checkpoints: the state of a training after each epoch, from which an interrupted training continues.

A state is a mapping of tensors and plain data, nested as it likes. It is stored as one safetensors file (the plain data
in its header), written whole or not at all; nothing in it can run code.
"""

from __future__ import annotations

import hashlib
import json
import logging
from collections.abc import Mapping
from pathlib import Path
from typing import TYPE_CHECKING, Any

import beatwise
from beatwise.core.errors import BeatwiseError
from beatwise.core.files import written_whole

if TYPE_CHECKING:
    from torch import Tensor

log = logging.getLogger(__name__)

State = dict[str, Any]


def key_of(*metadata: Any) -> str:
    """A short hash of plain data and of Beatwise's version: names the one thing that is computed from them."""
    named = json.dumps([*metadata, beatwise.__version__], sort_keys=True)
    return hashlib.sha256(named.encode()).hexdigest()[:20]


class Checkpoints:
    """A folder with the last state of every training that is not finished, by key."""

    def __init__(self, folder: Path) -> None:
        """Name the folder; it is made when it is needed."""
        self.folder = folder

    def load(self, key: str) -> State | None:
        """The state that was saved last, or None where there is none that can be read."""
        from safetensors import SafetensorError, safe_open

        path = self._path(key)
        try:
            with safe_open(path, "pt") as file:
                tensors = {name: file.get_tensor(name) for name in file.keys()}  # noqa: SIM118
                return _with_tensors(json.loads(file.metadata()["state"]), tensors)
        except FileNotFoundError:
            return None
        except (OSError, SafetensorError, KeyError, TypeError, ValueError) as error:
            log.warning("The checkpoint %s cannot be read (%s); training begins anew.", path, error)
            return None

    def save(self, key: str, state: Mapping[str, Any]) -> None:
        """Replace the state of a training.

        Raises:
            BeatwiseError: If it cannot be written.
        """
        from safetensors import SafetensorError
        from safetensors.torch import save_file

        tensors: dict[str, Tensor] = {}
        plain = _without_tensors(state, "", tensors)
        target = self._path(key)
        try:
            with written_whole(target) as path:
                save_file(tensors, path, metadata={"state": json.dumps(plain)})
        except (OSError, SafetensorError) as error:
            raise BeatwiseError(f"The checkpoint {target} cannot be written: {error}. Is there free space?") from error

    def remove(self, key: str) -> None:
        """Forget a training that is finished."""
        self._path(key).unlink(missing_ok=True)

    def _path(self, key: str) -> Path:
        return self.folder / f"{key}.safetensors"


def _without_tensors(value: Any, name: str, tensors: dict[str, Tensor]) -> Any:
    """Plain data with a name in the place of each tensor, which is put into ``tensors`` under it."""
    from torch import Tensor

    if isinstance(value, Tensor):
        # Two names for one storage cannot be stored, and a state must not change while it is written.
        tensors[name] = value.detach().to("cpu", copy=True).contiguous()
        return {"__tensor__": name}
    if isinstance(value, Mapping):
        # JSON has no integer keys, and an optimizer's state has no others.
        return {"__items__": [[key, _without_tensors(v, f"{name}/{key}", tensors)] for key, v in value.items()]}
    if isinstance(value, list | tuple):
        return [_without_tensors(v, f"{name}/{index}", tensors) for index, v in enumerate(value)]
    return value


def _with_tensors(value: Any, tensors: Mapping[str, Tensor]) -> Any:
    if isinstance(value, dict):
        if "__tensor__" in value:
            return tensors[value["__tensor__"]]
        return {key: _with_tensors(v, tensors) for key, v in value["__items__"]}
    if isinstance(value, list):
        return [_with_tensors(v, tensors) for v in value]
    return value
