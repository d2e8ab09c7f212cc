"""Search spaces: a piece of the parameters of a fit in which some values are ranges.

``train: {learning_rate: {loguniform: [1.0e-4, 1.0e-2]}, patience: null}`` draws the learning rate, sets the patience.
Options under a choice's name are drawn only where that name is chosen, as they are read only there: so one space can
hold the options of several models.
"""

from __future__ import annotations

import itertools
import json
import math
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from typing import Any, Final, TypeVar

import numpy as np

from beatwise.core.errors import BeatwiseError
from beatwise.core.nested import merged, nested
from beatwise.core.registry import unknown_name

# Number of values that define each kind of range.
NUMBERS: Final = {"uniform": 2, "loguniform": 2, "quniform": 3, "randint": 2, "lograndint": 2}
KINDS: Final = ("choice", *NUMBERS)
# A step that ends at the upper end but for so much reaches it.
ROUNDING: Final = 1e-9

T = TypeVar("T")


@dataclass(frozen=True)
class Range:
    """The range of one hyper-parameter; kinds have Ray Tune's names.

    Attributes:
        kind: ``choice``, ``uniform``, ``loguniform``, ``quniform``, ``randint`` or ``lograndint``.
        given: The values of a choice; else the lowest and the highest value, and of ``quniform`` the step. The upper
            end of ``randint`` and ``lograndint`` is not drawn, as in Ray.
    """

    kind: str
    given: tuple[Any, ...]

    @property
    def is_integer(self) -> bool:
        """Whether whole numbers are drawn."""
        return self.kind in ("randint", "lograndint")

    @property
    def is_log(self) -> bool:
        """Whether the logarithm is drawn evenly."""
        return self.kind in ("loguniform", "lograndint")

    @property
    def low(self) -> float:
        """The lowest number."""
        return self.given[0]

    @property
    def high(self) -> float:
        """The highest number that is drawn."""
        if self.kind == "quniform":
            low, high, step = self.given
            return self._rounded(math.floor((high - low) / step * (1 + ROUNDING)))
        return self.given[1] - 1 if self.is_integer else self.given[1]

    def ends(self) -> list[Any]:
        """Values that are allowed if all are: each of a choice, both ends of a range."""
        return list(self.given) if self.kind == "choice" else [self.low, self.high]

    def points(self, n: int) -> list[Any]:
        """Values for a grid: each of a choice; of a range at most n, evenly spaced, its ends among them."""
        if self.kind == "choice":
            return list(self.given)
        spaced = (np.geomspace if self.is_log else np.linspace)(self.low, self.high, n)
        return list(dict.fromkeys(self.nearest(float(value)) for value in spaced))

    def nearest(self, number: float) -> float:
        """The number of the range that is nearest to any number."""
        inside = min(max(number, self.low), self.high)
        if self.is_integer:
            return round(inside)
        return self._rounded(round((inside - self.low) / self.given[2])) if self.kind == "quniform" else inside

    def _rounded(self, steps: int) -> float:
        """The number that many steps above the lowest; rounded, so that .1 + .2 is .3 in tables and names."""
        return round(self.low + steps * self.given[2], 12)

    def plain(self) -> dict[str, list[Any]]:
        """As it is written in the parameters."""
        return {self.kind: list(self.given)}

    def __str__(self) -> str:
        """For a table: the values of a choice, or ``1e-4 … 1e-2``."""
        if self.kind == "choice":
            return ", ".join(label(value) for value in self.given)
        step = f" by {self.given[2]:g}" if self.kind == "quniform" else ""
        return f"{self.low:g} … {self.high:g}{step}"


def label(value: Any) -> str:
    """A value in a table, a plot or a tracker: text stands for itself, everything else as JSON."""
    return value if isinstance(value, str) else json.dumps(value)


