"""The card of a run, which the run's own nodes can read, and which is written when the run ends."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

from beatwise.datasets.whole import WholeJSONDataset
from beatwise.runs.card import RunCard


class RunCardDataset(WholeJSONDataset):
    """A ``RunCard`` as a JSON file, as plain data.

    A node that loads it gets the card of its own run, as far as it is known by then; every other reader gets the stored
    version.

    Attributes:
        begun: The card of the run in progress; None without one.
    """

    begun: RunCard | None = None

    def load(self) -> Any:
        """The card."""
        if self.begun is not None:
            return self.begun.model_dump(mode="json")
        return json.loads(Path(str(self._get_load_path())).read_text(encoding="utf-8"))
