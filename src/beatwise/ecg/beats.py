"""The beats table: how beats are stored by their sources, one column a sample, and how it becomes examples.

A beats table holds the signal in columns ``"0"``, ``"1"``, …, the class index in ``target`` and, where they are known,
``part``, ``record``, ``sample`` (of the R peak), ``lead`` and the RR intervals in seconds.
"""

from __future__ import annotations

from typing import Any

import numpy as np
import pandas as pd

from beatwise.data.examples import GROUP, TARGET, Array, Examples, Labels
from beatwise.data.splits import patients_of


def signal_columns(names: Any) -> list[str]:
    """The signal columns among these names, ``"0"`` … ``"T-1"``, in order of time."""
    return [str(i) for i in range(sum(str(name).isdecimal() for name in names))]


def beats_table(values: Array, target: Labels, **columns: Any) -> pd.DataFrame:
    """A beats table of ``float32 [n_beats, n_samples]``, not copied, with class indices and further columns."""
    table = pd.DataFrame(values, columns=[str(i) for i in range(values.shape[1])], copy=False)
    return table.assign(**{TARGET: target}, **columns)


def table_of(beats: Examples) -> pd.DataFrame:
    """Beats ``[n, t]`` as a beats table; the group is left out, because it follows from the record."""
    table = pd.DataFrame(beats.x, columns=[str(i) for i in range(beats.shape[0])], copy=False)
    return pd.concat([table, beats.table.drop(columns=GROUP, errors="ignore")], axis="columns")


def examples_of(beats: pd.DataFrame) -> Examples:
    """A beats table as examples; the patient becomes the group where the record is known."""
    columns = signal_columns(beats.columns)
    x = np.array(beats[columns], dtype=np.float32, order="C")
    return Examples(x, with_group(beats.drop(columns=columns).reset_index(drop=True)))


def with_group(table: pd.DataFrame) -> pd.DataFrame:
    """A table with the patient of each row as its group, where the record is known and no group is given."""
    if "record" not in table or GROUP in table:
        return table
    # A missing record is refused by the contract, which names its row.
    return table.assign(**{GROUP: patients_of(table)}) if table["record"].notna().all() else table
