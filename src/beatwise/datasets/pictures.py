"""Pictures of a source as examples: a parquet file of encoded pictures, a folder a class, or a list of files."""

from __future__ import annotations

import io
import json
import struct
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any, Final

import numpy as np
import numpy.typing as npt
import pandas as pd
import pyarrow as pa
import pyarrow.parquet as pq
from kedro.io import AbstractDataset, DatasetError
from kedro_datasets._typing import TablePreview
from PIL import Image, ImageFile
from rich.progress import track

from beatwise.core.errors import BeatwiseError
from beatwise.core.registry import unknown_name
from beatwise.data.contracts import listed
from beatwise.data.examples import GROUP, INPUTS, PART, TARGET, TIME, Array, Examples
from beatwise.data.splits import PARTS
from beatwise.ecg.beats_files import ALIASES

ENDINGS: Final = (".png", ".jpg", ".jpeg", ".tif", ".tiff")
LIST: Final = ".lst"
# What Pillow and its decoders raise on damaged bytes.
UNREADABLE: Final = (OSError, EOFError, SyntaxError, ValueError, struct.error, Image.DecompressionBombError)
# Pillow's modes: 8 bits, grey or colour, and 16 bits, grey. A palette and black-and-white hold 8 bits, once converted.
MODES: Final = {"L": 8, "RGB": 8, "I;16": 16, "I;16B": 16, "I;16L": 16}
CONVERTED: Final = {"1": "L", "P": "RGB"}
# An encoded picture, its file, or none.
Cell = bytes | Path | None


@dataclass(frozen=True)
class _Source:
    """The table of a source, the pictures of its rows by column, and its files with the rows of each."""

    table: pd.DataFrame
    cells: dict[str, Sequence[Cell]]
    files: Sequence[tuple[Path, int]]

    def place(self, row: int, column: str) -> str:
        """Where a picture is."""
        cell = self.cells[column][row]
        if isinstance(cell, Path):
            return str(cell.absolute())
        starts = np.cumsum([0, *(rows for _, rows in self.files)])
        number = int(np.searchsorted(starts, row, side="right")) - 1
        return f"Row {row - starts[number]}, column {column!r} of {self.files[number][0].name}"


