"""The journal: hypotheses, the runs that tested them, their outcomes, and what people concluded.

An entry is one YAML file below ``docs/journal`` of the project, named by its ID, so that entries of two branches never
meet in one file. It waits until a run takes it up; a run that fails or is stopped leaves it waiting.
"""

from __future__ import annotations

import logging
import operator
import re
import statistics
import textwrap
import unicodedata
from collections.abc import Callable, Iterable, Mapping
from dataclasses import dataclass, field
from itertools import chain
from pathlib import Path
from typing import Annotated, Any, Final, Literal, Self

import yaml
from filelock import AcquireReturnProxy, FileLock, Timeout
from pydantic import AwareDatetime, Field, StringConstraints, field_validator

from beatwise.core.errors import BeatwiseError
from beatwise.core.files import written_whole
from beatwise.core.registry import unknown_name
from beatwise.core.settings import Block, checked
from beatwise.runs.metadata import JOURNAL, RunMetadata, now
from beatwise.runs.saved import Saved
from beatwise.tasks.registry import METRICS

log = logging.getLogger(__name__)

# The system releases a lock when its process ends: a run without its lock was killed.
LOCKS: Final = Path("data/09_tracking/journal")

PARTS: Final = ("test", "recall_first", "val")
KEPT_METRICS: Final = tuple(f"{part}.{name}" for part in PARTS for name in METRICS.overall())
# Metrics in which every run of a task is compared with the best before it, whatever its hypothesis expects.
COMPARED: Final = {
    "classification": ("test.macro_recall", "test.macro_f1"),
    "regression": ("test.rmse", "test.mae"),
}
# Finer than the effect of one example in the largest test part.
DECIMALS: Final = 6
WAITING: Final = ("waiting", "failed", "stopped")
COMPARISONS: Final[dict[str, Callable[[float, float], bool]]] = {
    ">": operator.gt,
    ">=": operator.ge,
    "<": operator.lt,
    "<=": operator.le,
}
SLUG_LENGTH: Final = 22
HOW_TO_PROPOSE: Final = 'kedro journal propose "…" --expect "macro_recall > 0.9"'

Words = Annotated[str, StringConstraints(strip_whitespace=True, min_length=1)]


@dataclass(frozen=True)
class Condition:
    """One condition of an expectation.

    Attributes:
        metric: One of :data:`KEPT_METRICS`.
        comparison: One of :data:`COMPARISONS`.
        bound: The number that the metric is compared with.
    """

    metric: str
    comparison: str
    bound: float

    def holds(self, metrics: Mapping[str, float]) -> bool:
        """Whether measured metrics meet it."""
        return COMPARISONS[self.comparison](metrics[self.metric], self.bound)


def read_expectation(expect: str) -> list[Condition]:
    """The conditions of an expectation such as ``macro_recall > 0.93 and val.accuracy >= 0.98``.

    Args:
        expect: Conditions joined by ``and``; a metric is of test where it does not say ``val.`` or ``recall_first.``.
            Empty for no expectation.

    Raises:
        BeatwiseError: If it cannot be read, or a metric is unknown.
    """
    return [_read_condition(part) for part in re.split(r"\s+and\s+", expect.strip())] if expect.strip() else []


def _read_condition(text: str) -> Condition:
    found = re.fullmatch(r"([\w.]+)\s*(>=|<=|>|<)\s*([-+]?(?:\d+\.?\d*|\.\d+))", text.strip())
    if found is None:
        raise BeatwiseError(
            f"{text!r} cannot be read. Allowed: a metric, one of {' '.join(COMPARISONS)}, and a number, such as "
            "'macro_recall > 0.93'; several of these joined by ' and '; all of it in quotes, because the shell takes > "
            "for itself."
        )
    part, _, name = found[1].rpartition(".")
    METRICS.check_overall(name)
    if part not in ("", *PARTS):
        raise BeatwiseError(f"{unknown_name('part', part, PARTS)} Without one, {name} is of test.")
    bound = float(found[3])
    high = METRICS[name].high
    if high is not None and abs(bound) > high:
        raise BeatwiseError(f"{name} is never above {high:g}; got {found[3]}.")
    return Condition(f"{part or 'test'}.{name}", found[2], bound)


def headline(measured: Iterable[str]) -> tuple[str, ...]:
    """The metrics of :data:`COMPARED` for the task of what was measured; of a classification where nothing was."""
    return COMPARED[next((METRICS[name.rpartition(".")[2]].task for name in measured), "classification")]


def compared_metrics(expect: str, measured: Iterable[str]) -> list[str]:
    """The metrics in which a run is compared with the best before it: the :func:`headline`, and those it expects."""
    return list(dict.fromkeys([*headline(measured), *(condition.metric for condition in read_expectation(expect))]))


