"""A folder of WFDB records kept the same, byte for byte, as a PhysioNet server publishes them."""

from __future__ import annotations

import difflib
import functools
import hashlib
import logging
import re
import time
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import pandas as pd
from kedro.io import AbstractDataset
from rich.progress import track

from beatwise.core.errors import BeatwiseError

LISTING = "SHA256SUMS.txt"
RECORDS = "RECORDS"
EXTENSIONS = (".hea", ".dat", ".atr")
PAUSES_S = (1.0, 2.0, 4.0)
CONNECT_AND_READ_TIMEOUT_S = (10.0, 60.0)
# Names that would leave the folder ("/etc/x", "../x") are not read: the list comes from a server.
_LISTED = re.compile(r"^([0-9a-f]{64})\s+\*?(?!/)(?!.*\.\.)(.+?)\s*$", re.MULTILINE | re.IGNORECASE)
_LOGGER = logging.getLogger(__name__)


class _UnreachableError(BeatwiseError):
    """The server did not answer, or broke off, on every attempt."""


@dataclass(frozen=True)
class DownloadRequest:
    """A request: the records to fetch, and their address.

    Attributes:
        address: Where the databases lie, e.g. ``"https://physionet.org/files"``.
        database: Database and version below ``address``, e.g. ``"mitdb/1.0.0"``.
        records: Record names, e.g. ``("100", "101")``; empty for all in the server's RECORDS file.
    """

    address: str
    database: str
    records: tuple[str, ...] = ()

    def url(self, name: str) -> str:
        """Gives the address of one file of the database."""
        return "/".join((self.address.rstrip("/"), self.database.strip("/"), name))


