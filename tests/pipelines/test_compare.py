"""The pipeline `compare`: what it leaves behind, and that it goes on where it was stopped."""

from __future__ import annotations

import json
import os
import shutil
import signal
import time
from collections.abc import Callable, Iterator
from contextlib import chdir, suppress
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import mlflow
import numpy as np
import pandas as pd
import pytest
import yaml
from sklearn.metrics import f1_score

from beatwise.comparison.documents import Row
from beatwise.comparison.leaderboard import folds_of, rank_rows
from beatwise.comparison.plan import plan_rows
from beatwise.comparison.rows import FinishedRows
from beatwise.comparison.settings import Comparison
from beatwise.core.errors import BeatwiseError
from beatwise.data.examples import Examples, concatenate
from beatwise.data.settings import Ingest, Resample, Tensors
from beatwise.networks.settings import Model
from beatwise.pipelines.compare import nodes
from beatwise.report.tables import folds_table
from beatwise.runs.card import read_card
from beatwise.search.engine import started_ray
from beatwise.search.settings import RaySettings
from beatwise.tasks.classification.predictions import probabilities
from beatwise.tasks.settings import Evaluate
from beatwise.training.checkpoint import Checkpoints
from beatwise.training.settings import Train
from beatwise.training.trained_model import CONFIG, read_model
from tests.conftest import TASK, copy_project, kedro_run, run_session, tracked_runs

MakeBeats = Callable[..., Examples]
HERE = RaySettings(cpus=2)
GIVEN = Ingest(split={"use": "given"})
STRATEGIES: dict[str, Any] = {"none": {}, "oversampled": {"resample": {"use": "full_oversampling"}}}
MODELS: dict[str, Any] = {
    "small mlp": {"model": {"use": "mlp", "mlp": {"width": 16, "layers": 1}}},
    "cnn1d": {"model": {"use": "cnn1d"}},
}
ENSEMBLES = {"both": ["small mlp", "cnn1d"]}
DIVERGES = {"wild": {"model": {"use": "cnn1d"}, "train": {"learning_rate": 1e30, "gradient_clip": None}}}


def preset(models: dict[str, Any], strategies: dict[str, Any] | None = None, **more: Any) -> dict[str, Any]:
    rows = {"models": models, "strategies": strategies or {"none": {}}, "seeds": [1, 2]}
    return {"compare": {"use": "tiny", "tiny": {**rows, **more}}}


@pytest.fixture(scope="module")
def ray() -> Iterator[Any]:
    """Two cores of Ray for all tests that are not about starting it."""
    with started_ray(HERE) as module:
        yield module


# --- what a run leaves behind


@dataclass(frozen=True)
class Compared:
    """A project in which `compare` has run twice with the same settings."""

    folder: Path
    shown: list[str]
    runs: pd.DataFrame
    stored: dict[Path, float]

    def versions(self, name: str, namespace: str = "comparison") -> list[Path]:
        return sorted((self.folder / "data/08_reporting/test" / namespace / name).glob(f"*/{name}"))

    def leaderboard(self) -> pd.DataFrame:
        return pd.read_parquet(self.versions("leaderboard.parquet")[0])

    def html(self) -> str:
        return self.versions("report.html")[0].read_text(encoding="utf-8")

    def rows_of(self, parent: int) -> pd.DataFrame:
        """The nested runs of the first or second command."""
        return self.runs[self.runs["tags.mlflow.parentRunId"] == self.commands["run_id"].iloc[parent]]

    @property
    def commands(self) -> pd.DataFrame:
        """The runs of the two commands."""
        return self.runs[self.runs["tags.mlflow.parentRunId"].isna()]


def finished_rows(folder: Path) -> dict[Path, float]:
    """Every finished row of a project, and when it was written."""
    stored = (folder / "data/06_models/test/finished_rows").glob("*/row.json")
    return {path: path.stat().st_mtime_ns for path in stored}


@pytest.fixture(scope="module")
def compared(tmp_path_factory: pytest.TempPathFactory, ray: Any) -> Iterator[Compared]:
    import rich

    folder = copy_project(tmp_path_factory.mktemp("project"))
    given = {**preset({**MODELS, **DIVERGES}, STRATEGIES, ensembles=ENSEMBLES), "train": {"steps_per_epoch": 4}}
    shown = []
    with chdir(folder):
        for _ in range(2):
            with rich.get_console().capture() as capture:
                run_session(folder, "compare", parameters=given)
            shown.append(capture.get())
            if len(shown) == 1:
                stored = finished_rows(folder)
        yield Compared(folder, shown, tracked_runs(folder), stored)


