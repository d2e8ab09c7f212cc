"""PhysioNetDataset against a real HTTP server on this machine, with faults on demand."""

from __future__ import annotations

import hashlib
import re
import socket
import threading
import time
from collections import defaultdict
from collections.abc import Iterator
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path

import numpy as np
import pytest
import wfdb
from kedro.io import DatasetError
from wfdb.io import _url
from wfdb.io import download as wfdb_download

from beatwise.core.errors import BeatwiseError
from beatwise.datasets import physionet
from beatwise.datasets.physionet import DownloadRequest, PhysioNetDataset
from tests.conftest import run_session

DATABASE = "mitdb/1.0.0"
FILES = [f"{record}{extension}" for record in ("100", "101") for extension in (".atr", ".dat", ".hea")]


class Server(ThreadingHTTPServer):
    """Serves a folder; ``faults`` holds, per file name, what to do with its next requests."""

    daemon_threads = True

    def __init__(self, folder: Path) -> None:
        super().__init__(("127.0.0.1", 0), Handler)
        self.folder = folder
        self.address = f"http://127.0.0.1:{self.server_port}/files"
        self.ranges = True
        self.faults: dict[str, list[str]] = defaultdict(list)
        self.log: list[tuple[str, str | None, int]] = []

    def sent(self, name: str) -> int:
        """Body bytes sent of one file so far."""
        return sum(count for logged, _, count in self.log if logged == name)

    def ranges_asked(self, name: str) -> list[str | None]:
        """Range headers of the requests for one file."""
        return [asked for logged, asked, _ in self.log if logged == name]


