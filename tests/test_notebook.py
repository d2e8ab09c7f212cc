from __future__ import annotations

import pytest
from kedro.io import DataCatalog, MemoryDataset
from kedro_datasets.pandas import ParquetDataset

from beatwise.core.errors import BeatwiseError
from beatwise.notebook import require


def test_missing_datasets_are_named_with_the_command_that_creates_them(tmp_path) -> None:
    not_made = ParquetDataset(filepath=str(tmp_path / "beats.parquet"))
    catalog = DataCatalog({"there": MemoryDataset(1), "train_beats": not_made})
    require(catalog, "there")
    with pytest.raises(
        BeatwiseError, match=r"Not there yet: train_beats, search\.trials\. Run `kedro run --pipeline=x`"
    ):
        require(catalog, "there", "train_beats", "search.trials", run="kedro run --pipeline=x")
