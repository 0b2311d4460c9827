"""Shampoo: a matrix for the rows and one for the columns, with the step length of another rule."""

from __future__ import annotations

import torch

from thalweg.engine import ColumnsByColumns, RowsByRows, gram, gram_of_columns, norm, rule
from thalweg.engine.matrix.in_blocks import (
    grams_of_columns,
    grams_of_rows,
    identities_like,
    roots_of,
    turned_in,
)
from thalweg.engine.matrix.refreshed import identity_like, newton_root_of, root_of
from thalweg.engine.program.shapes import ColumnsByColumnsOfBlocks, RowsByRowsOfBlocks

__all__ = ["shampoo"]


def _moments(g, m, v, t, beta1, beta2, graft_eps, grafting):
    """Return the mean gradient, Adam's direction or the mean gradient itself, and the new moments."""
    m = beta1 * m + (1 - beta1) * g
    v = beta2 * v + (1 - beta2) * g * g
    m_hat = m / (1 - beta1**t)
    if grafting == "adam":
        return m_hat, m_hat / (torch.sqrt(v / (1 - beta2**t)) + graft_eps), m, v
    return m_hat, m_hat, m, v


def _grafted(direction, grafted, grafting):
    """Return a direction with the length of another one; where it is zero, that other one itself."""
    length = norm(direction)
    ratio = 1.0 if grafting == "none" else norm(grafted) / length
    return torch.where(length == 0, grafted, ratio * direction)


def _factor(kept, product, t, beta2, eps, sums):
    """Return an average of products G·Gᵀ; with `sums` their sum, which begins at ε·I."""
    if sums:
        return torch.where(t == 1, eps * identity_like(kept), kept) + product
    return beta2 * kept + (1 - beta2) * product


def _root(a, kept, t, every, exponent, eps, newton, sums):
    damping = 0.0 if sums else eps
    return (newton_root_of if newton else root_of)(a, kept, t, every, 1 / exponent, damping)


@rule
def shampoo(
    g, m, v, L: RowsByRows, R: ColumnsByColumns, X: RowsByRows, Y: ColumnsByColumns,
    *, t, beta1=0.9, beta2=0.999, eps=1e-6, every=10, exponent=0.25, graft_eps=1e-8,
    grafting="adam", newton=False, sums=False,
):  # fmt: skip
    """Shampoo (Gupta, Koren and Singer 2018, algorithm 1), grafted (Anil et al. 2020; Shi et al. 2023).

        M ← β₁·M + (1 − β₁)·G,   V ← β₂·V + (1 − β₂)·G²
        L ← β₂·L + (1 − β₂)·G·Gᵀ                R ← β₂·R + (1 − β₂)·Gᵀ·G
        X ← (L + ε·‖L‖·I)^(−e)                  Y ← (R + ε·‖R‖·I)^(−e)        in every k-th step
        S = X·M̂·Y,   D = M̂ / (√V̂ + ε_D)
        update = S·‖D‖/‖S‖,   and D where S is 0, as before the first roots

    The grafted rule gives D: Adam; with grafting="sgd" D = M̂; with "none" the update is S as it is. With
    `newton` the roots are computed by products of matrices alone. With `sums` the matrices are the paper's:
    L ← L + G·Gᵀ and X ← L^(−e), R and Y alike, and L and R begin at ε·I; the paper's step is
    `Shampoo(sums=True, grafting="none", betas=(0.0, 0.999), every=1)`.

    With a `block_size` a matrix that is longer is cut into the fewest blocks of at most so many rows and
    columns, as equal as they can be, and each block has matrices of its own; the length is that of the whole.

    Paper: Gupta, Koren and Singer 2018, "Shampoo: Preconditioned Stochastic Tensor Optimization", algorithm
    1, arXiv:1802.09568; averages, grafting and intervals as in Shi et al. 2023, arXiv:2309.06497.
    Defaults: e = 1/4 of the paper; β₁, β₂ and ε_D are Adam's, whose learning rates it takes by grafting; ε
    and k = 10 are ours.
    Use: for matrices of some hundred to thousand rows and columns, in large batches; it takes fewer steps
    than Adam, and a step in which roots are computed is by far the most expensive. SOAP needs less tuning.
    With `state_dtype` M and V are kept in fewer bits; L, R, X and Y never have fewer than 32.
    Deviations: without `sums` L and R are averages, so that what is long past does not count, and ε is
    relative to their norms. A side longer than `max_dim` keeps the identity, and the other one has the
    exponent 2e, unless it is cut; vectors, of which the paper takes a matrix too, are stepped by the grafted
    rule.
    """
    mean, grafted, m, v = _moments(g, m, v, t, beta1, beta2, graft_eps, grafting)
    L = _factor(L, gram(g), t, beta2, eps, sums)
    R = _factor(R, gram_of_columns(g), t, beta2, eps, sums)
    X = _root(L, X, t, every, exponent, eps, newton, sums)
    Y = _root(R, Y, t, every, exponent, eps, newton, sums)
    return _grafted(X @ mean @ Y, grafted, grafting), m, v, L, R, X, Y


