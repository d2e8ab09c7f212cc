from __future__ import annotations

import base64
import dataclasses
import json
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
import plotly.graph_objects as go
import pytest
import torch
from kedro.io import DatasetError
from kedro.io.core import Version
from matplotlib.figure import Figure

from beatwise.core.errors import BeatwiseError
from beatwise.core.files import written_whole
from beatwise.data.representations import REPRESENTATIONS, representation
from beatwise.datasets.figures import FiguresDataset
from beatwise.datasets.model import ModelDataset
from beatwise.datasets.tables import TablesDataset
from beatwise.datasets.tensors import TensorsDataset
from beatwise.datasets.whole import WholeHTMLDataset
from beatwise.networks.zoo import MODELS, build_model, list_models
from beatwise.tasks.classification.task import Classification
from beatwise.tasks.tensors import TensorSet, build_tensors
from beatwise.training.trained_model import CONFIG, WEIGHTS, TrainedModel, read_model

CLASSES = ["N", "S", "V", "F", "Q"]
TASK = Classification(classes=("N", "S", "V", "F", "Q"))
PNG = b"\x89PNG\r\n\x1a\n"


# --- tensors


def tensors(make_beats: Any, use: str = "signal", *, records: bool = True) -> TensorSet:
    beats = make_beats(records=records)
    if use == "identity":
        beats = dataclasses.replace(beats, x=beats.x[:, None])
    return build_tensors(beats, representation(use, {}).fit(beats), TASK)


@pytest.mark.parametrize("records", [True, False])
@pytest.mark.parametrize("use", REPRESENTATIONS.names())
def test_tensors_come_back_as_they_were_saved_mapped_into_memory_and_shown(tmp_path, make_beats, use, records):
    saved = tensors(make_beats, use, records=records)
    dataset = TensorsDataset(filepath=str(tmp_path / "new" / "train"))
    assert not dataset.exists()
    dataset.save(saved)
    loaded = dataset.load()
    assert dataset.exists()
    assert isinstance(loaded.x, np.memmap)
    for name in ("representation", "task", "fingerprint"):
        assert getattr(loaded, name) == getattr(saved, name)
    for name in ("x", "aux", "y"):
        np.testing.assert_array_equal(getattr(loaded, name), getattr(saved, name))
    pd.testing.assert_frame_equal(loaded.table, saved.table)
    assert base64.b64decode(str(dataset.preview())).startswith(PNG)


def test_tensors_without_labels_come_back_without(tmp_path, make_beats):
    dataset = TensorsDataset(filepath=str(tmp_path / "new"))
    dataset.save(dataclasses.replace(tensors(make_beats), y=None))
    assert dataset.load().y is None


def test_damaged_tensors_are_refused_with_the_file(tmp_path, make_beats):
    TensorsDataset(filepath=str(tmp_path / "t")).save(tensors(make_beats))
    x = tmp_path / "t" / "x.npy"
    x.write_bytes(x.read_bytes()[:1000])
    with pytest.raises(DatasetError, match=str(tmp_path)):
        TensorsDataset(filepath=str(tmp_path / "t")).load()


# --- figures


def test_figures_are_read_back_as_they_were_drawn_and_those_of_an_earlier_run_are_gone(tmp_path):
    figure = Figure()
    figure.subplots().plot([0, 1])
    dataset = FiguresDataset(filepath=str(tmp_path / "new" / "figures"))
    assert not dataset.exists()
    dataset.save({"earlier": figure})
    dataset.save({"curve": figure, "for_the_browser": go.Figure(go.Bar(y=[1, 2])), "unknown": "It is not known."})
    assert dataset.exists()
    loaded = dataset.load()
    assert sorted(loaded) == ["curve", "for_the_browser", "unknown"]
    assert loaded["curve"].startswith(PNG)
    assert list(loaded["for_the_browser"].data[0].y) == [1, 2]
    assert loaded["unknown"] == "It is not known."
    shown: Any = dataset.preview(shown=["curve", "earlier", "unknown"])
    (picture,) = shown["layout"]["images"]
    assert picture["source"].endswith(base64.b64encode(loaded["curve"]).decode())


# --- folders of tables


@dataclasses.dataclass(frozen=True)
class Tables:
    one: pd.DataFrame
    facts: dict[str, Any]


def test_tables_and_facts_are_one_version(tmp_path):
    dataset = TablesDataset(
        filepath=str(tmp_path / "t"), of=f"{__name__}.Tables", shown="facts", version=Version(None, None)
    )
    assert not dataset.exists()
    with pytest.raises(DatasetError):
        dataset.load()
    table = pd.DataFrame({"a": [1, 2]}, index=[3, 4])
    dataset.save(Tables(table, {"n": 2}))
    assert dataset.exists()
    loaded = dataset.load()
    pd.testing.assert_frame_equal(loaded.one, table)
    assert loaded.facts == json.loads(str(dataset.preview())) == {"n": 2}
    assert len(list((tmp_path / "t").iterdir())) == 1


