"""Tables of beats as people have them: every one gives the same beats, or is refused with its remedy."""

from __future__ import annotations

import gzip
import re
import shutil
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
import pytest
import yaml
from kedro.io import DatasetError

from beatwise.core.errors import BeatwiseError, in_own_words
from beatwise.data.contracts import BeatsContract
from beatwise.data.examples import Examples
from beatwise.datasets.beats import BeatsDataset
from beatwise.datasets.own_tables import look_at
from tests.conftest import ROOT, typed

CLASSES = ["N", "S", "V"]
N, LENGTH = 12, 8
TARGET = np.arange(N) % 3
COLUMNS = [str(i) for i in range(LENGTH)]


def beats() -> pd.DataFrame:
    """Beats that reach 0 and 1, of five to seven samples, with zeros behind them."""
    x = np.random.default_rng(3).uniform(0.1, 0.9, (N, LENGTH)).round(3)
    x[:, 1], x[:, 3] = 1, 0
    for row in range(N):
        x[row, 5 + row % 3 :] = 0
    return pd.DataFrame(x, columns=COLUMNS)


X = beats().to_numpy(np.float32)
PADDING = np.arange(LENGTH) >= 5 + TARGET[:, None]
ROW_5 = np.repeat(np.arange(N)[:, None] == 5, LENGTH, axis=1)
LABELLED = beats().assign(target=TARGET)
MILLIVOLTS = beats() * 2.5 - 0.8


def text(table: pd.DataFrame, **how: Any) -> Callable[[Path], object]:
    return lambda path: table.to_csv(path, **{"header": False, "index": False, **how})


def lines(change: Callable[[str], str]) -> Callable[[Path], object]:
    """Every line of a table without a header, changed."""
    rows = LABELLED.to_csv(header=False, index=False).splitlines()
    return lambda path: path.write_text("\n".join(map(change, rows)) + "\n")


def load(
    path: Path, *, labels: dict[str | int, str] | None = None, classes: list[str] | None = None, **how: Any
) -> Any:
    source = BeatsDataset(filepath=str(path.parent), layouts=[{"train": path.name}], how_to_get="", **how)
    return BeatsContract(classes=classes or CLASSES, beat_length=LENGTH, labels=labels or {}).validate(source.load())


def refusal(path: Path, **how: Any) -> str:
    with pytest.raises((DatasetError, BeatwiseError)) as caught:
        load(path, **how)
    return in_own_words(caught.value) or ""


words = LABELLED.assign(target=np.array(["normal", "atrial", "ventricular"])[TARGET])
WORDS = {"normal": "N", "atrial": "S", "ventricular": "V"}
one_hot = pd.concat([beats(), pd.DataFrame(np.eye(3, dtype=int)[TARGET])], axis="columns")
shuffled = LABELLED.set_axis(np.random.default_rng(0).permutation(N) + 7)