def parse_range(given: Mapping[str, Any], key: str) -> Range:
    """Read one range, e.g. ``{"uniform": [0, 0.5]}``; messages name its key.

    Raises:
        BeatwiseError: If it is empty, goes through zero on a logarithmic scale, or is not written as it should be.
    """
    if len(given) != 1:
        raise BeatwiseError(
            f"{key}: got {', '.join(given)}; allowed: one of {', '.join(KINDS)}. Where an environment is to draw from "
            "another kind of range, give its search another name."
        )
    ((kind, values),) = given.items()
    if not isinstance(values, list | tuple):
        raise BeatwiseError(f"{key}.{kind}: got {values!r}; allowed: a list.")
    if kind == "choice":
        labels = [label(value) for value in values]
        if not labels:
            raise BeatwiseError(f"{key}.choice: got no value; allowed: a list of at least one.")
        if len(set(labels)) < len(labels):
            raise BeatwiseError(f"{key}.choice: {', '.join(labels)} names a value twice. Each may stand there once.")
        return Range(kind, tuple(values))
    _check_numbers(kind, values, f"{key}.{kind}")
    return Range(kind, tuple(values))


def _check_numbers(kind: str, values: Sequence[Any], key: str) -> None:
    whole = kind in ("randint", "lograndint")
    wanted: Any = int if whole else (int, float)
    if len(values) != NUMBERS[kind] or not all(
        isinstance(value, wanted) and not isinstance(value, bool) and math.isfinite(value) for value in values
    ):
        what = "whole numbers" if whole else "numbers"
        names = "the lowest and the highest value" + (", and the step" if kind == "quniform" else "")
        raise BeatwiseError(f"{key}: got {values!r}; allowed: {NUMBERS[kind]} {what}, {names}.")
    low, high = values[:2]
    if low >= high:
        end = ", the upper end of which is not drawn" if whole else ""
        raise BeatwiseError(f"{key}: {values!r} is an empty range{end}; the first number must be below the second.")
    if kind in ("loguniform", "lograndint") and low <= 0:
        raise BeatwiseError(f"{key}: {values!r} goes through zero, which has no logarithm; begin above it.")
    if kind == "quniform" and not 0 < values[2] <= (high - low) * (1 + ROUNDING):
        raise BeatwiseError(f"{key}: got the step {values[2]:g}; allowed: above 0, and no wider than the range.")


