"""Splits by name: which examples are trained on, which choose the model, which are tested once.

A split takes the table of the examples and returns the part of each row, ``""`` for one that is in no part. Examples
with class labels are stratified by class; without labels, or with a number as target, they are drawn alike. A split
with the options ``folds`` and ``fold`` has a test part for each fold, and every example is in at most one of them.
"""

from __future__ import annotations

import fnmatch
import logging
from collections.abc import Callable, Mapping
from typing import Annotated, Any, Final

import numpy as np
import numpy.typing as npt
import pandas as pd
from pydantic import BeforeValidator, Field

from beatwise.core.errors import BeatwiseError
from beatwise.core.registry import Registry
from beatwise.core.settings import split_names
from beatwise.data.examples import CLASSES, GROUP, INPUTS, PART, TARGET, TIME, Examples, Labels
from beatwise.data.settings import Ingest

log = logging.getLogger(__name__)

Parts = npt.NDArray[np.str_]
PARTS: Final = ("train", "val", "test")
Share = Annotated[float, Field(gt=0, lt=1)]
Folds = Annotated[int, Field(ge=2)]
Count = Annotated[int, Field(ge=1)]
Names = Annotated[tuple[str, ...], BeforeValidator(split_names)]

# de Chazal et al. 2004: 22 records each, the four paced ones (102, 104, 107, 217) in neither.
DS1: Final = "101 106 108 109 112 114 115 116 118 119 122 124 201 203 205 207 208 209 215 220 223 230".split()
DS2: Final = "100 103 105 111 113 117 121 123 200 202 210 212 213 214 219 221 222 228 231 232 233 234".split()
PACED: Final = ("102", "104", "107", "217")
# Two recordings of one patient (MIT-BIH database directory): they stay in one part of a split by group.
SAME_PATIENT: Final = {"202": "201"}

SPLITS: Registry[Callable[..., Parts]] = Registry("split", supplied=["seed"])


@SPLITS.register("given")
def split_given(table: pd.DataFrame, *, seed: int, val_share: Share = 0.1, test_share: Share = 0.2) -> Parts:
    """Keep the test part of the source; draw validation from train, stratified by class.

    A validation part that the source has is kept too. Where the source has no test part, one is drawn first.

    Args:
        table: Table of the examples with ``part``.
        seed: Seed of the draw.
        val_share: Share of train that becomes validation.
        test_share: Share of all examples that becomes test where the source has no test part.
    """
    if PART not in table:
        raise BeatwiseError("The split 'given' needs a column 'part' (train, test). Use ingest.split.use=stratified.")
    parts = table[PART].to_numpy(dtype="U5")
    if not (parts == "test").any():
        _draw(parts, table, "test", test_share, seed)
    if not (parts == "val").any():
        _draw(parts, table, "val", val_share, seed)
    return parts


@SPLITS.register("stratified")
def split_stratified(table: pd.DataFrame, *, seed: int, val_share: Share = 0.1, test_share: Share = 0.2) -> Parts:
    """Draw test and validation, stratified by class, whatever part the source names.

    Args:
        table: Table of the examples.
        seed: Seed of the draw.
        val_share: Share of the examples outside test that becomes validation.
        test_share: Share of all examples that becomes test.
    """
    parts = np.full(len(table), "train", dtype="U5")
    _draw(parts, table, "test", test_share, seed)
    _draw(parts, table, "val", val_share, seed)
    return parts


@SPLITS.register("by_group")
def split_by_group(table: pd.DataFrame, *, seed: int, val_share: Share = 0.2, test_share: Share = 0.2) -> Parts:
    """Draw whole groups (patients), so that no group is in two parts; class shares as alike as groups allow.

    Args:
        table: Table of the examples with ``group``.
        seed: Seed of the draw.
        val_share: Share of the examples outside test that becomes validation, about.
        test_share: Share of all examples that becomes test, about.

    Raises:
        BeatwiseError: If the examples have no groups, or too few for the shares.
    """
    groups = _groups(table, "by_group")
    parts = np.full(len(table), "train", dtype="U5")
    _draw_groups(parts, _strata(table), groups, "test", test_share, seed)
    _draw_groups(parts, _strata(table), groups, "val", val_share, seed)
    return parts


