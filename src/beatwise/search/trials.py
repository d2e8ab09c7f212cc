"""The trials of a search, one JSON file each: a search resumes from them, and reports describe them."""

from __future__ import annotations

import json
import logging
import shutil
from collections.abc import Iterable, Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass
from datetime import UTC, datetime
from functools import cached_property
from pathlib import Path
from typing import Any, Final, Literal

from filelock import FileLock, Timeout
from pydantic import BaseModel, ConfigDict, Field, TypeAdapter, ValidationError

from beatwise.core.errors import BeatwiseError
from beatwise.core.files import written_whole
from beatwise.core.settings import first_problem
from beatwise.core.versions import FORMAT, of_this_format
from beatwise.search.plan import SearchPlan
from beatwise.training.checkpoint import Checkpoints

OF_AN_EPOCH: Final = ("epoch", "learning_rate", "train_loss", "seconds", "score", "score_sd")

# What Ray needs while a search runs, in the folder of the search.
RAY: Final = "ray"
REPLAY: Final = "replay.json"

log = logging.getLogger(__name__)


class TrialRecord(BaseModel):
    """One trial, which changes while it runs."""

    model_config = ConfigDict(extra="forbid")

    number: int = Field(description="Its number in the search, from 0.")
    key: str = Field(description="Key of its checkpoints.")
    values: dict[str, Any] = Field(description="Values of the hyper-parameters by full name.")
    status: Literal["running", "finished", "stopped", "failed"] = Field(
        "running",
        description="`running` until it ends, also after Ctrl-C or when a budget is spent; `stopped` by the scheduler.",
    )
    failure: str | None = Field(None, description="Why it failed.")
    started: str | None = Field(None, description="When it began, ISO 8601 in UTC.")
    call: int = Field(
        0, description="Number of the call of the search that trained it last; above 0 the search was resumed."
    )
    until: int | None = Field(
        None, description="Last epoch of a trial that repeats a recorded one; null: scheduler and settings decide."
    )
    n_parameters: int | None = Field(None, description="Number of parameters of its network.")
    epochs: list[dict[str, Any]] = Field([], description="Its history: one mapping for each epoch, see `Trial.step`.")

    @property
    def scores(self) -> list[float]:
        """The best score so far, epoch by epoch."""
        return [epoch["score"] for epoch in self.epochs]

    @property
    def seconds(self) -> float:
        """Time of training and validation (s)."""
        return sum(epoch["seconds"] for epoch in self.epochs)

    def begin(self) -> None:
        """Set the time at which the trial began, unless it has begun before."""
        self.started = self.started or datetime.now(UTC).isoformat(timespec="seconds")

    def add(self, result: Mapping[str, Any]) -> None:
        """Add an epoch that the trial reported, flat as Ray passes it to a searcher."""
        if "epoch" not in result:
            return
        # A restarted trial reports its first epochs again.
        self.epochs = [epoch for epoch in self.epochs if epoch["epoch"] < result["epoch"]]
        self.epochs.append({name: result[name] for name in result if name in OF_AN_EPOCH or name.startswith("val_")})
        self.n_parameters = result["n_parameters"]

    def end(self, result: Mapping[str, Any], error: bool) -> None:
        """Set the outcome from the last report and from whether the process died."""
        self.failure = result.get("failure")
        if error and self.failure is None:
            self.failure = "its process was killed again and again; did the machine run out of memory?"
        if self.failure is not None:
            self.status = "failed"
        else:
            self.status = "finished" if result.get("over") else "stopped"


RECORDS: Final = TypeAdapter(list[TrialRecord])


@dataclass(frozen=True)
class StoredSearch:
    """A search and its trials.

    Attributes:
        folder: Its folder, which has the name of its key.
        plan: Its plan.
    """

    folder: Path
    plan: SearchPlan

    @property
    def key(self) -> str:
        """Its key."""
        return self.folder.name

    @cached_property
    def trials(self) -> list[TrialRecord]:
        """Its trials, by number; read on first use, so that a damaged one affects only its own search.

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

    @contextmanager
    def alone(self, key: str) -> Iterator[None]:
        """Wait until no other run makes this search, and keep it from all others in this block.

        Raises:
            BeatwiseError: If the folder cannot be written.
        """
        lock = FileLock(self.folder / f"{key}.lock")
        try:
            try:
                lock.acquire(timeout=0)
            except Timeout:
                log.info("Another run makes the same search now. This one waits for its trials; Ctrl-C stops waiting.")
                lock.acquire()
        except OSError as error:
            raise _not_stored(self.folder / key, error) from error
        scratch = self.folder / key / RAY
        try:
            # A killed run has left its own.
            shutil.rmtree(scratch, ignore_errors=True)
            yield
        finally:
            shutil.rmtree(scratch, ignore_errors=True)
            lock.release()

    def replay(self, trials: Iterable[TrialRecord]) -> None:
        """Let the next search that begins here train these trials again, and no others."""
        self.folder.mkdir(parents=True)
        (self.folder / REPLAY).write_bytes(RECORDS.dump_json(list(trials)))

    def begin(self, key: str, plan: SearchPlan) -> list[TrialRecord]:
        """Make the folder of a search, and return the trials that have begun before, by number.

        Raises:
            BeatwiseError: If the folder cannot be written.
        """
        folder = self.folder / key
        try:
            with written_whole(folder / "search.json") as path:
                path.write_text(
                    json.dumps({"format": FORMAT, **plan.model_dump(mode="json")}, indent=1), encoding="utf-8"
                )
        except OSError as error:
            raise _not_stored(folder, error) from error
        if (replay := self.folder / REPLAY).is_file():
            return RECORDS.validate_json(replay.read_bytes())
        return _read_trials(folder)

    def all(self) -> list[StoredSearch]:
        """Every search in the folder that this version can read; the one that ran last comes last.

        Raises:
            BeatwiseError: If the plan of one cannot be read: it might be the one that is looked for.
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
                scratch.write_text(json.dumps(record.model_dump(), allow_nan=False), encoding="utf-8")
        except OSError as error:
            raise BeatwiseError(f"{path} cannot be written: {error.strerror or error}. Is there free space?") from error


def _not_stored(folder: Path, error: OSError) -> BeatwiseError:
    return BeatwiseError(
        f"The search cannot be stored in {folder}: {error.strerror or error}. Check its permissions and the free space."
    )


def _read_search(path: Path) -> StoredSearch | None:
    with _explained(path):
        stored = json.loads(path.read_text(encoding="utf-8"))
        if not of_this_format(stored):
            log.warning("%s was written by another version of Beatwise; this search is left out.", path)
            return None
        del stored["format"]
        return StoredSearch(path.parent, SearchPlan.model_validate(stored))


def _read_trials(folder: Path) -> list[TrialRecord]:
    records = []
    for path in sorted(folder.glob("trial-*.json")):
        with _explained(path):
            records.append(TrialRecord.model_validate_json(path.read_bytes()))
    return records


@contextmanager
def _explained(path: Path) -> Iterator[None]:
    """Name the file that cannot be read, and what to do."""
    try:
        yield
    except (OSError, TypeError, ValueError) as error:
        reason = first_problem(error) if isinstance(error, ValidationError) else error
        raise BeatwiseError(
            f"{path} cannot be read ({reason}). Remove the folder {path.parent} to search anew."
        ) from error
