from __future__ import annotations

from typing import Any

import numpy as np
import pandas as pd
import pytest

from beatwise.core.errors import BeatwiseError
from beatwise.data.splits import DS1, DS2, SPLITS, split_examples
from beatwise.ecg.beats import beats_table, examples_of, table_of

# Splits of examples without a time.
UNTIMED = [name for name in SPLITS.names() if name != "blocked"]
PACED = ["102", "104", "107", "217"]
MITDB = sorted([*DS1, *DS2, *PACED])
# Options of splits that have none by default to split by.
GIVEN: dict[str, dict[str, Any]] = {"by_record": {"test": ("23?",)}, "ds1_folds": {"folds": 4, "val_share": 0.3}}


@pytest.fixture(scope="module")
def beats() -> pd.DataFrame:
    """Beats of all 48 records, in two parts, each told apart by ``row``."""
    rng = np.random.default_rng(0)
    n = 48 * 25
    return beats_table(
        rng.uniform(size=(n, 4)).astype(np.float32),
        rng.choice(3, n, p=[0.7, 0.2, 0.1]),
        record=np.repeat(MITDB, 25),
        row=np.arange(n),
        part=np.where(rng.uniform(size=n) < 0.2, "test", "train"),
    )


def split(beats: pd.DataFrame, use: str, seed: int = 0, **options: Any) -> dict[str, pd.DataFrame]:
    chosen = SPLITS.options(use, {**GIVEN.get(use, {}), **options})
    parts = split_examples(examples_of(beats), use, chosen, seed)
    return {name: table_of(part) for name, part in parts.items()}


def shares(beats: pd.DataFrame) -> np.ndarray:
    return np.bincount(beats["target"], minlength=3) / len(beats)


@pytest.mark.parametrize("use", UNTIMED)
def test_no_beat_is_lost_or_in_two_parts_and_order_is_kept(beats, use):
    parts = split(beats, use)
    rows = np.concatenate([part["row"] for part in parts.values()])
    left_out = {"ds1_ds2": PACED, "ds1_folds": [*PACED, *DS2]}.get(use, [])
    expected = beats[~beats["record"].isin(left_out)]
    assert sorted(rows) == expected["row"].tolist()
    assert all(part["row"].is_monotonic_increasing and len(part) for part in parts.values())


@pytest.mark.parametrize("use", UNTIMED)
def test_parts_have_the_columns_of_the_source_but_part_and_a_fresh_index(beats, use):
    for part in split(beats, use).values():
        assert list(part.columns) == [name for name in beats.columns if name != "part"]
        assert part.index.equals(pd.RangeIndex(len(part)))


@pytest.mark.parametrize("use", UNTIMED)
def test_rows_keep_what_belongs_to_them(beats, use):
    for part in split(beats, use).values():
        pd.testing.assert_frame_equal(part, beats.loc[part["row"]].drop(columns="part").reset_index(drop=True))


@pytest.mark.parametrize("use", UNTIMED)
def test_a_split_is_deterministic_by_seed(beats, use):
    first, again, other = split(beats, use), split(beats, use), split(beats, use, seed=1)
    assert all(first[part].equals(again[part]) for part in first)
    assert not first["val"].equals(other["val"])


def test_given_keeps_the_test_part_of_the_source(beats):
    expected = beats.loc[beats["part"] == "test", "row"].tolist()
    assert split(beats, "given")["test"]["row"].tolist() == expected


def test_given_keeps_a_validation_part_that_the_source_brings(beats):
    own = beats.assign(part=np.where(beats["row"] % 7 == 0, "val", beats["part"]))
    for seed in (0, 1):
        parts = split(own, "given", seed=seed, val_share=0.5)
        for name, part in parts.items():
            assert part["row"].tolist() == own.loc[own["part"] == name, "row"].tolist()


def test_given_cuts_a_missing_test_part_from_train_and_leaves_validation_alone(beats):
    own = beats.assign(part=np.where(beats["row"] % 7 == 0, "val", "train"))
    parts = split(own, "given", test_share=0.25)
    assert parts["val"]["row"].tolist() == own.loc[own["part"] == "val", "row"].tolist()
    assert len(parts["test"]) == pytest.approx(0.25 * (own["part"] == "train").sum(), abs=1)


