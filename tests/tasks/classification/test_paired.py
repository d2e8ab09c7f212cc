from __future__ import annotations

from typing import Any

import numpy as np
import pytest
from scipy.stats import binomtest

from beatwise.core.errors import BeatwiseError
from beatwise.report.summary import comparison
from beatwise.tasks.classification.intervals import draw_scores
from beatwise.tasks.classification.metrics import point_scores
from beatwise.tasks.classification.paired import compare_paired, judge_difference
from beatwise.tasks.intervals import interval_ends
from beatwise.tasks.registry import METRICS
from tests.tasks.classification.cases import case

BEATS, BETTER = case(800), case(800, skill=6.0)
FIRST, SECOND = BEATS.probability, BETTER.probability


def compare(first: Any = FIRST, second: Any = SECOND, **options: Any) -> dict[str, Any]:
    return compare_paired(BEATS.target, first, second, **{"draws": 60, "seed": 0, "confidence": 0.9, **options})


@pytest.mark.parametrize("cluster", [None, BEATS.record], ids=["beats", "records"])
def test_differences_are_taken_within_each_sample(cluster):
    found = compare(cluster=cluster)["overall"]
    drawn = [draw_scores(BEATS.target, p, draws=60, seed=0, cluster=cluster).overall for p in (FIRST, SECOND)]
    points = [point_scores(BEATS.target, p) for p in (FIRST, SECOND)]
    for name in METRICS.overall("classification"):
        low, high = np.quantile(drawn[1][name] - drawn[0][name], interval_ends(0.9))
        assert (found[name]["first"], found[name]["second"]) == (points[0][name], points[1][name])
        assert found[name]["difference"] == points[1][name] - points[0][name]
        assert (found[name]["low"], found[name]["high"]) == pytest.approx((low, high))


def test_a_model_does_not_differ_from_itself():
    found = compare(second=FIRST, cluster=BEATS.record)
    assert {value for metric in found["overall"].values() for value in (metric["low"], metric["high"])} == {0.0}
    assert found["mcnemar"] == {"first_only": 0, "second_only": 0, "p": 1.0}


def test_a_difference_that_comes_from_one_record_is_less_sure_where_records_are_drawn():
    wrong = FIRST.argmax(axis=1) != BEATS.target
    helped = BEATS.record == max(set(BEATS.record), key=lambda record: wrong[BEATS.record == record].sum())
    second = np.where(helped[:, None], np.eye(5, dtype=np.float32)[BEATS.target], FIRST)
    singly, by_record = (compare(second=second, cluster=c)["overall"]["accuracy"] for c in (None, BEATS.record))
    assert singly["difference"] == by_record["difference"] > 0
    assert singly["low"] > 0
    assert by_record["low"] == 0


def test_mcnemars_test_is_the_binomial_one_and_knows_no_records():
    one, other = (p.argmax(axis=1) == BEATS.target for p in (FIRST, SECOND))
    found = compare(cluster=BEATS.record)["mcnemar"]
    first_only, second_only = int((one & ~other).sum()), int((other & ~one).sum())
    assert (found["first_only"], found["second_only"]) == (first_only, second_only)
    assert found["p"] == pytest.approx(binomtest(first_only, first_only + second_only).pvalue)
    assert found == compare()["mcnemar"]


def test_models_that_were_asked_about_other_beats_cannot_be_compared():
    with pytest.raises(BeatwiseError, match="800 and for 799 beats"):
        compare(second=SECOND[1:])


UP, DOWN, NONE = (0.01, 0.05), (-0.05, -0.01), (-0.01, 0.02)


def test_the_verdict_follows_from_the_intervals():
    for metric, found, accuracy, outcomes, advice in [
        ("macro_recall", UP, NONE, ("better", "no different"), "Use the tuned model."),
        ("macro_recall", UP, DOWN, ("better", "worse"), "Use the tuned model only where"),
        ("macro_recall", DOWN, UP, ("worse", "better"), "Keep the baseline, unless accuracy"),
        ("macro_recall", NONE, NONE, ("no different", "no different"), "Keep the baseline: these test beats show no"),
        ("log_loss", DOWN, UP, ("better", "better"), "Use the tuned model."),
        ("log_loss", UP, NONE, ("worse", "no different"), "Keep the baseline."),
        ("macro_recall", (0.0, 0.05), NONE, ("no different", "no different"), "Keep the baseline: "),
    ]:
        overall = {
            name: {
                "first": 0.8,
                "second": 0.8 + sum(ends) / 2,
                "difference": sum(ends) / 2,
                "low": ends[0],
                "high": ends[1],
            }
            for name, ends in (("accuracy", accuracy), (metric, found))
        }
        verdict = judge_difference(overall, metric)
        assert verdict["outcomes"] == dict(zip((metric, "accuracy"), outcomes, strict=True))
        assert verdict["advice"].startswith(advice)
        text = comparison({"verdict": {**verdict, "recall_first": False}})
        low, high = (f"{end:.3f}".replace("0.", ".") for end in found)
        assert f"{METRICS[metric].label} {outcomes[0]} (" in text
        assert f"[{low}, {high}]" in text
        assert text.endswith(verdict["advice"])
