"""Same data stays quiet, changed data raises an alarm, whatever the number of beats."""

from __future__ import annotations

import json
from typing import Any

import numpy as np
import pandas as pd
import pytest
from scipy.stats import ks_2samp

from beatwise.core.errors import BeatwiseError
from beatwise.data.examples import Examples
from beatwise.scoring.monitoring import combine, compare, describe, describe_training, measure_beats
from beatwise.scoring.settings import Monitor

MONITOR = Monitor()


def scored(n_records: int, n_beats: int, seed: int, **shift: float) -> pd.DataFrame:
    """Scored beats of records that differ from one another, as patients do."""
    rng = np.random.default_rng(seed)
    record = np.repeat(np.arange(n_records), n_beats)
    own = rng.normal(size=(n_records, 3))[record]
    noise = rng.normal(size=own.shape)
    normal = 1 / (1 + np.exp(-(3 + own[:, 2] + noise[:, 2] - shift.get("doubt", 0))))
    return pd.DataFrame(
        {
            "record": [f"r{i:03}" for i in record],
            "rr_before": 0.8 + 0.1 * own[:, 0] + 0.05 * noise[:, 0] + shift.get("rr", 0),
            "roughness": np.exp(0.3 * own[:, 1] + 0.2 * noise[:, 1] + shift.get("noise", 0)),
            "probability_N": normal.astype(np.float32),
            "probability_V": (1 - normal).astype(np.float32),
        }
    )


def checks(reference: dict[str, Any], beats: pd.DataFrame, monitor: Monitor = MONITOR) -> dict[str, bool]:
    found = compare(reference, json.loads(json.dumps(describe(beats, like=reference))), monitor)
    assert found["raised"] == any(check["raised"] for check in found["checks"])
    return {check["name"]: check["raised"] for check in found["checks"]}


@pytest.mark.parametrize(("n_records", "n_beats"), [(1, 300), (40, 300)])
def test_other_patients_of_the_same_kind_stay_quiet(n_records: int, n_beats: int) -> None:
    reference = describe(scored(40, 300, seed=0))
    alarms = [any(checks(reference, scored(n_records, n_beats, seed)).values()) for seed in range(1, 7)]
    assert sum(alarms) <= 1


def test_a_change_raises_an_alarm_of_its_own_measure_only() -> None:
    reference = describe(scored(40, 300, seed=0))
    quiet = dict.fromkeys(("rr_before", "roughness", "confidence", "class"), False)
    assert checks(reference, scored(20, 300, seed=1)) == quiet
    assert checks(reference, scored(20, 300, seed=1, rr=0.15)) == quiet | {"rr_before": True}
    assert checks(reference, scored(20, 300, seed=1, noise=0.5)) == quiet | {"roughness": True}
    assert checks(reference, scored(20, 300, seed=1, doubt=3))["class"]
    # The same change in one patient could be that patient.
    assert checks(reference, scored(1, 6000, seed=1, rr=0.1)) == quiet


def test_without_records_many_beats_do_not_alarm_by_a_small_change_nor_few_by_chance() -> None:
    def beats(n: int, seed: int, shift: float = 0.0) -> pd.DataFrame:
        return pd.DataFrame({"rr_before": np.random.default_rng(seed).normal(shift, size=n)})

    reference = describe(beats(100_000, 0))
    assert not any(checks(reference, beats(30, seed))["rr_before"] for seed in range(1, 9))
    assert not checks(reference, beats(100_000, 1, shift=0.2))["rr_before"]
    assert checks(reference, beats(100_000, 1, shift=0.6))["rr_before"]
    assert checks(reference, beats(100_000, 1, shift=0.2), Monitor(psi=0.01, ks=0.01))["rr_before"]


def test_descriptions_of_records_are_put_together_to_that_of_all() -> None:
    reference, beats = describe(scored(9, 50, seed=0)), scored(6, 40, seed=1)
    unusable = dict.fromkeys(beats["record"].unique(), 0.1) | {"r009": 1.0}
    whole = describe(beats, reference, unusable)
    parts = [describe(beats[beats["record"] == name], reference, {name: share}) for name, share in unusable.items()]
    assert combine(parts) == whole
    assert len(whole["records"]) == 7
    assert compare(reference, whole, MONITOR)["unusable"]["share"] == pytest.approx((6 * 0.1 + 1) / 7)
    with pytest.raises(BeatwiseError, match="different bins"):
        combine([whole, describe(beats)])
    with pytest.raises(BeatwiseError, match="nothing to compare"):
        compare(reference, parts[-1], MONITOR)


def test_index_and_distance_are_those_of_the_literature() -> None:
    rng = np.random.default_rng(0)
    before, now = rng.normal(size=20_000), rng.normal(0.5, size=20_000)
    reference = describe(pd.DataFrame({"level": before}))
    found = compare(reference, describe(pd.DataFrame({"level": now}), like=reference), MONITOR)["checks"][0]
    assert found["reference"] == pytest.approx([0.05] * 20, abs=1e-3)
    assert found["ks"] == pytest.approx(ks_2samp(before, now).statistic, abs=0.01)
    # Of two normal distributions the symmetric divergence is the squared shift.
    assert found["psi"] == pytest.approx(0.25, abs=0.02)


def test_beats_are_measured_without_their_padding() -> None:
    x = np.array([[1, 0, 1, 0, 0, 0], [0.5, 0.5, 0.5, 0.5, 0.5, 0.5]], dtype=np.float32)
    found = measure_beats(Examples(x, pd.DataFrame(index=range(2))), 2.0)
    assert found["length"].tolist() == [1.5, 3.0]
    np.testing.assert_allclose(found["level"], np.array([2 / 3, 0.5]), rtol=1e-6)
    np.testing.assert_allclose(found["spread"], np.array([np.std([1, 0, 1]), 0]), rtol=1e-6)
    np.testing.assert_allclose(found["roughness"], np.array([1 / np.std([1, 0, 1]), 0]), rtol=1e-6)
    windows = measure_beats(Examples(np.stack([x, x + 1]), pd.DataFrame(index=range(2))), 2.0)
    assert windows["length"].tolist() == [3.0, 3.0]
    training = describe_training(Examples(x, pd.DataFrame({"record": ["a", "b"]})), [scored(2, 3, seed=0)], 2.0)
    assert {*training["measures"]} == {"length", "level", "spread", "roughness", "confidence", "class"}
