"""Walks of one parameter, and the same in NumPy."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import Any

import numpy as np
import torch
from torch import Tensor
from torch.nn import Parameter

import thalweg

from .kinds import DOUBLE, draw

Numbers = np.ndarray[Any, Any]
LR, STEPS = 0.1, 6


def walk(
    rule: Any, gradients: Sequence[Tensor], engine: str
) -> tuple[list[Tensor], dict[str, Any]]:
    """Return the points of a walk, the start among them, and the last state."""
    w = Parameter(draw(*gradients[0].shape, seed=99, dtype=gradients[0].dtype))
    points = [w.detach().clone()]
    optimizer = thalweg.Optimizer([w], rule, lr=LR, engine=engine)
    for g in gradients:
        w.grad = g.clone()
        optimizer.step()
        points.append(w.detach().clone())
    return points, optimizer.state[w]


def draws(*shape: int, dtype: torch.dtype = DOUBLE) -> list[Tensor]:
    return [draw(*shape, seed=k, dtype=dtype) for k in range(1, STEPS + 1)]


def follow(
    gradients: Sequence[Tensor],
    update: Callable[[int, Numbers, Numbers], Numbers],
    after: Callable[[int, Numbers, Numbers], Numbers],
) -> list[Numbers]:
    """Return the points of p ← after(t, p − update(t, g, p), p), in NumPy."""
    p = draw(*gradients[0].shape, seed=99).numpy()
    points = [p]
    for t, g in enumerate(gradients, start=1):
        p = after(t, p - update(t, g.numpy(), p), p)
        points.append(p)
    return points


def assert_same_path(points: Sequence[Tensor], expected: Sequence[Numbers]) -> None:
    assert len(points) == len(expected) == STEPS + 1
    for a, e in zip(points, expected, strict=True):
        np.testing.assert_allclose(a.numpy(), e, rtol=1e-13, atol=1e-14)
