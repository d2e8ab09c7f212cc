from __future__ import annotations

import copy
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
from kedro.config import OmegaConfigLoader
from pydantic import BaseModel

from beatwise.core.errors import BeatwiseError
from beatwise.core.nested import flatten, merged, nested
from beatwise.core.registry import Registry
from beatwise.core.settings import Block, Choice, Choices
from beatwise.data.augmentations import AUGMENTATIONS
from beatwise.data.representations import REPRESENTATIONS
from beatwise.data.resampling import STRATEGIES
from beatwise.data.splits import SPLITS
from beatwise.ecg.segmentation import RULES
from beatwise.explanation.projections import PROJECTIONS
from beatwise.networks.settings import Model
from beatwise.networks.zoo import MODELS
from beatwise.params import Parameters, check_parameters
from beatwise.search.settings import Algorithm, TrialScheduler
from beatwise.settings import CONFIG_LOADER_ARGS
from beatwise.training.options import CHOICES as TRAINING_CHOICES
from beatwise.training.settings import Augment, TrainingChoice

CONF = Path(__file__).parents[1] / "conf"
ENVIRONMENTS = sorted(path.name for path in CONF.iterdir() if path.is_dir())
CHOICES: dict[str, Registry[Any]] = {
    "ingest.split": SPLITS,
    "resample": STRATEGIES,
    "tensors": REPRESENTATIONS,
    "segment.rule": RULES,
    "explain.projections": PROJECTIONS,
}
# Checked before a run by `check_fit`, because these registries need torch.
LATER: dict[str, Registry[Any]] = {
    "model": MODELS,
    **{f"train.{name}": registry for name, registry in TRAINING_CHOICES.items()},
    "train.augment": AUGMENTATIONS,
}


def load(env: str) -> dict[str, Any]:
    return dict(OmegaConfigLoader(str(CONF), env=env, **CONFIG_LOADER_ARGS)["parameters"])


@pytest.fixture(scope="module")
def base() -> dict[str, Any]:
    return load("base")


def changed(parameters: dict[str, Any], key: str, value: object) -> dict[str, Any]:
    """The parameters with one value set, blocks made where there are none."""
    result = copy.deepcopy(parameters)
    *above, last = key.split(".")
    block = result
    for name in above:
        block = block.setdefault(name, {})
    block[last] = value
    return result


def blocks(model: type[BaseModel], prefix: str = "") -> Iterator[str]:
    for name, field in model.model_fields.items():
        if isinstance(field.annotation, type) and issubclass(field.annotation, Block):
            yield prefix + name
            yield from blocks(field.annotation, f"{prefix}{name}.")


def key_names(block: str) -> list[str]:
    """The keys of a block that chooses nothing."""
    model: Any = Parameters
    for name in block.split("."):
        model = model.model_fields[name].annotation
    return list(model.model_fields)


@pytest.mark.parametrize("env", ENVIRONMENTS)
def test_the_parameters_of_every_environment_pass(env):
    assert check_parameters(load(env)).source == ("demo" if env in ("base", "local") else env)


def test_an_environment_overrides_single_parameters_and_not_whole_blocks():
    parameters = check_parameters(load("test"))
    assert (parameters.train.epochs, parameters.train.patience) == (2, 8)


def test_conf_base_states_every_parameter(base):
    assert set(base) == set(Parameters.model_fields)


def test_the_title_page_takes_what_differs_between_persons_from_the_environment(monkeypatch):
    monkeypatch.delenv("BEATWISE_AUTHOR", raising=False)
    monkeypatch.delenv("BEATWISE_REPOSITORY", raising=False)
    report = check_parameters(load("mitbih")).report
    assert (report.author, report.repository) == ("The Beatwise authors", "")
    monkeypatch.setenv("BEATWISE_AUTHOR", "Ada, and Grace: both")
    monkeypatch.setenv("BEATWISE_REPOSITORY", "https://example.org/beats")
    report = check_parameters(load("mitbih")).report
    assert (report.author, report.repository) == ("Ada, and Grace: both", "https://example.org/beats")


