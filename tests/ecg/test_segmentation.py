from __future__ import annotations

import dataclasses
from typing import Any

import numpy as np
import numpy.typing as npt
import pandas as pd
import pytest

from beatwise.core.errors import BeatwiseError
from beatwise.ecg.records import Record
from beatwise.ecg.segmentation import RULES, SameSample, check_beat_shape, segment_examples, segment_records
from tests.tables import signals

CLASSES = ["N", "S", "V", "F", "Q"]
AAMI = {"N": list("NLRej"), "S": list("AaJS"), "V": list("VE"), "F": ["F"], "Q": list("/fQ")}


def make_record(
    samples: npt.ArrayLike,
    symbols: str | list[str],
    *,
    n: int = 4000,
    seed: int = 0,
    name: str = "r",
    rate: float = 360,
) -> Record:
    rng = np.random.default_rng(seed)
    return Record(
        name=name,
        adc=rng.integers(0, 2048, size=(n, 2)).astype(np.int64),
        sample_rate=rate,
        leads=("MLII", "V1"),
        adc_gain=(200.0, 200.0),
        adc_baseline=(1024, 1024),
        annotation_samples=np.asarray(samples, dtype=np.int64),
        annotation_symbols=np.array(list(symbols)),
    )


def random_record(seed: int, *, gaps: tuple[int, int], n_annotations: int = 60) -> Record:
    """Beats of every class, beats of none, and marks that are no beats, at random places up to the very end.

    On a sample that has an annotation already there are marks only.
    """
    rng = np.random.default_rng(seed)
    samples = rng.integers(0, 30) + np.cumsum(rng.integers(*gaps, size=n_annotations))
    symbols = rng.choice(list("NLRejAaJSVEF/fQB?+~|[]!"), n_annotations)
    symbols[1:][np.diff(samples) == 0] = "+"
    return make_record(samples, symbols.tolist(), n=int(samples[-1]) + int(rng.integers(1, 400)), seed=seed)


def how(rule: str = "kaggle", **options: Any) -> dict[str, Any]:
    return {"rule": rule, "options": RULES.options(rule, options), "classes": CLASSES, "aami": AAMI}


def cut(record: Record, rule: str = "kaggle", lead: int | str = 0, **options: Any) -> pd.DataFrame:
    return segment_records([record], **how(rule, **options), lead=lead)[0]


def kaggle_row_by_row(record: Record, n_samples: int = 187, keep_every: int = 3) -> list[tuple[int, int, Any]]:
    """The rule of the Kaggle set as its description reads, beat by beat: (sample, class, values)."""
    signal = record.adc[:, 0].tolist()
    times = [*record.annotation_samples.tolist(), len(signal), len(signal)]
    class_of = {code: CLASSES.index(name) for name, codes in AAMI.items() for code in codes}
    wanted = [i for i, symbol in enumerate(record.annotation_symbols.tolist()) if symbol in class_of]
    rows = []
    for i in wanted[:-1]:
        r1, r2 = times[i + 1] - times[i], times[i + 2] - times[i + 1]
        length = max(int(r1 + 0.2 * r2), 1)
        piece = signal[times[i] : times[i] + length : keep_every]
        low, high = float(min(piece)), float(max(piece))
        scaled = [(value - low) / (high - low) if high > low else 0.0 for value in piece][:n_samples]
        values = np.array(scaled + [0.0] * (n_samples - len(scaled)), dtype=np.float64).astype(np.float32)
        rows.append((times[i], class_of[record.annotation_symbols[i]], values))
    return rows


def assert_equal_to_the_last_bit(table: pd.DataFrame, expected: list[tuple[int, int, Any]]) -> None:
    assert table["sample"].tolist() == [sample for sample, _, _ in expected]
    assert table["target"].tolist() == [target for _, target, _ in expected]
    wanted = np.stack([values for _, _, values in expected])
    np.testing.assert_array_equal(signals(table).view(np.uint32), wanted.view(np.uint32))


