"""The documentation is true: links have targets, names exist, examples work, generated pages are current."""

from __future__ import annotations

import re
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path
from types import SimpleNamespace
from typing import Any, cast

import numpy as np
import pytest
import yaml
from kedro.config import OmegaConfigLoader
from kedro.framework.project import pipelines as registered
from kedro.framework.startup import bootstrap_project
from kedro.inspection import get_project_snapshot
from omegaconf import OmegaConf

from beatwise.cli import cli
from beatwise.core.nested import flatten, merged
from beatwise.core.settings import Choice
from beatwise.params import Parameters, check_parameters
from beatwise.settings import CONFIG_LOADER_ARGS
from beatwise.tasks.registry import METRICS
from tests.conftest import ROOT, git
from tools.reference.__main__ import main
from tools.reference.flow import LEFT_OUT, Detail, Flow, flow, mermaid
from tools.reference.pages import DRAWN, all_pages, registries, with_graph
from tools.reference.site import LINK, with_site_links

PAGES = sorted(
    path.relative_to(ROOT).as_posix()
    for path in (
        *(ROOT / "docs").rglob("*.md"),
        *(ROOT / "src").rglob("README.md"),
        *(ROOT / name for name in ("README.md", "CHANGELOG.md", "data/README.md", "notebooks/README.md")),
    )
)


@pytest.fixture(scope="module")
def snapshot() -> Any:
    bootstrap_project(ROOT)
    return get_project_snapshot(ROOT)


# --- links


def heading_anchors(page: Path) -> set[str]:
    """Anchors as GitHub and MkDocs make them of headings."""
    text = re.sub(r"```.*?```", "", page.read_text(encoding="utf-8"), flags=re.DOTALL)
    headings = re.findall(r"^#+ (.+)$", text, re.MULTILINE)
    return {re.sub(r"[^\w\- ]", "", heading.lower()).strip().replace(" ", "-") for heading in headings}


def test_every_relative_link_has_a_target() -> None:
    dead = []
    for page in (ROOT / name for name in PAGES):
        for target, anchor in LINK.findall(page.read_text(encoding="utf-8")):
            path = (page.parent / target).resolve()
            if not path.exists() or (anchor and anchor[1:] not in heading_anchors(path)):
                dead.append(f"{page.relative_to(ROOT)}: {target}{anchor}")
    assert dead == []


def test_the_front_page_leads_to_every_page() -> None:
    waiting, seen = [ROOT / "docs" / "README.md"], set()
    while waiting:
        page = waiting.pop()
        seen.add(page)
        links = {(page.parent / target).resolve() for target, _ in LINK.findall(page.read_text(encoding="utf-8"))}
        waiting += [path for path in links - seen if path.suffix == ".md" and path not in waiting]
    pages = {*(ROOT / "docs").rglob("*.md"), *(ROOT / "src" / "beatwise" / "pipelines").rglob("README.md")}
    assert pages - seen == set()


def test_code_and_configuration_name_pages_that_exist() -> None:
    sources = [*(ROOT / "src").rglob("*.py"), *(ROOT / "conf").rglob("*.yml"), *(ROOT / "benchmarks").glob("*.py")]
    for source in [*sources, ROOT / "Makefile", ROOT / "README.md"]:
        for name in re.findall(r"\bdocs/[\w/-]+\.md", source.read_text(encoding="utf-8")):
            assert (ROOT / name).is_file(), f"{source.name} names {name}"


def test_links_out_of_the_documentation_become_links_within_the_site() -> None:
    text = (
        "[a](../../src/beatwise/params.py) [b](../../src/beatwise/pipelines/tune/README.md#x) [c](models.md) [d](no.md)"
    )
    shown = with_site_links(text, ROOT, "docs/reference/parameters.md")
    assert shown == ("[a](../source/src/beatwise/params.py.md) [b](../pipelines/tune.md#x) [c](models.md) [d](no.md)")


# --- generated pages


