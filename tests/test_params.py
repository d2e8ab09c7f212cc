from __future__ import annotations

import copy
import re
from collections.abc import Iterator
from typing import Any

import pytest
from pydantic import BaseModel

from beatwise.core.errors import BeatwiseError
from beatwise.core.nested import flatten, merged, nested
from beatwise.core.settings import Block, Choice
from beatwise.networks.settings import Model
from beatwise.params import Parameters, check_globals, check_parameters
from beatwise.settings import CONFIG_LOADER_ARGS, ConfigLoader
from beatwise.training.fit import changed_fit, fit_blocks
from tests.conftest import ROOT

CONF = ROOT / "conf"
ENVIRONMENTS = sorted(path.name for path in CONF.iterdir() if path.is_dir())


def load(env: str) -> dict[str, Any]:
    return dict(ConfigLoader(str(CONF), env=env, **CONFIG_LOADER_ARGS)["parameters"])


@pytest.fixture(scope="module")
def base() -> dict[str, Any]:
    return load("base")


def changed(parameters: dict[str, Any], key: str, value: object) -> dict[str, Any]:
    """The parameters with one value set, blocks made where there are none."""
    return merged(parameters, nested({key: value}))


def at(parameters: Any, key: str) -> Any:
    for name in key.split("."):
        parameters = parameters[name]
    return parameters


def blocks(model: type[BaseModel], prefix: str = "") -> Iterator[tuple[str, type[Block]]]:
    for name, field in model.model_fields.items():
        if isinstance(field.annotation, type) and issubclass(field.annotation, Block):
            yield prefix + name, field.annotation
            yield from blocks(field.annotation, f"{prefix}{name}.")


CHOICES = {key: block for key, block in blocks(Parameters) if issubclass(block, Choice)}
# Checked before a run that trains, see tests/training/test_options.py.
LATER = {key for key, block in CHOICES.items() if block.needs_torch}


# --- the configuration that is delivered


@pytest.mark.parametrize("env", ENVIRONMENTS)
def test_the_parameters_of_every_environment_pass(env):
    assert check_parameters(load(env)).source == ("demo" if env in ("base", "local") else env)


def test_an_environment_overrides_single_parameters_and_not_whole_blocks():
    parameters = check_parameters(load("test"))
    assert (parameters.train.epochs, parameters.train.patience) == (2, 8)


def test_a_mapping_with_keys_of_ones_own_is_replaced_as_a_whole(tmp_path):
    (tmp_path / "base").symlink_to(CONF / "base")
    (tmp_path / "mine").mkdir()
    (tmp_path / "mine" / "globals.yml").write_text("classes: [normal, ectopic]\nbeats_labels: {0: normal}")
    (tmp_path / "mine" / "parameters.yml").write_text(
        """
        segment: {lead: II, aami: {normal: [N, L], ectopic: [V]}}
        tune: {quick: {trials: 2, space: {model: {use: mlp, mlp: {}}}}, models: {mlp: {}}}
        compare: {quick: {models: {mine: {}}}}
        ingest: {split: {given: {val_share: 0.3}}}
        """
    )
    given = {"compare": {"quick": {"models": {"other": {}}}}, "ingest": {"split": {"given": {"test_share": 0.4}}}}
    loader = ConfigLoader(str(tmp_path), env="mine", runtime_params=given, **CONFIG_LOADER_ARGS)
    parameters, base = dict(loader["parameters"]), load("base")
    assert parameters["segment"] == base["segment"] | {
        "lead": "II",
        "aami": {"normal": ["N", "L"], "ectopic": ["V"]},
    }
    assert parameters["tune"]["quick"] == base["tune"]["quick"] | {
        "trials": 2,
        "space": {"model": {"use": "mlp", "mlp": {}}},
    }
    assert parameters["tune"]["models"] == {"mlp": {}}
    assert parameters["tune"]["gru"] == base["tune"]["gru"]
    assert parameters["ingest"]["split"]["given"] == {"val_share": 0.3, "test_share": 0.4}
    # The command adds to what the files say.
    assert parameters["compare"]["quick"]["models"] == {"mine": {}, "other": {}}
    assert parameters["classes"] == ["normal", "ectopic"]
    assert loader.runtime_params == given


