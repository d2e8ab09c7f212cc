"""Pages in headless Chromium: the report, kedro-viz, MLflow's comparisons of runs, the dashboard of searches."""

from __future__ import annotations

import json
import os
import random
import shutil
import signal
import socket
import subprocess
import sys
import time
import urllib.request
from collections.abc import Callable, Iterator
from contextlib import chdir, contextmanager, suppress
from functools import partial
from pathlib import Path
from typing import Any

import pandas as pd
import pytest

from tests.conftest import ROOT, copy_project, run_session, tracked_runs

pytestmark = pytest.mark.browser

# Each is told its port last.
VIZ = ("kedro", "viz", "run", "--no-browser", "--env", "test", "--port")
MLFLOW = ("kedro", "mlflow", "ui", "--env", "test", "--port")
DASHBOARD = (
    *("streamlit", "run", str(ROOT / "src/beatwise/dashboard.py"), "--server.address", "127.0.0.1"),
    *("--server.headless", "true", "--browser.gatherUsageStats", "false", "--server.port"),
)


@pytest.fixture(scope="module")
def browser() -> Iterator[Any]:
    from selenium import webdriver

    binary = os.environ.get("BEATWISE_BROWSER") or shutil.which("chromium") or shutil.which("google-chrome")
    driver = shutil.which("chromedriver")
    if not binary or not driver:
        pytest.skip("no chromium and chromedriver on the PATH")
    options = webdriver.ChromeOptions()
    options.binary_location = binary
    for flag in ("headless=new", "no-sandbox", "disable-gpu", "disable-background-networking", "no-first-run"):
        options.add_argument(f"--{flag}")
    options.add_argument("--window-size=1600,1100")
    opened = webdriver.Chrome(options=options, service=webdriver.ChromeService(driver))
    yield opened
    opened.quit()


@pytest.fixture(scope="module")
def project_with_runs(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Path]:
    folder = copy_project(tmp_path_factory.mktemp("project"))
    with chdir(folder):
        run_session(folder)
        run_session(folder, parameters={"train": {"learning_rate": 0.001}}, to_outputs=["baseline.metrics"])
        yield folder


