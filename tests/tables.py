"""Beats tables, as sources store them, for tests that look at single columns and rows."""

from __future__ import annotations

from typing import Any

import numpy as np
import numpy.typing as npt
import pandas as pd

from beatwise.ecg.beats import signal_columns, table_of
from tests.conftest import random_beats


def make_table(*arguments: Any, **options: Any) -> pd.DataFrame:
    """What the fixture ``make_beats`` makes, as a beats table."""
    return table_of(random_beats(*arguments, **options))


def signals(table: pd.DataFrame) -> npt.NDArray[np.float32]:
    """The signals of a beats table, ``float32 [n_beats, n_samples]``."""
    return table[signal_columns(table.columns)].to_numpy(np.float32)


def labels(table: pd.DataFrame) -> npt.NDArray[np.int64]:
    """The labels of a beats table."""
    return table["target"].to_numpy(np.int64)
