from __future__ import annotations

import json

import numpy as np
import pandas as pd
import pytest
import pywt

from beatwise.core.errors import BeatwiseError
from beatwise.data import representations
from beatwise.data.examples import RR_COLUMNS, beats_table, fingerprint, labels, signals
from beatwise.data.representations import REPRESENTATIONS, TensorSpec, beat_mask, build_tensors
from beatwise.ecg.rr import RR_FEATURES, rr_features

CLASSES = ["N", "S", "V", "F", "Q"]
SHAPES = {
    "signal": (1, 187),
    "signal_with_mask": (2, 187),
    "image": (1, 16, 12),
    "scalogram": (4, 187),
}


@pytest.fixture
def beats(make_beats):
    return make_beats((20, 6, 6, 6, 6), length=187)


@pytest.fixture
def full(make_beats):
    return make_beats((20, 6, 6, 6, 6), length=187, records=True)


def fit(beats: pd.DataFrame, use: str = "signal", *, rr: bool = True, **options: object) -> TensorSpec:
    return TensorSpec.fit(beats, use=use, options=REPRESENTATIONS.options(use, options), classes=CLASSES, rr=rr)


def transform(use: str, values: np.ndarray, **options: object) -> np.ndarray:
    return REPRESENTATIONS[use](values, **REPRESENTATIONS.options(use, options))


@pytest.mark.parametrize("use", REPRESENTATIONS.names())
def test_tensors_have_their_shape_and_are_contiguous_float32(beats, use):
    x = build_tensors(beats, fit(beats, use)).x
    assert x.dtype == np.float32
    assert x.flags.c_contiguous
    assert np.isfinite(x).all()
    assert x.shape[0] == len(beats)
    assert use not in SHAPES or x.shape[1:] == SHAPES[use]


@pytest.mark.parametrize("use", REPRESENTATIONS.names())
def test_a_beat_does_not_depend_on_the_beats_beside_it(beats, use):
    values = signals(beats)
    together = transform(use, values)
    alone = np.concatenate([transform(use, values[i : i + 1]) for i in range(len(values))])
    np.testing.assert_array_equal(alone, together)


@pytest.mark.parametrize("use", REPRESENTATIONS.names())
def test_a_representation_does_not_change_the_beats(beats, use):
    values = signals(beats)
    before = values.copy()
    transform(use, values)
    np.testing.assert_array_equal(values, before)


@pytest.mark.parametrize("use", REPRESENTATIONS.names())
def test_different_beats_stay_different(beats, use):
    x = transform(use, signals(beats)).reshape(len(beats), -1)
    assert len(np.unique(x, axis=0)) == len(beats)


def test_the_mask_is_zero_exactly_on_the_zeros_behind_the_beat():
    values = np.array([[0, 0.5, 0, 1, 0, 0], [1, 1, 1, 1, 1, 0.1], [0, 0, 0, 0, 0, 0]], np.float32)
    expected = [[1, 1, 1, 1, 0, 0], [1, 1, 1, 1, 1, 1], [0, 0, 0, 0, 0, 0]]
    np.testing.assert_array_equal(beat_mask(values), np.array(expected, dtype=bool))
    np.testing.assert_array_equal(transform("signal_with_mask", values)[:, 1], expected)
    np.testing.assert_array_equal(transform("signal_with_mask", values)[:, 0], values)


def test_the_mask_is_as_long_as_the_beat(beats):
    for row, mask in zip(signals(beats), beat_mask(signals(beats)), strict=True):
        length = max((i + 1 for i, value in enumerate(row) if value != 0), default=0)
        assert mask.tolist() == [True] * length + [False] * (187 - length)


def test_an_image_is_the_beat_and_five_zeros_row_by_row(beats):
    values = signals(beats)
    image = transform("image", values)
    flat = image.reshape(len(values), 192)
    np.testing.assert_array_equal(flat[:, :187], values)
    assert not flat[:, 187:].any()
    np.testing.assert_array_equal(image[:, 0, 3, :], values[:, 36:48])


def test_an_image_too_small_for_the_beat_names_its_options(beats):
    with pytest.raises(BeatwiseError, match=r"13 × 14 holds 182 values, a beat has 187.*tensors\.image\.height"):
        transform("image", signals(beats), height=13, width=14)


