"""Tensors of one part as a folder of NumPy arrays that are mapped into memory, not read."""

from __future__ import annotations

import base64
import json
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
from kedro.io import AbstractDataset
from kedro_datasets._typing import ImagePreview

from beatwise.core.files import written_whole
from beatwise.data.representations import Representation
from beatwise.tasks.base import Task
from beatwise.tasks.tensors import TensorSet

ARRAYS = ("x", "aux", "y")
CONFIG, TABLE = "tensors.json", "table.parquet"


class TensorsDataset(AbstractDataset[TensorSet, TensorSet]):
    """A ``TensorSet``: arrays as ``.npy``, the rest as JSON and parquet."""

    def __init__(self, *, filepath: str, metadata: dict[str, Any] | None = None) -> None:
        """Name the folder."""
        self._filepath = Path(filepath)
        self.metadata = metadata

    def load(self) -> TensorSet:
        """Map the arrays: what a training does not touch is never in memory."""
        stored = json.loads((self._filepath / CONFIG).read_text(encoding="utf-8"))
        # Copy-on-write, because torch warns of arrays that cannot be written to.
        arrays: dict[str, Any] = {
            name: np.load(path, mmap_mode="c") if (path := self._filepath / f"{name}.npy").is_file() else None
            for name in ARRAYS
        }
        return TensorSet(
            **arrays,
            representation=Representation.from_dict(stored["representation"]),
            task=Task.from_dict(stored["task"]),
            fingerprint=stored["fingerprint"],
            # Parquet does not count the rows of a table without columns.
            table=pd.read_parquet(self._filepath / TABLE).reindex(pd.RangeIndex(len(arrays["x"]))),
        )

    def save(self, data: TensorSet) -> None:
        """Write the folder, completely or not at all."""
        stored = {
            "representation": data.representation.to_dict(),
            "task": data.task.to_dict(),
            "fingerprint": data.fingerprint,
        }
        with written_whole(self._filepath) as folder:
            folder.mkdir()
            for name in ARRAYS:
                if (array := getattr(data, name)) is not None:
                    np.save(folder / f"{name}.npy", array, allow_pickle=False)
            data.table.to_parquet(folder / TABLE)
            (folder / CONFIG).write_text(json.dumps(stored), encoding="utf-8")

    def preview(self) -> ImagePreview:
        """A few waveforms of each class, for kedro-viz."""
        from beatwise.figures import plot_waveforms
        from beatwise.figures.style import to_png

        data = self.load()
        png = to_png(plot_waveforms(data.x, data.labels, data.task.class_names or ("",)))
        return ImagePreview(base64.b64encode(png).decode("ascii"))

    def _exists(self) -> bool:
        return (self._filepath / CONFIG).is_file()

    def _describe(self) -> dict[str, Any]:
        return {"filepath": str(self._filepath)}
