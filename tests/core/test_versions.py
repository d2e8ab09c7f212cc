"""Files of another version of Beatwise are refused in plain words, or left out where others will do."""

from __future__ import annotations

import json
from pathlib import Path

import pytest
from kedro.io.core import Version

from beatwise.core.errors import BeatwiseError
from beatwise.core.versions import FORMAT, check_format
from beatwise.datasets.model import BEST, ModelDataset
from beatwise.runs.card import read_card
from beatwise.search.trials import Searches
from beatwise.training.trained_model import read_model
from tests.conftest import example_card
from tests.search.conftest import plan

EARLIER = "was written by an earlier version of Beatwise, in a format that version 0.3.0 cannot read."


def test_the_message_names_the_file_and_what_to_do(tmp_path: Path) -> None:
    path = tmp_path / "config.json"
    check_format({"format": FORMAT}, path, "Train again.")
    with pytest.raises(BeatwiseError, match=f"^{path} {EARLIER} Train again.$"):
        check_format({"spec": {}, "facts": {}}, path, "Train again.")
    with pytest.raises(BeatwiseError, match="was written by a later version of Beatwise"):
        check_format({"format": FORMAT + 1}, path, "Train again.")


def test_a_model_of_version_0_2_is_refused_and_is_not_the_best(tmp_path: Path) -> None:
    folder = tmp_path / "model/2026-01-01T00.00.00.000Z/model"
    folder.mkdir(parents=True)
    stored = {"input_shape": [1, 187], "spec": {"use": "signal"}, "config": {}, "history": [], "facts": {}}
    (folder / "config.json").write_text(json.dumps(stored))
    with pytest.raises(BeatwiseError, match=f"^{folder}/config.json {EARLIER} Train the model again"):
        read_model(folder)
    best = ModelDataset(filepath=str(tmp_path / "model"), version=Version(BEST, None))
    with pytest.raises(BeatwiseError, match=r"no version of .* yet but 1 of another version of Beatwise, so none is"):
        best.resolve_load_version()


def test_a_run_card_of_version_0_2_is_refused(tmp_path: Path) -> None:
    path = tmp_path / "run_card.json"
    card = example_card().model_dump(mode="json")
    path.write_text(json.dumps(card))
    assert read_card(path).format == FORMAT
    del card["format"]
    path.write_text(json.dumps(card))
    with pytest.raises(BeatwiseError, match=f"^{path} {EARLIER} Check out the commit that it names"):
        read_card(path)


def test_a_search_of_version_0_2_is_left_out(tmp_path: Path, caplog: pytest.LogCaptureFixture) -> None:
    searches, wide = Searches(tmp_path), plan(name="wide")
    searches.begin("new", wide)
    (tmp_path / "old").mkdir()
    (tmp_path / "old/search.json").write_text('{"name": "narrow"}')
    assert [search.plan for search in searches.all()] == [wide]
    assert "old/search.json was written by another version of Beatwise; this search is left out." in caplog.text
