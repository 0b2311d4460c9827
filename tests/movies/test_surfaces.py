"""Surfaces: traced with their gradients, for Python and for pages; what cannot be printed is refused."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
import torch
from torch import Tensor
from torch.nn import functional

from tests.engine.javascript.node import needs_javascript, run
from thalweg.engine.javascript.operations import library
from thalweg.errors import TaskError
from thalweg.movies.surface import Surface
from thalweg.movies.surfaces import SHOWN, find_surface

POINTS = [(0.3, 0.7), (-0.4, 0.9), (1.3, 0.2), (-1.7, 2.1)]
MATRIX = torch.tensor([[1.0, 0.5], [0.5, 1.0]], dtype=torch.float64)


def quadratic(x: Tensor, y: Tensor) -> Tensor:
    p = torch.stack([x, y])
    value: Tensor = 0.5 * p @ (MATRIX @ p) - 1.5 * p.sum()
    return value


def activations(x: Tensor, y: Tensor) -> Tensor:
    smooth = functional.gelu(x) + functional.silu(y) + functional.softplus(x * y)
    smooth = smooth + torch.sigmoid(x) * torch.tanh(y) + functional.mish(x)
    bent = functional.elu(x) + functional.selu(y) + functional.relu(x) + functional.leaky_relu(y)
    return smooth + bent + functional.huber_loss(x, y)


def shapes(x: Tensor, y: Tensor) -> Tensor:
    p = torch.stack([x, y])
    parts = p.norm() + p.mean() + p.abs().sum() + torch.logsumexp(p, 0) + p.max() + p.flip(0)[0]
    return parts + torch.cat([x[None], y[None]]).square().sum() + (p[:, None] * p[None, :]).sum()


def pieces(x: Tensor, y: Tensor) -> Tensor:
    chosen = torch.where(x > 0, x * x, y.abs()) + torch.clamp(y, -1, 1) + torch.maximum(x, y)
    return chosen + y.abs() ** 2.5 + torch.erf(x) + torch.atan2(x, y) + torch.hypot(x, y) + x**4


def matrix(x: Tensor, y: Tensor, size: int) -> Tensor:
    entries = [x, y, y * y, x + 3, x * y, x - y, torch.ones_like(x), y.exp(), x * x + 2]
    return torch.stack(entries)[: size * size].reshape(size, size)


def products(x: Tensor, y: Tensor) -> Tensor:
    p, A = torch.stack([x, y, x - y]), matrix(x, y, 2)
    whole = p.prod() + torch.prod(A, 1).sum() + p.cumprod(0).square().sum() + p.cumsum(0).sum()
    sums = torch.einsum("i,ij,j->", p[:2], MATRIX, p[:2]) + torch.einsum("ij,jk->ik", A, A).sum()
    return whole + sums + torch.bmm(A[None], MATRIX[None]).square().sum() + torch.trace(A @ A)


def determinants(x: Tensor, y: Tensor) -> Tensor:
    A, B, ones = matrix(x, y, 2), matrix(x, y, 3), torch.ones(2, dtype=torch.float64)
    solved = torch.linalg.solve(A, ones).sum() + torch.linalg.inv(B).square().sum()
    return torch.det(A) + torch.linalg.det(B) + A.det().square() + solved + A.inverse().sum()


def statistics(x: Tensor, y: Tensor) -> Tensor:
    p = torch.stack([x, y, x * y])
    chosen = p[torch.tensor([0, 2, 2])].sum() + p.roll(1)[0] + torch.diag(p[:2]).square().sum()
    norms = (
        p.norm(3)
        + p.norm(float("inf"))
        + (p.softmax(0) * p).sum()
        + functional.log_softmax(p, 0)[1]
    )
    return p.var() + p.std() + p.var(0, correction=0) + chosen + norms


OWN: dict[str, Callable[..., Tensor]] = {
    each.__name__: each
    for each in (quadratic, activations, shapes, pieces, products, determinants, statistics)
}


def surfaces() -> list[Surface]:
    view = (-2.0, 2.0, -2.0, 2.0)
    return [*map(find_surface, SHOWN), *(Surface(n, f, (0.5, 0.5), view) for n, f in OWN.items())]


@needs_javascript
def test_values_and_gradients_are_those_of_autograd(tmp_path: Path) -> None:
    made = surfaces()
    printed = ",\n".join(each.javascript() for each in made)
    script = f"""{library()}
    return [{printed}].map((s) => given.map(([x, y]) => [...s.at(x, y), s.f(x, y)]));"""
    found = run(script, tmp_path, POINTS)
    for surface, values in zip(made, found, strict=True):
        of = torch.func.grad_and_value(surface.function, argnums=(0, 1))
        for point, (*paged, alone) in zip(POINTS, values, strict=True):
            (dx, dy), f = of(*(torch.tensor(v, dtype=torch.float64) for v in point))
            expected = [float(f), float(dx), float(dy)]
            # the rounding errors of a few dozen operations on terms that may cancel
            assert surface.at(*point) == pytest.approx(expected, rel=1e-12, abs=1e-12), surface.name
            assert paged == pytest.approx(expected, rel=1e-12, abs=1e-12), surface.name
            assert alone == pytest.approx(expected[0], rel=1e-12, abs=1e-12), surface.name


def test_products_and_determinants_have_their_slopes_where_they_are_zero() -> None:
    view = (-1.0, 1.0, -1.0, 1.0)
    product = Surface("p", lambda x, y: torch.stack([x, y, y + 2]).prod(), (0.0, 0.0), view)
    assert product.at(0.0, 3.0) == (0.0, 15.0, 0.0)
    assert product.at(0.0, 0.0) == (0.0, 0.0, 0.0)
    determinant = Surface("d", lambda x, y: torch.det(matrix(x, y, 2)), (0.0, 0.0), view)
    # x·(x + 3) − y³, where the matrix is singular
    assert determinant.at(0.0, 0.0) == (0.0, 3.0, 0.0)


HILLS = """
def surface(x, y):
    'Two hills.'
    return x.sin() + y**2

