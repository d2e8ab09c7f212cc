"""Provenance: which record and which R peak a beat of the Kaggle set was cut from."""

from __future__ import annotations

import numpy as np
import pandas as pd

from beatwise.core.errors import BeatwiseError
from beatwise.data.examples import IDENTITY_COLUMNS, PART, Examples
from beatwise.data.features import RR_COLUMNS


def recover_provenance(raw_beats: Examples, beats: Examples) -> pd.DataFrame:
    """Find the record, R-peak sample and RR intervals of every row by its content.

    A row and a segmented beat belong together when their signal and label are equal to the last bit. Where several
    segmented beats (or several rows) are equal, nothing distinguishes them: rows take them in order of record and
    sample, and are marked as ambiguous.

    Args:
        raw_beats: The rows whose origin is sought, with ``part``.
        beats: Beats segmented from the records by the rule ``kaggle``.

    Returns:
        One row per row of ``raw_beats`` and in its order: ``part``, ``row`` (in its part, from 0), ``record``,
        ``sample``, ``lead``, the RR columns (s), and ``ambiguous``.

    Raises:
        BeatwiseError: If a row is equal to no segmented beat.
    """
    origin = [*IDENTITY_COLUMNS, *RR_COLUMNS]
    candidates = beats.table[origin].assign(key=beats.keys()).sort_values(["record", "sample"], kind="stable")
    rows = raw_beats.table[[PART]].assign(
        key=raw_beats.keys(), row=raw_beats.table.groupby(PART, sort=False).cumcount()
    )
    for table in (candidates, rows):
        table["nth"] = table.groupby("key", sort=False).cumcount()
    n_equal = candidates.groupby("key").size()

    found = rows.merge(candidates, on=["key", "nth"], how="left", validate="one_to_one")
    missing = found[found["record"].isna()]
    if len(missing):
        examples = ", ".join(f"{row.part} row {row.row}" for row in missing.head(5).itertuples())
        raise BeatwiseError(
            f"{len(missing)} of {len(found)} rows are equal to no beat of the records ({examples}). Provenance needs "
            "all records the rows came from (48 for MIT-BIH), the lead that was cut (segment.lead: 0) and rows in "
            "full float32 precision."
        )
    ambiguous = (n_equal.loc[found["key"]].to_numpy() > 1) | rows["key"].duplicated(keep=False).to_numpy()
    return found.assign(ambiguous=ambiguous, sample=found["sample"].astype(np.int64))[
        [PART, "row", *origin, "ambiguous"]
    ]


def summarise_provenance(provenance: pd.DataFrame) -> dict[str, object]:
    """Count the rows of :func:`recover_provenance`, the ambiguous ones, and the records in both parts."""
    records = provenance.groupby(PART)["record"].unique()
    shared = set.intersection(*map(set, records)) if len(records) > 1 else set()
    return {
        "rows": len(provenance),
        "rows_by_part": provenance[PART].value_counts().to_dict(),
        "ambiguous_rows": provenance.loc[provenance["ambiguous"], [PART, "row", "record", "sample"]].to_dict("records"),
        "records": int(provenance["record"].nunique()),
        "records_in_every_part": sorted(shared),
    }
