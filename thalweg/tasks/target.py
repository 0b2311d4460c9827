"""A target: the validation figure at which a task counts as learned."""

from __future__ import annotations

import math
from dataclasses import dataclass
from typing import Any, Literal, Protocol

from thalweg.errors import TaskError
from thalweg.numeric import is_real
from thalweg.objective.scores import Scores


class Figures(Protocol):
    """What a target asks of a cost: which figures it reports, and what they can be."""

    @property
    def surrogate(self) -> Any:
        """The loss."""

    def direction(self, name: str) -> Literal["max", "min"]:
        """Return which way the figure is better; TaskError if there is no such figure."""

    def bounds(self, name: str) -> tuple[float, float]:
        """Return the lowest and the highest value of the figure."""


@dataclass(frozen=True)
class Target:
    """A figure of the validation set to be reached.

    The figure is named as the cost names it, with or without "validation" before it. Which way is
    better is the metric's own direction.

    Raises:
        TaskError: `metric` is not a name, or `value` not a finite number.

    Example:
        >>> Target("accuracy", 0.95)
        Target(metric='accuracy', value=0.95)
    """

    metric: str
    value: float

    def __post_init__(self) -> None:
        if not isinstance(self.metric, str):
            raise TaskError(
                f"A target names its figure first, as in Target('accuracy', 0.95); got "
                f"{self.metric!r}."
            )
        value: Any = self.value
        if not (is_real(value) and math.isfinite(value)):
            raise TaskError(f"A target's value must be a finite number; got {value!r}.")
        if not isinstance(value, (int, float)):  # as it is written: .95, not .949999988
            object.__setattr__(self, "value", float(str(value)))

    def check(self, cost: Figures) -> None:
        """Raise TaskError if `cost` reports no such figure, or none that can be as good as this."""
        name = figure(self.metric)
        direction = cost.direction(name)
        low, high = cost.bounds(name)
        called = f"The loss {cost.surrogate.name}" if name == "loss" else name.capitalize()
        got = f"the target is {name} {self.value:g}"
        if direction == "min" and self.value < low:
            raise TaskError(f"{called} cannot fall below {low:g}; {got}.")
        if direction == "max" and self.value > high:
            share = f" For {self.value:g} % write {self.value / 100:g}." if high == 1 else ""
            raise TaskError(f"{called} cannot exceed {high:g}; {got}.{share}")

    def is_reached(self, scores: Scores, cost: Figures) -> bool:
        """Return whether `scores` are as good as the target, within rounding."""
        name = figure(self.metric)
        value = scores[name]
        slack = 1e-12 * abs(self.value)
        if cost.direction(name) == "max":
            return value >= self.value - slack
        return value <= self.value + slack

    def __str__(self) -> str:
        return f"validation {figure(self.metric)} {self.value:g}"


def figure(name: str) -> str:
    """Return the cost's name for a validation figure: what follows "validation".

    >>> figure("validation loss"), figure("validation_accuracy"), figure("accuracy")
    ('loss', 'accuracy', 'accuracy')
    """
    for prefix in ("validation ", "validation_"):
        name = name.removeprefix(prefix)
    return name