def at(parameters: dict[str, Any], key: str) -> Any:
    found: Any = parameters
    for name in key.split("."):
        found = found[name]
    return found


# What a model's options leave out takes its default (docs/reference/models.md).
@pytest.mark.parametrize("key", [*CHOICES, *(key for key in LATER if key != "model")])
def test_conf_base_states_every_option_of_every_choice_with_its_default(base, key):
    block = at(base, key)
    # These follow the source.
    source = OmegaConfigLoader(str(CONF), env="base", **CONFIG_LOADER_ARGS)["globals"]
    from_globals = {
        "segment.rule.kaggle": {"n_samples": source["beat_length"]},
        "segment.rule.window": {"rate": source["sample_rate"]},
    }
    registry = {**CHOICES, **LATER}[key]
    for name in registry.names():
        expected = {**registry.options(name, {}), **from_globals.get(f"{key}.{name}", {})}
        assert registry.options(name, block.get(name, {})) == expected
        assert set(block.get(name, {})) == set(registry.options(name, {}))


def test_conf_base_states_options_of_models_with_their_defaults(base):
    for name, options in base["model"].items():
        if name != "use":
            assert MODELS.options(name, options) == MODELS.options(name, {}), name


@pytest.mark.parametrize("block", [name for name in blocks(Parameters) if name not in (*LATER, "compare", "tune")])
def test_an_unknown_key_is_refused_in_every_block(base, block):
    with pytest.raises(BeatwiseError) as caught:
        check_parameters(changed(base, f"{block}.no_such_key", 1))
    if block in CHOICES:
        registry = CHOICES[block]
        problem = f"{block}: Unknown {registry.kind} 'no_such_key'. Known: {', '.join(sorted(registry.names()))}."
    else:
        known = ", ".join(sorted(key_names(block)))
        problem = f"{block}.no_such_key: Unknown parameter 'no_such_key'. Known: {known}."
    assert str(caught.value) == f"The parameters cannot be used:\n{problem}"


@pytest.mark.parametrize(
    ("block", "name"), [(block, name) for block, registry in CHOICES.items() for name in registry.names()]
)
def test_an_unknown_option_is_refused_even_where_its_choice_is_not_used(base, block, name):
    with pytest.raises(BeatwiseError) as caught:
        check_parameters(changed(base, f"{block}.{name}.no_such_option", 1))
    known = ", ".join(sorted(CHOICES[block].options(name, {}))) or "none"
    problem = f"{block}.{name}.no_such_option: Unknown parameter 'no_such_option'. Known: {known}."
    assert str(caught.value) == f"The parameters cannot be used:\n{problem}"


@pytest.mark.parametrize("key", LATER)
def test_what_torch_is_needed_for_is_refused_by_the_same_check_later(base, key):
    block, registry = at(base, key), LATER[key]
    kinds: dict[str, type[Choice]] = {"model": Model, "train.augment": Augment}
    kind = kinds.get(key, TrainingChoice)
    kind.model_validate(block).check(registry, key)
    changes: list[dict[str, Any]] = [{"no_such_key": {}}, {"use": "no_such_key"}]
    for change in changes:
        # The parameters alone cannot know.
        check_parameters(changed(base, key, {**block, **change}))
        with pytest.raises(BeatwiseError, match=f"Unknown {registry.kind} 'no_such_key'"):
            kind.model_validate({**block, **change}).check(registry, key)


@pytest.mark.parametrize(("block", "registry"), CHOICES.items())
def test_an_unknown_choice_lists_the_known_ones(base, block, registry):
    with pytest.raises(BeatwiseError, match=rf"\n{block}: Unknown {registry.kind} 'no_such_name'\.") as caught:
        check_parameters(changed(base, f"{block}.use", "no_such_name"))
    known = [*registry.names(), "auto"] if block == "tensors" else registry.names()
    assert f"Known: {', '.join(sorted(known))}." in str(caught.value)


