"""A run loads its own results, even if other runs of the same source save theirs in the meantime."""

from __future__ import annotations

import os
import shutil
from pathlib import Path, PurePath
from typing import TYPE_CHECKING, Any, Final

from filelock import FileLock
from kedro.framework.hooks import hook_impl
from kedro.io.core import Version

from beatwise.core.files import clear_left_over, scratch_folder, written_whole
from beatwise.runs.metadata import JOURNAL

if TYPE_CHECKING:
    from kedro.io import DataCatalog

# In the project, usually on the disk of the data: files are linked into place, not copied.
RUNS: Final = Path("data/09_tracking/runs")


class OwnFilesHooks:
    """Keeps the results of concurrent runs of one source apart.

    A versioned dataset is loaded in the version that the run has saved, where Kedro takes the newest of all. Any other
    file or folder is saved into a folder of the run, from which the run loads it, and is linked to its place in the
    catalog, where the run that saved last is found.
    """

    def __init__(self) -> None:
        self._folder: Path | None = None
        self._places: dict[str, PurePath] = {}

    @hook_impl(tryfirst=True)
    def before_pipeline_run(self, run_params: dict[str, Any], catalog: DataCatalog) -> None:
        """Make the folder of the run, and clear up after runs of the source that were killed."""
        self._end()
        project = Path(run_params["project_path"])
        runs = project / RUNS
        runs.mkdir(parents=True, exist_ok=True)
        self._catalog, self._lock = catalog, FileLock(runs / "publish.lock")
        for folder in [runs, project / JOURNAL, *project.glob(f"data/*/{catalog.load('params:source')}")]:
            clear_left_over(folder)
        self._folder = scratch_folder(runs, "run")

    @hook_impl
    def before_dataset_saved(self, dataset_name: str) -> None:
        """Redirect the dataset to the folder of the run, or pin its version."""
        dataset = self._catalog[dataset_name]
        if not pin_own_version(dataset) and self._folder is not None and _is_replaced(dataset):
            place = self._places.setdefault(dataset_name, dataset._filepath)
            dataset._filepath = type(place)(self._folder, dataset_name, place.name)

    @hook_impl(tryfirst=True)
    def after_dataset_saved(self, dataset_name: str) -> None:
        """Link it to its place in the catalog."""
        if dataset_name in self._places:
            own = Path(self._catalog[dataset_name]._filepath)
            # Two runs that replace a folder at once would get into each other's way.
            with self._lock, written_whole(Path(self._places[dataset_name])) as path:
                if own.is_dir():
                    shutil.copytree(own, path, copy_function=_link)
                else:
                    _link(own, path)

    @hook_impl(tryfirst=True)
    def after_pipeline_run(self) -> None:
        """Leave the catalog as it was, and remove the folder of the run."""
        self._end()

    @hook_impl(trylast=True)
    def on_pipeline_error(self, error: Exception) -> None:
        """Likewise; what could not be saved is named by its place in the catalog."""
        for name, place in self._places.items():
            own = str(self._catalog[name]._filepath)
            error.args = tuple(arg.replace(own, str(place)) if isinstance(arg, str) else arg for arg in error.args)
        self._end()

    def _end(self) -> None:
        for name, place in self._places.items():
            self._catalog[name]._filepath = place
        if self._folder is not None:
            shutil.rmtree(self._folder, ignore_errors=True)
        self._folder, self._places = None, {}


def pin_own_version(dataset: Any) -> bool:
    """Let a dataset load the version that it saves, and return whether it is versioned."""
    if not getattr(dataset, "_version", None):
        return False
    version = dataset.resolve_save_version()
    dataset._version = Version(version, version)
    return True


def _is_replaced(dataset: Any) -> bool:
    """Whether a dataset is a local file or folder that saving replaces; what is appended to stays where it is."""
    appends = "a" in getattr(dataset, "_fs_open_args_save", {}).get("mode", "w")
    return hasattr(dataset, "_filepath") and getattr(dataset, "_protocol", "file") == "file" and not appends


def _link(source: str | Path, target: str | Path) -> None:
    """Give a file a second name; copy it where the file system or the disk does not allow that."""
    try:
        os.link(source, target)
    except OSError:
        shutil.copy2(source, target)
