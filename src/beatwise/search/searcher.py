"""The searcher that Ray Tune asks for trials: samplers of Optuna over a space with conditions."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Sequence
from typing import Any

import optuna
from optuna.distributions import BaseDistribution, CategoricalDistribution, FloatDistribution, IntDistribution
from optuna.trial import TrialState, create_trial
from ray.tune.search import Searcher

from beatwise.search.space import Range, Space, label
from beatwise.search.trials import TrialRecord

optuna.logging.set_verbosity(optuna.logging.WARNING)

STATES = {"finished": TrialState.COMPLETE, "stopped": TrialState.PRUNED, "failed": TrialState.FAIL}


class SpaceSearcher(Searcher):
    """Supplies the trials of one search: first the interrupted ones, then new ones up to the number of trials."""

    def __init__(
        self,
        space: Space,
        sampler: optuna.samplers.BaseSampler | None,
        known: Sequence[dict[str, Any]],
        records: Sequence[TrialRecord],
        n_trials: int,
        larger_is_better: bool,
        save: Callable[[TrialRecord], None],
    ) -> None:
        """Load the trials of earlier calls.

        Args:
            space: The search space.
            sampler: Draws values; None where they are known.
            known: The values of all trials by number; empty where they are drawn one by one.
            records: Trials of earlier calls.
            n_trials: Number of trials of the search.
            larger_is_better: Whether a larger score is better.
            save: Called with each changed trial.
        """
        super().__init__(metric="score", mode="max" if larger_is_better else "min")
        self._space, self._known, self._n_trials = space, known, n_trials
        self._study = optuna.create_study(sampler=sampler, direction="maximize" if larger_is_better else "minimize")
        self._open = [record for record in records if record.status == "running"]
        self._begun, self._save = len(records), save
        self._call = 1 + max(record.call for record in records) if records and not is_replay(records) else 0
        self._ended = [record for record in records if record.status != "running"]
        for record in self._ended:
            self._add_trial(record)
        self._asked: dict[str, optuna.Trial] = {}
        # Records by the ID of Ray's trial.
        self.records: dict[str, TrialRecord] = {}

    def suggest(self, trial_id: str) -> dict[str, Any] | str | None:
        """Return the values of the next trial to Ray."""
        if self._open:
            record = self._open.pop(0)
            return self._start(trial_id, record, resume=record.key)
        if self._begun >= self._n_trials:
            return self.FINISHED
        if self._known:
            values = self._known[self._begun]
        else:
            trial = self._asked[trial_id] = self._study.ask()
            values = _draw(self._space, trial)
        self._begun += 1
        record = TrialRecord(number=self._begun - 1, key=trial_id, values=values)
        return self._start(trial_id, record, resume=None)

    def _start(self, trial_id: str, record: TrialRecord, resume: str | None) -> dict[str, Any]:
        record.begin()
        record.call = self._call
        self.records[trial_id] = record
        self._save(record)
        config = {"values": record.values, "resume": resume}
        return config if record.until is None else {**config, "until": record.until}

    def all_records(self) -> list[TrialRecord]:
        """All trials of the search, by number."""
        return sorted([*self._ended, *self._open, *self.records.values()], key=lambda record: record.number)

    def on_trial_result(self, trial_id: str, result: dict[str, Any]) -> None:
        """Record an epoch."""
        record = self.records[trial_id]
        # Until its first epoch in this call, an interrupted trial has its earlier checkpoint only.
        record.key = trial_id
        record.add(result)
        self._save(record)

    def on_trial_complete(self, trial_id: str, result: dict[str, Any] | None = None, error: bool = False) -> None:
        """Record the end of a trial, and report it to the sampler."""
        record, trial = self.records[trial_id], self._asked.pop(trial_id, None)
        if result:
            record.add(result)
        record.end(result or {}, error)
        self._save(record)
        if trial is None:
            self._add_trial(record)
        else:
            # Epochs are reported at the end, because a restarted trial repeats its first epochs.
            for epoch in record.epochs:
                trial.report(epoch["score"], epoch["epoch"])
            finished = record.status == "finished"
            self._study.tell(trial, record.scores[-1] if finished else None, STATES[record.status])

    def _add_trial(self, record: TrialRecord) -> None:
        """Report a trial to a sampler that did not draw it."""
        if self._known:
            return
        scores = record.scores
        state = STATES[record.status] if scores else TrialState.FAIL
        self._study.add_trial(
            create_trial(
                state=state,
                value=scores[-1] if state == TrialState.COMPLETE else None,
                params={name: _internal(value, self._space.ranges[name]) for name, value in record.values.items()},
                distributions={name: distribution(self._space.ranges[name]) for name in record.values},
                intermediate_values=dict(enumerate(scores, start=1)),
            )
        )

    def save(self, checkpoint_path: str) -> None:
        """Do nothing: a search resumes from the records of its trials."""

    def restore(self, checkpoint_path: str) -> None:
        """Do nothing, see :meth:`save`."""


def is_replay(records: Iterable[TrialRecord]) -> bool:
    """Whether trials repeat recorded ones."""
    return any(record.until is not None for record in records)


def draws(space: Space, sampler: optuna.samplers.BaseSampler, n: int) -> list[dict[str, Any]]:
    """The first values of a sampler that does not learn from trials; a longer list begins with a shorter one."""
    study = optuna.create_study(sampler=sampler)
    return [_draw(space, study.ask()) for _ in range(n)]


def _draw(space: Space, trial: optuna.Trial) -> dict[str, Any]:
    return space.draw(lambda name, range: _suggest(trial, name, range))


def distribution(range: Range) -> BaseDistribution:
    """A range as a distribution of Optuna."""
    if range.kind == "choice":
        return CategoricalDistribution([label(value) for value in range.given])
    if range.is_integer:
        return IntDistribution(int(range.low), int(range.high), log=range.is_log)
    step = range.given[2] if range.kind == "quniform" else None
    return FloatDistribution(range.low, range.high, log=range.is_log, step=step)


def _suggest(trial: optuna.Trial, name: str, range: Range) -> Any:
    if range.kind == "choice":
        # Choices of Optuna are numbers and text; those of a space may be lists.
        by_label = {label(value): value for value in range.given}
        return by_label[trial.suggest_categorical(name, list(by_label))]
    if range.is_integer:
        return trial.suggest_int(name, int(range.low), int(range.high), log=range.is_log)
    step = range.given[2] if range.kind == "quniform" else None
    return range.nearest(trial.suggest_float(name, range.low, range.high, log=range.is_log, step=step))


def _internal(value: Any, range: Range) -> Any:
    return label(value) if range.kind == "choice" else value
