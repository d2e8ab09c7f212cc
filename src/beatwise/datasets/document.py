"""Documents that nodes exchange: Pydantic models as JSON files."""

from __future__ import annotations

from pathlib import Path
from typing import Any

from kedro.io import Version
from kedro.utils import load_obj
from kedro_datasets._typing import JSONPreview
from pydantic import TypeAdapter, ValidationError

from beatwise.core.errors import BeatwiseError
from beatwise.core.settings import first_problem
from beatwise.datasets.whole import WholeJSONDataset


class DocumentDataset(WholeJSONDataset):
    """A Pydantic model, or a list of them, as a JSON file.

    A node returns and receives the model itself. The content of a file is checked when it is loaded.

    Attributes:
        pending: The document that a run in progress will save at its end; loaded in place of the file.
    """

    pending: Any = None

    def __init__(
        self,
        *,
        filepath: str,
        model: str,
        version: Version | None = None,
        metadata: dict[str, Any] | None = None,
    ) -> None:
        """Name the file, and the Pydantic model that it holds: its full name, or ``list[full.name]``."""
        super().__init__(filepath=filepath, version=version, metadata=metadata)
        self._model = model

    def load(self) -> Any:
        """The document.

        Raises:
            BeatwiseError: If the file does not hold such a document; names the file.
        """
        if self.pending is not None:
            return self.pending
        path = Path(str(self._get_load_path()))
        try:
            return self._adapter().validate_json(path.read_bytes())
        except ValidationError as error:
            raise BeatwiseError(
                f"{path.absolute()} cannot be read: {first_problem(error)}. It is damaged, or another version of "
                "Beatwise has written it. Run the node that makes it again."
            ) from error

    def save(self, data: Any) -> None:
        """Write the file."""
        super().save(self._adapter().dump_python(data, mode="json"))

    def preview(self) -> JSONPreview:
        """The file, for kedro-viz."""
        return JSONPreview(Path(str(self._get_load_path())).read_text(encoding="utf-8"))

    def _adapter(self) -> TypeAdapter[Any]:
        # Imported when it is needed: a catalog is made for every command.
        one: Any = load_obj(self._model.removeprefix("list[").removesuffix("]"))
        kind: Any = list[one] if self._model.startswith("list[") else one
        return TypeAdapter(kind)