def test_a_source_with_a_test_part_alone_says_that_there_is_none_to_train_on(beats):
    with pytest.raises(BeatwiseError, match=r"no example to draw a val part from: the source has no part 'train'\."):
        split(beats.assign(part="test"), "given")


@pytest.mark.parametrize("use", ["given", "stratified"])
def test_validation_is_cut_from_train_stratified_by_class(beats, use):
    parts = split(beats, use, val_share=0.25)
    pool = pd.concat([parts["train"], parts["val"]])
    assert len(parts["val"]) == pytest.approx(0.25 * len(pool), abs=1)
    np.testing.assert_allclose(shares(parts["val"]) * len(parts["val"]), shares(pool) * len(parts["val"]), atol=1)


@pytest.mark.parametrize("use", ["given", "stratified"])
def test_a_source_without_a_test_part_gets_80_to_20(beats, use):
    parts = split(beats.assign(part="train"), use)
    assert len(parts["test"]) == 0.2 * len(beats)
    np.testing.assert_allclose(shares(parts["test"]), shares(beats), atol=1 / len(parts["test"]))


def test_stratified_ignores_the_part_that_the_source_names(beats):
    other = split(beats.assign(part="test"), "stratified")
    assert all(part.equals(other[name]) for name, part in split(beats, "stratified").items())


@pytest.mark.parametrize("seed", range(5))
def test_by_group_shares_no_record_between_parts(beats, seed):
    records = [set(part["record"]) for part in split(beats, "by_group", seed=seed).values()]
    assert sum(map(len, records)) == len(set.union(*records)) == 48


def test_by_group_keeps_the_two_recordings_of_one_patient_together(beats):
    for seed in range(20):
        for part in split(beats, "by_group", seed=seed).values():
            assert len({"201", "202"} & set(part["record"])) != 1


def test_by_group_comes_near_the_shares_asked_for(beats):
    parts = split(beats, "by_group", val_share=0.2, test_share=0.25)
    assert len(parts["test"]) / len(beats) == pytest.approx(0.25, abs=0.05)
    assert len(parts["val"]) / (len(beats) - len(parts["test"])) == pytest.approx(0.2, abs=0.05)


def test_ds1_and_ds2_are_22_records_each_disjoint_and_without_the_paced_ones():
    assert len(set(DS1)) == len(DS1) == len(set(DS2)) == len(DS2) == 22
    assert not set(DS1) & set(DS2)
    assert not (set(DS1) | set(DS2)) & set(PACED)


def test_ds1_ds2_trains_on_ds1_tests_on_ds2_and_validates_on_whole_records_of_ds1(beats):
    parts = split(beats, "ds1_ds2")
    records = {name: set(part["record"]) for name, part in parts.items()}
    assert records["test"] == set(DS2)
    assert records["train"] | records["val"] == set(DS1)
    assert not records["train"] & records["val"]


@pytest.mark.parametrize("fold_others", [False, True])
def test_folds_of_ds1_test_each_of_its_records_once_and_train_on_other_databases_or_fold_them(beats, fold_others):
    names = {"100": "800", "103": "801", "105": "802", "111": "803"}
    other = beats[beats["record"].isin(names)].replace({"record": names})
    both, others, tested = pd.concat([beats, other], ignore_index=True), set(names.values()), list[str]()
    for fold in range(1, 5):
        given = split(both, "ds1_folds", fold=fold, fold_others=fold_others)
        parts = {name: set(part["record"]) for name, part in given.items()}
        assert set.union(*parts.values()) == {*DS1, *others}
        assert fold_others or parts["train"] >= others
        assert not parts["val"] & (parts["train"] | parts["test"])
        tested += parts["test"]
    assert sorted(tested) == sorted([*DS1, *(others if fold_others else [])])
    assert set(split(both, "ds1_ds2")["test"]["record"]) == set(DS2)


