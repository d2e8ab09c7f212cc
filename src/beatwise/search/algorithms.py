"""Search algorithms and trial schedulers by name: samplers of Optuna and schedulers of Ray Tune.

An algorithm draws the values of the next trial. A scheduler decides which trials are stopped early.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Annotated, Any

from pydantic import Field

from beatwise.core.registry import Registry

AtLeastOne = Annotated[int, Field(ge=1)]
AtLeastTwo = Annotated[int, Field(ge=2)]

# An entry returns a sampler of Optuna; `none` and `grid` return None, because their values are known in advance.
ALGORITHMS: Registry[Callable[..., Any]] = Registry("search algorithm", supplied=["seed"])
# An entry returns a scheduler of Ray Tune for trials of at most `epochs` epochs.
SCHEDULERS: Registry[Callable[..., Any]] = Registry("trial scheduler", supplied=["epochs"])


@ALGORITHMS.register("none")
def no_search(*, seed: int) -> None:
    """No search: one trial with the first value of every range, in this process and without Ray.

    It is meant for tests of the whole flow.
    """


@ALGORITHMS.register("grid")
def grid(*, seed: int, points: AtLeastTwo = 3) -> None:
    """Every combination of the values of all choices and of evenly spaced values of all other ranges.

    Args:
        seed: Not used.
        points: Number of values of each range that is not a choice.
    """


@ALGORITHMS.register("random")
def random(*, seed: int) -> Any:
    """Independent random values (Bergstra & Bengio, JMLR 13, 2012)."""
    from optuna.samplers import RandomSampler

    return RandomSampler(seed=seed)


@ALGORITHMS.register("tpe")
def tpe(*, seed: int, startup_trials: AtLeastOne = 10, multivariate: bool = True) -> Any:
    """Values that were more frequent in good trials than in others: the tree-structured Parzen estimator.

    Bergstra et al., NeurIPS 2011; Watanabe, arXiv:2304.11127.

    Args:
        seed: Random seed.
        startup_trials: Number of trials with independent random values at the start.
        multivariate: Whether the hyper-parameters that occur together are drawn jointly.
    """
    import warnings

    from optuna.exceptions import ExperimentalWarning
    from optuna.samplers import TPESampler

    with warnings.catch_warnings():
        warnings.simplefilter("ignore", ExperimentalWarning)
        return TPESampler(
            n_startup_trials=startup_trials,
            multivariate=multivariate,
            group=multivariate,
            # Without it, trials that run side by side would be drawn from the same place.
            constant_liar=True,
            seed=seed,
        )


@SCHEDULERS.register("none")
def none(*, epochs: int) -> Any:
    """Every trial runs to its end."""
    from ray.tune.schedulers import FIFOScheduler

    return FIFOScheduler()


@SCHEDULERS.register("asha")
def asha(*, epochs: int, grace_epochs: AtLeastOne = 1, reduction_factor: AtLeastTwo = 3) -> Any:
    """Asynchronous successive halving (Li et al., MLSys 2020): only the best trials continue beyond each rung.

    Args:
        epochs: Largest number of epochs of a trial.
        grace_epochs: Number of epochs that every trial runs.
        reduction_factor: One in this many trials continues, this many times as far.
    """
    from ray.tune.schedulers import ASHAScheduler

    return ASHAScheduler(grace_period=min(grace_epochs, epochs), reduction_factor=reduction_factor, max_t=epochs + 1)


@SCHEDULERS.register("hyperband")
def hyperband(*, epochs: int, reduction_factor: AtLeastTwo = 3) -> Any:
    """HyperBand (Li et al., JMLR 18, 2018): brackets that trade the number of trials for their length.

    Args:
        epochs: Largest number of epochs of a trial.
        reduction_factor: One in this many trials continues, this many times as far.
    """
    from ray.tune.schedulers import HyperBandScheduler

    return HyperBandScheduler(max_t=epochs, reduction_factor=reduction_factor)


@SCHEDULERS.register("median")
def median(*, epochs: int, grace_epochs: AtLeastOne = 1, min_trials: AtLeastOne = 3) -> Any:
    """A trial stops if its best score is worse than the median of the other trials' means (Golovin et al., KDD 2017).

    Args:
        epochs: Not used.
        grace_epochs: Number of epochs that every trial runs.
        min_trials: Number of other trials that must have reached the epoch before a trial is stopped.
    """
    from ray.tune.schedulers import MedianStoppingRule

    return MedianStoppingRule(
        time_attr="training_iteration",
        grace_period=grace_epochs,
        min_samples_required=min_trials,
        # Trials are never paused in favour of others.
        min_time_slice=10**9,
    )
