from __future__ import annotations

from collections.abc import Callable, Mapping
from functools import cache
from typing import Any
from unittest.mock import patch

import numpy as np
import pandas as pd
import pytest
from matplotlib.collections import LineCollection
from matplotlib.colors import to_hex
from matplotlib.figure import Figure
from matplotlib.lines import Line2D
from matplotlib.patches import Rectangle

from beatwise import figures
from beatwise.figures.interactive import history
from beatwise.figures.search import best_so_far
from beatwise.figures.style import PALETTE, to_png
from beatwise.networks.zoo import list_models
from beatwise.search.plan import SearchPlan
from beatwise.search.results import histories_table, space_table, trials_table
from beatwise.search.space import label
from beatwise.search.trials import TrialRecord
from beatwise.tasks.registry import METRICS
from tests.layout import check_layout
from tests.search.conftest import drawn, plan, record

Tables = tuple[pd.DataFrame, pd.DataFrame, pd.DataFrame, str]

SPACE: dict[str, Any] = {
    "model": {
        "use": {"choice": ["resnet1d", "se_resnet1d"]},
        "resnet1d": {
            "widths": {"choice": [[16, 16, 16], [32, 32, 32, 32], [32, 48, 64, 96]]},
            "kernel_size": {"choice": [3, 5, 11]},
            "dropout": {"uniform": [0.0, 0.4]},
        },
        "se_resnet1d": {"dropout": {"uniform": [0.0, 0.4]}},
    },
    "train": {
        "learning_rate": {"loguniform": [5e-4, 1e-2]},
        "batch_size": {"choice": [64, 128, 256]},
        "sampler_power": {"uniform": [0.0, 0.6]},
    },
}
ONE: dict[str, Any] = {"train": {"learning_rate": {"loguniform": [1e-4, 1e-1]}}}
MANY: dict[str, Any] = {
    "model": {
        "use": {"choice": ["resnet1d", "multiscale_transformer"]},
        "resnet1d": {
            "widths": {"choice": [[16, 16, 16], [32, 32, 32, 32], [32, 48, 64, 96]]},
            "kernel_size": {"choice": [3, 5, 7]},
            "dropout": {"uniform": [0.0, 0.4]},
            "blocks_per_stage": {"randint": [1, 3]},
        },
        "multiscale_transformer": {"width": {"choice": [32, 64]}, "dropout": {"uniform": [0.0, 0.3]}},
    },
    "tensors": {"features": {"choice": [False, True]}},
    "train": {
        "learning_rate": {"loguniform": [5e-4, 1e-2]},
        "batch_size": {"lograndint": [16, 257]},
        "optimizer": {"adamw": {"weight_decay": {"loguniform": [1e-4, 1e-1]}}},
        "sampler_power": {"uniform": [0.0, 0.6]},
        "loss": {"cross_entropy": {"label_smoothing": {"quniform": [0.0, 0.1, 0.02]}}},
        "augment": {
            "use": {"choice": [[], ["shift", "noise"], ["shift", "stretch", "amplitude", "noise"]]},
            "shift": {"max_samples": {"randint": [1, 9]}},
        },
        "gradient_clip": {"choice": [None, 1.0]},
    },
}
LONG: dict[str, Any] = {
    "model": {
        "use": {"choice": ["multiscale_transformer", "transformer1d", "attention_gru", "se_resnet1d"]},
        "multiscale_transformer": {"dropout": {"uniform": [0.0, 0.3]}},
        "se_resnet1d": {"block_dropout": {"uniform": [0.0, 0.3]}},
    },
    "resample": {"use": {"choice": ["semi_oversampling", "full_oversampling", "random_undersampling", "smote_tomek"]}},
    "train": {
        "learning_rate": {"loguniform": [1e-5, 1.0]},
        "schedule": {"use": "cosine", "cosine": {"warmup_epochs": {"quniform": [0.0, 3.0, 0.5]}}},
        "augment": {
            "use": {
                "choice": [
                    [],
                    ["shift", "stretch"],
                    ["shift", "stretch", "amplitude"],
                    ["shift", "stretch", "amplitude", "noise", "baseline_wander", "mixup"],
                ]
            },
            "baseline_wander": {"max_amplitude": {"uniform": [0.0, 0.1]}},
        },
    },
}