Outcome = Literal["confirmed", "refuted", "open", "failed", "stopped"]


def judge(expect: str, metrics: Mapping[str, float]) -> Literal["confirmed", "refuted", "open"]:
    """Whether metrics are as expected; ``open`` where nothing was expected, or not everything was measured."""
    conditions = read_expectation(expect)
    measured = [condition.holds(metrics) for condition in conditions if condition.metric in metrics]
    if not all(measured):
        return "refuted"
    return "confirmed" if conditions and len(measured) == len(conditions) else "open"


class Best(Block):
    """The best value of a metric before a run."""

    value: float = Field(description="The value.")
    entry: str = Field(description="ID of its entry; the run and its model, where that tested no hypothesis.")


class Run(RunMetadata):
    """A run that tested a hypothesis."""

    outcome: Outcome | None = Field(None, description="How the run ended; None while it runs.")
    error: str | None = Field(None, description="The first line of the error that ended it.")
    result: str | None = Field(None, description="The measured namespace, or the best row of a comparison.")
    metrics: dict[str, float] = Field({}, description="Those of `KEPT_METRICS` that are defined.")
    previous_best: dict[str, Best] = Field({}, description="The best values on the same source before.")


class Reflection(Block):
    """A conclusion from an outcome."""

    written: AwareDatetime = Field(description="When it was written.")
    text: Words = Field(description="The conclusion.")


class Entry(Block):
    """A hypothesis, the runs that tested it, and what people concluded."""

    hypothesis: Words = Field(description="A statement that may be true.")
    expect: str = Field("", description="The result that follows (`read_expectation`); may be empty.")
    proposed: AwareDatetime = Field(description="When it was proposed.")
    runs: list[Run] = Field([], description="The runs, all but the last of which failed or were stopped.")
    reflections: list[Reflection] = Field([], description="The conclusions.")

    @field_validator("expect")
    @classmethod
    def _can_be_read(cls, expect: str) -> str:
        read_expectation(expect)
        return expect.strip()

    @property
    def state(self) -> str:
        """The outcome of the last run; ``running`` while it runs, ``waiting`` where there is none."""
        return (self.runs[-1].outcome or "running") if self.runs else "waiting"

    @property
    def expectation(self) -> str:
        """The expectation as a sentence."""
        return f"Expected: {self.expect}" if self.expect else "Nothing in particular is expected."

    def with_run(self, run: Run) -> Self:
        """The entry with one more run, or with the new state of its last run."""
        earlier = self.runs[:-1] if self.runs and self.runs[-1].began == run.began else self.runs
        return self.model_copy(update={"runs": [*earlier, run]})


