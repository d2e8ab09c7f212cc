"""The report as PDF."""

from __future__ import annotations

import logging
from typing import Final

log = logging.getLogger(__name__)

HOW_TO_INSTALL: Final = (
    "It needs Pango, a library of the system: `apt install libpango-1.0-0 libpangoft2-1.0-0` on Debian and Ubuntu, "
    "`dnf install pango` on Fedora, `brew install pango` on macOS; for Windows see "
    "https://doc.courtbouillon.org/weasyprint/stable/first_steps.html. Or print report.html from a browser."
)


def as_pdf(html: str) -> bytes | None:
    """Print a page that needs no other file; None, and a warning, if WeasyPrint finds no Pango on this machine."""
    try:
        from weasyprint import HTML
    except OSError as error:
        log.warning("report.pdf is left out (%s). %s", str(error).splitlines()[0], HOW_TO_INSTALL)
        return None
    # They log every property that only browsers know, and every glyph that is embedded.
    for name in ("weasyprint", "fontTools"):
        logging.getLogger(name).setLevel(logging.ERROR)
    printed = HTML(string=html).write_pdf()
    assert isinstance(printed, bytes)
    return printed
