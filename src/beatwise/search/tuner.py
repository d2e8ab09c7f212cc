"""A search by Ray Tune: trials that run side by side, epoch by epoch, and resume after an interruption."""

from __future__ import annotations

import functools
import logging
import math
import os
import time
import warnings
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from datetime import UTC, datetime
from pathlib import Path
from types import SimpleNamespace
from typing import Any, Final

from ray import tune
from ray.tune.schedulers import AsyncHyperBandScheduler, MedianStoppingRule, TrialScheduler
from ray.tune.utils import flatten_dict

from beatwise.data.examples import Examples
from beatwise.search.algorithms import ALGORITHMS, SCHEDULERS
from beatwise.search.engine import one_line, one_thread, started_ray
from beatwise.search.plan import SearchPlan
from beatwise.search.searcher import SpaceSearcher, draws, is_replay
from beatwise.search.settings import RaySettings
from beatwise.search.trial import TensorCache, Trial
from beatwise.search.trials import RAY, Searches, TrialRecord
from beatwise.training.checkpoint import Checkpoints

log = logging.getLogger(__name__)

# Restarts of a trial after its process or machine died.
RETRIES: Final = 2
STATE: Final = "trial"


class TrialTrainable(tune.Trainable):
    """A trial as Ray Tune runs it. One process runs many trials in turn, and keeps the tensors."""

    def setup(self, config: dict[str, Any], plan: SearchPlan, beats: Any, checkpoints: Checkpoints) -> None:
        """Begin the first trial of this process.

        Args:
            config: ``values``; ``resume``, the key of the checkpoint to resume from, or None; and for a trial that
                repeats a recorded one ``until``, its last epoch.
            plan: The search.
            beats: Training and validation part.
            checkpoints: The store for the state of each trial after each epoch.
        """
        one_thread()
        self._plan, self.tensors = plan, TensorCache(*beats)
        # Without the project's folder, as on some machines of a cluster, no checkpoints are written.
        self._checkpoints = checkpoints if checkpoints.folder.parent.is_dir() else None
        self._begin(config)

    def reset_config(self, new_config: dict[str, Any]) -> bool:
        """Begin another trial in the same process."""
        self._begin(new_config)
        return True

    def _begin(self, config: dict[str, Any]) -> None:
        self._trial, self._failure, self._until = None, None, config.get("until")
        try:
            self._trial = Trial(self._plan.configs(config["values"]), self.tensors)
            for key in (self.trial_id, config["resume"]):
                if key and self._checkpoints and (state := self._checkpoints.load(key)) is not None:
                    self._trial.set_state(state, reported=0)
                    break
        except Exception as error:
            log.exception("A trial cannot begin")
            self._failure = one_line(error)

    def step(self) -> dict[str, Any]:
        """Train one epoch; a trial that fails reports the reason and ends."""
        if self._trial is not None:
            try:
                result = self._trial.step()
                if self._checkpoints:
                    self._checkpoints.save(self.trial_id, self._trial.state())
                done = result["over"] or result["epoch"] == self._until
                return {**result, "n_parameters": self._trial.n_parameters, "done": done}
            except Exception as error:
                log.exception("A trial failed")
                self._failure = one_line(error)
        # Schedulers take the score of every trial that ends, and ignore NaN.
        return {"failure": self._failure, "score": math.nan, "done": True}

    def save_checkpoint(self, checkpoint_dir: str) -> None:
        """Save the state of a trial that Ray pauses."""
        if self._trial is not None:
            Checkpoints(Path(checkpoint_dir)).save(STATE, self._trial.state())

    def load_checkpoint(self, checkpoint_dir: str) -> None:
        """Load the state of a trial that Ray resumes."""
        if self._trial is not None and (state := Checkpoints(Path(checkpoint_dir)).load(STATE)) is not None:
            self._trial.set_state(state)


