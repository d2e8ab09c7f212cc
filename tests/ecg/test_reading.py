"""Raw recordings in the formats that users have: the same millivolts, at the same places, or a refusal in words."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pyedflib
import pytest
import wfdb

from beatwise.core.errors import BeatwiseError
from beatwise.ecg.reading import find_records
from beatwise.ecg.records import Record
from beatwise.ecg.settings import Read

RATE = 250
TIMES = np.arange(1500) / RATE
# mV, in whole µV; a QRS every 0.8 s.
ECG = np.round(np.exp(-0.5 * (((TIMES % 0.8) - 0.4) / 0.02) ** 2) - 0.05 * np.sin(7 * TIMES), 3)
LEADS = np.column_stack([ECG, np.round(-0.5 * ECG, 3)])


def text(name: str, head: str, row: Callable[[float, Any], str], times: Any = TIMES) -> Callable[[Path], Path]:
    def write(folder: Path) -> Path:
        place = np.rint(times * RATE).astype(int)
        rows = [row(time, LEADS[i]) for time, i in zip(times, place, strict=True)]
        (folder / name).write_text(head + "\n".join(rows) + "\n", encoding="utf-8")
        return folder / name

    return write


def edf(folder: Path) -> Path:
    header = {"sample_frequency": RATE, "physical_min": -3000, "physical_max": 3000, "dimension": "uV"}
    limits = {"digital_min": -3000, "digital_max": 3000, "transducer": "", "prefilter": ""}
    with pyedflib.EdfWriter(str(folder / "r.edf"), 3, file_type=pyedflib.FILETYPE_EDFPLUS) as file:
        file.setSignalHeaders([{"label": label, **header, **limits} for label in ("Resp", "ECG I", "ECG II")])
        file.writeSamples([1000 * ECG, 1000 * LEADS[:, 0], 1000 * LEADS[:, 1]])
    return folder / "r.edf"


def wfdb_in_microvolts(folder: Path) -> Path:
    options: dict[str, Any] = {"units": ["uV", "uV", "l"], "sig_name": ["I", "II", "RESP"], "fmt": ["16"] * 3}
    signal = np.rint(1000 * np.column_stack([LEADS, ECG])).astype(np.int64)
    given = {"adc_gain": [1.0] * 3, "baseline": [0] * 3, "write_dir": str(folder)}
    wfdb.wrsamp("r", fs=RATE, d_signal=signal, **options, **given)
    return folder / "r"


def comma(value: float) -> str:
    return f"{value:.3f}".replace(".", ",")


FORMATS: dict[str, tuple[Callable[[Path], Path], list[str], dict[str, Any]]] = {
    "EDF+": (edf, ["ECG I", "ECG II"], {}),
    "WFDB": (wfdb_in_microvolts, ["I", "II"], {}),
    "an export of PhysioNet": (
        text(
            "r.csv", "'Elapsed time','I','II'\n'hh:mm:ss.mmm','mV','mV'\n", lambda t, v: f"'0:0{t:.3f}',{v[0]},{v[1]}"
        ),
        ["I", "II"],
        {},
    ),
    "decimal commas, times in ms": (
        text("r.csv", "time_ms;I (uV);II (uV)\n", lambda t, v: ";".join(map(comma, [1e3 * t, *(1e3 * v)]))),
        ["I", "II"],
        {},
    ),
    "nanoseconds since 1970": (
        text("r.csv", "time,hr,I,II\n", lambda t, v: f"{1714920600006020000 + round(t * 1e9)},,{v[0]},{v[1]}"),
        ["I", "II"],
        {},
    ),
    "a text with its rate": (
        text("r.txt", "# Sampling Rate (Hz):= 250.00\n# Labels:= x\n", lambda t, v: f"{v[0]}\t{v[1]}"),
        ["signal 0", "signal 1"],
        {},
    ),
    "a watch": (
        text("r.csv", "Name,x\nSample Rate,250 hertz\n\nLead,Lead I\nUnit,µV\n\n", lambda t, v: comma(1000 * v[0])),
        ["ECG"],
        {},
    ),
    "units of a converter": (
        text("r.txt", "", lambda t, v: f"{1024 + 200 * v[0]:.1f}"),
        ["ECG"],
        {"rate": RATE, "unit": 200},
    ),
}


def one(path: Path, **settings: Any) -> Record:
    (read,) = find_records(path, Read(**settings)).values()
    return read()


@pytest.mark.parametrize(("write", "leads", "settings"), FORMATS.values(), ids=FORMATS)
def test_a_recording_of_any_format_has_its_millivolts_its_rate_and_its_leads(tmp_path, write, leads, settings):
    record = one(write(tmp_path), **settings)
    assert (record.name, list(record.leads), len(record.annotation_samples)) == ("r", leads, 0)
    assert record.sample_rate == pytest.approx(RATE, rel=1e-9)
    millivolts = record.millivolts()
    if "unit" in settings:
        millivolts += np.median(ECG) - np.median(millivolts)
    np.testing.assert_allclose(millivolts, LEADS[:, : len(leads)], rtol=0, atol=1.1e-3 if "unit" in settings else 1e-9)


def test_samples_between_times_are_missing_and_those_behind_stay_in_place(tmp_path):
    times = np.concatenate([TIMES[:500], TIMES[700:]])
    jitter = np.random.default_rng(0).uniform(-0.001, 0.001, len(times))
    shifted = dict(zip(times.tolist(), (times + jitter).tolist(), strict=True))

    def with_a_row_of_another_signal(time: float, leads: Any) -> str:
        return f"{shifted[time]:.6f},{leads[0]},\n{shifted[time] + 0.0005:.6f},,9"

    record = one(text("r.csv", "time,ecg,acc\n", with_a_row_of_another_signal, times)(tmp_path))
    assert record.sample_rate == pytest.approx(RATE, rel=5e-4)
    expected = ECG.copy()
    expected[500:700] = np.nan
    np.testing.assert_allclose(record.millivolts()[:, 0], expected, rtol=0, atol=1e-9)


FAULTS: dict[str, tuple[str, str]] = {
    "no rate": ("ecg\n0.1\n0.2\n", "nothing says how many samples a second it has. Set score.read.rate"),
    "units of a converter": (
        "# fs 250\n1024\n1224\n1000\n",
        "states no known unit, and its values, 224 from peak to peak",
    ),
    "words": ("time,ecg\n0,0.1\n0.004,0.2\n0.008,x\n", "row 3 of the samples, column 'ecg': 'x' is no number"),
    "times of an unknown unit": ("time,ecg\n0,0.1\n1,0.2\n2,0.2\n", "steps by 1, of which the unit is not clear"),
    "times that go backwards": ("time,ecg\n0,0.1\n0.004,0.2\n0.008,1\n0,1\n", "times go backwards at row 4"),
    "times of events": ("time,ecg\n0,1\n0.01,0\n0.012,1\n0.02,1\n0.021,0\n0.024,1\n", "times have no constant step"),
    "a long pause": ("time,ecg\n0,1\n0.004,1\n0.008,0\n0.012,0\n900,1\n", "times have no constant step"),
    "no lead": ("time,hr\n0,60\n0.004,60\n", "no signal is an ECG by its name and unit: 0 (hr)"),
    "a table of beats": (f"{','.join(['0.5'] * 188)}\n", "it has 188 columns, as a table of beats has"),
    "a decimal comma or two columns": ("0,123\n0,456\n", "may be two columns, or one with a decimal comma"),
    "nothing": ("", "there is no row of numbers"),
}


@pytest.mark.parametrize(("content", "said"), FAULTS.values(), ids=FAULTS)
def test_a_text_that_may_be_misread_is_refused_in_words(tmp_path, content, said):
    (tmp_path / "r.csv").write_text(content)
    with pytest.raises(BeatwiseError) as caught:
        one(tmp_path / "r.csv")
    assert str(caught.value).startswith(f"Record r: {tmp_path / 'r.csv'}")
    assert said in str(caught.value)


def test_a_folder_gives_its_records_by_name_with_the_annotations_beside_them(tmp_path):
    (tmp_path / "a").mkdir()
    for write in (edf, wfdb_in_microvolts):
        write(tmp_path / "a")
    (tmp_path / "b.edf").write_bytes((tmp_path / "a/r.edf").read_bytes()[:900])
    (tmp_path / "SHA256SUMS.txt").write_text("0 1\n")
    wfdb.wrann("r", "qrs", np.array([100, 300]), symbol=["N", "V"], write_dir=str(tmp_path / "a"))
    found = find_records(tmp_path, Read(annotator="qrs"))
    assert list(found) == ["a/r", "a/r.edf", "b"]
    for name in ("a/r", "a/r.edf"):
        record = found[name]()
        assert (record.name, record.annotation_samples.tolist()) == (name, [100, 300])
    with pytest.raises(BeatwiseError, match=r"Record b: .*b\.edf cannot be read as EDF"):
        found["b"]()


def test_resampling_moves_annotations_and_gaps_with_the_signal():
    adc = np.ma.masked_array(np.rint(1000 * LEADS).astype(np.int64))
    adc[600:650, 1] = np.ma.masked
    peaks = np.array([100, 300, 1499])
    record = Record("r", adc, RATE, ("I", "II"), (1000.0, 1000.0), (0, 0), peaks, np.array(list("NVN")))
    resampled = record.at_rate(360)
    assert (len(resampled.adc), resampled.sample_rate) == (2160, 360)
    assert resampled.annotation_samples.tolist() == [144, 432, 2159]
    expected = np.interp(np.arange(2160) / 360, TIMES, ECG)
    np.testing.assert_allclose(resampled.millivolts()[:-2, 0], expected[:-2], rtol=0, atol=0.02)
    missing = np.flatnonzero(np.isnan(resampled.millivolts()[:, 1])) / 360
    assert 2.36 <= missing[0] <= 2.4
    assert 2.6 <= missing[-1] <= 2.64
    assert resampled.at_rate(360.001) is resampled
