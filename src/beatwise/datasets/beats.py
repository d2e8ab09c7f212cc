"""The beats of a source as one table, whichever of its layouts lies on the disk."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

import pandas as pd
from kedro.io import AbstractDataset, DatasetError
from kedro_datasets._typing import TablePreview

from beatwise.core.errors import BeatwiseError
from beatwise.data.examples import PART, TARGET

Layout = dict[str, list[Path]]


class BeatsDataset(AbstractDataset[None, pd.DataFrame]):
    """Read-only: the files of one source as the table ``raw_beats``, with a column ``part``.

    A source may come in several layouts (parquet or CSV; with or without a test part). The first layout whose files are
    all there is read. CSV files have no header and the label in the last column, as Kaggle's have; parquet files
    have named columns.
    """

    def __init__(
        self,
        *,
        filepath: str,
        layouts: Sequence[Mapping[str, str | Sequence[str]]],
        how_to_get: str,
        metadata: dict[str, Any] | None = None,
    ) -> None:
        """Describe where a source may lie.

        Args:
            filepath: Folder of the files.
            layouts: For each layout, file names by part (``train``, ``test``, or ``all`` for a file with a column
                ``part`` of its own); several files of a part are read one after the other.
            how_to_get: Where the files come from; ends the error message when none of the layouts is there.
            metadata: Kept for plugins such as kedro-viz.
        """
        self._folder = Path(filepath)
        self._layouts: list[Layout] = [
            {
                part: [self._folder / name for name in ([names] if isinstance(names, str) else names)]
                for part, names in layout.items()
            }
            for layout in layouts
        ]
        self._how_to_get = how_to_get
        self.metadata = metadata

    def load(self) -> pd.DataFrame:
        """Read every file of the layout that is there.

        Returns:
            The rows of all parts, one after the other, with ``part``; ``attrs["files"]`` names the files of each part.

        Raises:
            DatasetError: If no layout is there in full; if a file cannot be read, or the files do not have the same
                columns (then a BeatwiseError is its cause).
        """
        layout = self._there()
        tables: list[pd.DataFrame] = []
        first = next(iter(layout.values()))[0]
        for part, files in layout.items():
            for file in files:
                table = self._read(file)
                if part != "all":
                    table[PART] = part
                if tables and set(table.columns) != set(tables[0].columns):
                    differ = ", ".join(sorted(map(str, set(table.columns) ^ set(tables[0].columns))))
                    raise BeatwiseError(
                        f"{file.absolute()} does not have the columns of {first.absolute()}; they differ in: {differ}. "
                        "All files of a source need the same columns."
                    )
                tables.append(table)
        beats = pd.concat(tables, ignore_index=True)
        beats.attrs = {"files": {part: [str(file.absolute()) for file in files] for part, files in layout.items()}}
        return beats

    def preview(self, nrows: int = 5) -> TablePreview:
        """The first rows of the first file, for kedro-viz.

        Args:
            nrows: How many.

        Raises:
            DatasetError: If no layout is there in full.
        """
        (part, (first, *_)), *_ = self._there().items()
        table = self._read(first, nrows)
        return TablePreview((table if part == "all" else table.assign(part=part)).to_dict(orient="split"))

    def save(self, data: None) -> None:
        """Refuse: a source is never written.

        Raises:
            DatasetError: Always.
        """
        raise DatasetError(f"{type(self).__name__} is read-only: it never writes to a source.")

    def _there(self) -> Layout:
        layout = self._present()
        if layout is None:
            looked_for = "\n".join(
                "  " + " + ".join(file.name for files in layout.values() for file in files) for layout in self._layouts
            )
            raise DatasetError(
                f"There are no beats in {self._folder.absolute()}. Looked for, in this "
                f"order:\n{looked_for}\n{self._how_to_get}"
            )
        return layout

    def _present(self) -> Layout | None:
        return next(
            (layout for layout in self._layouts if all(file.is_file() for files in layout.values() for file in files)),
            None,
        )

    @staticmethod
    def _read(file: Path, nrows: int | None = None) -> pd.DataFrame:
        try:
            if file.suffix == ".csv":
                table = pd.read_csv(file, header=None, low_memory=False, nrows=nrows)
                return table.set_axis([*map(str, range(table.shape[1] - 1)), TARGET], axis="columns")
            table = pd.read_parquet(file).iloc[:nrows]
        except (OSError, ValueError) as error:  # pyarrow's and pandas' errors are both
            kind = "CSV" if file.suffix == ".csv" else "parquet"
            raise BeatwiseError(
                f"{file.absolute()} cannot be read as {kind} ({error}). It may be truncated or of another format: "
                "fetch it again."
            ) from error
        table.attrs = {}
        table.columns = table.columns.map(str)
        return table

    def _exists(self) -> bool:
        return self._present() is not None

    def _describe(self) -> dict[str, Any]:
        return {"filepath": str(self._folder), "layouts": [list(layout) for layout in self._layouts]}
