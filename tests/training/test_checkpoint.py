from __future__ import annotations

import dataclasses
import json
import logging
import math
import os
import pickle
from collections.abc import Callable, Mapping
from pathlib import Path
from typing import Any

import pandas as pd
import pytest
import torch
from safetensors import safe_open
from safetensors.torch import save_file

from beatwise.core.errors import BeatwiseError
from beatwise.training import loop
from beatwise.training.checkpoint import Checkpoints, State
from beatwise.training.optim import AVERAGES, OPTIMIZERS, SCHEDULES
from beatwise.training.settings import FitSettings
from beatwise.training.trained_model import TrainedModel
from tests.training.conftest import CLOCK, SIZES, Parts, choose, config, refitted, same, training

# --- what is stored


def state() -> State:
    shared = torch.arange(6.0).reshape(2, 3)
    return {
        "plain": {"none": None, "yes": True, "n": 3, "x": 0.1, "text": "ä\n", "inf": -math.inf, "list": [1, [2.5], []]},
        "steps": {0: {"step": torch.tensor(4.0), "momentum": shared}, 1: {"step": torch.tensor(5.0)}, 17: {}},
        "again": shared,
        "view": shared[:, 1],
        "transposed": shared.T,
        "kinds": [
            torch.tensor(3),
            torch.tensor([True, False]),
            torch.zeros(0),
            torch.ones(2, dtype=torch.bfloat16),
            torch.full((2,), math.nan, dtype=torch.float64),
            torch.get_rng_state(),
        ],
        "pair": (0.9, 0.999),
        "groups": [{"params": [0, 1], "betas": (0.9, 0.999), "weights": torch.ones(2)}],
        "generators": [],
        "none": None,
    }


def equal(a: Any, b: Any) -> bool:
    """Whether two states are the same, tensors to the last bit; a tuple may come back as a list."""
    if isinstance(a, torch.Tensor):
        alike = isinstance(b, torch.Tensor) and a.dtype == b.dtype and a.shape == b.shape
        return alike and a.contiguous().numpy(force=True).tobytes() == b.contiguous().numpy(force=True).tobytes()
    if isinstance(a, Mapping):
        return isinstance(b, dict) and list(a) == list(b) and all(equal(a[key], b[key]) for key in a)
    if isinstance(a, list | tuple):
        return isinstance(b, list) and len(a) == len(b) and all(map(equal, a, b))
    return type(a) is type(b) and a == b


def test_a_state_comes_back_as_it_was_saved(tmp_path):
    store = Checkpoints(tmp_path / "new" / "folder")
    saved = state()
    saved["kinds"][3] = saved["kinds"][3].float()  # numpy knows no bfloat16
    store.save("key", saved)
    loaded = store.load("key")
    assert equal(saved, loaded)


def test_a_number_format_that_numpy_does_not_know_comes_back_too(tmp_path):
    store = Checkpoints(tmp_path)
    store.save("key", {"half": torch.tensor([0.1, -3.0], dtype=torch.bfloat16)})
    loaded = store.load("key")
    assert loaded is not None
    assert torch.equal(loaded["half"], torch.tensor([0.1, -3.0], dtype=torch.bfloat16))


def test_the_state_of_a_training_comes_back_as_it_was_saved(tmp_path, parts: Parts):
    made = training(parts, "resnet1d", average=choose("ema"), schedule=choose("one_cycle"))
    made.validate_epoch(made.train_epoch(), 0.0)
    store = Checkpoints(tmp_path)
    saved = made.state()
    store.save("key", saved)
    assert equal(saved, store.load("key"))


def test_a_stored_state_does_not_change_with_the_training(tmp_path):
    store, weights = Checkpoints(tmp_path), torch.zeros(3)
    store.save("key", {"weights": weights})
    weights += 1
    loaded = store.load("key")
    assert loaded is not None
    assert loaded["weights"].tolist() == [0, 0, 0]


