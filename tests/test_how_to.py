"""The how-to pages work as printed: their code, their commands, and the files that they ask for."""

from __future__ import annotations

import json
import os
import re
import shlex
import shutil
import subprocess
import sys
import textwrap
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import click
import numpy as np
import pandas as pd
import pytest
import yaml
from kedro.framework.project import pipelines as registered
from kedro.framework.startup import bootstrap_project

from beatwise.cli import cli
from beatwise.datasets.records import RecordsDataset
from beatwise.runs.journal import Journal
from tests.conftest import ROOT, copy_project, typed
from tools.synthetic_records import SyntheticSettings, synthesise_records

FOLDER = ROOT / "docs" / "how-to"
PAGES = sorted(path.name for path in FOLDER.glob("*.md"))


def text_of(page: str) -> str:
    return (FOLDER / page).read_text(encoding="utf-8")


def blocks(page: str, language: str = "python") -> list[str]:
    """The blocks of a page in a language; "" for those of a terminal."""
    found = re.findall(r"^ *```(\w*)\n(.*?)^ *```", text_of(page), re.MULTILINE | re.DOTALL)
    return [textwrap.dedent(block) for name, block in found if name == language]


# --- code

# What shows that the code of a page works, below that code and in a process of its own, because it registers a name.
CHECKS = {
    "add-a-model.md": """
import torch
from beatwise.networks.zoo import build_model
network = build_model("my_net", input_shape=(1, 187), n_outputs=5, n_aux=8, width=16)
print(list(network(torch.rand(3, 1, 187), torch.rand(3, 8)).shape))
""",
    "add-a-resampling-strategy.md": """
from tests.conftest import CLASSES, random_beats
options = STRATEGIES.options("thin_majority", {"share": 0.25})
beats = random_beats((60, 12, 14, 10, 12), records=True)
thinned = resample_examples(beats, "thin_majority", options, CLASSES, seed=1)
assert not thinned.table["record"].isna().any()
print([int((thinned.target == k).sum()) for k in range(5)])
""",
    "add-a-loss.md": """
logits, target = torch.tensor([[2.0, 0.0], [0.0, 0.0]]), torch.eye(2)
loss = LOSSES["poly1"](**LOSSES.options("poly1", {"epsilon": 2.0}))
p = logits.softmax(dim=1).diagonal()
found = loss(logits, target, torch.ones(2), torch.zeros(2))
pinball = LOSSES["pinball"](**LOSSES.options("pinball", {"quantile": 0.75}))
quantile = pinball(torch.tensor([[0.0], [0.0]]), torch.tensor([[1.0], [-1.0]]), torch.ones(1), torch.zeros(1)).item()
print(torch.allclose(found, (2 * (1 - p) - p.log()).mean()), loss.decode(logits).sum().item(), quantile)
""",
    "add-a-metric.md": """
found = point_scores(np.array([0, 0, 1, 1]), np.array([[1, 0], [1, 0], [1, 0], [0, 1]]), ["informedness"])
from beatwise.tasks.regression.metrics import every_metric
print(round(found["informedness"], 4), every_metric(np.array([0.0, 4.0]), np.array([1.0, 5.0]))["nrmse"].item())
""",
    "add-a-figure.md": """
import sys
from beatwise.figures.table import Entry
from beatwise.report.figures import REPORT
(entry,) = eval(f"({sys.argv[1]})")
point = {"per_class": {"N": {"recall": {"value": 0.5}}, "V": {"recall": {"value": None}}}}
results = type("Results", (), {"metrics": {"classes": ["N", "V"], "test": point, "recall_first": point}})
drawn = entry.draw(results)
print([float(bar.get_height()) for bar in drawn.axes[0].patches], entry.section in {other.section for other in REPORT})
""",
    "add-a-source.md": """
import sys, yaml
from beatwise.data.contracts import BeatsContract
from beatwise.datasets.beats import BeatsDataset
made, catalog = map(yaml.safe_load, sys.argv[1:3])
source = {key.removeprefix("beats_").replace("folder", "filepath"): made[key] for key in made if "beats_" in key}
beats = BeatsDataset(**source).load()
checked = BeatsContract(classes=made["classes"], beat_length=made["beat_length"]).validate(beats)
entry = catalog["raw_beats"]
windows = ExamplesDataset(filepath=entry["filepath"], metadata=entry["metadata"]).load()
print([*checked.shape, len(checked), len(set(checked.group))], windows.shape)
""",
    "raw-records.md": """
print(name, record.sample_rate, record.leads, len(record.millivolts()))
""",
}
PRINTED = {
    "add-a-model.md": "[3, 5]",
    "add-a-resampling-strategy.md": "[15, 12, 14, 10, 12]",
    "add-a-loss.md": "True 2.0 0.5",
    "add-a-metric.md": "0.5 0.5",
    "add-a-figure.md": "[0.5, 0.0, 0.5, 0.0] True",
    "add-a-source.md": "[100, 600, 12] (2, 100)",
    "raw-records.md": "p1 360.0 ('II',) 3600",
}
# What a page takes for granted.
BEFORE = {
    "raw-records.md": """
import os, numpy as np, wfdb
os.mkdir("recordings")
beat = 1.0 * (np.arange(3600) % 300 == 100)[:, None]
wfdb.wrsamp("p1", fs=360, units=["mV"], sig_name=["II"], p_signal=beat, fmt=["16"], write_dir="recordings")
""",
}
# What is added to a file that is there already.
INSIDE = {
    "add-a-resampling-strategy.md": "data.resampling",
    "add-a-loss.md": "tasks.classification.losses",
    "add-a-metric.md": "tasks.classification.metrics",
}

