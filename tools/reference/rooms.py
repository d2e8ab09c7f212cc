"""The picture of the house: which room of the package uses which, read from the imports."""

from __future__ import annotations

import ast
from collections import defaultdict
from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import Final

PACKAGE: Final = "beatwise"
# Where Kedro, a shell or MLflow enters; drawn as one room, because nothing below may use them.
ENTRANCES: Final = ("cli", "dashboard", "hooks", "mlflow_model", "params", "pipeline_registry", "pipelines", "settings")
ENTRANCE: Final = "pipelines, hooks, cli"


def imported(root: Path) -> dict[str, set[str]]:
    """The rooms that each room imports, anywhere in its code.

    Args:
        root: Root of the repository.
    """
    package = root / "src" / PACKAGE
    found: dict[str, set[str]] = defaultdict(set)
    for file in package.rglob("*.py"):
        room = _room(file.relative_to(package).with_suffix("").parts)
        for parts in _imports(ast.parse(file.read_text(encoding="utf-8"))):
            if (other := _room(parts)) not in (room, ""):
                found[room].add(other)
    return dict(found)


def _room(parts: tuple[str, ...]) -> str:
    name = parts[0] if parts else ""
    return ENTRANCE if name in (*ENTRANCES, "__main__") else "" if name.startswith("__") else name


def _imports(tree: ast.AST) -> Iterator[tuple[str, ...]]:
    """The imports of a module from the package, without the package's name."""
    for node in ast.walk(tree):
        if isinstance(node, ast.ImportFrom) and node.module is not None:
            for alias in node.names:
                package, *below = [*node.module.split("."), alias.name]
                if package == PACKAGE:
                    yield tuple(below)
        elif isinstance(node, ast.Import):
            for alias in node.names:
                package, *below = alias.name.split(".")
                if package == PACKAGE:
                    yield tuple(below)


def reduced(arrows: Mapping[str, set[str]]) -> dict[str, set[str]]:
    """The arrows that no longer path says already."""

    def reach(room: str) -> set[str]:
        below = arrows.get(room, set())
        return below.union(*(reach(other) for other in below)) if below else set()

    return {
        room: {other for other in below if not any(other in reach(third) for third in below - {other})}
        for room, below in arrows.items()
    }


def rooms_graph(root: Path) -> str:
    """The rooms as a Mermaid graph, foundations at the bottom; an arrow means "uses"."""
    arrows = reduced(imported(root))
    names = sorted({*arrows, *(other for below in arrows.values() for other in below)})
    key = {name: f"room{number}" for number, name in enumerate(names)}
    lines = ["```mermaid", "flowchart TD"]
    lines += [f'    {key[name]}["{name}"]' for name in names]
    lines += [f"    {key[room]} --> {key[other]}" for room in sorted(arrows) for other in sorted(arrows[room])]
    return "\n".join([*lines, "```"])