@pytest.mark.parametrize(
    "gaps", [(200, 400), (1, 12), (600, 2500), (1, 2500), (0, 3)], ids=["usual", "close", "pauses", "mixed", "ties"]
)
@pytest.mark.parametrize("seed", range(4))
def test_kaggle_equals_the_plain_loop_to_the_last_bit(seed, gaps):
    record = random_record(seed, gaps=gaps)
    assert_equal_to_the_last_bit(cut(record), kaggle_row_by_row(record))


@pytest.mark.parametrize(("n_samples", "keep_every"), [(50, 1), (187, 2), (30, 7)])
def test_kaggle_equals_the_plain_loop_for_other_lengths_and_decimations(n_samples, keep_every):
    record = random_record(9, gaps=(1, 700))
    table = cut(record, n_samples=n_samples, keep_every=keep_every)
    assert_equal_to_the_last_bit(table, kaggle_row_by_row(record, n_samples, keep_every))


def test_kaggle_of_a_flat_line_is_zero():
    record = make_record([10, 300, 600], "NNN")
    flat = dataclasses.replace(record, adc=np.full_like(record.adc, 7))
    assert not signals(cut(flat)).any()


def test_kaggle_does_not_depend_on_the_width_of_the_integers():
    record = random_record(3, gaps=(100, 400))
    narrow = dataclasses.replace(record, adc=record.adc.astype(np.int16))
    pd.testing.assert_frame_equal(cut(narrow), cut(record))


def test_a_mark_that_is_no_beat_ends_a_kaggle_interval():
    with_mark, without = make_record([0, 100, 300, 600], "N+NN"), make_record([0, 300, 600], "NNN")
    assert np.count_nonzero(signals(cut(with_mark))[0]) <= (100 + 40) / 3 + 1
    assert np.count_nonzero(signals(cut(without))[0]) > 100


@pytest.mark.parametrize("rule", RULES.names())
def test_beats_come_in_the_order_of_their_annotations_without_the_last(rule):
    table = cut(make_record([100, 400, 700, 1000, 1300], "NV+SN"), rule)
    assert table["sample"].tolist() == [100, 400, 1000]
    assert table["target"].tolist() == [0, 2, 1]


@pytest.mark.parametrize("rule", RULES.names())
def test_every_code_goes_to_its_class_and_codes_of_none_are_not_cut(rule):
    codes = [code for codes in AAMI.values() for code in codes]
    record = make_record(np.arange(1, len(codes) + 5) * 150, [*codes, "B", "?", "+", "N"])
    expected = [CLASSES.index(name) for name, members in AAMI.items() for _ in members]
    assert cut(record, rule)["target"].tolist() == expected


@pytest.mark.parametrize("rule", RULES.names())
def test_values_lie_between_0_and_1_and_both_are_reached(rule):
    values = signals(cut(random_record(5, gaps=(200, 300)), rule, **({} if rule == "window" else {"n_samples": 200})))
    assert values.dtype == np.float32
    np.testing.assert_array_equal(values.min(axis=1), 0)
    np.testing.assert_array_equal(values.max(axis=1), 1)


@pytest.mark.parametrize("rule", RULES.names())
def test_a_table_carries_record_sample_lead_and_rr_in_seconds(rule):
    table = cut(make_record([0, 360, 1080, 1440, 1800], "NN+NN"), rule, lead=1)
    assert table["record"].unique().tolist() == ["r"]
    assert table["lead"].unique().tolist() == ["V1"]
    np.testing.assert_array_equal(table["rr_before"], np.array([1, 1, 3], np.float32))
    np.testing.assert_array_equal(table["rr_after"], np.array([1, 3, 1], np.float32))
    np.testing.assert_allclose(table["rr_record_mean"], 5 / 3, rtol=1e-6)


