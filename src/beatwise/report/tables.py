"""The score tables, as rows of text: the terminal and the report print the same ones.

Parameters are named after the results that they take: ``metrics`` is the result of ``measure_predictions``,
``assessment`` of ``assess_predictions``, ``data`` of ``summarise_data``, ``leaderboard`` of ``rank_rows``, ``paired``
of ``compare_with_baseline``, ``trials`` of ``trials_table``, ``space`` of ``space_table``, ``explanation`` of
``summarise_explanation``. ``names`` are the metrics to show.
"""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from typing import Any, Final

import numpy as np
import pandas as pd

from beatwise.comparison.documents import Row
from beatwise.comparison.leaderboard import compared_metrics, folds_of, ranked_metrics, row_labels
from beatwise.data.examples import BEAT, noun, reword
from beatwise.explanation.methods import AUX
from beatwise.figures.search import eligible_trials
from beatwise.figures.style import PART_NAMES
from beatwise.tasks.classification.aami import aami_scores, uses_of_ec57
from beatwise.tasks.registry import METRICS
from beatwise.tasks.settings import Evaluate

# Metrics in the order in which tables show them.
HEADLINE: Final = ("macro_recall", "macro_f1", "accuracy", "macro_auroc", "kappa")
ALL: Final = (
    *HEADLINE,
    "macro_precision",
    "macro_specificity",
    "macro_average_precision",
    "balanced_accuracy",
    "mcc",
    "log_loss",
    "ece",
    "brier",
)
HEADLINE_BY_CLASS: Final = ("recall", "precision", "f1")
ALL_BY_CLASS: Final = (*HEADLINE_BY_CLASS, "specificity", "auroc", "average_precision")

# From fewer groups a bootstrap of whole groups gives intervals that are too narrow (Cameron et al. 2008).
FEW_PATIENTS: Final = 20

OF_PROBABILITIES: Final = ("macro_auroc", "macro_average_precision", "log_loss", "ece", "brier")


# Metrics in the unit of a target that is a number, or in its square.
IN_UNIT: Final = {"rmse": "{}", "mae": "{}", "mse": "{} squared"}


def label_of(name: str, unit: str) -> str:
    """A metric with the unit of the target, where it has one."""
    return METRICS[name].label + (f" ({IN_UNIT[name].format(unit)})" if unit and name in IN_UNIT else "")


@dataclass(frozen=True)
class Table:
    """A table of text.

    Attributes:
        caption: A sentence on its content.
        columns: Column heads.
        rows: Cells, one list a row.
        labels: How many of the first columns name the row.
        notes: How many of the last columns are text.
        marked: How many of the first rows stand out.
    """

    caption: str
    columns: list[str]
    rows: list[list[str]]
    labels: int = 1
    notes: int = 0
    marked: int = 0

    def in_words_for(self, shape: Sequence[int]) -> Table:
        """The table in the words for examples of this shape."""
        return replace(
            self, caption=reword(self.caption, shape), columns=[reword(column, shape) for column in self.columns]
        )


def with_interval(metric: Mapping[str, float | None]) -> str:
    """``.912 [.887, .934]``, or a dash where the metric is not defined."""
    if metric["value"] is None:
        return "–"
    return f"{short(metric['value'])} [{short(metric['low'])}, {short(metric['high'])}]"


def short(value: float | None) -> str:
    """``.912``: three decimals, no zero before the point."""
    text = f"{value:.3f}"
    return text.replace("0.", ".", 1) if text.startswith(("0.", "-0.")) else text


PARTS: Final = ("naive", "val", "test", "recall_first")
# These fit into 80 columns.
PARTS_ON_TERMINAL: Final = ("naive", "test", "recall_first")


