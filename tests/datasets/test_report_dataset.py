from __future__ import annotations

from pathlib import Path

import pytest
from kedro.io import Version

from beatwise.datasets.report import ReportDataset


def dataset(folder: Path, version: str | None = None) -> ReportDataset:
    chosen = None if version is None else Version(None, version)
    return ReportDataset(filepath=str(folder / "report.html"), version=chosen)


@pytest.fixture
def prints(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("beatwise.report.pdf.as_pdf", lambda html: f"printed: {html}".encode())


@pytest.fixture
def cannot_print(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("beatwise.report.pdf.as_pdf", lambda html: None)


def test_a_version_is_one_folder_with_both_files(tmp_path: Path, prints: None) -> None:
    for number in ("1", "2"):
        dataset(tmp_path, number).save(f"report {number}")
    for number in ("1", "2"):
        folder = tmp_path / "report.html" / number
        assert sorted(file.name for file in folder.iterdir()) == ["report.html", "report.pdf"]
        assert (folder / "report.pdf").read_text() == f"printed: report {number}"
        assert dataset(tmp_path).files_beside(folder / "report.html") == [folder / "report.pdf"]
    assert dataset(tmp_path, "3").load() == "report 2"


def test_where_nothing_can_be_printed_the_html_is_the_version(tmp_path: Path, cannot_print: None) -> None:
    report = dataset(tmp_path, "1")
    report.save("report")
    folder = tmp_path / "report.html" / "1"
    assert [file.name for file in folder.iterdir()] == ["report.html"]
    assert report.load() == "report"
    assert report.exists()
    assert report.files_beside(folder / "report.html") == []


def test_what_was_printed_of_another_report_does_not_stay_beside_it(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, prints: None
) -> None:
    dataset(tmp_path).save("first")
    monkeypatch.setattr("beatwise.report.pdf.as_pdf", lambda html: None)
    dataset(tmp_path).save("second")
    assert [file.name for file in tmp_path.iterdir()] == ["report.html"]
