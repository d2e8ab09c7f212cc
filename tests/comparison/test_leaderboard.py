from __future__ import annotations

import math
from collections.abc import Callable, Sequence
from typing import Any

import numpy as np
import pandas as pd
import pytest
from matplotlib.figure import Figure

from beatwise.comparison.documents import FitMetadata, Row
from beatwise.comparison.leaderboard import rank_rows, row_labels
from beatwise.comparison.rows import measure_row
from beatwise.data.examples import Examples
from beatwise.figures import plot_leaderboard
from beatwise.figures.style import to_png
from beatwise.report.html import render_leaderboard
from beatwise.report.results import draw_leaderboard
from beatwise.report.settings import Report
from beatwise.report.tables import (
    against_table,
    behind_table,
    changes_table,
    classes_table,
    cost_table,
    ec57_leaderboard_table,
    leaderboard_table,
    short,
    short_leaderboard_table,
)
from beatwise.tasks.classification.aami import aami_scores
from beatwise.tasks.classification.intervals import draw_scores, measure
from beatwise.tasks.classification.predictions import PREFIX
from beatwise.tasks.settings import Evaluate
from tests.conftest import CLASSES, TASK

MakeBeats = Callable[..., Examples]
EVALUATE = Evaluate(bootstrap_draws=10, confidence=0.9, accuracy_floor=0.985)
# Eleven draws around 0: the ends of their 80% interval are the second and the last but one.
AROUND = np.arange(-5, 6) / 100
TASK_OF_ROWS = TASK.build()
COMPARED = TASK_OF_ROWS.compared


def cost(n_parameters: int | None = 1234, best_epoch: int | None = 3, seconds: float = 10.0) -> FitMetadata:
    return FitMetadata(
        task=TASK_OF_ROWS.to_dict(), n_parameters=n_parameters, best_epoch=best_epoch, seconds=seconds, history=[]
    )


REFERENCE = cost(None, None, 9.0)


class Board:
    """Scores and draws of rows, put down by hand."""

    def __init__(self) -> None:
        self.scores: list[Row] = []
        self.draws: list[pd.DataFrame] = []

    def add(
        self,
        model: str,
        f1: float,
        recall: float,
        *,
        strategy: str = "none",
        seed: int = 1,
        spread: Sequence[float] | np.ndarray[Any, Any] = AROUND,
        metadata: FitMetadata | None = None,
        members: Sequence[int] = (),
        against: str | None = None,
        fold: int | None = None,
    ) -> Board:
        """A row whose draws are its metrics plus the spread."""

        def part(**values: float | None) -> dict[str, Any]:
            return {"overall": {name: dict.fromkeys(("value", "low", "high"), value) for name, value in values.items()}}

        row = len(self.scores)
        test = {"macro_f1": f1, "macro_recall": recall, "accuracy": 0.9, "macro_auroc": 0.95}
        metrics = {
            "test": part(**test),
            "val": part(macro_f1=f1 - 0.1, macro_recall=recall - 0.1),
            "recall_first": part(macro_recall=recall + 0.05, accuracy=0.8),
        }
        self.scores.append(
            Row(
                row=row,
                model=model,
                strategy=strategy,
                seed=seed,
                changes={},
                metrics=metrics,
                members=[*members],
                against=against,
                fold=fold,
                metadata=metadata or cost(),
            )
        )
        drawn = {name: test[name] + np.asarray(spread) for name in COMPARED}
        self.draws.append(pd.DataFrame({**drawn, "row": row, "draw": range(len(spread))}))
        return self

    def rank(self, confidence: float = 0.8) -> pd.DataFrame:
        return rank_rows(self.scores, pd.concat(self.draws, ignore_index=True), Evaluate(confidence=confidence))


def entry(board: pd.DataFrame, model: str, strategy: str = "none") -> Any:
    (found,) = board[(board["model"] == model) & (board["strategy"] == strategy)].to_dict("records")
    return found


# --- seeds brought together


