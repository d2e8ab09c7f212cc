"""The one registry of metrics: how each is computed, what it is called, which way is better, and its bounds.

A metric is one function from a weighted sample of predictions to its values; a decorator registers it. A sample holds
b weightings of the same n examples: all ones in one row give the plain metric, the counts of bootstrap draws give its
value in each draw, so that a metric and its interval come from one piece of code.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from typing import Any, TypeVar

import numpy as np
import numpy.typing as npt

from beatwise.core.errors import BeatwiseError
from beatwise.core.nested import as_key
from beatwise.core.registry import unknown_name

Floats = npt.NDArray[np.floating[Any]]


class Sample:
    """Predictions with b weightings, as metrics take them; every metric of it is computed once.

    A task's own kind of sample adds what its metrics share as cached properties.
    """

    def __init__(self) -> None:
        """Begin without a value."""
        self._values: dict[str, Floats] = {}

    def __getitem__(self, name: str) -> Floats:
        """The values of a metric: ``float64 [b]``, or ``float64 [b, n_classes]`` of one for each class."""
        if name not in self._values:
            self._values[name] = METRICS[name].compute(self)
        return self._values[name]


Compute = Callable[[Any], Floats]
F = TypeVar("F", bound=Compute)


@dataclass(frozen=True, eq=False)
class Metric:
    """One metric.

    Attributes:
        name: Its name in configuration, tables of results and trackers.
        label: Its name wherever people read it.
        task: Name of the task that it belongs to.
        higher_is_better: Which way is better.
        low: Its smallest possible value; None without a bound.
        high: Its largest possible value; None without a bound.
        per_class: Whether it has one value for each class rather than one overall.
        chooses: Whether it only chooses, on validation: it is the best that something could reach on the part that it
            is computed on, and so too high to measure with.
        relative: Whether it needs a naive forecast beside the prediction, so that it only measures: while a model is
            trained there is none.
        compute: The function from a :class:`Sample` to its values.
    """

    name: str
    label: str
    task: str
    higher_is_better: bool
    low: float | None
    high: float | None
    per_class: bool
    chooses: bool
    relative: bool
    compute: Compute

    @property
    def sign(self) -> int:
        """1 where more is better, -1 where less is: times this, more is better of any metric."""
        return 1 if self.higher_is_better else -1

    def best(self, values: Sequence[float]) -> float:
        """The best of several values."""
        return max(values) if self.higher_is_better else min(values)


class Metrics(Mapping[str, Metric]):
    """Metrics by name, in the order in which they were registered."""

    def __init__(self) -> None:
        """Begin without one."""
        self._entries: dict[str, Metric] = {}

    def register(
        self,
        name: str,
        *,
        task: str,
        label: str = "",
        higher_is_better: bool = True,
        low: float | None = 0.0,
        high: float | None = 1.0,
        per_class: bool = False,
        chooses: bool = False,
        relative: bool = False,
    ) -> Callable[[F], F]:
        """Decorate a function to make it a metric; the arguments are the attributes of :class:`Metric`."""

        def add(compute: F) -> F:
            if name in self._entries:
                raise BeatwiseError(f"The metric {name!r} is registered twice.")
            shown = label or name.replace("_", " ")
            self._entries[name] = Metric(
                name, shown, task, higher_is_better, low, high, per_class, chooses, relative, compute
            )
            return compute

        return add

    def __getitem__(self, name: str) -> Metric:
        if name not in self._entries:
            raise BeatwiseError(unknown_name("metric", name, self._entries))
        return self._entries[name]

    def __contains__(self, name: object) -> bool:
        return name in self._entries

    def __iter__(self) -> Iterator[str]:
        return iter(self._entries)

    def __len__(self) -> int:
        return len(self._entries)

    def overall(self, task: str | None = None) -> list[str]:
        """Names of the metrics that have one value for all classes, of one task or of all."""
        return [name for name in self._of(task) if not self[name].chooses]

    def choosing(self, task: str | None = None) -> list[str]:
        """Names of the metrics that may choose on validation: the overall ones, and those that only choose."""
        return [name for name in self._of(task) if not self[name].relative]

    def _of(self, task: str | None) -> list[str]:
        return [name for name, metric in self.items() if not metric.per_class and task in (None, metric.task)]

    def per_class(self, task: str) -> list[str]:
        """Names of the metrics that have one value for each class."""
        return [name for name, metric in self.items() if metric.per_class and metric.task == task]

    def check_overall(self, name: str, *, chooses: bool = False) -> str:
        """Refuse what is no overall metric of any task.

        Args:
            name: The name.
            chooses: Whether those that only choose are allowed too.

        Raises:
            BeatwiseError: If the name is unknown, or that of a metric for each class.
        """
        if name not in (known := self.choosing() if chooses else self.overall()):
            raise BeatwiseError(unknown_name("metric", name, known))
        return name


METRICS = Metrics()


def ratio(top: Floats, bottom: Floats, otherwise: float = np.nan) -> Floats:
    """Quotients, and another value where the divisor is 0."""
    return np.divide(top, bottom, out=np.full(np.broadcast(top, bottom).shape, otherwise), where=bottom != 0)


def plain(values: Floats) -> Any:
    """Numbers as nested lists for JSON, None where one is not defined."""
    out = values.astype(object)
    out[np.isnan(values)] = None
    return out.tolist()


def flatten_scores(metrics: Mapping[str, Any]) -> dict[str, float]:
    """The values without intervals under short keys, ``test.macro_recall`` or ``test.recall.S``, for trackers.

    Args:
        metrics: What ``Task.measure`` returned.
    """
    flat: dict[str, float | None] = {}
    for part in ("test", "val", "recall_first"):
        scores = metrics.get(part, {"overall": {}})
        flat |= {f"{part}.{name}": metric["value"] for name, metric in scores["overall"].items()}
        for label, by_name in scores.get("per_class", {}).items():
            named = {name: metric for name, metric in by_name.items() if name != "support"}
            flat |= {f"{part}.{name}.{as_key(label)}": metric["value"] for name, metric in named.items()}
    return {key: value for key, value in flat.items() if value is not None}