# File, how it is written, options: all give the same beats and labels.
TABLES: dict[str, tuple[str, Callable[[Path], object], dict[str, Any]]] = {
    "as Kaggle's": ("b.csv", text(LABELLED), {}),
    "header": ("b.csv", text(LABELLED, header=True), {}),
    "header of numbers alone": ("b.csv", text(LABELLED.set_axis(range(LENGTH + 1), axis=1), header=True), {}),
    "header of numbers with points": (
        "b.csv",
        text(LABELLED.set_axis(np.arange(LENGTH + 1.0), axis=1), header=True),
        {},
    ),
    "header and index": ("b.csv", text(LABELLED, header=True, index=True), {}),
    "header, and an index without a name as R has it": (
        "b.csv",
        lambda path: path.write_text(LABELLED.to_csv(index=True).removeprefix(",")),
        {},
    ),
    "header and a column at its end without a name": (
        "b.csv",
        lambda path: path.write_text(LABELLED.to_csv(index=False).replace("\n", ",\n")),
        {},
    ),
    "header without and rows with a comma at the end": (
        "b.csv",
        lambda path: path.write_text(LABELLED.to_csv(index=False).replace("\n", ",\n").replace(",\n", "\n", 1)),
        {},
    ),
    "samples with a word, counted from 1": (
        "b.csv",
        text(LABELLED.rename(columns={name: f"s{int(name) + 1}" for name in COLUMNS}), header=True),
        {},
    ),
    "label by another name": ("b.csv", text(LABELLED.rename(columns={"target": "Label"}), header=True), {}),
    "index": ("b.csv", text(LABELLED, index=True), {}),
    "shuffled index": ("b.csv", text(shuffled, index=True), {}),
    "comma at the end": ("b.csv", lines(lambda line: f"{line},"), {}),
    "empty lines": ("b.csv", lines(lambda line: f"\n{line}"), {}),
    "byte order mark": ("b.csv", text(LABELLED, header=True, encoding="utf-8-sig"), {}),
    "semicolons": ("b.csv", text(LABELLED, sep=";"), {}),
    "decimal commas": ("b.csv", text(LABELLED, sep=";", decimal=","), {}),
    "decimal commas in quotes": (
        "b.csv",
        lines(lambda line: '"' + line.replace(",", '","').replace(".", ",") + '"'),
        {},
    ),
    "header and decimal commas": ("b.csv", text(LABELLED, sep=";", decimal=",", header=True), {}),
    "tabs": ("b.tsv", text(LABELLED, sep="\t", decimal=","), {}),
    "spaces": ("b.txt", text(LABELLED, sep=" "), {}),
    "upper case": ("B.CSV", text(LABELLED), {}),
    "compressed": ("B.CSV.GZ", lambda path: path.write_bytes(gzip.compress(LABELLED.to_csv(index=False).encode())), {}),
    "xz": ("b.csv.xz", text(LABELLED, compression="xz"), {}),
    "words": ("b.csv", text(words), {"labels": WORDS}),
    "names of classes": ("b.csv", text(LABELLED.assign(target=np.array(CLASSES)[TARGET])), {}),
    "names and a mapping of some": (
        "b.csv",
        text(LABELLED.assign(target=np.array(["N", "A", "V"])[TARGET]), header=True),
        {"labels": {"A": "S"}},
    ),
    "categories": ("b.parquet", words.astype({"target": "category"}).to_parquet, {"labels": WORDS}),
    "categories in another order than the classes": (
        "b.parquet",
        LABELLED.assign(target=pd.Categorical(np.array(CLASSES)[TARGET], ["V", "S", "N"])).to_parquet,
        {},
    ),
    "labels from 1": ("b.csv", text(LABELLED.assign(target=TARGET + 1)), {"labels": {1: "N", 2: "S", 3: "V"}}),
    "labels with points": ("b.csv", text(LABELLED.assign(target=TARGET + 1.0)), {"labels": {1: "N", 2: "S", 3: "V"}}),
    "numbers that are names of others": (
        "b.csv",
        text(LABELLED.assign(target=(TARGET + 1) % 3)),
        {"classes": ["1", "2", "0"], "labels": {1: "1", 2: "2", 0: "0"}},
    ),
    "one column a class": ("b.csv", text(one_hot), {}),
    "millivolts": ("b.csv", text(MILLIVOLTS.assign(target=TARGET)), {"scale": "per_example"}),
    "millivolts padded with zeros": (
        "b.csv",
        text(MILLIVOLTS.mask(PADDING, 0).assign(target=TARGET)),
        {"scale": "per_example"},
    ),
    "millivolts padded with NaN": (
        "b.csv",
        text(MILLIVOLTS.mask(PADDING).assign(target=TARGET)),
        {"scale": "per_example"},
    ),
    "ADC units padded with zeros": (
        "b.csv",
        text((beats() * 1000 + 700).round().mask(PADDING, 0).astype(int).assign(target=TARGET)),
        {"scale": "per_example"},
    ),
    "NaN as padding": ("b.csv", text(beats().mask(PADDING).assign(target=TARGET)), {}),
    "rounding": (
        "b.csv",
        text((beats() * (1 + 1e-6)).where(lambda x: x != 0, -1e-9).assign(target=TARGET)),
        {},
    ),
    "columns that are named by the settings": (
        "b.parquet",
        LABELLED.rename(columns={"target": "beat"}).assign(age=50).to_parquet,
        {"columns": {"beat": "target", "age": ""}},
    ),
    "places that are named by the settings": (
        "b.csv",
        text(pd.concat([pd.DataFrame({"y": TARGET, "age": 50}), beats()], axis="columns")),
        {"columns": {0: "target", "1": ""}},
    ),
}


@pytest.mark.parametrize("case", TABLES)
def test_every_way_to_write_beats_gives_the_same_beats(tmp_path, case):
    name, write, how = TABLES[case]
    write(tmp_path / name)
    loaded = load(tmp_path / name, **how)
    np.testing.assert_allclose(loaded.x, X, atol=2e-6)
    np.testing.assert_array_equal(loaded.x == 0, X == 0)
    assert (loaded.x.min(), loaded.x.max()) == (0, 1)
    assert loaded.target.tolist() == TARGET.tolist()
    assert loaded.feature_names == []


