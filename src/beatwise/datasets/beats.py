"""The beats of a source as examples, from the first of its layouts that is on the disk."""

from __future__ import annotations

import logging
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

from kedro.io import AbstractDataset, DatasetError
from kedro_datasets._typing import TablePreview

from beatwise.core.errors import BeatwiseError
from beatwise.data.examples import Examples
from beatwise.data.scaling import Scale
from beatwise.ecg.beats import table_of
from beatwise.ecg.beats_files import column_problems, open_beats, read_beats

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
