"""What the report and the screen say of a regression: errors in the unit of the target, beside naive forecasts.

Parameters are named as in :mod:`beatwise.report.tables`.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from itertools import groupby
from typing import Any, Final

import pandas as pd

from beatwise.data.examples import GROUP, PERSISTENCE, TIME
from beatwise.explanation.methods import AUX
from beatwise.figures.style import PART_NAMES
from beatwise.report.tables import IN_UNIT, Table, few_patients, label_of, short, with_interval
from beatwise.tasks.regression.naive import HOUR_MEAN

# Naive forecasts in the order of tables.
NAIVE: Final = {
    PERSISTENCE: "persistence",
    HOUR_MEAN: "mean of the hour of the day, from train",
    "naive": "mean of train",
}
# The skill against each.
SKILLS: Final = {PERSISTENCE: "skill_persistence", HOUR_MEAN: "skill_hour"}
MISSING: Final = {
    PERSISTENCE: "persistence is left out, because the examples do not say the last known target (column persistence)",
    HOUR_MEAN: "the mean of the hour is left out, because the examples have no times (column time)",
}
SHOWN: Final = ("rmse", "mae", "r2")
# Hours and months that are named.
NAMED: Final = 3


def target_of(metrics: Mapping[str, Any]) -> str:
    """The target with its unit, ``C6H6 (µg/m³)``."""
    return f"{metrics['label']} ({metrics['unit']})" if metrics["unit"] else str(metrics["label"])


def _amount(value: float, metrics: Mapping[str, Any]) -> str:
    """A number of the target's unit, ``2.31 µg/m³``."""
    return f"{value:.3g} {metrics['unit']}".strip()


def error_size(metrics: Mapping[str, Any]) -> list[str]:
    """How large the errors are, in the unit of the target."""
    overall, n = metrics["test"]["overall"], metrics["test"]["n"]
    rmse = overall["rmse"]
    explained = "" if overall["r2"]["value"] is None else f"; R² {with_interval(overall['r2'])}"
    return [
        f"Root mean squared error {_amount(rmse['value'], metrics)} [{rmse['low']:.3g}, {rmse['high']:.3g}], mean "
        f"absolute error {_amount(overall['mae']['value'], metrics)} on {n:,} test examples of {metrics['label']}"
        f"{explained}."
    ]


def against_naive(metrics: Mapping[str, Any]) -> list[str]:
    """A sentence for each naive forecast: whether the model is better, and by how much."""
    return list(_against_naive(metrics))


def _against_naive(metrics: Mapping[str, Any]) -> Iterator[str]:
    test = metrics["test"]["overall"]
    for part, skill in SKILLS.items():
        if part not in metrics:
            continue
        found, naive = test[skill], metrics[part]["overall"]["rmse"]["value"]
        name = NAIVE[part].partition(",")[0].replace("mean", "the mean")
        if found["value"] is None:
            yield f"{name[0].upper()}{name[1:]} makes no error on this test part, so that there is no skill against it."
        elif found["low"] > 0:
            yield f"Better than {name} ({_amount(naive, metrics)}): skill {with_interval(found)}."
        elif found["high"] < 0:
            yield f"Worse than {name} ({_amount(naive, metrics)}): skill {with_interval(found)}."
        else:
            yield f"No different from {name} ({_amount(naive, metrics)}): skill {with_interval(found)}."
    if not SKILLS.keys() & metrics.keys():
        mean, better = metrics["naive"]["overall"]["rmse"], test["rmse"]
        verdict = "Better" if better["high"] < mean["value"] else "No better"
        yield f"{verdict} than the mean of train ({_amount(mean['value'], metrics)}), the only naive forecast known."


def failures(metrics: Mapping[str, Any]) -> list[str]:
    """The months, hours or groups with the largest errors, those in which persistence is better, and the bias."""
    return list(_failures(metrics))


def _failures(metrics: Mapping[str, Any]) -> Iterator[str]:
    over_all = metrics["test"]["overall"]["rmse"]["value"]
    for kind, rows in metrics["test"]["by"].items():
        if len(rows) < 2:
            continue
        ordered = sorted(rows, key=lambda row: -row["rmse"])
        worst, best = ordered[:NAMED], ordered[-1]
        suffix = " h" if kind == "hour" else ""
        named = ", ".join(f"{row['name']}{suffix} {row['rmse']:.3g}" for row in worst if row["rmse"] > over_all)
        yield (
            f"{kind.capitalize()}s with the largest errors: {named} (over all {_amount(over_all, metrics)}, least "
            f"{best['name']}{suffix} {best['rmse']:.3g})."
        )
        lost = [PERSISTENCE in row and row["rmse"] >= row[PERSISTENCE] for row in rows]
        if any(lost):
            yield f"{kind.capitalize()}s in which persistence is as good or better: {_runs(rows, lost)}."
    bias = metrics["test"]["bias"]
    if abs(bias) > over_all / 5:
        yield f"Its predictions are too {'high' if bias > 0 else 'low'} by {_amount(abs(bias), metrics)} on average."