@pytest.mark.parametrize("rule", RULES.names())
def test_rr_counts_beats_that_belong_to_no_class(rule):
    table = cut(make_record([0, 360, 540, 1080], "N?NN"), rule)
    np.testing.assert_array_equal(table["rr_after"], np.array([1, 1.5], np.float32))


@pytest.mark.parametrize("rule", RULES.names())
def test_a_lead_by_name_is_the_lead_by_number(rule):
    record = random_record(1, gaps=(100, 300))
    by_name, other = cut(record, rule, lead="V1"), cut(record, rule, lead=0)
    pd.testing.assert_frame_equal(by_name, cut(record, rule, lead=1))
    assert not np.array_equal(signals(by_name), signals(other))


@pytest.mark.parametrize("lead", ["V5", 2, -1])
def test_an_unknown_lead_is_refused_and_the_known_ones_are_listed(lead):
    with pytest.raises(BeatwiseError, match=r"Record r has no lead.*it has 0 \(MLII\), 1 \(V1\).*segment\.lead"):
        cut(make_record([0, 100], "NN"), lead=lead)


@pytest.mark.parametrize("rule", RULES.names())
def test_a_last_beat_at_the_very_end_counts_in_rr_and_is_not_cut(rule):
    table = cut(make_record([0, 360, 3640, 4000], "NNNN"), rule)
    assert table["sample"].tolist() == [0, 360, 3640]
    assert table["rr_after"].iloc[-1] == 1


@pytest.mark.parametrize("sample", [4001, -1])
def test_an_annotation_outside_the_signal_is_refused(sample):
    with pytest.raises(BeatwiseError, match="Record r: its annotation file has an annotation at sample"):
        cut(make_record(sorted([100, 200, sample]), "NNN"))


@pytest.mark.parametrize(("symbols", "count"), [("N++", 1), ("+++", 0), ("", 0)])
def test_fewer_than_two_beats_are_refused(symbols, count):
    with pytest.raises(BeatwiseError, match=f"Record r: {count} annotated beats; at least two"):
        cut(make_record(np.arange(len(symbols)) * 100, symbols))


@pytest.mark.parametrize("rule", RULES.names())
@pytest.mark.parametrize("symbols", ["N??", "???"])
def test_a_record_with_no_beat_to_cut_gives_no_rows(rule, symbols):
    empty = dataclasses.replace(make_record([0, 500, 900], symbols), name="empty")
    full = make_record([0, 500, 900], "NNN")
    pd.testing.assert_frame_equal(segment_records([empty, full, empty], **how(rule))[0], cut(full, rule))


@pytest.mark.parametrize("rule", RULES.names())
@pytest.mark.parametrize("symbols", ["N??", "???"])
def test_records_with_no_beat_to_cut_at_all_are_refused_with_the_map_of_codes(rule, symbols):
    with pytest.raises(BeatwiseError) as caught:
        cut(make_record([0, 500, 900], symbols), rule)
    assert str(caught.value) == (
        "No beat of 1 records has a code of the classes N, S, V, F, Q: segment.aami names codes for N, S, V, F, Q. Map "
        "every class of globals.yml there."
    )


def test_records_are_put_one_after_the_other():
    records = [random_record(seed, gaps=(100, 300)) for seed in range(3)]
    named = [dataclasses.replace(record, name=str(i)) for i, record in enumerate(records)]
    table, _ = segment_records(iter(named), **how())
    assert table["record"].tolist() == [name for i, r in enumerate(records) for name in [str(i)] * len(cut(r))]
    assert table["sample"].tolist() == [s for record in records for s in cut(record)["sample"]]
    assert table.index.equals(pd.RangeIndex(len(table)))


def test_no_record_at_all_is_an_error():
    with pytest.raises(BeatwiseError, match="no record to segment"):
        segment_records([], **how())


