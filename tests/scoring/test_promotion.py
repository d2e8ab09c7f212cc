"""Registered scorers, the champion among them, and the rule by which a candidate takes its place."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import replace
from datetime import UTC, datetime
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import mlflow
import numpy as np
import pytest

from beatwise.core.errors import BeatwiseError
from beatwise.data.examples import Examples
from beatwise.scoring.models import load_scorer
from beatwise.scoring.promotion import judge
from beatwise.scoring.registry import CHAMPION, FILES, Registered, ScorerRegistry
from beatwise.scoring.scorer import Scorer, write_scorer
from beatwise.scoring.settings import Promote
from beatwise.tasks.settings import Evaluate
from tests.conftest import CLASSES, TASK, empty_database
from tests.explanation.cases import explained, waves

EVALUATE = Evaluate(bootstrap_draws=50, accuracy_floor=0.5)


@pytest.fixture(scope="module")
def beats() -> Examples:
    return waves(300)


def guessing(beats: Examples, right: float, **facts: Any) -> Scorer:
    """A scorer that gives the right class of a share of the beats a probability of .6, and of the others the next."""
    rng, task = np.random.default_rng(3), TASK.build()
    hit = rng.permutation(len(beats)) < right * len(beats)
    said = (beats.target + ~hit) % len(CLASSES)
    probability = np.where(np.arange(len(CLASSES)) == said[:, None], 0.6, 0.1).astype(np.float32)
    model: Any = SimpleNamespace(
        task=task,
        config={"train": {"monitor": "macro_f1"}},
        tensors=lambda given: given,
        predict=lambda given: task.prediction_table(given.target, probability),
    )
    known = {"class_factors": dict.fromkeys(CLASSES, 1.0), "holdout": beats.fingerprint}
    return Scorer(model, "test", **{**known, **facts})


def version(number: int) -> Registered:
    return Registered(number, datetime.now(UTC), "", "mlp", "baseline")


def judged(candidate: Scorer, champion: Scorer | None, beats: Examples, **rule: Any) -> dict[str, Any]:
    old = None if champion is None else (version(1), champion)
    return judge((version(2), candidate), old, beats, Promote(**rule), EVALUATE, 1)


def test_a_candidate_is_promoted_if_it_is_better_and_no_worse_at_the_recall_first_point(beats: Examples) -> None:
    poor, good = guessing(beats, 0.7), guessing(beats, 0.9)
    assert judged(good, None, beats)["promote"]
    found = judged(good, poor, beats)
    assert found["promote"]
    assert found["verdict"] == "Version 2 (baseline, mlp) takes the place of version 1 (baseline, mlp)."
    assert found["compared"]["overall"]["macro_f1"]["difference"] == pytest.approx(0.2, abs=0.02)
    for candidate, champion in ((poor, good), (good, good)):
        found = judged(candidate, champion, beats)
        assert not found["promote"]
        assert found["verdict"] == "Version 1 (baseline, mlp) stays the champion."
        assert found["reasons"][0].startswith("Macro F1: not better, ")


def test_recall_or_accuracy_that_is_lost_at_the_recall_first_point_outweighs_a_better_metric(beats: Examples) -> None:
    poor, good = guessing(beats, 0.7), guessing(beats, 0.9)
    # Its factors call every beat N.
    lost = replace(good, class_factors={**good.class_factors, "N": 100.0})
    found = judged(lost, poor, beats)
    assert not found["promote"]
    assert found["reasons"][0].startswith("Macro F1: better, ")
    assert "a loss of more than .020 is not excluded" in found["reasons"][1]
    assert "below the floor .500" in found["reasons"][2]
    assert judged(lost, poor, beats, margin=0.99)["promote"]


def test_models_that_were_tested_on_other_beats_are_not_compared(beats: Examples) -> None:
    good = guessing(beats, 0.9)
    with pytest.raises(
        BeatwiseError, match=r"^Version 2 .* tested on other beats than the champion, version 1 .*--to=2"
    ):
        judged(good, replace(good, holdout="another"), beats)
    with pytest.raises(BeatwiseError, match=r"^Today's test part is not the one .* --pipeline=ingest"):
        judged(good, good, waves(200))
    with pytest.raises(BeatwiseError, match=r"^promote\.better_in: rmse is no metric of a classification"):
        judged(good, good, beats, better_in="rmse")


@pytest.fixture
def registry(tmp_path: Path) -> Iterator[ScorerRegistry]:
    (tmp_path / "mlflow.db").write_bytes(empty_database())
    yield ScorerRegistry("test", f"sqlite:///{tmp_path}/mlflow.db")
    mlflow.set_tracking_uri(None)


def register(registry: ScorerRegistry, scorer: Scorer, folder: Path) -> Registered:
    """Log and register a scorer, without the rest of what a run logs."""
    mlflow.set_tracking_uri(f"sqlite:///{folder}/mlflow.db")
    client = mlflow.MlflowClient()
    place = (folder / "artifacts").as_uri()
    found = client.get_experiment_by_name("e")
    experiment = found.experiment_id if found else client.create_experiment("e", place)
    run = client.create_run(experiment)
    model = client.create_logged_model(experiment, "scorer", run.info.run_id)
    files = folder / "logged" / model.model_id
    (files / FILES).mkdir(parents=True)
    write_scorer(files / FILES, scorer)
    client.log_model_artifacts(model.model_id, str(files))
    client.finalize_logged_model(model.model_id, "READY")
    return registry.register(scorer, model.model_id, run.info.run_id, "baseline")


def test_scorers_are_registered_once_and_the_champion_goes_forth_and_back(
    registry: ScorerRegistry, tmp_path: Path
) -> None:
    assert registry.champion() is None
    scorer = Scorer(explained(waves(), "mlp", layers=1, width=8).model, "test", None, dict.fromkeys(CLASSES, 1.0), 0.5)
    first, second, third = (register(registry, replace(scorer, holdout=text), tmp_path) for text in "abc")
    assert register(registry, replace(scorer, holdout="b"), tmp_path) == second
    assert [one.number for one in registry.versions()] == [3, 2, 1]
    mlflow.set_tracking_uri("http://127.0.0.1:9")
    assert registry.load(second).to_dict() == replace(scorer, holdout="b").to_dict()
    assert load_scorer("beatwise-test/2", tmp_path).holdout == "b"
    with pytest.raises(BeatwiseError, match=r"^beatwise-test has no champion yet"):
        load_scorer("beatwise-test/champion", tmp_path)
    for one in (first, second, third):
        registry.crown(one)
        assert registry.champion() == one
        assert load_scorer("champion", tmp_path / "06_models").version == one.scorer
    # Moved by hand, in MLflow's pages.
    mlflow.MlflowClient().set_registered_model_alias("beatwise-test", CHAMPION, "1")
    assert registry.step_back() == second
    with pytest.raises(BeatwiseError, match=r"no champion before this one"):
        registry.step_back()
    with pytest.raises(BeatwiseError, match=r"^beatwise-test has no version 9\. Known: 1, 2, 3\."):
        registry.version(9)
