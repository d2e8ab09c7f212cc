"""Names by which a run is chosen, and what it begins with, are checked before anything runs."""

from __future__ import annotations

import logging
import shutil
from collections.abc import Iterator
from contextlib import chdir
from pathlib import Path
from typing import Any

import pytest
from kedro.framework.startup import bootstrap_project

from beatwise.core.errors import BeatwiseError
from beatwise.hooks.selection import check_selection
from tests.conftest import ROOT, copy_project, typed, words


@pytest.fixture(scope="module", autouse=True)
def in_project() -> None:
    bootstrap_project(ROOT)


@pytest.mark.parametrize(
    ("options", "message"),
    [
        ({"node_names": ["train_modell"]}, r"^Unknown node 'train_modell'\. Did you mean 'baseline\.train_model'\?"),
        (
            {"from_nodes": ["split_beats"]},
            r"^Unknown node 'split_beats'\. Did you mean 'ingest\.split_beats'\? Known: b",
        ),
        ({"to_nodes": ["baseline.train"]}, r"^Unknown node .* Did you mean 'baseline\.train_model'\?"),
        ({"tags": ["train", "evalaute"]}, r"^Unknown tag 'evalaute'\. Did you mean 'evaluate'\? Known: configure, "),
        ({"namespaces": ["basline"]}, r"^Unknown namespace 'basline'\. Did you mean 'baseline'\?"),
        ({"from_inputs": ["train_beat"]}, r"^Unknown dataset 'train_beat'\. Did you mean 'train_beats'\?"),
        ({"to_outputs": ["metrics"]}, r"^Unknown dataset 'metrics'\. Did you mean 'baseline\.metrics'\?"),
        (
            {"load_versions": {"baseline.modle": "1"}},
            r"^Unknown dataset 'baseline\.modle'\. Did you mean 'baseline\.mod",
        ),
        ({"env": "mitbhi"}, r"^Unknown environment 'mitbhi'\. Did you mean 'mitbih'\? Known: air, air_demo, base, "),
        ({"runner": "ThreadRuner"}, r"^Unknown runner 'ThreadRuner'\. Did you mean 'ThreadRunner'\?"),
        ({"runner": "ParallelRunner"}, r"^ParallelRunner cannot be used, because nodes share .* Leave out --runner"),
    ],
)
def test_an_unknown_name_is_answered_by_the_nearest(options: dict[str, Any], message: str) -> None:
    with pytest.raises(BeatwiseError, match=message):
        check_selection(options, ["train"], ROOT)


def test_known_names_are_taken() -> None:
    options = {"node_names": ["baseline.train_model"], "tags": ["train"], "namespaces": ["baseline.evaluate"]}
    check_selection({**options, "env": "test", "runner": "ThreadRunner"}, ["train"], ROOT)
    check_selection({"node_names": ["baseline.train_model", "ingest.split_beats"]}, ["fit", "ingest"], ROOT)


@pytest.fixture(scope="module")
def fresh(tmp_path_factory: pytest.TempPathFactory, kept_process: None) -> Iterator[Path]:
    """A project in which nothing has run."""
    folder = copy_project(tmp_path_factory.mktemp("project"))
    with chdir(folder):
        bootstrap_project(folder)
        yield folder


@pytest.mark.parametrize(
    ("options", "missing", "maker"),
    [
        (["--pipeline=evaluate"], "baseline.model, data_summary, test_beats, train_beats, val_beats", "train"),
        (["--pipeline=fit"], "test_beats, train_beats, val_beats", "ingest"),
        (
            ["--pipeline=train", "--from-nodes=baseline.train_model"],
            "baseline.config, baseline.test_tensors, ",
            "train",
        ),
    ],
)
def test_a_run_that_lacks_the_results_of_another_names_that(
    fresh: Path, options: list[str], missing: str, maker: str
) -> None:
    result = typed("run", "--env=test", *options)
    assert result.exit_code == 1
    assert f"The run stopped: {missing}" in words(result.output)
    assert f"not there yet. To make it: kedro run --pipeline={maker} --env=test" in words(result.output)
    assert not (fresh / "data/06_models").exists()


def test_a_subfolder_of_the_project_logs_as_the_project_does(fresh: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.delenv("KEDRO_LOGGING_CONFIG", raising=False)
    shutil.copy(ROOT / "conf/logging.yml", fresh / "conf/logging.yml")
    level = logging.getLogger("kedro").level
    logging.getLogger("kedro").setLevel(logging.DEBUG)
    try:
        with chdir(fresh / "src"):
            from beatwise.settings import log_as_in_project_folder

            log_as_in_project_folder()
        assert logging.getLogger("kedro").level == logging.WARNING
    finally:
        logging.getLogger("kedro").setLevel(level)
