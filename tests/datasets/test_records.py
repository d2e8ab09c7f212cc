"""WFDB records as they are in the world, written by wfdb and read back: R peaks, values, and what is missing."""

from __future__ import annotations

import logging
import os
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import numpy.typing as npt
import pytest
import wfdb
from kedro.io import DatasetError

from beatwise.core.errors import BeatwiseError
from beatwise.datasets.records import RecordsDataset
from beatwise.ecg.records import Record

RATE, PEAKS = 360, np.arange(200, 3800, 300)
SYMBOLS = list("NNVN+NNANNNN")
GAIN, BASELINE = 200.0, 1024

Ints = npt.NDArray[np.int64]


def adc(n: int = 4000) -> Ints:
    """Two leads of ADC values that differ at every sample."""
    return np.random.default_rng(0).integers(0, 2047, size=(n, 2)).astype(np.int64)


def write_signal(folder: Path, name: str, signal: Ints, fmt: str = "16", **options: Any) -> None:
    n_leads = signal.shape[1]
    given: dict[str, Any] = {
        "fs": RATE,
        "units": ["mV"] * n_leads,
        "sig_name": ["MLII", "V1"][:n_leads],
        "adc_gain": [GAIN] * n_leads,
        "baseline": [BASELINE] * n_leads,
        "fmt": [fmt] * n_leads,
    }
    wfdb.wrsamp(name, d_signal=signal, write_dir=str(folder), **{**given, **options})


def annotate(folder: Path, name: str, annotator: str = "atr", rate: float | None = None) -> None:
    """The peaks, counted in samples of a rate that the file states."""
    samples = np.rint(PEAKS * (rate or RATE) / RATE).astype(np.int64)
    wfdb.wrann(name, annotator, samples, symbol=SYMBOLS, fs=rate, write_dir=str(folder))


def load(folder: Path, name: str = "r", annotator: str = "atr") -> Record:
    return RecordsDataset(filepath=str(folder), how_to_get="Ask the lab.").load()[name](annotator)


def edit_header(folder: Path, old: str, new: str, name: str = "r") -> None:
    path = folder / f"{name}.hea"
    text = path.read_text()
    assert old in text
    path.write_text(text.replace(old, new))


def plain(folder: Path) -> None:
    write_signal(folder, "r", adc())


def two_files(folder: Path) -> None:
    for lead, name in enumerate(("r_a", "r_b")):
        write_signal(folder, name, adc()[:, [lead]], sig_name=[("MLII", "V1")[lead]])
    lines = [(folder / f"{name}.hea").read_text().splitlines()[1] for name in ("r_a", "r_b")]
    (folder / "r.hea").write_text("\n".join([f"r 2 {RATE} 4000", *lines]) + "\n")
    for name in ("r_a", "r_b"):
        (folder / f"{name}.hea").unlink()


def mat(folder: Path) -> None:
    plain(folder)
    # The header of a MATLAB 4 file takes 24 bytes, which `+24` passes over.
    (folder / "r.mat").write_bytes(bytes(24) + (folder / "r.dat").read_bytes())
    (folder / "r.dat").unlink()
    edit_header(folder, "r.dat 16", "r.mat 16+24")


def segments(folder: Path) -> None:
    write_signal(folder, "r_1", adc()[:1500])
    write_signal(folder, "r_2", adc()[1500:])
    (folder / "r.hea").write_text(f"r/2 2 {RATE} 4000\nr_1 1500\nr_2 2500\n")


def segments_of_other_gain(folder: Path) -> None:
    write_signal(folder, "r_1", adc()[:1500])
    write_signal(folder, "r_2", 2 * (adc()[1500:] - BASELINE), adc_gain=[2 * GAIN] * 2, baseline=[0, 0])
    (folder / "r.hea").write_text(f"r/2 2 {RATE} 4000\nr_1 1500\nr_2 2500\n")


def dots(folder: Path) -> None:
    plain(folder)
    for suffix in (".hea", ".dat"):
        (folder / f"r{suffix}").rename(folder / f"2019.05.01_r{suffix}")
    edit_header(folder, "r 2", "2019.05.01_r 2", "2019.05.01_r")
    edit_header(folder, "r.dat", "2019.05.01_r.dat", "2019.05.01_r")


def subfolder(folder: Path) -> None:
    (folder / "patient1").mkdir()
    plain(folder / "patient1")


LAYOUTS: dict[str, tuple[Callable[[Path], None], str]] = {
    "one file": (plain, "r"),
    "several .dat files": (two_files, "r"),
    "signal in .mat": (mat, "r"),
    "segments": (segments, "r"),
    "segments of other gain": (segments_of_other_gain, "r"),
    "dots in the name": (dots, "2019.05.01_r"),
    "a folder below": (subfolder, "patient1/r"),
}


