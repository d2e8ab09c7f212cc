"""The card of a run, read while the run goes on and written when it ends."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

from beatwise.datasets.whole import WholeJSONDataset
from beatwise.runs.card import RunCard


class RunCardDataset(WholeJSONDataset):
    """A ``RunCard`` as a JSON file, as plain data.

    A node that loads it is handed the card of its own run, as far as it is known by then; everybody else, the version
    that is stored.

    Attributes:
        begun: The card of the run that goes on with this catalog; None where none does.
    """

    begun: RunCard | None = None

    def load(self) -> Any:
        """The card."""
        if self.begun is not None:
            return self.begun.model_dump(mode="json")
        return json.loads(Path(str(self._get_load_path())).read_text(encoding="utf-8"))
