"""SOAP: Adam in the eigenbases of Shampoo's matrices."""

from __future__ import annotations

import torch

from thalweg.engine import ColumnsByColumns, RowsByRows, gram, gram_of_columns, mean, rule
from thalweg.engine.matrix.refreshed import basis_of, identity_like, turned_at_first

__all__ = ["soap"]


def beta_of_factors(beta2, shampoo_beta):
    """Return the β of L and R: β₂, or one of their own."""
    return torch.where(shampoo_beta >= 0, shampoo_beta, beta2)


def normalized(update, normalize_grads):
    """Return the update, or the update divided by its root mean square."""
    return update / (torch.sqrt(mean(update * update)) + 1e-30) if normalize_grads else update


def scaled(g, m, v, t, beta1, beta2, eps, correct_bias):
    """Return Adam's update from a gradient and a momentum, and the new scale."""
    v = beta2 * v + (1 - beta2) * g * g
    m_hat = m / (1 - beta1**t) if correct_bias else m
    v_hat = v / (1 - beta2**t) if correct_bias else v
    return m_hat / (torch.sqrt(v_hat) + eps), v


def _in_new_bases(g, v, t, beta2, left, right):
    """Return the scale, that of step 1 in the bases found in it: it would mix large and small directions."""
    turned = turned_at_first(g, t, left, right)
    return torch.where(t == 1, (1 - beta2) * turned * turned, v)


@rule
def soap(
    g, m, v, L: RowsByRows, R: ColumnsByColumns, Q_L: RowsByRows, Q_R: ColumnsByColumns,
    *, t, beta1=0.95, beta2=0.95, eps=1e-8, every=10, shampoo_beta=-1.0, correct_bias=True,
    normalize_grads=False,
):  # fmt: skip
    """SOAP (Vyas et al. 2024, algorithm 3): Adam in the eigenbases of Shampoo's two matrices.

        G′ = Q_Lᵀ·G·Q_R                         M ← β₁·M + (1 − β₁)·G,   M′ = Q_Lᵀ·M·Q_R
        V ← β₂·V + (1 − β₂)·G′²                 N′ = M̂′ / (√V̂ + ε)
        update = Q_L·N′·Q_Rᵀ
        L ← β₂·L + (1 − β₂)·G·Gᵀ                R ← β₂·R + (1 − β₂)·Gᵀ·G
        Q_L, Q_R ← QR(L·Q_L), QR(R·Q_R)         in every k-th step

    The bases of step 1 are the identity, so it is Adam's; at its end they are the eigenvectors of L and R,
    and V is what it would be in these.

    With a `shampoo_beta` of at least 0 it is the β of L and R. Without `correct_bias` M̂ and V̂ are M and V.
    With `normalize_grads` the update is divided by its root mean square. With `precondition_1d` a vector is a
    matrix of one column. With a `block_size` a matrix that is longer is cut into the fewest blocks of at most
    so many rows and columns, as equal as they can be, each with bases of its own.

    dialect="authors" is the authors' code: step 1 makes the bases of the first gradient and does not move;
    then, with s = t − 1,

        N′ = M′ / (√V + ε),   update = √(1 − β₂ˢ)/(1 − β₁ˢ) · Q_L·N′·Q_Rᵀ

    and before each QR, where s is a multiple of k, the columns of Q_L and Q_R and the rows and columns of V
    are put in the order of falling qᵀ·L·q and qᵀ·R·q.

    Paper: Vyas et al. 2024, "SOAP: Improving and Stabilizing Shampoo using Adam", algorithm 3,
    arXiv:2409.11321.
    Defaults: the paper's: β₁ = β₂ = 0.95, k = 10; its learning rate is 3e-3, after a warm-up.
    Use: for matrices of some hundred to thousand rows and columns, in large batches, where it takes fewer
    steps than Adam; each step costs more. A shorter interval k helps a little, and costs. With `state_dtype`
    M and V are kept in fewer bits; L, R and their bases never have fewer than 32.
    Deviations: bias corrections, as the authors' code has them; the paper leaves them and the first bases
    out. Vectors, and sides longer than `max_dim`, keep the identity: there it is Adam. The authors' code, as
    of its commit f42d296, has a matrix for each dimension of a tensor, or, with its `merge_dims`, for
    dimensions whose product is short; here a tensor of more than two dimensions is a matrix of the first by
    the rest. Its weight decay is that of the point after the step, and there is none in step 1.
    """
    Q_L = torch.where(t == 1, identity_like(Q_L), Q_L)
    Q_R = torch.where(t == 1, identity_like(Q_R), Q_R)
    m = beta1 * m + (1 - beta1) * g
    turned, v = scaled(Q_L.mT @ g @ Q_R, Q_L.mT @ m @ Q_R, v, t, beta1, beta2, eps, correct_bias)
    update = normalized(Q_L @ turned @ Q_R.mT, normalize_grads)
    beta = beta_of_factors(beta2, shampoo_beta)
    L = beta * L + (1 - beta) * gram(g)
    R = beta * R + (1 - beta) * gram_of_columns(g)
    Q_L, Q_R = basis_of(L, Q_L, t, every), basis_of(R, Q_R, t, every)
    return update, m, _in_new_bases(g, v, t, beta2, Q_L, Q_R), L, R, Q_L, Q_R