KAGGLE_NAMES = ["Normal beat (N)", "Supraventricular [S]", "PVC / V", "F: 'fusion'", 'Unknown "Q"']


@pytest.mark.parametrize(
    ("classes", "refused"),
    [
        (KAGGLE_NAMES, None),
        (["N", "V", "N"], "The class 'N' stands there twice"),
        (["a/b", "a:b"], "The class 'a:b' and 'a/b' are the same to MLflow"),
        (["N", "$V$"], "'$V$' cannot be the name of a class"),
        (["N", ""], "'' cannot be the name of a class"),
        (["N ", "V"], "'N ' cannot be the name of a class"),
        (["_N", "V"], "'_N' cannot be the name of a class"),
        (["N\nV", "V"], "cannot be the name of a class"),
        (["N" * 61, "V"], "cannot be the name of a class"),
    ],
)
def test_names_of_classes_are_checked_before_anything_runs(classes, refused):
    loader = ConfigLoader(str(CONF), env="base", **CONFIG_LOADER_ARGS)
    given = {**loader["globals"], "classes": classes}
    if refused is None:
        assert check_globals(given).classes == classes
        return
    with pytest.raises(BeatwiseError, match=re.escape(refused)):
        check_globals(given)


def test_a_label_is_of_a_known_class():
    loader = ConfigLoader(str(CONF), env="base", **CONFIG_LOADER_ARGS)
    with pytest.raises(BeatwiseError, match=r"beats_labels.*1: Unknown class 'PVC'. Known: F, N, Q, S, V"):
        check_globals({**loader["globals"], "beats_labels": {1: "PVC"}})


def test_conf_base_states_every_parameter(base):
    assert set(base) == set(Parameters.model_fields)


def test_every_parameter_is_described():
    models: list[Any] = [Parameters, *(block for _, block in blocks(Parameters) if not issubclass(block, Choice))]
    for model in models:
        for name, field in model.model_fields.items():
            is_block = isinstance(field.annotation, type) and issubclass(field.annotation, Block)
            # What globals.yml says is described there.
            assert (
                field.description or is_block or name in ("source", "sample_rate", "beat_length", "classes", "seed")
            ), (model, name)


def test_the_title_page_takes_what_differs_between_persons_from_the_environment(monkeypatch):
    monkeypatch.delenv("BEATWISE_AUTHOR", raising=False)
    monkeypatch.delenv("BEATWISE_REPOSITORY", raising=False)
    report = check_parameters(load("mitbih")).report
    assert (report.author, report.repository) == ("The Beatwise authors", "")
    monkeypatch.setenv("BEATWISE_AUTHOR", "Ada, and Grace: both")
    monkeypatch.setenv("BEATWISE_REPOSITORY", "https://example.org/beats")
    report = check_parameters(load("mitbih")).report
    assert (report.author, report.repository) == ("Ada, and Grace: both", "https://example.org/beats")


@pytest.mark.parametrize("key", CHOICES)
def test_conf_base_states_every_option_of_every_choice_with_its_default(base, key):
    block, entries = at(base, key), CHOICES[key].entries()
    # These follow the source.
    source = ConfigLoader(str(CONF), env="base", **CONFIG_LOADER_ARGS)["globals"]
    from_globals = {
        "segment.rule.kaggle": {"n_samples": source["beat_length"]},
        "segment.rule.window": {"rate": source["sample_rate"]},
        "task.classification": {"classes": source["classes"]},
    }
    for name in entries.names():
        expected = entries.options(name, from_globals.get(f"{key}.{name}", {}))
        assert entries.options(name, block.get(name, {})) == expected
        # What a model's options leave out takes its default (docs/reference/models.md).
        assert key == "model" or set(block.get(name, {})) == set(expected)


