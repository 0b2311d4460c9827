"""SAM and ASAM in NumPy, and a closure."""

from __future__ import annotations

from collections.abc import Callable

import numpy as np
from torch import Tensor

from tests.meta.problem import BATCHES, Array, Net, mse, numpy_gradient, snapshot
from thalweg.meta import SAM

RHO = 0.3


def sam_ascent(w: list[Array], g: list[Array]) -> list[Array]:
    norm = np.sqrt(sum((x * x).sum() for x in g))
    return [a + RHO * x / (norm + 1e-12) for a, x in zip(w, g, strict=True)]


def asam_ascent(w: list[Array], g: list[Array]) -> list[Array]:
    scales = [np.abs(a) + 0.01 for a in w]
    norm = np.sqrt(sum(((t * x) ** 2).sum() for t, x in zip(scales, g, strict=True)))
    return [a + RHO * t**2 * x / (norm + 1e-12) for a, t, x in zip(w, scales, g, strict=True)]


def reference(
    ascent: Callable[[list[Array], list[Array]], list[Array]], inner: Callable[..., Array]
) -> list[list[Array]]:
    w = [p.numpy() for p in snapshot(Net())[:4]]
    states: list[dict[str, object]] = [{} for _ in w]
    path = []
    for t, (x, y) in enumerate(BATCHES, 1):
        data = x.numpy(), y.numpy()
        g = numpy_gradient(ascent(w, numpy_gradient(w, *data)), *data)
        w = [inner(*terms, t) for terms in zip(w, g, states, strict=True)]
        path.append(w)
    return path


def closure_of(net: Net, optimizer: SAM, x: Tensor, y: Tensor) -> Callable[[], Tensor]:
    def closure() -> Tensor:
        optimizer.zero_grad()
        loss = mse(net, x, y)
        loss.backward()
        return loss

    return closure