def test_the_leaderboard_has_a_row_for_every_model_and_strategy_best_first(compared: Compared) -> None:
    board = compared.leaderboard()
    assert set(zip(board["model"], board["strategy"], strict=True)) == {
        *((m, s) for m in (*MODELS, *ENSEMBLES) for s in STRATEGIES),
        ("largest class", "naive"),
    }
    assert board["rank_macro_f1"].is_monotonic_increasing
    assert board["macro_f1"].is_monotonic_decreasing
    assert (board["seeds"] == board["model"].isin([*MODELS]) + 1).all()
    assert board[board["naive"]]["model"].tolist() == ["largest class"]
    assert (board["averaged"] == 4 * board["model"].isin([*ENSEMBLES])).all()


def test_the_leaderboard_holds_metrics_with_intervals_and_deviations_and_what_each_row_cost(compared: Compared) -> None:
    board = compared.leaderboard()
    for name in TASK.build().compared:
        assert board[[name, f"{name}_low", f"{name}_high"]].notna().all(axis=None)
        assert (board[f"{name}_sd"].isna() == ~board["model"].isin([*MODELS])).all()
        assert (board[f"{name}_low"] <= board[f"{name}_high"]).all()
    assert set(board[board["model"] == "cnn1d"]["n_parameters"]) == {39653}
    assert (board[~board["naive"]]["seconds"] > 0).all()
    best = board.iloc[0]
    assert (best["behind_macro_f1"], best["behind_macro_f1_low"], best["behind_macro_f1_high"]) == (0, 0, 0)


def test_the_figure_is_drawn_and_the_page_holds_it_with_all_tables(compared: Compared) -> None:
    assert (
        (compared.folder / "data/08_reporting/test/comparison/figures/leaderboard.png")
        .read_bytes()
        .startswith(b"\x89PNG")
    )
    html = compared.html()
    for words in ("small mlp", "cnn1d", "oversampled", "SYNTHETIC", "Class by class", "By EC57", "39,653", "the best"):
        assert words in html
    assert html.count("data:image/png;base64,") == 1
    for outside in ('src="http', 'href="http', "url(", "<script "):
        assert outside not in html


def test_a_row_that_fails_is_listed_with_its_reason_and_the_others_stand(compared: Compared) -> None:
    html = compared.html()
    assert "12 fits on <b>test</b>, 4 of which failed; 2 ensembles of them" in html
    for strategy in STRATEGIES:
        for seed in (1, 2):
            assert f"<b>wild · {strategy} · seed {seed}</b>: The training loss is" in html
    assert "wild" not in set(compared.leaderboard()["model"])
    assert len(compared.stored) == 8


def test_the_leaderboard_and_the_path_of_the_page_are_shown_at_the_end(compared: Compared) -> None:
    page = compared.versions("report.html")[0]
    for words in ("Leaderboard", "cnn1d · oversampled", "macro F1", str(page.relative_to(compared.folder))):
        assert words in compared.shown[0]
    assert "wild · none · seed 1 failed" in " ".join(compared.shown[0].split())


def test_the_run_card_has_the_scores_of_every_row_that_did_not_fail(compared: Compared) -> None:
    card = read_card(compared.versions("run_card.json", "")[0])
    fits = {f"{m} · {s} · seed {seed}" for m in MODELS for s in STRATEGIES for seed in (1, 2)}
    assert set(card.scores) == fits | {f"both · {s}" for s in STRATEGIES} | {"largest class · naive"}
    assert card.seeds == [1, 2, 42]


def test_every_row_is_an_mlflow_run_below_that_of_the_command(compared: Compared) -> None:
    rows = compared.rows_of(0)
    names = {f"{m} · {s} · seed {seed}" for m in (*MODELS, "wild") for s in STRATEGIES for seed in (1, 2)}
    names |= {f"both · {s}" for s in STRATEGIES} | {"largest class · naive"}
    measured = rows[rows["status"] == "FINISHED"]
    scores = [f" · macro recall {f'{v:.3f}'.lstrip('0')}" for v in measured["metrics.test.macro_recall"]]
    assert all(name.endswith(s) for name, s in zip(measured["tags.mlflow.runName"], scores, strict=True))
    assert {name.partition(" · macro")[0] for name in rows["tags.mlflow.runName"]} == names
    assert len(rows) == len(names)
    assert set(rows[rows["tags.model"] == "both"]["params.ensemble"]) == {" + ".join(ENSEMBLES["both"])}
    failed = rows["tags.model"] == "wild"
    assert set(rows[~failed]["status"]) == {"FINISHED"}
    assert set(rows[failed]["status"]) == {"FAILED"}
    assert rows[failed]["tags.failure"].str.contains("diverged").all()
    assert compared.commands["status"].tolist() == ["FINISHED"] * 2
    first = compared.leaderboard().iloc[0]
    score = f"{first['macro_f1']:.3f}".lstrip("0")
    name = f"compare · {first['model']} · {first['strategy']} · macro F1 {score}"
    assert compared.commands["tags.mlflow.runName"].tolist() == [name, name]


