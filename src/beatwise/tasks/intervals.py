"""Bootstrap intervals: how far a metric could differ on another test set of the same size."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping, Sequence
from typing import Any, Literal

import numpy as np
import numpy.typing as npt
import pandas as pd

from beatwise.core.errors import BeatwiseError
from beatwise.data.examples import GROUP
from beatwise.tasks.metrics import Floats, plain

# The patient of each example; None where examples are drawn singly.
Clusters = npt.NDArray[np.str_] | None
# Draws that are scored at once; bounds the memory to some hundred MB on 22,000 beats.
CHUNK = 50


def clusters_of(predictions: pd.DataFrame) -> Clusters:
    """The patient of each example, ``str [n]``; None if the bootstrap draws single examples."""
    if GROUP not in predictions:
        return None
    groups = predictions[GROUP].to_numpy(dtype=str)
    return groups if len(np.unique(groups)) > 1 else None


def bootstrap_weights(rng: np.random.Generator, n: int, draws: int) -> Floats:
    """The number of times that each of n beats is drawn in each sample with replacement, ``float32 [draws, n]``."""
    drawn = rng.integers(0, n, size=(draws, n)) + n * np.arange(draws)[:, None]
    return np.bincount(drawn.ravel(), minlength=draws * n).reshape(draws, n).astype(np.float32)


def draw_weights(n: int, *, draws: int, seed: int, cluster: npt.NDArray[Any] | None = None) -> Iterator[Floats]:
    """The number of times that each beat is drawn in each bootstrap sample, some samples at a time.

    Beats of one record are alike, so a sample of single beats holds more of the same than a sample of other patients
    would. Where records are given, a sample holds as many whole records as there are, drawn with replacement: the
    cluster bootstrap (Davison & Hinkley 1997, section 3.8, strategy 1; Field & Welsh, J. R. Stat. Soc. B 69, 2007).
    From fewer than some twenty records its intervals are still too narrow (Cameron et al., Rev. Econ. Stat. 90, 2008).

    Args:
        n: Number of beats.
        draws: Number of samples.
        seed: Seed of the draws: the same seed draws the same beats of any two models.
        cluster: Record of each beat, ``[n]``; None draws beats singly.

    Yields:
        Weights, ``float32 [at most CHUNK, n]``.

    Raises:
        BeatwiseError: If a beat has no record, if all have the same, or if records and beats differ in number.
    """
    units, members = (n, None) if cluster is None else _clusters(cluster, n)
    rng = np.random.default_rng(seed)
    for start in range(0, draws, CHUNK):
        weights = bootstrap_weights(rng, units, min(CHUNK, draws - start))
        yield weights if members is None else np.take(weights, members, axis=1)


def _clusters(cluster: npt.NDArray[Any], n: int) -> tuple[int, npt.NDArray[np.intp]]:
    """The number of records, and the index of each beat's record."""
    if len(cluster) != n:
        raise BeatwiseError(f"Records cannot be drawn: there are {n:,} beats, and records of {len(cluster):,}.")
    members, records = pd.factorize(cluster, sort=True)
    if (members < 0).any():
        raise BeatwiseError(
            f"Records cannot be drawn: {(members < 0).sum():,} of {n:,} beats have none. Give every beat its record, "
            "or draw beats singly."
        )
    if len(records) < 2:
        raise BeatwiseError(
            f"Records cannot be drawn: all {n:,} beats are of {', '.join(map(str, records)) or 'none'}, so that every "
            "sample is the same. Draw beats singly, and say that the interval holds for this record alone."
        )
    return len(records), members


def bootstrap(
    compute: Callable[[Floats], dict[str, Floats]],
    n: int,
    *,
    draws: int,
    seed: int,
    cluster: npt.NDArray[Any] | None = None,
) -> tuple[dict[str, Floats], dict[str, Floats]]:
    """Compute something of the beats as they are, and in each bootstrap sample.

    Args:
        compute: Takes weights of the beats, ``float32 [b, n]``, and gives values by name, each ``[b, …]``.
        n: Number of beats.
        draws: Number of bootstrap samples.
        seed: Seed of the draws.
        cluster: Record of each beat, ``[n]``, see :func:`draw_weights`; None draws beats singly.

    Returns:
        Values by name, each ``[…]``, and the same in the samples, each ``[draws, …]``.

    Raises:
        BeatwiseError: If the records cannot be drawn.
    """
    samples = [compute(weights) for weights in draw_weights(n, draws=draws, seed=seed, cluster=cluster)]
    point = compute(np.ones((1, n), dtype=np.float32))
    return (
        {name: values[0] for name, values in point.items()},
        {name: np.concatenate([sample[name] for sample in samples]) for name in point},
    )


def interval_ends(confidence: float) -> tuple[float, float]:
    """The quantiles at the ends of an interval that holds this share in its middle."""
    return (1 - confidence) / 2, (1 + confidence) / 2


def interval(
    value: float, drawn: Floats, ends: tuple[float, float], of: float | None = None
) -> dict[str, float | None]:
    """A metric with the ends of its interval; all None where the metric is not defined.

    Args:
        value: The metric.
        drawn: The metric in each bootstrap sample, ``float [draws]``.
        ends: Quantiles at the ends, see :func:`interval_ends`.
        of: How many examples a metric within [0, 1] is a mean over: hits of 20 beats. Where it is 0 or 1 no bootstrap
            sample differs from another, and the ends are those of Wilson's interval instead; with no example at all,
            0 and 1. None leaves those of the bootstrap.
    """
    if np.isnan(value):
        return {"value": None, "low": None, "high": None}
    if of is None or not at_boundary(value):
        # A draw without a single beat of a rare class has no recall for it, and is left out.
        low, high = np.nanquantile(drawn, ends)
    elif of == 0:
        low, high = 0.0, 1.0
    else:
        (low,), (high,) = wilson_interval([value * of], [of], ends[1] - ends[0])
    return {"value": float(value), "low": float(low), "high": float(high)}