@pytest.mark.parametrize(("write", "name"), LAYOUTS.values(), ids=LAYOUTS)
@pytest.mark.parametrize(("annotator", "rate"), [("atr", None), ("qrs", 90), ("atr", 720)])
def test_a_record_of_any_layout_has_its_millivolts_and_its_peaks(tmp_path, write, name, annotator, rate):
    write(tmp_path)
    annotate((tmp_path / name).parent, Path(name).name.replace(".", "_"), annotator, rate)
    for file in tmp_path.rglob(f"*.{annotator}"):
        file.rename(file.with_name(f"{Path(name).name}.{annotator}"))  # wfdb does not write names with dots
    assert list(RecordsDataset(filepath=str(tmp_path)).load()) == [name]
    record = load(tmp_path, name, annotator)
    assert (record.name, record.leads, record.sample_rate) == (name, ("MLII", "V1"), RATE)
    np.testing.assert_allclose(record.millivolts(), (adc() - BASELINE) / GAIN, rtol=0, atol=1e-12)
    # 90 Hz places a peak no finer than four samples of 360 Hz; all of these are multiples of four.
    np.testing.assert_array_equal(record.annotation_samples, PEAKS)
    assert record.annotation_symbols.tolist() == SYMBOLS
    assert record.adc.dtype == (np.float64 if write is segments_of_other_gain else np.int32)


@pytest.mark.parametrize(("fmt", "code"), [("16", -(2**15)), ("212", -(2**11)), ("80", -(2**7)), ("24", -(2**23))])
def test_samples_that_the_format_marks_as_missing_are_masked(tmp_path, fmt, code):
    signal = adc() % 100
    signal[500:600, 0] = code
    signal[0, 1] = code
    write_signal(tmp_path, "r", signal, fmt)
    annotate(tmp_path, "r")
    record = load(tmp_path)
    np.testing.assert_array_equal(np.ma.getmaskarray(record.adc), signal == code)
    expected = np.where(signal == code, np.nan, (signal - BASELINE) / GAIN)
    np.testing.assert_allclose(record.millivolts(), expected, rtol=0, atol=1e-12)


def test_a_null_segment_and_a_lead_that_a_segment_lacks_are_masked(tmp_path):
    write_signal(tmp_path, "r_1", adc()[:1500])
    write_signal(tmp_path, "r_2", adc()[2500:, [0]])
    (tmp_path / "r_layout.hea").write_text(f"r_layout 2 {RATE} 0\n~ 0 0 0 0 0 0 0 MLII\n~ 0 0 0 0 0 0 0 V1\n")
    (tmp_path / "r.hea").write_text(f"r/4 2 {RATE} 4000\nr_layout 0\nr_1 1500\n~ 1000\nr_2 1500\n")
    annotate(tmp_path, "r")
    assert list(RecordsDataset(filepath=str(tmp_path)).load()) == ["r"]
    record = load(tmp_path)
    expected = (adc() - BASELINE) / GAIN
    expected[1500:2500], expected[1500:, 1] = np.nan, np.nan
    np.testing.assert_allclose(record.millivolts(), expected, rtol=0, atol=1e-12)
    assert record.leads == ("MLII", "V1")


