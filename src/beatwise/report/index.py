"""The page that lists every report of a source, and the pages that lead to the latest of each kind."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import suppress
from pathlib import Path
from typing import Any, Final

from beatwise.core.errors import BeatwiseError
from beatwise.core.files import written_whole
from beatwise.report.html import render
from beatwise.report.tables import short
from beatwise.runs.card import RunCard, read_card

# A report of this kind answers most: it comes first where one run made several.
KINDS: Final = ("tuned", "baseline", "comparison", "search")
REPORT, CARD, INDEX = "report.html", "run_card.json", "index.html"
TO_LATEST: Final = (
    '<!doctype html><meta charset="utf-8"><meta http-equiv="refresh" content="0; url={0}"><a href="{0}">{0}</a>\n'
)


def reports(folder: Path) -> dict[str, dict[str, Path]]:
    """Every report of a source, by version (the run) and kind, the latest first."""
    found: dict[str, dict[str, Path]] = {}
    for kind in KINDS:
        for path in (folder / kind / REPORT).glob(f"*/{REPORT}"):
            found.setdefault(path.parent.name, {})[kind] = path
    return dict(sorted(found.items(), reverse=True))


def write_index(folder: Path) -> Path:
    """Write ``index.html``, and beside it ``baseline.html`` and so on, which lead to the latest report of a kind."""
    known = reports(folder)
    for kind in KINDS:
        latest = next((found[kind] for found in known.values() if kind in found), None)
        if latest is not None:
            _write(folder / f"{kind}.html", TO_LATEST.format(latest.relative_to(folder).as_posix()))
    runs = [_run(folder, version, found) for version, found in known.items()]
    data = (folder / "data.html").is_file()
    title = f"Reports of {folder.name}"
    _write(folder / INDEX, render(INDEX, title=title, source=folder.name, runs=runs, data=data))
    return folder / INDEX


def latest_report(reporting: Path, source: str | None = None) -> Path:
    """The latest report of a source, or of the one that was reported on last, below ``data/08_reporting``.

    Raises:
        BeatwiseError: If there is none.
    """
    sources = sorted(path for path in reporting.glob("*") if path.is_dir() and reports(path))
    chosen = [path for path in sources if source in (None, path.name)]
    if not chosen:
        names = ", ".join(path.name for path in sources)
        raise BeatwiseError(
            f"There is no report{f' of {source}' if source else ''} yet; `kedro run` makes one."
            + (f" There are reports of {names}." if names else "")
        )
    _, found = max(((next(iter(reports(path).items()))) for path in chosen), key=lambda one: one[0])
    return next(iter(found.values()))


def _write(path: Path, text: str) -> None:
    with written_whole(path) as whole:
        whole.write_text(text, encoding="utf-8")


def _run(folder: Path, version: str, found: dict[str, Path]) -> dict[str, Any]:
    card = None
    with suppress(BeatwiseError):
        card = read_card(folder / CARD / version / CARD)
    pdfs = {f"{kind} (PDF)": pdf for kind, path in found.items() if (pdf := path.with_suffix(".pdf")).is_file()}
    return {
        "began": version[:16].replace("T", " ").replace(".", ":") if card is None else f"{card.began:%Y-%m-%d %H:%M}",
        "command": card and card.command,
        "reports": {name: path.relative_to(folder).as_posix() for name, path in (found | pdfs).items()},
        "scores": {} if card is None else dict(_scores(card, found)),
    }


def _scores(card: RunCard, found: dict[str, Path]) -> Iterator[tuple[str, str]]:
    for name in found:
        measured = card.scores.get(name, {})
        shown = [measured.get(f"test.{metric}") for metric in ("macro_recall", "accuracy")]
        if any(value is not None for value in shown):
            yield name, ", ".join("–" if value is None else short(value) for value in shown)
