from __future__ import annotations

import dataclasses

import numpy as np
import numpy.typing as npt
import pytest
from scipy.signal import savgol_filter

from beatwise.core.errors import BeatwiseError
from beatwise.ecg.records import Record
from tools.synthetic_records import CLASS_SYMBOLS, SyntheticSettings, synthesise_records

Ints = npt.NDArray[np.int64]
Floats = npt.NDArray[np.float64]

SETTINGS = SyntheticSettings()


@pytest.fixture(scope="module")
def records() -> list[Record]:
    return synthesise_records(SETTINGS, seed=7)


@pytest.fixture(scope="module")
def ectopic_records() -> list[Record]:
    shares = {"N": 0.83, "S": 0.0, "V": 0.14, "F": 0.03, "Q": 0.0}
    return synthesise_records(SyntheticSettings(class_shares=shares), seed=1)


def beat_samples(record: Record) -> Ints:
    return np.asarray(record.annotation_samples[record.annotation_symbols != "+"])


def beat_symbols(record: Record) -> npt.NDArray[np.str_]:
    return np.asarray(record.annotation_symbols[record.annotation_symbols != "+"])


def isolated(record: Record, symbol: str) -> Ints:
    """Indices of the beats of one class with three normal beats on either side."""
    symbols = beat_symbols(record)
    normal = symbols == "N"
    inner = np.arange(3, len(symbols) - 3)
    clear = np.all([normal[inner + k] for k in (-3, -2, -1, 1, 2, 3)], axis=0)
    return np.asarray(inner[clear & (symbols[inner] == symbol)])


def relative_rr(record: Record, beats: Ints) -> tuple[Floats, Floats]:
    """RR before and after each beat, in units of the mean of the RR intervals around it."""
    rr = np.diff(beat_samples(record))
    usual = (rr[beats - 2] + rr[beats - 3] + rr[beats + 1] + rr[beats + 2]) / 4
    return rr[beats - 1] / usual, rr[beats] / usual


def single_beats(record: Record, beats: Ints, before: float = 0.25, after: float = 0.45) -> Floats:
    """MLII (mV) around each R peak, its level just before the P wave taken as zero."""
    window = np.arange(-round(before * record.sample_rate), round(after * record.sample_rate))
    signal = record.millivolts()[:, 0][beat_samples(record)[beats][:, None] + window]
    return np.asarray(signal - np.median(signal[:, :5], axis=1, keepdims=True))


def average_beat(record: Record, beats: Ints, before: float = 0.25) -> Floats:
    """Average of MLII (mV) around the R peak."""
    return np.asarray(single_beats(record, beats, before).mean(axis=0))


def half_amplitude_width(beat: Floats, peak: int, sample_rate: float) -> float:
    """Seconds around the R peak during which the deflection is at least half of its height there."""
    below = beat / beat[peak] < 0.5
    right = np.argmax(below[peak:])
    left = np.argmax(below[peak::-1])
    return float(left + right) / sample_rate


def pooled_rr(records: list[Record], symbol: str) -> tuple[Floats, Floats]:
    pairs = [relative_rr(record, isolated(record, symbol)) for record in records]
    before, after = zip(*pairs, strict=True)
    return np.concatenate(before), np.concatenate(after)


def test_same_seed_gives_the_same_bytes(records: list[Record]) -> None:
    for one, other in zip(records, synthesise_records(SETTINGS, seed=7), strict=True):
        for a, b in zip(dataclasses.astuple(one), dataclasses.astuple(other), strict=True):
            assert np.asarray(a).tobytes() == np.asarray(b).tobytes()


def test_another_seed_gives_another_signal(records: list[Record]) -> None:
    other = synthesise_records(SETTINGS, seed=8)
    assert all(a.adc.tobytes() != b.adc.tobytes() for a, b in zip(records, other, strict=True))


def test_records_of_one_set_do_not_repeat_each_other(records: list[Record]) -> None:
    assert len({record.adc[:2000].tobytes() for record in records}) == len(records)


def test_records_are_named_in_order_and_say_that_they_are_synthetic(records: list[Record]) -> None:
    assert [record.name for record in records] == [f"s{i:02d}" for i in range(1, 21)]
    assert all("synthetic" in record.comments[0].lower() for record in records)


