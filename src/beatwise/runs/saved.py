"""A dataset that a run has saved, with its recording metadata from the catalog."""

from __future__ import annotations

from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, Final

# The kinds of recording, which beatwise.hooks.recorder documents.
KINDS: Final = (
    *("artifact", "decision", "examples", "failed_rows", "history", "leaderboard", "model", "page", "paired"),
    *("report", "row_scores", "scored", "scorer", "scores", "trials"),
)


@dataclass(frozen=True)
class Saved:
    """A dataset that has just been saved.

    Attributes:
        kind: How it is recorded, ``metadata: {beatwise: {record: …}}`` of the catalog; None where it is not.
        name: Its name in the catalog.
        data: The saved data.
        path: The file or folder that was written, version and all.
        beside: Further files that were written with it.
        title: Title of its table or path on the screen: ``title`` of the same metadata, or else its namespace.
        scores: Metrics of the models that were measured, flat, by model; empty where nothing was.
    """

    kind: str | None
    name: str
    data: Any
    path: Path
    beside: list[Path]
    title: str
    scores: dict[str, dict[str, float]] = field(default_factory=dict)

    @property
    def namespace(self) -> str:
        """The namespace of its name; empty without one."""
        return self.name.rpartition(".")[0]