@pytest.fixture(scope="module")
def project_with_search(tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = copy_project(tmp_path_factory.mktemp("project"))
    space = {"model": {"use": {"choice": ["mlp", "cnn1d"]}}, "train": {"learning_rate": {"loguniform": [1e-3, 1e-2]}}}
    small = {"space": space, "algorithm": {"use": "random"}, "scheduler": {"use": "none"}, "trials": 6, "epochs": 2}
    with chdir(folder), pytest.MonkeyPatch.context() as patch:
        patch.setattr("beatwise.report.pdf.as_pdf", lambda html: None)
        run_session(folder, "tune", parameters={"tune": {"use": "small", "small": small}})
    return folder


@pytest.fixture(scope="module")
def project_with_everything(project_with_search: Path) -> Path:
    """The project with a search, in which a comparison has run too."""
    models = {"mlp": {"model": {"use": "mlp", "mlp": {"width": 8, "layers": 1}}}}
    rows = {"models": models, "strategies": {"none": {}}, "seeds": [1]}
    with chdir(project_with_search):
        run_session(project_with_search, "compare", parameters={"compare": {"use": "one", "one": rows}})
    return project_with_search


def free_port() -> int:
    """A port that nothing listens on, below those a system hands out by itself: kedro-viz takes none above 49151."""
    for port in random.sample(range(20_000, 32_000), 100):
        with suppress(OSError), socket.socket() as probe:
            probe.bind(("127.0.0.1", port))
            return port
    raise AssertionError("not one of 100 ports between 20000 and 32000 is free")


def is_up(address: str) -> bool:
    with suppress(OSError), urllib.request.urlopen(address, timeout=5) as answer:
        return bool(answer.status == 200)
    return False


@contextmanager
def serving(folder: Path, *command: str) -> Iterator[str]:
    """A server of the project's folder, by a command that ends before its port; ends with the test."""
    port = free_port()
    address = f"http://127.0.0.1:{port}"
    environment = {
        **os.environ,
        "PATH": f"{Path(sys.executable).parent}:{os.environ['PATH']}",
        "DO_NOT_TRACK": "1",
        # kedro-viz asks for its newest version before it starts: refused at once, instead of half a minute's wait.
        "HTTPS_PROXY": "http://127.0.0.1:9",
    }
    shown = folder / "server.log"
    with shown.open("w") as log:
        process = subprocess.Popen(
            [*command, str(port)], cwd=folder, env=environment, stdout=log, stderr=log, start_new_session=True
        )
        try:
            until = time.monotonic() + 120
            while not is_up(address):
                if process.poll() is not None or time.monotonic() > until:
                    raise AssertionError(f"{' '.join(command)} {port} did not start:\n{shown.read_text('utf-8')}")
                time.sleep(0.5)
            yield address
        finally:
            with suppress(ProcessLookupError):
                os.killpg(process.pid, signal.SIGTERM)
            try:
                process.wait(20)
            except subprocess.TimeoutExpired:
                os.killpg(process.pid, signal.SIGKILL)
                process.wait(5)


def wait_for(condition: Callable[[], Any], seconds: float = 40) -> Any:
    """What a condition gives, once it gives something."""
    until = time.monotonic() + seconds
    while True:
        try:
            if found := condition():
                return found
        except Exception:
            if time.monotonic() > until:
                raise
        assert time.monotonic() < until, f"not within {seconds} s"
        time.sleep(0.3)


UNFOLD = "document.querySelectorAll('details').forEach(part => (part.open = true))"


def text_of(browser: Any) -> str:
    return str(browser.execute_script("return document.body.innerText"))


def test_the_report_shows_all_its_figures_and_nothing_overflows(browser: Any, project_with_runs: Path) -> None:
    (report, *_) = (project_with_runs / "data/08_reporting/test/baseline/report.html").glob("*/report.html")
    browser.get(report.as_uri())
    # The answers and the confusion matrix stand on the first screen, and everything else is folded below.
    answered = browser.execute_script("return document.querySelector('.answer').getBoundingClientRect().bottom")
    assert answered < browser.execute_script("return window.innerHeight")
    browser.execute_script(UNFOLD)
    widths = browser.execute_script("return [...document.images].map(i => i.complete ? i.naturalWidth : 0)")
    assert len(widths) == 19
    assert min(widths) > 300
    assert browser.execute_script("return document.documentElement.scrollWidth <= window.innerWidth")
    cut = "return [...document.querySelectorAll('.scroll')].filter(e => e.scrollWidth > e.clientWidth + 1).length"
    assert browser.execute_script(cut) == 0
    assert not [line for line in browser.get_log("browser") if line["level"] == "SEVERE"]


def test_a_table_of_the_report_is_sorted_by_a_click_and_what_is_folded_is_printed(
    browser: Any, project_with_runs: Path
) -> None:
    (report, *_) = (project_with_runs / "data/08_reporting/test/baseline/report.html").glob("*/report.html")
    browser.get(report.as_uri())
    head = "const head = document.querySelector('table.sortable').tHead.rows[0].cells[1]; head.click(); return "
    column = "[...head.closest('table').tBodies[0].rows].map(r => +r.cells[1].textContent.replace(',', ''))"
    falling = browser.execute_script(head + column)
    assert falling == sorted(falling, reverse=True)
    assert browser.execute_script(head + column) == falling[::-1]
    folded = "return [...document.querySelectorAll('details')].map(part => part.open)"
    assert not any(browser.execute_script(folded))
    browser.execute_script("dispatchEvent(new Event('beforeprint'))")
    opened = browser.execute_script(folded)
    assert opened
    assert all(opened)


def test_the_report_can_be_read_on_a_phone(browser: Any, project_with_runs: Path) -> None:
    (report, *_) = (project_with_runs / "data/08_reporting/test/baseline/report.html").glob("*/report.html")
    browser.execute_cdp_cmd(
        "Emulation.setDeviceMetricsOverride", {"width": 420, "height": 900, "deviceScaleFactor": 1, "mobile": True}
    )
    try:
        browser.get(report.as_uri())
        browser.execute_script(UNFOLD)
        assert browser.execute_script("return document.documentElement.scrollWidth") == 420
        # Wide tables and figures scroll for themselves.
        widths = browser.execute_script("return [...document.images].map(i => i.clientWidth)")
        assert max(widths) > 420
    finally:
        browser.execute_cdp_cmd("Emulation.clearDeviceMetricsOverride", {})


def test_the_page_of_the_data_draws_its_figures_and_changes_the_part_without_the_network(
    browser: Any, project_with_runs: Path
) -> None:
    browser.get((project_with_runs / "data/08_reporting/test/data.html").as_uri())
    drawn = "return [...document.querySelectorAll('.js-plotly-plot .main-svg')].length"
    wait_for(lambda: browser.execute_script(drawn) >= 2)
    shown = """return document.getElementById('signals').data
        .filter(t => t.visible === true && t.hovertemplate && t.hovertemplate.includes(' of '))
        .map(t => t.hovertemplate.split(' of ').at(-1).split(/[<,]/)[0])"""
    for part in ("train", "validation", "test"):
        click = """[...document.querySelectorAll('#signals .updatemenu-button')]
            .find(e => e.textContent === arguments[0]).dispatchEvent(new MouseEvent('click'))"""
        browser.execute_script(click, part)
        wait_for(lambda part=part: part in set(browser.execute_script(shown)))  # type: ignore[misc]
    assert browser.execute_script("return performance.getEntriesByType('resource').length") == 0
    assert browser.execute_script("return document.documentElement.scrollWidth <= window.innerWidth")
    assert not [line for line in browser.get_log("browser") if line["level"] == "SEVERE"]


def test_kedro_viz_shows_the_dag_from_left_to_right_with_layers(browser: Any, project_with_runs: Path) -> None:
    with serving(project_with_runs, *VIZ) as address:
        browser.get(f"{address}/?pid=train")
        wait_for(lambda: "ingest" in text_of(browser))
        stored = "return JSON.parse(localStorage.getItem('KedroViz'))"
        assert browser.execute_script(stored)["layer"]["visible"]
        named = "return [...document.querySelectorAll('.pipeline-layer-name')].map(e => e.textContent)"
        layers = wait_for(lambda: browser.execute_script(named))
        assert layers == sorted(layers)
        assert (layers[0], layers[-1]) == ("01_raw", "08_reporting")
        browser.execute_script("document.querySelector('[aria-label=\"Change flowchart orientation\"]').click()")
        wait_for(lambda: browser.execute_script(stored)["orientation"] == "horizontal")
        place = """
            const box = [...document.querySelectorAll('.pipeline-node')].find(
                e => e.textContent.trim() === arguments[0]).getBoundingClientRect();
            return box.left"""
        wait_for(lambda: browser.execute_script(place, "raw_beats") < browser.execute_script(place, "baseline"))


def test_kedro_viz_previews_figures_tables_waveforms_facts_and_reports(browser: Any, project_with_runs: Path) -> None:
    with serving(project_with_runs, *VIZ) as address:
        for name, tag in (
            ("baseline.figures", ".js-plotly-plot .points path"),
            ("train_beats", "table"),
            ("baseline.train_tensors", "img"),
            ("baseline.metrics", ".pipeline-metadata__preview-json"),
            ("run_card", ".pipeline-metadata__preview-json"),
            ("baseline.model", ".pipeline-metadata__preview-json"),
            ("baseline.report", ".pipeline-metadata__preview-html table"),
        ):
            browser.get(f"{address}/?pid=__default__&sn={name}")
            wait_for(partial(browser.execute_script, f"return document.querySelector('.pipeline-metadata {tag}')"))


# Why kedro-viz shows nothing of a dataset, by its class or by its name.
NOT_PREVIEWED = {
    "RecordsDataset": "hours of signal, which are read record by record",
    "PhysioNetDataset": "what is written to it is a request",
    "FolderDataset": "nodes read and write it by key, and it is empty when they are done",
    "beats": "is cut from real records, as the next",
    "segment_summary": "",
    "provenance": "is found in real records, as the next two",
    "beats_with_records": "",
    "provenance_summary": "",
    "RegistryDataset": "its pages are those of MLflow",
    "score_summary": "is made when a recording is scored, as the next two",
    "monitoring": "",
    "monitoring.page": "",
    "promotion.decision": "is made when a model is promoted, as the next",
    "promotion.champion": "",
}


def test_kedro_viz_has_a_preview_of_every_dataset_of_every_pipeline(project_with_everything: Path) -> None:
    with serving(project_with_everything, *VIZ) as address:

        def answer(path: str) -> Any:
            with urllib.request.urlopen(f"{address}/api/{path}", timeout=60) as answered:
                return json.load(answered)

        pipelines = [pipeline["id"] for pipeline in answer("main")["pipelines"]]
        nodes = {node["id"]: node for name in pipelines for node in answer(f"pipelines/{name}")["nodes"]}
        data = [node for node in nodes.values() if node["type"] == "data"]
        assert len(data) > 60
        without = []
        for node in data:
            kind = node["dataset_type"].rpartition(".")[2]
            if not {kind, node["name"]} & set(NOT_PREVIEWED) and not answer(f"nodes/{node['id']}").get("preview"):
                without.append(f"{node['name']}: {kind}")
    assert without == []


def test_kedro_viz_builds_a_site(project_with_runs: Path) -> None:
    kedro = Path(sys.executable).with_name("kedro")
    subprocess.run([kedro, "viz", "build"], cwd=project_with_runs, check=True, capture_output=True, timeout=120)
    assert (project_with_runs / "build" / "index.html").is_file()


def compared_in_mlflow(address: str, runs: pd.DataFrame) -> str:
    """The address of MLflow's page that compares runs."""
    listed = ",".join(f"%22{run}%22" for run in runs["run_id"])
    return f"{address}/#/compare-runs?runs=[{listed}]&experiments=[%22{runs['experiment_id'].iloc[0]}%22]"


def test_mlflow_shows_which_parameter_differed_between_two_runs(browser: Any, project_with_runs: Path) -> None:
    runs = tracked_runs(project_with_runs)
    runs = runs[runs["tags.fitted"] == "baseline"]
    with serving(project_with_runs, *MLFLOW) as address:
        browser.get(compared_in_mlflow(address, runs))
        wait_for(lambda: "Show diff only" in text_of(browser))
        browser.execute_script("document.querySelector('[role=switch], #diff-switch').click()")
        wait_for(lambda: "train.batch_size" not in text_of(browser))
        assert "train.learning_rate" in text_of(browser)


def test_mlflow_draws_the_parallel_coordinates_of_the_trials_of_a_search(
    browser: Any, project_with_search: Path
) -> None:
    runs = tracked_runs(project_with_search)
    trials = runs[runs["tags.fitted"] == "trial"]
    assert len(trials) == 6
    with serving(project_with_search, *MLFLOW) as address:
        browser.get(compared_in_mlflow(address, trials))
        drawn = "return [...document.querySelectorAll('.parcoords .axis-title')].map(e => e.textContent)"
        axes = wait_for(lambda: browser.execute_script(drawn))
        assert any(name.startswith("model.") for name in axes)
        for words in ("trial 0", "trial 5", "train.learning_rate", "score"):
            assert words in text_of(browser)


def test_the_dashboard_draws_a_search_and_the_table_of_its_trials(browser: Any, project_with_search: Path) -> None:
    with serving(project_with_search, *DASHBOARD) as address:
        browser.get(address)
        wait_for(lambda: "Learning curve" in text_of(browser))
        # Parallel coordinates, scatter, histogram, box plot, best so far, learning curve.
        wait_for(lambda: browser.execute_script("return document.querySelectorAll('.js-plotly-plot').length") == 6)
        assert browser.execute_script("return document.querySelectorAll('.parcoords .axis-title').length") >= 4
        assert "best recall-first score, validation" in text_of(browser)
        assert "test · small" in text_of(browser)
        assert browser.execute_script("return document.querySelectorAll('[data-testid=stException]').length") == 0


def test_an_empty_dashboard_says_what_to_run(browser: Any, tmp_path: Path) -> None:
    with serving(tmp_path, *DASHBOARD) as address:
        browser.get(address)
        wait_for(lambda: "kedro run --pipeline=tune" in text_of(browser))


def test_the_page_of_a_scored_record_fits_on_a_screen_and_its_strips_are_true_to_scale(
    browser: Any, tmp_path: Path
) -> None:
    from beatwise.report.sheet import render_sheet
    from tests.report.test_sheet import sheet

    usual = "N" * 30
    page = tmp_path / "report.html"
    page.write_text(render_sheet(sheet(f"{usual}VVV{usual}VV{usual}S{usual}VNVNV{usual}")), encoding="utf-8")
    browser.get(page.as_uri())
    # A millimetre is 96 / 25.4 pixels of CSS.
    widths = browser.execute_script("return [...document.querySelectorAll('.paper')].map(s => s.clientWidth)")
    assert widths == pytest.approx([150 * 96 / 25.4] * 6, abs=1)
    size = browser.execute_script(
        "const e = document.documentElement; return [e.scrollWidth, document.body.scrollHeight]"
    )
    assert size[0] <= 1600
    assert size[1] <= 1000
