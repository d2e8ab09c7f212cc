"""Tensors of one part as a safetensors file."""

from __future__ import annotations

import base64
import json
from pathlib import Path
from typing import Any

import numpy as np
from kedro.io import AbstractDataset
from kedro_datasets._typing import ImagePreview

from beatwise.core.files import written_whole
from beatwise.data.representations import TensorSet, TensorSpec


class TensorsDataset(AbstractDataset[TensorSet, TensorSet]):
    """A ``TensorSet``: arrays as tensors, the rest as JSON in the header."""

    def __init__(self, *, filepath: str, metadata: dict[str, Any] | None = None) -> None:
        """Name the file.

        Args:
            filepath: The ``.safetensors`` file.
            metadata: Kept for plugins such as kedro-viz.
        """
        self._path = Path(filepath)
        self.metadata = metadata

    def load(self) -> TensorSet:
        """Read the file."""
        from safetensors import safe_open

        with safe_open(self._path, framework="numpy") as file:
            metadata = json.loads(file.metadata()["beatwise"])
            arrays = {name: file.get_tensor(name) for name in file.keys()}  # noqa: SIM118 - not a dict
        index = arrays.pop("record_index", None)
        return TensorSet(
            x=arrays["x"],
            aux=arrays["aux"],
            y=arrays["y"],
            spec=TensorSpec.from_dict(metadata["spec"]),
            fingerprint=metadata["fingerprint"],
            record=None if index is None else np.asarray(metadata["records"], dtype=str)[index],
            sample=arrays.get("sample"),
        )

    def save(self, data: TensorSet) -> None:
        """Write the file, in whole or not at all."""
        from safetensors.numpy import save_file

        arrays = {"x": data.x, "aux": data.aux, "y": data.y}
        metadata: dict[str, Any] = {"spec": data.spec.to_dict(), "fingerprint": data.fingerprint}
        if data.record is not None and data.sample is not None:
            # safetensors holds no text: record names stand in the header, their numbers beside the beats.
            records, index = np.unique(data.record, return_inverse=True)
            arrays |= {"record_index": index.astype(np.int32), "sample": data.sample}
            metadata["records"] = records.tolist()
        with written_whole(self._path) as path:
            save_file(arrays, path, metadata={"beatwise": json.dumps(metadata)})

    def preview(self) -> ImagePreview:
        """A few waveforms of each class, for kedro-viz."""
        from beatwise.figures import plot_waveforms
        from beatwise.figures.style import to_png

        data = self.load()
        png = to_png(plot_waveforms(data.x, data.y, data.spec.classes))
        return ImagePreview(base64.b64encode(png).decode("ascii"))

    def _exists(self) -> bool:
        return self._path.is_file()

    def _describe(self) -> dict[str, Any]:
        return {"filepath": str(self._path)}
