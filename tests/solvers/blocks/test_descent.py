from __future__ import annotations

import itertools
from typing import Any

import pytest
import torch
from torch import Tensor

from tests.exact import RERUN, same
from thalweg.solvers import Quadratic, Result, Status, coordinate_descent


def bent(x: Tensor) -> Tensor:
    """Rosenbrock's function with a shallow valley."""
    return ((x[1:] - x[:-1] ** 2) ** 2).sum() + ((1 - x) ** 2).sum()


def positive(n: int, seed: int = 0) -> tuple[Quadratic, Tensor]:
    """Return a quadratic and its minimum."""
    generator = torch.Generator().manual_seed(seed)
    root = torch.randn(n, n, generator=generator, dtype=torch.float64)
    A = root @ root.mT / n + torch.eye(n, dtype=torch.float64)
    b = torch.randn(n, generator=generator, dtype=torch.float64)
    return Quadratic(A, b), torch.linalg.solve(A, b)


@pytest.mark.parametrize("exact", [True, False], ids=["exact", "inner solver"])
@pytest.mark.parametrize("alpha", [0.1, 1.0, 3.0])
def test_a_sweep_contracts_as_theory_says(alpha: float, exact: bool) -> None:
    """Of (x₁ − x₂)² + α‖x‖²: x by 1/(1+α)² a sweep, the objective by its square."""
    q = Quadratic([[2 + 2 * alpha, -2.0], [-2.0, 2 + 2 * alpha]])
    solve = q.solve if exact else None
    results = [
        coordinate_descent(q, [1.0, -0.7], solve=solve, max_sweeps=k, tol=0.0) for k in (1, 2, 3)
    ]
    factor = (1 + alpha) ** -2
    for before, after in itertools.pairwise(results):
        # The inner solver ends where the slope is 1e-8 of its first one.
        bound = 1e-12 if exact else 1e-7
        assert ((after.x / before.x) - factor).abs().max() < bound
        assert abs(after.fun / before.fun - factor**2) < bound


@pytest.mark.parametrize("order", ["cyclic", "random", "greedy"])
@pytest.mark.parametrize("blocks", [None, 3, [[0, 4, 2], torch.tensor([1, 3, 5, 6]), [6, 0]]])
@pytest.mark.parametrize(
    "exact",
    [
        pytest.param(True, id="exact"),
        pytest.param(False, id="inner solver", marks=pytest.mark.full),
    ],
)
def test_all_orders_and_blocks_reach_the_minimum(order: str, blocks: Any, exact: bool) -> None:
    q, minimum = positive(7)
    x0 = torch.zeros(7, dtype=torch.float64)
    result = coordinate_descent(q, x0, blocks, order=order, solve=q.solve if exact else None)
    assert result.success
    assert (result.x - minimum).abs().max() < 1e-7  # the gradient's share, and A ≥ I
    falls = [a.fun - b.fun for a, b in zip(result.history, result.history[1:], strict=False)]
    assert min(falls) > 0
    assert len(result.history) in (result.nit, result.nit + 1)


def test_one_block_of_all_entries_is_one_solution() -> None:
    q, minimum = positive(5)
    result = coordinate_descent(q, [0.0] * 5, 5, solve=q.solve)
    assert (result.nit, result.success) == (1, True)
    assert (result.x - minimum).abs().max() < 1e-12


def test_a_function_of_a_matrix_that_is_no_quadratic() -> None:
    start = torch.full((2, 2), 0.5, dtype=torch.float64)
    result = coordinate_descent(lambda x: bent(x.flatten()), start, [[0, 1], [2, 3], [1, 2]])
    assert result.success, result.message
    assert result.x.shape == result.grad.shape == (2, 2)
    assert (result.x - 1).abs().max() < 1e-6
    assert result.nfev > result.nit
    assert result.nhvp > 0


def test_large_blocks_need_no_hessian() -> None:
    result = coordinate_descent(lambda x: ((x - 1) ** 4).sum() + (x**2).sum(), torch.zeros(120), 60)
    assert result.success
    assert result.nhvp == 0


