from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest
from kedro.io import DatasetError
from kedro.io.core import Version

from beatwise.core.errors import BeatwiseError
from beatwise.data.representations import Fitted, representation
from beatwise.datasets.model import BEST, ModelDataset
from beatwise.networks.zoo import build_model
from beatwise.tasks.classification.task import Classification
from beatwise.training.trained_model import CONFIG, TrainedModel
from tests.conftest import CLASSES

FIRST, SECOND, THIRD = (f"2024-01-0{day}T00.00.00.000Z" for day in (1, 2, 3))


def model(*recalls: float, best_epoch: int | None = None) -> TrainedModel:
    """A model with this macro recall on validation after each epoch, whose best epoch is the last or the one given."""
    options = {"width": 4, "layers": 1}
    return TrainedModel(
        network=build_model("mlp", input_shape=(1, 6), n_outputs=5, **options).eval(),
        input_shape=(1, 6),
        representation=representation("signal", {}).with_fitted(Fitted((6,))),
        task=Classification(classes=tuple(CLASSES)),
        config={"classes": CLASSES, "seed": 1, "model": {"use": "mlp", "mlp": options}},
        history=[{"epoch": i, "val_macro_recall": recall} for i, recall in enumerate(recalls, start=1)],
        metadata={"best_epoch": len(recalls) if best_epoch is None else best_epoch},
    )


def dataset(folder: Path, load: str | None = None, save: str | None = None) -> ModelDataset:
    return ModelDataset(filepath=str(folder / "model"), version=Version(load, save))


def store(folder: Path, **models: TrainedModel) -> None:
    for version, trained in models.items():
        dataset(folder, save=version).save(trained)


def recall(trained: TrainedModel) -> Any:
    return trained.history[trained.metadata["best_epoch"] - 1]["val_macro_recall"]


def test_the_best_version_is_the_one_with_the_highest_macro_recall_on_validation(tmp_path: Path) -> None:
    store(tmp_path, **{FIRST: model(0.5), SECOND: model(0.8), THIRD: model(0.6)})
    assert recall(dataset(tmp_path, BEST).load()) == 0.8
    assert dataset(tmp_path, BEST).resolve_load_version() == SECOND


def test_without_it_the_latest_is_loaded_and_a_named_one_under_its_name(tmp_path: Path) -> None:
    store(tmp_path, **{FIRST: model(0.5), SECOND: model(0.8), THIRD: model(0.6)})
    assert recall(dataset(tmp_path).load()) == 0.6
    assert recall(dataset(tmp_path, FIRST).load()) == 0.5


def test_what_counts_is_the_epoch_whose_weights_were_kept(tmp_path: Path) -> None:
    store(tmp_path, **{FIRST: model(0.5, 0.2, best_epoch=1), SECOND: model(0.9, 0.3, best_epoch=2)})
    assert dataset(tmp_path, BEST).resolve_load_version() == FIRST


def test_of_equals_the_latest_is_the_best(tmp_path: Path) -> None:
    store(tmp_path, **{FIRST: model(0.8), SECOND: model(0.8), THIRD: model(0.8)})
    assert dataset(tmp_path, BEST).resolve_load_version() == THIRD


def test_a_version_that_is_half_written_is_not_looked_at(tmp_path: Path) -> None:
    store(tmp_path, **{FIRST: model(0.5)})
    half = tmp_path / "model" / SECOND / ".model-x1y2" / "model"
    half.mkdir(parents=True)
    (half / CONFIG).write_text("{")
    assert dataset(tmp_path, BEST).resolve_load_version() == FIRST


def test_a_better_version_that_comes_later_is_found(tmp_path: Path) -> None:
    store(tmp_path, **{FIRST: model(0.5)})
    loading = dataset(tmp_path, BEST)
    assert loading.resolve_load_version() == FIRST
    store(tmp_path, **{SECOND: model(0.6)})
    assert loading.resolve_load_version() == SECOND


def test_the_best_exists_as_soon_as_there_is_a_version(tmp_path: Path) -> None:
    assert not dataset(tmp_path, BEST).exists()
    store(tmp_path, **{FIRST: model(0.5)})
    assert dataset(tmp_path, BEST).exists()


def test_where_there_is_no_version_none_is_the_best(tmp_path: Path) -> None:
    with pytest.raises(BeatwiseError, match=rf"no version of {tmp_path / 'model'} yet, so none is the best"):
        dataset(tmp_path, BEST).resolve_load_version()
    with pytest.raises((BeatwiseError, DatasetError), match="so none is the best"):
        dataset(tmp_path, BEST).load()


@pytest.mark.parametrize(
    "content", ["", "{", '{"format": 2}', '{"format": 2, "history": [], "metadata": {"best_epoch": 1}}', "[]"]
)
def test_a_version_that_cannot_be_read_is_named_rather_than_passed_over(tmp_path: Path, content: str) -> None:
    store(tmp_path, **{FIRST: model(0.5), SECOND: model(0.8)})
    damaged = tmp_path / "model" / SECOND / "model"
    (damaged / CONFIG).write_text(content)
    with pytest.raises(BeatwiseError, match=rf"{damaged} cannot be read.*--load-versions"):
        dataset(tmp_path, BEST).resolve_load_version()
