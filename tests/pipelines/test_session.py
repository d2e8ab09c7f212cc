"""What `kedro run` leaves behind: files, versions, MLflow runs, and what it shows."""

from __future__ import annotations

import json
import os
import re
from collections.abc import Iterator
from contextlib import chdir
from dataclasses import dataclass
from html import unescape
from pathlib import Path

import mlflow
import numpy as np
import pandas as pd
import pypdfium2
import pytest
from click.testing import Result
from kedro.framework.startup import bootstrap_project

from beatwise.datasets.examples import ExamplesDataset
from beatwise.ecg.beats import table_of
from beatwise.report.summary import failures, quality
from beatwise.runs.card import read_card
from beatwise.runs.journal import Entry, Journal
from tests.conftest import CLASSES, ROOT, copy_project, run_session, tracked_runs, typed, words
from tests.tables import signals
from tools.synthesise import make_sample

pytestmark = pytest.mark.usefixtures("kept_process")
HYPOTHESIS = "S is defined by rhythm, so RR helps"
EXPECTED = "macro_recall >= 0 and val.kappa > 0.999"
COMMAND = "kedro run --pipeline=train --env=test --params=train.learning_rate=0.003"


@dataclass(frozen=True)
class Ran:
    """A project in which `train` has run twice.

    The first run, a typed command, tested a hypothesis; the second had another learning rate and drew no figures.
    """

    folder: Path
    proposed: Result
    result: Result
    runs: pd.DataFrame

    def versions(self, path: str) -> list[Path]:
        return sorted((self.folder / "data" / path).glob(f"*/{Path(path).name}"))

    @property
    def commands(self) -> pd.DataFrame:
        """The MLflow runs of the two commands."""
        return self.runs[self.runs["tags.mlflow.parentRunId"].isna()]

    @property
    def models(self) -> pd.DataFrame:
        """Those of the models that they fitted."""
        return self.runs[self.runs["tags.fitted"] == "baseline"]

    @property
    def entry(self) -> Entry:
        (entry,) = Journal(self.folder).entries().values()
        return entry


@pytest.fixture(scope="module")
def ran(tmp_path_factory: pytest.TempPathFactory, kept_process: None) -> Iterator[Ran]:
    folder = copy_project(tmp_path_factory.mktemp("project"))
    with chdir(folder):
        bootstrap_project(folder)
        proposed = typed("journal", "propose", HYPOTHESIS, "--expect", EXPECTED)
        result = typed(*COMMAND.split()[1:])
        # Without its figures, which take longest.
        measured = ["baseline.metrics", "baseline.val_history"]
        run_session(folder, parameters={"train": {"learning_rate": 0.001}}, to_outputs=measured)
        yield Ran(folder, proposed, result, tracked_runs(folder))


def test_everything_a_source_makes_lies_under_its_own_name(ran: Ran) -> None:
    for layer in (ran.folder / "data").iterdir():
        if layer.name not in ("01_raw", "09_tracking"):
            assert [source.name for source in layer.iterdir()] == ["test"], layer


def test_model_history_predictions_and_metrics_keep_every_version(ran: Ran) -> None:
    for path in (
        "06_models/test/baseline/model",
        "06_models/test/baseline/history.parquet",
        "07_model_output/test/baseline/predictions.parquet",
        "07_model_output/test/baseline/val_predictions.parquet",
        "07_model_output/test/baseline/val_history.parquet",
        "07_model_output/test/baseline/metrics.json",
    ):
        assert len(ran.versions(path)) == 2, path


def test_a_training_that_ended_leaves_no_checkpoint(ran: Ran) -> None:
    assert not list((ran.folder / "data/06_models/test/checkpoints").iterdir())


def test_the_scores_and_the_path_of_the_report_are_shown_at_the_end(ran: Ran) -> None:
    report = ran.versions("08_reporting/test/baseline/report.html")[0]
    for text in ("macro recall", "always N, test", "model, test", str(report.relative_to(ran.folder))):
        assert text in ran.result.output