@pytest.mark.parametrize(
    ("key", "value"),
    [
        ("seed", -1),
        ("sample_rate", 0),
        ("classes", ["N"]),
        ("ingest.drop_duplicates", "perhaps"),
        ("ingest.split.given.val_share", 1.5),
        ("resample.smote.k_neighbors", "five"),
        ("tensors.features", 3),
        ("tensors.scalogram.scales", [0]),
        ("train.epochs", 0),
        ("train.learning_rate", "fast"),
        ("train.class_weights", "some"),
        ("train.optimizer", "adam"),
        ("train.augment.use", 3),
        ("train.gradient_clip", 0),
        ("train.steps_per_epoch", 0),
        ("train.max_minutes", 0),
        ("train.patience", 0),
        ("train.sampler_power", 1.5),
        ("train.precision", "float16"),
        ("train.trim_padding", "often"),
        ("train.log_prior_bias", "yes please"),
        ("train.monitor", "recall"),
        ("train.monitor", "loss"),
        ("evaluate.confidence", 1),
        ("evaluate.accuracy_floor", 1.1),
        ("compare.quick.seeds", []),
        ("compare.quick.models", []),
        ("ray.cpus", 0),
        ("ray.gpus_per_fit", 2),
        ("report.examples_per_class", 51),
        ("segment.lead", [1]),
        ("segment.aami", {"N": "N"}),
        ("segment.rule.window.rate", "x"),
        ("synthesise.class_shares", {"N": 2}),
        ("download.records", "100"),
    ],
)
def test_a_value_that_is_not_allowed_is_named_with_its_key_and_shown(base, key, value):
    with pytest.raises(BeatwiseError) as caught:
        check_parameters(changed(base, key, value))
    shown = next(iter(value.values()), None) if isinstance(value, dict) else value
    # Of a list or a mapping, the item that is wrong is named too.
    assert f"\n{key}" in str(caught.value)
    assert repr(shown[0] if isinstance(shown, list) and shown == [0] else shown) in str(caught.value)


def test_all_problems_are_named_at_once(base):
    with pytest.raises(BeatwiseError) as caught:
        check_parameters(changed(changed(changed(base, "train.epochs", 0), "seed", "x"), "trian", {}))
    assert len(str(caught.value).splitlines()) == 4


def test_a_misspelt_block_is_refused_with_a_suggestion(base):
    with pytest.raises(BeatwiseError, match=r"Unknown parameter 'trian'\. Did you mean 'train'\?"):
        check_parameters(changed(base, "trian", {"epochs": 1}))


def test_a_missing_block_is_named(base):
    with pytest.raises(BeatwiseError, match="train: Field required"):
        check_parameters({key: value for key, value in base.items() if key != "train"})


@pytest.mark.parametrize("value", [5, "abc", [1]])
def test_options_that_are_no_mapping_are_refused(base, value):
    with pytest.raises(BeatwiseError) as caught:
        check_parameters(changed(base, "resample.smote", value))
    problem = f"resample.smote: got {value!r}; allowed: the options of the resampling strategy by name."
    assert str(caught.value) == f"The parameters cannot be used:\n{problem}"


@pytest.mark.parametrize("key", ["train.learning_rate", "train.max_minutes", "sample_rate"])
def test_infinity_is_no_value(base, key):
    with pytest.raises(BeatwiseError, match=rf"\n{key}: .*; got inf\."):
        check_parameters(changed(base, key, float("inf")))


def test_a_choice_fills_in_the_defaults_of_what_it_uses(base):
    parameters = check_parameters(changed(base, "resample", {"use": "smote_enn", "smote_enn": {"k_neighbors": 2}}))
    assert parameters.resample.options == {"k_neighbors": 2, "n_neighbors": 3}