class Journal:
    """The entries of a project by ID, which is a date and the first words of the hypothesis."""

    def __init__(self, project: Path) -> None:
        """Name the project's folder; the journal's own folders are made when they are needed."""
        self._folder, self._locks = project / JOURNAL, project / LOCKS
        # Two processes that change entries at once would otherwise undo one another's change.
        self._change = FileLock(self._locks / "journal.lock")

    def entries(self) -> dict[str, Entry]:
        """All entries by ID, in the order in which they were proposed.

        Raises:
            BeatwiseError: If a file cannot be used.
        """
        found = {path.stem: self._read(path.stem) for path in self._folder.glob("*.yml")}
        return dict(sorted(found.items(), key=lambda item: (item[1].proposed, item[0])))

    def find(self, asked: str) -> str:
        """The ID that begins, or whose words begin, as asked; ``last`` for the entry that was proposed last.

        Raises:
            BeatwiseError: If there is none, or more than one.
        """
        ids = list(self.entries())
        if not ids:
            raise BeatwiseError("The journal has no entries yet; `kedro journal propose` makes one.")
        if asked == "last":
            return ids[-1]
        meant = [id for id in ids if asked and (id.startswith(asked) or id[len("2026-01-31-") :].startswith(asked))]
        if asked in meant:
            return asked
        if len(meant) > 1:
            raise BeatwiseError(f"{asked!r} may be any of these entries: {', '.join(meant)}.")
        if not meant:
            raise BeatwiseError(unknown_name("entry", asked, ids))
        return meant[0]

    def path(self, id: str) -> Path:
        """The file of an entry."""
        return self._folder / f"{id}.yml"

    def propose(self, hypothesis: str, expect: str = "") -> str:
        """Add a hypothesis, which waits for a run, and return its ID.

        Raises:
            BeatwiseError: If there are no words, or the expectation cannot be read.
        """
        given = {"hypothesis": hypothesis, "expect": expect, "proposed": now()}
        entry = checked(Entry, given, "The hypothesis cannot be written down:")
        with self._changing():
            id = stem = f"{entry.proposed:%Y-%m-%d}-{_slug(entry.hypothesis)}"
            number = 1
            while self.path(id).exists():
                number += 1
                id = f"{stem}-{number}"
            self._write(id, entry)
        return id

    def reflect(self, id: str, text: str) -> None:
        """Add what a person concludes from an entry.

        Raises:
            BeatwiseError: If there are no words.
        """
        given = {"written": now(), "text": text}
        reflection = checked(Reflection, given, "The reflection cannot be written down:")
        with self._changing():
            entry = self._read(id)
            self._write(id, entry.model_copy(update={"reflections": [*entry.reflections, reflection]}))

    def take_up(
        self, hypothesis: str, run: Run, others: Mapping[str, Mapping[str, float]] | None = None
    ) -> Attempt | None:
        """Write a run that begins into the entry that it tests.

        Args:
            hypothesis: Its words, which are proposed unless they wait already; empty for the one that was proposed last
                of those that wait.
            run: The run, as far as it is known.
            others: Metrics of earlier runs of the same source that tested no hypothesis, by a name of each.

        Returns:
            The attempt, which the end of the run is reported to; None where no hypothesis waits.
        """
        hypothesis = hypothesis.strip()
        with self._changing():
            entries = self.entries()
            wanted = [id for id, entry in entries.items() if hypothesis in ("", entry.hypothesis)]
            waiting = [id for id in wanted if entries[id].state in WAITING]
            if not waiting and not hypothesis:
                return None
            id = waiting[-1] if waiting else self.propose(hypothesis)
            entry = self._read(id)
            lock = self._lock(id)
            lock.acquire()
            entry = entry.model_copy(update={"runs": [*entry.runs, run]})
            self._write(id, entry)
        # What the run will measure is not known yet; earlier runs of its source were of its task.
        earlier = (past.metrics for known in entries.values() for past in known.runs if past.source == run.source)
        measured = chain(*earlier, *(others or {}).values())
        best = _best(entries, others or {}, run.source, compared_metrics(entry.expect, measured))
        return Attempt(self, id, entry, best, lock)

    def write_run(self, id: str, entry: Entry) -> None:
        """Write the present state of the last run of an entry.

        Args:
            id: The entry.
            entry: The entry as it was when the run began, with the run as it is now. Reflections that were added in the
                meantime are kept; a file that was removed, for instance with another branch, is written again.
        """
        with self._changing():
            stored = self._read(id) if self.path(id).exists() else entry
            self._write(id, stored.with_run(entry.runs[-1]))

    def _read(self, id: str) -> Entry:
        path = self.path(id)
        try:
            given = yaml.load(path.read_text(encoding="utf-8"), Loader=_LOADER)
        except (yaml.YAMLError, UnicodeDecodeError) as error:
            raise BeatwiseError(f"{path} is not YAML: {error}") from error
        if not isinstance(given, dict):
            raise BeatwiseError(f"{path} is no entry of the journal. Its keys are {', '.join(Entry.model_fields)}.")
        entry = checked(Entry, given, f"{path} cannot be used:", kind="key")
        if entry.state == "running" and not self._is_running(id):
            return entry.with_run(entry.runs[-1].model_copy(update={"outcome": "stopped"}))
        return entry

    def _write(self, id: str, entry: Entry) -> None:
        with written_whole(self.path(id)) as path:
            values = entry.model_dump(exclude_defaults=True)
            text = yaml.dump(values, Dumper=_Dumper, sort_keys=False, allow_unicode=True, width=100)
            path.write_text(text, encoding="utf-8")

    def _lock(self, id: str) -> FileLock:
        return FileLock(self._locks / f"{id}.lock", thread_local=False)

    def _is_running(self, id: str) -> bool:
        lock = self._lock(id)
        if not Path(lock.lock_file).exists():
            return False
        try:
            with lock.acquire(blocking=False):
                return False
        except Timeout:
            return True

    def _changing(self) -> AcquireReturnProxy[FileLock]:
        self._locks.mkdir(parents=True, exist_ok=True)
        return self._change.acquire()


