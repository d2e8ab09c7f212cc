from __future__ import annotations

import dataclasses
import json

import numpy as np
import pandas as pd
import pytest
import pywt

from beatwise.core.errors import BeatwiseError
from beatwise.data.examples import Examples
from beatwise.data.features import RATIOS, RR_COLUMNS, with_ratios
from beatwise.data.representations import REPRESENTATIONS, Representation, beat_mask, representation
from beatwise.tasks.classification.task import Classification
from beatwise.tasks.tensors import build_tensors

TASK = Classification(classes=("N", "S", "V", "F", "Q"))
SHAPES = {
    "signal": (1, 187),
    "signal_with_mask": (2, 187),
    "image": (1, 16, 12),
    "scalogram": (4, 187),
    "identity": (2, 187),
}
FEATURES = [*RR_COLUMNS, *(f"{top}/{bottom}" for top, bottom in RATIOS)]


@pytest.fixture
def beats(make_beats):
    return make_beats((20, 6, 6, 6, 6), length=187)


@pytest.fixture
def full(make_beats):
    return make_beats((20, 6, 6, 6, 6), length=187, records=True)


def fitted(beats: Examples, use: str = "signal", *, features: bool = True, **options: object) -> Representation:
    return representation(use, REPRESENTATIONS.options(use, options)).fit(beats, features=features)


def suitable(use: str, beats: Examples) -> Examples:
    """Beats for a representation: the identity takes channels."""
    return Examples(np.stack([beats.x, 1 - beats.x], axis=1), beats.table) if use == "identity" else beats


@pytest.mark.parametrize("use", REPRESENTATIONS.names())
def test_the_contract_of_a_representation(full, use):
    beats = suitable(use, full)
    before = beats.x.copy()
    made = fitted(beats, use)
    tensors = build_tensors(beats, made, TASK)
    assert (tensors.x.dtype, tensors.x.flags.c_contiguous) == (np.dtype("float32"), True)
    assert tensors.x.shape[1:] == made.input_shape == SHAPES[use]
    assert len(made.input_shape) == (3 if made.layout == "image" else 2)
    np.testing.assert_array_equal(beats.x, before)
    # A beat does not depend on the beats beside it, and different beats stay different.
    alone = np.concatenate([made.transform(beats.x[i : i + 1]) for i in range(len(beats))])
    np.testing.assert_array_equal(alone, tensors.x)
    assert len(np.unique(tensors.x.reshape(len(beats), -1), axis=0)) == len(beats)
    # An attribution goes back to the values of an example without a loss.
    back = made.to_samples(tensors.x)
    assert back.shape == beats.x.shape
    np.testing.assert_allclose(
        back.reshape(len(beats), -1).sum(axis=1), tensors.x.reshape(len(beats), -1).sum(axis=1), rtol=1e-3
    )
    # It survives JSON, with what was fitted.
    again = Representation.from_dict(json.loads(json.dumps(made.to_dict())))
    assert again == made
    np.testing.assert_array_equal(build_tensors(beats, again, TASK).x, tensors.x)
    np.testing.assert_array_equal(build_tensors(beats, again, TASK).aux, tensors.aux)
    assert len(build_tensors(beats.take(np.arange(0)), made, TASK)) == 0


def test_the_mask_is_zero_exactly_on_the_zeros_behind_the_beat():
    values = np.array([[0, 0.5, 0, 1, 0, 0], [1, 1, 1, 1, 1, 0.1], [0, 0, 0, 0, 0, 0]], np.float32)
    expected = [[1, 1, 1, 1, 0, 0], [1, 1, 1, 1, 1, 1], [0, 0, 0, 0, 0, 0]]
    np.testing.assert_array_equal(beat_mask(values), np.array(expected, dtype=bool))
    made = representation("signal_with_mask", {})
    assert made.masks_padding
    np.testing.assert_array_equal(made.transform(values)[:, 1], expected)
    np.testing.assert_array_equal(made.transform(values)[:, 0], values)


def test_an_image_is_the_beat_and_five_zeros_row_by_row(beats):
    image = fitted(beats, "image").transform(beats.x)
    flat = image.reshape(len(beats), 192)
    np.testing.assert_array_equal(flat[:, :187], beats.x)
    assert not flat[:, 187:].any()
    np.testing.assert_array_equal(image[:, 0, 3, :], beats.x[:, 36:48])
    np.testing.assert_array_equal(fitted(beats, "image").to_samples(image), beats.x)


def test_an_image_too_small_for_the_beat_names_its_options(beats):
    with pytest.raises(BeatwiseError, match=r"13 × 14 holds 182 values, a beat has 187.*tensors\.image\.height"):
        fitted(beats, "image", height=13, width=14).transform(beats.x)


@pytest.mark.parametrize("scales", [(1.0, 2.0, 3.0, 4.0), (2.5, 16.0)])
def test_a_scalogram_is_that_of_pywt_row_by_row(beats, scales):
    expected = np.stack([pywt.cwt(row.astype(np.float64), list(scales), "mexh")[0] for row in beats.x])
    made = fitted(beats, "scalogram", scales=scales).transform(beats.x)
    np.testing.assert_allclose(made, expected, rtol=1e-4, atol=1e-5)


