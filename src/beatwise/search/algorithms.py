"""Search algorithms and schedulers by name: Optuna's samplers and Ray Tune's schedulers, with the options that matter.

An algorithm says which values the next trial gets, a scheduler which trials are stopped early.
"""

from __future__ import annotations

from collections.abc import Callable
from types import SimpleNamespace
from typing import Annotated, Any

from pydantic import Field

from beatwise.core.registry import Registry

AtLeastOne = Annotated[int, Field(ge=1)]
AtLeastTwo = Annotated[int, Field(ge=2)]

# Each makes an Optuna sampler, but for the grid, of which only the points are taken, and for none at all.
ALGORITHMS: Registry[Callable[..., Any]] = Registry("search algorithm", supplied=["seed"])
# Each makes a scheduler of Ray Tune for trials of at most so many epochs.
SCHEDULERS: Registry[Callable[..., Any]] = Registry("trial scheduler", supplied=["epochs", "space", "seed"])


@ALGORITHMS.register("none")
def no_search(*, seed: int) -> None:
    """No search: one trial with the first value of every range, in this process and without Ray.

    For tests of the whole flow.

    Args:
        seed: Not used.
    """


@ALGORITHMS.register("grid")
def grid(*, seed: int, points: AtLeastTwo = 3) -> None:
    """Every combination; of a range that is no choice, so many values from end to end.

    Args:
        seed: Not used.
        points: Values of each range.
    """


@ALGORITHMS.register("random")
def random(*, seed: int) -> Any:
    """Values drawn independently (Bergstra & Bengio, JMLR 13, 2012).

    Args:
        seed: Seed.
    """
    from optuna.samplers import RandomSampler

    return RandomSampler(seed=seed)


@ALGORITHMS.register("tpe")
def tpe(*, seed: int, startup_trials: AtLeastOne = 10, multivariate: bool = True) -> Any:
    """Values that were more frequent in good trials than in others: the tree-structured Parzen estimator.

    Bergstra et al., NeurIPS 2011; Watanabe, arXiv:2304.11127.

    Args:
        seed: Seed.
        startup_trials: Trials with independent values at the beginning.
        multivariate: Whether values are drawn together, of the hyper-parameters that occur together.
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
            # Trials that run side by side would otherwise be drawn from the same place.
            constant_liar=True,
            seed=seed,
        )


@SCHEDULERS.register("none")
def none(*, epochs: int, space: Any, seed: int) -> Any:
    """Every trial runs to its end.

    Args:
        epochs: Not used.
        space: Not used.
        seed: Not used.
    """
    from ray.tune.schedulers import FIFOScheduler

    return FIFOScheduler()


@SCHEDULERS.register("asha")
def asha(*, epochs: int, space: Any, seed: int, grace_epochs: AtLeastOne = 1, reduction_factor: AtLeastTwo = 3) -> Any:
    """Asynchronous successive halving (Li et al., MLSys 2020): at each rung only the best go on.

    Args:
        epochs: Epochs of a trial, at most.
        space: Not used.
        seed: Not used.
        grace_epochs: Epochs that every trial runs.
        reduction_factor: One in so many goes on, so many times as far.
    """
    from ray.tune.schedulers import ASHAScheduler

    return ASHAScheduler(grace_period=min(grace_epochs, epochs), reduction_factor=reduction_factor, max_t=epochs + 1)


@SCHEDULERS.register("hyperband")
def hyperband(*, epochs: int, space: Any, seed: int, reduction_factor: AtLeastTwo = 3) -> Any:
    """HyperBand (Li et al., JMLR 18, 2018): brackets that trade the number of trials for their length.

    Args:
        epochs: Epochs of a trial, at most.
        space: Not used.
        seed: Not used.
        reduction_factor: One in so many goes on, so many times as far.
    """
    from ray.tune.schedulers import HyperBandScheduler

    return HyperBandScheduler(max_t=epochs, reduction_factor=reduction_factor)


@SCHEDULERS.register("median")
def median(*, epochs: int, space: Any, seed: int, grace_epochs: AtLeastOne = 1, min_trials: AtLeastOne = 3) -> Any:
    """A trial stops whose best is below the median of the others' means (Golovin et al., KDD 2017).

    Args:
        epochs: Not used.
        space: Not used.
        seed: Not used.
        grace_epochs: Epochs that every trial runs.
        min_trials: Trials that must have come as far before one is stopped.
    """
    from ray.tune.schedulers import MedianStoppingRule

    class Rule(MedianStoppingRule):
        """Ray's rule takes it for granted that a trial has a score when it ends; one that failed has none."""

        def on_trial_complete(self, tune_controller: Any, trial: Any, result: dict[str, Any]) -> None:
            if self.metric in result:
                super().on_trial_complete(tune_controller, trial, result)

    return Rule(
        time_attr="training_iteration",
        grace_period=grace_epochs,
        min_samples_required=min_trials,
        # Trials are never set aside for others.
        min_time_slice=10**9,
    )


@SCHEDULERS.register("pbt")
def pbt(
    *,
    epochs: int,
    space: Any,
    seed: int,
    every_epochs: AtLeastOne = 2,
    quantile: Annotated[float, Field(gt=0, le=0.5)] = 0.25,
    resample_probability: Annotated[float, Field(ge=0, le=1)] = 0.25,
) -> Any:
    """Population-based training (Jaderberg et al., arXiv:1711.09846): the worst go on from the best, slightly changed.

    All trials run side by side as one population. What is changed can be searched only where the weights fit
    afterwards: the training, not the model, the resampling or the tensors.

    Args:
        epochs: Not used.
        space: The ``Space``.
        seed: Seed of the changes.
        every_epochs: Epochs between two changes.
        quantile: Share of the population that is replaced, and that is copied.
        resample_probability: How often a value is drawn anew instead of moved.
    """
    from ray.tune.schedulers import PopulationBasedTraining

    from beatwise.search.population import Mutation

    class Population(PopulationBasedTraining):
        """Ray's own refuses trials from a searcher, although nothing in it asks where they come from."""

        def on_trial_add(self, tune_controller: Any, trial: Any) -> None:
            super().on_trial_add(SimpleNamespace(search_alg=None), trial)

    return Population(
        time_attr="training_iteration",
        perturbation_interval=every_epochs,
        quantile_fraction=quantile,
        # Ray's own moves leave the ranges.
        custom_explore_fn=Mutation(space, resample_probability, seed),
    )
