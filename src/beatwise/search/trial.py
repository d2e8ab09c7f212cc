"""One trial: one configuration trained epoch by epoch, with one seed or several side by side."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

import numpy as np
import pandas as pd
import torch

from beatwise.data.examples import Examples
from beatwise.tasks.registry import METRICS
from beatwise.tasks.tensors import TensorSet
from beatwise.training.fit import fit_tensors, resample_train
from beatwise.training.loop import Training, new_training
from beatwise.training.settings import FitSettings

# So many pairs of tensors stay in memory for the next trial: searches differ in the model more often than in the data.
KEPT = 2

Tensors = tuple[TensorSet, TensorSet]


class TensorCache:
    """Tensors of training and validation by what they depend on, so that most trials need not build theirs."""

    def __init__(self, train_beats: Examples, val_beats: Examples) -> None:
        """Remember the training and the validation part."""
        self._beats = (train_beats, val_beats)
        self._kept: dict[str, Tensors] = {}

    def get(self, config: FitSettings) -> Tensors:
        """Tensors of training and validation for a configuration."""
        key = "".join(part.model_dump_json() for part in (config.resample, config.tensors))
        if config.resample.use != "none":
            key += str(config.seed)
        if key not in self._kept:
            while len(self._kept) >= KEPT:
                del self._kept[next(iter(self._kept))]
            train_beats, val_beats = self._beats
            train, val = fit_tensors(resample_train(train_beats, config), train_beats, config, val_beats)
            self._kept[key] = (train, val)
        return self._kept[key]


class Trial:
    """The trainings of one configuration, one for each seed, which advance epoch by epoch together."""

    def __init__(self, configs: Sequence[FitSettings], tensors: TensorCache) -> None:
        """Build the networks, one a configuration."""
        self._trainings: list[Training] = []
        self._generators: list[torch.Tensor] = []
        for config in configs:
            with torch.random.fork_rng():
                self._trainings.append(new_training(*tensors.get(config), config))
                self._generators.append(torch.get_rng_state())
        self._metric = self._trainings[0].monitor
        self.n_parameters = sum(p.numel() for p in self._trainings[0].network.parameters())
        self._reported = 0

    def step(self) -> dict[str, Any]:
        """Train one epoch more; an epoch that a loaded state holds already is not trained again.

        Returns:
            Means over the seeds of the history's columns (see ``fit_model``; ``seconds``
            holds validation too, and is the sum); ``score``, the best value of the metric so far, and ``score_sd`` over
            several seeds; ``trained``, whether the epoch was trained now; ``over``, whether there is nothing left to
            train.
        """
        trained = False
        for index, training in enumerate(self._trainings):
            if len(training.rows) <= self._reported and not training.is_over():
                with torch.random.fork_rng():
                    torch.set_rng_state(self._generators[index])
                    training.next_epoch()
                    self._generators[index] = torch.get_rng_state()
                trained = True
        self._reported += 1
        # A training whose patience is over stays where it is.
        rows = pd.DataFrame([training.rows[: self._reported][-1] for training in self._trainings])
        best = [_kept(training, self._reported, self._metric) for training in self._trainings]
        result: dict[str, Any] = {str(name): mean for name, mean in rows.mean().items()}
        result["epoch"] = self._reported
        new = [t.rows[self._reported - 1] for t in self._trainings if len(t.rows) >= self._reported]
        result["seconds"] = sum(row["seconds"] + row["val_seconds"] for row in new)
        del result["val_seconds"]
        result["score"] = float(np.mean(best))
        if len(best) > 1:
            result["score_sd"] = float(np.std(best, ddof=1))
        result["trained"] = trained
        result["over"] = all(len(t.rows) <= self._reported and t.is_over() for t in self._trainings)
        return {name: value for name, value in result.items() if not _is_nan(value)}

    def state(self) -> dict[str, Any]:
        """All that changes from epoch to epoch."""
        trainings = [
            {**training.state(), "generator": generator}
            for training, generator in zip(self._trainings, self._generators, strict=True)
        ]
        return {"trainings": trainings, "reported": self._reported}

    def set_state(self, state: Mapping[str, Any], *, reported: int | None = None) -> None:
        """Go to where :meth:`state` was taken.

        Args:
            state: A state of a trial with the same network.
            reported: Epochs that have been reported; by default as many as the state says.
        """
        for index, training in enumerate(state["trainings"]):
            with torch.random.fork_rng():
                self._trainings[index].set_state(training)
            self._generators[index] = training["generator"]
        self._reported = state["reported"] if reported is None else reported


def _kept(training: Training, epochs: int, metric: str) -> float:
    """The metric of the weights that a training would keep after so many epochs."""
    values = [row[f"val_{metric}"] for row in training.rows[:epochs]]
    return values[-1] if training.settings.keep == "last" else METRICS[metric].best(values)


def _is_nan(value: Any) -> bool:
    return isinstance(value, float) and bool(np.isnan(value))
