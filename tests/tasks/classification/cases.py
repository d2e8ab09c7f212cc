"""Predictions as a network gives them on beats of many records, for tests of what is computed from them."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

import numpy as np
import numpy.typing as npt
import pandas as pd

from beatwise.data.features import RR_COLUMNS
from beatwise.tasks.classification.predictions import PREFIX
from beatwise.tasks.metrics import Floats

CLASSES = ["N", "S", "V", "F", "Q"]
SHARES = [0.8, 0.05, 0.08, 0.02, 0.05]
SAMPLE_RATE = 125.0


@dataclass(frozen=True, eq=False)
class Case:
    """Beats and what a network says of them."""

    target: npt.NDArray[np.int64]
    probability: Floats
    record: npt.NDArray[Any]
    lengths: npt.NDArray[np.int64]
    beats: pd.DataFrame

    @property
    def table(self) -> pd.DataFrame:
        """The predictions table."""
        columns = {f"{PREFIX}{name}": self.probability[:, i] for i, name in enumerate(CLASSES)}
        return pd.DataFrame(
            {"target": self.target, "prediction": self.probability.argmax(axis=1), **columns, "record": self.record}
        ).assign(sample=np.arange(len(self.target)) * 250)


def case(
    n: int = 1500, *, seed: int = 0, records: int = 20, skill: float = 5.0, sharpness: float = 1.0, spread: float = 1.0
) -> Case:
    """Beats of five classes; some records are hard, S beats come early, and the network is too sure of itself.

    Args:
        n: Beats.
        seed: Seed.
        records: Records.
        skill: How far the logit of the true class stands out.
        sharpness: What the logits are multiplied by; above 1 the network is too sure.
        spread: How much records differ.
    """
    rng = np.random.default_rng(seed)
    target = rng.choice(5, n, p=SHARES)
    record = rng.integers(0, records, n)
    hardness = rng.normal(size=(records, 5)) * spread
    logits = 1.5 * rng.normal(size=(n, 5)) + hardness[record] + skill * np.eye(5)[target] + 0.5 * np.log(SHARES)
    logits *= sharpness
    probability = np.exp(logits - logits.max(axis=1, keepdims=True))
    probability /= probability.sum(axis=1, keepdims=True)
    early = np.where(target == 1, 0.72, np.where(target == 2, 0.85, 1.0))
    local_mean = rng.uniform(0.6, 1.1, n)
    rr = local_mean * early * rng.normal(1, 0.06, n)
    beats = pd.DataFrame(
        dict(zip(RR_COLUMNS, (rr, local_mean * rng.normal(1, 0.06, n), local_mean, local_mean), strict=True))
    )
    lengths = np.minimum((1.2 * local_mean * SAMPLE_RATE).astype(np.int64), 187)
    names = np.array([f"{100 + i}" for i in range(records)], dtype=object)[record]
    return Case(target, probability.astype(np.float32), names, lengths, beats)
