"""Sixteen short trials, three ways: `python -m benchmarks.search [--rounds 3] [--beats 4000] [--epochs 2]`.

The same sixteen configurations of an mlp, each trained by the same loop on the same synthetic beats:

- Beatwise: a search by grid, without a scheduler, on all cores;
- Ray's recipe: a function that reports every epoch, the beats by `tune.with_parameters`, the rest as Ray does it;
- Optuna alone: its loop over the same grid, one trial after the other with all threads.

Ray is started once and not measured; each way begins its processes itself. The three are timed in turn, round by round,
so that whatever else the machine does befalls all; the ratio of the medians counts.

`--starts` measures the start of a trial in Beatwise's search instead: how long a process has nothing to train, from the
last epoch of one trial to the first of the next. That is all that Ray, the search and a new network take.
"""

from __future__ import annotations

import argparse
import logging
import os
import statistics
import tempfile
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any
from unittest.mock import patch

import numpy as np
import optuna
import pandas as pd
import ray
import torch
from ray import tune
from rich.console import Console
from rich.table import Table

from beatwise.data.examples import Examples
from beatwise.data.settings import Resample, Tensors
from beatwise.networks.settings import Model
from beatwise.search import tuner
from beatwise.search.plan import SearchPlan, plan_search
from beatwise.search.settings import RaySettings, Tune
from beatwise.search.trial import TensorCache, Trial
from beatwise.search.trials import Searches
from beatwise.search.tuner import TrialTrainable, run_search
from beatwise.tasks.settings import TaskChoice
from beatwise.training.checkpoint import Checkpoints
from beatwise.training.settings import Train

CLASSES = ["N", "S", "V", "F", "Q"]
TASK = TaskChoice.model_validate({"use": "classification", "classification": {"classes": CLASSES}})
RATES = [3e-4, 1e-3, 3e-3, 1e-2]
WIDTHS = [32, 64, 128, 256]
SPACE = {
    "model": {"use": "mlp", "mlp": {"width": {"choice": WIDTHS}}},
    "train": {"learning_rate": {"choice": RATES}},
}
Beats = tuple[Examples, Examples]


