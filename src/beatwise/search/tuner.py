"""A search by Ray Tune: many trials side by side, each trained epoch by epoch, taken up again where it was cut off."""

from __future__ import annotations

import functools
import logging
import os
import random
import time
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
from beatwise.search.searcher import SpaceSearcher
from beatwise.search.settings import RaySettings
from beatwise.search.trial import TensorCache, Trial
from beatwise.search.trials import VALUES, Searches, TrialRecord
from beatwise.training.checkpoint import Checkpoints

log = logging.getLogger(__name__)

# A trial whose process or machine dies begins again so many times.
RETRIES: Final = 2
STATE: Final = "trial"


class TrialTrainable(tune.Trainable):
    """A trial as Ray Tune runs it. One process runs many, one after the other, and keeps the tensors."""

    def setup(self, config: dict[str, Any], plan: SearchPlan, beats: Any, checkpoints: Checkpoints) -> None:
        """Begin the first trial of this process.

        Args:
            config: ``values``, and under ``resume`` the key of the checkpoint to go on from, or None.
            plan: The search.
            beats: Beats tables of training and validation.
            checkpoints: Where the state of each trial is saved after each epoch.
        """
        one_thread()
        self._plan, self._tensors = plan, TensorCache(*beats)
        # A machine of a cluster that does not share the project's folder keeps no checkpoints.
        self._checkpoints = checkpoints if checkpoints.folder.parent.is_dir() else None
        self._begin(config)

    def reset_config(self, new_config: dict[str, Any]) -> bool:
        """Begin another trial in the same process."""
        self._begin(new_config)
        return True

    def _begin(self, config: dict[str, Any]) -> None:
        self._trial, self._failure = None, None
        try:
            self._trial = Trial(self._plan.configs(config["values"]), self._tensors)
            for key in (self.trial_id, config["resume"]):
                if key and self._checkpoints and (state := self._checkpoints.load(key)) is not None:
                    self._trial.set_state(state, told=0)
                    break
        except Exception as error:
            log.exception("A trial cannot begin")
            self._failure = one_line(error)

    def step(self) -> dict[str, Any]:
        """Train one epoch; a trial that fails says why, and is over."""
        if self._trial is not None:
            try:
                result = self._trial.step()
                if self._checkpoints:
                    self._checkpoints.save(self.trial_id, self._trial.state())
                return {**result, "n_parameters": self._trial.n_parameters, "done": result["over"]}
            except Exception as error:
                log.exception("A trial failed")
                self._failure = one_line(error)
        return {"failure": self._failure, "done": True}

    def save_checkpoint(self, checkpoint_dir: str) -> None:
        """Save the state for Ray, which hands it from trial to trial in population-based training."""
        if self._trial is not None:
            Checkpoints(Path(checkpoint_dir)).save(STATE, self._trial.state())

    def load_checkpoint(self, checkpoint_dir: str) -> None:
        """Go on from a state that Ray hands over, perhaps from another trial."""
        if self._trial is not None and (state := Checkpoints(Path(checkpoint_dir)).load(STATE)) is not None:
            self._trial.set_state(state, keep_settings=True)


class _Reporter(tune.Callback):
    """Tells of each trial that ends, and how many epochs there were."""

    def __init__(self, told: Callable[[TrialRecord], None], searcher: SpaceSearcher) -> None:
        self._told, self._searcher, self._records = told, searcher, searcher.records

    def __getstate__(self) -> dict[str, Any]:
        # Ray stores callbacks; this one is of this process alone.
        return {"_told": None, "_searcher": None, "_records": {}}

    def on_trial_result(self, iteration: int, trials: Any, trial: Any, result: Any, **info: Any) -> None:
        if result.get("done"):
            # Ray tells the searcher of a last epoch only when the trial is over, which a used-up budget may prevent.
            self._searcher.on_trial_result(trial.trial_id, flatten_dict(result))
        self._told(self._records[trial.trial_id])

    def on_trial_complete(self, iteration: int, trials: Any, trial: Any, **info: Any) -> None:
        self._told(self._records[trial.trial_id])

    def on_trial_error(self, iteration: int, trials: Any, trial: Any, **info: Any) -> None:
        self._told(self._records[trial.trial_id])


class _EpochBudget(tune.Stopper):
    """Stops a search after so many epochs of all trials; those that a stored state holds already do not count."""

    def __init__(self, epochs: float) -> None:
        self._left = epochs

    def __call__(self, trial_id: str, result: dict[str, Any]) -> bool:
        self._left -= result.get("trained", False)
        return False

    def stop_all(self) -> bool:
        return self._left <= 0


