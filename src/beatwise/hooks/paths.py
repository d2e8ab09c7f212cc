"""Where a dataset lies."""

from __future__ import annotations

from pathlib import Path
from typing import Any


def saved_path(dataset: Any) -> Path:
    """Where a dataset of the catalog has just been saved, version and all."""
    if getattr(dataset, "_version", None):
        return Path(str(dataset._get_versioned_path(dataset.resolve_save_version())))
    return Path(str(dataset._describe()["filepath"]))


def short_path(path: Path) -> str:
    """A path as it is shown: from the working directory on."""
    return str(path.relative_to(Path.cwd()) if path.is_relative_to(Path.cwd()) else path)
