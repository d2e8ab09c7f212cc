"""Tensors: examples as a network takes them, made by a representation and a task."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

import numpy as np
import numpy.typing as npt
import pandas as pd

from beatwise.core.errors import BeatwiseError
from beatwise.data.examples import CARRIED, TARGET, Array, Examples
from beatwise.data.representations import Representation
from beatwise.tasks.base import Task


@dataclass(frozen=True, eq=False)
class TensorSet:
    """Examples as a network takes them.

    Attributes:
        x: ``float32 [n, c, t]`` or ``[n, c, height, width]``.
        aux: Features, standardised on train, ``float32 [n, f]``; f = 0 where there are none.
        y: Encoded targets ``[n]``, class indices ``int64`` for a classification; None without labels.
        representation: How ``x`` and ``aux`` were made.
        task: How ``y`` was made.
        fingerprint: Fingerprint of the examples.
        table: The columns of the examples that predictions carry on (group, time, record, sample).
    """

    x: Array
    aux: Array
    y: npt.NDArray[Any] | None
    representation: Representation
    task: Task
    fingerprint: str
    table: pd.DataFrame

    def __len__(self) -> int:
        return len(self.x)

    @property
    def shape(self) -> tuple[int, ...]:
        """Shape of one example, as it was before it became a tensor."""
        return self.representation.fitted.shape

    @property
    def labels(self) -> npt.NDArray[Any]:
        """The encoded targets.

        Raises:
            BeatwiseError: If the examples had no labels.
        """
        if self.y is None:
            raise BeatwiseError("These examples have no labels: they can be predicted, but not trained on or measured.")
        return self.y

    def take(self, rows: npt.NDArray[np.integer[Any]]) -> TensorSet:
        """Some of the examples, by their numbers."""
        y = None if self.y is None else self.y[rows]
        table = self.table.iloc[rows].reset_index(drop=True)
        return TensorSet(self.x[rows], self.aux[rows], y, self.representation, self.task, self.fingerprint, table)


def build_tensors(examples: Examples, representation: Representation, task: Task) -> TensorSet:
    """Examples as tensors.

    Args:
        examples: Of the shape of the training part; labels are optional.
        representation: Fitted on the training part.
        task: Encodes the targets.

    Raises:
        BeatwiseError: If the examples are of another shape, lack features that the model was trained with, or have a
            target that the task cannot encode.
    """
    x, aux = representation.apply(examples)
    y = task.encode(examples.table[TARGET]) if examples.has(TARGET) else None
    carried = examples.table[[name for name in CARRIED if examples.has(name)]]
    return TensorSet(x, aux, y, representation, task, examples.fingerprint, carried)
