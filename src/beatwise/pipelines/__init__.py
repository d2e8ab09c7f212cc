"""Kedro pipelines: thin nodes over the library, one package a registered pipeline."""

from __future__ import annotations

import pkgutil
from collections.abc import Iterable

from beatwise.core.errors import BeatwiseError


def check_pipelines(asked_for: Iterable[str | None]) -> None:
    """Refuse names of pipelines that are not there.

    Raises:
        BeatwiseError: If there is one.
    """
    from beatwise.core.registry import unknown_name

    known = ["__default__", *(module.name for module in pkgutil.iter_modules(__path__) if module.ispkg)]
    for name in asked_for:
        if name and name not in known:
            raise BeatwiseError(unknown_name("pipeline", name, known))
