"""The Lasso by coordinate descent."""

from __future__ import annotations

from typing import Any

import torch
from torch import Tensor

from thalweg.solvers.blocks.arguments import as_matrix, as_penalty, as_vector
from thalweg.solvers.blocks.descent import sentence
from thalweg.solvers.blocks.shrink import soft_threshold, sweep
from thalweg.solvers.given import as_count, as_tolerance
from thalweg.solvers.lane import Record
from thalweg.solvers.result import Result
from thalweg.solvers.stop import Status

_EVERY = 5
"""After so many sweeps the coefficients that are not zero are taken as one block."""


def lasso(
    A: Any,
    y: Any,
    penalty: float,
    *,
    x0: Any = None,
    tol: float | None = None,
    max_sweeps: int = 10_000,
) -> Result:
    """Return the coefficients w with the least ‖y − Aw‖²/(2m) + penalty·‖w‖₁, A being [m, n].

    Each coefficient in turn gets its exact minimum, w_j ← S(a_jᵀr/m + ‖a_j‖²w_j/m, penalty)·m/‖a_j‖², where
    S is the soft threshold and r the residual. After every fifth sweep those that are not 0 are one block,
    which moves towards its minimum until one of them is 0. This is scikit-learn's `Lasso(alpha=penalty)`
    without an intercept; for one, subtract the means of A's columns and of y first: it is
    mean(y) − mean(A)·w.

    `x0` is where to start, zeros by default: the coefficients of a penalty nearby save sweeps. It has
    converged where the least subgradient's largest entry, `result.grad`, is at most `tol` times
    max ‖a_j‖·‖y‖/m; by default 1e-12 in float64 and 1e-5 in float32. `result.nit` and `result.nfev` count
    sweeps.

    Raises ValueError for shapes that do not fit, values that are not finite, and a negative penalty.

    Source: Friedman, Hastie and Tibshirani (2010), Regularization paths for generalized linear models via
    coordinate descent.

    >>> from thalweg.solvers import lasso
    >>> A = [[1.0, 0.0], [0.0, 1.0], [1.0, 0.0], [0.0, 1.0]]
    >>> [round(value, 6) for value in lasso(A, [3.0, 0.5, 3.0, 0.5], penalty=0.5).x.tolist()]
    [2.0, 0.0]
    """
    matrix = as_matrix(A, "A")
    m, n = matrix.shape
    target = as_vector(y, "y", matrix, m)
    penalty = as_penalty(penalty)
    most = as_count(max_sweeps, "max_sweeps", 0)
    w = matrix.new_zeros(n) if x0 is None else as_vector(x0, "x0", matrix, n).clone()
    columns = matrix.mT.contiguous()
    scale = float(columns.norm(dim=1).max() * target.norm()) / m
    tol = as_tolerance(tol)
    if tol is None:
        tol = 1e-12 if torch.finfo(matrix.dtype).eps < 1e-10 else 1e-5
    status, history = None, []
    for done in range(most + 1):
        residual = target - matrix @ w  # again each sweep, so that rounding does not add up
        subgradient = _subgradient(columns, residual, w, penalty)
        fun = float(residual @ residual) / (2 * m) + penalty * float(w.abs().sum())
        size = float(subgradient.abs().max())
        history.append(Record(done + 1, fun, size))
        if size <= tol * scale:
            status = Status.CONVERGED
            break
        if done < most:
            sweep(columns, residual[None], w[:, None], m * penalty)
            if done % _EVERY == _EVERY - 1:
                w = _solve_active(columns, target, w, m * penalty)
    status = status or Status.ITERATIONS
    return Result(
        x=w,
        fun=fun,
        grad=subgradient,
        nit=done,
        nfev=done + 1,
        ngev=done + 1,
        nhvp=0,
        success=status is Status.CONVERGED,
        status=status,
        message=sentence(status, size, scale).replace("of the largest met", "of its scale"),
        history=tuple(history),
    )


def _solve_active(columns: Tensor, target: Tensor, w: Tensor, penalty: float) -> Tensor:
    """Return w after moves of its nonzero part towards its exact minimum with these signs.

    With fixed signs the penalty is linear. A move ends where a coefficient becomes 0, which then stays.
    Single coefficients are slow where columns are nearly dependent.
    """
    best, lowest = w, _twice(columns, target, w, penalty)
    for _ in range(len(w)):
        active = best.nonzero()[:, 0]
        part, now = columns[active], best[active]
        factor, failed = torch.linalg.cholesky_ex(part @ part.mT)
        if not len(active) or bool(failed):
            return best
        right = part @ target - penalty * now.sign()
        wanted = torch.cholesky_solve(right[:, None], factor)[:, 0]
        shares = torch.where(wanted * now < 0, now / (now - wanted), 1.0)
        share = shares.min()
        moved = torch.where(shares == share, 0.0, now + share * (wanted - now))
        moved = wanted if share == 1 else moved
        found = best.index_copy(0, active, moved)
        fun = _twice(columns, target, found, penalty)
        if not fun < lowest:
            return best
        best, lowest = found, fun
        if share == 1:
            return best
    return best


def _twice(columns: Tensor, target: Tensor, w: Tensor, penalty: float) -> float:
    """Return ‖y − Aw‖² + 2·penalty·‖w‖₁."""
    residual = target - w @ columns
    return float(residual @ residual + 2 * penalty * w.abs().sum())


def _subgradient(columns: Tensor, residual: Tensor, w: Tensor, penalty: float) -> Tensor:
    """Return the least subgradient of the objective: 0 where and only where w is a minimum."""
    g = -(columns @ residual) / len(residual)
    return torch.where(w == 0, soft_threshold(g, penalty), g + penalty * w.sign())
