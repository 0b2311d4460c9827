"""A small network, the same in PyTorch and written out in NumPy, and optimizers to wrap."""

from __future__ import annotations

import io
from collections.abc import Callable, Iterable, Sequence
from typing import Any

import numpy as np
import torch
from torch import Tensor, nn

import thalweg
from thalweg import chain, optim
from thalweg.rules import adam, decay, momentum

Array = np.ndarray[Any, np.dtype[np.float64]]
Make = Callable[[Iterable[Any]], torch.optim.Optimizer]
STEPS = 50
ROWS = 12


class Net(nn.Module):
    """f(x) = tanh(x·W + b)·v·s, with a scalar s, and a parameter that no loss reaches."""

    def __init__(self, seed: int = 0) -> None:
        super().__init__()
        generator = torch.Generator().manual_seed(seed)

        def draw(*shape: int) -> nn.Parameter:
            return nn.Parameter(torch.randn(shape, generator=generator, dtype=torch.float64))

        self.W = draw(5, 4)
        self.b = draw(4)
        self.v = draw(4)
        self.s = draw()
        self.unused = draw(3)

    def forward(self, x: Tensor) -> Tensor:
        return torch.tanh(x @ self.W + self.b) @ self.v * self.s


def mse(net: nn.Module, x: Tensor, y: Tensor) -> Tensor:
    return ((net(x) - y) ** 2).mean()


def batches(steps: int = STEPS, rows: int = ROWS, seed: int = 1) -> list[tuple[Tensor, Tensor]]:
    generator = torch.Generator().manual_seed(seed)
    return [
        (
            torch.randn(rows, 5, generator=generator, dtype=torch.float64),
            torch.randn(rows, generator=generator, dtype=torch.float64),
        )
        for _ in range(steps)
    ]


BATCHES = batches()


def numpy_gradient(w: Sequence[Array], x: Array, y: Array) -> list[Array]:
    """The gradient of the mean squared error, by hand."""
    W, b, v, s = w
    h = np.tanh(x @ W + b)
    r = 2.0 * (h @ v * s - y) / len(y)
    dz = np.outer(r, v) * s * (1.0 - h * h)
    return [x.T @ dz, dz.sum(axis=0), h.T @ r * s, np.asarray((h @ v) @ r)]


def sgd(w: Array, g: Array, state: dict[str, Any], t: int) -> Array:
    """SGD with momentum 0.9 and lr 0.02."""
    state["b"] = g if t == 1 else 0.9 * state["b"] + g
    return w - 0.02 * state["b"]


def adam_(w: Array, g: Array, state: dict[str, Any], t: int) -> Array:
    """Adam with β = (0.9, 0.99), ε = 1e-3 and lr 0.01."""
    state["m"] = 0.9 * state.get("m", 0.0) + 0.1 * g
    state["v"] = 0.99 * state.get("v", 0.0) + 0.01 * g * g
    m, v = state["m"] / (1 - 0.9**t), state["v"] / (1 - 0.99**t)
    return w - 0.01 * m / (np.sqrt(v) + 1e-3)


ADAM = {"lr": 0.01, "betas": (0.9, 0.99), "eps": 1e-3}
INNER: dict[str, tuple[Make, Callable[..., Array]]] = {
    "torch SGD": (lambda p: torch.optim.SGD(p, lr=0.02, momentum=0.9), sgd),
    "torch Adam": (lambda p: torch.optim.Adam(p, **ADAM), adam_),
    "SGD": (lambda p: optim.SGD(p, lr=0.02, momentum=0.9), sgd),
    "Adam": (lambda p: optim.Adam(p, **ADAM), adam_),
    "chain of momentum": (lambda p: thalweg.Optimizer(p, momentum(), lr=0.02), sgd),
    "chain of adam": (
        lambda p: thalweg.Optimizer(p, adam(beta2=0.99, eps=1e-3), lr=0.01),
        adam_,
    ),
}
MAKES: dict[str, Make] = {
    **{name: make for name, (make, _) in INNER.items()},
    "torch AdamW": lambda p: torch.optim.AdamW(p, lr=0.01, weight_decay=0.1),
    "chain with decay": lambda p: thalweg.Optimizer(p, chain(adam(), decay(0.1)), lr=0.01),
}


def snapshot(net: nn.Module) -> list[Tensor]:
    return [p.detach().clone() for p in net.parameters()]


def through_file(content: Any) -> Any:
    """Return what a file holds after it was written and read without unpickling code."""
    file = io.BytesIO()
    torch.save(content, file)
    file.seek(0)
    return torch.load(file, weights_only=True)