class PicturesDataset(AbstractDataset[None, Examples]):
    """Read-only: the pictures of one source as the examples ``raw_beats``, ``float32 [n, c, h, w]``.

    Three kinds of sources, told apart by what lies at the path: a parquet file whose columns hold encoded pictures, or
    a folder of such files, whose names begin with their part; a folder with a folder for each class; a list of files
    (``.lst``, as MXNet has it: index, labels, path, separated by tabs). Pictures are PNG, JPEG or TIFF, grey of 8 or 16
    bits or colour of 8. Values are divided by the largest that their bits can hold, 255 or 65,535, so that they lie in
    [0, 1]; pages of a TIFF become channels.
    """

    def __init__(
        self,
        *,
        filepath: str,
        how_to_get: str,
        pictures: str | Sequence[str] = "image",
        columns: Mapping[str, str] | None = None,
        size: tuple[int, int] | None = None,
        resize: bool = False,
        metadata: dict[str, Any] | None = None,
    ) -> None:
        """Describe where the pictures lie.

        Args:
            filepath: The parquet file or their folder, the folder of folders, or the list. Paths in a list begin
                in its own folder.
            how_to_get: Where they come from; ends the error message when nothing is there.
            pictures: Columns of a parquet file that hold pictures: one for all channels, or one for each. A column
                holds bytes, or Hugging Face's struct of bytes and path.
            columns: What further columns are, by their names: ``target``, ``part``, ``group``, ``time``, or a feature.
                Columns that have such a name already need not be named, and others are left out. Those of a list are
                ``label`` (``label0``, ``label1``, … where there are several). An empty name leaves a
                column out.
            size: Height and width in pixels; None takes that of the first picture.
            resize: Whether pictures of another size are resized (linearly, smoothed where they shrink), or refused.
            metadata: Kept for plugins such as kedro-viz.

        Raises:
            BeatwiseError: If pictures are to be resized to no size.
        """
        if resize and size is None:
            raise BeatwiseError("resize: true needs the size to resize to, size: [height, width], in catalog.yml.")
        self._filepath = Path(filepath)
        self._how_to_get = how_to_get
        self._pictures = [pictures] if isinstance(pictures, str) else list(pictures)
        self._columns = dict(columns or {})
        self._size = None if size is None else (size[0], size[1])
        self._resize = resize
        self.metadata = metadata

    def load(self) -> Examples:
        """Read and decode all pictures.

        Returns:
            The pictures, with ``target`` as the source writes it; ``table.attrs["files"]`` names the source, and
            ``attrs["inputs"]`` the channels where each has a column of its own.

        Raises:
            DatasetError: If there is nothing at the path.
            BeatwiseError: If a picture or a column is missing, or cannot be used; it names the first one.
        """
        source = self._read()
        if source.table.empty:
            raise BeatwiseError(f"There is no picture in {self._filepath.absolute()}. {self._how_to_get}")
        stacks = [self._decoded(source, column) for column in source.cells]
        for column, x in zip(source.cells, stacks, strict=True):
            if x.shape[2:] != stacks[0].shape[2:]:
                (height, width), (first_height, first_width) = x.shape[2:], stacks[0].shape[2:]
                raise BeatwiseError(
                    f"{self._filepath.absolute()}: the pictures of column {column!r} have {height} × {width} pixels "
                    f"(height × width), and those of {next(iter(source.cells))!r} have {first_height} × {first_width}. "
                    f"To resize them: size: [{first_height}, {first_width}], resize: true in catalog.yml."
                )
        x = stacks[0] if len(stacks) == 1 else np.concatenate(stacks, axis=1)
        names = list(source.cells) if all(stack.shape[1] == 1 for stack in stacks) else []
        source.table.attrs = {"files": {"all": [str(self._filepath.absolute())]}, INPUTS: names}
        return Examples(x, source.table)

    def save(self, data: None) -> None:
        """Refuse: a source is never written.

        Raises:
            DatasetError: Always.
        """
        raise DatasetError(f"{type(self).__name__} is read-only: it never writes to a source.")

    def preview(self, nrows: int = 5) -> TablePreview:
        """The first rows without their pictures, for kedro-viz.

        Args:
            nrows: How many.
        """
        return TablePreview(self._read().table.iloc[:nrows].to_dict(orient="split"))

    def _exists(self) -> bool:
        return self._filepath.exists()

    def _describe(self) -> dict[str, Any]:
        return {"filepath": str(self._filepath), "pictures": self._pictures}

    # --- the kinds of sources: their table, and where the picture of each row is, by column

    def _read(self) -> _Source:
        if not self._filepath.exists():
            raise DatasetError(f"There are no pictures at {self._filepath.absolute()}.\n{self._how_to_get}")
        if self._filepath.is_dir():
            files = sorted(self._filepath.glob("*.parquet"))
            return self._from_parquets(files) if files else self._from_folders()
        return self._from_list() if self._filepath.suffix.lower() == LIST else self._from_parquet(self._filepath)

    def _from_parquets(self, files: Sequence[Path]) -> _Source:
        """Several files, as Hugging Face cuts a set: ``train-00000-of-00002.parquet``."""
        read = [self._from_parquet(file) for file in files]
        parts = [next((part for part in PARTS if file.name.startswith(part)), None) for file in files]
        if None not in parts:
            read = [replace(one, table=one.table.assign(**{PART: part})) for part, one in zip(parts, read, strict=True)]
        tables = [one.table for one in read]
        if differ := [file for file, table in zip(files, tables, strict=True) if set(table) != set(tables[0])]:
            raise BeatwiseError(
                f"{differ[0].absolute()} does not have the columns of {files[0].name}. All files need the same."
            )
        cells: dict[str, Sequence[Cell]] = {
            name: [cell for one in read for cell in one.cells[name]] for name in self._pictures
        }
        return _Source(pd.concat(tables, ignore_index=True), cells, [file for one in read for file in one.files])

    def _from_folders(self) -> _Source:
        root = self._filepath
        folders = sorted(path for path in root.iterdir() if path.is_dir() and not path.name.startswith("."))
        by_class = {folder.name: _picture_files(folder) for folder in folders}
        if not by_class:
            found = len(_picture_files(root))
            raise BeatwiseError(
                f"{root.absolute()} has no folder of a class in it"
                + (f"; {found} pictures lie there directly. Move" if found else ". Put")
                + " the pictures of each class into a folder with the name of the class."
            )
        if empty := [name for name, files in by_class.items() if not files]:
            raise BeatwiseError(
                f"{root.absolute()}: no picture ({', '.join(ENDINGS)}) in the folder {listed(empty)}. Put some there, "
                "or remove the folder."
            )
        table = pd.DataFrame({TARGET: [name for name, files in by_class.items() for _ in files]})
        return _Source(table, {"": [file for files in by_class.values() for file in files]}, [])

    def _from_list(self) -> _Source:
        where = self._filepath.absolute()
        text = self._filepath.read_text(encoding="utf-8-sig", errors="replace")
        rows = [(number, line.split("\t")) for number, line in enumerate(text.splitlines(), 1) if line.strip()]
        for number, cells in rows:
            if len(cells) < 3 or len(cells) != len(rows[0][1]):
                expected = "index, label, path" if len(cells) < 3 else f"{len(rows[0][1])} of them, as in the first"
                raise BeatwiseError(
                    f"{where}, line {number}: {len(cells)} column{'s'[: len(cells) > 1]} separated by tabs. Allowed: "
                    f"{expected}."
                )
        paths = [self._filepath.parent / cells[-1].strip() for _, cells in rows]
        if missing := [i for i, path in enumerate(paths) if not path.is_file()]:
            raise BeatwiseError(
                f"{where}, line {rows[missing[0]][0]}: there is no file {paths[missing[0]].absolute()}. {len(missing)} "
                "such lines in all. Paths begin in the folder of the list."
            )
        n_labels = len(rows[0][1]) - 2 if rows else 1
        names = ["label"] if n_labels == 1 else [f"label{i}" for i in range(n_labels)]
        if n_labels > 1 and TARGET not in self._columns.values():
            raise BeatwiseError(
                f"{where} has {n_labels} labels a line. Say which one is the class, by columns: {{label0: {TARGET}}} "
                "in catalog.yml."
            )
        table = pd.DataFrame([cells[1:-1] for _, cells in rows], columns=names)
        for name in names:
            numbers = pd.to_numeric(table[name], errors="coerce")
            # A list writes the index of a class as a decimal number.
            table[name] = numbers if numbers.notna().all() else table[name]
        return _Source(self._named(table, where), {"": paths}, [])

    def _from_parquet(self, path: Path) -> _Source:
        where = path.absolute()
        try:
            with pq.ParquetFile(path) as file:
                schema = file.schema_arrow
                if unknown := [name for name in self._pictures if name not in schema.names]:
                    known = [name for name in schema.names if _holds_bytes(schema.field(name).type)]
                    raise BeatwiseError(
                        f"{where}: {unknown_name('column of pictures', unknown[0], known)} Name them by pictures in "
                        "catalog.yml."
                    )
                if wrong := [name for name in self._pictures if not _holds_bytes(schema.field(name).type)]:
                    raise BeatwiseError(
                        f"{where}: column {wrong[0]!r} holds {schema.field(wrong[0]).type}, and no pictures. Allowed: "
                        "encoded pictures as binary, or a struct {bytes, path}."
                    )
                others = [name for name in schema.names if not _holds_bytes(schema.field(name).type)]
                table = file.read(columns=others, use_pandas_metadata=False).to_pandas()
                cells: dict[str, Sequence[Cell]] = {
                    name: _cells(file.read(columns=[name])[name], path) for name in self._pictures
                }
        except (pa.ArrowException, OSError) as error:
            raise BeatwiseError(
                f"{where} cannot be read as parquet ({error}). Allowed: a parquet file, a folder with a folder for "
                f"each class, or a list ({LIST})."
            ) from error
        names = _label_names(schema.metadata)
        for name in set(names) & set(others):
            table[name] = table[name].map(dict(enumerate(names[name]))).fillna(table[name])
        return _Source(self._named(table, where), cells, [(path, len(table))])

    def _named(self, table: pd.DataFrame, where: Path) -> pd.DataFrame:
        """The columns that are known or named, under our names."""
        for name in self._columns:
            if name not in table.columns:
                known = list(map(str, table.columns))
                raise BeatwiseError(f"{where}: columns: {unknown_name('column', name, known)}")
        named = {
            name: self._columns.get(name, ALIASES.get(name.lower(), name.lower())) for name in map(str, table.columns)
        }
        # What is said goes before what a name suggests.
        open_names = {TARGET, PART, GROUP, TIME} - set(self._columns.values())
        kept = {name: to for name, to in named.items() if to and (name in self._columns or to in open_names)}
        for to in set(kept.values()):
            if len(same := [name for name, other in kept.items() if other == to]) > 1:
                raise BeatwiseError(
                    f"{where}: the columns {listed(same)} would all be {to!r}. Say which one is, by columns in "
                    "catalog.yml."
                )
        if TARGET not in kept.values():
            raise BeatwiseError(
                f"{where}: no column is named {TARGET}, label or class. Say which one is, by columns: "
                f"{{NAME: {TARGET}}} in catalog.yml; there are: {listed(list(table.columns)) or 'none'}."
            )
        return table[list(kept)].rename(columns=kept)

    # --- pictures

    def _decoded(self, source: _Source, column: str) -> Array:
        """All pictures of one column, ``float32 [n, c, h, w]``."""
        cells = source.cells[column]
        x: Array | None = None
        first: tuple[tuple[int, int, int], int] | None = None
        other: list[tuple[int, tuple[tuple[int, int, int], int]]] = []
        for row, cell in enumerate(_shown(cells, column)):
            if cell is None:
                missing = sum(1 for other_cell in cells if other_cell is None)
                raise BeatwiseError(f"{source.place(row, column)} holds no picture. {missing} such rows in all.")
            try:
                picture, bits = decode(cell)
            except BeatwiseError as error:
                raise BeatwiseError(f"{source.place(row, column)}: {error}") from error
            except UNREADABLE as error:
                raise BeatwiseError(
                    f"{source.place(row, column)} cannot be read as a picture ({error}). Allowed: PNG, JPEG and TIFF. "
                    "Fetch it again, or leave it out."
                ) from error
            if self._resize and self._size and picture.shape[1:] != self._size:
                picture = _resized(picture, self._size)
            if x is None or first is None:
                first = (picture.shape[0], *(self._size or picture.shape[1:])), bits
                x = np.empty((len(cells), *first[0]), dtype=np.float32)
            if (picture.shape, bits) != first:
                other.append((row, (picture.shape, bits)))
            elif not other:
                np.divide(picture, 2**bits - 1, out=x[row], dtype=np.float32)
        assert x is not None
        assert first is not None
        if other:
            row, found = other[0]
            wanted = "size in catalog.yml has" if self._size and found[0][1:] != first[0][1:] else "the first one has"
            is_size = found[0][0] == first[0][0] and found[1] == first[1]
            height, width = first[0][1:]
            raise BeatwiseError(
                f"{source.place(row, column)}: {_described(*found)}, and {wanted} {_described(*first)}. "
                f"{len(other)} such pictures in all. "
                + (
                    f"To resize them: size: [{height}, {width}], resize: true in catalog.yml."
                    if is_size
                    else "All pictures need the same channels and bits; convert those that differ."
                )
            )
        return x


