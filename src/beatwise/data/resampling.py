"""Resampling strategies: make the classes of the training part more alike in number.

Two kinds of strategies are registered:

- A *selection* keeps, leaves out or repeats examples. It takes the class indices and returns the numbers of the rows.
  It serves examples of any shape, and each example keeps its features, record and sample.
- A *maker* makes new beats. It takes one matrix, the signal followed by the features, and returns a new one. The SMOTE
  family and ADASYN look for neighbours in the joint space of signal (in [0, 1]) and RR intervals (in seconds, so of the
  same order) and interpolate both by the same factor; ``graft`` joins the head of one beat to the tail of another. A
  new beat belongs to no record.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from typing import Annotated, Any

import numpy as np
import numpy.typing as npt
from pydantic import Field

from beatwise.core.errors import BeatwiseError
from beatwise.core.registry import Registry, unknown_name
from beatwise.data.examples import GROUP, RESERVED, TARGET, Examples, Labels

Matrix = npt.NDArray[np.float32]
Rows = npt.NDArray[np.int64]
Neighbours = Annotated[int, Field(ge=1)]
Share = Annotated[float, Field(gt=0, le=1)]
Times = Annotated[float, Field(ge=1)]


@dataclass(frozen=True, eq=False)
class Made:
    """The result of a strategy.

    Attributes:
        matrix: Signal and features, ``float32 [m, n_columns]``.
        target: Class indices, ``int64 [m]``.
        parent: The row that each row is a copy of, -1 where it is new, ``int64 [m]``.
    """

    matrix: Matrix
    target: Labels
    parent: Rows

    def rows(self, chosen: Rows) -> Made:
        """Only the chosen rows, in their order."""
        return Made(self.matrix[chosen], self.target[chosen], self.parent[chosen])


STRATEGIES: Registry[Callable[..., Any]] = Registry(
    "resampling strategy", supplied=["seed", "names", "classes", "groups"]
)
_MAKERS: set[str] = set()


def maker(name: str) -> Callable[[Callable[..., Made]], Callable[..., Made]]:
    """Register a strategy that makes new beats: ``(matrix, target, *, seed, names, …options) -> Made``.

    ``names`` are the names of the features, which are the last columns of the matrix.
    """
    _MAKERS.add(name)
    return STRATEGIES.register(name)


@STRATEGIES.register("none")
def keep_all(target: Labels, *, seed: int) -> Rows:
    """Keep the training part as it is."""
    return np.arange(len(target))


@STRATEGIES.register("semi_oversampling")
def oversample_minorities_together(target: Labels, *, seed: int) -> Rows:
    """Keep the largest class; draw as many examples again, with replacement, from all the others together.

    The minority classes keep their proportions to one another.
    """
    from sklearn.utils import resample

    majority = int(np.bincount(target).argmax())
    keep = np.flatnonzero(target == majority)
    drawn = resample(np.flatnonzero(target != majority), n_samples=len(keep), random_state=seed)
    return np.concatenate([keep, drawn])


@STRATEGIES.register("full_oversampling")
def oversample_all(target: Labels, *, seed: int, majority_share: Share = 0.758924) -> Rows:
    """As many examples of every class: fewer of the largest, the others drawn with replacement.

    Args:
        target: ``int64 [n]``.
        seed: Seed of the draws.
        majority_share: Examples a class, as a share of the largest class; the default makes 55,000 of 72,471.
    """
    return _draw_per_class(target, max(1, round(majority_share * np.bincount(target).max())), seed)


@STRATEGIES.register("n_per_class")
def draw_n_per_class(target: Labels, *, seed: int, n: Annotated[int, Field(ge=1)] = 10_000) -> Rows:
    """Draw ``n`` examples of every class, without replacement where the class has as many."""
    return _draw_per_class(target, n, seed)


@STRATEGIES.register("repeats")
def repeat_minorities(
    target: Labels,
    *,
    seed: int,
    classes: Sequence[str] = (),
    times: Times = 1.5,
    by_class: dict[str, Times] | None = None,
) -> Rows:
    """Repeat every example of the smaller classes: the whole part of a factor always, the rest of it at random.

    Args:
        target: ``int64 [n]``.
        seed: Seed of the draws.
        classes: Class names in the order of their indices.
        times: Factor of every class but the largest.
        by_class: Factors by class name instead, 1 for a class that is not named; null where ``times`` is meant.

    Raises:
        BeatwiseError: If a class is unknown.
    """
    for name in by_class or {}:
        if name not in classes:
            raise BeatwiseError(f"resample.repeats.by_class: {unknown_name('class', name, classes)}")
    if by_class is None:
        factor = np.where(target == np.bincount(target).argmax(), 1.0, times)
    else:
        factor = np.array([by_class.get(name, 1.0) for name in classes])[target]
    rng = np.random.default_rng(seed)
    return np.repeat(np.arange(len(target)), np.floor(factor + rng.random(len(target))).astype(np.int64))


@STRATEGIES.register("per_group")
def cap_per_group(
    target: Labels, *, seed: int, groups: npt.NDArray[Any] | None = None, n: Annotated[int, Field(ge=1)] = 400
) -> Rows:
    """Draw at most ``n`` examples of the largest class from each group (patient), without replacement; keep the others.

    Args:
        target: ``int64 [n]``.
        seed: Seed of the draws.
        groups: The group of each example, ``[n]``.
        n: Most examples of the largest class that a group has.

    Raises:
        BeatwiseError: If the groups are not known.
    """
    if groups is None:
        raise BeatwiseError(
            "resample.per_group: these examples have no groups. Use a source that knows the patients (environments "
            "mitdb, mitbih_rr), or another strategy."
        )
    largest = target == np.bincount(target).argmax()
    shuffled = np.random.default_rng(seed).permutation(len(target))
    order = shuffled[np.argsort(groups[shuffled], kind="stable")]
    order = order[largest[order]]
    begins = np.r_[0, np.flatnonzero(groups[order][1:] != groups[order][:-1]) + 1]
    place = np.arange(len(order)) - np.repeat(begins, np.diff(np.r_[begins, len(order)]))
    return np.sort(np.concatenate([np.flatnonzero(~largest), order[place < n]]))


@STRATEGIES.register("random_undersampling")
def undersample(target: Labels, *, seed: int) -> Rows:
    """Draw as many examples of every class as the smallest has, without replacement."""
    counts = np.bincount(target)
    return _draw_per_class(target, int(counts[counts > 0].min()), seed)


@STRATEGIES.register("share")
def draw_share(target: Labels, *, seed: int, of_each_class: Share = 0.1) -> Rows:
    """Keep a share of every class, at least one example: how much data a model needs.

    A smaller share of the same seed is part of a larger one.
    """
    rng = np.random.default_rng(seed)
    members = [rng.permutation(np.flatnonzero(target == index)) for index in np.unique(target)]
    return np.sort(np.concatenate([rows[: max(1, round(of_each_class * len(rows)))] for rows in members]))


@maker("smote")
def smote(matrix: Matrix, target: Labels, *, seed: int, names: Sequence[str] = (), k_neighbors: Neighbours = 5) -> Made:
    """SMOTE: bring every class to the size of the largest by interpolation between neighbours of one class.

    Chawla et al., J. Artif. Intell. Res. 16, 2002; imbalanced-learn's implementation.
    """
    from imblearn.over_sampling import SMOTE

    return _grow(SMOTE(k_neighbors=k_neighbors, random_state=seed), matrix, target)


@maker("borderline_smote")
def borderline_smote(
    matrix: Matrix,
    target: Labels,
    *,
    seed: int,
    names: Sequence[str] = (),
    k_neighbors: Neighbours = 5,
    m_neighbors: Neighbours = 10,
) -> Made:
    """SMOTE from the beats whose ``m_neighbors`` are mostly, but not all, of other classes.

    Han et al., ICIC 2005 (borderline-1); imbalanced-learn's implementation. A class without such beats stays as it is.
    """
    from imblearn.over_sampling import BorderlineSMOTE

    return _grow(BorderlineSMOTE(k_neighbors=k_neighbors, m_neighbors=m_neighbors, random_state=seed), matrix, target)


@maker("adasyn")
def adasyn(
    matrix: Matrix, target: Labels, *, seed: int, names: Sequence[str] = (), n_neighbors: Neighbours = 5
) -> Made:
    """ADASYN: like SMOTE, with more new beats where a class is outnumbered by its neighbours.

    He et al., IJCNN 2008; imbalanced-learn's implementation.
    """
    from imblearn.over_sampling import ADASYN

    return _grow(ADASYN(n_neighbors=n_neighbors, random_state=seed), matrix, target)


@maker("smote_enn")
def smote_enn(
    matrix: Matrix,
    target: Labels,
    *,
    seed: int,
    names: Sequence[str] = (),
    k_neighbors: Neighbours = 5,
    n_neighbors: Neighbours = 3,
) -> Made:
    """SMOTE, then leave out every beat whose ``n_neighbors`` are not of its class (edited nearest neighbours).

    Batista et al., SIGKDD Explorations 6(1), 2004. Compares every beat with every other: slow on large sets.
    """
    from imblearn.under_sampling import EditedNearestNeighbours

    cleaner = EditedNearestNeighbours(sampling_strategy="all", n_neighbors=n_neighbors)
    return _clean(cleaner, smote(matrix, target, seed=seed, k_neighbors=k_neighbors))


@maker("smote_tomek")
def smote_tomek(
    matrix: Matrix, target: Labels, *, seed: int, names: Sequence[str] = (), k_neighbors: Neighbours = 5
) -> Made:
    """SMOTE, then leave out beats of two classes that are each other's nearest neighbours (Tomek links).

    Batista et al., SIGKDD Explorations 6(1), 2004. Compares every beat with every other: slow on large sets.
    """
    from imblearn.under_sampling import TomekLinks

    return _clean(TomekLinks(sampling_strategy="all"), smote(matrix, target, seed=seed, k_neighbors=k_neighbors))


@maker("graft")
def graft(matrix: Matrix, target: Labels, *, seed: int, names: Sequence[str] = (), majority_share: Share = 1.0) -> Made:
    """Make new beats from two of one class: the head of one, up to a random point, and the tail of the other.

    ``rr_before`` comes with the head, ``rr_after`` with the tail; all other features are averaged.

    Args:
        matrix: Signal and features, ``float32 [n, n_columns]``.
        target: ``int64 [n]``.
        seed: Seed of the draws.
        names: Names of the features, the last columns.
        majority_share: Beats that every smaller class is brought to, as a share of the largest class.
    """
    rng = np.random.default_rng(seed)
    counts = np.bincount(target)
    wanted = round(majority_share * counts.max())
    n_signal = matrix.shape[1] - len(names)
    matrices, targets = [matrix], [target]
    for index in np.flatnonzero(counts):
        missing = wanted - counts[index]
        if missing <= 0:
            continue
        head, tail = matrix[rng.choice(np.flatnonzero(target == index), size=(2, missing))]
        point = rng.integers(1, n_signal, size=(missing, 1))
        grafted = np.where(np.arange(matrix.shape[1]) < point, head, tail)
        for column, name in enumerate(names, n_signal):
            if name == "rr_before":
                grafted[:, column] = head[:, column]
            elif name != "rr_after":
                grafted[:, column] = (head[:, column] + tail[:, column]) / 2
        matrices.append(grafted)
        targets.append(np.full(missing, index, dtype=np.int64))
    return _with_new(matrix, np.concatenate(matrices), np.concatenate(targets))


def resample_examples(
    examples: Examples, use: str, options: Mapping[str, Any], classes: Sequence[str], seed: int
) -> Examples:
    """Resample a training part.

    Returns:
        Examples with the same columns; group, record and sample are missing for beats that were made.

    Raises:
        BeatwiseError: If a class is too small for the strategy's neighbours, if the strategy finds nothing to do, or if
            it makes beats and the examples are none.
    """
    if use == "none":
        return examples
    target = examples.target
    strategy = STRATEGIES[use]
    if use not in _MAKERS:
        groups = examples.table[GROUP].to_numpy(dtype=str) if examples.has(GROUP) else None
        given = STRATEGIES.taken(use, seed=seed, classes=classes, groups=groups)
        return examples.take(strategy(target, **given, **options))
    if len(examples.shape) != 1:
        raise BeatwiseError(
            f"The resampling strategy {use!r} interpolates beats of one lead; these examples have the shape "
            f"{list(examples.shape)}. Use one that repeats or leaves out examples: resample.use=full_oversampling."
        )
    _check_neighbours(target, use, options, classes)
    names = examples.feature_names
    matrix = np.concatenate([examples.x, examples.features.to_numpy(np.float32)], axis=1)
    try:
        made = strategy(matrix, target, seed=seed, names=names, **options)
    except (ValueError, RuntimeError) as error:  # imbalanced-learn raises these where it cannot resample
        raise BeatwiseError(
            f"The resampling strategy {use!r} cannot be used on these {len(examples)} training beats: {error} "
            "Try resample.use=smote."
        ) from error
    return _as_examples(made, examples)


def _as_examples(made: Made, examples: Examples) -> Examples:
    n_signal = examples.shape[0]
    # A row that was made has no parent, and so misses what says where it comes from.
    table = examples.table[[name for name in RESERVED if examples.has(name)]].reindex(made.parent)
    table = table.reset_index(drop=True).assign(**{TARGET: made.target})
    if "sample" in table:
        table["sample"] = table["sample"].astype("Int64")
    features = {name: made.matrix[:, n_signal + i] for i, name in enumerate(examples.feature_names)}
    table = table.assign(**features)[list(examples.table.columns)]
    return Examples(np.ascontiguousarray(made.matrix[:, :n_signal]), table)


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


def _with_new(matrix: Matrix, grown: Matrix, target: Labels) -> Made:
    """A grown matrix holds the original rows first, then the new ones."""
    parent = np.full(len(target), -1, dtype=np.int64)
    parent[: len(matrix)] = np.arange(len(matrix))
    return Made(np.asarray(grown, dtype=np.float32), np.asarray(target, dtype=np.int64), parent)


def _draw_per_class(target: Labels, per_class: int, seed: int) -> Rows:
    rng = np.random.default_rng(seed)
    drawn = []
    for index in np.unique(target):
        members = np.flatnonzero(target == index)
        drawn.append(rng.choice(members, size=per_class, replace=len(members) < per_class))
    return np.concatenate(drawn)


def _grow(sampler: Any, matrix: Matrix, target: Labels) -> Made:
    grown, grown_target = sampler.fit_resample(matrix, target)
    return _with_new(matrix, grown, grown_target)


def _clean(cleaner: Any, grown: Made) -> Made:
    cleaner.fit_resample(grown.matrix, grown.target)
    return grown.rows(np.sort(cleaner.sample_indices_))
