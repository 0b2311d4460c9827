"""K-FAC of a net with two layers and a tanh between them, in NumPy, from the papers' equations."""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import Any

import numpy as np

Array = np.ndarray[Any, Any]


def softmax(z: Array) -> Array:
    e = np.exp(z - z.max(1, keepdims=True))
    found: Array = e / e.sum(1, keepdims=True)
    return found


@dataclass
class TwoLayers:
    """Cross-entropy of softmax(W₂·(tanh(W₁·(x, 1)), 1)), a mean over the rows; W hold biases at their end."""

    w: list[Array]
    lr: float
    damping: float
    refresh: int
    averaging: float
    momentum: float
    weight_decay: float
    kl_clip: float | None
    steps: int = 0
    averages: list[list[Array]] = field(default_factory=list)
    inverses: list[tuple[Array, Array]] = field(default_factory=list)
    refreshes: int = 0
    moved: list[Array | None] = field(default_factory=lambda: [None, None])

    def step(self, x: Array, y: Array, labels: Array) -> None:
        """Step by the gradient of targets y, the factors by `labels`."""
        n = len(x)
        a1 = np.hstack([x, np.ones((n, 1))])
        h = np.tanh(a1 @ self.w[0].T)
        a2 = np.hstack([h, np.ones((n, 1))])
        p = softmax(a2 @ self.w[1].T)

        def scores(of: Array) -> tuple[Array, Array]:
            g2 = p - np.eye(p.shape[1])[of]
            g1 = (g2 @ self.w[1][:, :-1]) * (1 - h**2)
            return g1, g2

        if self.steps % self.refresh == 0:
            self.curve([a1, a2], scores(labels))
        g1, g2 = scores(y)
        grads = [g1.T @ a1 / n, g2.T @ a2 / n]
        natural = [b @ g @ a for g, (a, b) in zip(grads, self.inverses, strict=True)]
        nu = 1.0
        if self.kl_clip is not None:
            total = sum(float((u * g).sum()) for u, g in zip(natural, grads, strict=True))
            nu = min(1.0, float(np.sqrt(self.kl_clip / (self.lr**2 * total))))
        for k, u in enumerate(natural):
            before = self.moved[k]
            now = nu * u if before is None else self.momentum * before + nu * u
            self.moved[k] = now
            self.w[k] = (1 - self.lr * self.weight_decay) * self.w[k] - self.lr * now
        self.steps += 1

    def curve(self, inputs: list[Array], gradients: tuple[Array, Array]) -> None:
        n, beta = len(inputs[0]), self.averaging
        new = [[a.T @ a / n, g.T @ g / n] for a, g in zip(inputs, gradients, strict=True)]
        old = self.averages or [[np.zeros_like(f) for f in pair] for pair in new]
        self.averages = [
            [beta * f + (1 - beta) * g for f, g in zip(one, other, strict=True)]
            for one, other in zip(old, new, strict=True)
        ]
        self.refreshes += 1
        self.inverses = []
        for pair in self.averages:
            a, b = (f / (1 - beta**self.refreshes) for f in pair)
            pi = np.sqrt((np.trace(a) / len(a)) / (np.trace(b) / len(b)))
            root = np.sqrt(self.damping)
            self.inverses.append(
                (
                    np.linalg.inv(a + pi * root * np.eye(len(a))),
                    np.linalg.inv(b + root / pi * np.eye(len(b))),
                )
            )
