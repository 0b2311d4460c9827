"""Some schedules, and paths by them and by hand."""

from __future__ import annotations

import math
from collections.abc import Callable
from typing import Any

from torch import Tensor
from torch.nn import Parameter
from torch.optim import Optimizer

from tests.exact import RERUN, same
from thalweg import schedules

from .problem import assert_moved, follow, recorded

PROBLEM = recorded([(5,), (3, 4), (), (37,)], steps=24, seed=20)
STEPS = 11
Points = list[list[Tensor]]
Group = dict[str, Any]

COSINE = schedules.cosine(0.02, steps=STEPS - 2, floor=0.001, warmup=3)


def wave(k: int) -> float:
    """A plain function of the step is a schedule too; this one is 0 once."""
    return 0.01 * (1.0 + math.cos(k * math.pi / 4.0))


def falling(k: int) -> float:
    return 0.9 - 0.02 * k


def rising(k: int) -> float:
    return 0.05 * k


def walk(
    make: Callable[[list[Parameter]], Optimizer],
    by_hand: Callable[[list[Group], int], None] | None = None,
    steps: int = STEPS,
) -> Points:
    """Return the path; `by_hand` sets what it likes in the groups before each step."""
    parameters = PROBLEM.parameters()
    optimizer = make(parameters)

    def before(step: int) -> None:
        if by_hand is not None:
            by_hand(optimizer.param_groups, step)

    return follow(PROBLEM, parameters, optimizer, steps=steps, before_step=before)


def assert_same(actual: Points, expected: Points) -> None:
    same(actual, expected, because=RERUN)
    assert_moved(actual[-1], PROBLEM.starts)
