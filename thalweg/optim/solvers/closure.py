"""A user's closure as a function that is evaluated where the parameters are."""

from __future__ import annotations

import math
from collections.abc import Callable
from typing import Any, NamedTuple

import torch
from torch import Tensor

from thalweg.optim.solvers.flat import Flat
from thalweg.optim.stepping.distributed import is_within

_NEARBY = 12
"""Stack frames to search for a loss scaler: hooks and schedulers lie between it and the step."""


class Evaluated(NamedTuple):
    """The objective at a point, its gradient, and which parameters have none."""

    f: float
    g: Tensor
    absent: tuple[int, ...]

    @property
    def defined(self) -> bool:
        """Whether objective and gradient are finite."""
        return math.isfinite(self.f) and bool(torch.isfinite(self.g).all())


class Closure:
    """A closure that computes the loss, calls backward and returns the loss.

    `first` is what it returned first, `count` how often it ran; with `maximize` the objective is −loss.
    """

    def __init__(self, who: str, closure: Callable[..., Any], flat: Flat, maximize: bool) -> None:
        check_closure(who, closure)
        self.who, self.closure, self.flat = who, closure, flat
        self.sign = -1.0 if maximize else 1.0
        self.first: Any = None
        self.count = 0

    def run(self, **options: Any) -> Any:
        """Run the closure with gradients enabled."""
        with torch.enable_grad():
            value = self.closure(**options)
        self.count += 1
        if self.count == 1:
            self.first = value
        return value

    def here(self) -> Evaluated:
        """Return the objective and its gradient where the parameters are."""
        f = self.sign * number(self.who, self.run())
        g, absent = self.flat.gradient()
        if len(absent) == len(self.flat.params):
            raise RuntimeError(
                f"after the closure no parameter of {self.who} has a gradient. It zeroes the gradients, "
                "computes the loss, calls loss.backward() and returns the loss."
            )
        return Evaluated(f, g.neg_() if self.sign < 0 else g, absent)


def number(who: str, value: Any) -> float:
    """Return a loss as a number.

    Raises TypeError or ValueError if it is not a single real number.
    """
    if isinstance(value, Tensor) and (value.numel() != 1 or value.is_complex()):
        raise ValueError(
            f"The closure of {who} must return the loss, one real number; it returned a tensor of "
            f"{str(value.dtype).removeprefix('torch.')} of shape {tuple(value.shape)}."
        )
    if not isinstance(value, Tensor) and not hasattr(value, "__float__"):
        raise TypeError(
            f"The closure of {who} must return the loss; it returned {type(value).__name__}."
        )
    return float(value.detach() if isinstance(value, Tensor) else value)


def check_closure(who: str, closure: Any) -> None:
    """Refuse a step without a closure, and one whose closure would compute scaled gradients."""
    if not callable(closure):
        raise TypeError(
            f"{who} evaluates the loss itself, several times in a step: give step a function that "
            f"computes it, optimizer.step(closure); got {type(closure).__name__}."
        )
    if is_within("torch.amp.grad_scaler", "GradScaler", "_maybe_opt_step", depth=_NEARBY):
        raise RuntimeError(
            f"GradScaler.step(optimizer, closure) would let {who} compare scaled losses and gradients: the "
            "scaler unscales the gradients that are there before the closure runs, not those that it "
            "computes. Call optimizer.step(closure) without a scaler, in float32 or bfloat16."
        )
