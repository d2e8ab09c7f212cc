"""Stored files carry the number of their format, so that files of another version are refused clearly."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path
from typing import Any, Final

import beatwise
from beatwise.core.errors import BeatwiseError

# To be raised when a model, a run card or a search is stored in a form that earlier versions cannot read, or when
# theirs can no longer be read. Version 0.2 stored no number.
FORMAT: Final = 2


def of_this_format(stored: Mapping[str, Any]) -> bool:
    """Whether this version can read what was stored.

    Raises:
        TypeError: If it is no mapping.
    """
    if not isinstance(stored, Mapping):
        raise TypeError("it is no mapping of names to values")
    return stored.get("format") == FORMAT


def check_format(stored: Mapping[str, Any], path: Path, advice: str) -> None:
    """Refuse what another version has stored in another format, with advice.

    Raises:
        BeatwiseError: Names the file.
    """
    if not of_this_format(stored):
        other = "a later" if stored.get("format", 1) > FORMAT else "an earlier"
        raise BeatwiseError(
            f"{path.absolute()} was written by {other} version of Beatwise, in a format that version "
            f"{beatwise.__version__} cannot read. {advice}"
        )
