"""Windows that the pipeline `segment` has cut from records, as the examples of a source."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
from kedro.io import AbstractDataset, DatasetError

from beatwise.core.errors import BeatwiseError
from beatwise.data.examples import PART, Examples, concatenate
from beatwise.datasets.examples import ExamplesDataset

ORIGIN = ["record", "sample"]


class CutWindowsDataset(AbstractDataset[None, Examples]):
    """Read-only: cut windows as ``raw_beats``, all of them or those that rows of another source come from.

    Windows of several files are put together, so that one database is train and another test.
    """

    def __init__(
        self,
        *,
        files: Mapping[str, str | Sequence[str]],
        how_to_get: str,
        rows: str | None = None,
        metadata: dict[str, Any] | None = None,
    ) -> None:
        """Name the files.

        Args:
            files: Files by part (``train``, ``test``, or ``all`` for a file whose rows are in no part yet).
            how_to_get: Advice that ends the message where a file is missing.
            rows: A table with ``part``, ``record`` and ``sample``, as the pipeline `provenance` makes it: its rows are
                taken, in its order, with its parts; None takes all windows.
            metadata: Kept for plugins such as kedro-viz.
        """
        self._files = {
            part: [Path(name) for name in ([names] if isinstance(names, str) else names)]
            for part, names in files.items()
        }
        self._how_to_get = how_to_get
        self._rows = None if rows is None else Path(rows)
        self.metadata = metadata

    def load(self) -> Examples:
        """Read the files.

        Returns:
            The windows, with ``part`` where it is known.

        Raises:
            DatasetError: If a file is missing.
            BeatwiseError: If a row comes from a beat that is not among the windows, or files do not fit together.
        """
        if missing := [path for path in self._paths() if not path.is_file()]:
            raise DatasetError(f"There are no windows: {missing[0].absolute()} is missing. {self._how_to_get}")
        read = [
            (part, path, ExamplesDataset(filepath=str(path)).load())
            for part, paths in self._files.items()
            for path in paths
        ]
        _, first_path, first = read[0]
        for _, path, windows in read[1:]:
            if (windows.shape, windows.feature_names) != (first.shape, first.feature_names):
                raise BeatwiseError(
                    f"{path.absolute()} holds windows {list(windows.shape)} with {len(windows.feature_names)} "
                    f"features, and {first_path.absolute()} {list(first.shape)} with {len(first.feature_names)}: cut "
                    "both with the same settings of segment."
                )
        parts = [
            windows if part == "all" else Examples(windows.x, windows.table.assign(**{PART: part}))
            for part, _, windows in read
        ]
        together = parts[0] if len(parts) == 1 else concatenate(parts)
        together.table.attrs = first.table.attrs
        return together if self._rows is None else self._taken(together, self._rows)

    def save(self, data: None) -> None:
        """Refuse: the pipeline `segment` writes windows.

        Raises:
            DatasetError: Always.
        """
        raise DatasetError(f"{type(self).__name__} is read-only. {self._how_to_get}")

    def _taken(self, windows: Examples, path: Path) -> Examples:
        rows = pd.read_parquet(path, columns=[PART, *ORIGIN])
        origin = pd.MultiIndex.from_frame(windows.table[ORIGIN].astype({"record": str}))
        place = origin.get_indexer(pd.MultiIndex.from_frame(rows[ORIGIN].astype({"record": str})))
        if (lacking := place < 0).any():
            first = rows.loc[lacking].iloc[0]
            raise BeatwiseError(
                f"{int(lacking.sum()):,} of {len(rows):,} rows of {path.absolute()} have no window (the first: record "
                f"{first['record']}, sample {first['sample']}). Cut all records that they come from: {self._how_to_get}"
            )
        taken = windows.take(place.astype(np.int64))
        taken.table[PART] = rows[PART].to_numpy()
        return taken

    def _paths(self) -> list[Path]:
        rows = [] if self._rows is None else [self._rows]
        return [*rows, *(path for paths in self._files.values() for path in paths)]

    def _exists(self) -> bool:
        return all(path.is_file() for path in self._paths())

    def _describe(self) -> dict[str, Any]:
        # What a run lists as its input is one path: that of the first file.
        (first, *_), *_ = self._files.values()
        return {"filepath": str(first), "files": {part: list(map(str, paths)) for part, paths in self._files.items()}}
