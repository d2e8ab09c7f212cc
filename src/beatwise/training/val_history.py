"""What a network made of every validation beat after each epoch of its training."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

import numpy as np
import numpy.typing as npt
import pandas as pd
import torch

from beatwise.data.examples import Labels


class ValHistory:
    """The predicted class and the probability of the true class, epoch by epoch and beat by beat.

    It is part of a training's state, which is written after every epoch: so it takes four bytes a beat and epoch, a
    probability to about three digits.
    """

    def __init__(self, target: Labels) -> None:
        """Begin before the first epoch.

        Args:
            target: Class index of each validation beat ``[n]``.
        """
        self.target = target
        self.prediction: npt.NDArray[np.int16] = np.zeros((0, len(target)), np.int16)
        self.probability_of_truth: npt.NDArray[np.float16] = np.zeros((0, len(target)), np.float16)

    def add(self, probability: npt.NDArray[np.float32]) -> None:
        """Add an epoch.

        Args:
            probability: ``float32 [n, n_classes]``.
        """
        of_truth = np.take_along_axis(probability, self.target[:, None], axis=1).T
        self.prediction = np.vstack([self.prediction, probability.argmax(axis=1).astype(np.int16)])
        self.probability_of_truth = np.vstack([self.probability_of_truth, of_truth.astype(np.float16)])

    def state(self) -> dict[str, Any]:
        """All epochs so far, as tensors."""
        return {
            "prediction": torch.from_numpy(self.prediction),
            "probability_of_truth": torch.from_numpy(self.probability_of_truth),
        }

    def set_state(self, state: Mapping[str, Any]) -> None:
        """Go to where :meth:`state` was taken."""
        self.prediction = state["prediction"].numpy()
        self.probability_of_truth = state["probability_of_truth"].numpy()

    def table(self) -> pd.DataFrame:
        """All epochs as a table.

        Returns:
            One row an epoch and beat: ``epoch`` (from 1), ``beat`` (place in the validation part), ``target`` and
            ``prediction`` (class indices), ``probability_of_truth`` (float32).
        """
        epochs, beats = self.prediction.shape
        return pd.DataFrame(
            {
                "epoch": np.repeat(np.arange(1, epochs + 1, dtype=np.int32), beats),
                "beat": np.tile(np.arange(beats, dtype=np.int32), epochs),
                "target": np.tile(self.target.astype(np.int16), epochs),
                "prediction": self.prediction.ravel(),
                "probability_of_truth": self.probability_of_truth.ravel().astype(np.float32),
            }
        )