@dataclass
class Attempt:
    """A run that tests a hypothesis, from its beginning to its end.

    Attributes:
        journal: The journal.
        id: The entry.
        entry: The entry as it was when the run began: the run is judged by what was expected then.
        previous_best: The best values when the run began.
        lock: Held until the run ends.
        saved: Datasets that the run has saved so far.
    """

    journal: Journal
    id: str
    entry: Entry
    previous_best: dict[str, Best]
    lock: FileLock
    saved: list[Saved] = field(default_factory=list)

    @property
    def announcement(self) -> str:
        """The message about the hypothesis at the beginning of the run."""
        return f"Hypothesis: {self.entry.hypothesis}\n{self.entry.expectation}\nJournal: {self.id}"

    def record(self, saved: Saved) -> None:
        """Remember the datasets that decide the outcome."""
        if saved.kind in ("scores", "row_scores", "leaderboard"):
            self.saved.append(saved)

    def finish(self) -> Entry:
        """Write down the result of the run, and return the entry with the outcome."""
        result = result_of(self.saved)
        if result is None:
            return self.fail("The run measured nothing.")
        name, metrics = result
        outcome = judge(self.entry.expect, metrics)
        return self._end(outcome=outcome, result=name, metrics=metrics, previous_best=self.previous_best)

    def fail(self, error: str) -> Entry:
        """Write down that the run failed, and with which error."""
        return self._end(outcome="failed", error=error)

    def stop(self) -> Entry:
        """Write down that somebody stopped the run."""
        return self._end(outcome="stopped")

    def _end(self, **result: Any) -> Entry:
        self.entry = self.entry.with_run(self.entry.runs[-1].model_copy(update={"ended": now(), **result}))
        try:
            self.journal.write_run(self.id, self.entry)
        except (BeatwiseError, OSError) as error:
            # Results are stored elsewhere: the run continues and shows them.
            log.warning("The run (%s) could not be written into the journal: %s", self.entry.state, error)
        self.lock.release()
        return self.entry


# The namespace whose model is the result of a run that has several.
TUNED: Final = "tuned"


def result_of(saved: Iterable[Saved]) -> tuple[str, dict[str, float]] | None:
    """The result of a run: the tuned model, or the best model of a comparison, or the only model.

    Returns:
        The measured model and its metrics (means over the seeds for a comparison); None if nothing was measured.
    """
    by_kind: dict[str | None, list[Saved]] = {}
    for one in saved:
        by_kind.setdefault(one.kind, []).append(one)
    models = {name: scores for one in by_kind.get("scores", []) for name, scores in one.scores.items()}
    if TUNED not in models and {"leaderboard", "row_scores"} <= by_kind.keys():
        (board,), (rows,) = by_kind["leaderboard"], by_kind["row_scores"]
        best = board.data[(board.data["averaged"] == 0) & ~board.data["naive"]].iloc[0]
        flat = [
            scores
            for row, scores in zip(rows.data, rows.scores.values(), strict=True)
            if (row.model, row.strategy, row.fold) == (best["model"], best["strategy"], None)
        ]
        result = f"{best['model']} · {best['strategy']}"
    elif models:
        result = TUNED if TUNED in models else min(models)
        flat = [models[result]]
    else:
        return None
    means = {
        name: round(statistics.fmean(values[name] for values in flat), DECIMALS)
        for name in KEPT_METRICS
        if all(name in values for values in flat)
    }
    return result, means


def _best(
    entries: Mapping[str, Entry], others: Mapping[str, Mapping[str, float]], source: str, metrics: Iterable[str]
) -> dict[str, Best]:
    best = {}
    for metric in metrics:
        sign = METRICS[metric.rpartition(".")[2]].sign
        values = [
            Best(value=run.metrics[metric], entry=id)
            for id, entry in entries.items()
            for run in entry.runs
            if run.source == source and metric in run.metrics
        ]
        values += [
            Best(value=round(measured[metric], DECIMALS), entry=name)
            for name, measured in others.items()
            if metric in measured
        ]
        if values:
            best[metric] = max(values, key=lambda known: sign * known.value)
    return best


def _slug(text: str) -> str:
    plain = unicodedata.normalize("NFKD", text).encode("ascii", "ignore").decode().lower()
    words = " ".join(re.findall(r"[a-z0-9]+", plain)) or "hypothesis"
    return textwrap.wrap(words, SLUG_LENGTH)[0].replace(" ", "-")


# Safe both, and the one in C is seven times as fast; not every build of PyYAML has it.
_LOADER = getattr(yaml, "CSafeLoader", yaml.SafeLoader)


class _Dumper(yaml.SafeDumper):
    """Writes long texts readably, without quotes and escapes."""


def _represent_text(dumper: yaml.SafeDumper, text: str) -> yaml.ScalarNode:
    style = "|" if "\n" in text else ">" if len(text) > 80 else None
    return dumper.represent_scalar("tag:yaml.org,2002:str", text, style=style)


_Dumper.add_representer(str, _represent_text)