def pit(p):
    return p @ p
"""
NONE = """
def a(x, y):
    return x

def b(x):
    return x

def three(x, y, z):
    return x
"""


def branching(x: Any, y: Any) -> Any:
    return x if x > 0 else y


@pytest.mark.parametrize(
    ("function", "said"),
    [
        (branching, "branches on a value.*torch.where"),
        (lambda x, y: torch.lgamma(x), "calls torch.lgamma, which a page cannot compute"),
        (
            lambda x, y: torch.linalg.eigvalsh(torch.stack([x, y, y, x]).reshape(2, 2)).sum(),
            "calls torch.linalg_eigh, which a page cannot compute",
        ),
        (lambda x, y: torch.eye(5).mul(x).det() + y, "calls torch.linalg_det"),
        (lambda x, y: torch.stack([x, y]), r"must return one number.*shape \(2,\)"),
        (lambda x, y: 3.0, "must return one number.*3.0"),
        (lambda x, y: x.nothing, "failed: AttributeError"),
    ],
)
def test_what_cannot_be_traced_is_refused(function: Any, said: str) -> None:
    with pytest.raises(TaskError, match=f"mine {said}"):
        Surface("mine", function, (0.0, 0.0), (-1.0, 1.0, -1.0, 1.0)).at(0.0, 0.0)


def test_a_function_of_the_user_s_own(tmp_path: Path) -> None:
    file = tmp_path / "hills.py"
    file.write_text(HILLS)
    hills = find_surface(str(file), start=(2.0, 1.0))
    assert (hills.name, hills.about, hills.start) == ("hills", "Two hills.", (2.0, 1.0))
    assert hills.at(0.0, 3.0) == (9.0, 1.0, 6.0)
    pit = find_surface(f"{file}:pit", view=(-9.0, 9.0, -9.0, 9.0))
    assert (pit.name, pit.at(1.0, 2.0), pit.view[0]) == ("hills:pit", (5.0, 2.0, 4.0), -9.0)
    far = find_surface(str(file), start=(50.0, 0.0))
    assert far.view[1] > 50.0


@pytest.mark.parametrize(
    ("target", "said"),
    [
        ("rosenbrok", "no surface 'rosenbrok'.*'rosenbrock'"),
        ("digits", "It is a task, whose model has more than two numbers"),
        ("rosenbrock:dimensions=3", "not a function of two numbers"),
        ("nowhere.py", "no file nowhere.py"),
    ],
)
def test_a_surface_that_is_none(target: str, said: str) -> None:
    with pytest.raises(TaskError, match=said):
        find_surface(target)


def test_a_file_without_a_surface(tmp_path: Path) -> None:
    file = tmp_path / "none.py"
    file.write_text(
        "def a(x, y):\n    return x\n\n\ndef b(x):\n    return x\n\n\ndef three(x, y, z):\n    return x\n"
    )
    with pytest.raises(
        TaskError, match=r"no function 'surface'. It has a, b, three: name one as .*none.py:a"
    ):
        find_surface(str(file))
    with pytest.raises(TaskError, match="takes 3 arguments; a surface takes x and y"):
        find_surface(f"{file}:three")
    with pytest.raises(TaskError, match="2 finite numbers are expected as start"):
        find_surface("bowl", start=(1.0,))
    with pytest.raises(TaskError, match="left < right"):
        find_surface("bowl", view=(1.0, -1.0, 0.0, 1.0))
