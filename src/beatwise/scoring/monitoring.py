"""Whether scored beats are still like those that a model was trained on.

A table of scored beats is described by counts: how many beats of each record lie in each bin of each measure. Counts
are small plain data; those of several runs are put together, and compared without the beats.

Two numbers say how far a description is from a reference, measure by measure. The population stability index is the
symmetric Kullback–Leibler divergence of two binned distributions (Siddiqi, Credit Risk Scorecards, 2006, who calls
values above 0.25 a major change); Kolmogorov and Smirnov's is the largest difference of the cumulative shares at the
ends of bins. Both grow when samples get small, and p-values find any difference when samples get large (Yurdakul &
Naranjo, J. Risk Model Validation 14(4), 2020, on the index). So neither is compared with a fixed number alone: the
limit is a fixed number or, where that is larger, the value that as many records, drawn from the reference, exceed by
chance. Records are drawn and not beats, because beats of one patient are alike: a single new patient differs from the
population in every measure.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any, Final

import numpy as np
import numpy.typing as npt
import pandas as pd

from beatwise.core.errors import BeatwiseError
from beatwise.data.examples import Examples
from beatwise.data.representations import beat_mask
from beatwise.scoring.settings import Monitor
from beatwise.tasks.classification.predictions import class_names, probabilities

# What is described where it is known, and how people read it.
MEASURES: Final = {
    "length": "length of a beat (s)",
    "rr_before": "RR interval (s)",
    "amplitude": "QRS amplitude (mV)",
    "level": "mean of the scaled beat",
    "spread": "deviation of the scaled beat",
    "roughness": "roughness",
    "confidence": "confidence (top probability)",
    "class": "predicted classes",
    "prediction": "prediction",
}
# Found in the columns of the predictions.
PREDICTED: Final = ("confidence", "class", "prediction")
BINS: Final = 20
# The training part has no amplitudes, because its beats are scaled. So their bins are the same everywhere (mV).
FIXED_EDGES: Final = {"amplitude": np.geomspace(0.1, 10, BINS - 1).round(3).tolist()}
# Fewer records say too little on how records differ.
FEWEST_RECORDS: Final = 5
DRAWS: Final = 1000
# Added to every count, so that an empty bin does not make the index infinite.
PSEUDO_COUNT: Final = 0.5

Floats = npt.NDArray[np.float64]
Counts = npt.NDArray[np.int64]


def measure_beats(examples: Examples, sample_rate: float | None) -> pd.DataFrame:
    """Measures of the input of a model, one row an example.

    Args:
        examples: Beats ``[n, t]``, or windows with time as their last axis.
        sample_rate: Samples per second (Hz); None where examples have no time.

    Returns:
        float32: ``length`` without padding (s; 0 without a rate); ``level``, the mean, and ``spread``, the standard
        deviation of the values; ``roughness``, the mean absolute difference of neighbouring samples in units of the
        spread.
    """
    parts = []
    for x in examples.chunks():
        kept = beat_mask(x) if x.ndim == 2 else np.ones(x.shape, dtype=bool)
        axes = tuple(range(1, x.ndim))
        n = np.maximum(kept.sum(axis=axes), 1)
        level = (x * kept).sum(axis=axes) / n
        centred = np.square(x - level.reshape(-1, *(1 for _ in axes)))
        spread = np.sqrt((centred * kept).sum(axis=axes) / n)
        steps, counted = np.abs(np.diff(x, axis=-1)), kept[..., 1:]
        step = (steps * counted).sum(axis=axes) / np.maximum(counted.sum(axis=axes), 1)
        roughness = step / np.where(spread > 0, spread, 1)
        length = kept.any(axis=axes[:-1]).sum(axis=-1) / (sample_rate or np.inf)
        parts.append(np.column_stack([length, level, spread, roughness]).astype(np.float32))
    return pd.DataFrame(np.concatenate(parts), columns=["length", "level", "spread", "roughness"])


def describe(
    beats: pd.DataFrame, like: Mapping[str, Any] | None = None, unusable: Mapping[str, float] | None = None
) -> dict[str, Any]:
    """Describe a table of scored beats by counts.

    Args:
        beats: One row a beat, with any of the columns of :data:`MEASURES`; ``confidence`` and the classes are found
            in the columns ``probability_<class>``; ``record`` where it is known.
        like: A description whose bins are used, so that the two can be compared; None makes bins of equal counts.
        unusable: Share of each record whose signal is unusable, by name of the record.

    Returns:
        Plain data: ``beats``, their number; ``records``, their names, none where they are not known; ``unusable``,
        one share a record, None where it is not known; ``measures``, by name ``edges`` (inner ends of the bins, the
        right one of which a bin does not hold) or ``classes``, and ``counts``, one list a record, a single one where
        records are not known. Missing values are not counted. Measures that are not in ``like`` are left out, amplitude
        excepted.
    """
    record, names = _by_record(beats, unusable)
    classes = class_names(beats)
    values = {name: beats[name].to_numpy(np.float64) for name in MEASURES if name in beats and name not in PREDICTED}
    if classes:
        top = probabilities(beats)
        values["confidence"] = top.max(axis=1).astype(np.float64)
    elif "prediction" in beats:
        values["prediction"] = beats["prediction"].to_numpy(np.float64)
    measures: dict[str, Any] = {}
    for name, column in values.items():
        known = np.isfinite(column)
        edges = FIXED_EDGES.get(name) or (
            _edges(column[known]) if like is None else like["measures"].get(name, {}).get("edges")
        )
        # Values that are all equal, as the length of windows, say nothing.
        if edges:
            place = np.searchsorted(np.asarray(edges), column[known], side="right")
            measures[name] = {"edges": edges, "counts": _count(record[known], place, len(names), len(edges) + 1)}
    if classes:
        counts = _count(record, top.argmax(axis=1), len(names), len(classes))
        measures["class"] = {"classes": classes, "counts": counts}
    shares = [None if unusable is None else unusable.get(name) for name in names]
    known_records = names if names != [""] else []
    return {"beats": len(beats), "records": known_records, "unusable": shares, "measures": measures}


def describe_training(train: Examples, held_out: Sequence[pd.DataFrame], sample_rate: float | None) -> dict[str, Any]:
    """Describe what a model was trained on: the reference of :func:`compare`.

    Args:
        train: The training part, before resampling: what the input is compared with.
        held_out: Predictions of the validation and the test part: what confidence and predicted classes are compared
            with, because a model is more confident on beats that it was trained on.
        sample_rate: Samples per second (Hz) of an example; None where it has no time.

    Returns:
        A description (:func:`describe`), and ``sample_rate`` beside it.
    """
    measured = measure_beats(train, sample_rate)
    table = pd.concat([train.table.drop(columns=[*measured, "amplitude"], errors="ignore"), measured], axis="columns")
    inputs = describe(table.drop(columns="prediction", errors="ignore"))
    predicted = describe(pd.concat(held_out, ignore_index=True))["measures"]
    measures = inputs["measures"] | {name: predicted[name] for name in PREDICTED if name in predicted}
    return {**inputs, "measures": measures, "sample_rate": sample_rate}


def combine(descriptions: Sequence[Mapping[str, Any]]) -> dict[str, Any]:
    """Put descriptions together, of the records of a run or of several runs; they have the same bins.

    Raises:
        BeatwiseError: If there is none, or if their bins differ.
    """
    if not descriptions:
        raise BeatwiseError("There is no description of scored beats to put together.")
    measures: dict[str, Any] = {}
    for described in descriptions:
        for name, measure in described["measures"].items():
            if _bins(measures.setdefault(name, {**measure, "counts": []})) != _bins(measure):
                raise BeatwiseError(
                    f"These descriptions count {MEASURES[name]} in different bins, because different models made them. "
                    "Put runs of one model together."
                )
            measures[name]["counts"] = [*measures[name]["counts"], *measure["counts"]]
    return {
        "beats": sum(described["beats"] for described in descriptions),
        "records": [name for described in descriptions for name in described["records"]],
        "unusable": [share for described in descriptions for share in described["unusable"]],
        "measures": measures,
    }


def compare(reference: Mapping[str, Any], scored: Mapping[str, Any], monitor: Monitor, seed: int = 0) -> dict[str, Any]:
    """Compare scored beats with a reference.

    Args:
        reference: What :func:`describe_training` returned, or the description of a run that is trusted.
        scored: A description with the bins of the reference.
        monitor: Thresholds.
        seed: Seed of the draws from the reference.

    Returns:
        Plain data: ``raised``, whether any check is; ``beats``, ``records``, ``reference_beats``,
        ``reference_records``: numbers; ``drawn``, ``records`` or ``beats``; ``checks``, one mapping a measure:
        ``name``, ``label``, ``psi``, ``psi_limit``, ``ks``, ``ks_limit`` (None for classes, which have no order),
        ``raised``, ``reference`` and ``scored`` (share of each bin), and the ``edges`` or ``classes`` of the bins;
        ``unusable``, ``{share, limit, raised}`` or None; ``missing``, labels of measures that
        only one of the two has, or the reference has of too few records.

    Raises:
        BeatwiseError: If there is nothing to compare, or the bins differ.
    """
    here, there = reference["measures"], scored["measures"]
    by_record = bool(scored["records"] and reference["records"])
    names = [
        name
        for name in MEASURES
        if name in here and name in there and _known(here[name], by_record) and np.any(there[name]["counts"])
    ]
    if not names:
        raise BeatwiseError(
            f"There is nothing to compare: {scored['beats']:,} beats were scored, and the reference has beats of "
            f"{len(reference['records'])} records. No beats, or fewer than {FEWEST_RECORDS} records in the reference, "
            "say too little on how records differ."
        )
    found: dict[tuple[str, str], float] = {}
    by_chance: dict[tuple[str, str], Floats] = {}
    for name in names:
        if _bins(here[name]) != _bins(there[name]):
            raise BeatwiseError(
                f"The reference and the scored beats count {MEASURES[name]} in different bins: another model scored "
                "them. Score them again with the model that they are to be compared with."
            )
        before, now = np.array(here[name]["counts"]), np.array(there[name]["counts"])
        drawn = _draw(before, now, by_record, np.random.default_rng(seed))
        for key, measure in DISTANCES.items():
            # Classes have no order, and so no cumulative shares.
            if key == "psi" or "edges" in here[name]:
                found[name, key] = float(measure(_shares(before.sum(axis=0)), _shares(now.sum(axis=0))))
                by_chance[name, key] = measure(*drawn)
    limits = _limits(by_chance, monitor)
    checks = [
        {
            "name": name,
            "label": MEASURES[name],
            **{key: found.get((name, key)) for key in DISTANCES},
            **{f"{key}_limit": limits.get((name, key)) for key in DISTANCES},
            "raised": any(found[of] > limit for of, limit in limits.items() if of[0] == name),
            **{key: here[name][key] for key in ("edges", "classes") if key in here[name]},
            "reference": _exact_shares(here[name]),
            "scored": _exact_shares(there[name]),
        }
        for name in names
    ]
    known = [share for share in scored["unusable"] if share is not None]
    share = float(np.mean(known)) if known else None
    unusable = share is not None and {"share": share, "limit": monitor.unusable, "raised": share > monitor.unusable}
    return {
        "raised": any(check["raised"] for check in checks) or bool(unusable and unusable["raised"]),
        "beats": scored["beats"],
        "records": len(scored["records"]) or None,
        "reference_beats": reference["beats"],
        "reference_records": len(reference["records"]) or None,
        "drawn": "records" if by_record else "beats",
        "checks": checks,
        "unusable": unusable or None,
        "missing": [MEASURES[name] for name in MEASURES if (name in here or name in there) and name not in names],
    }


def _by_record(beats: pd.DataFrame, unusable: Mapping[str, float] | None) -> tuple[Counts, list[str]]:
    """The number of the record of each beat, and the names of the records: one, ``""``, where they are not known."""
    if "record" not in beats:
        return np.zeros(len(beats), dtype=np.int64), [""]
    # A record in which no beat was found counts too, by its unusable share.
    names = sorted({*beats["record"].astype(str), *(unusable or {})})
    return pd.Categorical(beats["record"].astype(str), categories=names).codes.astype(np.int64), names


def _count(record: Counts, place: npt.NDArray[np.intp], n_records: int, n_bins: int) -> list[list[int]]:
    counts: list[list[int]] = (
        np.bincount(record * n_bins + place, minlength=n_records * n_bins).reshape(-1, n_bins).tolist()
    )
    return counts


def _edges(values: Floats) -> list[float]:
    """Inner ends of bins of equal counts; fewer where many values are equal, none where all are."""
    if not len(values) or values.min() == values.max():
        return []
    edges = np.unique(np.quantile(values, np.linspace(0, 1, BINS + 1)[1:-1], method="inverted_cdf"))
    return [float(edge) for edge in edges]


def _bins(measure: Mapping[str, Any]) -> Any:
    return measure.get("edges", measure.get("classes"))


def _shares(counts: npt.NDArray[Any]) -> Floats:
    """Shares of the bins, ``float64 [..., n_bins]``."""
    raised = counts + PSEUDO_COUNT
    shares: Floats = raised / raised.sum(axis=-1, keepdims=True)
    return shares


def _psi(one: Floats, other: Floats) -> Floats:
    index: Floats = ((one - other) * np.log(one / other)).sum(axis=-1)
    return index


def _ks(one: Floats, other: Floats) -> Floats:
    distance: Floats = np.abs(np.cumsum(one - other, axis=-1)).max(axis=-1)
    return distance


DISTANCES: Final = {"psi": _psi, "ks": _ks}


def _exact_shares(measure: Mapping[str, Any]) -> list[float]:
    counts = np.array(measure["counts"]).sum(axis=0)
    shares: list[float] = (counts / max(counts.sum(), 1)).tolist()
    return shares


def _limits(by_chance: Mapping[tuple[str, str], Floats], monitor: Monitor) -> dict[tuple[str, str], float]:
    """The limit of each number: its threshold, or what it exceeds by chance, where that is larger.

    All are exceeded equally often, so often that the wanted share of the draws exceeds any of them (the minimum of the
    p-values, Westfall & Young, Resampling-Based Multiple Testing, 1993).
    """
    from scipy.stats import norm, rankdata

    drawn = np.column_stack(list(by_chance.values()))
    p_values = rankdata(-drawn, method="max", axis=0) / len(drawn)
    tail = float(np.quantile(p_values.min(axis=1), monitor.false_alarms))
    # A patient may be further from the population than any of the few in the reference: a log-normal tail.
    logs = np.log(np.maximum(drawn, np.finfo(float).tiny))
    beyond = np.exp(logs.mean(axis=0) + norm.isf(tail) * logs.std(axis=0))
    chance = np.maximum(np.quantile(drawn, 1 - tail, axis=0), beyond)
    return {of: max(getattr(monitor, of[1]), float(limit)) for of, limit in zip(by_chance, chance, strict=True)}


def _known(measure: Mapping[str, Any], by_record: bool) -> bool:
    """Whether there are beats, and of enough records to tell how records differ."""
    n_records = int(np.count_nonzero(np.sum(measure["counts"], axis=1)))
    return n_records >= (FEWEST_RECORDS if by_record else 1)


def _draw(before: Counts, now: Counts, by_record: bool, rng: np.random.Generator) -> tuple[Floats, Floats]:
    """Shares of the bins in two samples that are both drawn from the reference, ``float64 [DRAWS, n_bins]`` each.

    One has the number of records of the reference. The other has the records and beats of the scored ones; each of
    its records has the shares of some record of the reference.
    """
    sizes, n = before.sum(axis=1), int(now.sum())
    if not by_record:
        shares = _shares(before.sum(axis=0))
        return tuple(_shares(rng.multinomial(total, shares, DRAWS)) for total in (int(sizes.sum()), n))  # type: ignore[return-value]
    # A record without beats says nothing.
    before, sizes = before[sizes > 0], sizes[sizes > 0]
    weights = now.sum(axis=1) / n
    mixed = np.empty((DRAWS, before.shape[1]))
    # Few draws at a time, where there are many records.
    for rows in np.array_split(np.arange(DRAWS), 1 + DRAWS * len(now) // 10**7):
        chosen = rng.integers(len(before), size=(len(rows), len(now))) + np.arange(len(rows))[:, None] * len(before)
        drawn = np.bincount(chosen.ravel(), np.tile(weights, len(rows)), len(rows) * len(before))
        mixed[rows] = drawn.reshape(len(rows), -1) @ (before / sizes[:, None])
    again = rng.multinomial(len(before), np.full(len(before), 1 / len(before)), DRAWS) @ before
    return _shares(again), _shares(rng.multinomial(n, mixed / mixed.sum(axis=1, keepdims=True)))