@SPLITS.register("by_record")
def split_by_record(
    table: pd.DataFrame, *, seed: int, test: Names = (), leave_out: Names = (), val_share: Share = 0.1
) -> Parts:
    """Test on the records of some names, such as those of another database; draw whole patients for validation.

    Args:
        table: Table of the examples with ``group`` and ``record``.
        seed: Seed of the draw of validation groups.
        test: Names of the records to test on, or patterns such as ``8??``; behind ``--params`` joined by ``+``.
        leave_out: Names of records, or patterns, that are in no part.
        val_share: Share of the other examples that becomes validation, about, by group.

    Raises:
        BeatwiseError: If the examples have no groups, a name is that of no record, a patient would be in train and
            test, or nothing is left to train on.
    """
    groups, records = _groups(table, "by_record"), table["record"].astype(str)
    parts = np.full(len(table), "train", dtype="U5")
    for key, patterns, part in (("test", test, "test"), ("leave_out", leave_out, "")):
        for pattern in patterns:
            if not (found := records.map(lambda name, to=pattern: fnmatch.fnmatchcase(name, to)).to_numpy()).any():
                raise BeatwiseError(
                    f"ingest.split.by_record.{key}: no record is named {pattern!r}; there are "
                    f"{', '.join(sorted(records.unique()))}."
                )
            parts[found] = part
    tested, trained = (np.unique(groups[parts == part]) for part in ("test", "train"))
    if len(both := np.intersect1d(tested, trained)):
        kept = sorted(set(records[np.isin(groups, both) & (parts == "train")]))
        raise BeatwiseError(
            f"ingest.split.by_record.test: {', '.join(kept)} would be trained on, and are of a patient that is tested "
            "on. Test on them too, or name them in ingest.split.by_record.leave_out."
        )
    if lacking := [part for part in ("train", "test") if not (parts == part).any()]:
        raise BeatwiseError(f"The split 'by_record' leaves nothing for {lacking[0]}: see ingest.split.by_record.test.")
    _draw_groups(parts, _strata(table), groups, "val", val_share, seed)
    return parts


@SPLITS.register("ds1_ds2")
def split_ds1_ds2(table: pd.DataFrame, *, seed: int, val_share: Share = 0.2) -> Parts:
    """The inter-patient split of de Chazal et al. 2004: train on DS1, test on DS2, without the paced records.

    Records 201 (DS1) and 202 (DS2) are of one patient; the published split separates them, and so does this one.
    Records of another source beside MIT-BIH are trained on, too.

    Args:
        table: Table of the examples with ``group`` and ``record``, MIT-BIH's names.
        seed: Seed of the draw of validation records from DS1.
        val_share: Share of DS1's beats that becomes validation, about, by patient.

    Raises:
        BeatwiseError: If the examples have no groups, or none of DS1 or DS2.
    """
    groups = _groups(table, "ds1_ds2")
    records = table["record"].astype(str)
    parts = np.select([records.isin(DS1), records.isin(DS2)], ["train", "test"], default="").astype("U5")
    for part, name in (("train", "DS1"), ("test", "DS2")):
        if not (parts == part).any():
            raise _not_mitdb("ds1_ds2", name, table)
    _draw_groups(parts, _strata(table), groups, "val", val_share, seed)
    return np.where(parts == "", _elsewhere(table), parts)


def _elsewhere(table: pd.DataFrame) -> Parts:
    """Train for the records of another source than MIT-BIH, no part for those of MIT-BIH."""
    return np.where(table["record"].astype(str).isin([*DS1, *DS2, *PACED]), "", "train").astype("U5")


def _not_mitdb(split: str, name: str, table: pd.DataFrame) -> BeatwiseError:
    records = sorted(table["record"].astype(str).unique())
    return BeatwiseError(
        f"The split {split!r} finds no record of {name} among {', '.join(records)}. It is made for the MIT-BIH records "
        "100 to 234; use ingest.split.use=by_group or group_folds for others."
    )


