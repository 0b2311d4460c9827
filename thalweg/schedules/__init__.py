"""Schedules: a hyperparameter as a function of the step.

    cosine(3e-4, steps=1000, warmup=50)(0)       the value used for the first step

A schedule is an immutable value: it knows its numbers, not where training stands. There is nothing to
advance, to save or to reset; two schedules with the same numbers are equal, `to_dict` is plain JSON, and
`repr` is the code that makes it. `scheduler` drives the learning rate of any torch optimizer by one.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from thalweg.schedules.annealing import cosine, one_cycle, warm_restarts, warmup_stable_decay
from thalweg.schedules.compose import join, warmup
from thalweg.schedules.decay import (
    constant,
    exponential,
    inverse_sqrt,
    linear,
    piecewise,
    polynomial,
)
from thalweg.schedules.schedule import Schedule

if TYPE_CHECKING:
    from thalweg.schedules.lr_scheduler import scheduler

__all__ = [
    "Schedule",
    "constant",
    "cosine",
    "exponential",
    "inverse_sqrt",
    "join",
    "linear",
    "one_cycle",
    "piecewise",
    "polynomial",
    "scheduler",
    "warm_restarts",
    "warmup",
    "warmup_stable_decay",
]


def __getattr__(name: str) -> Any:
    if name == "scheduler":  # the one part that needs PyTorch
        from thalweg.schedules.lr_scheduler import scheduler

        return scheduler
    from thalweg.errors import suggest

    raise AttributeError(f"module {__name__!r} has no attribute {name!r}.{suggest(name, __all__)}")