@rule
def shampoo_blocks(
    g, m, v, L: RowsByRowsOfBlocks, R: ColumnsByColumnsOfBlocks,
    X: RowsByRowsOfBlocks, Y: ColumnsByColumnsOfBlocks,
    *, t, beta1=0.9, beta2=0.999, eps=1e-6, every=10, exponent=0.25, graft_eps=1e-8,
    grafting="adam", newton=False, sums=False, block_size="1024",
):  # fmt: skip
    """Shampoo of a matrix that is cut into blocks, each with matrices of its own (Anil et al. 2020).

        S = Xᵢⱼ·M̂ᵢⱼ·Yᵢⱼ  for each block

    and the rest as in `shampoo`. A block has at most `block_size` rows and columns, a text with the number;
    the length of the grafted rule is that of the whole.
    """
    mean, grafted, m, v = _moments(g, m, v, t, beta1, beta2, graft_eps, grafting)
    of_rows, of_columns = grams_of_rows(L, g, block_size), grams_of_columns(R, g, block_size)
    if sums:
        first = eps * identities_like(L, block_size), eps * identities_like(R, block_size)
        L = torch.where(t == 1, first[0], L) + of_rows
        R = torch.where(t == 1, first[1], R) + of_columns
    else:
        L = beta2 * L + (1 - beta2) * of_rows
        R = beta2 * R + (1 - beta2) * of_columns
    how = 1 / exponent, 0.0 if sums else eps, newton, block_size
    X, Y = roots_of(L, X, t, every, *how), roots_of(R, Y, t, every, *how)
    return _grafted(turned_in(mean, X, Y, block_size), grafted, grafting), m, v, L, R, X, Y


@rule
def shampoo_rows(
    g, m, v, L: RowsByRows, X: RowsByRows,
    *, t, beta1=0.9, beta2=0.999, eps=1e-6, every=10, exponent=0.25, graft_eps=1e-8,
    grafting="adam", newton=False, sums=False,
):  # fmt: skip
    """Shampoo of the rows alone (Gupta, Koren and Singer 2018).

    X ← (L + ε·‖L‖·I)^(−2e),  S = X·M̂,  and the rest as in `shampoo`
    """
    mean, grafted, m, v = _moments(g, m, v, t, beta1, beta2, graft_eps, grafting)
    L = _factor(L, gram(g), t, beta2, eps, sums)
    X = _root(L, X, t, every, 2 * exponent, eps, newton, sums)
    return _grafted(X @ mean, grafted, grafting), m, v, L, X


@rule
def shampoo_columns(
    g, m, v, R: ColumnsByColumns, Y: ColumnsByColumns,
    *, t, beta1=0.9, beta2=0.999, eps=1e-6, every=10, exponent=0.25, graft_eps=1e-8,
    grafting="adam", newton=False, sums=False,
):  # fmt: skip
    """Shampoo of the columns alone (Gupta, Koren and Singer 2018).

    Y ← (R + ε·‖R‖·I)^(−2e),  S = M̂·Y,  and the rest as in `shampoo`
    """
    mean, grafted, m, v = _moments(g, m, v, t, beta1, beta2, graft_eps, grafting)
    R = _factor(R, gram_of_columns(g), t, beta2, eps, sums)
    Y = _root(R, Y, t, every, 2 * exponent, eps, newton, sums)
    return _grafted(mean @ Y, grafted, grafting), m, v, R, Y


@rule
def shampoo_identity(
    g, m, v,
    *, t, beta1=0.9, beta2=0.999, eps=1e-6, every=10, exponent=0.25, graft_eps=1e-8,
    grafting="adam", newton=False, sums=False,
):  # fmt: skip
    """Shampoo where both matrices are the identity: the grafted rule (Shi et al. 2023).

    update = D, as in `shampoo`
    """
    _, grafted, m, v = _moments(g, m, v, t, beta1, beta2, graft_eps, grafting)
    return grafted, m, v
