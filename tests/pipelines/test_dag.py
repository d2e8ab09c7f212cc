"""The DAG as a contract: what is registered, where datasets live, who may touch what."""

from __future__ import annotations

import subprocess
import sys
from collections.abc import Callable
from contextlib import chdir
from pathlib import Path
from typing import Any

import pytest
from kedro.framework.project import pipelines as registered
from kedro.framework.startup import bootstrap_project
from kedro.inspection import get_project_snapshot

from beatwise.data.resampling import STRATEGIES
from beatwise.params import Parameters
from tests.conftest import ROOT

NAMES = {
    "train",
    "tune",
    "evaluate",
    "explain",
    "ingest",
    "fit",
    "report",
    "compare",
    "transfer",
    "segment",
    "provenance",
    "score",
    "monitor",
    "download",
    "promote",
}
ENVIRONMENTS = sorted(folder.name for folder in (ROOT / "conf").iterdir() if (folder / "globals.yml").is_file())
LAYERS = [f.name for f in sorted((ROOT / "data").iterdir()) if f.is_dir()]


@pytest.fixture(scope="module")
def snapshot():
    bootstrap_project(ROOT)
    return get_project_snapshot(ROOT)


@pytest.fixture(scope="module")
def pipelines():
    bootstrap_project(ROOT)
    return dict(registered)


def test_every_package_is_a_registered_pipeline_and_the_default_is_tune(pipelines) -> None:
    assert set(pipelines) == NAMES | {"__default__"}
    assert set(pipelines["__default__"].nodes) == set(pipelines["tune"].nodes)


def test_every_pipeline_package_has_a_readme() -> None:
    for name in NAMES:
        assert (ROOT / "src" / "beatwise" / "pipelines" / name / "README.md").is_file()


@pytest.mark.parametrize("env", ENVIRONMENTS)
def test_every_dataset_resolves_in_the_catalog_of_every_environment(env: str, pipelines, tmp_path: Path) -> None:
    from kedro.framework.session import KedroSession

    with KedroSession.create(project_path=ROOT, env=env) as session:
        catalog = session.load_context().catalog
        for name in {d for p in pipelines.values() for d in p.datasets() if not d.startswith("params:")}:
            assert catalog.get(name) is not None, f"{name} is in no catalog file"
            assert type(catalog[name]).__name__ != "MemoryDataset", f"{name} would be lost after the run"


def test_every_parameter_of_a_node_is_declared_and_every_declared_block_is_used(pipelines) -> None:
    used = {d.removeprefix("params:") for p in pipelines.values() for d in p.inputs() if d.startswith("params:")}
    # The hypothesis is nothing to a node: it changes no number. The recipe has become the parameters of a fit.
    assert used | {"hypothesis", "recipe"} == set(Parameters.model_fields)


def test_every_stored_dataset_has_a_layer_that_is_a_folder_of_data(pipelines) -> None:
    from kedro.framework.session import KedroSession

    with KedroSession.create(project_path=ROOT) as session:
        catalog = session.load_context().catalog
        for name in {d for p in pipelines.values() for d in p.datasets() if not d.startswith("params:")}:
            assert catalog[name].metadata["kedro-viz"]["layer"] in LAYERS, name


# Boxes that are drawn: tasks, data and groups of them; parameters are hidden until they are asked for.
OPENED, MORE_ON_A_CLICK = 18, 20


@pytest.fixture(scope="module")
def viz() -> Callable[[str], Any]:
    """The function that gives what kedro-viz's page asks for to draw a pipeline."""
    from kedro_viz.api.rest.responses.pipelines import get_pipeline_response
    from kedro_viz.server import load_and_populate_data

    with chdir(ROOT):
        load_and_populate_data(ROOT)
    return get_pipeline_response


def drawn_below(response: Any, group: str) -> set[str]:
    """Names of the boxes that take the place of a group when it is opened."""
    nodes = {node.id: node for node in response.nodes}
    children = {child.id for child in response.modular_pipelines[group].children}
    return {nodes[id].name for id in children if nodes[id].type != "parameters"}


def test_kedro_viz_opens_with_few_boxes_and_shows_few_more_on_a_click(viz) -> None:
    for name in sorted(NAMES | {"__default__"}):
        response = viz(name)
        assert len(drawn_below(response, "__root__")) <= OPENED
        for group in set(response.modular_pipelines) - {"__root__"}:
            # The group itself goes.
            assert len(drawn_below(response, group)) - 1 <= MORE_ON_A_CLICK, group


def test_kedro_viz_reads_as_the_flow(viz) -> None:
    response = viz("__default__")
    assert {"ingest", "baseline", "tuned"} <= drawn_below(response, "__root__")
    fit = {"resample_train", "build_tensors", "train_model", "explain_model"}
    assert fit | {"configure_fit", "baseline.evaluate", "baseline.report"} <= drawn_below(response, "baseline")
    assert fit | {"tuned.search", "tuned.evaluate", "tuned.report"} <= drawn_below(response, "tuned")


