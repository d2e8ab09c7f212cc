"""What a fit is made with: choices that are checked before it, and written down with all their options."""

from __future__ import annotations

import json
from typing import Any

import pytest

from beatwise.core.errors import BeatwiseError
from beatwise.core.settings import Choice
from beatwise.data.augmentations import AUGMENTATIONS, OF_ANY_SERIES, OF_FEATURES, OF_LEADS, OF_PICTURES, OF_THE_SIGNAL
from beatwise.data.representations import REPRESENTATIONS
from beatwise.data.settings import Resample, Tensors
from beatwise.networks.settings import Model
from beatwise.networks.zoo import MODELS
from beatwise.training.fit import check_fit, fit_settings, representation, warn_of_emulated_bfloat16
from beatwise.training.settings import Augment, FitSettings, Train
from tests.conftest import TASK

CHOICES: dict[str, Choice] = {
    name: choice for name in Train.model_fields if isinstance(choice := getattr(Train(), name), Choice)
}


def check(model: str = "resnet1d", tensors: str = "auto", **train: Any) -> None:
    check_fit(Model(use=model), Train.model_validate(train), Tensors(use=tensors))


def fit(*, model: str = "resnet1d", tensors: Tensors | None = None, **train: Any) -> FitSettings:
    given = tensors or Tensors(use="auto")
    return fit_settings(TASK, 1, Resample(use="none"), given, Model(use=model), Train.model_validate(train))


def choosing(block: str, choice: dict[str, Any]) -> dict[str, Any]:
    return {block: choice}


# --- one contract for each choice of a training


@pytest.mark.parametrize("block", CHOICES)
def test_every_entry_of_a_choice_is_written_down_with_its_defaults_and_comes_back_from_json(block):
    entries = CHOICES[block].entries()
    for name in entries.names():
        check(tensors="identity" if name in (*OF_PICTURES, *OF_LEADS) else "auto", **choosing(block, {"use": name}))
        # A pretrained start writes down which model it found (tests/training/test_start.py).
        if getattr(entries[name], "task", "classification") != "classification" or name == "pretrained":
            continue
        made = fit(**choosing(block, {"use": name}))
        stored = json.loads(json.dumps(made.model_dump(mode="json")))
        use = [name] if block == "augment" else name
        assert stored["train"][block] == json.loads(json.dumps({"use": use, name: entries.options(name, {})}))
        again = FitSettings.model_validate(stored)
        assert again.model_dump(mode="json") == stored
        # Written down once more, nothing is added.
        parts = (again.resample, again.tensors, again.model, again.train)
        assert fit_settings(TASK, 1, *parts).model_dump(mode="json") == stored


@pytest.mark.parametrize("block", CHOICES)
def test_an_unknown_name_or_option_of_a_choice_is_refused_with_its_full_key_chosen_or_not(block):
    entries = CHOICES[block].entries()
    unknown = (
        rf"^train\.{block}: Unknown {entries.kind} 'no_such_name'\..* Known: {', '.join(sorted(entries.names()))}\.$"
    )
    with pytest.raises(BeatwiseError, match=unknown):
        check(**choosing(block, {"use": "no_such_name"}))
    with pytest.raises(BeatwiseError, match=unknown):
        check(**choosing(block, {"use": CHOICES[block].use, "no_such_name": {}}))
    for name in entries.names():
        with pytest.raises(
            BeatwiseError, match=rf"^train\.{block}\.{name}\.no_such_option: Unknown parameter 'no_such_option'\."
        ):
            check(**choosing(block, {"use": entries.names()[0], name: {"no_such_option": 1}}))


def test_a_value_that_is_not_allowed_is_refused_with_its_full_key():
    with pytest.raises(BeatwiseError, match=r"^train\.loss\.focal\.gamma: .*greater than or equal to 0; got -1\."):
        check(loss={"use": "focal", "focal": {"gamma": -1}})


def test_the_model_is_checked_too():
    with pytest.raises(BeatwiseError, match=r"^model: Unknown model 'resnet'\. Did you mean 'resnet"):
        check("resnet")
    with pytest.raises(BeatwiseError, match=r"^model\.mlp\.widht: Unknown parameter"):
        check_fit(Model(use="cnn1d", mlp={"widht": 3}), Train(), Tensors(use="auto"))


# --- augmentations


