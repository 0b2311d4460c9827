"""A quadratic, with the exact minimum over any of its blocks."""

from __future__ import annotations

from typing import Any

import torch
from torch import Tensor

from thalweg.solvers.blocks.arguments import as_matrix, as_vector


class Quadratic:
    """f(x) = ½xᵀAx − bᵀx of a vector x, with A symmetric, and its exact minimum over a block.

    `coordinate_descent(q, x0, solve=q.solve)` then is the method of Gauss and Seidel, for single entries as
    for blocks.

    Raises:
        ValueError: where A is not square and symmetric, or b has another length; `solve` does where f has
            no minimum over a block: A is not positive definite there.

    >>> from thalweg.solvers import Quadratic, coordinate_descent
    >>> q = Quadratic([[2.0, 1.0], [1.0, 2.0]], [3.0, 3.0])
    >>> [round(value, 6) for value in coordinate_descent(q, [0.0, 0.0], solve=q.solve).x.tolist()]
    [1.0, 1.0]
    """

    def __init__(self, A: Any, b: Any = None) -> None:
        self.A = as_matrix(A, "A")
        if self.A.shape[0] != self.A.shape[1]:
            raise ValueError(f"A must be square; got shape {tuple(self.A.shape)}.")
        apart = float((self.A - self.A.mT).abs().max())
        if apart > 100 * torch.finfo(self.A.dtype).eps * float(self.A.abs().max()):
            raise ValueError(
                f"A must be symmetric: it and its transpose differ by {apart:.2g}. (A + Aᵀ)/2 has the same "
                "quadratic form."
            )
        zeros = self.A.new_zeros(len(self.A))
        self.b = zeros if b is None else as_vector(b, "b", self.A, len(self.A))

    def __call__(self, x: Tensor) -> Tensor:
        """Return f(x)."""
        return x @ (self.A.to(x) @ x) / 2 - self.b.to(x) @ x

    def solve(self, x: Tensor, block: Tensor) -> Tensor:
        """Return x_B with A_BB·x_B = b_B − A_BR·x_R, where R are the entries not in the block B."""
        A, b = self.A.to(x), self.b.to(x)
        rows = A[block]
        inner = rows[:, block]
        rest = b[block] - rows @ x + inner @ x[block]
        factor, failed = torch.linalg.cholesky_ex(inner)
        if bool(failed):
            raise ValueError(
                f"The quadratic has no minimum over the block of entries {block[:6].tolist()}: A is not "
                "positive definite there."
            )
        found: Tensor = torch.cholesky_solve(rest[:, None], factor)[:, 0]
        return found