@SPLITS.register("ds1_folds")
def split_ds1_folds(
    table: pd.DataFrame,
    *,
    seed: int,
    folds: Folds = 11,
    fold: Count = 1,
    val_share: Share = 0.1,
    fold_others: bool = False,
) -> Parts:
    """Test on one of several folds of DS1's patients, so that settings are chosen without a look at DS2.

    Records of another source beside MIT-BIH are trained on in every fold, or cut into the folds, too; MIT-BIH's paced
    ones are in no part.

    Args:
        table: Table of the examples with ``group`` and ``record``, MIT-BIH's names.
        seed: Seed of the draws.
        folds: Number of folds; 22 leaves one record out at a time.
        fold: The fold that is test, from 1.
        val_share: Share of the examples of the folds outside test that becomes validation, about, by patient.
        fold_others: Whether the folds hold the patients of other sources, too.

    Raises:
        BeatwiseError: If the examples have no groups, or too few in DS1.
    """
    _check_fold("ds1_folds", fold, folds)
    _groups(table, "ds1_folds")  # so that a message about missing groups names this split
    within = table["record"].astype(str).isin(DS1)
    if not within.any():
        raise _not_mitdb("ds1_folds", "DS1", table)
    parts = _elsewhere(table)
    own = np.flatnonzero(within | (parts == "train") if fold_others else within)
    parts[own] = split_group_folds(table.iloc[own], seed=seed, folds=folds, fold=fold, val_share=val_share)
    return parts


@SPLITS.register("stratified_folds")
def split_stratified_folds(
    table: pd.DataFrame,
    *,
    seed: int,
    folds: Folds = 5,
    fold: Count = 1,
    val_share: Share = 0.1,
    within_train: bool = False,
) -> Parts:
    """Test on one of several folds, stratified by class; draw validation from the rest, stratified too.

    Args:
        table: Table of the examples.
        seed: Seed of the draws: the folds of one seed have every example in test once.
        folds: Number of folds.
        fold: The fold that is test, from 1.
        val_share: Share of the examples outside test that becomes validation.
        within_train: Whether to cut folds of the source's training part alone; its test part is then in no part.

    Raises:
        BeatwiseError: If a class has fewer examples than there are folds, or none for a part; or if the source has no
            test part to leave out.
    """
    from sklearn.model_selection import StratifiedKFold

    _check_fold("stratified_folds", fold, folds)
    if within_train:
        kept = _outside_test(table, "stratified_folds")
        parts = np.full(len(table), "", dtype="U5")
        parts[kept] = split_stratified_folds(table.iloc[kept], seed=seed, folds=folds, fold=fold, val_share=val_share)
        return parts
    strata = _strata(table)
    classes, counts = np.unique(strata, return_counts=True)
    if counts.min() < folds:
        raise BeatwiseError(
            f"{_class_of(table, classes[counts.argmin()])} has {counts.min()} examples, and each of {folds} folds "
            "needs one in test. Add examples of it, merge it with another class, or lower "
            "ingest.split.stratified_folds.folds."
        )
    splitter = StratifiedKFold(n_splits=folds, shuffle=True, random_state=seed)
    parts = np.full(len(table), "train", dtype="U5")
    parts[[test for _, test in splitter.split(strata, strata)][fold - 1]] = "test"
    _draw(parts, table, "val", val_share, seed)
    return parts


@SPLITS.register("group_folds")
def split_group_folds(
    table: pd.DataFrame, *, seed: int, folds: Folds = 5, fold: Count = 1, val_share: Share = 0.2
) -> Parts:
    """Test on one of several folds of whole groups (patients); draw validation from the other groups.

    Args:
        table: Table of the examples with ``group``.
        seed: Seed of the draws: the folds of one seed have every group in test once.
        folds: Number of folds.
        fold: The fold that is test, from 1.
        val_share: Share of the examples outside test that becomes validation, about.

    Raises:
        BeatwiseError: If the examples have no groups, or too few.
    """
    _check_fold("group_folds", fold, folds)
    groups, strata = _groups(table, "group_folds"), _strata(table)
    parts = np.full(len(table), "train", dtype="U5")
    parts[_group_folds(strata, groups, folds, seed, "cut folds by group")[fold - 1]] = "test"
    _draw_groups(parts, strata, groups, "val", val_share, seed)
    return parts