def test_a_seed_gives_an_order_and_another_gives_another() -> None:
    q, _ = positive(6)

    def run(seed: int) -> Result:
        return coordinate_descent(
            q, [0.0] * 6, order="random", solve=q.solve, seed=seed, max_sweeps=2
        )

    same(run(3).x, run(3).x, because=RERUN)
    assert (run(3).x - run(4).x).abs().max() > 1e-6


def test_a_greedy_sweep_takes_the_steepest_block_first() -> None:
    visited: list[int] = []
    q = Quadratic(torch.diag(torch.tensor([1.0, 5.0, 3.0])), [1.0, 2.0, -3.0])

    def solve(x: Tensor, block: Tensor) -> Tensor:
        visited.extend(block.tolist())
        return q.solve(x, block)

    coordinate_descent(q, [0.0, 0.0, 0.0], order="greedy", solve=solve, max_sweeps=1)
    assert visited == [2, 1, 0]


def test_a_kink_between_entries_holds_it_up() -> None:
    """No entry alone can lower |x₁ − x₂| + 0.1·(x₁ + x₂)² at (1, 1), though (0, 0) is lower."""
    result = coordinate_descent(lambda x: (x[0] - x[1]).abs() + 0.1 * x.sum() ** 2, [1.0, 1.0])
    assert result.status is Status.STALLED
    assert "the last sweep found no lower point" in result.message
    assert (result.x - 1).abs().max() < 1e-9


def test_other_ends() -> None:
    falling = coordinate_descent(lambda x: x[0] ** 2 - x[1], [1.0, 1.0])
    assert falling.status is Status.UNBOUNDED
    undefined = coordinate_descent(lambda x: x.log().sum(), [-1.0])
    assert undefined.status is Status.UNDEFINED
    q, _ = positive(4)
    cut = coordinate_descent(q, [0.0] * 4, solve=q.solve, max_sweeps=2)
    assert (cut.status, cut.nit) == (Status.ITERATIONS, 2)
    assert cut.message.startswith("All sweeps are used up (max_sweeps)")
    done = coordinate_descent(q, [0.0] * 4, solve=q.solve, max_sweeps=0)
    assert (done.nit, done.success) == (0, False)


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        ({"order": "cyclical"}, "no order 'cyclical'. Did you mean 'cyclic'"),
        ({"blocks": 0}, "at least 1 entry; got a size of 0"),
        ({"blocks": "ab"}, "a list of index tensors"),
        ({"blocks": [[0, 1]]}, "entry 2 of x0 is in no block"),
        ({"blocks": [[0, 1, 2], []]}, "block 1 is empty"),
        ({"blocks": [[0.0, 1.0, 2.0]]}, "expected integers"),
        ({"blocks": [[0, 1, 3]]}, "block 0 holds 3; x0 has entries 0 to 2"),
        ({"blocks": [[0, 1, -1]]}, "holds -1"),
        ({"blocks": [[0, 1, 2, 2]]}, "an entry twice"),
        ({"max_sweeps": -1}, "max_sweeps must be an integer"),
        ({"solve": lambda x, block: 1.0}, "solve returned float for a block of 1"),
        ({"solve": lambda x, block: x}, r"solve returned \(3,\) for a block of 1"),
        ({"solve": lambda x, block: x[block] / 0}, "not finite for the block of entries"),
    ],
)
def test_wrong_arguments(arguments: dict[str, Any], message: str) -> None:
    with pytest.raises(ValueError, match=message):
        coordinate_descent(lambda x: (x**2).sum(), [1.0, 2.0, 3.0], **arguments)


def test_quadratics_that_are_none() -> None:
    with pytest.raises(ValueError, match="must be square"):
        Quadratic([[1.0, 2.0]])
    with pytest.raises(ValueError, match="must be symmetric"):
        Quadratic([[1.0, 2.0], [0.0, 1.0]])
    with pytest.raises(ValueError, match=r"b must have shape \(1,\)"):
        Quadratic([[1.0]], [1.0, 2.0])
    saddle = Quadratic([[1.0, 0.0], [0.0, -1.0]])
    with pytest.raises(ValueError, match=r"no minimum over the block of entries \[1\]"):
        coordinate_descent(saddle, [1.0, 1.0], solve=saddle.solve)