def test_the_report_needs_no_other_file_and_says_that_its_data_is_synthetic(ran: Ran) -> None:
    html = ran.versions("08_reporting/test/baseline/report.html")[0].read_text(encoding="utf-8")
    assert "SYNTHETIC" in html
    assert html.count("data:image/png;base64,") == 19
    for outside in ('src="http', 'href="http', "url(", "<script ", "<link"):
        assert outside not in html


def test_the_report_is_printed_on_few_full_pages(ran: Ran) -> None:
    html = ran.versions("08_reporting/test/baseline/report.html")[0]
    if not html.with_suffix(".pdf").is_file():
        pytest.skip("this machine has no Pango")
    assert html.stat().st_size + html.with_suffix(".pdf").stat().st_size < 10e6
    document = pypdfium2.PdfDocument(html.with_suffix(".pdf"))
    assert len(document) <= 10
    pages = [" ".join(page.get_textpage().get_text_range().split()) for page in document]
    title = "cnn1d, baseline, on test"
    for text in (title, "SYNTHETIC", "Is it good?", "Where does it fail?", "What is called what"):
        assert text in pages[0]
    assert "author The Beatwise authors" in " ".join(pages[-2:])
    footer = [f"{title} test {number} / {len(pages)}" for number in range(1, len(pages) + 1)]
    assert all(page.endswith(line) for page, line in zip(pages[1:], footer[1:], strict=True))
    headings = re.findall(r"<h2>([^<]+)</h2>", html.read_text("utf-8"))
    assert (headings[0], headings[-1]) == ("Scores", "How it was made, and how to repeat it")
    for page, line in zip(pages, footer, strict=True):
        assert not page.removesuffix(line).strip().endswith(tuple(headings))
    for page in [*document][:-1]:
        bottoms = [bounds[1] for item in page.get_objects() if (bounds := item.get_bounds())[1] > 60]
        assert min(bottoms) < page.get_height() / 2
    images = [
        (page.get_size(), image.get_bounds())
        for page in document
        for image in page.get_objects(filter=[pypdfium2.raw.FPDF_PAGEOBJ_IMAGE])
    ]
    assert len(images) == 11
    for (width, height), (left, bottom, right, top) in images:
        assert 0 < left < right < width
        assert 0 < bottom < top < height


def test_the_first_screen_has_the_numbers_of_the_metrics_and_the_confusion_matrix(ran: Ran) -> None:
    html = ran.versions("08_reporting/test/baseline/report.html")[0].read_text("utf-8")
    stored = json.loads(ran.versions("07_model_output/test/baseline/metrics.json")[0].read_text("utf-8"))
    first = html.partition('<details class="part')[0]
    for sentence in (*quality(stored), *failures(stored)):
        assert sentence in unescape(first)
    cells = re.findall(r"<td[^>]*>([\d,]+)</td>", first)
    assert [int(n.replace(",", "")) for n in cells] == np.ravel(stored["test"]["confusion"]).tolist()
    assert re.findall(r'<a href="([^"]+)">', first) == [f"../../../{name}.html" for name in ("data", "index")]


def test_the_list_of_reports_leads_to_each_of_them_and_the_command_names_the_latest(ran: Ran) -> None:
    folder = ran.folder / "data/08_reporting/test"
    (report,) = ran.versions("08_reporting/test/baseline/report.html")
    index = (folder / "index.html").read_text("utf-8")
    assert f'<a href="{report.relative_to(folder)}">baseline</a>' in index
    assert report.relative_to(folder).as_posix() in (folder / "baseline.html").read_text("utf-8")
    assert str((folder / "index.html").relative_to(ran.folder)) in ran.result.output


def test_the_page_of_the_data_needs_no_other_file_and_is_below_ten_megabytes(ran: Ran) -> None:
    page = ran.folder / "data/08_reporting/test/data.html"
    assert page.stat().st_size < 10_000_000
    html = page.read_text(encoding="utf-8")
    for text in ("SYNTHETIC", "2,700 train", 'id="shares"', 'id="signals"', "time from R peak (ms)"):
        assert text in html
    for outside in ('<script src="', "<link ", '<script type="module"'):
        assert outside not in html


