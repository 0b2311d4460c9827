"""Every case of the table beside the eager engine, in Triton's interpreter."""

from __future__ import annotations

import pytest
import torch
from torch import Tensor

from tests.optim.cases import PRINTED_PROGRAMS, PRINTED_RICHEST, Case
from tests.optim.oracle import TOLERANCE
from tests.optim.problem import Problem, assert_same_path, follow, gentle, recorded

from .interpreter import assert_triton, interpreted

pytestmark = interpreted

# One number, none, a short tensor, rows, and one that ends within its second chunk.
SHAPES = ((), (7,), (5, 3), (1037,), (0,))
RECORDED = recorded(SHAPES, steps=5, seed=10)  # odd: steps by the sign do not cancel
GENTLE = gentle(SHAPES, steps=3)
# Both engines compute in float32 and round once; where a last bit of float32 differs, the rounding may go the
# other way, by one unit of the half precision in each of the steps.
ROUNDED = {torch.bfloat16: 4 * 2.0**-8, torch.float16: 4 * 2.0**-11}
FEW = [case for case in PRINTED_RICHEST if case.optimizer in ("Adam", "LAMB")]

RUNS = [
    *((case, torch.float64) for case in PRINTED_PROGRAMS),
    *((case, torch.float32) for case in PRINTED_PROGRAMS),
    *((case, dtype) for case in PRINTED_RICHEST for dtype in ROUNDED),
]


def paths(case: Case, problem: Problem, dtype: torch.dtype) -> list[list[list[Tensor]]]:
    """Return the trajectory by both engines."""
    found = []
    for engine in ("triton", "eager"):
        parameters = problem.parameters(dtype)
        optimizer = case.ours(parameters, engine=engine)
        found.append(follow(problem, parameters, optimizer))
        if engine == "triton":
            assert_triton(optimizer)
    return found


def compare(case: Case, dtype: torch.dtype) -> None:
    half = dtype in ROUNDED
    problem = GENTLE if half else RECORDED
    actual, expected = paths(case, problem, dtype)
    tolerance = ROUNDED[dtype] if half else TOLERANCE[dtype]
    strays = 0.005 if (case.decays_cautiously or case.jumps) and dtype != torch.float64 else 0.0
    assert_same_path(actual, expected, problem.starts, tolerance, strays)


@pytest.mark.full
@pytest.mark.parametrize(
    ("case", "dtype"), RUNS, ids=[f"{str(dtype).split('.')[1]}-{case.name}" for case, dtype in RUNS]
)
def test_every_case(case: Case, dtype: torch.dtype) -> None:
    compare(case, dtype)


@pytest.mark.parametrize("dtype", [torch.float64, torch.float32], ids=str)
@pytest.mark.parametrize("case", FEW, ids=[case.name for case in FEW])
def test_a_few(case: Case, dtype: torch.dtype) -> None:
    compare(case, dtype)
