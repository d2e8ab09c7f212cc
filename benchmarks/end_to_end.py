"""Detector and model together beside annotations, by EC57: `python -m benchmarks.end_to_end MODEL [--databases …]`.

MODEL is the folder of a scorer. Every record is scored once with R peaks that are detected and once with those of the
annotations, as `beatwise score` does it, and its beats are compared beat by beat. Beats in stretches that the scoring
calls unusable count as missed. The records of DS2 are those of MIT-BIH that a model of DS1 has not seen.
"""

from __future__ import annotations

import argparse
import os
from dataclasses import replace
from pathlib import Path
from typing import Any, Final

import numpy as np
import pandas as pd
from rich.console import Console
from rich.progress import track
from rich.table import Table

from beatwise.data.splits import DS2
from beatwise.ecg.detection import DEFAULT
from beatwise.ecg.ec57 import LEARNING_S, compare_beats, measure
from beatwise.ecg.reading import find_records
from beatwise.ecg.settings import Read
from beatwise.scoring.score import score_record
from beatwise.scoring.scorer import Scorer, read_scorer
from beatwise.scoring.settings import DetectorChoice, Score

# AAMI EC57's classes by annotation codes, as in conf/base/parameters/segment.yml.
AAMI: Final = {"N": list("NLRej"), "S": list("AaJS"), "V": list("VE"), "F": ["F"], "Q": list("/fQ")}
READ: Final = Read(annotator="atr", uncalibrated=True)
SETS: Final = ("DS2", "svdb", "nstdb")


def records_of(name: str) -> dict[str, Any]:
    """Functions that read the records of a set, by name."""
    folder = Path(os.environ.get("BEATWISE_DATA", "data/01_raw")) / ("mitdb" if name == "DS2" else name)
    if not folder.is_dir():
        raise SystemExit(f"There is no {folder.absolute()}: name the folder above it in BEATWISE_DATA.")
    found = find_records(folder, READ)
    return {
        record: read
        for record, read in found.items()
        if record not in ("bw", "em", "ma") and (name != "DS2" or record in DS2)
    }


def compare(scorer: Scorer, sets: list[str]) -> pd.DataFrame:
    """Counts of pairs, one row a record, way to find R peaks, learning time, reference and found class."""
    settings = Score(read=READ, detector=DetectorChoice(use=DEFAULT))
    rows = []
    for name in sets:
        for record_name, read in track(list(records_of(name).items()), name):
            reference = read()
            none = reference.annotation_samples[:0]
            bare = replace(reference, annotation_samples=none, annotation_symbols=reference.annotation_symbols[:0])
            for peaks, record in (("detected", bare), ("annotated", reference)):
                beats = score_record(record, scorer, settings).beats
                for left_out in (LEARNING_S, 0.0):
                    counts = compare_beats(
                        reference, beats["sample"].to_numpy(), beats["class"].tolist(), AAMI, learning=left_out
                    )
                    rows.append(
                        counts.reset_index().assign(
                            set=record_name if name == "nstdb" else name,
                            record=record_name,
                            peaks=peaks,
                            left_out=left_out,
                        )
                    )
    return pd.concat(rows, ignore_index=True)


def main() -> None:
    """Measure and print."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("model", type=Path)
    parser.add_argument("--databases", nargs="+", choices=SETS, default=list(SETS))
    given = parser.parse_args()
    scorer = read_scorer(given.model)
    counts = compare(scorer, given.databases)
    table = Table(title=f"{scorer.model.name} of {scorer.source}, version {scorer.version}: gross, in %")
    names = {
        "qrs_se": "QRS Se",
        "qrs_ppv": "+P",
        "V_se": "V Se",
        "V_ppv": "+P",
        "V_fpr": "FPR",
        "S_se": "S Se",
        "S_ppv": "+P",
        "S_fpr": "FPR",
    }
    for column in ("set", "R peaks", "left out", "beats", *names.values()):
        table.add_column(column, justify="left" if column in ("set", "R peaks") else "right")
    for (name, peaks, left_out), pairs in counts.groupby(["set", "peaks", "left_out"], sort=False):
        measured = measure(pairs.groupby(["reference", "found"])["beats"].sum())
        shares = ("–" if np.isnan(measured[key]) else f"{100 * measured[key]:.2f}" for key in names)
        table.add_row(str(name), str(peaks), f"{left_out:g} s", f"{measured['beats']:,.0f}", *shares)
    Console(width=130).print(table)


if __name__ == "__main__":
    main()