def overall_table(metrics: Mapping[str, Any], names: Sequence[str] = (), shown: Sequence[str] = PARTS) -> Table:
    """Naive classifier and model, one metric a row.

    Args:
        metrics: Result of ``Task.measure``.
        names: Metrics to show, as far as they were measured; where none was, and by default, all are shown, those of
            :data:`ALL` first.
        shown: Columns to show, of :data:`PARTS`, as far as they were measured.
    """
    measured, classes = metrics["test"]["overall"], metrics.get("classes")
    heads = {
        "naive": f"always {majority_class(metrics)}, test" if classes else "naive, test",
        "val": "model, validation",
        "test": "model, test",
        "recall_first": "recall first, test",
    }
    parts = {part: heads[part] for part in shown if part in metrics}
    rows = [
        [
            METRICS[name].label,
            *(
                # Multiplied probabilities are good for choosing a class, and no longer for anything else.
                ""
                if part == "recall_first" and name in OF_PROBABILITIES
                else with_interval(metrics[part]["overall"][name])
                for part in parts
            ),
        ]
        for name in [name for name in names if name in measured]
        or [name for name in dict.fromkeys([*ALL, *measured]) if name in measured]
    ]
    chosen = " Validation chose the epoch, so its scores are too high." if "val" in shown else ""
    noun = "beats" if classes else "examples"
    recall_first = f" Recall first: {operating_point(metrics)}" if "recall_first" in metrics else ""
    caption = (
        f"{metrics['test']['n']:,} test {noun}, {metrics['val']['n']:,} validation {noun}. In brackets the "
        f"{metrics['confidence']:.0%} interval from {metrics['bootstrap_draws']:,} bootstrap draws of "
        f"{'whole ' if metrics['patients'] else ''}{metrics['bootstrap_of']}, at 0 and 1 "
        f"Wilson's.{few_patients(metrics)}{chosen}{recall_first}"
    )
    return Table(caption, ["", *parts.values()], rows)


def operating_point(metrics: Mapping[str, Any]) -> str:
    """How the recall-first operating point came about, and whether it keeps its promise on validation."""
    floor = short(metrics["accuracy_floor"])
    if not metrics["floor_reached"]:
        return (
            f"no factors reach an accuracy of {floor} on validation (best {short(metrics['floor_accuracy'])}); argmax "
            "is kept."
        )
    factors = ", ".join(f"{label} {factor:.3g}" for label, factor in metrics["class_factors"].items())
    return (
        "each probability times the factor of its class, chosen on validation for macro recall at an accuracy of "
        f"{floor} or more: {factors}."
    )


def few_patients(metrics: Mapping[str, Any]) -> str:
    """A sentence where the intervals come from too few patients to be trusted; empty where not."""
    patients = metrics["patients"]
    if patients is None or patients >= FEW_PATIENTS:
        return ""
    drawn = "patients" if "classes" in metrics else metrics["bootstrap_of"]
    return f" From only {patients} {drawn} these intervals are too narrow (Cameron et al. 2008)."


def per_class_table(metrics: Mapping[str, Any], names: Sequence[str] = ALL_BY_CLASS) -> Table:
    """The model on test, one class a row."""
    scores = metrics["test"]["per_class"]
    rows = [
        [label, f"{scores[label]['support']:,}", *(with_interval(scores[label][name]) for name in names)]
        for label in metrics["classes"]
    ]
    return Table("The model on the test beats of each class.", ["class", "beats", *_heads(names)], rows)


def ec57_tables(assessment: Mapping[str, Any]) -> list[Table]:
    """The tables of ANSI/AAMI EC57, one with five classes and one without Q, where the classes are those."""
    return [_ec57_table(table) for table in assessment["ec57"]]


def _ec57_table(table: Mapping[str, Any]) -> Table:
    names = {"recall": "Se", "precision": "+P", "fpr": "FPR", "accuracy": "accuracy"}
    rows = [
        [label, f"{scores['support']:,}", *(with_interval(scores[name]) for name in names)]
        for label, scores in table["per_class"].items()
    ]
    without = f", {' and '.join(table['left_out'])} left out" if table["left_out"] else ""
    caption = (
        f"ANSI/AAMI EC57{without}, {table['n']:,} test beats: accuracy {with_interval(table['accuracy'])}, "
        f"κ {with_interval(table['kappa'])}, jκ {with_interval(table['j_kappa'])} (Mar et al. 2011). An F or Q beat "
        "that is called V, or a Q beat that is called S, counts neither for nor against."
    )
    return Table(caption, ["class", "beats", *names.values()], rows)


def thresholds_table(assessment: Mapping[str, Any]) -> Table:
    """Scores at a threshold for a wanted recall, each class against the rest."""
    names = ("recall", "specificity", "precision")
    rows = [
        [
            label,
            "–" if scores["threshold"] is None else f"{scores['threshold']:.3g}",
            "–" if scores["called"] is None else f"{scores['called']:,} for {scores['support']:,}",
            *(with_interval(scores[name]) for name in names),
        ]
        for label, scores in assessment["thresholds"].items()
    ]
    caption = (
        "Each class against the rest, on test, at the highest threshold of its probability that has a recall of "
        f"{assessment['wanted_recall']:g} on validation. Called: beats at or above it, for those that there are."
    )
    return Table(caption, ["class", "threshold", "called", *_heads(names)], rows)