def test_zeros_are_samples_where_nan_is_the_padding(tmp_path):
    table = pd.DataFrame([[-1, 1, 0, 0], [-1, 0, 3, np.nan]]).assign(target=[0, 1])
    text(table)(tmp_path / "b.csv")
    source = BeatsDataset(filepath=str(tmp_path), layouts=[{"train": "b.csv"}], how_to_get="", scale="per_example")
    assert source.load().x.tolist() == [[0, 1, 0.5, 0.5], [0, 0.25, 1, 0]]


PATIENTS = np.arange(N) // 2
PATIENT_TABLES: dict[str, tuple[str, Callable[[Path], object], dict[str, Any]]] = {
    "group in CSV": ("b.csv", text(LABELLED.assign(group=PATIENTS), header=True), {}),
    "patient in CSV": ("b.csv", text(LABELLED.assign(patient=PATIENTS), header=True, sep=";", decimal=","), {}),
    "patient_id in parquet": ("b.parquet", LABELLED.assign(patient_id=PATIENTS).to_parquet, {}),
    "record without sample": ("b.parquet", LABELLED.assign(record=PATIENTS.astype(str)).to_parquet, {}),
    "a place in CSV": ("b.csv", text(pd.concat([pd.Series(PATIENTS), LABELLED], axis=1)), {"columns": {0: "group"}}),
}


@pytest.mark.parametrize("case", PATIENT_TABLES)
def test_the_patient_is_the_group(tmp_path, case):
    name, write, how = PATIENT_TABLES[case]
    write(tmp_path / name)
    loaded: Examples = load(tmp_path / name, **how)
    assert loaded.group is not None
    assert loaded.group.astype(str).tolist() == PATIENTS.astype(str).tolist()
    np.testing.assert_array_equal(loaded.x, X)


def put(row: int, column: str, value: Any) -> pd.DataFrame:
    changed = LABELLED.astype(object)
    changed.loc[row, column] = value
    return changed


REFUSED: dict[str, tuple[Callable[[Path], object], dict[str, Any], str]] = {
    "millivolts": (text(MILLIVOLTS.assign(target=TARGET)), {}, "outside [0, 1]: -0.377* set beats_scale: per_example"),
    "a gap": (
        text(put(4, "2", None)),
        {},
        "Row 4 of part 'train' (*b.csv) column '2' is not a finite number: nan. 1 *",
    ),
    "a gap under a scale": (text(put(4, "2", None)), {"scale": "per_example"}, "Row 4 * column '2' is not a finite *"),
    "no sample at all": (
        text(beats().mask(ROW_5).assign(target=TARGET)),
        {},
        "Row 5 * column '0' is not a finite number: nan. 8 *",
    ),
    "a flat beat": (
        text(MILLIVOLTS.mask(ROW_5, 0.3).assign(target=TARGET)),
        {"scale": "per_example"},
        "Row 5 of part 'train' (*b.csv) has no scale: all its samples are equal. 1 *",
    ),
    "more than rounding": (text(LABELLED.replace(1.0, 1.00001)), {}, "lies outside [0, 1]: 1.00001"),
    "a word": (text(put(6, "2", "n.a.")), {}, "Row 6 * column '2' is not a number: 'n.a.'"),
    "a word in the first row": (text(put(0, "2", "n.a.")), {}, "Row 0 * column '2' is not a number: 'n.a.'"),
    "labels from 1": (text(LABELLED.assign(target=TARGET + 1)), {}, "no label: 3. * {1: N, 2: S, 3: V}"),
    "labels that may be indices or names": (
        text(LABELLED),
        {"classes": ["1", "2", "0"]},
        "numbers, and so are names of classes*",
    ),
    "an unknown word": (text(words), {"labels": {"normal": "N"}}, "no label: atrial. * Allowed: *normal = N*"),
    "the patient in front": (
        text(pd.concat([pd.Series(PATIENTS * 7), LABELLED], axis=1)),
        {"scale": "per_example"},
        "column 0 holds whole numbers (0, …)*{0: group}*",
    ),
    "the label in front": (
        text(LABELLED[["target", *COLUMNS]]),
        {},
        "column 0 holds whole numbers (0, …)*{0: target}*",
    ),
    "thousands": (
        text((beats() * 999 + 600).round().astype(int).map("{:,}".format).assign(target=TARGET), sep=";"),
        {"scale": "per_example"},
        "may be a decimal number or thousands*",
    ),
    "one column too many": (
        text(LABELLED.assign(z=LABELLED["target"])),
        {},
        "The beats have 9 samples, *beat_length: 8.",
    ),
    "two columns for one": (
        text(LABELLED.assign(patient=1, group=2), header=True),
        {},
        "the columns 'patient', 'group' would all be 'group'*",
    ),
    "a place that is not there": (text(LABELLED), {"columns": {9: "group"}}, "beats_columns: Unknown column '9'*"),
    "an unknown column": (
        text(LABELLED.assign(age=1), header=True),
        {},
        "Unknown column 'age'.*beats_columns: {age: \"\"}*",
    ),
    "a header with too few names": (
        lambda path: path.write_text("0,1\n" + LABELLED.to_csv(header=False, index=False)),
        {},
        "the header names 2 columns, and the rows have 9.*",
    ),
}


