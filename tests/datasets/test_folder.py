from __future__ import annotations

from pathlib import Path

import pytest
import torch
from kedro.io import DataCatalog, DatasetError, MemoryDataset
from kedro.pipeline import Node, Pipeline
from kedro.runner import SequentialRunner

from beatwise.comparison.rows import FinishedRows
from beatwise.datasets.folder import FolderDataset
from beatwise.training.checkpoint import Checkpoints

STORES = {
    "beatwise.training.checkpoint.Checkpoints": Checkpoints,
    "beatwise.comparison.rows.FinishedRows": FinishedRows,
}


@pytest.mark.parametrize(("store", "kind"), STORES.items())
def test_what_is_loaded_is_the_folder_as_its_store(tmp_path, store, kind):
    loaded = FolderDataset(filepath=str(tmp_path / "folder"), store=store).load()
    assert type(loaded) is kind
    assert loaded.folder == tmp_path / "folder"


@pytest.mark.parametrize("store", STORES)
def test_a_folder_that_is_not_there_yet_can_be_loaded_and_is_not_made(tmp_path, store):
    dataset = FolderDataset(filepath=str(tmp_path / "folder"), store=store)
    assert dataset.exists()
    assert dataset.load().load("key") is None
    assert not (tmp_path / "folder").exists()


def test_the_path_is_absolute_whatever_the_working_directory_becomes(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    dataset = FolderDataset(filepath="data/checkpoints", store="beatwise.training.checkpoint.Checkpoints")
    (tmp_path / "elsewhere").mkdir()
    monkeypatch.chdir(tmp_path / "elsewhere")
    assert dataset.load().folder == tmp_path / "data/checkpoints"


def test_the_catalog_does_not_save_to_it(tmp_path):
    dataset = FolderDataset(filepath=str(tmp_path / "folder"), store="beatwise.training.checkpoint.Checkpoints")
    with pytest.raises(DatasetError, match=r"folder is written by key while a node runs"):
        dataset.save(1)  # type: ignore[arg-type]
    assert not list(tmp_path.iterdir())


def test_an_unknown_store_is_an_error_of_the_dataset(tmp_path):
    with pytest.raises(DatasetError, match="NoSuchStore"):
        FolderDataset(filepath=str(tmp_path), store="beatwise.training.checkpoint.NoSuchStore").load()


def test_a_node_reads_and_writes_by_key_while_it_runs(tmp_path):
    def node(checkpoints: Checkpoints) -> bool:
        known = checkpoints.load("key") is not None
        checkpoints.save("key", {"x": torch.ones(2)})
        return known

    def run() -> object:
        dataset = FolderDataset(
            filepath=str(tmp_path / "folder"),
            store="beatwise.training.checkpoint.Checkpoints",
            metadata={"kedro-viz": {"layer": "x"}},
        )
        assert dataset.metadata == {"kedro-viz": {"layer": "x"}}
        catalog = DataCatalog({"checkpoints": dataset, "known": MemoryDataset()})
        return SequentialRunner().run(Pipeline([Node(node, "checkpoints", "known")]), catalog)["known"].load()

    assert run() is False
    assert run() is True
    assert [path.name for path in Path(tmp_path / "folder").iterdir()] == ["key.safetensors"]
