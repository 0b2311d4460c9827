# ruff: noqa: N801 - schedules are called like functions: `linear(0.1, 0.001, 500)`
"""Schedules of one formula: constant, linear, polynomial, exponential, inverse square root, piecewise."""

from __future__ import annotations

import math
from bisect import bisect_right
from collections.abc import Mapping, Sequence
from dataclasses import KW_ONLY, dataclass
from itertools import pairwise
from typing import Any, Self

from thalweg.schedules.checks import flags, length, lengths, number, numbers, positive
from thalweg.schedules.schedule import Schedule
from thalweg.schedules.shapes import blend


@dataclass(frozen=True, repr=False)
class constant(Schedule):
    """The same value at every step.

    >>> constant(0.1)(1000)
    0.1
    """

    value: float

    def __post_init__(self) -> None:
        numbers(self, "value")

    def _value(self, k: float) -> float:
        return self.value


@dataclass(frozen=True, repr=False)
class linear(Schedule):
    """A straight line from `start` to `end` in `steps` steps, then `end`.

        εₖ = (1 − k/τ)·ε₀ + (k/τ)·ε_τ,   ε_τ from k = τ on

    Source: Goodfellow, Bengio and Courville 2016, equation 8.14. Multiplied by a base rate it equals
    `torch.optim.lr_scheduler.LinearLR(start_factor=start, end_factor=end, total_iters=steps)`.

    >>> schedule = linear(0.1, 0.001, 500)
    >>> schedule(0), schedule(250), schedule(500), schedule(9999)
    (0.1, 0.0505, 0.001, 0.001)
    """

    start: float
    end: float
    steps: float

    def __post_init__(self) -> None:
        numbers(self, "start", "end")
        lengths(self, "steps")

    def _value(self, k: float) -> float:
        return blend(self.start, self.end, min(k / self.steps, 1.0))


@dataclass(frozen=True, repr=False)
class polynomial(Schedule):
    """From `peak` to `floor` in `steps` steps, as a power of what is left.

        floor + (peak − floor)·(1 − k/steps)^power,   floor from k = steps on

    With floor 0 it equals `torch.optim.lr_scheduler.PolynomialLR(total_iters=steps, power=power)`.

    >>> schedule = polynomial(0.1, steps=100, power=2)
    >>> schedule(0), schedule(50), schedule(100)
    (0.1, 0.025, 0.0)
    """

    peak: float
    _: KW_ONLY
    steps: float
    power: float
    floor: float = 0.0

    def __post_init__(self) -> None:
        numbers(self, "peak", "floor")
        positive(self, "power")
        lengths(self, "steps")

    def _value(self, k: float) -> float:
        left = 1 - min(k / self.steps, 1.0)
        return blend(self.floor, self.peak, left**self.power)


@dataclass(frozen=True, repr=False)
class exponential(Schedule):
    """Multiplied by `rate` every `every` steps; with `staircase`, all at once at each such step.

        peak·rate^(k/every),   with staircase peak·rate^⌊k/every⌋

    Equals `torch.optim.lr_scheduler.ExponentialLR(gamma=rate)`, and with staircase
    `StepLR(step_size=every, gamma=rate)`. A rate above 1 grows, as a search for a learning rate does.

    >>> exponential(0.1, rate=0.5, every=10)(20), exponential(0.1, rate=0.5)(1)
    (0.025, 0.05)
    >>> exponential(0.1, rate=0.5, every=10, staircase=True)(19)
    0.05
    """

    peak: float
    _: KW_ONLY
    rate: float
    every: float = 1
    staircase: bool = False

    def __post_init__(self) -> None:
        numbers(self, "peak")
        positive(self, "rate")
        lengths(self, "every")
        flags(self, "staircase")

    def _value(self, k: float) -> float:
        times = k // self.every if self.staircase else k / self.every
        try:
            return self.peak * math.pow(self.rate, times)
        except OverflowError:
            return math.copysign(math.inf, self.peak)


@dataclass(frozen=True, repr=False)
class inverse_sqrt(Schedule):
    """Up in a straight line to `peak` at step number `warmup`, then down as 1/√step.

        peak·min(t/warmup, √(warmup/t)),   t = k + 1, the number of the step taken with this value

    Source: Vaswani et al. 2017, equation 3, where peak = 1/√(d_model·warmup).

    >>> schedule = inverse_sqrt(0.1, warmup=4)
    >>> schedule(0), schedule(3), schedule(15)
    (0.025, 0.1, 0.05)
    """

    peak: float
    _: KW_ONLY
    warmup: float

    def __post_init__(self) -> None:
        numbers(self, "peak")
        lengths(self, "warmup")

    def _value(self, k: float) -> float:
        t = k + 1
        return self.peak * min(t / self.warmup, math.sqrt(self.warmup / t))


@dataclass(frozen=True, repr=False, init=False)
class piecewise(Schedule):
    """Constant pieces: each value holds from its step on, that step included.

    Args:
        boundaries: `{step: value}` with a value for step 0, in any order; or the steps at which the value
            changes, ascending, as in `torch.optim.lr_scheduler.MultiStepLR`.
        values: with a list of steps, the values: one more than there are steps.

    >>> schedule = piecewise({0: 0.1, 30: 0.01, 60: 0.001})
    >>> schedule(29), schedule(30), schedule(1000)
    (0.1, 0.01, 0.001)
    >>> piecewise([30, 60], [0.1, 0.01, 0.001]) == schedule
    True
    """

    boundaries: tuple[float, ...]
    values: tuple[float, ...]

    def __init__(
        self,
        boundaries: Mapping[Any, float] | Sequence[float],
        values: Sequence[float] | None = None,
    ) -> None:
        if isinstance(boundaries, Mapping):
            boundaries, values = _by_step(boundaries, values)
        elif not isinstance(boundaries, Sequence) or not isinstance(values, Sequence):
            raise TypeError(
                "piecewise: expected {step: value}, such as {0: 0.1, 30: 0.01}, or a list of steps and a "
                f"list of values, such as [30], [0.1, 0.01]; got {boundaries!r} and {values!r}."
            )
        steps = tuple(length("piecewise", "a boundary", step) for step in boundaries)
        if any(a >= b for a, b in pairwise(steps)):
            raise ValueError(f"piecewise: boundaries must ascend, got {list(boundaries)!r}.")
        if len(values) != len(steps) + 1:
            raise ValueError(
                f"piecewise: {len(steps)} boundaries part {len(steps) + 1} values, got {len(values)}."
            )
        checked = [
            number("piecewise", "a value", v, "a finite number", lambda v: True) for v in values
        ]
        object.__setattr__(self, "boundaries", steps)
        object.__setattr__(self, "values", tuple(checked))

    def _value(self, k: float) -> float:
        return self.values[bisect_right(self.boundaries, k)]

    def __repr__(self) -> str:
        return f"piecewise({dict(zip((0, *self.boundaries), self.values, strict=True))!r})"

    @classmethod
    def _from_fields(cls, **fields: Any) -> Self:
        return cls(fields["boundaries"], fields["values"])


def _by_step(
    pieces: Mapping[Any, float], values: Sequence[float] | None
) -> tuple[list[float], list[float]]:
    if values is not None:
        raise ValueError(
            f"piecewise: a dictionary of steps holds its values; expected no others, got {values!r}."
        )
    if 0 not in pieces:
        raise ValueError(f"piecewise: a value for step 0 is missing; got steps {list(pieces)!r}.")
    steps = sorted(
        number("piecewise", "a step", step, "a finite number of at least 0", lambda v: v >= 0)
        for step in pieces
    )
    return steps[1:], [pieces[step] for step in steps]