def test_every_run_is_an_mlflow_run_that_finished_and_so_is_the_model_that_it_fitted(ran: Ran) -> None:
    assert ran.runs["status"].tolist() == ["FINISHED"] * 4
    assert ran.models["tags.mlflow.parentRunId"].tolist() == ran.commands["run_id"].tolist()
    for name, recall in zip(ran.models["tags.mlflow.runName"], ran.models["metrics.test.macro_recall"], strict=True):
        assert name == f"cnn1d · none · macro recall {f'{recall:.3f}'.lstrip('0')}"
    assert ran.commands["tags.mlflow.runName"].tolist() == [
        f"train · {name}" for name in ran.models["tags.mlflow.runName"]
    ]


def test_the_run_of_a_command_can_be_typed_again(ran: Ran) -> None:
    second = "kedro run --pipeline=train --env=test --params=train.learning_rate=0.001"
    assert ran.commands["tags.kedro_command"].tolist() == [COMMAND, second]


def test_the_address_of_the_runs_is_shown_at_the_end(ran: Ran) -> None:
    experiment = ran.runs["experiment_id"].iloc[0]
    assert f"http://127.0.0.1:5000/#/experiments/{experiment}/runs" in ran.result.output


def test_comparing_two_models_shows_the_one_parameter_that_differed(ran: Ran) -> None:
    first, second = (dict(run) for run in ran.models.filter(like="params.").dropna(axis=1).to_dict("records"))
    differ = {name: (first[name], second[name]) for name in first if first[name] != second[name]}
    assert differ == {"params.train.learning_rate": ("0.003", "0.001")}


def test_parameters_are_logged_one_by_one_with_what_they_are_for(ran: Ran) -> None:
    model, command = ran.models.iloc[0].dropna(), ran.commands.iloc[0].dropna()
    of_model = {"model.use": "cnn1d", "resample.use": "none", "train.epochs": "2"}
    assert {name: model[f"params.{name}"] for name in of_model} == of_model
    assert command["params.evaluate.bootstrap_draws"] == "20"
    both = set(model.filter(like="params.").index) & set(command.filter(like="params.").index)
    assert both == {"params.seed"}
    assert not any("=" in str(value) or "{'" in str(value) for value in model.filter(like="params."))


def test_metrics_in_mlflow_are_those_that_are_stored(ran: Ran) -> None:
    stored = json.loads(ran.versions("07_model_output/test/baseline/metrics.json")[0].read_text(encoding="utf-8"))
    first = ran.models.iloc[0]
    measured = first.filter(regex=r"^metrics\.(test|val|recall_first)\.").dropna()
    assert len(measured) == 12
    for name, value in measured.items():
        _, part, metric = str(name).split(".")
        assert value == stored[part]["overall"][metric]["value"]
    client = mlflow.MlflowClient()
    history = client.get_metric_history(first["run_id"], "val_macro_recall")
    assert [point.step for point in history] == [1, 2]
    table = mlflow.load_table("scores.json", run_ids=[first["run_id"]])
    (row,) = table[table[["part", "class", "metric"]].eq(["test", "V", "recall"]).all(axis=1)].to_dict("records")
    interval = stored["test"]["per_class"]["V"]["recall"]
    assert {end: row[end] for end in interval} == pytest.approx(interval)


def test_the_beats_are_inputs_of_the_run_of_a_model(ran: Ran) -> None:
    card = read_card(ran.versions("08_reporting/test/run_card.json")[0])
    inputs = mlflow.get_run(ran.models.iloc[0]["run_id"]).inputs.dataset_inputs
    assert {i.dataset.name: i.dataset.digest for i in inputs} == {
        name: f"{fingerprint[:10]} {fingerprint[64:74]}" for name, fingerprint in card.data.items()
    }
    assert '{"uri": "data/03_primary/test/train_beats.parquet"}' in [i.dataset.source for i in inputs]


