"""Stacks of symmetric matrices, made ready for a decomposition, and their eigenvalues.

A matrix that holds a NaN or an infinity is set aside, so that it spoils no other of its stack; the others are
divided by their largest entry, so that no product leaves the range of the dtype.
"""

from __future__ import annotations

from dataclasses import dataclass

import torch
from torch import Tensor
from torch.linalg import LinAlgError  # type: ignore[attr-defined]

from thalweg.errors import EngineError, sentence


@dataclass(frozen=True)
class Ready:
    """A stack with largest entry 1 in each matrix, and what leads back from it.

    A zero matrix stays zero, one with a NaN is the identity; both have scale 1.
    """

    matrices: Tensor
    """n × n or K × n × n, in float32 at least."""
    scales: Tensor
    """What each was divided by, of shape 1 × 1 or K × 1 × 1."""
    finite: Tensor
    """Whether each is finite, of the same shape."""
    zero: Tensor
    """Whether each is zero, of the same shape."""
    all_finite: bool
    """Whether all of them are."""
    dtype: torch.dtype
    """The dtype that a result has."""

    def back(self, result: Tensor) -> Tensor:
        """Return a result, all NaN for the matrices that are not finite, in the dtype of the stack."""
        if not self.all_finite:
            result = torch.where(self.finite, result, torch.nan)
        return result.to(self.dtype)


def ready(a: Tensor) -> Ready:
    """Return a stack of symmetric matrices made ready: n × n or K × n × n.

    Raises:
        EngineError: the matrices are not square.
    """
    if a.ndim < 2 or a.shape[-1] != a.shape[-2]:
        raise EngineError(
            f"A symmetric matrix must be square: n × n, or K × n × n for a stack; got {tuple(a.shape)}."
        )
    wide = a.float() if a.dtype in (torch.float16, torch.bfloat16) else a
    if not a.numel():
        none = wide.new_ones((*a.shape[:-2], 1, 1), dtype=torch.bool)
        return Ready(wide, wide.new_ones(()), none, none, True, a.dtype)
    largest = wide.abs().amax((-2, -1), keepdim=True)  # a NaN is the largest
    finite = largest.isfinite()
    all_finite = bool(finite.all())
    if not all_finite:
        wide = torch.where(finite, wide, torch.eye(a.shape[-1], dtype=wide.dtype, device=a.device))
        largest = torch.where(finite, largest, 1)
    zero = largest == 0
    scales = torch.where(zero, 1, largest)
    return Ready(wide / scales, scales, finite, zero, all_finite, a.dtype)


def eigen(a: Tensor) -> tuple[Tensor, Tensor]:
    """Return eigenvalues, ascending, and eigenvectors, as columns, of finite symmetric matrices.

        A = Q·diag(λ)·Qᵀ

    Where the decomposition does not converge it is tried again in float64.

    Raises:
        EngineError: it does not converge in float64 either.
    """
    try:
        values, vectors = torch.linalg.eigh(a)
    except LinAlgError:
        values, vectors = (x.to(a.dtype) for x in _eigen_in_float64(a))
    return values, vectors


def _eigen_in_float64(a: Tensor) -> tuple[Tensor, Tensor]:
    """Decompose one matrix after the other, so that an error can say which."""
    found = []
    for k, matrix in enumerate(a.reshape(-1, *a.shape[-2:]).double()):
        try:
            found.append(torch.linalg.eigh(matrix))
        except LinAlgError as error:
            n = matrix.shape[-1]
            raise EngineError(
                f"The eigenvalues of matrix {k} of a stack of {n} × {n} matrices do not converge, in float64 "
                f"either: {sentence(error)} "
                "A larger ε makes them better conditioned; so does a lower learning rate, "
                "where the training diverges."
            ) from error
    values, vectors = (torch.stack(each) for each in zip(*found, strict=True))
    return values.reshape(a.shape[:-1]), vectors.reshape(a.shape)
