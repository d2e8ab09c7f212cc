"""Two runs of one source at once: each loads what it has made itself."""

from __future__ import annotations

import os
import socket
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
import pytest
from kedro.io import AbstractDataset, DataCatalog, MemoryDataset
from kedro.io.core import Version

from beatwise.data.examples import Examples
from beatwise.datasets.examples import ExamplesDataset
from beatwise.datasets.figures import FiguresDataset
from beatwise.datasets.whole import WholeJSONDataset, WholeParquetDataset
from beatwise.hooks import OwnFilesHooks


class Run:
    """One run of a source whose data lie in a folder."""

    def __init__(self, folder: Path, version: str) -> None:
        def path(name: str) -> str:
            return str(folder / "data/05_model_input/test" / name)

        datasets: dict[str, AbstractDataset[Any, Any]] = {
            "params:source": MemoryDataset("test"),
            "model": WholeJSONDataset(filepath=path("model.json"), version=Version(None, version)),
            "config": WholeJSONDataset(filepath=path("config.json")),
            "table": WholeParquetDataset(filepath=path("table.parquet")),
            "beats": ExamplesDataset(filepath=path("beats.parquet")),
            "figures": FiguresDataset(filepath=path("figures")),
        }
        self.catalog, self.hooks = DataCatalog(datasets), OwnFilesHooks()
        self.hooks.before_pipeline_run({"project_path": str(folder)}, self.catalog)

    def save(self, **data: Any) -> None:
        for name, value in data.items():
            self.hooks.before_dataset_saved(name)
            self.catalog.save(name, value)
            self.hooks.after_dataset_saved(name)

    def save_all(self, number: int) -> None:
        beats = Examples(np.full((2, 3), number, dtype=np.float32), pd.DataFrame({"target": [number, 0]}))
        table = pd.DataFrame({"number": [number]})
        self.save(model=number, config=number, table=table, beats=beats, figures={"one": str(number)})

    def loaded(self) -> list[Any]:
        model, config, table, beats, figures = (
            self.catalog.load(name) for name in self.catalog if name[:6] != "params"
        )
        return [model, config, table["number"].item(), beats.x[0, 0], figures["one"]]


@pytest.mark.parametrize("by", ["link", "copy"])
def test_each_of_two_runs_loads_its_own_and_the_catalog_has_the_last(
    by: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, recwarn: pytest.WarningsRecorder
) -> None:
    if by == "copy":
        monkeypatch.setattr(os, "link", lambda *_: (_ for _ in ()).throw(OSError("no links here")))
    long, short = Run(tmp_path, "2026-01-01T10.00.00.000Z"), Run(tmp_path, "2026-01-01T11.00.00.000Z")
    long.save(config=0)
    short.save_all(2)
    long.save_all(1)
    assert long.loaded() == [1, 1, 1, 1, "1"]
    assert short.loaded() == [2, 2, 2, 2, "2"]
    short.hooks.on_pipeline_error(OSError("disk full"))
    assert long.loaded() == [1, 1, 1, 1, "1"]
    long.hooks.after_pipeline_run()
    # Of a versioned dataset, the newest; of others, what was saved last.
    later = Run(tmp_path, "2026-01-01T12.00.00.000Z")
    assert later.loaded() == [2, 1, 1, 1, "1"]
    later.hooks.after_pipeline_run()
    left = {path.name for path in (tmp_path / "data/05_model_input/test").iterdir()}
    assert left == {"model.json", "config.json", "table.parquet", "beats.parquet", "figures"}
    assert [path.name for path in (tmp_path / "data/09_tracking/runs").iterdir()] == ["publish.lock"]
    assert not [str(warning.message) for warning in recwarn if "version" in str(warning.message)]


def test_a_run_clears_up_after_killed_ones_and_leaves_the_files_of_those_that_live(tmp_path: Path) -> None:
    living, dead = os.getppid(), 2**22 + 1
    host = socket.gethostname()
    folders = {
        name: tmp_path / "data" / name
        for name in (
            f"06_models/test/checkpoints/.a.safetensors-{host}-{dead}-abcd_123",
            f"06_models/test/checkpoints/.a.safetensors-{host}-{living}-abcd_123",
            f"06_models/test/checkpoints/.a.safetensors-elsewhere-{dead}-abcd_123",
            f"06_models/test/.repetition-{host}-{dead}-abcd_123",
            f"06_models/other/.a-{host}-{dead}-abcd_123",
            f"09_tracking/runs/.run-{host}-{dead}-abcd_123",
            "06_models/test/.kept",
        )
    }
    for folder in folders.values():
        folder.mkdir(parents=True)
        (folder / "file").write_text("")
    run = Run(tmp_path, "2026-01-01T10.00.00.000Z")
    run.hooks.after_pipeline_run()
    assert [folder.exists() for folder in folders.values()] == [False, True, True, False, True, False, True]