class Space:
    """A search space over the parameters of a fit."""

    def __init__(self, base: Mapping[str, Any], tree: Mapping[str, Any], key: str) -> None:
        """Read a space.

        Args:
            base: The parameters of a fit by block; what the space does not name is taken from there.
            tree: The space: parameters by block, in which a mapping with the name of a kind of range is a range.
            key: Its key in the configuration, for messages.

        Raises:
            BeatwiseError: If a range is wrong.
        """
        self.ranges: dict[str, Range] = {}
        constants = dict(self._split(tree, "", key))
        self.constants = nested(constants)
        self._settled = merged(base, self.constants)
        # Choices first, from above: what else is drawn depends on them.
        self.ranges = dict(sorted(self.ranges.items(), key=lambda item: _turn(item[0])))

    def _split(self, tree: Mapping[str, Any], prefix: str, key: str) -> Iterator[tuple[str, Any]]:
        """Yield the constants by full name; put the ranges into ``ranges``."""
        for name, value in tree.items():
            full = f"{prefix}{name}"
            if isinstance(value, Mapping) and set(value) & set(KINDS):
                self.ranges[full] = parse_range(value, f"{key}.{full}")
            elif isinstance(value, Mapping):
                yield from self._split(value, f"{full}.", key)
            else:
                yield full, value

    def draw(self, pick: Callable[[str, Range], Any]) -> dict[str, Any]:
        """Draw values by full name, with ``pick``, for the hyper-parameters that the values before them use."""
        drawn: dict[str, Any] = {}
        for name, range in self.ranges.items():
            if self.is_called_for(name, drawn):
                drawn[name] = pick(name, range)
        return drawn

    def is_called_for(self, name: str, drawn: Mapping[str, Any]) -> bool:
        """Whether a hyper-parameter is an option of what is chosen, all the way up."""
        return all(_calls_for(option, drawn.get(use, settled)) for use, settled, option in self._above(name))

    def is_within_reach(self, name: str) -> bool:
        """Whether any choice that can be drawn uses a hyper-parameter."""
        return all(
            any(_calls_for(option, chosen) for chosen in (self.ranges[use].given if use in self.ranges else [settled]))
            for use, settled, option in self._above(name)
        )

    def _above(self, name: str) -> Iterator[tuple[str, Any, str]]:
        """Each choice above a hyper-parameter: its full name, what it is settled on, the option that leads on."""
        parts = name.split(".")
        for depth in range(1, len(parts) - 1):
            yield ".".join([*parts[:depth], "use"]), self._chosen(parts[:depth]), parts[depth]

    def _chosen(self, path: Sequence[str]) -> Any:
        """The fixed value of a choice that is not drawn; None if the path leads to no choice."""
        found: Any = self._settled
        for step in path:
            found = found.get(step) if isinstance(found, Mapping) else None
        return found.get("use") if isinstance(found, Mapping) else None

    def grid(self, points: int) -> list[dict[str, Any]]:
        """Every combination of values, see :meth:`Range.points`; each once."""
        names = list(self.ranges)
        values = [self.ranges[name].points(points) for name in names]
        combinations = (dict(zip(names, picked, strict=True)) for picked in itertools.product(*values))
        # Combinations that differ in what is not called for are the same.
        called_for = ({n: v for n, v in picked.items() if self.is_called_for(n, picked)} for picked in combinations)
        return list({json.dumps(drawn): drawn for drawn in called_for}.values())

    def changes(self, drawn: Mapping[str, Any]) -> dict[str, Any]:
        """The changes in the parameters of a fit that drawn values make, with the constants of the space."""
        return merged(self.constants, nested(drawn))

    def examples(self) -> Iterator[tuple[str, dict[str, Any]]]:
        """For each end of each range, changes that hold it and choose what it is an option of, for checking.

        Yields:
            Full name of the hyper-parameter, and the changes.
        """
        for name, range in self.ranges.items():
            for value in range.ends():
                yield name, merged(self._choosing(name), nested({name: value}))

    def _choosing(self, name: str) -> dict[str, Any]:
        chosen = {
            use: option if isinstance(settled, str) else [option]
            for use, settled, option in self._above(name)
            if settled is not None
        }
        return merged(self.constants, nested(chosen))


def _turn(name: str) -> tuple[bool, int]:
    """The sorting key of hyper-parameters."""
    return (False, name.count(".")) if name.endswith(".use") else (True, 0)


def _calls_for(option: str, chosen: str | Sequence[str] | None) -> bool:
    """Whether an option is among the chosen ones; several may be joined, see ``Augment``."""
    names = [name.strip() for name in chosen.split("+")] if isinstance(chosen, str) else chosen
    return names is None or option in names


def with_model_spaces(
    tree: Mapping[str, Any], default_model: str, spaces: Mapping[str, Mapping[str, Any]], key: str
) -> dict[str, Any]:
    """Fill in the space of each model that a search can choose, unless the search gives one.

    Raises:
        BeatwiseError: If there is no space for one of the models.
    """
    given = tree.get("model") or {}
    use = given.get("use", default_model) if isinstance(given, Mapping) else None
    models = use.get("choice") if isinstance(use, Mapping) else [use]
    if not isinstance(models, list | tuple) or not all(isinstance(model, str) for model in models):
        # Errors are reported when the space is read.
        return dict(tree)
    missing = [str(model) for model in models if model not in spaces and model not in given]
    if missing:
        raise BeatwiseError(
            f"{key}: there is no space for the model {missing[0]}. Say in tune.models.{missing[0]} what to search of "
            f"it ({{}} for nothing). {unknown_name('space of a model', missing[0], spaces)}"
        )
    own = {model: spaces[model] for model in models if model in spaces and model not in given}
    return merged(tree, {"model": own})