def _runs(rows: Sequence[Mapping[str, Any]], chosen: Sequence[bool]) -> str:
    """Names of the chosen rows, those that follow one another as a range: ``00 to 05, 12``."""
    runs = [list(run) for is_chosen, run in groupby(zip(rows, chosen, strict=True), lambda one: one[1]) if is_chosen]
    ends = [(run[0][0]["name"], run[-1][0]["name"]) for run in runs]
    return ", ".join(first if first == last else f"{first} to {last}" for first, last in ends)


def trust(metrics: Mapping[str, Any], data: Mapping[str, Any]) -> list[str]:
    """Whether train and test are apart, and how well the errors are known."""
    return list(_trust(metrics, data))


def _trust(metrics: Mapping[str, Any], data: Mapping[str, Any]) -> Iterator[str]:
    known = data.get("spans", {})
    if len(known) == len(data["parts"]):
        yield _about_times(data["split"], known)
    if equal := data["duplicates"]["across"].get("train and test"):
        yield f"{equal:,} examples of train stand in test too, equal in values and target."
    if narrow := few_patients(metrics):
        yield narrow.strip()
    elif metrics["patients"] is None:
        yield "The groups of the examples are not known; neighbours in time are alike, so the intervals are too narrow."
    if given_away := data.get("gives_away"):
        yield (
            f"Features that give the answer away: {', '.join(given_away)}. Where tensors.features holds one of them, "
            "the errors are those of a model that was given the answer."
        )


def _about_times(split: str, spans: Mapping[str, Sequence[str]]) -> str:
    """How times of train and of test lie to each other."""
    train, test = spans["train"], spans["test"]
    if train[1] < test[0]:
        return f"Test lies behind train: {test[0]} to {test[1]}, and train ends {train[1]}."
    if split == "blocked":
        return f"Test is a block of time, {test[0]} to {test[1]}, with a gap to train on either side."
    return (
        f"Times of train ({train[0]} to {train[1]}) and test ({test[0]} to {test[1]}) are mixed: windows of neighbours "
        "share hours, so the errors are those between known days. For those of a new season, split by blocks "
        "(ingest.split.use=blocked)."
    )


def advice(metrics: Mapping[str, Any], paired: Mapping[str, Any] | None) -> list[str]:
    """What to do next."""
    from beatwise.report.summary import comparison

    said = [comparison(paired)] if paired is not None else []
    test = metrics["test"]["overall"]
    no_better = [NAIVE[part] for part, skill in SKILLS.items() if part in metrics and (test[skill]["low"] or 0) <= 0]
    if no_better:
        said.append(f"Do not use it yet: {no_better[0].partition(',')[0]} costs nothing, and is as good.")
    absent = [text for part, text in MISSING.items() if part not in metrics]
    if absent:
        said.append(f"Compare with more than the mean: {'; '.join(absent)}.")
    return said or ["Compare it with other models and inputs: kedro run --pipeline=compare."]


def naive_table(metrics: Mapping[str, Any]) -> Table:
    """Model and naive forecasts on test, one a row."""
    parts = {"test": "model", **{part: name for part, name in NAIVE.items() if part in metrics}}
    skills = [skill for part, skill in SKILLS.items() if part in metrics]
    names = [*SHOWN, *skills]
    rows = [
        [head, *("" if name == SKILLS.get(part) else _cell(metrics[part], name, part) for name in names)]
        for part, head in parts.items()
    ]
    absent = "".join(f" {text[0].upper()}{text[1:]}." for part, text in MISSING.items() if part not in metrics)
    caption = (
        f"{metrics['label']}, {metrics['test']['n']:,} test examples. In brackets the {metrics['confidence']:.0%} "
        f"interval from {metrics['bootstrap_draws']:,} bootstrap draws of "
        f"{'whole ' if metrics['patients'] else ''}{metrics['bootstrap_of']}.{few_patients(metrics)}{absent}"
    )
    return Table(caption, ["test", *(_short_label(name, metrics["unit"]) for name in names)], rows, marked=1)


def _cell(part: Mapping[str, Any], name: str, of: str) -> str:
    metric = part["overall"][name]
    return with_interval(metric) if of == "test" else "–" if metric["value"] is None else short(metric["value"])


def _short_label(name: str, unit: str) -> str:
    heads = {"rmse": "RMSE", "mae": "MAE", "r2": "R²", "mse": "MSE", "skill_persistence": "skill, persistence"}
    head = {**heads, "skill_hour": "skill, hour's mean"}.get(name, name)
    return f"{head} ({IN_UNIT[name].format(unit)})" if unit and name in IN_UNIT else head


