"""All cases, in the paper's order of functions."""

from __future__ import annotations

from .few_cases import FEW
from .many_cases import MANY
from .problem import Problem

CASES = (*FEW, *MANY)


def case(number: int, n: int | None = None) -> Problem:
    """Return a function of the paper by its number; the first of its cases, or the one of n variables."""
    for problem in CASES:
        if problem.number == number and n in (None, problem.n):
            return problem
    raise ValueError(f"no case of function {number} with n = {n}")