@pytest.mark.parametrize("scales", [(1.0, 2.0, 3.0, 4.0), (2.5, 16.0)])
def test_a_scalogram_is_that_of_pywt_row_by_row(beats, scales, monkeypatch):
    monkeypatch.setattr(representations, "CHUNK", 10)
    values = signals(beats)
    expected = np.stack([pywt.cwt(row.astype(np.float64), list(scales), "mexh")[0] for row in values])
    np.testing.assert_allclose(transform("scalogram", values, scales=scales), expected, rtol=1e-4, atol=1e-5)


def test_a_scalogram_of_a_scale_too_small_for_the_wavelet_is_refused_clearly(beats):
    with pytest.raises(BeatwiseError, match="scales"):
        transform("scalogram", signals(beats), scales=(0.001,))


def test_auxiliary_features_are_standardised_on_train(full):
    aux = build_tensors(full, fit(full)).aux
    assert (aux.shape, aux.dtype) == ((len(full), len(RR_FEATURES)), np.dtype("float32"))
    np.testing.assert_allclose(aux.mean(axis=0, dtype=np.float64), 0, atol=1e-5)
    np.testing.assert_allclose(aux.std(axis=0, dtype=np.float64), 1, rtol=1e-5)


def test_validation_is_standardised_with_the_statistics_of_train(full, make_beats):
    val = make_beats((10, 5, 5, 5, 5), length=187, seed=1, records=True)
    train_features = rr_features(full).astype(np.float64)
    expected = (rr_features(val) - train_features.mean(axis=0)) / train_features.std(axis=0)
    np.testing.assert_allclose(build_tensors(val, fit(full)).aux, expected, rtol=1e-4, atol=1e-5)


def test_a_feature_that_never_changes_becomes_zero(full):
    constant = full.assign(rr_record_mean=np.float32(0.8))
    aux = build_tensors(constant, fit(constant)).aux
    np.testing.assert_allclose(aux[:, RR_FEATURES.index("rr_record_mean")], 0, atol=1e-6)
    assert np.isfinite(aux).all()


def test_without_rr_columns_or_with_rr_false_there_are_no_auxiliary_features(beats, full):
    for tensors in (build_tensors(beats, fit(beats)), build_tensors(full, fit(full, rr=False))):
        assert tensors.aux.shape == (len(beats), 0)
        assert tensors.spec.aux_names == ()


def test_beats_without_rr_are_refused_by_a_specification_with_rr(full):
    with pytest.raises(BeatwiseError, match=r"carry RR features.*tensors\.rr=false"):
        build_tensors(full.drop(columns=list(RR_COLUMNS)), fit(full))


def test_beats_of_another_length_are_refused(beats, make_beats):
    with pytest.raises(BeatwiseError, match="have 24 samples, the tensors to be built hold 187"):
        build_tensors(make_beats(), fit(beats))


def test_tensors_say_which_beats_they_were_made_of(full):
    tensors = build_tensors(full, fit(full))
    assert tensors.fingerprint == fingerprint(full)
    np.testing.assert_array_equal(tensors.y, labels(full))
    assert tensors.record is not None
    assert tensors.sample is not None
    assert tensors.record.tolist() == full["record"].tolist()
    assert tensors.sample.tolist() == full["sample"].tolist()


def test_tensors_without_records_have_none(beats):
    tensors = build_tensors(beats, fit(beats))
    assert tensors.record is None
    assert tensors.sample is None


def test_beats_that_were_made_have_an_empty_record_and_sample_minus_one(full):
    made = full.copy()
    made["sample"] = made["sample"].astype("Int64")
    made.loc[3, ["record", "sample"]] = [None, pd.NA]
    tensors = build_tensors(made, fit(full))
    assert tensors.record is not None
    assert tensors.sample is not None
    assert (tensors.record[3], tensors.sample[3], tensors.sample.dtype) == ("", -1, np.dtype("int64"))


@pytest.mark.parametrize("use", REPRESENTATIONS.names())
def test_a_specification_survives_json(full, use):
    spec = fit(full, use)
    again = TensorSpec.from_dict(json.loads(json.dumps(spec.to_dict())))
    assert again == spec
    np.testing.assert_array_equal(build_tensors(full, again).x, build_tensors(full, spec).x)
    np.testing.assert_array_equal(build_tensors(full, again).aux, build_tensors(full, spec).aux)


def test_an_empty_table_gives_empty_tensors(beats):
    empty = beats_table(np.zeros((0, 187), np.float32), np.zeros(0, np.int64))
    for use in REPRESENTATIONS.names():
        assert build_tensors(empty, fit(beats, use)).x.shape[0] == 0
