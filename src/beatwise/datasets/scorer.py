"""A scorer as a folder: the files of its model, and JSON. Nothing in it can run code."""

from __future__ import annotations

import json
from pathlib import Path

from kedro_datasets._typing import JSONPreview

from beatwise.core.files import written_whole
from beatwise.datasets.versioned_folder import VersionedFolderDataset
from beatwise.scoring.scorer import FACTS, Scorer, read_scorer, write_scorer


class ScorerDataset(VersionedFolderDataset[Scorer, Scorer]):
    """A ``Scorer``, versioned."""

    def load(self) -> Scorer:
        """Read the version."""
        return read_scorer(Path(str(self._get_load_path())))

    def save(self, data: Scorer) -> None:
        """Write a version, completely or not at all."""
        with written_whole(Path(str(self._get_save_path()))) as folder:
            folder.mkdir()
            write_scorer(folder, data)

    def preview(self) -> JSONPreview:
        """Everything but the model, for kedro-viz."""
        stored = json.loads((Path(str(self._get_load_path())) / FACTS).read_text(encoding="utf-8"))
        return JSONPreview(json.dumps({name: value for name, value in stored.items() if name != "reference"}))

    def _is_saved(self, folder: Path) -> bool:
        return (folder / FACTS).is_file()
