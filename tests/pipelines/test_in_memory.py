"""Whole pipelines in memory: no files, no session, tables in and tables out."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import Any

import numpy as np
import pandas as pd
import pytest
from kedro.io import DataCatalog, MemoryDataset
from kedro.pipeline import Pipeline
from kedro.runner import SequentialRunner

from beatwise.core.errors import BeatwiseError
from beatwise.data.contracts import BeatsContract
from beatwise.data.examples import Examples, concatenate
from beatwise.data.representations import REPRESENTATIONS
from beatwise.data.resampling import STRATEGIES
from beatwise.data.settings import Ingest, Resample, Tensors
from beatwise.data.splits import SPLITS
from beatwise.ecg.settings import Segment
from beatwise.explanation.settings import Explain
from beatwise.networks.settings import Model
from beatwise.pipelines import evaluate, ingest, train
from beatwise.report.settings import Report
from beatwise.tasks.settings import Evaluate
from beatwise.training.checkpoint import Checkpoints
from beatwise.training.settings import Train
from tests.conftest import CLASSES, TASK, example_card

pytestmark = pytest.mark.usefixtures("short_reports")
MakeBeats = Callable[..., Examples]


def parameters(**changed: Any) -> dict[str, Any]:
    blocks = {
        "classes": CLASSES,
        "task": TASK,
        "seed": 1,
        "source": "memory",
        "sample_rate": 120.0,
        "ingest": Ingest(split={"use": "given", "given": {"val_share": 0.25}}),
        "resample": Resample(use="none"),
        "tensors": Tensors(use="signal"),
        "model": Model(use="mlp", mlp={"width": 8, "layers": 1}),
        "train": Train(epochs=2, batch_size=32),
        "evaluate": Evaluate(bootstrap_draws=10),
        "explain": Explain(
            beats_per_class=3,
            steps=4,
            random_networks=1,
            check_beats_per_class=1,
            embedding_beats=60,
            projections={"use": ["pca"]},
        ),
        "report": Report(examples_per_class=2),
        "segment": Segment(rule={"use": "kaggle"}, aami={}),
    }
    return {f"params:{name}": value for name, value in {**blocks, **changed}.items()}


def with_part(beats: Examples, part: str) -> Examples:
    return Examples(beats.x, beats.table.assign(part=part))


class KeptDataset(MemoryDataset):
    """Holds its data after the runner has no more use for it."""

    def _release(self) -> None:
        pass


def run(pipeline: Pipeline, **data: Any) -> dict[str, Any]:
    """Run a pipeline on plain data and give back everything that it made, by name."""
    catalog = DataCatalog({name: MemoryDataset(value) for name, value in data.items()})
    for name in pipeline.all_outputs():
        catalog[name] = KeptDataset(copy_mode="assign")
    with TemporaryDirectory() as folder:
        if "checkpoints" in pipeline.inputs():
            catalog["checkpoints"] = MemoryDataset(Checkpoints(Path(folder)))
        if "run_card" in pipeline.inputs():
            catalog["run_card"] = MemoryDataset(example_card())
        SequentialRunner().run(pipeline, catalog)
        assert not list(Path(folder).iterdir())
    return {name: catalog.load(name) for name in pipeline.all_outputs()}


@pytest.fixture
def raw_beats(make_beats: MakeBeats) -> Examples:
    big = make_beats((120, 24, 28, 20, 24), seed=1, records=True)
    small = make_beats((60, 10, 12, 8, 10), seed=2, records=True)
    return concatenate([with_part(big, "train"), with_part(small, "test")])


def test_raw_beats_become_a_report(raw_beats: Examples) -> None:
    made = run(train.create_pipeline(), raw_beats=raw_beats, **parameters())
    assert made["baseline.report"].lstrip().lower().startswith("<!doctype html>")
    assert made["baseline.report"].count("data:image/png;base64,") == 1
    for words in ("How it was made", "kedro run --pipeline=train", "0123456789", "torch 2.13.0", "1,234.57 s"):
        assert words in made["baseline.report"]
    assert len(made["baseline.predictions"]) == (raw_beats.table["part"] == "test").sum()
    assert len(made["baseline.history"]) == 2
    assert len(made["baseline.val_history"]) == 2 * len(made["val_beats"])
    assert set(made["baseline.metrics"]) >= {"test", "val", "naive", "recall_first"}


def test_predictions_name_the_beats_they_are_for(raw_beats: Examples) -> None:
    made = run(train.create_pipeline().to_outputs("baseline.predictions"), raw_beats=raw_beats, **parameters())
    predictions, beats = made["baseline.predictions"], made["test_beats"]
    assert list(predictions.columns) == [
        "target",
        "prediction",
        *(f"probability_{name}" for name in CLASSES),
        "group",
        "record",
        "sample",
    ]
    for column in ("target", "record", "sample"):
        assert predictions[column].tolist() == beats.table[column].tolist()
    np.testing.assert_allclose(predictions.filter(like="probability_").sum(axis=1), 1, atol=1e-5)


@pytest.mark.parametrize("strategy", STRATEGIES.names())
def test_resampling_leaves_validation_and_test_untouched(strategy: str, raw_beats: Examples) -> None:
    options = {"n_per_class": {"n": 30}} if strategy == "n_per_class" else {}
    tensors = train.create_pipeline().to_outputs("baseline.val_tensors", "baseline.test_tensors")
    plain = run(tensors, raw_beats=raw_beats, **parameters())
    made = run(tensors, raw_beats=raw_beats, **parameters(resample=Resample(use=strategy, **options)))
    for part in ("val", "test"):
        assert made[f"{part}_beats"].fingerprint == plain[f"{part}_beats"].fingerprint
        ours, theirs = made[f"baseline.{part}_tensors"], plain[f"baseline.{part}_tensors"]
        for array in ("x", "aux", "y"):
            assert getattr(ours, array).tobytes() == getattr(theirs, array).tobytes()


@pytest.mark.parametrize("representation", REPRESENTATIONS.names())
def test_every_representation_runs_through(representation: str, raw_beats: Examples) -> None:
    prediction = train.create_pipeline().to_outputs("baseline.predictions")
    made = run(prediction, raw_beats=raw_beats, **parameters(tensors=Tensors(use=representation, features=False)))
    assert made["baseline.test_tensors"].aux.shape[1] == 0
    assert len(made["baseline.predictions"]) == len(made["test_beats"])


# Splits of records by their names, and of hours, have tests of their own (tests/data/test_splits.py).
@pytest.mark.parametrize(
    "split", [name for name in SPLITS.names() if name not in ("ds1_ds2", "ds1_folds", "by_record", "blocked")]
)
def test_no_beat_stands_in_two_parts(split: str, raw_beats: Examples) -> None:
    made = run(ingest.create_pipeline(), raw_beats=raw_beats, **parameters(ingest=Ingest(split={"use": split})))
    parts = [made[f"{part}_beats"] for part in ("train", "val", "test")]
    assert sum(map(len, parts)) == len(raw_beats)
    assert made["data_summary"]["duplicates"]["across"] == {"train and val": 0, "train and test": 0, "val and test": 0}
    for part in parts:
        BeatsContract(classes=CLASSES, empty_class="warn").validate(part)


def test_validation_and_test_do_not_change_what_is_trained(raw_beats: Examples) -> None:
    other = Examples(np.where(raw_beats.table[["part"]] == "test", np.float32(0.5), raw_beats.x), raw_beats.table)
    training = train.create_pipeline().to_outputs("baseline.model")
    one, two = (run(training, raw_beats=raw, **parameters()) for raw in (raw_beats, other))
    for ours, theirs in zip(
        one["baseline.model"].network.parameters(), two["baseline.model"].network.parameters(), strict=True
    ):
        assert ours.detach().numpy().tobytes() == theirs.detach().numpy().tobytes()


@pytest.mark.slow
def test_a_stored_model_is_measured_again_to_the_same_numbers_without_training(raw_beats: Examples) -> None:
    made = run(train.create_pipeline(), raw_beats=raw_beats, **parameters())
    inputs = {name: made[name] for name in evaluate.create_pipeline().inputs() if name in made}
    # What is configured now is of no account: the model says itself how its input is made.
    again = run(evaluate.create_pipeline(), **inputs, **parameters(tensors=Tensors(use="image")))
    assert again["baseline.metrics"] == made["baseline.metrics"]
    pd.testing.assert_frame_equal(again["baseline.predictions"], made["baseline.predictions"])


@pytest.mark.slow
def test_a_stored_model_is_not_measured_on_beats_it_may_have_been_trained_on(raw_beats: Examples) -> None:
    made = run(train.create_pipeline(), raw_beats=raw_beats, **parameters())
    inputs = {name: made[name] for name in evaluate.create_pipeline().inputs() if name in made}
    inputs["val_beats"] = inputs["val_beats"].take(np.arange(len(inputs["val_beats"]))[::-1])
    with pytest.raises(BeatwiseError, match="split differently"):
        run(evaluate.create_pipeline(), **inputs, **parameters())


def test_a_beat_that_stands_in_train_and_test_is_counted_and_dropped_on_request(raw_beats: Examples) -> None:
    leak = raw_beats.take(np.flatnonzero(raw_beats.table["part"] == "test")[:3])
    leaky = concatenate([raw_beats, with_part(leak, "train")])
    split = {"use": "given", "given": {"val_share": 0.25}}
    kept = run(ingest.create_pipeline(), raw_beats=leaky, **parameters())
    dropped = run(
        ingest.create_pipeline(),
        raw_beats=leaky,
        **parameters(ingest=Ingest(split=split, drop_duplicates=True)),
    )
    across = kept["data_summary"]["duplicates"]["across"]
    assert across["train and test"] + across["val and test"] == 3
    assert sum(dropped["data_summary"]["duplicates"]["across"].values()) == 0
    assert len(dropped["test_beats"]) == len(kept["test_beats"])


def test_the_summary_says_which_records_stand_in_train_and_in_test(raw_beats: Examples) -> None:
    summary = run(ingest.create_pipeline(), raw_beats=raw_beats, **parameters())["data_summary"]
    assert summary["records"]["known"]
    assert set(summary["records"]["shared"]["train and test"]) == set(raw_beats.table["record"])