@SPLITS.register("blocked")
def split_blocked(
    table: pd.DataFrame,
    *,
    seed: int,
    months: Count = 2,
    folds: Folds = 6,
    fold: Count = 1,
    gap: Annotated[float, Field(ge=0)] = 48.0,
    val_share: Share = 0.15,
    val_days: Count = 7,
) -> Parts:
    """Test on whole calendar blocks of a series, validate on shorter blocks of the rest, and leave gaps between parts.

    Neighbours in time are alike, and windows overlap: a random split would test on hours that were trained on (Bergmeir
    & Benitez, Inf. Sci. 191, 2012, block cross-validation with gaps). Two examples in different parts are more than
    ``gap`` hours apart; test keeps all of its examples, and what is too near to test or validation is in no part.

    Args:
        table: Table of the examples with ``time``.
        seed: Not used: nothing is drawn.
        months: Calendar months in a block; the first one begins with the first month of the series.
        folds: Number of folds; blocks go to the folds in turn, so that six folds of two months are seasons.
        fold: The fold that is test, from 1.
        gap: Hours that an example looks back: the length of its window.
        val_share: Share of the blocks of ``val_days`` outside test that becomes validation, evenly spread.
        val_days: Days in a block of validation.

    Raises:
        BeatwiseError: If the examples have no times, there are fewer blocks than folds, or gaps leave nothing for a
            part.
    """
    _check_fold("blocked", fold, folds)
    local = _times(table)
    calendar = local.dt.year * 12 + local.dt.month
    blocks = ((calendar - calendar.min()) // months).to_numpy()
    in_fold = blocks % folds
    if len(np.unique(in_fold)) < folds:
        raise BeatwiseError(
            f"The split 'blocked' finds {len(np.unique(blocks))} blocks of {months} months from {local.min():%Y-%m} to "
            f"{local.max():%Y-%m}, and each of {folds} folds needs one. Lower ingest.split.blocked.folds or .months."
        )
    hours = (local.dt.tz_convert(None) if local.dt.tz else local).to_numpy("datetime64[s]").astype(np.int64) / 3600
    parts = np.where(in_fold == fold - 1, "test", "train").astype("U5")
    free = (parts == "train") & ~_within(hours, hours[parts == "test"], gap)
    days = ((local.dt.tz_localize(None) - local.min().tz_localize(None).normalize()) // pd.Timedelta(days=1)).to_numpy()
    stretches = days // val_days
    # Only blocks that lie wholly outside test and its gaps, so that validation loses none of its examples.
    whole = np.setdiff1d(stretches[free], stretches[~free])
    n_chosen = min(len(whole), max(1, round(val_share * len(whole))))
    chosen = whole[((np.arange(n_chosen) + 0.5) / max(n_chosen, 1) * len(whole)).astype(int)]
    parts[np.isin(stretches, chosen)] = "val"
    parts[(parts == "train") & (~free | _within(hours, hours[parts == "val"], gap))] = ""
    for part in ("train", "val"):
        if not (parts == part).any():
            raise BeatwiseError(
                f"The split 'blocked' leaves nothing for {part} in fold {fold}: a gap of {gap:g} hours on both sides "
                f"is too long for blocks of {months} months, and of {val_days} days for validation. Lower "
                "ingest.split.blocked.gap, or raise .months or .val_days."
            )
    return parts


def split_examples(examples: Examples, use: str, options: Mapping[str, Any], seed: int) -> dict[str, Examples]:
    """Split examples into train, val and test; no example is in two of them, and order is kept.

    Args:
        examples: The examples.
        use: Name of a split (:data:`SPLITS`).
        options: Options of the split, already checked.
        seed: Seed of every draw.

    Returns:
        The examples of each part, without the column ``part``.

    Raises:
        BeatwiseError: If the split needs a column that the examples do not have.
    """
    parts = SPLITS[use](examples.table, seed=seed, **options)
    if left_out := int((parts == "").sum()):
        log.info("%s of %s examples are in no part of the split %s", f"{left_out:,}", f"{len(parts):,}", use)
    rest = examples.without(PART)
    # The files that the source was read from are no property of its parts; how it was read is, and its channels' names.
    kept = ("notes", INPUTS)
    rest.table.attrs = {name: value for name, value in rest.table.attrs.items() if name in kept and value}
    return {part: rest.take(np.flatnonzero(parts == part)) for part in PARTS}


def ingest_parts(
    raw_beats: Examples, ingest: Ingest, seed: int, fold: int | None = None
) -> tuple[Examples, Examples, Examples]:
    """The parts that training, validation and test take.

    Args:
        raw_beats: The examples of all parts.
        ingest: Split, and what to do with duplicates.
        seed: Seed of the split.
        fold: The fold that is test; None takes the configured one.

    Returns:
        Train, validation and test.

    Raises:
        BeatwiseError: See :func:`split_examples`.
    """
    from beatwise.data.summary import drop_duplicates

    options = ingest.split.options if fold is None else {**ingest.split.options, "fold": fold}
    parts = split_examples(raw_beats, ingest.split.use, options, seed)
    if ingest.drop_duplicates:
        parts = drop_duplicates(parts)
    return parts["train"], parts["val"], parts["test"]


def splits_with_folds() -> list[str]:
    """Names of the splits that have a test part for each of several folds."""
    return [name for name in SPLITS.names() if {"folds", "fold"} <= SPLITS.schema(name).model_fields.keys()]


def patients_of(table: pd.DataFrame) -> npt.NDArray[np.str_]:
    """The patient of each row, named by a record, ``str [n]``."""
    return table["record"].astype(str).replace(SAME_PATIENT).to_numpy(dtype=str)


def _groups(table: pd.DataFrame, split: str) -> npt.NDArray[np.str_]:
    if GROUP not in table:
        raise BeatwiseError(
            f"The split {split!r} needs to know the patient of each example, and this source has neither a column "
            "'record' nor a column 'group'. Use a source that has one (environments demo, mitdb, mitbih_rr), or "
            "ingest.split.use=given or stratified."
        )
    return table[GROUP].astype(str).to_numpy(dtype=str)


def _outside_test(table: pd.DataFrame, split: str) -> npt.NDArray[np.intp]:
    """Rows that the source does not call test."""
    if PART not in table or not (is_test := (table[PART] == "test").to_numpy()).any():
        raise BeatwiseError(
            f"ingest.split.{split}.within_train leaves out the test part of the source, and this source has none. Set "
            "it to false, or use a source that has one (environment mitbih)."
        )
    return np.flatnonzero(~is_test)


def _times(table: pd.DataFrame) -> pd.Series:
    if TIME not in table:
        raise BeatwiseError(
            "The split 'blocked' needs a column 'time', and this source has none. Use a source that has one "
            "(environment air), or ingest.split.use=by_group or stratified."
        )
    times = table[TIME]
    if not pd.api.types.is_datetime64_any_dtype(times) or times.isna().any():
        raise BeatwiseError(
            f"The split 'blocked' needs a date and time in every row of the column 'time'; it is {times.dtype}, with "
            f"{times.isna().sum():,} of {len(times):,} missing."
        )
    return times


def _check_fold(split: str, fold: int, folds: int) -> None:
    if fold > folds:
        raise BeatwiseError(f"ingest.split.{split}.fold: got {fold}; allowed: 1 to {folds}, the number of folds.")


def _within(hours: npt.NDArray[np.float64], others: npt.NDArray[np.float64], gap: float) -> npt.NDArray[np.bool_]:
    """Which hours are at most ``gap`` hours away from one of the others."""
    others = np.concatenate([[-np.inf], np.sort(others), [np.inf]])
    after = np.searchsorted(others, hours)
    return np.minimum(hours - others[after - 1], others[after] - hours) <= gap


def _strata(table: pd.DataFrame) -> Labels:
    """Class indices; the same number for all rows where there are none."""
    if TARGET in table and table[TARGET].dtype.kind in "iu":
        return table[TARGET].to_numpy(dtype=np.int64)
    return np.zeros(len(table), dtype=np.int64)


def _class_of(table: pd.DataFrame, index: np.int64) -> str:
    """The class of an index, by its name where a contract has checked the labels."""
    names = table.attrs.get(CLASSES, [])
    return f"class {names[index]}" if names else f"class index {index}"


def _draw(parts: Parts, table: pd.DataFrame, name: str, share: float, seed: int) -> None:
    """Rename a stratified share of the rows still in train to ``name``, in place."""
    from sklearn.model_selection import train_test_split

    strata, pool = _strata(table), np.flatnonzero(parts == "train")
    classes, counts = np.unique(strata[pool], return_counts=True)
    if len(pool) == 0:
        raise BeatwiseError(f"There is no example to draw a {name} part from: the source has no part 'train'.")
    if counts.min() < 2 or len(pool) * share < len(classes):
        raise BeatwiseError(
            f"Cannot draw a {name} part of {share:g} from {len(pool)} examples, stratified by class: "
            f"{_class_of(table, classes[counts.argmin()])} has {counts.min()} of them. Every class needs at least two "
            "examples, and the part at least one of each class. Add examples, or raise the share."
        )
    left, drawn = train_test_split(pool, test_size=share, stratify=strata[pool], random_state=seed)
    for rows, part in ((drawn, f"{name} part of {share:g}"), (left, f"part beside a {name} part of {share:g}")):
        if len(lacking := np.setdiff1d(classes, strata[rows])):
            raise BeatwiseError(
                f"{_class_of(table, lacking[0])} has {counts[classes == lacking[0]][0]} examples, too few for one of "
                f"them in a {part}. Add examples of it, merge it with another class, or change the share."
            )
    parts[drawn] = name


def _draw_groups(
    parts: Parts, strata: Labels, groups: npt.NDArray[np.str_], name: str, share: float, seed: int
) -> None:
    """Rename a share of the groups still in train to ``name``, in place."""
    pool = np.flatnonzero(parts == "train")
    folds = max(2, round(1 / share))
    candidates = _group_folds(strata[pool], groups[pool], folds, seed, f"draw a {name} part of {share:g} by group")
    # Patients differ so much that the first fold may lack a class: take the fold whose classes are most like the pool.
    parts[pool[min(candidates, key=lambda fold: _distance(strata[pool], fold, folds))]] = name


def _group_folds(
    strata: Labels, groups: npt.NDArray[np.str_], folds: int, seed: int, task: str
) -> list[npt.NDArray[np.intp]]:
    """Rows of each fold of whole groups; ``task`` is what they are for, for the message."""
    from sklearn.model_selection import StratifiedGroupKFold

    if (n_groups := len(np.unique(groups))) < folds or np.bincount(strata).max() < folds:
        raise BeatwiseError(
            f"Cannot {task}: that needs {folds} groups and as many examples of a class; there are {n_groups} groups "
            f"and {len(strata)} examples. Raise the share, or use ingest.split.use=stratified."
        )
    splitter = StratifiedGroupKFold(n_splits=folds, shuffle=True, random_state=seed)
    return [fold for _, fold in splitter.split(strata, strata, groups)]


def _distance(strata: Labels, fold: npt.NDArray[np.intp], folds: int) -> float:
    """Sum over the classes of how far the share of a class that lies in a fold is from one over the folds."""
    counts = np.bincount(strata)
    in_fold = np.bincount(strata[fold], minlength=len(counts))
    present = counts > 0
    return float(np.abs(in_fold[present] / counts[present] - 1 / folds).sum())
