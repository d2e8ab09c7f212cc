"""Several tables that belong together, as one versioned folder."""

from __future__ import annotations

import json
from dataclasses import fields
from pathlib import Path
from typing import Any

import pandas as pd
from kedro.io import DatasetError, Version
from kedro.utils import load_obj
from kedro_datasets._typing import JSONPreview

from beatwise.core.files import written_whole
from beatwise.datasets.versioned_folder import VersionedFolderDataset


class TablesDataset(VersionedFolderDataset[Any, Any]):
    """A dataclass whose fields are tables and plain data: a parquet or a JSON file a field, all of one version."""

    def __init__(
        self,
        *,
        filepath: str,
        of: str,
        shown: str,
        version: Version | None = None,
        metadata: dict[str, Any] | None = None,
    ) -> None:
        """Name the folder of the versions, the dataclass that they hold, and the field that kedro-viz shows."""
        super().__init__(filepath=filepath, version=version, metadata=metadata)
        self._of, self._shown = of, shown

    def load(self) -> Any:
        """Read the version."""
        folder, of = Path(str(self._get_load_path())), load_obj(self._of)
        if not folder.is_dir():
            raise DatasetError(f"There is no version of {self._filepath} yet.")
        return of(**{field.name: _read(folder, field.name) for field in fields(of)})

    def save(self, data: Any) -> None:
        """Write a version, completely or not at all."""
        with written_whole(Path(str(self._get_save_path()))) as folder:
            folder.mkdir()
            for field in fields(data):
                value = getattr(data, field.name)
                if isinstance(value, pd.DataFrame):
                    value.to_parquet(folder / f"{field.name}.parquet")
                else:
                    text = json.dumps(value, indent=2, allow_nan=False)
                    (folder / f"{field.name}.json").write_text(text, encoding="utf-8")

    def preview(self) -> JSONPreview:
        """The field that is shown, for kedro-viz."""
        return JSONPreview(json.dumps(_read(Path(str(self._get_load_path())), self._shown)))


def _read(folder: Path, name: str) -> Any:
    table = folder / f"{name}.parquet"
    if table.is_file():
        return pd.read_parquet(table)
    return json.loads((folder / f"{name}.json").read_text(encoding="utf-8"))