@pytest.mark.parametrize("case", REFUSED)
def test_what_has_no_sure_meaning_is_refused_with_its_remedy(tmp_path, case):
    write, how, named = REFUSED[case]
    write(tmp_path / "b.csv")
    pattern = ".*".join(re.escape(part) for part in named.split("*"))
    assert re.search(pattern, message := refusal(tmp_path / "b.csv", **how)), message


def test_all_that_is_wrong_is_said_at_once(tmp_path):
    text(put(4, "2", None).assign(target=TARGET + 1, rr_before=1.0).replace(1.0, 3.0), header=True)(tmp_path / "b.csv")
    message = refusal(tmp_path / "b.csv")
    for named in ("'2' is not a finite number", "outside [0, 1]: 3.0", "'rr_before' without", "no label: 3"):
        assert named in message
    assert len(message.splitlines()) == 4


# --- the settings that read a table

FOUND: dict[str, tuple[str, Callable[[Path], object], dict[str, Any], dict[str, Any]]] = {
    "as Kaggle's": ("b.csv", text(LABELLED), {}, {"classes": ["0", "1", "2"]}),
    "with names": ("b.csv", text(LABELLED), {"classes": CLASSES}, {"classes": CLASSES}),
    "labels from 1": (
        "b.csv",
        text(LABELLED.assign(target=TARGET + 1)),
        {"classes": CLASSES},
        {"classes": CLASSES, "beats_labels": {1: "N", 2: "S", 3: "V"}},
    ),
    "AAMI's words": (
        "b.csv",
        text(LABELLED.assign(target=np.array(["V", "N", "S"])[TARGET])),
        {},
        {"classes": ["N", "S", "V"]},
    ),
    "words": ("b.parquet", words.to_parquet, {}, {"classes": ["normal", "atrial", "ventricular"]}),
    "millivolts": ("b.csv", text(MILLIVOLTS.assign(target=TARGET)), {}, {"beats_scale": "per_example"}),
    "columns without a use": (
        "b.csv",
        text(LABELLED.assign(age=3, sex="f", group=PATIENTS), header=True),
        {"columns": {"age": ""}},
        {"beats_columns": {"age": "", "sex": ""}},
    ),
    "the label in front": (
        "b.csv",
        text(LABELLED[["target", *COLUMNS]].assign(target=TARGET + 1)),
        {"columns": {"0": "target"}, "classes": CLASSES},
        {"beats_columns": {"0": "target"}, "beats_labels": {1: "N", 2: "S", 3: "V"}},
    ),
    "parts of its own": (
        "b.parquet",
        LABELLED.assign(part=np.resize(["train", "test", "val"], N)).to_parquet,
        {},
        {"beats_layouts": [{"all": "b.parquet"}]},
    ),
}


@pytest.mark.parametrize("case", FOUND)
def test_the_settings_that_fit_a_table_read_it(tmp_path, case):
    name, write, options, expected = FOUND[case]
    write(tmp_path / name)
    found = look_at({"train": [tmp_path / name]}, sample_rate=125.0, **options)
    assert found.problems == []
    settings = yaml.safe_load(found.globals_yml())
    assert settings == found.globals
    assert expected.items() <= settings.items()
    assert settings["beat_length"] == LENGTH
    loaded = load(
        tmp_path / name,
        classes=settings["classes"],
        labels=settings.get("beats_labels"),
        columns=settings.get("beats_columns"),
        scale=settings.get("beats_scale", "none"),
    )
    np.testing.assert_allclose(loaded.x, X, atol=2e-6)
    names = [settings["classes"][i] for i in loaded.target]
    assert len(dict.fromkeys(zip(names, TARGET, strict=True))) == len(CLASSES)


