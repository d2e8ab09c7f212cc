"""How population-based training changes the values of a trial that goes on from another one."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

import numpy as np

from beatwise.core.errors import BeatwiseError
from beatwise.search.space import Range, Space

# By how much a number moves (Jaderberg et al., arXiv:1711.09846, section 4.1).
FACTORS = (0.8, 1.2)
# What weights do not depend on, but for what goes from trial to trial with them.
CHANGEABLE = "train."
HANDED_OVER = ("train.optimizer.use", "train.schedule.", "train.average.use")


def refuse_unsuitable(space: Space, key: str) -> None:
    """Check that weights fit whatever is changed.

    Args:
        space: What is searched.
        key: Where it stands in the configuration, for the message.

    Raises:
        BeatwiseError: If the space reaches what weights depend on.
    """
    fixed = [name for name in space.ranges if not name.startswith(CHANGEABLE) or name.startswith(HANDED_OVER)]
    if fixed:
        raise BeatwiseError(
            f"{key}: {', '.join(fixed)}: population-based training hands weights from one trial to another, and the "
            "states of optimizer, schedule and average with them, so it can search the other options of `train` alone. "
            "Take them out of the space, or use another scheduler."
        )


class Mutation:
    """Moves every value of a trial a little within its range, or draws it anew."""

    def __init__(self, space: Space, resample_probability: float, seed: int) -> None:
        """Set up.

        Args:
            space: What is searched.
            resample_probability: How often a value is drawn anew.
            seed: Seed.
        """
        self._space, self._resample = space, resample_probability
        self._random = np.random.default_rng(seed)

    def __call__(self, config: Mapping[str, Any]) -> dict[str, Any]:
        """The changed configuration of a trial of Ray's."""
        values = self._space.draw(lambda name, within: self._changed(config["values"].get(name), within))
        return {**config, "values": values}

    def _changed(self, value: Any, within: Range) -> Any:
        if value is None or self._random.random() < self._resample:
            return draw(within, self._random)
        if within.kind == "choice":
            place = within.given.index(value) + self._random.choice([-1, 1])
            return within.given[min(max(place, 0), len(within.given) - 1)]
        return within.nearest(value * self._random.choice(FACTORS))


def draw(within: Range, random: np.random.Generator) -> Any:
    """Draw one value of a range."""
    if within.kind == "choice":
        return within.given[random.integers(len(within.given))]
    # What is rounded to the ends is as much as what is rounded to any other value.
    step = within.given[2] if within.kind == "quniform" else float(within.is_integer)
    low, high = within.low - step / 2, within.high + step / 2
    drawn = np.exp(random.uniform(np.log(low), np.log(high))) if within.is_log else random.uniform(low, high)
    return within.nearest(float(drawn))
