from __future__ import annotations

import json
import logging
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
import pytest

from beatwise.core.errors import BeatwiseError
from beatwise.report.tables import best_trials_table
from beatwise.search.plan import SearchPlan
from beatwise.search.results import (
    BEST_AT_LEAST,
    ENOUGH,
    best_trial,
    histories_table,
    importances,
    narrowed,
    ranked,
    refined,
    space_table,
    trials_table,
)
from beatwise.search.space import Range, label, parse_range
from beatwise.search.trials import Searches, TrialRecord
from beatwise.training.settings import FitSettings
from tests.search.conftest import drawn, plan, record, space_of

SPACE: dict[str, Any] = {
    "model": {
        "use": {"choice": ["mlp", "cnn1d"]},
        "mlp": {"width": {"choice": [4, 8, 16]}},
        "cnn1d": {"widths": {"choice": [[4], [4, 8]]}},
    },
    "train": {"learning_rate": {"loguniform": [1e-4, 1e-1]}, "batch_size": {"randint": [8, 65]}},
}
MLP = {"model.use": "mlp", "model.mlp.width": 8, "train.learning_rate": 0.01, "train.batch_size": 32}
CNN = {"model.use": "cnn1d", "model.cnn1d.widths": [4, 8], "train.learning_rate": 0.02, "train.batch_size": 16}


@pytest.fixture(scope="module")
def searched() -> SearchPlan:
    return plan(SPACE, models={}, epochs=9)


RECORDS = [
    record(0, MLP, 0.3, 0.5, 0.5, status="finished"),
    record(1, CNN, 0.4, 0.6, status="stopped"),
    record(2, MLP, status="failed", failure="too wide"),
    record(3, CNN, 0.5, 0.9, status="failed", failure="diverged"),
    record(4, MLP, 0.2, status="running", n_parameters=None),
    record(5, CNN, status="running"),
]

# --- tables


def test_the_table_of_trials_has_a_row_a_trial(searched: SearchPlan) -> None:
    table = trials_table(RECORDS, searched)
    assert list(table) == [
        "trial",
        "status",
        "failure",
        "score",
        "score_sd",
        "best_epoch",
        "epochs",
        "seconds",
        "n_parameters",
        "started",
        "val_macro_recall",
        "val_log_loss",
        *searched.space.ranges,
        "config",
    ]
    assert list(trials_table(RECORDS[2:], searched)) == list(table)  # whose first has no epochs
    assert table["trial"].tolist() == [0, 1, 2, 3, 4, 5]
    assert table["status"].tolist() == ["finished", "stopped", "failed", "failed", "running", "running"]
    assert table["score"].tolist() == pytest.approx([0.5, 0.6, np.nan, 0.9, 0.2, np.nan], nan_ok=True)
    assert table["epochs"].tolist() == [3, 2, 0, 2, 1, 0]
    assert table["seconds"].tolist() == [4.5, 3.0, 0, 3.0, 1.5, 0]
    assert table["failure"].fillna("").tolist() == ["", "", "too wide", "diverged", "", ""]


def test_the_best_epoch_is_the_first_that_was_as_good_as_it_got(searched: SearchPlan) -> None:
    table = trials_table(RECORDS, searched)
    assert table["best_epoch"].tolist() == [2, 2, pd.NA, 2, 1, pd.NA]
    assert table["val_macro_recall"].tolist() == pytest.approx([0.5, 0.6, np.nan, 0.9, 0.2, np.nan], nan_ok=True)


def test_the_columns_of_a_table_of_trials_have_types_of_their_own(searched: SearchPlan) -> None:
    types = trials_table(RECORDS, searched).dtypes.astype(str)
    for name, expected in {
        "trial": "int64",
        "score": "float64",
        "score_sd": "float64",
        "best_epoch": "Int64",
        "epochs": "int64",
        "seconds": "float64",
        "n_parameters": "Int64",
        "train.learning_rate": "float64",
        "train.batch_size": "int64",
    }.items():
        assert types[name] == expected, name


def test_a_hyper_parameter_is_empty_where_it_was_not_called_for(searched: SearchPlan) -> None:
    table = trials_table(RECORDS, searched)
    assert table["model.mlp.width"].isna().tolist() == [False, True, False, True, False, True]
    assert table["model.cnn1d.widths"].dropna().tolist() == ["[4, 8]"] * 3
    assert table["model.mlp.width"].dropna().tolist() == ["8"] * 3


