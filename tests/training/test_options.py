from __future__ import annotations

import json
from typing import Any

import pytest

from beatwise.core.errors import BeatwiseError
from beatwise.core.registry import Registry
from beatwise.data.augmentations import AUGMENTATIONS, OF_ANY_SERIES, OF_THE_SIGNAL
from beatwise.data.representations import REPRESENTATIONS
from beatwise.data.settings import Resample, Tensors
from beatwise.networks.settings import Model
from beatwise.networks.zoo import MODELS
from beatwise.training.fit import fit_config
from beatwise.training.options import CHOICES, check_fit, chosen_training, representation
from beatwise.training.settings import Augment, FitConfig, Train, TrainingChoice
from tests.conftest import CLASSES

REGISTRIES: dict[str, Registry[Any]] = {**CHOICES, "augment": AUGMENTATIONS}
ENTRIES = [(block, name) for block, registry in REGISTRIES.items() for name in registry.names()]


def check(model: str = "resnet1d", tensors: str = "auto", **train: Any) -> None:
    check_fit(Model(use=model), Train.model_validate(train), Tensors(use=tensors))


def changed(block: str, choice: dict[str, Any]) -> Train:
    return Train.model_validate({block: choice})


def use_of(block: str) -> Any:
    """What is chosen where nothing is said."""
    return getattr(Train(), block).use


def with_choice(block: str, name: str, **options: Any) -> dict[str, Any]:
    return {block: {"use": name, **({name: options} if options else {})}}


def fit(*, model: str = "resnet1d", tensors: Tensors | None = None, **train: Any) -> FitConfig:
    given = tensors or Tensors(use="auto")
    return fit_config(CLASSES, 1, Resample(use="none"), given, Model(use=model), Train.model_validate(train))


# --- the choices


def test_every_choice_of_the_training_is_checked_against_a_registry():
    choices = {name for name, field in Train.model_fields.items() if field.annotation in (TrainingChoice, Augment)}
    assert choices == set(REGISTRIES)


@pytest.mark.parametrize(("block", "name"), ENTRIES)
def test_every_entry_can_be_chosen_and_gets_its_defaults(block, name):
    check(**with_choice(block, name))
    settings = chosen_training(Train.model_validate(with_choice(block, name)))
    assert settings[block] == {
        "use": [name] if block == "augment" else name,
        name: REGISTRIES[block].options(name, {}),
    }


@pytest.mark.parametrize("block", REGISTRIES)
def test_an_unknown_entry_is_refused_and_the_known_ones_named(block):
    registry = REGISTRIES[block]
    with pytest.raises(BeatwiseError, match=rf"^train\.{block}: Unknown {registry.kind} 'no_such_name'\.") as caught:
        check(**with_choice(block, "no_such_name"))
    assert f"Known: {', '.join(sorted(registry.names()))}." in str(caught.value)


@pytest.mark.parametrize("block", REGISTRIES)
def test_options_of_an_unknown_entry_are_refused(block):
    with pytest.raises(BeatwiseError, match=rf"^train\.{block}: Unknown {REGISTRIES[block].kind} 'no_such_name'\."):
        check_fit(Model(use="mlp"), changed(block, {"use": use_of(block), "no_such_name": {}}), Tensors(use="auto"))


@pytest.mark.parametrize(("block", "name"), ENTRIES)
@pytest.mark.parametrize("chosen", [True, False])
def test_an_unknown_option_is_refused_with_its_full_key_chosen_or_not(block, name, chosen):
    use = name if chosen else REGISTRIES[block].names()[0]
    with pytest.raises(BeatwiseError) as caught:
        check_fit(Model(use="mlp"), changed(block, {"use": use, name: {"no_such_option": 1}}), Tensors(use="auto"))
    assert str(caught.value).startswith(f"train.{block}.{name}.no_such_option: Unknown parameter 'no_such_option'.")


@pytest.mark.parametrize(
    ("block", "name", "option", "value"),
    [
        ("loss", "focal", "gamma", -1),
        ("loss", "cross_entropy", "label_smoothing", 1),
        ("loss", "cross_entropy", "logit_adjustment", -0.5),
        ("loss", "one_vs_rest", "label_smoothing", "much"),
        ("class_weights", "effective_number", "beta", 1),
        ("class_weights", "importance", "importance", [1, -2]),
        ("optimizer", "sgd", "momentum", 1),
        ("optimizer", "adamw", "weight_decay", -0.1),
        ("schedule", "step", "every", 0),
        ("schedule", "step", "factor", 1.5),
        ("schedule", "plateau", "patience", -1),
        ("schedule", "cosine", "warmup_epochs", -1),
        ("schedule", "one_cycle", "start", 1),
        ("average", "ema", "horizon_epochs", 0),
        ("average", "swa", "start", 1),
        ("augment", "shift", "max_samples", 0),
        ("augment", "mixup", "share", 2),
    ],
)
def test_a_value_that_is_not_allowed_is_refused_with_its_full_key(block, name, option, value):
    with pytest.raises(BeatwiseError, match=rf"^train\.{block}\.{name}\.{option}[.:]"):
        check(**with_choice(block, name, **{option: value}))


@pytest.mark.parametrize("model", ["resnet", "use"])
def test_the_model_is_checked_too(model):
    with pytest.raises(BeatwiseError, match=f"Unknown model '{model}'"):
        check(model)
    with pytest.raises(BeatwiseError, match=r"model\.mlp\.widht: Unknown parameter"):
        check_fit(Model(use="cnn1d", mlp={"widht": 3}), Train(), Tensors(use="auto"))


# --- augmentations


