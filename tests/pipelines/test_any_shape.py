"""Examples of every shape and task go through the same nodes: windows of leads, pictures, series with a number."""

from __future__ import annotations

import re
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
import pytest
from kedro.io import Version
from matplotlib.figure import Figure

from beatwise.comparison.documents import Row
from beatwise.comparison.leaderboard import compared_metrics, rank_rows, ranked_metrics
from beatwise.comparison.plan import plan_rows
from beatwise.comparison.rows import (
    average_rows,
    beside_naive,
    fit_fold,
    fit_row,
    measure_row,
    naive_rows,
    pool_rows,
)
from beatwise.comparison.settings import Comparison
from beatwise.core.errors import BeatwiseError
from beatwise.data.contracts import ExamplesContract
from beatwise.data.examples import Examples
from beatwise.data.representations import REPRESENTATIONS, representation
from beatwise.data.settings import Ingest, Resample, Tensors
from beatwise.data.splits import ingest_parts
from beatwise.datasets.examples import ExamplesDataset
from beatwise.datasets.model import ModelDataset
from beatwise.figures import plot_fold_curves, plot_leaderboard
from beatwise.figures.table import entries_for
from beatwise.networks.settings import Model
from beatwise.pipelines import train
from beatwise.pipelines.report.pipeline import create_report
from beatwise.report.figures import OF_TASK
from beatwise.report.tables import behind_table, leaderboard_table, short_leaderboard_table
from beatwise.search.plan import plan_search
from beatwise.search.settings import Tune
from beatwise.search.trial import TensorCache, Trial
from beatwise.tasks.settings import Evaluate, TaskChoice
from beatwise.training.checkpoint import Checkpoints
from beatwise.training.settings import Train
from tests.layout import check_layout
from tests.pipelines.test_in_memory import parameters, run

CELLS = ["round", "square", "dark"]
EVALUATE = Evaluate(bootstrap_draws=20)


def examples(shape: tuple[int, ...], target: Any, seed: int = 0) -> Examples:
    """Noise around 3 whose first channel grows with the target, from 10 donors, with a feature."""
    rng = np.random.default_rng(seed)
    x = rng.normal(3, 1, (len(target), *shape)).astype(np.float32)
    x[:, 0] += 2 * (np.asarray(target) / np.max(target)).reshape(-1, *(1 for _ in shape[1:])).astype(np.float32)
    group = [f"donor {i % 10}" for i in range(len(target))]
    return Examples(x, pd.DataFrame({"target": target, "group": group, "age": rng.uniform(20, 80, len(target))}))


# --- classification of windows and pictures


@pytest.mark.parametrize("split", ["stratified", "by_group"])
@pytest.mark.parametrize(("shape", "model"), [((2, 120), "gru"), ((3, 8, 8), "cnn2d")], ids=["windows", "pictures"])
def test_windows_and_pictures_go_from_their_file_to_a_stored_model(shape, model, split, tmp_path: Path) -> None:
    file = ExamplesDataset(filepath=str(tmp_path / "cells.parquet"))
    file.save(examples(shape, np.tile(np.arange(3), 60)))
    contract = ExamplesContract(classes=CELLS, shape=shape)
    settings = parameters(
        classes=CELLS,
        task=TaskChoice.model_validate({"use": "classification", "classification": {"classes": CELLS}}),
        ingest=Ingest(split={"use": split}),
        tensors=Tensors(use="identity", identity={"normalise": True}),
        model=Model(use=model),
        train=Train(epochs=1, steps_per_epoch=2),
    )
    pictures = len(shape) == 3
    outputs = ["baseline.report", "baseline.figures"] if pictures and split == "stratified" else ["baseline.metrics"]
    pipeline = train.create_pipeline().to_outputs(*outputs, "data.page")
    made = run(pipeline, raw_beats=contract.validate(file.load()), **settings)

    if "baseline.report" in made:
        check_report_of_pictures(made)

    parts = [contract.validate(made[f"{part}_beats"]) for part in ("train", "val", "test")]
    if split == "by_group":
        assert sum(part.table["group"].nunique() for part in parts) == 10
    # Means and deviations are those of the training part.
    train_x, test_x = (part.x.astype(np.float64) for part in (parts[0], parts[2]))
    axes = (0, *range(2, train_x.ndim))
    expected = (test_x - train_x.mean(axes, keepdims=True)) / train_x.std(axes, keepdims=True)
    tensors = made["baseline.test_tensors"]
    np.testing.assert_allclose(tensors.x, expected, rtol=1e-4, atol=1e-5)
    assert tensors.aux.shape == (len(parts[2]), 1)

    store = ModelDataset(filepath=str(tmp_path / "model"), version=Version(None, None))
    store.save(made["baseline.model"])
    loaded = store.load()
    unlabelled = contract.validate(parts[2].without("target"))
    again = loaded.predict(loaded.tensors(unlabelled))
    pd.testing.assert_frame_equal(again, made["baseline.predictions"].drop(columns="target"), check_exact=True)