def test_the_seeds_of_a_model_and_a_strategy_make_one_row_with_their_mean_and_deviation() -> None:
    board = Board().add("a", 0.8, 0.6, seed=1).add("a", 0.9, 0.7, seed=2).add("a", 0.7, 0.8, seed=3).rank()
    row = entry(board, "a")
    assert len(board) == 1
    assert row["seeds"] == 3
    assert row["macro_f1"] == pytest.approx(0.8)
    assert row["macro_f1_sd"] == pytest.approx(0.1)  # over two degrees of freedom
    assert row["macro_recall"] == pytest.approx(0.7)
    assert row["val_macro_f1"] == pytest.approx(0.7)
    assert row["recall_first_macro_recall"] == pytest.approx(0.75)
    assert row["recall_first_accuracy"] == pytest.approx(0.8)


def test_a_single_seed_has_no_deviation() -> None:
    row = entry(Board().add("a", 0.8, 0.6).rank(), "a")
    assert all(math.isnan(row[f"{name}_sd"]) for name in COMPARED)


def test_an_interval_is_that_of_the_mean_over_the_seeds() -> None:
    wide, narrow = AROUND, AROUND / 5
    row = entry(Board().add("a", 0.8, 0.6, seed=1, spread=wide).add("a", 0.6, 0.6, seed=2, spread=narrow).rank(), "a")
    # The 10% and 90% quantiles of the eleven means, which are those at ±0.04 of the wide and ±0.008 of the narrow.
    assert row["macro_f1_low"] == pytest.approx(0.7 - (0.04 + 0.008) / 2)
    assert row["macro_f1_high"] == pytest.approx(0.7 + (0.04 + 0.008) / 2)


def test_the_interval_of_a_mean_is_as_wide_as_the_measured_ones_where_no_draw_differs() -> None:
    board = Board().add("a", 1.0, 1.0, seed=1, spread=[0.0] * 11).add("a", 1.0, 1.0, seed=2, spread=[0.0] * 11)
    for row in board.scores:
        # Six hits of six beats: the bootstrap draws nothing else, and Wilson's interval is wider.
        row.metrics["test"]["overall"]["macro_recall"]["low"] = 0.8
    found = entry(board.rank(), "a")
    assert (found["macro_recall_low"], found["macro_recall_high"]) == pytest.approx((0.8, 1.0))
    assert (found["macro_f1_low"], found["macro_f1_high"]) == (1.0, 1.0)


def test_a_higher_confidence_makes_a_wider_interval() -> None:
    rows = Board().add("a", 0.8, 0.6)
    row, wider = entry(rows.rank(0.5), "a"), entry(rows.rank(0.95), "a")
    assert wider["macro_f1_low"] < row["macro_f1_low"] < row["macro_f1_high"] < wider["macro_f1_high"]


def test_parameters_epochs_and_seconds_are_means_over_the_seeds() -> None:
    metadata = [cost(100, n, 10.0 * n) for n in (1, 4)]
    board = Board().add("a", 0.8, 0.6, metadata=metadata[0]).add("a", 0.8, 0.6, seed=2, metadata=metadata[1])
    row = entry(board.rank(), "a")
    assert (row["n_parameters"], row["best_epoch"], row["seconds"]) == (100, 2.5, 25)


def test_a_seed_that_failed_is_left_out_of_the_means() -> None:
    board = Board().add("a", 0.8, 0.6, seed=1).add("b", 0.7, 0.5, seed=1).add("b", 0.9, 0.7, seed=2).rank()
    assert entry(board, "a")["seeds"] == 1
    assert entry(board, "b")["seeds"] == 2


# --- ranks


def test_rows_are_ranked_by_macro_f1_and_by_macro_recall_and_stand_in_the_order_of_macro_f1() -> None:
    board = Board().add("low", 0.5, 0.9).add("high", 0.9, 0.5).add("middle", 0.7, 0.7).rank()
    assert board["model"].tolist() == ["high", "middle", "low"]
    assert board["rank_macro_f1"].tolist() == [1, 2, 3]
    assert board["rank_macro_recall"].tolist() == [3, 2, 1]


def test_equal_rows_share_the_better_rank_and_keep_their_order() -> None:
    board = Board().add("x", 0.5, 0.5).add("b", 0.8, 0.5).add("a", 0.8, 0.5).rank()
    assert board["model"].tolist() == ["b", "a", "x"]
    assert board["rank_macro_f1"].tolist() == [1, 1, 3]
    assert board["rank_macro_recall"].tolist() == [1, 1, 1]