def with_signal(values: npt.NDArray[np.float64], peaks: list[int], rate: float) -> Record:
    record = make_record(peaks, "N" * len(peaks), n=len(values), rate=rate)
    return dataclasses.replace(record, adc=np.rint(values)[:, None].astype(np.int64).repeat(2, axis=1))


@pytest.mark.parametrize("rate", [125.0, 250.0, 360.0, 500.0])
def test_the_peak_of_a_window_lands_where_it_should(rate):
    time = np.arange(3600)
    peaks = [400, 1203, 2001, 2806, 3300]
    bumps = sum(1000 * np.exp(-0.5 * ((time - peak) / 8) ** 2) for peak in peaks)
    values = signals(cut(with_signal(np.asarray(bumps), peaks, 360.0), "window", before=0.4, after=0.6, rate=rate))
    assert values.shape == (4, round(0.4 * rate) + round(0.6 * rate))
    assert np.abs(values.argmax(axis=1) - round(0.4 * rate)).max() <= 1


@pytest.mark.parametrize("rate", [100.0, 250.0, 720.0])
def test_a_change_of_rate_keeps_the_frequency_of_a_sine(rate):
    sine = 1000 * np.sin(2 * np.pi * 10 * np.arange(7200) / 360)
    values = signals(cut(with_signal(sine, [3600, 7000], 360.0), "window", before=4.0, after=4.0, rate=rate))[0]
    spectrum = np.abs(np.fft.rfft(values - values.mean()))
    assert np.fft.rfftfreq(len(values), 1 / rate)[spectrum.argmax()] == pytest.approx(10, abs=0.13)


def test_a_window_at_the_rate_of_the_record_is_the_record():
    record = make_record([500, 1000, 1500], "NNN")
    piece = record.adc[1000 - 36 : 1000 + 72, 0].astype(np.float64)
    values = signals(cut(record, "window", before=0.1, after=0.2, rate=360.0))[1]
    np.testing.assert_allclose(values, (piece - piece.min()) / (piece.max() - piece.min()), atol=1e-6)


def test_a_window_beyond_the_record_is_filled_with_its_first_or_last_value():
    ramp = np.linspace(0, 2000, 1000)
    record = with_signal(ramp, [10, 990, 995], 360.0)
    values = signals(cut(record, "window", before=0.1, after=0.1, rate=360.0))
    assert not values[0, : 36 - 10 + 1].any()
    np.testing.assert_array_equal(values[1, 36 + 9 :], 1)
    assert np.all(np.diff(values[0, 27:]) > 0)


def test_a_window_has_as_many_samples_as_its_seconds_make():
    record = make_record([500, 1000, 1500], "NNN")
    assert signals(cut(record, "window")).shape == (2, round(0.35 * 120) + round(0.55 * 120))
    assert signals(cut(record, "window", before=0.0, after=1.0, rate=50)).shape == (2, 50)


def test_a_window_without_a_single_sample_is_refused():
    with pytest.raises(BeatwiseError, match="window"):
        cut(make_record([500, 1000], "NN"), "window", before=0.0, after=0.001, rate=10.0)


PIECES = [(0, 1), (1000, 1003), (2500, 3300), (9_000, 9_001)]


