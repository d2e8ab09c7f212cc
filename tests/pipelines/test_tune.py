"""The pipeline `tune`: what it leaves behind, and that it goes on where it was stopped."""

from __future__ import annotations

import json
import os
import signal
import time
from collections.abc import Iterator
from contextlib import chdir, suppress
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import mlflow
import pandas as pd
import pytest
import yaml

from beatwise.report.tables import short
from beatwise.runs.card import read_card
from beatwise.search.engine import started_ray
from beatwise.search.settings import RaySettings
from beatwise.tasks.classification.paired import compare_paired
from beatwise.tasks.classification.predictions import probabilities
from beatwise.tasks.intervals import clusters_of
from tests.conftest import copy_project, kedro_run, run_session, tracked_runs, words

SPACE = {
    "model": {"use": {"choice": ["mlp", "cnn1d"]}, "mlp": {"width": {"choice": [16, 32]}}, "cnn1d": {}},
    "train": {"learning_rate": {"loguniform": [1e-3, 1e-2]}},
}
N_TRIALS = 6


def searched(**settings: Any) -> dict[str, Any]:
    tiny = {
        "space": SPACE,
        "algorithm": {"use": "random"},
        "scheduler": {"use": "none"},
        "trials": N_TRIALS,
        "epochs": 2,
    }
    return {"tune": {"use": "tiny", "tiny": {**tiny, **settings}}, "ray": {"cpus": 2}}


# --- what a run leaves behind


@dataclass(frozen=True)
class Tuned:
    """A project in which `tune` has run, with a trial that fails among its trials."""

    folder: Path
    shown: str
    runs: pd.DataFrame

    def path(self, below: str) -> Path:
        (path,) = (self.folder / "data" / below).glob(f"*/{Path(below).name}")
        return path

    def table(self, name: str) -> pd.DataFrame:
        return pd.read_parquet(self.path(f"06_models/test/search/{name}.parquet"))


@pytest.fixture(scope="module")
def tuned(tmp_path_factory: pytest.TempPathFactory, short_reports: None) -> Iterator[Tuned]:
    import rich

    folder = copy_project(tmp_path_factory.mktemp("project"))
    # Heads that do not divide the width: values that are allowed one by one and do not go together.
    wild = {**SPACE, "model": {"use": "attention_gru", "attention_gru": {"width": 16, "heads": {"choice": [4, 5]}}}}
    given = searched(space=wild, algorithm={"use": "grid", "grid": {"points": 2}})
    with chdir(folder):
        with started_ray(RaySettings(cpus=2)), rich.get_console().capture() as capture:
            run_session(folder, "tune", parameters={**given, "train": {"steps_per_epoch": 4}})
        yield Tuned(folder, capture.get(), tracked_runs(folder))


def test_there_is_a_row_for_every_trial_and_one_that_failed_says_why(tuned: Tuned) -> None:
    trials = tuned.table("trials")
    assert trials["trial"].tolist() == [0, 1, 2, 3]
    failed = trials["model.attention_gru.heads"] == "5"
    assert trials.loc[failed, "status"].tolist() == ["failed", "failed"]
    assert trials.loc[failed, "failure"].str.contains("heads").all()
    assert trials.loc[failed, "score"].isna().all()
    assert trials.loc[~failed, "status"].tolist() == ["finished", "finished"]
    assert trials.loc[~failed, "score"].between(-1, 1).all()


def test_every_epoch_of_every_trial_is_stored(tuned: Tuned) -> None:
    histories = tuned.table("histories")
    finished = tuned.table("trials").query("status == 'finished'")["trial"]
    assert histories[["trial", "epoch"]].to_numpy().tolist() == [[n, epoch] for n in finished for epoch in (1, 2)]


def test_the_best_trial_is_fitted_once_more_and_ends_with_its_very_score(tuned: Tuned) -> None:
    best = tuned.table("trials").sort_values("score", ascending=False).iloc[0]
    config = json.loads((tuned.folder / "data/06_models/test/tuned/config.json").read_text("utf-8"))
    assert config == json.loads(best["config"])
    history = pd.read_parquet(tuned.path("06_models/test/tuned/history.parquet"))
    assert history["val_recall_first"].max() == best["score"]