def make_beats(n: int) -> Beats:
    """Synthetic beats of training and validation: noise around a mean of its own for each class."""
    random = np.random.default_rng(0)
    means = random.uniform(0, 1, (len(CLASSES), 187))
    parts = []
    for size in (n, n // 8):
        target = random.choice(len(CLASSES), size, p=[0.8, 0.05, 0.06, 0.02, 0.07])
        values = np.clip(means[target] + random.normal(0, 0.3, (size, 187)), 0, 1)
        parts.append(Examples(values.astype(np.float32), pd.DataFrame({"target": target})))
    return parts[0], parts[1]


def make_plan(epochs: int) -> SearchPlan:
    """The sixteen trials."""
    search = {
        "space": SPACE,
        "algorithm": {"use": "grid"},
        "scheduler": {"use": "none"},
        "trials": 16,
        "epochs": epochs,
    }
    given = Tune.model_validate({"use": "fixed", "fixed": search})
    fit = (Resample(use="none"), Tensors(use="auto"), Model(use="mlp"), Train())
    return plan_search(given, TASK, 42, *fit)


def with_beatwise(plan: SearchPlan, beats: Beats) -> int:
    """A search as `kedro run --pipeline=tune` runs it, but for the checkpoints of another run."""
    with tempfile.TemporaryDirectory() as folder:
        searches, checkpoints = Searches(Path(folder) / "searches"), Checkpoints(Path(folder) / "checkpoints")
        begun = searches.begin("fixed", plan)
        return len(run_search(plan, "fixed", begun, beats, searches, checkpoints, RaySettings()))


def start_times(plan: SearchPlan, beats: Beats) -> list[float]:
    """The time that each trial takes to start in a process that has run one before (s)."""
    with tempfile.TemporaryDirectory() as folder:

        class Timed(TrialTrainable):
            """Notes in a file of its process when it trained, and what."""

            def step(self) -> dict[str, Any]:
                began = time.time()
                result = super().step()
                with (Path(folder) / f"{os.getpid()}").open("a") as file:
                    file.write(f"{self.trial_id} {began} {time.time()}\n")
                return result

        with patch.object(tuner, "TrialTrainable", Timed):
            with_beatwise(plan, beats)
        starts = []
        for path in Path(folder).iterdir():
            steps = pd.read_csv(path, sep=" ", names=["trial", "began", "ended"], dtype={"trial": str})
            is_next = steps["trial"] != steps["trial"].shift(fill_value=steps["trial"].iloc[0])
            starts += (steps["began"] - steps["ended"].shift())[is_next].tolist()
        return starts


def recipe(config: dict[str, Any], plan: SearchPlan, beats: Beats) -> None:
    """A trial as Ray's documentation writes one."""
    torch.set_num_threads(1)
    trial = Trial(plan.configs(config), TensorCache(*beats))
    over = False
    while not over:
        result = trial.step()
        over = result.pop("over")
        tune.report(result)


def with_rays_recipe(plan: SearchPlan, beats: Beats) -> int:
    """A function that reports, with Ray's defaults."""
    with tempfile.TemporaryDirectory() as folder:
        search = tune.Tuner(
            tune.with_parameters(recipe, plan=plan, beats=beats),
            param_space={
                "model.mlp.width": tune.grid_search(WIDTHS),
                "train.learning_rate": tune.grid_search(RATES),
            },
            tune_config=tune.TuneConfig(metric="score", mode="max"),
            run_config=tune.RunConfig(storage_path=folder, verbose=0),
        )
        return len(search.fit())


def with_optuna(plan: SearchPlan, beats: Beats) -> int:
    """Optuna's own loop, one trial after the other."""

    def objective(trial: optuna.Trial) -> float:
        values = {
            "model.mlp.width": trial.suggest_categorical("width", WIDTHS),
            "train.learning_rate": trial.suggest_categorical("rate", RATES),
        }
        training = Trial(plan.configs(values), TensorCache(*beats))
        while not (result := training.step())["over"]:
            pass
        return float(result["score"])

    torch.set_num_threads(os.cpu_count() or 1)
    study = optuna.create_study(
        sampler=optuna.samplers.GridSampler({"width": WIDTHS, "rate": RATES}), direction="maximize"
    )
    study.optimize(objective, n_trials=16)
    return len(study.trials)


def main() -> None:
    """Measure and print."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--rounds", type=int, default=3)
    parser.add_argument("--beats", type=int, default=4000)
    parser.add_argument("--epochs", type=int, default=2)
    parser.add_argument("--starts", action="store_true")
    given = parser.parse_args()
    logging.getLogger("ray").setLevel(logging.ERROR)
    os.environ["RAY_AIR_NEW_OUTPUT"] = "0"
    os.environ["CUDA_VISIBLE_DEVICES"] = ""
    plan, beats = make_plan(given.epochs), make_beats(given.beats)
    jobs: dict[str, Callable[[SearchPlan, Beats], int]] = {
        "Beatwise": with_beatwise,
        "Ray's recipe": with_rays_recipe,
        "Optuna alone": with_optuna,
    }
    taken: dict[str, list[float]] = {name: [] for name in jobs}
    ray.init(address="local", include_dashboard=False, log_to_driver=False, logging_level=logging.ERROR)
    try:
        if given.starts:
            starts = [start for _ in range(given.rounds) for start in start_times(plan, beats)]
            low, median, high = np.quantile(starts, (0, 0.5, 1))
            print(f"{len(starts)} starts after a process's first, s: median {median:.3f} ({low:.3f} to {high:.3f})")
            return
        for _ in range(given.rounds):
            for name, job in jobs.items():
                started = time.perf_counter()
                if (n := job(plan, beats)) != 16:
                    raise SystemExit(f"{name} ran {n} trials instead of 16.")
                taken[name].append(time.perf_counter() - started)
    finally:
        ray.shutdown()
    table = Table(title=f"16 trials of {given.epochs} epochs on {given.beats:,} beats, median of {given.rounds} rounds")
    for column in ("", "seconds", "min to max", "of Beatwise"):
        table.add_column(column, justify="left" if not column else "right")
    ours = statistics.median(taken["Beatwise"])
    for name, times in taken.items():
        median = statistics.median(times)
        table.add_row(name, f"{median:.1f}", f"{min(times):.1f} to {max(times):.1f}", f"{median / ours:.2f}")
    Console().print(table)


if __name__ == "__main__":
    main()