def run_search(
    plan: SearchPlan,
    key: str,
    records: list[TrialRecord],
    beats: tuple[Examples, Examples],
    searches: Searches,
    checkpoints: Checkpoints,
    settings: RaySettings,
    told: Callable[[TrialRecord], None] = lambda record: None,
) -> list[TrialRecord]:
    """Run a search, or go on with it where it was cut off.

    Args:
        plan: What is searched.
        key: Names the search; a changed one has another key.
        records: The trials that have begun already, as :meth:`Searches.begin` found them.
        beats: Beats tables of training and validation.
        searches: Where each trial is stored as it goes.
        checkpoints: Where the state of each trial is saved after each epoch.
        settings: Where Ray runs.
        told: Called with a trial whenever it has trained an epoch or has ended.

    Returns:
        All trials of the search, by number; those that were cut off are ``running``.

    Raises:
        BeatwiseError: If there is no Ray cluster at the address, or the trials cannot be stored.
        KeyboardInterrupt: If the search was interrupted. What was trained is stored.
    """
    keys = {record.key for record in records}
    search = plan.search
    begun, epochs = len(records), sum(len(record.epochs) for record in records)
    n_trials = plan.n_trials
    is_open = begun < n_trials or any(record.status == "running" for record in records)
    epochs_left = float("inf") if search.total_epochs is None else search.total_epochs - epochs
    if not is_open or epochs_left <= 0:
        return records
    if search.algorithm.use == "none":
        return [_run_here(plan, beats, functools.partial(searches.save, key), told)]
    # Where a search goes on, the draws do so too.
    seed = plan.seed + begun
    searcher = SpaceSearcher(
        plan.space,
        sampler=ALGORITHMS[search.algorithm.use](seed=seed, **search.algorithm.options),
        grid=plan.grid,
        records=records,
        n_trials=n_trials,
        larger_is_better=plan.larger_is_better,
        save=functools.partial(searches.save, key),
    )
    scheduler = SCHEDULERS[search.scheduler.use](
        epochs=search.epochs, space=plan.space, seed=seed, **search.scheduler.options
    )
    scheduler.set_search_properties(searcher.metric, searcher.mode)
    _remind(scheduler, records)
    budget = _EpochBudget(epochs_left)
    # Ray's own summary of the settings says less than ours.
    os.environ["RAY_AIR_NEW_OUTPUT"] = "0"
    # A trial that fails has no score to report.
    os.environ["TUNE_DISABLE_STRICT_METRIC_CHECKING"] = "1"
    with started_ray(settings) as ray:
        # As many processes are started at once as there are cores; two schedulers must know all trials from the start.
        waiting = n_trials if search.scheduler.use in ("pbt", "hyperband") else int(ray.cluster_resources()["CPU"])
        os.environ["TUNE_MAX_PENDING_TRIALS_PG"] = str(waiting)
        # Sent to each machine once.
        trainable = tune.with_parameters(TrialTrainable, plan=plan, beats=beats, checkpoints=checkpoints)
        tuner = tune.Tuner(
            tune.with_resources(trainable, {"cpu": 1, "gpu": settings.gpus_per_fit}),
            tune_config=tune.TuneConfig(
                search_alg=searcher,
                scheduler=scheduler,
                # The searcher says when there are enough.
                num_samples=-1,
                time_budget_s=None if search.max_minutes is None else search.max_minutes * 60,
                reuse_actors=True,
            ),
            run_config=tune.RunConfig(
                name=datetime.now(UTC).strftime("%Y%m%d-%H%M%S"),
                storage_path=str((searches.folder / key / "ray").absolute()),
                failure_config=tune.FailureConfig(max_failures=RETRIES),
                callbacks=[_Reporter(told, searcher)],
                stop=budget,
                verbose=0,
            ),
        )
        # Population-based training draws from Python's own generator whom a trial goes on from, and takes no seed.
        random.seed(seed)
        started = time.monotonic()
        tuner.fit()
        out_of_time = search.max_minutes is not None and time.monotonic() - started >= search.max_minutes * 60
    records = searcher.all_records()
    needed = {record.key for record in records if record.status == "running"}
    for over in (keys | {record.key for record in records}) - needed:
        checkpoints.remove(over)
    is_cut_off = any(record.status == "running" for record in records) or len(records) < n_trials
    if is_cut_off and not out_of_time and not budget.stop_all():
        # Ray ends a search in order at the first Ctrl-C, and says nothing of it to its caller.
        ended = sum(record.status != "running" for record in records)
        log.warning("Interrupted: %d of %d trials have ended. The same command goes on with the rest.", ended, n_trials)
        raise KeyboardInterrupt
    return records


def _run_here(
    plan: SearchPlan,
    beats: tuple[Examples, Examples],
    save: Callable[[TrialRecord], None],
    told: Callable[[TrialRecord], None],
) -> TrialRecord:
    """The one trial of no search."""
    (values,) = plan.grid
    record, trial = TrialRecord(number=0, key="0", values=values), Trial(plan.configs(values), TensorCache(*beats))
    record.begin()
    over = False
    while not over:
        result = {**trial.step(), "n_parameters": trial.n_parameters}
        record.add({**result, **{VALUES + name: value for name, value in values.items()}})
        over = result["over"]
    record.end(result, error=False)
    save(record)
    told(record)
    return record


@dataclass(frozen=True)
class _Past:
    """A trial that ran before, as far as a scheduler looks at it."""

    trial_id: str


def _remind(scheduler: Any, records: Sequence[TrialRecord]) -> None:
    """Tell a scheduler of the trials that ended before, so that new ones are measured against them."""
    if not isinstance(scheduler, AsyncHyperBandScheduler | MedianStoppingRule):
        return
    controller: Any = SimpleNamespace(get_live_trials=list)
    for record in records:
        if record.status == "running" or not record.epochs:
            continue
        trial: Any = _Past(record.key)
        results = [{**epoch, "training_iteration": n} for n, epoch in enumerate(record.epochs, start=1)]
        scheduler.on_trial_add(controller, trial)
        for result in results:
            said = scheduler.on_trial_result(controller, trial, result)
            if said == TrialScheduler.STOP and isinstance(scheduler, MedianStoppingRule):
                # It takes no more of a trial that it has stopped.
                break
        scheduler.on_trial_complete(controller, trial, results[-1])
