"""The card of a run: read, compared with what is there now, and with another card."""

from __future__ import annotations

import json
import re
from pathlib import Path
from typing import Any

import pytest
from rich.console import Console

from beatwise.core.errors import BeatwiseError
from beatwise.report.run_card import card_metadata, node_seconds, repetition_table, verdict
from beatwise.report.terminal import as_rich
from beatwise.runs.card import SearchBest, compare_scores, differences, read_card
from tests.conftest import example_card

CARD = example_card()
GIT = (CARD.git_sha or "", False)
BEST = SearchBest(search="quick", metric="macro_f1", trial=3, score=0.7, values={"train.epochs": 3})


# --- from a file


def test_a_card_is_read_as_it_was_written(tmp_path: Path) -> None:
    card = example_card(seconds=7.5, search=BEST, params={"train.epochs": 2, "train.patience": None})
    path = tmp_path / "run_card.json"
    path.write_text(json.dumps(card.model_dump(mode="json")))
    assert read_card(path) == card


LACKS = "It lacks hardware, parameters, pipeline, seeds, selected, source, versions"


@pytest.mark.parametrize(
    ("content", "words"),
    [
        (None, "cannot be read: No such file or directory. Cards lie in data/08_reporting/<source>/run_card.json/"),
        ("{", "is no run card: it is not JSON"),
        ("[1]", "is no run card. Every run that trains"),
        ('{"began": 1, "environment": "base"}', f"is no run card. {LACKS}. Every run that trains"),
        (
            json.dumps({**CARD.model_dump(mode="json"), "seeds": ["a"]}),
            "cannot be used:\nseeds.0: Input should be a valid",
        ),
        (
            json.dumps({**CARD.model_dump(mode="json"), "score": {}}),
            "cannot be used:\nscore: Unknown key 'score'. Did you mean 'scores'?",
        ),
    ],
)
def test_what_is_no_card_is_told_with_its_path(tmp_path: Path, content: str | None, words: str) -> None:
    path = tmp_path / "card.json"
    if content is not None:
        path.write_text(content)
    with pytest.raises(BeatwiseError, match=re.escape(words)) as caught:
        read_card(path)
    assert str(path) in str(caught.value)


# --- what is not as it was


def changed(**now: Any) -> list[tuple[str, str, str]]:
    given = {"git": GIT, "versions": CARD.versions, "hardware": CARD.hardware, "data": CARD.data, **now}
    return list(differences(CARD, **given))


def test_where_all_is_as_it_was_nothing_differs() -> None:
    assert changed() == []
    # Of what was not looked at nothing is said.
    assert changed(data={}) == []


@pytest.mark.parametrize(
    ("now", "said"),
    [
        ({"git": ("9" * 40, False)}, [("commit", "0123456789", "9999999999")]),
        ({"git": (CARD.git_sha, True)}, [("uncommitted changes", "no", "yes")]),
        ({"git": (None, None)}, [("commit", "0123456789", "none"), ("uncommitted changes", "no", "not known")]),
        (
            {"versions": {"beatwise": "0.1.0", "python": "3.11.7", "torch": "2.14.0", "zarr": "3.1"}},
            [("torch", "2.13.0", "2.14.0"), ("wfdb", "4.3.1", "none"), ("zarr", "none", "3.1")],
        ),
        (
            {"hardware": CARD.hardware.model_copy(update={"threads": 8, "gpu": "H200"})},
            [("threads", "1", "8"), ("gpu", "none", "H200")],
        ),
        ({"data": {"raw_beats": "c" * 64 + "d" * 64}}, [("raw_beats", "a" * 10, "c" * 10 + " " + "d" * 10)]),
    ],
)
def test_what_is_not_as_it_was_is_named_with_then_and_now(
    now: dict[str, Any], said: list[tuple[str, str, str]]
) -> None:
    assert changed(**now) == said


def test_two_states_with_uncommitted_changes_need_not_be_the_same() -> None:
    card = example_card(uncommitted=True)
    (only,) = differences(card, (card.git_sha or "", True), card.versions, card.hardware, card.data)
    assert only == ("uncommitted changes", "yes", "yes, perhaps others")