def searched(
    space: Mapping[str, Any],
    n: int,
    *,
    metric: str = "macro_f1",
    statuses: tuple[str, ...] = ("finished", "stopped", "stopped"),
    epochs: int = 9,
    seed: int = 0,
) -> tuple[list[TrialRecord], SearchPlan]:
    """Trials as a search might have found them, the n-th with the n-th of the statuses."""
    made = plan(
        space, models={name: {} for name in list_models(by_gradients=True)}, metric=metric, trials=n, epochs=epochs
    )
    random, less = np.random.default_rng(seed), not METRICS[metric].higher_is_better
    records = []
    for number, values in enumerate(drawn(made.space, n, seed)):
        status = statuses[number % len(statuses)]
        last = {"finished": epochs, "failed": 0}.get(status, int(random.integers(1, max(epochs, 2))))
        top = 0.9 - 0.08 * abs(np.log10(values["train.learning_rate"]) + 2.5) - 0.05 * random.random()
        curve = top * (1 - np.exp(-np.arange(1, last + 1) / 1.5)) + random.normal(0, 0.01, last)
        curve = 1.2 - curve if less else curve
        best = np.minimum.accumulate(curve) if less else np.maximum.accumulate(curve)
        trial = record(number, values, *best.tolist(), status=status, metric=metric)
        for epoch, value in zip(trial.epochs, curve.tolist(), strict=True):
            epoch[f"val_{metric}"] = value
        trial.failure = "too wide" if status == "failed" else None
        records.append(trial)
    return records, made


CASES: dict[str, Callable[[], tuple[list[TrialRecord], SearchPlan]]] = {
    "a normal search": lambda: searched(SPACE, 40),
    "one trial": lambda: searched(SPACE, 1),
    "all finished": lambda: searched(SPACE, 12, statuses=("finished",)),
    "some failed": lambda: searched(SPACE, 20, statuses=("finished", "failed", "stopped", "running")),
    "less is better": lambda: searched(SPACE, 15, metric="log_loss"),
    "one hyper-parameter": lambda: searched(ONE, 9, statuses=("finished", "stopped", "running", "failed")),
    "15 hyper-parameters": lambda: searched(MANY, 30),
    "long names": lambda: searched(LONG, 30),
    "many trials": lambda: searched(SPACE, 150, epochs=30),
}
FIGURES: dict[str, Callable[..., Figure]] = {
    "search": lambda trials, histories, space, metric: figures.plot_search(trials, metric),
    "trial_curves": lambda trials, histories, space, metric: figures.plot_trial_curves(histories, trials, metric),
    "slices": lambda trials, histories, space, metric: figures.plot_slices(trials, space, metric),
    "importance": lambda trials, histories, space, metric: figures.plot_importance(space),
    "parallel": lambda trials, histories, space, metric: figures.plot_parallel(trials, space, metric),
}
# Figures that show trials one by one are drawn for these searches too.
OVER_TRIALS = ("all finished", "many trials")


def tables(records: list[TrialRecord], plan: SearchPlan) -> Tables:
    """Input of the figures; importances are made up, because their computation takes seconds."""
    names = list(plan.space.ranges)
    shares = {name: 2.0 ** -(place + 1) for place, name in enumerate(names)} if len(records) > 7 else {}
    with patch("beatwise.search.results.importances", lambda *_: shares):
        space = space_table(records, plan)
    return trials_table(records, plan), histories_table(records), space, plan.metric


@cache
def made(case: str) -> Tables:
    """The tables of a search."""
    return tables(*CASES[case]())


@pytest.mark.parametrize("name", FIGURES)
def test_a_figure_of_any_search_has_a_clean_layout(name: str) -> None:
    # The normal search is drawn in tests/report/test_figures.py.
    for case in [case for case in CASES if case != "a normal search"]:
        if case not in OVER_TRIALS or name in ("search", "trial_curves"):
            check_layout(FIGURES[name](*made(case)))