def calibration_table(assessment: Mapping[str, Any]) -> Table:
    """Calibration before and after the temperature."""
    calibration = assessment["calibration"]
    parts = [calibration[part] for part in ("before", "after")]
    rows = [
        [METRICS["ece"].label, *(f"{part['top']['ece']:.4f}" for part in parts)],
        ["the same by class, mean", *(f"{part['classwise_ece']:.4f}" for part in parts)],
        [METRICS["log_loss"].label, *(f"{part['log_loss']:.4f}" for part in parts)],
        [METRICS["brier"].label, *(f"{part['brier']:.4f}" for part in parts)],
    ]
    caption = (
        f"Test, before and after a temperature of {calibration['temperature']:.3g}, fitted on validation (Guo et al. "
        "2017): above 1 the probabilities were too sure. It changes no prediction."
    )
    return Table(caption, ["", "before", "after"], rows)


def rejections_table(assessment: Mapping[str, Any]) -> Table:
    """Scores of the beats that are not left to a person."""
    names = ("coverage", "error", "macro_recall")
    rows = [
        [f"{one['threshold']:.4f}", f"{one['accepted']:,}", *(with_interval(one[name]) for name in names)]
        for one in assessment["rejections"]
    ]
    caption = (
        "Test beats are accepted from a top probability on that validation chose for its own coverage. Error and macro "
        "recall are those of the accepted beats; the rest is left to a person."
    )
    return Table(caption, ["threshold", "accepted", "coverage", "error", METRICS["macro_recall"].label], rows)


def majority_class(metrics: Mapping[str, Any]) -> str:
    """The class that the naive classifier always predicts."""
    predicted = [sum(column) for column in zip(*metrics["naive"]["confusion"], strict=True)]
    return str(metrics["classes"][predicted.index(max(predicted))])


def parts_table(data: Mapping[str, Any]) -> Table:
    """Beats of each class in each part, with their share, and what else there is to count."""
    parts = data["parts"]
    rows = [
        [label, *(f"{part['counts'][label]:,} ({part['shares'][label]:.1%})" for part in parts.values())]
        for label in data["classes"]
    ]
    rows.append(["all", *(f"{part['beats']:,}" for part in parts.values())])
    if data["records"]["known"]:
        rows.append(["records", *(f"{part['records']:,}" for part in parts.values())])
    rows.append(["duplicates within", *(f"{n:,}" for n in data["duplicates"]["within"].values())])
    caption = (
        "Beats, and in brackets their share of the part. Duplicates within: beats that are equal, in all values and "
        "label, to an earlier one of the same part."
    )
    return Table(caption, ["class", *(PART_NAMES.get(name, name) for name in parts)], rows)


def shared_table(data: Mapping[str, Any]) -> Table:
    """Duplicates and records that two parts share."""
    known, shared = data["records"]["known"], data["records"]["shared"]
    pictures = noun(data.get("shape", BEAT)) == "picture"
    rows = []
    for pair, n in data["duplicates"]["across"].items():
        first, second = pair.split(" and ")
        share = n / max(data["parts"][first]["beats"], 1)
        records = f"{len(shared[pair])} of {data['parts'][second]['records']}" if known else "not known"
        of_records = [records] if known or not pictures else []
        rows.append(
            [" and ".join(PART_NAMES.get(name, name) for name in (first, second)), f"{n:,} ({share:.1%})", *of_records]
        )
    caption = "Duplicates: beats of the first part that stand, equal in all values and label, in the second too."
    if not known and pictures:
        return Table(caption, ["in both", "duplicates"], rows)
    caption += " Records: those of the second part that stand in the first too."
    return Table(caption, ["in both", "duplicates", "records"], rows)


