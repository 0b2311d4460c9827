"""Methods that need nothing but products: conjugate gradients, and Lanczos' basis."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Protocol

import torch
from torch import Tensor

from thalweg.errors import TaskError
from thalweg.whole import whole_number


class NotFiniteError(TaskError):
    """A product holds NaN or infinity, as those of a model that has diverged."""


class Multiplies(Protocol):
    """What these methods need of a matrix: its size and its products."""

    shape: tuple[int, int]
    dtype: torch.dtype
    device: torch.device

    def __matmul__(self, vectors: Tensor) -> Tensor:
        """Return A·v for v (n,) or (n, k)."""
        ...  # pragma: no cover


@dataclass(frozen=True)
class Solution:
    """What conjugate gradients found.

    `x`, the norm ‖b − A·x‖ of its `residual`, computed again at the end, the `iterations`, and why they
    ended: "tolerance", "iterations" or "bends_down", where a direction p with pᵀAp ≤ 0 was met: A is not
    positive definite then.
    """

    x: Tensor
    residual: float
    iterations: int
    ended: str

    @property
    def converged(self) -> bool:
        """Whether the residual is as small as was asked."""
        return self.ended == "tolerance"


def conjugate_gradients(
    a: Multiplies,
    b: Tensor,
    *,
    tol: float = 1e-6,
    most: int | None = None,
    preconditioner: Multiplies | None = None,
) -> Solution:
    """Solve A·x = b for a positive definite A; end at ‖b − A·x‖ ≤ tol·‖b‖.

    In exact arithmetic it takes as many iterations as A has distinct eigenvalues, at most n.
    `preconditioner` is M ≈ A⁻¹, positive definite; with M = A⁻¹ one iteration suffices. One product with A
    an iteration, and one at the end. `most` iterations, 10·n where it is None.

    Raises TaskError where b does not fit.

    Source: Hestenes and Stiefel, 1952; Nocedal and Wright, Numerical Optimization, algorithm 5.3.

    >>> from thalweg.curvature import Matrix
    >>> A = Matrix(torch.diag(torch.tensor([1.0, 4.0])))
    >>> found = conjugate_gradients(A, torch.tensor([1.0, 4.0]))
    >>> found.iterations, found.converged, [round(number, 4) for number in found.x.tolist()]
    (2, True, [1.0, 1.0])
    """
    n = a.shape[0]
    if b.shape != (n,):
        raise TaskError(f"A is {n} × {n}, so b must have shape ({n},); got {tuple(b.shape)}.")
    x, r = torch.zeros_like(b), b.clone()
    enough = tol * b.norm()
    ended, done = "tolerance", 0
    z = r if preconditioner is None else preconditioner @ r
    p, rz = z, r.dot(z)
    while r.norm() > enough:
        if done >= (10 * n if most is None else most):
            ended = "iterations"
            break
        ap = a @ p
        bend = p.dot(ap)
        if not bend > 0:
            ended = "bends_down"
            break
        alpha = rz / bend
        x = x + alpha * p
        r = r - alpha * ap
        z = r if preconditioner is None else preconditioner @ r
        after = r.dot(z)
        p, rz = z + after / rz * p, after
        done += 1
    return Solution(x, float((b - a @ x).norm()), done, ended)


@dataclass(frozen=True)
class Basis:
    """Lanczos' basis: orthonormal columns Q (n, m), and T = QᵀAQ, tridiagonal (m, m).

        A·Q = Q·T + β·q·eₘᵀ

    `next` is q, the vector that would follow; β is 0 where the basis spans an invariant subspace.
    """

    q: Tensor
    t: Tensor
    beta: float
    next: Tensor

    def ritz(self) -> tuple[Tensor, Tensor, Tensor]:
        """Return Ritz values, ascending, their vectors in the basis as columns, and the bounds β·|sₘ|.

        A bound is the norm ‖A·y − θ·y‖ of the Ritz pair, so an eigenvalue of A lies no farther from θ.
        """
        values, s = torch.linalg.eigh(self.t)
        return values, s, self.beta * s[-1].abs()


class Lanczos:
    """Builds Lanczos' basis step by step, orthogonalized against all of it twice in each step.

    Without that, rounding brings copies of eigenvalues that were found already. One product a step; the
    memory is at most twice that of the basis, steps × n numbers. T is kept in float64.

    Source: Lanczos, 1950; Parlett, The Symmetric Eigenvalue Problem, chapter 13 (twice is enough).
    """

    def __init__(self, a: Multiplies, start: Tensor) -> None:
        size = start.norm()
        if not size > 0:
            raise TaskError(
                "Lanczos' method begins with a vector other than zero, of finite numbers."
            )
        self.a = a
        self._rows = start.new_empty(8, len(start))  # twice as many when they are full
        self.alphas: list[float] = []
        self.betas: list[float] = []
        self._next = start / size
        self._scale = 0.0
        self.is_whole = False

    def step(self) -> bool:
        """Add a vector; return whether there is a further one."""
        q = self._next
        w = self.a @ q
        if not bool(torch.isfinite(w).all()):
            raise NotFiniteError(
                "A product with the matrix is not finite: NaN or infinity in the model, its data or its "
                "loss."
            )
        self._scale = max(self._scale, float(w.norm()))
        basis = self._with(q)
        self.alphas.append(float(q.dot(w)))
        for _ in range(2):
            w = w - basis @ (basis.mT @ w)
        beta = float(w.norm())
        small = 10 * torch.finfo(w.dtype).eps * self._scale * len(w) ** 0.5
        self.is_whole = beta <= small or self.steps == len(w)
        self.betas.append(0.0 if self.is_whole else beta)
        self._next = torch.zeros_like(w) if self.is_whole else w / beta
        return not self.is_whole

    def _with(self, q: Tensor) -> Tensor:
        """Keep a vector; return all so far as columns."""
        if self.steps == len(self._rows):
            self._rows = torch.cat([self._rows, torch.empty_like(self._rows)])
        self._rows[self.steps] = q
        return self._rows[: self.steps + 1].mT

    @property
    def steps(self) -> int:
        """How many vectors there are."""
        return len(self.alphas)

    def basis(self) -> Basis:
        """Return the basis built so far."""
        inner = torch.tensor(self.betas[:-1], dtype=torch.float64)
        t = torch.diag(torch.tensor(self.alphas, dtype=torch.float64))
        t = t + torch.diag(inner, 1) + torch.diag(inner, -1)
        return Basis(self._rows[: self.steps].mT, t, self.betas[-1], self._next)


def lanczos(a: Multiplies, start: Tensor, steps: int) -> Basis:
    """Return Lanczos' basis after so many steps, or fewer where it spans an invariant subspace before.

    >>> from thalweg.curvature import Matrix
    >>> A = Matrix(torch.diag(torch.tensor([-5.0, 3.0, 1.0])))
    >>> values, _, bounds = lanczos(A, torch.ones(3), 3).ritz()
    >>> [round(float(value), 4) for value in values]
    [-5.0, 1.0, 3.0]
    """
    steps = whole_number("steps", steps)
    building = Lanczos(a, start)
    while building.step() and building.steps < steps:
        pass
    return building.basis()
