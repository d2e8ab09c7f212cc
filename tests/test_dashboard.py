"""The dashboard of searches, over trials that were put down by hand."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np
import pytest

from beatwise.search.plan import SearchPlan
from beatwise.search.trials import Searches
from tests.conftest import ROOT
from tests.search.conftest import plan, record

# `make test-all` installs what the dashboard needs.
pytestmark = pytest.mark.slow

SPACE = {"train": {"learning_rate": {"loguniform": [1e-4, 1e-1]}}, "model": {"use": {"choice": ["mlp", "cnn1d"]}}}


def store(project: Path, name: str, n: int, epochs: int = 3) -> SearchPlan:
    """A search of n trials, the first of which failed, in a project's folder."""
    planned = plan(SPACE, name=name, models={"mlp": {}, "cnn1d": {}}, metric="macro_recall")
    searches, random = Searches(project / "data/06_models/demo/searches"), np.random.default_rng(0)
    searches.begin(name, planned)
    values = {"train.learning_rate": 0.01, "model.use": "mlp"}
    searches.save(name, record(0, values, status="failed", failure="the loss is not finite"))
    for number in range(1, n):
        drawn = {"train.learning_rate": float(10 ** random.uniform(-4, -1)), "model.use": ["mlp", "cnn1d"][number % 2]}
        scores = np.maximum.accumulate(random.uniform(0.5, 0.9, epochs)).tolist()
        searches.save(name, record(number, drawn, *scores, status="stopped" if number % 3 else "finished"))
    return planned


@pytest.fixture
def app(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Any:
    """The dashboard in an empty project's folder."""
    from streamlit.testing.v1 import AppTest

    monkeypatch.chdir(tmp_path)
    return AppTest.from_file(str(ROOT / "src/beatwise/dashboard.py"), default_timeout=60)


def shown_trials(app: Any) -> Any:
    return app.dataframe[0].value


def test_without_a_search_it_says_what_to_run(app: Any) -> None:
    app.run()
    assert [info.value for info in app.info] == [
        "No search yet. Run one: `kedro run --pipeline=tune`. It appears here as soon as its first trial has begun."
    ]
    assert not app.exception


def test_the_search_that_ran_last_is_shown_best_trial_first(app: Any, tmp_path: Path) -> None:
    store(tmp_path, "first", 6)
    store(tmp_path, "second", 9)
    app.run()
    assert not app.exception
    assert [name.split(" · ")[1] for name in app.sidebar.multiselect[0].value] == ["second"]
    trials = shown_trials(app)
    assert len(trials) == 8  # one failed
    assert trials["score"].is_monotonic_decreasing
    tiles = {tile.label: tile.value for tile in app.metric}
    assert tiles["best macro recall, validation"] == f"{trials['score'].iloc[0]:.3f}"
    assert (tiles["trials"], tiles["epochs"]) == ("9", "24")


def test_several_searches_stand_side_by_side(app: Any, tmp_path: Path) -> None:
    store(tmp_path, "first", 6)
    store(tmp_path, "second", 9)
    app.run()
    searches = app.sidebar.multiselect[0]
    searches.set_value(searches.options).run()
    assert not app.exception
    assert shown_trials(app)["search"].nunique() == 2


def test_no_search_need_be_chosen(app: Any, tmp_path: Path) -> None:
    store(tmp_path, "first", 6)
    app.run()
    app.sidebar.multiselect[0].set_value([]).run()
    assert [info.value for info in app.info] == ["Choose a search on the left."]


def test_another_metric_and_fewer_trials_can_be_chosen(app: Any, tmp_path: Path) -> None:
    store(tmp_path, "first", 9)
    app.run()
    app.sidebar.slider[0].set_value(3).run()
    assert len(shown_trials(app)) == 3
    app.sidebar.selectbox[0].set_value("log_loss").run()
    assert not app.exception
    # Less is better.
    assert shown_trials(app)["score"].is_monotonic_increasing


def test_the_learning_curve_of_any_trial_can_be_seen(app: Any, tmp_path: Path) -> None:
    store(tmp_path, "first", 5)
    app.run()
    curve = app.selectbox(key="curve")
    assert len(curve.options) == 4
    curve.set_value(curve.options[-1]).run()
    assert not app.exception
    worst = shown_trials(app).iloc[-1]
    assert curve.value.endswith(f"trial {worst['trial']}")


def test_a_search_whose_first_trial_has_just_begun_says_so(app: Any, tmp_path: Path) -> None:
    planned = plan(SPACE, name="new", models={"mlp": {}, "cnn1d": {}})
    searches = Searches(tmp_path / "data/06_models/demo/searches")
    searches.begin("new", planned)
    app.run()
    assert app.info[0].value.startswith("No search yet.")
    searches.save("new", record(0, {"train.learning_rate": 0.01, "model.use": "mlp"}, status="running"))
    app.run()
    assert not app.exception
    assert [info.value for info in app.info] == ["No trial has ended an epoch yet."]


def test_a_damaged_search_is_named_and_the_way_out(app: Any, tmp_path: Path) -> None:
    store(tmp_path, "whole", 5)
    store(tmp_path, "damaged", 5)
    path = tmp_path / "data/06_models/demo/searches/damaged/trial-0002.json"
    path.write_text("{", encoding="utf-8")
    app.run()
    assert not app.exception
    assert len(shown_trials(app)) == 4
    (error,) = app.error
    assert "trial-0002.json cannot be read" in error.value
