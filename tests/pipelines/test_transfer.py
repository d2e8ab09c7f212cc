"""The pipeline `transfer`, as typed: from a trained model to the curve over the shares."""

from __future__ import annotations

import json
from contextlib import chdir
from pathlib import Path

import pandas as pd
import pytest
from kedro.framework.startup import bootstrap_project

from tests.conftest import ROOT, copy_project, typed, words

SMALL = "train.epochs=1,train.batch_size=16,evaluate.bootstrap_draws=20"
ONCE = "compare.transfer.seeds=1,compare.transfer.cross_validate=false"
FOLDER = "data/06_models/test/baseline/model"


@pytest.mark.slow
@pytest.mark.usefixtures("kept_process")
def test_a_trained_model_is_transferred_and_compared_with_one_from_scratch(tmp_path: Path) -> None:
    project = copy_project(tmp_path)
    bootstrap_project(project)
    with chdir(project):
        command = ["run", "--env=test", "--pipeline=transfer", f"--params={SMALL},{ONCE}"]
        early = typed(*command)
        assert early.exit_code != 0
        assert "train.start.pretrained.folder: there is no model in data/06_models/mitbih" in words(
            f"{early.output} {early.exception}"
        )
        assert typed("run", "--env=test", "--pipeline=train", "--to-outputs=baseline.model").exit_code == 0
        command[-1] += f",train.start.pretrained.folder={FOLDER}"
        done = typed(*command)
        assert done.exit_code == 0, f"{done.output}{done.exception}"
    bootstrap_project(ROOT)
    (version,) = (project / FOLDER).iterdir()
    stored = json.loads((project / "data/07_model_output/test/comparison/scores.json").read_text("utf-8"))
    started = {
        (row["model"], row["changes"].get("train.start.pretrained.folder")) for row in stored if not row["naive"]
    }
    own = f"{FOLDER}/{version.name}/model"
    assert started == {("fine-tuned", own), ("frozen trunk", own), ("from scratch", None)}
    reports = project / "data/08_reporting/test/comparison"
    (board,) = (pd.read_parquet(path) for path in reports.glob("leaderboard.parquet/*/*.parquet"))
    ways = board[~board["naive"]]
    assert len(ways) == 3 * 4
    assert (ways["over_accuracy"].notna() == (ways["model"] != "from scratch")).all()
    (page,) = (path.read_text("utf-8") for path in reports.glob("report.html/*/report.html"))
    assert "In pairs" in page
    assert "by the share of the training part" in page