def test_all_that_is_wrong_with_several_tables_is_listed(tmp_path):
    bad = put(4, "2", None).assign(group=1, target=TARGET * 0.5).replace(1.0, 3.0)
    text(bad, header=True)(tmp_path / "bad.csv")
    problems = "\n".join(look_at({"train": [tmp_path / "bad.csv"]}).problems)
    for named in ("names no classes", "Row 4 of part 'train'", "column '2' is not a finite number"):
        assert named in problems
    text(LABELLED.drop(columns="3").assign(group=1), header=True)(tmp_path / "gap.csv")
    (tmp_path / "broken.parquet").write_bytes(b"PAR1")
    tables = [tmp_path / "bad.csv", tmp_path / "gap.csv", tmp_path / "broken.parquet"]
    problems = "\n".join(look_at({"train": tables}).problems)
    for named in ("gap.csv: the columns of the signal are not numbered", "differ in: 3", "cannot be read as parquet"):
        assert named in problems


def test_a_table_whose_pages_are_damaged_is_named(tmp_path):
    path = tmp_path / "b.parquet"
    LABELLED.to_parquet(path, compression="gzip")
    whole = bytearray(path.read_bytes())
    whole[60:200] = bytes(140)
    path.write_bytes(whole)
    (problem,) = look_at({"train": [path]}).problems
    assert problem.startswith(f"{path} cannot be read as parquet")


@pytest.fixture
def conf(tmp_path, monkeypatch) -> Path:
    """An empty project that holds tables of patients and of none."""
    text(LABELLED)(tmp_path / "b.csv")
    patients = pd.concat([LABELLED] * 2).assign(group=np.arange(2 * N))
    text(patients, header=True)(tmp_path / "patients.csv")
    text(put(4, "2", None))(tmp_path / "bad.csv")
    shutil.copy(ROOT / "pyproject.toml", tmp_path)
    shutil.copytree(ROOT / "conf" / "base", tmp_path / "conf" / "base")
    monkeypatch.chdir(tmp_path)
    return tmp_path / "conf"


def test_one_command_makes_an_environment_and_overwrites_none(conf):
    made = typed("beats", "new", "mine", "--train=patients.csv", "--sample-rate=250", "--classes=N,S,V")
    assert made.exit_code == 0, made.output
    settings = yaml.safe_load((conf / "mine" / "globals.yml").read_text())
    assert settings["sample_rate"] == 250
    assert (settings["beats_folder"], settings["beats_layouts"]) == (".", [{"train": "patients.csv"}])
    assert yaml.safe_load((conf / "mine" / "parameters.yml").read_text()) == {
        "ingest": {"split": {"use": "by_group"}},
        "model": {"use": "resnet1d"},
    }
    before = (conf / "mine" / "globals.yml").read_bytes()
    again = typed("beats", "new", "mine", "--train=b.csv", "--sample-rate=250")
    assert again.exit_code == 1
    assert "is there already, and nothing is overwritten" in again.stderr
    assert (conf / "mine" / "globals.yml").read_bytes() == before


@pytest.mark.parametrize(
    ("arguments", "said"),
    [
        (("new", "mine", "--train=b.csv"), "No table says how many samples a second"),
        (("new", "mine", "--train=bad.csv", "--sample-rate=250"), "Row 4 of part 'train'"),
        (("new", "my data", "--train=b.csv", "--sample-rate=250"), "source: String should match pattern"),
        (("new", "mine", "--train=b.csv", "--sample-rate=250", "--classes=N,N,V"), "The class 'N' stands there twice"),
        (("new", "mine", "--train=b.csv", "--sample-rate=250", "--classes=N,V"), "There are 2 names of classes, and 3"),
        (("check", "bad.csv"), "1 in all"),
    ],
)
def test_what_cannot_be_read_makes_no_environment(conf, arguments, said):
    result = typed("beats", *arguments)
    assert result.exit_code == 1
    assert said in result.output
    assert [path.name for path in conf.iterdir()] == ["base"]


def test_check_prints_the_command_that_writes_the_environment(conf):
    shown = typed("beats", "check", "b.csv", "--classes=N,S,V", "--test=patients.csv")
    assert shown.exit_code == 1
    assert "differ in: group" in shown.output
    shown = typed("beats", "check", "b.csv", "--classes=N,S,V")
    assert shown.output.splitlines()[-1].strip() == (
        "kedro beats new mine --train=b.csv --classes=N,S,V --sample-rate=HZ"
    )