def leaderboard_table(leaderboard: pd.DataFrame, evaluate: Evaluate) -> Table:
    """Scores of every row of a comparison."""
    names, ranked = compared_metrics(leaderboard), ranked_metrics(leaderboard)
    recall_first = ["recall first"] if "recall_first_macro_recall" in leaderboard else []
    rows = [
        [
            *_labels(row),
            f"{row['averaged']} averaged" if row["averaged"] else "–" if row["naive"] else str(row["seeds"]),
            *(_with_sd(row, name) for name in names),
            *over_folds,
            *(
                f"{short(row['recall_first_macro_recall'])} at {short(row['recall_first_accuracy'])}"
                for _ in recall_first
            ),
            " / ".join(str(row[f"rank_{name}"]) for name in ranked),
        ]
        for row, over_folds in zip(leaderboard.to_dict("records"), _over_folds(leaderboard), strict=True)
    ]
    caption = (
        f"{_what_is_tested(leaderboard)}. ± is the deviation over seeds; in brackets the {evaluate.confidence:.0%} "
        "bootstrap interval of the mean over the seeds; an ensemble averages the predictions of its fits and has one "
        "score. "
        f"Ranks by {' / '.join(_heads(ranked))}."
    )
    if recall_first:
        caption += (
            " Recall first: macro recall at its accuracy, with factors of the classes chosen on validation for an "
            f"accuracy of {evaluate.accuracy_floor} there."
        )
    heads = [*_heads(names), *_fold_head(leaderboard), *recall_first]
    return Table(caption, ["model", "strategy", "seeds", *heads, "rank"], rows, labels=2)


def short_leaderboard_table(leaderboard: pd.DataFrame) -> Table:
    """The leaderboard as wide as a terminal is."""
    in_folds = ranked_metrics(leaderboard)[:1] if _fold_head(leaderboard) else []
    # With the range over folds, two metrics fit into 80 columns.
    names = compared_metrics(leaderboard)[: 3 - len(in_folds)]
    rows = [
        [label, *(_with_sd(row, name, interval=False) for name in names), *over_folds]
        for label, row, over_folds in zip(
            row_labels(leaderboard), leaderboard.to_dict("records"), _over_folds(leaderboard), strict=True
        )
    ]
    first = METRICS[ranked_metrics(leaderboard)[0]].label
    tested = _what_is_tested(leaderboard)
    caption = f"{tested}, best {first} first; ± is the deviation over seeds. Intervals stand in the report."
    heads = [*(_narrow(name) for name in names), *(f"{_narrow(name)}, folds" for name in in_folds)]
    return Table(caption, ["", *heads], rows)


def _narrow(name: str) -> str:
    """The label of a metric, or its name in capitals where that is much shorter: RMSE."""
    label = METRICS[name].label
    return label if len(label) <= 2 * len(name) else name.upper()


def folds_table(leaderboard: pd.DataFrame) -> Table | None:
    """The metric that orders the rows, in each fold of a cross-validation; None without one."""
    metric = METRICS[ranked_metrics(leaderboard)[0]]
    folds = folds_of(leaderboard, metric.name)
    if folds.empty:
        return None
    rows = [
        [*_labels(row), *(short(value) for value in values), short(row[metric.name])]
        for row, values in zip(leaderboard.to_dict("records"), folds.to_numpy(), strict=True)
    ]
    caption = (
        f"{metric.label[0].upper()}{metric.label[1:]} on the test part of each fold, the mean over the seeds. Pooled: "
        "measured once over the predictions of all folds, which is not the mean of the folds."
    )
    return Table(caption, ["model", "strategy", *(f"fold {fold}" for fold in folds), "pooled"], rows, labels=2)


def _over_folds(leaderboard: pd.DataFrame) -> list[list[str]]:
    """For each row a cell with the lowest and highest value over the folds; no cell without folds."""
    folds = folds_of(leaderboard, ranked_metrics(leaderboard)[0])
    if folds.empty:
        return [[] for _ in range(len(leaderboard))]
    ends = zip(folds.min(axis=1), folds.max(axis=1), strict=True)
    return [["–" if math.isnan(low) else f"{short(low)} to {short(high)}"] for low, high in ends]


def _fold_head(leaderboard: pd.DataFrame) -> list[str]:
    metric = ranked_metrics(leaderboard)[0]
    return [] if folds_of(leaderboard, metric).empty else [f"{METRICS[metric].label}, folds"]


def _what_is_tested(leaderboard: pd.DataFrame) -> str:
    folds = folds_of(leaderboard, ranked_metrics(leaderboard)[0])
    return "Test" if folds.empty else f"Test predictions of {folds.shape[1]} folds, measured together"


