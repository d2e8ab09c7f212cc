"""Make the bundled sample again: ``python -m tools.synthesise [folder]``, from the repository's root.

It writes synthetic WFDB records, segments them as the pipeline ``segment`` does, and writes a train and a test table of
beats, rounded to a grid that packs well. The same code makes the same values.
"""

from __future__ import annotations

import argparse
from pathlib import Path
from typing import Final

from beatwise.core.files import written_whole
from beatwise.data.features import RR_COLUMNS
from beatwise.data.splits import split_stratified
from beatwise.datasets.records import RecordsDataset
from beatwise.ecg.beats import signal_columns, with_group
from beatwise.ecg.segmentation import RULES, segment_records
from tools.synthetic_records import CLASS_SYMBOLS, SyntheticSettings, synthesise_records

NOTICE: Final = (
    "SYNTHETIC heartbeats, made by Beatwise (python -m tools.synthesise) from a sum-of-Gaussians ECG model after "
    "McSharry et al. 2003. They come from no patient and are of no clinical use."
)
SETTINGS: Final = SyntheticSettings(
    n_records=20,
    beats_per_record=201,
    # Rarer than N as in MIT-BIH, but with enough S and F in test that a better model can be told from a worse one.
    class_shares={"N": 0.805, "S": 0.045, "V": 0.06, "F": 0.02, "Q": 0.07},
    # So that a plain network is right on most beats and misses most fusion beats.
    noise=2.0,
)
SEED: Final = 42
TEST_SHARE: Final = 0.25
DECIMALS: Final = 3


def make_sample(folder: Path) -> None:
    """Write ``records/``, ``train.parquet`` and ``test.parquet``; the tables say that they are synthetic."""
    records = synthesise_records(SETTINGS, SEED)
    RecordsDataset(filepath=str(folder / "records")).save(records)
    beats, _ = segment_records(
        records,
        rule="kaggle",
        options=RULES.options("kaggle", {}),
        classes=list(CLASS_SYMBOLS),
        aami={name: [symbol] for name, symbol in CLASS_SYMBOLS.items()},
    )
    table = beats.drop(columns="lead").round(dict.fromkeys([*signal_columns(beats.columns), *RR_COLUMNS], DECIMALS))
    parts = split_stratified(with_group(table), seed=SEED, test_share=TEST_SHARE)
    for name, rows in (("train", parts != "test"), ("test", parts == "test")):
        part = table[rows].reset_index(drop=True)
        part.attrs = {"notice": NOTICE}
        with written_whole(folder / f"{name}.parquet") as path:
            part.to_parquet(path, compression="zstd", compression_level=19)


def main() -> None:
    """Write the sample."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("folder", type=Path, nargs="?", default=Path("data/01_raw/demo"))
    make_sample(parser.parse_args().folder)


if __name__ == "__main__":
    main()