def test_kedro_viz_can_put_the_layers_of_the_whole_flow_in_order(viz) -> None:
    # kedro-viz makes no layers at all of a circle.
    for name in ("__default__", "tune", "train"):
        assert viz(name).layers == LAYERS[:-1]


# Why kedro-viz shows nothing of what lies in them.
NO_PREVIEW = {
    "RecordsDataset": "hours of signal, which are read record by record",
    "PhysioNetDataset": "what is written to it is a request",
    "RegistryDataset": "its pages are those of MLflow",
    "FolderDataset": "nodes read and write it by key, and it is empty when they are done",
}


def test_kedro_viz_has_a_preview_of_every_dataset_but_records_and_folders(pipelines) -> None:
    import inspect

    from kedro.framework.session import KedroSession
    from kedro_datasets import _typing

    with KedroSession.create(project_path=ROOT) as session:
        catalog = session.load_context().catalog
        for name in {d for p in pipelines.values() for d in p.datasets() if not d.startswith("params:")}:
            dataset = catalog[name]
            if type(dataset).__name__ in NO_PREVIEW:
                continue
            # kedro-viz draws it by what it is annotated with.
            kind = inspect.signature(dataset.preview).return_annotation
            assert hasattr(_typing, getattr(kind, "__name__", kind)), f"{name}: {kind}"
            given = dataset.metadata["kedro-viz"].get("preview_args", {})
            inspect.signature(dataset.preview).bind(**given)


def test_every_node_has_a_verb_for_a_name_and_a_stage_for_a_tag(pipelines) -> None:
    stages = {"ingest", "configure", "resample", "tensors", "train", "evaluate", "report"}
    stages |= {"explain", "segment", "provenance", "download", "score", "monitor", "promote"}
    for node in {n for p in pipelines.values() for n in p.nodes}:
        assert "_" in node.short_name, f"{node.short_name}: verb_object"
        assert len(node.tags & stages) == 1


def test_only_the_training_part_is_resampled(pipelines) -> None:
    (resample,) = (n for n in pipelines["train"].nodes if n.short_name == "resample_train")
    assert set(resample.inputs) == {"train_beats", "baseline.config"}


def test_training_never_sees_the_test_part(pipelines) -> None:
    (train,) = (n for n in pipelines["train"].nodes if n.short_name == "train_model")
    parts = {"train_beats", "val_beats", "baseline.train_tensors", "baseline.val_tensors"}
    assert set(train.inputs) == parts | {"baseline.config", "checkpoints"}


def test_nothing_but_the_evaluation_predicts_the_test_part(pipelines) -> None:
    readers = {n.short_name for n in pipelines["train"].nodes if "baseline.test_tensors" in n.inputs}
    assert readers == {"predict_beats"}


def test_the_explanation_never_sees_the_test_part(pipelines) -> None:
    explained = pipelines["explain"]
    assert explained.inputs() == {
        *("baseline.model", "baseline.val_predictions", "val_beats"),
        *(f"params:{name}" for name in ("explain", "seed", "sample_rate")),
    }
    for name in ("train", "evaluate", "tune"):
        assert "baseline.explain_model" in {n.name for n in pipelines[name].nodes}
    assert "tuned.explain_model" in {n.name for n in pipelines["tune"].nodes}


def test_the_evaluation_trains_nothing(pipelines) -> None:
    assert "baseline.model" in pipelines["evaluate"].inputs()
    assert not {"train_model", "resample_train"} & {n.short_name for n in pipelines["evaluate"].nodes}


def test_the_snapshot_that_kedro_gives_to_other_tools_knows_every_pipeline(snapshot) -> None:
    assert {pipeline.name for pipeline in snapshot.pipelines} == NAMES | {"__default__"}


HEAVY = ("torch", "ray", "sklearn", "imblearn", "matplotlib.pyplot", "pywt", "wfdb")


def test_pipelines_parameters_and_tasks_load_without_heavy_libraries() -> None:
    registry = "from kedro.framework.project import configure_project, pipelines; configure_project('beatwise')"
    names = ("params", "data.splits", "data.resampling", "data.representations", "tasks.registry")
    modules = ", ".join(f"beatwise.{name}" for name in names)
    loaded = f"{registry}; dict(pipelines); import sys, {modules}"
    check = f"{loaded}; print([m for m in {HEAVY} if m in sys.modules])"
    shown = subprocess.run([sys.executable, "-c", check], capture_output=True, text=True, check=True, cwd=ROOT)
    assert shown.stdout.strip().splitlines()[-1] == "[]"


def test_no_strategy_can_be_chosen_that_the_parameters_file_does_not_name() -> None:
    text = (ROOT / "conf" / "base" / "parameters" / "fit.yml").read_text(encoding="utf-8")
    for name in STRATEGIES.names():
        assert name in text
