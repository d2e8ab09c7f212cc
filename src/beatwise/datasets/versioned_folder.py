"""Base of the datasets that are one folder a version."""

from __future__ import annotations

from pathlib import Path, PurePosixPath
from typing import Any, TypeVar

from kedro.io import AbstractVersionedDataset, DatasetError, Version

from beatwise.core.errors import BeatwiseError

Saved = TypeVar("Saved")
Loaded = TypeVar("Loaded")


class VersionedFolderDataset(AbstractVersionedDataset[Saved, Loaded]):
    """A folder that holds one folder for each version."""

    def __init__(
        self, *, filepath: str, version: Version | None = None, metadata: dict[str, Any] | None = None
    ) -> None:
        """Name the folder that holds the versions."""
        super().__init__(
            filepath=PurePosixPath(Path(filepath).absolute().as_posix()),
            version=version,
            exists_function=lambda path: self._is_saved(Path(path)),
            glob_function=lambda pattern: [str(path) for path in Path("/").glob(pattern.lstrip("/"))],
        )
        self.metadata = metadata

    def _is_saved(self, folder: Path) -> bool:
        """Whether a version was saved in the folder."""
        return folder.is_dir()

    def _exists(self) -> bool:
        try:
            return self._is_saved(Path(str(self._get_load_path())))
        except (BeatwiseError, DatasetError):  # there is no version yet
            return False

    def _describe(self) -> dict[str, Any]:
        return {"filepath": str(self._filepath), "version": self._version}
