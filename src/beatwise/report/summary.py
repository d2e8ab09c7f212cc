"""The findings in a few plain sentences: the same on the screen and at the top of the report."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from typing import Any, Final

from beatwise.data.examples import BEAT, noun
from beatwise.report.tables import few_patients, label_of, majority_class, operating_point, short, with_interval
from beatwise.tasks.registry import METRICS

NAMED: Final = ("macro_recall", "macro_f1", "accuracy")
# Those who look at pictures know macro recall by its other name.
NAMED_OF_PICTURES: Final = ("balanced_accuracy", "macro_f1", "kappa", "accuracy")
# A class below this recall or precision is named.
WEAK: Final = 0.5
# With fewer test beats the scores of a class are hardly known.
FEW_BEATS: Final = 20


def quality(metrics: Mapping[str, Any]) -> list[str]:
    """Whether the model is good: its scores, those of the naive classifier, and the recall-first operating point."""
    test, naive, recall_first = metrics["test"], metrics["naive"]["overall"], metrics["recall_first"]
    recall, by_chance = test["overall"]["macro_recall"], naive["macro_recall"]["value"]
    named = NAMED if noun(metrics.get("shape", BEAT)) != "picture" else NAMED_OF_PICTURES
    if recall["value"] is None or recall["low"] <= by_chance:
        verdict = f"No: it is no better than calling every beat {majority_class(metrics)}."
    else:
        by_naive = _named(metrics["naive"], named)
        verdict = f"Better than calling every beat {majority_class(metrics)}, which gives {by_naive}."
    if not metrics["floor_reached"]:
        at = operating_point(metrics)
    elif recall_first["confusion"] == test["confusion"]:
        at = "the factors chosen on validation change no prediction of test."
    else:
        at = f"{_named(recall_first, ('macro_recall', 'accuracy'), intervals=True)} on test."
    scores = f"{_named(test, named, intervals=True)} on {test['n']:,} test beats."
    return [f"{scores[0].upper()}{scores[1:]} {verdict}", f"Recall first: {at}"]


def trust(metrics: Mapping[str, Any], data: Mapping[str, Any]) -> list[str]:
    """Whether the scores can be trusted: for which patients they hold, and how well they are known."""
    return list(_trust(metrics, data))


def _trust(metrics: Mapping[str, Any], data: Mapping[str, Any]) -> Iterator[str]:
    yield _about_patients(data)
    if equal := data["duplicates"]["across"].get("train and test"):
        yield f"{equal:,} beats of train stand in test too, equal in all values and label."
    if narrow := few_patients(metrics):
        yield narrow.strip()
    if rare := [f"{label} ({support})" for label, support in _rare(metrics).items()]:
        yield f"Fewer than {FEW_BEATS} test beats: {', '.join(rare)}; the scores of such a class are hardly known."


def _rare(metrics: Mapping[str, Any]) -> dict[str, int]:
    """The test beats of each class that has few of them."""
    supports = {label: scores["support"] for label, scores in metrics["test"]["per_class"].items()}
    return {label: support for label, support in supports.items() if support < FEW_BEATS}


def failures(metrics: Mapping[str, Any]) -> list[str]:
    """Where the model fails: every class with a recall or precision below one half, and the worst confusion."""
    found = [sentence for label in metrics["classes"] if (sentence := _weak(metrics, label))]
    confused = worst_confusion(metrics)
    return [*found, *([confused] if confused else [])] or ["It makes no mistake on these test beats."]


def _weak(metrics: Mapping[str, Any], label: str) -> str:
    scores = metrics["test"]["per_class"][label]
    low = [
        f"{name} {with_interval(scores[name])}"
        for name in ("recall", "precision")
        if scores[name]["value"] is not None and scores[name]["value"] < WEAK
    ]
    column = metrics["classes"].index(label)
    if scores["support"] and not any(row[column] for row in metrics["test"]["confusion"]):
        low = ["never predicted"]
    return f"{label}: {' and '.join(low)}, {_beats(scores['support'])}." if low else ""


def worst_confusion(metrics: Mapping[str, Any]) -> str:
    """The wrong class that takes the largest share of a true one; empty where there is no mistake."""
    classes, counts = metrics["classes"], metrics["test"]["confusion"]
    wrong = [
        (n / sum(row), n, classes[true], classes[called], sum(row))
        for true, row in enumerate(counts)
        for called, n in enumerate(row)
        if called != true and n
    ]
    if not wrong:
        return ""
    share, n, true, called, of = max(wrong)
    return f"Worst confusion: {true} is called {called}, {n:,} of {_beats(of)} ({share:.0%})."


def confusion(metrics: Mapping[str, Any]) -> dict[str, Any]:
    """The confusion matrix of test, for a page.

    Returns:
        ``classes``; ``rows``, one a true class: its ``name`` and ``index``, ``cells`` (count, share of the class) and
        ``recall``; ``precision``, of each predicted class.
    """
    classes, test = metrics["classes"], metrics["test"]
    scores = [test["per_class"][label] for label in classes]

    def shown(value: float | None) -> str:
        return "–" if value is None else short(value)

    return {
        "classes": classes,
        "rows": [
            {
                "name": label,
                "index": index,
                "cells": [(n, n / max(sum(row), 1)) for n in row],
                "recall": shown(scores[index]["recall"]["value"]),
            }
            for index, (label, row) in enumerate(zip(classes, test["confusion"], strict=True))
        ],
        "precision": [shown(of_class["precision"]["value"]) for of_class in scores],
    }


def comparison(paired: Mapping[str, Any]) -> str:
    """The verdict on a search: whether the tuned model is better than the baseline, and which one to use."""
    verdict = paired["verdict"]
    outcomes = [
        f"{label_of(name, paired.get('unit', ''))} {outcome} ({_difference(verdict['differences'][name])})"
        for name, outcome in verdict["outcomes"].items()
    ]
    at = " at the recall-first operating points" if verdict.get("recall_first") else ""
    return f"Tuned against baseline{at}: {', '.join(outcomes)}. {verdict['advice']}"


def _difference(found: Mapping[str, float | None]) -> str:
    if found["difference"] is None:
        return "not defined"
    return with_interval({"value": found["difference"], "low": found["low"], "high": found["high"]})


def advice(metrics: Mapping[str, Any], data: Mapping[str, Any], paired: Mapping[str, Any] | None = None) -> list[str]:
    """What to do next."""
    return list(_advice(metrics, data, paired))


def _advice(metrics: Mapping[str, Any], data: Mapping[str, Any], paired: Mapping[str, Any] | None) -> Iterator[str]:
    if paired is not None:
        yield comparison(paired)
    if noun(data.get("shape", BEAT)) == "picture":
        yield (
            "Before you promise anything for other patients, slides or instruments, measure it on them (a column "
            "`group` and ingest.split.use=by_group)."
        )
    elif not data["records"]["known"]:
        yield "Before you promise anything for new patients, measure it on patients apart (records in the table)."
    elif data["records"]["shared"]["train and test"]:
        yield "Before you promise anything for new patients, split by record (ingest.split)."
    scores = metrics["test"]["per_class"]
    if rare := _rare(metrics):
        yield f"Get more beats of {_listed([*rare])}, first of all for test."
    missed = [label for label in metrics["classes"] if (scores[label]["recall"]["value"] or 1) < WEAK]
    if missed and metrics["floor_reached"]:
        yield f"To miss fewer of {_listed(missed)}, use the recall-first factors, or a threshold of the class."
    if not metrics["floor_reached"]:
        yield (
            f"An accuracy of {short(metrics['accuracy_floor'])} is out of reach of this model: train longer or another "
            "model, or lower the floor."
        )


def _named(part: Mapping[str, Any], names: Sequence[str] = NAMED, *, intervals: bool = False) -> str:
    overall = part["overall"]
    shown = [
        f"{METRICS[name].label} {with_interval(overall[name]) if intervals else short(overall[name]['value'])}"
        for name in names
        if overall[name]["value"] is not None
    ]
    return _listed(shown)


def _listed(words: Sequence[str]) -> str:
    return f"{', '.join(words[:-1])} and {words[-1]}" if len(words) > 1 else "".join(words)


def _beats(n: int) -> str:
    return f"{n:,} test {'beat' if n == 1 else 'beats'}"


def _about_patients(data: Mapping[str, Any]) -> str:
    if noun(data.get("shape", BEAT)) == "picture":
        if data["split"] == "by_group":
            return "No group stands in both train and test: the scores hold for new groups."
        return (
            "Pictures of one patient, slide or instrument may stand in train and in test: the scores hold for new "
            "pictures from where these come from."
        )
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
