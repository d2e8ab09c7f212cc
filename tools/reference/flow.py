"""Pipelines as legible Mermaid graphs, from the snapshot that Kedro gives of a project.

A pipeline has up to some sixty nodes. A box stands for a node, for the nodes of one stage of a namespace, or for a
whole namespace. Datasets that go from one box to the same other boxes are one item.
"""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass
from typing import Any, Final, Literal

Detail = Literal["node", "stage", "namespace"]

# The stages of a fit: tags of nodes, and the innermost namespaces where namespaces are nested.
STAGES: Final = ("configure", "resample", "tensors", "train", "evaluate", "explain", "report")
# Stores of unfinished work and the metadata of a run: nearly every node reads them, so they would hide the flow.
LEFT_OUT: Final = ("checkpoints", "finished_rows", "searches", "run_card")
# The number of names that one item shows.
SHOWN: Final = 3


@dataclass(frozen=True)
class Item:
    """A box or a group of datasets.

    Attributes:
        lines: Its text, line by line.
        is_data: Whether it holds datasets.
    """

    lines: tuple[str, ...]
    is_data: bool


@dataclass(frozen=True)
class Flow:
    """A graph of boxes and datasets.

    Attributes:
        items: Items by ID.
        edges: Pairs of IDs.
    """

    items: dict[str, Item]
    edges: list[tuple[str, str]]


def flow(nodes: Iterable[Any], detail: Detail) -> Flow:
    """Group the nodes of a pipeline into boxes and its datasets into items.

    Args:
        nodes: Nodes of a pipeline as Kedro's snapshot has them (``name``, ``namespace``, ``tags``, ``inputs``,
            ``outputs``).
        detail: The meaning of a box: a node; the nodes of one stage of a namespace; or all nodes of a namespace,
            where a nested namespace that is no stage has its own box. Nodes without a namespace are grouped by tag.
    """
    boxes: dict[str, list[Any]] = {}
    made_by: dict[str, str] = {}
    read_by: dict[str, set[str]] = {}
    for node in nodes:
        box = _box(node, detail)
        boxes.setdefault(box, []).append(node)
        made_by |= dict.fromkeys(node.outputs, box)
        for name in node.inputs:
            if not name.startswith("params:") and name not in LEFT_OUT:
                read_by.setdefault(name, set()).add(box)
    groups: dict[tuple[str | None, frozenset[str], bool], list[str]] = {}
    for name in sorted({*made_by, *read_by} - {*LEFT_OUT}):
        maker, readers = made_by.get(name), read_by.get(name, set())
        others = frozenset(readers - {maker})
        # A dataset that only its own box reads is not drawn.
        if others or not readers:
            # The beats are the subject of the flow, so they are an item of their own.
            groups.setdefault((maker, others, name.endswith("_beats")), []).append(name)
    ids = {box: f"b{i}" for i, box in enumerate(sorted(boxes))}
    items = {ids[box]: Item(_box_lines(box, boxes[box], detail), False) for box in sorted(boxes)}
    edges = []
    for i, ((maker, others, _), names) in enumerate(sorted(groups.items(), key=lambda group: group[1])):
        items[f"d{i}"] = Item(_data_lines(names), True)
        edges += [(ids[maker], f"d{i}")] if maker is not None else []
        edges += [(f"d{i}", ids[box]) for box in sorted(others)]
    return Flow(items, edges)


def _box(node: Any, detail: Detail) -> str:
    if detail == "node":
        return str(node.name)
    if node.namespace is None:
        return str(node.tags[0])
    outer, _, inner = node.namespace.rpartition(".")
    if inner not in STAGES:
        outer, inner = node.namespace, _stage(node)
    # A nested namespace that is no stage, such as `tuned.search`, is one box at every level of detail.
    return outer if detail == "namespace" or "." in outer else f"{outer}.{inner}"


def _stage(node: Any) -> str:
    inner = (node.namespace or "").rpartition(".")[2]
    return inner if inner in STAGES else next((tag for tag in STAGES if tag in node.tags), "")


def _box_lines(box: str, nodes: list[Any], detail: Detail) -> tuple[str, ...]:
    if detail == "node":
        return (box,)
    if detail == "stage" or nodes[0].namespace is None:
        return (box, *_few([node.name.rpartition(".")[2] for node in nodes]))
    found = {_stage(node) for node in nodes}
    return (box, ", ".join(stage for stage in STAGES if stage in found))


def _data_lines(names: list[str]) -> tuple[str, ...]:
    # Figures are many and say the least, so they come last.
    return tuple(_few(sorted(names, key=lambda name: (name.endswith(("_figure", "_plot")), name))))


def _few(names: list[str]) -> list[str]:
    shown = names if len(names) <= SHOWN + 1 else names[:SHOWN]
    return shown if shown is names else [*shown, f"and {len(names) - SHOWN} more"]


def mermaid(graph: Flow) -> str:
    """The graph as a fenced block of Mermaid, which GitHub and the documentation site draw.

    Args:
        graph: The graph.
    """
    lines = ["```mermaid", "flowchart TB"]
    for id, item in graph.items.items():
        text = "<br/>".join(item.lines)
        lines.append(f'    {id}[("{text}")]' if item.is_data else f'    {id}["{text}"]')
    lines += [f"    {source} --> {target}" for source, target in graph.edges]
    return "\n".join([*lines, "```"])