def test_class_counts_follow_the_shares(records: list[Record]) -> None:
    symbols = np.concatenate([beat_symbols(record) for record in records])
    total = SETTINGS.n_records * SETTINGS.beats_per_record
    assert len(symbols) == total
    shares = SETTINGS.class_shares
    for name, symbol in CLASS_SYMBOLS.items():
        assert abs((symbols == symbol).sum() - total * shares[name] / sum(shares.values())) <= 1


@pytest.mark.parametrize("seed", range(3))
def test_rare_classes_are_spread_unevenly_over_enough_patients(seed: int) -> None:
    records = synthesise_records(SETTINGS, seed)
    counts = {s: np.array([(beat_symbols(record) == s).sum() for record in records]) for s in "AVF/N"}
    assert (counts["A"] > 0).sum() >= 6
    assert (counts["V"] > 0).sum() >= 6
    assert (counts["F"] > 0).sum() >= 4
    assert (counts["V"] == 0).any()
    assert counts["V"].max() >= 1.5 * np.median(counts["V"][counts["V"] > 0])
    assert (counts["V"][counts["F"] > 0] > 0).all()
    paced = counts["/"] > 0
    assert (counts["/"] / (counts["/"] + counts["N"]))[paced].min() > 0.9
    assert not (counts["A"] + counts["V"] + counts["F"])[paced].any()


@pytest.mark.parametrize(
    ("n_records", "beats_per_record", "shares"),
    [
        (2, 20, {"N": 1.0, "S": 0, "V": 0, "F": 0, "Q": 0}),
        (3, 20, {"N": 0.723, "S": 0.1, "V": 0.15, "F": 0.027, "Q": 0}),
        (5, 33, {"N": 0.433, "S": 0.06, "V": 0.09, "F": 0.017, "Q": 0.4}),
        (6, 60, {"N": 0.96, "S": 0, "V": 0.02, "F": 0.02, "Q": 0}),
    ],
)
def test_extreme_settings_still_give_every_beat(
    n_records: int, beats_per_record: int, shares: dict[str, float]
) -> None:
    settings = SyntheticSettings(n_records=n_records, beats_per_record=beats_per_record, class_shares=shares)
    symbols = np.concatenate([beat_symbols(record) for record in synthesise_records(settings, seed=0)])
    assert len(symbols) == n_records * beats_per_record
    for name, symbol in CLASS_SYMBOLS.items():
        assert abs((symbols == symbol).sum() - len(symbols) * shares[name]) <= 1


def test_annotations_ascend_within_the_signal_after_a_rhythm_annotation(records: list[Record]) -> None:
    for record in records:
        samples = record.annotation_samples
        assert record.annotation_symbols[0] == "+"
        assert (record.annotation_symbols[1:] != "+").all()
        assert samples[0] >= 0
        assert (np.diff(samples) > 0).all()
        assert 0.5 * record.sample_rate <= samples[1] <= record.sample_rate
        assert len(record.adc) - samples[-1] >= 1.5 * record.sample_rate


def test_adc_values_are_eleven_bit_and_not_saturated(records: list[Record]) -> None:
    for record in records:
        assert record.adc.dtype == np.int16
        assert record.adc.shape[1] == len(record.leads) == len(record.adc_gain) == len(record.adc_baseline) == 2
        assert record.adc.min() > 0
        assert record.adc.max() < 2047


def test_single_lead_is_mlii() -> None:
    (record, _) = synthesise_records(SyntheticSettings(n_records=2, beats_per_record=20, n_leads=1), seed=0)
    assert record.leads == ("MLII",)
    assert record.adc.shape[1] == 1


def test_sample_rate_changes_sampling_and_not_the_rhythm() -> None:
    slow, fast = (
        synthesise_records(SyntheticSettings(n_records=2, beats_per_record=20, sample_rate=rate), seed=0)[0]
        for rate in (250.0, 1000.0)
    )
    np.testing.assert_allclose(slow.annotation_samples[1:] / 250, fast.annotation_samples[1:] / 1000, atol=0.003)


