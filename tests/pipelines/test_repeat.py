"""Runs end with a run card, and `kedro repeat` runs again what a card says."""

from __future__ import annotations

import getpass
import json
import os
import re
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import mlflow
import pandas as pd
import pytest
import yaml
from click.testing import Result
from kedro.framework.session import KedroSession
from kedro.framework.startup import bootstrap_project
from kedro.io import DataCatalog, MemoryDataset

from beatwise.comparison.documents import Row
from beatwise.core.nested import flatten
from beatwise.datasets.document import DocumentDataset
from beatwise.datasets.examples import ExamplesDataset
from beatwise.datasets.folder import FolderDataset
from beatwise.datasets.whole import WholeJSONDataset
from beatwise.hooks import Recorder, RepetitionHooks
from beatwise.hooks.recorder import does
from beatwise.hooks.repetition import repeating
from beatwise.pipelines import compare, evaluate, fit, ingest, report, segment, train, tune
from beatwise.runs.card import RunCard, read_card
from beatwise.runs.journal import Journal
from beatwise.runs.metadata import package_versions
from beatwise.search.trials import Searches
from beatwise.training.checkpoint import Checkpoints
from tests.conftest import ROOT, copy_project, example_card, git, leave_untracked, typed, untracked_context, words
from tests.search.conftest import plan

# Whole runs, and their repetitions.
pytestmark = [pytest.mark.slow, pytest.mark.usefixtures("kept_process", "short_reports")]
MakeBeats = Callable[..., pd.DataFrame]
DRY = "train.epochs=1,train.steps_per_epoch=2"
CARDS = "data/08_reporting/test/run_card.json"


def cards(folder: Path) -> list[Path]:
    """The stored cards, the first one first."""
    return sorted((folder / CARDS).glob("*/run_card.json"))


# --- the card of a run


@dataclass(frozen=True)
class Ran:
    """A project in which a tracked run has left a card, and a checkpoint as one does that is killed."""

    folder: Path
    result: Result
    path: Path

    @property
    def card(self) -> RunCard:
        return read_card(self.path)


@pytest.fixture(scope="module")
def ran(tmp_path_factory: pytest.TempPathFactory, kept_process: None, short_reports: None) -> Ran:
    folder = copy_project(tmp_path_factory.mktemp("project"))
    (folder / ".gitignore").write_text("data/\nconf/local\n")
    git(folder, "init", "--quiet")
    git(folder, "add", ".")
    git(folder, "commit", "--quiet", "--message=start")
    os.chdir(folder)
    bootstrap_project(folder)
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(Checkpoints, "remove", lambda *_: None)
        result = typed("run", "--pipeline=train", "--env=test", f"--params={DRY}")
    (path,) = cards(folder)
    return Ran(folder, result, path)


@pytest.fixture(autouse=True)
def place(request: pytest.FixtureRequest, monkeypatch: pytest.MonkeyPatch) -> None:
    """The working directory of a test of the run that is shared."""
    if "ran" in request.fixturenames:
        monkeypatch.chdir(request.getfixturevalue("ran").folder)


def test_the_card_knows_the_code_the_command_and_what_was_run(ran: Ran) -> None:
    assert ran.result.exit_code == 0, ran.result.output
    card = ran.card
    assert (card.git_sha, card.uncommitted) == (git(ran.folder, "rev-parse", "HEAD").strip(), False)
    assert card.command == f"kedro run --pipeline=train --env=test --params={DRY}"
    assert (card.environment, card.pipeline, card.source, card.selected) == ("test", "train", "test", False)
    assert card.params == {"train.epochs": 1, "train.steps_per_epoch": 2}
    assert card.versions == package_versions()
    assert card.seeds == [42]


def test_the_card_knows_all_parameters_as_they_were_in_the_end(ran: Ran) -> None:
    parameters = flatten(ran.card.parameters)
    # From --params, from the environment, from base, and from the schema alone.
    assert parameters["train.epochs"] == 1
    assert parameters["evaluate.bootstrap_draws"] == 20
    assert parameters["train.batch_size"] == 128
    assert parameters["tune.use"] == "nothing"
    assert "train.max_minutes" in parameters


