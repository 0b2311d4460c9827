"""The blocks of a K-FAC matrix: products, damping, inverses. No model is known here.

A block acts on matrices M of shape (…, d_out, d_in), the numbers of one layer, or on vectors.
"""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass

import torch
from torch import Tensor

from thalweg.errors import EngineError, TaskError


@dataclass(frozen=True)
class KroneckerPair:
    """B·M·A with Kronecker factors A (inputs) and B (output gradients): the matrix A ⊗ B.

    A diagonal A is given as a vector.
    """

    a: Tensor
    b: Tensor

    def times(self, m: Tensor) -> Tensor:
        """Return B·M·A."""
        left = self.b @ m
        return left * self.a if self.a.ndim == 1 else left @ self.a

    def damped(self, amount: float, factored: bool) -> LayerBlock:
        """Return (A + π√λ·I) ⊗ (B + √λ/π·I), or A ⊗ B + λI."""
        if not factored:
            return self.eigen().damped(amount, factored=False)
        a, b = tikhonov(self.a, self.b, amount)
        return KroneckerPair(shifted(self.a, a), shifted(self.b, b))

    def inverse(self) -> LayerBlock:
        """Return A⁻¹ ⊗ B⁻¹."""
        return KroneckerPair(_inverse(self.a), _inverse(self.b))

    def eigen(self) -> Spectral:
        """Return the same matrix in the basis of its eigenvectors."""
        (of_a, q_a), (of_b, q_b) = eigen_of(self.a), eigen_of(self.b)
        assert q_b is not None  # B is not a vector
        return Spectral(q_a, q_b, of_b[:, None] * of_a)


@dataclass(frozen=True)
class Spectral:
    """Q_B·(Λ∘(Q_Bᵀ·M·Q_A))·Q_Aᵀ: eigenvalues Λ (d_out, d_in) in a Kronecker basis; Q_A None is I."""

    q_a: Tensor | None
    q_b: Tensor
    values: Tensor

    def times(self, m: Tensor) -> Tensor:
        """Return the product."""
        inside = self.q_b.mT @ m if self.q_a is None else self.q_b.mT @ m @ self.q_a
        outside = self.q_b @ (self.values * inside)
        return outside if self.q_a is None else outside @ self.q_a.mT

    def damped(self, amount: float, factored: bool) -> LayerBlock:
        """Return the matrix + λI."""
        del factored  # its eigenvalues are known, so λ is added to them
        return Spectral(self.q_a, self.q_b, self.values + amount)

    def inverse(self) -> LayerBlock:
        """Return the inverse."""
        return Spectral(self.q_a, self.q_b, _reciprocal(self.values))


@dataclass(frozen=True)
class Whole:
    """A block that is held as a matrix."""

    matrix: Tensor

    def times(self, m: Tensor) -> Tensor:
        """Return the product with vectors (…, n)."""
        return m @ self.matrix

    def damped(self, amount: float, factored: bool) -> LayerBlock:
        """Return the matrix + λI."""
        del factored
        return Whole(shifted(self.matrix, amount))

    def inverse(self) -> LayerBlock:
        """Return the inverse."""
        return Whole(_inverse(self.matrix))


LayerBlock = KroneckerPair | Spectral | Whole

_SINGULAR = (
    "The matrix is singular up to rounding, or as good as that: it has an eigenvalue 0. Add to it before "
    "it is inverted: damped(1e-3).inverse(), or inverse(damping=1e-3)."
)


def tikhonov(a: Tensor, b: Tensor, amount: float) -> tuple[float, float]:
    """Return what is added to A and B: π√λ and √λ/π, π² = (tr A/dim A)/(tr B/dim B).

    Source: Martens and Grosse, Optimizing Neural Networks with Kronecker-factored Approximate Curvature,
    2015, section 6.3.
    """
    mean_a, mean_b = (float(_trace(each)) / len(each) for each in (a, b))
    ratio = mean_a / mean_b if mean_a > 0 and mean_b > 0 else 1.0
    # a ratio that is not a finite number, by underflow or overflow, is none to go by
    pi = math.sqrt(ratio) if 0 < ratio < math.inf else 1.0
    return pi * math.sqrt(amount), math.sqrt(amount) / pi


