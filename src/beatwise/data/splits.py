"""Splits by name: which beats are trained on, which choose the model, which are tested once."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from typing import Annotated, Any, Final

import numpy as np
import numpy.typing as npt
import pandas as pd
from pydantic import Field

from beatwise.core.errors import BeatwiseError
from beatwise.core.registry import Registry
from beatwise.data.examples import PART, has_records, labels

Parts = npt.NDArray[np.str_]
PARTS: Final = ("train", "val", "test")
Share = Annotated[float, Field(gt=0, lt=1)]

# de Chazal et al. 2004: 22 records each, the four paced ones (102, 104, 107, 217) in neither.
DS1: Final = "101 106 108 109 112 114 115 116 118 119 122 124 201 203 205 207 208 209 215 220 223 230".split()
DS2: Final = "100 103 105 111 113 117 121 123 200 202 210 212 213 214 219 221 222 228 231 232 233 234".split()
# Two recordings of one patient (MIT-BIH database directory): they stay on one side of a split by record.
SAME_PATIENT: Final = {"202": "201"}

SPLITS: Registry[Callable[..., Parts]] = Registry("split", supplied=["seed"])


@SPLITS.register("given")
def split_given(beats: pd.DataFrame, *, seed: int, val_share: Share = 0.1, test_share: Share = 0.2) -> Parts:
    """Keep the test part of the source; cut validation from train, stratified per beat as test was.

    A validation part that the source brings is kept too. Where the source has no test part, one is cut first,
    stratified per beat.

    Args:
        beats: Beats table with ``part``.
        seed: Seed of the draw.
        val_share: Share of train that becomes validation.
        test_share: Share of all beats that becomes test where the source has no test part.
    """
    if PART not in beats:
        raise BeatwiseError("The split 'given' needs a column 'part' (train, test). Use ingest.split.use=stratified.")
    parts = beats[PART].to_numpy(dtype="U5")
    if not (parts == "test").any():
        _cut_stratified(parts, labels(beats), "test", test_share, seed)
    if not (parts == "val").any():
        _cut_stratified(parts, labels(beats), "val", val_share, seed)
    return parts


@SPLITS.register("stratified")
def split_stratified(beats: pd.DataFrame, *, seed: int, val_share: Share = 0.1, test_share: Share = 0.2) -> Parts:
    """Draw test and validation anew, stratified per beat, whatever part the source names.

    Args:
        beats: Beats table.
        seed: Seed of the draw.
        val_share: Share of the beats outside test that becomes validation.
        test_share: Share of all beats that becomes test.
    """
    parts = np.full(len(beats), "train", dtype="U5")
    _cut_stratified(parts, labels(beats), "test", test_share, seed)
    _cut_stratified(parts, labels(beats), "val", val_share, seed)
    return parts


@SPLITS.register("by_record")
def split_by_record(beats: pd.DataFrame, *, seed: int, val_share: Share = 0.2, test_share: Share = 0.2) -> Parts:
    """Draw whole patients, so that no record stands in two parts; class shares as alike as records allow.

    Args:
        beats: Beats table with ``record``.
        seed: Seed of the draw.
        val_share: Share of the beats outside test that becomes validation, about.
        test_share: Share of all beats that becomes test, about.

    Raises:
        BeatwiseError: If the beats have no records, or too few for the shares.
    """
    patients = _patients(beats, "by_record")
    parts = np.full(len(beats), "train", dtype="U5")
    _cut_patients(parts, labels(beats), patients, "test", test_share, seed)
    _cut_patients(parts, labels(beats), patients, "val", val_share, seed)
    return parts


@SPLITS.register("ds1_ds2")
def split_ds1_ds2(beats: pd.DataFrame, *, seed: int, val_share: Share = 0.2) -> Parts:
    """The inter-patient split of de Chazal et al. 2004: train on DS1, test on DS2, paced records left out.

    Records 201 (DS1) and 202 (DS2) are of one patient; the published split parts them, and so does this one.

    Args:
        beats: Beats table with ``record``, MIT-BIH's names.
        seed: Seed of the draw of validation records from DS1.
        val_share: Share of DS1's beats that becomes validation, about, by record.

    Raises:
        BeatwiseError: If the beats have no records, or none of DS1 or DS2.
    """
    patients = _patients(beats, "ds1_ds2")
    records = beats["record"].astype(str)
    parts = np.select([records.isin(DS1), records.isin(DS2)], ["train", "test"], default="").astype("U5")
    for part, name in (("train", "DS1"), ("test", "DS2")):
        if not (parts == part).any():
            raise BeatwiseError(
                f"The split 'ds1_ds2' finds no record of {name} among {', '.join(sorted(records.unique()))}. It is "
                "made for the MIT-BIH records 100 to 234; use ingest.split.use=by_record for others."
            )
    _cut_patients(parts, labels(beats), patients, "val", val_share, seed)
    return parts


def split_beats(beats: pd.DataFrame, use: str, options: Mapping[str, Any], seed: int) -> dict[str, pd.DataFrame]:
    """Split a beats table into train, val and test; no beat is in two of them, and order is kept.

    Args:
        beats: Beats table.
        use: Name of a split (:data:`SPLITS`).
        options: Options of the split, already checked.
        seed: Seed of every draw.

    Returns:
        One beats table a part, without the column ``part``.

    Raises:
        BeatwiseError: If the split needs what the beats do not have.
    """
    parts = SPLITS[use](beats, seed=seed, **options)
    rest = beats.drop(columns=PART, errors="ignore")
    # Where the source lay on this machine is no property of its parts.
    rest.attrs = {}
    return {part: rest[parts == part].reset_index(drop=True) for part in PARTS}


def patients_of(beats: pd.DataFrame) -> npt.NDArray[np.str_]:
    """The patient of each beat, named by a record, ``str [n]``.

    Args:
        beats: Table with ``record``.
    """
    return beats["record"].astype(str).replace(SAME_PATIENT).to_numpy(dtype=str)


def _patients(beats: pd.DataFrame, split: str) -> npt.NDArray[np.str_]:
    if not has_records(beats):
        raise BeatwiseError(
            f"The split {split!r} needs to know each beat's record, and this source has no column 'record'. "
            "Use a source that has (environments demo, mitdb, mitbih_rr), or ingest.split.use=given or stratified."
        )
    return patients_of(beats)


def _cut_stratified(parts: Parts, target: npt.NDArray[np.int64], name: str, share: float, seed: int) -> None:
    """Rename a stratified share of the beats still in train to ``name``, in place."""
    from sklearn.model_selection import train_test_split

    pool = np.flatnonzero(parts == "train")
    classes, counts = np.unique(target[pool], return_counts=True)
    if len(pool) == 0:
        raise BeatwiseError(f"There is no beat to cut a {name} part from: the source has no part 'train'.")
    if counts.min() < 2 or len(pool) * share < len(classes):
        raise BeatwiseError(
            f"Cannot cut a {name} part of {share:g} from {len(pool)} beats, stratified by class: class index "
            f"{classes[counts.argmin()]} has {counts.min()} of them. Every class needs two beats at least, and the "
            "part one beat a class. Add beats, or raise the share."
        )
    _, cut = train_test_split(pool, test_size=share, stratify=target[pool], random_state=seed)
    parts[cut] = name


def _cut_patients(
    parts: Parts,
    target: npt.NDArray[np.int64],
    patients: npt.NDArray[np.str_],
    name: str,
    share: float,
    seed: int,
) -> None:
    """Rename a share of the patients still in train to ``name``, in place."""
    from sklearn.model_selection import StratifiedGroupKFold

    pool = np.flatnonzero(parts == "train")
    folds, n_patients = max(2, round(1 / share)), len(np.unique(patients[pool]))
    if n_patients < folds or np.bincount(target[pool]).max() < folds:
        raise BeatwiseError(
            f"Cannot cut a {name} part of {share:g} by record: that needs {folds} patients and as many beats of a "
            f"class; there are {n_patients} patients and {len(pool)} beats. Raise the share, or use "
            "ingest.split.use=stratified."
        )
    splitter = StratifiedGroupKFold(n_splits=folds, shuffle=True, random_state=seed)
    folds_cut = [cut for _, cut in splitter.split(pool, target[pool], patients[pool])]
    # Patients differ so much that a fold taken blindly may miss a class: take the one most like the whole.
    parts[pool[min(folds_cut, key=lambda cut: _unlikeness(target[pool], cut, folds))]] = name


def _unlikeness(target: npt.NDArray[np.int64], cut: npt.NDArray[np.intp], folds: int) -> float:
    """How far, summed over the classes, the share of each class's beats in a fold is from one over the folds."""
    counts = np.bincount(target)
    in_fold = np.bincount(target[cut], minlength=len(counts))
    present = counts > 0
    return float(np.abs(in_fold[present] / counts[present] - 1 / folds).sum())
