"""An exception of the objective, or Ctrl-C, goes on with what was found so far."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import pytest
import torch
from torch import Tensor

from tests.exact import same
from thalweg.solvers import coordinate_descent, least_squares, minimize, minimize_many
from thalweg.solvers.methods import METHODS, RESIDUAL_METHODS
from thalweg.solvers.stop import Status

START = [-1.2, 1.0]
AGAIN = "the same function at the same point"


def rosenbrock(x: Tensor) -> Tensor:
    return 100 * (x[1] - x[0] ** 2) ** 2 + (1 - x[0]) ** 2


def residuals(x: Tensor) -> Tensor:
    return torch.stack([10 * (x[1] - x[0] ** 2), 1 - x[0]])


class Fails:
    """A function that raises at its call number `at`; it keeps what it returned."""

    def __init__(
        self, fun: Callable[[Tensor], Tensor], at: int, error: type[BaseException]
    ) -> None:
        self.fun, self.at, self.error = fun, at, error
        self.values: list[float] = []

    def __call__(self, x: Tensor) -> Tensor:
        if len(self.values) + 1 == self.at:
            raise self.error("stopped")
        value = self.fun(x)
        self.values.append(
            float(value.detach().square().sum() / 2 if value.ndim else value.detach())
        )
        return value


def raised(solve: Callable[[], Any], error: type[BaseException]) -> Any:
    with pytest.raises(error) as caught:
        solve()
    notes = getattr(caught.value, "__notes__", [])
    assert sum("`result`" in note for note in notes) == 1
    return caught.value.result  # type: ignore[attr-defined]


@pytest.mark.parametrize("error", [ZeroDivisionError, KeyboardInterrupt])
@pytest.mark.parametrize("at", [2, 3, 7, 16])
@pytest.mark.parametrize("method", METHODS)
def test_minimize_hands_over_the_lowest_point(
    method: str, at: int, error: type[BaseException]
) -> None:
    fun = Fails(rosenbrock, at, error)
    result = raised(lambda: minimize(fun, START, method), error)
    assert result.status is Status.INTERRUPTED
    assert not result.success
    assert result.message.startswith("Interrupted")
    assert result.fun == min(fun.values)
    same(float(rosenbrock(result.x)), result.fun, because=AGAIN)
    same(torch.func.grad(rosenbrock)(result.x), result.grad, because=AGAIN)
    # those that made a graph for a Hessian are gradients, not evaluations of the search
    assert result.nfev <= at - 1


@pytest.mark.parametrize("method", RESIDUAL_METHODS)
def test_least_squares_too(method: str) -> None:
    fun = Fails(residuals, 6, ArithmeticError)
    result = raised(lambda: least_squares(fun, START, method), ArithmeticError)
    assert result.fun == min(fun.values)
    same(float(residuals(result.x).square().sum() / 2), result.fun, because=AGAIN)


def test_each_start_of_many_has_what_it_came_to() -> None:
    starts = torch.tensor([[1.0, 1.0], [-1.2, 1.0], [0.0, 2.0]], dtype=torch.float64)
    calls = 0

    def fun(x: Tensor) -> Tensor:
        nonlocal calls
        calls += 1
        if calls == 20:
            raise KeyboardInterrupt
        return rosenbrock(x)

    results = raised(lambda: minimize_many(fun, starts), KeyboardInterrupt)
    assert [result.status for result in results] == ["converged", "interrupted", "interrupted"]
    for start, result in zip(starts, results, strict=True):
        assert float(rosenbrock(result.x)) == pytest.approx(result.fun, rel=1e-12)
        assert result.fun == 0 or result.fun < 0.9 * float(rosenbrock(start))


def test_nothing_is_handed_over_where_nothing_was_found() -> None:
    for solve in (minimize, least_squares):
        with pytest.raises(ZeroDivisionError) as caught:
            solve(Fails(rosenbrock, 1, ZeroDivisionError), START)  # type: ignore[operator]
        assert not hasattr(caught.value, "result")
        assert not getattr(caught.value, "__notes__", [])


def test_a_callback_that_raises() -> None:
    seen: list[float] = []

    def callback(x: Tensor, fun: float) -> None:
        seen.append(fun)
        if len(seen) == 4:
            raise ValueError("enough")

    result = raised(lambda: minimize(rosenbrock, START, callback=callback), ValueError)
    same(result.fun, seen[-1], because="it is what the callback was given")
    assert result.nit == 4


@pytest.mark.parametrize("at", [3, 30, 75])
def test_coordinate_descent_hands_over_the_last_whole_sweep(at: int) -> None:
    fun = Fails(lambda x: (x[0] - x[1]) ** 2 + 0.1 * (x**2).sum() + x.sum(), at, KeyboardInterrupt)
    result = raised(lambda: coordinate_descent(fun, [3.0, -1.0]), KeyboardInterrupt)
    assert result.status is Status.INTERRUPTED
    assert result.x.shape == (2,)
    same(float(fun.fun(result.x)), result.fun, because=AGAIN)
    same(result.history[-1].fun, result.fun, because="it is the last sweep's")


def test_an_exception_that_can_have_no_attributes_goes_on() -> None:
    class Bare(Exception):  # noqa: N818
        def __setattr__(self, name: str, value: object) -> None:
            raise AttributeError(name)

    with pytest.raises(Bare):
        minimize(Fails(rosenbrock, 5, Bare), START)