def test_colours_can_be_told_apart_by_colour_blind_readers() -> None:
    figure = FIGURES["search"](*made("some failed"))
    marks = [collection for collection in figure.axes[0].collections if collection.get_label() in SHAPES]
    assert {mark.get_label() for mark in marks} == set(SHAPES)
    for mark in marks:
        (color, *_rest) = np.asarray(mark.get_facecolor())
        assert to_hex(tuple(color)).upper() in {known.upper() for known in (*PALETTE, "#999999")}
    # And they differ in their shape too.
    assert len({np.asarray(mark.get_paths()[0].vertices).tobytes() for mark in marks}) == len(marks)


SHAPES = {"finished", "stopped early", "cut off", "failed"}


def line(figure: Figure, label: str, ax: int = 0) -> Line2D:
    (found,) = [line for line in figure.axes[ax].lines if line.get_label() == label]
    return found


def by_hand(*trials: TrialRecord, metric: str = "macro_f1", space: Mapping[str, Any] = ONE) -> Tables:
    return tables(list(trials), plan(space, metric=metric))


RATE = {"train.learning_rate": 0.01}


def test_the_best_so_far_is_the_best_trial_up_to_each_one() -> None:
    for metric, expected in (("macro_f1", [0.5, 0.6, 0.6]), ("log_loss", [0.5, 0.5, 0.2])):
        trials, *_ = by_hand(
            record(0, RATE, 0.3, 0.5, metric=metric),
            record(1, RATE, 0.6, metric=metric, status="stopped"),
            record(2, RATE, metric=metric, status="failed", failure="too wide"),
            record(3, RATE, 0.2, metric=metric, status="running"),
            record(4, RATE, metric=metric, status="running"),
            metric=metric,
        )
        best = best_so_far(trials, metric)
        assert (best.index.tolist(), best.tolist()) == ([0, 1, 3], expected)


def test_the_best_so_far_leaves_out_trials_that_failed() -> None:
    given = by_hand(
        record(0, RATE, 0.5, metric="macro_f1"),
        record(1, RATE, 0.9, metric="macro_f1", status="failed", failure="diverged"),
        record(2, RATE, 0.7, metric="macro_f1"),
    )
    best = line(FIGURES["search"](*given), "best so far")
    assert np.asarray(best.get_ydata()).tolist() == [0.5, 0.7]
    assert FIGURES["trial_curves"](*given).legends[0].texts[0].get_text() == "trial 2, the best"
    (of_plotly,) = [drawn for drawn in history(given[0], "macro_f1").data if drawn.name == "best so far"]
    assert (list(of_plotly.x), list(of_plotly.y)) == ([0, 2], [0.5, 0.7])


def test_of_a_metric_of_which_less_is_better_the_least_is_the_best() -> None:
    given = by_hand(*(record(n, RATE, s, metric="log_loss") for n, s in enumerate((0.5, 0.2, 0.4))), metric="log_loss")
    assert np.asarray(line(FIGURES["search"](*given), "best so far").get_ydata()).tolist() == [0.5, 0.2, 0.2]
    assert FIGURES["trial_curves"](*given).legends[0].texts[0].get_text() == "trial 1, the best"


def test_a_trial_that_failed_without_a_score_does_not_look_like_one_that_has_one() -> None:
    given = by_hand(
        record(0, RATE, 0.5, metric="macro_f1"),
        record(1, RATE, 0.7, metric="macro_f1"),
        record(2, RATE, status="failed", failure="too wide"),
    )
    figure = FIGURES["search"](*given)
    to_png(figure)
    ax = figure.axes[0]
    (failed,) = [mark for mark in ax.collections if mark.get_label() == "failed"]
    _, height = failed.get_offset_transform().transform(np.asarray(failed.get_offsets())[0])
    _, lowest = ax.transData.transform((0, 0.5))
    assert ax.bbox.y0 < height < lowest - 5


ORDERED: list[tuple[list[Any], list[str]]] = [
    ([256, 64, 128], ["64", "128", "256"]),
    ([1.5, None, 10, 2], ["1.5", "2", "10", "null"]),
    ([[32, 64], [8, 128], [8, 16]], ["8, 16", "8, 128", "32, 64"]),
    ([["shift", "noise"], [], ["noise"]], ["[]", "noise", "shift+noise"]),
    (["b", "a"], ["a", "b"]),
]


