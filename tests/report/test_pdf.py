from __future__ import annotations

import importlib.abc
import logging
import sys
from typing import Any

import pypdfium2
import pytest

from beatwise.report.pdf import as_pdf

PAGE = """<!doctype html><html><head><style>@page { size: A4 }</style></head>
<body><h1>One</h1><details><summary>Folded</summary><p>what is folded</p></details>
<h2 style="break-before: page">Two</h2></body></html>"""


class NoPango(importlib.abc.MetaPathFinder):
    """A machine without the library that WeasyPrint loads when it is imported."""

    def find_spec(self, name: str, path: Any, target: Any = None) -> None:
        if name.partition(".")[0] == "weasyprint":
            raise OSError("cannot load library 'libgobject-2.0-0': no such file.  Additionally, …\nsecond line")


@pytest.fixture
def without_pango(monkeypatch: pytest.MonkeyPatch) -> None:
    for name in [name for name in sys.modules if name.partition(".")[0] == "weasyprint"]:
        monkeypatch.delitem(sys.modules, name)
    monkeypatch.setattr(sys, "meta_path", [NoPango(), *sys.meta_path])


def test_a_page_is_printed_with_what_is_folded_in_it() -> None:
    printed = as_pdf(PAGE)
    if printed is None:
        pytest.skip("this machine has no Pango")
    document = pypdfium2.PdfDocument(printed)
    assert [round(size) for size in document[0].get_size()] == [595, 842]
    first, second = (page.get_textpage().get_text_range() for page in document)
    assert "what is folded" in first
    assert "Two" in second


def test_without_pango_nothing_is_printed_and_the_log_says_what_to_install(
    without_pango: None, caplog: pytest.LogCaptureFixture
) -> None:
    with caplog.at_level(logging.WARNING):
        assert as_pdf(PAGE) is None
    (message,) = (record.getMessage() for record in caplog.records)
    for words in ("report.pdf is left out", "libgobject-2.0-0", "apt install libpango", "brew install pango"):
        assert words in message
    assert "second line" not in message
