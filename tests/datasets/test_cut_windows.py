"""Windows of cut records become a source: one database train and another test, or the rows that provenance names."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pandas as pd
import pytest
from kedro.io import DatasetError

from beatwise.data.examples import INPUTS, Examples
from beatwise.datasets.cut_windows import CutWindowsDataset
from beatwise.datasets.examples import ExamplesDataset


def stored(path: Path, n: int, record: str, length: int = 4) -> str:
    x = np.random.default_rng(n).random((n, 2, length), dtype=np.float32)
    table = pd.DataFrame({"target": 0, "record": record, "sample": np.arange(n) * 10, "log_rr_before": 0.5})
    table.attrs[INPUTS] = ["lead 1", "lead 2"]
    ExamplesDataset(filepath=str(path)).save(Examples(x, table))
    return str(path)


def test_files_are_parts_and_rows_of_a_table_are_taken_in_their_order(tmp_path: Path) -> None:
    one, other = stored(tmp_path / "one.parquet", 5, "100"), stored(tmp_path / "other.parquet", 3, "800")
    both = CutWindowsDataset(files={"train": [one], "test": other}, how_to_get="Cut them.").load()
    assert both.table["part"].tolist() == ["train"] * 5 + ["test"] * 3
    assert both.table["record"].tolist() == ["100"] * 5 + ["800"] * 3
    assert both.channel_names(2) == ["lead 1", "lead 2"]

    rows = tmp_path / "rows.parquet"
    wanted = pd.DataFrame({"part": ["test", "train", "train"], "record": "100", "sample": [30, 0, 40]})
    wanted.to_parquet(rows)
    taken = CutWindowsDataset(files={"all": one}, rows=str(rows), how_to_get="Cut them.").load()
    whole = ExamplesDataset(filepath=one).load()
    np.testing.assert_array_equal(taken.x, whole.x[[3, 0, 4]])
    assert taken.table[["part", "sample"]].to_dict("list") == wanted[["part", "sample"]].to_dict("list")

    wanted.assign(sample=[30, 0, 41]).to_parquet(rows)
    with pytest.raises(DatasetError, match=r"1 of 3 rows of .* have no window \(the first: record 100, sample 41\)"):
        CutWindowsDataset(files={"all": one}, rows=str(rows), how_to_get="Cut them.").load()
    short = stored(tmp_path / "short.parquet", 2, "900", length=3)
    with pytest.raises(DatasetError, match=r"(?s)short\.parquet holds windows \[2, 3\].*one\.parquet \[2, 4\]"):
        CutWindowsDataset(files={"train": one, "test": short}, how_to_get="Cut them.").load()
    absent = CutWindowsDataset(files={"train": str(tmp_path / "no.parquet")}, how_to_get="Cut them.")
    assert not absent.exists()
    with pytest.raises(DatasetError, match=r"no\.parquet is missing\. Cut them\."):
        absent.load()
