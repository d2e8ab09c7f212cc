"""Which room of the library may import which, and who may import Kedro, MLflow and Ray."""

from __future__ import annotations

import ast
from collections.abc import Iterator
from functools import cache
from pathlib import Path

from tests.conftest import ROOT

PACKAGE = ROOT / "src" / "beatwise"
# A room imports itself and what stands before it. Rooms of one line do not import each other.
ORDER = (
    ("core",),
    ("data",),
    ("ecg", "tasks"),
    ("networks",),
    ("training",),
    ("search",),
    ("comparison", "explanation"),
    ("runs", "figures"),
    ("report",),
    ("scoring",),
    ("params",),
    ("datasets", "mlflow_model"),
    ("pipelines", "dashboard", "notebook"),
    ("hooks",),
    ("settings", "pipeline_registry", "cli"),
    ("__main__",),
)
# Arrows against this order that are still there; each is to go.
KNOWN: set[tuple[str, str]] = set()
FRAMEWORKS = {
    "kedro": {"datasets", "pipelines", "hooks", "cli", "settings", "pipeline_registry", "__main__", "notebook"},
    "kedro_datasets": {"datasets"},
    "mlflow": {"hooks", "mlflow_model", "scoring"},
    "kedro_mlflow": {"hooks"},
    "ray": {"search", "scoring"},
}


def imports(file: Path) -> Iterator[str]:
    """Every module that a file imports, also within functions and for type checkers only."""
    for node in ast.walk(ast.parse(file.read_text(encoding="utf-8"))):
        if isinstance(node, ast.Import):
            yield from (name.name for name in node.names)
        elif isinstance(node, ast.ImportFrom):
            assert node.level == 0, f"{file}: a relative import"
            module = str(node.module)
            yield from (f"{module}.{name.name}" for name in node.names) if module == "beatwise" else (module,)


@cache
def arrows() -> dict[tuple[str, str], list[str]]:
    """Importing and imported room, and the files that do it; ``beatwise`` itself is no room."""
    found: dict[tuple[str, str], list[str]] = {}
    for file in sorted(PACKAGE.rglob("*.py")):
        here = file.relative_to(PACKAGE).with_suffix("").parts[0]
        for name in imports(file):
            parts = name.split(".")
            to = parts[1] if parts[0] == "beatwise" and len(parts) > 1 else parts[0]
            found.setdefault((here, to), []).append(str(file.relative_to(PACKAGE)))
    return found


def test_arrows_between_rooms_point_one_way() -> None:
    places = {room: place for place, rooms in enumerate(ORDER) for room in rooms}
    rooms = {path.stem for path in PACKAGE.iterdir() if path.suffix == ".py" or (path / "__init__.py").is_file()}
    assert rooms - {"__init__"} == set(places)
    wrong = {
        (here, to): files
        for (here, to), files in arrows().items()
        if here in places and to in places and here != to and places[to] >= places[here]
    }
    assert {arrow: files for arrow, files in wrong.items() if arrow not in KNOWN} == {}
    assert set(wrong) >= KNOWN, "an arrow that is gone stands among the known ones"


def test_a_framework_is_imported_only_where_the_design_allows_it() -> None:
    for framework, allowed in FRAMEWORKS.items():
        importing = {here for here, to in arrows() if to == framework}
        assert importing <= allowed, framework


def test_settings_of_rooms_import_no_heavy_library_and_no_other_rooms_work() -> None:
    for file in PACKAGE.glob("*/settings.py"):
        heavy = {"torch", "sklearn", "ray", "mlflow", "matplotlib", "kedro"}
        assert not {name.split(".")[0] for name in imports(file)} & heavy, file