def test_the_last_state_replaces_the_one_before_and_others_stay(tmp_path):
    store = Checkpoints(tmp_path)
    store.save("one", {"n": 1})
    store.save("two", {"n": 2})
    store.save("one", {"n": 3})
    assert (store.load("one"), store.load("two")) == ({"n": 3}, {"n": 2})
    assert len(list(tmp_path.iterdir())) == 2


def test_what_was_never_saved_or_was_removed_is_none(tmp_path):
    store = Checkpoints(tmp_path / "folder")
    assert store.load("key") is None
    store.remove("key")
    store.save("key", {"n": 1})
    store.remove("key")
    assert store.load("key") is None
    assert not list((tmp_path / "folder").iterdir())


def test_nothing_is_pickled(tmp_path, monkeypatch):
    def refuse(*_: Any, **__: Any) -> Any:
        raise AssertionError("pickled")

    for module, names in ((pickle, ("dump", "dumps", "load", "loads", "Unpickler")), (torch, ("save", "load"))):
        for name in names:
            monkeypatch.setattr(module, name, refuse)
    store = Checkpoints(tmp_path)
    store.save("key", state())
    assert store.load("key") is not None
    (file,) = tmp_path.iterdir()
    with safe_open(file, "np") as opened:
        json.loads(opened.metadata()["state"])
    content = file.read_bytes()
    header = int.from_bytes(content[:8], "little")
    assert set(json.loads(content[8 : 8 + header])) > {"__metadata__"}


