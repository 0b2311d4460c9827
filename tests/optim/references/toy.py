"""A small problem in NumPy alone, and the trajectories of both kinds of step on it."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from typing import Any

import numpy as np

from ..reference import Array, State, Step

STEPS = 40
SHAPES = ((), (7,), (5, 3), (2, 3, 2))
RNG = np.random.default_rng(0)
STARTS = [RNG.standard_normal(shape) for shape in SHAPES]
NOISE = [[RNG.standard_normal(shape) for shape in SHAPES] for _ in range(STEPS)]
MINIMA = [start + 1.0 + RNG.random(start.shape) for start in STARTS]
CURVATURES = [0.1 + 0.9 * RNG.random(shape) for shape in SHAPES]


def gradients(ws: list[Array], t: int, noise: float = 0.3) -> list[Array]:
    """Gradients of a separable quadratic, with noise that is the same in every run."""
    rows = zip(CURVATURES, ws, MINIMA, NOISE[t - 1], strict=True)
    return [h * (w - c) + noise * n for h, w, c, n in rows]


def constant(t: int) -> float:
    return 1.0


def changing(t: int) -> float:
    return (1.0, 0.3, 2.0, 0.0, 0.7)[(t - 1) % 5] / (1.0 + 0.05 * t)


def path(
    step: Step, lr: float, rate: Callable[[int], float] = constant, **options: Any
) -> Iterator[list[Array]]:
    """Yield the points of a step of one array, taken for each array."""
    ws, states = STARTS, [State() for _ in STARTS]
    for t in range(1, STEPS + 1):
        rows = zip(ws, gradients(ws, t), states, strict=True)
        ws = [step(w, g, s, t=t, lr=lr * rate(t), **options) for w, g, s in rows]
        yield ws


def model_path(
    step: Callable[..., list[Array]],
    lr: float,
    rate: Callable[[int], float] = constant,
    scale: float = 1.0,
    **options: Any,
) -> Iterator[list[Array]]:
    """Yield the points of a step of the whole model, the gradients multiplied by `scale`."""
    ws, state = STARTS, State()
    for t in range(1, STEPS + 1):
        gs = [scale * g for g in gradients(ws, t)]
        ws = step(ws, gs, state, t=t, lr=lr * rate(t), **options)
        yield ws


def distance(ours: Iterator[list[Array]], theirs: Iterator[list[Array]]) -> float:
    """Return the largest difference of two paths."""
    return max(
        float(np.max(np.abs(a - b)))
        for us, them in zip(ours, theirs, strict=True)
        for a, b in zip(us, them, strict=True)
    )
