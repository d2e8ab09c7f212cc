"""The journal: expectations, entries and their files, the runs that test them, and how people read it."""

from __future__ import annotations

import os
import signal
import subprocess
import sys
from collections.abc import Callable
from datetime import UTC, datetime, timedelta
from itertools import count
from pathlib import Path
from typing import Any

import pandas as pd
import pytest
from rich.console import Console

from beatwise.comparison.documents import Row
from beatwise.core.errors import BeatwiseError
from beatwise.report.journal import as_markdown, brief_entries, entries_table, on_terminal
from beatwise.report.terminal import as_rich
from beatwise.runs.card import earlier_scores
from beatwise.runs.journal import (
    KEPT_METRICS,
    SLUG_LENGTH,
    Attempt,
    Condition,
    Entry,
    Journal,
    Run,
    judge,
    read_expectation,
    result_of,
)
from beatwise.runs.metadata import JOURNAL
from beatwise.runs.saved import Saved
from beatwise.tasks.metrics import flatten_scores
from beatwise.tasks.registry import METRICS
from tests.conftest import example_card, git

START = datetime(2026, 3, 1, 9, 30, tzinfo=UTC)


class Clock:
    """A clock that goes on by a minute whenever somebody looks at it."""

    def __init__(self) -> None:
        self.minutes = count()

    def now(self) -> datetime:
        return START + timedelta(minutes=next(self.minutes))


CLOCK = Clock()


