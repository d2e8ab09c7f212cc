"""What Ray Tune asks for the values of the next trial: Optuna's samplers over a space with conditions."""

from __future__ import annotations

from collections.abc import Callable, Sequence
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
    """Hands out the trials of one search: first those that were cut off, then new ones until there are enough."""

    def __init__(
        self,
        space: Space,
        sampler: optuna.samplers.BaseSampler | None,
        grid: Sequence[dict[str, Any]],
        records: Sequence[TrialRecord],
        n_trials: int,
        larger_is_better: bool,
        save: Callable[[TrialRecord], None],
    ) -> None:
        """Take up what is known.

        Args:
            space: What is searched.
            sampler: Draws new values.
            grid: In place of a sampler: the values of all trials.
            records: Trials of this search that have begun already.
            n_trials: Trials in all.
            larger_is_better: Whether the score is to be large.
            save: Called with each trial that has changed.
        """
        super().__init__(metric="score", mode="max" if larger_is_better else "min")
        self._space, self._grid, self._n_trials = space, grid, n_trials
        self._study = optuna.create_study(sampler=sampler, direction="maximize" if larger_is_better else "minimize")
        self._open = [record for record in records if record.status == "running"]
        self._begun, self._save = len(records), save
        self._ended = [record for record in records if record.status != "running"]
        for record in self._ended:
            self._take_up(record)
        self._asked: dict[str, optuna.Trial] = {}
        # What each trial of Ray's is in this search.
        self.records: dict[str, TrialRecord] = {}

    def suggest(self, trial_id: str) -> dict[str, Any] | str | None:
        """Values of the next trial, as Ray asks for them."""
        if self._open:
            record = self._open.pop(0)
            return self._hand_out(trial_id, record, resume=record.key)
        if self._begun >= self._n_trials:
            return self.FINISHED
        if self._grid:
            values = self._grid[self._begun]
        else:
            trial = self._asked[trial_id] = self._study.ask()
            values = self._space.draw(lambda name, within: _suggest(trial, name, within))
        self._begun += 1
        record = TrialRecord(number=self._begun - 1, key=trial_id, values=values)
        return self._hand_out(trial_id, record, resume=None)

    def _hand_out(self, trial_id: str, record: TrialRecord, resume: str | None) -> dict[str, Any]:
        record.begin()
        self.records[trial_id] = record
        self._save(record)
        return {"values": record.values, "resume": resume}

    def all_records(self) -> list[TrialRecord]:
        """Every trial of the search, by number."""
        return sorted([*self._ended, *self._open, *self.records.values()], key=lambda record: record.number)

    def on_trial_result(self, trial_id: str, result: dict[str, Any]) -> None:
        """Write down an epoch."""
        record = self.records[trial_id]
        # Before its first epoch here, a trial that was cut off has no checkpoint but its old one.
        record.key = trial_id
        record.add(result)
        self._save(record)

    def on_trial_complete(self, trial_id: str, result: dict[str, Any] | None = None, error: bool = False) -> None:
        """Write down how a trial ended, and tell the sampler."""
        record, trial = self.records[trial_id], self._asked.pop(trial_id, None)
        if result:
            record.add(result)
        record.end(result or {}, error)
        self._save(record)
        if trial is None:
            self._take_up(record)
        else:
            # Not while it runs, as one that begins anew reports its first epochs again.
            for epoch in record.epochs:
                trial.report(epoch["score"], epoch["epoch"])
            finished = record.status == "finished"
            self._study.tell(trial, record.scores[-1] if finished else None, STATES[record.status])

    def _take_up(self, record: TrialRecord) -> None:
        """Tell the sampler of a trial that it has not drawn itself."""
        if self._grid:
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
        """Nothing: a search is taken up again from the records of its trials."""

    def restore(self, checkpoint_path: str) -> None:
        """Nothing, see :meth:`save`."""


def distribution(within: Range) -> BaseDistribution:
    """A range in Optuna's words."""
    if within.kind == "choice":
        return CategoricalDistribution([label(value) for value in within.given])
    if within.is_integer:
        return IntDistribution(int(within.low), int(within.high), log=within.is_log)
    step = within.given[2] if within.kind == "quniform" else None
    return FloatDistribution(within.low, within.high, log=within.is_log, step=step)


def _suggest(trial: optuna.Trial, name: str, within: Range) -> Any:
    if within.kind == "choice":
        # Optuna's own choices are numbers and text; ours may be lists.
        by_label = {label(value): value for value in within.given}
        return by_label[trial.suggest_categorical(name, list(by_label))]
    if within.is_integer:
        return trial.suggest_int(name, int(within.low), int(within.high), log=within.is_log)
    step = within.given[2] if within.kind == "quniform" else None
    return within.nearest(trial.suggest_float(name, within.low, within.high, log=within.is_log, step=step))


def _internal(value: Any, within: Range) -> Any:
    return label(value) if within.kind == "choice" else value