def at_boundary(value: float | None) -> bool:
    """Whether a share is 0 or 1."""
    return value in (0.0, 1.0)


def widened(mean: dict[str, float | None], classes: Sequence[Mapping[str, float | None]]) -> dict[str, float | None]:
    """The interval of a mean over classes, with what the bootstrap cannot know of classes at 0 or 1.

    No bootstrap sample differs in them, so that six hits of six beats would count as certain. The distances of the
    ends of independent terms add up in squares (MOVER: Zou & Donner, Stat. Med. 27, 2008).
    """
    defined = [one for one in classes if one["value"] is not None]
    value, low, high = mean["value"], mean["low"], mean["high"]
    if value is None or low is None or high is None:
        return mean

    def apart(end: str) -> float:
        edges = [(one["value"] or 0.0) - (one[end] or 0.0) for one in defined if at_boundary(one["value"])]
        return float(np.square(edges).sum()) / len(defined) ** 2

    low, high = moved_apart(value, np.array([low, high]), np.array([apart("low"), apart("high")])).tolist()
    return {"value": value, "low": low, "high": high}


def moved_apart(value: float, ends: Floats, added: Floats) -> Floats:
    """The ends of an interval of a share, ``[2]``, moved away from it by squared distances ``[2]``, within [0, 1]."""
    return np.clip(value + np.sqrt((value - ends) ** 2 + added) * (-1, 1), 0.0, 1.0)


def paired_differences(
    points: Sequence[Mapping[str, Any]], drawn: Sequence[Mapping[str, Floats]], confidence: float
) -> dict[str, dict[str, float | None]]:
    """Metrics of two models and their differences, with intervals of draws that hold the same examples for both.

    What both have in common cancels (Koehn, EMNLP 2004).

    Args:
        points: The metrics of each, by name.
        drawn: The same in each bootstrap sample, ``float [draws]``.
        confidence: Share of the samples between the ends of an interval.

    Returns:
        By metric ``first``, ``second``, ``difference`` (the second less the first), ``low`` and ``high``, all None
        where one is not defined.
    """
    overall: dict[str, dict[str, float | None]] = {}
    for name in points[0]:
        a, b = (float(point[name]) for point in points)
        if np.isnan(a) or np.isnan(b):
            overall[name] = dict.fromkeys(("first", "second", "difference", "low", "high"))
            continue
        low, high = np.nanquantile(drawn[1][name] - drawn[0][name], interval_ends(confidence))
        overall[name] = {"first": a, "second": b, "difference": b - a, "low": float(low), "high": float(high)}
    return overall


Outcome = Literal["better", "worse", "no different"]


def outcome_of(difference: Mapping[str, float | None], sign: int) -> Outcome:
    """Whether the second of two models is better: a difference counts where its interval does not hold 0.

    Args:
        difference: One metric of :func:`paired_differences`.
        sign: ``Metric.sign``.
    """
    low, high = difference["low"], difference["high"]
    if low is None or high is None or low <= 0 <= high:
        return "no different"
    return "better" if sign * low > 0 else "worse"


def band(
    values: Floats, drawn: Floats, ends: tuple[float, float], of: Floats | None = None
) -> dict[str, list[float | None]]:
    """A curve with the ends of the interval at each of its points; None where the curve is not defined.

    Args:
        values: The curve, ``float [p]``.
        drawn: The curve in each bootstrap sample, ``float [draws, p]``.
        ends: Quantiles at the ends, see :func:`interval_ends`.
        of: How many examples each point is a share of, ``float [p]``: the interval of a point at 0 or 1 holds
            Wilson's, see :func:`interval`. NaN where a point is 0 or 1 by definition; None leaves the bootstrap's.
    """
    around = np.full((2, len(values)), np.nan)
    defined = ~np.isnan(values)
    around[:, defined] = np.nanquantile(drawn[:, defined], ends, axis=0)
    if of is not None and (certain := np.isin(values, (0.0, 1.0)) & (of > 0)).any():
        n = np.round(of[certain])
        low, high = wilson_interval(values[certain] * n, n, ends[1] - ends[0])
        around[0, certain] = np.minimum(around[0, certain], low)
        around[1, certain] = np.maximum(around[1, certain], high)
    return {"value": plain(values), "low": plain(around[0]), "high": plain(around[1])}


def wilson_interval(hits: npt.ArrayLike, n: npt.ArrayLike, confidence: float) -> tuple[Floats, Floats]:
    """The ends of the interval of a share (Wilson, J. Am. Stat. Assoc. 22, 1927), each ``float64 [p]``.

    Beats are taken for independent of each other.

    Args:
        hits: Successes, ``[p]``.
        n: Trials, 1 or more, ``[p]``.
        confidence: Confidence of the interval.
    """
    from scipy.special import ndtri

    # In place of scipy.stats.binomtest, which takes a share at a time and tests it too: curves have thousands.
    k, of, z = np.asarray(hits, np.float64), np.asarray(n, np.float64), ndtri((1 + confidence) / 2)
    centre = (k + z**2 / 2) / (of + z**2)
    apart = z / (of + z**2) * np.sqrt(k * (of - k) / of + z**2 / 4)
    return np.where(k == 0, 0.0, centre - apart), np.where(k == of, 1.0, centre + apart)
