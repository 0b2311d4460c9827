"""Which tests run in Triton's interpreter, and the programs that the case table has."""

from __future__ import annotations

import pytest
import torch

from tests.optim.cases import Case
from thalweg.engine.program.program import Program
from thalweg.engine.triton.available import is_interpreting, triton_problem

HAS_TRITON = triton_problem() is None
IS_ASKED = is_interpreting()

interpreted = pytest.mark.skipif(
    not (HAS_TRITON and IS_ASKED),
    reason="needs Triton's interpreter: test_in_the_interpreter.py runs these in a process of their own",
)
compiled = pytest.mark.skipif(
    not HAS_TRITON or IS_ASKED,
    reason=triton_problem() or "Triton's interpreter was asked for, which compiles nothing",
)


def program_of(case: Case) -> Program:
    """Return the program of a case."""
    optimizer = case.ours([torch.nn.Parameter(torch.zeros(1))])
    (group,) = optimizer.param_groups
    composition = optimizer.composition(group)
    chain = composition.chain
    return chain.program({**chain.hyperparameters, **composition.switches(group)})


def assert_triton(optimizer: torch.optim.Optimizer) -> None:
    """No tensor has gone to another engine."""
    plan = optimizer.plan()
    assert all(line.startswith("triton ") for line in plan.splitlines()), plan
