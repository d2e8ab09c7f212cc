from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest

from beatwise.report.field import benchmarks, field_table
from beatwise.report.tables import Table
from beatwise.tasks.classification.assessment import assess_predictions
from beatwise.tasks.classification.predictions import measure_predictions
from beatwise.tasks.settings import Evaluate
from tests.conftest import ROOT
from tests.tasks.classification.cases import case

EVALUATE = Evaluate(bootstrap_draws=20, accuracy_floor=0.5)


@pytest.fixture(scope="module")
def measured() -> tuple[dict[str, Any], dict[str, Any]]:
    val, test = case(1000, seed=1).table, case(2000, seed=2).table
    return measure_predictions(val, test, EVALUATE, seed=0), assess_predictions(val, test, EVALUATE, seed=0)


def shown(table: Table | None, row: int) -> dict[str, str]:
    assert table is not None
    return dict(zip(table.columns, table.rows[row], strict=True))


@pytest.mark.parametrize("source", ["mitbih", "mitbih_rr"])
def test_a_model_of_the_kaggle_split_stands_above_the_field_with_its_own_numbers(measured: Any, source: str) -> None:
    metrics, assessment = measured
    table = field_table(source, "given", metrics, assessment)
    assert table is not None
    assert table.marked == 2
    for row, part in ((0, "test"), (1, "recall_first")):
        cells = shown(table, row)
        for name, label in (("accuracy", "accuracy"), ("macro_f1", "macro F1"), ("macro_recall", "macro recall")):
            value = f"{metrics[part]['overall'][name]['value']:.3f}".replace("0.", ".", 1)
            assert cells[label].startswith(f"{value} [")
    # A published number, as it stands in the paper.
    (best,) = (row for row in table.rows if row[0].startswith("ECGTransForm"))
    assert best[2] == ".9426 ± .0028"


def test_between_patients_the_tables_of_ec57_are_what_is_compared(measured: Any) -> None:
    metrics, assessment = measured
    table = field_table("mitdb", "ds1_ds2", metrics, assessment)
    for row, ec57 in enumerate(assessment["ec57"]):
        s = ec57["per_class"]["S"]
        assert shown(table, row)["S: Se / +P"] == (
            f"{100 * s['recall']['value']:.1f} / {100 * s['precision']['value']:.1f}"
        )
        assert shown(table, row)["jκ"].startswith(f"{ec57['j_kappa']['value']:.3f}".replace("0.", ".", 1))
    assert shown(table, 2) == {
        "": "de Chazal et al. 2004",
        "accuracy": ".862",
        "S: Se / +P": "75.9 / 38.5",
        "V: Se / +P": "77.7 / 81.9",
        "jκ": ".612",
        "what to know": "",
    }


def test_the_same_records_are_compared_by_their_split(measured: Any) -> None:
    kaggle, patients = (field_table("mitbih_rr", split, *measured) for split in ("given", "ds1_ds2"))
    assert kaggle is not None
    assert patients is not None
    assert kaggle.columns != patients.columns


@pytest.mark.parametrize(
    ("source", "split"), [("demo", "given"), ("test", "given"), ("mitbih", "stratified"), ("mitdb", "given")]
)
def test_nobody_elses_numbers_stand_beside_beats_that_are_not_theirs(measured: Any, source: str, split: str) -> None:
    assert field_table(source, split, *measured) is None


def test_every_source_of_the_field_is_an_environment_and_every_score_has_a_column() -> None:
    environments = {path.parent.name for path in Path(ROOT / "conf").glob("*/globals.yml")}
    for benchmark in benchmarks():
        assert set(benchmark.sources) <= environments - {"base", "test"}
        assert all(set(published.cells) <= set(benchmark.columns) for published in benchmark.rows)