class PhysioNetDataset(AbstractDataset[DownloadRequest, pd.DataFrame]):
    """Fetches a ``DownloadRequest`` into a folder on save and reports the folder's files on load.

    A file gets its final name only once its SHA-256 is right; until then it is ``NAME.part``, which the
    next save resumes.

    Example:
        In the catalog::

            mitdb_files:
              type: beatwise.datasets.physionet.PhysioNetDataset
              filepath: data/01_raw/mitdb
    """

    def __init__(self, *, filepath: str, metadata: dict[str, Any] | None = None) -> None:
        """Takes the folder of the records; save makes it."""
        self._folder = Path(filepath)
        self.metadata = metadata

    def save(self, data: DownloadRequest) -> None:
        """Fetches what the folder does not yet hold and verifies it against the server's SHA-256 list.

        Raises:
            BeatwiseError: The server cannot be reached (unless the folder already holds all that is asked
                for) or refuses a file, a record is unknown, a file does not match its checksum after a
                second download, or the folder cannot be written. Kedro wraps it in a ``DatasetError``.
        """
        try:
            self._folder.mkdir(parents=True, exist_ok=True)
            self._fetch_all(data)
        except OSError as error:
            raise BeatwiseError(
                f"Cannot write to {self._folder} ({error.strerror or error}). Make room or give write "
                "permission there, or set another filepath in the catalog; the same command then resumes."
            ) from error

    def load(self) -> pd.DataFrame:
        """Reports the files of the folder; names that start with a dot and the SHA-256 list are left out.

        Returns:
            One row per file: ``file`` (path in the folder), ``bytes``, ``sha256`` (hex digits) and
            ``verified`` (whether that is the digest in the folder's SHA-256 list).

        Raises:
            BeatwiseError: The folder is missing or has no files. Kedro wraps it in a ``DatasetError``.
        """
        if not self._exists():
            raise BeatwiseError(f"No records in {self._folder}. Run `kedro run --pipelines=download` to fetch them.")
        listed = self._listed()
        rows = [(self._name(path), path.stat().st_size, _sha256(path)) for path in self._files()]
        return pd.DataFrame(
            [(*row, listed.get(row[0]) == row[2]) for row in rows],
            columns=["file", "bytes", "sha256", "verified"],
        )

    def _exists(self) -> bool:
        return bool(self._files())

    def _describe(self) -> dict[str, Any]:
        return {"filepath": str(self._folder)}

    def _name(self, path: Path) -> str:
        return path.relative_to(self._folder).as_posix()

    def _files(self) -> list[Path]:
        paths = sorted(path for path in self._folder.rglob("[!.]*") if path.is_file())
        return [path for path in paths if self._name(path) != LISTING]

    def _listed(self) -> dict[str, str]:
        """Gives the expected SHA-256 by file name, empty where the folder has no list."""
        path = self._folder / LISTING
        text = path.read_text(encoding="utf-8", errors="replace") if path.is_file() else ""
        return {name: digest.lower() for digest, name in _LISTED.findall(text)}

    def _fetch_all(self, request: DownloadRequest) -> None:
        try:
            self._fetch(request, LISTING, None)
        except _UnreachableError as error:
            if not self._is_complete(request):
                raise
            _LOGGER.warning("%s holds all that is asked for; nothing is fetched. %s", self._folder, error)
            return
        listed = self._listed()
        if not listed:
            raise BeatwiseError(
                f"{request.url(LISTING)} is not a list of SHA-256 digests. Check download.address and "
                "download.database, and that no network login page answers in the server's place."
            )
        self._fetch(request, RECORDS, listed.get(RECORDS))
        wanted = self._wanted(request, listed)
        for name in track(wanted, description=f"Downloading {request.database}"):
            self._fetch(request, name, listed[name])

    def _is_complete(self, request: DownloadRequest) -> bool:
        listed = self._listed()
        if not listed or not (self._folder / RECORDS).is_file():
            return False
        wanted = [self._folder / name for name in self._wanted(request, listed)]
        return all(path.is_file() and _sha256(path) == listed[self._name(path)] for path in wanted)

    def _wanted(self, request: DownloadRequest, listed: dict[str, str]) -> list[str]:
        """Gives the names of the files asked for, after a check that the server publishes them."""
        known = (self._folder / RECORDS).read_text(encoding="utf-8", errors="replace").split()
        for record in request.records:
            if record not in known:
                near = ", ".join(sorted(difflib.get_close_matches(record, known, n=5, cutoff=0.0)))
                raise BeatwiseError(
                    f"Record {record!r} of download.records is not in {request.url(RECORDS)} "
                    f"({len(known)} records). Nearest names: {near}."
                )
        names = [record + extension for record in request.records or known for extension in EXTENSIONS]
        missing = [name for name in names if name not in listed]
        if missing:
            raise BeatwiseError(
                f"{request.url(LISTING)} does not list {', '.join(missing[:5])} ({len(missing)} files in "
                f"all). Set download.records to records that have {', '.join(EXTENSIONS)}."
            )
        return names

    def _fetch(self, request: DownloadRequest, name: str, expected: str | None) -> None:
        """Brings one file to its final name, unless it lies there already with the expected SHA-256."""
        target = self._folder / name
        part = target.with_name(target.name + ".part")
        target.parent.mkdir(parents=True, exist_ok=True)
        if expected is None:
            part.unlink(missing_ok=True)
        elif target.is_file():
            if _sha256(target) == expected:
                return
            # Most likely cut off by another tool: it is resumed, and the digest shows whether it was corrupt.
            target.replace(part)
        for _ in range(2):
            self._download(request, name, part)
            actual = _sha256(part)
            if expected in (None, actual):
                part.replace(target)
                return
            part.unlink()
        raise BeatwiseError(
            f"{request.url(name)} does not match its checksum, twice: expected SHA-256 {expected}, got "
            f"{actual}. The file was discarded. Try again later or set another download.address, or place "
            f"a good copy at {target}."
        )

    def _download(self, request: DownloadRequest, name: str, part: Path) -> None:
        """Completes a partial file, with new attempts after errors that may pass."""
        from requests import RequestException
        from wfdb.io._url import NetFileError

        for pause_s in (*PAUSES_S, None):
            try:
                _append_rest(request.url(name), part)
                return
            except (NetFileError, RequestException) as error:
                reason = _reason(error)
                if not _may_pass(error):
                    raise BeatwiseError(
                        f"Cannot fetch {request.url(name)} ({reason}). Check download.address and "
                        f"download.database, or place the files by hand in {self._folder}."
                    ) from error
                if pause_s is None:
                    raise _UnreachableError(
                        f"Cannot fetch {request.url(name)} ({reason}, {len(PAUSES_S) + 1} attempts). Check "
                        "the network, set download.address to a server that answers, or place the files "
                        f"by hand in {self._folder}. What has been fetched is kept: the same command resumes."
                    ) from error
                _LOGGER.warning("%s: %s; next attempt in %g s", request.url(name), reason, pause_s)
                time.sleep(pause_s)


def _append_rest(url: str, part: Path) -> None:
    # wfdb.io.download reads a file as a whole before it writes any of it, and appends all of it to a partial
    # one where the server ignores Range. The transfer below it streams, and gives the place of each chunk.
    from wfdb.io._url import RangeTransfer

    start = part.stat().st_size if part.is_file() else 0
    with _timeouts(), RangeTransfer(url, start, None) as transfer, part.open("ab") as out:
        for chunk_start, chunk in transfer.iter_chunks():
            out.write(chunk[out.tell() - chunk_start :])


@contextmanager
def _timeouts() -> Iterator[None]:
    """Makes wfdb's session give up on a silent server: by itself it waits for ever."""
    from wfdb.io._url import _get_session

    session = _get_session()
    session.request = functools.partial(session.request, timeout=CONNECT_AND_READ_TIMEOUT_S)
    try:
        yield
    finally:
        # A second download in another thread may have removed it already.
        vars(session).pop("request", None)


def _may_pass(error: Exception) -> bool:
    # requests raises ValueErrors for addresses that are none.
    status = getattr(error, "status_code", None)
    return not isinstance(error, ValueError) and (status is None or status in (408, 429) or status >= 500)


def _reason(error: Exception) -> str:
    status = getattr(error, "status_code", None)
    return f"HTTP {status}" if status else type(error).__name__


def _sha256(path: Path) -> str:
    with path.open("rb") as file:
        return hashlib.file_digest(file, "sha256").hexdigest()