class Reporter(tune.Callback):
    """Reports each epoch of a trial and its end."""

    def __init__(self, report: Callable[[TrialRecord], None], searcher: SpaceSearcher) -> None:
        """Call ``report`` with the records that the searcher holds."""
        self._report, self._searcher, self._records = report, searcher, searcher.records

    def __getstate__(self) -> dict[str, Any]:
        # Ray stores callbacks; this one works in its own process only.
        return {"_report": None, "_searcher": None, "_records": {}}

    def on_trial_result(self, iteration: int, trials: Any, trial: Any, result: Any, **info: Any) -> None:
        """Report an epoch."""
        if result.get("done"):
            # Ray passes a last epoch to the searcher at the end of the trial only, which a spent budget may prevent.
            self._searcher.on_trial_result(trial.trial_id, flatten_dict(result))
        self._report(self._records[trial.trial_id])

    def on_trial_complete(self, iteration: int, trials: Any, trial: Any, **info: Any) -> None:
        """Report the end of a trial."""
        self._report(self._records[trial.trial_id])

    def on_trial_error(self, iteration: int, trials: Any, trial: Any, **info: Any) -> None:
        """Report a trial whose process died."""
        self._report(self._records[trial.trial_id])


class EpochBudget(tune.Stopper):
    """Stops a search after a number of epochs over all trials; epochs loaded from a checkpoint do not count."""

    def __init__(self, epochs: float) -> None:
        """Set the number of epochs."""
        self._left = epochs

    def __call__(self, trial_id: str, result: dict[str, Any]) -> bool:
        """Count an epoch; no single trial is stopped."""
        self._left -= result.get("trained", False)
        return False

    def stop_all(self) -> bool:
        """Whether the budget is spent."""
        return self._left <= 0


def run_search(
    plan: SearchPlan,
    key: str,
    records: list[TrialRecord],
    beats: tuple[Examples, Examples],
    searches: Searches,
    checkpoints: Checkpoints,
    settings: RaySettings,
    report: Callable[[TrialRecord], None] = lambda record: None,
) -> list[TrialRecord]:
    """Run a search, or resume it; ``records`` are the trials that have begun.

    Returns:
        All trials of the search by number; unfinished trials are ``running``.

    Raises:
        BeatwiseError: If there is no Ray cluster at the address, or the trials cannot be stored.
        KeyboardInterrupt: If the search was interrupted. The finished epochs are stored.
    """
    keys = {record.key for record in records}
    search = plan.search
    begun, epochs = len(records), sum(len(record.epochs) for record in records)
    is_repeated = is_replay(records)
    n_trials = begun if is_repeated else plan.n_trials
    is_open = begun < n_trials or any(record.status == "running" for record in records)
    total = None if is_repeated else search.total_epochs
    epochs_left = float("inf") if total is None else total - epochs
    if not is_open or epochs_left <= 0:
        return records
    if search.algorithm.use == "none":
        return [_run_here(plan, beats, functools.partial(searches.save, key), report)]
    # A sampler that learns from trials does not repeat its draws when a search is resumed. Random draws depend on the
    # number of a trial alone.
    is_random = search.algorithm.use == "random"
    seed = plan.seed if is_random else plan.seed + begun
    sampler = ALGORITHMS[search.algorithm.use](seed=seed, **search.algorithm.options)
    searcher = SpaceSearcher(
        plan.space,
        sampler=None if is_random else sampler,
        known=draws(plan.space, sampler, n_trials) if is_random else plan.grid,
        records=records,
        n_trials=n_trials,
        larger_is_better=plan.larger_is_better,
        save=functools.partial(searches.save, key),
    )
    scheduler = SCHEDULERS[search.scheduler.use](epochs=search.epochs, **search.scheduler.options)
    if is_repeated:
        scheduler = SCHEDULERS["none"](epochs=search.epochs)
    scheduler.set_search_properties(searcher.metric, searcher.mode)
    replay(scheduler, records)
    budget, minutes = EpochBudget(epochs_left), None if is_repeated else search.max_minutes
    # The project prints its own summary of a search.
    os.environ["RAY_AIR_NEW_OUTPUT"] = "0"
    # A model that trials start from is named relative to the project's folder.
    os.environ["RAY_CHDIR_TO_TRIAL_DIR"] = "0"
    with started_ray(settings) as ray, warnings.catch_warnings():
        # ASHA may look for the quantile of a rung on which all trials failed.
        warnings.filterwarnings("ignore", "All-NaN slice", RuntimeWarning)
        # As many processes start at once as there are cores; HyperBand must know all trials from the start.
        waiting = n_trials if search.scheduler.use == "hyperband" else int(ray.cluster_resources()["CPU"])
        os.environ["TUNE_MAX_PENDING_TRIALS_PG"] = str(waiting)
        # Data and plan are sent to each machine once.
        trainable = tune.with_parameters(TrialTrainable, plan=plan, beats=beats, checkpoints=checkpoints)
        tuner = tune.Tuner(
            tune.with_resources(trainable, {"cpu": 1, "gpu": settings.gpus_per_fit}),
            tune_config=tune.TuneConfig(
                search_alg=searcher,
                scheduler=scheduler,
                # The searcher ends the search.
                num_samples=-1,
                time_budget_s=None if minutes is None else minutes * 60,
                reuse_actors=True,
            ),
            run_config=tune.RunConfig(
                name=datetime.now(UTC).strftime("%Y%m%d-%H%M%S"),
                storage_path=str((searches.folder / key / RAY).absolute()),
                failure_config=tune.FailureConfig(max_failures=RETRIES),
                callbacks=[Reporter(report, searcher)],
                stop=budget,
                verbose=0,
            ),
        )
        started = time.monotonic()
        tuner.fit()
        out_of_time = minutes is not None and time.monotonic() - started >= minutes * 60
    records = searcher.all_records()
    needed = {record.key for record in records if record.status == "running"}
    for over in (keys | {record.key for record in records}) - needed:
        checkpoints.remove(over)
    is_cut_off = any(record.status == "running" for record in records) or len(records) < n_trials
    if is_cut_off and not out_of_time and not budget.stop_all():
        # Ray returns as usual after the first Ctrl-C.
        ended = sum(record.status != "running" for record in records)
        log.warning("Interrupted: %d of %d trials have ended. Repeat the command to resume.", ended, n_trials)
        raise KeyboardInterrupt
    return records