def test_the_card_knows_the_beats_and_how_long_every_node_took(ran: Ran) -> None:
    card = ran.card
    assert list(card.data) == ["raw_beats", "train_beats", "val_beats", "test_beats"]
    beats = ExamplesDataset(filepath=str(ran.folder / "data/03_primary/test/val_beats.parquet")).load()
    assert card.data["val_beats"] == beats.fingerprint
    assert set(card.nodes) == {node.name for node in train.create_pipeline().nodes}
    assert card.ended is not None
    assert card.seconds is not None
    assert 0 < sum(card.nodes.values()) < card.seconds
    assert card.seconds == pytest.approx((card.ended - card.began).total_seconds(), abs=2)


def test_the_card_has_the_scores_that_are_stored(ran: Ran) -> None:
    (path,) = (ran.folder / "data/07_model_output/test/baseline/metrics.json").glob("*/*")
    stored = json.loads(path.read_text("utf-8"))
    scores = ran.card.scores["baseline"]
    assert scores["test.macro_recall"] == stored["test"]["overall"]["macro_recall"]["value"]
    assert scores["recall_first.recall.S"] == stored["recall_first"]["per_class"]["S"]["recall"]["value"]
    assert ran.card.search is None


def test_the_card_knows_nothing_of_the_machine_but_what_it_is(ran: Ran) -> None:
    text = ran.path.read_text("utf-8")
    for secret in (
        str(ran.folder),
        str(ROOT),
        str(Path.home()),
        "/home/ada",
        f'"{getpass.getuser()}',
        os.uname().nodename,
    ):
        assert secret not in text
    assert not re.search(r'"[^"]*(?<![\w:/.])/\w+/[^"]*"', text)


def test_the_card_is_an_artifact_of_the_mlflow_run_and_its_path_is_shown(ran: Ran) -> None:
    client = mlflow.MlflowClient(f"sqlite:///{ran.folder}/data/09_tracking/mlflow.db")
    assert "run_card.json" in [file.path for file in client.list_artifacts(ran.card.mlflow_run)]
    assert f"Run card: {ran.path.relative_to(ran.folder)}" in words(ran.result.output)
    assert max(map(len, ran.result.output.splitlines())) <= 81


def test_the_report_tells_of_the_run_and_of_the_nodes_that_had_ended(ran: Ran) -> None:
    (path,) = (ran.folder / "data/08_reporting/test/baseline/report.html").glob("*/report.html")
    html = path.read_text("utf-8")
    section = html[html.index('id="run-card">') :]
    assert ran.card.command is not None
    known = (ran.card.git_sha or "")[:10], ran.card.mlflow_run or "", ran.card.data["val_beats"][:10]
    for told in (ran.card.command, *known, ran.card.versions["torch"], ran.card.hardware.system):
        assert told in section
    assert "baseline.evaluate.measure_predictions" in section
    assert "baseline.render_report" not in section


# --- its repetition