def test_the_configuration_of_a_trial_can_be_fitted_again(searched: SearchPlan) -> None:
    configs = [FitSettings.model_validate_json(text) for text in trials_table(RECORDS, searched)["config"]]
    for config, values in zip(configs, (MLP, CNN), strict=False):
        assert config.model_dump(mode="json") == searched.configs(values)[0].model_dump(mode="json")


def test_values_that_do_not_go_together_have_no_configuration(searched: SearchPlan) -> None:
    wrong = record(0, {**MLP, "train.batch_size": 0}, status="failed", failure="batch_size")
    assert trials_table([wrong], searched)["config"].isna().all()


def test_a_table_of_few_trials_has_the_same_columns(searched: SearchPlan) -> None:
    whole = trials_table(RECORDS, searched)
    for records in (RECORDS[2:3], RECORDS[5:], RECORDS[:1]):
        few = trials_table(records, searched)
        own = [[name for name in map(str, table) if not name.startswith("val_")] for table in (whole, few)]
        assert own[0] == own[1]
        assert len(few) == 1


def test_the_table_of_trials_can_be_stored(searched: SearchPlan, tmp_path: Path) -> None:
    table = trials_table(RECORDS, searched)
    table.to_parquet(tmp_path / "t.parquet")
    pd.testing.assert_frame_equal(pd.read_parquet(tmp_path / "t.parquet"), table)


def test_the_table_of_epochs_has_a_row_an_epoch_of_every_trial() -> None:
    table = histories_table(RECORDS)
    assert table["trial"].tolist() == [0, 0, 0, 1, 1, 3, 3, 4]
    assert table["epoch"].tolist() == [1, 2, 3, 1, 2, 1, 2, 1]
    assert {"score", "learning_rate", "train_loss", "val_macro_recall", "seconds"} <= set(table)


def test_the_table_of_the_space_says_what_was_searched_and_found(searched: SearchPlan) -> None:
    table = space_table(RECORDS, searched)
    assert list(table) == ["name", "range", "prior", "best", "importance"]
    rows: Any = table.set_index("name")
    assert set(rows.index) == set(searched.space.ranges)
    assert rows.loc["train.learning_rate", ["range", "prior", "best"]].tolist() == [
        "0.0001 … 0.1",
        "loguniform",
        "0.02",
    ]
    assert rows.loc["model.use", "range"] == "mlp, cnn1d"
    assert rows.loc["model.cnn1d.widths", ["range", "best"]].tolist() == ["[4], [4, 8]", "[4, 8]"]
    assert rows.loc["model.mlp.width", "best"] == ""
    assert rows["importance"].isna().all()


def test_the_table_of_the_best_trials_has_the_values_of_each_in_the_order_of_the_space(searched: SearchPlan) -> None:
    records = RECORDS[:2]
    space = space_table(records, searched)
    assert space["name"].tolist() == list(searched.space.ranges)  # of so few trials none is more important
    table = best_trials_table(trials_table(records, searched), space, "macro_recall")
    assert [row[:2] for row in table.rows] == [
        ["1", "model.use=cnn1d, model.cnn1d.widths=[4, 8], train.learning_rate=0.02, train.batch_size=16"],
        ["0", "model.use=mlp, model.mlp.width=8, train.learning_rate=0.01, train.batch_size=32"],
    ]


def test_a_failed_trial_is_not_among_the_best_however_good_it_was(searched: SearchPlan) -> None:
    failed = record(9, RECORDS[0].values, 0.99, status="failed", failure="the loss is not finite")
    records = [*RECORDS, failed]
    table = best_trials_table(trials_table(records, searched), space_table(records, searched), "macro_recall")
    assert [row[0] for row in table.rows] == ["1", "0", "4"]


# --- the best


def test_the_best_trial_has_the_best_score_and_did_not_fail(searched: SearchPlan) -> None:
    assert best_trial(RECORDS, searched).number == 1
    assert [trial.number for trial in ranked(RECORDS, searched)] == [1, 0, 4]


