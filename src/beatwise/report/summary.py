"""The findings in a few plain sentences."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from typing import Any

from beatwise.report.tables import majority_class, operating_point, short, with_interval
from beatwise.tasks.registry import METRICS

NAMED = ("macro_recall", "macro_f1", "accuracy")


def findings(metrics: Mapping[str, Any], data: Mapping[str, Any]) -> list[str]:
    """The scores in words, each number that of the metrics.

    Args:
        metrics: What ``measure_predictions`` returned.
        data: What ``summarise_data`` returned.

    Returns:
        One sentence, or two that belong together, an item.
    """
    return list(_findings(metrics, data))


def _findings(metrics: Mapping[str, Any], data: Mapping[str, Any]) -> Iterator[str]:
    test = metrics["test"]
    yield (
        f"On {test['n']:,} test beats that it had never seen, the model reaches {_named(test)}; in brackets the "
        f"{metrics['confidence']:.0%} intervals."
    )
    yield f"Calling every beat {majority_class(metrics)} would give {_named(metrics['naive'], intervals=False)}."
    recall_first = metrics["recall_first"]
    if not metrics["floor_reached"]:
        yield f"Recall first: {operating_point(metrics)}"
    elif recall_first["confusion"] == test["confusion"]:
        yield "Its recall-first operating point, which was chosen on validation, changes no prediction of test."
    else:
        yield f"At its recall-first operating point, which was chosen on validation, it reaches {_named(recall_first)}."
    if weakest := _weakest(test["per_class"]):
        label, scores = weakest
        yield (
            f"The class of which it misses the largest share is {label}: recall {with_interval(scores['recall'])}, of "
            f"{scores['support']:,} test {'beat' if scores['support'] == 1 else 'beats'}."
        )
    yield _about_patients(data)


def _named(part: Mapping[str, Any], *, intervals: bool = True) -> str:
    overall = part["overall"]
    shown = [
        f"{METRICS[name].label} {with_interval(overall[name]) if intervals else short(overall[name]['value'])}"
        for name in NAMED
        if overall[name]["value"] is not None
    ]
    return f"{', '.join(shown[:-1])} and {shown[-1]}" if len(shown) > 1 else "".join(shown)


def _weakest(per_class: Mapping[str, Any]) -> tuple[str, Mapping[str, Any]] | None:
    """The class with the lowest recall, where any beat of it is missed."""
    known = {label: scores for label, scores in per_class.items() if scores["recall"]["value"] is not None}
    if not known:
        return None
    label = min(known, key=lambda name: known[name]["recall"]["value"])
    return None if known[label]["recall"]["value"] == 1 else (label, known[label])


def _about_patients(data: Mapping[str, Any]) -> str:
    if not data["records"]["known"]:
        return (
            "The records of the beats are not known, so that the same patients may stand in train and in test: the "
            "scores hold for new beats of known patients."
        )
    shared = len(data["records"]["shared"]["train and test"])
    if not shared:
        return "No record stands in both train and test: the scores hold for new records."
    return (
        f"{shared} of the {data['parts']['test']['records']} records of test stand in train too: the scores hold for "
        "new beats of known patients, not for new patients."
    )
