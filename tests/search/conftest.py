"""Small searches, and trials put down by hand."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

from beatwise.data.settings import Resample, Tensors
from beatwise.networks.settings import Model
from beatwise.search.algorithms import ALGORITHMS
from beatwise.search.plan import SearchPlan, plan_search
from beatwise.search.searcher import draws
from beatwise.search.settings import Tune
from beatwise.search.space import Space
from beatwise.search.trials import TrialRecord
from beatwise.training.fit import fit_blocks
from beatwise.training.settings import Train
from tests.conftest import TASK

LEARNING_RATE: dict[str, Any] = {"train": {"learning_rate": {"loguniform": [1e-4, 1e-1]}}}
# What a search fits where its space does not say otherwise.
BASE: dict[str, Any] = {
    "resample": Resample(use="none"),
    "tensors": Tensors(use="auto"),
    "model": Model(use="mlp", mlp={"width": 8, "layers": 1}),
    "train": Train(epochs=20, batch_size=32, patience=None),
}


def plan(
    space: Mapping[str, Any] = LEARNING_RATE,
    *,
    name: str = "s",
    seed: int = 0,
    models: Mapping[str, Any] | None = None,
    base: Mapping[str, Any] | None = None,
    **search: Any,
) -> SearchPlan:
    """A search over a base that is an mlp; of models nothing is searched unless it is said."""
    settings = {"trials": 4, "epochs": 3, "scheduler": {"use": "none"}, "space": space, **search}
    tune = {"use": name, "models": {"mlp": {}} if models is None else models, name: settings}
    return plan_search(Tune.model_validate(tune), TASK, seed, **{**BASE, **(base or {})})


def space_of(tree: Mapping[str, Any], key: str = "k") -> Space:
    """A space over the same base."""
    return Space(fit_blocks(**BASE), tree, key)


def drawn(space: Space, n: int, seed: int = 0) -> list[dict[str, Any]]:
    """Random values of n trials."""
    return draws(space, ALGORITHMS["random"](seed=seed), n)


def record(
    number: int,
    values: Mapping[str, Any],
    *scores: float,
    status: str = "finished",
    metric: str = "macro_recall",
    **metadata: Any,
) -> TrialRecord:
    """A trial with these scores, epoch by epoch; a score is the best so far."""
    epochs: Sequence[dict[str, Any]] = [
        {
            "epoch": epoch,
            "learning_rate": 0.01,
            "train_loss": 1.0 / epoch,
            f"val_{metric}": score,
            "val_log_loss": 1.0,
            "seconds": 1.5,
            "score": score,
        }
        for epoch, score in enumerate(scores, start=1)
    ]
    own = {"started": "2026-01-01T00:00:00+00:00", "n_parameters": 99 if scores else None}
    given = {"key": f"key{number}", "status": status, "epochs": list(epochs), **own, **metadata}
    return TrialRecord(number=number, values=dict(values), **given)