def beside_table(metrics: Mapping[str, Any]) -> Table:
    """The same, one metric a row, as narrow as a terminal and the first screen of the report are."""
    heads = {"test": "model", PERSISTENCE: "persistence", HOUR_MEAN: "hour's mean", "naive": "train's mean"}
    parts = [part for part in heads if part in metrics]
    rows = [
        [_short_label(name, metrics["unit"]), *(_cell(metrics[part], name, part) for part in parts)] for name in SHOWN
    ]
    return Table(naive_table(metrics).caption, ["", *(heads[part] for part in parts)], rows)


def overall_table(metrics: Mapping[str, Any]) -> Table:
    """Every metric of the model on validation and on test, one a row."""
    names = [name for name, metric in metrics["test"]["overall"].items() if metric["value"] is not None]
    rows = [
        [label_of(name, metrics["unit"]), *(with_interval(metrics[part]["overall"][name]) for part in ("val", "test"))]
        for name in names
    ]
    caption = (
        f"{metrics['test']['n']:,} test examples, {metrics['val']['n']:,} validation examples. Validation chose the "
        "epoch, so its scores are too good. Skill is 1 - MSE / MSE of the naive forecast: 0 is no better, 1 no error."
    )
    return Table(caption, ["", "model, validation", "model, test"], rows)


def errors_tables(metrics: Mapping[str, Any]) -> list[Table]:
    """The errors by month, hour or group."""
    unit = f" ({metrics['unit']})" if metrics["unit"] else ""
    tables = []
    for kind, rows in metrics["test"]["by"].items():
        known = [name for name in (PERSISTENCE, HOUR_MEAN) if name in rows[0]]
        heads = [
            f"RMSE{unit}",
            "MAE",
            "bias",
            *("RMSE, hour's mean" if name == HOUR_MEAN else "RMSE, persistence" for name in known),
        ]
        cells = [
            [row["name"], f"{row['n']:,}", *(short(row[name]) for name in ("rmse", "mae", "bias", *known))]
            for row in rows
        ]
        caption = f"Errors by {kind} on test. Bias: the mean of predicted less measured."
        tables.append(Table(caption, [kind, "examples", *heads], cells))
    return tables


def worst_table(metrics: Mapping[str, Any], mistakes: pd.DataFrame) -> Table:
    """The largest errors."""
    labels = [name for name in (TIME, GROUP, "record") if name in mistakes]
    labels = [name for name in labels if name != GROUP or TIME not in labels] or ["example"]
    numbers = ["target", "prediction", "error", *([PERSISTENCE] if PERSISTENCE in mistakes else [])]
    heads = {"target": "measured", "prediction": "predicted", "error": "difference", PERSISTENCE: "last known"}
    rows = [
        [*(str(row[name]) for name in labels), *(short(row[name]) for name in numbers)]
        for row in mistakes.to_dict("records")
    ]
    caption = f"The {len(rows)} test examples with the largest errors, {target_of(metrics)}."
    return Table(caption, [*labels, *(heads[name] for name in numbers)], rows, labels=len(labels))


def explanation_table(metrics: Mapping[str, Any], explanation: Mapping[str, Any]) -> Table:
    """How much falls to each feature of the forecast time, beside the window as a whole."""
    sizes = {"the window": sum(explanation["inputs"])}
    sizes |= {name.removeprefix(AUX): size for name, size in explanation["aux"].items()}
    total = sum(sizes.values()) or 1.0
    rows = [[name, short(size), f"{size / total:.0%}"] for name, size in sorted(sizes.items(), key=lambda one: -one[1])]
    caption = (
        f"The mean size of what falls to each part of an example, over {explanation['explained']:,} validation "
        "examples, as many of each quarter of the targets."
    )
    return Table(caption, ["part", target_of(metrics), "share"], rows)


def parts_table(metrics: Mapping[str, Any], data: Mapping[str, Any]) -> Table:
    """Examples, times and targets of each part."""
    parts, spans = data["parts"], data.get("spans", {})
    rows = [["examples", *(f"{part['beats']:,}" for part in parts.values())]]
    if spans:
        rows += [[head, *(spans[name][i] for name in parts)] for i, head in enumerate(("first", "last"))]
    for key, head in (("mean", "mean of the target"), ("sd", "its deviation"), ("min", "least"), ("max", "largest")):
        if all("target" in part for part in parts.values()):
            rows.append([head, *(short(part["target"][key]) for part in parts.values())])
    rows.append(["duplicates within", *(f"{n:,}" for n in data["duplicates"]["within"].values())])
    caption = (
        f"The parts; target: {target_of(metrics)}. Duplicates within: examples equal to an earlier one of the part."
    )
    return Table(caption, ["", *(PART_NAMES.get(name, name) for name in parts)], rows)
