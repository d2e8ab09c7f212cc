"""Pipelines as legible graphs, from the snapshot that Kedro gives of a project: as Mermaid, and drawn as SVG.

A pipeline has up to some sixty nodes. A box stands for a node, for all nodes of one stage in a namespace, or for a
whole namespace; datasets that go from one box to the same others are one item.
"""

from __future__ import annotations

import html
from collections.abc import Iterable, Iterator, Mapping
from dataclasses import dataclass
from itertools import pairwise
from typing import Any, Final, Literal

Detail = Literal["node", "stage", "namespace"]

# Tags that say what a node does; others say for whom.
STAGES: Final = ("configure", "resample", "tensors", "train", "evaluate", "explain", "report")
# Stores of work that is not finished, and what a run knows of itself: they go everywhere and explain nothing.
LEFT_OUT: Final = ("checkpoints", "finished_rows", "searches", "run_card")
# Names that one item shows.
SHOWN: Final = 3


@dataclass(frozen=True)
class Item:
    """A box or a group of datasets.

    Attributes:
        lines: What stands in it, a line each.
        is_data: Whether it holds datasets.
    """

    lines: tuple[str, ...]
    is_data: bool


@dataclass(frozen=True)
class Flow:
    """What goes where.

    Attributes:
        items: By ID.
        edges: Pairs of IDs.
    """

    items: dict[str, Item]
    edges: list[tuple[str, str]]


