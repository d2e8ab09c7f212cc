"""What a user of `kedro run` sees of bad input: one clear message, exit code 1, and nothing half-written."""

from __future__ import annotations

import json
import os
import resource
import shutil
import socket
import subprocess
import sys
import threading
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
import pytest
import yaml
from click.testing import CliRunner, Result
from kedro.framework.context import KedroContext
from kedro.framework.session import KedroSession
from kedro.framework.startup import bootstrap_project
from safetensors import safe_open

from beatwise.cli import run
from beatwise.core.errors import BeatwiseError
from beatwise.core.registry import Registry
from beatwise.data.examples import Examples
from beatwise.data.resampling import STRATEGIES, resample_examples
from beatwise.datasets.records import RecordsDataset
from beatwise.networks.zoo import MODELS
from tests.conftest import ROOT, copy_project, leave_untracked
from tools.synthetic_records import SyntheticSettings, synthesise_records

Change = Callable[[pd.DataFrame], pd.DataFrame]
Damage = Callable[[Path], object]

SAMPLE, RECORDS = Path("data/01_raw/demo"), Path("data/01_raw/demo/records")
TRAIN, TEST = SAMPLE / "train.parquet", SAMPLE / "test.parquet"
# The first node of `train` writes this before it looks at any beat.
CONFIGURED = {"06_models/test/baseline/config.json", "06_models/test/search/plan.json"}
PARTS = {f"03_primary/test/{part}_beats.parquet" for part in ("train", "val", "test")}


@pytest.fixture(scope="module")
def copied(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Path]:
    """A copy of the project, its runs untracked, set up for Kedro; afterwards the process is as it was before."""
    folder = copy_project(tmp_path_factory.mktemp("project"))
    leave_untracked(folder, "train", "ingest", "segment", "__default__")
    shutil.copytree(folder / "conf/test", folder / "conf/as copied")
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(sys, "path", [*sys.path])
        patch.setenv("PYTHONPATH", os.environ.get("PYTHONPATH", ""))
        patch.delenv("BEATWISE_DATA", raising=False)
        patch.delenv("BEATWISE_TRACEBACK", raising=False)
        read_configuration_once(patch)
        bootstrap_project(folder)
        yield folder


def read_configuration_once(patch: pytest.MonkeyPatch) -> None:
    """Let sessions share what they read of the same configuration, which takes most of the time of a run that stops."""
    load, known = KedroSession.load_context, dict[object, KedroContext]()

    def load_once(self: KedroSession) -> KedroContext:
        files = tuple((path, path.read_bytes()) for path in sorted(Path("conf/test").iterdir()))
        key = (files, repr(self.store.get("env")), repr(self.store.get("runtime_params")))
        if key in known:
            # The hooks look at it for every run.
            self._hook_manager.hook.after_context_created(context=known[key])
        else:
            known[key] = load(self)
        return known[key]

    patch.setattr(KedroSession, "load_context", load_once)


