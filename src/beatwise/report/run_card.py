"""The run card as people read it: in the report, and beside the card of its repetition."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Final

from beatwise.report.tables import Table
from beatwise.runs.card import SHORT, Repeated, RunCard, SearchBest, short_fingerprint
from beatwise.runs.metadata import RunMetadata

# The packages of a card that the numbers depend on most.
PACKAGES: Final = ("beatwise", "python", "torch", "numpy", "pandas", "scikit-learn", "kedro", "mlflow", "ray")
# The metrics that are shown for every model where all agree.
SHOWN: Final = ("test.macro_recall", "test.macro_f1", "test.accuracy")
MOST_DIFFERING: Final = 20

Scores = Mapping[tuple[str, str], Repeated]


def shown_metadata(run: RunMetadata) -> dict[str, str]:
    """Metadata of a run by label; without what is not known."""
    uncommitted = ", with uncommitted changes" if run.uncommitted else ""
    known = {
        "command": run.command,
        "commit": run.git_sha and f"{run.git_sha[:SHORT]}{uncommitted}",
        "environment": run.environment,
        "pipeline": run.pipeline,
        "source": run.source,
        "params": ", ".join(f"{key}={value}" for key, value in run.params.items()),
        "MLflow run": run.mlflow_run,
    }
    return {name: value for name, value in known.items() if value}


def card_metadata(card: RunCard, author: str, repository: str) -> dict[str, str]:
    """Metadata of a card while its run makes a report, by label; without what is not known."""
    machine = card.hardware
    known = {
        "author": author,
        "repository": repository,
        "began": f"{card.began:%Y-%m-%d %H:%M:%S} UTC",
        **shown_metadata(card),
        "began from": _listed(card.load_versions),
        "seeds": ", ".join(map(str, card.seeds)),
        "search": "" if card.search is None else search_run(card.search),
        **{f"fingerprint of {name}": short_fingerprint(fingerprint) for name, fingerprint in card.data.items()},
        "packages": _listed({name: card.versions[name] for name in PACKAGES if name in card.versions}),
        "processor": f"{machine.cpu or 'not known'}; cores: {machine.cores}; threads of PyTorch: {machine.threads}",
        "memory": f"{machine.memory:g} GiB" if machine.memory else "",
        "GPU": machine.gpu or "",
        "system": machine.system,
    }
    return {name: value for name, value in known.items() if value}


def search_run(search: SearchBest) -> str:
    """Which search was run, and whether that was in one piece: one that was resumed may have proposed other trials."""
    times = {0: "in one piece", 1: "resumed once"}
    return f"{search.search}, {times.get(search.resumed, f'resumed {search.resumed} times')}"


def _listed(values: Mapping[str, str]) -> str:
    return ", ".join(f"{name} {value}" for name, value in values.items())


def node_seconds(card: RunCard) -> dict[str, str]:
    """The time of each node that has ended."""
    return {name: f"{seconds:,.2f} s" for name, seconds in card.nodes.items()}


def repetition_table(scores: Scores) -> Table:
    """Scores then and now, below what was measured: the usual ones, and those that differ most."""
    largest = _differing(scores)[:MOST_DIFFERING]
    rows: list[list[str]] = []
    headed = None
    for (model, metric), score in scores.items():
        if metric not in SHOWN and not model.startswith("search ") and (model, metric) not in largest:
            continue
        if model != headed:
            rows.append([model, "", "", ""])
            headed = model
        rows.append([f"  {metric}", _number(score.then), _number(score.now), _agreement(score)])
    return Table("", ["", "then", "now", ""], rows)


def verdict(scores: Scores) -> str:
    """Whether all scores agree, and if not, how many do not and which one least."""
    differing = _differing(scores)
    if not differing:
        return f"All {len(scores)} scores agree to the last digit."
    worst, name = scores[differing[0]], " ".join(differing[0])
    if worst.then is None or worst.now is None:
        least = f"{name} was measured {'now' if worst.then is None else 'then'} only."
    else:
        least = f"The largest difference is that of {name}: {worst.difference:+.3g}."
    return f"{len(differing)} of {len(scores)} scores do not agree. {least}"


def _differing(scores: Scores) -> list[tuple[str, str]]:
    """Names of the scores that do not agree, the largest difference first."""
    names = [name for name, score in scores.items() if not score.agrees]
    return sorted(names, key=lambda name: -abs(scores[name].difference))


def _number(value: float | None) -> str:
    return "–" if value is None else f"{value:.6f}"


def _agreement(score: Repeated) -> str:
    if score.agrees:
        return "✓"
    return "✗" if score.then is None or score.now is None else f"✗ {score.difference:+.3g}"
