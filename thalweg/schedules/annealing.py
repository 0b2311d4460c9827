# ruff: noqa: N801 - schedules are called like functions: `cosine(3e-4, steps=1000)`
"""Schedules that rise and anneal: cosine, warm restarts, warmup-stable-decay, one cycle."""

from __future__ import annotations

import math
from dataclasses import KW_ONLY, dataclass

from thalweg.schedules.checks import (
    at_least,
    fractions,
    lengths,
    lengths_or_zero,
    numbers,
    one_of,
    positive,
)
from thalweg.schedules.schedule import Schedule
from thalweg.schedules.shapes import blend, half_cosine, ramp


@dataclass(frozen=True, repr=False)
class cosine(Schedule):
    """Half a cosine from `peak` to `floor`, after a linear warm-up; `steps` counts both.

        peak·(k + 1)/(warmup + 1)                    while k < warmup
        floor + ½(peak − floor)(1 + cos(π·x))        then, x = (k − warmup)/(steps − warmup), at most 1

    The warm-up is that of `warmup`, which can also start elsewhere. Without it, and up to k = steps, this
    equals `torch.optim.lr_scheduler.CosineAnnealingLR(T_max=steps)`, which rises again afterwards.

    Source: Loshchilov and Hutter 2017, equation 5, without restarts.

    >>> schedule = cosine(0.1, steps=100, floor=0.01)
    >>> schedule(0), round(schedule(50), 12), schedule(100), schedule(1000)
    (0.1, 0.055, 0.01, 0.01)
    >>> cosine(0.1, steps=100, warmup=3)(0)
    0.025
    """

    peak: float = 1.0
    _: KW_ONLY
    steps: float
    floor: float = 0.0
    warmup: float = 0

    def __post_init__(self) -> None:
        numbers(self, "peak", "floor")
        lengths(self, "steps")
        lengths_or_zero(self, "warmup")
        if self.warmup >= self.steps:
            raise ValueError(
                f"cosine: warmup must be less than steps, which counts both, got warmup={self.warmup} "
                f"and steps={self.steps}."
            )

    def _value(self, k: float) -> float:
        if k < self.warmup:
            return self.peak * ramp(k, self.warmup)
        length = self.steps - self.warmup
        w = half_cosine(min(k - self.warmup, length), length)
        return blend(self.floor, self.peak, w)


@dataclass(frozen=True, repr=False)
class warm_restarts(Schedule):
    """Half cosines from `peak` to `floor` one after another, each `growth` times as long as the last (SGDR).

        floor + ½(peak − floor)(1 + cos(π·c/Tᵢ)),   Tᵢ = period·growthⁱ, c the steps since restart i

    At each restart the value is `peak`; the value `floor` is never reached. With a whole growth it equals
    `torch.optim.lr_scheduler.CosineAnnealingWarmRestarts(T_0=period, T_mult=growth)`.

    Source: Loshchilov and Hutter 2017, equation 5.

    >>> schedule = warm_restarts(0.1, period=10, growth=2)
    >>> schedule(0), round(schedule(5), 12), schedule(10), schedule(30), schedule(70)
    (0.1, 0.05, 0.1, 0.1, 0.1)
    """

    peak: float
    _: KW_ONLY
    period: float
    growth: float = 1.0
    floor: float = 0.0

    def __post_init__(self) -> None:
        numbers(self, "peak", "floor")
        lengths(self, "period")
        at_least(self, 1, "growth")

    def _value(self, k: float) -> float:
        done, length = self._cycle(k)
        return blend(self.floor, self.peak, half_cosine(done, length))

    def _cycle(self, k: float) -> tuple[float, float]:
        """Return the steps since the last restart, and from it to the next."""
        if self.growth == 1:
            return k % self.period, self.period
        # The logarithm may miss by one where a restart falls on k; the exact sums decide.
        spread = k * (self.growth - 1) / self.period
        i = round(math.log1p(spread) / math.log(self.growth))
        while self._restart(i) > k:
            i -= 1
        return k - self._restart(i), self.period * self.growth**i

    def _restart(self, i: int) -> float:
        """Return the step of restart i: period·(1 + growth + … + growthⁱ⁻¹)."""
        return self.period * (self.growth**i - 1) / (self.growth - 1)