@rule
def soap_rows(
    g, m, v, L: RowsByRows, Q_L: RowsByRows,
    *, t, beta1=0.95, beta2=0.95, eps=1e-8, every=10, shampoo_beta=-1.0, correct_bias=True,
    normalize_grads=False,
):  # fmt: skip
    """SOAP of the rows alone: the columns keep the identity, where they are too many (Vyas et al. 2024).

    G′ = Q_Lᵀ·G,  update = Q_L·N′,  and the rest as in `soap`
    """
    Q_L = torch.where(t == 1, identity_like(Q_L), Q_L)
    m = beta1 * m + (1 - beta1) * g
    turned, v = scaled(Q_L.mT @ g, Q_L.mT @ m, v, t, beta1, beta2, eps, correct_bias)
    update = normalized(Q_L @ turned, normalize_grads)
    beta = beta_of_factors(beta2, shampoo_beta)
    L = beta * L + (1 - beta) * gram(g)
    Q_L = basis_of(L, Q_L, t, every)
    return update, m, _in_new_bases(g, v, t, beta2, Q_L, None), L, Q_L


@rule
def soap_columns(
    g, m, v, R: ColumnsByColumns, Q_R: ColumnsByColumns,
    *, t, beta1=0.95, beta2=0.95, eps=1e-8, every=10, shampoo_beta=-1.0, correct_bias=True,
    normalize_grads=False,
):  # fmt: skip
    """SOAP of the columns alone: the rows keep the identity, where they are too many (Vyas et al. 2024).

    G′ = G·Q_R,  update = N′·Q_Rᵀ,  and the rest as in `soap`
    """
    Q_R = torch.where(t == 1, identity_like(Q_R), Q_R)
    m = beta1 * m + (1 - beta1) * g
    turned, v = scaled(g @ Q_R, m @ Q_R, v, t, beta1, beta2, eps, correct_bias)
    update = normalized(turned @ Q_R.mT, normalize_grads)
    beta = beta_of_factors(beta2, shampoo_beta)
    R = beta * R + (1 - beta) * gram_of_columns(g)
    Q_R = basis_of(R, Q_R, t, every)
    return update, m, _in_new_bases(g, v, t, beta2, None, Q_R), R, Q_R


@rule
def soap_identity(
    g, m, v,
    *, t, beta1=0.95, beta2=0.95, eps=1e-8, every=10, shampoo_beta=-1.0, correct_bias=True,
    normalize_grads=False,
):  # fmt: skip
    """SOAP where both bases are the identity: Adam, with SOAP's hyperparameters.

    m ← β₁·m + (1 − β₁)·g;   v ← β₂·v + (1 − β₂)·g²;   update = m̂ / (√v̂ + ε)
    """
    m = beta1 * m + (1 - beta1) * g
    update, v = scaled(g, m, v, t, beta1, beta2, eps, correct_bias)
    return normalized(update, normalize_grads), m, v