@pytest.mark.parametrize("rule", RULES.names())
@pytest.mark.parametrize("pieces", [[piece] for piece in PIECES] + [PIECES, []])
def test_beats_that_touch_missing_samples_are_dropped_and_the_others_do_not_change(rule, pieces):
    record = random_record(4, gaps=(200, 300))
    missing = np.zeros(record.adc.shape, dtype=bool)
    for begin, end in pieces:
        missing[begin:end, 0] = True
    # What a converter writes for a missing sample is far from any signal.
    marked = np.where(missing, -32768, record.adc)
    table, summary = segment_records(
        [dataclasses.replace(record, adc=np.ma.masked_array(marked, missing))], **how(rule)
    )
    whole = cut(record, rule)
    kept = whole[whole["sample"].isin(table["sample"])].reset_index(drop=True)
    pd.testing.assert_frame_equal(table, kept, check_exact=rule == "kaggle")
    # A missing sample matters where a change of it changes the beat; the window's filter reaches 30 samples further.
    changed = cut(dataclasses.replace(record, adc=np.where(missing, 10**6, record.adc)), rule)
    touched = np.any(signals(changed) != signals(whole), axis=1)
    dropped = ~whole["sample"].isin(table["sample"]).to_numpy()
    assert dropped[touched].all()
    near = np.array([np.abs(np.flatnonzero(missing[:, 0]) - s).min(initial=10**6) for s in whole["sample"]])
    assert not dropped[near > (400 if rule == "kaggle" else 0.55 * 360 + 31)].any()
    row = summary.iloc[0]
    assert row["no_samples"] == dropped.sum() == len(whole) - row["cut"]
    assert row["annotated"] == row["cut"] + row["no_samples"] + row["no_class"] + row["last"]


def test_missing_samples_of_another_lead_do_not_matter():
    record = random_record(4, gaps=(200, 300))
    missing = np.zeros(record.adc.shape, dtype=bool)
    missing[:, 1] = True
    masked = dataclasses.replace(record, adc=np.ma.masked_array(record.adc, missing))
    pd.testing.assert_frame_equal(cut(masked), cut(record))
    with pytest.raises(
        BeatwiseError, match=r"All \d+ beats of 1 records touch stretches where the lead has no samples"
    ):
        cut(masked, lead=1)


def test_two_beats_on_one_sample_are_refused_by_name_or_one_is_kept():
    record = make_record([0, 400, 400, 400, 800, 800, 1200], "N+NVNNN")
    with pytest.raises(BeatwiseError, match=r"Record r: two beats .*, 2 times: sample 400 \(N, V\), 800 \(N, N\)"):
        cut(record)
    keeps: list[tuple[SameSample, str]] = [("first", "N+NNN"), ("last", "N+VNN")]
    for keep, symbols in keeps:
        table, summary = segment_records([record], **how(), same_sample=keep)
        pd.testing.assert_frame_equal(table, cut(make_record([0, 400, 400, 800, 1200], symbols)))
        assert summary.iloc[0]["same_sample"] == 2


def test_annotations_in_disorder_are_refused():
    with pytest.raises(BeatwiseError, match="Record r: its annotations are not in the order of time: sample 300 comes"):
        cut(make_record([0, 400, 300, 800], "NNNN"))


def test_flutter_waves_are_beats_where_a_class_names_them():
    record = make_record([0, 400, 600, 1000, 1400], "NN!NN")
    assert cut(record)["rr_after"].tolist() == pytest.approx([400 / 360, 600 / 360, 400 / 360])
    table, _ = segment_records([record], **{**how(), "aami": {**AAMI, "V": ["V", "!"]}})
    assert table["target"].tolist() == [0, 0, 2, 0]
    assert table["rr_after"].tolist() == pytest.approx([400 / 360, 200 / 360, 400 / 360, 400 / 360])


def test_a_code_of_several_characters_is_not_taken_for_its_first():
    record = dataclasses.replace(
        make_record([0, 400, 800, 1200], "NNNN"), annotation_symbols=np.array(["N", "NX", "N", "N"])
    )
    assert cut(record)["sample"].tolist() == [0, 800]


@pytest.mark.parametrize(
    ("lead", "taken"), [(["V1"], "V1"), (["II", "V1", 0], "V1"), (["II", 0], "MLII"), ([7, "MLII"], "MLII")]
)
def test_of_a_list_of_leads_the_first_that_a_record_has_is_cut(lead, taken):
    table, _ = segment_records([make_record([0, 400, 800], "NNN")], **how(), lead=lead)
    assert table["lead"].unique().tolist() == [taken]


