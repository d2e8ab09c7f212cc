"""What a task is: which numbers a network gives, what they are compared with, and by which metrics it is judged.

Training, search, comparison, figures and reports ask the task for everything that differs between classification and
regression. A task is small plain data, is stored with tensors and models, and needs no torch to be imported.
"""

from __future__ import annotations

from abc import ABC, abstractmethod
from collections.abc import Mapping
from typing import Any, ClassVar, Self

import numpy as np
import numpy.typing as npt

from beatwise.core.registry import Registry


class Task(ABC):
    """One kind of question about an example; a subclass is a frozen dataclass.

    Attributes:
        name: Name of the task in the registry.
        default_monitor: Validation metric that picks the best epoch where none is chosen.
        tracked: Validation metrics that every history holds.
    """

    name: ClassVar[str]
    default_monitor: ClassVar[str]
    tracked: ClassVar[tuple[str, ...]]

    @property
    @abstractmethod
    def n_outputs(self) -> int:
        """Numbers that a network gives for one example."""

    @abstractmethod
    def encode(self, target: npt.ArrayLike) -> npt.NDArray[Any]:
        """Turn the column ``target`` into what a training compares outputs with.

        Args:
            target: One value an example, ``[n]``.

        Returns:
            A writable copy, ``[n]``.

        Raises:
            BeatwiseError: If a value cannot be a target of this task.
        """

    def fitted(self, target: npt.ArrayLike) -> Self:
        """The task with what it takes from the training part, before resampling; classification takes nothing.

        Args:
            target: The column ``target`` of the training part, ``[n]``.
        """
        return self

    def to_dict(self) -> dict[str, Any]:
        """The task as plain data for JSON, under its name (``use``)."""
        fields = {name: list(v) if isinstance(v, tuple) else v for name, v in vars(self).items()}
        return {"use": self.name, **fields}

    @classmethod
    def from_dict(cls, stored: Mapping[str, Any]) -> Task:
        """The inverse of :meth:`to_dict`, of whichever task it was.

        Raises:
            BeatwiseError: If the task is unknown.
        """
        from beatwise.tasks.registry import TASKS

        fields = {name: tuple(v) if isinstance(v, list) else v for name, v in stored.items() if name != "use"}
        return TASKS[stored["use"]](**fields)


TASKS: Registry[type[Task]] = Registry("task")


def finite_numbers(target: npt.ArrayLike) -> npt.NDArray[np.bool_]:
    """Which targets are finite numbers, ``bool [n]``."""
    return np.isfinite(np.asarray(target, dtype=np.float64))
