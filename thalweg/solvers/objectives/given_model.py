"""A second-order model whose matrix a user gives at each point, instead of the Hessian."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any, Protocol

import torch
from torch import Tensor

from thalweg.solvers.given import check_function
from thalweg.solvers.objectives.objective import Counts, Function, ScalarObjective


class ByProducts(Protocol):
    """A symmetric matrix known by its products: `A @ v` of a vector (n,), or of columns (n, k)."""

    def __matmul__(self, vectors: Tensor) -> Tensor: ...


Curvature = Callable[[Tensor], ByProducts]
"""x -> the matrix at x."""


class CurvedObjective(ScalarObjective):
    """A function with a matrix at each point that is given, and not its Hessian."""

    def __init__(self, fun: Function, shape: torch.Size, curvature: Curvature) -> None:
        super().__init__(fun, shape)
        self.curvature = curvature

    def model(self, x: Tensor) -> GivenModel:
        """Return the matrix at x."""
        return GivenModel(self.curvature, x, self.shape, self.counts)


class GivenModel:
    """What `curvature` gives at one point; it is asked when it is first used.

    Raises:
        ValueError: where a product is not a real tensor of the vectors' shape.
        TypeError: for what has none.
    """

    def __init__(self, curvature: Curvature, x: Tensor, shape: torch.Size, counts: Counts) -> None:
        self.curvature, self.x, self.shape, self.counts = curvature, x, shape, counts
        self._matrix: Any = None

    def __matmul__(self, vectors: Tensor) -> Tensor:
        self.counts.products += 1
        return self._times(vectors[0])[None]

    def dense(self) -> Tensor:
        """Return the matrix, [1, n, n]: n products."""
        n = self.x.shape[-1]
        self.counts.products += n
        a = self._times(torch.eye(n, dtype=self.x.dtype, device=self.x.device))
        return ((a + a.mT) / 2)[None]

    def _times(self, vectors: Tensor) -> Tensor:
        if self._matrix is None:
            self._matrix = self.curvature(self.x[0].view(self.shape).clone())
        if not hasattr(self._matrix, "__matmul__"):
            raise TypeError(
                "curvature returns a matrix A that has products A @ v, such as an operator of "
                f"thalweg.curvature or a tensor; got {type(self._matrix).__name__}."
            )
        product = self._matrix @ vectors
        if (
            not isinstance(product, Tensor)
            or product.shape != vectors.shape
            or product.is_complex()
        ):
            got = tuple(product.shape) if isinstance(product, Tensor) else type(product).__name__
            raise ValueError(
                f"curvature: A @ v gave {got} for v of shape {tuple(vectors.shape)}; expected a real tensor "
                "of that shape, A being symmetric over the entries of x in their order."
            )
        return product.detach().to(vectors)


def check_curvature(curvature: Any, method: str, takes: tuple[str, ...]) -> None:
    """Refuse what is not a function, and a method that has no use for it.

    Raises TypeError, ValueError.
    """
    if curvature is None:
        return
    check_function(curvature, "curvature", "x that returns a matrix with products A @ v")
    if method not in takes:
        raise ValueError(f"The method {method!r} takes no curvature; these do: {', '.join(takes)}.")
