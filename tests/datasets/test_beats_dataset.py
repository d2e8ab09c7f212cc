from __future__ import annotations

from collections.abc import Mapping, Sequence
from pathlib import Path

import numpy as np
import pandas as pd
import pytest
from kedro.io import DatasetError
from pandas.testing import assert_frame_equal

from beatwise.core.errors import BeatwiseError
from beatwise.data.examples import PART
from beatwise.datasets.beats import BeatsDataset
from beatwise.ecg.beats import table_of
from tests.tables import make_table

PARQUET = {"train": "train.parquet", "test": "test.parquet"}
CSV = {"train": "train.csv", "test": "test.csv"}


def write(table: pd.DataFrame, *paths: Path) -> None:
    for path in paths:
        if path.suffix == ".csv":
            table.to_csv(path, header=False, index=False)
        else:
            table.to_parquet(path)


def dataset(folder: Path, *layouts: Mapping[str, str | Sequence[str]]) -> BeatsDataset:
    return BeatsDataset(filepath=str(folder), layouts=layouts, how_to_get="Ask the hospital.")


def load(source: BeatsDataset) -> pd.DataFrame:
    """The beats as a table, with the files that they came from."""
    loaded = source.load()
    table = table_of(loaded)
    table.attrs = loaded.table.attrs
    return table


def refusal(source: BeatsDataset) -> str:
    """What Beatwise says when the source cannot be loaded; Kedro passes it on as the cause of its own error."""
    with pytest.raises(DatasetError) as caught:
        source.load()
    assert isinstance(caught.value.__cause__, BeatwiseError)
    return str(caught.value.__cause__)


@pytest.fixture
def beats() -> pd.DataFrame:
    return make_table()


@pytest.fixture
def train(beats: pd.DataFrame) -> pd.DataFrame:
    return beats.iloc[:80]


@pytest.fixture
def held_out(beats: pd.DataFrame) -> pd.DataFrame:
    return beats.iloc[80:].reset_index(drop=True)


def test_a_parquet_pair_becomes_one_table_with_the_part_of_each_row(tmp_path, beats, train, held_out):
    write(train, tmp_path / "train.parquet")
    write(held_out, tmp_path / "test.parquet")
    loaded = load(dataset(tmp_path, PARQUET))
    assert_frame_equal(loaded.drop(columns=PART), beats)
    assert loaded[PART].tolist() == ["train"] * 80 + ["test"] * len(held_out)


@pytest.mark.parametrize("layout", [PARQUET, CSV, {"all": "train.parquet"}])
def test_a_preview_is_the_first_rows(tmp_path, beats, train, held_out, layout):
    for suffix in ("parquet", "csv"):
        write(train.assign(part="val") if "all" in layout else train, tmp_path / f"train.{suffix}")
        write(held_out, tmp_path / f"test.{suffix}")
    source = dataset(tmp_path, layout)
    shown = source.preview(nrows=3)
    assert shown == load(source).head(3).to_dict(orient="split")
    assert len(shown["data"]) == 3


def test_a_preview_of_beats_that_are_not_there_says_where_to_get_them(tmp_path):
    with pytest.raises(DatasetError, match=r"no beats in.*\n.*\n.*\nAsk the hospital"):
        dataset(tmp_path, PARQUET, CSV).preview()


def test_a_csv_pair_without_headers_gives_the_table_of_the_parquet_pair(tmp_path, train, held_out):
    for suffix in ("parquet", "csv"):
        write(train, tmp_path / f"train.{suffix}")
        write(held_out, tmp_path / f"test.{suffix}")
    of_csv, of_parquet = load(dataset(tmp_path, CSV)), load(dataset(tmp_path, PARQUET))
    assert_frame_equal(of_csv, of_parquet, check_dtype=False, rtol=1e-6)
    assert of_csv.columns.tolist() == of_parquet.columns.tolist()


def test_columns_in_another_order_are_matched_by_name(tmp_path, beats, train, held_out):
    write(train, tmp_path / "train.parquet")
    write(held_out[held_out.columns[::-1]], tmp_path / "test.parquet")
    assert_frame_equal(load(dataset(tmp_path, PARQUET)).drop(columns=PART), beats)


def test_the_first_layout_that_is_there_in_full_is_read(tmp_path, train, held_out):
    write(train, tmp_path / "train.parquet", tmp_path / "train.csv")
    write(held_out, tmp_path / "test.csv", tmp_path / "late.parquet")
    source = dataset(tmp_path, PARQUET, CSV, {"train": "late.parquet"})
    assert source.exists()
    assert load(source).attrs["files"]["train"] == [str(tmp_path / "train.csv")]


def test_the_first_of_two_layouts_that_are_both_there_is_read(tmp_path, train, held_out):
    write(train, tmp_path / "train.parquet", tmp_path / "train.csv")
    write(held_out, tmp_path / "test.parquet", tmp_path / "test.csv")
    assert load(dataset(tmp_path, CSV, PARQUET)).attrs["files"]["test"] == [str(tmp_path / "test.csv")]


