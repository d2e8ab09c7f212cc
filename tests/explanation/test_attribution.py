from __future__ import annotations

import numpy as np
import pandas as pd
import pytest

from beatwise.core.errors import BeatwiseError
from beatwise.data.representations import beat_mask
from beatwise.explanation.attribution import choose_beats, explain_beats
from tests.conftest import random_beats
from tests.explanation.cases import EXPLAIN, LENGTH, Explained, explained


@pytest.fixture(scope="module")
def case() -> Explained:
    return explained(random_beats((30, 6, 5, 3, 6), length=LENGTH, records=True))


@pytest.fixture(scope="module")
def made(case):
    return explain_beats(case.model, case.tensors, case.beats, case.predictions, EXPLAIN, 0)


def test_what_falls_to_the_trace_and_to_the_rr_features_adds_up_to_the_difference(made):
    _, attributions = made
    aux = attributions.filter(like="aux_")
    assert aux.shape[1] == 8
    total = attributions["trace"] + aux.sum(axis=1) + attributions["gap"]
    np.testing.assert_allclose(total, attributions["difference"], atol=1e-5)
    assert attributions["gap"].abs().max() < 0.1 * attributions["difference"].abs().max()


def test_the_mean_of_a_class_is_that_of_its_drawn_beats_sample_by_sample(case, made):
    saliency, attributions = made
    drawn = attributions[(attributions["of"] == "drawn") & (attributions["target"] == 1)]["beat"]
    mean = saliency[(saliency["of"] == "mean") & (saliency["target"] == 1)].set_index("sample")
    values = case.beats.x[drawn]
    mask = beat_mask(values)
    for sample in (0, 10, 30):
        if sample in mean.index:
            assert mean.loc[sample, "beats"] == mask[:, sample].sum()
            assert mean.loc[sample, "amplitude"] == pytest.approx(values[mask[:, sample], sample].mean())
    assert mean["beats"].min() >= len(drawn) / 2


def test_a_single_beat_ends_where_it_ends_and_its_saliency_adds_up_to_the_trace(case, made):
    saliency, attributions = made
    for fact in attributions[attributions["of"] != "drawn"].to_dict("records"):
        own = saliency[(saliency["beat"] == fact["beat"]) & (saliency["of"] == fact["of"])]
        wave = case.beats.x[fact["beat"]]
        assert own["sample"].tolist() == list(range(np.flatnonzero(wave)[-1] + 1))
        assert own["integrated_gradients"].sum() == pytest.approx(fact["trace"], abs=1e-4)
        assert fact["explained"] == fact["prediction"]


def test_of_a_class_the_surest_hit_and_the_surest_mistake_are_chosen():
    predictions = pd.DataFrame(
        {
            "target": [0, 0, 0, 1, 1],
            "prediction": [0, 0, 1, 1, 0],
            "probability_N": [0.6, 0.9, 0.2, 0.3, 0.55],
            "probability_S": [0.4, 0.1, 0.8, 0.7, 0.45],
        }
    )
    chosen = choose_beats(predictions, 2, seed=0)
    by = {of: chosen.loc[chosen["of"] == of, "beat"].tolist() for of in ("hit", "mistake")}
    assert by == {"hit": [1, 3], "mistake": [2, 4]}
    drawn = chosen[chosen["of"] == "drawn"]
    assert drawn["target"].tolist() == [0, 0, 1, 1]
    assert (drawn["explained"] == drawn["target"]).all()
    assert chosen.loc[chosen["of"] == "mistake", "probability"].tolist() == pytest.approx([0.8, 0.55])


def test_a_class_without_hits_or_without_beats_has_none():
    predictions = pd.DataFrame({"target": [0], "prediction": [1], "probability_N": [0.1], "probability_S": [0.9]})
    assert choose_beats(predictions, 5, seed=0)["of"].tolist() == ["drawn", "mistake"]


def test_predictions_of_another_model_or_of_other_beats_are_refused(case):
    other = case.predictions.copy()
    names = [f"probability_{name}" for name in "NSVFQ"]
    other[names] = other[names].to_numpy()[:, ::-1]
    for predictions, beats in (
        (other, case.beats),
        (case.predictions, case.beats.take(np.arange(len(case.beats))[::-1])),
    ):
        with pytest.raises(BeatwiseError, match="kedro run --pipeline=evaluate"):
            explain_beats(case.model, case.tensors, beats, predictions, EXPLAIN, 0)