def test_generated_pages_are_current(snapshot: Any) -> None:
    for name, text in all_pages(ROOT, snapshot).items():
        assert (ROOT / name).read_text(encoding="utf-8") == text, (
            f"{name}: run `.venv/bin/python -m tools.reference --write`"
        )


def test_a_page_that_differs_is_named_and_written_again(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    old, new = tmp_path / "old.md", tmp_path / "folder" / "new.md"
    for path in (old, tmp_path / "same.md"):
        path.write_text(path.stem, encoding="utf-8")
    monkeypatch.chdir(tmp_path)
    # Making the pages takes seconds.
    for name in ("bootstrap_project", "get_project_snapshot"):
        monkeypatch.setattr(f"tools.reference.__main__.{name}", lambda _: None)
    pages = {"same.md": "same", "old.md": "current", "folder/new.md": "new"}
    monkeypatch.setattr("tools.reference.__main__.all_pages", lambda *_: pages)
    assert main([]) == 1
    assert capsys.readouterr().out == "old.md differs\nfolder/new.md differs\n"
    assert old.read_text(encoding="utf-8") == "old"
    assert main(["--write"]) == 0
    assert (old.read_text(encoding="utf-8"), new.read_text(encoding="utf-8")) == ("current", "new")
    assert main([]) == 0


def test_the_page_of_parameters_has_a_row_for_each_and_says_what_conf_base_says(parameters: dict[str, Any]) -> None:
    page = (ROOT / "docs" / "reference" / "parameters.md").read_text(encoding="utf-8")
    rows = dict(re.findall(r"^\| `([\w.<>]+)` \| (.*?) \|", page, re.MULTILINE))
    for name in Parameters.model_fields:
        assert any(row == name or row.startswith(f"{name}.") for row in rows), name
    # Options of what is chosen by name stand on another page.
    flat = {key: value for key, value in flatten(parameters).items() if key in rows and not isinstance(value, list)}
    assert len(flat) > 40
    for key, value in flat.items():
        if not rows[key].startswith("`${") and rows[key] != "a sentence":
            assert yaml.safe_load(rows[key].strip("`")) == value, key


def test_the_page_of_choices_names_every_entry_and_option_of_every_registry() -> None:
    page = (ROOT / "docs" / "reference" / "choices.md").read_text(encoding="utf-8")
    for title, registry in registries().items():
        (section,) = re.findall(rf"^## {title}\n(.*?)(?=^## |\Z)", page, re.MULTILINE | re.DOTALL)
        for name in registry.names():
            (row,) = re.findall(rf"^\| `{name}` \|.*$", section, re.MULTILINE)
            for option in registry.schema(name).model_fields:
                assert f"`{option}: " in row


def test_the_page_of_metrics_names_every_metric() -> None:
    page = (ROOT / "docs" / "reference" / "metrics.md").read_text(encoding="utf-8")
    assert {name for name in METRICS if f"`{name}`" not in page} == set()


def test_the_readme_of_each_pipeline_names_all_that_it_takes(snapshot: Any) -> None:
    for name, pipeline in dict(registered).items():
        if name != "__default__":
            readme = (ROOT / "src" / "beatwise" / "pipelines" / name / "README.md").read_text(encoding="utf-8")
            (takes,) = re.findall(r"^\| takes \| (.*) \|$", readme, re.MULTILINE)
            inputs = {d for d in pipeline.inputs() if not d.startswith("params:")} - set(LEFT_OUT)
            assert inputs <= set(re.findall(r"[\w.]+", takes)), name


# --- graphs


def test_graphs_of_single_nodes_hold_every_node_and_every_dataset(snapshot: Any) -> None:
    for pipeline in (p for p in snapshot.pipelines if p.name in DRAWN):
        graph = flow(pipeline.nodes, "node")
        words = {line for item in graph.items.values() for line in item.lines}
        made = {output for node in pipeline.nodes for output in node.outputs}
        assert {node.name for node in pipeline.nodes} | made - set(LEFT_OUT) <= words
        for node in pipeline.nodes:
            assert read_by(graph, node.name) == {d for d in node.inputs if not d.startswith("params:")} - set(LEFT_OUT)


def read_by(graph: Flow, box: str) -> set[str]:
    """Names of the datasets with an arrow to a box."""
    (found,) = (id for id, item in graph.items.items() if item.lines[0] == box and not item.is_data)
    return {line for source, target in graph.edges if target == found for line in graph.items[source].lines}


def test_graphs_on_pages_are_legible(snapshot: Any) -> None:
    sizes = {p.name: len(flow(p.nodes, DRAWN[p.name]).items) for p in snapshot.pipelines if p.name in DRAWN}
    assert set(sizes) == set(DRAWN)
    assert max(sizes.values()) <= 30


def test_the_graph_of_the_whole_flow_shows_that_the_search_never_reads_the_test_part(snapshot: Any) -> None:
    (tune,) = (p for p in snapshot.pipelines if p.name == "tune")
    graph = flow(tune.nodes, DRAWN["tune"])
    (search,) = (item.lines[0] for item in graph.items.values() if item.lines[0] in ("search", "tuned.search"))
    assert read_by(graph, search) == {"train_beats", "val_beats"}


def made_up_node(name: str, namespace: str | None, inputs: str, outputs: str, *tags: str) -> Any:
    full = name if namespace is None else f"{namespace}.{name}"
    return SimpleNamespace(name=full, namespace=namespace, inputs=inputs.split(), outputs=outputs.split(), tags=tags)


def test_a_box_is_a_node_a_stage_or_a_namespace_and_a_search_stands_beside_its_model() -> None:
    nodes = [
        made_up_node("split", None, "raw params:seed", "beats", "ingest"),
        made_up_node("try", "tuned.search", "beats checkpoints", "tuned.config", "tune", "train"),
        made_up_node("fit", "tuned.train", "beats tuned.config", "tuned.model", "train"),
        made_up_node("measure", "tuned.evaluate", "tuned.model", "tuned.metrics", "evaluate"),
        made_up_node("rebuild", "tuned", "tuned.model", "tuned.tensors", "tensors"),
    ]
    boxes = {
        "node": {"split", "tuned.search.try", "tuned.train.fit", "tuned.evaluate.measure", "tuned.rebuild"},
        "stage": {"ingest", "tuned.search", "tuned.train", "tuned.evaluate", "tuned.tensors"},
        "namespace": {"ingest", "tuned.search", "tuned"},
    }
    for detail, expected in boxes.items():
        graph = flow(nodes, cast("Detail", detail))
        assert {item.lines[0] for item in graph.items.values() if not item.is_data} == expected
    assert read_by(graph, "tuned") == {"beats", "tuned.config"}
    text = mermaid(flow(nodes[:1], "node"))
    assert text.splitlines()[2:-1] == [
        *('    b0["split"]', '    d0[("beats")]', '    d1[("raw")]'),
        *("    b0 --> d0", "    d1 --> b0"),
    ]


def test_a_graph_is_put_between_the_markers_of_a_text() -> None:
    marker = "<!-- flow -->"
    assert with_graph(f"a\n{marker}\nold\n{marker}\nb\n", "new") == f"a\n{marker}\n\nnew\n\n{marker}\nb\n"


# --- numbers


def test_the_table_of_recalls_per_batch_is_what_batches_give() -> None:
    page = (ROOT / "docs" / "explanation" / "metrics.md").read_text(encoding="utf-8")
    rows = re.findall(r"^\| ([\d. ]+) \| ([\d.]+) \| ([\d.]+) \|$", page, re.MULTILINE)
    assert len(rows) == 3
    counts = np.array([18118, 556, 1448, 162, 1608])
    target = np.repeat(np.arange(5), counts)
    rng = np.random.default_rng(0)
    for recalls, macro, per_batch in rows:
        recall = np.array(recalls.split(), dtype=float)
        found = np.concatenate([np.arange(n) < round(r * n) for n, r in zip(counts, recall, strict=True)])
        means = []
        for _ in range(3):
            order = rng.permutation(len(target))
            batches = order[: len(order) // 32 * 32].reshape(-1, 32)
            for batch in batches:
                there = np.bincount(target[batch], minlength=5)
                hits = np.bincount(target[batch], weights=found[batch], minlength=5)
                means.append((hits[there > 0] / there[there > 0]).mean())
        assert recall.mean() == pytest.approx(float(macro), abs=6e-4)
        assert np.mean(means) == pytest.approx(float(per_batch), abs=3e-3)
    assert "79 % of the batches hold no F beat, and 44 % hold no S beat" in page
    without = (1 - counts / counts.sum()) ** 32
    assert without[[3, 1]] == pytest.approx([0.79, 0.44], abs=5e-3)


# --- the inventory

INVENTORY = (ROOT / "docs" / "reference" / "inventory.md").read_text(encoding="utf-8")
IDS = [
    *(f"FP-{name}" for name in ["D1", "D2", "D3", "R1", "R2", "R3", "R4", *(f"M{i}" for i in range(1, 17))]),
    *(f"FP-{name}" for name in ["T1", "T2", "T3", "T4", "H1", "H2", "H3", "H4", "L1", "L2", "L3", "L4", "L5"]),
    *(f"EX-{i}" for i in range(1, 14)),
    *(f"MAP-{name}" for name in ["M1", "M2", "M3", "M4", "M5", "D1", "S1", "S2", "S3", "T1", "T2", "T3"]),
    *(f"MAP-{name}" for name in ["L1", "L2", "L3", "H1", "X"]),
    *(f"TEL-{name}" for name in ["D1", "D2", "A1", "A2", "A3", "A4", "F1", "M1", "T1", "T2", "T3", "H1", "L1"]),
    *(f"TEL-{name}" for name in ["E1", "P1", "P2", "P3"]),
    *(f"CELL-{i}" for i in range(1, 14)),
]


def inventory_rows() -> Iterator[tuple[str, list[str]]]:
    """Name, and what the column "here" names."""
    for line in INVENTORY.splitlines():
        cells = [cell.strip() for cell in line.strip("|").split(" | ")]
        if line.startswith("| ") and len(cells) >= 3 and cells[0] not in ("row", "project"):
            yield cells[0], re.findall(r"`([^`]+)`", cells[2])


ROWS = list(inventory_rows())


def test_the_inventory_has_every_row_once_and_says_of_each_where_it_is() -> None:
    named = [row for row, _ in ROWS]
    assert [row for row in named if re.fullmatch(r"(FP|EX|MAP|TEL|CELL)-\w+", row)] == sorted(IDS, key=named.index)
    assert all(here for _, here in ROWS)


@pytest.fixture(scope="module")
def parameters() -> dict[str, Any]:
    bootstrap_project(ROOT)
    loader = OmegaConfigLoader(
        str(ROOT / "conf"),
        env="base",
        base_env="base",
        **{key: value for key, value in CONFIG_LOADER_ARGS.items() if key not in ("base_env", "default_run_env")},
    )
    return dict(loader["parameters"])


@pytest.fixture(scope="module")
def names(parameters: dict[str, Any]) -> set[str]:
    """Everything that has a name: parameters, entries of registries, metrics, datasets, contracts."""
    flat = {key.replace("<search>", "quick") for key in flatten(parameters)}
    known = {".".join(key.split(".")[:depth]) for key in flat for depth in range(1, key.count(".") + 2)}
    page = (ROOT / "docs" / "reference" / "parameters.md").read_text(encoding="utf-8")
    known |= set(re.findall(r"^\| `([\w.<>]+)` \|", page, re.MULTILINE))
    known |= {key.removesuffix(".use") for key in known}
    known |= {name for registry in registries().values() for name in registry.names()}
    known |= {*METRICS, "BeatsContract", "ExamplesContract", "NoSharedBeats"}
    return known | {d for pipeline in dict(registered).values() for d in pipeline.datasets()}


def exists(token: str, names: set[str], parameters: dict[str, Any]) -> bool:
    """Whether what the inventory names is there."""
    if token in names:
        return True
    if token.startswith("make "):
        return bool(re.search(rf"^{token.removeprefix('make ')}:", (ROOT / "Makefile").read_text(), re.MULTILINE))
    if token.startswith("kedro run"):
        given = dict(option.removeprefix("--").split("=", 1) for option in token.split()[2:])
        pipeline, env = given.get("pipeline", "tune"), given.get("env", "base")
        known = pipeline in dict(registered) and (ROOT / "conf" / env).is_dir()
        return known and ("params" not in given or settable(given["params"], parameters))
    if token.startswith("kedro "):
        return token.removeprefix("kedro ") in cli.commands
    if "=" in token:
        return settable(token, parameters)
    if token.endswith(".pdf"):
        catalogs = (file.read_text(encoding="utf-8") for file in (ROOT / "conf/base/catalog").glob("*.yml"))
        return any(f"/{token}" in text for text in catalogs)
    if "*" in token and "/" not in token:
        return any(Path(name).match(token) for name in names)
    return any(ROOT.glob(token))


def settable(given: str, parameters: dict[str, Any]) -> bool:
    """Whether parameters can be set like that."""
    changes: Any = OmegaConf.to_container(OmegaConf.from_dotlist(given.split(",")))
    checked = check_parameters(merged(parameters, changes))
    for choice in (checked.model, *(value for _, value in checked.train if isinstance(value, Choice))):
        choice.check()
    return True


def test_everything_that_the_inventory_names_exists(names: set[str], parameters: dict[str, Any]) -> None:
    missing = {row: [token for token in here if not exists(token, names, parameters)] for row, here in ROWS}
    assert {row: tokens for row, tokens in missing.items() if tokens} == {}


def test_a_name_that_does_not_exist_is_found_out(names: set[str], parameters: dict[str, Any]) -> None:
    from beatwise.core.errors import BeatwiseError

    wrong = (
        "train.epoch",
        "src/beatwise/none.py",
        "make coffee",
        "kedro run --pipeline=brew",
        "kedro brew",
        "none.pdf",
    )
    assert not any(exists(token, names, parameters) for token in wrong)
    for token in ("resample.use=smotte", "model.gru.widht=3", "train.loss.focal.gama=1"):
        with pytest.raises(BeatwiseError):
            exists(token, names, parameters)


# --- the site


@pytest.mark.slow
def test_the_site_builds_without_warnings_and_fetches_nothing(tmp_path: Path) -> None:
    built = subprocess.run(
        [sys.executable, "-m", "mkdocs", "build", "--strict", "--site-dir", str(tmp_path)],
        cwd=ROOT,
        capture_output=True,
        text=True,
        env={"PATH": "", "NO_MKDOCS_2_WARNING": "1", "PYTHONPATH": str(ROOT / "src")},
    )
    assert built.returncode == 0, built.stderr
    assert "WARNING" not in built.stderr
    pages = list(tmp_path.rglob("*.html"))
    assert len(pages) > 30
    for page in pages:
        text = page.read_text(encoding="utf-8")
        assert not re.findall(r"<(?:script|link|img|iframe)[^>]*(?:src|href)=\"?https?:", text), page
        # The theme fetches Mermaid where a page with a graph does not load it.
        assert ('class="mermaid"' in text) == ("assets/mermaid.js" in text), page
    assert (tmp_path / "assets" / "mermaid.js").stat().st_size > 1e6
    drawn = (tmp_path / "reference" / "pipelines.html").read_text(encoding="utf-8")
    assert drawn.count('class="mermaid"') == len(DRAWN)


def test_what_make_docs_builds_stays_out_of_git() -> None:
    assert git(ROOT, "check-ignore", "site/index.html").strip() == "site/index.html"