@pytest.mark.parametrize(
    ("leads", "lead", "said"),
    [
        (("MLII", "V1"), ["II", "V5"], r"no lead 'II' or 'V5': it has 0 \(MLII\), 1 \(V1\).*segment\.leave_out"),
        (("ECG", "ECG"), "ECG", r"several leads 'ECG': it has 0 \(ECG\), 1 \(ECG\)"),
    ],
)
def test_leads_that_cannot_be_told_are_refused(leads, lead, said):
    record = dataclasses.replace(make_record([0, 400, 800], "NNN"), leads=leads)
    with pytest.raises(BeatwiseError, match=f"Record r has {said}"):
        segment_records([record], **how(), lead=lead)


@pytest.mark.parametrize(
    ("rule", "options", "rate", "said"),
    [
        ("kaggle", {}, 250, ["187 samples at 83.3333 Hz", "beat_length: 108", "keep_every: 2", "sample_rate: 125 "]),
        ("window", {}, 250, ["108 samples at 120 Hz", "beat_length: 187 and sample_rate: 120", "beat_length: 108"]),
        ("kaggle", {"n_samples": 100}, 360, ["100 samples at 120 Hz", "beat_length: 100 in globals.yml"]),
    ],
)
def test_a_rate_or_length_that_does_not_fit_is_refused_with_the_values_that_would(rule, options, rate, said):
    record, checked = make_record([0, 400], "NN", rate=rate), RULES.options(rule, options)
    with pytest.raises(BeatwiseError) as caught:
        check_beat_shape(record, rule, checked, 120.0, 187)
    for words in ["Record r", f"{rate} Hz", *said]:
        assert words in str(caught.value)
    # Each of the two ways works.
    check_beat_shape(record, "window", RULES.options("window", {"rate": 120.0}), 120.0, 108)
    every = round(rate / 120)
    check_beat_shape(record, "kaggle", RULES.options("kaggle", {"keep_every": every}), rate / every, 187)


def test_windows_of_two_leads_are_over_the_median_qrs_complex_of_their_record_the_wanted_lead_first():
    plain = make_record(np.arange(1, 12) * 300, "NVNNSNNNVNN", seed=8)
    swapped = dataclasses.replace(plain, leads=("V5", "MLII"), name="swapped")
    wanted = how("window", after=0.65, rate=360.0, scale="record") | {"lead": ["MLII", 0], "leads": 2}
    examples, summary = segment_examples([plain, swapped], **wanted)
    assert summary["lead"].tolist() == ["MLII+V1", "MLII+V5"]
    assert examples.shape == (2, 126 + 234)
    first, second = examples.x[: len(examples) // 2], examples.x[len(examples) // 2 :]
    np.testing.assert_array_equal(second, first[:, ::-1])
    sizes = [np.median([np.ptp(plain.adc[k - 54 : k + 91, i]) for k in plain.annotation_samples]) for i in (0, 1)]
    expected = plain.adc[600 - 126 : 600 + 234].T / np.array(sizes)[:, None]
    np.testing.assert_allclose(first[1], expected, rtol=1e-6)
    # A tilt of the baseline is gone after the high-pass, and is not without it.
    tilted = dataclasses.replace(plain, adc=plain.adc + np.arange(4000)[:, None])
    for high_pass, alike in ((0.5, True), (None, False)):
        filtered = wanted | {"options": {**wanted["options"], "high_pass": high_pass}}
        one, other = (segment_examples([record], **filtered)[0].x[3] for record in (plain, tilted))
        assert (np.abs(one - other).max() < 0.02) == alike
    with pytest.raises(BeatwiseError, match=r"Record r has no 3 leads, as segment\.leads asks, but MLII, V1\."):
        segment_examples([plain], **wanted | {"leads": 3})
    with pytest.raises(BeatwiseError, match="'kaggle' cuts one lead"):
        segment_examples([plain], **how(), leads=2)