def test_a_scalogram_of_a_scale_too_small_for_the_wavelet_is_refused_clearly(beats):
    with pytest.raises(BeatwiseError, match="scales"):
        fitted(beats, "scalogram", scales=(0.001,)).transform(beats.x)


def test_channels_are_normalised_with_what_was_fitted_on_train(beats):
    train, val = suitable("identity", beats), suitable("identity", beats.take(np.arange(5)))
    made = fitted(train, "identity", normalise=True)
    x = build_tensors(train, made, TASK).x
    np.testing.assert_allclose(x.mean(axis=(0, 2)), 0, atol=1e-5)
    np.testing.assert_allclose(x.std(axis=(0, 2)), 1, rtol=1e-4)
    np.testing.assert_array_equal(build_tensors(val, made, TASK).x, x[:5])


def test_chosen_channels_alone_are_seen_and_attributed():
    pictures = Examples(np.random.default_rng(0).random((6, 3, 4, 4), np.float32), pd.DataFrame({"target": [0, 1] * 3}))
    options = REPRESENTATIONS.options("identity", {"channels": "2+0", "normalise": True})
    made = Representation.from_dict(json.loads(json.dumps(representation("identity", options).fit(pictures).to_dict())))
    expected = pictures.x[:, [2, 0]].astype(np.float64)
    mean, sd = (measure(axis=(0, 2, 3), keepdims=True) for measure in (expected.mean, expected.std))
    x, _ = made.apply(pictures)
    np.testing.assert_allclose(x, (expected - mean) / sd, atol=1e-5)
    back = made.to_samples(x)
    np.testing.assert_array_equal(back[:, [2, 0]], x)
    assert not back[:, 1].any()
    options = REPRESENTATIONS.options("identity", {"channels": 3})
    with pytest.raises(BeatwiseError, match=r"no channel 3; these examples have 3, numbered from 0 to 2"):
        representation("identity", options).fit(pictures)
    with pytest.raises(BeatwiseError, match=r"channels: got \[1, 1\]; each channel stands there once"):
        REPRESENTATIONS.options("identity", {"channels": [1, 1]})


def test_features_and_their_ratios_are_standardised_with_what_was_fitted_on_train(full, make_beats):
    val = make_beats((10, 5, 5, 5, 5), length=187, seed=1, records=True)
    made = fitted(full)
    assert list(made.feature_names) == FEATURES
    train_features = with_ratios(full.features).to_numpy(np.float64)
    expected = (with_ratios(val.features) - train_features.mean(axis=0)) / train_features.std(axis=0)
    aux = build_tensors(val, made, TASK).aux
    assert aux.dtype == np.float32
    np.testing.assert_allclose(aux, expected, rtol=1e-4, atol=1e-5)


def test_a_feature_that_never_changes_becomes_zero(full):
    constant = dataclasses.replace(full, table=full.table.assign(rr_record_mean=np.float32(0.8)))
    aux = build_tensors(constant, fitted(constant), TASK).aux
    np.testing.assert_allclose(aux[:, FEATURES.index("rr_record_mean")], 0, atol=1e-6)
    assert np.isfinite(aux).all()


def test_without_features_or_where_they_are_not_wanted_there_are_none(beats, full):
    for tensors in (build_tensors(beats, fitted(beats), TASK), build_tensors(full, fitted(full, features=False), TASK)):
        assert tensors.aux.shape == (len(beats), 0)
        assert tensors.representation.feature_names == ()


def test_examples_that_lack_a_feature_or_have_another_shape_are_refused(full, make_beats):
    with pytest.raises(BeatwiseError, match=r"these examples lack rr_after\..*tensors\.features=false"):
        build_tensors(full.without("rr_after"), fitted(full), TASK)
    with pytest.raises(BeatwiseError, match=r"the shape \[24\], and the model was trained on \[187\]"):
        build_tensors(make_beats(records=True), fitted(full), TASK)


def test_tensors_say_which_examples_they_were_made_of(full):
    tensors = build_tensors(full, fitted(full), TASK)
    assert tensors.fingerprint == full.fingerprint
    np.testing.assert_array_equal(tensors.labels, full.target)
    pd.testing.assert_frame_equal(tensors.table, full.table[["group", "record", "sample"]])
    some = tensors.take(np.array([5, 2]))
    np.testing.assert_array_equal(some.x, tensors.x[[5, 2]])
    assert some.table["sample"].tolist() == full.table["sample"].iloc[[5, 2]].tolist()


def test_without_labels_tensors_can_be_made_but_not_trained_on(full):
    tensors = build_tensors(full.without("target"), fitted(full), TASK)
    assert tensors.y is None
    with pytest.raises(BeatwiseError, match="no labels: they can be predicted"):
        _ = tensors.labels
