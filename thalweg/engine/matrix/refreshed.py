"""Roots and bases that are computed again in every k-th step, and kept between, as functions for rules."""

from __future__ import annotations

import torch
from torch import Tensor

from thalweg.engine.matrix.bases import eigenbasis, refreshed_basis
from thalweg.engine.matrix.function import matrix_function
from thalweg.engine.matrix.roots import inverse_root, inverse_root_newton
from thalweg.errors import EngineError

ROUNDING = 1e-5
"""How far 1 over an exponent may be from an integer, as a share: users write 0.333333 for 1/3."""


def is_due(t: float, every: float) -> bool:
    """Whether step t, counted from 1, is one in which what is kept is computed again; `every` may be ∞.

    >>> [t for t in range(1, 10) if is_due(t, 3)]
    [3, 6, 9]
    """
    return t % every == 0


@matrix_function(chosen_by_step=True)
def root_of(a: Tensor, kept: Tensor, t: float, every: float, p: float, damping: float) -> Tensor:
    """Return (A + δ·‖A‖·I)^(−1/p) in every `every`-th step, by eigenvalues, and what was kept in the others.

    See `thalweg.engine.matrix.roots.inverse_root`.

    >>> import torch
    >>> a, kept = torch.diag(torch.tensor([4.0, 9.0])), torch.zeros(2, 2)
    >>> root_of(a, kept, 10, 10, 2, 0.0).diag(), root_of(a, kept, 11, 10, 2, 0.0).diag()
    (tensor([0.5000, 0.3333]), tensor([0., 0.]))
    """
    return inverse_root(a, p, damping) if is_due(t, every) else kept


@matrix_function(chosen_by_step=True)
def newton_root_of(
    a: Tensor, kept: Tensor, t: float, every: float, p: float, damping: float
) -> Tensor:
    """Return what `root_of` returns, by products of matrices alone.

    See `thalweg.engine.matrix.roots.inverse_root_newton`. An order is 1 over an exponent, and so a whole
    number but for rounding.

    Raises:
        EngineError: an order that is not an integer.

    >>> import torch
    >>> a, kept = torch.diag(torch.tensor([4.0, 9.0])), torch.zeros(2, 2)
    >>> newton_root_of(a, kept, 10, 10, 2, 0.0).diag()
    tensor([0.5000, 0.3333])
    """
    order = round(p)
    if abs(p - order) > ROUNDING * p:
        raise EngineError(
            f"Products of matrices give roots of whole orders alone, and the exponent {1 / p:.6g} asks for "
            f"the order 1/{1 / p:.6g} = {p:.6g}. Take an exponent that is 1 over an integer, such as "
            "0.25 or 0.5, or newton=False, which takes any. (Where one side alone has a matrix, its exponent "
            "is twice the given one.)"
        )
    return inverse_root_newton(a, order, damping) if is_due(t, every) else kept


@matrix_function(chosen_by_step=True)
def basis_of(a: Tensor, kept: Tensor, t: float, every: float) -> Tensor:
    """Return a basis of eigenvectors of A: exact in step 1, and then an iteration in every `every`-th step.

        t = 1:              Q ← eigenvectors of A
        t a multiple of k:  Q ← QR(A·Q)

    See `thalweg.engine.matrix.bases`.

    >>> import torch
    >>> a, kept = torch.tensor([[2.0, 1.0], [1.0, 2.0]]), torch.eye(2)
    >>> basis_of(a, kept, 1, 10).abs().round(decimals=2)[0], basis_of(a, kept, 2, 10)[0]
    (tensor([0.7100, 0.7100]), tensor([1., 0.]))
    """
    if t == 1:
        return eigenbasis(a)
    return refreshed_basis(a, kept) if is_due(t, every) else kept


@matrix_function(chosen_by_step=True)
def ordered_basis_of(a: Tensor, kept: Tensor, t: float, every: float) -> Tensor:
    """Return a basis as the authors of SOAP refresh it: its columns are put in order first.

        t = 1:                   Q ← eigenvectors of A
        t − 1 a multiple of k:   Q ← QR(A·Q),  the columns q of Q in the order of falling qᵀ·A·q

    >>> import torch
    >>> a, kept = torch.diag(torch.tensor([1.0, 2.0])), torch.eye(2)
    >>> ordered_basis_of(a, kept, 11, 10).abs(), ordered_basis_of(a, kept, 12, 10)
    (tensor([[0., 1.],
            [1., 0.]]), tensor([[1., 0.],
            [0., 1.]]))
    """
    if t == 1:
        return eigenbasis(a)
    if not is_due(t - 1, every):
        return kept
    return refreshed_basis(a, torch.take_along_dim(kept, _order(a, kept)[:, None, :], -1))


@matrix_function(chosen_by_step=True)
def in_order(
    x: Tensor,
    t: float,
    every: float,
    left: Tensor | None,
    of_rows: Tensor | None,
    right: Tensor | None,
    of_columns: Tensor | None,
) -> Tensor:
    """Return X with its rows and columns in the order in which `ordered_basis_of` puts those of two bases.

    `of_rows` and `of_columns` are the bases before, of `left` and `right`; without one its side stays.

    >>> import torch
    >>> a, basis = torch.diag(torch.tensor([1.0, 2.0])), torch.eye(2)
    >>> in_order(torch.tensor([[1.0, 2.0], [3.0, 4.0]]), 11, 10, a, basis, None, None)
    tensor([[3., 4.],
            [1., 2.]])
    """
    if t == 1 or not is_due(t - 1, every):
        return x
    if left is not None and of_rows is not None:
        x = torch.take_along_dim(x, _order(left, of_rows)[:, :, None], -2)
    if right is not None and of_columns is not None:
        x = torch.take_along_dim(x, _order(right, of_columns)[:, None, :], -1)
    return x


def _order(a: Tensor, q: Tensor) -> Tensor:
    """Return the columns of each basis in the order of falling qᵀ·A·q."""
    return torch.argsort((q * (a @ q)).sum(-2), dim=-1, descending=True, stable=True)


@matrix_function(chosen_by_step=True)
def turned_at_first(x: Tensor, t: float, left: Tensor | None, right: Tensor | None) -> Tensor:
    """Return Q_Lᵀ·X·Q_R in step 1, and X, which no one reads, in the others; None is the identity.

    >>> import torch
    >>> swapped = torch.tensor([[0.0, 1.0], [1.0, 0.0]])
    >>> turned_at_first(torch.tensor([[1.0, 2.0], [3.0, 4.0]]), 1, swapped, None)
    tensor([[3., 4.],
            [1., 2.]])
    """
    if t != 1:
        return x
    x = x if left is None else left.mT @ x
    return x if right is None else x @ right


@matrix_function
def identity_like(a: Tensor) -> Tensor:
    """Return identity matrices of the size of square ones.

    >>> import torch
    >>> identity_like(torch.zeros(2, 2))
    tensor([[1., 0.],
            [0., 1.]])
    """
    return torch.eye(a.shape[-1], dtype=a.dtype, device=a.device).expand_as(a)