# All pages in one process, because the imports take seconds; each as a module of its own.
PASTE = """
import contextlib, io, json, os, sys, traceback, types
shown = {}
for page, (script, arguments, folder) in json.load(sys.stdin).items():
    os.makedirs(os.path.join(folder, "data", "01_raw"))
    os.chdir(folder)
    sys.argv = ["-c", *arguments]
    module = sys.modules["pasted"] = types.ModuleType("pasted")
    with contextlib.redirect_stdout(io.StringIO()) as output:
        try:
            exec(compile(script, page, "exec"), vars(module))
        except Exception:
            traceback.print_exc(file=output)
    shown[page] = output.getvalue().strip()
print(json.dumps(shown))
"""


def test_the_code_of_every_page_works(tmp_path: Path) -> None:
    assert {page for page in PAGES if blocks(page)} == set(CHECKS)
    given = {}
    for page, check in CHECKS.items():
        module = INSIDE.get(page)
        above = f"import beatwise.{module} as file\nglobals().update(vars(file))\n" if module else ""
        script = "\n".join([BEFORE.get(page, ""), above, *blocks(page), check])
        given[page] = (script, [*blocks(page, "text"), *blocks(page, "yaml")], str(tmp_path / page))
    done = subprocess.run(
        [sys.executable, "-c", PASTE],
        input=json.dumps(given),
        env={**os.environ, "PYTHONPATH": f"{ROOT}:{ROOT / 'src'}"},
        capture_output=True,
        text=True,
        check=True,
    )
    assert json.loads(done.stdout.splitlines()[-1]) == PRINTED


# --- commands


def commands(page: str, *, also_in_text: bool = False) -> list[list[str]]:
    """The words after `kedro` of every command of a page, in its terminal blocks or also within its sentences."""
    lines = [line for block in blocks(page, "") for line in block.replace("\\\n", " ").splitlines()]
    if also_in_text:
        prose = re.sub(r"^ *```.*?^ *```", "", text_of(page), flags=re.MULTILINE | re.DOTALL)
        lines += re.findall(r"`([^`]+)`", prose)
    found = (re.fullmatch(r"(?:\$ )?(?:OMP_NUM_THREADS=1 )?kedro( [^=].*)?", line.strip()) for line in lines)
    return [shlex.split(match[1], comments=True) for match in found if match and match[1]]


def parsed(command: click.Command, words: list[str]) -> dict[str, Any]:
    """What a command makes of its words; nothing is run."""
    if len(words) == 1:  # its name alone, within a sentence
        return {}
    if isinstance(command, click.Group):
        return parsed(command.commands[words[1]], words[1:])
    return command.make_context(words[0], words[1:]).params


