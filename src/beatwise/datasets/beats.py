"""The beats of a source as examples, from the first of its layouts that is on the disk."""

from __future__ import annotations

import logging
from collections.abc import Iterator, Mapping, Sequence
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
from kedro.io import AbstractDataset, DatasetError
from kedro_datasets._typing import TablePreview

from beatwise.core.errors import BeatwiseError
from beatwise.data.contracts import listed, place
from beatwise.data.examples import PART, Examples
from beatwise.data.scaling import ROUNDING, Scale, clip_rounding, pad_with_zeros, scale_each
from beatwise.datasets.beats_files import BeatsFile, open_beats
from beatwise.ecg.beats import table_of, with_group

log = logging.getLogger(__name__)

Layout = dict[str, list[Path]]


class BeatsDataset(AbstractDataset[None, Examples]):
    """Read-only: the files of one source as the examples ``raw_beats``, with a column ``part``.

    A source may come in several layouts (parquet or CSV; with or without a test part). The first layout whose files are
    all there is read. Columns have names; in text without a header, as Kaggle's, the label stands last.
    """

    def __init__(
        self,
        *,
        filepath: str,
        layouts: Sequence[Mapping[str, str | Sequence[str]]],
        how_to_get: str,
        columns: Mapping[Any, str] | None = None,
        scale: Scale = "none",
        metadata: dict[str, Any] | None = None,
    ) -> None:
        """Describe where a source may lie.

        Args:
            filepath: Folder of the files.
            layouts: For each layout, file names by part (``train``, ``test``, or ``all`` for a file with a column
                ``part`` of its own); several files of a part are read one after the other.
            how_to_get: Advice that ends the error message when no layout is there.
            columns: Meaning of columns whose names do not give it, see :func:`open_beats`.
            scale: ``per_example`` scales every beat to [0, 1]; ``none`` takes values in [0, 1] as they are.
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
        self._columns = {str(name): to for name, to in (columns or {}).items()}
        self._scale = scale
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
        files = [open_beats(path, part, self._columns) for part, paths in self._there().items() for path in paths]
        if problem := next(column_problems(files), None):
            raise BeatwiseError(problem)
        beats, notes = read_beats(files, self._scale)
        for note in notes:
            log.info(note)
        return beats

    def preview(self, nrows: int = 5) -> TablePreview:
        """The first rows of the first file, for kedro-viz.

        Raises:
            DatasetError: If no layout is there in full.
        """
        (part, (first, *_)), *_ = self._there().items()
        beats, _ = read_beats([open_beats(first, part, self._columns)], self._scale)
        return TablePreview(table_of(beats).iloc[:nrows].to_dict(orient="split"))

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


def column_problems(files: Sequence[BeatsFile]) -> Iterator[str]:
    """Why files cannot be read into one table: other columns, or a gap in those of the signal."""
    for file in files:
        if differ := sorted(set(file.columns) ^ set(files[0].columns)):
            yield (
                f"{file.path.absolute()} does not have the columns of {files[0].path.absolute()}; they differ in: "
                f"{', '.join(differ)}. All files of a source need the same columns."
            )
        if gaps := [name for name in file.signals if name not in file.columns]:
            yield (
                f"Missing column {listed(gaps)} of {file.path.absolute()}: the columns of the signal are not numbered "
                'without a gap ("0", "1", …).'
            )


def read_beats(files: Sequence[BeatsFile], scale: Scale) -> tuple[Examples, list[str]]:
    """Read files with the same columns, one after the other, and bring the values into [0, 1].

    Returns:
        The beats, as :meth:`BeatsDataset.load` does; and notes on how the files were read, a sentence each.

    Raises:
        BeatwiseError: If a value is no number, or a beat cannot be scaled.
    """
    ends = np.cumsum([0, *(file.n_rows for file in files)])
    # One array for all parts, filled column by column: the table is never in memory twice.
    x = np.empty((ends[-1], len(files[0].signals)), dtype=np.float32)
    tables, notes = [], [f"{file.path.name}: {note}." for file in files for note in file.notes]
    paths: dict[str, list[str]] = {}
    for file, start, end in zip(files, ends, ends[1:], strict=False):
        rest = file.read(x[start:end])
        tables.append(rest if file.part == "all" else rest.assign(**{PART: file.part}))
        paths.setdefault(file.part, []).append(str(file.path.absolute()))
    table = with_group(pd.concat(tables, ignore_index=True))
    table.attrs = {"files": paths}
    if scale == "per_example" and len(flat := scale_each(x)):
        raise BeatwiseError(
            f"{place(table, int(flat[0]))} has no scale: all its samples are equal. {len(flat)} such rows in all. "
            "Leave them out of the table."
        )
    if padded := pad_with_zeros(x):
        notes.append(f"{padded:,} beats end in NaN, which is taken for padding.")
    if clipped := clip_rounding(x):
        notes.append(f"{clipped:,} values left [0, 1] by at most {ROUNDING:g} and are clipped.")
    return Examples(x, table), notes