def _run_here(
    plan: SearchPlan,
    beats: tuple[Examples, Examples],
    save: Callable[[TrialRecord], None],
    report: Callable[[TrialRecord], None],
) -> TrialRecord:
    """Run the only trial of the algorithm ``none``, in this process."""
    (values,) = plan.grid
    record, trial = TrialRecord(number=0, key="0", values=values), Trial(plan.configs(values), TensorCache(*beats))
    record.begin()
    over = False
    while not over:
        result = {**trial.step(), "n_parameters": trial.n_parameters}
        record.add(result)
        over = result["over"]
    record.end(result, error=False)
    save(record)
    report(record)
    return record


@dataclass(frozen=True)
class PastTrial:
    """The part of a trial that a scheduler reads; stands for a trial of an earlier call.

    Attributes:
        trial_id: Key of the trial.
    """

    trial_id: str


def replay(scheduler: Any, records: Sequence[TrialRecord]) -> None:
    """Report earlier trials to a new scheduler that compares trials with them (HyperBand does not)."""
    if not isinstance(scheduler, AsyncHyperBandScheduler | MedianStoppingRule):
        return
    controller: Any = SimpleNamespace(get_live_trials=list)
    for record in records:
        if record.status == "running" or not record.epochs:
            continue
        trial: Any = PastTrial(record.key)
        results = [{**epoch, "training_iteration": n} for n, epoch in enumerate(record.epochs, start=1)]
        scheduler.on_trial_add(controller, trial)
        for result in results:
            decision = scheduler.on_trial_result(controller, trial, result)
            if decision == TrialScheduler.STOP and isinstance(scheduler, MedianStoppingRule):
                # The rule accepts no further results of a trial that it stopped.
                break
        scheduler.on_trial_complete(controller, trial, results[-1])