def test_by_record_tests_on_the_named_records_and_refuses_a_name_of_none(beats):
    parts = split(beats, "by_record", test=("10?", "234"), leave_out=("102", "104", "107", "217"))
    records = {name: set(part["record"]) for name, part in parts.items()}
    assert records["test"] == {"100", "101", "103", "105", "106", "108", "109", "234"}
    assert not records["train"] & records["val"]
    assert set.union(*records.values()) == {*DS1, *DS2}
    with pytest.raises(BeatwiseError, match=r"by_record\.test: no record is named '8\?\?'"):
        split(beats, "by_record", test=("8??",))
    both = beats.assign(group=beats["record"].replace({"202": "201"}))
    with pytest.raises(BeatwiseError, match=r"202 would be trained on, and are of a patient that is tested"):
        split(both, "by_record", test=("201",))
    assert set(split(both, "by_record", test=("201",), leave_out=("202",))["test"]["record"]) == {"201"}


@pytest.mark.parametrize("use", ["by_group", "by_record", "ds1_ds2", "ds1_folds", "group_folds"])
def test_a_split_by_group_without_records_says_which_sources_have_them(beats, use):
    with pytest.raises(BeatwiseError, match=f"The split {use!r} needs to know the patient of each example.*mitbih_rr"):
        split(beats.drop(columns="record"), use)


@pytest.mark.parametrize(("kept", "lacking"), [(DS1, "DS2"), (DS2, "DS1")])
def test_ds1_ds2_without_one_of_the_lists_says_which(beats, kept, lacking):
    with pytest.raises(BeatwiseError, match=f"finds no record of {lacking} among 1"):
        split(beats[beats["record"].isin(kept)], "ds1_ds2")


def test_too_few_patients_for_the_share_are_counted(beats):
    with pytest.raises(BeatwiseError) as caught:
        split(beats[beats["record"].isin(MITDB[:3])], "by_group")
    assert str(caught.value) == (
        "Cannot draw a test part of 0.2 by group: that needs 5 groups and as many examples of a class; there are 3 "
        "groups and 75 examples. Raise the share, or use ingest.split.use=stratified."
    )


def test_by_group_with_too_few_beats_of_every_class_says_so(beats):
    # Ten patients of a beat each, and no class with the five beats that five folds need.
    few = beats.groupby("record").head(1)[:10].assign(target=np.arange(10) % 3)
    with pytest.raises(BeatwiseError) as caught:
        split(few, "by_group")
    assert "Cannot draw a test part of 0.2 by group: that needs 5 groups and as many examples of a class" in str(
        caught.value
    )
    assert "there are 10 groups and 10 examples. Raise the share, or use ingest.split.use=stratified." in str(
        caught.value
    )


@pytest.mark.parametrize("use", ["given", "stratified"])
def test_a_class_with_a_single_beat_cannot_be_stratified(beats, use):
    lonely = beats.assign(part="train", target=np.where(beats["row"] == 0, 4, 0))
    with pytest.raises(BeatwiseError, match="class index 4 has 1 of them"):
        split(lonely, use)


def test_a_class_too_small_for_a_part_is_named(beats):
    rare = beats.assign(target=np.where(beats["row"] < 6, 4, 0))
    with pytest.raises(BeatwiseError, match=r"class index 4 has 6 examples, and each of 7 folds needs one in test\."):
        split(rare, "stratified_folds", folds=7)
    with pytest.raises(BeatwiseError, match=r"class index 4 has 3 examples, too few for one of them in a val part of"):
        split(rare, "stratified_folds", folds=2)


def test_a_part_smaller_than_the_number_of_classes_is_refused(beats):
    with pytest.raises(BeatwiseError, match=r"Cannot draw a val part of 0\.001.*raise the share"):
        split(beats, "given", val_share=0.001)


# --- folds


@pytest.mark.parametrize("use", ["stratified_folds", "group_folds"])
def test_every_example_is_in_test_once_over_the_folds(beats, use):
    folds = [split(beats, use, seed=3, folds=4, fold=fold) for fold in (1, 2, 3, 4)]
    assert sorted(np.concatenate([fold["test"]["row"] for fold in folds])) == beats["row"].tolist()
    for fold in folds:
        if use == "stratified_folds":
            # A class of n has n/4 in every fold, rounded either way.
            assert np.abs(np.bincount(fold["test"]["target"]) - np.bincount(beats["target"]) / 4).max() < 1
        else:
            assert sum(part["record"].nunique() for part in fold.values()) == 48