def test_a_repetition_trains_again_and_comes_to_the_same_scores_though_parameters_have_changed(
    ran: Ran, monkeypatch: pytest.MonkeyPatch
) -> None:
    Journal(ran.folder).propose("not of a repetition")
    path = ran.folder / "conf/test/parameters.yml"
    before = path.read_text("utf-8")
    changed = {"model": {"use": "mlp", "cnn1d": {"dropout": 0.9}}, "train": {"epochs": 2}, "seed": 7}
    path.write_text(yaml.safe_dump(changed))
    found: dict[str, Any] = {}
    load = Checkpoints.load
    monkeypatch.setattr(Checkpoints, "load", lambda self, key: found.setdefault(key, load(self, key)))
    try:
        result = typed("repeat", (ran.card.mlflow_run or "")[:12])
    finally:
        path.write_text(before)
    assert result.exit_code == 0, result.output + str(result.exception)
    assert "Repeating the run of" in result.output
    assert "Not as it was then:\n  uncommitted changes: no → yes\n" in result.output
    ((key, state),) = found.items()
    assert state is None
    # What any other run would have gone on from.
    assert load(Checkpoints(ran.folder / "data/06_models/test/checkpoints"), key) is not None
    assert "✗" not in result.output
    assert "agree to the last digit." in result.output
    (entry,) = Journal(ran.folder).entries().values()
    assert entry.state == "waiting"

    again = read_card(cards(ran.folder)[-1])
    assert again.parameters == ran.card.parameters
    assert (again.scores, again.data) == (ran.card.scores, ran.card.data)
    client = mlflow.MlflowClient(f"sqlite:///{ran.folder}/data/09_tracking/mlflow.db")
    assert client.get_run(again.mlflow_run).data.tags["repeats"] == ran.card.mlflow_run
    assert not list((ran.folder / "data/06_models/test").glob(".repetition-*"))


def doctored(ran: Ran, path: Path, **changed: Any) -> str:
    """A card with other facts, as a file."""
    path.write_text(json.dumps({**json.loads(ran.path.read_text("utf-8")), **changed}))
    return str(path)


def test_a_repetition_says_what_differs_and_which_score_does_not_agree(ran: Ran, tmp_path: Path) -> None:
    card = ran.card
    scores = {"baseline": {**card.scores["baseline"], "val.kappa": card.scores["baseline"]["val.kappa"] + 0.25}}
    data = {**card.data, "raw_beats": "0" * 64, "val_beats": "1" * 64}
    versions = {**card.versions, "torch": "2.0.0"}
    metadata = {"scores": scores, "data": data, "versions": versions, "git_sha": "2" * 40, "nodes": {}}
    result = typed("repeat", doctored(ran, tmp_path / "card.json", **metadata))
    assert result.exit_code == 1
    assert not isinstance(result.exception, Exception)
    assert "Traceback" not in result.output
    for said in ("commit: 2222222222 → ", "torch: 2.0.0 → ", "raw_beats: 0000000000 → "):
        assert said in result.output[: result.output.index("split_beats")]
    # What the run makes is known when it has been made.
    assert "val_beats: 1111111111 → " in result.output[result.output.index("Run card:") :]
    assert "val.kappa" in result.output
    assert "✗ -0.25" in result.output
    assert result.stderr.splitlines()[-1] == (
        f"1 of {len(card.measured)} scores do not agree. The largest difference is that of baseline val.kappa: -0.25."
    )


def test_a_repetition_begins_from_the_versions_that_the_run_began_from_and_runs_the_nodes_that_it_ran(
    ran: Ran, tmp_path: Path
) -> None:
    model = sorted((ran.folder / "data/06_models/test/baseline/model").iterdir())[0].name
    measured = typed(
        "run",
        "--pipeline=evaluate",
        "--env=test",
        f"--load-versions=baseline.model:{model}",
        "--to-outputs=baseline.metrics",
    )
    assert measured.exit_code == 0, measured.output
    card = read_card(cards(ran.folder)[-1])
    assert (card.load_versions, card.selected) == ({"baseline.model": model}, True)
    assert list(card.nodes) == [
        "baseline.rebuild_tensors",
        "baseline.evaluate.predict_beats",
        "baseline.evaluate.measure_predictions",
    ]
    assert list(card.data) == ["val_beats", "test_beats"]
    # A model that was trained since.
    assert typed("run", "--pipeline=fit", "--env=test", f"--params={DRY},seed=7").exit_code == 0
    fitted = read_card(cards(ran.folder)[-1])
    assert (fitted.scores, fitted.seeds) == ({}, [7])
    result = typed("repeat", doctored(ran, tmp_path / "card.json", **card.model_dump(mode="json")))
    assert result.exit_code == 0, result.output
    again = read_card(cards(ran.folder)[-1])
    assert (again.nodes.keys(), again.load_versions) == (card.nodes.keys(), card.load_versions)


