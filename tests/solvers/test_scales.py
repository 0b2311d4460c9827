"""Objectives and parameters of any scale: squares of numbers leave float32 long before the numbers do."""

from __future__ import annotations

from typing import Any

import pytest
import torch
from torch import Tensor

from tests.exact import same
from thalweg.solvers import least_squares, minimize, minimize_many
from thalweg.solvers.methods import METHODS

FAST = sorted(set(METHODS) - {"steepest"})
SCALES = [(1e25, 1.0), (1e-25, 1.0), (1e30, 1e25), (1e-25, 1e-25)]
"""Of the objective and of the parameters."""
START = torch.tensor([-1.2, 1.0, -0.5])


def valley(z: Tensor) -> Tensor:
    return (10 * (z[1:] - z[:-1] ** 2) ** 2 + (1 - z[:-1]) ** 2).sum()


def check(x: Tensor) -> None:
    # float32 converges to a gradient of 1e-4, in a valley with a condition of about 100
    torch.testing.assert_close(x, torch.ones_like(x), rtol=0, atol=1e-2)


@pytest.mark.parametrize(("of_f", "of_x"), SCALES)
@pytest.mark.parametrize("method", FAST)
def test_a_method_works_at_every_scale_of_float32(method: str, of_f: float, of_x: float) -> None:
    def fun(x: Tensor) -> Tensor:
        return of_f * valley(x / of_x)

    alone = minimize(fun, START * of_x, method)
    assert alone.success, alone
    check(alone.x / of_x)
    assert alone.fun == float(fun(alone.x)) == alone.history[-1].fun
    largest = float(alone.grad.abs().max())
    assert largest == pytest.approx(alone.history[-1].gradient)
    first = torch.func.grad(fun)(START * of_x)
    assert alone.history[0].gradient == pytest.approx(float(first.abs().max()), rel=1e-5)
    together = minimize_many(fun, torch.stack([START, 2 * START]) * of_x, method)
    for result in together:
        assert result.success, result
        check(result.x / of_x)


@pytest.mark.parametrize("method", FAST)
def test_float64_has_room_for_the_same(method: str) -> None:
    for scale in (1e200, 1e-200):
        result = minimize(lambda x, s=scale: s * valley(x), START.double(), method)  # type: ignore[misc]
        assert result.success, (scale, result)
        check(result.x)


@pytest.mark.parametrize("method", ["lm", "trust-ncg"])
@pytest.mark.parametrize(("of_r", "of_x"), [(1e15, 1.0), (1e-15, 1.0), (1.0, 1e25), (1.0, 1e-25)])
def test_least_squares_too(method: str, of_r: float, of_x: float) -> None:
    t = torch.linspace(0, 1, 20)
    y = 2 * torch.exp(-3 * t)
    result = least_squares(
        lambda p: of_r * (p[0] / of_x * torch.exp(-p[1] / of_x * t) - y),
        torch.ones(2) * of_x,
        method,
    )
    assert result.success, result
    torch.testing.assert_close(result.x / of_x, torch.tensor([2.0, 3.0]), rtol=1e-3, atol=0)


@pytest.mark.parametrize("method", ["cg", "newton-cg", "trust-ncg", "lm"])
def test_a_unit_changes_no_step(method: str) -> None:
    """A power of four is exact, in preconditioners, radii, bounds and what a callback sees as well."""
    d, scale = torch.tensor([1.0, 10.0, 100.0]), 2.0**40
    paths: list[list[tuple[Tensor, float]]] = []
    for c in (1.0, scale, 1 / scale):
        seen: list[tuple[Tensor, float]] = []

        def callback(x: Tensor, f: float, seen: Any = seen, c: float = c) -> None:
            seen.append((x, f / c))

        options: dict[str, Any] = {"callback": callback}
        start = torch.full((3,), 3.0)
        if method in ("lm", "trust-ncg"):
            options["radius"] = 2 * c**0.5
        if method == "lm":
            least_squares(
                lambda x, c=c: c**0.5 * (d * (x - 1) + x**2),  # type: ignore[misc]
                start,
                method,
                **options,
            )
        else:
            options["preconditioner"] = 1 / (c * d)
            minimize(
                lambda x, c=c: c * ((d * (x - 1) ** 2).sum() / 2 + (x**4).sum() / 64),  # type: ignore[misc]
                start,
                method,
                **options,
            )
        paths.append(seen)
    assert len(paths[0]) > 2
    for path in paths[1:]:
        same(path, paths[0], because="products with powers of two are exact")