def decode(cell: bytes | Path) -> tuple[npt.NDArray[Any], int]:
    """One picture, uint8 or uint16 ``[c, h, w]``, and its bits.

    Args:
        cell: The encoded picture, or its file.

    Raises:
        BeatwiseError: If it is of another depth or kind; other errors where it is damaged.
    """
    with _without_truncated(), Image.open(io.BytesIO(cell) if isinstance(cell, bytes) else cell) as image:
        pages = []
        for page in range(getattr(image, "n_frames", 1)):
            image.seek(page)
            mode = image.mode
            # Pillow keeps 8 of the 16 bits of a colour, and says so nowhere.
            if mode not in (*MODES, *CONVERTED) or (MODES.get(mode) == 8 and ";16" in str(image.tile)):
                kind = f"{mode} of 16 bits" if mode == "RGB" else mode
                raise BeatwiseError(
                    f"a picture of the kind {kind} is not read. Allowed: grey of 8 or 16 bits, RGB of 8 bits, without "
                    "transparency. Convert it; channels of 16 bits go into a column, or a page of a TIFF, each."
                )
            values = np.asarray(image.convert(CONVERTED[mode]) if mode in CONVERTED else image)
            pages.append(values[None] if values.ndim == 2 else values.transpose(2, 0, 1))
    return (pages[0] if len(pages) == 1 else np.concatenate(pages)), MODES[CONVERTED.get(mode, mode)]