def test_heart_rates_spread_over_patients(records: list[Record]) -> None:
    rates = [
        60 * r.sample_rate / np.median(np.diff(beat_samples(r))) for r in records if "/" not in r.annotation_symbols
    ]
    assert 53 < min(rates) < 62
    assert 90 < max(rates) < 103


def test_normal_rhythm_varies_with_respiration(records: list[Record]) -> None:
    variation = []
    for record in records:
        rr = np.diff(beat_samples(record)) / record.sample_rate
        if set(beat_symbols(record)) == {"N"}:
            variation.append(rr.std() / rr.mean())
            power = np.abs(np.fft.rfft(rr - rr.mean())) ** 2
            frequency = np.fft.rfftfreq(len(rr), d=rr.mean())
            respiratory = (frequency > 0.15) & (frequency < 0.35)
            mayer = (frequency > 0.06) & (frequency < 0.14)
            assert power[respiratory | mayer].sum() > 0.8 * power.sum()
            assert power[respiratory].sum() > power[mayer].sum()
    assert variation
    assert min(variation) > 0.01
    assert max(variation) < 0.06


def test_supraventricular_beats_are_premature_with_a_short_pause(records: list[Record]) -> None:
    before, after = pooled_rr(records, "A")
    assert len(before) > 30
    assert 0.68 < np.median(before) < 0.88
    assert ((before > 0.5) & (before < 1.0)).all()
    assert 1.03 < np.median(after) < 1.2
    assert (before + after).mean() < 1.97


def test_ventricular_beats_are_premature_with_a_compensatory_pause(records: list[Record]) -> None:
    before, after = pooled_rr(records, "V")
    assert len(before) > 50
    assert 0.5 < np.median(before) < 0.75
    assert before.max() < 0.88
    assert np.median(before + after) == pytest.approx(2.0, abs=0.05)


def test_fusion_beats_come_at_about_the_normal_time(records: list[Record]) -> None:
    before, _ = pooled_rr(records, "F")
    assert np.median(before) == pytest.approx(0.97, abs=0.04)


def test_paced_rhythm_hardly_varies(records: list[Record]) -> None:
    paced = [record for record in records if "/" in record.annotation_symbols]
    assert paced
    for record in paced:
        symbols = beat_symbols(record)
        rr = np.diff(beat_samples(record))[(symbols[1:] == "/") & (symbols[:-1] == "/")]
        assert rr.std() < 0.01 * rr.mean()


def test_ectopic_beats_are_seldom_neighbours(records: list[Record]) -> None:
    ectopic = [np.isin(beat_symbols(record), ["A", "V", "F"]) for record in records]
    neighbours = sum((e[1:] & e[:-1]).sum() for e in ectopic)
    assert neighbours < 0.1 * sum(e.sum() for e in ectopic)


def test_ventricular_qrs_is_wider_than_the_normal_one_of_the_same_patient(records: list[Record]) -> None:
    normal, ventricular = [], []
    for record in records:
        beats = isolated(record, "V")
        if len(beats) >= 5:
            # One by one, since a patient may have foci of opposite sign.
            widths = [half_amplitude_width(beat, 90, record.sample_rate) for beat in single_beats(record, beats)]
            ventricular.append(np.median(widths))
            normal.append(half_amplitude_width(average_beat(record, isolated(record, "N")), 90, record.sample_rate))
    assert len(normal) >= 5
    assert (np.array(ventricular) > np.array(normal)).all()
    assert np.median(ventricular) > 1.6 * np.median(normal)


def test_normal_beats_have_a_p_wave_and_ventricular_ones_have_none(ectopic_records: list[Record]) -> None:
    curvature: dict[str, list[float]] = {"N": [], "V": []}
    for record in ectopic_records:
        symbols = beat_symbols(record)
        for symbol in "NV":
            beats = np.flatnonzero(symbols == symbol)[1:-1]
            if len(beats) >= 20:
                # The end of the T wave before is as high as a P wave, yet far less curved.
                window = savgol_filter(average_beat(record, beats), 15, 2, deriv=2)[18:46]
                curvature[symbol].append(float(-window.min()))
    assert len(curvature["V"]) >= 5
    assert np.median(curvature["V"]) < 0.4 * np.median(curvature["N"])


