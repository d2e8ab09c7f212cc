"""Forgetting: beats that move between right and wrong during training (Toneva et al., ICLR 2019).

A beat is learnt in an epoch if it is right after it and was wrong before, and forgotten if it is wrong after it and was
right before. Toneva et al. look at training examples each time that they are in a batch; here it is validation beats
after each epoch, which the network is not trained on.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any, Final

import numpy as np
import numpy.typing as npt
import pandas as pd

from beatwise.data.examples import Labels

# The changes of a beat in an epoch.
MOVES: Final = ("wrong", "forgotten", "learnt", "right")


class ClassHistory:
    """The predicted class and the probability of the true class of each validation example after each epoch.

    It is part of a training's state, which is written after every epoch: so it takes four bytes an example and epoch,
    a probability to about three digits.
    """

    def __init__(self, target: Labels, classes: Sequence[str]) -> None:
        """Begin before the first epoch.

        Args:
            target: Class index of each validation example, ``[n]``.
            classes: Class names in the order of their indices.
        """
        self.target, self.classes = target, classes
        self.prediction: npt.NDArray[np.int16] = np.zeros((0, len(target)), np.int16)
        self.probability_of_truth: npt.NDArray[np.float16] = np.zeros((0, len(target)), np.float16)

    def add(self, decoded: npt.NDArray[np.float32]) -> None:
        """Add an epoch by its probabilities, ``float32 [n, n_classes]``."""
        of_truth = np.take_along_axis(decoded, self.target[:, None], axis=1).T
        self.prediction = np.vstack([self.prediction, decoded.argmax(axis=1).astype(np.int16)])
        self.probability_of_truth = np.vstack([self.probability_of_truth, of_truth.astype(np.float16)])

    def state(self) -> dict[str, Any]:
        """All epochs so far, as tensors."""
        import torch

        return {
            "prediction": torch.from_numpy(self.prediction),
            "probability_of_truth": torch.from_numpy(self.probability_of_truth),
        }

    def set_state(self, state: Mapping[str, Any]) -> None:
        """Go to where :meth:`state` was taken."""
        self.prediction = state["prediction"].numpy()
        self.probability_of_truth = state["probability_of_truth"].numpy()

    def metadata(self) -> dict[str, Any]:
        """The moves of examples between right and wrong, under ``moves``; see :func:`count_moves`."""
        return {"moves": count_moves(self.target, self.prediction, self.classes)}

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


def count_moves(target: Labels, prediction: npt.NDArray[np.integer[Any]], classes: Sequence[str]) -> dict[str, Any]:
    """Count which beats became right and wrong in each epoch, and how often beats were forgotten.

    Args:
        target: Class indices ``[n]``.
        prediction: Predicted class indices after each epoch ``[epochs, n]``.
        classes: Class names in the order of their indices.

    Returns:
        Plain data: ``moves``, of each class and each of :data:`MOVES` the beats after each epoch (``wrong`` and
        ``right`` are those that stayed so; in the first epoch nothing moves yet), which add up to the beats of the
        class; ``never_learnt``, of each class the beats that no epoch got right; ``forgotten``, of each class how many
        of the other beats were forgotten 0, 1, 2, … times.
    """
    right = prediction == target
    before = np.vstack([right[:1], right[:-1]])
    moved = {
        "wrong": ~right & ~before,
        "forgotten": ~right & before,
        "learnt": right & ~before,
        "right": right & before,
    }
    times = moved["forgotten"].sum(axis=0)
    ever = right.any(axis=0)
    of_class = {label: target == index for index, label in enumerate(classes)}
    return {
        "moves": {
            label: {name: moved[name][:, own].sum(axis=1).tolist() for name in MOVES} for label, own in of_class.items()
        },
        "never_learnt": {label: int((own & ~ever).sum()) for label, own in of_class.items()},
        "forgotten": {label: np.bincount(times[own & ever], minlength=1).tolist() for label, own in of_class.items()},
    }


def summarise_beats(val_history: pd.DataFrame) -> pd.DataFrame:
    """Summarise each validation beat over a training.

    Returns:
        One row a beat, by its place in the validation part (``beat``, the index): ``target``; ``prediction``, of the
        last epoch; ``epochs_right``; ``forgotten``, how often; ``confidence`` and ``variability``, mean and standard
        deviation of the probability of the true class over the epochs (Swayamdipta et al., EMNLP 2020, section 2).
    """
    table = val_history.assign(right=val_history["prediction"] == val_history["target"])
    right = table.pivot_table(index="epoch", columns="beat", values="right", aggfunc="last").to_numpy(bool)
    by_beat = table.groupby("beat")
    return pd.DataFrame(
        {
            "target": by_beat["target"].last(),
            "prediction": by_beat["prediction"].last(),
            "epochs_right": by_beat["right"].sum(),
            "forgotten": (right[:-1] & ~right[1:]).sum(axis=0),
            "confidence": by_beat["probability_of_truth"].mean(),
            "variability": by_beat["probability_of_truth"].std(ddof=0),
        }
    )
