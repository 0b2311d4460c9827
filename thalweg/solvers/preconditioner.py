"""Preconditioners M ≈ H⁻¹ of conjugate gradients, as they are given and as they are used."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import torch
from torch import Tensor

from thalweg.solvers.given import check_function
from thalweg.solvers.lanes import largest

_SYMMETRIC = 1000
"""Roundings of its largest entry by which a matrix may differ from its transpose."""


class Preconditioner:
    """r ↦ M·r of each lane, with M symmetric and positive definite.

    Raises ValueError where M·r has another shape, is not finite, or rᵀMr ≤ 0. This looks at values, which
    nothing else of a direction does: a wrong M is to be named, not to be survived.
    """

    def __init__(self, times: Callable[[Tensor], Tensor]) -> None:
        self.times = times

    def __call__(self, r: Tensor) -> Tensor:
        """Return M·r, [lanes, n]."""
        z = self.times(r)
        size, far = largest(r), largest(z)
        defined = torch.isfinite(size)
        if bool((defined & ~torch.isfinite(far)).any()):
            raise ValueError(
                "preconditioner: M·r is not finite for a finite r. It has to be defined for every gradient."
            )
        # as long as squares of the numbers do not vanish
        told = defined & (size > torch.finfo(r.dtype).tiny ** 0.5)
        along = (r / size[:, None] * (z / far[:, None])).sum(-1)
        if bool((told & ~(along > 0)).any()):
            raise ValueError(
                "preconditioner: rᵀMr ≤ 0 for a gradient r, so M is not positive definite. It stands for the "
                "inverse of the Hessian, H⁻¹, and not for H itself: both are symmetric and positive definite."
            )
        return z


def as_preconditioner(given: Any, start: Tensor) -> Preconditioner | None:
    """Return M as it is given: None, a function r ↦ M·r, its diagonal, the matrix, or an A with A⁻¹ = M.

    A is any object with `solve`: `A.solve(r)` is A⁻¹·r for vectors (n,), or has it as its `x`.

    Raises:
        ValueError: for a tensor of another shape, not finite, not symmetric, or with a diagonal that is not
            positive; TypeError for anything else.

    >>> as_preconditioner(torch.ones(3), torch.zeros(2))
    Traceback (most recent call last):
    ValueError: preconditioner has shape (3,); expected a diagonal of x0's shape, (2,), or a matrix (2, 2).
    """
    if given is None or isinstance(given, Preconditioner):
        return given
    if isinstance(given, Tensor) or hasattr(given, "__array__") or isinstance(given, (list, tuple)):
        return Preconditioner(_of_numbers(given, start))
    if not callable(given) and callable(getattr(given, "solve", None)):
        solve = given.solve
        return as_preconditioner(lambda r: _solved(solve(r.reshape(-1)), start), start)
    check_function(given, "preconditioner", "r that returns M·r, or a tensor")
    shape = start.shape

    def one(r: Tensor) -> Tensor:
        z = given(r.view(shape).clone())  # which the function may change
        if not isinstance(z, Tensor) or z.shape != shape or z.is_complex():
            said = f"shape {tuple(z.shape)}" if isinstance(z, Tensor) else type(z).__name__
            raise ValueError(
                f"preconditioner returned {said}; expected M·r as a real tensor of the shape of x0, "
                f"{tuple(shape)}."
            )
        return z.detach().reshape(-1).to(r)

    return Preconditioner(lambda r: torch.stack([one(row) for row in r]))


def _solved(found: Any, start: Tensor) -> Any:
    z = getattr(found, "x", found)
    return z.view(start.shape) if isinstance(z, Tensor) and z.numel() == start.numel() else z


def _of_numbers(given: Any, start: Tensor) -> Callable[[Tensor], Tensor]:
    if isinstance(given, Tensor) and given.layout is not torch.strided:
        raise ValueError(
            "preconditioner is a sparse tensor: give the function, preconditioner=lambda r: M @ r."
        )
    try:
        m = torch.as_tensor(given).detach()
        if m.is_complex():
            raise TypeError("it is complex")
        m = m.to(start)
    except (TypeError, ValueError, RuntimeError, OverflowError) as error:
        raise TypeError(
            f"preconditioner must be a function, a tensor or numbers; got {type(given).__name__} ({error})."
        ) from None
    n = start.numel()
    diagonal = m.shape == start.shape
    if not diagonal and m.shape != (n, n):
        raise ValueError(
            f"preconditioner has shape {tuple(m.shape)}; expected a diagonal of x0's shape, "
            f"{tuple(start.shape)}, or a matrix {(n, n)}."
        )
    if not bool(torch.isfinite(m).all()):
        raise ValueError("preconditioner holds values that are not finite: NaN or infinities.")
    entries = m.reshape(-1) if diagonal else m.diagonal()
    if not bool((entries > 0).all()):
        at = int((~(entries > 0)).nonzero()[0])
        raise ValueError(
            f"preconditioner is not positive definite: entry {at} of its diagonal is {entries[at]:g}."
        )
    if diagonal:
        return lambda r: entries * r
    if bool(((m - m.mT).abs() > _SYMMETRIC * torch.finfo(m.dtype).eps * m.abs().max()).any()):
        raise ValueError("preconditioner is not symmetric; for a matrix M take (M + M.mT) / 2.")
    return lambda r: r @ m