def check_report_of_pictures(made: dict[str, Any]) -> None:
    """The report shows pictures and speaks of them, and of nothing that only beats have."""
    figures = made["baseline.figures"]
    drawn = {"example_pictures", "mistakes", "saliency", "explained_pictures", "saliency_check", "embedding", "roc"}
    assert not [name for name in drawn if not hasattr(figures.get(name), "savefig")]
    assert not {"example_beats", "errors_by_length"} & set(figures)
    # A layer with a convolution, and the classes, have their panels: three channels and Grad-CAM.
    assert len(figures["saliency"].axes) == len(CELLS) * 4 + 2
    report, page = (
        re.sub(r"<script.*?</script>|data:image/png;base64,[^\"]*", "", made[name], flags=re.DOTALL)
        for name in ("baseline.report", "data.page")
    )
    placed = [entry for entry in entries_for(OF_TASK["classification"], (3, 8, 8)) if entry.section]
    assert report.count("<img") == sum(hasattr(figures[entry.name], "savefig") for entry in placed)
    for text in (report, page):
        assert "test pictures" in text
        assert not re.search(r"\bbeats?\b|R peak|heart|\btrace\b|\brecords\b", text)
    for words in ("Balanced accuracy", "κ", "pixels, so it shows nothing finer"):
        assert words in report


def test_a_representation_of_beats_refuses_other_shapes_and_says_what_takes_them() -> None:
    pictures = examples((3, 8, 8), np.arange(6) % 3)
    for use in ("signal", "signal_with_mask", "image", "scalogram"):
        made = representation(use, REPRESENTATIONS.options(use, {}))
        with pytest.raises(BeatwiseError, match=rf"'{use}' takes \[t\].* are \[3, 8, 8\]: use tensors\.use=identity"):
            made.fit(pictures)


CONTRACT = ExamplesContract(classes=CELLS, shape=(2, 120))
BROKEN: dict[str, tuple[ExamplesContract, Any, str]] = {
    "another shape": (CONTRACT, lambda e: Examples(e.x[:, :1], e.table), "shape [1, 120]. Allowed: [2, 120]."),
    "a gap": (
        CONTRACT,
        lambda e: Examples(np.where(np.arange(240).reshape(2, 120) == 125, np.nan, e.x), e.table),
        "Row 0, column 'x[1, 5]' is not a finite number: nan. 90 such values in all.",
    ),
    "a class that is none": (
        CONTRACT,
        lambda e: Examples(e.x, e.table.assign(target=3)),
        "is no label: 3. 90 such rows in all. Allowed: 0 = round",
    ),
    "a class without examples": (
        CONTRACT,
        lambda e: Examples(e.x, e.table.assign(target=e.target % 2)),
        "No example of class dark among 90 rows.",
    ),
    "a feature that is missing": (
        CONTRACT,
        lambda e: Examples(e.x, e.table.assign(age=np.nan)),
        "Row 0, column 'age' is no feature: nan. 90 such rows in all. Allowed: finite numbers.",
    ),
    "a number that is missing": (
        ExamplesContract(),
        lambda e: Examples(e.x, e.table.assign(target=np.where(e.target == 2, np.nan, 0.5))),
        "Row 2, column 'target' is no target of a regression: nan. 30 such rows in all.",
    ),
}