# --- one contract for each kind of mistake


@pytest.mark.parametrize(
    "key", [key for key, _ in blocks(Parameters) if key not in {*LATER, "recipe", "compare", "tune"}]
)
def test_an_unknown_key_is_refused_in_every_block_and_for_every_entry_of_a_choice(base, key):
    def problem(given: str) -> str:
        with pytest.raises(BeatwiseError) as caught:
            check_parameters(changed(base, given, 1))
        heading, line = str(caught.value).split("\n")
        assert heading == "The parameters cannot be used:"
        return line

    if key not in CHOICES:
        model: Any = dict(blocks(Parameters))[key]
        known = ", ".join(sorted(model.model_fields))
        assert problem(f"{key}.no_such_key") == (f"{key}.no_such_key: Unknown parameter 'no_such_key'. Known: {known}.")
        return
    entries = CHOICES[key].entries()
    unknown = f"{key}: Unknown {entries.kind} 'no_such_key'. Known: {', '.join(sorted(entries.names()))}."
    assert problem(f"{key}.no_such_key") == unknown
    with pytest.raises(BeatwiseError, match=rf"\n{key}: Unknown {entries.kind} 'no_such_name'\."):
        check_parameters(changed(base, f"{key}.use", "no_such_name"))
    for name in entries.names():
        known = ", ".join(sorted(entries.options(name, {}))) or "none"
        assert problem(f"{key}.{name}.no_such_option") == (
            f"{key}.{name}.no_such_option: Unknown parameter 'no_such_option'. Known: {known}."
        )


@pytest.mark.parametrize("key", sorted(LATER))
def test_a_choice_that_needs_torch_is_refused_when_it_is_checked(base, key):
    given = check_parameters(changed(base, f"{key}.no_such_key", {}))
    choice = given.model if key == "model" else getattr(given.train, key.removeprefix("train."))
    with pytest.raises(BeatwiseError, match=f"^{key}: Unknown {choice.entries().kind} 'no_such_key'"):
        choice.check(key)


def test_a_value_that_is_not_allowed_is_named_with_its_key_and_shown(base):
    for key, value in [
        ("seed", -1),  # below a bound
        ("task.classification.classes", ["N"]),  # too few
        ("ingest.drop_duplicates", "perhaps"),  # no boolean
        ("ingest.split.given.val_share", 1.5),  # an option above a bound
        ("train.learning_rate", "fast"),  # no number
        ("train.learning_rate", float("inf")),
        ("train.optimizer", "adam"),  # a choice without `use`
        ("train.augment.use", 3),  # no list
        ("train.precision", "float16"),  # not among the allowed values
        ("train.monitor", "recall"),  # no overall metric
        ("compare.quick.seeds", []),  # in a preset
        ("segment.lead", []),  # of no type
        ("segment.aami", {"N": "N"}),  # within a mapping
    ]:
        with pytest.raises(BeatwiseError) as caught:
            check_parameters(changed(base, key, value))
        shown = next(iter(value.values()), None) if isinstance(value, dict) else value
        assert f"\n{key}" in str(caught.value)
        assert repr(shown) in str(caught.value)


def test_all_problems_are_named_at_once(base):
    with pytest.raises(BeatwiseError) as caught:
        check_parameters(changed(changed(changed(base, "train.epochs", 0), "seed", "x"), "trian", {}))
    assert len(str(caught.value).splitlines()) == 4
    assert "trian: Unknown parameter 'trian'. Did you mean 'train'?" in str(caught.value)


def test_a_missing_block_is_named(base):
    with pytest.raises(BeatwiseError, match="train: Field required"):
        check_parameters({key: value for key, value in base.items() if key != "train"})