def flow(nodes: Iterable[Any], detail: Detail) -> Flow:
    """Group a pipeline's nodes into boxes and its datasets into items.

    Args:
        nodes: Nodes of a pipeline, as Kedro's snapshot has them (``name``, ``namespace``, ``tags``, ``inputs``,
            ``outputs``).
        detail: What one box stands for: a node; or the nodes of one stage, or all, in a namespace, beside the nodes
            without a namespace by their tag.
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
        # What a box alone reads of its own is its own affair.
        if others or not readers:
            # Beats are what it is about: they do not hide among what is said of them.
            groups.setdefault((maker, others, name.endswith("_beats")), []).append(name)
    ids = {box: f"b{i}" for i, box in enumerate(sorted(boxes))}
    items = {ids[box]: Item(_box_lines(box, boxes[box], detail), False) for box in sorted(boxes)}
    edges = []
    for i, ((maker, others, _), names) in enumerate(sorted(groups.items(), key=lambda group: group[1])):
        items[f"d{i}"] = Item(_data_lines(names), True)
        edges += [(ids[maker], f"d{i}")] if maker is not None else []
        edges += [(f"d{i}", ids[box]) for box in sorted(others)]
    return Flow(items, edges)


def _stage(node: Any) -> str:
    return next(tag for tag in STAGES if tag in node.tags)


def _box(node: Any, detail: Detail) -> str:
    if detail == "node":
        return str(node.name)
    if node.namespace is None:
        return str(node.tags[0])
    return str(node.namespace) if detail == "namespace" else f"{node.namespace}: {_stage(node)}"


def _box_lines(box: str, nodes: list[Any], detail: Detail) -> tuple[str, ...]:
    if detail == "node":
        return (box,)
    if detail == "stage" or nodes[0].namespace is None:
        return (box, *_few([node.name.rpartition(".")[2] for node in nodes]))
    stages = [stage for stage in STAGES if any(stage in node.tags for node in nodes)]
    return (box, ", ".join(stages))


def _data_lines(names: list[str]) -> tuple[str, ...]:
    # Pictures are many and say the least.
    return tuple(_few(sorted(names, key=lambda name: (name.endswith(("_figure", "_plot")), name))))


def _few(names: list[str]) -> list[str]:
    shown = names if len(names) <= SHOWN + 1 else names[:SHOWN]
    return shown if shown is names else [*shown, f"and {len(names) - SHOWN} more"]


def mermaid(graph: Flow, picture: str) -> str:
    """The graph as a fenced block of Mermaid.

    Args:
        graph: The graph.
        picture: Where the picture of it lies, below ``docs/``; the site shows that one.
    """
    lines = ["```mermaid", f"%% {picture}", "flowchart TB"]
    for id, item in graph.items.items():
        text = "<br/>".join(item.lines)
        lines.append(f'    {id}[("{text}")]' if item.is_data else f'    {id}["{text}"]')
    lines += [f"    {source} --> {target}" for source, target in graph.edges]
    return "\n".join([*lines, "```"])


# Sizes of the picture, in pixels.
LETTER, LINE, ROOM, GAP, STEP = 7.0, 17, 12, 22, 46
BOLD: Final = 1.16

Points = dict[str, float]


def svg(graph: Flow, title: str) -> str:
    """The graph drawn in layers from above, after Sugiyama et al. (IEEE Trans. Syst. Man Cybern. 11(2), 1981).

    Ranks by the longest path, crossings lessened by barycentres, places as near to the neighbours as their widths let
    them.

    Args:
        graph: Without circles.
        title: For those who hear the page.
    """
    ranks = _ranks(graph)
    # An edge over several ranks passes through a place of its own in each.
    chains = [_chain(edge, ranks) for edge in graph.edges]
    rank_of = ranks | {point: rank for chain in chains for point, rank in chain.items()}
    links = [pair for chain in chains for pair in pairwise(chain)]
    layers = [[p for p in rank_of if rank_of[p] == rank] for rank in range(max(rank_of.values()) + 1)]
    _uncross(layers, links)
    widths = {p: _width(graph.items[p]) if p in graph.items else 8.0 for p in rank_of}
    across = _places(layers, links, widths)
    heights = [max((_height(graph.items[p]) for p in layer if p in graph.items), default=0) for layer in layers]
    tops = [ROOM + sum(heights[:rank]) + STEP * rank for rank in range(len(layers))]
    left = min(across[p] - widths[p] / 2 for p in across) - ROOM
    right = max(across[p] + widths[p] / 2 for p in across) + ROOM
    middle = {p: tops[rank_of[p]] + heights[rank_of[p]] / 2 for p in rank_of}
    # An edge that passes a rank goes straight down between its boxes.
    half = {p: (_height(graph.items[p]) if p in graph.items else heights[rank_of[p]]) / 2 for p in rank_of}
    size = f"{right - left:.0f} {tops[-1] + heights[-1] + ROOM:.0f}"
    drawn = [
        f'<svg xmlns="http://www.w3.org/2000/svg" viewBox="0 0 {size}" width="{right - left:.0f}" role="img">',
        f"<title>{html.escape(title)}</title>",
        '<defs><marker id="tip" viewBox="0 0 8 8" refX="7" refY="4" markerWidth="7" markerHeight="7" orient="auto">'
        '<path d="M0 0L8 4L0 8z" fill="#7a8a8a"/></marker></defs>',
        '<g fill="none" stroke="#7a8a8a" stroke-width="1.3">',
        *(_curve(chain, across, middle, half, left) for chain in chains),
        '</g><g font-family="system-ui, sans-serif" font-size="13" text-anchor="middle" fill="#16302e">',
        *(_drawn(item, across[id] - left, middle[id], widths[id]) for id, item in graph.items.items()),
        "</g></svg>",
    ]
    return "\n".join(drawn) + "\n"


def _ranks(graph: Flow) -> dict[str, int]:
    before: dict[str, list[str]] = {id: [] for id in graph.items}
    after: dict[str, list[str]] = {id: [] for id in graph.items}
    for source, target in graph.edges:
        before[target].append(source)
        after[source].append(target)
    ranks: dict[str, int] = {}

    def rank(id: str) -> int:
        if id not in ranks:
            ranks[id] = max((rank(source) + 1 for source in before[id]), default=0)
        return ranks[id]

    for id in graph.items:
        rank(id)
    # What comes from nowhere stands close to what it goes into.
    return {id: min(ranks[t] for t in after[id]) - 1 if after[id] and not before[id] else ranks[id] for id in ranks}


def _chain(edge: tuple[str, str], ranks: Mapping[str, int]) -> dict[str, int]:
    """The points of an edge with their ranks."""
    source, target = edge
    between = {f"{source}>{target}@{rank}": rank for rank in range(ranks[source] + 1, ranks[target])}
    return {source: ranks[source], **between, target: ranks[target]}


def _uncross(layers: list[list[str]], links: list[tuple[str, str]]) -> None:
    """Order each layer by the mean place of its neighbours above, then below, and so on."""
    for turn in range(12):
        downwards = turn % 2 == 0
        for layer in layers if downwards else reversed(layers):
            place = {p: i for one in layers for i, p in enumerate(one)}
            near = {
                p: [place[b if a == p else a] for a, b in links if (b if downwards else a) == p] or [place[p]]
                for p in layer
            }
            layer.sort(key=lambda p: (sum(near[p]) / len(near[p]), place[p]))


def _places(layers: list[list[str]], links: list[tuple[str, str]], widths: Points) -> Points:
    """Centres across, each as near as can be to the mean of its neighbours."""
    across: Points = {}
    for layer in layers:
        across |= dict(zip(layer, _apart([0.0] * len(layer), [widths[p] for p in layer]), strict=True))
    for turn in range(24):
        for layer in layers if turn % 2 == 0 else reversed(layers):
            near = {p: [across[b if a == p else a] for a, b in links if p in (a, b)] or [across[p]] for p in layer}
            wanted = [sum(near[p]) / len(near[p]) for p in layer]
            across |= dict(zip(layer, _apart(wanted, [widths[p] for p in layer]), strict=True))
    return across


def _apart(wanted: list[float], widths: list[float]) -> list[float]:
    """The places nearest to those wanted, in least squares, at which boxes in this order do not touch."""
    from scipy.optimize import isotonic_regression

    offsets = [0.0]
    for left, right in pairwise(widths):
        offsets.append(offsets[-1] + (left + right) / 2 + GAP)
    free = isotonic_regression([w - o for w, o in zip(wanted, offsets, strict=True)]).x
    return [float(f) + o for f, o in zip(free, offsets, strict=True)]


def _width(item: Item) -> float:
    # The first line of a box is bold.
    letters = [len(line) * (1.0 if item.is_data or i else BOLD) for i, line in enumerate(item.lines)]
    return max(letters) * LETTER + 2 * ROOM


def _height(item: Item) -> float:
    return len(item.lines) * LINE + ROOM


def _curve(chain: Mapping[str, int], across: Points, middle: Points, half: Points, left: float) -> str:
    def steps() -> Iterator[str]:
        for source, target in pairwise(chain):
            x1, x2 = across[source] - left, across[target] - left
            y1, y2 = middle[source] + half[source], middle[target] - half[target]
            bend = (y1 + y2) / 2
            yield f"C{x1:.0f} {bend:.0f} {x2:.0f} {bend:.0f} {x2:.0f} {y2:.0f}"
            if target != last:
                yield f"V{middle[target] + half[target]:.0f}"

    first, *_, last = chain
    start = f"M{across[first] - left:.0f} {middle[first] + half[first]:.0f}"
    return f'<path d="{start}{"".join(steps())}" marker-end="url(#tip)"/>'


def _drawn(item: Item, x: float, y: float, width: float) -> str:
    height = _height(item)
    fill, edge, round_by = ("#e3f1ef", "#4d8f88", height / 2) if item.is_data else ("#fdf3dc", "#b98a2f", 3)
    box = (
        f'<rect x="{x - width / 2:.0f}" y="{y - height / 2:.0f}" width="{width:.0f}" height="{height:.0f}" '
        f'rx="{min(round_by, 16):.0f}" fill="{fill}" stroke="{edge}"/>'
    )
    first = y - (len(item.lines) - 1) * LINE / 2 + 4.5
    weight = ' font-weight="600"' if not item.is_data else ""
    words = (
        f'<text x="{x:.0f}" y="{first + i * LINE:.0f}"{weight if i == 0 else ""}>{html.escape(line)}</text>'
        for i, line in enumerate(item.lines)
    )
    return box + "".join(words)
