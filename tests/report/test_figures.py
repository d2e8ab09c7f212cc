"""One contract over the tables of figures: what each entry keeps to."""

from __future__ import annotations

import dataclasses
from typing import Any

import pandas as pd
import pytest
from matplotlib.figure import Figure

from beatwise.data.examples import BEAT, concatenate
from beatwise.data.settings import Resample
from beatwise.figures.table import Entry, entries_for
from beatwise.pipelines import train
from beatwise.report.figures import LEADERBOARD, OF_TASK, REPORT, SEARCH
from beatwise.report.results import Results, SearchResults
from tests.conftest import CLASSES, ROOT, random_beats
from tests.layout import check_layout
from tests.pipelines.test_in_memory import parameters, run, with_part
from tests.search.test_search_figures import made as made_search

TABLES: dict[str, tuple[Entry[Any], ...]] = {**OF_TASK, "search": SEARCH, "leaderboard": LEADERBOARD}


@pytest.fixture(scope="module")
def made() -> dict[str, Any]:
    """What a small training makes, by name."""
    big = random_beats((120, 24, 28, 20, 24), seed=1, records=True)
    small = random_beats((60, 10, 12, 8, 10), seed=2, records=True)
    raw_beats = concatenate([with_part(big, "train"), with_part(small, "test")])
    names = ("metrics", "assessment", "predictions", "mistakes", "errors", "explanation", "history", "val_history")
    measured = train.create_pipeline().to_outputs("data_summary", *(f"baseline.{name}" for name in names))
    return run(measured, raw_beats=raw_beats, **parameters(resample=Resample(use="full_oversampling")))


@pytest.fixture(scope="module")
def results(made: dict[str, Any]) -> Results:
    """Everything that is known of the model."""
    space = made_search("a normal search")[2]
    known = {
        **{name.removeprefix("params:"): value for name, value in parameters().items()},
        **{name.removeprefix("baseline."): value for name, value in made.items()},
        "search": {"importance": space[["name", "importance"]].to_dict("records")},
    }
    return Results(**{field.name: known[field.name] for field in dataclasses.fields(Results)})


@pytest.mark.parametrize("entry", entries_for(REPORT, BEAT), ids=lambda entry: entry.name)
def test_a_figure_of_a_report_is_drawn_and_nothing_is_written_over_another(entry: Any, results: Results) -> None:
    drawn = entry.draw(results)
    if entry.section or isinstance(drawn, Figure):
        check_layout(drawn)
    else:
        assert drawn.to_json()


@pytest.mark.parametrize("entry", SEARCH, ids=lambda entry: entry.name)
def test_a_figure_of_a_search_is_drawn(entry: Any) -> None:
    trials, histories, space, metric = made_search("a normal search")
    drawn = entry.draw(SearchResults(metric, trials, histories, space))
    if entry.section:
        check_layout(drawn)
    else:
        assert drawn.to_json()


@pytest.mark.parametrize("table", TABLES)
def test_names_are_distinct_and_every_section_stands_in_the_template(table: str) -> None:
    entries = TABLES[table]
    for axes in (1, 2, 3):
        names_of = [entry.name for entry in entries if axes in entry.axes]
        assert len(set(names_of)) == len(names_of)
    folder = ROOT / "src/beatwise/report"
    names = (f"{table}.html", *(("report.html", "explanation.html") if table in OF_TASK else ()))
    templates = "".join((folder / name).read_text(encoding="utf-8") for name in names)
    for entry in entries:
        assert bool(entry.section) == bool(entry.caption)
        assert not entry.section or f'pictures["{entry.section}"]' in templates


def test_what_is_not_known_is_said_instead(results: Results) -> None:
    known = {entry.name: entry for entry in entries_for(REPORT, BEAT)}
    old = dataclasses.replace(results.model, metadata={**results.model.metadata, "moves": None})
    unknown = dataclasses.replace(results, model=old, errors=results.errors.head(0), search=None)
    plain = {**unknown.model.config, "resample": {"use": "none"}}
    other = dataclasses.replace(old, config=plain)
    metrics = {**results.metrics, "model": other.fingerprint}
    summary = {**results.explanation.summary, "model": other.fingerprint}
    explanation = dataclasses.replace(results.explanation, summary=summary)
    not_resampled = dataclasses.replace(unknown, model=other, metrics=metrics, explanation=explanation)
    assert known["class_counts"].draw(not_resampled) == "The training part is not resampled."
    for name in ("errors_by_record", "errors_by_rr", "forgetting", "forgetting_plot", "importance"):
        assert known[name].draw(unknown).endswith(".")


def test_a_stored_model_is_drawn_from_its_own_history_to_the_same_figures(results: Results) -> None:
    stored = dataclasses.replace(results, history=None, val_history=None)
    pd.testing.assert_frame_equal(stored.epochs, results.epochs)
    assert stored.moves == results.moves
    assert results.classes == CLASSES
