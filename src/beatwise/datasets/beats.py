"""The beats of a source as examples, whichever of its layouts is on the disk."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
from kedro.io import AbstractDataset, DatasetError
from kedro_datasets._typing import TablePreview

from beatwise.core.errors import BeatwiseError
from beatwise.data.contracts import check_numeric, listed
from beatwise.data.examples import PART, TARGET, Array, Examples
from beatwise.ecg.beats import signal_columns, table_of, with_group

Layout = dict[str, list[Path]]


class BeatsDataset(AbstractDataset[None, Examples]):
    """Read-only: the files of one source as the examples ``raw_beats``, with a column ``part``.

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

    def load(self) -> Examples:
        """Read every file of the layout that is there.

        Returns:
            The beats of all parts, one after the other, with ``part``; ``table.attrs["files"]`` names the files of each
            part.

        Raises:
            DatasetError: If no layout is there in full; if a file cannot be read, or the files do not have the same
                columns (then a BeatwiseError is its cause).
        """
        layout = self._there()
        files = [(part, _open(file, part)) for part, paths in layout.items() for file in paths]
        first = files[0][1]
        for _, file in files[1:]:
            if differ := sorted(set(file.columns) ^ set(first.columns)):
                raise BeatwiseError(
                    f"{file.path.absolute()} does not have the columns of {first.path.absolute()}; they differ in: "
                    f"{', '.join(differ)}. All files of a source need the same columns."
                )
        if gaps := [name for name in first.signals if name not in first.columns]:
            raise BeatwiseError(
                f'Missing column {listed(gaps)}. ({first.path.absolute()}) The signal columns are named "0", "1", … '
                "without a gap."
            )
        ends = np.cumsum([0, *(file.n_rows for _, file in files)])
        # One array for all parts, filled column by column: the table is never in memory twice.
        x = np.empty((ends[-1], len(first.signals)), dtype=np.float32)
        tables = []
        for (part, file), start, end in zip(files, ends, ends[1:], strict=False):
            rest = file.read(x[start:end])
            tables.append(rest if part == "all" else rest.assign(**{PART: part}))
        table = with_group(pd.concat(tables, ignore_index=True))
        table.attrs = {"files": {part: [str(file.absolute()) for file in paths] for part, paths in layout.items()}}
        return Examples(x, table)

    def preview(self, nrows: int = 5) -> TablePreview:
        """The first rows of the first file, for kedro-viz.

        Args:
            nrows: How many.

        Raises:
            DatasetError: If no layout is there in full.
        """
        (part, (first, *_)), *_ = self._there().items()
        file = _open(first, part)
        x = np.empty((file.n_rows, len(file.signals)), dtype=np.float32)
        rest = file.read(x)
        table = table_of(Examples(x, rest if part == "all" else rest.assign(**{PART: part})))
        return TablePreview(table.iloc[:nrows].to_dict(orient="split"))

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

    def _exists(self) -> bool:
        return self._present() is not None

    def _describe(self) -> dict[str, Any]:
        return {"filepath": str(self._folder), "layouts": [list(layout) for layout in self._layouts]}


class _BeatsFile:
    """One file of beats: its columns, and a way to read them into an array that is there already."""

    def __init__(self, path: Path, part: str, columns: Sequence[str], n_rows: int) -> None:
        self.path, self.part, self.n_rows = path, part, n_rows
        self.columns = list(map(str, columns))
        self.signals = signal_columns(self.columns)

    def read(self, x: Array) -> pd.DataFrame:
        """Fill ``x`` ``float32 [n, t]`` with the signals; return the other columns."""
        raise NotImplementedError

    def _fill(self, x: Array, column: int, values: pd.Series) -> None:
        """Put one signal column into the array.

        Raises:
            BeatwiseError: If it does not hold numbers.
        """
        if not pd.api.types.is_numeric_dtype(values.dtype):
            table = pd.DataFrame({self.signals[column]: values, PART: self.part})
            table.attrs = {"files": {self.part: [str(self.path.absolute())]}}
            check_numeric(table, self.signals[column])
        x[:, column] = values.to_numpy(dtype=np.float32, na_value=np.nan)


class _ParquetBeats(_BeatsFile):
    def __init__(self, path: Path, part: str) -> None:
        import pyarrow.parquet as pq

        self._file = pq.ParquetFile(path)
        schema = self._file.schema_arrow
        index = [name for name in (schema.pandas_metadata or {}).get("index_columns", []) if isinstance(name, str)]
        super().__init__(path, part, [name for name in schema.names if name not in index], self._file.metadata.num_rows)

    def read(self, x: Array) -> pd.DataFrame:
        for column, name in enumerate(self.signals):
            self._fill(x, column, self._file.read(columns=[name], use_pandas_metadata=False)[name].to_pandas())
        others = [name for name in self.columns if name not in {*self.signals}]
        return self._file.read(columns=others, use_pandas_metadata=False).to_pandas(ignore_metadata=True)


class _CSVBeats(_BeatsFile):
    """No header, the label in the last column, as Kaggle's files."""

    def __init__(self, path: Path, part: str) -> None:
        self._table = pd.read_csv(path, header=None, low_memory=False)
        names = [*map(str, range(self._table.shape[1] - 1)), TARGET]
        self._table.columns = pd.Index(names)
        super().__init__(path, part, names, len(self._table))

    def read(self, x: Array) -> pd.DataFrame:
        for column, name in enumerate(self.signals):
            self._fill(x, column, self._table[name])
        return self._table.drop(columns=self.signals)


def _open(path: Path, part: str) -> _BeatsFile:
    try:
        return _CSVBeats(path, part) if path.suffix == ".csv" else _ParquetBeats(path, part)
    except BeatwiseError:
        raise
    except (OSError, ValueError) as error:  # pyarrow's and pandas' errors are both
        kind = "CSV" if path.suffix == ".csv" else "parquet"
        raise BeatwiseError(
            f"{path.absolute()} cannot be read as {kind} ({error}). It may be truncated or of another format: fetch it "
            "again."
        ) from error
