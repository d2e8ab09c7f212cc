"""The journal, as reports read it."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any, NoReturn

from kedro.io import AbstractDataset, DatasetError
from kedro_datasets._typing import JSONPreview

from beatwise.runs.journal import Journal
from beatwise.runs.metadata import JOURNAL


class JournalDataset(AbstractDataset[NoReturn, dict[str, Any]]):
    """The entries of the project's journal as plain data, read-only: commands and runs write them."""

    def __init__(self, *, filepath: str, metadata: dict[str, Any] | None = None) -> None:
        """Name the folder.

        Args:
            filepath: ``docs/journal`` of the project; it need not be there yet.
            metadata: Kept for plugins such as kedro-viz.
        """
        self._path = Path(filepath).absolute()
        self.metadata = metadata

    def load(self) -> dict[str, Any]:
        """A ``Entry`` by ID, in the order in which they were proposed.

        Raises:
            BeatwiseError: If a file cannot be used.
        """
        project = self._path.parents[len(JOURNAL.parts) - 1]
        return {id: entry.model_dump(mode="json") for id, entry in Journal(project).entries().items()}

    def preview(self) -> JSONPreview:
        """All entries, for kedro-viz."""
        return JSONPreview(json.dumps(self.load()))

    def save(self, data: NoReturn) -> None:
        """Refused: entries change under the journal's own lock.

        Raises:
            DatasetError: Always.
        """
        raise DatasetError(f"{self._path} is written by `kedro journal` and by runs, not by the catalog.")

    def _exists(self) -> bool:
        return True

    def _describe(self) -> dict[str, Any]:
        return {"filepath": str(self._path)}