def test_baseline_and_tuned_model_are_compared_beat_by_beat(tuned: Tuned) -> None:
    stored = json.loads(tuned.path("07_model_output/test/tuned/against_baseline.json").read_text("utf-8"))
    first, second = (
        pd.read_parquet(tuned.path(f"07_model_output/test/{name}/predictions.parquet"))
        for name in ("baseline", "tuned")
    )
    target = first["target"].to_numpy()
    options: dict[str, Any] = {"draws": 20, "seed": 42, "confidence": 0.95, "cluster": clusters_of(second)}
    expected = compare_paired(target, probabilities(first), probabilities(second), **options)
    assert expected.items() <= stored.items()
    verdict = stored["verdict"]
    assert verdict["metric"] == "macro_recall"
    # The search was for the recall-first score, which is measured at the operating points of validation.
    assert verdict["differences"] == {name: stored["recall_first"][name] for name in ("macro_recall", "accuracy")}
    where = "Tuned against baseline at the recall-first operating points"
    assert f"Verdict: {where}: macro recall {verdict['outcomes']['macro_recall']} (" in words(tuned.shown)


def test_the_run_card_names_the_best_trial_and_has_the_scores_of_both_models(tuned: Tuned) -> None:
    card = read_card(tuned.path("08_reporting/test/run_card.json"))
    best = tuned.table("trials").sort_values("score", ascending=False, kind="stable").iloc[0]
    assert card.search is not None
    assert (card.search.search, card.search.metric) == ("tiny", "recall_first")
    assert (card.search.trial, card.search.score) == (best["trial"], best["score"])
    assert card.search.values["train.learning_rate"] == best["train.learning_rate"]
    assert set(card.scores) == {"baseline", "tuned"}


def test_every_trial_is_a_run_below_that_of_the_command_with_its_values_history_and_status(tuned: Tuned) -> None:
    (parent,) = tuned.runs[tuned.runs["tags.mlflow.parentRunId"].isna()]["run_id"]
    runs = tuned.runs[tuned.runs["tags.mlflow.parentRunId"] == parent].set_index("tags.fitted")
    assert {"baseline", "tuned"} < set(runs.index)
    runs, trials = runs.loc["trial"].set_index("tags.trial"), tuned.table("trials")
    assert sorted(runs.index) == [str(n) for n in trials["trial"]]
    for trial in trials.to_dict("records"):
        run = runs.loc[str(trial["trial"])]
        assert run["status"] == {"finished": "FINISHED", "failed": "FAILED"}[trial["status"]]
        assert float(run["params.train.learning_rate"]) == trial["train.learning_rate"]
        if trial["status"] == "finished":
            epochs = mlflow.MlflowClient().get_metric_history(run["run_id"], "val_macro_recall")
            assert [epoch.step for epoch in epochs] == [1, 2]
            assert run["metrics.score"] == pytest.approx(trial["score"])
            shown = f"recall-first score {short(trial['score'])}"
            named = f"trial {trial['trial']} · {run['tags.model']} · {run['tags.strategy']} · {shown}"
            assert run["tags.mlflow.runName"] == named


def test_the_report_of_the_search_holds_its_tables_and_figures_and_needs_nothing_else(tuned: Tuned) -> None:
    html = tuned.path("08_reporting/test/search/report.html").read_text("utf-8")
    for text in ("2 finished", "2 failed", "train.learning_rate", "heads", "../../../tuned.html"):
        assert text in html
    assert html.count("data:image/png;base64,") == 5
    for outside in ('src="http', 'href="http', "<script "):
        assert outside not in html


def test_the_report_of_the_tuned_model_tells_of_its_search_and_that_of_the_baseline_does_not(tuned: Tuned) -> None:
    ours, baseline = (
        tuned.path(f"08_reporting/test/{name}/report.html").read_text("utf-8") for name in ("tuned", "baseline")
    )
    for text in ("Search for hyper-parameters", "2 finished", "train.learning_rate", "McNemar"):
        assert text in ours
        assert text not in baseline.partition('id="run-card"')[0]
    assert (ours.count("data:image/png;base64,"), baseline.count("data:image/png;base64,")) == (2, 1)