def test_the_run_of_a_row_has_its_parameters_its_scores_and_its_history(compared: Compared) -> None:
    rows = compared.rows_of(0)
    named = rows["tags.mlflow.runName"].str.startswith("small mlp · oversampled · seed 2 · ")
    (run,) = rows[named].to_dict("records")
    expected = {"model.use": "mlp", "model.mlp.width": "16", "resample.use": "full_oversampling", "seed": "2"}
    assert {name: run[f"params.{name}"] for name in expected} == expected
    assert run["params.train.steps_per_epoch"] == "4"

    scores = json.loads((compared.folder / "data/07_model_output/test/comparison/scores.json").read_text("utf-8"))
    (stored,) = (s for s in scores if (s["model"], s["strategy"], s["seed"]) == ("small mlp", "oversampled", 2))
    assert run["metrics.test.macro_f1"] == stored["metrics"]["test"]["overall"]["macro_f1"]["value"]
    assert run["metrics.n_parameters"] == stored["metadata"]["n_parameters"]
    history = mlflow.MlflowClient().get_metric_history(run["run_id"], "val_macro_f1")
    assert [(point.step, point.value) for point in history] == [
        (epoch["epoch"], epoch["val_macro_f1"]) for epoch in stored["metadata"]["history"]
    ]


def test_the_plan_and_the_results_are_artifacts_of_the_run_of_the_command(compared: Compared) -> None:
    (run_id, _) = compared.commands["run_id"]
    files = {Path(f.path).name for f in mlflow.MlflowClient().list_artifacts(run_id, "comparison")}
    assert files >= {"plan.json", "leaderboard.parquet", "figures", "report.html"}


def test_the_same_command_again_trains_no_finished_row_and_comes_to_the_same_leaderboard(compared: Compared) -> None:
    assert len(compared.stored) == 8
    assert finished_rows(compared.folder) == compared.stored
    assert "4 rows to train; 8 of 12 are finished already" in compared.shown[1]
    first, second = (path for path in compared.versions("leaderboard.parquet"))
    pd.testing.assert_frame_equal(pd.read_parquet(first), pd.read_parquet(second), check_exact=True)


def test_no_checkpoint_is_left(compared: Compared) -> None:
    folder = compared.folder / "data/06_models/test/checkpoints"
    assert not folder.exists() or not list(folder.iterdir())


@pytest.mark.slow
def test_the_best_stored_model_is_measured_by_the_version_best(compared: Compared) -> None:
    run_session(compared.folder, "train", to_outputs=["baseline.metrics"])
    (trained,) = (compared.folder / "data/06_models/test/baseline/model").iterdir()
    # A model that was trained later, and did worse on validation.
    worse = trained.with_name("9999-01-01T00.00.00.000Z")
    shutil.copytree(trained, worse)
    config = json.loads((worse / "model" / CONFIG).read_text("utf-8"))
    config["config"]["seed"] += 1
    for epoch in config["history"]:
        epoch["val_macro_recall"] -= 0.1
    (worse / "model" / CONFIG).write_text(json.dumps(config), "utf-8")

    def measured(**options: Any) -> str:
        run_session(compared.folder, "evaluate", to_outputs=["baseline.metrics"], **options)
        metrics = sorted((compared.folder / "data/07_model_output/test/baseline/metrics.json").glob("*/*.json"))[-1]
        return json.loads(metrics.read_text("utf-8"))["model"]

    assert measured(load_versions={"baseline.model": "best"}) == read_model(trained / "model").fingerprint
    assert measured() == read_model(worse / "model").fingerprint