def test_every_command_on_a_page_is_one_that_can_be_typed() -> None:
    bootstrap_project(ROOT)
    typed_here = [(page, words) for page in PAGES for words in commands(page, also_in_text=True)]
    assert len(typed_here) > 30
    for page, words in typed_here:
        if words[0] == "viz" or words[-1].startswith("-"):  # a plugin's; a part of a command
            continue
        try:
            options = parsed(cli.commands[words[0]], words)
        except (KeyError, click.ClickException) as error:
            pytest.fail(f"{page}: kedro {shlex.join(words)}: {error}")
        for name in options.get("pipelines") or ():
            assert name in dict(registered), f"{page}: {name}"


# --- all of it, as a new user types it


def with_small_settings(folder: Path) -> Path:
    """Let a project train for two epochs on every source, and draw few intervals: the settings of `--env=test`."""
    small = yaml.safe_load((folder / "conf/test/parameters.yml").read_text("utf-8"))
    for file in (folder / "conf/base/parameters").glob("*.yml"):
        parameters = yaml.safe_load(file.read_text("utf-8")) or {}
        for block in parameters.keys() & small.keys() - {"tune"}:
            parameters[block] = {**parameters[block], **small[block]}
        file.write_text(yaml.safe_dump(parameters), "utf-8")
    return folder