class Handler(BaseHTTPRequestHandler):
    server: Server
    protocol_version = "HTTP/1.1"

    def do_GET(self) -> None:
        name = self.path.removeprefix(f"/files/{DATABASE}/")
        asked = self.headers.get("Range")
        faults = self.server.faults[name]
        fault = faults.pop(0) if faults else ""
        path = self.server.folder / name
        status, body, content_range = 200, path.read_bytes() if path.is_file() else b"", None
        if fault.isdigit() or not path.is_file():
            status, body = int(fault or 404), b"no"
        elif asked and self.server.ranges:
            start, size = int(asked.removeprefix("bytes=").removesuffix("-")), len(body)
            status, body = (206, body[start:]) if start < size else (416, b"")
            content_range = f"bytes {start}-{size - 1}/{size}" if body else f"bytes */{size}"
        self.send_response(status)
        self.send_header("Content-Length", str(len(body)))
        if content_range:
            self.send_header("Content-Range", content_range)
        self.end_headers()
        if fault == "cut":
            body = body[: len(body) // 2]
            self.close_connection = True
        elif fault == "stall":
            time.sleep(1)
        self.server.log.append((name, asked, len(body)))
        self.wfile.write(body)

    def log_message(self, format: str, *args: object) -> None:
        pass


def write_listing(folder: Path) -> None:
    lines = [
        f"{hashlib.sha256(path.read_bytes()).hexdigest()} {path.name}\n"
        for path in sorted(folder.iterdir())
        if path.name != physionet.LISTING
    ]
    (folder / physionet.LISTING).write_text("".join(lines))


@pytest.fixture(scope="session")
def published(tmp_path_factory: pytest.TempPathFactory) -> dict[str, bytes]:
    """Two small records with RECORDS and SHA256SUMS.txt, by file name."""
    folder = tmp_path_factory.mktemp("published")
    rng = np.random.default_rng(0)
    for record in ("100", "101"):
        wfdb.wrsamp(
            record,
            fs=360,
            units=["mV", "mV"],
            sig_name=["MLII", "V1"],
            d_signal=rng.integers(-900, 900, (20_000, 2)),
            fmt=["212", "212"],
            adc_gain=[200, 200],
            baseline=[0, 0],
            write_dir=str(folder),
        )
        wfdb.wrann(record, "atr", np.array([100, 400]), symbol=["N", "V"], write_dir=str(folder))
    (folder / "RECORDS").write_text("100\n101\n")
    write_listing(folder)
    return {path.name: path.read_bytes() for path in folder.iterdir()}


@pytest.fixture
def server(published: dict[str, bytes], tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[Server]:
    monkeypatch.setattr(physionet, "PAUSES_S", (0.0, 0.0))
    monkeypatch.setenv("NO_PROXY", "127.0.0.1")
    folder = tmp_path / "remote"
    folder.mkdir()
    for name, content in published.items():
        (folder / name).write_bytes(content)
    with Server(folder) as running:
        thread = threading.Thread(target=running.serve_forever, args=(0.02,), daemon=True)
        thread.start()
        yield running
        running.shutdown()
        thread.join(5)


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    return tmp_path / "raw" / "mitdb"


@pytest.fixture
def dataset(folder: Path) -> PhysioNetDataset:
    return PhysioNetDataset(filepath=str(folder))


def request_to(server: Server, *records: str) -> DownloadRequest:
    return DownloadRequest(server.address, DATABASE, records)


def assert_same_as_published(folder: Path, published: dict[str, bytes]) -> None:
    assert {path.name: path.read_bytes() for path in folder.iterdir()} == published


def test_all_records_are_downloaded_and_verified(
    server: Server, dataset: PhysioNetDataset, folder: Path, published: dict[str, bytes]
) -> None:
    dataset.save(request_to(server))
    assert_same_as_published(folder, published)
    table = dataset.load()
    assert list(table["file"]) == [*FILES, "RECORDS"]
    assert table["verified"].all()
    assert table["bytes"].tolist() == [len(published[name]) for name in table["file"]]
    assert table["sha256"][0] == hashlib.sha256(published["100.atr"]).hexdigest()


def test_only_the_records_asked_for_are_downloaded(server: Server, dataset: PhysioNetDataset, folder: Path) -> None:
    dataset.save(request_to(server, "101"))
    assert {path.stem for path in folder.iterdir()} == {"101", "RECORDS", "SHA256SUMS"}


def test_a_downloaded_record_is_readable_by_wfdb(server: Server, dataset: PhysioNetDataset, folder: Path) -> None:
    dataset.save(request_to(server, "100"))
    assert wfdb.rdrecord(str(folder / "100")).sig_len == 20_000
    assert wfdb.rdann(str(folder / "100"), "atr").symbol == ["N", "V"]


def test_a_second_run_transfers_no_record_again(server: Server, dataset: PhysioNetDataset) -> None:
    dataset.save(request_to(server))
    server.log.clear()
    dataset.save(request_to(server))
    assert [name for name, _, _ in server.log] == ["SHA256SUMS.txt"]


@pytest.mark.parametrize("partial_name", ["100.dat.part", "100.dat"])
def test_a_partial_file_is_resumed(
    server: Server, dataset: PhysioNetDataset, folder: Path, published: dict[str, bytes], partial_name: str
) -> None:
    content = published["100.dat"]
    folder.mkdir(parents=True)
    (folder / partial_name).write_bytes(content[:25_000])
    dataset.save(request_to(server))
    assert server.ranges_asked("100.dat") == ["bytes=25000-"]
    assert server.sent("100.dat") == len(content) - 25_000
    assert_same_as_published(folder, published)


def test_a_connection_cut_mid_file_is_resumed(
    server: Server, dataset: PhysioNetDataset, folder: Path, published: dict[str, bytes]
) -> None:
    server.faults["100.dat"] = ["cut", "cut"]
    dataset.save(request_to(server))
    first, *later = server.ranges_asked("100.dat")
    assert first is None
    second, third = (int(re.sub(r"\D", "", asked or "")) for asked in later)
    assert 20_000 < second < third
    assert_same_as_published(folder, published)


def test_an_interrupted_run_keeps_what_it_has_and_the_next_run_resumes(
    server: Server, dataset: PhysioNetDataset, folder: Path, published: dict[str, bytes]
) -> None:
    server.faults["100.dat"] = ["cut", "503", "503"]
    with pytest.raises(DatasetError, match="What has been fetched is kept: the same command resumes"):
        dataset.save(request_to(server))
    assert not (folder / "100.dat").exists()
    kept = (folder / "100.dat.part").stat().st_size
    assert kept > 20_000
    table = dataset.load().set_index("file")
    assert not table.loc["100.dat.part", "verified"]
    dataset.save(request_to(server))
    assert server.ranges_asked("100.dat")[-1] == f"bytes={kept}-"
    assert_same_as_published(folder, published)


def test_a_server_that_ignores_range_requests_still_ends_right(
    server: Server, dataset: PhysioNetDataset, folder: Path, published: dict[str, bytes]
) -> None:
    server.ranges = False
    folder.mkdir(parents=True)
    (folder / "100.dat.part").write_bytes(published["100.dat"][:25_001])
    dataset.save(request_to(server))
    assert len(server.ranges_asked("100.dat")) == 1
    assert_same_as_published(folder, published)


@pytest.mark.parametrize("extra", [b"", b"more than the server has"])
def test_a_corrupt_local_file_is_fetched_again(
    server: Server, dataset: PhysioNetDataset, folder: Path, published: dict[str, bytes], extra: bytes
) -> None:
    folder.mkdir(parents=True)
    (folder / "100.dat").write_bytes(b"\0" * len(published["100.dat"]) + extra)
    dataset.save(request_to(server))
    assert_same_as_published(folder, published)


def test_a_file_that_does_not_match_its_checksum_fails_and_is_discarded(
    server: Server, dataset: PhysioNetDataset, folder: Path, published: dict[str, bytes]
) -> None:
    bad = published["100.dat"][:-1] + b"!"
    (server.folder / "100.dat").write_bytes(bad)
    with pytest.raises(DatasetError) as caught:
        dataset.save(request_to(server))
    assert isinstance(caught.value.__cause__, BeatwiseError)
    for content in (published["100.dat"], bad):
        assert hashlib.sha256(content).hexdigest() in str(caught.value)
    assert "100.dat does not match its checksum" in str(caught.value)
    assert server.ranges_asked("100.dat") == [None, None]
    assert not list(folder.glob("100.dat*"))


def test_a_busy_or_silent_server_is_asked_again(
    server: Server, dataset: PhysioNetDataset, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(physionet, "CONNECT_AND_READ_TIMEOUT_S", (0.3, 0.3))
    server.faults.update({"SHA256SUMS.txt": ["503"], "100.hea": ["stall"]})
    dataset.save(request_to(server))
    assert dataset.load()["verified"].all()


def test_an_unknown_record_is_refused_with_the_nearest_names(server: Server, dataset: PhysioNetDataset) -> None:
    with pytest.raises(DatasetError, match=r"Record '10' .* is not in .*/RECORDS .*: 100, 101\."):
        dataset.save(request_to(server, "100", "10"))
    assert server.sent("100.dat") == 0


def test_a_record_without_all_three_files_is_refused(server: Server, dataset: PhysioNetDataset) -> None:
    (server.folder / "101.atr").unlink()
    write_listing(server.folder)
    with pytest.raises(DatasetError, match=r"does not list 101\.atr"):
        dataset.save(request_to(server))


def test_a_listed_name_outside_the_folder_is_not_read(server: Server, dataset: PhysioNetDataset) -> None:
    (server.folder / "RECORDS").write_text("../100\n")
    lines = "".join(f"{'0' * 64} ../100{extension}\n" for extension in physionet.EXTENSIONS)
    (server.folder / physionet.LISTING).write_text(lines + f"{'0' * 64} LICENSE\n")
    with pytest.raises(DatasetError, match=r"does not list \.\./100\.hea"):
        dataset.save(request_to(server))


@pytest.mark.parametrize(
    ("address", "database", "reason"),
    [(None, "mitbd/1.0.0", "HTTP 404"), ("physionet.org/files", DATABASE, "MissingSchema")],
)
def test_a_wrong_address_or_database_fails_at_once(
    server: Server, dataset: PhysioNetDataset, address: str | None, database: str, reason: str
) -> None:
    request = DownloadRequest(address or server.address, database)
    with pytest.raises(DatasetError, match=rf"{reason}\)\. Check download\.address and download\.database"):
        dataset.save(request)
    assert len(server.log) == (address is None)


def test_a_page_in_place_of_the_checksums_is_refused(server: Server, dataset: PhysioNetDataset) -> None:
    (server.folder / physionet.LISTING).write_text("<html>Log in to the network</html>")
    with pytest.raises(DatasetError, match="not a list of SHA-256 digests"):
        dataset.save(request_to(server))


@pytest.fixture
def dead_address(monkeypatch: pytest.MonkeyPatch) -> str:
    monkeypatch.setattr(physionet, "PAUSES_S", (0.0,))
    monkeypatch.setenv("NO_PROXY", "127.0.0.1")
    with socket.socket() as unused:
        unused.bind(("127.0.0.1", 0))
        return f"http://127.0.0.1:{unused.getsockname()[1]}/files"


def test_an_unreachable_server_gives_one_clear_error(
    dead_address: str, dataset: PhysioNetDataset, folder: Path
) -> None:
    with pytest.raises(DatasetError) as caught:
        dataset.save(DownloadRequest(dead_address, DATABASE))
    message = str(caught.value)
    for part in (dead_address, "Check the network", "download.address", f"by hand in {folder}", "resumes"):
        assert part in message
    assert not list(folder.iterdir())


def test_a_complete_folder_needs_no_server(
    server: Server, dead_address: str, dataset: PhysioNetDataset, folder: Path
) -> None:
    dataset.save(request_to(server))
    dataset.save(DownloadRequest(dead_address, DATABASE))
    (folder / "101.dat").write_bytes(b"")
    with pytest.raises(DatasetError, match="Check the network"):
        dataset.save(DownloadRequest(dead_address, DATABASE))


def test_the_state_of_wfdb_is_left_as_it_was(server: Server, dataset: PhysioNetDataset) -> None:
    server.faults["100.dat"] = ["cut"]
    dataset.save(request_to(server))
    assert wfdb_download.config.db_index_url == wfdb_download.PN_INDEX_URL
    assert "request" not in vars(_url._get_session())


def test_a_folder_that_cannot_be_made_is_named(server: Server, tmp_path: Path) -> None:
    (tmp_path / "file").write_text("")
    blocked = tmp_path / "file" / "mitdb"
    with pytest.raises(DatasetError, match=f"Cannot write to {blocked}"):
        PhysioNetDataset(filepath=str(blocked)).save(request_to(server))


def test_a_full_disk_is_reported_with_the_folder(
    server: Server, dataset: PhysioNetDataset, folder: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    def fail(self: Path, target: Path) -> Path:
        raise OSError(28, "No space left on device")

    monkeypatch.setattr(Path, "replace", fail)
    with pytest.raises(DatasetError, match=rf"Cannot write to {folder} \(No space left on device\)"):
        dataset.save(request_to(server))


def test_loading_a_missing_folder_says_how_to_fetch_it(dataset: PhysioNetDataset, folder: Path) -> None:
    assert not dataset.exists()
    with pytest.raises(DatasetError, match="kedro run --pipelines=download"):
        dataset.load()
    folder.mkdir(parents=True)
    (folder / ".gitkeep").touch()
    assert not dataset.exists()


def test_files_placed_by_hand_are_unverified_without_a_checksum_list(dataset: PhysioNetDataset, folder: Path) -> None:
    folder.mkdir(parents=True)
    (folder / "100.dat").write_bytes(b"abc")
    table = dataset.load()
    assert dataset.exists()
    assert table[["file", "bytes", "verified"]].to_numpy().tolist() == [["100.dat", 3, False]]


def test_the_pipeline_fetches_from_the_address_of_the_parameters_into_the_data_folder(
    server: Server, published: dict[str, bytes], project: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("BEATWISE_DATA", str(project / "real"))
    parameters = {"download": {"address": server.address, "database": DATABASE}}
    run_session(project, "download", env="mitdb", parameters=parameters)
    assert_same_as_published(project / "real" / "mitdb", published)
