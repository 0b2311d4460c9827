"""Symmetric matrices known by their products: A @ v, and what can be computed from that alone.

An operator of a model's curvature, a matrix, sums, multiples and parts of them are of one kind, so every
method of this package takes any of them. An approximation that can be inverted directly, such as one by
Kronecker factors, overrides `solve`.
"""

from __future__ import annotations

import math
from abc import ABC, abstractmethod
from collections.abc import Callable, Iterator, Mapping, Sequence
from numbers import Real

import torch
from torch import Tensor

from thalweg.curvature.krylov import Solution, conjugate_gradients
from thalweg.errors import TaskError

DENSE_LIMIT = 10_000
"""The largest side of a matrix that `dense` and `diag` compute without being asked twice."""


class Operator(ABC):
    """A real symmetric n × n matrix A, known by its products.

    `A @ v` takes a vector (n,) or several as columns (n, k). `A + B`, `A - B`, `c * A`, `-A` and
    `A.shifted(λ)`, which is A + λI, are operators. `layers` names parts of the vector, where they have
    names, and `A.block(name)` is the part of the matrix that belongs to one. `products` counts the
    products computed, `gradients` what they cost in gradient-equivalents: 1 is one gradient of the loss
    over all the operator's data, 0 where there is no model.

    >>> A = Matrix(torch.diag(torch.tensor([1.0, 2.0])))
    >>> (3 * A.shifted(1.0)) @ torch.ones(2)
    tensor([6., 9.])
    """

    def __init__(self, n: int, dtype: torch.dtype, device: torch.device) -> None:
        self.shape = (n, n)
        self.dtype, self.device = dtype, device
        self._products = 0

    @property
    def products(self) -> int:
        """The number of products with a vector computed so far."""
        return self._products

    @property
    def gradients(self) -> float:
        """What was computed so far, in gradient-equivalents."""
        return 0.0

    @property
    def layers(self) -> Mapping[str, Tensor]:
        """The places in the vector of each layer, by its name; empty where there are no names."""
        return {}

    @abstractmethod
    def _times(self, vectors: Tensor) -> Tensor:
        """Return the products with vectors (n, k) of the operator's type and device."""

    def __matmul__(self, vectors: Tensor) -> Tensor:
        n = self.shape[0]
        if not isinstance(vectors, Tensor):
            raise TypeError(f"A @ v takes a tensor; got {type(vectors).__name__}.")
        if vectors.ndim not in (1, 2) or len(vectors) != n:
            raise TaskError(
                f"A is {n} × {n}, so v must have shape ({n},), or ({n}, k) for k vectors as columns; got "
                f"{tuple(vectors.shape)}."
            )
        if (vectors.dtype, vectors.device) != (self.dtype, self.device):
            raise TaskError(
                f"A is of {self.dtype} on {self.device}, and v of {vectors.dtype} on {vectors.device}; "
                "convert it with v.to(dtype=A.dtype, device=A.device)."
            )
        with torch.inference_mode(False):
            # a copy: what is made in inference mode can take no part in a graph
            columns = (
                vectors.detach().reshape(n, -1).mT.clone(memory_format=torch.contiguous_format).mT
            )
            self._products += columns.shape[1]
            if not columns.shape[1]:
                return columns.reshape(vectors.shape)
            return self._times(columns).reshape(vectors.shape)

    def __add__(self, other: Operator) -> Operator:
        return Sum([(1.0, self), (1.0, _operator(other))])

    def __sub__(self, other: Operator) -> Operator:
        return Sum([(1.0, self), (-1.0, _operator(other))])

    def __neg__(self) -> Operator:
        return Sum([(-1.0, self)])

    def __mul__(self, factor: float) -> Operator:
        return Sum([(_finite(factor, "A matrix is multiplied by"), self)])

    __rmul__ = __mul__

    def shifted(self, amount: float) -> Operator:
        """Return A + λI for λ = `amount`."""
        return Sum([(1.0, self)], shift=_finite(amount, "A matrix is shifted by"))

    def scaled(self, scale: Tensor) -> Operator:
        """Return D·A·D for a diagonal D, given as a vector; with D = P^-½ it has the eigenvalues of
        P⁻¹A.
        """
        return ScaledOperator(self, scale)

    def block(self, *names: str) -> Operator:
        """Return the part of A that belongs to the layers `names`, in their order in the vector.

        Raises:
            TaskError: for a name that is not one of `layers`.
        """
        return PrincipalSubmatrix(self, places_of(self.layers, names), chosen=names)

    def dense(self, limit: int = DENSE_LIMIT) -> Tensor:
        """Return A as a matrix, by n products. Raises TaskError where n is above `limit`."""
        self._check_size(limit, "dense()")
        return torch.cat([columns for _, columns in self._columns()], 1)

    def diag(self, limit: int = DENSE_LIMIT) -> Tensor:
        """Return the diagonal of A, by n products; `thalweg.curvature.hutchinson_diag` estimates it by
        fewer.

        Raises:
            TaskError: where n is above `limit`.
        """
        self._check_size(limit, "diag()")
        return torch.cat([columns[first:].diagonal() for first, columns in self._columns()])

    def _columns(self) -> Iterator[tuple[int, Tensor]]:
        """Yield A in parts of some columns, each with the place of its first."""
        n = self.shape[0]
        width = max(1, min(n, 64))
        for first in range(0, n, width):
            units = torch.zeros(n, min(width, n - first), dtype=self.dtype, device=self.device)
            units[first:].fill_diagonal_(1.0)
            yield first, self @ units

    def solve(self, b: Tensor, *, tol: float = 1e-6, most: int | None = None) -> Solution:
        """Return x with A·x ≈ b by conjugate gradients, for a positive definite A
        (`conjugate_gradients`).
        """
        return conjugate_gradients(self, b, tol=tol, most=most)

    def _check_size(self, limit: int, what: str) -> None:
        if self.shape[0] > limit:
            raise TaskError(
                f"{what} takes {self.shape[0]} products, above its limit of {limit}. Pass "
                f"limit={self.shape[0]} if you mean it; spectra, traces and diagonals can be "
                "estimated by fewer products."
            )