# --- what cannot be repeated


REFUSED: list[tuple[dict[str, Any], str]] = [
    ({"environment": "tset"}, "Unknown environment 'tset'. Did you mean 'test'? Known: "),
    ({"pipeline": "trian"}, "Unknown pipeline 'trian'. Did you mean 'train'? Known: "),
    ({"scores": {}}, "measured nothing, so that there is nothing to compare. To do the same again: kedro run"),
    (
        {"selected": True, "nodes": {"baseline.train": 1.0}},
        "The run of this card had nodes that are not there any more: baseline.train.",
    ),
    (
        {"environment": "ptb", "source": "ptb"},
        "The environment ptb is not what it was: classes is ['normal', 'abnormal'] in its globals.yml, and ['N', ",
    ),
    (
        {"parameters": {"seed": 1}},
        "The parameters of the run card cannot be used with this version of Beatwise:\nsource: Field required",
    ),
]


def test_a_card_that_cannot_be_repeated_here_is_refused_before_anything_runs(ran: Ran, tmp_path: Path) -> None:
    before = cards(ran.folder)
    for changed, message in REFUSED:
        refused(typed("repeat", doctored(ran, tmp_path / "card.json", **changed)), message)
    assert cards(ran.folder) == before


def refused(result: Result, message: str) -> None:
    assert result.exit_code == 1
    assert isinstance(result.exception, SystemExit), result.exception
    assert message in result.stderr
    assert "Traceback" not in result.output


def test_a_card_is_named_by_its_path_or_by_an_mlflow_run(ran: Ran) -> None:
    client = mlflow.MlflowClient(f"sqlite:///{ran.folder}/data/09_tracking/mlflow.db")
    experiment = client.get_experiment_by_name("beatwise-test")
    assert experiment is not None
    # Of seventeen runs two begin with the same digit.
    ids = [client.create_run(experiment.experiment_id).info.run_id for _ in range(17)]
    twice = next(id[0] for n, id in enumerate(ids) if id[0] in [other[0] for other in ids[:n]])
    unknown = next(f"{n:032x}" for n in range(18) if f"{n:032x}" not in ids)
    refused(typed("repeat", twice), f"{twice} may be any of these MLflow runs: ")
    refused(typed("repeat", unknown), f"There is neither a file {unknown} nor an MLflow run whose ID begins so.")
    refused(typed("repeat", ids[0]), f"The MLflow run {ids[0]} has no run card.")
    refused(typed("repeat", "nowhere.json"), "The run card nowhere.json cannot be read: No such file or directory.")
    refused(typed("repeat", "conf"), "The run card conf cannot be read: Is a directory.")
    refused(typed("repeat", "pyproject.toml"), "pyproject.toml is no run card: it is not JSON")


def test_a_run_that_fails_leaves_no_card(project: Path) -> None:
    bootstrap_project(project)
    leave_untracked(project, "train")
    (project / "data/01_raw/demo/test.parquet").unlink()
    assert typed("run", "--pipeline=train", "--env=test").exit_code == 1
    assert not (project / "data/08_reporting/test/run_card.json").exists()


# --- the hooks around runs, without the runs


def test_runs_that_train_or_measure_a_model_are_known(ran: Ran) -> None:
    with KedroSession.create(project_path=ran.folder, env="test") as session:
        catalog = session.load_context().catalog
    for module, expected in (
        (train, (True, True)),
        (tune, (True, True)),
        (compare, (True, True)),
        (fit, (True, False)),
        (evaluate, (False, True)),
        (report, (False, False)),
        (ingest, (False, False)),
        (segment, (False, False)),
    ):
        assert does(module.create_pipeline(), catalog) == expected


