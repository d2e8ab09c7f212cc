"""A folder that nodes read and write by key, as a dataset: what they load is the folder itself."""

from __future__ import annotations

from pathlib import Path
from typing import Any, NoReturn

from kedro.io import AbstractDataset, DatasetError
from kedro.utils import load_obj


class FolderDataset(AbstractDataset[NoReturn, Any]):
    """A folder of checkpoints or of finished rows; it need not be there yet.

    Attributes:
        folder: The folder; a run that begins from nothing replaces it by an empty one.
    """

    def __init__(self, *, filepath: str, store: str, metadata: dict[str, Any] | None = None) -> None:
        """Name the folder, and the class that reads and writes it, which is made from the path alone."""
        self.folder = Path(filepath).absolute()
        self._store = store
        self.metadata = metadata

    def load(self) -> Any:
        """The folder, as an object of its class."""
        return load_obj(self._store)(self.folder)

    def save(self, data: NoReturn) -> None:
        """Refused: what is in the folder is saved piece by piece, while a node runs.

        Raises:
            DatasetError: Always.
        """
        raise DatasetError(f"{self.folder} is written by key while a node runs, not by the catalog.")

    def _exists(self) -> bool:
        return True

    def _describe(self) -> dict[str, Any]:
        return {"filepath": str(self.folder), "store": self._store}
