"""The list of a source's reports, and the latest one."""

from __future__ import annotations

import re
from pathlib import Path

import pytest

from beatwise.core.errors import BeatwiseError
from beatwise.report.index import latest_report, write_index
from tests.conftest import example_card


def report(folder: Path, kind: str, version: str) -> Path:
    path = folder / kind / "report.html" / version / "report.html"
    path.parent.mkdir(parents=True)
    path.write_text("a report", "utf-8")
    return path


def test_every_report_is_listed_the_latest_first_and_every_link_leads_somewhere(tmp_path: Path) -> None:
    folder = tmp_path / "demo"
    report(folder, "baseline", "2026-01-01T08.00.00.000Z")
    tuned = report(folder, "tuned", "2026-01-02T08.00.00.000Z")
    baseline = report(folder, "baseline", "2026-01-02T08.00.00.000Z")
    baseline.with_suffix(".pdf").write_bytes(b"%PDF")
    card = folder / "run_card.json" / tuned.parent.name / "run_card.json"
    card.parent.mkdir(parents=True)
    scores = {"tuned": {"test.macro_recall": 0.9314, "test.accuracy": 0.98}, "baseline": {"test.macro_recall": 0.9}}
    card.write_text(example_card(command="kedro run", scores=scores).model_dump_json(), "utf-8")
    page = write_index(folder).read_text("utf-8")
    links = re.findall(r'<a href="([^"]+)">([^<]+)</a>', page)
    assert [name for _, name in links] == ["tuned", "baseline", "baseline (PDF)", "baseline"]
    assert all((folder / target).is_file() for target, _ in links)
    assert "tuned .931, .980; baseline .900, –" in page
    for kind, latest in (("tuned", tuned), ("baseline", baseline)):
        assert f"url={latest.relative_to(folder).as_posix()}" in (folder / f"{kind}.html").read_text("utf-8")
    assert not (folder / "comparison.html").exists()


def test_the_latest_report_is_that_of_the_best_model_of_the_last_run(tmp_path: Path) -> None:
    with pytest.raises(BeatwiseError, match=r"There is no report yet; `kedro run` makes one\."):
        latest_report(tmp_path)
    for kind in ("baseline", "tuned", "search"):
        report(tmp_path / "a", kind, "3")
    report(tmp_path / "b", "baseline", "4")
    (tmp_path / "c").mkdir()
    assert latest_report(tmp_path) == tmp_path / "b/baseline/report.html/4/report.html"
    assert latest_report(tmp_path, "a") == tmp_path / "a/tuned/report.html/3/report.html"
    with pytest.raises(BeatwiseError, match=r"There is no report of c yet.*There are reports of a, b"):
        latest_report(tmp_path, "c")