# --- how far behind


def test_the_best_lies_exactly_nothing_behind_itself() -> None:
    best = entry(Board().add("a", 0.8, 0.6).add("b", 0.7, 0.5).rank(), "a")
    for name in ("macro_f1", "macro_recall"):
        assert [best[f"behind_{name}{end}"] for end in ("", "_low", "_high")] == [0, 0, 0]


def test_a_row_that_errs_on_the_same_beats_as_the_best_is_told_apart_by_less_than_the_intervals() -> None:
    behind = entry(Board().add("a", 0.80, 0.6).add("b", 0.79, 0.6).rank(), "b")
    assert behind["macro_f1_high"] > 0.80  # the intervals themselves overlap widely
    assert [behind[f"behind_macro_f1{end}"] for end in ("", "_low", "_high")] == pytest.approx([0.01] * 3)


def test_rows_that_err_on_other_beats_are_not_told_apart() -> None:
    behind = entry(Board().add("a", 0.80, 0.6).add("b", 0.79, 0.6, spread=AROUND[::-1]).rank(), "b")
    assert behind["behind_macro_f1"] == pytest.approx(0.01)
    assert behind["behind_macro_f1_low"] == pytest.approx(0.01 - 0.08)
    assert behind["behind_macro_f1_high"] == pytest.approx(0.01 + 0.08)


def test_each_metric_has_a_best_of_its_own() -> None:
    board = Board().add("f", 0.9, 0.5).add("r", 0.6, 0.8).rank()
    assert entry(board, "f")["behind_macro_recall"] == pytest.approx(0.3)
    assert entry(board, "r")["behind_macro_recall"] == 0
    assert entry(board, "r")["behind_macro_f1"] == pytest.approx(0.3)


def test_the_order_in_which_draws_are_stored_does_not_matter() -> None:
    rows = Board().add("a", 0.80, 0.6).add("b", 0.79, 0.6, seed=1).add("b", 0.7, 0.6, seed=2)
    plain = rows.rank()
    rows.draws = [table.sample(frac=1, random_state=i) for i, table in enumerate(rows.draws[::-1])]
    pd.testing.assert_frame_equal(rows.rank(), plain)


# --- from predictions


def predictions(beats: dict[str, Examples], wrong: float, seed: int = 0) -> pd.DataFrame:
    """Predictions for validation and test, of which a share is drawn by chance."""
    tables = []
    for part, examples in beats.items():
        rng, target = np.random.default_rng(seed), examples.target
        said = np.where(rng.random(len(target)) < wrong, rng.integers(0, 5, len(target)), target)
        probability = np.full((len(target), 5), 0.05)
        probability[np.arange(len(target)), said] = 0.8
        named = pd.DataFrame(probability.astype(np.float32), columns=[PREFIX + name for name in CLASSES])
        tables.append(named.assign(target=target, prediction=said, part=part))
    return pd.concat(tables, ignore_index=True)


def ranked(tables: dict[str, pd.DataFrame]) -> pd.DataFrame:
    """The leaderboard of measured predictions, one seed a row."""
    settings = Evaluate(bootstrap_draws=200)
    scores, draws = [], []
    for row, (model, table) in enumerate(tables.items()):
        metrics, drawn = measure_row(table, (TASK_OF_ROWS, settings, 42))
        scores.append(
            Row(row=row, model=model, strategy="none", seed=1, changes={}, metadata=REFERENCE, metrics=metrics)
        )
        draws.append(drawn.rename_axis("draw").reset_index().assign(row=row))
    return rank_rows(scores, pd.concat(draws), settings)


def test_rows_that_predict_the_same_differ_by_exactly_nothing(make_beats: MakeBeats) -> None:
    beats = {"val": make_beats(seed=1), "test": make_beats(seed=2)}
    board = ranked({"one": predictions(beats, 0.2), "two": predictions(beats, 0.2)})
    for name in ("macro_f1", "macro_recall"):
        assert (board[[f"behind_{name}", f"behind_{name}_low", f"behind_{name}_high"]] == 0).all(axis=None)
        assert board[f"rank_{name}"].tolist() == [1, 1]


