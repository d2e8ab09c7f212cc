"""A figure as a PNG file that can be read back, so that the report embeds what was drawn once."""

from __future__ import annotations

import base64
from pathlib import Path
from typing import Any

from kedro.io import AbstractDataset
from kedro_datasets._typing import ImagePreview
from matplotlib.figure import Figure

from beatwise.core.files import written_whole


class FigureDataset(AbstractDataset[Figure, bytes]):
    """Saves a matplotlib figure, loads its PNG; kedro-datasets' ``MatplotlibDataset`` cannot load."""

    def __init__(self, *, filepath: str, metadata: dict[str, Any] | None = None) -> None:
        """Name the file.

        Args:
            filepath: The ``.png`` file.
            metadata: Kept for plugins such as kedro-viz.
        """
        self._path = Path(filepath)
        self.metadata = metadata

    def load(self) -> bytes:
        """The PNG."""
        return self._path.read_bytes()

    def save(self, data: Figure) -> None:
        """Draw the figure into the file."""
        from beatwise.figures.style import to_png

        with written_whole(self._path) as path:
            path.write_bytes(to_png(data))

    def preview(self) -> ImagePreview:
        """The picture, for kedro-viz."""
        return ImagePreview(base64.b64encode(self.load()).decode("ascii"))

    def _exists(self) -> bool:
        return self._path.is_file()

    def _describe(self) -> dict[str, Any]:
        return {"filepath": str(self._path)}