@pytest.mark.parametrize("tensors", REPRESENTATIONS.names())
def test_augmentations_are_refused_where_there_is_nothing_that_they_change(tensors):
    for name in AUGMENTATIONS.names():
        held_by = ("identity",) if name in (*OF_PICTURES, *OF_LEADS) else OF_THE_SIGNAL
        if tensors in held_by or name in (*OF_ANY_SERIES, *OF_FEATURES):
            check("mlp", tensors, augment={"use": name})
            continue
        with pytest.raises(BeatwiseError, match=rf"The augmentation '{name}' changes .*'{tensors}'"):
            check("mlp", tensors, augment={"use": name})


@pytest.mark.parametrize(
    ("given", "names"),
    [
        ("", []),
        ([], []),
        ("shift+noise", ["shift", "noise"]),
        (" noise + shift ", ["noise", "shift"]),
        (["mixup", "graft"], ["mixup", "graft"]),
        ("shift+shift", ["shift", "shift"]),
    ],
)
def test_augmentations_are_a_list_or_names_joined_by_plus_signs(given, names):
    made = Augment(use=given)
    assert made.use == names
    assert [name for name, _ in made.in_order()] == names
    assert made.chosen_values()["use"] == "+".join(names)


def test_augmentations_are_nothing_else():
    with pytest.raises(ValueError, match="use"):
        Augment.model_validate({"use": [["shift"]]})


def test_each_augmentation_gets_its_own_options():
    given = Augment.model_validate({"use": "noise+shift", "shift": {"share": 0.1}, "noise": {"sd": 0.2}, "graft": {}})
    assert given.in_order() == [("noise", {"sd": 0.2, "share": 0.5}), ("shift", {"max_samples": 4, "share": 0.1})]
    assert given.chosen_values() == {"use": "noise+shift", "noise": {"sd": 0.2}, "shift": {"share": 0.1}}


# --- the representation


def test_auto_is_the_representation_that_the_model_is_made_for_and_a_named_one_is_taken():
    for model in MODELS.names():
        made = fit(model=model)
        assert made.tensors.use == MODELS[model].representation
        assert made.tensors.options == REPRESENTATIONS.options(made.tensors.use, {})
    for name in REPRESENTATIONS.names():
        assert representation(Model(use="resnet2d"), Tensors(use=name)) == name


def test_auto_takes_the_options_that_are_configured_for_its_representation():
    given = Tensors.model_validate({"use": "auto", "features": False, "image": {"height": 20, "width": 10}})
    made = fit(model="resnet2d", tensors=given)
    assert (made.tensors.use, made.tensors.features) == ("image", False)
    assert made.tensors.options == {"height": 20, "width": 10}


def test_an_unknown_representation_lists_auto_among_the_known_ones():
    with pytest.raises(ValueError, match=r"Unknown representation 'picture'.*Known: .*auto"):
        Tensors(use="picture")


# --- what is written down


def test_a_fit_writes_down_only_its_choices():
    made = fit(
        loss={"use": "focal", "cross_entropy": {"label_smoothing": 0.3}},
        augment={"use": "noise+mixup", "mixup": {"alpha": 1.0}, "shift": {"share": 0.2}},
    )
    settings = made.model_dump(mode="json")["train"]
    assert set(settings) == set(Train.model_fields)
    assert settings["loss"] == {"use": "focal", "focal": {"gamma": 2.0}}
    assert settings["augment"] == {
        "use": ["noise", "mixup"],
        "noise": {"sd": 0.02, "share": 0.5},
        "mixup": {"alpha": 1.0, "share": 0.5, "mostly_itself": False},
    }


def test_defaults_that_are_spelled_out_make_the_same_fit():
    spelled: dict[str, Any] = {name: {"use": choice.use, **dict(choice.in_order())} for name, choice in CHOICES.items()}
    assert fit(**spelled).model_dump(mode="json") == fit().model_dump(mode="json")


@pytest.mark.parametrize(("capability", "warnings"), [("AVX2", 1), ("AVX512", 0)])
def test_a_processor_that_emulates_bfloat16_is_named_once(monkeypatch, caplog, capability, warnings):
    monkeypatch.setattr("torch.backends.cpu.get_cpu_capability", lambda: capability)
    monkeypatch.setattr("torch.cuda.is_available", lambda: False)
    warn_of_emulated_bfloat16.cache_clear()
    for precision in ("float32", "bfloat16", "bfloat16"):
        check(precision=precision)
    assert [record.levelname for record in caplog.records] == ["WARNING"] * warnings
