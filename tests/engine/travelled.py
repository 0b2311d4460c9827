"""A rule with scalar states of both kinds, computed from reductions and not, and the same in NumPy."""

from __future__ import annotations

import math
from collections.abc import Sequence
from typing import Any

import numpy as np
import pytest
import torch
from torch import Tensor
from torch.nn import Parameter

import thalweg
from thalweg import Scalar, norm, total
from thalweg.engine.cpu.batch import CHUNK

from .kinds import DOUBLE, draw

LR = 3.0
SHAPES = ((4, 5), (7,), (), (CHUNK + 3,))


@thalweg.rule
def travelled(
    g,
    p,
    start,
    turns: Scalar = 2.0,
    way: Scalar = 0.25,
    squares: Scalar = 0.0,
    *,
    t,
    scope="tensor",
):
    """A step as long as the way so far, between two scalar states of either kind."""
    start = torch.where(t == 1, p, start)
    way = torch.maximum(way, norm(p - start, scope=scope))
    squares = squares + turns * total(g * g, scope=scope)
    return way / torch.sqrt(squares) * g, start, turns + 1, way, squares


def reference(
    start: Sequence[Any], gradients: Sequence[Sequence[Any]], scope: str
) -> list[dict[str, Any]]:
    """Return each parameter's point and numbers after these steps, in NumPy."""
    points = [
        {"p": p.numpy(), "start": p.numpy(), "turns": 2.0, "way": 0.25, "squares": 0.0}
        for p in start
    ]
    for step in gradients:
        ways = [np.sum((s["p"] - s["start"]) ** 2) for s in points]
        squares = [np.sum(g.numpy() ** 2) for g in step]
        if scope == "all":
            ways, squares = [sum(ways)] * len(ways), [sum(squares)] * len(squares)
        for s, g, way, square in zip(points, step, ways, squares, strict=True):
            s["way"] = max(s["way"], math.sqrt(way))
            s["squares"] += s["turns"] * square
            s["turns"] += 1
            s["p"] = s["p"] - LR * s["way"] / math.sqrt(s["squares"]) * g.numpy()
    return points


def draws(
    steps: int, shapes: Sequence[tuple[int, ...]] = SHAPES, dtype: torch.dtype = DOUBLE
) -> list[list[Tensor]]:
    return [
        [draw(*shape, seed=100 * n + k, dtype=dtype) for k, shape in enumerate(shapes)]
        for n in range(steps)
    ]


def run(
    optimizer: thalweg.Optimizer, params: Sequence[Parameter], gradients: Sequence[Sequence[Any]]
) -> None:
    for step in gradients:
        for p, g in zip(params, step, strict=True):
            p.grad = None if g is None else g.clone()
        optimizer.step()


def assert_state(state: dict[str, Any], steps: int, expected: dict[str, Any]) -> None:
    """The numbers are 0-d float64 tensors, whatever the engine computed with."""
    assert state["step"] == steps
    for name in ("turns", "way", "squares"):
        assert (state[name].shape, state[name].dtype) == ((), DOUBLE)
        assert state[name].item() == pytest.approx(expected[name], rel=1e-12)
