from __future__ import annotations

import re
from typing import Any

import numpy as np
import pandas as pd
import pytest
from sklearn.utils import resample

from beatwise.core.errors import BeatwiseError
from beatwise.data.examples import Examples
from beatwise.data.features import RR_COLUMNS
from beatwise.data.resampling import STRATEGIES, resample_examples
from beatwise.ecg.beats import beats_table, examples_of, table_of
from tests.tables import labels, make_table, signals

CLASSES = ["N", "S", "V", "F", "Q"]
COUNTS = (60, 12, 14, 10, 12)  # of make_beats
COPYING = [
    "none",
    "semi_oversampling",
    "full_oversampling",
    "n_per_class",
    "repeats",
    "share",
    "per_group",
    "random_undersampling",
]
EXACT: dict[str, list[int]] = {
    "none": [60, 12, 14, 10, 12],
    "full_oversampling": [round(0.758924 * 60)] * 5,
    "n_per_class": [10_000] * 5,
    "random_undersampling": [10] * 5,
    "smote": [60] * 5,
    "graft": [60] * 5,
}


@pytest.fixture
def beats():
    return make_table()


@pytest.fixture
def full():
    return make_table(records=True)


def run(beats: pd.DataFrame, use: str, seed: int = 0, **options: Any) -> pd.DataFrame:
    options = {"n": 3, **options} if use == "per_group" else options
    made = resample_examples(examples_of(beats), use, STRATEGIES.options(use, options), CLASSES, seed)
    return table_of(made).assign(sample=made.table["sample"].astype("Int64")) if "sample" in beats else table_of(made)


def counts(beats: pd.DataFrame) -> list[int]:
    return np.bincount(beats["target"], minlength=5).tolist()


def made(beats: pd.DataFrame) -> pd.DataFrame:
    return beats[beats["record"].isna()]


@pytest.mark.parametrize("use", STRATEGIES.names())
def test_a_strategy_keeps_the_contract(full, use):
    before = full.copy(deep=True)
    np.random.seed(5)  # noqa: NPY002 - the global generator is left alone
    expected = np.random.random()  # noqa: NPY002
    np.random.seed(5)  # noqa: NPY002
    result = run(full, use, seed=3)
    assert np.random.random() == expected  # noqa: NPY002
    pd.testing.assert_frame_equal(run(full, use, seed=3), result)
    if use != "none":
        assert not run(full, use, seed=4).equals(result)
    check_columns(result, full)
    check_values(signals(result))
    assert min(counts(result)) > 0
    check_kept(result, full)
    check_made(result, full, use)
    # The training part itself is not touched, not even through what was made of it.
    result.iloc[:, 0] = 9.0
    pd.testing.assert_frame_equal(full, before)


def check_columns(result: pd.DataFrame, full: pd.DataFrame) -> None:
    assert list(result.columns) == list(full.columns)
    assert {result[name].dtype for name in result.columns[:24]} == {np.dtype("float32")}
    assert {result[name].dtype for name in RR_COLUMNS} == {np.dtype("float32")}
    assert result["target"].dtype == np.int64
    assert result["sample"].dtype == "Int64"
    assert result.index.equals(pd.RangeIndex(len(result)))


def check_values(values: np.ndarray) -> None:
    assert np.isfinite(values).all()
    assert values.min() >= 0
    assert values.max() <= 1


def check_kept(result: pd.DataFrame, full: pd.DataFrame) -> None:
    """A kept beat is a verbatim copy with its own record and RR intervals."""
    kept = result[result["record"].notna()].astype({"sample": np.int64})
    originals = full.set_index("sample").loc[kept["sample"]].reset_index()[list(full.columns)]
    assert len(kept) > 0
    pd.testing.assert_frame_equal(kept.reset_index(drop=True), originals)


def check_made(result: pd.DataFrame, full: pd.DataFrame, use: str) -> None:
    """A beat that was made has no record, is no copy, and has RR intervals within those of its class."""
    new = made(result)
    originals = {row.tobytes() for row in signals(full)}
    assert (len(new) > 0) == (use not in COPYING)
    assert new["sample"].isna().all()
    assert new["lead"].isna().all()
    if use != "graft":  # which may take head and tail of one beat
        assert not any(row.tobytes() in originals for row in signals(new))
    for target, group in new.groupby("target"):
        own = full[full["target"] == target]
        for name in RR_COLUMNS:
            assert group[name].between(own[name].min() - 1e-6, own[name].max() + 1e-6).all()


