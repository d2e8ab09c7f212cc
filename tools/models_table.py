"""The zoo as a table: ``python -m tools.models_table`` prints it, ``--write`` puts it into the documentation."""

from __future__ import annotations

import argparse
import inspect
import sys
from pathlib import Path

import numpy as np
import torch

from beatwise.core.errors import BeatwiseError
from beatwise.data.representations import representation
from beatwise.networks.base import SelfFitting
from beatwise.networks.zoo import MODELS, build_model, list_models

# Stands above and below the table in a file; paths from the repository's root.
MARKER = "<!-- models -->"
FILES = ("README.md", "docs/reference/models.md")
HEADER = ("model", "representation", "parameters", "what it is", "source")


def models_table() -> str:
    """All models as Markdown, with their parameters at the defaults for 187 samples and five classes."""
    # Series before images, then by file and line: the order of registration depends on what was imported first.
    names = sorted(list_models(), key=_place)
    rows = [HEADER, ("---", "---", "---:", "---", "---"), *map(_row, names)]
    return "\n".join(f"| {' | '.join(row)} |" for row in rows)


def _place(name: str) -> tuple[bool, str, int]:
    model = MODELS[name]
    return model.layout == "image", model.__module__, inspect.getsourcelines(model)[1]


def _row(name: str) -> tuple[str, ...]:
    model = MODELS[name]
    shape = representation(model.representation, {}).transform(np.zeros((1, 187), dtype=np.float32)).shape[1:]
    # Counted without drawing weights.
    with torch.device("meta"):
        network = build_model(name, input_shape=shape, n_outputs=5)
    # The number of trees comes from the data.
    grows = issubclass(model, SelfFitting)
    n_parameters = "–" if grows else f"{sum(p.numel() for p in network.parameters()):,}"
    first_line = (inspect.getdoc(model) or "").split("\n")[0].rstrip(".")
    return f"`{name}`", model.representation, n_parameters, first_line, model.source


def with_table(text: str) -> str:
    """Put the table between the two markers of a text.

    Raises:
        BeatwiseError: If the text has not exactly two markers.
    """
    parts = text.split(MARKER)
    if len(parts) != 3:
        raise BeatwiseError(
            f"{MARKER} stands {len(parts) - 1} times in this text; it must stand above and below the table."
        )
    return f"{parts[0]}{MARKER}\n\n{models_table()}\n\n{MARKER}{parts[2]}"


def main(arguments: list[str] | None = None) -> None:
    """Print the table, or write it into the files below the working directory."""
    parser = argparse.ArgumentParser(description="The models of the zoo as a Markdown table.")
    parser.add_argument("--write", action="store_true", help=f"put it into {' and '.join(FILES)}")
    if not parser.parse_args(arguments).write:
        sys.stdout.write(f"{models_table()}\n")
        return
    for name in FILES:
        path = Path(name)
        path.write_text(with_table(path.read_text(encoding="utf-8")), encoding="utf-8")


if __name__ == "__main__":
    main()