class Matrix(Operator):
    """A symmetric matrix that is given.

    Raises:
        TaskError: for one that is not square and symmetric up to rounding.
    """

    def __init__(self, matrix: Tensor) -> None:
        if matrix.ndim != 2 or matrix.shape[0] != matrix.shape[1] or matrix.is_complex():
            raise TaskError(
                f"A matrix must be real and n × n; got {tuple(matrix.shape)}, {matrix.dtype}."
            )
        far = (matrix - matrix.mT).abs().max() if matrix.numel() else matrix.new_zeros(())
        if not far <= math.sqrt(torch.finfo(matrix.dtype).eps) * matrix.abs().max().clamp(
            min=1e-300
        ):
            raise TaskError(
                f"The matrix is not symmetric: A and its transpose differ by up to {float(far):g}."
            )
        super().__init__(len(matrix), matrix.dtype, matrix.device)
        self.matrix = matrix.detach()

    def _times(self, vectors: Tensor) -> Tensor:
        return self.matrix @ vectors


class Products(Operator):
    """A symmetric matrix given by a function that returns A·V for columns V (n, k).

    That it is symmetric and linear is not checked.
    """

    def __init__(
        self, times: Callable[[Tensor], Tensor], n: int, dtype: torch.dtype = torch.float32
    ) -> None:
        super().__init__(n, dtype, torch.device("cpu"))
        self.times = times

    def _times(self, vectors: Tensor) -> Tensor:
        found = self.times(vectors)
        if found.shape != vectors.shape:
            raise TaskError(
                f"The function of products returned shape {tuple(found.shape)} for vectors of shape "
                f"{tuple(vectors.shape)}; it must return as many columns as it is given."
            )
        return found


