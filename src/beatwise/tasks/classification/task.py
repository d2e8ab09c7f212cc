"""Classification: which of several classes an example belongs to."""

from __future__ import annotations

from dataclasses import dataclass
from typing import ClassVar

import numpy as np
import numpy.typing as npt

from beatwise.core.errors import BeatwiseError
from beatwise.tasks.base import TASKS, Task, finite_numbers
from beatwise.tasks.classification import metrics as _metrics  # noqa: F401


@TASKS.register("classification")
@dataclass(frozen=True)
class Classification(Task):
    """One class for each example, and a probability of each class.

    Attributes:
        classes: Class names in the order of their indices.
    """

    name: ClassVar[str] = "classification"
    default_monitor: ClassVar[str] = "macro_recall"
    tracked: ClassVar[tuple[str, ...]] = ("log_loss", "accuracy", "macro_recall", "macro_f1", "macro_auroc")

    classes: tuple[str, ...]

    @property
    def n_outputs(self) -> int:
        """One output a class."""
        return len(self.classes)

    def encode(self, target: npt.ArrayLike) -> npt.NDArray[np.int64]:
        """Class indices, ``int64 [n]``, a copy.

        Args:
            target: Class indices, ``[n]``.

        Raises:
            BeatwiseError: If a target is missing or not the index of a class.
        """
        given = np.asarray(target)
        known = finite_numbers(given)
        indices = np.where(known, given, -1).astype(np.int64)
        wrong = ~known | (indices != given) | (indices < 0) | (indices >= len(self.classes))
        if wrong.any():
            raise BeatwiseError(
                f"target: {wrong.sum():,} of {len(given):,} examples have no class, the first {given[wrong][0]!r}; "
                f"allowed: 0 to {len(self.classes) - 1} for {', '.join(self.classes)}."
            )
        return indices
