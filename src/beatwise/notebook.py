"""Helpers for the notebooks."""

from __future__ import annotations

from typing import Any

from beatwise.core.errors import BeatwiseError


def require(catalog: Any, *names: str, run: str = "kedro run") -> None:
    """Check that the datasets of a notebook exist.

    Raises:
        BeatwiseError: If a dataset does not exist.
    """
    missing = [name for name in names if not catalog.exists(name)]
    if missing:
        raise BeatwiseError(
            f"Not there yet: {', '.join(missing)}. Run `{run}` in the project's folder first, with the same --env. "
            "Then run this notebook again from its top."
        )