def shifted(factor: Tensor, amount: float) -> Tensor:
    """Return F + δI; of a diagonal as a vector, too."""
    if factor.ndim == 1:
        return factor + amount
    found = factor.clone()
    found.diagonal().add_(amount)
    return found


def inverses_of(factors: Sequence[Tensor]) -> list[Tensor]:
    """Return the inverses of positive definite matrices, those of one size computed together.

    By Cholesky's decomposition; of a matrix that rounding has made indefinite, or as good as singular, by
    its eigenvalues, the small ones raised to the size of the rounding. Diagonals are given as vectors.

    Raises:
        EngineError: where a matrix holds a number that is not finite.
        TaskError: for one that is 0.
    """
    found: dict[int, Tensor] = {}
    sizes: dict[tuple[object, ...], list[int]] = {}
    for place, each in enumerate(factors):
        if each.ndim == 1:
            found[place] = _reciprocal(_finite(each))
        else:
            sizes.setdefault((len(each), each.dtype, each.device), []).append(place)
    for places in sizes.values():
        roots, good = _roots(torch.stack([factors[place] for place in places]))
        unit = torch.eye(roots.shape[-1], dtype=roots.dtype, device=roots.device)
        safe = torch.where(good[:, None, None], roots, unit)
        inverses = torch.cholesky_inverse(safe)
        for k, (place, is_good) in enumerate(zip(places, good.tolist(), strict=True)):
            found[place] = inverses[k] if is_good else _by_eigenvalues(factors[place])
    return [found[place] for place in range(len(factors))]


def _inverse(factor: Tensor) -> Tensor:
    """Return the inverse of a factor; raise TaskError where it is singular up to rounding."""
    if factor.ndim == 2:
        _, good = _roots(_finite(factor)[None])
        if not bool(good):
            raise TaskError(_SINGULAR)
    return inverses_of([factor])[0]


def _roots(stacked: Tensor) -> tuple[Tensor, Tensor]:
    """Return Cholesky's factors, and of which matrices they are any good."""
    roots, failed = torch.linalg.cholesky_ex(stacked)
    pivots = roots.diagonal(dim1=-2, dim2=-1).square()
    rounding = stacked.shape[-1] * torch.finfo(stacked.dtype).eps
    return roots, (failed == 0) & (pivots.amin(-1) > rounding * pivots.amax(-1))


def eigen_of(factor: Tensor) -> tuple[Tensor, Tensor | None]:
    """Return eigenvalues, none below 0, and eigenvectors of a factor; of a diagonal itself and None."""
    if factor.ndim == 1:
        return factor.clamp(min=0.0), None
    values, vectors = torch.linalg.eigh(_finite(factor))
    return values.clamp(min=0.0), vectors


def _by_eigenvalues(factor: Tensor) -> Tensor:
    values, vectors = torch.linalg.eigh(_finite(factor))
    least = float(values.abs().max()) * len(values) * torch.finfo(values.dtype).eps
    inverse: Tensor = (vectors * _reciprocal(values.clamp(min=least))) @ vectors.mT
    return inverse


def _reciprocal(values: Tensor) -> Tensor:
    if bool((values <= 0).any()):
        raise TaskError(_SINGULAR)
    return values.reciprocal()


def _finite(factor: Tensor) -> Tensor:
    if not bool(torch.isfinite(factor).all()):
        raise EngineError(
            "A Kronecker factor holds numbers that are not finite: inputs or gradients of a layer "
            "overflowed. Look at the layers' outputs, or compute in a wider type."
        )
    return factor


def _trace(factor: Tensor) -> Tensor:
    return factor.sum() if factor.ndim == 1 else factor.trace()
