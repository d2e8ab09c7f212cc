"""ONNX files give the numbers of torch, or are not written."""

from __future__ import annotations

import json
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import onnxruntime
import pandas as pd
import pytest

from beatwise.core.errors import BeatwiseError
from beatwise.data.examples import Examples
from beatwise.networks.base import SelfFitting
from beatwise.networks.recurrent import CELLS
from beatwise.networks.zoo import list_models
from beatwise.scoring.export import export_scorer
from beatwise.scoring.scorer import Scorer
from beatwise.tasks.regression.task import Regression
from tests.conftest import CLASSES
from tests.explanation.cases import explained, waves

pytestmark = pytest.mark.slow


def scorer(name: str, beats: Examples | None = None, **options: Any) -> Scorer:
    model = explained(beats or waves(), name, **options).model
    return Scorer(model, "test", class_factors=dict.fromkeys(CLASSES, 1.0), accept=0.5)


def test_a_file_gives_the_probabilities_of_the_scorer(tmp_path: Path) -> None:
    beats = waves()
    rr = pd.DataFrame({"rr_prev": np.linspace(0.5, 1.2, len(beats)), "rr_next": 0.8})
    beats = Examples(beats.x, pd.concat([beats.table, rr], axis="columns"))
    made = scorer("mlp", beats, layers=1, width=8)
    export_scorer(made, tmp_path / "mlp.onnx")
    session = onnxruntime.InferenceSession(tmp_path / "mlp.onnx")
    tensors = made.model.tensors(beats)
    found = session.run(None, {"x": tensors.x, "aux": tensors.aux})[0]
    np.testing.assert_allclose(found, made.predict(beats).filter(like="probability"), atol=1e-5)
    properties = session.get_modelmeta().custom_metadata_map
    assert json.loads(properties["task"])["classes"] == list(CLASSES)
    assert properties["version"] == made.version


@pytest.mark.parametrize("name", list_models())
def test_every_network_can_be_exported(name: str, tmp_path: Path) -> None:
    # Steps of recurrent networks are written out one by one, which takes long.
    options: dict[str, Any] = {"samples_per_step": 8} if name in CELLS else {}
    made = scorer(name, **options)
    network = made.model.network
    if isinstance(network, SelfFitting):
        tensors = made.model.tensors(waves())
        network.fit(tensors, tensors, 0)
    assert "torch on 64 examples" in export_scorer(made, tmp_path / "model.onnx")


def test_a_number_is_exported_in_its_unit_or_not_at_all(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    made = scorer("mlp", layers=1, width=8)
    task = Regression(mean=40.0, sd=25.0)
    config = {**made.model.config, "train": {**made.model.config["train"], "loss": {"use": "mse", "mse": {}}}}
    numbers = replace(made, model=replace(made.model, task=task, config=config), class_factors={}, accept=None)
    assert "prediction [n, 5]" in export_scorer(numbers, tmp_path / "model.onnx")
    monkeypatch.setattr("beatwise.scoring.export.TOLERANCE", -1.0)
    with pytest.raises(BeatwiseError, match=r"differ from those of torch by up to \d"):
        export_scorer(numbers, tmp_path / "other.onnx")
    assert [path.name for path in tmp_path.iterdir()] == ["model.onnx"]
