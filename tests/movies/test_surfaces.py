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


OWN: dict[str, Callable[..., Tensor]] = {
    each.__name__: each for each in (quadratic, activations, shapes, pieces)
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
        ("rosenbrock:dimensions=3", "no function of two numbers"),
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