def test_the_options_of_the_model_are_checked_against_the_zoo():
    assert Model(use="cnn1d", cnn1d={"kernel_size": 5}).chosen(MODELS)["kernel_size"] == 5
    with pytest.raises(BeatwiseError, match=r"mlp\.width: Input should be greater than or equal to 1; got 0"):
        Model(use="cnn1d", mlp={"width": 0}).check(MODELS)


def test_parameters_do_not_change(base):
    with pytest.raises(ValueError, match="frozen"):
        check_parameters(base).train.epochs = 3  # type: ignore[misc]


@pytest.mark.parametrize("key", ["steps_per_epoch", "max_minutes", "gradient_clip", "patience"])
def test_null_is_a_value_where_there_can_be_no_limit(base, key):
    assert getattr(check_parameters(changed(base, f"train.{key}", None)).train, key) is None


def test_augmentations_on_the_command_line_are_joined_by_plus_signs(base):
    parameters = check_parameters(changed(base, "train.augment.use", "shift+mixup"))
    assert parameters.train.augment.use == ["shift", "mixup"]


def test_a_comparison_that_does_not_exist_lists_the_known_ones(base):
    with pytest.raises(BeatwiseError, match=r"compare: Unknown comparison 'no_such_name'\..*Known: .*quick"):
        check_parameters(changed(base, "compare.use", "no_such_name"))


def test_every_preset_of_a_comparison_is_checked_used_or_not(base):
    with pytest.raises(BeatwiseError, match=r"\ncompare\.other\.sedes: Unknown parameter 'sedes'\."):
        check_parameters(changed(base, "compare.other", {"models": {"mlp": {}}, "sedes": [1]}))


def test_a_tracker_gets_the_options_of_what_was_chosen_alone(base):
    given = changed(base, "train.augment.use", "noise+mixup")
    values = check_parameters(changed(given, "train.loss.use", "focal")).train.chosen_values()
    assert values["loss"] == {"use": "focal", "focal": {"gamma": 2.0}}
    assert values["optimizer"] == {"use": "adamw", "adamw": {"weight_decay": 0.01}}
    assert set(values["augment"]) == {"use", "noise", "mixup"}
    assert values["augment"]["use"] == "noise+mixup"


def test_every_choice_of_the_configuration_is_covered_here():
    found = {name for name in blocks(Parameters) if name in {*CHOICES, *LATER}}
    assert found == {*CHOICES, *LATER}
    # Several blocks are of the kind TrainingChoice, all others of a kind of their own; a search has two more.
    kinds = ({*Choice.__subclasses__()} - {Choices}) | {*Choices.__subclasses__()}
    of_searches = {Algorithm, TrialScheduler}
    assert len(kinds - of_searches) - 1 + len(TRAINING_CHOICES) == len(found)


def test_mappings_are_merged_all_the_way_down_and_everything_else_is_replaced() -> None:
    base = {"a": {"b": 1, "c": {"d": 2, "e": 3}}, "list": [1, 2, 3], "kept": 0}
    changes = {"a": {"c": {"d": 20}, "new": 4}, "list": [9]}
    assert merged(base, changes) == {"a": {"b": 1, "c": {"d": 20, "e": 3}, "new": 4}, "list": [9], "kept": 0}


def test_a_mapping_takes_the_place_of_a_value_and_a_value_that_of_a_mapping() -> None:
    assert merged({"a": 1, "b": {"c": 2}}, {"a": {"x": 1}, "b": None}) == {"a": {"x": 1}, "b": None}


def test_merging_changes_neither_of_the_two() -> None:
    base, changes = {"a": {"b": 1}}, {"a": {"c": 2}}
    before = copy.deepcopy((base, changes))
    merged(base, changes)["a"]["b"] = 5
    assert (base, changes) == before


def test_nesting_is_the_inverse_of_flattening() -> None:
    values = {"a": {"b": 1, "c": {"d": [2], "e": {}}}, "f": None}
    assert nested(flatten(values)) == values