def test_a_mistake_in_a_preset_is_told_before_anything_runs(compared: Compared) -> None:
    before = finished_rows(compared.folder)
    for wrong, words in (
        (
            preset({"a": {"model": {"use": "mpl"}}}),
            r"compare\.tiny\.models\.a with strategies\.none: model: Unknown model",
        ),
        ({"compare": {"use": "qiuck"}}, "Unknown comparison 'qiuck'. Did you mean 'quick'"),
        ({"ray": {"cpus": 0}}, r"ray\.cpus: "),
    ):
        with pytest.raises(BeatwiseError, match=words):
            run_session(compared.folder, "compare", parameters=wrong)
    assert finished_rows(compared.folder) == before


# --- the node that trains


@pytest.fixture
def raw(make_beats: MakeBeats) -> Examples:
    parts = [make_beats(seed=seed) for seed in (1, 2, 3)]
    return concatenate(
        [Examples(b.x, b.table.assign(part=part)) for b, part in zip(parts, ("train", "val", "test"), strict=True)]
    )


@pytest.fixture
def fit(ray: Any, raw: Examples, tmp_path: Path) -> Callable[..., tuple[list[Row], pd.DataFrame]]:
    """Plan and fit rows on few beats; says which rows came out and what they predict, naive ones apart."""
    checkpoints, finished = Checkpoints(tmp_path / "checkpoints"), FinishedRows(tmp_path / "rows")

    def fit(
        models: dict[str, Any], split: Ingest = GIVEN, naive: bool = False, **more: Any
    ) -> tuple[list[Row], pd.DataFrame]:
        plan = plan_rows(
            Comparison.model_validate(preset(models, **more)["compare"]),
            TASK,
            Resample(use="none"),
            Tensors(use="auto"),
            Model(use="mlp", mlp={"width": 4}, cnn1d={"kernel_size": 3, "pool": 2}),
            Train(epochs=2),
            split,
        )
        rows, predictions = nodes.fit(plan, raw, split, 0, checkpoints, finished, HERE)
        kept = [row.row for row in rows if row.naive == naive]
        return [rows[row] for row in kept], predictions[predictions["row"].isin(kept)]

    return fit


def stored(folder: Path) -> dict[str, int]:
    return {path.name: (path / "row.json").stat().st_mtime_ns for path in (folder / "rows").iterdir()}


def test_rows_that_are_added_later_are_the_only_ones_that_are_trained(fit, tmp_path: Path) -> None:
    fit({"a": {}})
    before = stored(tmp_path)
    rows, _ = fit({"a": {}, "cnn": {"model": {"use": "cnn1d"}}}, seeds=[1, 2, 3])
    after = stored(tmp_path)
    assert len(before) == 2
    assert len(after) == len(rows) == 6
    assert before.items() <= after.items()


def test_two_names_for_the_same_row_are_trained_once_and_both_stand_in_the_results(fit, tmp_path: Path) -> None:
    rows, predictions = fit({"one": {}, "other": {"model": {"use": "mlp"}}}, seeds=[1])
    assert len(stored(tmp_path)) == 1
    assert [row.model for row in rows] == ["one", "other"]
    first, second = (predictions[predictions["row"] == row].drop(columns="row") for row in (0, 1))
    pd.testing.assert_frame_equal(first.reset_index(drop=True), second.reset_index(drop=True))


def test_a_row_that_failed_is_tried_again_the_next_time(fit, tmp_path: Path) -> None:
    rows, predictions = fit({"a": {}, "b": {"tensors": {"use": "image"}, "model": {"use": "cnn1d"}}}, seeds=[1])
    assert [row.failure is None for row in rows] == [True, False]
    assert "cnn1d" in rows[1].failure
    assert set(predictions["row"]) == {0}
    again, _ = fit({"a": {}, "b": {"tensors": {"use": "image"}, "model": {"use": "cnn1d"}}}, seeds=[1])
    assert again == rows


def test_a_comparison_of_which_every_row_failed_is_refused_with_the_first_reason(fit) -> None:
    with pytest.raises(BeatwiseError, match=r"Every row of the comparison failed.*diverged"):
        fit(DIVERGES)


def test_networks_and_trees_stand_side_by_side(fit) -> None:
    boosting = {"model": {"use": "gradient_boosting", "gradient_boosting": {"iterations": 3}}}
    rows, predictions = fit({"mlp": {}, "boosting": boosting}, seeds=[1])
    assert rows[1].metadata.best_epoch == 3
    assert predictions["row"].value_counts().to_dict() == {0: 216, 1: 216}