def test_the_direction_of_the_metric_decides_and_the_first_of_equal_trials_is_the_best() -> None:
    assert [trial.number for trial in ranked(RECORDS, plan(SPACE, models={}, metric="log_loss"))] == [4, 0, 1]
    for metric in ("macro_recall", "log_loss"):
        tied = [record(number, MLP, 0.5, metric=metric) for number in range(5)]
        assert [trial.number for trial in ranked(tied, plan(SPACE, models={}, metric=metric))] == [0, 1, 2, 3, 4]


def test_the_score_of_a_trial_is_its_last_one_which_is_the_best_so_far(searched: SearchPlan) -> None:
    trials = [record(0, MLP, 0.9, 0.9, 0.9), record(1, MLP, 0.1, 0.95)]
    assert best_trial(trials, searched).number == 1


def test_without_a_scored_trial_the_first_failure_is_reported(searched: SearchPlan) -> None:
    failed = [record(n, MLP, status="failed", failure=f"reason {n}") for n in (4, 5)]
    message = r"^No trial of the search s finished an epoch\."
    for ask in (best_trial, space_table):
        with pytest.raises(BeatwiseError, match=message + r" The first failed: reason 4$"):
            ask(failed, searched)
    with pytest.raises(BeatwiseError, match=message + "$"):
        best_trial([record(0, MLP, status="running")], searched)


# --- importances


IMPORTANT: dict[str, Any] = {
    "train": {
        "learning_rate": {"loguniform": [1e-4, 1e-1]},
        "sampler_power": {"uniform": [0.0, 1.0]},
        "batch_size": {"randint": [8, 65]},
        "optimizer": {"use": {"choice": ["sgd", "adam", "adamw"]}, "adamw": {"weight_decay": {"uniform": [0.0, 1.0]}}},
    }
}


def test_the_one_hyper_parameter_that_matters_is_found() -> None:
    searched, noise = plan(IMPORTANT), np.random.default_rng(1).normal(0, 0.01, 40)
    cases: dict[str, Callable[[Any], float]] = {
        "train.learning_rate": lambda value: 1 - abs(np.log10(value) + 2.5),
        "train.optimizer.use": lambda value: {"sgd": 0.2, "adam": 0.9, "adamw": 0.3}[value],
    }
    for name, worth in cases.items():
        trials = [
            record(number, values, float(worth(values[name]) + noise[number]))
            for number, values in enumerate(drawn(searched.space, 40))
        ]
        shares = importances(trials, searched)
        assert next(iter(shares)) == name
        assert shares[name] > 0.75
        assert sum(shares.values()) == pytest.approx(1)
        assert set(shares) == set(searched.space.ranges)
        assert list(shares.values()) == sorted(shares.values(), reverse=True)
    # Computed again, they are the same to the last bit.
    table = space_table(trials, searched)
    assert dict(zip(table["name"], table["importance"], strict=True)) == shares


def test_an_option_that_matters_where_it_is_called_for_is_found() -> None:
    searched = plan(IMPORTANT)
    name = "train.optimizer.adamw.weight_decay"
    trials = [
        record(number, values, float(values.get(name, 0.5))) for number, values in enumerate(drawn(searched.space, 60))
    ]
    assert importances(trials, searched)[name] > 0.6


def test_few_or_equally_good_trials_have_no_importances() -> None:
    searched = plan(IMPORTANT)
    trials = [record(number, values, number / 10) for number, values in enumerate(drawn(searched.space, ENOUGH))]
    assert importances(trials, searched)
    assert importances(trials[:-1], searched) == {}
    trials[0].status = "failed"
    assert importances(trials, searched) == {}
    assert importances([record(n, values, 0.5) for n, values in enumerate(drawn(searched.space, 20))], searched) == {}


# --- narrowed ranges


def best_of(name: str, values: Sequence[Any]) -> list[TrialRecord]:
    """Trials of which the first three are the best."""
    return [record(number, {name: value}, 0.9) for number, value in enumerate(values)]


