"""The notebooks: without outputs in git, and executed as they are on the bundled sample."""

from __future__ import annotations

import base64
import io
import re
import shutil
import subprocess
import sys
from contextlib import chdir
from pathlib import Path
from typing import Any

import nbformat
import numpy as np
import pytest
from nbclient import NotebookClient
from nbclient.exceptions import CellExecutionError

from tests.conftest import ROOT, copy_project, run_session

FOLDER = ROOT / "notebooks"
NAMES = sorted(path.name for path in FOLDER.glob("*.ipynb"))
# Figures that each draws as pictures, and interactive ones.
FIGURES = {
    "01_explore_the_data.ipynb": (4, 0),
    "02_one_model_by_hand.ipynb": (4, 0),
    "03_read_a_search.ipynb": (4, 1),
    "04_read_the_mistakes.ipynb": (5, 0),
    "05_score_a_record.ipynb": (1, 0),
}
SECONDS = 300


def read(path: Path) -> Any:
    return nbformat.read(path, as_version=4)  # type: ignore[no-untyped-call]


def code(name: str) -> list[str]:
    return [cell.source for cell in read(FOLDER / name).cells if cell.cell_type == "code"]


def test_every_notebook_is_known_here_and_in_the_readme() -> None:
    assert sorted(FIGURES) == NAMES
    readme = (FOLDER / "README.md").read_text(encoding="utf-8")
    for name in NAMES:
        assert f"]({name})" in readme


def test_notebooks_are_stored_without_outputs() -> None:
    for name in NAMES:
        nbformat.validate(read(FOLDER / name))
    command = [sys.executable, "-m", "nbstripout", "--keep-id", "--verify", *(str(FOLDER / name) for name in NAMES)]
    done = subprocess.run(command, capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stdout


def test_notebooks_name_the_command_to_run_first_and_check_all_that_they_load() -> None:
    for name in NAMES:
        first = read(FOLDER / name).cells[0].source
        (stated,) = re.findall(r"\*\*Run first:\*\* `(kedro run[^`]*)`", first)
        source = "\n".join(code(name))
        assert "%load_ext kedro.ipython" in source.split("\n\n")[0]
        checked = source[source.index("require(") :].split("\n\n")[0]
        for command in re.findall(r'run="([^"]*)"', checked) or ["kedro run"]:
            assert command == stated, name
        for loaded in re.findall(r'catalog\.load\("([^"]*)"\)', source):
            assert loaded.startswith("params:") or f'"{loaded}"' in checked, f"{name}: {loaded} is not checked"


def execute(project: Path, notebook: Any) -> None:
    """Run a notebook as it stands, in a process of its own, in the project's folder of notebooks."""
    resources = {"metadata": {"path": str(project / "notebooks")}}
    NotebookClient(notebook, timeout=SECONDS, kernel_name="python3", resources=resources).execute()


def copy_of_project(folder: Path) -> Path:
    copy_project(folder)
    for name in ("notebooks", "tools"):
        shutil.copytree(ROOT / name, folder / name)
    return folder


@pytest.fixture(scope="module")
def project(tmp_path_factory: pytest.TempPathFactory, short_reports: None) -> Path:
    """A project in which `kedro run` has run, with a small search."""
    folder = copy_of_project(tmp_path_factory.mktemp("project"))
    space = {"model": {"cnn1d": {"pool": {"choice": [2, 3]}}}, "train": {"learning_rate": {"loguniform": [1e-3, 1e-2]}}}
    small = {"space": space, "algorithm": {"use": "random"}, "scheduler": {"use": "none"}, "trials": 12, "epochs": 2}
    with chdir(folder):
        run_session(folder, "tune", parameters={"train": {"epochs": 4}, "tune": {"use": "small", "small": small}})
    return folder


@pytest.fixture(autouse=True)
def environment(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("KEDRO_ENV", "test")
    monkeypatch.setenv("OMP_NUM_THREADS", "1")
    monkeypatch.delenv("BEATWISE_DATA", raising=False)
    # A figure that is drawn without a screen is what is asked for here.
    monkeypatch.delenv("MPLBACKEND", raising=False)


@pytest.mark.slow
@pytest.mark.parametrize("name", NAMES)
def test_a_notebook_runs_through_and_draws_its_figures(name: str, project: Path) -> None:
    from matplotlib.image import imread

    notebook = read(project / "notebooks" / name)
    execute(project, notebook)
    outputs = [output for cell in notebook.cells if cell.cell_type == "code" for output in cell.outputs]
    assert not [output for output in outputs if output.output_type == "error"]
    assert not [output.text for output in outputs if output.get("name") == "stderr"]
    data = [output.data for output in outputs if "data" in output]
    pictures = [imread(io.BytesIO(base64.b64decode(each["image/png"]))) for each in data if "image/png" in each]
    interactive = [each for each in data if "application/vnd.plotly.v1+json" in each]
    assert len(pictures) >= FIGURES[name][0]
    assert len(interactive) == FIGURES[name][1]
    for picture in pictures:
        assert min(picture.shape[:2]) > 70
        assert len(np.unique(picture.reshape(-1, picture.shape[-1]), axis=0)) > 20, "a blank figure"


@pytest.mark.slow
def test_without_a_run_a_notebook_says_which_command_is_missing(tmp_path: Path) -> None:
    folder = copy_of_project(tmp_path)
    notebook = read(folder / "notebooks" / "03_read_a_search.ipynb")
    with pytest.raises(CellExecutionError):
        execute(folder, notebook)
    outputs = [output for cell in notebook.cells if cell.cell_type == "code" for output in cell.outputs]
    # In colours, and broken into lines.
    coloured = "".join(output.data["text/plain"] for output in outputs if "data" in output)
    shown = " ".join(re.sub(r"\x1b\[[0-9;]*m", "", coloured).split())
    assert "Not there yet: search.plan, search.trials" in shown
    assert "Run `kedro run` in the project's folder first" in shown