@pytest.mark.parametrize("case", BROKEN)
def test_examples_that_break_a_rule_are_refused_with_their_place(case: str) -> None:
    contract, change, message = BROKEN[case]
    with pytest.raises(BeatwiseError, match=re.escape(message)):
        contract.validate(change(examples((2, 120), np.tile(np.arange(3), 30))))


# --- regression of series

REGRESSION = TaskChoice(use="regression")
BLOCKS: dict[str, Any] = {
    "resample": Resample(use="none"),
    "tensors": Tensors(use="identity"),
    "model": Model(use="mlp", mlp={"width": 16, "layers": 1, "dropout": 0.0}),
    "train": Train(epochs=8, batch_size=16, learning_rate=0.01, loss={"use": "mse"}, monitor="rmse"),
}


SERIES = parameters(
    classes=[],
    task=TaskChoice.model_validate({"use": "regression", "regression": {"label": "C6H6", "unit": "µg/m³"}}),
    evaluate=EVALUATE,
    ingest=Ingest(split={"use": "by_group"}),
    **BLOCKS,
)
TABLE = {"caption": "", "columns": [], "rows": [], "labels": 1, "notes": 0, "marked": 0}
SEARCHED = {
    "name": "s",
    "summary": "2 trials",
    "best": TABLE,
    "space": TABLE,
    "importance": [{"name": "a", "importance": 1}],
}


@pytest.fixture(scope="module")
def series() -> dict[str, Any]:
    """What the baseline's nodes make of hourly series with a number to predict."""
    target = np.random.default_rng(1).uniform(10, 90, 240)
    contract = ExamplesContract(shape=(2, 24))
    raw = examples((2, 24), target)
    time = pd.Series(pd.date_range("2004-05-27", periods=240, freq="h"))
    hourly = raw.table.assign(time=time, group=time.dt.strftime("%Y-%m-%d"), persistence=np.roll(target, 1))
    hourly.attrs = {"inputs": ["benzene", "wind"]}
    return run(train.create_pipeline(), raw_beats=contract.validate(Examples(raw.x, hourly)), **SERIES)


def rmse(table: pd.DataFrame) -> float:
    return float(np.sqrt(((table["prediction"] - table["target"]) ** 2).mean()))


def test_a_regression_goes_through_the_nodes_of_a_classification(series) -> None:
    predictions, measured = series["baseline.predictions"], series["baseline.metrics"]
    np.testing.assert_allclose(predictions["target"], series["test_beats"].table["target"], rtol=1e-6)
    assert measured["test"]["overall"]["rmse"]["value"] == pytest.approx(rmse(predictions))
    mae = (predictions["prediction"] - predictions["target"]).abs().mean()
    assert measured["test"]["overall"]["mae"]["value"] == pytest.approx(mae)
    # The naive row always says the mean of the training part, before resampling.
    naive = predictions.assign(prediction=series["train_beats"].table["target"].mean())
    assert measured["naive"]["overall"]["rmse"]["value"] == pytest.approx(rmse(naive))
    assert rmse(predictions) < 0.7 * rmse(naive)
    last = predictions.assign(prediction=predictions["persistence"])
    assert measured["persistence"]["overall"]["rmse"]["value"] == pytest.approx(rmse(last))
    assert measured["bootstrap_of"] == "days"
    assert series["baseline.assessment"] == {}
    error = (predictions["prediction"] - predictions["target"]).abs()
    assert series["baseline.mistakes"]["error"].abs().tolist() == error.nlargest(20).tolist()
    assert set(series["baseline.errors"]["by"]) == {"month", "hour"}
    assert series["data_summary"]["length_ms"] == {}
    assert series["baseline.model"].task.to_dict()["use"] == "regression"