def test_figures_and_report_are_artifacts_of_the_run_of_the_model(ran: Ran) -> None:
    run_id = ran.models.iloc[0]["run_id"]
    files = {f.path for f in mlflow.MlflowClient().list_artifacts(run_id)}
    printed = ran.versions("08_reporting/test/baseline/report.html")[0].with_suffix(".pdf").is_file()
    assert ("report.pdf" in files) is printed
    assert {"report.html", "metrics.json"} <= files
    drawn = {f.path for f in mlflow.MlflowClient().list_artifacts(run_id, "figures")}
    for name in ("confusion_matrices.png", "learning_curves.png", "per_class.png", "embedding_plot.json"):
        assert f"figures/{name}" in drawn


def test_the_logged_model_takes_beats_and_gives_the_stored_probabilities(ran: Ran) -> None:
    (logged,) = mlflow.search_logged_models(
        filter_string=f"source_run_id = '{ran.models.iloc[0]['run_id']}'", output_format="list"
    )
    model = mlflow.pyfunc.load_model(logged.model_uri)
    beats = table_of(ExamplesDataset(filepath=str(ran.folder / "data/03_primary/test/test_beats.parquet")).load())
    signature = model.metadata.signature
    assert [column.name for column in signature.outputs][:3] == ["class", "recall_first", "unsure"]
    given = beats.head(20)[signature.inputs.input_names()]
    stored = pd.read_parquet(ran.versions("07_model_output/test/baseline/predictions.parquet")[0]).head(20)
    expected = stored.filter(like="probability_").to_numpy()
    found = model.predict(given.astype("float64"))
    assert found.filter(like="probability_").to_numpy() == pytest.approx(expected, abs=1e-6)
    assert found["class"].tolist() == [CLASSES[index] for index in stored["prediction"]]


# --- the hypothesis that it tested


def test_a_hypothesis_waits_for_a_run_and_its_run_ends_with_an_outcome(ran: Ran) -> None:
    assert "Proposed: 20" in ran.proposed.output
    assert (ran.proposed.exit_code, ran.result.exit_code) == (0, 0)
    entry = ran.entry
    assert (entry.hypothesis, entry.expect) == (HYPOTHESIS, EXPECTED)
    (run,) = entry.runs
    assert (run.outcome, run.result, len(run.metrics)) == ("refuted", "baseline", 39)
    assert run.ended is not None
    assert run.ended >= run.began


def test_the_entry_knows_the_run_and_nothing_of_the_machine(ran: Ran) -> None:
    (run,) = ran.entry.runs
    assert run.command == COMMAND
    assert (run.environment, run.pipeline, run.source) == ("test", "train", "test")
    assert run.params == {"train.learning_rate": 0.003}
    (path,) = ran.folder.glob("docs/journal/*")
    assert path.suffix == ".yml"
    for secret in (str(ran.folder), "/home/ada", os.uname().nodename):
        assert secret not in path.read_text("utf-8")


def test_the_mlflow_run_has_the_hypothesis_as_description_and_as_tag(ran: Ran) -> None:
    client = mlflow.MlflowClient(f"sqlite:///{ran.folder}/data/09_tracking/mlflow.db")
    tracked = client.get_run(ran.entry.runs[0].mlflow_run)
    assert tracked.info.status == "FINISHED"
    assert tracked.data.tags["hypothesis"] == ran.entry.hypothesis
    assert tracked.data.tags["mlflow.note.content"] == f"{ran.entry.hypothesis}\n\nExpected: {EXPECTED}"


