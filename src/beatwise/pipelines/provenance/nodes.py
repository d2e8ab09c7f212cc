"""Nodes that give the rows of the Kaggle set their records back."""

from __future__ import annotations

from typing import Any

import pandas as pd

from beatwise.data.examples import IDENTITY_COLUMNS, Examples
from beatwise.data.features import RR_COLUMNS
from beatwise.ecg.beats import examples_of, table_of
from beatwise.ecg.provenance import recover_provenance, summarise_provenance


def recover(raw_beats: Examples, beats: pd.DataFrame) -> tuple[pd.DataFrame, pd.DataFrame, dict[str, Any]]:
    """Find where every row came from.

    Returns:
        The provenance (one row a row, see ``recover_provenance``), the rows with
        record, sample, lead and RR columns beside them, and a summary.
    """
    provenance = recover_provenance(raw_beats, examples_of(beats))
    known = provenance[[*IDENTITY_COLUMNS, *RR_COLUMNS]]
    return provenance, pd.concat([table_of(raw_beats), known], axis="columns"), summarise_provenance(provenance)
