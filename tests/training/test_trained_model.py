from __future__ import annotations

import numpy as np
import pandas as pd
import pytest

from beatwise.core.errors import BeatwiseError
from beatwise.data.examples import Examples
from tests.explanation.cases import explained, waves


def test_new_beats_without_labels_are_predicted_as_with_them():
    case = explained(waves())
    unlabelled = case.beats.without("target")
    predictions = case.model.predict(case.model.tensors(unlabelled))
    pd.testing.assert_frame_equal(predictions, case.predictions.drop(columns="target"))


def test_windows_of_two_leads_go_through_the_same_model():
    beats = waves()
    windows = Examples(np.stack([beats.x, beats.x[:, ::-1]], axis=1), beats.table)
    case = explained(windows)
    assert case.model.input_shape == (2, beats.shape[0])
    assert len(case.predictions) == len(windows)
    with pytest.raises(BeatwiseError, match=r"the shape \[48\], and the model was trained on \[2, 48\]"):
        case.model.tensors(beats)