def test_the_run_says_what_it_tests_and_what_came_of_it(ran: Ran) -> None:
    shown = words(ran.result.output)
    (id,) = Journal(ran.folder).entries()
    assert f"Hypothesis: {ran.entry.hypothesis} Expected: {EXPECTED} Journal: {id}" in shown
    assert f"Hypothesis refuted: {ran.entry.hypothesis}" in shown
    recall = f"{ran.entry.runs[0].metrics['test.macro_recall']:.4f}"
    assert f"macro_recall >= 0 ✓ {recall} macro_f1" in shown
    assert f'kedro journal reflect {id} "…"' in shown
    assert shown.index("Scores of baseline") < shown.index("Hypothesis refuted")
    assert "tests no hypothesis" not in shown


def test_an_entry_can_be_listed_shown_reflected_on_and_exported(ran: Ran, tmp_path: Path) -> None:
    reflected = typed("journal", "reflect", "s-is", "Not with two batches.")
    assert reflected.exit_code == 0, reflected.output
    assert [reflection.text for reflection in ran.entry.reflections] == ["Not with two batches."]
    (id,) = Journal(ran.folder).entries()
    for listed in (typed("journal"), typed("journal", "list")):
        assert f" {id} refuted " in words(listed.output)
    shown = typed("journal", "show", "last")
    assert f"command {COMMAND}" in words(shown.output)
    assert "Not with two batches." in shown.output
    assert max(map(len, shown.output.splitlines())) <= 80
    exported = typed("journal", "export")
    assert exported.output.startswith("# Journal\n\n## S is defined by rhythm, so RR helps\n")
    assert typed("journal", "export", str(tmp_path / "new/journal.md")).output == ""
    assert (tmp_path / "new/journal.md").read_text("utf-8") == exported.output


# --- further runs


@pytest.mark.slow
def test_a_given_version_is_measured_again_without_training(ran: Ran) -> None:
    metrics = ran.versions("07_model_output/test/baseline/metrics.json")
    first, second = (json.loads(path.read_text(encoding="utf-8")) for path in metrics)
    assert first != second
    version = ran.versions("06_models/test/baseline/model")[0].parent.name
    run_session(ran.folder, "evaluate", load_versions={"baseline.model": version})
    run_session(ran.folder, "evaluate")
    again = ran.versions("07_model_output/test/baseline/metrics.json")[2:]
    assert [json.loads(path.read_text(encoding="utf-8")) for path in again] == [first, second]
    assert len(ran.versions("06_models/test/baseline/model")) == 2
    # One of the first training, and one of each evaluation.
    assert len(ran.versions("08_reporting/test/baseline/report.html")) == 3


def test_the_same_seed_gives_the_same_numbers_bit_for_bit(ran: Ran) -> None:
    run_session(ran.folder, to_outputs=["baseline.predictions"])
    stored = ran.versions("07_model_output/test/baseline/predictions.parquet")
    first, last = pd.read_parquet(stored[0]), pd.read_parquet(stored[-1])
    pd.testing.assert_frame_equal(first, last, check_exact=True)


@pytest.mark.slow
def test_synthesise_makes_the_bundled_sample_again_to_the_last_bit(tmp_path: Path) -> None:
    make_sample(tmp_path)
    for part in ("train", "test"):
        expected = pd.read_parquet(ROOT / f"data/01_raw/demo/{part}.parquet")
        made = pd.read_parquet(tmp_path / f"{part}.parquet")
        assert signals(made).tobytes() == signals(expected).tobytes()
        pd.testing.assert_frame_equal(made, expected, check_exact=True)
        assert "SYNTHETIC" in made.attrs["notice"]


def test_the_bundled_sample_is_small_with_rare_classes_and_on_a_grid_of_a_thousandth() -> None:
    files = [ROOT / f"data/01_raw/demo/{part}.parquet" for part in ("train", "test")]
    assert sum(file.stat().st_size for file in files) < 2_000_000
    beats = pd.concat(map(pd.read_parquet, files))
    assert 3900 < len(beats) < 4200
    shares = beats["target"].value_counts(normalize=True).sort_index()
    assert shares.tolist() == pytest.approx([0.805, 0.045, 0.06, 0.02, 0.07], abs=0.003)
    values = signals(beats)
    assert abs(values * 1000 - (values * 1000).round()).max() < 1e-3
