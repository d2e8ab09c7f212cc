"""The trials of a search as plain files, one each: what a search is taken up again from, and what is reported of it."""

from __future__ import annotations

import json
import logging
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from dataclasses import asdict, dataclass, field
from datetime import UTC, datetime
from functools import cached_property
from pathlib import Path
from typing import Any, Final

from beatwise.core.errors import BeatwiseError
from beatwise.core.files import written_whole
from beatwise.core.versions import FORMAT, of_this_format
from beatwise.training.checkpoint import Checkpoints

OF_AN_EPOCH: Final = ("epoch", "learning_rate", "train_loss", "seconds", "score", "score_sd")

log = logging.getLogger(__name__)


@dataclass
class TrialRecord:
    """One trial.

    Attributes:
        number: Its number in the search, from 0.
        key: Names its checkpoints.
        values: Values of the hyper-parameters by full name.
        status: ``running``, also where it was cut off, by Ctrl-C or by a budget that is used up; ``finished`` by
            itself; ``stopped`` by the scheduler; ``failed``.
        failure: Why it failed.
        started: When it began, ISO 8601 in UTC; None before.
        n_parameters: Parameters of its network.
        epochs: Its history: one mapping an epoch, see ``Trial.step``.
    """

    number: int
    key: str
    values: dict[str, Any]
    status: str = "running"
    failure: str | None = None
    started: str | None = None
    n_parameters: int | None = None
    epochs: list[dict[str, Any]] = field(default_factory=list)

    @property
    def scores(self) -> list[float]:
        """The best score so far, epoch by epoch."""
        return [epoch["score"] for epoch in self.epochs]

    @property
    def seconds(self) -> float:
        """Time of training and validation (s)."""
        return sum(epoch["seconds"] for epoch in self.epochs)

    def begin(self) -> None:
        """Note when the trial began, unless it has begun before."""
        self.started = self.started or datetime.now(UTC).isoformat(timespec="seconds")

    def add(self, result: Mapping[str, Any]) -> None:
        """Note what the trial reported after an epoch, flat as Ray hands it to a searcher."""
        if "epoch" not in result:
            return
        # A trial that began anew reports its first epochs again.
        self.epochs = [epoch for epoch in self.epochs if epoch["epoch"] < result["epoch"]]
        self.epochs.append({name: result[name] for name in result if name in OF_AN_EPOCH or name.startswith("val_")})
        self.n_parameters = result["n_parameters"]

    def end(self, result: Mapping[str, Any], error: bool) -> None:
        """Note how the trial ended.

        Args:
            result: What it reported last.
            error: Whether its process died.
        """
        self.failure = result.get("failure")
        if error and self.failure is None:
            self.failure = "its process was killed again and again; did the machine run out of memory?"
        if self.failure is not None:
            self.status = "failed"
        else:
            self.status = "finished" if result.get("over") else "stopped"


@dataclass(frozen=True)
class StoredSearch:
    """A search and its trials.

    Attributes:
        folder: Its folder, which has the name of its key.
        name: Its name in the parameters.
        plan: What is searched, see ``SearchPlan.plain``.
    """

    folder: Path
    name: str
    plan: dict[str, Any]

    @property
    def key(self) -> str:
        """Its key."""
        return self.folder.name

    @cached_property
    def trials(self) -> list[TrialRecord]:
        """Its trials, by number; read when they are asked for, so that a damaged one is in nobody else's way.

        Raises:
            BeatwiseError: If a file cannot be read.
        """
        return _read_trials(self.folder)


class Searches:
    """A folder with one folder a search, by key: what was searched, and a file a trial."""

    def __init__(self, folder: Path) -> None:
        """Name the folder; it is made when it is needed."""
        self.folder = folder

    @classmethod
    def beside(cls, checkpoints: Checkpoints) -> Searches:
        """The folder beside that of the checkpoints from which its trials resume."""
        return cls(checkpoints.folder.with_name("searches"))

    def begin(self, key: str, plan: Mapping[str, Any]) -> list[TrialRecord]:
        """Make the folder of a search, or find its trials.

        Args:
            key: Names the search.
            plan: What is searched, for whoever looks into the folder.

        Returns:
            The trials that have begun already, by number.

        Raises:
            BeatwiseError: If the folder cannot be written.
        """
        folder = self.folder / key
        try:
            with written_whole(folder / "search.json") as path:
                path.write_text(json.dumps({"format": FORMAT, **plan}, indent=1), encoding="utf-8")
        except OSError as error:
            raise BeatwiseError(
                f"The search cannot be stored in {folder}: {error.strerror or error}. Check its permissions and the "
                "free space."
            ) from error
        return _read_trials(folder)

    def all(self) -> list[StoredSearch]:
        """Every search that is here and that this version can read; the one that ran last comes last.

        Raises:
            BeatwiseError: If it cannot be read what one of them searches: it might be the one that is looked for.
        """
        paths = self.folder.glob("*/search.json")
        by_time = sorted(paths, key=lambda path: max(file.stat().st_mtime for file in path.parent.iterdir()))
        return [search for path in by_time if (search := _read_search(path)) is not None]

    def save(self, key: str, record: TrialRecord) -> None:
        """Store a trial as it stands.

        Raises:
            BeatwiseError: If it cannot be written.
        """
        path = self.folder / key / f"trial-{record.number:04d}.json"
        try:
            with written_whole(path) as scratch:
                scratch.write_text(json.dumps(asdict(record), allow_nan=False), encoding="utf-8")
        except OSError as error:
            raise BeatwiseError(f"{path} cannot be written: {error.strerror or error}. Is there free space?") from error


def _read_search(path: Path) -> StoredSearch | None:
    with _explained(path):
        plan = json.loads(path.read_text(encoding="utf-8"))
        name = plan["name"]
        if not of_this_format(plan):
            log.warning("%s was written by another version of Beatwise; this search is left out.", path)
            return None
        del plan["format"]
        return StoredSearch(path.parent, name, plan)


def _read_trials(folder: Path) -> list[TrialRecord]:
    records = []
    for path in sorted(folder.glob("trial-*.json")):
        with _explained(path):
            records.append(TrialRecord(**json.loads(path.read_text(encoding="utf-8"))))
    return records


@contextmanager
def _explained(path: Path) -> Iterator[None]:
    """Say which file it is that cannot be read, and the way out."""
    try:
        yield
    except (OSError, KeyError, TypeError, ValueError) as error:
        raise BeatwiseError(
            f"{path} cannot be read ({error}). Remove the folder {path.parent} to search anew."
        ) from error
