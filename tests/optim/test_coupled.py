"""Optimizers with a sum over all tensors: what is absent, in another group or of another dtype.

The transcriptions step all arrays together, so a case that `is_coupled` has no oracle where some are
absent or in groups of their own; what must hold there is said here.
"""

from __future__ import annotations

import pytest
import torch
from torch import Tensor
from torch.nn import Parameter

from tests.exact import differs, same

from .cases import CASES, Case, each, each_engine
from .oracle import QUADRATIC, TOLERANCE
from .problem import (
    Problem,
    assert_same_path,
    default_dtype,
    follow,
    give_gradients,
    quadratic,
    snapshot,
)

EXACT = TOLERANCE[torch.float64]
COUPLED = [case for case in CASES if case.is_coupled]
Path = list[list[Tensor]]
each_coupled = each(COUPLED)
STEPS = 12


def test_there_are_such() -> None:
    assert {"DoG", "Prodigy", "DAdaptAdam", "SGD"} <= {case.optimizer for case in COUPLED}


def run(case: Case, engine: str, groups: list[list[int]], **options: object) -> Path:
    """Follow the quadratic with its parameters in groups."""
    parameters = QUADRATIC.parameters()
    made = [{"params": [parameters[k] for k in group]} for group in groups]
    optimizer = case.ours(made, engine=engine, **options)
    return follow(QUADRATIC, parameters, optimizer, steps=STEPS)


@each_engine
@each_coupled
def test_groups_are_one_model(case: Case, engine: str) -> None:
    """The sums go over all groups."""
    together = run(case, engine, [[0, 1, 2, 3]])
    apart = run(case, engine, [[2], [0, 3], [1]])
    assert_same_path(apart, together, QUADRATIC.starts, EXACT)


@each_engine
@each_coupled
def test_the_sums_couple(case: Case, engine: str) -> None:
    """A tensor's path is another one without the others."""
    case = case.without("growth_rate")  # where it is bounded, the sum does not show
    together = run(case, engine, [[0, 1, 2, 3]])
    alone = part(QUADRATIC, 3)
    parameters = alone.parameters()
    path = follow(alone, parameters, case.ours(parameters, engine=engine), steps=STEPS)
    assert (path[-1][0] - together[-1][3]).abs().max() > 1e-9


def part(problem: Problem, *chosen: int) -> Problem:
    """Return the problem of some of the tensors; it is separable."""

    def gradient(step: int, point: list[Tensor]) -> list[Tensor]:
        whole = list(problem.starts)
        for k, x in zip(chosen, point, strict=True):
            whole[k] = x.detach()
        return [problem.gradient(step, whole)[k] for k in chosen]

    return Problem("a part", tuple(problem.starts[k] for k in chosen), gradient, problem.steps)


@each_engine
@each_coupled
def test_the_absent_count_for_nothing(case: Case, engine: str) -> None:
    """With gradients for some tensors alone, these are the model, and the others rest."""
    parameters = QUADRATIC.parameters()
    optimizer = case.ours(parameters, engine=engine)
    actual = []
    for step in range(STEPS):
        give_gradients(QUADRATIC, step, parameters)
        parameters[0].grad = parameters[2].grad = None
        optimizer.step()
        actual.append(snapshot(parameters))
    smaller = part(QUADRATIC, 1, 3)
    copies = smaller.parameters()
    expected = follow(smaller, copies, case.oracle(copies), steps=STEPS)
    assert_same_path([[p[1], p[3]] for p in actual], expected, smaller.starts, EXACT)
    for k in (0, 2):
        same(actual[-1][k], QUADRATIC.starts[k], because="nothing wrote to it")


@each_engine
@each_coupled
def test_one_that_pauses_keeps_its_state(case: Case, engine: str) -> None:
    """The same by both engines, and all go on after it."""
    paths = []
    for chosen in (engine, "eager"):
        parameters = QUADRATIC.parameters()
        optimizer = case.ours(parameters, engine=chosen)
        path = []
        for step in range(STEPS):
            give_gradients(QUADRATIC, step, parameters)
            if 3 <= step < 7:
                parameters[1].grad = None
            optimizer.step()
            path.append(snapshot(parameters))
        steps = [int(optimizer.state[p]["step"]) for p in parameters]
        assert steps == [STEPS, STEPS - 4, STEPS, STEPS]
        same(path[2][1], path[6][1], because="nothing wrote to it")
        differs(path[6][1], path[7][1])
        paths.append(path)
    assert_same_path(paths[0], paths[1], QUADRATIC.starts, EXACT)


@each_engine
@each_coupled
def test_a_sum_is_of_all_dtypes(case: Case, engine: str) -> None:
    """float32 and float64, contiguous or not: one model, as exact as the coarsest of it."""
    dtypes = [torch.float64, torch.float32, torch.float64, torch.float32]
    parameters = [
        Parameter(w.to(d, copy=True)) for w, d in zip(QUADRATIC.starts, dtypes, strict=True)
    ]
    wide = parameters[2].detach()
    parameters[2] = Parameter(wide.t().contiguous().t())
    assert not parameters[2].is_contiguous()
    actual = follow(QUADRATIC, parameters, case.ours(parameters, engine=engine), steps=STEPS)
    with default_dtype(torch.float64):
        copies = QUADRATIC.parameters()
        expected = follow(QUADRATIC, copies, case.oracle(copies), steps=STEPS)
    assert_same_path(actual, expected, QUADRATIC.starts, 1e-5)


@each_engine
@pytest.mark.parametrize("name", ["Prodigy", "DAdaptAdam"])
def test_rates_of_groups_weigh_the_sums(name: str, engine: str) -> None:
    """Two groups of the rates γ and 0: one estimate d for both, from the terms γ·⟨…⟩ and 0·⟨…⟩."""
    problem = quadratic([(7,), (5,)], seed=3)
    ends = []
    for gamma in (1.0, 0.0):
        parameters = problem.parameters()
        groups = [{"params": parameters[:1]}, {"params": parameters[1:], "lr": gamma}]
        optimizer = Case(name, {"d0": 0.1}).ours(groups, engine=engine)
        follow(problem, parameters, optimizer, steps=20)
        estimates = [float(optimizer.state[p]["d"]) for p in parameters]
        assert estimates[0] == estimates[1] > 0.1
        ends.append((estimates[0], snapshot(parameters)))
    assert ends[0][0] != ends[1][0]
    same(ends[1][1][1], problem.starts[1], because="the rate 0 adds zeros")
