"""The history of L-BFGS for one run: its last pairs, and the products that its compact form needs."""

from __future__ import annotations

import math
from typing import Any

import torch
from torch import Tensor

_FIRST_ROWS = 8
"""Pairs that there is room for at first; it is doubled when it is full."""
_SHORT = 0.1
"""Where y is shorter than this part of g, products with y are not taken from differences."""


_CHUNK = 2**17
"""Numbers that are compared at once: they fit in the cache."""


def is_difference(y: Tensor, after: Tensor, before: Tensor) -> bool:
    """Return whether y = after − before to the bit, as with no bounds it is."""
    return all(
        torch.equal(y[at : at + _CHUNK], after[at : at + _CHUNK] - before[at : at + _CHUNK])
        for at in range(0, len(y), _CHUNK)
    )


class Pairs:
    """The last pairs (s, y) of one run, and H·g of BFGS's inverse Hessian made of γI and them.

    H = γI + [S γY] [R⁻ᵀ(D + γYᵀY)R⁻¹, −R⁻ᵀ; −R⁻¹, 0] [S γY]ᵀ with R the upper triangle of SᵀY, D its
    diagonal, γ = sᵀy/yᵀy of the newest pair. A pair without sᵀy > 0 is left out. Products with a new
    y = g⁺ − g are differences of those with the gradients, so that a direction reads the history twice; two
    loops over the pairs read it twice, too, and change a vector for each pair. Rounding makes differences
    worse by |g|/|y|: where y is short, and where it is no difference, the history is read once more.

    Source: Byrd, Nocedal and Schnabel (1994), Representations of quasi-Newton matrices.
    """

    def __init__(self, like: Tensor, most: int) -> None:
        self.most, self.dtype = most, torch.promote_types(like.dtype, torch.float32)
        self.rows = min(most, _FIRST_ROWS)
        self.count = 0
        n = like.numel()
        exact: dict[str, Any] = {"dtype": torch.float64, "device": like.device}
        self.vectors = torch.zeros(self.rows, 2, n, dtype=self.dtype, device=like.device)
        self.known = torch.zeros(0, 2, **exact)  # products with the last gradient
        # SᵀY and YᵀY ordered by age: a window moves along the diagonal, and ends at `end`.
        self.gram = torch.zeros(2, 2 * self.rows, 2 * self.rows, **exact)
        self.end = 0
        self.order = torch.arange(self.rows, device=like.device).repeat(2)
        self.gamma, self.newest, self.length = 1.0, torch.zeros(2, **exact), 0.0
        self.g: Tensor | None = None  # the last gradient
        self.y: Tensor | None = None  # the newest y, as long as its products are not known

    def add(self, s: Tensor, y: Tensor) -> None:
        """Take a pair, if its curvature is beyond its rounding; the next direction finds its products."""
        products = torch.stack([torch.dot(s, s), torch.dot(s, y), torch.dot(y, y)]).double()
        ss, sy, yy = products.tolist()
        if not sy > torch.finfo(self.dtype).eps * math.sqrt(ss) * math.sqrt(yy):
            return
        if self.count == self.rows < self.most:
            self._grow()
        row = self.count % self.rows
        self.vectors[row, 0], self.vectors[row, 1] = s, y
        self.count += 1
        self.gamma, self.newest, self.length = sy / yy, products[1:], math.sqrt(yy)
        self.y = y

    def direction(self, g: Tensor) -> Tensor:
        """Return −H·g."""
        if not self.count:
            self.g = g
            return -g
        now = self._products(g)
        if self.y is not None:
            self._extend(now, g, self.y)
        self.known, self.g, self.y = now, g, None
        k = min(self.count, self.rows)
        start = self.count % self.rows if k == self.rows else 0
        by_age = now[self.order[start : start + k]]
        window = self.gram[:, self.end - k : self.end, self.end - k : self.end]
        upper = window[0]
        u = torch.linalg.solve_triangular(upper, by_age[:, :1], upper=True)
        inner = torch.addmm(by_age[:, 1:], window[1], u, beta=-self.gamma, alpha=self.gamma)
        inner.addcmul_(upper.diagonal()[:, None], u)
        v = torch.linalg.solve_triangular(upper.mT, inner, upper=False)
        back = self.rows - start if start else 0
        by_row = torch.cat([-v, u * self.gamma], 1)[self.order[back : back + k]]
        mixed = by_row.view(-1).to(self.dtype)
        return torch.addmv(g, self._matrix(k).mT, mixed, beta=-self.gamma)

    def _matrix(self, k: int) -> Tensor:
        """Return the first k rows, s and y in turn, as a matrix."""
        return self.vectors[:k].view(2 * k, -1)

    def _products(self, vector: Tensor) -> Tensor:
        """Return the products with a vector, [pairs, 2]."""
        k = min(self.count, self.rows)
        return torch.mv(self._matrix(k), vector).double().view(k, 2)

    def _extend(self, now: Tensor, g: Tensor, y: Tensor) -> None:
        """Add the products of the newest y, now that those with the present gradient are known."""
        k = len(now)
        if self._differs(g, y):
            new = now.clone()
            new[: len(self.known)] -= self.known
        else:
            new = self._products(y)
        start = self.count % self.rows if k == self.rows else 0
        new[(self.count - 1) % self.rows] = self.newest
        new = new[self.order[start : start + k]]
        if self.end == self.gram.shape[1]:
            kept = self.gram[:, self.end - k + 1 :, self.end - k + 1 :].clone()
            self.end = k - 1
            self.gram[:, : self.end, : self.end] = kept
        at, self.end = self.end, self.end + 1
        self.gram[:, self.end - k : self.end, at] = new.mT
        self.gram[1, at, self.end - k : self.end] = new[:, 1]

    def _differs(self, g: Tensor, y: Tensor) -> bool:
        """Return whether y is the difference of the gradients, as it is not at bounds, and not short."""
        if self.g is None or self.length < _SHORT * float(torch.linalg.vector_norm(g)):
            return False
        return is_difference(y, g, self.g)

    def _grow(self) -> None:
        """Make room for twice as many pairs, `most` at the most."""
        old, self.rows = self.rows, min(2 * self.rows, self.most)
        blank = self.vectors.new_zeros(self.rows - old, 2, self.vectors.shape[2])
        self.vectors = torch.cat([self.vectors, blank])
        gram = self.gram.new_zeros(2, 2 * self.rows, 2 * self.rows)
        self.end, kept = old, self.gram[:, self.end - old : self.end, self.end - old : self.end]
        gram[:, :old, :old] = kept
        self.gram = gram
        self.order = torch.arange(self.rows, device=gram.device).repeat(2)