def test_folds_within_train_hold_every_beat_of_train_once_and_none_of_test(beats):
    tested = [split(beats, "stratified_folds", folds=3, fold=fold, within_train=True) for fold in (1, 2, 3)]
    assert sorted(pd.concat([parts["test"]["0"] for parts in tested])) == sorted(
        beats.loc[beats["part"] != "test", "0"]
    )
    train = set(beats.loc[beats["part"] == "train", "0"])
    assert all(set(part["0"]) <= train for parts in tested for part in parts.values())
    with pytest.raises(BeatwiseError, match="within_train leaves out the test part of the source, and this source has"):
        split(beats.drop(columns="part"), "stratified_folds", within_train=True)


def series(**change) -> pd.DataFrame:
    """A year of hourly examples with a hole of three weeks, from the middle of a month on."""
    time = pd.Series(pd.date_range("2004-03-10 18:00", "2005-04-04 14:00", freq="h"))
    hole = time.between("2004-08-05", "2004-08-26")
    return pd.DataFrame({"time": time[~hole]}).reset_index(drop=True).assign(**change)


def parts_of(table: pd.DataFrame, **options) -> np.ndarray:
    return SPLITS["blocked"](table, seed=0, **SPLITS.options("blocked", options))


@pytest.mark.parametrize("options", [{}, {"gap": 100.5, "months": 1, "folds": 5, "val_days": 10}])
def test_no_hour_stands_in_two_parts_of_blocks_and_every_hour_is_tested_once(options):
    table, gap = series(), int(options.get("gap", 48))
    hours = table["time"].to_numpy("datetime64[h]").astype(int)
    hours -= hours[0] - gap
    back, around = np.arange(gap + 1), np.arange(-gap, gap + 1)
    tested = np.zeros(len(table), int)
    for fold in range(1, options.get("folds", 6) + 1):
        parts = parts_of(table, fold=fold, **options)
        # How many parts see an hour: an example sees its own, and those of its window.
        seen = np.zeros(hours[-1] + gap + 1, int)
        for part in ("train", "val", "test"):
            seen[np.unique(hours[parts == part][:, None] - back)] += 1
        assert seen.max() == 1
        tested += parts == "test"
        # What is left out is near to test or validation, and nothing else is.
        held, near = np.isin(parts, ["val", "test"]), np.zeros(hours[-1] + gap + 1, bool)
        near[hours[held][:, None] + around] = True
        assert ((parts == "") == near[hours] & ~held).all()
        # Validation is spread over the year.
        assert table["time"][parts == "val"].dt.to_period("Q").nunique() >= 3
    assert (tested == 1).all()


def test_six_folds_of_two_months_are_seasons_and_a_time_zone_makes_no_difference_to_the_months():
    table = series()
    months = [sorted(set(table["time"][parts_of(table, fold=fold) == "test"].dt.month)) for fold in range(1, 7)]
    assert months == [[3, 4], [5, 6], [7, 8], [9, 10], [11, 12], [1, 2]]
    local = table.assign(time=table["time"].dt.tz_localize("UTC").dt.tz_convert("Europe/Rome"))
    tested = local["time"][parts_of(local, fold=2) == "test"]
    assert (str(tested.min())[:13], str(tested.max())[:13]) == ("2004-05-01 00", "2004-06-30 23")


@pytest.mark.parametrize(
    ("table", "options", "words"),
    [
        (series().drop(columns="time"), {}, "needs a column 'time', and this source has none"),
        (series(time=None), {}, r"needs a date and time in every row of the column 'time'; it is object, with 8"),
        (series(), {"fold": 7}, r"ingest\.split\.blocked\.fold: got 7; allowed: 1 to 6, the number of folds\."),
        (series()[:3000], {}, "finds 3 blocks of 2 months from 2004-03 to 2004-07, and each of 6 folds needs one"),
        (series(), {"gap": 2000}, r"leaves nothing for train in fold 1: a gap of 2000 hours on both sides is too long"),
    ],
)
def test_blocks_that_cannot_be_cut_say_why(table, options, words):
    with pytest.raises(BeatwiseError, match=words):
        parts_of(table, **options)