def test_an_ensemble_averages_the_probabilities_of_all_seeds_of_its_models_for_each_strategy(fit) -> None:
    rows, predictions = fit(
        {"mlp": {}, "cnn": {"model": {"use": "cnn1d"}}}, strategies=STRATEGIES, ensembles={"all": ["cnn", "mlp"]}
    )
    assert [row.model for row in rows[-2:]] == ["all", "all"]
    probability = [name for name in predictions if name.startswith("probability_")]
    by_row = {row: table.reset_index(drop=True) for row, table in predictions.groupby("row")}
    for row in rows[-2:]:
        members = [other for other in rows[:-2] if other.strategy == row.strategy]
        assert row.members == [other.row for other in members]
        assert len(members) == 4
        mean = sum(by_row[other.row][probability] for other in members) / 4
        pd.testing.assert_frame_equal(by_row[row.row][probability], mean, check_dtype=False, rtol=1e-5)
        winner = by_row[row.row][probability].to_numpy().argmax(axis=1)
        assert by_row[row.row]["prediction"].tolist() == winner.tolist()
        assert by_row[row.row]["target"].tolist() == by_row[0]["target"].tolist()
        assert row.metadata.n_parameters == sum(other.metadata.n_parameters for other in members)


def test_an_ensemble_of_which_a_fit_failed_fails_and_says_which(fit) -> None:
    rows, predictions = fit({"mlp": {}, **DIVERGES}, ensembles={"all": ["mlp", "wild"]})
    assert rows[-1].failure == "of what it averages, wild · none · seed 1 and wild · none · seed 2 failed"
    assert set(predictions["row"]) == {0, 1}


LEARNS = {"model": {"mlp": {"width": 32}}, "train": {"epochs": 12, "learning_rate": 0.02}}
FOLDS = Ingest(split={"use": "stratified_folds", "stratified_folds": {"folds": 3}})


def test_the_folds_of_a_cross_validation_are_pooled_and_measured_once_and_resume(fit, raw, tmp_path: Path) -> None:
    how = {"split": FOLDS, "cross_validate": True, "ensembles": {"both": ["a"]}}
    rows, predictions = fit({"a": LEARNS}, **how)
    assert [(row.name, row.members) for row in rows] == [
        *((f"a · none · seed {seed} · fold {fold}", []) for seed in (1, 2) for fold in (1, 2, 3)),
        ("a · none · seed 1", [0, 1, 2]),
        ("a · none · seed 2", [3, 4, 5]),
        ("both · none", [6, 7]),
    ]
    # Every example is predicted once, by the model of the fold that had it in test.
    tested = predictions[predictions["part"] == "test"]
    by_row = dict(list(tested.groupby("row")))
    for pooled in (6, 7, 8):
        assert sorted(by_row[pooled]["target"]) == sorted(raw.table["target"])
    together = pd.concat([by_row[row] for row in (0, 1, 2)]).drop(columns="row")
    pd.testing.assert_frame_equal(
        by_row[6].drop(columns="row").reset_index(drop=True), together.reset_index(drop=True), check_exact=True
    )

    scores, draws = nodes.measure(rows, predictions, Evaluate(bootstrap_draws=20), 0, HERE)
    target, probability = by_row[6]["target"].to_numpy(), probabilities(by_row[6])
    pooled_score = scores[6].metrics["test"]["overall"]["macro_f1"]["value"]
    assert pooled_score == pytest.approx(f1_score(target, probability.argmax(axis=1), average="macro"))
    by_fold = [score.metrics["test"]["overall"]["macro_f1"]["value"] for score in scores[:3]]
    assert pooled_score != pytest.approx(np.mean(by_fold))
    # The recall-first factors of a fold are chosen on its own validation part.
    hits = [
        score.metrics["recall_first"]["overall"]["accuracy"]["value"] * score.metrics["test"]["n"]
        for score in scores[:3]
    ]
    assert scores[6].metrics["recall_first"]["overall"]["accuracy"]["value"] == pytest.approx(sum(hits) / len(raw))
    board = rank_rows(scores, draws, Evaluate(bootstrap_draws=20))
    assert folds_of(board, "macro_f1")[board["model"] == "a"].to_numpy()[0].tolist() == [
        pytest.approx(np.mean([scores[fold].metrics["test"]["overall"]["macro_f1"]["value"] for fold in pair]))
        for pair in ((0, 3), (1, 4), (2, 5))
    ]
    table = folds_table(board)
    assert table is not None
    assert table.columns[2:] == ["fold 1", "fold 2", "fold 3", "pooled"]

    # A run that was killed after some folds trains the others alone, and ends with the same numbers; a plain run with
    # the same fold has nothing left to train.
    before = stored(tmp_path)
    lost = list(before)[:2]
    for key in lost:
        shutil.rmtree(tmp_path / "rows" / key)
    _, again = fit({"a": LEARNS}, **how)
    pd.testing.assert_frame_equal(again, predictions, check_exact=True)
    after = stored(tmp_path)
    assert {key: after[key] for key in after if key not in lost} == {
        key: before[key] for key in before if key not in lost
    }
    fit({"a": LEARNS}, split=Ingest(split={"use": "stratified_folds", "stratified_folds": {"folds": 3, "fold": 2}}))
    assert stored(tmp_path) == after