def test_a_card_has_the_scores_of_every_row_of_a_comparison_and_its_seeds(
    ran: Ran, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    given = ran.card.parameters
    recorder = Recorder()
    monkeypatch.setattr("kedro_mlflow.config.kedro_mlflow_config.KedroMlflowConfig.setup", lambda *_: None)
    titled = {**given, "report": {**given["report"], "title": "Of /mnt/ada/beats/x.csv"}}
    recorder.after_context_created(untracked_context(titled, "__default__"))
    marked = {"beatwise": {"record": "row_scores"}}
    catalog = DataCatalog(
        {
            "run_card": DocumentDataset(filepath=str(tmp_path / "run_card.json"), model="beatwise.runs.card.RunCard"),
            "comparison.scores": WholeJSONDataset(filepath=str(tmp_path / "scores.json"), metadata=marked),
        }
    )
    selection = ("tags", "from_nodes", "to_nodes", "node_names", "from_inputs", "to_outputs", "namespaces")
    run_params: dict[str, Any] = {
        **dict.fromkeys((*selection, "only_missing_outputs", "env", "pipeline_names")),
        "project_path": str(tmp_path),
        "runtime_params": {},
    }
    recorder.before_pipeline_run(run_params, compare.create_pipeline(), catalog)
    measured = {"overall": {"kappa": {"value": 0.5}}, "per_class": {}}
    metrics = {"classes": [], **dict.fromkeys(("test", "val", "recall_first"), measured)}
    rows = [Row(row=seed, model="mlp", strategy="none", seed=seed, changes={}, metrics=metrics) for seed in (1, 2)]
    recorder.after_dataset_saved("comparison.scores", rows)
    card = catalog.load("run_card")
    assert set(card.scores) == {"mlp · none · seed 1", "mlp · none · seed 2"}
    assert card.scores["mlp · none · seed 1"]["val.kappa"] == 0.5
    assert card.seeds == sorted({42, *given["compare"][given["compare"]["use"]]["seeds"]})
    # Nobody typed a command, and the parameters name no folder.
    assert card.command is None
    assert card.parameters["report"]["title"] == "Of …/x.csv"


def test_a_repetition_reads_nothing_of_what_earlier_runs_have_left_but_the_search_that_it_refines(
    tmp_path: Path,
) -> None:
    def folder(store: str, name: str) -> FolderDataset:
        return FolderDataset(filepath=str(tmp_path / name), store=store)

    catalog = DataCatalog(
        {
            "checkpoints": folder("beatwise.training.checkpoint.Checkpoints", "checkpoints"),
            "finished_rows": folder("beatwise.comparison.rows.FinishedRows", "finished_rows"),
            "searches": folder("beatwise.search.trials.Searches", "searches"),
            "params:seed": MemoryDataset(1),
        }
    )
    for name in ("checkpoints", "finished_rows"):
        (tmp_path / name).mkdir()
        (tmp_path / name / "left").write_text("")
    stored = Searches(tmp_path / "searches")
    for key, name in (("1", "wide"), ("2", "wide_refined")):
        stored.begin(key, plan(name=name))
        (tmp_path / "searches" / key / "ray").mkdir()

    def begin() -> dict[str, Path]:
        RepetitionHooks().before_pipeline_run(catalog)
        return {name: catalog.load(name).folder for name in ("checkpoints", "finished_rows", "searches")}

    assert {path.parent for path in begin().values()} == {tmp_path}
    with repeating(example_card(parameters={"tune": {"refine": "wide"}})):
        empty = begin()
        assert {path.parent.parent for path in empty.values()} == {tmp_path}
        assert not {path.parent for path in empty.values()} & {tmp_path}
        assert not empty["checkpoints"].exists()
        assert not empty["finished_rows"].exists()
        assert [(search.plan.name, search.key) for search in catalog.load("searches").all()] == [("wide", "1")]
        assert not (empty["searches"] / "1/ray").exists()
    assert not empty["searches"].exists()
    assert (tmp_path / "checkpoints/left").exists()
    assert [search.key for search in stored.all()] == ["1", "2"]