def test_a_row_that_is_clearly_worse_is_told_apart_from_the_best(make_beats: MakeBeats) -> None:
    beats = {"val": make_beats(seed=1), "test": make_beats((300, 60, 70, 50, 60), seed=2)}
    board = ranked({"bad": predictions(beats, 0.6), "good": predictions(beats, 0.1)})
    assert board["model"].tolist() == ["good", "bad"]
    bad = entry(board, "bad")
    assert 0 < bad["behind_macro_f1_low"] < bad["behind_macro_f1"] < bad["behind_macro_f1_high"]


def test_rows_that_are_about_as_good_are_not_told_apart(make_beats: MakeBeats) -> None:
    beats = {"val": make_beats(seed=1), "test": make_beats(seed=2)}
    board = ranked({"one": predictions(beats, 0.2, seed=1), "two": predictions(beats, 0.2, seed=2)})
    second = board.iloc[1]
    assert second["behind_macro_f1_low"] < 0 < second["behind_macro_f1_high"]


# --- what is shown


@pytest.fixture
def board() -> pd.DataFrame:
    return (
        Board()
        .add("cnn", 0.9, 0.5, seed=1)
        .add("cnn", 0.8, 0.6, seed=2)
        .add("cnn", 0.7, 0.9, strategy="graft")
        .add("boosting", 0.6, 0.4, metadata=REFERENCE)
        .rank()
    )


def test_the_leaderboard_shows_mean_deviation_and_interval_of_every_metric(board: pd.DataFrame) -> None:
    table = leaderboard_table(board, EVALUATE)
    assert table.columns[:3] == ["model", "strategy", "seeds"]
    assert table.columns[3:] == ["macro F1", "macro recall", "accuracy", "macro AUROC", "recall first", "rank"]
    assert table.rows[0][:5] == ["cnn", "none", "2", ".850 ± .071 [.810, .890]", ".550 ± .071 [.510, .590]"]
    assert table.rows[0][7:] == [".600 at .800", "1 / 2"]
    assert table.rows[1][:4] == ["cnn", "graft", "1", ".700 [.660, .740]"]
    assert table.rows[1][8] == "2 / 1"
    assert "90% bootstrap interval" in table.caption
    assert "0.985" in table.caption


def test_the_table_of_differences_shows_the_best_and_how_far_behind_it_the_others_are(board: pd.DataFrame) -> None:
    table = behind_table(board, 0.9)
    assert table.rows[0] == ["cnn", "none", "the best", ".350 [.350, .350]", ".750", ".450"]
    assert table.rows[1][2:4] == [".150 [.150, .150]", "the best"]
    assert "90%" in table.caption


def test_a_negative_end_of_an_interval_keeps_its_sign() -> None:
    rows = Board().add("a", 0.80, 0.6).add("b", 0.79, 0.6, spread=AROUND[::-1]).rank()
    assert behind_table(rows, 0.8).rows[1][2] == ".010 [-.070, .090]"


def test_an_ensemble_says_how_many_fits_it_averages_and_has_no_deviation() -> None:
    board = Board().add("a", 0.8, 0.6, seed=1).add("a", 0.7, 0.6, seed=2).add("all", 0.9, 0.7, members=[0, 1]).rank()
    assert board[["model", "seeds", "averaged"]].to_numpy().tolist() == [["all", 1, 2], ["a", 2, 0]]
    ensemble, fits = leaderboard_table(board, EVALUATE).rows
    assert (ensemble[2], fits[2]) == ("2 averaged", "2")
    assert "±" in fits[3]
    assert "±" not in ensemble[3]


def test_the_table_of_costs_leaves_open_what_a_reference_does_not_have(board: pd.DataFrame) -> None:
    table = cost_table(board)
    assert table.rows[0] == ["cnn", "none", "1,234", "3", "10"]
    assert table.rows[2] == ["boosting", "none", "–", "–", "9"]


def test_the_table_of_changes_has_one_row_for_all_seeds() -> None:
    changes = {"model.use": "gru", "train.epochs": 3}
    rows = [Row(row=seed, model="gru", strategy="none", seed=seed, changes=changes) for seed in (1, 2)]
    rows.append(Row(row=3, model="base", strategy="none", seed=1, changes={}))
    assert changes_table(rows).rows == [
        ["gru", "none", "model.use=gru, train.epochs=3"],
        ["base", "none", "nothing"],
    ]


