from __future__ import annotations

from pathlib import Path

import pytest
from kedro.io import DatasetError

from beatwise.core.errors import in_own_words
from beatwise.data.settings import Resample, Tensors
from beatwise.datasets.document import DocumentDataset
from beatwise.networks.settings import Model
from beatwise.training.fit import fit_settings
from beatwise.training.settings import Train
from tests.conftest import TASK

FIT = "beatwise.training.settings.FitSettings"
SETTINGS = fit_settings(TASK, 1, Resample(use="smote"), Tensors(use="auto"), Model(use="mlp"), Train())


def test_a_document_comes_back_as_what_was_saved(tmp_path: Path) -> None:
    one = DocumentDataset(filepath=str(tmp_path / "one.json"), model=FIT)
    one.save(SETTINGS)
    assert one.load().model_dump() == SETTINGS.model_dump()
    many = DocumentDataset(filepath=str(tmp_path / "many.json"), model=f"list[{FIT}]")
    many.save([SETTINGS, SETTINGS])
    assert [fit.seed for fit in many.load()] == [1, 1]
    assert str(one.preview()) == (tmp_path / "one.json").read_text()
    one.pending = SETTINGS.model_copy(update={"seed": 2})
    assert one.load().seed == 2


@pytest.mark.parametrize(
    ("content", "problem"),
    [
        ("{", "Invalid JSON"),
        ('{"task": {"use": "regression"}, "seed": 1}', "resample: Field required"),
        (SETTINGS.model_copy(update={"seed": "x"}).model_dump_json(warnings=False), "seed: Input should be a valid"),
        ("[]", "Input should be"),
    ],
)
def test_a_file_that_is_no_such_document_is_named(tmp_path: Path, content: str, problem: str) -> None:
    file = tmp_path / "config.json"
    file.write_text(content)
    with pytest.raises(DatasetError) as caught:
        DocumentDataset(filepath=str(file), model=FIT).load()
    message = in_own_words(caught.value) or ""
    assert message.startswith(f"{file} cannot be read: {problem}")
    assert "another version of Beatwise" in message
