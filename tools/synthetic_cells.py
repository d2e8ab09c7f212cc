"""Make the bundled pictures of cells again: ``python -m tools.synthetic_cells [file]``, from the repository's root.

Cells are drawn in the phases of the cell cycle as an imaging flow cytometer shows them: brightfield (an outline), DNA
(one nucleus; mottled in prophase, a plate in metaphase, two plates in anaphase, two nuclei and a cleft in telophase)
and darkfield (grains that scatter light). Few of them divide. The same code makes the same pictures.
"""

from __future__ import annotations

import argparse
import io
from collections.abc import Iterator
from pathlib import Path
from typing import Final

import numpy as np
import numpy.typing as npt
import pandas as pd
from PIL import Image

from beatwise.core.files import written_whole

Floats = npt.NDArray[np.float64]

NOTICE: Final = (
    "SYNTHETIC cells, drawn by Beatwise (python -m tools.synthetic_cells). They come from no microscope and are of no "
    "use in biology."
)
COUNTS: Final = {"G1": 130, "S": 40, "G2": 40, "Prophase": 40, "Metaphase": 24, "Anaphase": 15, "Telophase": 18}
CHANNELS: Final = ("ch3", "ch4", "ch6")  # brightfield, DNA, darkfield: the names of the real table
SIZE: Final = 40
SEED: Final = 42
# Differences between neighbouring intensities, which a PNG packs well.
STEP: Final = 48


def draw_cell(phase: str, rng: np.random.Generator) -> tuple[Floats, Floats, Floats]:
    """Brightfield, DNA and darkfield of one cell, each ``[40, 40]``, in the units of a 12-bit camera."""
    centre = (SIZE - 1) / 2 + rng.uniform(-2, 2, 2)
    rows, columns = np.mgrid[:SIZE, :SIZE] - centre[:, None, None]
    angle = rng.uniform(0, np.pi)
    # Along and across the axis of the division.
    along, across = rows * np.cos(angle) + columns * np.sin(angle), columns * np.cos(angle) - rows * np.sin(angle)
    radius = rng.normal({"G1": 9.0, "S": 9.8}.get(phase, 10.6), 0.7)
    apart = {"Anaphase": rng.uniform(3.0, 5.0), "Telophase": rng.uniform(5.5, 7.5)}.get(phase, 0.0)
    lobe = radius * (0.78 if phase == "Telophase" else 1.0)
    poles = (-apart, apart) if phase == "Telophase" else (0.0,)
    edge = np.min([np.hypot(along - pole, across) for pole in poles], axis=0) - lobe

    content = {"G1": 1.0, "S": rng.uniform(1.1, 1.9)}.get(phase, 2.0) * rng.normal(1, 0.08)
    if phase in ("Metaphase", "Anaphase"):
        # Plates stand across the axis.
        plates = [np.exp(-(((along - at) / 1.5) ** 2) - (across / 4.6) ** 4) for at in {-apart, apart}]
        dna = 1300 * content / len(plates) * np.sum(plates, axis=0)
    elif phase == "Telophase":
        dna = 620 * content / 2 * sum(np.exp(-((np.hypot(along - at, across) / 3.6) ** 4)) for at in (-apart, apart))
    else:
        nucleus = radius * rng.normal(0.62, 0.04)
        dna = 330 * content**0.5 * np.exp(-((np.hypot(along, across) / nucleus) ** 6))
        if phase == "Prophase":
            dna *= 1.5 * (1 + 0.45 * np.sin(1.5 * rows + rng.uniform(0, 6)) * np.sin(1.5 * columns + rng.uniform(0, 6)))

    brightfield = 680 - 210 * np.exp(-((edge / 1.4) ** 2)) + 90 * np.exp(-(((edge + 3.2) / 1.6) ** 2)) - 0.12 * dna
    n_grains = rng.poisson(9 if phase in ("G1", "S", "G2") else 13)
    at = rng.normal(0, 0.42 * radius, (n_grains, 2, 1, 1))
    grains = rng.uniform(100, 500, (n_grains, 1, 1)) * np.exp(-((rows - at[:, 0]) ** 2 + (columns - at[:, 1]) ** 2))
    inside = edge < 0
    noisy = (channel * rng.normal(1, 0.06, (SIZE, SIZE)) for channel in (brightfield, dna))
    brightfield, dna = (np.where(inside, drawn, kept) for drawn, kept in zip(noisy, (brightfield, dna), strict=True))
    return brightfield, dna, grains.sum(axis=0)


def encoded(channel: Floats) -> bytes:
    """A channel as a grey PNG of 16 bits."""
    values = (np.round(channel / STEP).clip(0) * STEP).astype(np.uint16)
    file = io.BytesIO()
    Image.fromarray(values).save(file, format="PNG", optimize=True)
    return file.getvalue()


def draw_cells() -> Iterator[tuple[str, tuple[Floats, Floats, Floats]]]:
    """Phase and channels of each cell of the sample."""
    rng = np.random.default_rng(SEED)
    for phase in rng.permutation(np.repeat(list(COUNTS), list(COUNTS.values()))):
        yield str(phase), draw_cell(phase, rng)


def make_cells(file: Path) -> None:
    """Write one parquet with a column of pictures for each channel, and the phase; it says that it is synthetic."""
    cells = [[*map(encoded, channels), phase] for phase, channels in draw_cells()]
    table = pd.DataFrame(cells, columns=[*CHANNELS, "phase"])
    table.attrs = {"notice": NOTICE}
    with written_whole(file) as path:
        table.to_parquet(path, compression="zstd")


def main() -> None:
    """Write the pictures."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("file", type=Path, nargs="?", default=Path("data/01_raw/cells_demo/cells.parquet"))
    make_cells(parser.parse_args().file)


if __name__ == "__main__":
    main()