def test_fusion_beats_lie_between_normal_and_ventricular_ones(ectopic_records: list[Record]) -> None:
    parts = []
    for record in ectopic_records:
        symbols = beat_symbols(record)
        normal, ventricular, fusion = (np.flatnonzero(symbols == symbol)[1:-1] for symbol in "NVF")
        if len(fusion) < 3:
            continue
        n, f = (average_beat(record, beats)[60:] for beats in (normal, fusion))
        each = single_beats(record, ventricular)[:, 60:]
        # A second focus does not fuse: keep the beats that agree with the main one.
        v = each[(each @ np.median(each, axis=0)) > 0].mean(axis=0)
        parts.append(float((f - n) @ (v - n) / ((v - n) @ (v - n))))
    assert len(parts) >= 4
    assert np.median(parts) == pytest.approx(0.5, abs=0.12)
    assert all(0.15 < part < 0.85 for part in parts)


def test_paced_beats_start_with_a_spike(records: list[Record]) -> None:
    for record in records:
        paced = np.flatnonzero(beat_symbols(record) == "/")
        if len(paced) == 0:
            continue
        normal = np.flatnonzero(beat_symbols(record) == "N")
        lead = record.millivolts()[:, 0]
        window = np.arange(-round(0.14 * record.sample_rate), -round(0.06 * record.sample_rate))
        curvature = np.abs(np.diff(lead, n=2))
        sharpest = [curvature[beat_samples(record)[b][:, None] + window].max(axis=1) for b in (paced, normal)]
        assert np.median(sharpest[0]) > 0.4
        assert np.median(sharpest[0]) > 3 * np.median(sharpest[1])


def test_annotated_sample_is_the_peak_of_the_qrs(records: list[Record]) -> None:
    for record in records:
        for symbol in {"N", "V", "/"} & set(beat_symbols(record)):
            beats = np.flatnonzero(beat_symbols(record) == symbol)[1:-1]
            peaks = np.argmax(np.abs(single_beats(record, beats)[:, 75:105]), axis=1) + 75
            assert abs(np.median(peaks) - 90) <= 2


def test_bad_settings_are_refused_with_key_value_and_what_is_allowed() -> None:
    for changes, words in [
        ({"n_records": 1}, ["n_records", "1", "at least 2"]),
        ({"beats_per_record": 5}, ["beats_per_record", "5", "at least 20"]),
        ({"sample_rate": float("nan")}, ["sample_rate", "nan", "200 to 5000"]),
        ({"n_leads": 3}, ["n_leads", "3", "1 or 2"]),
        ({"class_shares": {"N": 1.0}}, ["class_shares", "N, S, V, F, Q"]),
        (
            {"class_shares": {"N": 1.1, "S": 0, "V": 0, "F": 0, "Q": -0.1}},
            ["class_shares.N", "1.1", "0 to 1"],
        ),
        ({"class_shares": {"N": 0.5, "S": 0, "V": 0, "F": 0, "Q": 0}}, ["class_shares", "add up to 0.5"]),
        (
            {"class_shares": {"N": 0.7, "S": 0.3, "V": 0, "F": 0, "Q": 0}},
            ["class_shares.S", "0.3", "0 to 0.1"],
        ),
        (
            {"class_shares": {"N": 0.5, "S": 0, "V": 0, "F": 0, "Q": 0.5}},
            ["class_shares.Q", "0.5", "0 to 0.4"],
        ),
        (
            {"class_shares": {"N": 0.99, "S": 0, "V": 0, "F": 0.01, "Q": 0}},
            ["class_shares.F", "0.01", "share of V, 0"],
        ),
    ]:
        with pytest.raises(BeatwiseError) as caught:
            SyntheticSettings(**changes)  # type: ignore[arg-type]
        assert all(word in str(caught.value) for word in words)


def test_negative_seed_is_refused() -> None:
    with pytest.raises(BeatwiseError, match=r"seed is -1; allowed: 0 or a positive"):
        synthesise_records(SETTINGS, seed=-1)