def behind_table(leaderboard: pd.DataFrame, confidence: float) -> Table:
    """The distance of every row from the first, by paired bootstrap."""
    names = ranked_metrics(leaderboard)
    rows = [
        [*_labels(row), *(_behind(row, name) for name in names), *(short(row[f"val_{name}"]) for name in names)]
        for row in leaderboard.to_dict("records")
    ]
    caption = (
        f"How much worse than the best on test each row is, on the same bootstrap samples, with the {confidence:.0%} "
        "interval: one that holds 0 cannot tell the two apart. The intervals know nothing of chance in training (±, "
        "above), nor that the best was picked among many. Validation stands beside it, because a model is to be chosen "
        "there."
    )
    heads = [f"{label} behind" for label in _heads(names)] + [f"{label}, validation" for label in _heads(names)]
    return Table(caption, ["model", "strategy", *heads], rows, labels=2)


def against_table(leaderboard: pd.DataFrame, confidence: float) -> Table | None:
    """The differences of rows from those of one model, strategy by strategy; None where none were compared so."""
    if "against" not in leaderboard:
        return None
    names = [name for name in compared_metrics(leaderboard) if f"over_{name}" in leaderboard]
    compared = leaderboard[leaderboard["against"].notna()]
    tested = bool(compared[[f"over_{name}_p" for name in names]].notna().any(axis=None))
    rows = [[*_labels(row), *(_over(row, name) for name in names)] for row in compared.to_dict("records")]
    caption = (
        f"Each score less that of {compared['against'].iloc[0]} with the same strategy, mean over the seeds, with the "
        f"{confidence:.0%} interval over the same bootstrap samples: one that holds 0 cannot tell the two apart."
    )
    if tested:
        caption += " p is that of the corrected resampled t-test over the folds (Nadeau & Bengio 2003)."
    return Table(caption, ["model", "strategy", *_heads(names)], rows, labels=2)


def classes_table(leaderboard: pd.DataFrame, rows: Sequence[Row]) -> Table | None:
    """F1, recall and precision of each class in every row of a comparison; None without classes."""
    if not (classes := _classes(rows)):
        return None

    def cell(seeds: Sequence[Mapping[str, Any]], label: str) -> str:
        scores = [seed["test"]["per_class"][label] for seed in seeds]
        f1, recall, precision = (_mean([of[name]["value"] for of in scores]) for name in ("f1", "recall", "precision"))
        return f"{f1} ({recall} / {precision})"

    cells = [[*labels, *(cell(seeds, label) for label in classes)] for labels, seeds in _measured(leaderboard, rows)]
    caption = "F1 (recall / precision) on test, means over the seeds."
    return Table(caption, ["model", "strategy", *classes], cells, labels=2)


def ec57_leaderboard_table(leaderboard: pd.DataFrame, rows: Sequence[Row]) -> Table | None:
    """The scores of EC57 of every row of a comparison, without Q; None where the classes are not those of EC57."""
    if not (uses := uses_of_ec57(classes := _classes(rows))):
        return None
    kept = [index for index, label in enumerate(classes) if label not in uses[-1]]
    names = [classes[index] for index in kept]
    diseases = [index for index, label in enumerate(names) if label != "N"]
    cells = []
    for labels, seeds in _measured(leaderboard, rows):
        counts = np.array([seed["test"]["confusion"] for seed in seeds], dtype=np.float64)
        overall, per_class, _ = aami_scores(counts[:, kept][:, :, kept], names)
        sds = [f" ± {short(values.std(ddof=1))}" if len(values) > 1 else "" for values in overall.values()]
        found = [f"{short(values.mean())}{sd}" for values, sd in zip(overall.values(), sds, strict=True)]
        for index in diseases:
            found.append(" / ".join(_mean(per_class[name][:, index].tolist()) for name in ("recall", "precision")))
        cells.append([*labels, *found])
    caption = (
        f"ANSI/AAMI EC57, {'without Q, ' if uses[-1] else ''}means over the seeds ± their deviation; jκ after Mar et "
        "al. 2011, Se / +P: sensitivity and positive predictivity. An F beat that is called V counts neither for nor "
        "against."
    )
    heads = ["accuracy", "κ", "jκ", *(f"{names[index]}: Se / +P" for index in diseases)]
    return Table(caption, ["model", "strategy", *heads], cells, labels=2)