def test_the_layout_all_keeps_the_parts_that_the_file_names(tmp_path, beats):
    parts = np.resize(["train", "val", "test"], len(beats))
    write(beats.assign(part=parts), tmp_path / "beats.parquet")
    loaded = load(dataset(tmp_path, {"all": "beats.parquet"}))
    assert loaded[PART].tolist() == parts.tolist()
    assert loaded.attrs["files"] == {"all": [str(tmp_path / "beats.parquet")]}


def test_several_files_of_a_part_are_read_one_after_the_other(tmp_path, beats, train, held_out):
    write(train, tmp_path / "ptbdb_normal.csv")
    write(held_out, tmp_path / "ptbdb_abnormal.csv")
    loaded = load(dataset(tmp_path, {"train": ["ptbdb_normal.csv", "ptbdb_abnormal.csv"]}))
    assert loaded["target"].tolist() == beats["target"].tolist()
    assert set(loaded[PART]) == {"train"}
    assert loaded.index.tolist() == list(range(len(beats)))


def test_the_table_names_the_files_of_each_part_in_full(tmp_path, monkeypatch, train, held_out):
    monkeypatch.chdir(tmp_path)
    for name in ("a.parquet", "b.parquet"):
        write(train, tmp_path / name)
    write(held_out, tmp_path / "c.parquet")
    loaded = load(dataset(Path(), {"train": ["a.parquet", "b.parquet"], "test": "c.parquet"}))
    assert loaded.attrs == {
        "files": {
            "train": [str(tmp_path / "a.parquet"), str(tmp_path / "b.parquet")],
            "test": [str(tmp_path / "c.parquet")],
        }
    }


@pytest.mark.parametrize("there", [[], ["train.parquet"], ["test.csv"]])
def test_where_no_layout_is_complete_one_message_lists_all_of_them(tmp_path, train, there):
    write(train, *(tmp_path / name for name in there))
    source = dataset(tmp_path, PARQUET, CSV)
    assert not source.exists()
    with pytest.raises(DatasetError) as caught:
        source.load()
    message = str(caught.value)
    assert message.splitlines() == [
        f"There are no beats in {tmp_path}. Looked for, in this order:",
        "  train.parquet + test.parquet",
        "  train.csv + test.csv",
        "Ask the hospital.",
    ]


def test_a_folder_in_the_place_of_a_file_does_not_count_as_one(tmp_path):
    (tmp_path / "train.parquet").mkdir()
    with pytest.raises(DatasetError, match="There are no beats in"):
        load(dataset(tmp_path, {"train": "train.parquet"}))


@pytest.mark.parametrize(
    "content", [b"", b"not a table", b"PAR1" + bytes(500) + b"PAR1"], ids=["empty", "text", "fake"]
)
def test_a_file_that_is_not_parquet_is_named(tmp_path, train, content):
    write(train, tmp_path / "train.parquet")
    (tmp_path / "test.parquet").write_bytes(content)
    message = refusal(dataset(tmp_path, PARQUET))
    assert message.startswith(f"{tmp_path / 'test.parquet'} cannot be read as parquet (")
    assert message.endswith("It may be truncated or of another format: fetch it again.")


@pytest.mark.parametrize("share", [0.02, 0.5, 0.99])
def test_a_truncated_parquet_file_is_named(tmp_path, train, share):
    path = tmp_path / "train.parquet"
    write(train, path)
    whole = path.read_bytes()
    path.write_bytes(whole[: int(share * len(whole))])
    message = refusal(dataset(tmp_path, {"train": "train.parquet"}))
    assert message.startswith(f"{path} cannot be read as parquet (")
    assert "truncated" in message


@pytest.mark.parametrize(
    "content",
    [b"", b"0.1,0.2,0\n0.1,0.2,0.3,0.4,0\n", b"0.1,0.2\xff\xfe,0\n"],
    ids=["empty", "ragged", "not UTF-8"],
)
def test_a_file_that_is_not_csv_is_named(tmp_path, content):
    (tmp_path / "train.csv").write_bytes(content)
    message = refusal(dataset(tmp_path, {"train": "train.csv"}))
    assert message.startswith(f"{tmp_path / 'train.csv'} cannot be read as CSV (")


@pytest.mark.parametrize(
    ("change", "differ"),
    [
        (lambda table: table.drop(columns="7"), "7"),
        (lambda table: table.assign(ward=1), "ward"),
        (lambda table: table.rename(columns={"7": "seven"}), "7, seven"),
    ],
    ids=["missing", "extra", "renamed"],
)
def test_files_with_different_columns_are_refused_with_both_names_and_the_columns(
    tmp_path, train, held_out, change, differ
):
    write(train, tmp_path / "train.parquet")
    write(change(held_out), tmp_path / "test.parquet")
    assert refusal(dataset(tmp_path, PARQUET)) == (
        f"{tmp_path / 'test.parquet'} does not have the columns of {tmp_path / 'train.parquet'}; they differ in: "
        f"{differ}. All files of a source need the same columns."
    )


def test_saving_is_refused_and_the_files_stay_as_they_are(tmp_path, train):
    path = tmp_path / "train.parquet"
    write(train, path)
    before = path.read_bytes()
    with pytest.raises(DatasetError, match="BeatsDataset is read-only"):
        dataset(tmp_path, {"train": "train.parquet"}).save(train)
    assert path.read_bytes() == before
    assert [file.name for file in tmp_path.iterdir()] == ["train.parquet"]