@contextmanager
def _without_truncated() -> Iterator[None]:
    """Refuse truncated pictures: WeasyPrint, which writes PDFs, makes Pillow fill them up with black for all."""
    before, ImageFile.LOAD_TRUNCATED_IMAGES = ImageFile.LOAD_TRUNCATED_IMAGES, False
    try:
        yield
    finally:
        ImageFile.LOAD_TRUNCATED_IMAGES = before


def _resized(picture: npt.NDArray[Any], size: tuple[int, int]) -> Array:
    """Channels resized one by one, in float32, so that 16 bits stay what they are."""
    channels = [Image.fromarray(channel.astype(np.float32)) for channel in picture]
    return np.stack([np.asarray(c.resize(size[::-1], Image.Resampling.BILINEAR)) for c in channels])


def _shown(cells: Sequence[Cell], column: str) -> Iterator[Cell]:
    """The cells, with a progress bar where they are many."""
    what = f"Reading pictures of {column}" if column else "Reading pictures"
    yield from track(cells, description=what, transient=True) if len(cells) > 2000 else cells


def _described(shape: tuple[int, int, int], bits: int) -> str:
    channels, height, width = shape
    return f"{height} × {width} pixels (height × width), {channels} channel{'s'[: channels > 1]} of {bits} bits"


def _picture_files(folder: Path) -> list[Path]:
    return sorted(path for path in folder.iterdir() if path.suffix.lower() in ENDINGS and path.is_file())


def _cells(column: pa.ChunkedArray, file: Path) -> list[Cell]:
    """Encoded pictures, or their files, whose paths begin in the folder of the table."""
    cells = column.to_pylist()
    if not pa.types.is_struct(column.type):
        return list(cells)
    found = [cell or {} for cell in cells]
    return [cell.get("bytes") or (file.parent / cell["path"] if cell.get("path") else None) for cell in found]


def _holds_bytes(kind: pa.DataType) -> bool:
    """Whether a column may hold encoded pictures."""
    if pa.types.is_struct(kind):
        return "bytes" in [field.name for field in kind]
    return pa.types.is_binary(kind) or pa.types.is_large_binary(kind)


def _label_names(metadata: Mapping[bytes, bytes] | None) -> dict[str, list[str]]:
    """Names of labels by column, which Hugging Face keeps in the schema."""
    features = json.loads((metadata or {}).get(b"huggingface", b"{}")).get("info", {}).get("features", {})
    return {name: feature["names"] for name, feature in features.items() if "names" in feature}