NARROWED: list[tuple[dict[str, list[Any]], list[Any], dict[str, list[Any]]]] = [
    ({"uniform": [0.0, 1.0]}, [0.4, 0.5, 0.45], {"uniform": [0.3, 0.6]}),
    ({"uniform": [0.0, 1.0]}, [0.02, 0.97, 0.5], {"uniform": [0.0, 1.0]}),
    ({"uniform": [0.0, 1.0]}, [0.5, 0.5, 0.5], {"uniform": [0.4, 0.6]}),
    ({"loguniform": [1e-4, 1e-1]}, [1e-3, 1e-2, 2e-3], {"loguniform": [10**-3.3, 10**-1.7]}),
    ({"quniform": [0.0, 1.0, 0.1]}, [0.4, 0.5, 0.5], {"quniform": [0.3, 0.6, 0.1]}),
    ({"quniform": [0.0, 1.0, 0.5]}, [0.5, 0.5, 0.5], {"quniform": [0.0, 1.0, 0.5]}),
    ({"quniform": [0.0, 1.0, 0.5]}, [1.0, 1.0, 1.0], {"quniform": [0.5, 1.0, 0.5]}),
    ({"randint": [0, 101]}, [40, 50, 45], {"randint": [30, 61]}),
    ({"randint": [1, 4]}, [2, 2, 2], {"randint": [2, 3]}),
    ({"randint": [1, 4]}, [3, 3, 3], {"randint": [3, 4]}),
    ({"lograndint": [1, 1001]}, [10, 100, 30], {"lograndint": [5, 201]}),
    ({"choice": [4, 8, 16, 32]}, [16, 4, 16], {"choice": [4, 16]}),
    ({"choice": [[4], [4, 8], None]}, [None, [4], None], {"choice": [[4], None]}),
    ({"choice": ["a", "b"]}, ["b", "b", "b"], {"choice": ["b"]}),
]


def test_a_range_is_narrowed_around_the_best_trials() -> None:
    for given, values, expected in NARROWED:
        old = parse_range(given, "k")
        found = narrowed(space_of({"a": {"b": given}}), best_of("a.b", values))["a.b"]
        ((kind, numbers),) = expected.items()
        assert found.kind == kind == old.kind
        assert list(found.given) == (numbers if kind == "choice" else pytest.approx(numbers))
        check(found, old, values)


def check(found: Range, old: Range, values: Sequence[Any]) -> None:
    """A narrowed range can be searched, holds the best values, and lies inside the old one."""
    assert parse_range(json.loads(json.dumps(found.plain())), "k") == found
    if found.kind == "choice":
        assert {label(value) for value in values} <= {label(value) for value in found.given}
        assert all(value in old.given for value in found.given)
        return
    assert old.low <= found.low <= min(values) <= max(values) <= found.high <= old.high
    assert all(found.nearest(value) == pytest.approx(value) for value in values)


def test_a_narrowed_range_can_be_searched_whatever_the_best_trials_are() -> None:
    for given in (each[0] for each in NARROWED):
        old, space = parse_range(given, "k"), space_of({"a": {"b": given}})
        for seed in range(20):
            values = [values["a.b"] for values in drawn(space, 3, seed)]
            check(narrowed(space, best_of("a.b", values))["a.b"], old, values)


def test_a_fifth_of_the_trials_but_no_fewer_than_three_are_the_best() -> None:
    space = space_of({"a": {"b": {"uniform": [0.0, 1.0]}}})
    values = [0.5, 0.5, 0.5, 0.8, *[0.0] * 16]
    assert narrowed(space, best_of("a.b", values[:10]))["a.b"].given == pytest.approx((0.4, 0.6))
    assert narrowed(space, best_of("a.b", values))["a.b"].given == pytest.approx((0.4, 0.9))


def test_what_no_best_trial_calls_for_is_not_narrowed() -> None:
    space = space_of({"model": SPACE["model"]})
    found = narrowed(space, [record(n, CNN, 0.5) for n in range(3)])
    assert set(found) == {"model.use", "model.cnn1d.widths"}
    assert found["model.use"].given == ("cnn1d",)


# --- refined searches


@pytest.fixture
def searches(tmp_path: Path, searched: SearchPlan) -> Searches:
    """A folder in which the search s has run ten trials, of which small convolutions were the best."""
    folder = Searches(tmp_path)
    folder.begin("key", searched)
    for number in range(10):
        values = {**CNN, "train.batch_size": 12, "model.cnn1d.widths": [4]} if number in (2, 5, 7) else MLP
        folder.save("key", record(number, values, 0.9 if number in (2, 5, 7) else 0.5))
    return folder


