"""The catalog's recording metadata of a dataset, and the place where it was saved."""

from __future__ import annotations

from pathlib import Path
from typing import Any

from kedro.io import DataCatalog

from beatwise.core.errors import BeatwiseError
from beatwise.core.registry import unknown_name
from beatwise.runs.saved import KINDS, Saved


def read_saved(catalog: DataCatalog, name: str, data: Any) -> Saved:
    """Describe a dataset that has just been saved."""
    dataset, metadata = catalog[name], record_metadata(catalog, name)
    kind = metadata.get("record")
    path = saved_path(dataset)
    return Saved(
        kind=kind,
        name=name,
        data=data,
        path=path,
        beside=dataset.files_beside(path) if hasattr(dataset, "files_beside") else [],
        title=metadata.get("title", name.rpartition(".")[0]),
        scores=_scores(kind, name.rpartition(".")[0], data),
    )


def record_metadata(catalog: DataCatalog, name: str) -> dict[str, Any]:
    """The catalog's recording metadata of a dataset; empty for none.

    Raises:
        BeatwiseError: If a key or a kind is unknown.
    """
    metadata = getattr(catalog[name], "metadata", None) if name in catalog else None
    found: dict[str, Any] = (metadata or {}).get("beatwise") or {}
    where = f"The catalog's metadata of {name}: "
    for key in found.keys() - {"record", "title"}:
        raise BeatwiseError(where + unknown_name("key", key, ("record", "title")))
    if found.get("record", KINDS[0]) not in KINDS:
        raise BeatwiseError(where + unknown_name("record", found["record"], KINDS))
    return found


def _scores(kind: str | None, namespace: str, data: Any) -> dict[str, dict[str, float]]:
    if kind not in ("scores", "row_scores"):
        return {}
    from beatwise.tasks.metrics import flatten_scores

    if kind == "scores":
        return {namespace: flatten_scores(data)}
    return {row.name: flatten_scores(row.metrics) for row in data}


def saved_path(dataset: Any) -> Path:
    """The path to which a dataset has just been saved, with its version."""
    if getattr(dataset, "_version", None):
        return Path(str(dataset._get_versioned_path(dataset.resolve_save_version())))
    return Path(str(dataset._describe()["filepath"]))


def short_path(path: Path) -> str:
    """A path as it is shown: relative to the working directory where it lies below that."""
    return str(path.relative_to(Path.cwd()) if path.is_relative_to(Path.cwd()) else path)