@pytest.mark.slow
def test_what_the_pages_add_is_in_a_run_of_the_project(tmp_path: Path) -> None:
    """A metric, a loss, a model, a strategy and a figure, pasted where the pages say, are all in one run."""
    project = copy_project(tmp_path / "project")
    package = shutil.copytree(ROOT / "src" / "beatwise", project / "src" / "beatwise")

    def append(name: str, *code: str) -> None:
        file = package / name
        file.write_text("\n\n".join([file.read_text("utf-8"), *code]), "utf-8")

    def replace(name: str, old: str, new: str) -> None:
        text = (package / name).read_text("utf-8")
        assert text.count(old) == 1, (name, old)
        (package / name).write_text(text.replace(old, new), "utf-8")

    append("tasks/classification/losses.py", blocks("add-a-loss.md")[0])
    append("tasks/classification/metrics.py", blocks("add-a-metric.md")[0])
    append("data/resampling.py", *blocks("add-a-resampling-strategy.md"))
    (package / "networks/my_net.py").write_text(blocks("add-a-model.md")[0], "utf-8")
    replace("networks/zoo.py", " mlp,", " mlp, my_net,")
    (package / "figures/recall_gain.py").write_text(blocks("add-a-figure.md")[0], "utf-8")
    (entry,) = blocks("add-a-figure.md", "text")
    (line,) = re.findall(r"`(from beatwise\.figures\.recall_gain import \w+)`", text_of("add-a-figure.md"))
    replace(
        "report/figures.py", "\nREPORT: Final[tuple[Entry[Results], ...]] = (", f"\n{line}\n\nREPORT: Final = ({entry}"
    )

    given = []
    for page in PAGES:
        printed = [words for words in commands(page, also_in_text=True) if words[0] == "run"]
        given += [word.partition("=")[2] for words in printed for word in words if word.startswith("--params=")]
    tried = [value for value in given if re.search(r"=(poly1|informedness|my_net)\b", value)]
    assert len(tried) == 3
    values = ",".join([*tried, "resample.use=thin_majority"])
    kedro = [sys.executable, "-m", "kedro", "run", "--env=test", "--pipeline=train", f"--params={values}"]
    kedro += ["--to-outputs=baseline.metrics,baseline.figures"]
    environment = {**os.environ, "PYTHONPATH": str(project / "src"), "DO_NOT_TRACK": "1"}
    done = subprocess.run(kedro, cwd=project, env=environment, capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stdout + done.stderr
    (metrics,) = (project / "data/07_model_output/test/baseline/metrics.json").glob("*/metrics.json")
    assert "informedness" in json.loads(metrics.read_text("utf-8"))["test"]["overall"]
    assert (project / "data/08_reporting/test/baseline/figures/recall_gain.png").is_file()
    config = json.loads((project / "data/06_models/test/baseline/config.json").read_text("utf-8"))
    chosen = config["model"]["use"], config["resample"]["use"], config["train"]["loss"]["use"]
    assert chosen == ("my_net", "thin_majority", "poly1")


def give_tables(folder: Path) -> None:
    """The two tables that the page about own data takes: beats of 200 samples of three classes of twelve patients."""
    rng = np.random.default_rng(0)
    for name, n in (("train", 400), ("test", 120)):
        label = np.arange(n) % 8
        label = np.where(label < 3, label, 0)
        peak = 20 + 40 * label[:, None]
        x = np.exp(-(((np.arange(200) - peak) / 6) ** 2)) + rng.uniform(0, 0.2, (n, 200))
        table = pd.DataFrame(x / x.max(), columns=np.arange(200).astype(str))
        patients = rng.integers(0, 12, n) + (100 if name == "test" else 0)
        table.assign(label=np.array(["N", "S", "V"])[label], patient=patients).to_csv(f"{name}.csv", index=False)


def give_records(folder: Path) -> None:
    """The records, and the file of the configuration that the page about own records prints."""
    records = synthesise_records(SyntheticSettings(n_records=10, beats_per_record=60), seed=0)
    RecordsDataset(filepath=str(folder / "records")).save(records)
    printed = blocks("own-records.md", "yaml")[0]
    assert "/path/to/records" in printed
    (folder / "conf/mine").mkdir()
    (folder / "conf/mine/globals.yml").write_text(printed.replace("/path/to/records", str(folder / "records")), "utf-8")


def give_a_run(folder: Path) -> None:
    """A run, as a reader of the page has one."""
    assert typed("run", "--pipeline=train", "--to-outputs=baseline.metrics,data_summary").exit_code == 0


# What a reader puts in the place of an example.
STANDS_FOR: dict[str, Callable[[Path], str]] = {
    r"data/08_reporting/demo/run_card\.json/\S*run_card\.json": lambda folder: str(
        min((folder / "data/08_reporting").glob("*/run_card.json/*/run_card.json"))
    ),
    r"99e359b|<run-ID>": lambda folder: json.loads(
        min((folder / "data/08_reporting").glob("*/run_card.json/*/run_card.json")).read_text("utf-8")
    )["mlflow_run"],
    r"<version>": lambda folder: min((folder / "data/06_models/demo/baseline/model").iterdir()).name,
    r"20\d\d-\d\d-\d\d-full-oversampling": lambda folder: [*Journal(folder).entries()][-1],
}
# Pages whose commands are typed, what each takes, and whether it prints them within its sentences.
TYPED: dict[str, tuple[Callable[[Path], None], bool]] = {
    "own-data.md": (give_tables, False),
    "own-records.md": (give_records, True),
    "keep-a-journal.md": (lambda folder: None, False),
    "repeat-a-run.md": (give_a_run, False),
    "train.md": (give_a_run, False),
}


@pytest.fixture
def project(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[Path]:
    """A copy of the project with small settings, set up for Kedro, and the working directory in it."""
    monkeypatch.chdir(tmp_path)
    folder = with_small_settings(copy_project(tmp_path))
    bootstrap_project(folder)
    yield folder
    bootstrap_project(ROOT)


@pytest.mark.slow
@pytest.mark.usefixtures("kept_process", "short_reports")
@pytest.mark.parametrize("page", TYPED)
def test_the_commands_of_a_page_work_one_after_another(page: str, project: Path) -> None:
    give, also_in_text = TYPED[page]
    give(project)
    for words in commands(page, also_in_text=also_in_text):
        line = [given(word, project) for word in words]
        result = typed(*line)
        assert result.exit_code == 0, f"kedro {shlex.join(line)}\n{result.output}{result.exception}"


def given(word: str, folder: Path) -> str:
    """A word of a command, with what a reader puts in the place of an example."""
    for pattern, value in STANDS_FOR.items():
        if re.search(pattern, word):
            word = re.sub(pattern, value(folder), word)
    return word
