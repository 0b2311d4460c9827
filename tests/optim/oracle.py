"""The expected trajectories of a case, by torch.optim's plain loop and by NumPy."""

from __future__ import annotations

import functools
from collections.abc import Callable

import torch
from torch.optim import Optimizer

from .cases import Case
from .problem import Point, Problem, default_dtype, follow, gentle, quadratic, recorded

# float32: two correct orders of evaluation drift apart by a few roundings of 6e-8 in 50 steps.
TOLERANCE = {torch.float64: 1e-12, torch.float32: 2e-6}

RECORDED = recorded()
QUADRATIC = quadratic()
GENTLE = gentle()

Rate = Callable[[int], float]


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


@functools.cache
def torch_path(
    case: Case, problem: Problem, dtype: torch.dtype, rate: Rate = constant
) -> list[Point]:
    with default_dtype(dtype):
        return path(case.theirs, problem, dtype, rate)


@functools.cache
def reference_path(
    case: Case, problem: Problem, dtype: torch.dtype, rate: Rate = constant
) -> list[Point]:
    """Follow the NumPy transcription in float64, from start and gradients as `dtype` holds them."""
    assert case.reference is not None
    options = {key: value for key, value in case.options.items() if key not in ("dialect", "lr")}
    base = case.lr
    points = [p.detach().to(torch.float64).numpy() for p in problem.parameters(dtype)]
    states: list[dict[str, object]] = [{} for _ in points]
    result = []
    for step in range(problem.steps):
        gradients = problem.gradient(step, [torch.as_tensor(w) for w in points])
        for index, g in enumerate(gradients):
            points[index] = case.reference(
                points[index],
                g.to(dtype).to(torch.float64).numpy(),
                states[index],
                t=step + 1,
                lr=base * rate(step),
                **options,
            )
        result.append([torch.as_tensor(w) for w in points])
    return result


def expected_paths(
    case: Case, problem: Problem, dtype: torch.dtype, rate: Rate = constant
) -> list[tuple[list[Point], float]]:
    """Return the trajectory by every oracle that knows the case, each with its tolerance."""
    paths = []
    if not case.is_paper:
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