@pytest.mark.parametrize("use", [name for name in STRATEGIES.names() if name != "per_group"])
def test_a_table_without_records_gets_none_and_a_class_without_beats_is_left_out(beats, use):
    without = beats[beats["target"] != 3].reset_index(drop=True)
    result = run(without, use)
    assert list(result.columns) == list(beats.columns)
    after = counts(result)
    assert after[3] == 0
    assert min(after[:3] + after[4:]) > 0


def test_a_share_is_stratified_and_part_of_a_larger_share_of_the_same_seed(beats):
    drawn = [signals(run(beats, "share", of_each_class=share)) for share in (0.1, 0.5)]
    tenth, half = ({row.tobytes() for row in rows} for rows in drawn)
    assert tenth < half
    assert counts(run(beats, "share", of_each_class=0.5)) == [max(1, round(n / 2)) for n in counts(beats)]


def test_repeats_follow_the_factor_of_each_class(beats):
    before = counts(beats)
    after = counts(run(beats, "repeats", by_class={"S": 2.0, "F": 1.5}))
    assert after[1] == 2 * before[1]
    assert before[3] < after[3] < 2 * before[3]
    assert (after[0], after[2], after[4]) == (before[0], before[2], before[4])
    with pytest.raises(BeatwiseError, match=r"resample\.repeats\.by_class: .*'X'"):
        run(beats, "repeats", by_class={"X": 2.0})


def test_the_number_of_beats_of_every_class_is_known(beats):
    assert {use: counts(run(beats, use)) for use in EXACT} == EXACT


def test_options_change_the_numbers(beats):
    assert counts(run(beats, "n_per_class", n=11)) == [11] * 5
    assert counts(run(beats, "full_oversampling", majority_share=0.5)) == [30] * 5
    assert counts(run(beats, "graft", majority_share=0.2)) == [60, 12, 14, 12, 12]


def test_semi_oversampling_draws_what_scikit_learn_draws_from_the_pooled_minorities(beats):
    target = labels(beats)
    drawn = resample(np.flatnonzero(target != 0), replace=True, n_samples=60, random_state=42)
    expected = np.concatenate([signals(beats)[target == 0], signals(beats)[drawn]])
    np.testing.assert_array_equal(signals(run(beats, "semi_oversampling", seed=42)), expected)


def test_the_smote_family_grows_minorities_and_keeps_the_majority(beats):
    for use in ("borderline_smote", "adasyn"):
        grown = counts(run(beats, use))
        assert grown[0] == 60
        assert all(after >= before for after, before in zip(grown, COUNTS, strict=True))
        assert sum(grown) > sum(COUNTS)


@pytest.mark.parametrize("use", ["smote_enn", "smote_tomek"])
def test_cleaning_takes_from_what_smote_made_and_adds_nothing(use):
    # Beats of two classes in one place, so that there is something to clean away.
    noisy = make_table()
    noisy["target"] = np.random.default_rng(0).permutation(noisy["target"])
    grown, cleaned = run(noisy, "smote", seed=1), run(noisy, use, seed=1)
    rows = {row.tobytes() for row in signals(grown)}
    assert len(cleaned) < len(grown)
    assert all(row.tobytes() in rows for row in signals(cleaned))


def test_smote_interpolates_signal_and_rr_by_the_same_factor(full):
    columns = [str(i) for i in range(24)] + list(RR_COLUMNS)
    originals = {t: full.loc[full["target"] == t, columns].to_numpy(np.float64) for t in range(5)}
    some = made(run(full, "smote")).head(20)
    for point, target in zip(some[columns].to_numpy(np.float64), labels(some).tolist(), strict=True):
        own = originals[target]
        # On a straight line between two beats of the class: the way over the point is no longer than the direct one.
        to_point = np.linalg.norm(own - point, axis=1)
        direct = np.linalg.norm(own[:, None] - own, axis=2)
        detour = to_point[:, None] + to_point - direct
        np.fill_diagonal(detour, np.inf)
        assert detour.min() < 1e-5


