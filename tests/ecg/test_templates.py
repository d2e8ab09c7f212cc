"""Features that compare a beat with its own record."""

from __future__ import annotations

from dataclasses import replace
from functools import cache

import numpy as np
import pandas as pd
import pytest

from beatwise.core.errors import BeatwiseError
from beatwise.ecg.records import Record
from beatwise.ecg.rr import FEATURES
from beatwise.ecg.segmentation import BEAT_SYMBOLS
from beatwise.ecg.templates import patient_features
from tools.synthetic_records import SyntheticSettings, synthesise_records


@cache
def record() -> Record:
    return synthesise_records(SyntheticSettings(n_records=2, beats_per_record=150), seed=3)[1]


def features(of: Record, first_seconds: float | None = None) -> tuple[pd.DataFrame, pd.Series]:
    beats = np.isin(of.annotation_symbols, BEAT_SYMBOLS)
    peaks = of.annotation_samples[beats]
    found = patient_features(of.adc.T, peaks, of.sample_rate, first_seconds=first_seconds)
    return pd.DataFrame(found), pd.Series(of.annotation_symbols[beats])


def test_amplitude_and_offset_of_a_patient_drop_out_and_ectopic_beats_stand_out() -> None:
    found, symbols = features(record())
    assert np.isfinite(found).all(axis=None)
    louder, _ = features(replace(record(), adc=record().adc * 2 + 300))
    pd.testing.assert_frame_equal(louder, found, atol=2e-3, rtol=2e-3)
    usual = found[symbols.eq("N").to_numpy()].median()
    early = found[symbols.isin(["A", "V"]).to_numpy()].median()
    assert early["median_before"] < usual["median_before"] - 0.1
    wide = found[symbols.eq("V").to_numpy()].median()
    assert wide["qrs_like"] < usual["qrs_like"] - 0.05
    assert wide["cluster_share"] < usual["cluster_share"]


def test_with_the_first_seconds_alone_no_beat_knows_what_comes_after_the_next_one() -> None:
    whole, _ = features(record(), first_seconds=60)
    end = record().annotation_samples[np.isin(record().annotation_symbols, BEAT_SYMBOLS)][110]
    kept = record().annotation_samples <= end
    cut = replace(
        record(),
        adc=record().adc[: end + 1],
        annotation_samples=record().annotation_samples[kept],
        annotation_symbols=record().annotation_symbols[kept],
    )
    # The filters of the signal reach a second further.
    pd.testing.assert_frame_equal(features(cut, first_seconds=60)[0].iloc[:107], whole.iloc[:107], atol=1e-3, rtol=1e-3)
    assert not np.allclose(features(cut)[0]["median_rank"].iloc[:107], features(record())[0]["median_rank"].iloc[:107])


def test_no_model_of_one_kind_of_features_takes_the_other() -> None:
    of = record()
    peaks = of.annotation_samples[np.isin(of.annotation_symbols, BEAT_SYMBOLS)]
    whole, first = (
        FEATURES[name](of.adc.T, peaks, of.sample_rate, None) for name in ("patient", "patient_first_minutes")
    )
    assert whole.keys().isdisjoint(first)
    assert {f"{name}_so_far" for name in whole} > set(first)


def test_one_lead_is_refused() -> None:
    with pytest.raises(BeatwiseError, match=r"compare two leads.*segment\.leads: 2"):
        features(record().of_leads([0]))
