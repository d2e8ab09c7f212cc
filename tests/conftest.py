"""Fixtures that several test modules share."""

from __future__ import annotations

import os
import shutil
from collections.abc import Callable, Iterator
from pathlib import Path

import numpy as np
import pandas as pd
import pytest

from beatwise.beats import RR_COLUMNS, beats_table

ROOT = Path(__file__).parents[1]
CLASSES = ["N", "S", "V", "F", "Q"]


@pytest.fixture(scope="session")
def real_data() -> Path:
    """The folder of the real data; tests that need it are marked ``real_data``."""
    folder = os.environ.get("BEATWISE_DATA")
    if not folder or not (Path(folder) / "mitdb").is_dir():
        pytest.skip("BEATWISE_DATA does not name a folder with heartbeat/ and mitdb/")
    return Path(folder).absolute()


@pytest.fixture
def make_beats() -> Callable[..., pd.DataFrame]:
    """A function that makes a small random beats table with beats of every class."""

    def make(
        counts: tuple[int, ...] = (60, 12, 14, 10, 12), *, length: int = 24, seed: int = 0, records: bool = False
    ) -> pd.DataFrame:
        rng = np.random.default_rng(seed)
        target = np.repeat(np.arange(len(counts)), counts)
        values = rng.uniform(0, 1, size=(len(target), length)).astype(np.float32)
        # Classes differ, so that neighbours are mostly of one class; beats end in padding, as real ones do.
        values = (values + target[:, None]) / len(counts)
        for row, padding in enumerate(rng.integers(0, length // 2, size=len(target))):
            values[row, length - padding :] = 0
        table = beats_table(values, target)
        if records:
            rr = {name: rng.uniform(0.5, 1.2, len(target)).astype(np.float32) for name in RR_COLUMNS}
            table = table.assign(
                record=[f"r{i:02d}" for i in rng.integers(0, 12, len(target))],
                sample=np.arange(len(target)) * 300,
                lead="MLII",
                **rr,
            )
        return table.sample(frac=1, random_state=seed).reset_index(drop=True)

    return make


@pytest.fixture
def project(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[Path]:
    """A copy of the project's configuration and sample in a folder of its own, and the working directory in it."""
    for name in ("conf", "data/01_raw/demo"):
        shutil.copytree(ROOT / name, tmp_path / name, ignore=shutil.ignore_patterns("records"))
    for name in ("pyproject.toml", ".telemetry"):
        shutil.copy(ROOT / name, tmp_path / name)
    (tmp_path / "src").mkdir()
    monkeypatch.chdir(tmp_path)
    monkeypatch.delenv("BEATWISE_DATA", raising=False)
    return tmp_path