def _classes(rows: Sequence[Row]) -> list[str]:
    """The classes of a comparison, none if it is of numbers."""
    return next((row.metrics["classes"] for row in rows if "classes" in row.metrics), [])


def _measured(leaderboard: pd.DataFrame, rows: Sequence[Row]) -> list[tuple[list[str], list[dict[str, Any]]]]:
    """Model and strategy of every row of a leaderboard, with the metrics of its seeds."""
    whole = [row for row in rows if row.metrics and row.fold is None]
    return [
        (labels, [row.metrics for row in whole if [row.model, row.strategy] == labels])
        for labels in map(_labels, leaderboard.to_dict("records"))
    ]


def _mean(values: Sequence[float | None]) -> str:
    """The mean of the defined values."""
    known = [value for value in values if value is not None and not math.isnan(value)]
    return short(sum(known) / len(known)) if known else "–"


def cost_table(leaderboard: pd.DataFrame) -> Table:
    """Parameters, epochs and time of every row of a comparison."""
    rows = [
        [
            *_labels(row),
            "–" if math.isnan(row["n_parameters"]) else f"{row['n_parameters']:,.0f}",
            "–" if math.isnan(row["best_epoch"]) else f"{row['best_epoch']:.0f}",
            f"{row['seconds']:,.0f}",
        ]
        for row in leaderboard[~leaderboard["naive"]].to_dict("records")
    ]
    caption = (
        "Means over the seeds; of an ensemble, all its fits together. Seconds of training and validation on one "
        "thread, beside other rows."
    )
    return Table(caption, ["model", "strategy", "parameters", "best epoch", "seconds"], rows, labels=2)


def changes_table(rows: Sequence[Row]) -> Table:
    """Changes of every model and strategy of a comparison in the parameters of a fit."""
    distinct = {(row.model, row.strategy): row for row in rows if not row.naive}
    cells = [
        [*labels, ", ".join(f"{key}={value}" for key, value in row.changes.items()) or "nothing"]
        for labels, row in distinct.items()
    ]
    caption = "Everything else is as the parameters say; ensemble: the mean of the predictions of these models."
    return Table(caption, ["model", "strategy", "changes"], cells, labels=3)


def paired_table(
    paired: Mapping[str, Any], names: Sequence[str] = ALL, models: tuple[str, str] = ("baseline", "tuned")
) -> Table:
    """Two models, by default the baseline and the tuned one, on the same test beats."""
    at_point, unit = paired.get("recall_first", {}), paired.get("unit", "")
    shown = [(label_of(name, unit), paired["overall"][name]) for name in names]
    for name in ("macro_recall", "accuracy") if at_point else ():
        shown.append((f"recall first: {METRICS[name].label}", at_point[name]))
    rows = []
    for label, found in shown:
        if found["difference"] is None:
            rows.append([label, "–", "–", "–"])
            continue
        between = {"value": found["difference"], "low": found["low"], "high": found["high"]}
        rows.append([label, short(found["first"]), short(found["second"]), with_interval(between)])
    mcnemar, noun = paired.get("mcnemar"), "beats" if at_point else "examples"
    caption = (
        f"{paired['n']:,} test {noun}. In brackets the {paired['confidence']:.0%} interval of the difference from "
        f"{paired['bootstrap_draws']:,} bootstrap draws, the same {noun} for both: one that holds 0 cannot tell the "
        "two apart."
    )
    if mcnemar:
        caption += (
            f" {models[0].capitalize()} alone is right on {mcnemar['first_only']:,} beats, {models[1]} alone on "
            f"{mcnemar['second_only']:,} (McNemar's exact test, which takes beats for independent: "
            f"{_p_value(mcnemar['p'])})."
        )
    return Table(caption, ["", *models, "difference"], rows)


def _p_value(p: float) -> str:
    return "p < .001" if p < 0.001 else f"p = {short(p)}"


def best_trials_table(trials: pd.DataFrame, space: pd.DataFrame, metric: str, shown: int = 10) -> Table:
    """The best trials of a search, with their values, the most important first."""
    ranked = eligible_trials(trials).sort_values("score", ascending=not METRICS[metric].higher_is_better, kind="stable")
    rows = [
        [
            str(trial["trial"]),
            ", ".join(f"{name}={_value(trial[name])}" for name in space["name"] if not pd.isna(trial[name])),
            short(trial["score"]) + ("" if math.isnan(trial["score_sd"]) else f" ± {short(trial['score_sd'])}"),
            trial["status"],
            str(trial["epochs"]),
            f"{trial['seconds']:,.0f}",
        ]
        for trial in ranked.head(shown).to_dict("records")
    ]
    caption = (
        f"The best {len(rows)} of {len(trials)} trials by {METRICS[metric].label} on validation, which chose their "
        "epoch too: the scores are too high."
    )
    return Table(caption, ["trial", "values", METRICS[metric].label, "status", "epochs", "seconds"], rows, labels=2)


