"""Nodes that say what to fetch; the dataset they write to does the fetching."""

from __future__ import annotations

from beatwise.datasets.physionet import DownloadRequest
from beatwise.ecg.settings import Download


def request(download: Download) -> DownloadRequest:
    """The address, the database and the records to fetch."""
    return DownloadRequest(download.address, download.database, tuple(download.records))