def test_a_regression_is_explained_drawn_and_reported_in_its_unit(series) -> None:
    explanation, report = series["baseline.explanation"], series["baseline.report"]
    # The target stands in the first input, all along the window.
    assert explanation.summary["inputs"][0] > 2 * explanation.summary["inputs"][1]
    # The differences are in the target's unit, all from one baseline.
    start = explanation.attributions["prediction"] - explanation.attributions["difference"]
    np.testing.assert_allclose(start, start.iloc[0], rtol=1e-3)
    assert explanation.summary["gap"] < 0.1
    assert explanation.saliency.groupby("input").size().tolist() == [24, 24]
    assert [(name, drawn) for name, drawn in series["baseline.figures"].items() if isinstance(drawn, str)] == [
        ("importance", "The model does not come from a search.")
    ]
    for drawn in series["baseline.figures"].values():
        if isinstance(drawn, Figure):
            check_layout(drawn)
    value = series["baseline.metrics"]["test"]["overall"]["rmse"]["value"]
    for words in (
        f"Root mean squared error {value:.3g} µg/m³",
        "Better than persistence",
        "Hours with the",
        "examples of 2 days",
    ):
        assert words in report
    assert "macro" not in report


def test_the_report_of_a_searched_regression_says_whether_it_is_better_than_the_baseline(series) -> None:
    made = {name.replace("baseline.", "tuned."): value for name, value in series.items()}
    # Half of every error, over the same days.
    halved = series["baseline.predictions"].assign(prediction=lambda table: (table["prediction"] + table["target"]) / 2)
    given = {**series, **made, "tuned.predictions": halved, "search.summary": SEARCHED}
    pipeline = create_report("tuned", searched=True)
    found = run(pipeline, **{name: value for name, value in given.items() if name in pipeline.inputs()}, **SERIES)
    paired = found["tuned.against_baseline"]
    assert paired["overall"]["rmse"]["second"] == pytest.approx(paired["overall"]["rmse"]["first"] / 2)
    assert paired["verdict"]["outcomes"] == {"rmse": "better"}
    assert "root mean squared error (µg/m³) better (" in found["tuned.report"]
    assert "Use the tuned model." in found["tuned.report"]


def test_a_regression_is_compared_ranked_and_averaged_by_its_own_metrics(series, tmp_path: Path) -> None:
    beats = tuple(series[f"{part}_beats"] for part in ("train", "val", "test"))
    parts = (*beats, Checkpoints(tmp_path))
    preset = {"models": {"short": {"train": {"epochs": 1}}, "long": {}}, "ensembles": {"both": ["short", "long"]}}
    plan = plan_rows(Comparison.model_validate({"use": "p", "p": {**preset, "seeds": [1]}}), REGRESSION, **BLOCKS)
    outcomes = [fit_row(row.config, parts) for row in plan[:2] if row.config]
    outcomes.append(average_rows(outcomes))
    scores, draws = [], []
    for number, (row, (metadata, table)) in enumerate(zip(plan, outcomes, strict=True)):
        metrics, drawn = measure_row(table, (metadata.fitted_task, EVALUATE, 0))
        scores.append(Row(**dict(row), row=number, metadata=metadata, metrics=metrics))
        draws.append(drawn.rename_axis("draw").reset_index().assign(row=number))
    board = rank_rows(scores, pd.concat(draws), EVALUATE)

    tables = [table[table["part"] == "test"] for _, table in outcomes]
    by_hand = {row.model: rmse(table) for row, table in zip(plan, tables, strict=True)}
    assert board.set_index("model")["rmse"].to_dict() == pytest.approx(by_hand)
    # The smallest error is the best, and the others are behind it by how much larger theirs is.
    assert board["model"].tolist() == sorted(by_hand, key=lambda model: by_hand[model])
    assert board["rank_mse"].tolist() == [1, 2, 3]
    assert board["behind_mse"].tolist() == pytest.approx((board["mse"] - board["mse"].iloc[0]).tolist())
    assert (board["behind_mse_low"].iloc[1:] <= board["behind_mse_high"].iloc[1:]).all()
    assert (compared_metrics(board), ranked_metrics(board)) == (["mse", "rmse", "mae", "r2"], ["mse"])
    np.testing.assert_allclose(tables[2]["prediction"], (tables[0]["prediction"] + tables[1]["prediction"]) / 2)
    assert leaderboard_table(board, EVALUATE).columns[-1] == "rank"
    assert behind_table(board, 0.9).rows[0][2] == "the best"
    assert "best mean squared error first" in short_leaderboard_table(board).caption
    assert plot_leaderboard(board).axes[0].get_xlabel() == "mean squared error, test"


