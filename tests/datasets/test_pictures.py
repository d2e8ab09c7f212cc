"""Pictures of a source: what is read from parquet, folders and lists, and what is refused."""

from __future__ import annotations

import io
import json
import shutil
import struct
import zlib
from collections.abc import Callable
from itertools import islice
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
import pyarrow as pa
import pyarrow.parquet as pq
import pytest
from kedro.io import DatasetError
from PIL import Image, ImageFile

from beatwise.core.errors import BeatwiseError, in_own_words
from beatwise.data.contracts import PicturesContract
from beatwise.data.examples import Examples
from beatwise.data.resampling import resample_examples
from beatwise.datasets.pictures import PicturesDataset, decode
from tools.synthetic_cells import CHANNELS, draw_cells
from tools.synthetic_cells import encoded as encoded_channel

RNG = np.random.default_rng(0)
GREY8 = RNG.integers(0, 256, (6, 5, 4), dtype=np.uint8)
GREY16 = RNG.integers(0, 65_536, (6, 5, 4), dtype=np.uint16)
COLOUR = RNG.integers(0, 256, (6, 5, 4, 3), dtype=np.uint8)
PHASES = ["G1", "S", "Prophase", "G1", "G2", "Prophase"]
CONTRACT = PicturesContract(
    classes=["Interphase", "Prophase"], labels={"G1": "Interphase", "S": "Interphase", "G2": "Interphase"}
)


def encoded(values: np.ndarray, kind: str = "PNG", **options: Any) -> bytes:
    file = io.BytesIO()
    Image.fromarray(values).save(file, format=kind, **options)
    return file.getvalue()


def source(path: Path, **options: Any) -> PicturesDataset:
    return PicturesDataset(filepath=str(path), how_to_get="Fetch them.", **options)


def in_columns(folder: Path, **changes: Any) -> Path:
    """A parquet file with the channels a (8 bits) and b (16 bits), a phase, a donor and an age."""
    table = {
        "a": [encoded(x) for x in GREY8],
        "b": [encoded(x, "TIFF") for x in GREY16],
        "phase": PHASES,
        "Donor": [1, 1, 2, 2, 3, 3],
        "age": [20.0, 30, 40, 50, 60, 70],
        "note": ["x"] * 6,
    }
    path = folder / "cells.parquet"
    pd.DataFrame(table | changes).to_parquet(path)
    return path


COLUMNS = {"phase": "target", "Donor": "group", "age": "age"}


def test_one_column_a_channel_is_scaled_by_the_bits_of_each(tmp_path: Path) -> None:
    # What is said of the phase goes before what a name suggests.
    path = in_columns(tmp_path, label=["?"] * 6)
    made = CONTRACT.validate(source(path, pictures=["b", "a"], columns=COLUMNS).load())
    assert made.x.shape == (6, 2, 5, 4)
    assert made.x.dtype == np.float32
    np.testing.assert_allclose(made.x[:, 0], GREY16 / 65_535, rtol=1e-6)
    np.testing.assert_allclose(made.x[:, 1], GREY8 / 255, rtol=1e-6)
    assert made.target.tolist() == [0, 0, 1, 0, 0, 1]
    assert list(made.table.columns) == ["target", "group", "age"]
    assert made.feature_names == ["age"]
    assert made.channel_names(2) == ["b", "a"]


def test_hugging_faces_structs_and_names_of_labels_are_read(tmp_path: Path) -> None:
    (tmp_path / "5.png").write_bytes(encoded(COLOUR[5]))
    cells = [{"bytes": encoded(x), "path": None} for x in COLOUR[:5]] + [{"bytes": None, "path": "5.png"}]
    info = {"info": {"features": {"label": {"names": ["G1", "G2", "S", "Prophase"], "_type": "ClassLabel"}}}}
    table = pa.table({"image": cells, "label": [0, 2, 3, 0, 1, 3]})
    pq.write_table(table.replace_schema_metadata({"huggingface": json.dumps(info)}), tmp_path / "set.parquet")
    made = CONTRACT.validate(source(tmp_path / "set.parquet").load())
    np.testing.assert_allclose(made.x, COLOUR.transpose(0, 3, 1, 2) / 255, rtol=1e-6)
    assert made.target.tolist() == [0, 0, 1, 0, 0, 1]