@pytest.fixture(autouse=True)
def clock(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(CLOCK, "minutes", count())
    monkeypatch.setattr("beatwise.runs.journal.now", CLOCK.now)


@pytest.fixture
def journal(tmp_path: Path) -> Journal:
    return Journal(tmp_path)


def begun(source: str = "demo", **metadata: Any) -> Run:
    known: dict[str, Any] = {"environment": "base", "pipeline": "train", "source": source, **metadata}
    return Run(began=CLOCK.now(), **known)


def measured(value: float = 0.5, /, **test: float) -> dict[str, Any]:
    """What the pipeline stores as metrics: every metric the same value, but for those of test that are given."""
    parts = {
        part: {"overall": {name: {"value": value} for name in METRICS.overall()}}
        for part in ("test", "val", "recall_first")
    }
    parts["test"]["overall"] |= {name: {"value": own} for name, own in test.items()}
    return {"classes": [], **{part: {**scores, "per_class": {}} for part, scores in parts.items()}}


def scored(value: float = 0.5, model: str = "baseline", /, **test: float) -> Saved:
    """The metrics of a model, as the recorder hands them on."""
    metrics = measured(value, **test)
    return Saved("scores", f"{model}.metrics", metrics, Path(), [], model, {model: flatten_scores(metrics)})


def carry_out(journal: Journal, hypothesis: str = "", source: str = "demo", **test: float) -> Entry:
    """Let a run take up a hypothesis and come to these metrics; its entry."""
    attempt = journal.take_up(hypothesis, begun(source))
    assert attempt is not None
    attempt.record(scored(**test))
    return attempt.finish()


# --- expectations


def test_an_expectation_is_read_condition_by_condition() -> None:
    assert read_expectation("") == []
    assert read_expectation(" macro_recall>=.93 ") == [Condition("test.macro_recall", ">=", 0.93)]
    assert read_expectation("log_loss < 2") == [Condition("test.log_loss", "<", 2.0)]
    assert read_expectation("val.kappa > -0.1 and recall_first.accuracy <= 1.0") == [
        Condition("val.kappa", ">", -0.1),
        Condition("recall_first.accuracy", "<=", 1.0),
    ]


@pytest.mark.parametrize(
    ("expect", "words"),
    [
        ("macro_recal > 0.9", "Unknown metric 'macro_recal'. Did you mean 'macro_recall'? Known: accuracy, "),
        ("train.macro_recall > 0.9", "Unknown part 'train'. Known: recall_first, test, val."),
        ("macro_recall > 93", "macro_recall is never above 1; got 93."),
        ("macro_recall > 0.9 and", "'macro_recall > 0.9 and' cannot be read."),
        (
            "macro_recall > 93%",
            "'macro_recall > 93%' cannot be read. Allowed: a metric, one of > >= < <=, and a number",
        ),
    ],
)
def test_an_expectation_that_cannot_be_judged_is_refused_when_it_is_proposed(
    journal: Journal, expect: str, words: str
) -> None:
    with pytest.raises(BeatwiseError) as caught:
        journal.propose("S is rhythm", expect)
    assert f"\nexpect: {words}" in str(caught.value)
    assert not journal.entries()


def test_every_overall_metric_of_every_part_can_be_expected() -> None:
    for metric in KEPT_METRICS:
        metrics = dict.fromkeys(KEPT_METRICS, 0.2) | {metric: 0.6}
        assert judge(f"{metric} > 0.5", metrics) == "confirmed"
        assert judge(f"{metric} <= 0.5", metrics) == "refuted"


def test_an_expectation_is_confirmed_where_all_of_it_holds_and_refuted_where_any_of_it_fails() -> None:
    outcomes = {
        "": "open",
        "kappa > 0.5": "refuted",
        "kappa >= 0.5": "confirmed",
        "kappa < 0.5": "refuted",
        "kappa <= 0.5": "confirmed",
        "kappa >= 0.5 and accuracy > 0.8": "confirmed",
        "kappa >= 0.5 and accuracy > 0.9": "refuted",
        # Not measured.
        "mcc > 0.5": "open",
        "mcc > 0.5 and kappa >= 0.5": "open",
        "mcc > 0.5 and kappa > 0.5": "refuted",
    }
    metrics = {"test.kappa": 0.5, "test.accuracy": 0.9}
    assert {expect: judge(expect, metrics) for expect in outcomes} == outcomes


# --- IDs


def test_an_id_is_the_date_and_the_first_words(journal: Journal) -> None:
    for hypothesis, words in {
        "S is defined by rhythm, so RR features help": "s-is-defined-by-rhythm",
        "Größere Kerne: 11 statt 7!": "groere-kerne-11-statt",
        "心拍": "hypothesis",
        "x" * 100: "x" * SLUG_LENGTH,
        "../../etc/passwd": "etc-passwd",
    }.items():
        assert journal.propose(hypothesis) == f"2026-03-01-{words}"
        assert journal.path(f"2026-03-01-{words}").is_file()


def test_proposals_with_the_same_words_on_one_day_do_not_overwrite_one_another(journal: Journal) -> None:
    ids = [journal.propose("RR helps", f"kappa > 0.{i}") for i in range(3)]
    assert ids == ["2026-03-01-rr-helps", "2026-03-01-rr-helps-2", "2026-03-01-rr-helps-3"]
    assert [entry.expect for entry in journal.entries().values()] == ["kappa > 0.0", "kappa > 0.1", "kappa > 0.2"]


def test_an_entry_is_found_by_its_id_by_what_that_begins_with_and_as_last(journal: Journal) -> None:
    for hypothesis in ("RR helps", "RR helps", "Wider kernels", "A late one"):
        journal.propose(hypothesis)
    found = {
        "2026-03-01-rr-helps": "2026-03-01-rr-helps",
        "2026-03-01-rr-helps-2": "2026-03-01-rr-helps-2",
        "2026-03-01-w": "2026-03-01-wider-kernels",
        "wid": "2026-03-01-wider-kernels",
        "last": "2026-03-01-a-late-one",
    }
    assert {asked: journal.find(asked) for asked in found} == found


def test_an_id_that_is_unknown_or_ambiguous_lists_what_it_may_have_meant(journal: Journal) -> None:
    with pytest.raises(BeatwiseError, match=r"no entries yet; `kedro journal propose` makes one"):
        journal.find("last")
    ids = [journal.propose(words) for words in ("RR helps", "RR hurts", "Kernels")]
    with pytest.raises(BeatwiseError, match=f"^'rr' may be any of these entries: {ids[0]}, {ids[1]}.$"):
        journal.find("rr")
    for asked in ("2026-03-02", ""):
        with pytest.raises(BeatwiseError, match=rf"^Unknown entry '{asked}'\..*Known: {ids[2]}, {ids[0]}, {ids[1]}.$"):
            journal.find(asked)


# --- files

AWKWARD = [
    "yes",
    "0.5",
    "- a list: {of, things}",
    "# \"quoted\" and 'quoted'",
    "long " * 60 + "with: colons",
    "two paragraphs\n\nand  two spaces, " + "and words " * 20,
    "naïve ♥ 心拍",
    "tabs\tand a bell \x07",
]


def test_any_text_comes_back_from_the_file_as_it_was(journal: Journal) -> None:
    for text in AWKWARD:
        id = journal.propose(text)
        journal.reflect(id, text)
        carry_out(journal)
        entry = journal.entries()[id]
        assert entry.hypothesis == text.strip()
        assert [reflection.text for reflection in entry.reflections] == [text.strip()]


def test_the_file_of_an_entry_reads_well(journal: Journal) -> None:
    id = journal.propose('The class "S" is defined by rhythm, not by shape: ' + "rhythm " * 12, "macro_recall > 0.4")
    attempt = journal.take_up("", begun(params={"train.epochs": 3}, command="kedro run", git_sha="1" * 40))
    assert attempt is not None
    attempt.record(scored(kappa=0.75))
    attempt.finish()
    journal.reflect(id, "It is.\nOn the whole.")
    lines = journal.path(id).read_text("utf-8").splitlines()
    assert [line for line in lines if not line.startswith(("    test.", "    val.", "    recall_first."))] == [
        "hypothesis: >-",
        '  The class "S" is defined by rhythm, not by shape: rhythm rhythm rhythm rhythm rhythm rhythm rhythm rhythm',
        "  rhythm rhythm rhythm rhythm",
        "expect: macro_recall > 0.4",
        "proposed: 2026-03-01 09:30:00+00:00",
        "runs:",
        "- began: 2026-03-01 09:31:00+00:00",
        "  ended: 2026-03-01 09:32:00+00:00",
        "  command: kedro run",
        f"  git_sha: '{'1' * 40}'",
        "  environment: base",
        "  pipeline: train",
        "  source: demo",
        "  params:",
        "    train.epochs: 3",
        "  outcome: confirmed",
        "  result: baseline",
        "  metrics:",
        "reflections:",
        "- written: 2026-03-01 09:33:00+00:00",
        "  text: |-",
        "    It is.",
        "    On the whole.",
    ]
    assert "    test.kappa: 0.75" in lines


@pytest.mark.parametrize(
    ("content", "words"),
    [
        ("<<<<<<< HEAD\nhypothesis: a\n=======\nhypothesis: b\n>>>>>>> other\n", r"{path} is not YAML: .*line"),
        ("", r"{path} is no entry of the journal\. Its keys are hypothesis, expect, proposed, runs, reflections\."),
        ("hypothesis: a\n", r"{path} cannot be used:\nproposed: Field required"),
        (
            "hypothesis: a\nproposed: 2026-01-01 10:00:00+00:00\nexpekt: kappa > 0.1\n",
            r"\nexpekt: Unknown key 'expekt'\. Did you mean 'expect'\?",
        ),
        (
            "hypothesis: a\nproposed: 2026-01-01 10:00:00+00:00\nruns:\n- {began: 2026-01-01 10:00:00+00:00, "
            "environment: base, pipeline: train, source: demo, outcome: great, outcom: x}\n",
            r"\nruns\.0\.outcome: Input should be 'confirmed', 'refuted', .*; got 'great'\."
            r"\nruns\.0\.outcom: Unknown key 'outcom'\. Did you mean 'outcome'\?",
        ),
    ],
)
def test_a_file_that_cannot_be_used_is_named_with_the_key(journal: Journal, content: str | bytes, words: str) -> None:
    path = journal.path(journal.propose("b"))
    path.write_bytes(content if isinstance(content, bytes) else content.encode())
    with pytest.raises(BeatwiseError, match=rf"(?s){words.format(path=path)}"):
        journal.entries()


def test_other_files_in_the_folder_are_no_entries(journal: Journal) -> None:
    id = journal.propose("a")
    (journal.path(id).parent / "README.md").write_text("What this is.")
    assert list(journal.entries()) == [id]


def test_looking_into_a_journal_writes_nothing(tmp_path: Path) -> None:
    assert Journal(tmp_path).entries() == {}
    assert Journal(tmp_path).take_up("", begun()) is None
    assert not (tmp_path / JOURNAL).exists()


def test_words_are_needed(journal: Journal) -> None:
    with pytest.raises(BeatwiseError, match="hypothesis: String should have at least 1 character"):
        journal.propose("  ")
    with pytest.raises(BeatwiseError, match="text: String should have at least 1 character"):
        journal.reflect(journal.propose("a"), "\n")


def test_entries_of_two_branches_are_merged_without_conflict(repository: Path) -> None:
    journal = Journal(repository)
    for branch, hypothesis in (("one", "RR helps"), ("other", "Wider kernels help")):
        git(repository, "switch", "--quiet", "--create", branch, "main")
        journal.propose(hypothesis, "kappa > 0.1")
        carry_out(journal)
        journal.reflect(journal.find("last"), "So it does.")
        git(repository, "add", ".")
        git(repository, "commit", "--quiet", f"--message={branch}")
    git(repository, "merge", "--quiet", "--no-edit", "one")
    assert [entry.hypothesis for entry in journal.entries().values()] == ["RR helps", "Wider kernels help"]


# --- runs


def test_the_newest_hypothesis_that_waits_is_taken_up(journal: Journal) -> None:
    for hypothesis in ("first", "second"):
        journal.propose(hypothesis)
    assert carry_out(journal).hypothesis == "second"
    assert carry_out(journal).hypothesis == "first"
    assert journal.take_up("", begun()) is None


def test_a_hypothesis_that_is_given_comes_before_those_that_wait_and_is_proposed_once(journal: Journal) -> None:
    journal.propose("waits")
    assert carry_out(journal, " given ").hypothesis == "given"
    assert [entry.state for entry in journal.entries().values()] == ["waiting", "open"]
    assert carry_out(journal, "waits").hypothesis == "waits"
    assert len(journal.entries()) == 2
    # What has been tested is another hypothesis when it is tested again.
    carry_out(journal, "waits")
    assert len(journal.entries()) == 3


def test_what_fails_or_is_stopped_waits_again_and_keeps_its_runs(journal: Journal) -> None:
    id = journal.propose("a", "kappa > 0.1")
    ends: list[Callable[[Attempt], Entry]] = [
        lambda attempt: attempt.fail("ValueError: no"),
        lambda attempt: attempt.stop(),
        # Nothing was measured.
        lambda attempt: attempt.finish(),
    ]
    for end in ends:
        attempt = journal.take_up("a", begun())
        assert attempt is not None
        entry = end(attempt)
        assert journal.entries() == {id: entry}
    carry_out(journal)
    (entry,) = journal.entries().values()
    assert [(run.outcome, run.error) for run in entry.runs] == [
        ("failed", "ValueError: no"),
        ("stopped", None),
        ("failed", "The run measured nothing."),
        ("confirmed", None),
    ]
    assert [bool(run.metrics) for run in entry.runs] == [False, False, False, True]
    assert journal.take_up("", begun()) is None


def test_a_hypothesis_that_is_being_tested_is_left_to_the_run_that_tests_it(journal: Journal, tmp_path: Path) -> None:
    id = journal.propose("a")
    attempt = journal.take_up("", begun())
    assert attempt is not None
    other = Journal(tmp_path)
    assert other.entries()[id].state == "running"
    assert other.take_up("", begun()) is None
    attempt.stop()
    assert other.take_up("", begun()) is not None


def test_a_hypothesis_whose_run_was_killed_waits_again(journal: Journal, tmp_path: Path) -> None:
    id = journal.propose("a")
    script = (
        "import os, signal\nfrom pathlib import Path\n"
        "from beatwise.runs.journal import Journal, Run\nfrom beatwise.runs.metadata import now\n"
        "run = Run(began=now(), environment='base', pipeline='train', source='demo')\n"
        "attempt = Journal(Path.cwd()).take_up('', run)\nassert attempt\nos.kill(os.getpid(), signal.SIGKILL)\n"
    )
    done = subprocess.run([sys.executable, "-c", script], cwd=tmp_path, check=False, timeout=60)
    assert done.returncode == -signal.SIGKILL
    assert "outcome" not in journal.path(id).read_text("utf-8")
    assert journal.entries()[id].state == "stopped"
    entry = carry_out(journal)
    assert [run.outcome for run in entry.runs] == ["stopped", "open"]
    assert journal.entries()[id] == entry


def test_a_reflection_written_during_the_run_is_still_there_at_its_end(journal: Journal) -> None:
    id = journal.propose("a")
    attempt = journal.take_up("", begun())
    assert attempt is not None
    journal.reflect(id, "It takes long.")
    attempt.fail("ValueError: no")
    entry = journal.entries()[id]
    assert ([r.text for r in entry.reflections], [r.outcome for r in entry.runs]) == (["It takes long."], ["failed"])


@pytest.mark.parametrize("before_the_run", [True, False])
def test_an_outcome_is_not_lost_with_the_file(journal: Journal, before_the_run: bool) -> None:
    path = journal.path(journal.propose("a", "kappa > 0.1"))
    first = journal.take_up("", begun())
    assert first is not None
    first.stop()
    before = path.read_text("utf-8")
    attempt = journal.take_up("", begun())
    assert attempt is not None
    # As the checkout of another commit does.
    path.unlink()
    if before_the_run:
        path.write_text(before)
    entry = attempt.fail("ValueError: no")
    assert journal.entries() == {path.stem: entry}


def test_a_file_that_is_damaged_during_the_run_is_left_as_it_is_and_named(
    journal: Journal, caplog: pytest.LogCaptureFixture
) -> None:
    id = journal.propose("a", "kappa > 0.1")
    attempt = journal.take_up("", begun())
    assert attempt is not None
    journal.path(id).write_text("half a tho: [ught")
    attempt.record(scored())
    assert attempt.finish().state == "confirmed"
    assert f"(confirmed) could not be written into the journal: {journal.path(id)} is not YAML" in caplog.text
    assert journal.path(id).read_text() == "half a tho: [ught"


def test_what_counts_is_what_was_expected_when_the_run_began(journal: Journal) -> None:
    id = journal.propose("a", "kappa > 0.9")
    attempt = journal.take_up("", begun())
    assert attempt is not None
    path = journal.path(id)
    path.write_text(path.read_text("utf-8").replace("kappa > 0.9", "kappa > 0.1"))
    attempt.record(scored(kappa=0.5))
    assert attempt.finish().state == "refuted"
    assert journal.entries()[id].state == "refuted"


# --- the best before


def test_the_first_run_of_a_source_has_no_best_before_it(journal: Journal) -> None:
    carry_out(journal, "elsewhere", source="other", macro_recall=0.9)
    assert carry_out(journal, "here").runs[0].previous_best == {}


def test_a_run_is_compared_with_the_best_of_its_source_and_not_with_the_last(journal: Journal) -> None:
    for hypothesis, value in (("a", 0.6), ("b", 0.8), ("c", 0.7)):
        carry_out(journal, hypothesis, macro_recall=value, macro_f1=1 - value)
    carry_out(journal, "elsewhere", source="other", macro_recall=0.9)
    best = carry_out(journal, "d", macro_recall=0.75).runs[0].previous_best
    assert {name: (known.value, known.entry) for name, known in best.items()} == {
        "test.macro_recall": (0.8, "2026-03-01-b"),
        "test.macro_f1": (0.4, "2026-03-01-a"),
    }


def test_runs_without_a_hypothesis_count_too(journal: Journal, tmp_path: Path) -> None:
    carry_out(journal, "a", macro_recall=0.8, macro_f1=0.8)
    cards = tmp_path / "run_card.json"
    for version, began, scores in (
        ("1", "2026-03-01T08:30:00Z", {"baseline": 0.7, "tuned": 0.85}),
        ("2", "2026-03-02T08:30:00Z", {"baseline": 0.82}),
    ):
        measures = {model: {"test.macro_recall": value} for model, value in scores.items()}
        card = example_card(began=datetime.fromisoformat(began), scores=measures)
        path = cards / version / cards.name
        path.parent.mkdir(parents=True)
        path.write_text(card.model_dump_json(), "utf-8")
    (cards / "3").mkdir()
    (cards / "3" / cards.name).write_text("{", "utf-8")
    attempt = journal.take_up("b", begun("demo"), earlier_scores(cards))
    assert attempt is not None
    assert {name: (known.value, known.entry) for name, known in attempt.previous_best.items()} == {
        "test.macro_recall": (0.85, "2026-03-01 08:30 tuned"),
        "test.macro_f1": (0.8, "2026-03-01-a"),
    }


def test_a_metric_of_the_expectation_is_compared_too_and_of_a_loss_the_least_is_the_best(journal: Journal) -> None:
    for hypothesis, value in (("a", 0.6), ("b", 0.3)):
        carry_out(journal, hypothesis, log_loss=value, kappa=value)
    journal.propose("c", "log_loss < 0.2 and kappa > 0.7 and val.mcc > 0.1")
    best = carry_out(journal).runs[0].previous_best
    assert {name: known.value for name, known in best.items() if "macro" not in name} == {
        "test.log_loss": 0.3,
        "test.kappa": 0.6,
        "val.mcc": 0.5,
    }


# --- the result of a run


def test_the_result_of_a_run_is_the_model_that_it_measured_or_the_tuned_one() -> None:
    assert result_of([]) is None
    baseline, tuned = scored(0.5, kappa=2 / 3), scored(0.2, "tuned")
    assert result_of([baseline]) == ("baseline", dict.fromkeys(KEPT_METRICS, 0.5) | {"test.kappa": 0.666667})
    for order in ([baseline, tuned], [tuned, baseline]):
        assert result_of(order) == ("tuned", dict.fromkeys(KEPT_METRICS, 0.2))


def test_the_result_of_a_comparison_is_its_first_row_that_is_no_ensemble_with_means_over_the_seeds() -> None:
    def row(model: str, value: float, **test: float) -> Row:
        metrics = measured(value, **test)
        return Row(row=0, model=model, strategy="none", seed=1, changes={}, metrics=metrics)

    undefined: Any = None
    rows = [row("mlp", 0.1), row("cnn1d", 0.6, mcc=undefined), row("cnn1d", 0.7), row("both", 0.8)]
    scores = {str(number): flatten_scores(row.metrics) for number, row in enumerate(rows)}
    board = pd.DataFrame({"model": ["both", "cnn1d", "mlp"], "strategy": ["none"] * 3, "averaged": [3, 0, 0]}).assign(
        naive=False
    )
    result = result_of(
        [
            Saved("row_scores", "comparison.scores", rows, Path(), [], "comparison", scores),
            Saved("leaderboard", "comparison.leaderboard", board, Path(), [], "comparison"),
        ]
    )
    assert result == ("cnn1d · none", {name: 0.65 for name in KEPT_METRICS if name != "test.mcc"})


# --- as people read it


@pytest.fixture
def reported(journal: Journal) -> Journal:
    """A journal of three entries: one confirmed at the second try, one open, one that waits."""
    journal.propose("S is defined by rhythm,\nso RR features help", "macro_recall > 0.93 and val.kappa >= 0.5")
    attempt = journal.take_up("", begun(command="kedro run --env=mitbih_rr"))
    assert attempt is not None
    attempt.fail("raw_beats: There are no beats in …/heartbeat.")
    carry_out(journal, macro_recall=0.9512345, macro_f1=0.7)
    carry_out(journal, "Wider kernels help", macro_recall=0.94, macro_f1=0.71)
    journal.reflect(journal.find("s-is"), "It does.\n\nNext: fewer records.")
    journal.propose("A hypothesis that waits")
    return journal


EXPORTED = """\
# Journal

## S is defined by rhythm, so RR features help

Expected: `macro_recall > 0.93 and val.kappa >= 0.5`. Outcome: **confirmed**. \
(`2026-03-01-s-is-defined-by-rhythm`, proposed 2026-03-01 09:30 UTC)

Run of 2026-03-01 09:31 UTC, failed. command: `kedro run --env=mitbih_rr`; environment: `base`; pipeline: `train`; \
source: `demo`; took: `0:01:00`; error: `raw_beats: There are no beats in …/heartbeat.`.

Run of 2026-03-01 09:33 UTC, confirmed. environment: `base`; pipeline: `train`; source: `demo`; took: `0:01:00`.

|  | expected | result | best before | change |
| --- | ---: | ---: | ---: | ---: |
| macro_recall | > 0.93 ✓ | 0.9512 |  |  |
| macro_f1 |  | 0.7000 |  |  |
| val.kappa | >= 0.5 ✓ | 0.5000 |  |  |

Result: baseline. The first of source demo.

> It does.
>
> Next: fewer records.
>
> 2026-03-01 09:38 UTC

## Wider kernels help

Nothing in particular was expected. Outcome: **open**. (`2026-03-01-wider-kernels-help`, proposed 2026-03-01 09:36 UTC)

Run of 2026-03-01 09:35 UTC, open. environment: `base`; pipeline: `train`; source: `demo`; took: `0:02:00`.

|  | expected | result | best before | change |
| --- | ---: | ---: | ---: | ---: |
| macro_recall |  | 0.9400 | 0.9512 | -0.0112 |
| macro_f1 |  | 0.7100 | 0.7000 | +0.0100 |

Result: baseline. Best before of source demo: 2026-03-01-s-is-defined-by-rhythm.

## A hypothesis that waits

Nothing in particular was expected. Outcome: **waiting**. (`2026-03-01-a-hypothesis-that`, \
proposed 2026-03-01 09:39 UTC)
"""


def test_the_journal_as_markdown_tells_everything_oldest_first(reported: Journal) -> None:
    assert as_markdown(reported.entries()) == EXPORTED


def test_a_report_tells_of_what_was_tested_on_its_source_the_newest_last(reported: Journal) -> None:
    carry_out(reported, "Of another source", source="mitbih")
    first, second = brief_entries(reported.entries(), "demo", START, measured())
    assert first == {
        "id": "2026-03-01-s-is-defined-by-rhythm",
        "hypothesis": "S is defined by rhythm, so RR features help",
        "expect": "macro_recall > 0.93 and val.kappa >= 0.5",
        "outcome": "confirmed",
        "scores": "macro_recall 0.9512, macro_f1 0.7000",
        "reflections": ["It does.\n\nNext: fewer records."],
    }
    assert (second["hypothesis"], second["outcome"], second["expect"]) == ("Wider kernels help", "open", "")
    assert second["scores"] == (
        "macro_recall 0.9400 (-0.0112 against the best before), macro_f1 0.7100 (+0.0100 against the best before)"
    )


def test_what_the_run_of_a_report_tests_is_judged_by_the_scores_of_that_report(journal: Journal) -> None:
    journal.propose("Half is enough", "macro_recall >= 0.5")
    run = begun()
    attempt = journal.take_up("", run)
    assert attempt is not None
    for value, outcome in ((0.5, "confirmed"), (0.4, "refuted")):
        (entry,) = brief_entries(journal.entries(), "demo", run.began, measured(value))
        assert entry["outcome"] == f"tested by this run; by the scores of this report {outcome}"
    (of_another_run,) = brief_entries(journal.entries(), "demo", START, measured())
    assert of_another_run["outcome"] == "running"
    attempt.stop()


def shown(renderable: Any) -> list[str]:
    console = Console(width=80, record=True, file=open(os.devnull, "w"))  # noqa: SIM115
    console.print(renderable)
    return [line.rstrip() for line in console.export_text().splitlines()]


def test_the_list_has_a_line_for_every_entry_and_fits_the_terminal(reported: Journal) -> None:
    reported.propose("w" * SLUG_LENGTH, "kappa < -0.99")
    reported.propose("w" * SLUG_LENGTH, "kappa < -0.99")
    carry_out(reported, macro_recall=0.1)
    lines = shown(as_rich(entries_table(reported.entries())))
    assert [" ".join(line.split()) for line in lines if line.startswith(" 2026")] == [
        "2026-03-01-s-is-defined-by-rhythm confirmed 0.9512 0.7000",
        "2026-03-01-wider-kernels-help open 0.9400 -0.0112 0.7100 +0.0100",
        "2026-03-01-a-hypothesis-that waiting",
        f"2026-03-01-{'w' * SLUG_LENGTH} waiting",
        f"2026-03-01-{'w' * SLUG_LENGTH}-2 refuted 0.1000 -0.8512 0.5000 -0.2100",
    ]


def test_an_entry_on_the_terminal_shows_its_runs_its_result_and_what_people_made_of_it(reported: Journal) -> None:
    lines = shown(
        on_terminal("2026-03-01-s-is-defined-by-rhythm", reported.entries()["2026-03-01-s-is-defined-by-rhythm"])
    )
    text = "\n".join(" ".join(line.split()) for line in lines)
    for words in (
        "2026-03-01-s-is-defined-by-rhythm: confirmed\nS is defined by rhythm,\nso RR features help\n",
        "proposed 2026-03-01 09:30 UTC\nexpected macro_recall > 0.93 and val.kappa >= 0.5\n",
        "Run of 2026-03-01 09:31 UTC: failed\ncommand kedro run --env=mitbih_rr\nenvironment base\n",
        "error raw_beats: There are no beats in …/heartbeat.\n",
        "Run of 2026-03-01 09:33 UTC: confirmed\nenvironment base\npipeline train\nsource demo\ntook 0:01:00\n",
        "expected result best before change\n",
        "macro_recall > 0.93 ✓ 0.9512\nmacro_f1 0.7000\nval.kappa >= 0.5 ✓ 0.5000\n",
        "test recall_first val\n",
        "\nkappa 0.5000 0.5000 0.5000\n",
        "Reflections\n2026-03-01 09:38 UTC It does.\n\nNext: fewer records.",
    ):
        assert words in text


def test_a_journal_whose_run_goes_on_can_be_read(journal: Journal) -> None:
    attempt = journal.take_up("a", begun())
    assert attempt is not None
    assert "running" in as_markdown(journal.entries())
    assert "running" in str(shown(as_rich(entries_table(journal.entries()))))