@dataclass(frozen=True, repr=False)
class warmup_stable_decay(Schedule):
    """Up to `peak`, there for most of the time, then down to `floor`; `steps` counts all three (WSD).

        peak·(k + 1)/(warmup + 1)             while k < warmup
        peak                                  while k < steps − decay
        floor + (peak − floor)·f(x)           then, x = (k − steps + decay)/decay, at most 1

    f(x) is 1 − x for shape "linear", 1 − √x for "sqrt", (1 + cos πx)/2 for "cosine".

    Source: Hu et al. 2024 (MiniCPM), there with an exponential decay; the shapes: Hägele et al. 2024.

    >>> schedule = warmup_stable_decay(0.1, steps=1000, warmup=3, decay=100)
    >>> schedule(0), schedule(3), schedule(900), schedule(950), schedule(1000)
    (0.025, 0.1, 0.1, 0.05, 0.0)
    """

    peak: float
    _: KW_ONLY
    steps: float
    warmup: float
    decay: float
    floor: float = 0.0
    shape: str = "linear"

    def __post_init__(self) -> None:
        numbers(self, "peak", "floor")
        lengths(self, "steps", "decay")
        lengths_or_zero(self, "warmup")
        one_of(self, "shape", ("linear", "sqrt", "cosine"))
        if self.warmup + self.decay > self.steps:
            raise ValueError(
                f"warmup_stable_decay: warmup + decay must be at most steps, which counts all, got "
                f"warmup={self.warmup}, decay={self.decay} and steps={self.steps}."
            )

    def _value(self, k: float) -> float:
        if k < self.warmup:
            return self.peak * ramp(k, self.warmup)
        x = min(max(k - (self.steps - self.decay), 0) / self.decay, 1)
        if self.shape == "linear":
            left = 1 - x
        elif self.shape == "sqrt":
            left = 1 - math.sqrt(x)
        else:
            left = half_cosine(x, 1)
        return blend(self.floor, self.peak, left)


@dataclass(frozen=True, repr=False)
class one_cycle(Schedule):
    """Up from `peak`/`start_factor` to `peak`, then down to far below the start, in `steps` steps.

        start = peak/start_factor,   end = start/end_factor
        from start at k = 0 to peak at k = top = warmup_fraction·steps − 1
        from peak to end at k = steps − 1, and end from there on

    Both ways along half a cosine ("cos") or a straight line ("linear"). The values are those of
    `torch.optim.lr_scheduler.OneCycleLR(max_lr=peak, total_steps=steps)`, momentum aside; like there, the
    end is reached one step before `steps`, and `top` may lie between two steps.

    Source: Smith and Topin 2018, in the two-phase form of fast.ai.

    >>> schedule = one_cycle(0.1, steps=100)
    >>> schedule(0), schedule(29), schedule(99) == 0.1 / 25 / 1e4
    (0.004, 0.1, True)
    """

    peak: float
    _: KW_ONLY
    steps: float
    warmup_fraction: float = 0.3
    start_factor: float = 25.0
    end_factor: float = 1e4
    anneal: str = "cos"

    def __post_init__(self) -> None:
        numbers(self, "peak")
        fractions(self, "warmup_fraction")
        positive(self, "start_factor", "end_factor")
        at_least(self, 1, "steps")
        lengths(self, "steps")
        one_of(self, "anneal", ("cos", "linear"))

    def _value(self, k: float) -> float:
        start = self.peak / self.start_factor
        end = start / self.end_factor
        last = self.steps - 1
        k = min(k, last)
        top = self.warmup_fraction * self.steps - 1
        if k <= top:
            return self._between(start, self.peak, k / top if top > 0 else 1.0)
        return self._between(self.peak, end, (k - top) / (last - top))

    def _between(self, start: float, end: float, x: float) -> float:
        w = half_cosine(x, 1) if self.anneal == "cos" else 1 - x
        return blend(end, start, w)