def test_files_of_a_folder_are_the_parts_that_their_names_begin_with(tmp_path: Path) -> None:
    for number, name in enumerate(["test-0.parquet", "train-0-of-2.parquet", "train-1-of-2.parquet"]):
        rows = [2 * number, 2 * number + 1]
        cells = [{"bytes": encoded(GREY8[row]), "path": "x"} for row in rows]
        pq.write_table(pa.table({"image": cells, "label": [PHASES[row] for row in rows]}), tmp_path / name)
    made = source(tmp_path).load()
    np.testing.assert_allclose(made.x[:, 0], GREY8 / 255, rtol=1e-6)
    assert made.table["part"].tolist() == ["test"] * 2 + ["train"] * 4


def in_folders(folder: Path) -> Path:
    root = folder / "cells"
    for number, phase in enumerate(PHASES):
        (root / phase).mkdir(parents=True, exist_ok=True)
        (root / phase / f"{number}.PNG").write_bytes(encoded(GREY16[number]))
        (root / phase / "notes.txt").touch()
    (root / ".hidden").mkdir()
    return root


def test_a_folder_for_each_class_is_read_in_the_order_of_names(tmp_path: Path) -> None:
    made = CONTRACT.validate(source(in_folders(tmp_path)).load())
    np.testing.assert_allclose(made.x[:, 0], GREY16[[0, 3, 4, 2, 5, 1]] / 65_535, rtol=1e-6)
    assert made.target.tolist() == [0, 0, 0, 1, 1, 0]


def in_list(folder: Path, *lines: str) -> Path:
    root = in_folders(folder)
    numbered = enumerate(zip(PHASES, [0, 0, 1, 0, 0, 1], strict=True))
    rows = [f"{i}\t{index}.000000\t{30 + i}\t{phase}/{i}.PNG" for i, (phase, index) in numbered]
    (root / "all.lst").write_text("\n".join(lines or rows))
    return root / "all.lst"


def test_a_list_gives_labels_by_index_and_more_than_one(tmp_path: Path) -> None:
    made = source(in_list(tmp_path), columns={"label0": "target", "label1": "age"}).load()
    made = PicturesContract(classes=["Interphase", "Prophase"], labels={}).validate(made)
    np.testing.assert_allclose(made.x[:, 0], GREY16 / 65_535, rtol=1e-6)
    assert made.target.tolist() == [0, 0, 1, 0, 0, 1]
    assert made.features["age"].tolist() == [30, 31, 32, 33, 34, 35]


def test_pages_of_a_tiff_are_channels_and_other_sizes_are_resized(tmp_path: Path) -> None:
    pages = [Image.fromarray(x) for x in GREY16[:3]]
    file = io.BytesIO()
    pages[0].save(file, format="TIFF", save_all=True, append_images=pages[1:])
    path = in_columns(tmp_path, a=[file.getvalue()] * 6)
    made = source(path, pictures="a", columns=COLUMNS).load()
    np.testing.assert_allclose(made.x[0], GREY16[:3] / 65_535, rtol=1e-6)
    # Halves of a step stay steps of 16 bits, and a mean stays what it is.
    path = in_columns(tmp_path, b=[encoded(np.kron(x, np.ones((2, 2), np.uint16))) for x in GREY16])
    made = source(path, pictures=["b", "a"], columns=COLUMNS, size=(5, 4), resize=True).load()
    assert made.shape == (2, 5, 4)
    np.testing.assert_allclose(made.x[:, 0].mean(axis=(1, 2)), (GREY16 / 65_535).mean(axis=(1, 2)), rtol=0.1)
    np.testing.assert_allclose(made.x[:, 1], GREY8 / 255, rtol=1e-6)


def changed(index: int, value: Any, column: str = "a") -> Callable[[Path], PicturesDataset]:
    def make(folder: Path) -> PicturesDataset:
        cells = [encoded(x) for x in GREY8]
        cells[index] = value
        return source(in_columns(folder, **{column: cells}), pictures=[column], columns=COLUMNS)

    return make


def in_two_files(folder: Path) -> PicturesDataset:
    for name, cell in (("a", encoded(GREY8[0])), ("b", b"none")):
        pq.write_table(pa.table({"image": [cell], "label": ["S"]}), folder / f"{name}.parquet")
    return source(folder)


def without_rows(path: Path) -> Path:
    pq.write_table(pq.read_table(path).slice(0, 0), path)
    return path