def truncate(path: Path) -> None:
    path.write_bytes(path.read_bytes()[: path.stat().st_size // 2])


def replace_header(path: Path) -> None:
    content = bytearray(path.read_bytes())
    content[20:60] = b"\xff" * 40
    path.write_bytes(content)


def replace_by_folder(path: Path) -> None:
    path.unlink()
    path.mkdir()


DAMAGE: dict[str, Callable[[Path], Any]] = {
    "empty": lambda path: path.write_bytes(b""),
    "truncated": truncate,
    "a byte short": lambda path: path.write_bytes(path.read_bytes()[:-1]),
    "rubbish": lambda path: path.write_bytes(b"rubbish" * 100),
    "a damaged header": replace_header,
    "no state": lambda path: save_file({"x": torch.zeros(2)}, path),
    "state that is no JSON": lambda path: save_file({"x": torch.zeros(2)}, path, metadata={"state": "{"}),
    "a tensor is missing": lambda path: save_file(
        {"x": torch.zeros(2)}, path, metadata={"state": json.dumps({"__items__": [["a", {"__tensor__": "/a"}]]})}
    ),
    "a folder": replace_by_folder,
}


def test_a_damaged_state_is_none_with_a_warning_that_names_the_file(tmp_path, caplog):
    for name, damage in DAMAGE.items():
        caplog.clear()
        store = Checkpoints(tmp_path / name)
        store.save("key", state())
        (file,) = (tmp_path / name).iterdir()
        damage(file)
        assert store.load("key") is None
        assert f"{file} cannot be read" in caplog.text
        assert [record.levelname for record in caplog.records] == ["WARNING"]


def test_a_state_is_written_whole_or_not_at_all(tmp_path, monkeypatch):
    store = Checkpoints(tmp_path)
    store.save("key", {"n": 1, "x": torch.zeros(2)})

    def half(tensors: Any, path: Path, metadata: Any) -> None:
        path.write_bytes(b"half")
        raise OSError(28, "No space left on device")

    monkeypatch.setattr("safetensors.torch.save_file", half)
    with pytest.raises(BeatwiseError, match=rf"{tmp_path}/key.* cannot be written.*No space left"):
        store.save("key", {"n": 2, "x": torch.ones(2)})
    monkeypatch.undo()
    loaded = store.load("key")
    assert loaded is not None
    assert loaded["n"] == 1
    assert len(list(tmp_path.iterdir())) == 1


def test_a_folder_that_cannot_be_written_to_is_named(tmp_path):
    (tmp_path / "file").touch()
    with pytest.raises(BeatwiseError, match=f"Cannot write to {tmp_path / 'file'}"):
        Checkpoints(tmp_path / "file").save("key", {"n": 1})


# --- a training that was cut off


class Cut(Checkpoints):
    """Cuts a training off once the state after some epoch is saved."""

    def __init__(self, folder: Path, after: int) -> None:
        super().__init__(folder)
        self.after = after

    def save(self, key: str, state: Mapping[str, Any]) -> None:
        super().save(key, state)
        if len(state["rows"]) == self.after:
            raise KeyboardInterrupt


def files(folder: Path) -> list[Path]:
    return list(folder.iterdir()) if folder.is_dir() else []


def cut_off(parts: Parts, settings: FitSettings, folder: Path, after: int) -> None:
    with pytest.raises(KeyboardInterrupt):
        loop.fit_model(*parts, settings, Cut(folder, after))
    assert len(files(folder)) == 1


def assert_the_same(one: tuple[TrainedModel, pd.DataFrame], two: tuple[TrainedModel, pd.DataFrame]) -> None:
    assert same(one[0], two[0])
    assert one[0].metadata == two[0].metadata
    assert one[0].fingerprint == two[0].fingerprint
    pd.testing.assert_frame_equal(one[1].drop(columns=CLOCK), two[1].drop(columns=CLOCK), check_exact=True)
    assert list(one[1].columns) == list(two[1].columns)


SMALL: dict[str, Any] = {"model": "mlp", "options": {**SIZES["mlp"], "dropout": 0.3}}
NORMALISED: dict[str, Any] = {"model": "resnet1d", "options": {"widths": [4, 4], "dropout": 0.3}}
TRIMMED: dict[str, Any] = {"model": "gru", "options": {**SIZES["gru"], "dropout": 0.3}}
WAYS: dict[str, dict[str, Any]] = {
    **{f"optimizer {name}": {"optimizer": {"use": name}} for name in OPTIMIZERS.names()},
    "optimizer sgd without momentum": {"optimizer": choose("sgd", momentum=0.0)},
    **{f"schedule {name}": {"schedule": {"use": name}} for name in SCHEDULES.names()},
    "schedule plateau that drops": {"schedule": choose("plateau", patience=0), "learning_rate": 0.05},
    **{f"average {name}": {"average": {"use": name}} for name in AVERAGES.names()},
    "average swa from the start": {"average": choose("swa", start=0.0)},
    "sampler": {"sampler_power": 0.5},
    "steps": {"steps_per_epoch": 3},
    "pruning": {"prune": 0.5},
    "augmentation": {"augment": {"use": "shift+stretch+graft+mixup", "mixup": {"share": 1.0}}},
    "bfloat16": {"precision": "bfloat16"},
    "no clipping": {"gradient_clip": None},
    "log loss": {"monitor": "log_loss"},
    "everything": {
        "optimizer": {"use": "adam"},
        "schedule": {"use": "one_cycle"},
        "average": {"use": "ema"},
        "sampler_power": 1.0,
        "augment": {"use": "noise+mixup"},
        "loss": {"use": "focal"},
        "class_weights": {"use": "balanced"},
        "log_prior_bias": True,
    },
}


@pytest.mark.parametrize(
    ("model", "way"),
    [
        *((SMALL if way.split()[0] in ("optimizer", "schedule") else NORMALISED, way) for way in WAYS),
        *((TRIMMED, way) for way in ("steps", "everything")),
    ],
    ids=lambda value: value if isinstance(value, str) else value["model"],
)
def test_a_training_that_was_cut_off_ends_with_the_very_numbers(tmp_path, parts: Parts, caplog, model, way):
    settings = config(**model, **{"epochs": 4, "patience": None, **WAYS[way]})
    whole = loop.fit_model(*parts, settings)
    cut_off(parts, settings, tmp_path, after=2)
    torch.manual_seed(99)  # the caller's generator is of no account
    caplog.set_level(logging.INFO)
    assert_the_same(loop.fit_model(*parts, settings, Checkpoints(tmp_path)), whole)
    assert "Resuming after epoch 2" in caplog.text
    assert not files(tmp_path)


@pytest.mark.parametrize("after", [1, 3, 5])
def test_it_does_not_matter_after_which_epoch_it_was_cut_off(tmp_path, parts: Parts, after):
    settings = config(**TRIMMED, epochs=5, patience=None, average=choose("swa", start=0.4))
    whole = loop.fit_model(*parts, settings)
    cut_off(parts, settings, tmp_path, after)
    assert_the_same(loop.fit_model(*parts, settings, Checkpoints(tmp_path)), whole)


def test_a_training_can_be_cut_off_again_and_again(tmp_path, parts: Parts):
    settings = config(**TRIMMED, epochs=5, patience=None, augment={"use": "noise"})
    whole = loop.fit_model(*parts, settings)
    for after in (1, 2, 4):
        cut_off(parts, settings, tmp_path, after)
    assert_the_same(loop.fit_model(*parts, settings, Checkpoints(tmp_path)), whole)


@pytest.mark.parametrize("place", ["validate_epoch", "train_epoch"])
def test_an_epoch_that_was_cut_off_halfway_is_trained_anew(tmp_path, parts: Parts, monkeypatch, place):
    settings = config("mlp", epochs=5, patience=None, augment={"use": "mixup"}, average=choose("ema"))
    whole = loop.fit_model(*parts, settings)
    before = getattr(loop.Training, place)

    def third_time(self: loop.Training, *arguments: Any) -> Any:
        if len(self.rows) == 2:
            if place == "train_epoch":
                before(self, *arguments)
            raise RuntimeError("power cut")
        return before(self, *arguments)

    monkeypatch.setattr(loop.Training, place, third_time)
    with pytest.raises(RuntimeError, match="power cut"):
        loop.fit_model(*parts, settings, Checkpoints(tmp_path))
    monkeypatch.setattr(loop.Training, place, before)
    assert_the_same(loop.fit_model(*parts, settings, Checkpoints(tmp_path)), whole)


def test_epochs_that_are_done_are_not_trained_again(tmp_path, parts: Parts, monkeypatch):
    settings = config(epochs=5, patience=None)
    cut_off(parts, settings, tmp_path, 3)
    trained: list[int] = []
    before = loop.Training.train_epoch

    def watched(self: loop.Training, *arguments: Any) -> float:
        trained.append(len(self.rows) + 1)
        return before(self, *arguments)

    monkeypatch.setattr(loop.Training, "train_epoch", watched)
    loop.fit_model(*parts, settings, Checkpoints(tmp_path))
    assert trained == [4, 5]


def test_patience_goes_on_where_it_was(tmp_path, parts: Parts):
    # A rate so high that nothing gets better for long.
    settings = config("resnet1d", epochs=30, patience=3, learning_rate=0.05, seed=2)
    whole = loop.fit_model(*parts, settings)
    stopped, best = len(whole[1]), whole[0].metadata["best_epoch"]
    assert 3 < stopped < 30
    for after in (best, best + 1, stopped):
        cut_off(parts, settings, tmp_path / str(after), after)
        assert_the_same(loop.fit_model(*parts, settings, Checkpoints(tmp_path / str(after))), whole)


def test_the_time_before_counts_towards_the_limit(tmp_path, parts: Parts, monkeypatch):
    settings = config(epochs=9, patience=None, max_minutes=1)
    cut_off(parts, settings, tmp_path, 2)
    ((file),) = files(tmp_path)
    store, key = Checkpoints(tmp_path), file.stem
    saved = store.load(key)
    assert saved is not None
    saved["rows"][0]["seconds"] = 61.0
    store.save(key, saved)
    assert len(loop.fit_model(*parts, settings, store)[1]) == 2


@pytest.mark.parametrize("name", ["truncated", "a damaged header", "state that is no JSON"])
def test_a_damaged_checkpoint_means_a_fresh_start(tmp_path, parts: Parts, caplog, name):
    settings = config(epochs=3)
    whole = loop.fit_model(*parts, settings)
    cut_off(parts, settings, tmp_path, 2)
    (file,) = files(tmp_path)
    DAMAGE[name](file)
    assert_the_same(loop.fit_model(*parts, settings, Checkpoints(tmp_path)), whole)
    assert f"{file} cannot be read" in caplog.text
    assert not files(tmp_path)


def moved(part: Any) -> Any:
    x = part.x.copy()
    x[0, 0, 0] += 0.25
    return dataclasses.replace(part, x=x, fingerprint="another")


CHANGED: dict[str, Any] = {
    "seed": lambda parts, settings: (parts, settings.model_copy(update={"seed": 1})),
    "width": lambda parts, settings: (parts, config(epochs=4, options={"width": 8})),
    **{
        f"{key}={value}": lambda parts, settings, key=key, value=value: (parts, config(**{"epochs": 4, key: value}))
        for key, value in {
            "epochs": 5,
            "batch_size": 16,
            "learning_rate": 0.02,
            "sampler_power": 0.5,
            "monitor": "accuracy",
            "patience": 3,
            "precision": "bfloat16",
            "loss": choose("focal"),
            "optimizer": choose("adamw", weight_decay=0.5),
            "augment": {"use": "noise"},
        }.items()
    },
    "train": lambda parts, settings: ((moved(parts[0]), parts[1]), settings),
    "val": lambda parts, settings: ((parts[0], moved(parts[1])), settings),
    "representation": lambda parts, settings: (
        tuple(dataclasses.replace(part, representation=refitted(part, 0.5)) for part in parts),
        settings,
    ),
}


def test_a_training_resumes_with_its_own_settings_and_examples_alone(tmp_path, parts: Parts, caplog):
    settings = config(epochs=4)
    cut_off(parts, settings, tmp_path, 2)
    (file,) = files(tmp_path)
    before = file.read_bytes()
    caplog.set_level(logging.INFO)
    for change in CHANGED.values():
        (train, val), other = change(parts, settings)
        whole = loop.fit_model(train, val, other)
        assert_the_same(loop.fit_model(train, val, other, Checkpoints(tmp_path)), whole)
        assert "Resuming" not in caplog.text
        # The first one still can.
        assert files(tmp_path) == [file]
        assert file.read_bytes() == before


def test_defaults_that_are_spelled_out_are_no_change(tmp_path, parts: Parts, caplog):
    cut_off(parts, config(epochs=4), tmp_path, 2)
    caplog.set_level(logging.INFO)
    loop.fit_model(*parts, config(epochs=4, optimizer=choose("adamw", weight_decay=0.01)), Checkpoints(tmp_path))
    assert "Resuming after epoch 2" in caplog.text


def test_a_checkpoint_holds_the_last_epoch_while_a_training_runs(tmp_path, parts: Parts):
    seen = []

    class Watched(Checkpoints):
        def save(self, key: str, state: Mapping[str, Any]) -> None:
            super().save(key, state)
            loaded = self.load(key)
            assert loaded is not None
            seen.append([row["epoch"] for row in loaded["rows"]])
            assert os.listdir(self.folder) == [f"{key}.safetensors"]

    loop.fit_model(*parts, config(epochs=3), Watched(tmp_path))
    assert seen == [[1], [1, 2], [1, 2, 3]]


def test_without_a_folder_nothing_is_saved(tmp_path, parts: Parts, monkeypatch):
    monkeypatch.chdir(tmp_path)
    loop.fit_model(*parts, config())
    assert not files(tmp_path)


def test_a_checkpoint_of_one_epoch_holds_numbers_that_are_infinite(tmp_path, parts: Parts):
    """A plateau's best score so far begins at minus infinity."""
    made = training(parts, schedule=choose("plateau"))
    store = Checkpoints(tmp_path)
    store.save("key", made.state())
    loaded = store.load("key")
    assert loaded is not None
    assert loaded["schedule"]["best"] == -math.inf
    assert loaded["best"]["score"] == -math.inf
