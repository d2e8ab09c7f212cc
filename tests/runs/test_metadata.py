"""What is known of a run: its code, its command, its packages, its machine."""

from __future__ import annotations

import re
import sys
from importlib import metadata
from pathlib import Path
from typing import Any

import click
import pytest

from beatwise.runs.journal import Journal
from beatwise.runs.metadata import git_state, hardware, package_versions, run_metadata, without_paths
from tests.conftest import git


def test_the_commit_is_known_and_whether_anything_but_the_journal_differs_from_it(repository: Path) -> None:
    sha = git(repository, "rev-parse", "HEAD").strip()
    Journal(repository).propose("a")
    assert git_state(repository) == (sha, False)
    (repository / "new.py").write_text("")
    assert git_state(repository) == (sha, True)


def test_without_git_or_a_commit_nothing_is_known_of_it(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    assert git_state(tmp_path) == (None, None)
    git(tmp_path, "init", "--quiet")
    assert git_state(tmp_path) == (None, None)
    monkeypatch.setenv("PATH", "")
    assert git_state(tmp_path) == (None, None)


def test_a_text_says_nothing_of_the_machine(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("HOME", "/home/ada")
    for text, expected in {
        "No file /projects/mine/data/a.parquet.": "No file ./data/a.parquet.",
        "In /projects/mine: nothing": "In .: nothing",
        "/home/ada/b/c.dat is damaged": "~/b/c.dat is damaged",
        "'/mnt/disk 1/x/y.csv' is gone": "'…/disk 1/x/y.csv' is gone",
        "Row 3 (/mnt/x/y.csv) of data/z.csv, 1 / 2, or N/A": "Row 3 (…/y.csv) of data/z.csv, 1 / 2, or N/A",
        "https://physionet.org/files/mitdb/1.0.0": "https://physionet.org/files/mitdb/1.0.0",
        "file:///mnt/x/y.csv": "file://…/y.csv",
    }.items():
        assert without_paths(text, Path("/projects/mine")) == expected


def test_the_versions_are_those_of_the_packages_that_are_required_here() -> None:
    versions = package_versions()
    assert (versions["torch"], versions["ray"]) == (metadata.version("torch"), metadata.version("ray"))
    assert re.fullmatch(r"3\.\d+\.\d+.*", versions["python"])
    # What only an extra requires, and what only others require.
    assert not {"pytest", "streamlit", "click"} & versions.keys()
    assert len(versions) > 20


def test_a_project_that_is_not_installed_knows_its_own_version(monkeypatch: pytest.MonkeyPatch) -> None:
    def nobody(name: str) -> Any:
        raise metadata.PackageNotFoundError(name)

    monkeypatch.setattr(metadata, "requires", nobody)
    assert set(package_versions()) == {"beatwise", "python"}


def test_the_machine_is_described() -> None:
    machine = hardware()
    assert machine.cores >= 1
    assert machine.threads >= 1
    assert machine.memory is None or 0.1 < machine.memory < 1e5
    assert machine.system.split()[0] in ("Linux", "Darwin", "Windows")


RUN_PARAMS: dict[str, Any] = {
    "project_path": "/projects/mine",
    "env": None,
    "pipeline_names": None,
    "runtime_params": {},
}


def test_the_command_is_known_as_it_was_typed_but_for_the_folders_of_the_machine(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setattr(sys, "argv", ["/home/ada/.venv/bin/kedro", "run", "--conf-source=/mnt/ada/conf", "-e", "a b"])
    assert run_metadata(RUN_PARAMS, "demo")["command"] is None
    with click.Context(click.Command("run")):
        assert run_metadata(RUN_PARAMS, "demo")["command"] == "kedro run --conf-source=…/conf -e 'a b'"


def test_without_names_the_environment_is_base_and_the_pipeline_the_default() -> None:
    metadata = run_metadata({**RUN_PARAMS, "runtime_params": {"hypothesis": "a", "seed": 1}}, "demo")
    assert (metadata["environment"], metadata["pipeline"], metadata["params"]) == ("base", "__default__", {"seed": 1})
    named = run_metadata({**RUN_PARAMS, "env": "ptb", "pipeline_names": ["fit", "evaluate"]}, "ptb")
    assert (named["environment"], named["pipeline"]) == ("ptb", "fit+evaluate")