def test_naive_rows_are_pooled_as_the_others_are(fit, raw) -> None:
    rows, predictions = fit({"a": {}}, split=FOLDS, cross_validate=True, naive=True)
    assert [(row.model, row.fold) for row in rows] == [("largest class", fold) for fold in (1, 2, 3, None)]
    tested = predictions[(predictions["row"] == rows[-1].row) & (predictions["part"] == "test")]
    assert len(tested) == len(raw)
    assert set(tested["prediction"]) == {raw.table["target"].value_counts().idxmax()}


def test_a_split_without_folds_cannot_be_cross_validated(fit) -> None:
    with pytest.raises(BeatwiseError, match=r"compare\.tiny\.cross_validate: the split 'given' has no folds\. Allowed"):
        fit({"a": {}}, cross_validate=True)


# --- interruption

LONG = {
    **preset(MODELS, STRATEGIES),
    "model": {"use": "cnn1d"},
    "train": {"epochs": 8, "steps_per_epoch": 25},
    "evaluate": {"bootstrap_draws": 20},
    "ray": {"cpus": 2},
}


def long_project(folder: Path) -> Path:
    folder.mkdir()
    copy_project(folder)
    (folder / "conf/test/parameters.yml").write_text(yaml.safe_dump(LONG), "utf-8")
    return folder


def board_of(folder: Path) -> pd.DataFrame:
    (path,) = (folder / "data/08_reporting/test/comparison/leaderboard.parquet").glob("*/*.parquet")
    return pd.read_parquet(path).drop(columns="seconds")


@pytest.fixture(scope="module")
def undisturbed(tmp_path_factory: pytest.TempPathFactory) -> pd.DataFrame:
    """The leaderboard of a run that nobody stopped."""
    folder = long_project(tmp_path_factory.mktemp("undisturbed") / "project")
    run = kedro_run(folder, "compare", folder / "log.txt")
    try:
        assert run.wait(timeout=900) == 0, (folder / "log.txt").read_text("utf-8")
    finally:
        with suppress(ProcessLookupError):
            os.killpg(run.pid, signal.SIGKILL)
    return board_of(folder)


@pytest.mark.slow
@pytest.mark.parametrize("how", [signal.SIGKILL, signal.SIGINT], ids=["killed", "Ctrl-C"])
def test_a_comparison_that_was_stopped_goes_on_where_it_was(how: signal.Signals, tmp_path: Path, undisturbed) -> None:
    folder, log = long_project(tmp_path / "project"), tmp_path / "log.txt"
    run = kedro_run(folder, "compare", log)
    try:
        deadline = time.monotonic() + 900
        while len(finished_rows(folder)) < 3 and run.poll() is None and time.monotonic() < deadline:
            time.sleep(0.02)
        # The group: a terminal tells Ray's processes of Ctrl-C, too; and a machine that goes down takes them along.
        os.killpg(run.pid, how)
        assert run.wait(timeout=300) != 0
        before = finished_rows(folder)
        assert 3 <= len(before) < 8, log.read_text("utf-8")
        assert not (folder / "data/08_reporting").exists()

        run = kedro_run(folder, "compare", log)
        assert run.wait(timeout=900) == 0, log.read_text("utf-8")
    finally:
        with suppress(ProcessLookupError):
            os.killpg(run.pid, signal.SIGKILL)
    after = finished_rows(folder)
    assert len(after) == 8
    assert before.items() <= after.items()
    # To the last bit what it would have been.
    pd.testing.assert_frame_equal(board_of(folder), undisturbed, check_exact=True)
    if how == signal.SIGINT:
        runs = tracked_runs(folder)
        assert runs[runs["tags.mlflow.parentRunId"].isna()]["status"].tolist() == ["KILLED", "FINISHED"]
