"""The card of a run, which the run's own nodes can read, and which is written when the run ends."""

from __future__ import annotations

import json
from collections.abc import Mapping
from pathlib import Path
from typing import Any

from beatwise.datasets.whole import WholeJSONDataset
from beatwise.runs.card import RunCard
from beatwise.runs.journal import Journal
from beatwise.runs.metadata import JOURNAL


class RunCardDataset(WholeJSONDataset):
    """A ``RunCard`` as a JSON file, as plain data.

    A node that loads it gets the card of its own run, as far as it is known by then, with the entries of the project's
    journal under ``journal``, which reports describe; outside a run it loads the stored version.

    Attributes:
        begun: The card of the run in progress; None without one.
    """

    begun: RunCard | None = None

    def __init__(self, *, journal: Mapping[str, str] | None = None, **options: Any) -> None:
        """Name the file.

        Args:
            journal: Under ``path``, which Kedro makes absolute: ``docs/journal`` of the project. It need not be there
                yet; commands and runs write it. None for no entries.
            **options: As of ``JSONDataset``.
        """
        super().__init__(**options)
        self._journal = None if journal is None else Path(journal["path"]).absolute()

    def load(self) -> Any:
        """The card.

        Raises:
            BeatwiseError: If an entry of the journal cannot be used.
        """
        if self.begun is not None:
            return {**self.begun.model_dump(mode="json"), "journal": self._entries()}
        return json.loads(Path(str(self._get_load_path())).read_text(encoding="utf-8"))

    def _entries(self) -> dict[str, Any]:
        """Entries of the journal as plain data by ID, in the order in which they were proposed."""
        if self._journal is None:
            return {}
        entries = Journal(self._journal.parents[len(JOURNAL.parts) - 1]).entries()
        return {id: entry.model_dump(mode="json") for id, entry in entries.items()}