def test_a_refined_search_is_narrowed_around_an_earlier_one(
    searched: SearchPlan, searches: Searches, caplog: pytest.LogCaptureFixture
) -> None:
    wider = plan(
        {**SPACE, "train": {**SPACE["train"], "batch_size": {"randint": [1, 200]}, "patience": 3}}, name="t", models={}
    )
    with caplog.at_level(logging.INFO):
        found = refined(wider, "s", searches)
    assert found.space.ranges["model.use"].given == ("cnn1d",)
    assert found.space.ranges["model.cnn1d.widths"].given == ([4],)
    assert found.space.ranges["train.batch_size"] == Range("randint", (8, 19))
    assert "model.mlp.width" not in found.space.ranges
    assert found.space.constants == {"train": {"patience": 3}}
    assert (found.seed, found.search.trials, found.base) == (wider.seed, wider.search.trials, wider.base)
    assert SearchPlan.model_validate_json(found.model_dump_json()) == found
    assert found.key([]) != wider.key([])
    assert "refined: train.batch_size from 1 … 199 to 8 … 18" in caplog.text
    assert "refined: model.mlp.width is no longer searched" in caplog.text


def test_a_search_refined_by_its_own_name_is_the_same_one_however_often_it_is_started(
    searched: SearchPlan, searches: Searches
) -> None:
    first = refined(searched, "s", searches)
    searches.begin(first.key([]), first)
    for number in range(5):
        searches.save(first.key([]), record(number, {**CNN, "model.cnn1d.widths": [4]}, 0.9 + number / 100))
    assert refined(searched, "s", searches).key([]) == first.key([])


def test_a_refined_search_can_be_refined_in_its_turn(searched: SearchPlan, searches: Searches) -> None:
    first = refined(searched, "s", searches)
    searches.begin("second", first)
    for number in range(3):
        searches.save("second", record(number, {**CNN, "model.cnn1d.widths": [4], "train.batch_size": 9}, 0.9))
    second = refined(searched, first.name, searches)
    assert second.space.ranges["train.batch_size"].given == (8, 11)
    assert second.name not in (searched.name, first.name)


def test_each_of_two_searches_that_differ_in_their_names_alone_can_be_refined(tmp_path: Path) -> None:
    searches = Searches(tmp_path)
    for name in ("s", "t"):
        searched = plan(SPACE, models={}, name=name)
        searches.begin(searched.key([]), searched)
        for number in range(BEST_AT_LEAST):
            searches.save(searched.key([]), record(number, MLP, 0.5))
    assert [refined(searched, name, searches).name for name in ("s", "t")] == ["s_refined", "t_refined"]


def test_of_all_searches_the_trials_of_the_refined_one_alone_must_be_whole(
    searched: SearchPlan, searches: Searches
) -> None:
    other = plan(SPACE, models={}, name="other")
    searches.begin("other", other)
    searches.save("other", record(0, MLP, 0.5))
    damaged = searches.folder / "other" / "trial-0000.json"
    damaged.write_bytes(damaged.read_bytes()[:-20])
    assert refined(searched, "s", searches).name == "s_refined"
    with pytest.raises(BeatwiseError, match=f"^{damaged} cannot be read"):
        refined(searched, "other", searches)


def test_a_search_that_is_unknown_too_short_or_of_other_things_cannot_be_refined(
    searched: SearchPlan, searches: Searches
) -> None:
    message = (
        r"^tune\.refine: Unknown search 'ss'\. Did you mean 's'\? Known: s\. Run it first: `kedro run "
        r"--pipeline=tune --params=tune\.use=ss`\.$"
    )
    with pytest.raises(BeatwiseError, match=message):
        refined(searched, "ss", searches)
    other = plan({"train": {"sampler_power": {"uniform": [0.0, 1.0]}}}, name="t")
    with pytest.raises(
        BeatwiseError, match=r"^tune\.refine: the searches s and t have no hyper-parameter in common\.$"
    ):
        refined(other, "s", searches)
    for number in range(BEST_AT_LEAST - 1, 10):
        searches.save("key", record(number, MLP, 0.5, status="failed"))
    message = r"^tune\.refine: the search s has 2 trials with a score; a refined search needs 3\.$"
    with pytest.raises(BeatwiseError, match=message):
        refined(searched, "s", searches)
