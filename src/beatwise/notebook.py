"""What the notebooks share; and ``python -m beatwise.notebook``, which takes their outputs out before a commit."""

from __future__ import annotations

import json
import sys
from collections.abc import Sequence
from pathlib import Path
from typing import Any

from beatwise.core.errors import BeatwiseError
from beatwise.core.files import written_whole


def require(catalog: Any, *names: str, run: str = "kedro run") -> None:
    """Check that the runs that a notebook reads from have been made.

    Args:
        catalog: Kedro's catalog, as ``%load_ext kedro.ipython`` gives it.
        *names: Datasets that the notebook loads.
        run: The command that makes them.

    Raises:
        BeatwiseError: If one is not there.
    """
    missing = [name for name in names if not catalog.exists(name)]
    if missing:
        raise BeatwiseError(
            f"Not there yet: {', '.join(missing)}. Run `{run}` in the project's folder first, with the same --env, and "
            "then this notebook again from its top."
        )


def cleared(notebook: dict[str, Any]) -> dict[str, Any]:
    """A notebook without outputs, counts and times of its cells.

    Args:
        notebook: As JSON, in Jupyter's format 4.
    """
    empty: dict[str, Any] = {"execution_count": None, "outputs": []}
    cells = [{**cell, "metadata": {}, **(empty if cell["cell_type"] == "code" else {})} for cell in notebook["cells"]]
    kept = {name: notebook["metadata"][name] for name in ("kernelspec",) if name in notebook["metadata"]}
    return {**notebook, "cells": cells, "metadata": {**kept, "language_info": {"name": "python"}}}


def main(paths: Sequence[str]) -> int:
    """Take the outputs out of notebooks; all those in ``notebooks/`` where none is named.

    Args:
        paths: Notebooks.

    Returns:
        1 where one was changed, as pre-commit wants it; else 0.
    """
    changed = False
    for path in map(Path, paths) if paths else sorted(Path("notebooks").glob("*.ipynb")):
        before = path.read_text(encoding="utf-8")
        after = json.dumps(cleared(json.loads(before)), indent=1, ensure_ascii=False) + "\n"
        if after != before:
            changed = True
            with written_whole(path) as scratch:
                scratch.write_text(after, encoding="utf-8")
            print(f"Took the outputs out of {path}")  # noqa: T201
    return int(changed)


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
