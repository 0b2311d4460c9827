"""Newton's methods with a matrix that is given instead of the Hessian."""

from __future__ import annotations

from typing import Any

import pytest
import torch
from torch import Tensor, nn

from tests.solvers.quadratics import quadratic
from thalweg.curvature import Matrix, ggn, hessian_of
from thalweg.errors import TaskError
from thalweg.solvers import flat_objective, minimize, minimize_many
from thalweg.solvers.methods import METHODS, SECOND_ORDER

START = torch.tensor([-1.2, 1.0], dtype=torch.float64)


def rosenbrock(x: Tensor) -> Tensor:
    return 100 * (x[1] - x[0] ** 2) ** 2 + (1 - x[0]) ** 2


def hessian_at(x: Tensor) -> Tensor:
    found: Any = torch.autograd.functional.hessian(rosenbrock, x)  # type: ignore[no-untyped-call]
    return found  # type: ignore[no-any-return]


@pytest.mark.parametrize("method", SECOND_ORDER)
@pytest.mark.parametrize("bounds", [None, (-2.0, 3.0)])
def test_the_hessian_given_as_an_operator_takes_the_same_path(method: str, bounds: Any) -> None:
    if bounds is not None and method.startswith("trust"):
        bounds = None
    own = minimize(rosenbrock, START, method, bounds=bounds)
    for curvature in (lambda x: hessian_of(rosenbrock, x), hessian_at):
        given = minimize(rosenbrock, START, method, bounds=bounds, curvature=curvature)
        assert given.success
        # the same products up to rounding, which a few steps of a stiff valley enlarge
        assert (given.nit, given.nhvp) == (own.nit, own.nhvp)
        assert float((given.x - own.x).norm()) < 1e-8


def test_a_point_keeps_its_shape_and_is_a_copy() -> None:
    seen = []

    def curvature(x: Tensor) -> Tensor:
        seen.append(tuple(x.shape))
        x.zero_()
        return 2 * torch.eye(4, dtype=torch.float64)

    start = torch.ones(2, 2, dtype=torch.float64)
    result = minimize(lambda x: ((x - 3) ** 2).sum(), start, "newton", curvature=curvature)
    assert (result.success, result.nit, set(seen)) == (True, 1, {(2, 2)})


@pytest.mark.parametrize("method", ["newton-cg", "trust-ncg", "newton"])
def test_a_net_by_its_gauss_newton_matrix(method: str) -> None:
    torch.manual_seed(0)
    model = nn.Sequential(nn.Linear(1, 6), nn.Tanh(), nn.Linear(6, 1)).double()
    x = torch.linspace(-1, 1, 30, dtype=torch.float64)[:, None]
    y = torch.sin(3 * x)
    flat = flat_objective(model, lambda model: (model(x) - y).square().mean())
    matrix = ggn(model, "mse", (x, y))

    def curvature(point: Tensor) -> Any:
        flat.write(point)
        return matrix.shifted(1e-3)

    first = float(flat.fun(flat.x0).detach())
    result = minimize(flat.fun, flat.x0, method, curvature=curvature, max_iter=40, tol=1e-5)
    assert result.fun < 1e-3 * first
    assert matrix.products == result.nhvp > 0
    flat.write(result.x)
    assert abs(float(flat.fun(result.x).detach()) - result.fun) < 1e-12
    assert float((model(x) - y).square().mean().detach()) == pytest.approx(result.fun, rel=1e-9)


@pytest.mark.parametrize("method", ["cg", "newton-cg", "trust-ncg"])
def test_an_object_with_solve_stands_for_its_inverse(method: str) -> None:
    f = quadratic(6, 100.0, low=1.0)
    operator = Matrix(f.A)

    class Plain:
        """Gives the vector itself."""

        def solve(self, b: Tensor) -> Tensor:
            found: Tensor = torch.linalg.solve(f.A, b)
            return found

    exact = torch.linalg.inv(f.A)
    start = torch.zeros(6, dtype=torch.float64)
    expected = minimize(f, start, method, preconditioner=lambda r: exact @ r)
    for given in (operator, Plain()):
        result = minimize(f, start, method, preconditioner=given)
        assert result.success
        assert abs(result.nit - expected.nit) <= 2, "conjugate gradients stop at 1e-6"


def test_what_is_no_curvature_is_said() -> None:
    with pytest.raises(TypeError, match="curvature must be a function of x"):
        minimize(rosenbrock, START, "newton-cg", curvature=3)  # type: ignore[arg-type]
    with pytest.raises(TypeError, match=r"has products A @ v.*got int"):
        minimize(rosenbrock, START, "newton-cg", curvature=lambda x: 3)  # type: ignore[arg-type, return-value]
    with pytest.raises(ValueError, match=r"A @ v gave \(1,\) for v of shape \(2,\)"):
        minimize(
            rosenbrock, START, "newton-cg", curvature=lambda x: torch.ones(1, 2, dtype=x.dtype)
        )
    for method in set(METHODS) - set(SECOND_ORDER):
        with pytest.raises(ValueError, match="takes no curvature; these do: newton, newton-cg"):
            minimize(rosenbrock, START, method, curvature=hessian_at)
    with pytest.raises(TypeError, match="no option 'curvature'"):
        minimize_many(rosenbrock, START[None], "newton", curvature=hessian_at)
    with pytest.raises(TaskError, match="v must have"):
        minimize(rosenbrock, START, "newton-cg", curvature=lambda x: Matrix(torch.eye(3).double()))
