"""The history of L-BFGS for one run: its last pairs, and the products that its compact form needs."""

from __future__ import annotations

import math
from collections.abc import Iterator

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor

from thalweg.solvers.lanes import norm

_FIRST_ROWS = 8
"""Pairs that there is room for at first; it is doubled when it is full."""
_SHORT = 0.1
"""Where y is shorter than this part of g, products with y are not taken from differences."""
_PIECE = 2**17
"""Numbers that are compared at once: they fit in the cache."""

Floats = NDArray[np.float64]


class Pairs:
    """The last pairs (s, y) of one run, and H·g of BFGS's inverse Hessian made of γI and them.

    H = γI + [S γY] [R⁻ᵀ(D + γYᵀY)R⁻¹, −R⁻ᵀ; −R⁻¹, 0] [S γY]ᵀ with R the upper triangle of SᵀY, D its
    diagonal, γ = sᵀy/yᵀy of the newest pair. A pair without sᵀy > 0, or so short that yᵀy is 0, is left
    out. Products with a new y = g⁺ − g are differences of those with the gradients, so that a direction
    reads the history twice; two loops over the pairs read it twice, too, and change a vector for each pair.
    R⁻¹ gets a column with each pair, −R⁻¹r/ρ and 1/ρ for a column (r, ρ) of R, and is as accurate as the
    equations solved. Rounding makes differences worse by |g|/|y|: where y is short, and where it is no
    difference, the history is read once more. The small matrices are on the host, in float64.

    Source: Byrd, Nocedal and Schnabel (1994), Representations of quasi-Newton matrices; for R⁻¹ Higham
    (2002), Accuracy and stability of numerical algorithms, section 14.2.
    """

    def __init__(self, like: Tensor, most: int) -> None:
        self.most, self.dtype = most, torch.promote_types(like.dtype, torch.float32)
        self.rows = min(most, _FIRST_ROWS)
        self.count = 0
        self.vectors = torch.zeros(self.rows, 2, like.numel(), dtype=self.dtype, device=like.device)
        self.known = np.zeros((0, 2))  # products with the last gradient
        # R⁻¹ and YᵀY ordered by age: a window moves along the diagonal, and ends at `end`.
        self.small = np.zeros((2, 2 * self.rows, 2 * self.rows))
        self.end = 0
        self.order = np.arange(0)  # rows, the oldest first
        self.gamma, self.newest, self.length = 1.0, (0.0, 0.0), 0.0
        self.g: Tensor | None = None  # the last gradient
        self.out: Tensor | None = None  # the last direction
        self.is_new = False  # whether the products of the newest y are still to be found

    def add(self, s: Tensor, y: Tensor) -> None:
        """Take a pair, if its curvature is beyond its rounding; the next direction finds its products."""
        size, sy, yy = float(norm(s)), float(torch.dot(s, y)), float(torch.dot(y, y))
        kind = torch.finfo(self.dtype)
        if not (yy > kind.tiny and sy > kind.eps * size * math.sqrt(yy)):
            return
        if self.count == self.rows < self.most:
            self._grow()
        row = self.vectors[self.count % self.rows]
        row[0], row[1] = s, y
        self.count += 1
        self.gamma, self.newest, self.length = sy / yy, (sy, yy), math.sqrt(yy)
        self.is_new = True

    def direction(self, g: Tensor) -> Tensor:
        """Return −H·g, which holds until the next is asked for: a new large tensor costs more than sums."""
        if not self.count:
            self.g = g
            return -g
        now = _times(self._matrix(), g)
        if self.is_new:
            self._extend(now, g)
        self.known, self.g, self.is_new = now, g, False
        of_s, of_y = now[self.order].T
        inverse, yy = self.small[:, self.end - len(now) : self.end, self.end - len(now) : self.end]
        u = inverse @ of_s
        v = (u / inverse.diagonal() + self.gamma * (yy @ u - of_y)) @ inverse
        weights = np.empty_like(now)
        weights[self.order, 0], weights[self.order, 1] = -v, self.gamma * u
        return self._mixed(g, weights)

    def _matrix(self) -> Tensor:
        """Return the rows that are used, s and y in turn, as a matrix."""
        k = min(self.count, self.rows)
        return self.vectors[:k].view(2 * k, -1)

    def _differs(self, g: Tensor) -> bool:
        """Return whether the newest y is bitwise the difference of the gradients, and not short.

        At bounds it is not a difference.
        """
        if self.g is None or self.length < _SHORT * float(torch.linalg.vector_norm(g)):
            return False
        y, before = self.vectors[(self.count - 1) % self.rows, 1], self.g
        return all(torch.equal(y[at], g[at] - before[at]) for at in _pieces(y))

    def _mixed(self, g: Tensor, weights: Floats) -> Tensor:
        """Return −γg with the rows by their weights added."""
        factors = torch.from_numpy(weights.reshape(-1)).to(self.dtype).to(g.device)
        if self.out is None:
            self.out = torch.empty_like(g)
        return torch.addmv(g, self._matrix().mT, factors, beta=-self.gamma, out=self.out)

    def _extend(self, now: Floats, g: Tensor) -> None:
        """Add the products of the newest y, now that those with the present gradient are known."""
        k = len(now)
        if self._differs(g):
            new = now.copy()
            new[: len(self.known)] -= self.known
        else:
            new = _times(self._matrix(), self.vectors[(self.count - 1) % self.rows, 1])
        self.order = (np.arange(k) + (self.count if k == self.rows else 0)) % self.rows
        sy, yy = new[self.order[:-1]].T
        if self.end == self.small.shape[1]:
            kept = self.small[:, self.end - k + 1 :, self.end - k + 1 :].copy()
            self.end = k - 1
            self.small[:, : self.end, : self.end] = kept
        at, self.end = self.end, self.end + 1
        window = slice(self.end - k, at)
        inverse, of_y = self.small
        inverse[window, at] = inverse[window, window] @ sy / -self.newest[0]
        of_y[window, at] = of_y[at, window] = yy
        inverse[at, at], of_y[at, at] = 1 / self.newest[0], self.newest[1]

    def _grow(self) -> None:
        """Make room for twice as many pairs, `most` at the most."""
        old, self.rows = self.rows, min(2 * self.rows, self.most)
        blank = self.vectors.new_zeros(self.rows - old, 2, self.vectors.shape[2])
        self.vectors = torch.cat([self.vectors, blank])
        small = np.zeros((2, 2 * self.rows, 2 * self.rows))
        small[:, :old, :old] = self.small[:, self.end - old : self.end, self.end - old : self.end]
        self.small, self.end = small, old


def _pieces(vector: Tensor) -> Iterator[slice]:
    """Return the pieces of a vector that are compared at once: on a device all of it."""
    n = len(vector)
    size = _PIECE if vector.device.type == "cpu" else max(n, 1)
    return (slice(a, a + size) for a in range(0, n, size))


def _times(matrix: Tensor, vector: Tensor) -> Floats:
    """Return the products of rows with a vector, [pairs, 2], on the host."""
    found: Floats = torch.mv(matrix, vector).double().cpu().numpy()
    return found.reshape(-1, 2)