def test_the_short_table_fits_a_terminal_and_leaves_out_the_intervals(board: pd.DataFrame) -> None:
    table = short_leaderboard_table(board)
    assert table.rows[0] == ["cnn · none", ".850 ± .071", ".550 ± .071", ".900 ± .000"]
    assert table.rows[1][:2] == ["cnn · graft", ".700"]
    assert max(sum(map(len, row)) + 2 * len(row) for row in table.rows) < 80


def test_the_strategy_is_named_only_where_there_are_several(board: pd.DataFrame) -> None:
    assert row_labels(board) == ["cnn · none", "cnn · graft", "boosting · none"]
    assert row_labels(board[board["strategy"] == "none"]) == ["cnn", "boosting"]


def labels_of(figure: Figure) -> list[str]:
    return [label.get_text() for label in figure.axes[0].get_yticklabels()]


def test_the_figure_shows_the_rows_from_the_best_down(board: pd.DataFrame) -> None:
    figure = plot_leaderboard(board)
    assert labels_of(figure) == row_labels(board)
    first, last = (figure.axes[0].transData.transform((0.5, place))[1] for place in (0, len(board) - 1))
    assert first > last
    assert [ax.get_xlabel() for ax in figure.axes] == ["macro F1, test", "macro recall, test"]
    assert to_png(figure).startswith(b"\x89PNG")


def test_the_figure_grows_with_the_rows_and_shows_no_deviation_where_there_is_one_seed() -> None:
    one, many = Board().add("a", 0.8, 0.6), Board()
    for i in range(60):
        many.add(f"model {i}", 0.5 + i / 200, 0.5)
    small, large = plot_leaderboard(one.rank()), plot_leaderboard(many.rank())
    assert large.get_figheight() > 5 * small.get_figheight()
    (legend,) = small.legends
    assert "± deviation over seeds" not in [text.get_text() for text in legend.get_texts()]
    for figure in (small, large):
        assert to_png(figure).startswith(b"\x89PNG")


def test_the_page_holds_the_tables_the_figure_and_the_failures(board: pd.DataFrame) -> None:
    rows = [
        Row(row=0, model="cnn", strategy="none", seed=1, changes={}),
        Row(
            row=1,
            model="<b>wild</b>",
            strategy="graft",
            seed=7,
            changes={"train.epochs": 3},
            failure="it diverged & fell over",
        ),
    ]
    html = render_leaderboard(
        board, draw_leaderboard(board, rows), rows, rows, EVALUATE, Report(notice="Beware!"), "here"
    )
    for words in ("Beware!", "2 fits on <b>here</b>, 1 of which failed", ".850 ± .071\n[.810, .890]", "the best"):
        assert words in html
    assert "&lt;b&gt;wild&lt;/b&gt; · graft · seed 7</b>: it diverged &amp; fell over" in html
    assert html.count("data:image/png;base64,") == 1
    for outside in ('src="http', 'href="http', "url(", "<script "):
        assert outside not in html


def test_the_page_says_nothing_of_failures_where_there_are_none(board: pd.DataFrame) -> None:
    rows = [Row(row=0, model="cnn", strategy="none", seed=1, changes={})]
    html = render_leaderboard(board, draw_leaderboard(board, rows), rows, rows, EVALUATE, Report(), "here")
    assert "ailed" not in html


# --- against one model