def test_blocks_of_a_series_are_pooled_and_measured_beside_what_each_fold_knew(tmp_path: Path) -> None:
    time = pd.date_range("2004-03-01", periods=5760, freq="h")[::12]
    raw = examples((2, 24), np.random.default_rng(1).uniform(10, 90, len(time)) + 40 * np.arange(len(time)) / len(time))
    raw.table["time"], raw.table["group"] = time, time.strftime("%Y-%m-%d")
    ingest = Ingest(split={"use": "blocked", "blocked": {"folds": 3, "gap": 24}})
    preset = {"models": {"mlp": {"train": {"epochs": 1}}}, "seeds": [1], "cross_validate": True}
    plan = plan_rows(Comparison.model_validate({"use": "p", "p": preset}), REGRESSION, **BLOCKS, ingest=ingest)
    assert [(row.fold, row.members) for row in plan] == [(1, []), (2, []), (3, []), (None, [0, 1, 2])]
    shared = (raw, ingest, 0, Checkpoints(tmp_path))
    outcomes = [
        beside_naive(fit_fold((row.config, row.fold), shared), row.fold) for row in plan[:3] if row.config is not None
    ]
    metadata, pooled = pool_rows(outcomes)
    metrics, _ = measure_row(pooled, (metadata.fitted_task, EVALUATE, 0))

    test = pooled[pooled["part"] == "test"]
    assert sorted(test["time"]) == list(time)
    assert metrics["test"]["overall"]["rmse"]["value"] == pytest.approx(rmse(test))
    assert metrics["bootstrap_of"] == "days"
    # The mean of a fold is that of its own training part, and so is the naive row.
    means = {fold: ingest_parts(raw, ingest, 0, fold)[0].table["target"].mean() for fold in (1, 2, 3)}
    naive = test.assign(prediction=test["fold"].map(means))
    assert metrics["naive"]["overall"]["rmse"]["value"] == pytest.approx(rmse(naive))
    _, row = naive_rows((metadata, pooled))["mean"]
    np.testing.assert_allclose(row.loc[row["part"] == "test", "prediction"], naive["prediction"])
    # Each fold has its learning curve, beside their mean.
    epochs = [{"epoch": 1, "val_rmse": 9.0}, {"epoch": 2, "val_rmse": 8.0}]
    rows = [
        Row(**dict(planned), row=i, metadata=outcome[0].model_copy(update={"history": epochs}))
        for i, (planned, outcome) in enumerate(zip(plan, outcomes, strict=False))
    ]
    curves = plot_fold_curves(rows)
    assert not isinstance(curves, str)
    assert [line.get_label() for line in curves.axes[0].lines] == ["1", "2", "3", "mean"]
    np.testing.assert_allclose(np.asarray(curves.axes[0].lines[0].get_ydata(), float), [9.0, 8.0])


def test_a_regression_is_searched_for_its_own_metric(series) -> None:
    search = {
        "space": {"train": {"learning_rate": {"choice": [0.01, 0.02]}}},
        "metric": "rmse",
        "trials": 2,
        "epochs": 2,
        "algorithm": {"use": "none"},
    }
    plan = plan_search(Tune.model_validate({"use": "s", "s": search, "models": {"mlp": {}}}), REGRESSION, 0, **BLOCKS)
    assert not plan.larger_is_better
    trial = Trial(plan.configs({"train.learning_rate": 0.02}), TensorCache(series["train_beats"], series["val_beats"]))
    first, second = trial.step(), trial.step()
    assert second["score"] == min(first["val_rmse"], second["val_rmse"])