@pytest.mark.parametrize("rate", [None, 90])
def test_of_several_samples_a_frame_the_fastest_lead_sets_the_rate(tmp_path, rate):
    ecg, breath = adc()[:, 0], adc()[:1000, 1]
    frames = wfdb.Record(
        record_name="r", n_sig=2, fs=90, sig_len=1000, e_d_signal=[ecg, breath], samps_per_frame=[4, 1],
        fmt=["16", "16"], adc_gain=[GAIN, GAIN], baseline=[BASELINE, BASELINE], units=["mV", "mV"],
        sig_name=["ECG", "RESP"], file_name=["r.dat", "r.dat"], byte_offset=[None, None], skew=[None, None],
    )  # fmt: skip
    frames.set_d_features(expanded=True)
    frames.set_defaults()
    frames.wrsamp(expanded=True, write_dir=str(tmp_path))
    wfdb.wrann("r", "atr", PEAKS // 4, symbol=SYMBOLS, fs=rate, write_dir=str(tmp_path))
    record = load(tmp_path)
    assert (record.leads, record.sample_rate) == (("ECG", "RESP"), 360)
    np.testing.assert_array_equal(record.adc[:, 0], ecg)
    np.testing.assert_array_equal(record.adc[:, 1], breath.repeat(4))
    np.testing.assert_array_equal(record.annotation_samples, PEAKS)


def test_annotations_without_a_header_and_hidden_files_are_passed_over(tmp_path, caplog):
    plain(tmp_path)
    annotate(tmp_path, "r")
    annotate(tmp_path, "r-0")
    (tmp_path / ".ipynb_checkpoints").mkdir()
    plain(tmp_path / ".ipynb_checkpoints")
    (tmp_path / "notes.txt").write_text("")
    with caplog.at_level(logging.WARNING):
        assert list(RecordsDataset(filepath=str(tmp_path)).load()) == ["r"]
    assert [record.getMessage() for record in caplog.records] == ["Skipped: r-0.atr (no header, .hea, beside it)."]


def rhythm_only(folder: Path) -> None:
    wfdb.wrann("r", "atr", np.array([5, 900]), symbol=["+", "+"], aux_note=["(N", "(AFIB"], write_dir=str(folder))


def rhythm_and_beats_elsewhere(folder: Path) -> None:
    rhythm_only(folder)
    annotate(folder, "r", "qrs")


def a_pipe(folder: Path) -> None:
    os.mkfifo(folder / "pipe.dat")
    edit_header(folder, "r.dat", "pipe.dat")


def header(old: str, new: str, name: str = "r") -> Callable[[Path], object]:
    return lambda folder: edit_header(folder, old, new, name)


def flip(file: str) -> Callable[[Path], object]:
    def damage(folder: Path) -> None:
        content = bytearray((folder / file).read_bytes())
        content[3000] ^= 0x04
        (folder / file).write_bytes(content)

    return damage


def kept(file: str, size: int) -> Callable[[Path], object]:
    return lambda folder: (folder / file).write_bytes((folder / file).read_bytes()[:size])


def without(file: str) -> Callable[[Path], object]:
    return lambda folder: (folder / file).unlink()


def becomes(file: str, content: bytes) -> Callable[[Path], object]:
    return lambda folder: (folder / file).write_bytes(content)


FAULTS: dict[str, tuple[Callable[[Path], object], list[str]]] = {
    **{
        f"rate {text}": (header("r 2 360", f"r 2 {text}"), ["r.hea states a rate that is no positive number", text])
        for text in ("abc", "nan", "360,5", "3.6e2", "36O", "0", "0.0", "-360")
    },
    **{
        f"gain {text}": (header("16 200.0", f"16 {text}"), ["r.hea states the gain", text, "a number, of ADC units"])
        for text in ("nan", "NaN", "inf", "abc", "200,5", "1e400")
    },
    "a flipped bit": (flip("r.dat"), ["r.dat is damaged: the checksum of lead MLII", "Fetch the file again"]),
    **{
        f"{file} missing": (without(file), [f"{file} is missing. Ask the lab."]) for file in ("r.hea", "r.dat", "r.atr")
    },
    **{f"r.dat to {size}": (kept("r.dat", size), ["r.hea and its signal files", "Fetch"]) for size in (0, 7000, -3)},
    **{f"r.atr to {size}": (kept("r.atr", size), ["r.atr is truncated: it has no end mark"]) for size in (0, -1, -2)},
    "an empty header": (becomes("r.hea", b""), ["r.hea cannot be read as a WFDB header"]),
    "a page for a header": (becomes("r.hea", b"<html>404</html>"), ["r.hea cannot be read as a WFDB header"]),
    "no signal lines": (becomes("r.hea", b"r 2 360"), ["r.hea says that there are 2 signals, and describes 0"]),
    "gain 0": (header("16 200.0", "16 0"), ["r.hea states the gain 0", "segment.uncalibrated: true"]),
    "length": (header("360 4000", "360 4e3"), ["r.hea has 'e3' in its first line"]),
    "no signals": (header("r 2", "r 0"), ["r.hea says that the record has no signals"]),
    "too many signals": (header("r 2", "r 3"), ["says that there are 3 signals, and describes 2"]),
    "a pipe": (a_pipe, ["pipe.dat is no file, but a pipe"]),
    "no beats": (
        rhythm_only,
        ["r.atr annotates no beats (2 × '+')", "the pipeline `score` finds them", "segment.leave_out"],
    ),
    "beats elsewhere": (rhythm_and_beats_elsewhere, ["no beats", "r.qrs", "--params=segment.annotator=qrs"]),
}


def refusal(folder: Path, damage: Callable[[Path], object]) -> str:
    """The message by which record r is refused once it is annotated and damaged."""
    annotate(folder, "r")
    damage(folder)
    with pytest.raises(BeatwiseError) as caught:
        load(folder)
    return str(caught.value)


@pytest.mark.parametrize(("damage", "named"), FAULTS.values(), ids=FAULTS)
def test_a_fault_is_refused_in_words(tmp_path, damage, named):
    plain(tmp_path)
    message = refusal(tmp_path, damage)
    for words in ["Record r: ", *named]:
        assert words in message


SEGMENT_FAULTS: dict[str, tuple[Callable[[Path], object], str]] = {
    "lengths that do not add up": (header("r_2 2500", "r_2 2400"), "The sum of the 'seg_len' fields"),
    "a segment that is not there": (header("r_2", "r_3"), "r_3.hea is missing. Ask the lab."),
    "a segment at another rate": (header(f"r_2 2 {RATE}", "r_2 2 250", "r_2"), "its segment r_2 another rate"),
    "a damaged segment": (flip("r_2.dat"), "r_2.dat is damaged"),
    "a segment of other leads": (header("V1", "V5", "r_2"), "segments whose leads or units differ"),
    "a segment in another unit": (header("mV", "uV", "r_2"), "segments whose leads or units differ"),
}


@pytest.mark.parametrize(("damage", "said"), SEGMENT_FAULTS.values(), ids=SEGMENT_FAULTS)
def test_a_faulty_segment_is_refused(tmp_path, damage, said):
    segments(tmp_path)
    message = refusal(tmp_path, damage)
    assert message.startswith("Record r: ")
    assert said in message


def test_a_skewed_lead_is_checked_as_it_is_stored_and_read_in_time(tmp_path):
    plain(tmp_path)
    annotate(tmp_path, "r")
    path = tmp_path / "r.hea"
    path.write_text(path.read_text().replace("r.dat 16 ", "r.dat 16:3 ", 1))
    record = load(tmp_path)
    np.testing.assert_array_equal(record.adc[:-3, 0], adc()[3:, 0])
    np.testing.assert_array_equal(np.flatnonzero(np.ma.getmaskarray(record.adc)[:, 0]), [3997, 3998, 3999])
    flip("r.dat")(tmp_path)
    with pytest.raises(BeatwiseError, match="checksum"):
        load(tmp_path)


def test_a_signal_that_is_not_calibrated_is_read_where_it_may_be(tmp_path):
    plain(tmp_path)
    annotate(tmp_path, "r")
    edit_header(tmp_path, "16 200.0", "16 0")
    record = RecordsDataset(filepath=str(tmp_path)).load()["r"]("atr", True)
    np.testing.assert_array_equal(record.adc, adc())
    assert record.adc_gain == (200.0, 200.0)


def test_a_header_without_checksums_is_read(tmp_path):
    plain(tmp_path)
    annotate(tmp_path, "r")
    path = tmp_path / "r.hea"
    first, *signals = path.read_text().splitlines()
    path.write_text("\n".join([first, *(" ".join(line.split()[:3]) for line in signals)]) + "\n")
    record = load(tmp_path)
    np.testing.assert_array_equal(record.adc, adc())
    assert record.leads == ("signal 0", "signal 1")


def test_records_come_back_as_they_were_saved_and_one_is_read_at_a_time(tmp_path):
    rng = np.random.default_rng(0)
    values, missing = rng.integers(-2000, 2047, size=(5000, 2)), np.zeros((5000, 2), dtype=bool)
    missing[100:200, 1] = True
    saved = Record(
        name="100",
        adc=np.ma.masked_array(values, missing),
        sample_rate=360.0,
        leads=("MLII", "V1"),
        adc_gain=(200.0, 100.0),
        adc_baseline=(1024, 0),
        annotation_samples=np.sort(rng.choice(5000, 30, replace=False)).astype(np.int64),
        annotation_symbols=rng.choice(list("NVA+/~"), 30),
        comments=("69 M 1085 1629 x1", "Aldomet, Inderal"),
    )
    records = RecordsDataset(filepath=str(tmp_path / "records"))
    records.save([replace(saved, name="101"), saved])
    assert records.exists()
    (tmp_path / "records/101.dat").unlink()
    assert list(records.load()) == ["100", "101"]
    loaded = records.load()["100"]()
    np.testing.assert_array_equal(loaded.annotation_samples, saved.annotation_samples)
    np.testing.assert_array_equal(loaded.annotation_symbols, saved.annotation_symbols)
    np.testing.assert_array_equal(loaded.millivolts(), saved.millivolts())
    assert np.isnan(loaded.millivolts()).sum() == 100
    for field in ("name", "sample_rate", "leads", "adc_gain", "adc_baseline", "comments"):
        assert getattr(loaded, field) == getattr(saved, field)


@pytest.mark.parametrize("name", ["empty", "absent"])
def test_a_folder_without_records_says_how_to_get_them(tmp_path, name):
    (tmp_path / "empty").mkdir()
    records = RecordsDataset(filepath=str(tmp_path / name), how_to_get="Fetch them.")
    assert not records.exists()
    with pytest.raises(
        DatasetError, match=rf"No WFDB record \(\*\.hea, \*\.dat, \*\.atr\) in {tmp_path / name}\. Fetch them\."
    ):
        records.load()