def test_rows_are_compared_in_pairs_with_one_model_strategy_by_strategy() -> None:
    board = Board()
    for strategy, gains in (("some", (0.01, 0.03)), ("all", (0.0, 0.0))):
        for fold in (1, 2):
            board.add("scratch", 0.8, 0.6, strategy=strategy, fold=fold)
            board.add("tuned", 0.8 + gains[fold - 1], 0.6, strategy=strategy, fold=fold, against="scratch")
        board.add("scratch", 0.8, 0.6, strategy=strategy, members=[0, 1])
        board.add("tuned", 0.82, 0.6, strategy=strategy, members=[0, 1], against="scratch", spread=AROUND / 2)
    ranked = board.rank()
    assert entry(ranked, "scratch", "all")["against"] is None or math.isnan(entry(ranked, "scratch", "all")["against"])
    some = entry(ranked, "tuned", "some")
    # The draws of the two go together: 0.02 and half the spread below it, not the spreads of both.
    assert some["over_macro_f1"] == pytest.approx(0.02)
    assert (some["over_macro_f1_low"], some["over_macro_f1_high"]) == pytest.approx((0.0, 0.04))
    # Differences 0.01 and 0.03 over two folds: t = 0.02 / (0.01414 · sqrt(1/2 + 1)), one degree of freedom.
    assert some["over_macro_f1_p"] == pytest.approx(
        1 - 2 / math.pi * math.atan(0.02 / (0.0141421 * math.sqrt(1.5))), 1e-3
    )
    assert entry(ranked, "tuned", "all")["over_macro_f1_p"] == 1
    table = against_table(ranked, 0.8)
    assert table is not None
    assert ["tuned", "some", "+.0200 [+.0000, +.0400], p = .454"] in [row[:3] for row in table.rows]


# --- class by class


def with_counts(board: Board, *confusions: list[list[int]], classes: list[str]) -> None:
    """Give the seeds of a board the metrics of these counts, truth by row."""
    for row, counts in zip(board.scores, confusions, strict=True):
        n = len(classes)
        target, called = (np.repeat(axis.ravel(), np.ravel(counts)) for axis in np.indices((n, n)))
        drawn = draw_scores(target, np.eye(n)[called], draws=EVALUATE.bootstrap_draws, seed=0)
        found = measure(target, np.eye(n)[called], classes, drawn, EVALUATE.confidence)
        row.metrics.update(classes=classes, test={**found, "overall": row.metrics["test"]["overall"]})


@pytest.mark.parametrize("order", [[0, 1, 2, 3, 4], [3, 1, 0, 4, 2]])
def test_a_comparison_of_heartbeats_has_each_class_and_the_scores_of_ec57_without_q(order: list[int]) -> None:
    some = np.array([[80, 2, 2, 0, 1], [4, 6, 0, 0, 0], [1, 0, 9, 0, 0], [0, 0, 4, 2, 0], [0, 3, 0, 0, 7]])
    more = some + np.diag([0, 10, 0, 0, 0])
    classes = [CLASSES[index] for index in order]
    board = Board().add("cnn", 0.8, 0.6, seed=1).add("cnn", 0.8, 0.6, seed=2)
    with_counts(board, *(counts[order][:, order].tolist() for counts in (some, more)), classes=classes)
    by_class, ec57 = (make(board.rank(), board.scores) for make in (classes_table, ec57_leaderboard_table))
    assert by_class is not None
    assert ec57 is not None
    # Recall of S: 6 of 10 and 16 of 20; precision 6 of 11 and 16 of 21; F1 12/21 and 32/41.
    shown = dict(zip(by_class.columns, by_class.rows[0], strict=True))
    assert shown["S"] == ".676 (.700 / .654)"
    # Without Q, precision of S is 6 of 8 and 16 of 18; V keeps 9 of 11, since the F beats called V do not count.
    shown = dict(zip(ec57.columns, ec57.rows[0], strict=True))
    assert (shown["S: Se / +P"], shown["V: Se / +P"], shown["F: Se / +P"]) == (
        ".700 / .819",
        ".900 / .818",
        ".333 / 1.000",
    )
    of_each = [aami_scores(counts[None, :4, :4].astype(float), CLASSES[:4])[0]["j_kappa"][0] for counts in (some, more)]
    assert shown["jκ"] == f"{short(float(np.mean(of_each)))} ± {short(float(np.std(of_each, ddof=1)))}"


def test_other_classes_have_no_table_of_ec57_and_numbers_none_of_classes() -> None:
    board = Board().add("cnn", 0.8, 0.6)
    assert classes_table(board.rank(), board.scores) is None
    with_counts(board, [[8, 2], [1, 9]], classes=["normal", "abnormal"])
    assert classes_table(board.rank(), board.scores) is not None
    assert ec57_leaderboard_table(board.rank(), board.scores) is None
