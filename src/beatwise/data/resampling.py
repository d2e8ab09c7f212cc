"""Resampling strategies: make the classes of the training part more alike in number.

Signal and RR intervals are resampled together, as the columns of one feature matrix:

- strategies that select or repeat beats (``none``, ``semi_oversampling``, ``full_oversampling``,
  ``random_undersampling``, ``n_per_class``) keep whole rows, so a beat keeps its own RR intervals, record and sample;
- the SMOTE family and ADASYN look for neighbours in the joint space of signal (in [0, 1]) and RR intervals (in
  seconds, so of the same order) and interpolate both by the same factor;
- ``graft`` joins the head of one beat and the tail of another: ``rr_before`` comes with the head, ``rr_after`` with
  the tail, the local and record means are averaged.

Beats that are made rather than kept belong to no record: their record and sample are missing.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from typing import Annotated, Any

import numpy as np
import numpy.typing as npt
import pandas as pd
from pydantic import Field

from beatwise.core.errors import BeatwiseError
from beatwise.core.registry import Registry
from beatwise.data.examples import IDENTITY_COLUMNS, RR_COLUMNS, Labels, beats_table, has_rr, labels, signals

Features = npt.NDArray[np.float32]
Neighbours = Annotated[int, Field(ge=1)]


@dataclass(frozen=True, eq=False)
class Resampled:
    """What a strategy made.

    Attributes:
        features: Signal and RR intervals, ``float32 [m, n_features]``.
        target: Class indices, ``int64 [m]``.
        parent: The row that each row is a copy of, -1 where it was made, ``int64 [m]``.
    """

    features: Features
    target: Labels
    parent: npt.NDArray[np.int64]

    def rows(self, chosen: npt.NDArray[np.int64]) -> Resampled:
        """Only the chosen rows, in their order."""
        return Resampled(self.features[chosen], self.target[chosen], self.parent[chosen])


Strategy = Callable[..., Resampled]
STRATEGIES: Registry[Strategy] = Registry("resampling strategy", supplied=["seed", "n_signal"])


@STRATEGIES.register("none")
def keep_all(features: Features, target: Labels, *, seed: int, n_signal: int) -> Resampled:
    """Keep the training part as it is."""
    return _original(features, target)


@STRATEGIES.register("semi_oversampling")
def oversample_minorities_together(features: Features, target: Labels, *, seed: int, n_signal: int) -> Resampled:
    """Keep the largest class; draw as many beats again, with replacement, from all the others pooled.

    The minority classes keep their proportions to one another.
    """
    from sklearn.utils import resample

    majority = int(np.bincount(target).argmax())
    keep = np.flatnonzero(target == majority)
    drawn = resample(np.flatnonzero(target != majority), n_samples=len(keep), random_state=seed)
    return _original(features, target).rows(np.concatenate([keep, drawn]))


@STRATEGIES.register("full_oversampling")
def oversample_all(
    features: Features,
    target: Labels,
    *,
    seed: int,
    n_signal: int,
    majority_share: Annotated[float, Field(gt=0, le=1)] = 0.758924,
) -> Resampled:
    """As many beats of every class: the largest is thinned without replacement, the others drawn with replacement.

    Args:
        features: ``float32 [n, n_features]``.
        target: ``int64 [n]``.
        seed: Seed of the draws.
        n_signal: Number of signal columns.
        majority_share: Beats a class, as a share of the largest class; the default makes 55,000 of 72,471.
    """
    per_class = max(1, round(majority_share * np.bincount(target).max()))
    return _draw_per_class(features, target, per_class, seed)


@STRATEGIES.register("n_per_class")
def draw_n_per_class(
    features: Features,
    target: Labels,
    *,
    seed: int,
    n_signal: int,
    n: Annotated[int, Field(ge=1)] = 10_000,
) -> Resampled:
    """Draw ``n`` beats of every class, without replacement where the class has as many."""
    return _draw_per_class(features, target, n, seed)


@STRATEGIES.register("random_undersampling")
def undersample(features: Features, target: Labels, *, seed: int, n_signal: int) -> Resampled:
    """Thin every class to the size of the smallest, without replacement."""
    counts = np.bincount(target)
    return _draw_per_class(features, target, int(counts[counts > 0].min()), seed)


@STRATEGIES.register("smote")
def smote(features: Features, target: Labels, *, seed: int, n_signal: int, k_neighbors: Neighbours = 5) -> Resampled:
    """SMOTE: bring every class to the size of the largest by interpolation between neighbours of one class.

    Chawla et al., J. Artif. Intell. Res. 16, 2002; imbalanced-learn's implementation.
    """
    from imblearn.over_sampling import SMOTE

    return _grow(SMOTE(k_neighbors=k_neighbors, random_state=seed), features, target)


@STRATEGIES.register("borderline_smote")
def borderline_smote(
    features: Features,
    target: Labels,
    *,
    seed: int,
    n_signal: int,
    k_neighbors: Neighbours = 5,
    m_neighbors: Neighbours = 10,
) -> Resampled:
    """SMOTE from the beats whose ``m_neighbors`` are mostly, but not all, of other classes.

    Han et al., ICIC 2005 (borderline-1); imbalanced-learn's implementation. A class without such beats stays as it is.
    """
    from imblearn.over_sampling import BorderlineSMOTE

    sampler = BorderlineSMOTE(k_neighbors=k_neighbors, m_neighbors=m_neighbors, random_state=seed)
    return _grow(sampler, features, target)


@STRATEGIES.register("adasyn")
def adasyn(features: Features, target: Labels, *, seed: int, n_signal: int, n_neighbors: Neighbours = 5) -> Resampled:
    """ADASYN: as SMOTE, with more new beats where a class is outnumbered by its neighbours.

    He et al., IJCNN 2008; imbalanced-learn's implementation.
    """
    from imblearn.over_sampling import ADASYN

    return _grow(ADASYN(n_neighbors=n_neighbors, random_state=seed), features, target)


@STRATEGIES.register("smote_enn")
def smote_enn(
    features: Features,
    target: Labels,
    *,
    seed: int,
    n_signal: int,
    k_neighbors: Neighbours = 5,
    n_neighbors: Neighbours = 3,
) -> Resampled:
    """SMOTE, then leave out every beat that its ``n_neighbors`` do not agree with (edited nearest neighbours).

    Batista et al., SIGKDD Explorations 6(1), 2004. Compares every beat with every other: slow on large sets.
    """
    from imblearn.under_sampling import EditedNearestNeighbours

    cleaner = EditedNearestNeighbours(sampling_strategy="all", n_neighbors=n_neighbors)
    return _clean(cleaner, smote(features, target, seed=seed, n_signal=n_signal, k_neighbors=k_neighbors))


@STRATEGIES.register("smote_tomek")
def smote_tomek(
    features: Features, target: Labels, *, seed: int, n_signal: int, k_neighbors: Neighbours = 5
) -> Resampled:
    """SMOTE, then leave out beats of two classes that are each other's nearest neighbours (Tomek links).

    Batista et al., SIGKDD Explorations 6(1), 2004. Compares every beat with every other: slow on large sets.
    """
    from imblearn.under_sampling import TomekLinks

    grown = smote(features, target, seed=seed, n_signal=n_signal, k_neighbors=k_neighbors)
    return _clean(TomekLinks(sampling_strategy="all"), grown)


@STRATEGIES.register("graft")
def graft(
    features: Features,
    target: Labels,
    *,
    seed: int,
    n_signal: int,
    majority_share: Annotated[float, Field(gt=0, le=1)] = 1.0,
) -> Resampled:
    """Make new beats from two of one class: the head of one, up to a random point, and the tail of the other.

    Args:
        features: ``float32 [n, n_features]``.
        target: ``int64 [n]``.
        seed: Seed of the draws.
        n_signal: Number of signal columns; the RR columns stand behind them.
        majority_share: Beats that every smaller class is brought to, as a share of the largest class.
    """
    rng = np.random.default_rng(seed)
    counts = np.bincount(target)
    wanted = round(majority_share * counts.max())
    made_features, made_target = [features], [target]
    for index in np.flatnonzero(counts):
        missing = wanted - counts[index]
        if missing <= 0:
            continue
        head, tail = features[rng.choice(np.flatnonzero(target == index), size=(2, missing))]
        point = rng.integers(1, n_signal, size=(missing, 1))
        grafted = np.where(np.arange(features.shape[1]) < point, head, tail)
        if features.shape[1] > n_signal:
            rr = n_signal + np.arange(len(RR_COLUMNS))
            grafted[:, rr[0]] = head[:, rr[0]]
            grafted[:, rr[2:]] = (head[:, rr[2:]] + tail[:, rr[2:]]) / 2
        made_features.append(grafted)
        made_target.append(np.full(missing, index, dtype=np.int64))
    return _with_made(features, np.concatenate(made_features), np.concatenate(made_target))


def resample_beats(
    beats: pd.DataFrame, use: str, options: Mapping[str, Any], classes: Sequence[str], seed: int
) -> pd.DataFrame:
    """Resample a training part.

    Args:
        beats: Beats table of the training part.
        use: Name of a strategy (:data:`STRATEGIES`).
        options: Options of the strategy, already checked.
        classes: Class names in the order of their indices, for messages.
        seed: Seed of every draw.

    Returns:
        Beats table with the columns of ``beats``; record and sample are missing for beats that were made.

    Raises:
        BeatwiseError: If a class is too small for the strategy's neighbours, or the strategy finds nothing to do.
    """
    target, values = labels(beats), signals(beats)
    _check_neighbours(target, use, options, classes)
    rr = list(RR_COLUMNS) if has_rr(beats) else []
    features = np.concatenate([values, beats[rr].to_numpy(np.float32)], axis=1)
    try:
        made = STRATEGIES[use](features, target, seed=seed, n_signal=values.shape[1], **options)
    except (ValueError, RuntimeError) as error:  # imbalanced-learn's way to say that it cannot
        raise BeatwiseError(
            f"The resampling strategy {use!r} cannot be used on these {len(beats)} training beats: {error} "
            "Try resample.use=smote."
        ) from error
    n_signal = values.shape[1]
    identity = beats[[name for name in IDENTITY_COLUMNS if name in beats]].reset_index(drop=True)
    identity = identity.reindex(made.parent)
    if "sample" in identity:
        identity["sample"] = identity["sample"].astype("Int64")
    columns: dict[str, Any] = {str(name): identity[name].array for name in identity}
    columns |= {name: made.features[:, n_signal + i] for i, name in enumerate(rr)}
    table = beats_table(made.features[:, :n_signal], made.target, **columns)
    return table[list(beats.columns)]


def _check_neighbours(target: Labels, use: str, options: Mapping[str, Any], classes: Sequence[str]) -> None:
    counts = np.bincount(target, minlength=len(classes))
    smallest = int(np.where(counts > 0, counts, counts.max() + 1).argmin())
    for name in ("k_neighbors", "n_neighbors"):
        if options.get(name, 0) >= counts[smallest]:
            lower = f"Lower it to {counts[smallest] - 1} or less, add beats" if counts[smallest] > 1 else "Add beats"
            raise BeatwiseError(
                f"Class {classes[smallest]} has {counts[smallest]} beats in the training part, too few for "
                f"resample.{use}.{name}={options[name]}: a beat needs as many neighbours of its own class. {lower}, "
                "or choose resample.use=full_oversampling."
            )


def _original(features: Features, target: Labels) -> Resampled:
    return Resampled(features, target, np.arange(len(target)))


def _with_made(features: Features, grown: Features, target: Labels) -> Resampled:
    """Grown tables hold the original rows first, then those that were made."""
    parent = np.full(len(target), -1, dtype=np.int64)
    parent[: len(features)] = np.arange(len(features))
    return Resampled(np.asarray(grown, dtype=np.float32), np.asarray(target, dtype=np.int64), parent)


def _draw_per_class(features: Features, target: Labels, per_class: int, seed: int) -> Resampled:
    rng = np.random.default_rng(seed)
    drawn = []
    for index in np.unique(target):
        members = np.flatnonzero(target == index)
        drawn.append(rng.choice(members, size=per_class, replace=len(members) < per_class))
    return _original(features, target).rows(np.concatenate(drawn))


def _grow(sampler: Any, features: Features, target: Labels) -> Resampled:
    grown, grown_target = sampler.fit_resample(features, target)
    return _with_made(features, grown, grown_target)


def _clean(cleaner: Any, grown: Resampled) -> Resampled:
    cleaner.fit_resample(grown.features, grown.target)
    return grown.rows(np.sort(cleaner.sample_indices_))