def test_the_screen_shows_both_models_side_by_side_in_80_columns(tuned: Tuned) -> None:
    assert "Baseline and tuned, test" in tuned.shown
    tables, _, words = tuned.shown.partition("Where baseline fails:")
    assert max(map(len, tables.splitlines())) <= 80
    assert "Where tuned fails:" in words


@pytest.mark.slow
def test_without_a_search_the_whole_flow_runs_in_one_process(project: Path, short_reports: None) -> None:
    run_session(project, "tune")
    (trials,) = (project / "data/06_models/test/search/trials.parquet").glob("*/*")
    assert pd.read_parquet(trials)[["status", "epochs"]].to_numpy().tolist() == [["finished", 2]]
    for namespace in ("baseline", "tuned", "search"):
        assert list((project / f"data/08_reporting/test/{namespace}/report.html").glob("*/report.html"))


# --- interruption

LONG = {
    **searched(epochs=6),
    "model": {"use": "cnn1d"},
    "train": {"epochs": 1, "steps_per_epoch": 40, "augment": {"use": []}, "average": {"use": "none"}},
    "evaluate": {"bootstrap_draws": 20},
}


def stored_trials(folder: Path) -> dict[int, dict[str, Any]]:
    files = (folder / "data/06_models/test/searches").glob("*/trial-*.json")
    return {record["number"]: record for record in (json.loads(file.read_text("utf-8")) for file in files)}


@pytest.mark.slow
@pytest.mark.parametrize("how", [signal.SIGKILL, signal.SIGINT], ids=["killed", "Ctrl-C"])
def test_a_search_that_was_stopped_goes_on_where_it_was(how: signal.Signals, tmp_path: Path) -> None:
    folder, log = tmp_path / "project", tmp_path / "log.txt"
    folder.mkdir()
    copy_project(folder)
    (folder / "conf/test/parameters.yml").write_text(yaml.safe_dump(LONG), "utf-8")
    # Without figures and reports, which take as long as the search.
    measured = "--to-outputs=tuned.metrics"
    run = kedro_run(folder, "tune", log, measured)
    try:
        deadline = time.monotonic() + 900
        while run.poll() is None and time.monotonic() < deadline:
            trials = stored_trials(folder)
            ended = {n: record for n, record in trials.items() if record["status"] != "running"}
            begun = [record for record in trials.values() if record["status"] == "running" and record["epochs"]]
            if len(ended) >= 2 and begun:
                break
            time.sleep(0.05)
        if how == signal.SIGKILL:
            # The driver alone: what it has started must not go on without it.
            run.kill()
        else:
            os.killpg(run.pid, how)
        assert run.wait(timeout=300) != 0
        assert 2 <= len(ended) < N_TRIALS, log.read_text("utf-8")
        if how == signal.SIGINT:
            assert "Repeat the command to resume." in " ".join(log.read_text("utf-8").split())
        assert not (folder / "data/06_models/test/tuned").exists()

        run = kedro_run(folder, "tune", log, measured)
        assert run.wait(timeout=900) == 0, log.read_text("utf-8")
    finally:
        with suppress(ProcessLookupError):
            os.killpg(run.pid, signal.SIGKILL)
    assert list((folder / "data/07_model_output/test/tuned/metrics.json").glob("*/metrics.json"))
    after = stored_trials(folder)
    assert sorted(after) == list(range(N_TRIALS))
    assert {record["status"] for record in after.values()} == {"finished"}
    assert {n: after[n] for n in ended} == ended
    assert all([epoch["epoch"] for epoch in record["epochs"]] == [1, 2, 3, 4, 5, 6] for record in after.values())
    runs = tracked_runs(folder)
    parents = runs[runs["tags.mlflow.parentRunId"].isna()]
    assert parents["status"].tolist() == ["KILLED", "FINISHED"]
    below = runs[runs["tags.mlflow.parentRunId"] == parents["run_id"].iloc[1]]
    assert (below["tags.fitted"] == "trial").sum() == N_TRIALS
    assert set(runs["status"]) == {"KILLED", "FINISHED"}
    assert not list((folder / "data/06_models/test/checkpoints").glob("*"))