def test_a_graft_is_the_head_of_one_beat_and_the_tail_of_another_of_its_class(full):
    result = made(run(full, "graft"))
    mixed = 0
    for row in result.to_dict("records"):
        own = full[full["target"] == row["target"]]
        head = own[own["rr_before"] == row["rr_before"]].iloc[0]
        tail = own[own["rr_after"] == row["rr_after"]].iloc[0]
        values = np.array([row[str(i)] for i in range(24)])
        points = [
            point
            for point in range(1, 24)
            if (values[:point] == [head[str(i)] for i in range(point)]).all()
            and (values[point:] == [tail[str(i)] for i in range(point, 24)]).all()
        ]
        assert points
        for name in RR_COLUMNS[2:]:
            assert row[name] == pytest.approx((head[name] + tail[name]) / 2, rel=1e-6)
        mixed += head["sample"] != tail["sample"]
    assert mixed > len(result) / 2


def test_a_class_too_small_for_its_neighbours_is_named_with_the_key_and_what_is_allowed():
    for use in STRATEGIES.names():
        if "k_neighbors" in STRATEGIES.options(use, {}):
            with pytest.raises(BeatwiseError) as caught:
                run(make_table((20, 9, 9, 4, 9)), use)
            message = str(caught.value)
            assert "Class F has 4 beats in the training part" in message
            assert f"resample.{use}.k_neighbors=5" in message
            assert "Lower it to 3 or less" in message


def test_adasyn_names_its_own_key():
    with pytest.raises(
        BeatwiseError,
        match=re.escape("Class F has 4 beats in the training part, too few for resample.adasyn.n_neighbors=5"),
    ):
        run(make_table((20, 9, 9, 4, 9)), "adasyn")


def test_as_many_neighbours_as_the_message_allows_are_enough():
    assert counts(run(make_table((20, 9, 9, 4, 9)), "smote", k_neighbors=3)) == [20] * 5


def test_a_class_of_one_beat_is_not_told_to_lower_the_neighbours_in_vain():
    with pytest.raises(BeatwiseError) as caught:
        run(make_table((20, 9, 9, 1, 9)), "smote")
    assert "Class F has 1 beats" in str(caught.value)
    assert "Add beats, or choose resample.use=full_oversampling." in str(caught.value)
    assert "Lower it" not in str(caught.value)


def test_what_imbalanced_learn_refuses_is_said_with_the_name_of_the_strategy():
    apart = beats_table(
        np.repeat(np.array([[0, 0.1], [1, 0.9]], np.float32), [9, 7], axis=0), np.repeat([0, 1], [9, 7])
    )
    with pytest.raises(BeatwiseError, match=r"'adasyn' cannot be used on these 16 training beats.*resample\.use=smote"):
        resample_examples(examples_of(apart), "adasyn", {"n_neighbors": 5}, ["a", "b"], 0)


def test_a_share_that_leaves_no_beat_still_keeps_one_of_every_class(beats):
    assert min(counts(run(beats, "full_oversampling", majority_share=0.001))) >= 1


def test_a_selection_serves_examples_of_any_shape():
    x = np.random.default_rng(0).uniform(size=(30, 2, 5, 5)).astype(np.float32)
    pictures = Examples(x, pd.DataFrame({"target": np.repeat([0, 1, 2], [20, 6, 4]), "row": np.arange(30)}))
    for use in set(COPYING) - {"per_group"}:
        chosen = resample_examples(pictures, use, STRATEGIES.options(use, {}), ["a", "b", "c"], 0)
        np.testing.assert_array_equal(chosen.x, x[chosen.table["row"]])


def test_a_strategy_that_makes_beats_refuses_pictures_in_words():
    pictures = Examples(np.zeros((9, 1, 4, 4), np.float32), pd.DataFrame({"target": np.repeat([0, 1], [5, 4])}))
    with pytest.raises(BeatwiseError, match=r"'smote' interpolates beats of one lead.*full_oversampling"):
        resample_examples(pictures, "smote", {"k_neighbors": 2}, ["a", "b"], 0)


def test_per_group_caps_the_largest_class_of_each_patient_and_keeps_the_others(full):
    before = full.groupby(["record", "target"]).size()
    after = run(full, "per_group", n=3).groupby(["record", "target"]).size()
    largest = before.index.get_level_values("target") == 0
    pd.testing.assert_series_equal(after, before.where(~largest, before.clip(upper=3)))
    with pytest.raises(BeatwiseError, match=r"resample\.per_group: these examples have no groups"):
        run(full.drop(columns="record"), "per_group")