def test_options_that_are_no_mapping_are_refused(base):
    with pytest.raises(BeatwiseError) as caught:
        check_parameters(changed(base, "resample.smote", 5))
    problem = "resample.smote: got 5; allowed: the options of the resampling strategy by name."
    assert str(caught.value) == f"The parameters cannot be used:\n{problem}"


def test_a_preset_that_does_not_exist_lists_the_known_ones_and_every_preset_is_checked_used_or_not(base):
    with pytest.raises(BeatwiseError, match=r"compare: Unknown comparison 'no_such_name'\..*Known: .*quick"):
        check_parameters(changed(base, "compare.use", "no_such_name"))
    with pytest.raises(BeatwiseError, match=r"\ncompare\.other\.sedes: Unknown parameter 'sedes'\."):
        check_parameters(changed(base, "compare.other", {"models": {"mlp": {}}, "sedes": [1]}))


def test_every_recipe_is_a_fit(base):
    given = check_parameters(base)
    blocks_of_fit = fit_blocks(given.resample, given.tensors, given.model, given.train)
    for name, recipe in base["recipe"].items():
        if name != "use":
            fit = changed_fit(blocks_of_fit, recipe, given.task, 1, f"recipe.{name}")
            assert (fit.train.keep, fit.model.use) == (("best", "cnn1d") if name == "none" else ("last", "se_resnet1d"))
    with_ramp = {"tensors": {"use": "identity"}, "model": {"se_resnet1d": {"difference_and_ramp": True}}}
    with pytest.raises(BeatwiseError, match=r"se_resnet1d\.difference_and_ramp: .*'identity' has no mask"):
        changed_fit(blocks_of_fit, merged(base["recipe"]["window"], with_ramp), given.task, 1, "here")


# --- what is handed on


def test_a_choice_fills_in_the_defaults_of_its_entry(base):
    parameters = check_parameters(changed(base, "resample", {"use": "smote_enn", "smote_enn": {"k_neighbors": 2}}))
    assert parameters.resample.options == {"k_neighbors": 2, "n_neighbors": 3}
    assert Model(use="cnn1d", cnn1d={"kernel_size": 5}).options["kernel_size"] == 5


def test_parameters_do_not_change(base):
    with pytest.raises(ValueError, match="frozen"):
        check_parameters(base).train.epochs = 3  # type: ignore[misc]


@pytest.mark.parametrize("key", ["steps_per_epoch", "max_minutes", "gradient_clip", "patience"])
def test_null_is_a_value_where_there_can_be_no_limit(base, key):
    assert getattr(check_parameters(changed(base, f"train.{key}", None)).train, key) is None


def test_a_tracker_gets_the_options_of_the_chosen_entry_only(base):
    given = changed(base, "train.augment.use", "noise+mixup")
    values = check_parameters(changed(given, "train.loss.use", "focal")).train.chosen_values()
    assert values["loss"] == {"use": "focal", "focal": {"gamma": 2.0}}
    assert values["optimizer"] == {"use": "adamw", "adamw": {"weight_decay": 0.01}}
    assert set(values["augment"]) == {"use", "noise", "mixup"}
    assert values["augment"]["use"] == "noise+mixup"


def test_a_run_checks_its_parameters_once(monkeypatch: pytest.MonkeyPatch):
    from kedro.framework.session import KedroSession
    from kedro.framework.startup import bootstrap_project

    bootstrap_project(ROOT)
    checked: list[str] = []
    check = Choice.check

    def counted(self: Choice, key: str = "") -> None:
        checked.append(type(self).__name__)
        check(self, key)

    monkeypatch.setattr(Choice, "check", counted)
    with KedroSession.create(project_path=ROOT, env="test") as session:
        context = session.load_context()
        made = context.catalog.load("params:resample"), context.catalog.load("params:train")
    assert [type(block).__name__ for block in made] == ["Resample", "Train"]
    assert (checked.count("Resample"), checked.count("SplitChoice")) == (1, 1)


# --- nested mappings


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
