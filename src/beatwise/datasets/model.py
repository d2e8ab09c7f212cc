"""A trained model as a folder: weights as safetensors, all else as JSON. Nothing in it can run code."""

from __future__ import annotations

import json
import logging
from pathlib import Path

from kedro_datasets._typing import JSONPreview

from beatwise.core.errors import BeatwiseError
from beatwise.core.files import written_whole
from beatwise.core.versions import of_this_format
from beatwise.datasets.versioned_folder import VersionedFolderDataset
from beatwise.tasks.base import Task
from beatwise.tasks.registry import METRICS
from beatwise.training.trained_model import CONFIG, TrainedModel, read_model, write_model

# The version to load that was best on validation, by the default monitor of its task.
BEST = "best"

log = logging.getLogger(__name__)


class ModelDataset(VersionedFolderDataset[TrainedModel, TrainedModel]):
    """A ``TrainedModel``, versioned; the version ``best`` is looked up among all."""

    def load(self) -> TrainedModel:
        """Read the version."""
        folder = Path(str(self._get_load_path()))
        if self._version is not None and not folder.is_dir():
            there = sorted(version.name for version in Path(str(self._filepath)).glob("*") if version.is_dir())
            raise BeatwiseError(
                f"There is no version {folder.parent.name!r} of {self._filepath}. Known: {', '.join(there)}."
            )
        return read_model(folder)

    def save(self, data: TrainedModel) -> None:
        """Write a version, completely or not at all."""
        with written_whole(Path(str(self._get_save_path()))) as folder:
            folder.mkdir()
            write_model(folder, data)

    def preview(self) -> JSONPreview:
        """The description of the model without its history, for kedro-viz."""
        stored = json.loads((Path(str(self._get_load_path())) / CONFIG).read_text(encoding="utf-8"))
        return JSONPreview(json.dumps({name: value for name, value in stored.items() if name != "history"}))

    def resolve_load_version(self) -> str | None:
        """The version to load: the one asked for, the best on validation, or the latest."""
        if self._version is None or self._version.load != BEST:
            return super().resolve_load_version()
        paths = sorted(Path(str(self._filepath)).glob(f"*/*/{CONFIG}"))
        scores = {path.parents[1].name: score for path in paths if (score := _validation_score(path)) is not None}
        if not scores:
            others = f" but {len(paths)} of another version of Beatwise" if paths else ""
            raise BeatwiseError(f"There is no version of {self._filepath} yet{others}, so none is the best.")
        if len(scores) < len(paths):
            log.warning("%d models of another version of Beatwise are left out.", len(paths) - len(scores))
        # The latest of equals.
        return max(scores, key=lambda version: (scores[version], version))

    def _is_saved(self, folder: Path) -> bool:
        return (folder / CONFIG).is_file()


def _validation_score(config: Path) -> float | None:
    """The score by which the best version is chosen, more being better; None for a model of another version."""
    try:
        stored = json.loads(config.read_text(encoding="utf-8"))
        if not of_this_format(stored):
            return None
        name = Task.from_dict(stored["task"]).default_monitor
        best = stored["history"][stored["metadata"]["best_epoch"] - 1]
        return METRICS[name].sign * float(best[f"val_{name}"])
    except (OSError, LookupError, TypeError, ValueError) as error:
        raise BeatwiseError(
            f"The best version is not known: the model in {config.parent} cannot be read "
            f"({type(error).__name__}: {error}). Remove that version, or name one by --load-versions."
        ) from error