def searched_table(space: pd.DataFrame) -> Table:
    """Ranges of a search, the best values and their importance."""
    rows = [
        [
            row["name"],
            row["range"],
            row["prior"],
            _value(row["best"]) or "–",
            "–" if math.isnan(row["importance"]) else f"{row['importance']:.0%}",
        ]
        for row in space.to_dict("records")
    ]
    caption = (
        "Best: the value in the best trial; – where that did not call for it, or where too few trials say nothing."
    )
    return Table(caption, ["hyper-parameter", "range", "prior", "best", "importance"], rows, labels=3)


def _value(value: Any) -> str:
    try:
        return f"{float(value):.3g}"
    except ValueError:
        return str(value)


def _heads(names: Sequence[str]) -> list[str]:
    return [METRICS[name].label for name in names]


def _labels(row: Mapping[Any, Any]) -> list[str]:
    return [str(row["model"]), str(row["strategy"])]


def _with_sd(row: Mapping[Any, Any], name: str, interval: bool = True) -> str:
    sd = "" if math.isnan(row[f"{name}_sd"]) else f" ± {short(row[f'{name}_sd'])}"
    between = f" [{short(row[f'{name}_low'])}, {short(row[f'{name}_high'])}]" if interval else ""
    return f"{short(row[name])}{sd}{between}"


def _behind(row: Mapping[Any, Any], name: str) -> str:
    if row[f"rank_{name}"] == 1:
        return "the best"
    low, high = (short(row[f"behind_{name}_{end}"]) for end in ("low", "high"))
    return f"{short(row[f'behind_{name}'])} [{low}, {high}]"


def _over(row: Mapping[Any, Any], name: str) -> str:
    # Adding 0 makes a zero of what would be written -0.
    signed = (f"{round(row[f'over_{name}{end}'], 4) + 0.0:+.4f}" for end in ("", "_low", "_high"))
    value, low, high = (text[0] + text[1:].removeprefix("0") for text in signed)
    p = row[f"over_{name}_p"]
    return f"{value} [{low}, {high}]" + ("" if math.isnan(p) else f", p {'< .001' if p < 0.001 else f'= {short(p)}'}")


def explanation_table(explanation: Mapping[str, Any]) -> Table:
    """Attributions of the logit of each class, and how far the class lies apart from the others."""
    known = [found["attributed"] for found in explanation["classes"].values() if found["attributed"]]
    rr = [name for name in known[0] if name.startswith(AUX)] if known else []
    pictures = noun(explanation.get("shape", BEAT)) == "picture"
    seen, features = ("pixels", "features") if pictures else ("trace", "RR features")
    of_features = "features" if pictures else "RR intervals"
    rows = []
    for name, found in explanation["classes"].items():
        attributed, apart = found["attributed"], found["same_class"]
        numbers = ["–"] * (2 + bool(rr))
        if attributed:
            of_rr = [sum(attributed[feature] for feature in rr)] if rr else []
            numbers = [f"{value:+.2f}" for value in (attributed["difference"], attributed["trace"], *of_rr)]
        apart = "–" if apart is None else f"{apart:.0%}"
        counts = [f"{found[count]:,}" for count in ("beats", "drawn", "projected")]
        rows.append([name, *counts, *numbers, apart])
    caption = (
        "The mean excess of the logit of a class for its own beats over that for "
        + ("an empty one" if pictures else "a flat line")
        + (f" with mean {of_features}, and the shares of the {seen} and of the {features} in it" if rr else "")
        + ". Last, the share of a beat's 15 nearest neighbours in the last layer that are of its class: for a rare"
        " class it can be small because there are few."
    )
    columns = ["class", "validation beats", "explained", "projected", "logit above baseline", f"by the {seen}"]
    return Table(caption, [*columns, *([f"by {features}"] if rr else []), "neighbours of its class"], rows)
