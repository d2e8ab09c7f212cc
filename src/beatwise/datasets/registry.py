"""The registered scorers of a source, as a dataset: what nodes load is the registry itself."""

from __future__ import annotations

from typing import Any, NoReturn

from kedro.io import AbstractDataset, DatasetError

from beatwise.scoring.registry import ScorerRegistry


class RegistryDataset(AbstractDataset[NoReturn, ScorerRegistry]):
    """A ``ScorerRegistry`` in the tracking store of the run; it need not hold a scorer yet."""

    def __init__(self, *, source: str, metadata: dict[str, Any] | None = None) -> None:
        """Name the source."""
        self._source = source
        self.metadata = metadata

    def load(self) -> ScorerRegistry:
        """The registry."""
        return ScorerRegistry(self._source)

    def save(self, data: NoReturn) -> None:
        """Refused: tracked runs register their scorers.

        Raises:
            DatasetError: Always.
        """
        raise DatasetError("Scorers are registered by the hooks of a tracked run, not by the catalog.")

    def _exists(self) -> bool:
        return True

    def _describe(self) -> dict[str, Any]:
        return {"source": self._source}