@pytest.fixture(autouse=True)
def project(copied: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[Path]:
    """The copy as it was made, and the working directory in it."""
    monkeypatch.chdir(copied)
    for folder in (*copied.glob("data/0[1-8]_*"), copied / "conf/test"):
        if folder.is_dir():
            shutil.rmtree(folder)
        else:
            folder.unlink()
    shutil.copytree(copied / "conf/as copied", "conf/test")
    shutil.copytree(ROOT / SAMPLE, SAMPLE, ignore=shutil.ignore_patterns("records"))
    yield copied
    # Whatever happened, what stands in the output folders can be read.
    for path in copied.glob("data/0[2-8]_*/**/*"):
        if path.is_file() and path.read_bytes() != b"in the way":
            read(path)


def read(path: Path) -> object:
    match path.suffix:
        case ".parquet":
            return pd.read_parquet(path)
        case ".json":
            return json.loads(path.read_text())
        case ".safetensors":
            with safe_open(path, framework="numpy") as file:
                return [file.get_tensor(name) for name in file.keys()]  # noqa: SIM118 - not a dict
        case ".png":
            assert path.read_bytes().endswith(b"IEND\xaeB`\x82")
            return None
    raise AssertionError(f"Nobody should have written {path}")


def written(project: Path) -> set[str]:
    """Every file, and every hidden scratch folder, of the output folders."""
    return {
        path.relative_to(project / "data").as_posix()
        for path in project.glob("data/0[2-8]_*/**/*")
        if path.is_file() or path.name.startswith(".")
    }


def kedro_run(*arguments: str, pipeline: str = "train") -> Result:
    return CliRunner().invoke(run, ["--env=test", f"--pipelines={pipeline}", *arguments])


def message_of(result: Result) -> str:
    """The message of a run that stopped as it should: exit code 1, few lines, no traceback."""
    assert result.exit_code == 1
    assert isinstance(result.exception, SystemExit), result.exception
    assert "Traceback" not in result.output
    # A progress bar may end on the same stream.
    heading = next(word for word in ("The run stopped:", "Data set '") if word in result.stderr)
    message = result.stderr[result.stderr.index(heading) :].strip()
    assert message.endswith("(BEATWISE_TRACEBACK=1 shows where in the code.)")
    assert len(message.splitlines()) <= 10
    for jargon in ("pydantic", "input_type", "Failed to instantiate", "validation error"):
        assert jargon not in message
    return message


def table(file: Path, change: Change) -> Damage:
    def damage(project: Path) -> None:
        change(pd.read_parquet(project / file)).to_parquet(project / file)

    return damage


def both(change: Change) -> Damage:
    return lambda project: [table(file, change)(project) for file in (TRAIN, TEST)]


def cell(file: Path, column: str, value: object) -> Damage:
    """Row 5 of a column set to a value, whatever type it makes of the column."""

    def change(beats: pd.DataFrame) -> pd.DataFrame:
        values = beats[column].astype(object)
        values.iloc[5] = value
        return beats.assign(**{column: values.astype(str if isinstance(value, str) else np.float64)})

    return table(file, change)


def truncated(file: Path, share: float = 0.5) -> Damage:
    def damage(project: Path) -> None:
        whole = (project / file).read_bytes()
        (project / file).write_bytes(whole[: int(share * len(whole))])

    return damage


def without(index: int, *, but: int = 0) -> Change:
    """Only the first ``but`` beats of a class are left."""
    return lambda beats: beats[(beats["target"] != index) | ((beats["target"] == index).cumsum() <= but)]


# Damage to the bundled beats, and what the message has to name. {train} and {test} stand for the files.
BEATS: dict[str, tuple[Damage, list[str]]] = {
    "missing file": (
        lambda project: (project / TEST).unlink(),
        ["raw_beats", "{folder}", "train.parquet + test.parquet", "python -m tools.synthesise"],
    ),
    "not parquet": (
        lambda project: (project / TEST).write_text("0.1,0.2,0\n"),
        ["{test} cannot be read as parquet", "fetch it again"],
    ),
    "truncated parquet": (truncated(TRAIN), ["{train} cannot be read as parquet", "truncated", "fetch it again"]),
    "missing column": (
        both(lambda beats: beats.drop(columns="7")),
        ["Missing column '7'", "{train}"],
    ),
    "missing label": (both(lambda beats: beats.drop(columns="target")), ["Missing column 'target'", "{train}"]),
    "extra column": (
        both(lambda beats: beats.assign(ward=1)),
        ["'raw_beats'", "Unknown column 'ward'", "{train}", '"0" to "186", "target"'],
    ),
    "column missing from one file": (
        table(TEST, lambda beats: beats.drop(columns="7")),
        ["{test} does not have the columns of {train}", "differ in: 7"],
    ),
    "non-numeric": (
        cell(TRAIN, "3", "n/a"),
        ["Row 5 of part 'train'", "column '3' is not a number: 'n/a'", "Allowed: numbers"],
    ),
    "NaN": (cell(TEST, "3", np.nan), ["Row 5 of part 'test' ({test}) column '3' is not a finite number: nan"]),
    "infinity": (cell(TRAIN, "186", np.inf), ["Row 5 of part 'train' ({train}) column '186'", "finite number: inf"]),
    "above 1": (cell(TEST, "3", 1.5), ["Row 5 of part 'test' ({test}) column '3' lies outside [0, 1]: 1.5", "Scale"]),
    "below 0": (cell(TEST, "3", -0.1), ["Row 5 of part 'test' ({test}) column '3' lies outside [0, 1]: -0.1"]),
    "label outside the classes": (
        cell(TEST, "target", 7),
        ["Row 5 of part 'test' ({test}) column 'target' is no label: 7", "0 = N, 1 = S, 2 = V, 3 = F, 4 = Q"],
    ),
    "class without beats": (
        both(without(3)),
        ["'raw_beats'", "No beat of class F", "{train}", "{test}", "`classes` in globals.yml"],
    ),
    "class without training beats": (table(TRAIN, without(3)), ["'train_beats'", "No example of class F"]),
    "class too small to split": (
        table(TRAIN, without(3, but=1)),
        ["Cannot draw a val part", "class F has 1", "Add examples"],
    ),
    "empty table": (both(lambda beats: beats[:0]), ["'raw_beats'", "has no rows", "{train}", "{test}"]),
}


@pytest.mark.parametrize(("damage", "named"), BEATS.values(), ids=BEATS)
def test_bad_beats_stop_the_run_with_their_place_before_any_is_written(project, damage, named):
    damage(project)
    message = message_of(kedro_run(pipeline="ingest"))
    places = {"train": project / TRAIN, "test": project / TEST, "folder": project / SAMPLE}
    for words in named:
        assert words.format(**places) in message
    assert written(project) <= CONFIGURED


@pytest.mark.parametrize("file", [TRAIN, TEST], ids=str)
def test_an_empty_file_beside_a_good_one_stops_the_run_by_its_name(project, file):
    table(file, lambda beats: beats[:0])(project)
    message = message_of(kedro_run(pipeline="ingest"))
    assert message.splitlines()[:2] == [
        "Data set 'raw_beats' breaks its contract:",
        f"Part '{file.stem}' has no rows. ({project / file}) Bring beats, or fetch it again.",
    ]
    assert not written(project)


def test_a_source_with_a_test_part_alone_says_that_there_is_none_to_train_on(project):
    parameters = yaml.safe_load((project / "conf/test/globals.yml").read_text())
    parameters["beats_layouts"] = [{"test": "test.parquet"}]
    (project / "conf/test/globals.yml").write_text(yaml.safe_dump(parameters))
    assert "the source has no part 'train'" in message_of(kedro_run())
    assert written(project) <= CONFIGURED


def test_a_class_too_small_for_smote_stops_the_run_after_whole_outputs_only(project):
    result = kedro_run("--params=resample.use=smote,resample.smote.k_neighbors=60")
    message = message_of(result)
    assert "Class F has 55 beats in the training part, too few for resample.smote.k_neighbors=60" in message
    assert "Lower it to 54 or less, add beats, or choose resample.use=full_oversampling." in message
    assert PARTS <= written(project) <= PARTS | CONFIGURED


def test_every_strategy_with_neighbours_names_the_class_that_is_too_small(make_beats):
    for use in STRATEGIES.names():
        for option in {"k_neighbors", "n_neighbors"} & set(STRATEGIES.options(use, {})):
            check_neighbours(make_beats, use, option)


def check_neighbours(make_beats: Callable[..., Examples], use: str, option: str) -> None:
    if (use, option) == ("smote_enn", "n_neighbors"):  # it cleans: any number will do
        return
    options = STRATEGIES.options(use, {option: 10})
    with pytest.raises(BeatwiseError) as caught:
        resample_examples(make_beats(), use, options, ["N", "S", "V", "F", "Q"], seed=0)
    assert f"Class F has 10 beats in the training part, too few for resample.{use}.{option}=10" in str(caught.value)
    assert "Lower it to 9 or less" in str(caught.value)


def refused(kind: str, given: str, registry: Registry[Any], meant: str = "") -> str:
    hint = f" Did you mean '{meant}'?" if meant else ""
    return f"Unknown {kind} '{given}'.{hint} Known: {', '.join(sorted(registry.names()))}."


# A parameter, the value given, and the line of the message that names it: one of each kind of check. All others are in
# tests/test_params.py and tests/training/test_options.py.
PARAMETERS: list[tuple[str, object, str]] = [
    ("model.use", "squeezent", "model: " + refused("model", "squeezent", MODELS, "squeezenet")),
    ("resample.use", "grafft", "resample: " + refused("resampling strategy", "grafft", STRATEGIES, "graft")),
    (
        "train.epochs",
        "many",
        "train.epochs: Input should be a valid integer, unable to parse string as an integer; got 'many'.",
    ),
]
IDS = [f"{key}={value}" for key, value, _ in PARAMETERS]


def in_file(project: Path, key: str, value: object) -> None:
    path = project / "conf/test/parameters.yml"
    parameters: dict[str, Any] = yaml.safe_load(path.read_text())
    *above, last = key.split(".")
    block = parameters
    for name in above:
        block = block.setdefault(name, {})
    block[last] = value
    path.write_text(yaml.safe_dump(parameters))


@pytest.mark.parametrize(("key", "value", "line"), PARAMETERS, ids=IDS)
def test_a_bad_parameter_on_the_command_line_stops_the_run_before_any_node(project, key, value, line):
    assert line in message_of(kedro_run(f"--params={key}={value}")).splitlines()
    assert not written(project)


@pytest.mark.parametrize(("key", "value", "line"), PARAMETERS[:1], ids=IDS[:1])
def test_a_bad_parameter_in_a_file_stops_the_run_before_any_node(project, key, value, line):
    in_file(project, key, value)
    assert line in message_of(kedro_run()).splitlines()
    assert not written(project)


def test_an_augmentation_of_the_signal_is_refused_where_there_is_none_before_any_node(project):
    message = message_of(kedro_run("--params=tensors.use=scalogram,train.augment.use=mixup+shift"))
    assert "The augmentation 'shift' changes a signal, which the representation 'scalogram' does not hold." in message
    assert not written(project)


def test_every_bad_parameter_is_named_in_one_message(project):
    in_file(project, "train.epochs", 0)
    lines = message_of(kedro_run("--params=resample.smote.k=3,tensors.image.height=2.5,model.mlp.width=3")).splitlines()
    assert [line.split(":")[0] for line in lines[1:-1]] == [
        "The parameters cannot be used",
        "resample.smote.k",
        "tensors.image.height",
        "train.epochs",
    ]


@pytest.mark.parametrize("key", ["classes"])
def test_what_the_source_fixes_cannot_be_set_on_the_command_line_and_the_way_out_is_named(project, key):
    message = message_of(kedro_run(f"--params={key}=x"))
    assert f"{key}: cannot be set by --params" in message
    assert "Set it in globals.yml of an environment, and run with --env." in message
    assert not written(project)


@pytest.mark.parametrize("pipeline", ["tune", "compare"])
def test_a_ray_cluster_that_does_not_answer_stops_the_run_before_any_node(project, pipeline):
    with socket.socket() as taken:  # bound, and not listening
        taken.bind(("127.0.0.1", 0))
        address = f"127.0.0.1:{taken.getsockname()[1]}"
        message = message_of(kedro_run(f"--params=ray.address={address}", pipeline=pipeline))
    assert f"ray.address: no Ray cluster at '{address}' (ConnectionRefusedError" in message
    assert not written(project)


@pytest.mark.parametrize("option", ["--pipeline=trian", "--pipelines=ingest,trian"])
def test_an_unknown_pipeline_is_named_with_a_suggestion_and_the_known_ones(project, option):
    message = message_of(CliRunner().invoke(run, ["--env=test", option]))
    known = ["__default__", *(path.parent.name for path in ROOT.glob("src/beatwise/pipelines/*/pipeline.py"))]
    assert f"Unknown pipeline 'trian'. Did you mean 'train'? Known: {', '.join(sorted(known))}." in message
    assert not written(project)


@pytest.mark.parametrize("content", ["train:\n\tepochs: 2\n"])
@pytest.mark.parametrize("name", ["parameters.yml", "globals.yml", "catalog.yml"])
def test_a_file_of_the_configuration_that_is_not_yaml_is_named(project, name, content):
    (project / "conf/test" / name).write_text(content)
    message = message_of(kedro_run())
    assert f"Invalid YAML or JSON file {project / 'conf/test' / name}, unable to read line " in message
    assert not written(project)


def test_a_split_by_record_of_beats_without_records_names_the_column_and_the_way_out(project):
    both(lambda beats: beats.drop(columns=["record", "sample"]))(project)
    message = message_of(kedro_run("--params=ingest.split.use=by_group"))
    assert "neither a column 'record' nor a column 'group'" in message
    assert "ingest.split.use=given or stratified" in message
    assert written(project) <= CONFIGURED


@pytest.fixture
def records(project: Path) -> Path:
    """Two synthetic records, s01 and s02, where `segment` looks for them."""
    settings = SyntheticSettings(n_records=2, beats_per_record=20)
    RecordsDataset(filepath=str(project / RECORDS)).save(synthesise_records(settings, seed=0))
    return project / RECORDS


def flip_a_bit(folder: Path) -> None:
    content = bytearray((folder / "s02.dat").read_bytes())
    content[3000] ^= 0x04
    (folder / "s02.dat").write_bytes(content)


RECORD: dict[str, tuple[Damage, list[str]]] = {
    "corrupt .dat": (flip_a_bit, ["Record s02", "{folder}/s02.dat is damaged", "checksum", "Fetch the file again"]),
    "no records": (
        lambda folder: shutil.rmtree(folder),
        ["records", "No WFDB record (*.hea, *.dat, *.atr) in {folder}", "python -m tools.synthesise"],
    ),
}


@pytest.mark.parametrize(("damage", "named"), RECORD.values(), ids=RECORD)
def test_a_bad_record_stops_segmentation_by_name_before_a_beat_is_written(project, records, damage, named):
    damage(records)
    message = message_of(kedro_run(pipeline="segment"))
    for words in named:
        assert words.format(folder=records) in message
    assert not written(project)
    # No bar is left running.
    assert not [thread for thread in threading.enumerate() if type(thread).__module__.startswith("rich.")]


def test_good_records_are_cut_into_beats(project, records):
    assert kedro_run(pipeline="segment").exit_code == 0
    assert written(project) == {"02_intermediate/test/beats.parquet", "02_intermediate/test/segment_summary.json"}


# Where a file stands in the way of an output folder, and what may be written before that folder is needed.
IN_THE_WAY = {
    "data/02_intermediate/test": ("segment", set()),
    "data/03_primary": ("train", CONFIGURED),
    "data/03_primary/test": ("train", CONFIGURED),
    "data/05_model_input/test": ("train", CONFIGURED | PARTS),
    "data/06_models": ("train", set()),
    "data/06_models/test": ("train", set()),
}


@pytest.mark.parametrize(("blocked", "pipeline", "before"), [(k, *v) for k, v in IN_THE_WAY.items()], ids=IN_THE_WAY)
def test_a_file_in_the_place_of_an_output_folder_stops_the_run_with_the_path(
    project, records, blocked, pipeline, before
):
    (project / blocked).parent.mkdir(parents=True, exist_ok=True)
    (project / blocked).write_text("in the way")
    assert str(project / blocked) in message_of(kedro_run(pipeline=pipeline))
    assert (project / blocked).read_text() == "in the way"
    assert written(project) - {Path(blocked).relative_to("data").as_posix()} <= before


@pytest.mark.parametrize("blocked", ["data/02_intermediate", "data/06_models"])
def test_an_output_folder_that_mkdir_is_not_permitted_to_make_stops_the_run_with_the_path(
    project, records, monkeypatch, blocked
):
    make = os.mkdir

    def refuse(path: Any, *arguments: Any, **options: Any) -> None:
        if str(path).startswith(str(project / blocked)) or str(path).startswith(blocked):
            raise PermissionError(13, "Permission denied", str(path))
        make(path, *arguments, **options)

    monkeypatch.setattr(os, "mkdir", refuse)
    message = message_of(kedro_run(pipeline="segment" if "02" in blocked else "train"))
    assert "Permission denied" in message
    assert str(project / blocked) in message
    assert not (project / blocked).exists()


@pytest.mark.skipif(os.geteuid() == 0, reason="root may write anywhere")
def test_an_output_folder_without_permission_to_write_stops_the_run_with_the_path(project, records):
    folder = project / "data/02_intermediate/test"
    folder.mkdir(parents=True)
    folder.chmod(0o555)
    message = message_of(kedro_run(pipeline="segment"))
    assert "Permission denied" in message
    assert str(folder) in message
    assert not list(folder.iterdir())


def test_the_traceback_is_shown_on_request(project, monkeypatch):
    monkeypatch.setenv("BEATWISE_TRACEBACK", "1")
    cell(TEST, "3", 1.5)(project)
    error = kedro_run().exception
    assert not isinstance(error, SystemExit)
    assert "lies outside [0, 1]" in str(error)


@pytest.mark.parametrize("stale", ["02_intermediate/test/beats.parquet"])
def test_a_failing_run_leaves_the_outputs_of_the_run_before_it_as_they_were(project, records, stale):
    assert kedro_run(pipeline="segment").exit_code == 0
    before = (project / "data" / stale).read_bytes()
    flip_a_bit(records)
    message_of(kedro_run(pipeline="segment"))
    assert written(project) == {stale, "02_intermediate/test/segment_summary.json"}
    assert (project / "data" / stale).read_bytes() == before


def test_a_disk_that_fills_up_leaves_the_outputs_of_the_run_before_as_they_were(project, records):
    assert kedro_run(pipeline="segment").exit_code == 0
    output = project / "data/02_intermediate/test/beats.parquet"
    before = output.read_bytes()
    limits = resource.getrlimit(resource.RLIMIT_FSIZE)
    resource.setrlimit(resource.RLIMIT_FSIZE, (len(before) // 2, limits[1]))
    try:
        result = kedro_run(pipeline="segment")
    finally:
        resource.setrlimit(resource.RLIMIT_FSIZE, limits)
    assert str(output) in message_of(result)
    assert written(project) == {"02_intermediate/test/beats.parquet", "02_intermediate/test/segment_summary.json"}
    assert output.read_bytes() == before


def test_the_terminal_shows_a_message_of_few_lines_and_no_traceback(project):
    cell(TEST, "3", 1.5)(project)
    done = subprocess.run(
        [sys.executable, "-m", "kedro", "run", "--env=test", "--pipeline=ingest"],
        cwd=project,
        env={**os.environ, "COLUMNS": "120", "DO_NOT_TRACK": "1"},
        capture_output=True,
        text=True,
        timeout=120,
        check=False,
    )
    assert done.returncode == 1
    assert "column '3' lies outside [0, 1]: 1.5" in done.stderr
    assert "Traceback" not in done.stdout + done.stderr
    assert len((done.stdout + done.stderr).splitlines()) <= 40
    assert written(project) <= CONFIGURED
