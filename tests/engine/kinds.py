"""Parameters and gradients of every kind, and one step of them."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import Any

import pytest
import torch
from torch import Tensor
from torch.nn import Parameter

import thalweg

DOUBLE = torch.float64
each_engine = pytest.mark.parametrize("engine", ["eager", "auto"])
Floats = Sequence[Tensor]


def draw(*shape: int, seed: int = 0, dtype: torch.dtype = DOUBLE) -> Tensor:
    return torch.randn(shape, generator=torch.Generator().manual_seed(seed), dtype=DOUBLE).to(dtype)


def step(
    rule: Any, gradients: Floats, engine: str, start: Floats | None = None, lr: float = 1.0
) -> tuple[list[Tensor], thalweg.Optimizer]:
    """Return the parameters after one step, and the optimizer."""
    params = [
        Parameter(torch.zeros_like(g) if start is None else start[k].clone())
        for k, g in enumerate(gradients)
    ]
    for p, g in zip(params, gradients, strict=True):
        p.grad = g.clone()
    optimizer = thalweg.Optimizer(params, rule, lr=lr, engine=engine)
    optimizer.step()
    return [p.detach() for p in params], optimizer


KINDS: dict[str, Callable[[], Tensor]] = {
    "float32": lambda: draw(300, seed=1, dtype=torch.float32),
    "float64": lambda: draw(20, 3, seed=2),
    "bfloat16": lambda: draw(70, seed=3, dtype=torch.bfloat16),
    "float16": lambda: draw(50, seed=4, dtype=torch.float16),
    "strided": lambda: draw(30, 8, seed=5, dtype=torch.float32)[:, ::2],
    "transposed": lambda: draw(6, 40, seed=6).t(),
    "complex": lambda: torch.complex(draw(9, seed=7), draw(9, seed=8)),
    "empty": lambda: draw(0, 3, dtype=torch.float32),
    "one": lambda: draw(1, seed=9)[0],
}


def mixed() -> tuple[list[Parameter], list[Tensor]]:
    """Parameters of every kind, and their gradients stored alike."""
    gradients = [make() for make in KINDS.values()]
    params = []
    for name, g in zip(KINDS, gradients, strict=True):
        wide = torch.full((30, 8), 0.5) if name == "strided" else torch.full_like(g, 0.5)
        params.append(Parameter(wide[:, ::2] if name == "strided" else wide))
        params[-1].grad = g.clone()
    return params, gradients


def numbers(x: Tensor) -> Tensor:
    """Return the real numbers of a tensor, in float64."""
    return (torch.view_as_real(x) if x.is_complex() else x).double()


TOLERANCE = {torch.float16: 2.0**-10, torch.bfloat16: 2.0**-7, DOUBLE: 1e-6}


def assert_alike(actual: Tensor, expected: Tensor) -> None:
    rtol = TOLERANCE.get(actual.dtype, 1e-6)
    torch.testing.assert_close(numbers(actual), expected, rtol=rtol, atol=rtol)
