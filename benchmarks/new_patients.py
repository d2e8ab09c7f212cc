"""What one record weighs in jκ: `python -m benchmarks.new_patients <row_predictions.parquet> [--record 232]`.

Reads the predictions of the comparison `new_patients_best` (`kedro run --env=patients --pipeline=compare
--params=compare.use=new_patients_best`), and gives means over the seeds ± their deviation.
"""

from __future__ import annotations

import argparse
from pathlib import Path
from typing import Final

import pandas as pd
from pandas.api.types import is_float_dtype
from rich.console import Console
from rich.table import Table
from sklearn.metrics import confusion_matrix

from beatwise.tasks.classification import aami

CLASSES: Final = aami.CLASSES[:4]
N, S = CLASSES.index("N"), CLASSES.index("S")


def measure(test: pd.DataFrame, record: str) -> dict[str, float]:
    """Scores of the predictions of one row on test."""
    inside = test["record"] == record
    if not inside.any():
        raise SystemExit(f"No test beat is of record {record}; known: {', '.join(sorted(set(test['record'])))}.")
    scores: dict[str, float] = {}
    for name, beats in {"all records": test, f"without {record}": test[~inside]}.items():
        counts = confusion_matrix(beats["target"], beats["prediction"], labels=range(len(CLASSES)))
        overall, *_ = aami.aami_scores(counts[None].astype(float), CLASSES)
        scores |= {f"{key}, {name}": float(overall[key][0]) for key in ("accuracy", "j_kappa")}
    is_s, called_s = test["target"] == S, test["prediction"] == S
    return scores | {
        f"S beats of {record}": int((is_s & inside).sum()),
        f"S beats of {record} that are found": int((is_s & called_s & inside).sum()),
        f"N beats outside {record} that are called S": int(((test["target"] == N) & called_s & ~inside).sum()),
    }


def main() -> None:
    """Print what the record weighs."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("predictions", type=Path)
    parser.add_argument("--record", default="232")
    arguments = parser.parse_args()
    predictions = pd.read_parquet(arguments.predictions)
    rows = [row for _, row in predictions[predictions["part"] == "test"].groupby("row")]
    # The naive row predicts one class.
    measured = pd.DataFrame([measure(row, arguments.record) for row in rows if len(set(row["prediction"])) > 1])
    table = Table(title=f"{len(measured)} seeds, mean ± deviation")
    table.add_column("")
    table.add_column("value", justify="right")
    for name in measured:
        digits = 3 if is_float_dtype(measured[name]) else 0
        table.add_row(str(name), f"{measured[name].mean():,.{digits}f} ± {measured[name].std():.{digits}f}")
    Console().print(table)


if __name__ == "__main__":
    main()