# --- then and now


def with_scores(**scores: float) -> Any:
    return example_card(scores={"baseline": {name.replace("__", "."): value for name, value in scores.items()}})


def test_scores_agree_where_they_are_the_same_to_the_last_digit() -> None:
    scores = compare_scores(CARD, example_card())
    assert verdict(scores) == "All 3 scores agree to the last digit."
    assert [row[-1] for row in repetition_table(scores).rows] == ["", "✓", "✓"]
    almost = compare_scores(with_scores(test__mcc=0.1 + 0.2), with_scores(test__mcc=0.3))
    assert verdict(almost) == (
        "1 of 1 scores do not agree. The largest difference is that of baseline test.mcc: -5.55e-17."
    )


def test_the_usual_scores_are_shown_and_those_that_differ() -> None:
    then = with_scores(test__macro_recall=0.9, test__kappa=0.5, val__recall__S=0.75, test__mcc=0.1)
    now = with_scores(test__macro_recall=0.9, test__kappa=0.501, val__recall__S=0.5, test__mcc=0.1)
    scores = compare_scores(then, now)
    assert repetition_table(scores).rows == [
        ["baseline", "", "", ""],
        ["  test.macro_recall", "0.900000", "0.900000", "✓"],
        ["  test.kappa", "0.500000", "0.501000", "✗ +0.001"],
        ["  val.recall.S", "0.750000", "0.500000", "✗ -0.25"],
    ]
    assert verdict(scores) == (
        "2 of 4 scores do not agree. The largest difference is that of baseline val.recall.S: -0.25."
    )


def test_a_score_that_only_one_of_the_runs_has_does_not_agree() -> None:
    scores = compare_scores(with_scores(test__mcc=0.5, test__kappa=0.5), with_scores(test__mcc=0.6))
    assert ["  test.kappa", "0.500000", "–", "✗"] in repetition_table(scores).rows
    assert verdict(scores) == "2 of 2 scores do not agree. baseline test.kappa was measured then only."


def test_the_best_of_the_search_is_a_score_too() -> None:
    worse = BEST.model_copy(update={"score": 0.6})
    scores = compare_scores(example_card(search=BEST), example_card(search=worse))
    assert repetition_table(scores).rows[-2:] == [
        ["search quick", "", "", ""],
        ["  val.macro_f1", "0.700000", "0.600000", "✗ -0.1"],
    ]


def test_of_many_differences_the_largest_are_shown_and_the_table_fits_the_terminal() -> None:
    then = {f"se_resnet1d, wide · full_oversampling · seed {n}": {"recall_first.macro_recall": n} for n in range(40)}
    now = {name: {metric: -value / 3 for metric, value in row.items()} for name, row in then.items()}
    table = repetition_table(compare_scores(example_card(scores=then), example_card(scores=now)))
    assert [row[0] for row in table.rows[::2]] == list(then)[20:]
    console = Console(width=200)
    with console.capture() as capture:
        console.print(as_rich(table))
    assert max(len(line.rstrip()) for line in capture.get().splitlines()) <= 80


# --- in the report


def test_the_report_tells_what_is_known_and_nothing_that_is_not() -> None:
    best = {"search": "quick", "metric": "kappa", "trial": 1, "score": 0.5, "values": {}, "resumed": 2}
    known = card_metadata(example_card(load_versions={"baseline.model": "2026-02-01"}, search=best), "", "")
    assert known["search"] == "quick, resumed 2 times"
    assert known["commit"] == "0123456789"
    assert known["began from"] == "baseline.model 2026-02-01"
    assert known["fingerprint of raw_beats"] == "a" * 10
    # Of the packages, those that the numbers depend on most.
    assert known["packages"] == "beatwise 0.1.0, python 3.11.7, torch 2.13.0"
    assert known["processor"] == "A processor; cores: 2; threads of PyTorch: 1"
    assert not {"GPU", "params"} & known.keys()
    assert node_seconds(CARD) == {"split_beats": "0.50 s", "baseline.train_model": "1,234.57 s"}
