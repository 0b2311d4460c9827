"""Bases of eigenvectors of symmetric positive semidefinite matrices, and their refresh, of whole stacks."""

from __future__ import annotations

import torch
from torch import Tensor

from thalweg.engine.matrix.symmetric import eigen, ready


def eigenbasis(a: Tensor) -> Tensor:
    """Return the eigenvectors of A as columns, that of the largest eigenvalue first.

        A = Q·diag(λ)·Qᵀ,   λ₁ ≥ λ₂ ≥ …

    The order is the one that `refreshed_basis` tends to. A zero matrix has the identity, one that holds a NaN
    a basis of NaN; the others of its stack are as they are alone. float16 and bfloat16 are computed in
    float32.

    Accuracy: QᵀQ = I and A·Q = Q·diag(λ) to n·ε, relative to ‖A‖. Single vectors are as certain as the gaps
    between the eigenvalues are wide: those of equal eigenvalues may be any basis of their space.

    Args:
        a: symmetric positive semidefinite, n × n or K × n × n.

    Raises:
        EngineError: matrices that are not square, or eigenvalues that do not converge.

    >>> import torch
    >>> eigenbasis(torch.diag(torch.tensor([1.0, 3.0, 2.0]))).abs().argmax(0)
    tensor([1, 2, 0])

    Source: Vyas et al. 2024, "SOAP: Improving and Stabilizing Shampoo using Adam", arXiv:2409.11321.
    """
    made = ready(a)
    if not a.numel():
        return a.clone()
    _, vectors = eigen(made.matrices)
    return made.back(torch.where(made.zero, _eye(a), vectors.flip(-1)))


def refreshed_basis(a: Tensor, q: Tensor) -> Tensor:
    """Return a basis that is nearer to the eigenvectors of A: one step of orthogonal iteration.

        S = A·Q,   Q·R = S  (a QR decomposition)

    Repeated on the same A it comes to `eigenbasis`, up to the signs of the vectors; an angle between the
    spaces of λᵢ and λⱼ shrinks by λⱼ/λᵢ in each step. For a zero matrix Q stays as it is. NaN in A or Q stays
    in its own matrix.

    Accuracy: QᵀQ = I to n·ε, whatever A.

    Args:
        a: symmetric positive semidefinite, n × n or K × n × n.
        q: the basis before, of the same shape.

    Raises:
        EngineError: matrices that are not square.

    >>> import torch
    >>> a, q = torch.tensor([[2.0, 1.0], [1.0, 2.0]]), torch.eye(2)
    >>> for _ in range(10):
    ...     q = refreshed_basis(a, q)
    >>> bool((q.abs() - eigenbasis(a).abs()).abs().max() < 1e-4)
    True

    Source: Vyas et al. 2024, "SOAP: Improving and Stabilizing Shampoo using Adam", algorithm 4,
    arXiv:2409.11321.
    """
    made, before = ready(a), ready(q)
    if not a.numel():
        return q.clone()
    basis = before.matrices * before.scales
    turned, _ = torch.linalg.qr(made.matrices @ basis)
    return made.back(before.back(torch.where(made.zero, basis, turned)))


def _eye(a: Tensor) -> Tensor:
    wide = torch.float32 if a.dtype in (torch.float16, torch.bfloat16) else a.dtype
    return torch.eye(a.shape[-1], dtype=wide, device=a.device)
