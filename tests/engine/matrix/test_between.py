"""Results of matrix functions in memory that is there: the same as where each is allocated."""

from __future__ import annotations

from typing import Any

import pytest
import torch
from torch.nn import Parameter

import thalweg
from tests.engine.kinds import draw
from tests.exact import close
from thalweg import RowsByRows, gram, gram_of_columns, matrix_function, rule
from thalweg.engine.cpu.between import average_into, gram_into

ORDER = "sums in another order"


@pytest.mark.parametrize("size", [1, 5, 300])
def test_grams_and_averages_are_those_of_one_product(size: int) -> None:
    """300 rows are taken by panels, and mirrored."""
    x, out = draw(2, size, 7), draw(2, size, size)
    s = out @ out.mT
    close(gram_into(x, out.clone()), x @ x.mT, ulps=32, because=ORDER)
    expected = 0.9 * s + 0.1 * (x @ x.mT)
    close(average_into(s, 0.9, 0.1, x, out.clone()), expected, ulps=32, because=ORDER)


def test_a_state_that_is_not_finite_stays_so_where_its_weight_is_zero() -> None:
    s, x = torch.full((1, 2, 2), torch.nan), draw(1, 2, 3)
    assert average_into(s, 0.0, 1.0, x, torch.empty_like(x @ x.mT)).isnan().all()


@rule
def crowded(g: Any, p: Any, L: RowsByRows, A: RowsByRows, *, t: Any, beta: float = 0.9) -> Any:
    """Many results of one size: some are needed at once, some in a later stage, some by the next step."""
    L = beta * L + (1 - beta) * gram(g)
    first = L @ g
    second = A @ first
    turned = (A.mT @ L).mT
    third = (turned @ (L @ L)) @ (first + second)
    late = A @ (g / (1.0 + thalweg.norm(third)))
    A = 0.5 * A + 0.5 * (L @ L)
    return third + late + first @ gram_of_columns(g / 10.0), L, A


def test_memory_that_is_used_in_turn_holds_what_is_needed() -> None:
    found = []
    for engine in ("fused", "eager"):
        params = [Parameter(draw(*s, seed=k)) for k, s in enumerate([(3, 2)] * 2 + [(4, 5)] * 2)]
        groups = [{"params": params[::2]}, {"params": params[1::2], "beta": 0.7}]
        optimizer = thalweg.Optimizer(groups, crowded, lr=0.01, engine=engine)
        for step in range(3):
            for k, p in enumerate(params):
                p.grad = draw(*p.shape, seed=10 * step + k)
            optimizer.step()
        found.append([[p.detach(), *(optimizer.state[p][n] for n in "LA")] for p in params])
    close(*found, ulps=2000, because=ORDER)


def test_a_branch_that_is_not_chosen_is_not_computed() -> None:
    calls = []

    @matrix_function
    def counted(x: Any) -> Any:
        calls.append(len(x))
        return x + 1.0

    @rule
    def rarely(g: Any, L: RowsByRows, *, t: Any) -> Any:
        L = torch.where(t == 2, counted(L), L)
        return L @ g, L

    p = Parameter(torch.ones(2, 2))
    optimizer = thalweg.Optimizer([p], rarely, lr=0.0, engine="fused")
    for _ in range(3):
        p.grad = torch.ones(2, 2)
        optimizer.step()
    assert calls == [1]
    close(optimizer.state[p]["L"], torch.ones(2, 2), ulps=0, because="0 + 1")
