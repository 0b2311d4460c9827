"""The expected trajectories of a case, by torch.optim's plain loop and by NumPy."""

from __future__ import annotations

import functools
from collections.abc import Callable, Sequence
from typing import Any, TypeVar

import torch
from torch import Tensor
from torch.optim import Optimizer

from .cases import Case
from .problem import (
    Point,
    Problem,
    assert_same_path,
    default_dtype,
    follow,
    gentle,
    quadratic,
    recorded,
    rounded,
)

# float32: two correct orders of evaluation drift apart by a few roundings of 6e-8 in 50 steps.
TOLERANCE = {torch.float64: 1e-12, torch.float32: 2e-6}

RECORDED = recorded()
# The same for a second look, where one tensor of each kind does.
FEW = recorded([(), (7,), (5, 3), (1037,)], seed=10)
QUADRATIC = quadratic()
GENTLE = gentle()

Rate = Callable[[int], float]
Made = TypeVar("Made")
_kept: dict[object, Any] = {}


def once(key: object, make: Callable[[], Made]) -> Made:
    """Return what `make` made for this key: one oracle does for the tests of both engines."""
    if key not in _kept:
        while len(_kept) >= 16:
            del _kept[next(iter(_kept))]
        _kept[key] = make()
    return _kept[key]


def constant(step: int) -> float:
    return 1.0


def changing(step: int) -> float:
    """Return a learning rate factor that rises, falls, and is zero once."""
    return (1.0, 0.3, 2.0, 0.0, 0.7)[step % 5] / (1.0 + 0.05 * step)


def set_rates(optimizer: Optimizer, rate: Rate) -> Callable[[int], None]:
    """Return what sets the learning rates of a step by hand."""
    bases = [group["lr"] for group in optimizer.param_groups]

    def before_step(step: int) -> None:
        for group, base in zip(optimizer.param_groups, bases, strict=True):
            group["lr"] = base * rate(step)

    return before_step


def path(
    make: Callable[..., Optimizer], problem: Problem, dtype: torch.dtype, rate: Rate = constant
) -> list[Point]:
    """Return the whole trajectory of an optimizer."""
    parameters = problem.parameters(dtype)
    optimizer = make(parameters)
    return follow(problem, parameters, optimizer, before_step=set_rates(optimizer, rate))


@functools.lru_cache(maxsize=32)
def torch_path(
    case: Case, problem: Problem, dtype: torch.dtype, rate: Rate = constant
) -> list[Point]:
    with default_dtype(dtype):
        return path(case.theirs, problem, dtype, rate)


@functools.lru_cache(maxsize=32)
def reference_path(
    case: Case, problem: Problem, dtype: torch.dtype, rate: Rate = constant
) -> list[Point]:
    """Follow the NumPy transcription in float64, from start and gradients as `dtype` holds them."""
    make = functools.partial(case.transcribed, noise_dtype=dtype)
    return path(make, rounded(problem, dtype), torch.float64, rate)


def expected_paths(
    case: Case, problem: Problem, dtype: torch.dtype, rate: Rate = constant
) -> list[tuple[list[Point], float]]:
    """Return the trajectory by every oracle that knows the case, each with its tolerance."""
    paths = []
    if case.has_twin:
        tolerance = TOLERANCE[dtype]
        if dtype == torch.float32 and case.decays_apart:
            # torch multiplies by 1 − lr·weight_decay in float32, and so drifts by 2e-6 in 50 steps
            # from the transcription, for which the tolerance stays strict.
            tolerance *= 1.5
        paths.append((torch_path(case, problem, dtype, rate), tolerance))
    if case.reference is not None:
        paths.append((reference_path(case, problem, dtype, rate), TOLERANCE[dtype]))
    assert paths, f"no oracle for {case.name}"
    return paths


def beside_the_oracle(
    case: Case,
    engine: str,
    starts: Sequence[Tensor],
    run: Callable[[Callable[..., Optimizer]], list[Point]],
    *variant: str,
) -> None:
    """Run the same with the oracle and with ours, in float64, and compare at every step."""

    def by_the_oracle() -> list[Point]:
        with default_dtype(torch.float64):
            return run(case.oracle)

    expected = once((case, run.__qualname__, *variant), by_the_oracle)
    actual = run(functools.partial(case.ours, engine=engine))
    assert_same_path(actual, expected, starts, TOLERANCE[torch.float64])
