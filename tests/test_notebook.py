from __future__ import annotations

import json
from typing import Any

import pytest
from kedro.io import DataCatalog, MemoryDataset
from kedro_datasets.pandas import ParquetDataset

from beatwise.core.errors import BeatwiseError
from beatwise.notebook import main, require


def test_what_is_missing_is_named_with_the_command_that_makes_it(tmp_path) -> None:
    not_made = ParquetDataset(filepath=str(tmp_path / "beats.parquet"))
    catalog = DataCatalog({"there": MemoryDataset(1), "train_beats": not_made})
    require(catalog, "there")
    with pytest.raises(
        BeatwiseError, match=r"Not there yet: train_beats, search\.trials\. Run `kedro run --pipeline=x`"
    ):
        require(catalog, "there", "train_beats", "search.trials", run="kedro run --pipeline=x")


def executed() -> dict[str, Any]:
    output = {"output_type": "stream", "name": "stdout", "text": ["4\n"]}
    code = {
        "cell_type": "code",
        "id": "b",
        "execution_count": 3,
        "metadata": {"collapsed": True},
        "outputs": [output],
        "source": ["print(4)"],
    }
    text = {"cell_type": "markdown", "id": "a", "metadata": {}, "source": ["# Four"]}
    metadata = {
        "kernelspec": {"name": "python3"},
        "language_info": {"name": "python", "version": "3.11.1"},
        "widgets": {},
    }
    return {"cells": [text, code], "metadata": metadata, "nbformat": 4, "nbformat_minor": 5}


def test_outputs_and_what_a_machine_adds_are_taken_out_and_the_rest_stays(tmp_path, capsys) -> None:
    path = tmp_path / "some.ipynb"
    path.write_text(json.dumps(executed()), encoding="utf-8")
    assert main([str(path)]) == 1
    assert "some.ipynb" in capsys.readouterr().out
    text, code = (left := json.loads(path.read_text(encoding="utf-8")))["cells"]
    assert text == executed()["cells"][0]
    assert code == {**executed()["cells"][1], "execution_count": None, "metadata": {}, "outputs": []}
    assert left["metadata"] == {"kernelspec": {"name": "python3"}, "language_info": {"name": "python"}}
    assert main([str(path)]) == 0


def test_without_a_name_all_notebooks_of_the_folder_are_cleared(tmp_path, monkeypatch) -> None:
    monkeypatch.chdir(tmp_path)
    (tmp_path / "notebooks").mkdir()
    for name in "ab":
        (tmp_path / "notebooks" / f"{name}.ipynb").write_text(json.dumps(executed()), encoding="utf-8")
    assert main([]) == 1
    assert all('"outputs": []' in path.read_text() for path in (tmp_path / "notebooks").iterdir())