# --- pages


def test_a_preview_of_a_page_has_its_words_and_tables_in_one_line_without_pictures_and_styles(tmp_path):
    page = """<!doctype html><html><head><title>T</title><style>td {color: red}</style></head>
    <body><h1>Report</h1>
    <img src="data:image/png;base64,AAAA" alt="curve"><svg><text>box</text></svg><script>let x = 1</script>
    <table><tr><td>.93</td></tr></table></body></html>"""
    dataset = WholeHTMLDataset(filepath=str(tmp_path / "r.html"))
    dataset.save(page)
    assert dataset.load() == page
    shown = "<!doctype html><html> <body><h1>Report</h1> <table><tr><td>.93</td></tr></table></body></html>"
    assert str(dataset.preview()) == shown


# --- models


def make_model(make_beats: Any, name: str = "cnn1d") -> tuple[TrainedModel, TensorSet]:
    beats = make_beats(length=96, records=True)
    data: TensorSet | None = None
    for use in ("signal", "image"):
        data = build_tensors(beats, representation(use, {}).fit(beats), TASK)
        options = MODELS.options(name, {})
        try:
            network = build_model(name, input_shape=data.x.shape[1:], n_outputs=5, n_aux=data.aux.shape[1], **options)
        except BeatwiseError:  # takes another representation
            continue
        break
    assert data is not None
    network(torch.from_numpy(data.x), torch.from_numpy(data.aux))  # so that running statistics are not those at birth
    config = {
        "classes": CLASSES,
        "seed": 1,
        "model": {"use": name, name: options},
        "train": {"loss": {"use": "cross_entropy"}},
    }
    history = [{"epoch": 1, "train_loss": 0.5}]
    return TrainedModel(
        network.eval(), data.x.shape[1:], data.representation, TASK, config, history, {"best_epoch": 1}
    ), data


def versioned(path: Path, load: str | None = None, save: str | None = None) -> ModelDataset:
    return ModelDataset(filepath=str(path), version=Version(load, save))


@pytest.mark.parametrize("name", list_models())
def test_a_model_that_was_loaded_predicts_the_same_to_the_last_bit(tmp_path, make_beats, name):
    model, data = make_model(make_beats, name)
    versioned(tmp_path / "model", save="v1").save(model)
    loaded = versioned(tmp_path / "model").load()
    np.testing.assert_array_equal(loaded.probabilities(data), model.probabilities(data))
    assert loaded.representation == model.representation
    assert json.loads(json.dumps(loaded.to_dict())) == json.loads(json.dumps(model.to_dict()))
    assert not loaded.network.training


def test_the_last_version_is_loaded_unless_another_is_asked_for(tmp_path, make_beats):
    first, _ = make_model(make_beats, "mlp")
    second, _ = make_model(make_beats, "cnn1d")
    path = tmp_path / "model"
    for version, model in (("2024-01-01T00.00.00.000Z", first), ("2024-01-02T00.00.00.000Z", second)):
        versioned(path, save=version).save(model)
    assert versioned(path).load().name == "cnn1d"
    assert versioned(path, load="2024-01-01T00.00.00.000Z").load().name == "mlp"
    assert sorted(p.name for p in path.iterdir()) == ["2024-01-01T00.00.00.000Z", "2024-01-02T00.00.00.000Z"]


def test_a_preview_of_a_model_is_all_that_is_known_of_its_last_version_but_its_history(tmp_path, make_beats):
    versioned(tmp_path / "model", save="v1").save(make_model(make_beats, "mlp")[0])
    model, _ = make_model(make_beats, "cnn1d")
    versioned(tmp_path / "model", save="v2").save(model)
    shown = json.loads(str(versioned(tmp_path / "model").preview()))
    assert {**shown, "history": model.history} == json.loads(json.dumps(model.to_dict()))


def test_a_model_exists_once_it_was_saved(tmp_path, make_beats):
    assert not versioned(tmp_path / "model", load="v1").exists()
    versioned(tmp_path / "model", save="v1").save(make_model(make_beats)[0])
    assert versioned(tmp_path / "model", load="v1").exists()


def test_loading_a_model_leaves_the_generator_of_the_caller(tmp_path, make_beats):
    model, _ = make_model(make_beats)
    versioned(tmp_path / "model", save="v1").save(model)
    before = torch.get_rng_state()
    versioned(tmp_path / "model").load()
    assert torch.equal(torch.get_rng_state(), before)


