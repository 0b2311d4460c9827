"""Inverse roots of symmetric positive semidefinite matrices, A^(−1/p), of whole stacks at once."""

from __future__ import annotations

import torch
from torch import Tensor

from thalweg.engine.matrix.symmetric import Ready, eigen, ready
from thalweg.errors import EngineError

NEWTON_STEPS = 100
"""Steps after which the iteration is given up: even the condition 1e15 takes some 40 at p = 1."""


def inverse_root(a: Tensor, p: float, damping: float = 1e-6) -> Tensor:
    """Return (A + δ·‖A‖·I)^(−1/p) by eigenvalues, ‖A‖ the Frobenius norm.

        A = Q·diag(λ)·Qᵀ,   A^(−1/p) = Q·diag((max(λ, 0) + δ·‖A‖)^(−1/p))·Qᵀ

    The damping is relative, so c·A has c^(−1/p) times the root of A. A zero matrix, and without damping an
    eigenvalue that is zero to the precision of the dtype, has the root 0: there is no step where there never
    was a gradient. Matrices that hold a NaN have a root of NaN, and the others of the stack the roots they
    have alone. float16 and bfloat16 are computed in float32.

    Accuracy: compared with the root in float64 it is off by less than n·ε·‖A‖/(p·μ), relative to its norm,
    where ε is the precision of the dtype and μ the smallest eigenvalue of what the root is taken of. Of 48 ×
    48 matrices of the condition 1e9 in float32 that was 2e-2 with p = 4 and δ = 1e-6, and 3e-4 with δ = 1e-4.

    Args:
        a: symmetric positive semidefinite, n × n or K × n × n.
        p: order of the root, above 0.
        damping: δ, at least 0.

    Raises:
        EngineError: matrices that are not square, an order or a damping out of range, or eigenvalues that do
            not converge.

    >>> import torch
    >>> inverse_root(torch.diag(torch.tensor([16.0, 81.0])), p=4, damping=0.0).diag()
    tensor([0.5000, 0.3333])

    Source: Gupta, Koren and Singer 2018, "Shampoo: Preconditioned Stochastic Tensor Optimization",
    algorithm 1, arXiv:1802.09568.
    """
    _check(p, damping)
    made = ready(a)
    if not a.numel():
        return a.clone()
    values, vectors = eigen(made.matrices)
    values = values.clamp(min=0)
    norm = torch.linalg.vector_norm(values, dim=-1, keepdim=True)
    damped = values + damping * norm
    negligible = values.shape[-1] * torch.finfo(values.dtype).eps * norm
    roots = torch.where(damped > (0 if damping else negligible), damped ** (-1 / p), 0)
    return _scaled_back((vectors * roots[..., None, :]) @ vectors.mT, made, p)


def inverse_root_newton(a: Tensor, p: int, damping: float = 1e-6) -> Tensor:
    """Return (A + δ·‖A‖·I)^(−1/p) by matrix products alone, as a coupled Newton iteration.

        M ← z·(A + δ·‖A‖·I),  X ← z^(1/p)·I,   z = (1 + p) / (2·‖A + δ·‖A‖·I‖)
        T = ((p + 1)·I − M)/p;   X ← X·T;   M ← Tᵖ·M     until M = I

    Each matrix of a stack stops by itself, where M − I no longer shrinks. One that has not come to I, as
    without damping one of a low rank, is taken by eigenvalues.

    What it returns is what `inverse_root` returns, with the same damping. It takes some hundred products of
    n × n matrices instead of a decomposition; on a CPU that is slower.

    Accuracy: as `inverse_root`'s; of the same matrices 2e-3 and 2e-5 in float32, a tenth of its errors.

    Args:
        a: symmetric positive semidefinite, n × n or K × n × n.
        p: order of the root, an integer of at least 1.
        damping: δ, at least 0.

    Raises:
        EngineError: as `inverse_root`, and an order that is not an integer.

    >>> import torch
    >>> a = torch.tensor([[2.0, 1.0], [1.0, 2.0]])
    >>> bool((inverse_root_newton(a, p=2) - inverse_root(a, p=2)).abs().max() < 1e-5)
    True

    Source: Guo and Higham 2006, "A Schur–Newton Method for the Matrix pth Root and its Inverse"; Anil et al.
    2020, "Scalable Second Order Optimization for Deep Learning", appendix E, arXiv:2002.09018.
    """
    _check(p, damping)
    if p != int(p):
        raise EngineError(f"The Newton iteration takes roots of whole orders, got p = {p!r}.")
    made = ready(a)
    if not a.numel():
        return a.clone()
    root, done = _iterate(_damped(made.matrices, damping), int(p))
    result = _scaled_back(torch.where(made.zero, 0, root), made, p)
    if bool(done.all()):
        return result
    return torch.where(done, result, inverse_root(a, p, damping))


def _check(p: float, damping: float) -> None:
    if not p > 0:
        raise EngineError(f"The order of a root must be above 0, got p = {p!r}.")
    if not damping >= 0:
        raise EngineError(f"damping must be at least 0, got {damping!r}.")


def _damped(a: Tensor, damping: float) -> Tensor:
    """Return A + δ·‖A‖·I, and I for A = 0."""
    norm = torch.linalg.matrix_norm(a, keepdim=True)
    eye = torch.eye(a.shape[-1], dtype=a.dtype, device=a.device)
    return torch.where(norm > 0, a + damping * norm * eye, eye)


def _iterate(a: Tensor, p: int) -> tuple[Tensor, Tensor]:
    """Return the roots, and which of them the iteration has reached."""
    eye = torch.eye(a.shape[-1], dtype=a.dtype, device=a.device)
    z = (1 + p) / (2 * torch.linalg.matrix_norm(a, keepdim=True))
    m, x = z * a, z ** (1 / p) * eye
    error = (m - eye).abs().amax((-2, -1), keepdim=True)
    near = 100 * a.shape[-1] * torch.finfo(a.dtype).eps
    for _ in range(NEWTON_STEPS):
        t = ((p + 1) * eye - m) / p
        next_m = torch.linalg.matrix_power(t, p) @ m
        next_error = (next_m - eye).abs().amax((-2, -1), keepdim=True)
        # from a distance the error stays near 1 while the small eigenvalues grow; close by it falls, until
        # rounding lets it rise again
        better = (next_error < error) | (next_error > 0.5)
        if not bool(better.any()):
            break
        x, m = torch.where(better, x @ t, x), torch.where(better, next_m, m)
        error = torch.where(better, next_error, error)
    return x, error < near


def _scaled_back(root: Tensor, made: Ready, p: float) -> Tensor:
    """Return the roots of the matrices as they were before they were divided by their scales."""
    return made.back(root * made.scales ** (-1 / p))