class _Over(Operator):
    """An operator made of others: it costs what they cost while it computes."""

    def __init__(self, parts: Sequence[Operator], n: int) -> None:
        super().__init__(n, parts[0].dtype, parts[0].device)
        self._parts = parts

    @property
    def gradients(self) -> float:
        """What its parts have computed so far, in gradient-equivalents."""
        return sum(each.gradients for each in {id(part): part for part in self._parts}.values())

    @property
    def layers(self) -> Mapping[str, Tensor]:
        """Those of its parts."""
        return next((part.layers for part in self._parts if part.layers), {})


class Sum(_Over):
    """Σᵢ cᵢ·Aᵢ + λI."""

    def __init__(self, terms: Sequence[tuple[float, Operator]], shift: float = 0.0) -> None:
        parts = [part for _, part in terms]
        kinds = {(part.shape, part.dtype, part.device) for part in parts}
        if len(kinds) > 1:
            listed = "; ".join(
                sorted(f"{shape[0]} × {shape[0]}, {dtype}, {d}" for shape, dtype, d in kinds)
            )
            raise TaskError(
                f"Matrices that are added must have one size, type and device; got {listed}."
            )
        super().__init__(parts, parts[0].shape[0])
        self.terms, self.shift = tuple(terms), shift

    def _times(self, vectors: Tensor) -> Tensor:
        total = self.shift * vectors
        for factor, part in self.terms:
            total = total + factor * (part @ vectors)
        return total

    def block(self, *names: str) -> Operator:
        """Return the sum of the parts' blocks, which may be cheaper than a part of their sum."""
        return Sum([(factor, part.block(*names)) for factor, part in self.terms], self.shift)


class ScaledOperator(_Over):
    """D·A·D, D diagonal."""

    def __init__(self, inner: Operator, scale: Tensor) -> None:
        n = inner.shape[0]
        if scale.shape != (n,):
            raise TaskError(
                f"The diagonal must have shape ({n},), as A is {n} × {n}; got {tuple(scale.shape)}."
            )
        super().__init__([inner], n)
        self.inner, self.scale = inner, scale.detach().to(inner.dtype)[:, None]

    def _times(self, vectors: Tensor) -> Tensor:
        return self.scale * (self.inner @ (self.scale * vectors))

    def block(self, *names: str) -> Operator:
        """Return the part that belongs to some layers."""
        places = places_of(self.layers, names)
        return ScaledOperator(self.inner.block(*names), self.scale[places, 0])


class PrincipalSubmatrix(_Over):
    """The rows and columns of A at some places; a product costs one with A."""

    def __init__(self, inner: Operator, places: Tensor, chosen: Sequence[str] = ()) -> None:
        super().__init__([inner], len(places))
        self.inner, self.places, self._chosen = inner, places, tuple(chosen)

    @property
    def layers(self) -> Mapping[str, Tensor]:
        """The chosen layers, by their places in this part."""
        found = self.inner.layers
        return {
            name: torch.searchsorted(self.places, found[name].to(self.places))
            for name in self._chosen
        }

    def _times(self, vectors: Tensor) -> Tensor:
        whole = vectors.new_zeros(self.inner.shape[0], vectors.shape[1])
        whole[self.places] = vectors
        return (self.inner @ whole)[self.places]


def places_of(layers: Mapping[str, Tensor], names: Sequence[str]) -> Tensor:
    """Return the places of some layers in the vector, in order.

    Raises:
        TaskError: where a name is unknown, and where none is given.
    """
    if not names:
        raise TaskError("A block is that of one layer or several: name at least one.")
    for name in names:
        if name not in layers:
            known = ", ".join(map(repr, layers)) or "none with names"
            raise TaskError(f"There is no layer {name!r}. There are: {known}.")
    return torch.cat([layers[name] for name in dict.fromkeys(names)]).sort().values


def _operator(other: object) -> Operator:
    if isinstance(other, Operator):
        return other
    hint = " For A + λI write A.shifted(λ)." if isinstance(other, Real) else ""
    raise TypeError(f"Only a matrix can be added to a matrix; got {other!r}.{hint}")


def _finite(number: object, what: str) -> float:
    if isinstance(number, bool) or not isinstance(number, Real) or not math.isfinite(float(number)):
        raise TypeError(f"{what} a finite number; got {number!r}.")
    return float(number)