def test_a_model_is_found_by_a_path_relative_to_the_working_directory(tmp_path, make_beats, monkeypatch):
    monkeypatch.chdir(tmp_path)
    model, _ = make_model(make_beats)
    ModelDataset(filepath="data/model", version=Version(None, "v1")).save(model)
    assert ModelDataset(filepath="data/model", version=Version(None, None)).load().name == "cnn1d"


def test_a_model_folder_holds_weights_and_plain_text_only(tmp_path, make_beats):
    versioned(tmp_path / "model", save="v1").save(make_model(make_beats)[0])
    (folder,) = (tmp_path / "model" / "v1").iterdir()
    assert sorted(path.name for path in folder.iterdir()) == [CONFIG, WEIGHTS]


@pytest.fixture
def model_folder(tmp_path: Path, make_beats: Any) -> Path:
    versioned(tmp_path / "model", save="v1").save(make_model(make_beats)[0])
    return tmp_path / "model" / "v1" / "model"


def truncate(path: Path) -> None:
    path.write_bytes(path.read_bytes()[:200])


def garble(path: Path) -> None:
    path.write_bytes(b"\xff\xfe" + path.read_bytes()[2:])


@pytest.mark.parametrize(
    ("name", "damage"),
    [
        (CONFIG, truncate),
        (WEIGHTS, truncate),
        (CONFIG, garble),
        (WEIGHTS, garble),
        (CONFIG, Path.unlink),
        (WEIGHTS, Path.unlink),
    ],
)
def test_a_damaged_model_is_refused_with_its_folder(model_folder, name, damage):
    damage(model_folder / name)
    with pytest.raises(BeatwiseError, match=f"The model in {model_folder} cannot be read"):
        read_model(model_folder)


@pytest.mark.parametrize("change", [{"kernel_size": 3}, {"widths": [8, 16]}])
def test_weights_of_another_network_are_refused(model_folder, change):
    stored = json.loads((model_folder / CONFIG).read_text())
    stored["config"]["model"]["cnn1d"] |= change
    (model_folder / CONFIG).write_text(json.dumps(stored))
    with pytest.raises(BeatwiseError, match="cannot be read"):
        read_model(model_folder)


def test_a_dataset_says_why_a_model_cannot_be_read(model_folder):
    truncate(model_folder / WEIGHTS)
    with pytest.raises(DatasetError, match="Train it again, or load another version"):
        versioned(model_folder.parents[1]).load()


def test_a_model_whose_options_were_all_left_out_can_be_read(model_folder):
    stored = json.loads((model_folder / CONFIG).read_text())
    del stored["config"]["model"]["cnn1d"]
    (model_folder / CONFIG).write_text(json.dumps(stored))
    assert read_model(model_folder).name == "cnn1d"


# --- files


def test_a_file_takes_its_place_when_it_is_whole(tmp_path):
    target = tmp_path / "new" / "file.txt"
    with written_whole(target) as path:
        path.write_text("new")
        assert not target.exists()
    assert target.read_text() == "new"
    assert [p.name for p in target.parent.iterdir()] == ["file.txt"]


def test_a_folder_takes_the_place_of_an_older_one(tmp_path):
    target = tmp_path / "folder"
    target.mkdir()
    (target / "old").touch()
    with written_whole(target) as path:
        path.mkdir()
        (path / "new").touch()
    assert [p.name for p in target.iterdir()] == ["new"]
    assert [p.name for p in tmp_path.iterdir()] == ["folder"]


@pytest.mark.parametrize("kind", ["file", "folder"])
def test_a_writer_that_fails_leaves_the_old_content_and_nothing_else(tmp_path, kind):
    target = tmp_path / "target"
    old = target
    if kind == "folder":
        target.mkdir()
        old = target / "content"
    old.write_text("old")

    def write() -> None:
        with written_whole(target) as path:
            path.write_text("half")
            raise RuntimeError("no more ink")

    with pytest.raises(RuntimeError, match="no more ink"):
        write()
    assert old.read_text() == "old"
    assert [p.name for p in tmp_path.iterdir()] == ["target"]


def test_a_writer_that_writes_nothing_leaves_the_old_folder(tmp_path):
    target = tmp_path / "target"
    target.mkdir()
    with pytest.raises(FileNotFoundError), written_whole(target):
        pass
    assert target.is_dir()


def test_a_place_that_cannot_be_written_to_is_named(tmp_path):
    (tmp_path / "file").touch()
    with (
        pytest.raises(BeatwiseError, match=f"Cannot write to {tmp_path / 'file'}"),
        written_whole(tmp_path / "file" / "x"),
    ):
        pass