def test_choices_are_shown_in_order() -> None:
    for choices, order in ORDERED:
        trials = pd.DataFrame(
            {
                "trial": range(len(choices)),
                "status": "finished",
                "score": np.linspace(0.5, 0.6, len(choices)),
                "train.anything": [label(choice) for choice in choices],
            }
        )
        names = pd.DataFrame({"name": ["train.anything"], "prior": "choice", "importance": [1.0]})
        figure = figures.plot_slices(trials, names, "macro_f1")
        assert [text.get_text() for text in figure.axes[0].get_xticklabels()] == order
        written = [text.get_text() for text in figures.plot_parallel(trials, names, "macro_f1").axes[0].texts]
        assert written[: len(order)] == order


def test_only_the_hyper_parameters_that_matter_most_are_shown_where_there_are_many() -> None:
    trials, histories, space, metric = made("15 hyper-parameters")
    slices = FIGURES["slices"](trials, histories, space, metric)
    shown_names = [ax.get_xlabel().replace("\n", "") for ax in slices.axes if ax.get_visible()]
    assert shown_names == space["name"].head(12).tolist()
    titles = [
        text.get_text().replace("\n", "") for text in FIGURES["parallel"](*made("15 hyper-parameters")).axes[0].texts
    ]
    assert [name for name in space["name"] if name in titles] == space["name"].head(8).tolist()


def test_a_hyper_parameter_that_no_trial_calls_for_is_left_out() -> None:
    trials, histories, space, metric = made("one trial")
    called_for = [name for name in space["name"] if trials[name].notna().any()]
    assert 0 < len(called_for) < len(space)
    assert len([ax for ax in FIGURES["slices"](trials, histories, space, metric).axes if ax.get_visible()]) == len(
        called_for
    )


def test_a_line_of_the_parallel_axes_leaves_out_what_its_trial_does_not_have() -> None:
    trials, histories, space, metric = made("a normal search")
    figure = FIGURES["parallel"](trials, histories, space, metric)
    (lines,) = [
        found
        for found in figure.axes[0].collections
        if isinstance(found, LineCollection) and len(found.get_paths()) == len(trials)
    ]
    n_values = trials[space["name"].head(8).tolist()].notna().sum(axis=1) + 1
    points = [np.asarray(path.vertices) for path in lines.get_paths()]
    assert sorted(map(len, points)) == sorted(n_values)
    heights = np.concatenate(points)[:, 1]
    assert heights.min() >= 0
    assert heights.max() <= 1


def test_importances_are_bars_from_the_largest_down() -> None:
    _, _, space, _ = made("15 hyper-parameters")
    ax = figures.plot_importance(space).axes[0]
    widths = [bar.get_width() for bar in ax.patches if isinstance(bar, Rectangle)]
    assert widths == space["importance"].tolist()
    low, high = ax.get_ylim()
    assert low > high  # the first is at the top


def test_where_importances_are_not_known_it_is_said() -> None:
    _, _, space, _ = made("one trial")
    assert [text.get_text() for text in figures.plot_importance(space).axes[0].texts] == ["too few trials to say"]


def test_equal_figures_are_equal_files() -> None:
    assert to_png(FIGURES["parallel"](*made("less is better"))) == to_png(FIGURES["parallel"](*made("less is better")))


def test_ticks_of_a_logarithmic_axis_are_few_and_round() -> None:
    for low, high in [(1e-5, 1.0), (5e-4, 1e-2), (8e-4, 9e-3), (8e-4, 1.9e-3), (1, 1000), (3, 3.5), (1, 1.001)]:
        trials = pd.DataFrame({"trial": [0, 1], "status": "finished", "score": [0.5, 0.6], "a.b": [low, high]})
        space = pd.DataFrame({"name": ["a.b"], "prior": "loguniform", "importance": [1.0]})
        ax = figures.plot_slices(trials, space, "macro_f1").axes[0]
        ticks, (left, right) = ax.get_xticks(), ax.get_xlim()
        assert 2 <= len(ticks) <= 6
        assert left < low < high < right
        assert all(left <= tick <= right for tick in ticks)
        if high / low > 1.1:
            rounded = [float(f"{tick:.2g}") for tick in ticks]
            assert rounded == pytest.approx(list(ticks))