@pytest.mark.parametrize("tensors", REPRESENTATIONS.names())
@pytest.mark.parametrize("name", AUGMENTATIONS.names())
def test_augmentations_of_the_signal_are_refused_where_there_is_none(name, tensors):
    if tensors in OF_THE_SIGNAL or name in OF_ANY_SERIES:
        check("mlp", tensors, augment={"use": name})
        return
    with pytest.raises(BeatwiseError, match=rf"The augmentation '{name}' changes a signal.*'{tensors}'"):
        check("mlp", tensors, augment={"use": name})


def test_the_representation_that_counts_is_the_one_that_is_used():
    unsuitable = {"augment": {"use": "mixup+shift"}}
    with pytest.raises(BeatwiseError, match="The augmentation 'shift' changes a signal"):
        check("resnet1d", "scalogram", **unsuitable)
    check("resnet1d", "auto", **unsuitable)


@pytest.mark.parametrize(
    ("given", "names"),
    [
        ("", []),
        ([], []),
        ("shift", ["shift"]),
        ("shift+noise", ["shift", "noise"]),
        (" noise + shift ", ["noise", "shift"]),
        (["mixup", "graft"], ["mixup", "graft"]),
        (("mixup",), ["mixup"]),
        ("shift+shift", ["shift", "shift"]),
    ],
)
def test_augmentations_are_a_list_or_names_joined_by_plus_signs(given, names):
    made = Augment(use=given)
    assert made.use == names
    assert [name for name, _ in made.chosen_in_order(AUGMENTATIONS)] == names
    assert made.chosen_values()["use"] == "+".join(names)


@pytest.mark.parametrize("given", [3, {"shift": 1}, [["shift"]], None])
def test_augmentations_are_nothing_else(given):
    with pytest.raises(ValueError, match="use"):
        Augment(use=given)


def test_each_augmentation_gets_its_own_options():
    given = Augment.model_validate({"use": "noise+shift", "shift": {"share": 0.1}, "noise": {"sd": 0.2}, "graft": {}})
    assert given.chosen_in_order(AUGMENTATIONS) == [
        ("noise", {"sd": 0.2, "share": 0.5}),
        ("shift", {"max_samples": 4, "share": 0.1}),
    ]
    assert given.chosen_values() == {"use": "noise+shift", "noise": {"sd": 0.2}, "shift": {"share": 0.1}}


# --- the representation


@pytest.mark.parametrize("model", MODELS.names())
def test_auto_is_the_representation_that_the_model_is_made_for(model):
    assert representation(Model(use=model), Tensors(use="auto")) == MODELS[model].representation
    made = fit(model=model)
    assert made.tensors.use == MODELS[model].representation
    assert made.tensors.options == REPRESENTATIONS.options(made.tensors.use, {})


@pytest.mark.parametrize("name", REPRESENTATIONS.names())
def test_a_representation_that_is_named_is_taken(name):
    assert representation(Model(use="resnet2d"), Tensors(use=name)) == name


def test_auto_takes_the_options_that_are_configured_for_what_it_becomes():
    given = Tensors.model_validate({"use": "auto", "features": False, "image": {"height": 20, "width": 10}})
    made = fit(model="resnet2d", tensors=given)
    assert (made.tensors.use, made.tensors.features) == ("image", False)
    assert made.tensors.options == {"height": 20, "width": 10}


@pytest.mark.parametrize("name", ["atuo", "picture"])
def test_an_unknown_representation_lists_auto_among_the_known_ones(name):
    with pytest.raises(ValueError, match=rf"Unknown representation '{name}'") as caught:
        Tensors(use=name)
    assert "auto" in str(caught.value).split("Known: ")[1]


# --- what is written down


def test_only_what_was_chosen_is_written_down_with_all_its_options():
    train = Train.model_validate(
        {
            "loss": {"use": "focal", "cross_entropy": {"label_smoothing": 0.3}},
            "optimizer": {"use": "sgd", "sgd": {"momentum": 0.5}, "adam": {}},
            "augment": {"use": "noise+mixup", "mixup": {"alpha": 1.0}, "shift": {"share": 0.2}},
        }
    )
    settings = chosen_training(train)
    assert set(settings) == set(Train.model_fields)
    assert settings["loss"] == {"use": "focal", "focal": {"gamma": 2.0}}
    assert settings["optimizer"] == {"use": "sgd", "sgd": {"momentum": 0.5, "weight_decay": 1e-4}}
    assert settings["augment"] == {
        "use": ["noise", "mixup"],
        "noise": {"sd": 0.02, "share": 0.5},
        "mixup": {"alpha": 1.0, "share": 0.5},
    }
    assert settings["schedule"] == {"use": "cosine", "cosine": {"warmup_epochs": 1.0}}


@pytest.mark.parametrize(("block", "name"), ENTRIES)
def test_what_was_chosen_comes_back_from_json_and_means_the_same(block, name):
    if getattr(REGISTRIES[block][name], "task", "classification") != "classification":
        return
    made = fit(**with_choice(block, name))
    stored = json.loads(json.dumps(made.model_dump(mode="json")))
    again = FitConfig.model_validate(stored)
    assert again.model_dump(mode="json") == stored
    assert json.dumps(chosen_training(again.train)) == json.dumps(chosen_training(made.train))
    # Written down once more, nothing is added.
    assert (
        fit_config(CLASSES, 1, again.resample, again.tensors, again.model, again.train).model_dump(mode="json")
        == stored
    )


def test_defaults_that_are_spelled_out_make_the_same_fit():
    spelled: dict[str, Any] = {}
    for name, registry in CHOICES.items():
        use = use_of(name)
        spelled[name] = {"use": use, use: registry.options(use, {})}
    assert fit(**spelled).model_dump(mode="json") == fit().model_dump(mode="json")
