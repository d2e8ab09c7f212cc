"""A report as HTML, and printed as PDF beside it."""

from __future__ import annotations

from pathlib import Path

from beatwise.core.files import written_whole
from beatwise.datasets.whole import WholeHTMLDataset


class ReportDataset(WholeHTMLDataset):
    """A report: ``report.html``, which is what it loads, and ``report.pdf`` in the same folder.

    Both are one version. Where the machine cannot print (``as_pdf``), there is the HTML alone.
    """

    def save(self, data: str) -> None:
        """Write the HTML, then print it."""
        from beatwise.report.pdf import as_pdf

        # Where a version is saved may be asked only before it is there.
        html = Path(str(self._get_save_path()))
        super().save(data)
        pdf = html.with_suffix(".pdf")
        # That of another report is worse than none.
        pdf.unlink(missing_ok=True)
        if (printed := as_pdf(data)) is not None:
            with written_whole(pdf) as path:
                path.write_bytes(printed)

    def files_beside(self, path: Path) -> list[Path]:
        """Files of a saved version beside its own file, for trackers."""
        pdf = path.with_suffix(".pdf")
        return [pdf] if pdf.is_file() else []