def in_folders_but(change: Callable[[Path], object]) -> Callable[[Path], PicturesDataset]:
    def make(folder: Path) -> PicturesDataset:
        change(root := in_folders(folder))
        return source(root)

    return make


def emptied(folder: Path) -> None:
    for file in folder.iterdir():
        file.unlink()


def without_folders(root: Path) -> None:
    for folder in [folder for folder in root.iterdir() if folder.is_dir()]:
        for file in folder.iterdir():
            file.rename(root / file.name)
        folder.rmdir()


def coloured(bits: int) -> bytes:
    """A PNG of colour whose header says 16 bits, which Pillow opens as 8."""

    def chunk(kind: bytes, data: bytes) -> bytes:
        return struct.pack(">I", len(data)) + kind + data + struct.pack(">I", zlib.crc32(kind + data))

    header = struct.pack(">IIBBBBB", 4, 5, bits, 2, 0, 0, 0)
    rows = zlib.compress((b"\0" + bytes(4 * 3 * bits // 8)) * 5)
    return b"\x89PNG\r\n\x1a\n" + chunk(b"IHDR", header) + chunk(b"IDAT", rows) + chunk(b"IEND", b"")


BROKEN: dict[str, tuple[Callable[[Path], PicturesDataset], str]] = {
    "nothing there": (lambda folder: source(folder / "no.parquet"), "There are no pictures at {}/no.parquet.\nFetch"),
    "no row": (
        lambda folder: source(without_rows(in_columns(folder)), pictures="a", columns=COLUMNS),
        "There is no picture in {}/cells.parquet. Fetch them.",
    ),
    "no parquet": (
        lambda folder: source(folder / "x.txt") if (folder / "x.txt").write_text("a") else source(folder),
        "{}/x.txt cannot be read as parquet",
    ),
    "an unreadable picture": (changed(3, encoded(GREY8[0])[:60]), "Row 3, column 'a' of cells.parquet cannot be read"),
    "an unreadable picture of the second file": (
        in_two_files,
        "Row 0, column 'image' of b.parquet cannot be read as a picture",
    ),
    "no picture": (changed(2, None), "Row 2, column 'a' of cells.parquet holds no picture. 1 such rows in all."),
    "text": (changed(4, b"none"), "Row 4, column 'a' of cells.parquet cannot be read as a picture"),
    "another size": (
        changed(1, encoded(GREY8[0][:4])),
        "Row 1, column 'a' of cells.parquet: 4 × 4 pixels (height × width), 1 channel of 8 bits, and the first one has "
        "5 × 4 pixels (height × width), 1 channel of 8 bits. 1 such pictures in all. To resize them: size: [5, 4],",
    ),
    "another size of a channel": (
        lambda folder: source(
            in_columns(folder, b=[encoded(x[:3]) for x in GREY16]), pictures=["a", "b"], columns=COLUMNS
        ),
        "the pictures of column 'b' have 3 × 4 pixels (height × width), and those of 'a' have 5 × 4. To resize them",
    ),
    "other channels": (changed(5, encoded(COLOUR[0])), "3 channels of 8 bits, and the first one has 5 × 4"),
    "other bits": (changed(5, encoded(GREY16[0])), "1 channel of 16 bits, and the first one has 5 × 4"),
    "transparency": (changed(0, encoded(np.zeros((5, 4, 4), np.uint8))), "a picture of the kind RGBA is not read"),
    "colour of 16 bits": (changed(0, coloured(16)), "a picture of the kind RGB of 16 bits is not read"),
    "numbers that are no intensities": (
        changed(0, encoded(np.zeros((5, 4), np.float32), "TIFF")),
        "Row 0, column 'a' of cells.parquet: a picture of the kind F is not read. Allowed: grey of 8 or 16 bits",
    ),
    "a column that is not there": (
        lambda folder: source(in_columns(folder), pictures=["a", "c"], columns=COLUMNS),
        "Unknown column of pictures 'c'. Known: a, b. Name them by pictures in catalog.yml.",
    ),
    "a column of words": (
        lambda folder: source(in_columns(folder), pictures="note", columns=COLUMNS),
        "column 'note' holds large_string, and no pictures. Allowed: encoded pictures as binary",
    ),
    "no label": (
        lambda folder: source(in_columns(folder), pictures="a"),
        "no column is named target, label or class. Say which one is, by columns: {NAME: target} in catalog.yml",
    ),
    "a mistyped column": (
        lambda folder: source(in_columns(folder), pictures="a", columns={"phas": "target"}),
        "columns: Unknown column 'phas'. Did you mean 'phase'?",
    ),
    "an unknown label": (
        lambda folder: source(in_columns(folder, phase=["G1", "M"] * 3), pictures="a", columns=COLUMNS),
        "column 'target' is no label: M. 3 such rows in all. Allowed: Interphase, Prophase, G1 = Interphase, S = "
        "Interphase, G2 = Interphase. Other labels are named by pictures_labels in globals.yml: {M: Interphase, …}.",
    ),
    "a class without a folder": (
        in_folders_but(lambda root: shutil.rmtree(root / "Prophase")),
        "No picture of class Prophase among 4 rows. ({}/cells) Add some, or remove the class",
    ),
    "an empty folder": (
        in_folders_but(lambda root: emptied(root / "S")),
        "{}/cells: no picture (.png, .jpg, .jpeg, .tif, .tiff) in the folder 'S'. Put some there, or remove",
    ),
    "a damaged file": (
        in_folders_but(lambda root: (root / "S/1.PNG").write_bytes(b"")),
        "{}/cells/S/1.PNG cannot be read as a picture",
    ),
    "no folder of a class": (
        in_folders_but(without_folders),
        "{}/cells has no folder of a class in it; 6 pictures lie there directly. Move the pictures of each class into",
    ),
    "a missing file": (
        lambda folder: source(in_list(folder, "0\t0\tG1/0.PNG", "", "1\t1\tS/9.PNG")),
        "{}/cells/all.lst, line 3: there is no file {}/cells/S/9.PNG. 1 such lines in all.",
    ),
    "commas": (
        lambda folder: source(in_list(folder, "0,0,G1/0.PNG")),
        "{}/cells/all.lst, line 1: 1 column separated by tabs. Allowed: index, label, path.",
    ),
    "two labels": (
        lambda folder: source(in_list(folder)),
        "{}/cells/all.lst has 2 labels a line. Say which one is the class, by columns: {label0: target}",
    ),
    "an empty list": (lambda folder: source(in_list(folder, " ")), "There is no picture in {}/cells/all.lst. Fetch"),
}


@pytest.mark.parametrize("case", BROKEN)
def test_what_cannot_be_read_is_refused_with_its_place(case: str, tmp_path: Path, monkeypatch) -> None:
    # As WeasyPrint leaves it, which writes the PDF of an earlier run.
    monkeypatch.setattr(ImageFile, "LOAD_TRUNCATED_IMAGES", True)
    make, message = BROKEN[case]
    with pytest.raises((BeatwiseError, DatasetError)) as caught:
        CONTRACT.validate(make(tmp_path).load())
    said = in_own_words(caught.value) or str(caught.value)
    assert message.replace("{}", str(tmp_path)) in said
    assert "Traceback" not in said


def test_pictures_are_oversampled_by_copies_and_not_interpolated(tmp_path: Path) -> None:
    pictures = CONTRACT.validate(source(in_columns(tmp_path), pictures=["a", "b"], columns=COLUMNS).load())
    made = resample_examples(pictures, "full_oversampling", {"majority_share": 1.0}, ["Interphase", "Prophase"], 0)
    assert np.bincount(made.target).tolist() == [4, 4]
    assert set(Examples(made.x, made.table).keys()) <= set(pictures.keys())
    for use in ("smote", "borderline_smote", "adasyn", "smote_enn", "smote_tomek", "graft"):
        with pytest.raises(BeatwiseError, match=r"have the shape \[2, 5, 4\]\. Use one that repeats or leaves out"):
            resample_examples(pictures, use, {}, ["Interphase", "Prophase"], 0)


def test_the_bundled_cells_are_small_and_what_their_generator_draws() -> None:
    bundled = Path("data/01_raw/cells_demo/cells.parquet")
    assert bundled.stat().st_size < 300_000
    assert "SYNTHETIC" in str(pq.read_schema(bundled).metadata)
    there = source(bundled, pictures=list(CHANNELS), columns={"phase": "target"}).load()
    for row, (phase, channels) in enumerate(islice(draw_cells(), 20)):
        assert there.table["target"].iloc[row] == phase
        for drawn, stored in zip(channels, there.x[row], strict=True):
            values, bits = decode(encoded_channel(drawn))
            np.testing.assert_allclose(values[0] / (2**bits - 1), stored, rtol=1e-6)
