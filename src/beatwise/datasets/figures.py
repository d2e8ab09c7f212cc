"""The figures of a report as one folder, so that the report embeds what was drawn once."""

from __future__ import annotations

import json
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

from kedro.io import AbstractDataset
from kedro_datasets._typing import PlotlyPreview

from beatwise.core.files import written_whole


class FiguresDataset(AbstractDataset[Mapping[str, Any], dict[str, Any]]):
    """Figures by name: matplotlib's as PNG, plotly's as JSON, and as text the reason why one cannot be drawn.

    It loads the bytes of a PNG, a plotly figure, or the reason.
    """

    def __init__(self, *, filepath: str, metadata: dict[str, Any] | None = None) -> None:
        """Name the folder; figures of an earlier run that are not drawn again do not stay in it."""
        self._filepath = Path(filepath)
        self.metadata = metadata

    def load(self) -> dict[str, Any]:
        """All figures by name."""
        return {path.stem: _read(path) for path in sorted(self._filepath.iterdir())}

    def save(self, data: Mapping[str, Any]) -> None:
        """Write all figures, completely or not at all."""
        from beatwise.figures.style import to_png

        with written_whole(self._filepath) as folder:
            folder.mkdir()
            for name, drawn in data.items():
                if isinstance(drawn, str):
                    (folder / f"{name}.txt").write_text(drawn, encoding="utf-8")
                elif hasattr(drawn, "savefig"):
                    (folder / f"{name}.png").write_bytes(to_png(drawn))
                else:
                    (folder / f"{name}.json").write_text(drawn.to_json(), encoding="utf-8")

    def preview(self, shown: Sequence[str]) -> PlotlyPreview:
        """The main figures by name, one at a time, for kedro-viz; those that are not drawn are left out."""
        from beatwise.figures.gallery import gallery

        drawn = self.load()
        figures = {name: drawn[name] for name in shown if not isinstance(drawn.get(name, ""), str)}
        return PlotlyPreview(json.loads(gallery(figures).to_json()))

    def _exists(self) -> bool:
        return self._filepath.is_dir()

    def _describe(self) -> dict[str, Any]:
        return {"filepath": str(self._filepath)}


def _read(path: Path) -> Any:
    if path.suffix == ".png":
        return path.read_bytes()
    text = path.read_text(encoding="utf-8")
    if path.suffix == ".txt":
        return text
    import plotly.io

    return plotly.io.from_json(text)
