"""Trainings that begin with the trunk of a model that was trained before."""

from __future__ import annotations

import copy
import dataclasses
from pathlib import Path
from typing import Any

import pytest
import torch

from beatwise.core.errors import BeatwiseError
from beatwise.data.representations import representation
from beatwise.tasks.classification.task import Classification
from beatwise.tasks.tensors import build_tensors
from beatwise.training.loop import fit_model, training_key
from beatwise.training.optim import build_optimizer
from beatwise.training.settings import FitSettings
from beatwise.training.start import check_start, pinned
from beatwise.training.trained_model import TrainedModel, write_model
from tests.conftest import CLASSES, random_beats
from tests.training.conftest import Parts, config


def parts_of(counts: tuple[int, ...], classes: tuple[str, ...], *, records: bool) -> Parts:
    """Training and validation; with features where there are records."""
    train, val = (random_beats(counts, seed=seed, records=records) for seed in (5, 6))
    fitted, task = representation("signal", {}).fit(train), Classification(classes=classes)
    return build_tensors(train, fitted, task), build_tensors(val, fitted, task)


@pytest.fixture(scope="module")
def pretrained() -> TrainedModel:
    """A model of five classes, with features."""
    parts = parts_of((12, 9, 9, 9, 9), tuple(CLASSES), records=True)
    return fit_model(*parts, config("resnet1d", epochs=1), show_progress=False)[0]


@pytest.fixture(scope="module")
def two_classes() -> Parts:
    """Examples of another task, without features."""
    return parts_of((30, 20), ("normal", "abnormal"), records=False)


def stored(model: TrainedModel, folder: Path, version: str) -> Path:
    """The folder of the model's versions, this one written into it."""
    (folder / version / "model").mkdir(parents=True)
    write_model(folder / version / "model", model)
    return folder


def starting(folder: Path, model: str = "resnet1d", **options: Any) -> FitSettings:
    """A fit as it is planned."""
    start = {"use": "pretrained", "pretrained": {"folder": str(folder), **options}}
    given = config(model, epochs=2, seed=3, start=start, augment={"use": []})
    given = given.model_copy(update={"model": given.model.settled()})
    train = given.train.model_copy(update={"start": pinned(given.train.start)}).settled()
    planned = given.model_copy(update={"train": train})
    check_start(planned)
    return planned


def trunk(weights: dict[str, torch.Tensor]) -> dict[str, torch.Tensor]:
    return {name: weight for name, weight in weights.items() if not name.startswith("head.")}


def moved(model: TrainedModel, given: FitSettings, parts: Parts) -> set[str]:
    """The weights and statistics of the trunk that a training changes."""
    after = fit_model(*parts, given, show_progress=False)[0].network.state_dict()
    return {name for name, weight in trunk(model.network.state_dict()).items() if not torch.equal(weight, after[name])}


def test_a_frozen_trunk_stays_to_the_last_bit_under_a_new_head(
    pretrained: TrainedModel, two_classes: Parts, tmp_path: Path
) -> None:
    folder = stored(pretrained, tmp_path, "1")
    assert moved(pretrained, starting(folder, rates={"trunk": 0}), two_classes) == set()
    block = "body." + next(name for name in trunk(pretrained.network.state_dict()) if name[5].isdigit()).split(".")[1]
    some = moved(pretrained, starting(folder, rates={"trunk": 0, block: 1}), two_classes)
    assert some
    assert all(name.startswith(f"{block}.") for name in some)
    everything = moved(pretrained, starting(folder, rates={"trunk": 0.1}), two_classes)
    assert some < everything


def test_layers_learn_at_their_rates_and_the_history_shows_the_highest(pretrained: TrainedModel) -> None:
    network = copy.deepcopy(pretrained.network)
    built = build_optimizer(network, "adamw", 0.1, {}, {"trunk": 0.5, "body.1": 0})
    rates = {id(p): group["lr"] for group in built.param_groups for p in group["params"]}
    for name, parameter in network.named_parameters():
        expected = None if name.startswith("body.1.") else 0.1 if name.startswith("head.") else 0.05
        assert rates.get(id(parameter)) == expected, name
        assert parameter.requires_grad == (expected is not None)
    assert built.param_groups[0]["lr"] == 0.1


def test_a_fit_names_the_version_it_starts_from_and_no_other_can_take_its_place(
    pretrained: TrainedModel, two_classes: Parts, tmp_path: Path
) -> None:
    first = starting(stored(pretrained, tmp_path, "1"))
    other = dataclasses.replace(pretrained, network=copy.deepcopy(pretrained.network))
    with torch.no_grad():
        next(other.network.parameters()).add_(1)
    second = starting(stored(other, tmp_path, "2"))
    assert second.train.start.options["folder"] == (tmp_path / "2" / "model").as_posix()
    assert training_key(*two_classes, first) != training_key(*two_classes, second)
    (tmp_path / "1" / "model" / "weights.safetensors").write_bytes(
        (tmp_path / "2" / "model" / "weights.safetensors").read_bytes()
    )
    with pytest.raises(BeatwiseError, match="have changed since this run began"):
        fit_model(*two_classes, first, show_progress=False)


def test_a_start_that_does_not_suit_is_refused_before_anything_is_trained(
    pretrained: TrainedModel, tmp_path: Path
) -> None:
    refused: list[tuple[dict[str, Any], str]] = [
        ({"folder": "nowhere"}, "there is no model in nowhere. Train one first"),
        ({"model": "mlp"}, "has model.use=resnet1d, this fit mlp"),
        ({"rates": {"bodi": 0}}, "'bodi' is no layer of the model. Known: .*body.0"),
        ({"rates": {"head": 0}}, "the head is new, so its rate cannot be 0"),
    ]
    folder = stored(pretrained, tmp_path, "1")
    for given, message in refused:
        with pytest.raises(BeatwiseError, match=rf"^train\.start\.pretrained\..*{message}"):
            starting(**{"folder": folder, **given})
